package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"stint/internal/api"
)

// Sessions with a web application through a gateway, for programs: a line listens on this
// machine, and each connection to it is one to the gateway that shows a key.
//
//	curl ──http, 127.0.0.1──► line ──TLS 1.3, the key──► gateway ──► application

// deviceProtocol tells a gateway that a program has a key to show.
const deviceProtocol = "stint-device"

// webKey is a key that opens sessions with web applications, and what it opens.
type webKey struct {
	api.WebKey
	private *ecdsa.PrivateKey
	der     []byte // the certificate that it is shown in
	gateway *x509.Certificate
	host    string // of the resource

	protocols []string // that it is shown with (ALPN)
}

// newKey makes a key and has it registered for the grant. It is this process's alone.
func (l *webLine) newKey(ctx context.Context) (*webKey, error) {
	conn, r, now := l.conn, l.request, l.c.now()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	k := &webKey{private: private}
	register, protocols := conn.RegisterWebKey, []string{deviceProtocol, "http/1.1"}
	if l.tcp {
		register, protocols = conn.RegisterTCPKey, nil
	}
	k.protocols = protocols
	if k.WebKey, err = register(ctx, r.ID, api.DatabaseKeyAsk{PublicKey: public}); err != nil {
		return nil, err
	}
	bad := &api.Error{Kind: api.Internal, Code: "bad-answer", Message: "what the server says of the gateway cannot be used"}
	serial, ok := new(big.Int).SetString(k.Serial, 10)
	block, _ := pem.Decode([]byte(k.Certificate))
	if !ok || serial.Sign() <= 0 || !serial.IsInt64() || block == nil {
		return nil, bad
	}
	if k.gateway, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, bad
	}
	if host, port, err := net.SplitHostPort(k.Gateway); err != nil || !sshHost(host) || !sshPort(port) {
		return nil, bad
	}
	for _, a := range k.Addresses {
		if at, err := url.Parse(a.URL); err == nil && a.Resource == r.Resource {
			k.host = at.Hostname()
		}
	}
	if k.host == "" {
		return nil, bad
	}
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "stint"}, NotBefore: now.Add(-time.Hour), NotAfter: k.ValidBefore.Time,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	k.der, err = x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	return k, err
}

// tls is how to reach the gateway, which is known by the one certificate that the server
// named, and by no authority.
func (k *webKey) tls() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(k.gateway)
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: k.host, NextProtos: k.protocols,
		Certificates: []tls.Certificate{{Certificate: [][]byte{k.der}, PrivateKey: k.private}}}
}

// webLine carries connections of this machine to a gateway.
type webLine struct {
	c       *cli
	conn    *connection
	request api.Request
	ln      net.Listener
	gateway string // of the first key
	tcp     bool   // it carries bytes that nobody reads

	mu     sync.Mutex
	key    *webKey   // replaced as a whole, never changed
	looked time.Time // when the gateway was another one than the key says, and that was asked again

	stop context.CancelFunc
	all  sync.WaitGroup
}

// openWebLine listens for HTTP clients of a grant's application, or for what else speaks TCP, on
// a port of the loopback address.
func (c *cli) openWebLine(ctx context.Context, conn *connection, r api.Request, port int, tcp bool) (*webLine, error) {
	l := &webLine{c: c, conn: conn, request: r, tcp: tcp}
	var err error
	if l.key, err = l.newKey(ctx); err != nil {
		return nil, err
	}
	l.gateway = l.key.Gateway
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, &api.Error{Kind: api.Conflict, Code: "no-port", Message: "cannot listen on this machine", Why: cause(err), Next: "choose another port with --port, or leave it out"}
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.ln, l.stop = ln, stop
	l.all.Go(func() { l.serve(work) })
	return l, nil
}

// close ends every connection of the line.
func (l *webLine) close() {
	l.stop()
	_ = l.ln.Close()
	l.all.Wait()
}

func (l *webLine) uri() string {
	if l.tcp {
		return "tcp://" + l.ln.Addr().String()
	}
	return (&url.URL{Scheme: "http", Host: l.ln.Addr().String(), Path: "/"}).String()
}

