package httpgate

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/gateway"
	"stint/internal/gateway/door"
)

const (
	headersWithin = 10 * time.Second
	idleConn      = 2 * time.Minute
	mostHeaders   = 64 << 10
	closeWithin   = 2 * time.Second // after the server was stopped
	rememberEnded = time.Hour
	mostEnded     = 10_000
)

// DeviceProtocol is what a program that has a device's key says in its handshake (ALPN),
// beside http/1.1: it is asked for the key then. Browsers are not, or they would ask the
// person for a certificate.
const DeviceProtocol = "stint-device"

// Wish is what a browser is sent to the control plane's sign-in for.
type Wish struct {
	Resource  access.ResourceName
	Back      string // where the sign-in sends it back to, with ticket=… and this state
	State     string
	Challenge string // of the verifier that goes with the ticket (RFC 7636, S256)
}

// Config is what a Server is made of. What has no comment is required.
type Config struct {
	Gateway  *gateway.Gateway
	Logins   Logins
	Recorder Recorder
	Log      *slog.Logger
	// Certificate proves to clients that this is their gateway; asked at each connection.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Key signs who requests are.
	Key ed25519.PrivateKey
	// Resource is what is reached under a host name, in small letters.
	Resource func(host string) (access.ResourceName, bool)
	// SignIn is where a browser is sent that nobody is known behind.
	SignIn func(Wish) string
	// Port is by which clients reach it; 0 is 443. Applications are told it, whatever port a
	// client says.
	Port uint16
	// Dial connects to an application. Nil is door.Target.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	IdleAfter       time.Duration // after the latest request of a session it ends; 0 is 15 min
	StallAfter      time.Duration // without a byte that a peer was waited for; 0 is 60 s
	LoginWithin     time.Duration // for a login by form; 0 is 20 s
	LoginEvery      time.Duration // at most, by form, for one session, and after a refusal; 0 is 30 s
	LogoutWithin    time.Duration // for ending a login by form, and for the answer to one that a session that is over had sent; 0 is 5 s
	HandshakeWithin time.Duration // from connecting to the first request of somebody who is known; 0 is 30 s
	Handshakes      int           // at once; 0 is 512
	PerAddress      int           // of them from one address; 0 is 64
}

// Server takes connections of browsers and programs.
type Server struct {
	Config
	tls, device *tls.Config
	door        door.Door
	voice       *voice
	http        *http.Server
	proxy       *httputil.ReverseProxy
	waiting     *queue
	buffers     buffers
	lanes       lanes // of logins by form

	all sync.WaitGroup // requests and sessions

	mu       sync.Mutex
	stopping bool
	sessions map[place]*session
	opening  map[place]*opening // sessions of devices that are asked for
	ended    map[place]ended    // why sessions ended, for whoever comes back
}

type ended struct {
	why *gateway.Ended
	at  time.Time
}

// opening is one question for several requests.
type opening struct {
	done    chan struct{}
	session *session
	err     error
}

var errStopping = access.Fail(access.Unavailable, "gateway-stopping", "the gateway is stopping").Try("try again in a moment")

// New makes a Server.
func New(c Config) (*Server, error) {
	if c.Gateway == nil || c.Logins == nil || c.Recorder == nil || c.Log == nil || c.Certificate == nil || c.Resource == nil || c.SignIn == nil {
		return nil, access.Fail(access.Internal, "gateway-incomplete", "a web gateway needs a registry, logins, a recorder, a log, a certificate, names of resources and a sign-in")
	}
	if c.Dial == nil {
		c.Dial = door.Target
	}
	if c.IdleAfter == 0 {
		c.IdleAfter = 15 * time.Minute
	}
	if c.StallAfter == 0 {
		c.StallAfter = time.Minute
	}
	if c.LoginWithin == 0 {
		c.LoginWithin = 20 * time.Second
	}
	if c.LoginEvery == 0 {
		c.LoginEvery = 30 * time.Second
	}
	if c.LogoutWithin == 0 {
		c.LogoutWithin = 5 * time.Second
	}
	v, err := newVoice(c.Key)
	if err != nil {
		return nil, err
	}
	s := &Server{Config: c, voice: v, sessions: map[place]*session{}, opening: map[place]*opening{}, ended: map[place]ended{}, waiting: newQueue()}
	s.device = &tls.Config{
		GetCertificate: c.Certificate, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
		// Whose key it is says the control plane: no authority is trusted here, and no
		// connection goes on from an earlier one.
		ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true,
	}
	s.tls = &tls.Config{
		GetCertificate: c.Certificate, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if slices.Contains(h.SupportedProtos, DeviceProtocol) {
				return s.device, nil
			}
			return nil, nil
		},
	}
	quiet := slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)
	s.http = &http.Server{
		Handler: s, TLSConfig: s.tls, ErrorLog: quiet, ReadHeaderTimeout: headersWithin, IdleTimeout: idleConn, MaxHeaderBytes: mostHeaders, DisableGeneralOptionsHandler: true,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 100},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, bare(c))
		},
	}
	s.proxy = &httputil.ReverseProxy{Rewrite: rewrite, Transport: route{}, ModifyResponse: modify, ErrorHandler: failed, ErrorLog: quiet, BufferPool: &s.buffers}
	s.door = door.Door{Log: c.Log, Within: c.HandshakeWithin, Most: c.Handshakes, Each: c.PerAddress, Take: s.take}
	return s, nil
}

// Serve takes connections from l until ctx is done, closes l, and returns when the
// connections are closed and the sessions over.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.http.Serve(s.waiting) // until it is closed
	}()
	stop := context.AfterFunc(ctx, s.stop)
	defer stop()
	err := s.door.Serve(ctx, l)
	s.stop()
	<-served
	s.all.Wait()
	return err
}

