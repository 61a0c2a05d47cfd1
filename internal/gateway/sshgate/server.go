package sshgate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/gateway"
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
	room room
	all  sync.WaitGroup
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
		c.Dial = dialTCP
	}
	c.HandshakeWithin = orElse(c.HandshakeWithin, 30*time.Second)
	c.Handshakes, c.PerAddress = orElse(c.Handshakes, 512), orElse(c.PerAddress, 64)
	return &Server{Config: c, room: room{most: c.Handshakes, each: c.PerAddress, waiting: map[netip.Prefix][]net.Conn{}}}, nil
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// Serve takes connections from l until ctx is done, closes l, and returns when the
// connections are closed. Sessions are ended by the gateway's registry.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer s.all.Wait()
	var wait time.Duration
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accepting SSH connections: %w", err)
		}
		if err != nil {
			// Out of descriptors, or a connection that went away as it came: neither is a
			// reason to stop listening.
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.Log.Warn("a connection was not accepted", "error", err, "again_in", wait)
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			continue
		}
		wait = 0
		leave := s.room.enter(c)
		s.all.Go(func() { s.serve(ctx, c, leave) })
	}
}

// serve takes one connection from its first byte to its last.
func (s *Server) serve(ctx context.Context, raw net.Conn, leave func()) {
	defer func() { _ = raw.Close() }()
	probe(raw)
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Now()) })
	_ = raw.SetDeadline(time.Now().Add(s.HandshakeWithin))
	a := &attempt{Server: s, ctx: ctx, source: addressOf(raw.RemoteAddr())}
	client, channels, requests, err := ssh.NewServerConn(raw, a.config())
	leave()
	stopped := !stop()
	p := a.proven(client)
	if err == nil && (p == nil || stopped) {
		err = errors.New("signed in without a session, or while the gateway stops")
	}
	if err != nil {
		a.giveBack(nil)
		s.Log.Info("no session", "source", a.source, "error", err)
		return
	}
	a.giveBack(p.session)
	_ = raw.SetDeadline(time.Time{})
	c := newConn(s, client, p)
	c.run(channels, requests)
}

// probe lets the system find out that a peer has vanished: one that is silent is asked
// every 15 s, and one that does not take what is sent is given up after two minutes.
func probe(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 6})
		giveUp(t, 2*time.Minute)
	}
}

func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err == nil {
		probe(c)
	}
	return c, err
}
