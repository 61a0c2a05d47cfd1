package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/connector/postgres"
	"stint/internal/keys"
	"stint/internal/pgtest"
	"stint/internal/policy"
	"stint/internal/store"
)

// The sweep as a weapon: what somebody plants, copies or restores must not make
// it take what is not ours. Here against real PostgreSQL, with whole Stints.

const rivalDocuments = `
kind: Resource
name: db
type: postgres
labels: {env: prod}
criticality: high
owners: [group:dba]
ceiling: {mechanisms: [account, group], memberOf: [app_read], maxDuration: 8h}
connection: {address: "%s", database: app, credential: login, sslmode: disable}
---
kind: Role
name: reader
resources: {names: [db]}
mechanism: account
postgres: {memberOf: [app_read], scramIterations: 1}
maxDuration: 4h
---
kind: Role
name: member
resources: {names: [db]}
mechanism: group
postgres: {account: "{{ .person }}", memberOf: [app_read]}
maxDuration: 4h
---
kind: Policy
name: at-once
subjects: [group:platform]
roles: [reader, member]
require: {maxDuration: 2h}
`

// clock is the time that several stores agree on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Millisecond) // no two moments are one
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rivals are Stints with one name and one set of keys, on one target.
type rivals struct {
	t      *testing.T
	server *pgtest.Server
	clock  *clock
	keys   *keys.Keys
	tagger *keys.Tagger
}

// rival is one of them.
type rival struct {
	*broker.Broker
	*rivals
	store *store.Store
	path  string
	stop  func()
}

func newRivals(t *testing.T) *rivals {
	r := &rivals{t: t, server: pgtest.Start(t, pgtest.Options{}), clock: &clock{now: time.Now().Truncate(time.Millisecond)}}
	must(t, r.server.CreateDatabase(t.Context(), "app"))
	must(t, r.server.Exec(t.Context(), "app", "CREATE ROLE app_read NOLOGIN", "CREATE ROLE mira LOGIN PASSWORD 'mira'", "CREATE ROLE noor LOGIN PASSWORD 'noor'",
		"CREATE ROLE stint_connector LOGIN CREATEROLE PASSWORD 'pw'", "GRANT pg_signal_backend, pg_read_all_stats TO stint_connector"))
	var err error
	r.keys, err = keys.Create(filepath.Join(t.TempDir(), "seal.key"))
	must(t, err)
	blob, err := r.keys.NewTagKey()
	must(t, err)
	r.tagger, err = r.keys.Tagger(blob)
	must(t, err)
	return r
}

// first makes the installation.
func (r *rivals) first() *rival {
	t := r.t
	in := r.run(filepath.Join(t.TempDir(), "stint.db"), 1, true)
	return in
}

