package access

import (
	"strings"
	"testing"
)

// Who could not be told apart from the users of a credential counts as one.
func TestUnused(t *testing.T) {
	c := Credential{Name: "login", Type: "fake", Address: "db1:1"}
	user := Entitlement{Target: Target{Resource: "db", Connection: Connection{Credential: "login"}}}
	other := Entitlement{Target: Target{Resource: "db", Connection: Connection{Credential: "another"}}}
	many := make([]Entitlement, c.Users().Limit)
	for name, tt := range map[string]struct {
		found []Entitlement
		free  bool
	}{
		"none": {nil, true}, "others": {[]Entitlement{other}, true}, "one": {[]Entitlement{other, user}, false}, "too many to tell": {many, false},
	} {
		if err := c.Unused(tt.found); (err == nil) != tt.free || err != nil && KindOf(err) != Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	ending := user
	ending.State, ending.LastError = Removing, "sessions are still open"
	if err := c.Unused([]Entitlement{ending}); err == nil || !strings.Contains(err.Error(), "not read back as gone yet") {
		t.Errorf("one that is being removed: %v", err)
	}
	if q := c.Users(); q.Place != (Connection{Type: "fake", Address: "db1:1"}).Place() || len(q.States) != 4 {
		t.Errorf("users: %+v", q)
	}
}

// What ended grants left behind is found out with the login that made them; who could not
// be told apart from these counts as one.
func TestAnswered(t *testing.T) {
	c := Credential{Name: "login", Type: "fake", Address: "db1:1"}
	at := func(credential, address string) Grant {
		return Grant{Targets: []Target{{Connection: Connection{Type: "fake", Address: address, Credential: credential}}}}
	}
	for name, tt := range map[string]struct {
		ended []Grant
		free  bool
	}{
		"none":                {nil, true},
		"another login":       {[]Grant{at("another", "db1:1")}, true},
		"where it was before": {[]Grant{at("login", "db2:1")}, true},
		"one":                 {[]Grant{at("another", "db1:1"), at("login", "db1:1")}, false},
		"too many to tell":    {make([]Grant, UnansweredMost), false},
	} {
		if err := c.Answered(tt.ended); (err == nil) != tt.free || err != nil && KindOf(err) != Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
}
