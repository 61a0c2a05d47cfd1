package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/gateway"
)

// TestReadyOnceTold: a gateway with a door that nobody is sent to is not ready; one without doors
// has nothing to tell.
func TestReadyOnceTold(t *testing.T) {
	told, answers := make(chan struct{}), atomic.Bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then is it seen that the client is gone
		if !answers.Load() {
			close(told)
			<-r.Context().Done()
			return
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

	var d doors
	now := &standing{plane: &heard{}, doors: &d}
	now.registry.Store(&gateway.Gateway{})
	now.plane.last.Store(time.Now().Add(time.Minute).UnixNano()) // for as long as the test takes
	if !now.ready() {
		t.Fatal("without a door it is not ready")
	}
	d.ln, err = net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer d.close()
	tell := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); d.tell(ctx, c, slog.New(slog.DiscardHandler)) }()
		return func() { cancel(); <-done }
	}
	stop := tell()
	<-told
	stop()
	if now.ready() {
		t.Error("it is ready, and the control plane does not know of its door")
	}
	answers.Store(true)
	stop = tell()
	defer stop()
	for end := time.Now().Add(20 * time.Second); !now.ready(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the control plane was told, and it is not ready")
		}
	}
}
