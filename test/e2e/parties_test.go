//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// partyDocuments let the agents of the platform team and a vendor read at once.
const partyDocuments = `
kind: Policy
name: parties-agents
subjects: [group:agents]
roles: [reader]
when: principal.kind == "agent"
---
kind: Policy
name: parties-humans
subjects: [user:ana]
roles: [reader]
---
kind: Policy
name: parties-vendors
subjects: [group:acme]
roles: [reader]
when: principal.kind == "vendor" && principal.company == "Acme Ltd"
`

// At work is somebody's live psql.
type atWork struct {
	*exec.Cmd
	said *strings.Builder
}

// psql is the psql of this machine, asleep in a session that the person's stint opened.
func psql(t *testing.T, name string, args ...string) atWork {
	t.Helper()
	cmd := set.As(name).Command(t.Context(), append([]string{"db", "orders-db", "--as", "reader", "--why", "look at the stuck orders"}, append(args, "--", "-c", "SELECT pg_sleep(600)")...)...)
	cmd.Env = append(cmd.Env, "PGSSLROOTCERT="+set.Target.CAFile)
	w := atWork{cmd, &strings.Builder{}}
	cmd.Stdout, cmd.Stderr = w.said, w.said
	must(t, cmd.Start())
	o := oracle(t)
	until(t, name+"'s psql works", func() (bool, error) { s, err := o.Sessions(t.Context()); return len(s) == 1, err })
	return w
}

// cut waits for it to be ended from outside, and for the account to be gone.
func (w atWork) cut(t *testing.T, name string, since time.Time) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- w.Wait() }()
	select {
	case err := <-done:
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Errorf("%s's psql ended with %v:\n%s", name, err, w.said)
		}
	case <-time.After(time.Minute):
		t.Fatalf("%s's psql works a minute later", name)
	}
	must(t, oracle(t).Clean(t.Context(), leavesWithin+20*time.Second))
	t.Logf("%s: psql was cut, and the account gone, after %s", name, time.Since(since).Round(time.Millisecond))
}

// TestPartiesAreCut: what an agent holds ends with its human, what a vendor holds with
// their contract; on a real server, in the middle of a session.
func TestPartiesAreCut(t *testing.T) {
	ctx := t.Context()
	must(t, oracle(t).Clean(ctx, 30*time.Second))
	f := filepath.Join(set.Dir, "parties.yaml")
	must(t, os.WriteFile(f, []byte(partyDocuments), 0o600))
	must(t, set.As("root").Run(ctx, "apply", "-f", f).Failed())
	must(t, set.Enrol(ctx, "ana"))

	_, err := set.Agent(ctx, "fixer", "--responsible", "ana", "--for", "1h", "--group", "agents")
	must(t, err)
	if r := set.As("fixer").Run(ctx, "request", "orders-db", "--as", "reader", "--for", "1m", "--why", "look at the stuck orders"); r.Code != 2 || !strings.Contains(r.Err, "no-task") {
		t.Errorf("without a task: exit %d: %s", r.Code, r.Err)
	}
	live := psql(t, "fixer", "--for", "10m", "--task", "OPS-12")
	began := time.Now()
	must(t, set.As("root").Run(ctx, "admin", "user", "disable", "ana").Failed())
	live.cut(t, "fixer", began)
	if r := set.As("fixer").Run(ctx, "whoami"); r.Code != 4 {
		t.Errorf("the agent is still signed in: exit %d", r.Code)
	}

	must(t, invite(ctx, "bo", time.Now().Add(20*time.Minute)))
	live = psql(t, "bo", "--for", "10m")
	end := time.Now().Add(6 * time.Second)
	must(t, set.As("root").Run(ctx, "admin", "vendor", "set", "bo", "--until", end.UTC().Format(time.RFC3339Nano), "--why", "done early").Failed())
	live.cut(t, "bo", end)
	if r := set.As("bo").Run(ctx, "whoami"); r.Code != 4 {
		t.Errorf("the vendor is still signed in: exit %d", r.Code)
	}
}

// invite makes a vendor and signs them in.
func invite(ctx context.Context, name string, until time.Time) error {
	var made struct {
		Token string `json:"enroll_token"`
	}
	r := set.As("root").Run(ctx, "admin", "vendor", "invite", name, "--sponsor", "omar", "--company", "Acme Ltd", "--group", "acme", "--until", until.UTC().Format(time.RFC3339), "-o", "json")
	if err := r.Failed(); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(r.Out), &made); err != nil || made.Token == "" {
		return fmt.Errorf("no invitation in %q: %w", r.Out, err)
	}
	f := filepath.Join(set.Dir, "invite-"+name)
	if err := os.WriteFile(f, []byte(made.Token), 0o600); err != nil {
		return err
	}
	return set.As(name).Run(ctx, "login", "--enroll-token-file", f).Failed()
}
