package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/pgtest"
	"stint/internal/program"
	"stint/internal/store"
)

// The proof of what may land after a death rests on this (broker/life.go).
func TestNobodyIsVouchedForTooLong(t *testing.T) {
	if store.VouchedFor > broker.FencedWithin {
		t.Errorf("a replica is vouched for %v, and taken to be fenced after %v", store.VouchedFor, broker.FencedWithin)
	}
}

// Where commits are not protected, one replica may run and a second one may not,
// unless it says so; then it says so everywhere.
func TestUnprotectedCommits(t *testing.T) {
	pg := pgtest.Start(t, pgtest.Options{})
	dir := t.TempDir()
	write := func(name, more string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte("database: "+pg.SuperuserDSN("postgres")+"\n"+more), 0o600))
		return path
	}
	key := []string{"--seal-key-file", filepath.Join(dir, "seal.key"), "--listen", "127.0.0.1:0"}
	refused := func(name, want string, args ...string) {
		t.Helper()
		code, out := run(t, append(append([]string{"serve", "--data", filepath.Join(dir, name)}, key...), args...)...)
		if code != program.Usage || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d\n%s", name, code, out)
		}
	}
	plain := write("plain.yaml", "")
	refused("ha", "synchronous_standby_names is empty", "--config", write("ha.yaml", "high_availability: true\n"))
	sqlite := filepath.Join(dir, "sqlite.yaml")
	must(t, os.WriteFile(sqlite, []byte("high_availability: true\n"), 0o600))
	refused("sqlite", "SQLite serves one process", "--config", sqlite)

	a := start(t, filepath.Join(dir, "a"), "--config", plain, "--seal-key-file", key[1])
	if h := health(t, a); h.Detail != "" {
		t.Errorf("a single replica has a caution: %s", h.Detail)
	}
	refused("b", "accept_unprotected_commits", "--config", plain)
	b := start(t, filepath.Join(dir, "b"), "--config", plain, "--seal-key-file", key[1], "--accept-unprotected-commits")
	if h := health(t, b); !h.OK || !strings.Contains(h.Detail, "could be lost") {
		t.Errorf("the second one says %+v", h)
	}
	resp, err := http.Get(b.url.String() + "/metrics")
	must(t, err)
	defer resp.Body.Close()
	var numbers bytes.Buffer
	if _, err := numbers.ReadFrom(resp.Body); err != nil || !strings.Contains(numbers.String(), "stint_caution 1") {
		t.Errorf("the numbers say nothing of it: %v", err)
	}
}

// estate is a store and a target on servers of their own, and what runs on them.
type estate struct {
	t         *testing.T
	dir       string
	pg        *pgtest.Server // the store's
	su        *pgx.Conn      // at the target
	plain, ha string         // configurations
	daemon    *daemon        // whom noor asks
	noor      *api.Client
}

func newEstate(t *testing.T) *estate {
	e := &estate{t: t, dir: t.TempDir(), pg: pgtest.Start(t, pgtest.Options{})}
	target := pgtest.Start(t, pgtest.Options{})
	var err error
	e.su, err = pgx.Connect(t.Context(), target.SuperuserDSN("postgres"))
	must(t, err)
	t.Cleanup(func() { must(t, e.su.Close(context.Background())) })
	_, err = e.su.Exec(t.Context(), prepareTarget)
	must(t, err)
	e.plain, e.ha = filepath.Join(e.dir, "plain.yaml"), filepath.Join(e.dir, "ha.yaml")
	must(t, os.WriteFile(e.plain, []byte("database: "+e.pg.SuperuserDSN("postgres")+"\n"), 0o600))
	must(t, os.WriteFile(e.ha, []byte("database: "+e.pg.SuperuserDSN("postgres")+"\nhigh_availability: true\n"), 0o600))
	e.serve("a", e.plain)
	e.noor = e.daemon.first()
	register(t, e.noor, target)
	return e
}

