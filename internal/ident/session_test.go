package ident_test

import (
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/ident"
)

func arrival(subject, name string, groups ...string) ident.Arrival {
	return ident.Arrival{Identity: access.Identity{Provider: "corp", Subject: subject}, Name: name, Create: true, Groups: groups,
		Auth: access.Auth{Provider: "corp", Methods: []string{"pwd"}}}
}

// browse signs somebody in in a browser.
func (w *world) browse(a ident.Arrival) (ident.Login, ident.Caller) {
	w.t.Helper()
	l, _, err := w.SignIn(w.ctx(), a, ident.Browser{From: from, Client: "Mozilla\x1b[2J"})
	w.must(err)
	c, err := w.Session(w.ctx(), l.Token, from)
	w.must(err)
	return l, c
}

func TestSignIn(t *testing.T) {
	w := newWorld(t)
	l, c := w.browse(arrival("s-1", "mira", "platform"))
	if c.Principal.ID != "user:mira" || c.Login.Is() != access.BrowserLogin || c.Login.Client != "Mozilla[2J" || l.ExpiresAt != w.now().Add(ident.LoginFor) {
		t.Errorf("got %+v", c)
	}
	if w.count(ident.PrincipalCreated) != 2 || w.count(ident.LoginCreated) != 2 { // noor, too
		t.Errorf("the log does not have it: %+v", w.events)
	}
	// Again, and with other groups: the same user, changed once.
	before := len(w.events)
	_, regrouped, err := w.SignIn(w.ctx(), arrival("s-1", "other", "platform"), ident.Browser{})
	w.must(err)
	if regrouped || len(w.events) != before+1 {
		t.Errorf("nothing changed, and %v, %d events", regrouped, len(w.events)-before)
	}
	a := arrival("s-1", "", "dba")
	a.Attributes = map[string]string{"team": "orders", "none": ""}
	_, regrouped, err = w.SignIn(w.ctx(), a, ident.Browser{})
	w.must(err)
	_, c = w.browse(a)
	if !regrouped || len(c.Principal.Groups) != 1 || c.Principal.Groups[0] != "dba" || len(c.Principal.Attributes) != 1 || c.Principal.Attributes["team"] != "orders" {
		t.Errorf("%v, %+v", regrouped, c.Principal)
	}
	last := w.events[len(w.events)-3]
	if last.Type != ident.PrincipalChanged || last.Facts["groups_before"] != "platform" || last.Facts["attributes"] != "team=orders" || last.Actor.Principal != "user:mira" {
		t.Errorf("got %+v", last)
	}
	for _, refused := range []struct {
		a    ident.Arrival
		kind access.Kind
		code string
	}{
		{arrival("s-2", "mira"), access.Conflict, "name-taken"},
		{arrival("s-2", "noor"), access.Conflict, "name-taken"},
		{arrival("s-2", "stint"), access.Denied, "bad-name"},
		{arrival("s-2", "Mira"), access.Denied, "bad-name"},
		{ident.Arrival{Identity: access.Identity{Provider: "corp", Subject: "s-2"}}, access.Denied, "not-linked"},
		{ident.Arrival{Identity: access.Identity{Provider: "other", Subject: "s-1"}}, access.Denied, "not-linked"},
		{arrival("s-1", "mira", strings.Split(strings.Repeat("g,", 300)+"g", ",")...), access.Invalid, "too-many-groups"},
	} {
		before := len(w.events)
		_, _, err := w.SignIn(w.ctx(), refused.a, ident.Browser{})
		wantCode(t, err, refused.kind, refused.code)
		if len(w.events) != before {
			t.Errorf("%s left an event", refused.code)
		}
	}
	w.disable("user:mira")
	_, _, err = w.SignIn(w.ctx(), a, ident.Browser{})
	wantCode(t, err, access.Unauthenticated, "principal-disabled")
	_, err = w.Session(w.ctx(), l.Token, from)
	wantCode(t, err, access.Unauthenticated, "not-signed-in") // disabling ends them
}

