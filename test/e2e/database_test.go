//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"stint/internal/api"
	"stint/test/stage"
)

const databaseDocuments = `
kind: Resource
name: orders-db
type: postgres
criticality: medium
owners: [user:root]
connection: {address: "ADDRESS", database: orders, credential: orders-connector, sslmode: verify-full, ca: CA}
---
kind: Role
name: reader
description: Read the orders, recorded
resources: {type: postgres}
mechanism: account
postgres: {memberOf: [orders_read], through: gateway, maxRows: 100000, connectionLimit: 20}
maxDuration: 4h
---
kind: Policy
name: readers
subjects: [group:platform]
roles: [reader]
require: {maxDuration: 2h, recording: true}
---
kind: Policy
name: session-review
effect: watch
subjects: [group:reviewers]
roles: ['*']
`

// databaseScene is a stage with a gateway that takes clients of PostgreSQL.
type databaseScene struct {
	*stage.Stage
	t       *testing.T
	admin   *api.Client
	state   string
	said    *lockedText
	kill    func()
	printed *lockedText // all that people's commands said
	listen  string
	status  string
}

func newDatabaseScene(t *testing.T, ctx context.Context) *databaseScene {
	t.Helper()
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: "sqlite", Named: true})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, group := range map[string]string{"nils": "platform", "lars": "platform", "rosa": "reviewers"} {
		must(t, s.Enrol(ctx, name, "--group", group))
	}
	must(t, s.Credential(ctx, "orders-connector"))
	must(t, s.Documents(ctx, databaseDocuments))
	d := &databaseScene{Stage: s, t: t, state: filepath.Join(s.Dir, "gateway"), printed: &lockedText{}, listen: freeAddress(t), status: freeAddress(t)}
	d.admin, err = s.Client(ctx, "olga", "--admin")
	must(t, err)
	var invite api.GatewayEnrolment
	must(t, s.As("root").JSON(ctx, &invite, "admin", "gateway", "enroll", "edge", "--address", d.listen, "--carries", "postgres"))
	enroll := exec.CommandContext(ctx, "../../bin/stint-gateway", "enroll", "--state", d.state, "--server", s.URL, "--code-file", "-")
	enroll.Stdin = strings.NewReader(invite.Code.Reveal())
	if out, err := enroll.CombinedOutput(); err != nil {
		t.Fatalf("enroll: %v %s", err, out)
	}
	d.start()
	return d
}

// start runs the gateway, whose port for databases is whichever is free.
func (d *databaseScene) start() {
	d.t.Helper()
	d.said, d.kill = runGateway(d.t, d.state, d.listen, d.status, "--postgres", "127.0.0.1:0")
	said := d.said
	d.t.Cleanup(func() {
		if d.t.Failed() {
			d.t.Log("the gateway said:\n" + said.String())
		}
	})
}

// run runs a command of somebody's, and remembers what it said.
func (d *databaseScene) run(ctx context.Context, who string, args ...string) stage.Result {
	r := d.As(who).Run(ctx, args...)
	_, _ = io.WriteString(d.printed, r.Out+"\n"+r.Err+"\n")
	return r
}

func (d *databaseScene) sessions(ctx context.Context, live bool) []api.Session {
	d.t.Helper()
	page, err := d.admin.Sessions(ctx, api.SessionList{Live: live})
	must(d.t, err)
	return page.Items
}

func (d *databaseScene) open(ctx context.Context, n int) {
	d.t.Helper()
	must(d.t, eventually(ctx, func() error {
		if all := d.sessions(ctx, true); len(all) != n {
			return fmt.Errorf("%d sessions are live, not %d", len(all), n)
		}
		return nil
	}))
}

// target asks the server itself, past everything.
func (d *databaseScene) target(ctx context.Context, query string, args ...any) (out []string) {
	d.t.Helper()
	c, err := pgx.Connect(ctx, d.Target.SuperuserDSN("postgres"))
	must(d.t, err)
	defer func() { _ = c.Close(ctx) }()
	rows, err := c.Query(ctx, query, args...)
	must(d.t, err)
	out, err = pgx.CollectRows(rows, pgx.RowTo[string])
	must(d.t, err)
	return out
}

