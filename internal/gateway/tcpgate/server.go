package tcpgate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/gateway"
	"stint/internal/gateway/door"
)

const (
	buffer        = 64 << 10
	connectWithin = 10 * time.Second
	countEvery    = time.Minute // how much passed is recorded while it does
)

// Recorder keeps how much passes. An error of any of its methods ends the session.
type Recorder interface {
	// Begin starts the record of a session.
	Begin(s *gateway.Session, source netip.AddrPort) (Tape, error)
}

// Tape is the record of one session.
type Tape interface {
	// Count keeps how many bytes have passed so far, to the target and from it.
	Count(sent, received uint64) error
	// Close ends the record.
	Close(why *gateway.Ended) error
}

// Config is what a Server is made of. What has no comment is required.
type Config struct {
	Gateway  *gateway.Gateway
	Recorder Recorder
	Log      *slog.Logger
	// Certificate proves to clients that this is their gateway; asked at each connection.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Resource is what is reached under a name that a client says in TLS, in small letters.
	Resource func(name string) (access.ResourceName, bool)
	// Dial connects to a target. Nil is door.Target.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	HandshakeWithin time.Duration // from connecting to being known; 0 is 30 s
	Handshakes      int           // at once; 0 is 512
	PerAddress      int           // of them from one address; 0 is 64
}

// Server takes connections of programs.
type Server struct {
	Config
	tls  *tls.Config
	door door.Door
}

// New makes a Server.
func New(c Config) (*Server, error) {
	if c.Gateway == nil || c.Recorder == nil || c.Log == nil || c.Certificate == nil || c.Resource == nil {
		return nil, access.Fail(access.Internal, "gateway-incomplete", "a gateway for TCP needs a registry, a recorder, a log, a certificate and names of resources")
	}
	if c.Dial == nil {
		c.Dial = door.Target
	}
	s := &Server{Config: c, tls: &tls.Config{
		GetCertificate: c.Certificate, MinVersion: tls.VersionTLS13,
		// Whose key it is says the control plane, each time anew.
		ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true,
	}}
	s.door = door.Door{Log: c.Log, Within: c.HandshakeWithin, Most: c.Handshakes, Each: c.PerAddress, Take: s.take}
	return s, nil
}

// Serve takes connections from l until ctx is done, closes l, and returns when the
// connections are closed. Sessions are ended by the gateway's registry.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.door.Serve(ctx, l) }

func (s *Server) take(ctx context.Context, raw net.Conn, known func()) {
	source := door.AddressOf(raw.RemoteAddr())
	c := tls.Server(raw, s.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		s.Log.Debug("no session", "source", source, "error", err)
		return
	}
	o, err := s.open(ctx, c, source)
	if err != nil {
		s.Log.Info("no session", "source", source, "error", err)
		return
	}
	known()
	if ctx.Err() != nil {
		o.End(gateway.Stopping, "")
	}
	o.run()
}

// session is one client's connection and one to its target.
type session struct {
	*gateway.Session
	server         *Server
	client         *tls.Conn
	target         net.Conn
	tape           Tape
	sent, received atomic.Uint64
}

func (s *Server) open(ctx context.Context, c *tls.Conn, source netip.AddrPort) (_ *session, err error) {
	state := c.ConnectionState()
	resource, is := s.Resource(strings.ToLower(state.ServerName))
	if !is {
		return nil, access.Fail(access.NotFound, "no-resource", "nothing is reached under this name")
	}
	leaf := state.PeerCertificates[0] // the handshake proved its key, TLS 1.3, RFC 8446 section 4.4.3
	key, err := x509.MarshalPKIXPublicKey(leaf.PublicKey)
	if err != nil {
		return nil, access.Fail(access.Denied, "bad-key", "the client's key cannot be read").Wrap(err)
	}
	g, err := s.Gateway.Open(ctx, gateway.Facts{Protocol: "tcp", Key: key, Certificate: leaf.Raw, Resource: resource, Source: source})
	if err != nil {
		return nil, err
	}
	o := &session{Session: g, server: s, client: c}
	defer func() {
		if err != nil {
			g.End(gateway.TargetGone, "")
			if o.tape != nil {
				_ = o.tape.Close(g.Over())
			}
			g.Closed()
		}
	}()
	if g.Resource != resource {
		return nil, access.Fail(access.Internal, "bad-permit", "the control plane gave a permit for something else")
	}
	if o.tape, err = s.Recorder.Begin(g, source); err != nil {
		return nil, access.Fail(access.Unavailable, "unrecorded", "the session cannot be recorded, so it does not begin").Wrap(err)
	}
	within, done := context.WithTimeout(g.Context(), connectWithin)
	defer done()
	if o.target, err = s.Dial(within, g.Target.Address); err != nil {
		return nil, access.Fail(access.Unavailable, "target-away", "the target could not be reached").Wrap(err)
	}
	return o, nil
}

// run carries bytes until the session is over, and closes everything.
func (o *session) run() {
	var all sync.WaitGroup
	var ways atomic.Int32
	ways.Store(2)
	carry := func(to, from net.Conn, sum *atomic.Uint64, gone gateway.Reason) {
		err := o.carry(to, from, sum)
		if err == nil && ways.Add(-1) > 0 { // one side has said all: the other may go on
			if half, is := to.(interface{ CloseWrite() error }); is && half.CloseWrite() == nil {
				return
			}
		}
		o.End(gone, "")
	}
	all.Go(func() { carry(o.target, o.client, &o.sent, gateway.ClientGone) })
	all.Go(func() { carry(o.client, o.target, &o.received, gateway.TargetGone) })
	all.Go(o.count)
	<-o.Context().Done()
	_ = o.client.NetConn().Close() // TLS's own goodbye waits for a peer that does not read
	_ = o.target.Close()
	all.Wait()
	err := o.tape.Count(o.sent.Load(), o.received.Load())
	if err = errors.Join(err, o.tape.Close(o.Over())); err != nil {
		o.server.Log.Error("the end of a session was not recorded", "session", o.ID, "error", err)
	}
	o.Closed()
}

// carry passes bytes in one direction until their end.
func (o *session) carry(to io.Writer, from io.Reader, sum *atomic.Uint64) error {
	b := make([]byte, buffer)
	for {
		n, err := from.Read(b)
		if over := o.Pass(); over != nil { // it may be paused
			return over
		}
		if n > 0 {
			sum.Add(uint64(n))
			if most := o.Limits.Bytes; most > 0 && o.sent.Load()+o.received.Load() > most {
				o.End(gateway.Policy, fmt.Sprintf("more than the %d bytes that the role allows in one session", most))
				return o.Over()
			}
			if _, err := to.Write(b[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// count records how much has passed, while it does.
func (o *session) count() {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for {
		select {
		case <-o.Context().Done():
			return
		case <-tick.C:
			if err := o.tape.Count(o.sent.Load(), o.received.Load()); err != nil {
				o.server.Log.Error("a session could not be recorded", "session", o.ID, "error", err)
				o.End(gateway.Unrecorded, "")
			}
		}
	}
}