// Only an administrator's session ends for want of use, and using it keeps it, for
// twelve hours and no more.
func TestIdle(t *testing.T) {
	w := newWorld(t)
	mira, _ := w.browse(arrival("s-1", "mira"))
	_, err := w.Link(w.ctx(), w.admin, "noor", access.Identity{Provider: "corp", Subject: "s-noor"})
	w.must(err)
	noor, _ := w.browse(arrival("s-noor", ""))
	for range 12 * 4 * 3 { // every five minutes
		w.pass(5*time.Minute - time.Second)
		_, err := w.Session(w.ctx(), noor.Token, from)
		w.must(err)
	}
	w.pass(ident.IdleFor - time.Minute)
	_, err = w.Session(w.ctx(), noor.Token, from)
	wantCode(t, err, access.Unauthenticated, "login-expired")
	_, err = w.Session(w.ctx(), mira.Token, from)
	wantCode(t, err, access.Unauthenticated, "login-expired")

	mira, _ = w.browse(arrival("s-1", "mira"))
	noor, _ = w.browse(arrival("s-noor", ""))
	w.pass(ident.IdleFor)
	_, err = w.Session(w.ctx(), mira.Token, from)
	w.must(err)
	_, err = w.Session(w.ctx(), noor.Token, from)
	wantCode(t, err, access.Unauthenticated, "session-idle")
	// Use within a minute is not written down: that costs a minute of fifteen at most.
	noor, _ = w.browse(arrival("s-noor", ""))
	w.pass(59 * time.Second)
	_, err = w.Session(w.ctx(), noor.Token, from)
	w.must(err)
	w.pass(ident.IdleFor - 59*time.Second)
	_, err = w.Session(w.ctx(), noor.Token, from)
	wantCode(t, err, access.Unauthenticated, "session-idle")
	// A page that is left open asks by itself, and is no use.
	noor, _ = w.browse(arrival("s-noor", ""))
	for range 7 {
		w.pass(2 * time.Minute)
		_, err = w.Watched(w.ctx(), noor.Token, from)
		w.must(err)
	}
	w.pass(time.Minute)
	_, err = w.Watched(w.ctx(), noor.Token, from)
	wantCode(t, err, access.Unauthenticated, "session-idle")
	_, err = w.Session(w.ctx(), noor.Token, from)
	wantCode(t, err, access.Unauthenticated, "session-idle")
}

func TestEndSession(t *testing.T) {
	w := newWorld(t)
	a, ca := w.browse(arrival("s-1", "mira"))
	w.pass(time.Second)
	b, cb := w.browse(arrival("s-1", "mira"))
	_, other := w.browse(arrival("s-2", "omar"))
	all, err := w.Sessions(w.ctx(), ca)
	w.must(err)
	if len(all) != 2 || all[0].Token != cb.Login.Token {
		t.Errorf("got %+v", all)
	}
	for name, code := range map[string]string{"": "no-such-session", "nothing": "no-such-session", cb.Login.Name() + "0": "no-such-session"} {
		_, err := w.EndSession(w.ctx(), ca, name)
		wantCode(t, err, access.NotFound, code)
	}
	_, err = w.EndSession(w.ctx(), other, cb.Login.Name())
	wantCode(t, err, access.NotFound, "no-such-session")
	_, err = w.EndSession(w.ctx(), ca, strings.ToUpper(cb.Login.Name()[:12]))
	w.must(err)
	_, err = w.Session(w.ctx(), b.Token, from)
	wantCode(t, err, access.Unauthenticated, "not-signed-in")
	_, err = w.Session(w.ctx(), a.Token, from)
	w.must(err)
	if w.count(ident.LoginEnded) != 1 {
		t.Error("it is not in the log")
	}
}

func TestTrips(t *testing.T) {
	w := newWorld(t)
	depart := func(provider string, cookie access.Secret) (state, trip access.Secret) {
		t.Helper()
		state, trip, err := w.Depart(w.ctx(), ident.Trip{Provider: provider, Redirect: "http://x/", Next: "/device", Cookie: cookie, From: from})
		w.must(err)
		return state, trip
	}
	state, cookie := depart("corp", access.Secret{})
	second, same := depart("corp", cookie)
	if !same.Equal(cookie) {
		t.Error("a second window of the browser got another cookie")
	}
	for _, bad := range []string{"x", "stint-trip-short", strings.Repeat("a", 54)} {
		if _, fresh := depart("corp", access.NewSecret([]byte(bad))); fresh.Equal(access.NewSecret([]byte(bad))) {
			t.Errorf("the cookie %q was kept", bad)
		}
	}
	_, strange := depart("corp", access.Secret{})
	for name, c := range map[string]struct {
		provider      string
		state, cookie access.Secret
	}{
		"another provider": {"other", state, cookie}, "another cookie": {"corp", state, strange}, "no cookie": {"corp", state, access.Secret{}},
		"no state": {"corp", access.Secret{}, cookie}, "the cookie as state": {"corp", cookie, cookie},
	} {
		if _, err := w.Return(w.ctx(), c.provider, c.state, c.cookie); access.KindOf(err) != access.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	a, err := w.Return(w.ctx(), "corp", state, cookie) // none of that used it up
	w.must(err)
	if a.Next != "/device" || a.Redirect != "http://x/" || a.Provider != "corp" {
		t.Errorf("got %+v", a)
	}
	_, err = w.Return(w.ctx(), "corp", state, cookie)
	wantCode(t, err, access.Unauthenticated, "sign-in-used")
	w.pass(access.AttemptFor)
	_, err = w.Return(w.ctx(), "corp", second, cookie)
	wantCode(t, err, access.Unauthenticated, "sign-in-late")

	// Of a hundred who come back at once, one is signed in.
	state, cookie = depart("corp", access.Secret{})
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := w.Ident.Return(w.ctx(), "corp", state, cookie); err == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 100 came back, want 1", won.Load())
	}
}

