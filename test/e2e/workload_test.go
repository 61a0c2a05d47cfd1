//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/oidc/oidctest"
	"stint/test/stage"
)

const workloadDocuments = `
---
kind: Integration
name: forge
type: workload
address: ISSUER
audiences: [stint]
---
kind: Integration
name: cluster
type: workload
address: CLUSTER
audiences: [stint]
reuse: "yes"
---
kind: Workload
name: orders-pipeline
service: ci
integration: forge
claims: {repository: corp/orders, environment: production}
like: {ref: "refs/heads/*"}
---
kind: Workload
name: batch
service: batch
integration: cluster
claims: {"kubernetes.io/namespace": web, "kubernetes.io/serviceaccount/name": batch}
---
kind: Policy
name: machines
subjects: ["service:ci", "service:batch"]
roles: [reader]
when: auth.provider in ["forge", "cluster"]
require: {reason: {minLength: 5}, maxDuration: 30m}
`

// job is a pipeline's job: a command line on a machine with nothing on it.
type job struct {
	t    *testing.T
	s    *stage.Stage
	home string
	env  []string
}

func (j job) command(ctx context.Context, args ...string) (*bytes.Buffer, *bytes.Buffer, func() int, *os.Process) {
	j.t.Helper()
	cmd := j.s.As("root").Command(ctx, args...)
	cmd.Env = append(cmd.Env, "STINT_HOME="+j.home, "PGSSLROOTCERT="+j.s.Target.CAFile, "BROWSER=false")
	cmd.Env = append(cmd.Env, j.env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	must(j.t, cmd.Start())
	return &out, &said, func() int { _ = cmd.Wait(); return cmd.ProcessState.ExitCode() }, cmd.Process
}

func (j job) run(args ...string) (out, said string, code int) {
	j.t.Helper()
	o, e, wait, _ := j.command(j.t.Context(), args...)
	code = wait()
	return o.String(), e.String(), code
}

// TestPipelines: a job of a forge and a pod of a cluster, each with nothing but what its
// platform gives it, ask, work with the real psql, and leave nothing behind; also when
// the command fails, is stopped, or takes longer than the platform's token is good for.
func TestPipelines(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: set.Store, Config: "egress: {allow: [127.0.0.1/32]}\n"}, "mira")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	forge, cluster := oidctest.Start(t), oidctest.Start(t)
	cluster.Rotate()
	must(t, s.Credential(ctx, "orders-connector"))
	for _, name := range []string{"ci", "batch"} {
		must(t, s.As("root").Run(ctx, "admin", "service", "add", name, "--owner", "root", "--for", "180d", "--no-token").Failed())
	}
	must(t, s.Documents(ctx, documents+strings.NewReplacer("ISSUER", forge.URL, "CLUSTER", cluster.URL).Replace(workloadDocuments)))
	o, err := s.Oracle()
	must(t, err)
	defer o.Close()

	// The forge hands ID tokens to its jobs as GitHub does.
	const bearer = "the-job-s-own-token"
	claims := map[string]any{"iss": forge.URL, "sub": "repo:corp/orders:environment:production", "repository": "corp/orders", "environment": "production", "ref": "refs/heads/main"}
	lasts := 5 * time.Minute
	runner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "bearer "+bearer || r.URL.Query().Get("audience") != "stint" || r.URL.Query().Get("api-version") != "2.0" {
			w.WriteHeader(401)
			return
		}
		c := maps.Clone(claims)
		now := time.Now()
		c["aud"], c["iat"], c["exp"], c["jti"] = "stint", now.Unix(), now.Add(lasts).Unix(), rand.Text()
		_ = json.NewEncoder(w).Encode(map[string]any{"count": 1, "value": forge.Sign(c)})
	}))
	defer runner.Close()
	j := job{t, s, t.TempDir(), []string{"ACTIONS_ID_TOKEN_REQUEST_URL=" + runner.URL + "/?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + bearer, "STINT_AUDIENCE=stint"}}
	ask := []string{"run", "orders-db", "--as", "reader", "--for", "10m", "--why", "nightly count", "--"}

	out, said, code := j.run(append(ask, "psql", "-Atc", "select count(*) >= 0, current_user like 'stint%' from orders")...)
	if code != 0 || strings.TrimSpace(out) != "t|t" || !strings.Contains(said, "access given back") {
		t.Fatalf("exit %d\n%s%s", code, out, said)
	}
	must(t, o.Clean(ctx, 30*time.Second))
	t.Log("a job of the forge ran psql and left nothing")
	var mine []api.Request
	until(t, "its grant has ended", func() (bool, error) {
		err := s.As("root").JSON(ctx, &mine, "get", "requests")
		return len(mine) == 1 && mine[0].Grant != nil && mine[0].Grant.State == api.GrantEnded, err
	})
	if mine[0].Principal != "service:ci" || mine[0].Grant.EndReason != api.EndReturned {
		t.Errorf("the request is %+v", mine[0])
	}
	until(t, "the log says by what it was let in", func() (bool, error) {
		r := s.As("root").Run(ctx, "audit", "search", "--type", "login.created", "-o", "json")
		return strings.Contains(r.Out, "orders-pipeline") && strings.Contains(r.Out, "repository=corp/orders"), r.Failed()
	})
	for _, secret := range []string{bearer, "eyJ"} {
		if strings.Contains(said, secret) || strings.Contains(s.LogTail(10_000), secret) {
			t.Errorf("%s is in a log", secret)
		}
	}

	// It fails; it is stopped; its command is not there; policy says no.
	if _, said, code = j.run(append(ask, "sh", "-c", "exit 3")...); code != 3 || !strings.Contains(said, "access given back") {
		t.Errorf("a command that fails: exit %d\n%s", code, said)
	}
	_, errs, wait, process := j.command(ctx, append(ask, "psql", "-Atc", "select pg_sleep(600)")...)
	until(t, "psql works", func() (bool, error) { open, err := o.Sessions(ctx); return len(open) == 1, err })
	must(t, process.Signal(syscall.SIGTERM))
	if code := wait(); code != 128+int(syscall.SIGTERM) || !strings.Contains(errs.String(), "access given back") {
		t.Errorf("a command that is stopped: exit %d\n%s", code, errs)
	}
	if _, said, code = j.run(append(ask, "no-such-command")...); code != 127 {
		t.Errorf("no command: exit %d\n%s", code, said)
	}
	if _, said, code = j.run("run", "orders-db", "--as", "reader", "--for", "45m", "--why", "nightly count", "--", "true"); code != 125 || !strings.Contains(said, "maxDuration of 30m") {
		t.Errorf("longer than policy allows: exit %d\n%s", code, said)
	}
	if _, said, code = j.run("run", "orders-db", "--", "true"); code != 125 { // nobody is asked
		t.Errorf("nothing said: exit %d\n%s", code, said)
	}
	claims["ref"] = "refs/pull/7/merge"
	if _, said, code = j.run(append(ask, "true")...); code != 125 || !strings.Contains(said, "bad-workload-token") {
		t.Errorf("a pull request: exit %d\n%s", code, said)
	}
	claims["ref"] = "refs/heads/main"
	must(t, o.Clean(ctx, 30*time.Second))

	// The token is good for a few seconds, the command takes longer.
	lasts = 4 * time.Second
	if _, said, code = j.run(append(ask, "sh", "-c", "sleep 6; psql -Atc 'select 1'")...); code != 0 || !strings.Contains(said, "access given back") {
		t.Errorf("a short token: exit %d\n%s", code, said)
	}
	must(t, o.Clean(ctx, 30*time.Second))

	// A pod: a token in a file that its node replaces.
	file := filepath.Join(t.TempDir(), "token")
	project := func(namespace string) {
		now := time.Now()
		must(t, os.WriteFile(file, []byte(cluster.Sign(map[string]any{"iss": cluster.URL, "aud": []string{"stint"}, "sub": "system:serviceaccount:" + namespace + ":batch",
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": rand.Text(),
			"kubernetes.io": map[string]any{"namespace": namespace, "pod": map[string]any{"name": "batch-1", "uid": "u"}, "serviceaccount": map[string]any{"name": "batch", "uid": "v"}}})), 0o644))
	}
	project("web")
	pod := job{t, s, t.TempDir(), nil}
	out, said, code = pod.run(append([]string{"--token-file", file}, append(ask, "psql", "-Atc", "select count(*) >= 0 from orders")...)...)
	if code != 0 || strings.TrimSpace(out) != "t" {
		t.Errorf("a pod: exit %d\n%s%s", code, out, said)
	}
	project("evil")
	if _, said, code = pod.run(append([]string{"--token-file", file}, append(ask, "true")...)...); code != 125 || !strings.Contains(said, "bad-workload-token") {
		t.Errorf("a pod of another namespace: exit %d\n%s", code, said)
	}

	// GitLab's variable, and a document that goes while a job works.
	now := time.Now()
	c := maps.Clone(claims)
	c["aud"], c["iat"], c["exp"], c["jti"] = "stint", now.Unix(), now.Add(time.Hour).Unix(), rand.Text()
	variable := job{t, s, t.TempDir(), []string{"STINT_ID_TOKEN=" + forge.Sign(c)}}
	for range 2 { // one token for all of a job
		if out, said, code = variable.run(append(ask, "sh", "-c", `test -z "$STINT_ID_TOKEN" && echo hidden`)...); code != 0 || out != "hidden\n" {
			t.Errorf("a variable: exit %d\n%s%s", code, out, said)
		}
	}
	_, errs, wait, _ = variable.command(ctx, append(ask, "psql", "-Atc", "select pg_sleep(600)")...)
	until(t, "psql works", func() (bool, error) { open, err := o.Sessions(ctx); return len(open) == 1, err })
	began := time.Now()
	must(t, s.As("root").Run(ctx, "delete", "workload", "orders-pipeline").Failed())
	if code := wait(); code == 0 {
		t.Errorf("a job whose document is gone ends well:\n%s", errs)
	}
	must(t, o.Clean(ctx, 30*time.Second))
	t.Logf("a job whose document went was cut, and its account gone, after %s", time.Since(began).Round(time.Millisecond))
}
