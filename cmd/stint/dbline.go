package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"stint/internal/api"
)

// Sessions with a database through a gateway: its clients show a key over TLS 1.3. A line
// holds such a key in memory and listens on this machine, so that psql, pg_dump and drivers
// need neither key nor password.
//
//	psql ──socket of this user──► line ──TLS 1.3, the key──► gateway ──► server

const (
	dialWithin  = 15 * time.Second
	greetWithin = 30 * time.Second // for a local client to say what it wants
	// renewKeyBefore is how long a key must still be good for a connection to begin by it,
	// unless its grant ends then.
	renewKeyBefore = 10 * time.Second
	mostFirst      = 10_000 // bytes of a first packet, as of the server itself
)

// What the first packet of a connection asks for, in place of a version (PostgreSQL
// documentation, "Message Formats").
const (
	wantsCancel = 80877102
	wantsTLS    = 80877103
	wantsGSS    = 80877104
)

// brokered reports whether a failure says that there is no password to be had: the role's
// sessions go through a gateway.
func brokered(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == "through-gateway"
}

// dbKey is a key that opens sessions with databases, and what it opens.
type dbKey struct {
	api.DatabaseKey
	private *ecdsa.PrivateKey
	der     []byte // the certificate that it is shown in
	gateway *x509.Certificate
	host    string // of the gateway
}

// newDBKey makes a key and has it registered for a grant. It is this process's alone.
func newDBKey(ctx context.Context, conn *connection, r api.Request, now time.Time) (*dbKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	k := &dbKey{private: private}
	if k.DatabaseKey, err = conn.RegisterKey(ctx, r.ID, api.DatabaseKeyAsk{PublicKey: public}); err != nil {
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
	var port string
	if k.host, port, err = net.SplitHostPort(k.Gateway); err != nil || !sshHost(k.host) || !sshPort(port) {
		return nil, bad
	}
	// Nobody signs it: the gateway asks whose key it is, by its serial number.
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "stint"}, NotBefore: now.Add(-time.Hour), NotAfter: k.ValidBefore.Time,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	k.der, err = x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	return k, err
}

// database is where the key leads on a resource.
func (k *dbKey) database(resource string) (string, bool) {
	for _, l := range k.Logins {
		if l.Resource == resource {
			return l.Database, true
		}
	}
	return "", false
}

// tls is how to reach the gateway, which is known by the one certificate that the server
// named, and by no authority.
func (k *dbKey) tls() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(k.gateway)
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: k.host, NextProtos: []string{"postgresql"},
		Certificates: []tls.Certificate{{Certificate: [][]byte{k.der}, PrivateKey: k.private}}}
}

// dbLine carries connections of this machine to a gateway.
type dbLine struct {
	c       *cli
	conn    *connection
	request api.Request
	ln      net.Listener
	folder  string // of its socket; "" where it listens on a port

	// Of the first key, for those who are told where the line leads.
	gateway, database string

	mu  sync.Mutex
	key *dbKey // replaced as a whole, never changed

	stop context.CancelFunc
	all  sync.WaitGroup
}

