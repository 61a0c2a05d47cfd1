package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/gateway"
	"stint/internal/gateway/control"
	"stint/internal/gateway/pggate"
	"stint/internal/gateway/sshgate"
	"stint/internal/program"
	"stint/internal/recording"
	"stint/internal/recording/carrier"
)

const (
	// heardWithin is how long ago the control plane may have answered for this gateway
	// to be ready: it is asked every 10 seconds.
	heardWithin = 15 * time.Second
	// sealWithin is what recordings have to be ended when the gateway stops.
	sealWithin = 30 * time.Second
)

// heard is an authority that notes when it answered last.
type heard struct {
	gateway.Authority
	last atomic.Int64 // nanoseconds of the wall clock
}

// Renew notes that the control plane answered.
func (h *heard) Renew(ctx context.Context, r gateway.Report) (map[gateway.SessionID]gateway.Renewal, error) {
	got, err := h.Authority.Renew(ctx, r)
	if err == nil {
		h.last.Store(time.Now().UnixNano())
	}
	return got, err
}

func (h *heard) ready() bool {
	return time.Since(time.Unix(0, h.last.Load())) < heardWithin
}

func (f flags) run(ctx context.Context, stderr io.Writer) (err error) {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	p, err := f.readPlace()
	if err != nil {
		return err
	}
	device, err := api.LoadDevice(f.path(keyFile))
	if err != nil {
		return err
	}
	host, err := f.hostKey()
	if err != nil {
		return err
	}
	c, err := client(p.Server, p.CA, device)
	if err != nil {
		return err
	}
	defer c.Close()
	ln, err := net.Listen("tcp", f.listen)
	if err != nil {
		return unusable("cannot listen on "+f.listen, err.Error(), "stop what listens there, or choose another address with --listen")
	}
	defer func() { _ = ln.Close() }() // Serve has closed it, unless something failed before
	var doors doors
	if f.postgres != "" {
		if err := doors.postgres(f, p.Address); err != nil {
			return err
		}
		defer doors.close() // Serve has closed it, unless something failed before
	}
	if f.http != "" || f.tcp != "" {
		if doors.web, err = f.openWeb(log); err != nil {
			return err
		}
		defer doors.web.close() // likewise
	}
	voice, err := control.NewVoice(p.Pins, func(pins control.Pins) error { p.Pins = pins; return f.writePlace(p) }, time.Now, log)
	if err != nil {
		return err
	}
	authority := control.Plane{Client: c, Voice: voice}
	plane := &heard{Authority: authority}
	known := newTrust(c, voice, host)
	now := &standing{plane: plane, known: known, doors: &doors}
	if f.status != "" {
		stop, err := serveStatus(f.status, now, log)
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := known.begin(ctx, log); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	spool, err := f.openSpool(known.sealed(), device, log)
	if err != nil {
		return err
	}
	defer func() {
		within, done := context.WithTimeout(context.WithoutCancel(ctx), sealWithin)
		defer done()
		err = errors.Join(err, spool.Close(within))
	}()
	g, err := gateway.New(gateway.Config{Authority: plane, Clock: gateway.NewSystemClock(), Log: log})
	if err != nil {
		return err
	}
	courier := recording.NewCourier(spool, carrier.New(c, api.GatewayWriter), log)
	now.registry.Store(g)
	now.courier.Store(courier)
	server, err := sshgate.New(sshgate.Config{Gateway: g, Recorder: sshgate.Spooled(spool), Log: log, HostKeys: []ssh.Signer{known}, Trust: known.now})
	if err != nil {
		return err
	}
	parts := []func(context.Context) error{g.Run, func(ctx context.Context) error { return server.Serve(ctx, ln) }}
	if doors.ln != nil {
		databases, err := pggate.New(pggate.Config{Gateway: g, Logins: authority, Recorder: pggate.Spooled(spool), Log: log, Certificate: doors.shown})
		if err != nil {
			return err
		}
		parts = append(parts, func(ctx context.Context) error { return databases.Serve(ctx, doors.ln) })
	}
	if doors.web != nil && doors.web.tcp != nil {
		carrier, err := doors.web.carrier(g, spool, log)
		if err != nil {
			return err
		}
		parts = append(parts, func(ctx context.Context) error { return carrier.Serve(ctx, doors.web.tcp) })
	}
	if doors.web != nil && doors.web.ln != nil {
		pages, err := doors.web.server(g, authority, spool, p.Server, log)
		if err != nil {
			return err
		}
		parts = append(parts, func(ctx context.Context) error { return pages.Serve(ctx, doors.web.ln) })
	}
	log.Info("working", "gateway", p.Pins.Gateway, "listen", ln.Addr().String(), "postgres", doors.address(), "http", doors.web.address(), "server", p.Server, "version", program.Version())

	// Sessions end first, then connections, then recordings; whichever fails stops all.
	work, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	failures := make(chan error, len(parts))
	after, stopAfter := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAfter()
	var beside sync.WaitGroup
	beside.Go(func() { known.keep(after, log) })
	beside.Go(func() { bring(after, courier, log) })
	beside.Go(func() { doors.tell(after, c, log) })
	for _, part := range parts {
		all.Go(func() {
			defer stop()
			if err := part(work); err != nil {
				failures <- err
			}
		})
	}
	all.Wait()
	stopAfter()
	beside.Wait()
	close(failures)
	for e := range failures {
		err = errors.Join(err, e)
	}
	log.Info("stopped")
	return err
}

// standing is what the status tells of. Its parts are there as they come to be.
type standing struct {
	plane    *heard
	known    *trust
	doors    *doors
	registry atomic.Pointer[gateway.Gateway]
	courier  atomic.Pointer[recording.Courier]
}

func (s *standing) ready() bool {
	return s.registry.Load() != nil && s.plane.ready() && s.doors.ready()
}

// metrics are the numbers: no names, no addresses.
func (s *standing) metrics() string {
	var out strings.Builder
	gauge := func(name, help string, value float64) {
		fmt.Fprintf(&out, "# HELP %s %s\n# TYPE %s gauge\n%s %g\n", name, help, name, name, value)
	}
	sessions := 0
	if g := s.registry.Load(); g != nil {
		sessions = g.Count()
	}
	gauge("stint_gateway_sessions", "Sessions that are open.", float64(sessions))
	answers := 0.0
	if s.plane.ready() {
		answers = 1
	}
	gauge("stint_gateway_control_plane_answers", "Whether the control plane has answered lately.", answers)
	if at := s.known.heardAt(); !at.IsZero() {
		gauge("stint_gateway_trust_age_seconds", "How long ago the control plane said whom to trust, and who was revoked; it is asked every 10 seconds.", time.Since(at).Seconds())
	}
	if c := s.courier.Load(); c != nil {
		all, stuck := c.Waiting()
		gauge("stint_gateway_recordings_waiting", "Recordings that the control plane does not have whole yet, those of open sessions among them.", float64(all))
		gauge("stint_gateway_recordings_stuck", "Of these, those that it cannot be brought: what it has is not what is here. They stay, and people look.", float64(stuck))
	}
	return out.String()
}

// serveStatus serves how things are.
func serveStatus(at string, now *standing, log *slog.Logger) (stop func(), err error) {
	ln, err := net.Listen("tcp", at)
	if err != nil {
		return nil, unusable("cannot serve the status on "+at, err.Error(), "stop what listens there, or choose another address with --status")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !now.ready() {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "not ready: the control plane has not answered lately, or does not know yet where clients connect\n")
			return
		}
		_, _ = io.WriteString(w, "ready\n")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, now.metrics())
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("the status is not served any more", "error", err)
		}
	}()
	return func() { _ = srv.Close(); <-done }, nil
}

// show prints who this gateway is, and asks whether it runs.
func (f flags) show(ctx context.Context, out io.Writer) error {
	p, err := f.readPlace()
	if err != nil {
		return err
	}
	host, err := f.hostKey()
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	runs := "no"
	if r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.status+"/readyz", nil); err == nil {
		if res, err := http.DefaultClient.Do(r); err == nil {
			text, _ := io.ReadAll(io.LimitReader(res.Body, 200)) // what is missing of it is not shown
			_ = res.Body.Close()
			runs = "yes, " + strings.TrimSpace(string(text))
		}
	}
	if _, err := fmt.Fprintf(out, "gateway       %s\naddress       %s\ninstallation  %s\nserver        %s\nhost key      %s\nruns          %s\n",
		p.Pins.Gateway, p.Address, p.Pins.Installation, p.Server, ssh.FingerprintSHA256(host.PublicKey()), runs); err != nil {
		return err
	}
	if runs == "no" {
		return access.Fail(access.Unavailable, "not-running", "the gateway does not run, or serves no status at "+f.status).Try("systemctl start stint-gateway")
	}
	return nil
}
