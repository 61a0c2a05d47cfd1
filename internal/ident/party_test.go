package ident_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/ident"
	"stint/internal/store"
)

// plain is a store that many may use at once.
type plain struct{ *store.Store }

func (p plain) Update(ctx context.Context, fn func(ident.Tx) error) error {
	return p.Store.Update(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (p plain) View(ctx context.Context, fn func(ident.Tx) error) error {
	return p.Store.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (w *world) invite(name string, until time.Duration) ident.Enrolment {
	w.t.Helper()
	e, err := w.InviteVendor(w.ctx(), w.admin, ident.NewVendor{Name: name, Sponsor: "omar", Company: "Acme", Groups: []string{"acme"}, Until: w.now().Add(until)})
	w.must(err)
	return e
}

// turn changes a principal in the store, as the broker does.
func (w *world) turn(id access.PrincipalID, how func(*access.Principal)) {
	w.t.Helper()
	w.must(w.store.Store.Update(w.ctx(), func(tx *store.Tx) error {
		p, err := tx.Principal(id)
		if err != nil {
			return err
		}
		how(&p)
		p.Version++
		return tx.SavePrincipals(p)
	}))
}

// An invitation is good once, for three days, not beyond the contract, and not when
// nobody answers for who was invited.
func TestInvitation(t *testing.T) {
	w := newWorld(t)
	w.user("omar")
	e := w.invite("bo", 30*24*time.Hour)
	if got := e.ExpiresAt.Sub(w.now()); got != access.InvitationFor {
		t.Errorf("good for %s", got)
	}
	l := w.enrol(ident.Sign{Code: e.Code})
	if l.Principal.Kind() != access.Vendor || l.Principal.Sponsor != "user:omar" || l.Principal.Company != "Acme" {
		t.Errorf("got %+v", l.Principal)
	}
	_, err := w.try(ident.Sign{Code: e.Code, Device: phone})
	wantCode(t, err, access.Unauthenticated, "code-used")

	late := w.invite("cy", 30*24*time.Hour)
	short := w.invite("di", time.Hour)
	if got := short.ExpiresAt.Sub(w.now()); got != time.Hour {
		t.Errorf("good for %s, and the contract for an hour", got)
	}
	gone := w.invite("ed", 30*24*time.Hour)
	w.turn("user:omar", func(p *access.Principal) { p.Disabled = true })
	_, err = w.try(ident.Sign{Code: gone.Code})
	wantCode(t, err, access.Unauthenticated, "nobody-answers")
	_, err = w.ReEnrol(w.ctx(), w.admin, "ed")
	wantCode(t, err, access.Unauthenticated, "nobody-answers")
	_, err = w.InviteVendor(w.ctx(), w.admin, ident.NewVendor{Name: "fi", Sponsor: "omar", Company: "Acme", Until: w.now().Add(time.Hour)})
	wantCode(t, err, access.Conflict, "cannot-answer")
	w.turn("user:omar", func(p *access.Principal) { p.Disabled = false })
	w.enrol(ident.Sign{Code: gone.Code}) // it was not used up

	w.pass(time.Hour) // over a contract, in one step of the clock
	_, err = w.try(ident.Sign{Code: short.Code})
	wantCode(t, err, access.Unauthenticated, "code-expired")
	w.pass(access.InvitationFor)
	_, err = w.try(ident.Sign{Code: late.Code})
	wantCode(t, err, access.Unauthenticated, "code-expired")
}

// Of many who redeem one invitation at once, one gets the login.
func TestInvitationOnce(t *testing.T) {
	w := newWorld(t)
	w.user("omar")
	e := w.invite("bo", time.Hour)
	var wg sync.WaitGroup
	var got atomic.Int32
	other := ident.New(plain{w.store.Store})
	for range 16 {
		wg.Go(func() {
			if _, err := other.Enrol(t.Context(), ident.Sign{Code: e.Code, Device: laptop, SealKey: key, From: from}); err == nil {
				got.Add(1)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 {
		t.Errorf("%d logins of one invitation", got.Load())
	}
}

// A step of the clock over the contract's end: the very next call is refused.
func TestContractEndsLogins(t *testing.T) {
	w := newWorld(t)
	w.user("omar")
	l := w.enrol(ident.Sign{Code: w.invite("bo", time.Hour).Code})
	w.in(l, laptop)
	w.pass(time.Hour)
	_, err := w.Authenticate(w.ctx(), l.Token, laptop, from)
	wantCode(t, err, access.Unauthenticated, "principal-ended")
}

func TestVendorsAreNotOfTheHouse(t *testing.T) {
	w := newWorld(t)
	w.user("omar")
	w.invite("bo", time.Hour)
	yes, bo := true, "bo"
	for _, c := range []ident.UserChange{{Admin: &yes}, {Auditor: &yes}, {Author: &yes}} {
		_, err := w.ChangeUser(w.ctx(), w.admin, "bo", c)
		wantCode(t, err, access.Conflict, "not-of-the-house")
	}
	_, err := w.ChangeUser(w.ctx(), w.admin, "omar", ident.UserChange{Manager: &bo})
	wantCode(t, err, access.Conflict, "manager-outside")
	_, err = w.AddService(w.ctx(), w.admin, ident.NewService{Name: "ci", Owner: "bo", For: time.Hour})
	wantCode(t, err, access.Conflict, "cannot-answer")
	_, err = w.AddAgent(w.ctx(), w.admin, ident.NewAgent{Name: "fixer", Responsible: "bo", For: time.Hour})
	wantCode(t, err, access.Conflict, "cannot-answer")
	w.turn("user:bo", func(p *access.Principal) { p.Disabled, p.DisabledBy = true, access.DisabledByContract })
	_, err = w.ChangeUser(w.ctx(), w.admin, "bo", ident.UserChange{Enable: true})
	wantCode(t, err, access.Conflict, "contract-ended")
	for code, n := range map[string]ident.NewVendor{
		"name-taken":        {Name: "bo", Sponsor: "omar", Company: "Acme", Until: w.now().Add(time.Hour)},
		"no-such-user":      {Name: "cy", Sponsor: "nobody", Company: "Acme", Until: w.now().Add(time.Hour)},
		"bad-contract-end":  {Name: "cy", Sponsor: "omar", Company: "Acme", Until: w.now()},
		"contract-too-long": {Name: "cy", Sponsor: "omar", Company: "Acme", Until: w.now().Add(access.MaxContract + time.Second)},
		"no-company":        {Name: "cy", Sponsor: "omar", Until: w.now().Add(time.Hour)},
		"bad-name":          {Name: "C Y", Sponsor: "omar", Company: "Acme", Until: w.now().Add(time.Hour)},
	} {
		_, err := w.InviteVendor(w.ctx(), w.admin, n)
		if e, ok := err.(*access.Error); !ok || e.Code != code {
			t.Errorf("%+v: %v, want %s", n, err, code)
		}
	}
}

// An agent is one human's, renewed by the same, and never another's.
func TestAgentIsOneHumans(t *testing.T) {
	w := newWorld(t)
	w.user("ana")
	w.user("omar")
	first, err := w.AddAgent(w.ctx(), w.admin, ident.NewAgent{Name: "fixer", Responsible: "ana", For: time.Hour, Groups: []string{"agents"}})
	must(t, err)
	c, err := w.Authenticate(w.ctx(), first.Token, laptop, from)
	must(t, err)
	if p := c.Principal; p.ID != "agent:fixer" || p.Person != "ana" || p.Responsible != "user:ana" || p.Until != first.ExpiresAt {
		t.Errorf("got %+v", p)
	}
	second, err := w.AddAgent(w.ctx(), w.admin, ident.NewAgent{Name: "fixer", Responsible: "ana", For: time.Hour})
	must(t, err)
	if _, err := w.Authenticate(w.ctx(), first.Token, laptop, from); err == nil {
		t.Error("the token from before is good")
	}
	if _, err := w.Authenticate(w.ctx(), second.Token, laptop, from); err != nil {
		t.Error(err)
	}
	_, err = w.AddAgent(w.ctx(), w.admin, ident.NewAgent{Name: "fixer", Responsible: "omar", For: time.Hour})
	wantCode(t, err, access.Conflict, "name-taken")
	_, err = w.AddAgent(w.ctx(), w.admin, ident.NewAgent{Name: "other", Responsible: "ana", For: access.MaxAgentLife + 1})
	wantCode(t, err, access.Invalid, "bad-duration")
	_, err = w.AddAgent(w.ctx(), c, ident.NewAgent{Name: "other", Responsible: "ana", For: time.Hour})
	wantCode(t, err, access.Denied, "not-an-administrator")
}