func TestHandedOn(t *testing.T) {
	w := newWorld(t)
	_, c := w.browse(arrival("s-1", "mira"))
	verifier := access.NewSecret([]byte(strings.Repeat("v", 43)))
	term := ident.Terminal{Device: laptop, Challenge: sha256.Sum256(verifier.Reveal()), Client: "stint"}
	code, err := w.AllowTerminal(w.ctx(), c, term)
	w.must(err)
	w.pass(time.Minute)
	redeem := ident.Redeem{Code: code, Verifier: verifier, Device: laptop, SealKey: key, From: from}
	_, err = w.RedeemTerminal(w.ctx(), redeem)
	wantCode(t, err, access.Unauthenticated, "code-expired")
	redeem.Code, err = w.AllowTerminal(w.ctx(), c, term)
	w.must(err)
	w.pass(30 * time.Second)
	l, err := w.RedeemTerminal(w.ctx(), redeem)
	w.must(err)
	if l.ExpiresAt != c.Login.ExpiresAt {
		t.Errorf("the login lasts until %s, its browser's until %s", l.ExpiresAt, c.Login.ExpiresAt)
	}
	// A client's own login makes no other one, and an old session neither.
	client := w.in(l, laptop)
	_, err = w.AllowTerminal(w.ctx(), client, term)
	wantCode(t, err, access.Unauthenticated, "sign-in-again")
	w.pass(ident.ConfirmFor)
	_, err = w.AllowTerminal(w.ctx(), c, term)
	wantCode(t, err, access.Unauthenticated, "sign-in-again")
	_, err = w.AllowTerminal(w.ctx(), c, ident.Terminal{})
	wantCode(t, err, access.Invalid, "bad-terminal")

	_, c = w.browse(arrival("s-1", "mira"))
	redeem.Code, err = w.AllowTerminal(w.ctx(), c, term)
	w.must(err)
	w.disable("user:mira")
	_, err = w.RedeemTerminal(w.ctx(), redeem)
	if access.KindOf(err) != access.Unauthenticated {
		t.Errorf("disabled meanwhile: %v", err)
	}
}

func TestPolling(t *testing.T) {
	w := newWorld(t)
	_, c := w.browse(arrival("s-1", "mira"))
	d, err := w.AskDevice(w.ctx(), phone, "stint\non build-7", from)
	w.must(err)
	poll := func(code string) {
		t.Helper()
		_, err := w.RedeemDevice(w.ctx(), ident.Redeem{Code: d.Code, Device: phone, SealKey: key, From: from})
		var e *access.Error
		if err == nil || !errors.As(err, &e) || e.Code != code {
			t.Errorf("got %v, want %s", err, code)
		}
	}
	poll("authorization_pending")
	w.pass(ident.PollEvery)
	poll("authorization_pending")
	w.pass(time.Second)
	poll("slow_down") // every ten seconds from now on
	w.pass(5 * time.Second)
	poll("slow_down") // every fifteen
	w.pass(15 * time.Second)
	poll("authorization_pending")
	a, err := w.AskedBy(w.ctx(), strings.ToLower(d.UserCode))
	w.must(err)
	if a.Client != "stinton build-7" || a.Device != phone {
		t.Errorf("got %+v", a)
	}
	seen := map[string]bool{}
	for range 50 {
		x, err := w.AskDevice(w.ctx(), phone, "", from)
		w.must(err)
		if seen[x.UserCode] || len(x.UserCode) != 9 || x.UserCode[4] != '-' || strings.ContainsAny(x.UserCode, "AEIOU01") {
			t.Errorf("the code %s", x.UserCode)
		}
		seen[x.UserCode] = true
	}
	w.must(w.AnswerDevice(w.ctx(), c, d.UserCode, true))
	l, err := w.RedeemDevice(w.ctx(), ident.Redeem{Code: d.Code, Device: phone, SealKey: key, From: from})
	w.must(err)
	if got := w.in(l, phone); got.Principal.ID != "user:mira" || got.Login.Auth.Provider != "corp" {
		t.Errorf("got %+v", got)
	}
	poll("code-used")
	if w.count(ident.LoginRefused) != 0 {
		t.Error("nobody refused")
	}
	d, err = w.AskDevice(w.ctx(), phone, "", from)
	w.must(err)
	w.must(w.AnswerDevice(w.ctx(), c, d.UserCode, false))
	poll("access_denied")
	if w.count(ident.LoginRefused) != 1 {
		t.Error("the refusal is not in the log")
	}
	d, err = w.AskDevice(w.ctx(), phone, "", from)
	w.must(err)
	w.pass(access.AttemptFor)
	poll("expired_token")
}
