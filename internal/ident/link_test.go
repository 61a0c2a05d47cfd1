package ident_test

import (
	"slices"
	"testing"

	"stint/internal/access"
	"stint/internal/ident"
	"stint/internal/store"
)

func TestLink(t *testing.T) {
	w := newWorld(t)
	w.user("mira")
	w.user("omar")
	one := access.Identity{Provider: "corp-sso", Subject: "00u1"}
	p, err := w.Link(w.ctx(), w.admin, "mira", one)
	must(t, err)
	if !slices.Contains(p.Identities, one) || p.Version != 2 {
		t.Errorf("got %+v", p)
	}
	again, err := w.Link(w.ctx(), w.admin, "mira", one)
	must(t, err)
	if again.Version != 2 || w.count(ident.PrincipalLinked) != 1 {
		t.Errorf("the same again is a change: version %d, %d events", again.Version, w.count(ident.PrincipalLinked))
	}
	_, err = w.Link(w.ctx(), w.admin, "omar", one)
	wantCode(t, err, access.Conflict, "identity-taken")

	mira := w.in(w.reenrol("mira"), laptop)
	for _, c := range []struct {
		name string
		by   ident.Caller
		user string
		id   access.Identity
		kind access.Kind
		code string
	}{
		{"a member", mira, "mira", access.Identity{Provider: "corp-sso", Subject: "2"}, access.Denied, "not-an-administrator"},
		{"nobody", w.admin, "nobody", access.Identity{Provider: "corp-sso", Subject: "2"}, access.NotFound, "no-such-user"},
		{"no provider", w.admin, "omar", access.Identity{Subject: "2"}, access.Invalid, "bad-provider"},
		{"no subject", w.admin, "omar", access.Identity{Provider: "corp-sso"}, access.Invalid, "bad-subject"},
	} {
		_, err := w.Link(w.ctx(), c.by, c.user, c.id)
		wantCode(t, err, c.kind, c.code)
		_, err = w.Unlink(w.ctx(), c.by, c.user, c.id)
		wantCode(t, err, c.kind, c.code)
	}
	_, err = w.Unlink(w.ctx(), w.admin, "omar", one)
	wantCode(t, err, access.NotFound, "no-such-identity")
	_, err = w.Unlink(w.ctx(), w.admin, "mira", one)
	must(t, err)
	_, err = w.Link(w.ctx(), w.admin, "omar", one) // free again
	must(t, err)
}

// Groups that a provider gave go with its last identity, and an administrator's
// change of groups leaves them alone.
func TestProvidedGroupsAreTheProviders(t *testing.T) {
	w := newWorld(t)
	w.user("mira") // in platform
	one := access.Identity{Provider: "corp", Subject: "1"}
	_, err := w.Link(w.ctx(), w.admin, "mira", one)
	must(t, err)
	must(t, w.store.Store.Update(w.ctx(), func(tx *store.Tx) error {
		p, err := tx.Principal("user:mira")
		if err != nil {
			return err
		}
		p = p.Provide("corp", []access.Group{"web"})
		p.Version++
		return tx.SavePrincipals(p)
	}))
	p, err := w.ChangeUser(w.ctx(), w.admin, "mira", ident.UserChange{Groups: &[]string{"dba"}})
	must(t, err)
	if !slices.Equal(p.Groups, []access.Group{"dba", "web"}) {
		t.Errorf("groups are %v after the administrator's change", p.Groups)
	}
	p, err = w.Unlink(w.ctx(), w.admin, "mira", one)
	must(t, err)
	if !slices.Equal(p.Groups, []access.Group{"dba"}) || p.Provided != nil {
		t.Errorf("groups are %v after the last identity went", p.Groups)
	}
	last := w.events[len(w.events)-1]
	if last.Type != ident.PrincipalUnlinked || last.Facts["groups_before"] != "dba,web" || last.Facts["groups"] != "dba" {
		t.Errorf("the log says %+v", last)
	}
}

// Whom a provider disabled, an administrator does not enable behind its back.
func TestWhoDisabledEnables(t *testing.T) {
	w := newWorld(t)
	w.user("mira")
	one := access.Identity{Provider: "corp", Subject: "1"}
	_, err := w.Link(w.ctx(), w.admin, "mira", one)
	must(t, err)
	must(t, w.store.Store.Update(w.ctx(), func(tx *store.Tx) error {
		p, err := tx.Principal("user:mira")
		if err != nil {
			return err
		}
		p.Disabled, p.DisabledBy, p.Version = true, "corp", p.Version+1
		return tx.SavePrincipals(p)
	}))
	_, err = w.ChangeUser(w.ctx(), w.admin, "mira", ident.UserChange{Enable: true})
	wantCode(t, err, access.Conflict, "disabled-elsewhere")
	p, err := w.Unlink(w.ctx(), w.admin, "mira", one)
	must(t, err)
	if !p.Disabled {
		t.Error("unlinking enabled them")
	}
	p, err = w.ChangeUser(w.ctx(), w.admin, "mira", ident.UserChange{Enable: true})
	must(t, err)
	if p.Disabled {
		t.Error("still disabled")
	}
}

// reenrol signs a user in once more.
func (w *world) reenrol(name string) ident.Login {
	w.t.Helper()
	e, err := w.ReEnrol(w.ctx(), w.admin, name)
	w.must(err)
	return w.enrol(ident.Sign{Code: e.Code})
}
