package ident_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/ident"
	"stint/internal/store"
)

// world is an Ident on a real store whose clock the test moves.
type world struct {
	*ident.Ident
	t      *testing.T
	store  adapted
	clock  atomic.Int64
	admin  ident.Caller
	events []access.Event // of every committed transaction, in order
}

type adapted struct {
	*store.Store
	w *world
}

func (a adapted) Update(ctx context.Context, fn func(ident.Tx) error) error {
	var evs []access.Event
	err := a.Store.Update(ctx, func(tx *store.Tx) error { evs = nil; return fn(watched{tx, &evs}) })
	if err == nil {
		a.w.events = append(a.w.events, evs...)
	}
	return err
}

func (a adapted) View(ctx context.Context, fn func(ident.Tx) error) error {
	return a.Store.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

type watched struct {
	*store.Tx
	evs *[]access.Event
}

func (w watched) Append(evs ...access.Event) error {
	*w.evs = append(*w.evs, evs...)
	return w.Tx.Append(evs...)
}

var (
	laptop = access.DeviceID("laptop")
	phone  = access.DeviceID("phone")
	key    = bytes.Repeat([]byte{7}, 32)
	from   = netip.MustParseAddr("192.0.2.7")
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	w.clock.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "stint.db"), Clock: w.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	w.store = adapted{st, w}
	w.Ident = ident.New(w.store)
	w.TakesTwo = func(ident.Tx) (bool, error) { return false, nil }
	e, needed, err := w.OpenBootstrap(t.Context())
	if err != nil || !needed {
		t.Fatalf("bootstrap: needed %v, %v", needed, err)
	}
	l := w.enrol(ident.Sign{Code: e.Code, First: "noor"})
	w.admin = w.in(l, laptop)
	return w
}

func (w *world) now() time.Time       { return time.UnixMilli(w.clock.Load()).UTC() }
func (w *world) pass(d time.Duration) { w.clock.Add(d.Milliseconds()) }
func (w *world) ctx() context.Context { return w.t.Context() }
func (w *world) must(err error)       { w.t.Helper(); must(w.t, err) }
func (w *world) count(t access.EventType) (n int) {
	for _, e := range w.events {
		if e.Type == t {
			n++
		}
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) enrol(s ident.Sign) ident.Login {
	w.t.Helper()
	l, err := w.try(s)
	w.must(err)
	return l
}

// try fills in what a test does not care about.
func (w *world) try(s ident.Sign) (ident.Login, error) {
	if s.Device == "" {
		s.Device = laptop
	}
	if s.SealKey == nil {
		s.SealKey = key
	}
	s.From = from
	return w.Enrol(w.ctx(), s)
}

func (w *world) in(l ident.Login, d access.DeviceID) ident.Caller {
	w.t.Helper()
	c, err := w.Authenticate(w.ctx(), l.Token, d, from)
	w.must(err)
	return c
}

func (w *world) user(name string) ident.Login {
	w.t.Helper()
	e, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: name, Groups: []string{"platform"}})
	w.must(err)
	return w.enrol(ident.Sign{Code: e.Code})
}

func wantCode(t *testing.T, err error, kind access.Kind, code string) {
	t.Helper()
	var e *access.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Code != code {
		t.Errorf("got %v (%v), want %v %s", err, access.KindOf(err), kind, code)
	}
}

func TestUserSignsInOnce(t *testing.T) {
	w := newWorld(t)
	e, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "mira", Groups: []string{"platform", "dba", "platform"}, Manager: "noor"})
	must(t, err)
	l := w.enrol(ident.Sign{Code: access.NewSecret(append(bytes.Clone(e.Code.Reveal()), '\n'))})
	if !strings.HasPrefix(string(l.Token.Reveal()), "stint_") || len(l.Token.Reveal()) != len("stint_")+43 {
		t.Errorf("the token is not a prefix and 256 bits")
	}
	c := w.in(l, laptop)
	if c.Principal.ID != "user:mira" || c.Principal.Person != "mira" || c.Principal.Manager != "user:noor" || c.Principal.Admin {
		t.Errorf("got %+v", c.Principal)
	}
	if got := c.Principal.Groups; len(got) != 2 || got[0] != "dba" || got[1] != "platform" {
		t.Errorf("groups are %v, want sorted and once each", got)
	}
	if c.Actor != (access.Actor{Principal: "user:mira", Person: "mira", Device: laptop, Address: from}) || !bytes.Equal(c.Login.SealKey, key) {
		t.Errorf("got actor %+v", c.Actor)
	}
	_, err = w.try(ident.Sign{Code: e.Code})
	wantCode(t, err, access.Unauthenticated, "code-used")
}

