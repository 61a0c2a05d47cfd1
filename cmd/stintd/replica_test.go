package main

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/pgtest"
	"stint/internal/program"
)

// Two replicas on one PostgreSQL are one Stint: one installation, one log, one
// memory of proofs.
func TestReplicas(t *testing.T) {
	pg := pgtest.Start(t, pgtest.Options{})
	dsn := pg.SuperuserDSN(pg.Database(t))
	dir := t.TempDir()
	cfg := filepath.Join(dir, "stintd.yaml")
	must(t, os.WriteFile(cfg, []byte("database: "+dsn+"\naccept_unprotected_commits: true\n"), 0o600))
	key := filepath.Join(dir, "seal.key")
	a := start(t, filepath.Join(dir, "a"), "--config", cfg, "--seal-key-file", key)
	b := start(t, filepath.Join(dir, "b"), "--config", cfg, "--seal-key-file", key)
	c := a.first()
	ka, err := c.LogKey(t.Context())
	must(t, err)
	c.Server = b.url
	if me, err := c.Whoami(t.Context()); err != nil || me.Principal != "user:noor" {
		t.Fatalf("the other replica: %+v, %v", me, err)
	}
	if kb, err := c.LogKey(t.Context()); err != nil || ka != kb {
		t.Errorf("the logs differ: %v, %v, %v", ka, kb, err)
	}
	// The other replica's own bootstrap token is worthless by now.
	code, err := os.ReadFile(filepath.Join(b.data, "bootstrap-token"))
	if err == nil {
		if _, err := b.client().Enroll(t.Context(), api.Secret(bytes.TrimSpace(code)), true, "eve"); err == nil {
			t.Error("two replicas made two first administrators")
		}
	}
	// A proof that one replica saw is refused by the other. Both stand behind one
	// name, as behind a load balancer.
	u := &url.URL{Scheme: "http", Host: "stint.test", Path: "/v1/whoami"}
	proof, err := c.Device.Proof(api.Call{Method: http.MethodGet, URL: u, Body: sha256.Sum256(nil), Token: c.Token}, time.Now())
	must(t, err)
	for i, d := range []*daemon{a, b} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url.String()+"/v1/whoami", nil)
		must(t, err)
		req.Host = u.Host
		req.Header.Set(api.HeaderProof, proof)
		req.Header.Set("Authorization", "DPoP "+c.Token.Reveal())
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		_ = resp.Body.Close()
		if want := []int{http.StatusOK, http.StatusUnauthorized}[i]; resp.StatusCode != want {
			t.Errorf("replica %d answers %d, want %d", i, resp.StatusCode, want)
		}
	}
	// A replica with another seal key does not join.
	code2, out := run(t, "serve", "--data", filepath.Join(dir, "c"), "--config", cfg, "--listen", "127.0.0.1:0")
	if code2 != program.Usage || !bytes.Contains([]byte(out), []byte("seal key")) {
		t.Errorf("a third replica without the key: exit %d\n%s", code2, out)
	}
}