// proxy runs stint proxy, and gives where clients connect.
func (d *databaseScene) proxy(ctx context.Context, who string, args ...string) (uri string, said *lockedText, ended <-chan error, stop func()) {
	d.t.Helper()
	said = &lockedText{}
	cmd := d.As(who).Command(ctx, append([]string{"proxy", "orders-db", "-o", "json"}, args...)...)
	out, err := cmd.StdoutPipe()
	must(d.t, err)
	cmd.Stderr, cmd.WaitDelay = io.MultiWriter(said, d.printed), 5*time.Second
	must(d.t, cmd.Start())
	done := make(chan error, 1)
	var once sync.Once
	stop = func() { once.Do(func() { _ = cmd.Process.Signal(syscall.SIGINT) }) }
	var v struct {
		URI string `json:"uri"`
	}
	if err := json.NewDecoder(io.TeeReader(out, d.printed)).Decode(&v); err != nil {
		_ = cmd.Process.Kill()
		d.t.Fatalf("stint proxy: %v: %v: %s", err, cmd.Wait(), said.String())
	}
	go func() {
		_, _ = io.Copy(d.printed, out)
		done <- cmd.Wait()
	}()
	d.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return v.URI, said, done, stop
}

// TestDatabase goes from a role that says through: gateway to statements in a recording, by
// psql, a pool, and everything that ends a session; the password is nowhere.
func TestDatabase(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	d := newDatabaseScene(t, ctx)

	// psql, told by stint db: no certificate, no password.
	var r stage.Result
	must(t, eventually(ctx, func() error {
		r = d.run(ctx, "nils", "db", "orders-db", "--as", "reader", "--for", "10m", "--why", "count the orders", "--", "-Atc", "select count(*), session_user like 'stint_nils_%' from orders")
		return r.Failed()
	}))
	if strings.TrimSpace(r.Out) != "40|t" {
		t.Errorf("psql says %q %q", r.Out, r.Err)
	}
	var held []api.Request
	must(t, d.As("nils").JSON(ctx, &held, "get", "requests"))
	grant, request := held[0].Grant.ID, held[0].ID
	verifiers := d.target(ctx, "SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'stint\\_nils\\_%'")
	if len(verifiers) != 1 || !strings.HasPrefix(verifiers[0], "SCRAM-SHA-256$1:") {
		t.Fatalf("its verifier: %d", len(verifiers))
	}
	if r := d.run(ctx, "nils", "credentials", request); r.Code == 0 || !strings.Contains(r.Err, "stint db orders-db") {
		t.Errorf("the credential is shown: %d %s %s", r.Code, r.Out, r.Err)
	}
	// Nobody makes a way around the gateway: with a password of theirs the account would open.
	for _, set := range []string{"alter role current_user password 'mine-now-123'", `\password`} {
		cmd := d.As("nils").Command(ctx, "db", "orders-db", "--", "-v", "ON_ERROR_STOP=1", "-c", set)
		cmd.Stdin = strings.NewReader("mine-now-123\nmine-now-123\n")
		out, err := cmd.CombinedOutput()
		_, _ = d.printed.Write(out)
		if err == nil || !strings.Contains(string(out), "go around the gateway") {
			t.Errorf("%s: %v %s", set, err, out)
		}
	}
	if again := d.target(ctx, "SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'stint\\_nils\\_%'"); len(again) != 1 || again[0] != verifiers[0] {
		t.Error("its password is another")
	}
	if r := d.run(ctx, "nils", "db", "orders-db", "--", "-v", "ON_ERROR_STOP=1", "-c", "delete from orders"); r.Code == 0 || !strings.Contains(r.Err, "permission denied") {
		t.Errorf("more than its role may: %d %s %s", r.Code, r.Out, r.Err)
	}
	// A client that connects to the gateway by itself, by a key that is good for an hour.
	var straight struct{ URI, JDBC string }
	folder := filepath.Join(t.TempDir(), "the door's")
	for range 2 { // the second time over the first
		must(t, d.As("nils").JSON(ctx, &straight, "credentials", request, "--certificate", folder))
		if out, err := exec.CommandContext(ctx, "psql", straight.URI, "-Atc", "select count(*) from orders").CombinedOutput(); err != nil || string(out) != "40\n" {
			t.Errorf("straight to the gateway: %v %s", err, out)
		}
	}
	der, err := os.ReadFile(filepath.Join(folder, "client.pk8"))
	must(t, err)
	java, err := x509.ParsePKCS8PrivateKey(der)
	must(t, err)
	both, err := tls.LoadX509KeyPair(filepath.Join(folder, "client.pem"), filepath.Join(folder, "client.pem"))
	must(t, err)
	if !java.(*ecdsa.PrivateKey).Equal(both.PrivateKey) || !strings.HasPrefix(straight.JDBC, "jdbc:postgresql://") || !strings.Contains(straight.JDBC, "client.pk8") {
		t.Errorf("the key for Java is another one: %s", straight.JDBC)
	}
	files, err := os.ReadDir(folder)
	must(t, err)
	for _, f := range files {
		if i, err := f.Info(); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f.Name(), i.Mode(), err)
		}
	}
	must(t, os.WriteFile(filepath.Join(folder, "notes"), nil, 0o600))
	if r := d.run(ctx, "nils", "credentials", request, "--certificate", folder); r.Code == 0 || !strings.Contains(r.Err, "something else") {
		t.Errorf("a folder with something else in it: %d %s", r.Code, r.Err)
	}
	must(t, os.Remove(filepath.Join(folder, "notes")))
	must(t, os.Chmod(folder, 0o755))
	if r := d.run(ctx, "nils", "credentials", request, "--certificate", folder); r.Code == 0 || !strings.Contains(r.Err, "yours alone") {
		t.Errorf("a folder that others read: %d %s", r.Code, r.Err)
	}
	if r := d.run(ctx, "lars", "credentials", request, "--certificate", filepath.Join(t.TempDir(), "other")); r.Code == 0 {
		t.Errorf("another's grant: %s", r.Out)
	}
	if r := d.run(ctx, "nils", "run", "orders-db", "--as", "reader", "--for", "1m", "--why", "with its end", "--", "sh", "-c", `psql "$STINT_URI" -Atc 'select 6*7'; psql -Atc 'select 7*7'; env`); !strings.Contains(r.Out, "42\n49\n") || strings.Contains(r.Out, "PGPASSWORD") {
		t.Errorf("stint run: %d %s %s", r.Code, r.Out, r.Err)
	}

	// What was recorded is seen by whom a policy lets.
	first := d.sessions(ctx, false)
	id := first[len(first)-1].ID
	if x := first[len(first)-1]; x.Protocol != "postgres" || x.Person != "nils" || x.Gateway != "edge" {
		t.Errorf("the session: %+v", x)
	}
	must(t, eventually(ctx, func() error {
		r := d.run(ctx, "rosa", "session", "show", id)
		if r.Code != 0 || !strings.Contains(r.Out, "session_user like") || !strings.Contains(r.Out, "SELECT 1") {
			return fmt.Errorf("shown: %d %s %s", r.Code, r.Out, r.Err)
		}
		return nil
	}))
	if r := d.run(ctx, "nils", "session", "play", id); r.Code != 3 {
		t.Errorf("nils sees the recording: %d %s", r.Code, r.Err)
	}
	must(t, eventually(ctx, func() error { // the gateway brings it within a second or so
		if r := d.run(ctx, "rosa", "session", "search", "delete from orders"); r.Code != 0 || !strings.Contains(r.Out, "delete from orders") {
			return fmt.Errorf("found: %d %s %s", r.Code, r.Out, r.Err)
		}
		return nil
	}))

	// One that goes on, by the words that are for all sessions.
	d.open(ctx, 0)
	at, _, over, stopped := d.proxy(ctx, "nils")
	long := connectTo(t, ctx, at)
	d.open(ctx, 1)
	sameWords(t, ctx, d.Stage, d.sessions(ctx, true)[0].ID, "postgres", "select 'sounding'", func() error {
		_, err := long.Exec(ctx, "select 'sounding'")
		return err
	})
	stopped()
	<-over

	// A pool of ten, as a graphical tool has it, and no other user of this machine.
	d.open(ctx, 0)
	uri, said, ended, stop := d.proxy(ctx, "nils")
	pool := newPool(t, ctx, uri)
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			// A machine with no time for it is told to try again.
			if err := eventually(ctx, func() error {
				return pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
					var n int
					if err := c.QueryRow(ctx, "SELECT count(*) FROM orders WHERE id > $1", i).Scan(&n); err != nil || n != 40-i {
						return fmt.Errorf("%d, %w", n, err)
					}
					_, err := c.Exec(ctx, "SELECT pg_sleep(0.2)") // so that none serves two
					return err
				})
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	must(t, eventually(ctx, func() error {
		if n := len(d.sessions(ctx, true)); n < 2 || n > 10 {
			return fmt.Errorf("%d sessions of the pool", n)
		}
		return nil
	}))
	other := exec.CommandContext(ctx, "psql", uri, "-Atc", "select 1")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	other.Env, other.Dir = []string{"PATH=" + os.Getenv("PATH")}, "/"
	if out, err := other.CombinedOutput(); err == nil {
		t.Errorf("another user of this machine gets through: %s", out)
	}
	must(t, eventually(ctx, func() error { // and not for another reason, as that there is no psql for it
		if !strings.Contains(said.String(), "another user of this machine was refused") {
			return errors.New("stint proxy refused nobody: " + said.String())
		}
		return nil
	}))

	// More time, asked for once.
	must(t, d.run(ctx, "nils", "extend", request, "--for", "20m", "--why", "the report takes longer").Failed())
	must(t, eventually(ctx, func() error {
		if !strings.Contains(said.String(), "now ends") {
			return errors.New("stint proxy does not say that it was extended: " + said.String())
		}
		return nil
	}))

	// Ended by somebody: the client is told why, and the pool connects anew. Revoked: never again.
	// What is said last is not waited for longer than a quarter of a second.
	for n := 1; ; n++ {
		c := connectTo(t, ctx, uri)
		for _, x := range d.sessions(ctx, true) {
			_, err := d.admin.EndSession(ctx, x.ID, "that is enough")
			if err != nil && !errors.Is(err, api.Conflict) { // it has just ended by itself
				t.Fatal(err)
			}
		}
		err := fails(ctx, c)
		if err != nil && strings.Contains(err.Error(), "57P01") && strings.Contains(err.Error(), "ended by an administrator") {
			break
		}
		if n == 5 || err == nil {
			t.Fatalf("ended, and the client is told: %v", err)
		}
	}
	c := connectTo(t, ctx, uri)
	_, err = d.admin.Revoke(ctx, api.RevokeAsk{Grant: grant, Why: "a doubt"})
	must(t, err)
	if err := fails(ctx, c); err == nil {
		t.Error("revoked, and the session goes on")
	}
	if out, err := exec.CommandContext(ctx, "psql", straight.URI, "-Atc", "select 1").CombinedOutput(); err == nil {
		t.Errorf("revoked, and the key opens: %s", out)
	}
	pool.Close()
	d.open(ctx, 0)
	select {
	case err := <-ended:
		if err != nil || !strings.Contains(said.String(), "has ended") {
			t.Errorf("stint proxy: %v %s", err, said.String())
		}
	case <-time.After(time.Minute):
		t.Error("stint proxy goes on without access")
		stop()
	}
	must(t, eventually(ctx, func() error {
		if left := d.target(ctx, "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'stint\\_nils\\_%'"); len(left) > 0 {
			return fmt.Errorf("left on the server: %v", left)
		}
		return nil
	}))

	// Time alone: what runs is cut, the session says why it ended, and the account is gone.
	soon, _, _, enough := d.proxy(ctx, "lars", "--as", "reader", "--for", "20s", "--why", "until its time is over")
	c = connectTo(t, ctx, soon)
	if _, err := c.Exec(ctx, "SELECT pg_sleep(600)"); err == nil {
		t.Error("ten minutes passed in twenty seconds")
	}
	_ = c.Close(ctx)
	must(t, eventually(ctx, func() error {
		if left := d.target(ctx, "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'stint\\_lars\\_%'"); len(left) > 0 {
			return fmt.Errorf("%q is there still", left)
		}
		for _, x := range d.sessions(ctx, false) {
			if x.Person == "lars" && x.Reason == "expired" && x.Recording.State == "kept" {
				return nil
			}
		}
		return fmt.Errorf("no session of lars has expired: %+v", d.sessions(ctx, false))
	}))
	enough()

	// Who is locked is cut, and a gateway that dies takes its sessions with it.
	d.cut(ctx, "lars", "locked", func() { _, err := d.admin.LockUser(ctx, "lars", "lost laptop"); must(t, err) })
	d.cut(ctx, "nils", "the gateway killed", func() { d.kill() })
	d.start()
	must(t, eventually(ctx, func() error {
		return d.run(ctx, "nils", "db", "orders-db", "--", "-Atc", "select 1").Failed()
	}))

	for _, at := range []string{d.status, strings.TrimPrefix(d.URL, "http://")} {
		numbers, err := numbersAt(ctx, at)
		must(t, err)
		_, _ = io.WriteString(d.printed, numbers)
	}
	d.noPassword(ctx, verifiers[0])
}