func TestCodeEnds(t *testing.T) {
	w := newWorld(t)
	e, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "mira"})
	must(t, err)
	w.pass(ident.EnrolmentFor)
	_, err = w.try(ident.Sign{Code: e.Code})
	wantCode(t, err, access.Unauthenticated, "code-expired")
	e, err = w.ReEnrol(w.ctx(), w.admin, "mira")
	must(t, err)
	w.pass(ident.EnrolmentFor - time.Millisecond)
	w.enrol(ident.Sign{Code: e.Code})
}

// A fresh code takes the place of those before; who has signed in stays so.
func TestFreshCodeVoidsTheOnesBefore(t *testing.T) {
	w := newWorld(t)
	first, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "mira"})
	must(t, err)
	other, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "omar"})
	must(t, err)
	second, err := w.ReEnrol(w.ctx(), w.admin, "mira")
	must(t, err)
	_, err = w.try(ident.Sign{Code: first.Code})
	wantCode(t, err, access.Unauthenticated, "bad-code")
	l := w.enrol(ident.Sign{Code: second.Code})
	w.enrol(ident.Sign{Code: other.Code})
	_, err = w.ReEnrol(w.ctx(), w.admin, "mira")
	must(t, err)
	w.in(l, laptop)
	_, err = w.try(ident.Sign{Code: second.Code}) // used is not the same as never made
	wantCode(t, err, access.Unauthenticated, "code-used")
}

func TestLoginIsBoundToItsDevice(t *testing.T) {
	w := newWorld(t)
	l := w.user("mira")
	_, stolen := w.Authenticate(w.ctx(), l.Token, phone, from)
	wantCode(t, stolen, access.Unauthenticated, "not-signed-in")
	_, guessed := w.Authenticate(w.ctx(), access.NewSecret([]byte("stint_guess")), phone, from)
	if stolen.Error() != guessed.Error() {
		t.Errorf("a stolen token is told from a guess: %q, %q", stolen, guessed)
	}
	_, err := w.Authenticate(w.ctx(), l.Token, "", from)
	wantCode(t, err, access.Unauthenticated, "not-signed-in")
}

func TestLoginEnds(t *testing.T) {
	w := newWorld(t)
	l := w.user("mira")
	w.pass(ident.LoginFor - time.Millisecond)
	c := w.in(l, laptop) // use does not prolong it
	w.pass(time.Millisecond)
	_, err := w.Authenticate(w.ctx(), l.Token, laptop, from)
	wantCode(t, err, access.Unauthenticated, "login-expired")
	wantCode(t, w.Still(w.ctx(), c), access.Unauthenticated, "login-expired")
}

func TestLogoutCountsAtOnce(t *testing.T) {
	w := newWorld(t)
	l := w.user("mira")
	c := w.in(l, laptop)
	must(t, w.Still(w.ctx(), c))
	must(t, w.Logout(w.ctx(), c))
	must(t, w.Logout(w.ctx(), c)) // again is no event
	_, err := w.Authenticate(w.ctx(), l.Token, laptop, from)
	wantCode(t, err, access.Unauthenticated, "not-signed-in")
	if n := w.count(ident.LoginEnded); n != 1 {
		t.Errorf("%d logouts in the log, want 1", n)
	}
}

func TestDisabledCountsAtOnce(t *testing.T) {
	w := newWorld(t)
	l := w.user("mira")
	must(t, w.store.Store.Update(w.ctx(), func(tx *store.Tx) error {
		p, err := tx.Principal("user:mira")
		if err != nil {
			return err
		}
		p.Disabled, p.Version = true, p.Version+1
		return tx.SavePrincipals(p)
	}))
	_, err := w.Authenticate(w.ctx(), l.Token, laptop, from)
	wantCode(t, err, access.Unauthenticated, "principal-disabled")
	_, err = w.ReEnrol(w.ctx(), w.admin, "mira")
	wantCode(t, err, access.Conflict, "principal-disabled")
}

func TestBootstrapOnlyForTheFirst(t *testing.T) {
	w := newWorld(t)
	_, needed, err := w.OpenBootstrap(w.ctx())
	if err != nil || needed {
		t.Errorf("there is a user: needed %v, %v", needed, err)
	}
	if empty, err := w.Empty(w.ctx()); err != nil || empty {
		t.Errorf("empty %v, %v", empty, err)
	}
}

