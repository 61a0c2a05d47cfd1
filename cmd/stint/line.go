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
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"stint/internal/api"
)

// Sessions through a gateway, for programs of this machine: one line for databases, the web
// and TCP. It holds a key in memory and listens here, so that psql, curl and drivers need
// neither key nor password.
//
//	psql ──socket of this user──► line ──TLS 1.3, the key──► gateway ──► server
//	curl ──http, 127.0.0.1──────►

const (
	dialWithin  = 15 * time.Second
	greetWithin = 30 * time.Second // for a local client to say what it wants, or to take an answer
	// renewKeyBefore is how long a key must still be good for a connection to begin by it,
	// unless its grant ends then.
	renewKeyBefore = 10 * time.Second
	// lookAgain is how soon the server is asked again which certificate the gateway has.
	lookAgain = 5 * time.Second
)

// speech is what the clients of a line speak, and so all in which lines differ.
type speech struct {
	protocols []string // that a key is shown with (ALPN)
	socket    string   // the name of a socket that its clients look for in a folder; "" where they know none
	half      bool     // one way may end while the other goes on

	// register has a key open sessions under a request's grant.
	register func(ctx context.Context, conn *connection, r api.Request, ask api.DoorKeyAsk) (opening, error)
	// greet, where there is something to be heard first, reads it.
	greet func(local net.Conn) (first []byte, err error)
	// refuse tells a client why it is not connected.
	refuse func(c *cli, local net.Conn, first []byte, why error)
	// uri is the address of a line, without a secret.
	uri func(*line) string
}

// opening is what a key opens, as the server says.
type opening struct {
	serial      string
	gateway     string // host and port
	certificate string // by which the gateway is known there, PEM
	host        string // that the certificate has to be for
	database    string
	until, ends time.Time // the key is good until, and its grant ends
}

// doorKey is a key that the door of a gateway opens for. It is this process's alone.
type doorKey struct {
	opening
	private *ecdsa.PrivateKey
	der     []byte // the certificate that it is shown in
	known   *x509.Certificate
}

// newKey makes a key and has it registered for the grant.
func (l *line) newKey(ctx context.Context) (*doorKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	k := &doorKey{private: private}
	if k.opening, err = l.register(ctx, l.conn, l.request, api.DoorKeyAsk{PublicKey: public}); err != nil {
		return nil, err
	}
	bad := &api.Error{Kind: api.Internal, Code: "bad-answer", Message: "what the server says of the gateway cannot be used"}
	serial, ok := new(big.Int).SetString(k.serial, 10)
	block, _ := pem.Decode([]byte(k.certificate))
	if !ok || serial.Sign() <= 0 || !serial.IsInt64() || block == nil || k.host == "" {
		return nil, bad
	}
	if k.known, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, bad
	}
	if host, port, err := net.SplitHostPort(k.gateway); err != nil || !sshHost(host) || !sshPort(port) {
		return nil, bad
	}
	// Nobody signs it: the gateway asks whose key it is, by its serial number.
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "stint"}, NotBefore: l.c.now().Add(-time.Hour), NotAfter: k.until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	k.der, err = x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	return k, err
}

// dial connects to the gateway, which is known by the one certificate that the server named,
// and by no authority.
func (k *doorKey) dial(ctx context.Context, protocols []string) (*tls.Conn, error) {
	roots := x509.NewCertPool()
	roots.AddCert(k.known)
	d := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: k.host, NextProtos: protocols,
		Certificates: []tls.Certificate{{Certificate: [][]byte{k.der}, PrivateKey: k.private}}}}
	far, err := d.DialContext(ctx, "tcp", k.gateway)
	if err != nil {
		return nil, err
	}
	return far.(*tls.Conn), nil
}

// line carries connections of this machine to a gateway.
type line struct {
	speech
	c       *cli
	conn    *connection
	request api.Request
	ln      net.Listener
	folder  string // of its socket; "" where it listens on a port

	// Of the first key, for those who are told where the line leads.
	gateway, database string

	mu     sync.Mutex
	key    *doorKey  // replaced as a whole, never changed
	looked time.Time // when the gateway was another one than the key says, and that was asked again

	stop context.CancelFunc
	all  sync.WaitGroup
}

