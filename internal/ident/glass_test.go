package ident_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/ident"
)

func (w *world) glass(n ident.NewGlassCodes) []ident.MadeGlassCode {
	w.t.Helper()
	made, err := w.MakeGlassCodes(w.ctx(), w.admin, n)
	w.must(err)
	return made
}

func (w *world) smash(device access.DeviceID, codes ...access.Secret) (ident.Login, access.Glass, error) {
	return w.GlassEnrol(w.ctx(), ident.GlassSign{Codes: codes, Device: device, SealKey: key, From: from})
}

// A code gives, once, a login on one device, for an hour at most, with no right to
// administer or audit.
func TestGlassCodeGivesANarrowLogin(t *testing.T) {
	w := newWorld(t)
	made := w.glass(ident.NewGlassCodes{User: "noor", Count: 2, Resource: "orders-db"}) // an administrator
	if len(made) != 2 || made[0].MadeWith != made[0].ID || made[1].MadeWith != made[0].ID || made[0].ExpiresAt.Sub(w.now()) != ident.GlassCodeFor {
		t.Fatalf("made %+v", made)
	}
	l, g, err := w.smash(phone, made[0].Secret)
	w.must(err)
	if g.Resource != "orders-db" || len(g.Codes) != 1 || g.Codes[0] != made[0].ID || l.ExpiresAt.Sub(w.now()) != access.MaxEmergency || l.Principal.Admin {
		t.Errorf("got %+v, %+v", l, g)
	}
	c := w.in(l, phone)
	if c.Login.Glass == nil || c.Principal.Admin || c.Principal.Auditor || c.Principal.ID != "user:noor" {
		t.Errorf("it is %+v", c)
	}
	for name, err := range map[string]error{
		"on another device":   errOf(w.Authenticate(w.ctx(), l.Token, laptop, from)),
		"the code again":      errOf3(w.smash(phone, made[0].Secret)),
		"making more codes":   errOf(w.MakeGlassCodes(w.ctx(), c, ident.NewGlassCodes{User: "noor", Count: 1})),
		"making a user":       errOf(w.AddUser(w.ctx(), c, ident.NewUser{Name: "eve"})),
		"listing codes":       errOf3(w.GlassCodes(w.ctx(), c)),
		"as an enrolment":     errOf(w.try(ident.Sign{Code: made[1].Secret})),
		"an enrolment as one": errOf3(w.smash(phone, w.code("mira"))),
	} {
		if err == nil {
			t.Errorf("%s: worked", name)
		}
	}
	live, err := w.Sessions(w.ctx(), w.admin) // whose code it was sees it, and can end it
	w.must(err)
	at := slices.IndexFunc(live, func(l access.Login) bool { return l.Glass != nil })
	if len(live) != 2 || at < 0 || live[at].From != from || live[at].Device != phone {
		t.Fatalf("the sessions are %+v", live)
	}
	w.must(w.Logout(w.ctx(), c))
	wantCode(t, errOf(w.Authenticate(w.ctx(), l.Token, phone, from)), access.Unauthenticated, "not-signed-in")

	l, _, err = w.smash(phone, made[1].Secret)
	w.must(err)
	w.pass(access.MaxEmergency)
	wantCode(t, errOf(w.Authenticate(w.ctx(), l.Token, phone, from)), access.Unauthenticated, "login-expired")
	if w.count(ident.GlassCodeMade) != 2 || w.count(ident.GlassCodeUsed) != 2 {
		t.Errorf("%d made, %d used", w.count(ident.GlassCodeMade), w.count(ident.GlassCodeUsed))
	}
	for _, ev := range w.events {
		for name, v := range ev.Facts {
			if strings.Contains(v, string(made[0].Secret.Reveal())) || strings.Contains(v, string(l.Token.Reveal())) {
				t.Errorf("%s holds a secret in %s", ev.Type, name)
			}
		}
	}
}

