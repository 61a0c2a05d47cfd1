//go:build e2e

package hook

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
	"stint/internal/pgtest"
)

// elephant is a real PostgreSQL that asks accounts for certificates, one for all tests of the
// package.
type elephant struct {
	*pgtest.Server
	dir string // with the list
	n   int
}

var sharedElephant struct {
	sync.Mutex
	e *elephant
}

func stopElephant() {
	if e := sharedElephant.e; e != nil {
		_ = e.Close()
		_ = os.RemoveAll(e.dir)
	}
}

func (e *elephant) list() string { return filepath.Join(e.dir, "clients.pem") }

func newElephant(t testing.TB) *elephant {
	t.Helper()
	sharedElephant.Lock()
	defer sharedElephant.Unlock()
	if sharedElephant.e != nil {
		return sharedElephant.e
	}
	if os.Getuid() != 0 {
		t.Fatal("hooks are programs of root: run this as root")
	}
	u, err := user.Lookup("postgres")
	must(t, err)
	uid, err := strconv.Atoi(u.Uid)
	must(t, err)
	dir, err := os.MkdirTemp("/tmp", "stint-clients-")
	must(t, err)
	e := &elephant{dir: dir}
	must(t, os.WriteFile(e.list(), []byte("# stint nobody\n"+signed(t, "nobody", nil, nil).pem()), 0o600))
	must(t, errors.Join(os.Chown(dir, uid, 0), os.Chown(e.list(), uid, 0)))
	e.Server, err = pgtest.Launch(context.Background(), pgtest.Options{
		Conf: map[string]string{"ssl_ca_file": e.list(), "authentication_timeout": "1s"},
		HBA: []string{"hostssl all stint all scram-sha-256", "hostssl all +stint_certificate all cert", "host all +stint_certificate all reject",
			"local all +stint_certificate reject"},
	})
	must(t, err)
	sharedElephant.e = e
	e.exec(t, "CREATE ROLE stint LOGIN CREATEROLE PASSWORD 'the hook''s \"password\"\\'", "CREATE ROLE stint_certificate NOLOGIN",
		"GRANT EXECUTE ON FUNCTION pg_reload_conf() TO stint", "CREATE SCHEMA stint", "CREATE TABLE stint.notes (name text PRIMARY KEY, value text NOT NULL)",
		"GRANT USAGE ON SCHEMA stint TO stint", "GRANT SELECT, INSERT, UPDATE, DELETE ON stint.notes TO stint")
	return e
}

func (e *elephant) exec(t testing.TB, statements ...string) {
	t.Helper()
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	must(t, e.Exec(ctx, "postgres", statements...))
}

func (e *elephant) query(t testing.TB, query string) (text string) {
	t.Helper()
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	conn, err := pgx.Connect(ctx, e.SuperuserDSN("postgres"))
	must(t, err)
	defer func() { _ = conn.Close(ctx) }()
	must(t, conn.QueryRow(ctx, query).Scan(&text))
	return text
}

// elephantWorld is that server, with no notes and a login of the documented minimum.
type elephantWorld struct {
	t      testing.TB
	e      *elephant
	c      *Connector
	hooks  string
	target connector.Target
}

