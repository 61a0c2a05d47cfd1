//go:build unix

package store_test

import (
	"bytes"
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/pgtest"
	"stint/internal/store"
)

// behindProxy opens a store whose connections can be broken.
func behindProxy(t *testing.T, d *database) (*store.Store, *pgtest.Proxy) {
	t.Helper()
	u, err := url.Parse(d.cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := pgtest.NewProxy(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	u.Host = proxy.Addr()
	q := u.Query()
	q.Set("sslmode", "disable") // faults look at what is sent
	q.Del("sslrootcert")
	u.RawQuery = q.Encode()
	d.cfg.URL = u.String()
	return d.open(t), proxy
}

func sends(what string) func([]byte) bool {
	return func(sent []byte) bool { return bytes.Contains(sent, []byte(what)) }
}

// TestLostCommit: whatever happens to COMMIT or to its answer, the counter is
// raised once, and Update says so.
func TestLostCommit(t *testing.T) {
	for name, fault := range map[string]func(*pgtest.Proxy) *pgtest.Fault{
		"failed and not done": func(p *pgtest.Proxy) *pgtest.Fault { return p.CutBefore(sends("COMMIT")) },
		"failed but done":     func(p *pgtest.Proxy) *pgtest.Fault { return p.CutAfter(sends("COMMIT")) },
	} {
		t.Run(name, func(t *testing.T) {
			s, proxy := behindProxy(t, postgresDatabase(t))
			f := fault(proxy)
			runs := 0
			update(t, s, func(tx *store.Tx) error {
				runs++
				n, err := number(tx, "counter")
				if err != nil {
					return err
				}
				return setNumber(tx, "counter", n+1)
			})
			<-f.Struck()
			if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); n != 1 {
				t.Errorf("counted %d, want 1", n)
			}
			if want := map[bool]int{true: 1, false: 2}[name == "failed but done"]; runs != want {
				t.Errorf("ran %d times, want %d", runs, want)
			}
		})
	}
}

// TestCommitUnknown: nobody can be asked what became of the COMMIT.
func TestCommitUnknown(t *testing.T) {
	s, proxy := behindProxy(t, postgresDatabase(t))
	update(t, s, func(tx *store.Tx) error { return setNumber(tx, "counter", 0) })
	f := proxy.CutAfter(sends("COMMIT"))
	var wg sync.WaitGroup
	wg.Go(func() {
		<-f.Struck()
		if err := proxy.Refuse(); err != nil {
			t.Error(err)
		}
		proxy.Hang()
	})
	err := s.Update(context.Background(), func(tx *store.Tx) error { return setNumber(tx, "counter", 1) })
	wg.Wait()
	if codeOf(err) != "commit-unknown" {
		t.Errorf("got %v, want commit-unknown", err)
	}
	wantKind(t, err, access.Unavailable)
	proxy.Cut()
	if err := proxy.Resume(); err != nil {
		t.Fatal(err)
	}
	if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); n != 1 {
		t.Errorf("reading it back says %d; it was done", n)
	}
}

// TestLostInTheMiddle: the connection breaks before the commit.
func TestLostInTheMiddle(t *testing.T) {
	s, proxy := behindProxy(t, postgresDatabase(t))
	f := proxy.CutBefore(sends("counter"))
	runs := 0
	update(t, s, func(tx *store.Tx) error {
		runs++
		return setNumber(tx, "counter", 5)
	})
	<-f.Done()
	if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); n != 5 || runs != 2 {
		t.Errorf("counter %d after %d runs, want 5 after 2", n, runs)
	}
	// Every time: then it is unavailable, and nothing was changed.
	proxy.CutBefore(sends("counter"))
	proxy.CutBefore(sends("counter"))
	err := s.Update(context.Background(), func(tx *store.Tx) error { return setNumber(tx, "counter", 6) })
	wantKind(t, err, access.Unavailable)
	if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); n != 5 {
		t.Errorf("counter %d, want 5", n)
	}
}

// TestIdleConnectionsDie: a restart of the server in between is not noticed.
func TestIdleConnectionsDie(t *testing.T) {
	s, proxy := behindProxy(t, postgresDatabase(t))
	var wg sync.WaitGroup
	for range 8 { // several connections in the pool
		wg.Go(func() {
			_ = s.View(context.Background(), func(tx *store.Tx) error { _, err := tx.Setting("x"); return err })
		})
	}
	wg.Wait()
	proxy.Cut()
	update(t, s, func(tx *store.Tx) error { return setNumber(tx, "counter", 1) })
	proxy.Cut()
	if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); n != 1 {
		t.Errorf("counter %d, want 1", n)
	}
}

func TestServerAway(t *testing.T) {
	s, proxy := behindProxy(t, postgresDatabase(t))
	if err := proxy.Refuse(); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	ctx := context.Background()
	for name, err := range map[string]error{
		"update": s.Update(ctx, func(tx *store.Tx) error { return setNumber(tx, "counter", 1) }),
		"view":   s.View(ctx, func(tx *store.Tx) error { return nil }),
		"ready":  s.Ready(ctx),
	} {
		if access.KindOf(err) != access.Unavailable {
			t.Errorf("%s: %v, want unavailable", name, err)
		}
	}
	if err := proxy.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(ctx); err != nil {
		t.Errorf("after it came back: %v", err)
	}
	// One that is silent costs no more than the caller's time.
	proxy.Hang()
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	wantKind(t, s.Update(short, func(tx *store.Tx) error { return setNumber(tx, "counter", 1) }), access.Unavailable)
	proxy.Cut()
	if err := proxy.Resume(); err != nil {
		t.Fatal(err)
	}
}

func TestKilledBackend(t *testing.T) {
	d := postgresDatabase(t)
	s := d.open(t)
	runs := 0
	update(t, s, func(tx *store.Tx) error {
		runs++
		if err := setNumber(tx, "counter", 7); err != nil {
			return err
		}
		if runs == 1 {
			if err := d.raw("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'stint%' AND state = 'idle in transaction'"); err != nil {
				return err
			}
		}
		return setNumber(tx, "other", 7)
	})
	if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); n != 7 || runs != 2 {
		t.Errorf("counter %d after %d runs, want 7 after 2", n, runs)
	}
}

func TestPasswordIsNotShown(t *testing.T) {
	for _, u := range []string{
		"postgres://stint:hunter2secret@127.0.0.1:1/stint?connect_timeout=1",
		"postgres://stint:hunter2secret@127.0.0.1:notaport/stint",
		"postgres://stint:hunter2secret@127.0.0.1/%zz",
		"host=127.0.0.1 port=1 user=stint password=hunter2secret sslmode=nonsense",
	} {
		_, err := store.Open(context.Background(), store.Config{URL: u})
		if err == nil {
			t.Fatalf("opened")
		}
		if strings.Contains(err.Error(), "hunter2secret") {
			t.Errorf("the error tells the password")
		}
	}
}

func TestConfigNamesOneStore(t *testing.T) {
	for _, cfg := range []store.Config{{}, {Path: "x", URL: "y"}} {
		_, err := store.Open(context.Background(), cfg)
		wantKind(t, err, access.Invalid)
	}
}