// openLine listens for clients of a grant's resource: on a socket in a folder of this user's
// own, where they know one, or on a port of the loopback address.
func (c *cli) openLine(ctx context.Context, conn *connection, r api.Request, s speech, port int, socket bool) (*line, error) {
	l := &line{speech: s, c: c, conn: conn, request: r}
	var err error
	if l.key, err = l.newKey(ctx); err != nil {
		return nil, err
	}
	l.gateway, l.database = l.key.gateway, l.key.database
	if err := l.listen(port, socket); err != nil {
		return nil, err
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.all.Go(func() { l.serve(work) })
	return l, nil
}

func (l *line) listen(port int, socket bool) (err error) {
	next := "choose another port with --port, or leave it out"
	if socket && l.socket != "" && runtime.GOOS != "windows" {
		if l.folder, err = os.MkdirTemp("", "stint-"); err != nil { // 0700
			return stateError(os.TempDir(), cause(err), "set TMPDIR to a folder that you may write to")
		}
		l.ln, err = net.Listen("unix", filepath.Join(l.folder, l.socket))
		next = "set TMPDIR to a shorter folder" // addresses of sockets are about 100 bytes at most
	} else {
		l.ln, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if port == 0 {
			next = "try again"
		}
	}
	if err != nil {
		l.close()
		return &api.Error{Kind: api.Conflict, Code: "no-port", Message: "cannot listen on this machine", Why: cause(err), Next: next}
	}
	return nil
}

// close ends every connection of the line.
func (l *line) close() {
	if l.stop != nil {
		l.stop()
	}
	if l.ln != nil {
		_ = l.ln.Close()
	}
	l.all.Wait()
	if l.folder != "" {
		_ = os.RemoveAll(l.folder) // it holds a socket that is gone
	}
}

func (l *line) serve(ctx context.Context) {
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

// carry takes one local connection to the gateway. It closes when either side does, unless the
// clients may half close theirs.
func (l *line) carry(ctx context.Context, local net.Conn) {
	defer context.AfterFunc(ctx, func() { _ = local.Close() })() // also of a client that says nothing
	_ = local.SetDeadline(time.Now().Add(greetWithin))
	var first []byte
	if l.greet != nil {
		var err error
		if first, err = l.greet(local); err != nil {
			return
		}
	}
	far, err := l.dial(ctx)
	if err != nil {
		if ctx.Err() == nil {
			_ = local.SetDeadline(time.Now().Add(greetWithin))
			l.refuse(l.c, local, first, err)
		}
		return
	}
	defer func() { _ = far.NetConn().Close() }() // TLS's own goodbye could wait for a peer that does not read
	if _, err := far.Write(first); err != nil {
		return
	}
	_ = local.SetDeadline(time.Time{})
	over, stop := context.WithCancel(ctx)
	defer stop()
	var both, said sync.WaitGroup
	way := func(to, from net.Conn) func() {
		said.Add(1)
		return func() {
			defer said.Done()
			_, err := io.Copy(to, from)
			half, is := to.(interface{ CloseWrite() error })
			if !l.half || err != nil || !is || half.CloseWrite() != nil {
				stop()
			}
		}
	}
	both.Go(way(far, local))
	both.Go(way(local, far))
	both.Go(func() { defer stop(); said.Wait() })
	<-over.Done()
	_ = local.Close()
	_ = far.NetConn().Close()
	both.Wait()
}

// goodKey is a key to begin a connection by, which may have to be made anew. One that lasts as
// long as its grant is used to its end: another would last no longer. After that, the grant may
// have been extended.
func (l *line) goodKey(ctx context.Context) (*doorKey, error) {
	l.mu.Lock()
	defer l.mu.Unlock() // of many connections at once, one makes the key
	left := l.key.until.Sub(l.c.now())
	toTheEnd := l.key.ends.Sub(l.key.until) < time.Second // keys end with whole seconds
	if left <= 0 || left < renewKeyBefore && !toTheEnd {
		return l.renew(ctx)
	}
	return l.key, nil
}

// otherKey is a key in place of one at which the gateway was not known. What the server says
// of the gateway is asked anew: nobody else's word counts.
func (l *line) otherKey(ctx context.Context, failed *doorKey) (*doorKey, error) {
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
	return l.renew(ctx)
}

// renew is called with mu held. Where it fails the key stays as it was.
func (l *line) renew(ctx context.Context) (*doorKey, error) {
	fresh, err := l.newKey(ctx)
	if err == nil {
		l.key = fresh
	}
	return fresh, err
}

// dial connects to the gateway.
func (l *line) dial(ctx context.Context) (*tls.Conn, error) {
	ctx, done := context.WithTimeout(ctx, dialWithin)
	defer done()
	key, err := l.goodKey(ctx)
	if err != nil {
		return nil, err
	}
	far, err := key.dial(ctx, l.protocols)
	var other *tls.CertificateVerificationError
	if errors.As(err, &other) { // it may have been renewed, which the server knows
		if fresh, e := l.otherKey(ctx, key); e == nil {
			key = fresh
			far, err = key.dial(ctx, l.protocols)
		}
	}
	if err != nil {
		return nil, &api.Error{Kind: api.Unavailable, Code: "no-gateway", Message: "the gateway at " + key.gateway + " cannot be reached", Why: cause(err),
			Next: "try again; if it stays so, tell an administrator"}
	}
	return far, nil
}
