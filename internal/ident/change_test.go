package ident_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
	"stint/internal/ident"
	"stint/internal/store"
)

func of[T any](v T) *T { return &v }

func (w *world) change(user string, c ident.UserChange) access.Principal {
	w.t.Helper()
	p, err := w.ChangeUser(w.ctx(), w.admin, user, c)
	w.must(err)
	return p
}

// last is the newest event.
func (w *world) last() access.Event { return w.events[len(w.events)-1] }

// A change counts with the next call, and is one event that says what it was.
func TestChangeUser(t *testing.T) {
	w := newWorld(t)
	l := w.user("mira")
	for _, c := range []struct {
		change ident.UserChange
		facts  map[string]string
	}{
		{ident.UserChange{Groups: &[]string{"ops", "dba", "ops"}}, map[string]string{"changed": "groups", "groups": "dba,ops", "groups_before": "platform"}},
		{ident.UserChange{Groups: &[]string{}, Manager: of("noor")},
			map[string]string{"changed": "groups,manager", "groups_before": "dba,ops", "manager": "user:noor"}},
		{ident.UserChange{Manager: of("")}, map[string]string{"changed": "manager", "manager_before": "user:noor"}},
		{ident.UserChange{Admin: of(true), Auditor: of(true)},
			map[string]string{"changed": "admin,auditor", "admin": "true", "admin_before": "false", "auditor": "true", "auditor_before": "false"}},
		{ident.UserChange{Admin: of(false)}, map[string]string{"changed": "admin", "admin": "false", "admin_before": "true"}},
	} {
		n := len(w.events)
		p := w.change("mira", c.change)
		c.facts["person"] = "mira"
		ev := w.last()
		if len(w.events) != n+1 || ev.Type != ident.PrincipalChanged || ev.Entity != "user:mira" || ev.Version != p.Version || ev.Actor != w.admin.Actor {
			t.Errorf("%d events; %+v", len(w.events)-n, ev)
		}
		if diff := cmp.Diff(c.facts, ev.Facts); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(p, w.in(l, laptop).Principal); diff != "" {
			t.Errorf("the next call sees something else:\n%s", diff)
		}
		w.change("mira", c.change) // again is no change
		if len(w.events) != n+1 {
			t.Errorf("the same change again left %d events", len(w.events)-n-1)
		}
	}
}

func TestEnableUser(t *testing.T) {
	w := newWorld(t)
	w.user("mira")
	w.disable("user:mira")
	_, err := w.ReEnrol(w.ctx(), w.admin, "mira")
	wantCode(t, err, access.Conflict, "principal-disabled")
	if p := w.change("mira", ident.UserChange{Enable: true}); p.Disabled {
		t.Error("still disabled")
	}
	if diff := cmp.Diff(map[string]string{"changed": "disabled", "disabled": "false", "disabled_before": "true", "person": "mira"}, w.last().Facts); diff != "" {
		t.Error(diff)
	}
	e, err := w.ReEnrol(w.ctx(), w.admin, "mira")
	must(t, err)
	w.enrol(ident.Sign{Code: e.Code})
}

