package provision_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/directory"
	"stint/internal/directory/ldaptest"
	"stint/internal/policy"
	"stint/internal/provision"
	"stint/internal/store"
)

// turns are those of one store, as stintd keeps them.
type turns struct{ *store.Store }

func (s turns) Turn(ctx context.Context, name, owner string, lasts time.Duration) ([]byte, bool, error) {
	c, err := s.TakeTurn(ctx, name, owner, lasts)
	if access.KindOf(err) == access.NotFound {
		if err = s.BeginChannel(ctx, store.Channel{Name: name}); err == nil {
			c, err = s.TakeTurn(ctx, name, owner, lasts)
		}
	}
	if access.KindOf(err) == access.Conflict {
		return c.Body, false, nil
	}
	return c.Body, err == nil, err
}

func (s turns) Save(ctx context.Context, name, owner string, state []byte) error {
	return s.SaveChannel(ctx, owner, store.Channel{Name: name, Body: state}, nil)
}

func (s turns) States(ctx context.Context) (map[string][]byte, error) {
	cs, err := s.Channels(ctx)
	all := map[string][]byte{}
	for _, c := range cs {
		all[c.Name] = c.Body
	}
	return all, err
}

// reader is a replica that reads a real OpenLDAP.
type reader struct {
	*world
	*provision.Directories
	ldap *ldaptest.Server
	skew atomic.Int64
	mu   sync.Mutex
	i    []policy.Integration
	told []string
	stop func()
}

func newReader(t *testing.T, w *world, ldap *ldaptest.Server, owner string) *reader {
	t.Helper()
	r := &reader{world: w, ldap: ldap, i: []policy.Integration{{Name: "corp", Type: directory.Type, Address: ldap.Secure, Options: map[string]string{
		"users": ldaptest.People, "groups": ldaptest.Groups, "every": "1", "freshFor": "600"}}}}
	r.Directories = &provision.Directories{Store: noting{adapted{w.store}, &r.mu, &r.told}, Ender: w.ender, Door: directory.Door{Dial: ldap.Dial, TLS: ldap.TLS}, Turns: turns{w.store}, Owner: owner,
		Documents: func(context.Context) ([]policy.Integration, error) { r.mu.Lock(); defer r.mu.Unlock(); return r.i, nil },
		Login: func(context.Context, policy.Integration) (directory.Login, error) {
			return directory.Login{DN: ldaptest.AdminDN, Secret: access.NewSecret([]byte(ldaptest.Password))}, nil
		},
		Now: func() time.Time { return time.Now().Add(time.Duration(r.skew.Load())) }, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { r.Run(ctx) })
	r.stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	t.Cleanup(r.stop)
	return r
}

func (r *reader) state() provision.DirectoryState {
	r.t.Helper()
	all, err := r.States(context.Background())
	must(r.t, err)
	return all["corp"]
}

func (r *reader) until(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not in a minute: %s; the state is %+v", what, r.state())
		}
	}
}

// has reports whether a user is there, and enabled.
func (r *reader) has(name string) bool {
	var p access.Principal
	err := r.store.View(context.Background(), func(tx *store.Tx) (err error) {
		p, err = tx.Principal(access.NewPrincipalID(access.User, name))
		return err
	})
	return err == nil && !p.Disabled
}

// fresh asks as the broker does: under the documents of now, at the store's time, which
// the reader's clock bends.
func (r *reader) fresh(p access.Principal) error {
	r.t.Helper()
	r.mu.Lock()
	is := r.i
	r.mu.Unlock()
	return freshIn(r.t, r.store, r.Directories, is, p, time.Duration(r.skew.Load()))
}

func freshIn(t testing.TB, st *store.Store, d *provision.Directories, is []policy.Integration, p access.Principal, later time.Duration) (no error) {
	t.Helper()
	must(t, st.View(context.Background(), func(tx *store.Tx) error {
		no = d.Fresh(is, p, tx.Now().Add(later), tx.ChannelState)
		return nil
	}))
	return no
}

// noting is a store that keeps the types of events about directories.
type noting struct {
	adapted
	mu   *sync.Mutex
	told *[]string
}

func (n noting) Update(ctx context.Context, fn func(provision.Tx) error) error {
	var told []string
	err := n.adapted.Update(ctx, func(tx provision.Tx) error {
		told = nil
		return fn(notingTx{tx, &told})
	})
	if err == nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		*n.told = append(*n.told, told...)
	}
	return err
}

type notingTx struct {
	provision.Tx
	told *[]string
}

func (tx notingTx) Append(events ...access.Event) error {
	for _, e := range events {
		if what, ok := strings.CutPrefix(string(e.Type), "directory."); ok {
			*tx.told = append(*tx.told, what)
		}
	}
	return tx.Tx.Append(events...)
}