// stop ends sessions and connections, and lets none begin.
func (s *Server) stop() {
	s.mu.Lock()
	s.stopping = true
	var all []*session
	for _, o := range s.sessions {
		all = append(all, o)
	}
	s.mu.Unlock()
	for _, o := range all {
		o.End(gateway.Stopping, "")
	}
	for _, o := range all {
		<-o.none // its requests have said why, where they could
	}
	_ = s.http.Close()
}

// take has one connection from its first byte to its last.
func (s *Server) take(ctx context.Context, raw net.Conn, known func()) {
	c := newConn(raw, s.door.Within, known)
	if !s.waiting.put(tls.Server(c, s.tls), ctx.Done()) {
		return
	}
	select {
	case <-c.gone:
	case <-ctx.Done(): // stop closes it, unless it came in between
		select {
		case <-c.gone:
		case <-time.After(closeWithin):
			_ = c.Close()
		}
	}
}

// come counts a request in, unless the server stops.
func (s *Server) come() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.all.Add(1)
	}
	return !s.stopping
}

// leave forgets a session that is over, and remembers why it is.
func (s *Server) leave(o *session) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[o.at] == o { // a device may have another by now
		delete(s.sessions, o.at)
	}
	if len(s.ended) >= mostEnded {
		for p, e := range s.ended {
			if now.Sub(e.at) > rememberEnded {
				delete(s.ended, p)
			}
		}
	}
	if len(s.ended) >= mostEnded {
		clear(s.ended)
	}
	s.ended[o.at] = ended{o.Over(), now}
}

// find is the session of a place, or why there is none any more.
func (s *Server) find(p place) (*session, *gateway.Ended) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.sessions[p]; o != nil {
		return o, o.Over()
	}
	if e, was := s.ended[p]; was && time.Since(e.at) < rememberEnded {
		return nil, e.why
	}
	return nil, nil
}

// forDevice is the session of a device's key with a resource. Requests that come at the
// same time ask for it once.
func (s *Server) forDevice(r *http.Request, q *request) (*session, error) {
	leaf := r.TLS.PeerCertificates[0] // the handshake proved its key, TLS 1.3, RFC 8446 section 4.4.3
	key, err := x509.MarshalPKIXPublicKey(leaf.PublicKey)
	if err != nil {
		return nil, access.Fail(access.Denied, "bad-key", "the client's key cannot be read").Wrap(err)
	}
	at := place{sha256.Sum256(key), "device " + q.host}
	s.mu.Lock()
	if o := s.sessions[at]; o != nil && o.Over() == nil {
		s.mu.Unlock()
		return o, nil
	}
	w := s.opening[at]
	first := w == nil
	if first {
		w = &opening{done: make(chan struct{})}
		s.opening[at] = w
	}
	s.mu.Unlock()
	if first {
		w.session, w.err = s.open(context.WithoutCancel(r.Context()), gateway.Facts{Protocol: "http", Key: key, Certificate: leaf.Raw, Resource: q.resource, Source: q.source}, at, q.self,
			Client{Source: q.source, Program: r.UserAgent()})
		s.mu.Lock()
		delete(s.opening, at)
		s.mu.Unlock()
		close(w.done)
	}
	select {
	case <-w.done:
		return w.session, w.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// Under names resources by the first label of their hosts: R.domain is R. A domain of which
// people have other hosts is none for it: cookies reach across hosts of one domain.
func Under(domain string) func(host string) (access.ResourceName, bool) {
	domain = "." + strings.ToLower(strings.Trim(domain, "."))
	return func(host string) (access.ResourceName, bool) {
		label, is := strings.CutSuffix(host, domain)
		return access.ResourceName(label), is && label != "" && !strings.Contains(label, ".")
	}
}

// conn is a connection whose deadlines are never later than it may wait, until somebody is
// known behind it.
type conn struct {
	net.Conn
	known func()
	gone  chan struct{} // closed when it is
	once  sync.Once

	mu    sync.Mutex
	limit time.Time // no deadline is later; zero: there is none
}

type connKey struct{}

func newConn(raw net.Conn, within time.Duration, known func()) *conn {
	return &conn{Conn: raw, known: known, gone: make(chan struct{}), limit: time.Now().Add(within)}
}

// bare is the connection under TLS.
func bare(c net.Conn) *conn {
	if t, is := c.(*tls.Conn); is {
		c = t.NetConn()
	}
	b, _ := c.(*conn)
	return b
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { close(c.gone) })
	return err
}

// meet says that somebody is known behind it.
func (c *conn) meet() {
	c.mu.Lock()
	first := !c.limit.IsZero() && c.known != nil
	known := c.known
	if first {
		c.limit, c.known = time.Time{}, nil
	}
	c.mu.Unlock()
	if first {
		known()
	}
}

// doom lets it live for so long at most.
func (c *conn) doom(for1 time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = time.Now().Add(for1)
	_ = c.Conn.SetDeadline(c.limit)
}

func (c *conn) bound(t time.Time) time.Time {
	if !c.limit.IsZero() && (t.IsZero() || t.After(c.limit)) {
		return c.limit
	}
	return t
}

func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.SetDeadline(c.bound(t))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.SetReadDeadline(c.bound(t))
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.SetWriteDeadline(c.bound(t))
}

// queue hands connections from the door to the HTTP server.
type queue struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newQueue() *queue { return &queue{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (q *queue) put(c net.Conn, stop <-chan struct{}) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.closed:
	case <-stop:
	}
	return false
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

func (q *queue) Addr() net.Addr { return &net.TCPAddr{} }

// buffers are those through which bodies pass.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, is := b.pool.Get().(*[]byte); is {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

var errGone = errors.New("it is gone")
