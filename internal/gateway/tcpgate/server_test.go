package tcpgate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"stint/internal/access"
	"stint/internal/gateway"
)

const long = 60 * time.Second // for what a slow machine may take

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("it is not so after %s: %s", long, what)
}

// world is a gateway before a target that says again what it hears, and a person.
type world struct {
	t       testing.TB
	control *control
	tapes   *tapes
	addr    string
	target  net.Listener
	reached atomic.Int32 // how many connections the target took
	gone    chan bool    // a connection to the target ended
	roots   *x509.CertPool
	key     *tls.Certificate
}

func newWorld(t testing.TB, change ...func(*control, *tapes)) *world {
	t.Helper()
	w := &world{t: t, tapes: &tapes{}, gone: make(chan bool, 16), roots: x509.NewCertPool()}
	var err error
	w.target, err = net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := w.target.Accept()
			if err != nil {
				return
			}
			w.reached.Add(1)
			all.Go(func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
				w.gone <- true
			})
		}
	})
	own, leaf := certificate(t, "*.tcp.test")
	w.roots.AddCert(leaf)
	w.key, _ = certificate(t, "ann")
	w.control = &control{end: time.Now().Add(time.Hour), certificate: w.key.Certificate[0], permit: gateway.Permit{Grant: "grt_1", Person: "ann", Target: gateway.Target{Address: w.target.Addr().String()}}}
	for _, f := range change {
		f(w.control, w.tapes)
	}
	log := slog.New(slog.DiscardHandler)
	reg, err := gateway.New(gateway.Config{Authority: w.control, Clock: gateway.NewSystemClock(), Log: log})
	must(t, err)
	s, err := New(Config{Gateway: reg, Recorder: w.tapes, Log: log, Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own, nil },
		Resource: func(name string) (access.ResourceName, bool) {
			r, is := strings.CutSuffix(name, ".tcp.test")
			return access.ResourceName(r), is
		}, PerAddress: 8})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w.addr = l.Addr().String()
	running, stop := context.WithCancel(context.Background())
	all.Go(func() { _ = reg.Run(running) })
	all.Go(func() { _ = s.Serve(running, l) })
	t.Cleanup(func() { stop(); _ = w.target.Close(); all.Wait() })
	return w
}

func certificate(t testing.TB, name string) (*tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, leaf
}

func (w *world) config() *tls.Config {
	return &tls.Config{RootCAs: w.roots, ServerName: "queue.tcp.test", Certificates: []tls.Certificate{*w.key}}
}

func (w *world) dial(c *tls.Config) *tls.Conn {
	w.t.Helper()
	conn, err := tls.Dial("tcp", w.addr, c)
	must(w.t, err)
	must(w.t, conn.SetDeadline(time.Now().Add(long)))
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func echo(c net.Conn, text string) (string, error) {
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	b := make([]byte, len(text))
	n, err := io.ReadFull(c, b)
	return string(b[:n]), err
}

// TestCarries: bytes pass in both directions, each direction ends by itself, and how much it
// was is recorded.
func TestCarries(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.config())
	text := strings.Repeat("0123456789", 30_000)
	go func() { _, _ = io.WriteString(c, text); _ = c.CloseWrite() }()
	got, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // the end comes without TLS's goodbye where a session ends
		t.Error(err)
	}
	if string(got) != text {
		t.Errorf("%d bytes come back", len(got))
	}
	eventually(t, "it is over", func() bool { return len(w.control.endings()) == 1 })
	if sent, received := w.tapes.counted(); sent != 300_000 || received != 300_000 {
		t.Errorf("%d and %d bytes are recorded", sent, received)
	}
	if f := w.control.facts; f.Protocol != "tcp" || f.Resource != "queue" || len(f.Key) == 0 {
		t.Errorf("the control plane was told %+v", f)
	}
}

