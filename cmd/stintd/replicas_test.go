package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/pgtest"
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
		if code != exitUsage || !strings.Contains(out, want) {
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

func health(t *testing.T, d *daemon) (h api.Health) {
	t.Helper()
	resp, err := http.Get(d.url.String() + "/readyz")
	must(t, err)
	defer resp.Body.Close()
	must(t, json.NewDecoder(resp.Body).Decode(&h))
	return h
}
