package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/api"
)

// TestRenewedCertificateIsTold: another certificate at the door for the web is told at once:
// programs know the gateway by it.
func TestRenewedCertificateIsTold(t *testing.T) {
	var told atomic.Value
	told.Store("")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var in api.GatewayDoors
		if json.Unmarshal(body, &in) == nil && len(in.Doors) == 1 {
			told.Store(in.Doors[0].Certificate)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"doors":[]}`))
	}))
	defer srv.Close()
	server, err := api.ParseServer(srv.URL)
	must(t, err)
	device, err := api.NewDevice()
	must(t, err)
	c := &api.Client{Server: server, Device: device}
	defer c.Close()

	files := t.TempDir()
	at := filepath.Join(files, "web.pem")
	renew := func() {
		text, err := newDoor("any.apps.test", time.Now())
		must(t, err)
		must(t, os.WriteFile(at, text, 0o600))
	}
	renew()
	web, err := flags{state: files, http: "127.0.0.1:0", domain: "apps.test", cert: at, key: at}.openWeb(slog.New(slog.DiscardHandler))
	must(t, err)
	defer web.close()
	d := doors{web: web}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.tell(ctx, c, slog.New(slog.DiscardHandler)) }()
	defer func() { cancel(); <-done }()
	for n := range 3 {
		if n > 0 {
			renew()
			web.looked.Store(0) // a minute later
			_, err := web.shown(nil)
			must(t, err)
		}
		for end := time.Now().Add(30 * time.Second); told.Load() != web.now.Load().pem; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the control plane was not told of certificate %d", n)
			}
		}
	}
}