// cut opens a session of somebody's, and ends it.
func (d *databaseScene) cut(ctx context.Context, who, how string, end func()) {
	d.t.Helper()
	uri, _, _, stop := d.proxy(ctx, who, "--as", "reader", "--for", "10m", "--why", "until it is cut")
	defer stop()
	c := connectTo(d.t, ctx, uri)
	end()
	if err := fails(ctx, c); err == nil {
		d.t.Errorf("%s: the session goes on", how)
	}
}

// connectTo connects, and does so again where the machine had no time for it.
func connectTo(t *testing.T, ctx context.Context, uri string) (c *pgx.Conn) {
	t.Helper()
	must(t, eventually(ctx, func() (err error) { c, err = pgx.Connect(ctx, uri); return err }))
	return c
}

// fails waits until a connection carries nothing any more, and gives its last error.
func fails(ctx context.Context, c *pgx.Conn) error {
	within, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	defer func() { _ = c.Close(within) }()
	for within.Err() == nil {
		var n int
		if err := c.QueryRow(within, "SELECT 1 FROM pg_sleep(0.05)").Scan(&n); err != nil {
			var pg *pgconn.PgError
			switch {
			case errors.As(err, &pg) && !c.IsClosed(): // the statement was cancelled, and the end comes
			case errors.As(err, &pg):
				return fmt.Errorf("%s %s: %s", pg.Code, pg.Message, pg.Detail)
			default:
				return err
			}
		}
	}
	return nil
}

