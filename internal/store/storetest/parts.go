package storetest

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
)

// identities are of one principal each, and what providers said comes back whole.
func identities(t *testing.T, s Store) {
	now := storeNow(t, s)
	a, b := access.Identity{Provider: "corp", Subject: "1"}, access.Identity{Provider: "corp", Subject: "2"}
	mira := access.Principal{ID: "user:mira", Person: "mira", Identities: []access.Identity{a, b}, Groups: []access.Group{"dba", "web"},
		Provided: map[string][]access.Group{"": {"dba"}, "corp": {"web"}}, Disabled: true, DisabledBy: "corp", Lock: access.Lock{With: "user:mira", By: "user:root", Why: "laptop stolen", At: now}, CreatedAt: now, Version: 1}
	omar := access.Principal{ID: "user:omar", Person: "omar", CreatedAt: now, Version: 1}
	update(t, s, func(tx Tx) error { return tx.SavePrincipals(mira, omar) })
	by := func(i access.Identity) (access.Principal, error) {
		var p access.Principal
		err := s.View(context.Background(), func(tx Tx) (err error) { p, err = tx.PrincipalByIdentity(i); return err })
		return p, err
	}
	found := func(i access.Identity, want access.Principal) {
		t.Helper()
		got, err := by(i)
		if err != nil {
			t.Errorf("%v: %v", i, err)
		}
		diff(t, got, want)
	}
	missing := func(i access.Identity) {
		t.Helper()
		_, err := by(i)
		wantKind(t, err, access.NotFound)
	}
	found(a, mira)
	found(b, mira)
	missing(access.Identity{Provider: "other", Subject: "1"})
	missing(access.Identity{Provider: "corp", Subject: "user:omar"})

	omar.Version, omar.Identities = 2, []access.Identity{b}
	wantKind(t, s.Update(context.Background(), func(tx Tx) error { return tx.SavePrincipals(omar) }), access.Conflict)
	eve := access.Principal{ID: "user:eve", Person: "eve", Identities: []access.Identity{a}, CreatedAt: now, Version: 1}
	wantKind(t, s.Update(context.Background(), func(tx Tx) error { return tx.SavePrincipals(eve) }), access.Conflict)
	found(b, mira)

	mira.Version, mira.Identities = 2, []access.Identity{a} // one moves, in one save
	update(t, s, func(tx Tx) error { return tx.SavePrincipals(omar, mira) })
	found(a, mira)
	found(b, omar)
	mira.Version, mira.Identities, mira.Provided, mira.Disabled, mira.DisabledBy = 3, nil, nil, false, ""
	update(t, s, func(tx Tx) error { return tx.SavePrincipals(mira) })
	missing(a)
	update(t, s, func(tx Tx) error { return tx.SavePrincipals(eve) })
	found(a, eve)
}