func TestChangeRefused(t *testing.T) {
	w := newWorld(t)
	mira := w.in(w.user("mira"), laptop)
	more := ident.UserChange{Admin: of(true)}
	w.user("past")
	w.disable("user:past")
	w.user("over")
	must(t, w.store.Store.Update(w.ctx(), func(tx *store.Tx) error {
		p, err := tx.Principal("user:over")
		if err != nil {
			return err
		}
		p.Until, p.Version = tx.Now(), p.Version+1
		return tx.SavePrincipals(p)
	}))
	before := len(w.events)
	for _, c := range []struct {
		name   string
		by     ident.Caller
		user   string
		change ident.UserChange
		kind   access.Kind
		code   string
	}{
		{"by a member", mira, "mira", more, access.Denied, "not-an-administrator"},
		{"nobody", w.admin, "nobody", more, access.NotFound, "no-such-user"},
		{"a service", w.admin, "service:ci", more, access.NotFound, "no-such-user"},
		{"nothing", w.admin, "mira", ident.UserChange{}, access.Invalid, "nothing-to-change"},
		{"a group that is none", w.admin, "mira", ident.UserChange{Groups: &[]string{"*"}}, access.Invalid, "bad-group"},
		{"their own manager", w.admin, "mira", ident.UserChange{Manager: of("mira")}, access.Invalid, "bad-manager"},
		{"a manager that is no name", w.admin, "mira", ident.UserChange{Manager: of("Noor!")}, access.Invalid, "bad-manager"},
		{"a manager who is nobody", w.admin, "mira", ident.UserChange{Manager: of("ghost")}, access.Invalid, "no-such-manager"},
		{"a manager whose time is up", w.admin, "mira", ident.UserChange{Manager: of("over")}, access.Conflict, "manager-ended"},
		{"a manager who is disabled", w.admin, "mira", ident.UserChange{Manager: of("past")}, access.Conflict, "manager-disabled"},
		{"one's own right", w.admin, "noor", ident.UserChange{Admin: of(false)}, access.Conflict, "own-account"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := w.ChangeUser(w.ctx(), c.by, c.user, c.change)
			wantCode(t, err, c.kind, c.code)
		})
	}
	if len(w.events) != before {
		t.Errorf("refusals left %d events", len(w.events)-before)
	}
}

// Of two administrators who take the right from each other at the same moment,
// one keeps it: the second one's call was let in before it lost the right.
func TestAnAdministratorRemains(t *testing.T) {
	for name, lose := range map[string]func(*world){
		"demoted":  func(w *world) { w.change("mira", ident.UserChange{Admin: of(false)}) },
		"disabled": func(w *world) { w.disable("user:mira") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			l := w.user("mira")
			w.change("mira", ident.UserChange{Admin: of(true)})
			mira := w.in(l, laptop)
			lose(w)
			_, err := w.ChangeUser(w.ctx(), mira, "noor", ident.UserChange{Admin: of(false)})
			wantCode(t, err, access.Conflict, "last-administrator")
		})
	}
}

// disable does what the broker does about the principal itself.
func (w *world) disable(id access.PrincipalID) {
	w.t.Helper()
	w.must(w.store.Store.Update(w.ctx(), func(tx *store.Tx) error {
		p, err := tx.Principal(id)
		if err != nil {
			return err
		}
		p.Disabled, p.Version = true, p.Version+1
		if err := tx.SavePrincipals(p); err != nil {
			return err
		}
		return tx.DropLogins(id)
	}))
}

// TestOfficeTakesTwo: what gives an office, or brings one back to it, is refused where
// that takes two persons; what takes one away, or is none, is not.
func TestOfficeTakesTwo(t *testing.T) {
	w := newWorld(t)
	w.user("mira")
	w.user("omar")
	yes, no := true, false
	_, err := w.ChangeUser(w.ctx(), w.admin, "mira", ident.UserChange{Auditor: &yes})
	w.must(err)
	two := true
	w.TakesTwo = func(ident.Tx) (bool, error) { return two, nil }
	gain := map[string]func() error{
		"an administrator": func() error { return errOf(w.ChangeUser(w.ctx(), w.admin, "omar", ident.UserChange{Admin: &yes})) },
		"an auditor":       func() error { return errOf(w.ChangeUser(w.ctx(), w.admin, "omar", ident.UserChange{Auditor: &yes})) },
		"an author":        func() error { return errOf(w.ChangeUser(w.ctx(), w.admin, "omar", ident.UserChange{Author: &yes})) },
		"a new one":        func() error { return errOf(w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "eve", Admin: true})) },
	}
	for what, give := range gain {
		if err := give(); !errors.Is(err, ident.ErrOfficeTakesTwo) {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.TakesTwo = nil
	if err := gain["an administrator"](); !errors.Is(err, ident.ErrOfficeTakesTwo) {
		t.Errorf("without a rule: %v", err)
	}
	_, err = w.ChangeUser(w.ctx(), w.admin, "mira", ident.UserChange{Auditor: &no, Groups: &[]string{"dba"}})
	w.must(err)
	w.TakesTwo = func(ident.Tx) (bool, error) { return false, nil }
	w.must(gain["a new one"]())
}