func newPool(t *testing.T, ctx context.Context, uri string) *pgxpool.Pool {
	t.Helper()
	c, err := pgxpool.ParseConfig(uri)
	must(t, err)
	c.MaxConns = 10
	pool, err := pgxpool.NewWithConfig(ctx, c)
	must(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// noPassword looks through everything that was printed, logged or stored for a text that the
// server would take as the account's password. It has no need to know it: the verifier says.
func (d *databaseScene) noPassword(ctx context.Context, verifier string) {
	d.t.Helper()
	is, err := newScramOracle(verifier)
	must(d.t, err)
	known, err := newScramOracle(verifierOf("a-password-of-43-bytes-that-has-to-be-found", 1))
	must(d.t, err)
	place := filepath.Join(d.Dir, "control")
	must(d.t, os.WriteFile(place, []byte("x=\x00a-password-of-43-bytes-that-has-to-be-found,"), 0o600))
	if found, _ := known.search(place); len(found) != 1 {
		d.t.Fatal("the search finds nothing at all")
	}
	must(d.t, os.WriteFile(filepath.Join(d.Dir, "printed"), []byte(d.printed.String()+d.said.String()+d.ServerLog()), 0o600))
	found, looked := is.search(d.Dir)
	if len(found) > 0 {
		d.t.Errorf("the password stands in %v", found)
	}
	if looked < 1000 {
		d.t.Errorf("only %d texts were looked at", looked)
	}
	d.t.Logf("%d texts were tried as the password", looked)
}
