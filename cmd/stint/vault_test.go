package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

// TestVaultUses: who used an account of the vault is read off the log: its own uses, of both
// kinds, the newest first, and not more than are shown.
func TestVaultUses(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	record := func(kind string, age time.Duration, account string) api.AuditRecord {
		facts := map[string]string{"principal": "user:mira", "person": "mira", "request": "req_1", "resource": "orders-db"}
		actor := map[string]string{"principal": "user:mira", "address": "192.0.2.7"}
		if account != "" {
			facts["account"] = account
		}
		if kind == "session.login" {
			facts["source"], facts["gateway"] = "192.0.2.8:4711", "gw-1"
			actor = map[string]string{"principal": "system"}
		}
		b, err := json.Marshal(map[string]any{"id": "e", "type": kind, "at": now.Add(-age), "entity": "ses_1", "actor": actor, "facts": facts})
		must(t, err)
		return api.AuditRecord{Record: b}
	}
	log := map[string][]api.AuditRecord{
		"credential.shown":            {record("credential.shown", time.Hour, "dba"), record("credential.shown", 2*time.Hour, "other"), record("credential.shown", 3*time.Hour, ""), record("credential.shown", 4*time.Hour, "dba")},
		"orders-too credential.shown": {record("credential.shown", 5*time.Hour, "other,dba"), record("credential.shown", 6*time.Hour, "dba2")},
		"session.login":               {record("session.login", 2*time.Hour, "dba"), record("session.login", 2*time.Hour, "other")},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if name := q.Get("resource"); name != "orders-db" && name != "orders-too" || q.Get("newest") != "true" || q.Get("since") == "" {
			t.Errorf("asked for %v", q)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(api.Page[api.AuditRecord]{Items: log[strings.TrimPrefix(q.Get("resource")+" ", "orders-db ")+q.Get("type")]})
	}))
	defer srv.Close()
	server, err := api.ParseServer(srv.URL)
	must(t, err)
	device, err := api.NewDevice()
	must(t, err)
	c, conn := &cli{now: func() time.Time { return now }}, &connection{Client: &api.Client{Server: server, Device: device, Token: "of-nobody"}}
	entry := api.VaultEntry{Name: "orders-dba", Resource: "orders-db", Account: "dba", CreatedAt: api.At(now.Add(-24 * time.Hour)), Resources: []string{"orders-db", "orders-too"}}
	told := func() string {
		t.Helper()
		uses, err := c.vaultUses(t.Context(), conn, entry)
		must(t, err)
		var b bytes.Buffer
		for _, u := range uses {
			fmt.Fprintf(&b, "%s %s %s %s;", now.Sub(u.At.Time), u.Principal, u.From, u.Gateway)
		}
		return b.String()
	}
	if got, want := told(), "1h0m0s user:mira 192.0.2.7 ;2h0m0s user:mira 192.0.2.8:4711 gw-1;4h0m0s user:mira 192.0.2.7 ;5h0m0s user:mira 192.0.2.7 ;"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	for range 2 * mostUses {
		log["credential.shown"] = append(log["credential.shown"], record("credential.shown", 5*time.Hour, "dba"))
	}
	if got := strings.Count(told(), ";"); got != mostUses {
		t.Errorf("%d are shown", got)
	}
}
