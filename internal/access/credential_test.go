package access

import (
	"errors"
	"strings"
	"testing"
)

// rows answers what LetGo asks with what it was given.
type rows struct {
	setting string
	live    []Entitlement
	pending []Residue
	holds   []Hold
	ended   []Entitlement
}

func (r rows) Setting(name string) ([]byte, error) {
	if r.setting == "" || name != QuarantineSetting {
		return nil, nil
	}
	return []byte(r.setting), nil
}
func (r rows) Entitlements(q EntitlementQuery) ([]Entitlement, error) {
	return upTo(r.live, q.Limit), nil
}
func (r rows) PendingResidues(q ResidueQuery) ([]Residue, error) {
	return upTo(r.pending, q.Limit), nil
}
func (r rows) HoldsBy(...GrantID) ([]Hold, error)                     { return r.holds, nil }
func (r rows) EntitlementsOf(...EntitlementID) ([]Entitlement, error) { return r.ended, nil }

func upTo[T any](all []T, limit int) []T { return all[:min(len(all), limit)] }

// A login is let go where nothing needs it, and nowhere else: what could not be told
// apart from its users counts as one.
func TestLetGo(t *testing.T) {
	c := Credential{Name: "login", Type: "fake", Address: "db1:1"}
	made := func(credential, address string, s EntitlementState) []Entitlement {
		return []Entitlement{{ID: "ent_1", State: s, Target: Target{Resource: "db", Connection: Connection{Type: "fake", Address: address, Credential: credential}}}}
	}
	left := func(es []Entitlement) rows {
		return rows{pending: []Residue{{Grant: "grt_1"}}, holds: []Hold{{Grant: "grt_1", Entitlement: "ent_1"}}, ended: es}
	}
	ofSweep := made("login", "db1:1", Removing)
	ofSweep[0].Target.Resource = ""
	for name, tt := range map[string]struct {
		rows       rows
		code, said string // none: it is let go
	}{
		"nothing":                   {},
		"live, another login":       {rows: rows{live: made("another", "db1:1", Present)}},
		"live":                      {rows{live: append(made("another", "db1:1", Present), made("login", "db1:1", Present)...)}, "in-use", "stint revoke --resource db "},
		"being removed":             {rows{live: made("login", "db1:1", Removing)}, "in-use", "stint audit search --type removal.trouble --resource db"},
		"being removed for a sweep": {rows{live: ofSweep}, "in-use", "--state ending; stint audit search --type removal.trouble"},
		"too many to tell":          {rows{live: make([]Entitlement, 10000)}, "in-use", "too much live access"},
		"left, another login":       {rows: left(made("another", "db1:1", Gone))},
		"left, elsewhere":           {rows: left(made("login", "db2:1", Gone))},
		"left":                      {left(append(made("another", "db1:1", Gone), made("login", "db1:1", Gone)...)), "in-use", "stint status grt_1"},
		// One whose grant or entitlement is not there to judge counts in the bound all the same.
		"too many left to tell": {rows{pending: make([]Residue, 1000), ended: made("another", "db1:1", Gone)}, "in-use", "too much access"},
		"many left":             {rows: rows{pending: make([]Residue, 999)}},
		"quarantine":            {rows{setting: `{"kind":"restored","why":"a backup"}`}, "quarantined", "a backup"},
		"an unreadable one":     {rows{setting: `{`}, "quarantined", "cannot be read"},
		"one that does not say": {rows{setting: `{}`}, "quarantined", "cannot be read"},
	} {
		err := c.LetGo(tt.rows)
		var e *Error
		if errors.As(err, &e); e == nil {
			e = &Error{}
		}
		if (err == nil) != (tt.code == "") || e.Code != tt.code || !strings.Contains(e.Message+e.Why+e.Next, tt.said) || strings.HasSuffix(e.Next, " --resource ") {
			t.Errorf("%s: %v; %s", name, err, e.Next)
		}
	}
	here := (Connection{Type: "fake", Address: "db1:1"}).Place()
	if q := c.users(); q.Place != here || len(q.States) != 4 {
		t.Errorf("users: %+v", q)
	}
	if q := c.unanswered(); q.Place != here {
		t.Errorf("unanswered: %+v", q)
	}
}

// A new password or user is no move.
func TestCredentialMoves(t *testing.T) {
	c := Credential{Name: "login", Type: "fake", Address: "db1:1", Username: "a"}
	for name, tt := range map[string]struct {
		to    Credential
		moves bool
	}{
		"user": {Credential{Name: "login", Type: "fake", Address: "db1:1", Username: "b"}, false},
		"type": {Credential{Name: "login", Type: "ssh", Address: "db1:1", Username: "a"}, true}, "address": {Credential{Name: "login", Type: "fake", Address: "db2:1", Username: "a"}, true},
	} {
		if c.Moves(tt.to) != tt.moves {
			t.Errorf("%s: %v", name, !tt.moves)
		}
	}
}