// Two replicas may have a code each; the second is worthless once the first
// made the administrator.
func TestTwoBootstrapCodesMakeOneAdministrator(t *testing.T) {
	w := &world{t: t}
	w.clock.Store(time.Now().UnixMilli())
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "stint.db"), Clock: w.now})
	must(t, err)
	defer func() { must(t, st.Close()) }()
	w.store = adapted{st, w}
	w.Ident = ident.New(w.store)
	a, _, err := w.OpenBootstrap(t.Context())
	must(t, err)
	b, _, err := w.OpenBootstrap(t.Context())
	must(t, err)
	_, err = w.try(ident.Sign{Code: a.Code}) // a bootstrap code without a name
	wantCode(t, err, access.Unauthenticated, "bad-code")
	l := w.enrol(ident.Sign{Code: a.Code, First: "noor"})
	if !l.Principal.Admin {
		t.Error("the first user is no administrator")
	}
	_, err = w.try(ident.Sign{Code: b.Code, First: "eve"})
	wantCode(t, err, access.Conflict, "not-the-first")
}

func TestBootstrapCodeEnds(t *testing.T) {
	w := &world{t: t}
	w.clock.Store(time.Now().UnixMilli())
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "stint.db"), Clock: w.now})
	must(t, err)
	defer func() { must(t, st.Close()) }()
	w.store = adapted{st, w}
	w.Ident = ident.New(w.store)
	e, _, err := w.OpenBootstrap(t.Context())
	must(t, err)
	w.pass(ident.BootstrapFor)
	_, err = w.try(ident.Sign{Code: e.Code, First: "noor"})
	wantCode(t, err, access.Unauthenticated, "code-expired")
}