// openLine listens for clients of a grant's database: on a socket in a folder of this user's
// own, or on a port of the loopback address.
func (c *cli) openLine(ctx context.Context, conn *connection, r api.Request, port int, socket bool) (*dbLine, error) {
	l := &dbLine{c: c, conn: conn, request: r}
	var err error
	if l.key, err = newDBKey(ctx, conn, r, c.now()); err != nil {
		return nil, err
	}
	var has bool
	if l.database, has = l.key.database(r.Resource); !has {
		return nil, &api.Error{Kind: api.Unavailable, Code: "not-present", Message: "the access is not on its server at this moment", Next: "try again in a moment"}
	}
	l.gateway = l.key.Gateway
	if err := l.listen(port, socket); err != nil {
		return nil, err
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.all.Go(func() { l.serve(work) })
	return l, nil
}

func (l *dbLine) listen(port int, socket bool) (err error) {
	next := "choose another port with --port, or leave it out"
	if socket && runtime.GOOS != "windows" {
		if l.folder, err = os.MkdirTemp("", "stint-"); err != nil { // 0700
			return stateError(os.TempDir(), cause(err), "set TMPDIR to a folder that you may write to")
		}
		l.ln, err = net.Listen("unix", filepath.Join(l.folder, ".s.PGSQL.5432"))
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
func (l *dbLine) close() {
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

// env is how libpq finds the line.
func (l *dbLine) env() map[string]string {
	env := map[string]string{"PGUSER": l.request.Resource, "PGGSSENCMODE": "disable", "PGSSLMODE": "disable"} // none is needed on this machine
	if l.database != "" {
		env["PGDATABASE"] = l.database
	}
	env["PGHOST"], env["PGPORT"] = l.host()
	env["STINT_URI"] = l.uri()
	return env
}

func (l *dbLine) host() (host, port string) {
	if l.folder != "" {
		return l.folder, "5432"
	}
	host, port, _ = net.SplitHostPort(l.ln.Addr().String())
	return host, port
}

// uri is an address without a secret.
func (l *dbLine) uri() string {
	u := url.URL{Scheme: "postgresql", User: url.User(l.request.Resource), Path: "/" + l.database, RawQuery: "sslmode=disable"}
	host, port := l.host()
	if l.folder != "" {
		u.RawQuery = url.Values{"host": {host}, "port": {port}, "sslmode": {"disable"}}.Encode()
	} else {
		u.Host = net.JoinHostPort(host, port)
	}
	return u.String()
}

func (l *dbLine) serve(ctx context.Context) {
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

// carry takes one local connection to the gateway.
func (l *dbLine) carry(ctx context.Context, local net.Conn) {
	defer context.AfterFunc(ctx, func() { _ = local.Close() })() // also of a client that says nothing
	_ = local.SetDeadline(time.Now().Add(greetWithin))
	first, err := greetLocal(local)
	if err != nil {
		return
	}
	far, err := l.dial(ctx)
	if err != nil {
		if ctx.Err() == nil && binary.BigEndian.Uint32(first[4:]) != wantsCancel {
			_, _ = local.Write(notConnected(err))
		}
		return
	}
	defer func() { _ = far.Close() }() // its other end has ended, or we have
	if _, err := far.Write(first); err != nil {
		return
	}
	_ = local.SetDeadline(time.Time{})
	over, stop := context.WithCancel(ctx)
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { defer stop(); _, _ = io.Copy(far, local) })
	both.Go(func() { defer stop(); _, _ = io.Copy(local, far) })
	<-over.Done()
	_ = local.Close()
	_ = far.NetConn().Close() // TLS's own goodbye could wait for a peer that does not read
	both.Wait()
}

// goodKey is a key to begin a connection by, which may have to be made anew. One that lasts as
// long as its grant is used to its end: another would last no longer. After that, the grant may
// have been extended.
func (l *dbLine) goodKey(ctx context.Context) (*dbKey, error) {
	l.mu.Lock()
	defer l.mu.Unlock() // of many connections at once, one makes the key
	left := l.key.ValidBefore.Sub(l.c.now())
	toTheEnd := l.key.ExpiresAt.Sub(l.key.ValidBefore.Time) < time.Second // keys end with whole seconds
	if left <= 0 || left < renewKeyBefore && !toTheEnd {
		fresh, err := newDBKey(ctx, l.conn, l.request, l.c.now())
		if err != nil {
			return nil, err
		}
		l.key = fresh
	}
	return l.key, nil
}

// dial connects to the gateway.
func (l *dbLine) dial(ctx context.Context) (*tls.Conn, error) {
	ctx, done := context.WithTimeout(ctx, dialWithin)
	defer done()
	key, err := l.goodKey(ctx)
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{Config: key.tls()}
	far, err := d.DialContext(ctx, "tcp", key.Gateway)
	if err != nil {
		return nil, &api.Error{Kind: api.Unavailable, Code: "no-gateway", Message: "the gateway at " + key.Gateway + " cannot be reached", Why: cause(err),
			Next: "try again; if it stays so, tell an administrator"}
	}
	return far.(*tls.Conn), nil
}

// greetLocal reads what a local client begins with, and answers that there is no encryption
// on this machine: between here and the gateway there is.
func greetLocal(local net.Conn) (first []byte, err error) {
	for range 4 {
		head := make([]byte, 8)
		if _, err := io.ReadFull(local, head); err != nil {
			return nil, err
		}
		n := binary.BigEndian.Uint32(head)
		if n < 8 || n > mostFirst {
			return nil, errors.New("a first packet that the protocol does not have")
		}
		first = append(head, make([]byte, n-8)...)
		if _, err := io.ReadFull(local, first[8:]); err != nil {
			return nil, err
		}
		if code := binary.BigEndian.Uint32(first[4:]); code != wantsTLS && code != wantsGSS {
			return first, nil
		}
		if _, err := local.Write([]byte("N")); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("too many questions before it began")
}

// notConnected is why there is no connection, as clients of PostgreSQL show it.
func notConnected(err error) []byte {
	text, next := cause(err), ""
	var e *api.Error
	if errors.As(err, &e) {
		text, next = e.Message, e.Next
		if e.Why != "" {
			text += ": " + e.Why
		}
	}
	body := []byte("SFATAL\x00VFATAL\x00C08006\x00Mstint: " + printable(text) + "\x00")
	if next != "" {
		body = append(body, "H"+printable(next)+"\x00"...)
	}
	body = append(body, 0)
	return append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(body))), body...)
}