// says are the types of events about directories, in order.
func (r *reader) says() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.told, " ")
}

// TestDirectories: a real OpenLDAP is followed; while it is down nobody loses anything,
// it is told once, and nothing new is given on what is too old; most of its people gone
// wait for a confirmation of exactly them.
func TestDirectories(t *testing.T) {
	w := newWorld(t)
	ldap := ldaptest.Start(t)
	var dns []string
	for i := range 12 {
		dns = append(dns, ldap.Person(fmt.Sprintf("p%02d", i)))
	}
	r := newReader(t, w, ldap, "one")
	r.until("all are there", func() bool { return r.has("p11") })
	ldap.Delete(dns[0])
	r.until("one is gone", func() bool { return !r.has("p00") })

	p := r.principal("p05")
	must(t, r.fresh(p))
	must(t, r.fresh(access.Principal{ID: "user:local"}))
	ldap.Down()
	r.until("it is noticed", func() bool { return r.state().Why != "" })
	must(t, r.fresh(p))
	r.skew.Store(int64(11 * time.Minute))
	r.until("it is told", func() bool { return r.state().Reported })
	if err := r.fresh(p); access.KindOf(err) != access.Unavailable {
		t.Errorf("what was read ten minutes ago is good enough: %v", err)
	}
	must(t, r.fresh(access.Principal{ID: "user:local", Identities: []access.Identity{{Provider: "other", Subject: "x"}}}))
	if !r.has("p01") || !r.has("p11") {
		t.Error("somebody lost their account to a directory that is down")
	}
	last := r.state().Read
	ldap.Up()
	r.until("it is back", func() bool { return r.state().Why == "" && r.state().Read.After(last) })
	r.skew.Store(0) // the store's time is nobody's to bend, and what is read is read by it
	must(t, r.fresh(p))

	ldap.Delete(dns[1:11]...)
	r.until("it is held", func() bool { return r.state().Held != nil })
	held := r.state().Held
	if held.Gone != 10 || held.Known != 11 || !r.has("p01") {
		t.Errorf("held: %+v", held)
	}
	root := access.Actor{Principal: "user:root", Person: "root"}
	for name, digest := range map[string]string{"another": "0000000000000000", "part of it": held.Digest[:8]} {
		if _, err := r.Order(t.Context(), root, "corp", digest); access.KindOf(err) != access.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Order(t.Context(), root, "corp", held.Digest); err != nil {
		t.Error(err)
	}
	r.until("they left", func() bool { return !r.has("p02") && !r.has("p10") && r.state().Held == nil })
	if !r.has("p11") {
		t.Error("somebody left who is there")
	}
	r.until("it is all in the log", func() bool { return r.says() == "stale read held confirmed" })
}

// TestOneReads: of two replicas one reads; when it is gone, the other goes on.
func TestOneReads(t *testing.T) {
	w := newWorld(t)
	ldap := ldaptest.Start(t)
	ldap.Person("mira")
	one := newReader(t, w, ldap, "one")
	one.until("she is there", func() bool { return one.has("mira") })
	two := newReader(t, w, ldap, "two")
	read := one.state().Read
	one.until("one goes on", func() bool { return one.state().Read.After(read) })
	must(t, two.fresh(two.principal("mira")))
	one.stop()
	ldap.Person("noor")
	two.until("two goes on", func() bool { return two.has("noor") })
}

// lent are turns that another has, and that say when they were asked for.
type lent struct{ asked chan string }

func (l lent) Turn(_ context.Context, name, _ string, _ time.Duration) ([]byte, bool, error) {
	select {
	case l.asked <- name:
	default:
	}
	return nil, false, nil
}

func (lent) Save(context.Context, string, string, []byte) error { return nil }
func (lent) States(context.Context) (map[string][]byte, error)  { return nil, nil }

// TestDocumentComesBack: a directory whose document is gone for a moment, between two
// looks at which there are, is read on.
func TestDocumentComesBack(t *testing.T) {
	var looks atomic.Int64
	l := lent{make(chan string, 1)}
	d := &provision.Directories{Turns: l, Now: time.Now, Log: slog.New(slog.DiscardHandler), Documents: func(context.Context) ([]policy.Integration, error) {
		if looks.Add(1) == 2 { // the first look of who reads it
			return nil, nil
		}
		return []policy.Integration{{Name: "corp", Type: directory.Type}}, nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { d.Run(ctx) })
	defer done.Wait()
	defer cancel()
	select {
	case <-l.asked:
	case <-time.After(time.Minute):
		t.Error("it is not read any more")
	}
}
