package httpgate

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/gateway"
)

const (
	canary = "never-shown-to-anybody"
	host   = "orders.web.test"
	long   = 60 * time.Second // for what a slow machine may take
)

// world is a gateway before an application, and people.
type world struct {
	t       testing.TB
	app     *app
	control *control
	tapes   *tapes
	server  *Server
	reg     *gateway.Gateway
	addr    string
	roots   *x509.CertPool
}

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

// receive takes from a channel what has to come.
func receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case x := <-from:
		return x
	case <-time.After(long):
		t.Fatalf("it is not so after %s: %s", long, what)
		panic("not reached")
	}
}

// steady gives what depends on how fast the machine is three tries: that a client is not
// waited for is right, and a test that others held up is such a client. try gives what it
// found wrong.
func steady(t *testing.T, try func() string) {
	t.Helper()
	for n := 1; ; n++ {
		wrong := try()
		switch {
		case wrong == "":
			return
		case n == 3:
			t.Errorf("three times of three, the last: %s", wrong)
			return
		}
		t.Logf("try %d: %s", n, wrong)
	}
}

func newWorld(t testing.TB, change ...func(*Config, *control)) *world {
	t.Helper()
	w := &world{t: t, app: newApp(t), tapes: &tapes{}, roots: x509.NewCertPool()}
	login, err := Bearer(canary)
	must(t, err)
	w.control = &control{end: time.Now().Add(time.Hour), login: login, tickets: map[string]string{}, permit: gateway.Permit{
		Grant: "grt_1", Person: "ann",
		Target: gateway.Target{Address: w.app.Listener.Addr().String(), Name: "example.com",
			HostAuthorities: []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.app.Certificate().Raw}))}},
		Web: &gateway.Web{Rules: []gateway.PathRule{{Effect: gateway.Allow, Methods: []string{"*"}, Path: "/**"}}},
	}}
	own, leaf := certificate(t, "*.web.test", "web.test")
	w.roots.AddCert(leaf)
	log := slog.New(slog.DiscardHandler)
	w.reg, err = gateway.New(gateway.Config{Authority: w.control, Clock: gateway.NewSystemClock(), Log: log})
	must(t, err)
	_, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	c := Config{Gateway: w.reg, Logins: w.control, Recorder: w.tapes, Log: log, Key: key, Resource: Under("web.test"), SignIn: w.control.signIn,
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own, nil }}
	for _, f := range change {
		f(&c, w.control)
	}
	w.server, err = New(c)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w.addr = l.Addr().String()
	running, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = w.reg.Run(running) })
	all.Go(func() { _ = w.server.Serve(running, l) })
	t.Cleanup(func() { stop(); all.Wait() })
	return w
}

func certificate(t testing.TB, names ...string) (*tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, leaf
}

// browser is a client with cookies that follows nothing by itself.
func (w *world) browser(h2 bool) *http.Client {
	jar, err := cookiejar.New(nil)
	must(w.t, err)
	tr := &http.Transport{DialContext: w.dial, TLSClientConfig: &tls.Config{RootCAs: w.roots}, DisableCompression: true, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetHTTP2(h2)
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Jar: jar, Timeout: long, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (w *world) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", w.addr)
}

// signedIn is a browser that came back from the sign-in.
func (w *world) signedIn(h2 bool) *http.Client {
	w.t.Helper()
	c := w.browser(h2)
	r, _ := w.get(c, "https://"+host+"/begin?a=1", "Accept", "text/html")
	to, err := r.Location()
	must(w.t, err)
	r, text := w.get(c, w.control.sign(to), "Accept", "text/html")
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/begin?a=1" {
		w.t.Fatalf("signed in: %s, to %q: %s", r.Status, r.Header.Get("Location"), text)
	}
	return c
}

