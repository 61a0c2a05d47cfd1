//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return b
}

func writeFile(t *testing.T, name string, b []byte) {
	t.Helper()
	must(t, os.WriteFile(name, b, 0o600))
}

// TestBadInput: every row is refused with its exit code and a text that says
// what was wrong, and nothing appears on the target.
func TestBadInput(t *testing.T) {
	o := oracle(t)
	long := strings.Repeat("x", 3000)
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"duration 0", []string{"request", "orders-db", "--as", "reader", "--for", "0s", "--why", "ten letters"}, 2, "duration"},
		{"negative duration", []string{"request", "orders-db", "--as", "reader", "--for=-5m", "--why", "ten letters"}, 2, "duration"},
		{"huge duration", []string{"request", "orders-db", "--as", "reader", "--for", "87600h", "--why", "ten letters"}, 2, "lon"},
		{"overflowing duration", []string{"request", "orders-db", "--as", "reader", "--for", "999999999999999h", "--why", "ten letters"}, 2, "duration"},
		{"no unit", []string{"request", "orders-db", "--as", "reader", "--for", "10", "--why", "ten letters"}, 2, "duration"},
		{"over a cap", []string{"request", "orders-db", "--as", "reader", "--for", "3h", "--why", "look at the stuck orders"}, 3, "2h"},
		{"unknown resource", []string{"request", "order-db", "--as", "reader", "--for", "1m", "--why", "look at the stuck orders"}, 5, "orders-db"},
		{"unknown role", []string{"request", "orders-db", "--as", "raeder", "--for", "1m", "--why", "look at the stuck orders"}, 5, "reader"},
		{"hostile resource", []string{"request", "orders-db'; DROP TABLE orders; --", "--as", "reader", "--for", "1m", "--why", "look at the stuck orders"}, 5, "resource"},
		{"short reason", []string{"request", "orders-db", "--as", "reader", "--for", "1m", "--why", "hm"}, 3, "orders-at-once"},
		{"long reason", []string{"request", "orders-db", "--as", "reader", "--for", "1m", "--why", long}, 2, "reason"},
		{"reason that turns text around", []string{"request", "orders-db", "--as", "reader", "--for", "1m", "--why", "look at \u202eorders now"}, 2, "character"},
		{"start in the past", []string{"request", "orders-db", "--as", "reader", "--for", "1m", "--why", "look at the stuck orders", "--at", "2020-01-01T00:00:00Z"}, 2, "past"},
		{"unknown flag", []string{"request", "orders-db", "--as", "reader", "--fro", "1m", "--why", "x"}, 2, "flag"},
		{"no role", []string{"request", "orders-db", "--for", "1m", "--why", "look at the stuck orders"}, 2, "as"},
		{"unknown id", []string{"status", "req_01ZZZZZZZZZZZZZZZZZZZZZZZZ"}, 5, "no such"},
		{"admin's work", []string{"admin", "user", "add", "eve"}, 3, "administrator"},
		{"no documents", []string{"apply", "-f", "-"}, 2, "no document"},
		{"revoke everything", []string{"revoke", "--all", "--why", "because I can", "--yes"}, 3, "administrator"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := set.As("mira").Run(t.Context(), c.args...)
			if r.Code != c.code || !strings.Contains(r.Err, c.says) {
				t.Errorf("exit %d, want %d, saying %q:\n%s%s", r.Code, c.code, c.says, r.Out, r.Err)
			}
			if r.Code != 0 && !strings.Contains(r.Err, "stint: error: ") {
				t.Errorf("no line `stint: error: …`:\n%s", r.Err)
			}
		})
	}
	if left, err := o.Left(t.Context()); err != nil || left != "" {
		t.Errorf("on the target: %s, %v", left, err)
	}
}

func TestBadDocuments(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	for _, c := range []struct{ name, text, says string }{
		{"unknown field", "kind: Role\nname: r\nmechanisn: account\n", "bad.yaml:3"},
		{"unknown name in CEL", "kind: Policy\nname: p\nsubjects: [\"*\"]\nroles: [reader]\nwhen: reqest.duration < duration(\"1h\")\n", "bad.yaml:5"},
		{"unknown role", "kind: Policy\nname: p\nsubjects: [\"*\"]\nroles: [raeder]\n", "reader"},
		{"no duration", "kind: Role\nname: r\nresources: {type: postgres}\nmechanism: account\npostgres: {memberOf: [orders_read]}\n", "maxDuration"},
		{"TLS off to elsewhere", "kind: Resource\nname: x\ntype: postgres\ncriticality: low\nconnection: {address: \"db.example:5432\", database: d, credential: c, sslmode: disable}\n", "sslmode"},
		{"not YAML", "kind: [", "bad.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			writeFile(t, bad, []byte(c.text))
			r := set.As("root").Run(t.Context(), "apply", "-f", bad)
			if r.Code != 2 || !strings.Contains(r.Err, c.says) {
				t.Errorf("exit %d, want 2, saying %q:\n%s%s", r.Code, c.says, r.Out, r.Err)
			}
		})
	}
}

func TestTargetDownAndBack(t *testing.T) {
	o := oracle(t)
	r := request(t, "mira", "reader", 2*time.Second)
	must(t, set.Target.Stop())
	var late api.Request
	res := set.As("noor").Run(t.Context(), "request", "orders-db", "--as", "reader", "--for", "1m", "--why", "while the target is down", "--timeout", "3s", "-o", "json")
	if res.Code != 8 && res.Code != 7 {
		t.Errorf("exit %d, want 8 (still pending) or 7\n%s%s", res.Code, res.Out, res.Err)
	}
	decode(t, res.Out, &late)
	time.Sleep(time.Until(r.Grant.ExpiresAt.Add(1200 * time.Millisecond)))
	if s := status(t, "mira", r.ID); s.Grant.State != "ending" || !s.Grant.Overdue {
		t.Errorf("while the target is down: %+v", s.Grant)
	}
	must(t, set.Target.Restart())
	must(t, set.As("noor").Run(t.Context(), "end", late.ID).Failed())
	must(t, set.As("mira").Run(t.Context(), "wait", r.ID, "--for", "ended", "--timeout", "40s").Failed())
	must(t, set.As("noor").Run(t.Context(), "wait", late.ID, "--for", "ended", "--timeout", "40s").Failed())
	must(t, o.Clean(t.Context(), 20*time.Second))
}

func TestServerUnreachable(t *testing.T) {
	must(t, set.Stop())
	r := set.As("mira").Run(t.Context(), "status")
	must(t, set.Start(t.Context()))
	if r.Code != 69 {
		t.Errorf("exit %d, want 69\n%s", r.Code, r.Err)
	}
}

func TestDisabledUserLosesEverything(t *testing.T) {
	o := oracle(t)
	must(t, set.Enrol(t.Context(), "zoe", "--group", "platform"))
	r := request(t, "zoe", "reader", time.Minute)
	c := session(t, "zoe", r.ID)
	must(t, set.As("root").Run(t.Context(), "admin", "user", "disable", "zoe").Failed())
	cut(t, c, 20*time.Second)
	must(t, o.Clean(t.Context(), 20*time.Second))
	if res := set.As("zoe").Run(t.Context(), "status"); res.Code != 4 {
		t.Errorf("a disabled user: exit %d, want 4\n%s", res.Code, res.Err)
	}
}