func (l *webLine) serve(ctx context.Context) {
	for {
		local, err := l.ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(50 * time.Millisecond) // of file descriptors there are none for a moment
			continue
		}
		l.all.Go(func() {
			defer func() { _ = local.Close() }() // one of both directions has ended
			if err := ownPeer(local); err != nil {
				l.c.say("a connection of another user of this machine was refused")
				return
			}
			l.carry(ctx, local)
		})
	}
}

// carry takes one local connection to the gateway. It closes when either side does, of HTTP: what
// is half closed neither that nor a websocket has a use for.
func (l *webLine) carry(ctx context.Context, local net.Conn) {
	over, stop := context.WithCancel(ctx)
	defer stop()
	far, err := l.dial(over)
	if err != nil {
		switch {
		case ctx.Err() != nil:
		case l.tcp: // what it speaks is not known
			l.c.report(err)
		default:
			_ = local.SetDeadline(time.Now().Add(greetWithin))
			_, _ = io.WriteString(local, notReached(err))
		}
		return
	}
	var both, said sync.WaitGroup
	way := func(to, from net.Conn) func() {
		said.Add(1)
		return func() {
			defer said.Done()
			_, err := io.Copy(to, from)
			half, is := to.(interface{ CloseWrite() error })
			if !l.tcp || err != nil || !is || half.CloseWrite() != nil {
				stop()
			}
		}
	}
	both.Go(way(far, local))
	both.Go(way(local, far))
	both.Go(func() { defer stop(); said.Wait() })
	<-over.Done()
	_ = local.Close()
	_ = far.NetConn().Close() // TLS's own goodbye could wait for a peer that does not read
	both.Wait()
}

// goodKey is a key to begin a connection by, which may have to be made anew.
func (l *webLine) goodKey(ctx context.Context) (*webKey, error) {
	l.mu.Lock()
	defer l.mu.Unlock() // of many connections at once, one makes the key
	left := l.key.ValidBefore.Sub(l.c.now())
	toTheEnd := l.key.ExpiresAt.Sub(l.key.ValidBefore.Time) < time.Second // keys end with whole seconds
	if left <= 0 || left < renewKeyBefore && !toTheEnd {
		fresh, err := l.newKey(ctx)
		if err != nil {
			return nil, err
		}
		l.key = fresh
	}
	return l.key, nil
}

func (l *webLine) dial(ctx context.Context) (*tls.Conn, error) {
	ctx, done := context.WithTimeout(ctx, dialWithin)
	defer done()
	key, err := l.goodKey(ctx)
	if err != nil {
		return nil, err
	}
	far, err := key.dial(ctx)
	var other *tls.CertificateVerificationError
	if errors.As(err, &other) { // it may have been renewed, which the server knows
		if fresh, e := l.otherKey(ctx, key); e == nil {
			key = fresh
			far, err = key.dial(ctx)
		}
	}
	if err != nil {
		return nil, &api.Error{Kind: api.Unavailable, Code: "no-gateway", Message: "the gateway at " + key.Gateway + " cannot be reached", Why: cause(err),
			Next: "try again; if it stays so, tell an administrator"}
	}
	return far, nil
}

func (k *webKey) dial(ctx context.Context) (*tls.Conn, error) {
	d := tls.Dialer{Config: k.tls()}
	far, err := d.DialContext(ctx, "tcp", k.Gateway)
	if err != nil {
		return nil, err
	}
	return far.(*tls.Conn), nil
}

// lookAgain is how soon the server is asked again which certificate the gateway has.
const lookAgain = 5 * time.Second

// otherKey is a key in place of one at which the gateway was not known. What the server says
// of the gateway is asked anew: nobody else's word counts.
func (l *webLine) otherKey(ctx context.Context, failed *webKey) (*webKey, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.c.now()
	switch {
	case l.key != failed: // another connection was first
		return l.key, nil
	case now.Sub(l.looked) < lookAgain && !now.Before(l.looked):
		return nil, errors.New("asked already")
	}
	l.looked = now
	fresh, err := l.newKey(ctx)
	if err != nil {
		return nil, err
	}
	l.key = fresh
	return fresh, nil
}

// notReached is why there is no connection, as an answer to whatever is asked.
func notReached(err error) string {
	text := "stint: " + cause(err) + "\n"
	var e *api.Error
	if errors.As(err, &e) {
		text = "stint: " + e.Message + "\n" + e.Why + "\n" + e.Next + "\n"
	}
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		http.StatusBadGateway, http.StatusText(http.StatusBadGateway), len(text), text)
}