func (w *world) code(user string) access.Secret {
	w.t.Helper()
	e, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: user})
	w.must(err)
	return e.Code
}

func errOf[T any](_ T, err error) error          { return err }
func errOf3[T, U any](_ T, _ U, err error) error { return err }

// Of many at once, on whichever replicas, one gets the login.
func TestGlassCodeOnceAmongMany(t *testing.T) {
	w := newWorld(t)
	made := w.glass(ident.NewGlassCodes{User: "noor", Count: 1})
	other := ident.New(w.store) // another replica on the store
	var won, used atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		id := w.Ident
		if i%2 == 0 {
			id = other
		}
		wg.Go(func() {
			_, _, err := id.GlassEnrol(w.ctx(), ident.GlassSign{Codes: []access.Secret{made[0].Secret}, Device: phone, SealKey: key, From: from})
			var e *access.Error
			switch {
			case err == nil:
				won.Add(1)
			case errors.As(err, &e) && e.Code == "code-used":
				used.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || used.Load() != 19 {
		t.Errorf("%d got it, %d were told that it was used", won.Load(), used.Load())
	}
}

func TestGlassCodesThatAreNoGood(t *testing.T) {
	w := newWorld(t)
	w.user("mira")
	w.user("olga")
	made := w.glass(ident.NewGlassCodes{User: "mira", Count: 3, For: time.Hour})
	w.must(w.RevokeGlassCode(w.ctx(), w.admin, made[0].ID))
	wantCode(t, errOf3(w.smash(phone, made[0].Secret)), access.Unauthenticated, "bad-code")
	wantCode(t, w.RevokeGlassCode(w.ctx(), w.admin, made[0].ID), access.Conflict, "code-spent")
	wantCode(t, w.RevokeGlassCode(w.ctx(), w.admin, "code_x"), access.NotFound, "no-such-code")
	wantCode(t, errOf3(w.smash(phone, access.NewSecret([]byte("stint-glass-x")))), access.Unauthenticated, "bad-code")
	wantCode(t, errOf3(w.smash(phone)), access.Invalid, "bad-codes")
	wantCode(t, errOf3(w.smash("", made[1].Secret)), access.Unauthenticated, "no-device")
	wantCode(t, errOf3(w.smash(phone, made[1].Secret, made[2].Secret)), access.Unauthenticated, "codes-differ") // each is good by itself
	w.disable("user:mira")
	if err := errOf3(w.smash(phone, made[1].Secret)); err == nil {
		t.Error("a disabled person got in")
	}
	lost := w.glass(ident.NewGlassCodes{User: "noor", Count: 1})
	l, _, err := w.smash(phone, lost[0].Secret)
	w.must(err)
	name := w.in(l, phone).Login.Name()
	_, err = w.EndSession(w.ctx(), w.admin, name)
	w.must(err)
	wantCode(t, errOf(w.Authenticate(w.ctx(), l.Token, phone, from)), access.Unauthenticated, "not-signed-in")
	late := w.glass(ident.NewGlassCodes{User: "olga", Count: 1, For: time.Hour})
	w.pass(time.Hour)
	wantCode(t, errOf3(w.smash(phone, late[0].Secret)), access.Unauthenticated, "code-expired")
	cs, _, err := w.GlassCodes(w.ctx(), w.admin)
	spent := 0
	for _, c := range cs {
		if c.Spent() {
			spent++
		}
	}
	if len(cs) != 5 || err != nil || spent != 4 { // one was revoked, two with their user; one has expired
		t.Errorf("the list has %d of which %d are spent, %v", len(cs), spent, err)
	}
}

// k of n: fewer than it takes open nothing and use none up; each counts for one person.
func TestGlassCodesTogether(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"mira", "olga", "omar"} {
		w.user(name)
	}
	set := w.glass(ident.NewGlassCodes{Sharers: []string{"mira", "olga", "omar"}, Need: 2})
	other := w.glass(ident.NewGlassCodes{Sharers: []string{"mira", "olga"}, Need: 2})
	if len(set) != 3 || set[2].Need != 2 || set[2].Principal != "user:omar" {
		t.Fatalf("made %+v", set)
	}
	for name, codes := range map[string][]access.Secret{
		"one":                 {set[0].Secret},
		"one twice":           {set[0].Secret, set[0].Secret},
		"of two sets":         {set[0].Secret, other[1].Secret},
		"one and a wrong one": {set[0].Secret, access.NewSecret([]byte("stint-glass-x"))},
		"one and an own code": {set[0].Secret, w.glass(ident.NewGlassCodes{User: "omar", Count: 1})[0].Secret},
	} {
		if err := errOf3(w.smash(phone, codes...)); access.KindOf(err) != access.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, g, err := w.smash(phone, set[2].Secret, set[0].Secret)
	w.must(err) // none of the attempts used one up
	if l.Principal.ID != "user:omar" || len(g.Codes) != 2 || g.Persons[0] != "omar" || g.Persons[1] != "mira" {
		t.Errorf("got %+v, %+v", l.Principal, g)
	}
	wantCode(t, errOf3(w.smash(phone, set[1].Secret)), access.Unauthenticated, "more-codes")
	wantCode(t, errOf3(w.smash(phone, set[1].Secret, set[0].Secret)), access.Unauthenticated, "code-used")
	_, _, err = w.smash(phone, other[0].Secret, other[1].Secret)
	w.must(err)
}

func TestGlassCodesThatCannotBeMade(t *testing.T) {
	w := newWorld(t)
	mira := w.in(w.user("mira"), laptop)
	_, err := w.AddService(w.ctx(), w.admin, ident.NewService{Name: "ci", Owner: "mira", For: time.Hour})
	w.must(err)
	for name, c := range map[string]struct {
		n    ident.NewGlassCodes
		kind access.Kind
		code string
	}{
		"for nobody":            {ident.NewGlassCodes{Count: 1}, access.Invalid, "bad-codes"},
		"for no such user":      {ident.NewGlassCodes{User: "eve", Count: 1}, access.NotFound, "no-such-user"},
		"none":                  {ident.NewGlassCodes{User: "mira"}, access.Invalid, "bad-count"},
		"too many":              {ident.NewGlassCodes{User: "mira", Count: 51}, access.Invalid, "bad-count"},
		"for ever":              {ident.NewGlassCodes{User: "mira", Count: 1, For: 367 * 24 * time.Hour}, access.Invalid, "bad-duration"},
		"one of several":        {ident.NewGlassCodes{Sharers: []string{"mira", "noor"}, Need: 1}, access.Invalid, "bad-need"},
		"more than share":       {ident.NewGlassCodes{Sharers: []string{"mira", "noor"}, Need: 3}, access.Invalid, "bad-need"},
		"one person twice":      {ident.NewGlassCodes{Sharers: []string{"mira", "mira"}, Need: 2}, access.Invalid, "same-person"},
		"both":                  {ident.NewGlassCodes{User: "mira", Sharers: []string{"mira", "noor"}, Need: 2}, access.Invalid, "bad-codes"},
		"a need of one's own":   {ident.NewGlassCodes{User: "mira", Count: 2, Need: 2}, access.Invalid, "bad-need"},
		"a resource's bad name": {ident.NewGlassCodes{User: "mira", Count: 1, Resource: "A B"}, access.Invalid, "bad-resource"},
	} {
		_, err := w.MakeGlassCodes(w.ctx(), w.admin, c.n)
		t.Run(name, func(t *testing.T) { wantCode(t, err, c.kind, c.code) })
	}
	wantCode(t, errOf(w.MakeGlassCodes(w.ctx(), mira, ident.NewGlassCodes{User: "mira", Count: 1})), access.Denied, "not-an-administrator")
	wantCode(t, w.RevokeGlassCode(w.ctx(), mira, "code_x"), access.Denied, "not-an-administrator")
}
