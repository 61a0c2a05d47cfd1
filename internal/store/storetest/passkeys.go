package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"stint/internal/access"
)

// passkeys keep every field, go forward only, and are never another person's.
func passkeys(t *testing.T, s Store) {
	now := storeNow(t, s)
	signed := access.Assertion{Passkey: "pky_0", ClientData: []byte("client"), AuthenticatorData: []byte("data"), Signature: []byte("signature")}
	first := access.Passkey{ID: "pky_1", Version: 1, State: access.PasskeyActive, Principal: "user:mira", Person: "mira", Name: "laptop", RPID: "localhost",
		Origin: access.ClientOrigin, Credential: []byte{1, 2}, Key: []byte{3}, Anchor: access.AnchorGenesis, Counter: 4_000_000_000, CreatedAt: now,
		Vouchers: []access.Voucher{{By: "user:root", Person: "root", Assertion: signed, At: now}}}
	open := access.Passkey{ID: "pky_2", Version: 1, State: access.PasskeyProposed, Principal: "user:omar", Person: "omar", Name: "key", RPID: "stint.example",
		Origin: "https://stint.example", Credential: []byte{5}, Key: []byte{6}, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	update(t, s, func(tx Tx) error { return tx.SavePasskeys(first, open) })
	view(t, s, func(tx Tx) error {
		p, e1 := tx.Passkey(first.ID)
		diff(t, p, first)
		ps, e2 := tx.Passkeys("")
		diff(t, ps, []access.Passkey{first, open})
		ps, e3 := tx.Passkeys("omar")
		diff(t, ps, []access.Passkey{open})
		_, e4 := tx.Passkey("pky_3")
		wantKind(t, e4, access.NotFound)
		return errors.Join(e1, e2, e3)
	})
	save := func(p access.Passkey, bend func(*access.Passkey)) error {
		bend(&p)
		return s.Update(context.Background(), func(tx Tx) error { return tx.SavePasskeys(p) })
	}
	for what, c := range map[string]struct {
		p    access.Passkey
		bend func(*access.Passkey)
		kind access.Kind
	}{
		"the counter goes back":       {first, func(p *access.Passkey) { p.Counter-- }, access.Internal},
		"a second first one":          {first, func(p *access.Passkey) { p.ID, p.Credential = "pky_9", []byte{9} }, access.Conflict},
		"the same credential":         {open, func(p *access.Passkey) { p.ID = "pky_9" }, access.Conflict},
		"of another person":           {first, func(p *access.Passkey) { p.Person = "omar" }, access.Conflict},
		"active on nobody's word":     {open, func(p *access.Passkey) { p.Version, p.State = 2, access.PasskeyActive }, access.Internal},
		"another anchor":              {first, func(p *access.Passkey) { p.Version, p.Anchor = 2, access.AnchorOwn }, access.Internal},
		"proposed again":              {first, func(p *access.Passkey) { p.Version, p.State = 2, access.PasskeyProposed }, access.Internal},
		"removed in the same version": {first, func(p *access.Passkey) { p.State = access.PasskeyRemoved }, access.Internal},
		"a version left out":          {open, func(p *access.Passkey) { p.Version = 3 }, access.Conflict},
	} {
		if err := save(c.p, c.bend); access.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s: %v, want %s", what, err, c.kind)
		}
	}
	if err := save(first, func(p *access.Passkey) { p.Counter++ }); err != nil {
		t.Errorf("the counter goes up: %v", err)
	}
	if err := save(open, func(p *access.Passkey) { p.Version, p.State, p.Anchor = 2, access.PasskeyActive, access.AnchorAdmins }); err != nil {
		t.Errorf("it becomes active: %v", err)
	}
	if err := save(open, func(p *access.Passkey) {
		p.Version, p.State, p.Anchor = 3, access.PasskeyRemoved, access.AnchorAdmins
	}); err != nil {
		t.Errorf("it is removed: %v", err)
	}
	if err := save(open, func(p *access.Passkey) {
		p.Version, p.State, p.Anchor = 4, access.PasskeyActive, access.AnchorAdmins
	}); err == nil {
		t.Error("it came back")
	}
}
