package pggate

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"regexp"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/gateway"
	"stint/internal/gateway/door"
)

// Logins gives the password of a session's login at its server. It is asked once for each
// session, right before it is used, and what it gives is not kept.
type Logins interface {
	Password(ctx context.Context, id gateway.SessionID) ([]byte, error)
}

// Config is what a Server is made of. What has no comment is required.
type Config struct {
	Gateway  *gateway.Gateway
	Logins   Logins
	Recorder Recorder
	Log      *slog.Logger
	// Certificate proves to clients that this is their gateway; asked at each connection.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Dial connects to a server. Nil dials TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	HandshakeWithin time.Duration // from connecting to being signed in; 0 is 30 s
	Handshakes      int           // at once; 0 is 512
	PerAddress      int           // of them from one address; 0 is 64
}

// Server takes connections of PostgreSQL's clients.
type Server struct {
	Config
	tls  *tls.Config
	door door.Door

	mu   sync.Mutex
	keys map[uint32]*session // live sessions, by the process number that their clients know
}

// New makes a Server.
func New(c Config) (*Server, error) {
	if c.Gateway == nil || c.Logins == nil || c.Recorder == nil || c.Log == nil || c.Certificate == nil {
		return nil, access.Fail(access.Internal, "gateway-incomplete", "a PostgreSQL gateway needs a registry, logins, a recorder, a log and a certificate")
	}
	if c.Dial == nil {
		c.Dial = door.Dial
	}
	s := &Server{Config: c, keys: map[uint32]*session{}, tls: &tls.Config{
		GetCertificate: c.Certificate,
		MinVersion:     tls.VersionTLS13,
		// Whose key it is says the control plane, each time anew: no authority is trusted
		// here, and no connection goes on from an earlier one.
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		NextProtos:             []string{"postgresql"},
	}}
	s.door = door.Door{Log: c.Log, Within: c.HandshakeWithin, Most: c.Handshakes, Each: c.PerAddress, Take: s.serve}
	return s, nil
}

// Serve takes connections from l until ctx is done, closes l, and returns when the
// connections are closed. Sessions are ended by the gateway's registry.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.door.Serve(ctx, l) }

// serve takes one connection from its first byte to its last.
func (s *Server) serve(ctx context.Context, raw net.Conn, known func()) {
	source := door.AddressOf(raw.RemoteAddr())
	c, want, err := s.greet(ctx, raw)
	if c == nil {
		if err != nil && !errors.Is(err, io.EOF) {
			s.Log.Info("no session", "source", source, "error", err)
		}
		return
	}
	var o *session
	if err == nil {
		o, err = s.open(ctx, c, want, known)
	}
	if err != nil {
		s.Log.Info("no session", "source", source, "error", err)
		_, _ = c.Write(refusal(err))
		return
	}
	o.run()
}

// greet brings a connection to where its client has said what it wants, by TLS. Without a
// connection there is nobody to tell an error.
func (s *Server) greet(ctx context.Context, raw net.Conn) (c net.Conn, want startup, err error) {
	var b [1]byte
	if _, err := io.ReadFull(raw, b[:]); err != nil {
		return nil, want, err
	}
	wish, secure, err := begins(raw, b[0])
	switch {
	case errors.As(err, new(*access.Error)):
		return raw, want, err
	case err != nil:
		return nil, want, err
	case !secure:
		s.cancelFor(ctx, wish)
		return nil, want, nil
	}
	if b[0] == 0x16 {
		raw = &unread{Conn: raw, first: b[:]}
	}
	t := tls.Server(&ahead{Conn: raw}, s.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, want, err
	}
	if b[0] == 0x16 && t.ConnectionState().NegotiatedProtocol != "postgresql" {
		return nil, want, errors.New("TLS without a question, and for another protocol")
	}
	p, err := readFirst(t)
	switch {
	case err != nil:
		return nil, want, err
	case p.code == wantsCancel:
		s.cancelFor(ctx, p.rest)
		return nil, want, nil
	}
	if want, err = parseStartup(p); err == nil {
		if differs := want.negotiated(); differs != nil {
			_, err = t.Write(differs)
		}
	}
	return t, want, err
}

var resourceForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// open asks for the session and signs in to its server. known is called when the control
// plane has let the person in.
func (s *Server) open(ctx context.Context, c net.Conn, want startup, known func()) (_ *session, err error) {
	t, is := c.(*tls.Conn)
	if !is || len(t.ConnectionState().PeerCertificates) == 0 {
		return nil, access.Fail(access.Denied, "no-key", "the client showed no key").Try("use stint db, or a client certificate of stint")
	}
	leaf := t.ConnectionState().PeerCertificates[0] // the handshake proved its key, TLS 1.3, RFC 8446 section 4.4.3
	key, err := x509.MarshalPKIXPublicKey(leaf.PublicKey)
	if err != nil {
		return nil, access.Fail(access.Denied, "bad-key", "the client's key cannot be read").Wrap(err)
	}
	if !resourceForm.MatchString(want.User) {
		return nil, access.Fail(access.Invalid, "bad-user", "the user name does not name a resource").
			Try("connect as user=RESOURCE; stint get resources lists what there is")
	}
	source := door.AddressOf(c.RemoteAddr())
	session1, err := s.Gateway.Open(ctx, gateway.Facts{Protocol: "postgres", Key: key, Certificate: leaf.Raw, Resource: access.ResourceName(want.User), Source: source})
	if err != nil {
		return nil, err
	}
	o := &session{server: s, Session: session1, client: c, source: source, track: newTracker()}
	defer func() {
		if err != nil {
			session1.End(gateway.Refused, "")
			if o.tape != nil {
				_ = o.tape.Close(session1.Over())
			}
			session1.Closed()
		}
	}()
	if o.tape, err = s.Recorder.Begin(session1, Client{Source: source, Application: want.Parameters["application_name"], Database: want.Database}); err != nil {
		return nil, access.Fail(access.Unavailable, "unrecorded", "the session cannot be recorded, so it does not begin").Wrap(err).Try("try again later, or by another gateway")
	}
	if o.up, err = s.connect(session1.Context(), &session1.Permit, session1.ID, want); err != nil {
		return nil, err
	}
	known()
	if ctx.Err() != nil {
		return nil, errors.Join(access.Fail(access.Unavailable, "gateway-stopping", "the gateway is stopping"), o.up.Close())
	}
	return o, nil
}

// enter gives a session a cancel key that no other has.
func (s *Server) enter(o *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // it never fails, crypto/rand
		pid := binary.BigEndian.Uint32(b[:4]) >> 1
		if s.keys[pid] == nil && pid != 0 {
			o.pid, s.keys[pid] = pid, o
			copy(o.secret[:], b[4:])
			return
		}
	}
}

func (s *Server) leave(o *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, o.pid)
}

// cancelFor passes a client's wish on, if it has the key of a session that is live. It
// says nothing to whoever has not.
func (s *Server) cancelFor(ctx context.Context, wish []byte) {
	if len(wish) != 8 {
		return
	}
	s.mu.Lock()
	o := s.keys[binary.BigEndian.Uint32(wish)]
	s.mu.Unlock()
	if o == nil || subtle.ConstantTimeCompare(wish[4:], o.secret[:]) != 1 || o.Over() != nil {
		return
	}
	if err := s.cancel(ctx, o.up); err != nil {
		s.Log.Info("a statement was not cancelled", "session", o.ID, "error", err)
	}
}

// refusal is an error as a client shows it before it is signed in.
func refusal(err error) []byte {
	var ours *access.Error
	if !errors.As(err, &ours) {
		return said('E', "S", "FATAL", "V", "FATAL", "C", "08P01", "M", "the connection broke the protocol")
	}
	code := "28000" // invalid_authorization_specification
	switch ours.Kind {
	case access.Unavailable:
		code = "57P03" // cannot_connect_now
	case access.TooMany:
		code = "53300" // too_many_connections
	}
	return said('E', "S", "FATAL", "V", "FATAL", "C", code, "M", ours.Message, "D", ours.Why, "H", ours.Next)
}

// unread is a connection of which the first bytes were read already.
type unread struct {
	net.Conn
	first []byte
}

func (u *unread) Read(p []byte) (int, error) {
	if len(u.first) > 0 {
		n := copy(p, u.first)
		u.first = u.first[n:]
		return n, nil
	}
	return u.Conn.Read(p)
}