// run runs a Stint on the store at path.
func (r *rivals) run(path string, epoch int64, fresh bool) *rival {
	t := r.t
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Path: path, Clock: r.clock.read})
	must(t, err)
	b, err := broker.New(broker.Config{
		Store: memory{s}, Connectors: map[string]connector.Connector{"postgres": postgres.New()}, Tagger: r.tagger, Vault: r.keys,
		SealTo: func(_ []byte, info string, plain []byte) ([]byte, error) {
			return append([]byte(info+"|"), plain...), nil
		},
		Installation: "test", Epoch: epoch, Replica: "one", Alone: true,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	must(t, err)
	in := &rival{Broker: b, rivals: r, store: s, path: path}
	if fresh {
		must(t, s.Update(t.Context(), func(tx *store.Tx) error { return tx.SavePrincipals(people()...) }))
		must(t, b.SetCredential(t.Context(), in.as("root"), access.Credential{Name: "login", Type: "postgres", Address: r.server.Addr(), Username: "stint_connector"},
			access.NewSecret([]byte("pw"))))
		_, err = b.Apply(t.Context(), in.as("root"), []policy.File{{Name: "policy.yaml", Text: fmt.Sprintf(rivalDocuments, r.server.Addr())}}, false)
		must(t, err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	over := make(chan error, 1)
	go func() { over <- b.Run(ctx) }()
	in.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-over, s.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(in.stop)
	return in
}

// copied copies the store as it is, as a backup would.
func (in *rival) copied() (path string) {
	in.t.Helper()
	in.stop()
	path = filepath.Join(in.t.TempDir(), "stint.db")
	body, err := os.ReadFile(in.path)
	must(in.t, err)
	must(in.t, os.WriteFile(path, body, 0o600))
	return path
}

func (in *rival) as(name string) broker.Caller { return (&installation{}).as(name) }

func (in *rival) sweep() broker.Findings {
	in.t.Helper()
	found, err := in.Sweep(in.t.Context(), in.as("root"), "db", 0, "")
	must(in.t, err)
	return found
}

// hold asks for access and waits until it is there; it answers with the request.
func (in *rival) hold(name, role string) (id string, g access.Grant, err error) {
	ctx, cancel := context.WithTimeout(in.t.Context(), 20*time.Second)
	defer cancel()
	v, err := in.Submit(ctx, in.as(name), ask(role, time.Hour))
	if err != nil {
		return "", g, err
	}
	id = string(v.Request.ID)
	v, err = in.Wait(ctx, in.as(name), id, func(v broker.View) bool {
		return v.Grant != nil && (v.Grant.State == access.Active || v.Grant.Over() || v.Problem != "")
	})
	must(in.t, err)
	if v.Grant.State != access.Active {
		return id, *v.Grant, errors.New(v.Problem + v.Grant.EndNote)
	}
	return id, *v.Grant, nil
}

func (in *rival) held(name, role string) (id string) {
	in.t.Helper()
	id, _, err := in.hold(name, role)
	if err != nil {
		in.t.Fatalf("%s as %s: %v", role, name, err)
	}
	return id
}

func (in *rival) end(name, id string) {
	in.t.Helper()
	_, err := in.End(in.t.Context(), in.as(name), id, "done")
	must(in.t, err)
	ctx, cancel := context.WithTimeout(in.t.Context(), 20*time.Second)
	defer cancel()
	v, err := in.Wait(ctx, in.as(name), id, func(v broker.View) bool { return v.Grant != nil && v.Grant.State == access.Ended })
	must(in.t, err)
	if v.Grant.State != access.Ended || v.Grant.VerifiedGoneAt.IsZero() {
		in.t.Fatalf("%s is %s", id, v.Grant.State)
	}
}

// accounts are those made for grants that can log in, by the target itself.
func (r *rivals) accounts() (names []string) {
	r.t.Helper()
	return r.query(`SELECT rolname FROM pg_roles WHERE rolname ~ '^stint_.*_[a-z0-9]{26}_[a-z0-9]{16}$' AND rolcanlogin ORDER BY 1`)
}

func (r *rivals) exec(sql ...string) {
	r.t.Helper()
	must(r.t, r.server.Exec(r.t.Context(), "app", sql...))
}

// rounds sweeps with each of them, once a minute.
func (r *rivals) rounds(n int, ins ...*rival) {
	r.t.Helper()
	for range n {
		for _, in := range ins {
			in.sweep()
			r.clock.forward(time.Second)
		}
		r.clock.forward(time.Minute)
	}
}

func (in *rival) contested() bool { return in.Stats().Events[broker.ClaimContested] > 0 }

// TestClone: a copy with the newest state, which runs beside the first. Neither
// takes what the other made, both say so, and both end what is theirs.
func TestClone(t *testing.T) {
	r := newRivals(t)
	a := r.first()
	r.rounds(3, a)
	old := a.held("mira", "reader")
	path := a.copied()
	a = r.run(a.path, 1, false)
	b := r.run(path, 1, false)
	mine := a.held("noor", "reader")
	member := a.held("mira", "member")
	r.rounds(6, b, a) // the copy first: it has the newest beat
	if got := r.accounts(); len(got) != 2 {
		t.Fatalf("of two accounts there are %v", got)
	}
	if !a.contested() || !b.contested() {
		t.Errorf("said by the first: %v, by the copy: %v", a.contested(), b.contested())
	}
	if _, _, err := a.hold("noor", "reader"); err == nil {
		if _, _, err := b.hold("noor", "reader"); err == nil {
			t.Error("both make new access in one name")
		}
	}
	a.end("noor", mine)
	a.end("mira", old)
	a.end("mira", member)

	// One of them is said to be the right one: a later epoch.
	a.stop()
	a = r.run(a.path, 2, false)
	r.rounds(1, a)
	again := a.held("noor", "reader")
	if _, err := b.Sweep(t.Context(), b.as("root"), "db", 0, ""); !errors.Is(err, access.Conflict) {
		t.Errorf("the copy sweeps a target of a later epoch: %v", err)
	}
	r.rounds(4, a)
	if got := r.accounts(); len(got) != 1 {
		t.Errorf("after the copy was put right there are %v, want one", got)
	}
	a.end("noor", again)
}

// TestStagingCopy: yesterday's copy of the database is started somewhere, and is
// still pointed at the real target.
func TestStagingCopy(t *testing.T) {
	r := newRivals(t)
	a := r.first()
	old := a.held("mira", "reader")
	r.rounds(3, a)
	path := a.copied()
	a = r.run(a.path, 1, false)
	r.rounds(3, a)
	a.held("noor", "reader")
	b := r.run(path, 1, false)
	r.rounds(5, a, b)
	if got := r.accounts(); len(got) != 2 {
		t.Fatalf("of two accounts there are %v", got)
	}
	if !b.contested() || !a.contested() {
		t.Errorf("said by the copy: %v, by the first: %v", b.contested(), a.contested())
	}
	if found := b.sweep(); found.Ordered != 0 || len(found.Unsure) == 0 {
		t.Errorf("the copy found %+v", found)
	}
	if _, _, err := b.hold("noor", "reader"); err == nil {
		t.Error("the copy makes new access")
	}
	last := a.held("noor", "member") // the first goes on
	a.end("noor", last)
	a.end("mira", old)
	// The copy is gone; what is left behind without a record is found again.
	b.stop()
	r.leftover()
	r.rounds(2, a)
	if got := r.leftovers(); got != 1 {
		t.Errorf("taken while a copy was about: %d left", got)
	}
	r.rounds(5, a)
	r.until("the leftover is removed", func() bool { return r.leftovers() == 0 })
	if got := r.accounts(); len(got) != 1 {
		t.Errorf("the sweep left %v, want the one that is held", got)
	}
}

// TestRestoredBackup: the store is put back to an earlier state. Without a new
// epoch nothing is made and nothing unknown is taken; with one, the sweep takes
// what the backup does not know.
func TestRestoredBackup(t *testing.T) {
	r := newRivals(t)
	a := r.first()
	r.rounds(3, a)
	old := a.held("mira", "reader")
	path := a.copied()
	a = r.run(a.path, 1, false)
	r.rounds(3, a)
	a.held("noor", "reader")
	a.stop()

	b := r.run(path, 1, false)
	r.rounds(5, b)
	if got := r.accounts(); len(got) != 2 || !b.contested() {
		t.Fatalf("a backup that was put back: accounts %v, said %v", got, b.contested())
	}
	if _, _, err := b.hold("mira", "member"); err == nil {
		t.Error("a backup that was put back makes new access")
	}
	b.stop()
	b = r.run(path, 2, false)
	r.rounds(5, b)
	r.until("what the backup does not know is removed", func() bool { return len(r.accounts()) == 1 })
	b.end("mira", old)
	if got := r.accounts(); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

// TestPlanted: what somebody makes on the target to look like ours is named and
// left alone, and what is ours still ends.
func TestPlanted(t *testing.T) {
	r := newRivals(t)
	a := r.first()
	r.rounds(6, a)
	id := a.held("mira", "reader")
	lent := a.held("noor", "member")
	account := r.accounts()[0]
	tag := account[strings.LastIndex(account, "mira_")+len("mira_"):]
	other := r.tagger.Tag("test", "postgres://elsewhere:1", 1, string(access.NewEntitlementID(1, access.Entropy{9})))
	mark := r.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'stintmark_group_%'")[0]
	planted := []string{
		"stint_other_" + tag, // a live tag on another account
		"stint_x_" + strings.Repeat("0", 26) + "_" + strings.Repeat("0", 16), // no tag of ours
		"stint_y_" + other, // ours, and of another target
		"stintmark_group_" + strings.Repeat("0", 26) + "_" + strings.Repeat("0", 16),
	}
	for _, name := range planted {
		r.exec(`CREATE ROLE "`+name+`" LOGIN`, `GRANT app_read TO "`+name+`"`)
	}
	r.exec("CREATE ROLE someone LOGIN", `GRANT "`+mark+`" TO someone`, "GRANT app_read TO someone")
	found := a.sweep()
	for _, name := range append(planted, "someone") {
		if name == planted[3] && strings.Contains(strings.Join(found.Foreign, "\n"), strings.Repeat("0", 26)) {
			continue // a mark is named with the account it is on, and this one is on none
		}
		if !slices.ContainsFunc(found.Foreign, func(s string) bool { return strings.HasPrefix(s, name) }) {
			t.Errorf("%s is not named in %q", name, found.Foreign)
		}
	}
	if len(found.Unwanted) > 0 || a.Stats().Events[broker.ForeignFound] < 4 {
		t.Errorf("unwanted %v, %d alarms", found.Unwanted, a.Stats().Events[broker.ForeignFound])
	}
	before := a.Stats().Events[broker.ForeignFound]
	r.rounds(2, a)
	if n := a.Stats().Events[broker.ForeignFound]; n != before {
		t.Errorf("each was alarmed once, then %d times more", n-before)
	}
	a.end("mira", id)
	a.end("noor", lent)
	r.rounds(2, a)
	for _, name := range append(planted, "someone") {
		if got := r.query("SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname = '" + name + "'"); len(got) != 1 {
			t.Errorf("%s was touched", name)
		}
		if got := r.query("SELECT 1::text FROM pg_auth_members WHERE member = to_regrole('" + name + "') AND roleid = to_regrole('app_read')"); len(got) != 1 {
			t.Errorf("what %s was granted by somebody else is gone", name)
		}
	}
	if got := r.query("SELECT rolname FROM pg_roles WHERE rolname = '" + account + "'"); len(got) != 0 {
		t.Error("the account that is ours is still there")
	}
}

// TestRenamed: a live account that somebody renamed is named by the sweep, and
// left without login at its end.
func TestRenamed(t *testing.T) {
	r := newRivals(t)
	a := r.first()
	id := a.held("mira", "reader")
	account := r.accounts()[0]
	r.exec(`ALTER ROLE "`+account+`" RENAME TO harmless`, `CREATE ROLE "`+account+`" LOGIN`)
	found := a.sweep()
	if len(found.Foreign) == 0 || !strings.HasPrefix(found.Foreign[0], account) || found.Ordered != 0 {
		t.Errorf("found %+v, want the namesake", found)
	}
	_, err := a.End(t.Context(), a.as("mira"), id, "done")
	must(t, err)
	r.until("neither can log in", func() bool {
		return len(r.query(`SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname IN ('harmless', '`+account+`')`)) == 0
	})
	if got := r.query(`SELECT rolname FROM pg_roles WHERE rolname IN ('harmless', '` + account + `')`); len(got) != 2 {
		t.Errorf("of the two there are %v", got)
	}
}

// TestForgedClaim: somebody writes our name with a later epoch. It is in the log,
// nothing new is made, and everything that is ours ends.
func TestForgedClaim(t *testing.T) {
	r := newRivals(t)
	a := r.first()
	id := a.held("mira", "reader")
	r.exec("COMMENT ON ROLE stint_claim IS 'test/7'")
	if _, err := a.Sweep(t.Context(), a.as("root"), "db", 0, ""); !errors.Is(err, access.Conflict) {
		t.Errorf("sweep under a forged claim: %v", err)
	}
	if a.Stats().Events[broker.ClaimRefused] == 0 { // the sweep that runs by itself may have said it, too
		t.Error("a forged claim is not in the log")
	}
	a.end("mira", id)
	if got := r.accounts(); len(got) != 0 {
		t.Errorf("a forged claim kept %v", got)
	}
	r.exec("DROP ROLE stint_claim, stint_claim_proof")
	a.sweep()
	a.end("mira", a.held("mira", "reader"))
}

// TestCarriedClaim: a rehearsal of a restore made a genuine claim of a later life, and
// somebody carried it to the real target. Nothing new is made, and all that is ours
// ends.
func TestCarriedClaim(t *testing.T) {
	r := newRivals(t)
	a := r.first()
	reader, member := a.held("mira", "reader"), a.held("noor", "member")
	proof := r.tagger.Tag("test", "claim", 7, "ent_00000000000000000000000000")
	r.exec("COMMENT ON ROLE stint_claim IS 'test/7'", `COMMENT ON ROLE stint_claim_proof IS '{"epoch":7,"proof":"`+proof+`"}'`)
	var e *access.Error
	if _, err := a.Sweep(t.Context(), a.as("root"), "db", 0, ""); !errors.As(err, &e) || e.Code != "target-claimed" {
		t.Errorf("sweep under a later claim: %v", err)
	}
	if a.Stats().Events[broker.ClaimRefused] == 0 { // the sweep that runs by itself may have said it, too
		t.Error("a later claim is not in the log")
	}
	a.end("mira", reader)
	a.end("noor", member)
	if got := r.accounts(); len(got) != 0 {
		t.Errorf("a later claim kept %v", got)
	}
	if got := r.query("SELECT 1::text FROM pg_auth_members WHERE member = to_regrole('noor') AND roleid = to_regrole('app_read')"); len(got) != 0 {
		t.Error("a later claim kept a membership")
	}
}

// leftover is an account that carries our tag and of which no store knows.
func (r *rivals) leftover() {
	tag := r.tagger.Tag("test", "postgres://"+r.server.Addr(), 1, string(access.NewEntitlementID(2, access.Entropy{2})))
	r.exec("SET ROLE stint_connector", `CREATE ROLE "stint_left_`+tag+`" LOGIN`)
}

func (r *rivals) leftovers() int {
	return len(r.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'stint_left_%'"))
}

func (r *rivals) until(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// query reads a list of texts as the superuser.
func (r *rivals) query(sql string) (out []string) {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.server.SuperuserDSN("app"))
	must(r.t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(r.t.Context(), sql)
	must(r.t, err)
	out, err = pgx.CollectRows(rows, pgx.RowTo[string])
	must(r.t, err)
	return out
}