func newElephantWorld(t testing.TB) *elephantWorld {
	e := newElephant(t)
	e.exec(t, "DELETE FROM stint.notes", "GRANT pg_signal_backend, pg_read_all_stats, pg_execute_server_program TO stint")
	w := &elephantWorld{t: t, e: e, hooks: t.TempDir()}
	text, err := os.ReadFile("../../../examples/vault/hooks/postgres-certificate")
	must(t, err)
	const ca = "/etc/stint/postgres-certificate/ca.pem"
	if !strings.Contains(string(text), "\nca="+ca) {
		t.Fatal("the hook knows the server by something else")
	}
	must(t, os.WriteFile(filepath.Join(w.hooks, "postgres-certificate"), []byte(strings.ReplaceAll(string(text), ca, e.CAFile)), 0o755))
	w.c = New(w.hooks)
	w.target = connector.Target{Connection: access.Connection{Type: Type, Address: e.Addr(), Options: map[string]string{"hook": "postgres-certificate", access.SecretOption: "certificate"}},
		Username: "stint", Password: access.NewSecret([]byte(`the hook's "password"\`))}
	return w
}

func (w *elephantWorld) Connector() connector.Connector         { return w.c }
func (w *elephantWorld) Target() connector.Target               { return w.target }
func (w *elephantWorld) NewSecret(account string) access.Secret { return newCertificate(w.t, account) }
func (w *elephantWorld) Own(connectortest.Session, connector.Order) {
	w.t.Fatal("not for accounts of the vault")
}
func (w *elephantWorld) Replace(connector.Order, connector.Receipt) {
	w.t.Fatal("not for accounts of the vault")
}
func (w *elephantWorld) Grant(connector.Order) { w.t.Fatal("not for accounts of the vault") }
func (w *elephantWorld) Taken(connector.Order) bool {
	w.t.Fatal("not for accounts of the vault")
	return false
}

// account makes one that opens with this certificate, by hand.
func (w *elephantWorld) account(certificate func(account string) string) string {
	w.t.Helper()
	sharedElephant.Lock()
	w.e.n++
	account := fmt.Sprint("vaulted_", w.e.n)
	sharedElephant.Unlock()
	lock, err := os.OpenFile(w.e.list()+".lock", os.O_CREATE|os.O_WRONLY, 0o600)
	must(w.t, err)
	defer lock.Close()
	must(w.t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	i, err := os.Stat(w.e.dir)
	must(w.t, err)
	must(w.t, lock.Chown(int(i.Sys().(*syscall.Stat_t).Uid), 0))
	f, err := os.OpenFile(w.e.list(), os.O_APPEND|os.O_WRONLY, 0)
	must(w.t, err)
	_, err = f.WriteString("# stint " + account + "\n" + certificate(account))
	must(w.t, errors.Join(err, f.Close()))
	w.e.exec(w.t, "CREATE ROLE "+account+" LOGIN IN ROLE stint_certificate", "SELECT pg_reload_conf()")
	return account
}

func (w *elephantWorld) Order(m access.Mechanism) connector.Order {
	w.t.Helper()
	o := connector.Order{Entitlement: "ent_1", Tag: connectortest.NewTag(), Mechanism: m, Person: "mira", ExpiresAt: time.Now().Add(time.Hour)}
	o.Account = w.account(func(account string) string {
		o.Secret = newCertificate(w.t, account)
		p, err := certificateOf(o.Secret)
		must(w.t, err)
		return p.certificate
	})
	for end := time.Now().Add(patience); !w.opens(o.Account, o.Secret); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("the server does not read its list")
		}
	}
	return o
}

// pgSession is one.
type pgSession struct {
	conn *pgx.Conn
	once sync.Once
}

func (s *pgSession) Alive() bool {
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	var n int
	return s.conn.QueryRow(ctx, "SELECT 1").Scan(&n) == nil && n == 1
}

func (s *pgSession) Close() { s.once.Do(func() { _ = s.conn.Close(context.Background()) }) }

// connect opens a session as an account with what TLS shows the server.
func (w *elephantWorld) connect(account string, shown tls.Certificate) (*pgSession, error) {
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	cfg, err := pgx.ParseConfig(w.e.DSN(account, "", "postgres"))
	must(w.t, err)
	cfg.TLSConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown, nil }
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &pgSession{conn: conn}, nil
}

func (w *elephantWorld) pair(s access.Secret) tls.Certificate {
	shown, err := tls.X509KeyPair(s.Reveal(), s.Reveal())
	must(w.t, err)
	return shown
}

// opens tries it, and waits until the try is over.
func (w *elephantWorld) opens(account string, s access.Secret) bool {
	live, err := w.connect(account, w.pair(s))
	if err != nil {
		return false
	}
	pid := live.conn.PgConn().PID()
	live.Close()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if w.e.query(w.t, fmt.Sprintf("SELECT count(*)::text FROM pg_stat_activity WHERE pid = %d", pid)) == "0" {
			break
		}
	}
	return true
}

func (w *elephantWorld) Session(o connector.Order, r connector.Receipt) (connectortest.Session, error) {
	var shown credential
	must(w.t, json.Unmarshal(r.Credential.Reveal(), &shown))
	pair, err := tls.X509KeyPair([]byte(shown.Certificate), []byte(shown.PrivateKey))
	must(w.t, err)
	s, err := w.connect(shown.Username, pair)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (w *elephantWorld) login(account string) bool {
	return w.e.query(w.t, "SELECT rolcanlogin::text FROM pg_roles WHERE rolname = '"+account+"'") == "true"
}

func (w *elephantWorld) State(o connector.Order, r connector.Receipt) connectortest.State {
	w.t.Helper()
	marked := w.e.query(w.t, "SELECT count(*)::text FROM stint.notes WHERE name = 'mark-"+string(o.Tag)+"'") != "0"
	return connectortest.State{Exists: marked, Usable: marked && w.login(o.Account) || r.Creation != "" && w.opens(o.Account, o.Secret)}
}

func (w *elephantWorld) ForgeClaim(installation string, epoch int64) {
	w.e.exec(w.t, "DELETE FROM stint.notes WHERE name = 'claim'", "INSERT INTO stint.notes VALUES ('claim', '"+owner{installation, epoch, ""}.String()+"')")
}
func (w *elephantWorld) Weaken()  { w.e.exec(w.t, "REVOKE pg_signal_backend FROM stint") }
func (w *elephantWorld) Restart() { must(w.t, w.e.Server.Restart()) }

func (w *elephantWorld) Faulty() (connector.Target, connectortest.Faults) {
	must(w.t, os.WriteFile(filepath.Join(w.hooks, "faulty"), []byte(strings.ReplaceAll(faulty, "./mariadb", "./postgres-certificate")), 0o755))
	t := w.target
	t.Connection.Options = map[string]string{"hook": "faulty", access.SecretOption: "certificate"}
	return t, faults{&world{t: w.t}, w.hooks}
}

// TestCertificateConformance: accounts of a real PostgreSQL, behind the hook of the examples, do
// all that the contract asks of a connector.
func TestCertificateConformance(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.World { return newElephantWorld(t) })
}

// made is a certificate and its key.
type made struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (m made) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.cert.Raw}))
}

// shown is what TLS shows of it, with those that signed it.
func (m made) shown(by ...made) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{m.cert.Raw}, PrivateKey: m.key}
	for _, b := range by {
		c.Certificate = append(c.Certificate, b.cert.Raw)
	}
	return c
}

// signed makes one as the vault does, bent; by: nil is itself.
func signed(t testing.TB, name string, by *made, bend func(*x509.Certificate)) made {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return signedWith(t, key, name, by, bend)
}

func signedWith(t testing.TB, key *ecdsa.PrivateKey, name string, by *made, bend func(*x509.Certificate)) made {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true}
	if bend != nil {
		bend(c)
	}
	if by == nil {
		by = &made{c, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by.cert, &key.PublicKey, by.key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return made{cert, key}
}

// lent is an account that opens with a certificate whose key the test has.
func (w *elephantWorld) lent() (string, made) {
	w.t.Helper()
	var m made
	account := w.account(func(account string) string {
		m = signed(w.t, account, nil, nil)
		return m.pem()
	})
	must(w.t, w.set(account, m.pem()))
	return account, m
}

func (w *elephantWorld) ask(q question) error {
	ctx, done := context.WithTimeout(context.Background(), 2*patience)
	defer done()
	_, err := w.c.call(ctx, w.target, q)
	return err
}

func (w *elephantWorld) set(account, certificate string) error {
	return w.ask(question{Do: doSet, Account: account, Certificate: certificate})
}

// TestCertificatesThatAreNotSet: what is not one certificate of the account, for clients, and of
// no authority, is refused, and nothing changes.
func TestCertificatesThatAreNotSet(t *testing.T) {
	w := newElephantWorld(t)
	account, good := w.lent()
	before, err := os.ReadFile(w.e.list())
	must(t, err)
	other, next := signed(t, "postgres", nil, nil), signed(t, account, nil, nil)
	key, err := x509.MarshalPKCS8PrivateKey(next.key)
	must(t, err)
	for what, text := range map[string]string{
		"nothing":                  "",
		"no certificate":           "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"another's":                other.pem(),
		"two":                      next.pem() + other.pem(),
		"two, the other way round": other.pem() + next.pem(),
		"twice":                    next.pem() + next.pem(),
		"SQL after it":             next.pem() + "$p$; ALTER ROLE " + account + " SUPERUSER; --\n",
		"SQL before it":            "'); DROP TABLE stint.notes; --\n" + next.pem(),
		"a shell's text":           next.pem() + "$(touch /tmp/stint-canary)`touch /tmp/stint-canary`\n",
		"a line of the list":       "# stint postgres\n" + next.pem(),
		"one inside":               strings.Replace(next.pem(), "\n", "\n# stint postgres\n", 1),
		"a key with it":            next.pem() + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		"other ends of lines":      strings.ReplaceAll(next.pem(), "\n", "\r\n"),
		"an authority's":           signed(t, account, nil, func(c *x509.Certificate) { c.IsCA = true }).pem(),
		"one that may sign":        signed(t, account, nil, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }).pem(),
		"one that does not say":    signed(t, account, nil, func(c *x509.Certificate) { c.BasicConstraintsValid, c.KeyUsage = false, x509.KeyUsageCertSign }).pem(),
		"a server's":               signed(t, account, nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }).pem(),
		"one that has ended":       signed(t, account, nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }).pem(),
		"signed by another":        signed(t, account, &other, nil).pem(),
		"signed by the one before": signed(t, account, &good, nil).pem(),
		"a name with more in it":   signed(t, account, nil, func(c *x509.Certificate) { c.Subject.Organization = []string{"postgres"} }).pem(),
		"two names": signed(t, account, nil, func(c *x509.Certificate) {
			c.Subject.ExtraNames = append(c.Subject.ToRDNSequence()[0], pkix.AttributeTypeAndValue{Type: []int{2, 5, 4, 3}, Value: "postgres"})
		}).pem(),
		"a longer name":             signed(t, account+"x", nil, nil).pem(),
		"a name with a line's end":  signed(t, account+"\npostgres", nil, nil).pem(),
		"another way to write them": signed(t, strings.ToUpper(account), nil, nil).pem(),
	} {
		err := w.set(account, text)
		if e := failure(err); err == nil || e.Outcome != connector.NotDone || !strings.Contains(e.Message, "not one certificate") {
			t.Errorf("%s: %v", what, err)
		}
	}
	after, err := os.ReadFile(w.e.list())
	must(t, err)
	if string(after) != string(before) || !w.login(account) {
		t.Error("something has changed")
	}
	if _, err := os.Stat("/tmp/stint-canary"); err == nil {
		t.Error("text of a certificate was run")
	}
	must(t, w.set(account, next.pem()))
}

// TestNoVouching: who has the key of a certificate that the server knows gets in with this one,
// and makes no other with it that opens anything.
func TestNoVouching(t *testing.T) {
	w := newElephantWorld(t)
	account, own := w.lent()
	other, _ := w.lent()
	s, err := w.connect(account, own.shown())
	must(t, err)
	s.Close()
	authority := func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }
	between := signed(t, account, &own, authority)
	for _, whom := range []string{account, other, "postgres", "stint"} {
		for what, shown := range map[string]tls.Certificate{
			"signed by it":                 signed(t, whom, &own, nil).shown(),
			"signed by it, which is shown": signed(t, whom, &own, nil).shown(own),
			"by an authority that it made": signed(t, whom, &between, nil).shown(between, own),
			"signed by itself":             signed(t, whom, nil, nil).shown(),
			"by itself, with the same key": signedWith(t, own.key, whom, nil, nil).shown(),
			"by itself, and an authority":  signedWith(t, own.key, whom, nil, authority).shown(own),
			"none":                         {},
		} {
			if s, err := w.connect(whom, shown); err == nil {
				s.Close()
				t.Errorf("a certificate of %s %s opens it", whom, what)
			}
		}
		if s, err := w.connect(whom, own.shown()); (err == nil) != (whom == account) {
			t.Errorf("the certificate of %s, for %s: %v", account, whom, err)
		} else if err == nil {
			s.Close()
		}
	}
}

// halfIn is a client that has shown its certificate, and has not said yet who it is.
type halfIn struct {
	t testing.TB
	c *tls.Conn
}

func (w *elephantWorld) halfIn(shown tls.Certificate) halfIn {
	w.t.Helper()
	raw, err := net.Dial("tcp", w.e.Addr())
	must(w.t, err)
	w.t.Cleanup(func() { _ = raw.Close() })
	must(w.t, raw.SetDeadline(time.Now().Add(2*patience)))
	_, err = raw.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f})
	must(w.t, err)
	said := make([]byte, 1)
	if _, err := io.ReadFull(raw, said); err != nil || said[0] != 'S' {
		w.t.Fatalf("%q %v", said, err)
	}
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, // in which the server says when it is content
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown, nil }})
	must(w.t, c.Handshake())
	return halfIn{w.t, c}
}

// goOn says who it is, and reports whether that opens a session.
func (h halfIn) goOn(account string) bool {
	h.t.Helper()
	text := "\x00\x03\x00\x00user\x00" + account + "\x00database\x00postgres\x00\x00"
	if _, err := h.c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text)+4)), text...)); err != nil {
		return false
	}
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(h.c, head); err != nil {
			return false // closed
		}
		switch head[0] {
		case 'E':
			return false
		case 'Z':
			return true
		}
		if _, err := io.CopyN(io.Discard, h.c, int64(binary.BigEndian.Uint32(head[1:]))-4); err != nil {
			return false
		}
	}
}

func (w *elephantWorld) patience(text string) {
	w.e.exec(w.t, "ALTER SYSTEM SET authentication_timeout = '"+text+"'", "SELECT pg_reload_conf()")
	for end := time.Now().Add(patience); w.e.query(w.t, "SHOW authentication_timeout") != text; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("the server does not read its settings")
		}
	}
}

// TestCertificateHalfwayIn: a log-in that showed the certificate which was lent, and goes on
// after that is gone, opens nothing: neither while the account has no login, nor after.
func TestCertificateHalfwayIn(t *testing.T) {
	w := newElephantWorld(t)
	t.Cleanup(func() { w.patience("1s") })

	w.patience("10s")
	account, own := w.lent()
	if !w.halfIn(own.shown()).goOn(account) {
		t.Fatal("a client that does not wait is not let in")
	}
	half, next := w.halfIn(own.shown()), signed(t, account, nil, nil)
	done := make(chan error, 1)
	go func() { done <- w.set(account, next.pem()) }()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if text, err := os.ReadFile(w.e.list()); err == nil && strings.Contains(string(text), next.pem()) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the next certificate is not set")
		}
	}
	if half.goOn(account) {
		t.Error("it gets in while the next one is set")
	}
	must(t, <-done)

	w.patience("3s")
	o := w.Order(access.Checkout)
	o.Next = newCertificate(t, o.Account)
	half = w.halfIn(w.pair(o.Secret))
	ctx, stop := context.WithTimeout(t.Context(), 2*patience)
	defer stop()
	for _, step := range []func(context.Context, connector.Target, []connector.Order) []connector.Result{w.c.Revoke, w.c.TerminateSessions, w.c.Remove} {
		if got := step(ctx, w.target, []connector.Order{o})[0]; got.Outcome != connector.Done {
			t.Fatal(got.Err)
		}
	}
	if !w.login(o.Account) {
		t.Error("the account did not come back")
	}
	if half.goOn(o.Account) {
		t.Error("it gets in after the return")
	}

	// As it is without an end before it: set alone waits, too.
	account, own = w.lent()
	half = w.halfIn(own.shown())
	must(t, w.set(account, signed(t, account, nil, nil).pem()))
	if half.goOn(account) {
		t.Error("it gets in after another was set")
	}
}

// TestServerThatReadsNothing: a server that was told of its new list, and goes on with the one
// before, gives no account its login.
func TestServerThatReadsNothing(t *testing.T) {
	w := newElephantWorld(t)
	account, own := w.lent()
	locked, _ := w.lent()
	key := filepath.Join(filepath.Dir(w.e.CAFile), "server.key")
	must(t, os.Chmod(key, 0o644)) // which it takes for no key, and so reads nothing of TLS anew
	defer func() { must(t, os.Chmod(key, 0o600)) }()
	next := signed(t, account, nil, nil)
	if err := w.set(account, next.pem()); err == nil || failure(err).Outcome != connector.Unknown {
		t.Errorf("it was set: %v", err)
	}
	if w.login(account) {
		t.Error("it has its login")
	}
	if s, err := w.connect(account, own.shown()); err == nil {
		s.Close()
		t.Error("the certificate of before opens")
	}
	must(t, w.ask(question{Do: doLock, Account: locked}))
	if w.login(locked) {
		t.Error("what was locked has its login")
	}
	must(t, os.Chmod(key, 0o600))
	must(t, w.set(account, next.pem()))
	s, err := w.connect(account, next.shown())
	must(t, err)
	s.Close()
}

// TestBorrowerHoldsTheRole: a borrower in a transaction that changed the account's own password
// does not keep the login.
func TestBorrowerHoldsTheRole(t *testing.T) {
	w := newElephantWorld(t)
	account, own := w.lent()
	s, err := w.connect(account, own.shown())
	must(t, err)
	defer s.Close()
	for _, text := range []string{"BEGIN", "ALTER ROLE CURRENT_USER PASSWORD 'canary'"} {
		_, err := s.conn.Exec(t.Context(), text)
		must(t, err)
	}
	must(t, w.ask(question{Do: doLock, Account: account}))
	if w.login(account) {
		t.Error("it has its login")
	}
	if got := w.e.query(t, "SELECT (rolpassword IS NULL)::text FROM pg_authid WHERE rolname = '"+account+"'"); got != "true" {
		t.Error("it has a password")
	}
	must(t, w.ask(question{Do: doEnd, Account: account}))
	if s.Alive() {
		t.Error("its session goes on")
	}
}

// TestWhatABorrowerSets: settings that a borrower leaves with the account hinder no return.
func TestWhatABorrowerSets(t *testing.T) {
	w := newElephantWorld(t)
	account, own := w.lent()
	s, err := w.connect(account, own.shown())
	must(t, err)
	defer s.Close()
	for _, text := range []string{"client_min_messages = debug5", "statement_timeout = 1", "search_path = canary", "default_transaction_read_only = on", "application_name = 'FATAL:  role'"} {
		_, err := s.conn.Exec(t.Context(), "ALTER ROLE CURRENT_USER SET "+text)
		must(t, err)
	}
	must(t, w.ask(question{Do: doLock, Account: account}))
	must(t, w.ask(question{Do: doEnd, Account: account}))
	next, before := newCertificate(t, account), newCertificate(t, account)
	p, err := certificateOf(next)
	must(t, err)
	must(t, w.set(account, p.certificate))
	for secret, want := range map[*access.Secret]bool{&next: true, &before: false} {
		if opens, err := w.c.opens(t.Context(), w.target, account, *secret); opens != want || err != nil {
			t.Errorf("opens: %v %v, want %v", opens, err, want)
		}
	}
}

// TestRefusedAccounts: an account that reaches further than itself is not lent.
func TestRefusedAccounts(t *testing.T) {
	w := newElephantWorld(t)
	for what, statement := range map[string]string{
		"a superuser":            "ALTER ROLE %s SUPERUSER",
		"one that replicates":    "ALTER ROLE %s REPLICATION",
		"one that makes roles":   "ALTER ROLE %s CREATEROLE",
		"one that passes by":     "ALTER ROLE %s BYPASSRLS",
		"who runs programs":      "GRANT pg_execute_server_program TO %s",
		"who writes files":       "GRANT pg_write_server_files TO %s",
		"who is the hook":        "GRANT stint TO %s",
		"who ends sessions":      "GRANT pg_signal_backend TO %s",
		"who writes all":         "GRANT pg_write_all_data TO %s",
		"who writes notes":       "GRANT UPDATE ON stint.notes TO %s",
		"who is asked otherwise": "REVOKE stint_certificate FROM %s",
	} {
		account, _ := w.lent()
		if _, err := w.c.look(t.Context(), w.target, account); err != nil {
			t.Fatal(err)
		}
		w.e.exec(t, fmt.Sprintf(statement, account))
		if _, err := w.c.look(t.Context(), w.target, account); !errors.Is(failure(err).Cause, access.Denied) {
			t.Errorf("%s: %v", what, err)
		}
		w.e.exec(t, "DROP OWNED BY "+account, "DROP ROLE "+account)
	}
	if _, err := w.c.look(t.Context(), w.target, "stint"); !errors.Is(failure(err).Cause, access.Denied) {
		t.Errorf("the login: %v", err)
	}
	long := strings.Repeat("a", 63)
	w.e.exec(t, "CREATE ROLE "+long+" IN ROLE stint_certificate")
	defer w.e.exec(t, "DROP ROLE "+long)
	if a, err := w.c.look(t.Context(), w.target, long+"b"); err == nil {
		t.Errorf("a name that is cut is another's: %+v", a)
	}
}

// TestTheList: many that write it at once lose nothing; what is not the hook's stays, and then
// nothing is set, but all is locked; and it never is empty.
func TestTheList(t *testing.T) {
	w := newElephantWorld(t)
	accounts := map[string]made{}
	for range 6 {
		account, _ := w.lent()
		accounts[account] = signed(t, account, nil, nil)
	}
	var all sync.WaitGroup
	for account, next := range accounts {
		all.Go(func() {
			if err := w.set(account, next.pem()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for account, next := range accounts {
		s, err := w.connect(account, next.shown())
		must(t, err)
		s.Close()
	}
	before, err := os.ReadFile(w.e.list())
	must(t, err)
	write := func(text string) {
		t.Helper()
		f, err := os.OpenFile(w.e.list(), os.O_WRONLY|os.O_TRUNC, 0)
		must(t, err)
		_, err = f.WriteString(text)
		must(t, errors.Join(err, f.Close()))
	}
	defer write(string(before))
	foreign := signed(t, "an authority", nil, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign })
	write(string(before) + foreign.pem())
	names := slices.Collect(func(yield func(string) bool) {
		for a := range accounts {
			if !yield(a) {
				return
			}
		}
	})
	if err := w.set(names[0], accounts[names[0]].pem()); err == nil {
		t.Error("an account is set where somebody else can vouch for it")
	}
	must(t, w.ask(question{Do: doLock, Account: names[1]}))
	now, err := os.ReadFile(w.e.list())
	must(t, err)
	if !strings.Contains(string(now), foreign.pem()) || strings.Contains(string(now), accounts[names[1]].pem()) || !strings.Contains(string(now), accounts[names[2]].pem()) {
		t.Error("the list is not what it was, without the one that was locked")
	}
	write("# stint " + names[1] + "\n" + accounts[names[1]].pem())
	must(t, w.ask(question{Do: doLock, Account: names[1]}))
	if now, err = os.ReadFile(w.e.list()); err != nil || strings.Count(string(now), "BEGIN CERTIFICATE") != 1 || strings.Contains(string(now), accounts[names[1]].pem()) {
		t.Errorf("the last one that was locked: %d bytes, %v", len(now), err)
	}
}

// TestCertificateCheck: it says what is wrong with a server, leaves nothing, and no file has a
// key in it.
func TestCertificateCheck(t *testing.T) {
	w := newElephantWorld(t)
	if rep := w.c.Check(t.Context(), w.target); !rep.OK() {
		t.Fatalf("%+v", rep)
	}
	text, err := os.ReadFile(w.e.list())
	must(t, err)
	if strings.Contains(string(text), "stint_check_") || w.e.query(t, "SELECT count(*)::text FROM pg_roles WHERE rolname ~ '^stint_check_'") != "0" {
		t.Error("it left something")
	}
	if left, _ := filepath.Glob("/dev/shm/stint.*"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	t.Cleanup(func() { w.patience("1s") })
	w.patience("11s")
	if rep := w.c.Check(t.Context(), w.target); rep.OK() {
		t.Error("log-ins may take long, and it says nothing")
	}
}
