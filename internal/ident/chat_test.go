package ident_test

import (
	"slices"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/ident"
)

// TestLinkOwn: a chat's user is linked by a code, once, in time, by a person who is
// signed in, to themselves; and is theirs alone from then on.
func TestLinkOwn(t *testing.T) {
	w := newWorld(t)
	w.user("mira")
	w.user("omar")
	mira, omar := w.in(w.reenrol("mira"), laptop), w.in(w.reenrol("omar"), laptop)
	in := access.Identity{Provider: "ops-chat", Subject: "T01/U01"}
	offer := func(id access.Identity) access.Secret {
		t.Helper()
		code, err := w.OfferLink(w.ctx(), id, "mira\u202e.r <evil>")
		must(t, err)
		return code
	}
	_, err := w.Linked(w.ctx(), in)
	wantCode(t, err, access.NotFound, "not-linked")
	code := offer(in)
	a, err := w.LinkOwn(w.ctx(), mira, code, false)
	must(t, err)
	if a.Provider != in.Provider || a.Subject != in.Subject || a.Client == "" || slices.Contains([]rune(a.Client), '\u202e') {
		t.Errorf("got %+v", a)
	}
	_, err = w.Linked(w.ctx(), in)
	wantCode(t, err, access.NotFound, "not-linked") // it was only looked at
	_, err = w.LinkOwn(w.ctx(), mira, code, true)
	must(t, err)
	p, err := w.Linked(w.ctx(), in)
	must(t, err)
	if p.ID != "user:mira" || w.count(ident.PrincipalLinked) != 1 {
		t.Errorf("linked is %s, by %d events", p.ID, w.count(ident.PrincipalLinked))
	}
	for _, sure := range []bool{false, true} {
		_, err = w.LinkOwn(w.ctx(), omar, code, sure)
		wantCode(t, err, access.Invalid, "bad-link-code") // used
		_, err = w.LinkOwn(w.ctx(), omar, access.NewSecret([]byte("stint-link-none")), sure)
		wantCode(t, err, access.Invalid, "bad-link-code")
	}
	_, err = w.LinkOwn(w.ctx(), omar, offer(in), true)
	wantCode(t, err, access.Conflict, "identity-taken")
	_, err = w.LinkOwn(w.ctx(), mira, offer(in), true) // again is no change
	must(t, err)
	if w.count(ident.PrincipalLinked) != 1 {
		t.Error("the same again is a change")
	}
	// What is a code for something else is none here.
	state, _, err := w.Depart(w.ctx(), ident.Trip{Provider: "ops-chat"})
	must(t, err)
	_, err = w.LinkOwn(w.ctx(), omar, state, true)
	wantCode(t, err, access.Invalid, "bad-link-code")
	service := omar
	service.Principal.ID = "service:ci"
	_, err = w.LinkOwn(w.ctx(), service, offer(access.Identity{Provider: "ops-chat", Subject: "T01/U02"}), true)
	wantCode(t, err, access.Denied, "not-a-person")
	late := offer(access.Identity{Provider: "ops-chat", Subject: "T01/U03"})
	w.pass(10*time.Minute + time.Second)
	_, err = w.LinkOwn(w.ctx(), omar, late, true)
	wantCode(t, err, access.Invalid, "bad-link-code")
	// Who is disabled votes no more.
	w.disable("user:mira")
	if _, err := w.Linked(w.ctx(), in); err == nil {
		t.Error("a disabled user is found behind a chat's")
	}
}