// TestEnds: at a session's end both connections are closed, whatever passes or does not.
func TestEnds(t *testing.T) {
	for _, busy := range []bool{false, true} {
		w := newWorld(t)
		c := w.dial(w.config())
		if got, err := echo(c, "hello"); got != "hello" || err != nil {
			t.Fatal(got, err)
		}
		if busy { // it sends, and takes nothing
			go func() {
				b := make([]byte, 1<<20)
				for {
					if _, err := c.Write(b); err != nil {
						return
					}
				}
			}()
		}
		w.control.send(gateway.Cut{Grant: "grt_1", Reason: gateway.Revoked})
		select {
		case <-w.gone:
		case <-time.After(long):
			t.Fatal("the target's connection stays open")
		}
		eventually(t, "it is told", func() bool { return slices.Equal(w.control.endings(), []gateway.Reason{gateway.Revoked}) })
		if !busy {
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("the client reads %d, %v", n, err)
			}
		}
	}
}

// TestExpires: it ends by the gateway's own clock.
func TestExpires(t *testing.T) {
	w := newWorld(t, func(p *control, _ *tapes) { p.lasts = 4 * time.Second })
	c := w.dial(w.config())
	_, _ = io.ReadAll(c)
	eventually(t, "it is told", func() bool { return slices.Equal(w.control.endings(), []gateway.Reason{gateway.Expired}) })
}

// TestBudget: more than the role allows does not pass.
func TestBudget(t *testing.T) {
	w := newWorld(t, func(p *control, _ *tapes) { p.permit.Limits.Bytes = 1000 })
	c := w.dial(w.config())
	_, _ = echo(c, strings.Repeat("a", 2000))
	eventually(t, "it is over", func() bool { return slices.Equal(w.control.endings(), []gateway.Reason{gateway.Policy}) })
}

// TestPause: while a session is paused nothing passes.
func TestPause(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.config())
	if _, err := echo(c, "one"); err != nil {
		t.Fatal(err)
	}
	w.control.pause(true)
	eventually(t, "the gateway was told", func() bool { return w.control.told(true) })
	_, err := io.WriteString(c, "two")
	must(t, err)
	heard := make(chan string, 1)
	go func() { b := make([]byte, 3); _, _ = io.ReadFull(c, b); heard <- string(b) }()
	select {
	case text := <-heard:
		t.Errorf("%q passes a session that is paused", text)
	case <-time.After(200 * time.Millisecond):
	}
	w.control.pause(false)
	if text := <-heard; text != "two" {
		t.Errorf("afterwards comes %q", text)
	}
}

// port is that of the target, with its colon.
func port(p *control) string { return strings.TrimPrefix(p.permit.Target.Address, "127.0.0.1") }

// TestRefused: no byte reaches the target for whoever is not let in, or not recorded.
func TestRefused(t *testing.T) {
	for name, try := range map[string]func(*tls.Config, *control, *tapes){
		"no key":      func(c *tls.Config, _ *control, _ *tapes) { c.Certificates = nil },
		"another key": func(c *tls.Config, p *control, _ *tapes) { p.certificate = []byte("another") },
		"TLS 1.2":     func(c *tls.Config, _ *control, _ *tapes) { c.MaxVersion = tls.VersionTLS12 },
		"no such resource": func(c *tls.Config, _ *control, _ *tapes) {
			c.ServerName, c.InsecureSkipVerify = "queue.other.test", true
		},
		"no name":      func(c *tls.Config, _ *control, _ *tapes) { c.ServerName, c.InsecureSkipVerify = "", true },
		"not recorded": func(_ *tls.Config, _ *control, r *tapes) { r.fails = errors.New("the disk is full") },
		// Both are the target, for whoever dials without looking.
		"nobody's address":   func(_ *tls.Config, p *control, _ *tapes) { p.permit.Target.Address = "0.0.0.0" + port(p) },
		"this host, by name": func(_ *tls.Config, p *control, _ *tapes) { p.permit.Target.Address = "localhost" + port(p) },
		"a web application":  func(_ *tls.Config, p *control, _ *tapes) { p.permit.Web = &gateway.Web{} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.config()
			try(c, w.control, w.tapes)
			conn, err := tls.Dial("tcp", w.addr, c)
			if err == nil {
				_ = conn.SetDeadline(time.Now().Add(long))
				if got, err := echo(conn, "hello"); err == nil {
					t.Errorf("it carries %q", got)
				}
				_ = conn.Close()
			}
			own, err := net.Dial("tcp", w.target.Addr().String()) // taken after whatever came before
			must(t, err)
			defer func() { _ = own.Close() }()
			must(t, own.SetDeadline(time.Now().Add(long)))
			if got, err := echo(own, "control"); got != "control" || err != nil {
				t.Fatal(got, err)
			}
			if n := w.reached.Load(); n != 1 {
				t.Errorf("the target was reached %d times", n-1)
			}
		})
	}
}