// cookieOf is the gateway's cookie of a browser.
func (w *world) cookieOf(c *http.Client) string {
	u, _ := url.Parse("https://" + host + "/")
	for _, k := range c.Jar.Cookies(u) {
		if k.Name == cookieName {
			return k.Name + "=" + k.Value
		}
	}
	w.t.Fatal("the browser has no cookie")
	return ""
}

func (w *world) get(c *http.Client, to string, headers ...string) (*http.Response, string) {
	w.t.Helper()
	return w.ask(c, http.MethodGet, to, nil, headers...)
}

func (w *world) ask(c *http.Client, method, to string, body io.Reader, headers ...string) (*http.Response, string) {
	w.t.Helper()
	r, err := http.NewRequest(method, to, body)
	must(w.t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if strings.HasPrefix(to, "https://"+host) && r.Header.Get("Host") != "" {
		r.Host = r.Header.Get("Host")
	}
	got, err := c.Do(r)
	must(w.t, err)
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(got.Body)
	must(w.t, err)
	return got, string(text)
}

// device is how a program with the person's key connects.
func (w *world) device() *tls.Config {
	return &tls.Config{RootCAs: w.roots, ServerName: host, NextProtos: []string{DeviceProtocol, "http/1.1"}, Certificates: []tls.Certificate{*w.control.person(w.t)}}
}

// raw is a connection on which a test writes what it likes.
func (w *world) raw(c *tls.Config) (*tls.Conn, *bufio.Reader) {
	w.t.Helper()
	conn, err := tls.Dial("tcp", w.addr, c)
	must(w.t, err)
	must(w.t, conn.SetDeadline(time.Now().Add(long)))
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn, bufio.NewReader(conn)
}

// say writes one request on a connection of its own, and reads one answer; 0 where there
// is none.
func (w *world) say(text string) (int, string) {
	w.t.Helper()
	c, r := w.raw(w.device())
	_, _ = io.WriteString(c, text) // it may be refused before it is whole
	got, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, ""
	}
	b, _ := io.ReadAll(got.Body)
	return got.StatusCode, string(b)
}

// app is an application that tells what it saw.
type app struct {
	*httptest.Server
	mux *http.ServeMux

	mu   sync.Mutex
	seen []*http.Request
}

func newApp(t testing.TB) *app {
	a := &app{mux: http.NewServeMux()}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.seen = append(a.seen, r.Clone(context.Background()))
		a.mu.Unlock()
		a.mux.ServeHTTP(w, r)
	}))
	a.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	a.StartTLS()
	t.Cleanup(a.Close)
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %d", r.Method, r.RequestURI, n)
	})
	return a
}

// targets are the requests that it saw.
func (a *app) targets() (all []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.seen {
		all = append(all, r.Method+" "+r.RequestURI)
	}
	return all
}

func (a *app) last() *http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen[len(a.seen)-1]
}

// control is a control plane in memory, with its sign-in and the application's login.
type control struct {
	mu      sync.Mutex
	end     time.Time
	lasts   time.Duration // if not 0, the end is so long after a session is opened
	permit  gateway.Permit
	login   Login
	key     *tls.Certificate
	tickets map[string]string // to challenges
	wishes  []Wish
	opened  int
	paused  bool
	refuse  error
	facts   gateway.Facts
	ended   []gateway.Ending
	cut     func(gateway.Cut)
}

func (c *control) person(t testing.TB) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key == nil {
		c.key, _ = certificate(t, "ann")
	}
	return c.key
}

func (c *control) signIn(x Wish) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wishes = append(c.wishes, x)
	return "https://stint.test/open?" + url.Values{"back": {x.Back}, "state": {x.State}, "challenge": {x.Challenge}}.Encode()
}

// sign is where the sign-in sends a browser back to.
func (c *control) sign(to *url.URL) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ticket := "ticket" + strconv.Itoa(len(c.tickets))
	c.tickets[ticket] = to.Query().Get("challenge")
	return to.Query().Get("back") + "?" + url.Values{"ticket": {ticket}, "state": {to.Query().Get("state")}}.Encode()
}

