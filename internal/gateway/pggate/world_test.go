package pggate

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
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/gateway"
	"stint/internal/pgtest"
)

const password = "never-shown-to-anybody"

var target struct {
	once sync.Once
	*pgtest.Server
	err error
}

// postgres is one server for all tests of the package.
func postgres(t testing.TB) *pgtest.Server {
	t.Helper()
	target.once.Do(func() {
		target.Server, target.err = pgtest.Launch(context.Background(), pgtest.Options{})
	})
	must(t, target.err)
	return target.Server
}

func TestMain(m *testing.M) {
	code := m.Run()
	if target.Server != nil {
		if err := target.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// world is a gateway before a real server, and a person with a key.
type world struct {
	t        testing.TB
	db       *pgtest.Server
	database string
	control  *control
	tapes    *tapes
	server   *Server
	addr     string
	dir      string // of the person: key, certificate, the gateway's authority
}

var worlds atomic.Int64

func newWorld(t testing.TB, change ...func(*Config, *control)) *world {
	t.Helper()
	db := postgres(t)
	name := fmt.Sprintf("gate_%d", worlds.Add(1))
	ctx := context.Background()
	must(t, db.CreateDatabase(ctx, name))
	must(t, db.Exec(ctx, name, "CREATE ROLE "+name+" LOGIN PASSWORD '"+password+"'", "GRANT CREATE ON SCHEMA public TO "+name))
	ca, err := os.ReadFile(db.CAFile)
	must(t, err)
	w := &world{t: t, db: db, database: name, tapes: &tapes{}, dir: t.TempDir()}
	w.control = &control{end: time.Now().Add(time.Hour), permit: gateway.Permit{
		Grant: "grt_1", Person: "ann",
		Target: gateway.Target{Address: db.Addr(), Name: db.Host, Login: name, HostAuthorities: []string{string(ca)}},
	}}
	log := slog.New(slog.DiscardHandler)
	reg, err := gateway.New(gateway.Config{Authority: w.control, Clock: gateway.NewSystemClock(), Log: log})
	must(t, err)
	authority, own := w.certificates()
	must(t, os.WriteFile(w.path("ca.pem"), authority, 0o600))
	c := Config{Gateway: reg, Logins: w.control, Recorder: w.tapes, Log: log,
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
	all.Go(func() { _ = reg.Run(running) })
	all.Go(func() { _ = w.server.Serve(running, l) })
	t.Cleanup(func() { stop(); all.Wait() })
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// certificates makes the gateway's own, and a person's key with a certificate that nobody
// signed: it is the key that counts.
func (w *world) certificates() (authority []byte, own *tls.Certificate) {
	w.t.Helper()
	make1 := func(name string, isCA bool) (*ecdsa.PrivateKey, []byte) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(w.t, err)
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Minute),
			NotAfter: time.Now().Add(time.Hour), IsCA: isCA, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
		must(w.t, err)
		return key, der
	}
	person, der := make1("ann", false)
	pk, err := x509.MarshalPKCS8PrivateKey(person)
	must(w.t, err)
	must(w.t, os.WriteFile(w.path("key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}), 0o600))
	must(w.t, os.WriteFile(w.path("cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	if w.control != nil {
		w.control.key, err = x509.MarshalPKIXPublicKey(person.Public())
		must(w.t, err)
	}
	key, der := make1("gateway", true)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// dsn is how the person connects through the gateway.
func (w *world) dsn() string {
	host, port, _ := net.SplitHostPort(w.addr)
	return fmt.Sprintf("host=%s port=%s user=orders-db dbname=%s sslmode=verify-full sslrootcert=%s sslcert=%s sslkey=%s application_name=test",
		host, port, w.database, w.path("ca.pem"), w.path("cert.pem"), w.path("key.pem"))
}

// direct is how the same login connects without it.
func (w *world) direct() string { return w.db.DSN(w.database, password, w.database) }

func (w *world) connect(change ...func(*pgx.ConnConfig)) *pgx.Conn {
	w.t.Helper()
	c, err := pgx.ParseConfig(w.dsn())
	must(w.t, err)
	for _, f := range change {
		f(c)
	}
	ctx, done := context.WithTimeout(context.Background(), 30*time.Second)
	defer done()
	conn, err := pgx.ConnectConfig(ctx, c)
	must(w.t, err)
	w.t.Cleanup(func() {
		ctx, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		_ = conn.Close(ctx)
	})
	return conn
}

// backends is how many sessions the login has at the server.
func (w *world) backends() int {
	w.t.Helper()
	conn, err := pgx.Connect(context.Background(), w.db.SuperuserDSN("postgres"))
	must(w.t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	var n int
	must(w.t, conn.QueryRow(context.Background(), "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", w.database).Scan(&n))
	return n
}

// doing says whether the server is at a statement of the login's, or waits after it.
func (w *world) doing(like string) bool {
	w.t.Helper()
	conn, err := pgx.Connect(context.Background(), w.db.SuperuserDSN("postgres"))
	must(w.t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	var is bool
	must(w.t, conn.QueryRow(context.Background(), "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE usename = $1 AND query LIKE $2 AND state IN ('active', 'idle in transaction'))", w.database, like).Scan(&is))
	return is
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("it is not so after 60 s: %s", what)
}

// control is a control plane in memory, and knows the login's password.
type control struct {
	mu     sync.Mutex
	end    time.Time
	permit gateway.Permit
	key    []byte // of the person; no other may come in
	opened int
	facts  gateway.Facts
	ended  []gateway.Ending
	cut    func(gateway.Cut)
}

func (c *control) Open(_ context.Context, f gateway.Facts) (gateway.Permit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if string(f.Key) != string(c.key) {
		return gateway.Permit{}, access.Fail(access.Denied, "no-grant", "you hold nothing on "+string(f.Resource)).Because("the key is nobody's").Try("stint request " + string(f.Resource))
	}
	c.opened++
	c.facts = f
	p := c.permit
	p.Session, p.Resource = gateway.SessionID("ses_"+strconv.Itoa(c.opened)), f.Resource
	p.End, p.Remaining = c.end, time.Until(c.end)
	return p, nil
}

func (c *control) Sign(context.Context, gateway.SessionID, []byte) ([]byte, error) {
	return nil, errors.New("not for databases")
}

func (c *control) Password(context.Context, gateway.SessionID) ([]byte, error) {
	return []byte(password), nil
}

func (c *control) Renew(_ context.Context, r gateway.Report) (map[gateway.SessionID]gateway.Renewal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = append(c.ended, r.Ended...)
	all := map[gateway.SessionID]gateway.Renewal{}
	for _, id := range r.Live {
		all[id] = gateway.Renewal{Remaining: time.Until(c.end)}
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

// ends has the grant end at another time, and the gateway ask for it.
func (c *control) ends(end time.Time) {
	c.mu.Lock()
	c.end = end
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

// tapes is a recorder in memory.
type tapes struct {
	mu    sync.Mutex
	all   []*tape
	fails func(Statement) error
}

type tape struct {
	of         *tapes
	from       Client
	statements []Statement
	outcomes   map[uint64][]Outcome
	notes      []string
	closed     *gateway.Ended
}

func (t *tapes) Begin(_ *gateway.Session, from Client) (Tape, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := &tape{of: t, from: from, outcomes: map[uint64][]Outcome{}}
	t.all = append(t.all, one)
	return one, nil
}

func (t *tapes) last() *tape {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[len(t.all)-1]
}

func (t *tape) Statement(s Statement) error {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.of.fails != nil {
		if err := t.of.fails(s); err != nil {
			return err
		}
	}
	t.statements = append(t.statements, s)
	return nil
}

func (t *tape) Outcome(n uint64, o Outcome) error {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.outcomes[n] = append(t.outcomes[n], o)
	return nil
}

func (t *tape) Note(text string) error {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.notes = append(t.notes, text)
	return nil
}

func (t *tape) Close(why *gateway.Ended) error {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.closed = why
	return nil
}

// run is what was recorded, a line for each statement: how it was sent, and how it went.
func (t *tape) run() []string {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	var all []string
	for _, s := range t.statements {
		line := map[How]string{Simple: "simple", Prepared: "prepare", Executed: "execute", Rejected: "rejected"}[s.How] + " " + s.Text
		if s.How == Executed {
			line = "execute"
			for _, p := range t.statements {
				if p.N == s.Of {
					line += " " + p.Text
				}
			}
		}
		for _, o := range t.outcomes[s.N] {
			line += " → " + strings.TrimSpace(o.Tag+o.Failed)
		}
		all = append(all, line)
	}
	return all
}