// TestSilent: those that say nothing are in nobody's way.
func TestSilent(t *testing.T) {
	w := newWorld(t)
	for range 30 {
		c, err := net.Dial("tcp", w.addr)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
	}
	if got, err := echo(w.dial(w.config()), "hello"); got != "hello" || err != nil {
		t.Error(got, err)
	}
}

// TestNothingStays: after the gateway stopped nothing of it runs.
func TestNothingStays(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Run("", func(t *testing.T) {
		w := newWorld(t)
		if got, err := echo(w.dial(w.config()), "hello"); got != "hello" || err != nil {
			t.Error(got, err)
		}
	})
	goleak.VerifyNone(t, before)
}

// control is a control plane in memory.
type control struct {
	mu          sync.Mutex
	end         time.Time
	lasts       time.Duration // if not 0, the end is so long after a session is opened
	permit      gateway.Permit
	certificate []byte
	paused      bool
	answered    []bool
	facts       gateway.Facts
	ended       []gateway.Ending
	cut         func(gateway.Cut)
}

func (c *control) Open(_ context.Context, f gateway.Facts) (gateway.Permit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(f.Certificate, c.certificate) {
		return gateway.Permit{}, access.Fail(access.Denied, "no-grant", "you hold nothing here")
	}
	c.facts = f
	if c.lasts > 0 {
		c.end = time.Now().Add(c.lasts)
	}
	p := c.permit
	p.Session, p.Resource, p.End, p.Remaining = "ses_1", f.Resource, c.end, time.Until(c.end)
	return p, nil
}

func (c *control) Sign(context.Context, gateway.SessionID, []byte) ([]byte, error) {
	return nil, errors.New("not for TCP")
}

func (c *control) Renew(_ context.Context, r gateway.Report) (map[gateway.SessionID]gateway.Renewal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = append(c.ended, r.Ended...)
	all := map[gateway.SessionID]gateway.Renewal{}
	for _, id := range r.Live {
		all[id] = gateway.Renewal{Remaining: time.Until(c.end), Paused: c.paused}
	}
	c.answered = append(c.answered, c.paused)
	return all, nil
}

func (c *control) Cuts(ctx context.Context, ready func(), cut func(gateway.Cut)) error {
	c.mu.Lock()
	c.cut = cut
	c.mu.Unlock()
	ready()
	<-ctx.Done()
	return nil
}

func (c *control) send(x gateway.Cut) {
	for {
		c.mu.Lock()
		cut := c.cut
		c.mu.Unlock()
		if cut != nil {
			cut(x)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (c *control) pause(is bool) {
	c.mu.Lock()
	c.paused = is
	c.mu.Unlock()
	c.send(gateway.Cut{Look: true})
}

// told says whether the gateway took an answer of that kind: it has asked again since.
func (c *control) told(paused bool) bool {
	c.mu.Lock()
	n := len(c.answered)
	is := n > 1 && c.answered[n-1] == paused && c.answered[n-2] == paused
	c.mu.Unlock()
	if !is {
		c.send(gateway.Cut{Look: true})
	}
	return is
}

func (c *control) endings() (all []gateway.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.ended {
		all = append(all, e.Reason)
	}
	return all
}

// tapes is a recorder in memory, for one session.
type tapes struct {
	mu             sync.Mutex
	sent, received uint64
	fails          error
	instead        Recorder // which keeps the records, if it is not nil
}

func (t *tapes) Begin(s *gateway.Session, source netip.AddrPort) (Tape, error) {
	if t.instead != nil {
		return t.instead.Begin(s, source)
	}
	return t, t.fails
}

func (t *tapes) Count(sent, received uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent, t.received = sent, received
	return nil
}

func (t *tapes) Close(*gateway.Ended) error { return nil }

func (t *tapes) counted() (sent, received uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent, t.received
}