var errNothing = access.Fail(access.Denied, "no-grant", "you hold nothing here").Try("stint request orders")

func (c *control) Open(_ context.Context, f gateway.Facts) (gateway.Permit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		return gateway.Permit{}, c.refuse
	}
	switch {
	case f.Ticket != "":
		sum := sha256.Sum256([]byte(f.Verifier))
		if want := c.tickets[f.Ticket]; want == "" || want != b64.EncodeToString(sum[:]) {
			return gateway.Permit{}, errNothing
		}
		c.tickets[f.Ticket] = ""
	default:
		if c.key == nil || !slices.Equal(f.Certificate, c.key.Certificate[0]) {
			return gateway.Permit{}, errNothing
		}
	}
	c.opened++
	c.facts = f
	if c.lasts > 0 {
		c.end = time.Now().Add(c.lasts)
	}
	p := c.permit
	p.Session, p.Resource = gateway.SessionID("ses_"+strconv.Itoa(c.opened)), f.Resource
	p.End, p.Remaining = c.end, time.Until(c.end)
	return p, nil
}

func (c *control) Login(context.Context, gateway.SessionID) (Login, error) { return c.login, nil }

func (c *control) Sign(context.Context, gateway.SessionID, []byte) ([]byte, error) {
	return nil, errors.New("not for the web")
}

func (c *control) Renew(_ context.Context, r gateway.Report) (map[gateway.SessionID]gateway.Renewal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = append(c.ended, r.Ended...)
	all := map[gateway.SessionID]gateway.Renewal{}
	for _, id := range r.Live {
		all[id] = gateway.Renewal{Remaining: time.Until(c.end), Paused: c.paused}
	}
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

func (c *control) revoke() {
	c.send(gateway.Cut{Grant: "grt_1", Reason: gateway.Revoked, Text: "an exercise"})
}

func (c *control) pause(is bool) {
	c.mu.Lock()
	c.paused = is
	c.mu.Unlock()
	c.send(gateway.Cut{Look: true})
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

// endings are the reasons that were told.
func (c *control) endings() (all []gateway.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.ended {
		all = append(all, e.Reason)
	}
	return all
}

// tapes is a recorder in memory.
type tapes struct {
	mu    sync.Mutex
	all   []*tape
	fails func(Request) error
}

type tape struct {
	of       *tapes
	from     Client
	requests []Request
	bodies   map[string]string
	outcomes map[uint64]Outcome
	closed   *gateway.Ended
}

func (t *tapes) Begin(_ *gateway.Session, from Client) (Tape, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := &tape{of: t, from: from, outcomes: map[uint64]Outcome{}, bodies: map[string]string{}}
	t.all = append(t.all, one)
	return one, nil
}

func (t *tapes) last() *tape {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[len(t.all)-1]
}

func (t *tape) Request(r Request) error {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.of.fails != nil {
		if err := t.of.fails(r); err != nil {
			return err
		}
	}
	t.requests = append(t.requests, r)
	return nil
}

func (t *tape) Body(n uint64, answer bool, data []byte) error {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.bodies[fmt.Sprint(n, answer)] += string(data)
	return nil
}

func (t *tape) Outcome(n uint64, _ Request, o Outcome) error {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.outcomes[n] = o
	return nil
}

func (t *tape) Close(why *gateway.Ended) error {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.closed = why
	return nil
}

// sent are the requests that were recorded as sent on, refused those that were not.
func (t *tapes) sent() (sent, refused []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.all {
		for _, r := range one.requests {
			if line := r.Method + " " + r.Target; r.Why == "" {
				sent = append(sent, line)
			} else {
				refused = append(refused, line)
			}
		}
	}
	return sent, refused
}

func (t *tape) outcome(n uint64) (Outcome, bool) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	o, is := t.outcomes[n]
	return o, is
}