func TestService(t *testing.T) {
	w := newWorld(t)
	w.user("mira")
	add := func(owner string, d time.Duration) (ident.ServiceToken, error) {
		return w.AddService(w.ctx(), w.admin, ident.NewService{Name: "ci", Groups: []string{"deploy"}, Owner: owner, For: d})
	}
	tok, err := add("mira", time.Hour)
	must(t, err)
	c, err := w.Authenticate(w.ctx(), tok.Token, phone, from) // any device, with its proof
	must(t, err)
	if c.Principal.ID != "service:ci" || c.Principal.Person != "mira" || c.Login.Device != "" || c.Actor.Device != phone {
		t.Errorf("got %+v, %+v", c.Principal, c.Actor)
	}
	_, err = add("noor", time.Hour)
	wantCode(t, err, access.Conflict, "name-taken")
	again, err := add("mira", 2*time.Hour)
	must(t, err)
	_, err = w.Authenticate(w.ctx(), tok.Token, phone, from)
	wantCode(t, err, access.Unauthenticated, "not-signed-in")
	w.pass(2*time.Hour - time.Millisecond)
	_, err = w.Authenticate(w.ctx(), again.Token, phone, from)
	must(t, err)
	w.pass(time.Millisecond)
	_, err = w.Authenticate(w.ctx(), again.Token, phone, from)
	wantCode(t, err, access.Unauthenticated, "login-expired")
	if w.count(ident.PrincipalUpdated) != 1 {
		t.Error("the renewal is not in the log")
	}
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	mira := w.in(w.user("mira"), laptop)
	w.user("past")
	w.disable("user:past")
	svc := ident.Caller{Principal: access.Principal{ID: "service:ci", Admin: true}}
	long := make([]string, 300)
	for i := range long {
		long[i] = "g"
	}
	before := len(w.events)
	for _, c := range []struct {
		name string
		do   func() error
		kind access.Kind
		code string
	}{
		{"member adds a user", func() error { _, err := w.AddUser(w.ctx(), mira, ident.NewUser{Name: "eve"}); return err }, access.Denied, "not-an-administrator"},
		{"service adds a user", func() error { _, err := w.AddUser(w.ctx(), svc, ident.NewUser{Name: "eve"}); return err }, access.Denied, "not-an-administrator"},
		{"member adds a service", func() error { _, err := w.AddService(w.ctx(), mira, ident.NewService{}); return err }, access.Denied, "not-an-administrator"},
		{"member makes a code", func() error { _, err := w.ReEnrol(w.ctx(), mira, "noor"); return err }, access.Denied, "not-an-administrator"},
		{"name taken", func() error { _, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "mira"}); return err }, access.Conflict, "name-taken"},
		{"empty name", func() error { _, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{}); return err }, access.Invalid, "bad-name"},
		{"hostile name", func() error { _, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "mira\x1b[2J"}); return err }, access.Invalid, "bad-name"},
		{"our own name", func() error { _, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "stint"}); return err }, access.Invalid, "reserved-name"},
		{"bad group", func() error {
			_, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "eve", Groups: []string{"*"}})
			return err
		}, access.Invalid, "bad-group"},
		{"too many groups", func() error {
			_, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "eve", Groups: long})
			return err
		}, access.Invalid, "too-many-groups"},
		{"own manager", func() error {
			_, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "eve", Manager: "ghost"})
			wantCode(t, err, access.Invalid, "no-such-manager")
			_, err = w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "eve", Manager: "eve"})
			return err
		}, access.Invalid, "bad-manager"},
		{"a disabled manager", func() error {
			_, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "eve", Manager: "past"})
			return err
		}, access.Conflict, "manager-disabled"},
		{"service for ever", func() error {
			_, err := w.AddService(w.ctx(), w.admin, ident.NewService{Name: "ci", Owner: "mira"})
			return err
		}, access.Invalid, "bad-duration"},
		{"service for too long", func() error {
			_, err := w.AddService(w.ctx(), w.admin, ident.NewService{Name: "ci", Owner: "mira", For: ident.MaxServiceLife + 1})
			return err
		}, access.Invalid, "bad-duration"},
		{"service without an owner", func() error {
			_, err := w.AddService(w.ctx(), w.admin, ident.NewService{Name: "ci", For: time.Hour})
			return err
		}, access.Invalid, "bad-owner"},
		{"service of nobody", func() error {
			_, err := w.AddService(w.ctx(), w.admin, ident.NewService{Name: "ci", Owner: "nobody", For: time.Hour})
			return err
		}, access.NotFound, "no-such-user"},
		{"code for nobody", func() error { _, err := w.ReEnrol(w.ctx(), w.admin, "nobody"); return err }, access.NotFound, "no-such-user"},
		{"wrong code", func() error { _, err := w.try(ident.Sign{Code: access.NewSecret([]byte("x"))}); return err }, access.Unauthenticated, "bad-code"},
		{"short seal key", func() error { _, err := w.try(ident.Sign{SealKey: []byte("x")}); return err }, access.Invalid, "bad-seal-key"},
		{"no device", func() error { _, err := w.Enrol(w.ctx(), ident.Sign{SealKey: key}); return err }, access.Unauthenticated, "no-device"},
	} {
		t.Run(c.name, func(t *testing.T) { wantCode(t, c.do(), c.kind, c.code) })
	}
	if len(w.events) != before {
		t.Errorf("refusals left %d events", len(w.events)-before)
	}
}

// Each change is one event, of dense versions, without a secret.
func TestEvents(t *testing.T) {
	w := newWorld(t)
	e, err := w.AddUser(w.ctx(), w.admin, ident.NewUser{Name: "mira"})
	must(t, err)
	l := w.enrol(ident.Sign{Code: e.Code})
	must(t, w.Logout(w.ctx(), w.in(l, laptop)))
	tok, err := w.AddService(w.ctx(), w.admin, ident.NewService{Name: "ci", Owner: "mira", For: time.Hour})
	must(t, err)
	versions := map[string]int64{}
	for _, ev := range w.events {
		if ev.Version != versions[ev.Entity]+1 {
			t.Errorf("%s %s has version %d after %d", ev.Type, ev.Entity, ev.Version, versions[ev.Entity])
		}
		versions[ev.Entity] = ev.Version
		for name, v := range ev.Facts {
			for _, secret := range []access.Secret{e.Code, l.Token, tok.Token} {
				if strings.Contains(v, string(secret.Reveal())) || strings.Contains(ev.Entity, string(secret.Reveal())) {
					t.Errorf("%s holds a secret in %s", ev.Type, name)
				}
			}
		}
	}
	for typ, want := range map[access.EventType]int{ident.PrincipalCreated: 3, ident.EnrolmentCreated: 2, ident.EnrolmentUsed: 2, ident.LoginCreated: 3, ident.LoginEnded: 1} {
		if got := w.count(typ); got != want {
			t.Errorf("%d × %s, want %d", got, typ, want)
		}
	}
}