func (e *estate) serve(name, config string, more ...string) {
	e.t.Helper()
	e.daemon = start(e.t, filepath.Join(e.dir, name), append([]string{"--seal-key-file", filepath.Join(e.dir, "seal.key"), "--config", config}, more...)...)
}

func (e *estate) ask(d time.Duration) (api.Request, error) {
	e.noor.Server = e.daemon.url
	return e.noor.Submit(e.t.Context(), api.Ask{Resource: "orders-db", Role: "reader", Duration: d.String(), Reason: "to be ended"}, api.Wait{For: api.Ready, Time: 30 * time.Second})
}

// gone waits until the target has no account of ours.
func (e *estate) gone() {
	e.t.Helper()
	for limit := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var n int
		must(e.t, e.su.QueryRow(e.t.Context(), "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'stint\\_noor\\_%'").Scan(&n))
		if n == 0 {
			return
		}
		if time.Now().After(limit) {
			e.t.Fatalf("%d accounts are left:\n%s", n, e.daemon.out)
		}
	}
}

// TestUnprotectedStartEndsAccess: once something was granted, a start on a database that
// forgets is not refused, because then nothing would end. It ends access and grants
// nothing, until commits are protected, or need not be, or the loss is accepted.
func TestUnprotectedStartEndsAccess(t *testing.T) {
	e := newEstate(t)
	_, err := e.ask(5 * time.Second)
	must(t, err)
	long, err := e.ask(time.Hour)
	must(t, err)
	held := func(when string) {
		t.Helper()
		var no *api.Error
		if _, err := e.ask(time.Hour); !errors.As(err, &no) || no.Code != "held-"+holdCommits || !strings.Contains(no.Next, "accept_unprotected_commits") {
			t.Errorf("%s: %v", when, err)
		}
	}
	e.daemon.end()

	e.serve("a", e.ha)
	if out := e.daemon.out.String(); !strings.Contains(out, "COMMITS ARE NOT PROTECTED") || !strings.Contains(out, "nothing new is granted") {
		t.Errorf("it is not said:\n%s", out)
	}
	if h := health(t, e.daemon); !h.OK || !strings.Contains(h.Detail, "nothing new is granted: "+holdCommits) || !strings.Contains(h.Detail, "could be lost") {
		t.Errorf("/readyz says %+v", h)
	}
	held("after the start")
	_, err = e.noor.End(t.Context(), long.ID)
	must(t, err)
	e.gone() // the other one by time
	e.daemon.end()

	e.serve("a", e.ha, "--accept-unprotected-commits")
	_, err = e.ask(time.Hour)
	must(t, err)
	// A second one, beside one that runs, is held until it is the only one.
	first := e.daemon
	e.serve("b", e.plain)
	held("beside another")
	first.end()
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, err = e.ask(time.Hour); err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("alone: %v", err)
		}
	}
}

// TestStartWithoutStandby: a database whose only synchronous standby is gone takes no
// change, and tells all that it knows. Who starts then ends what is due.
func TestStartWithoutStandby(t *testing.T) {
	e := newEstate(t)
	_, err := e.ask(8 * time.Second)
	must(t, err)
	e.daemon.end()
	store, err := pgx.Connect(t.Context(), e.pg.SuperuserDSN("postgres"))
	must(t, err)
	defer func() { must(t, store.Close(context.Background())) }()
	standby := func(name string) {
		t.Helper()
		for _, q := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + name + "'", "SELECT pg_reload_conf()"} {
			_, err := store.Exec(t.Context(), q)
			must(t, err)
		}
	}
	standby("nobody")
	e.serve("a", e.ha)
	e.gone()
	if _, err := e.ask(time.Hour); err == nil {
		t.Error("granted without a standby")
	}
	standby("") // commits go through again, without protection; what runs is not stopped by that
	e.daemon.end()
}

func health(t *testing.T, d *daemon) (h api.Health) {
	t.Helper()
	resp, err := http.Get(d.url.String() + "/readyz")
	must(t, err)
	defer resp.Body.Close()
	must(t, json.NewDecoder(resp.Body).Decode(&h))
	return h
}