func principalsNamed(t *testing.T, s Store) {
	var all []access.Principal
	for _, id := range []access.PrincipalID{"user:omar", "user:om_r", "service:omar", "agent:fix-omar.2", "user:zoe"} {
		all = append(all, access.Principal{ID: id, Person: "omar", CreatedAt: storeNow(t, s), Version: 1})
	}
	update(t, s, func(tx Tx) error { return tx.SavePrincipals(all...) })
	for _, c := range []struct {
		parts []string
		most  int
		want  string
	}{
		{[]string{"omar"}, 9, "agent:fix-omar.2 service:omar user:omar"},
		{[]string{"omar", "user"}, 9, "user:omar"},
		{[]string{"om_r"}, 9, "user:om_r"}, // and no sign for any letter
		{[]string{"%"}, 9, ""},
		{[]string{`\`}, 9, ""},
		{[]string{"' OR 1=1 --"}, 9, ""},
		{[]string{"OMAR"}, 9, ""},
		{[]string{"omar\x00"}, 9, ""},
		{[]string{"om"}, 2, "agent:fix-omar.2 service:omar"},
		{nil, 1, "agent:fix-omar.2"},
	} {
		var got []string
		for _, p := range read(t, s, func(tx Tx) ([]access.Principal, error) { return tx.PrincipalsNamed(c.parts, c.most) }) {
			got = append(got, string(p.ID))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q, %d: %v", c.parts, c.most, got)
		}
	}
}

func principalsAndLogins(t *testing.T, s Store) {
	now := storeNow(t, s)
	mira := access.Principal{ID: "user:mira", Person: "mira", Groups: []access.Group{"dba", "platform"}, Attributes: map[string]string{"team": "orders"},
		Manager: "user:olga", Admin: true, Auditor: true, Until: now.Add(time.Hour), CreatedAt: now, Version: 1}
	ci := access.Principal{ID: "service:ci", Person: "mira", CreatedAt: now, Version: 1}
	login := access.Login{Token: digest(), Principal: mira.ID, Device: "d1", SealKey: []byte("key"), CreatedAt: now, ExpiresAt: now.Add(time.Hour),
		Kind: access.DeviceLogin, From: netip.MustParseAddr("10.0.0.7"), Client: "stint on laptop", SeenAt: now,
		Auth: access.Auth{Provider: "corp-sso", At: now, Methods: []string{"otp", "pwd"}, Class: "high", MFA: true}}
	bare := access.Login{Token: digest(), Principal: ci.ID, CreatedAt: now, ExpiresAt: now.Add(time.Hour), Exchange: &access.Exchange{Workload: "pipeline", Integration: "forge",
		Issuer: "https://forge.example", Subject: "repo:corp/orders", Audience: "stint", Claims: map[string]string{"ref": "main"}, Certificate: digest(), URIs: []string{"spiffe://a/b"}, DNS: []string{"a.example"}}}
	code := access.Enrolment{Code: digest(), Principal: mira.ID, ExpiresAt: now.Add(time.Hour)}
	late := access.Enrolment{Code: digest(), Principal: mira.ID, ExpiresAt: now.Add(-time.Hour)}
	update(t, s, func(tx Tx) error {
		return errors.Join(tx.SavePrincipals(mira, ci), tx.SaveLogin(login), tx.SaveLogin(bare), tx.SaveEnrolment(code), tx.SaveEnrolment(late))
	})
	view(t, s, func(tx Tx) error {
		p, e1 := tx.Principal(mira.ID)
		diff(t, p, mira)
		ps, e2 := tx.Principals(access.User)
		diff(t, ps, []access.Principal{mira})
		ps, e3 := tx.Principals("")
		diff(t, ps, []access.Principal{ci, mira})
		l, e4 := tx.Login(login.Token)
		diff(t, l, login)
		l, e5 := tx.Login(bare.Token)
		diff(t, l, bare)
		return errors.Join(e1, e2, e3, e4, e5)
	})
	ctx := context.Background()
	use := func(c access.Digest) error {
		return s.Update(ctx, func(tx Tx) error { _, err := tx.UseEnrolment(c); return err })
	}
	if err := use(code.Code); err != nil {
		t.Errorf("first use: %v", err)
	}
	wantKind(t, use(code.Code), access.Conflict)
	wantKind(t, use(late.Code), access.Expired)
	open, others := access.Enrolment{Code: digest(), Principal: mira.ID, ExpiresAt: now.Add(time.Hour)}, access.Enrolment{Code: digest(), Principal: ci.ID, ExpiresAt: now.Add(time.Hour)}
	update(t, s, func(tx Tx) error { return errors.Join(tx.SaveEnrolment(open), tx.SaveEnrolment(others)) })
	update(t, s, func(tx Tx) error { return tx.DropEnrolments(mira.ID) })
	wantKind(t, use(open.Code), access.NotFound)
	wantKind(t, use(code.Code), access.Conflict) // what was used stays known as used
	if err := use(others.Code); err != nil {
		t.Errorf("the code of another: %v", err)
	}
	update(t, s, func(tx Tx) error { return tx.SaveEnrolment(late) })
	view(t, s, func(tx Tx) error {
		l, err := tx.Login(login.Token)
		diff(t, l, login) // codes are not logins
		return err
	})
	update(t, s, func(tx Tx) error { return tx.DropLogins(mira.ID) })
	view(t, s, func(tx Tx) error {
		l, e1 := tx.Login(login.Token)
		if !l.Revoked {
			t.Error("the login was not revoked")
		}
		other, e2 := tx.Login(bare.Token)
		if other.Revoked {
			t.Error("the login of another was revoked")
		}
		_, err := tx.Enrolment(late.Code)
		wantKind(t, err, access.NotFound)
		return errors.Join(e1, e2)
	})
	wantKind(t, s.Update(ctx, func(tx Tx) error { return tx.SaveLogin(login) }), access.Internal) // it would come back
	update(t, s, func(tx Tx) error { return tx.RevokeLogin(bare.Token) })
	wantKind(t, s.Update(ctx, func(tx Tx) error { return tx.RevokeLogin(digest()) }), access.NotFound)
}

func settings(t *testing.T, s Store) {
	ctx := context.Background()
	now := storeNow(t, s)
	view(t, s, func(tx Tx) error {
		v, body, err := tx.Documents()
		if v != 0 || len(body) != 0 {
			t.Errorf("documents before there are any: %d %q", v, body)
		}
		return err
	})
	documents := func(v int64, body string) error {
		return s.Update(ctx, func(tx Tx) error { return tx.SaveDocuments(v, []byte(body)) })
	}
	if err := errors.Join(documents(1, "one"), documents(2, "two")); err != nil {
		t.Fatal(err)
	}
	wantKind(t, documents(2, "other"), access.Conflict)
	wantKind(t, documents(4, "gap"), access.Conflict)
	cred := access.Credential{Name: "orders", Type: "postgres", Address: "db1:5432", Username: "stint", Sealed: []byte{1, 2}, Version: 1, SetAt: now}
	update(t, s, func(tx Tx) error {
		return errors.Join(tx.SaveCredential(cred), tx.SaveSetting("stop", []byte{}))
	})
	cred.Version, cred.Address = 2, "db2:5432"
	update(t, s, func(tx Tx) error { return tx.SaveCredential(cred) })
	cred.Version = 1
	wantKind(t, s.Update(ctx, func(tx Tx) error { return tx.SaveCredential(cred) }), access.Conflict)
	cred.Version = 2
	view(t, s, func(tx Tx) error {
		v, body, e1 := tx.Documents()
		if v != 2 || string(body) != "two" {
			t.Errorf("documents %d %q, want 2 and two", v, body)
		}
		first, e2 := tx.DocumentsAt(1)
		if string(first) != "one" {
			t.Errorf("version 1 is %q", first)
		}
		c, e3 := tx.Credential("orders")
		diff(t, c, cred)
		value, e4 := tx.Setting("stop")
		if value == nil || len(value) != 0 {
			t.Errorf("an empty setting reads as %v; it is set", value)
		}
		none, e5 := tx.Setting("other")
		if none != nil {
			t.Errorf("a setting that is not set reads as %v", none)
		}
		return errors.Join(e1, e2, e3, e4, e5)
	})
	update(t, s, func(tx Tx) error { return tx.SaveSetting("stop", nil) })
	if v := read(t, s, func(tx Tx) ([]byte, error) { return tx.Setting("stop") }); v != nil {
		t.Errorf("an unset setting reads as %v", v)
	}
}

func remember(t *testing.T, s Store) {
	ctx := context.Background()
	now := storeNow(t, s)
	m := access.Remembered{Principal: "user:mira", Key: "k1", Body: digest(), Result: "req_1", At: now}
	old := access.Remembered{Principal: "user:mira", Key: "k2", Body: digest(), Result: "req_0", At: now.Add(-25 * time.Hour)}
	update(t, s, func(tx Tx) error { return errors.Join(tx.Remember(m), tx.Remember(old)) })
	diff(t, read(t, s, func(tx Tx) (access.Remembered, error) { return tx.Recall(m.Principal, m.Key) }), m)
	wantKind(t, s.Update(ctx, func(tx Tx) error { return tx.Remember(m) }), access.Conflict)
	wantKind(t, s.View(ctx, func(tx Tx) error { _, err := tx.Recall(old.Principal, old.Key); return err }), access.NotFound)
	old.At = now
	update(t, s, func(tx Tx) error { return tx.Remember(old) }) // the day is over
	diff(t, read(t, s, func(tx Tx) (access.Remembered, error) { return tx.Recall(m.Principal, m.Key) }), m)
}

func sealedKeepsTheNewest(t *testing.T, s Store) {
	b := Active(t, s)
	save := func(rev int64, blob string) {
		update(t, s, func(tx Tx) error {
			return tx.SaveSealed(access.Sealed{Grant: b.Grant.ID, Entitlement: b.Entitlements[0].ID, Resource: "orders-db", Rev: rev, Blob: []byte(blob), At: tx.Now()})
		})
	}
	save(3, "three")
	save(2, "late")
	got := read(t, s, func(tx Tx) ([]access.Sealed, error) { return tx.Sealed(b.Grant.ID) })
	if len(got) != 1 || got[0].Rev != 3 || string(got[0].Blob) != "three" {
		t.Errorf("sealed: %+v", got)
	}
}

func holdsOfShared(t *testing.T, s Store) {
	a, b := Active(t, s), Active(t, s)
	update(t, s, func(tx Tx) error {
		e, h, ev, err := a.Entitlements[0].Share(b.Grant, tx.Now())
		if err != nil {
			return err
		}
		return errors.Join(tx.SaveEntitlements(e), tx.SaveHolds(h), tx.Append(ev))
	})
	got := read(t, s, func(tx Tx) ([]access.Hold, error) {
		return tx.HoldsOf(a.Entitlements[0].ID, b.Entitlements[0].ID, a.Entitlements[0].ID)
	})
	if len(got) != 3 {
		t.Errorf("%d holds, want 3: %+v", len(got), got)
	}
}
