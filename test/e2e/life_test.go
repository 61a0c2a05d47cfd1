//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"stint/internal/api"
	"stint/test/stage"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func oracle(t *testing.T) *stage.Oracle {
	t.Helper()
	o, err := set.Oracle()
	must(t, err)
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// request asks and returns the object that is printed.
func request(t *testing.T, who, role string, d time.Duration, extra ...string) api.Request {
	t.Helper()
	var r api.Request
	must(t, set.As(who).JSON(t.Context(), &r, append([]string{"request", "orders-db", "--as", role, "--for", d.String(), "--why", "look at the stuck orders"}, extra...)...))
	return r
}

func status(t *testing.T, who, id string) api.Request {
	t.Helper()
	var r api.Request
	must(t, set.As(who).JSON(t.Context(), &r, "status", id))
	return r
}

// session opens a connection with the credential of a grant and keeps it open.
func session(t *testing.T, who, id string) *sql.Conn {
	t.Helper()
	var c api.Credential
	must(t, set.As(who).JSON(t.Context(), &c, "credentials", id))
	return open(t, c.URI.Reveal()+"&sslrootcert="+set.Target.CAFile)
}

func open(t *testing.T, uri string) *sql.Conn {
	t.Helper()
	db, err := sql.Open("pgx", uri)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	must(t, err)
	var one int
	must(t, conn.QueryRowContext(t.Context(), "SELECT 1").Scan(&one))
	return conn
}

// cut waits until a session no longer answers.
func cut(t *testing.T, c *sql.Conn, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var one int
	for c.QueryRowContext(ctx, "SELECT 1").Scan(&one) == nil {
		time.Sleep(5 * time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Errorf("the session still answered after %s", within)
	}
}

func TestAccountFromRequestToProof(t *testing.T) {
	o := oracle(t)
	r := request(t, "mira", "reader", 6*time.Second)
	if r.State != "approved" || r.Grant == nil || r.Grant.State != "active" || r.Decision.Outcome != "allow" {
		t.Fatalf("%+v", r)
	}
	c := session(t, "mira", r.ID)
	var stuck int
	must(t, c.QueryRowContext(t.Context(), "SELECT count(*) FROM orders WHERE state = 'stuck'").Scan(&stuck))
	if stuck != 8 {
		t.Errorf("%d stuck orders", stuck)
	}
	if _, err := c.ExecContext(t.Context(), "DELETE FROM orders"); err == nil {
		t.Error("a reader deleted orders")
	}
	must(t, set.As("mira").Run(t.Context(), "wait", r.ID, "--for", "ended", "--timeout", "60s").Failed())
	cut(t, c, 20*time.Second)
	must(t, o.Clean(t.Context(), 20*time.Second))
	r = status(t, "mira", r.ID)
	g := r.Grant
	if g.State != "ended" || g.EndReason != "expired" || g.VerifiedGoneAt.IsZero() || g.Overdue {
		t.Errorf("%+v", g)
	}
	if lag := g.VerifiedGoneAt.Sub(g.ExpiresAt.Time); lag > 20*time.Second {
		t.Errorf("verified gone %s after the end", lag)
	}
}

func TestGroupIsCountedAndEndsSessions(t *testing.T) {
	o := oracle(t)
	a := request(t, "mira", "orders-owner", time.Minute)
	b := request(t, "mira", "orders-owner", time.Minute)
	c := open(t, set.Target.DSN("mira", "standing-mira", stage.Database))
	if _, err := c.ExecContext(t.Context(), "UPDATE orders SET state = 'shipped' WHERE id = 5"); err != nil {
		t.Fatal(err)
	}
	must(t, set.As("mira").Run(t.Context(), "end", a.ID).Failed())
	must(t, set.As("mira").Run(t.Context(), "wait", a.ID, "--for", "ended", "--timeout", "60s").Failed())
	if m, err := o.Members(t.Context()); err != nil || len(m) != 1 {
		t.Fatalf("members %v, %v: the second grant still needs it", m, err)
	}
	must(t, set.As("mira").Run(t.Context(), "end", b.Grant.ID).Failed())
	must(t, set.As("mira").Run(t.Context(), "wait", b.ID, "--for", "ended", "--timeout", "60s").Failed())
	cut(t, c, 20*time.Second)
	must(t, o.Clean(t.Context(), 20*time.Second))
}

func TestEnableIsExclusive(t *testing.T) {
	o := oracle(t)
	r := request(t, "mira", "shared-admin", time.Minute)
	c := session(t, "mira", r.ID)
	second := set.As("noor").Run(t.Context(), "request", "orders-db", "--as", "shared-admin", "--for", "1m", "--why", "me too, right now")
	if second.Code != 6 {
		t.Errorf("a second holder: exit %d\n%s", second.Code, second.Err)
	}
	must(t, set.As("mira").Run(t.Context(), "end", r.ID).Failed())
	must(t, set.As("mira").Run(t.Context(), "wait", r.ID, "--for", "ended", "--timeout", "60s").Failed())
	cut(t, c, 20*time.Second)
	must(t, o.Clean(t.Context(), 20*time.Second))
}

func TestApprovalByAnotherPerson(t *testing.T) {
	o := oracle(t)
	var r api.Request
	must(t, set.As("sam").JSON(t.Context(), &r, "request", "orders-db", "--as", "reader", "--for", "20m", "--why", "customer waits for order 5", "--ticket", "INC-42", "--no-wait"))
	if r.State != "pending" || len(r.Decision.Approvals) != 1 {
		t.Fatalf("%+v", r)
	}
	if res := set.As("sam").Run(t.Context(), "approve", r.ID); res.Code != 3 {
		t.Errorf("own approval: exit %d", res.Code)
	}
	if res := set.As("mira").Run(t.Context(), "approve", r.ID); res.Code != 5 {
		t.Errorf("approval by somebody not asked: exit %d, want 5: it is not theirs to see", res.Code)
	}
	must(t, set.As("omar").Run(t.Context(), "approve", r.ID, "--for", "15m", "--note", "only a quarter of an hour").Failed())
	must(t, set.As("sam").Run(t.Context(), "wait", r.ID, "--for", "ready", "--timeout", "60s").Failed())
	if r = status(t, "sam", r.ID); r.Granted != "15m" {
		t.Errorf("granted %q", r.Granted)
	}
	if res := set.As("olga").Run(t.Context(), "deny", r.ID, "--note", "too late"); res.Code != 6 {
		t.Errorf("a vote too late: exit %d", res.Code)
	}
	must(t, set.As("omar").Run(t.Context(), "revoke", "--grant", r.Grant.ID, "--why", "drill of the owner").Failed())
	must(t, o.Clean(t.Context(), 20*time.Second))
}

func TestDatabaseCommandAndRun(t *testing.T) {
	o := oracle(t)
	res := set.As("noor").Run(t.Context(), "db", "orders-db", "--as", "reader", "--for", "1m", "--why", "count the orders once", "--", "-Atc", "select count(*) from orders")
	if res.Code != 0 || strings.TrimSpace(res.Out) != "40" {
		t.Fatalf("exit %d: %s%s", res.Code, res.Out, res.Err)
	}
	must(t, set.As("root").Run(t.Context(), "revoke", "--user", "noor", "--why", "done").Failed())
	must(t, o.Clean(t.Context(), 20*time.Second))
	psql, err := exec.LookPath("psql")
	must(t, err)
	res = set.As("noor").Run(t.Context(), "run", "orders-db", "--as", "reader", "--for", "1m", "--why", "count the orders once", "--", psql, "-Atc", "select count(*) from orders")
	if res.Code != 0 || strings.TrimSpace(res.Out) != "40" {
		t.Fatalf("exit %d: %s%s", res.Code, res.Out, res.Err)
	}
	must(t, o.Clean(t.Context(), 20*time.Second)) // the grant ended with the command
	res = set.As("noor").Run(t.Context(), "run", "orders-db", "--as", "reader", "--for", "1m", "--why", "a command that fails", "--", "sh", "-c", "exit 7")
	if res.Code != 7 {
		t.Errorf("exit %d, want the child's", res.Code)
	}
	must(t, o.Clean(t.Context(), 20*time.Second))
}

func TestKillInMidGrant(t *testing.T) {
	o := oracle(t)
	r := request(t, "mira", "reader", 6*time.Second)
	c := session(t, "mira", r.ID)
	must(t, set.Kill())
	time.Sleep(time.Until(r.Grant.ExpiresAt.Time))
	must(t, set.Start(t.Context()))
	must(t, o.Clean(t.Context(), 20*time.Second))
	cut(t, c, 20*time.Second)
	must(t, set.As("mira").Run(t.Context(), "wait", r.ID, "--for", "ended", "--timeout", "60s").Failed())
}

func TestLogVerifiesAndShowsTampering(t *testing.T) {
	out := filepath.Join(t.TempDir(), "log.jsonl")
	must(t, set.As("aud").Run(t.Context(), "audit", "verify").Failed())
	must(t, set.As("aud").Run(t.Context(), "audit", "export", "--out", out).Failed())
	must(t, set.As("aud").Run(t.Context(), "audit", "verify", "--export", out).Failed())
	if res := set.As("mira").Run(t.Context(), "audit", "export", "--out", out+".mira"); res.Code != 3 {
		t.Errorf("a member exports the whole log: exit %d", res.Code)
	}
	text := readFile(t, out)
	bad := bytes.Replace(text, []byte("look at the stuck orders"), []byte("look at the other orders"), 1)
	if bytes.Equal(text, bad) {
		t.Fatal("nothing to tamper with")
	}
	writeFile(t, out, bad)
	res := set.As("aud").Run(t.Context(), "audit", "verify", "--export", out)
	if res.Code != 1 || !strings.Contains(res.Out+res.Err, "record") {
		t.Errorf("exit %d: %s%s", res.Code, res.Out, res.Err)
	}
}

func TestPasswordsAreNowhere(t *testing.T) {
	r := request(t, "mira", "reader", time.Minute)
	var c api.Credential
	must(t, set.As("mira").JSON(t.Context(), &c, "credentials", r.ID))
	must(t, set.As("mira").Run(t.Context(), "end", r.ID).Failed())
	out := filepath.Join(t.TempDir(), "log.jsonl")
	must(t, set.As("aud").Run(t.Context(), "audit", "export", "--out", out).Failed())
	for where, text := range map[string]string{"the audit log": string(readFile(t, out)), "stintd's log": set.ServerLog(), "the target's log": set.Target.Log()} {
		if strings.Contains(text, c.Password.Reveal()) {
			t.Errorf("the password stands in %s", where)
		}
	}
	if c.Password.Reveal() == "" {
		t.Error("no password to look for")
	}
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	must(t, json.Unmarshal([]byte(text), into))
}
