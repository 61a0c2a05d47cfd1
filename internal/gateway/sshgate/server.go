package sshgate

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/gateway"
	"stint/internal/gateway/door"
)

// Config is what a Server is made of. What has no comment is required.
type Config struct {
	Gateway  *gateway.Gateway
	Recorder Recorder
	Log      *slog.Logger
	// HostKeys prove to persons that this is their gateway; with certificates of the host
	// authority nobody has to compare fingerprints.
	HostKeys []ssh.Signer
	// Trust is asked at each sign-in, so that authorities and revocations may change.
	Trust func() Trust
	// Dial connects to a target. Nil dials TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	HandshakeWithin time.Duration // from connecting to being signed in; 0 is 30 s
	Handshakes      int           // at once; 0 is 512
	PerAddress      int           // of them from one address; 0 is 64
}

const (
	dialWithin   = 10 * time.Second
	tries        = 6  // keys that may sign before the connection is closed
	mostChannels = 64 // of one connection at once
)

// Server takes SSH connections.
type Server struct {
	Config
	door door.Door
}

// New makes a Server.
func New(c Config) (*Server, error) {
	if c.Gateway == nil || c.Recorder == nil || c.Log == nil || c.Trust == nil || len(c.HostKeys) == 0 {
		return nil, access.Fail(access.Internal, "gateway-incomplete", "an SSH gateway needs a registry, a recorder, a log, trust and a host key")
	}
	for _, a := range c.Trust().UserAuthorities {
		if _, is := a.(*ssh.Certificate); is {
			return nil, access.Fail(access.Invalid, "bad-authority", "an authority for certificates of persons is itself a certificate").
				Try("name the authority's public key")
		}
	}
	if c.Trust().Revoked == nil {
		return nil, access.Fail(access.Internal, "gateway-incomplete", "an SSH gateway needs to know what is revoked")
	}
	if c.Dial == nil {
		c.Dial = door.Dial
	}
	s := &Server{Config: c}
	s.door = door.Door{Log: c.Log, Within: c.HandshakeWithin, Most: c.Handshakes, Each: c.PerAddress, Take: s.serve}
	return s, nil
}

// Serve takes connections from l until ctx is done, closes l, and returns when the
// connections are closed. Sessions are ended by the gateway's registry.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.door.Serve(ctx, l) }

// serve takes one connection from its first byte to its last.
func (s *Server) serve(ctx context.Context, raw net.Conn, known func()) {
	a := &attempt{Server: s, ctx: ctx, source: door.AddressOf(raw.RemoteAddr())}
	client, channels, requests, err := ssh.NewServerConn(door.Gather(raw), a.config())
	known()
	p := a.proven(client)
	if err == nil && (p == nil || ctx.Err() != nil) {
		err = errors.New("signed in without a session, or while the gateway stops")
	}
	if err != nil {
		a.giveBack(nil)
		s.Log.Info("no session", "source", a.source, "error", err)
		return
	}
	a.giveBack(p.session)
	c := newConn(s, client, p)
	c.run(channels, requests)
}
