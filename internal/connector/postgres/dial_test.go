package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
)

func targetAt(address string, options map[string]string) connector.Target {
	o := map[string]string{"database": "orders"}
	maps.Copy(o, options)
	return connector.Target{Connection: access.Connection{Type: Type, Address: address, Options: o},
		Username: "connector", Password: access.NewSecret([]byte("never-to-be-sent"))}
}

func TestConfigRefuses(t *testing.T) {
	for name, target := range map[string]connector.Target{
		"no port":                targetAt("db", nil),
		"no host":                targetAt(":5432", nil),
		"socket folder":          targetAt("/var/run/postgresql:5432", nil),
		"abstract socket":        targetAt("@stint:5432", nil),
		"list of hosts":          targetAt("db1,db2:5432", nil),
		"port zero":              targetAt("db:0", nil),
		"port too big":           targetAt("db:65536", nil),
		"port with a sign":       targetAt("db:+5432", nil),
		"words of a DSN":         targetAt("db user=postgres:5432", nil),
		"clear to elsewhere":     targetAt("192.0.2.1:5432", map[string]string{"sslmode": "disable"}),
		"clear to a name":        targetAt("localhost.example:5432", map[string]string{"sslmode": "disable"}),
		"unverified":             targetAt("db:5432", map[string]string{"sslmode": "require"}),
		"prefer":                 targetAt("db:5432", map[string]string{"sslmode": "prefer"}),
		"authority that is none": targetAt("db:5432", map[string]string{"ca": "/etc/ssl/ca.pem"}),
		"no database":            targetAt("db:5432", map[string]string{"database": ""}),
		"NUL in the database":    targetAt("db:5432", map[string]string{"database": "a\x00user\x00postgres"}),
	} {
		if _, err := config(target, target.Connection.Options["database"]); access.KindOf(err) != access.Invalid {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
	for _, address := range []string{"db1.example.org:5432", "127.0.0.1:5432", "[::1]:5432", "[fe80::1%eth0]:5432", "db_1:1"} {
		if _, err := config(targetAt(address, nil), "orders"); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestConfigIgnoresEnvironment: what psql would take from its surroundings, a
// connector does not.
func TestConfigIgnoresEnvironment(t *testing.T) {
	for k, v := range map[string]string{"PGHOST": "evil", "PGPORT": "1", "PGUSER": "evil", "PGPASSWORD": "evil", "PGDATABASE": "evil", "PGSSLMODE": "disable",
		"PGOPTIONS": "-c role=evil", "PGAPPNAME": "evil", "PGPASSFILE": "/nonexistent", "PGSSLROOTCERT": "/nonexistent", "PGSSLCERT": "/nonexistent",
		"PGREQUIREAUTH": "none", "PGTARGETSESSIONATTRS": "any", "PGCHANNELBINDING": "disable", "PGTZ": "Mars"} {
		t.Setenv(k, v)
	}
	c, err := config(targetAt("db:5432", nil), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if c.Host != "db" || c.Port != 5432 || c.User != "connector" || c.Database != "orders" || c.Password != "never-to-be-sent" {
		t.Errorf("the environment got through: %s %d %s %s", c.Host, c.Port, c.User, c.Database)
	}
	if c.TLSConfig == nil || c.TLSConfig.InsecureSkipVerify || c.TLSConfig.ServerName != "db" || len(c.TLSConfig.Certificates) != 0 || len(c.Fallbacks) != 0 {
		t.Error("TLS is not what it is by default")
	}
	if c.RequireAuth != "scram-sha-256" || c.ValidateConnect == nil || c.ChannelBinding != "prefer" {
		t.Errorf("authentication is %q with channel binding %q", c.RequireAuth, c.ChannelBinding)
	}
	for _, name := range []string{"options", "TimeZone"} {
		if v, ok := c.RuntimeParams[name]; ok {
			t.Errorf("%s is set to %q", name, v)
		}
	}
	if v := c.RuntimeParams["role"]; v != "none" {
		t.Errorf("role is %q, want none: neither the environment nor a database's owner says whom we act as", v)
	}
}

// TestImpostorGetsNoPassword: whoever sits at the address and asks for the
// password in another way than SCRAM, or for none, is told nothing.
func TestImpostorGetsNoPassword(t *testing.T) {
	for name, ask := range map[string]pgproto3.BackendMessage{
		"in clear": &pgproto3.AuthenticationCleartextPassword{},
		"as MD5":   &pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}},
		"not":      &pgproto3.AuthenticationOk{},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			heard := make(chan []byte, 1)
			go func() { heard <- impostor(l, ask) }()
			c := New()
			defer c.Close()
			err = c.Claim(t.Context(), targetAt(l.Addr().String(), map[string]string{"sslmode": "disable"}), connector.Claim{Installation: "one", Epoch: 1})
			if err == nil {
				t.Error("the impostor was believed")
			}
			_ = l.Close()
			if after := <-heard; len(after) > 0 {
				t.Errorf("after the question the impostor heard %q", after)
			}
		})
	}
}

// impostor asks the first client and returns what it says next.
func impostor(l net.Listener, ask pgproto3.BackendMessage) []byte {
	conn, err := l.Accept()
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	be := pgproto3.NewBackend(conn, conn)
	if _, err := be.ReceiveStartupMessage(); err != nil {
		return []byte("no startup message: " + err.Error())
	}
	be.Send(ask)
	be.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	_ = be.Flush()
	said, _ := io.ReadAll(conn)
	return said
}

func TestTLS(t *testing.T) {
	w := newWorld(t)
	connect := func(edit func(o map[string]string), serverName string) error {
		target := w.target
		target.Connection.Options = maps.Clone(target.Connection.Options)
		edit(target.Connection.Options)
		c, err := config(target, w.database)
		if err != nil {
			return err
		}
		if serverName != "" {
			// The name that the document gives, of a server reached elsewhere.
			c.TLSConfig.ServerName = serverName
		}
		conn, err := pgx.ConnectConfig(t.Context(), c)
		if err != nil {
			return err
		}
		return conn.Close(t.Context())
	}
	as := func(mode string) func(map[string]string) {
		return func(o map[string]string) { o["sslmode"] = mode }
	}
	if err := connect(as(""), ""); err != nil {
		t.Errorf("the default with the right authority: %v", err)
	}
	if err := connect(func(o map[string]string) { delete(o, "ca") }, ""); err == nil {
		t.Error("a certificate of an unknown authority is taken")
	}
	if err := connect(as(verifyFull), "db.example"); err == nil {
		t.Error("verify-full takes a certificate of another name")
	}
	if err := connect(as(verifyCA), "db.example"); err != nil {
		t.Errorf("verify-ca with another name: %v", err)
	}
	if err := connect(func(o map[string]string) { o["sslmode"] = verifyCA; delete(o, "ca") }, ""); err == nil {
		t.Error("verify-ca takes a certificate of an unknown authority")
	}
}

func TestConnectFailures(t *testing.T) {
	w := newWorld(t)
	o := w.Order(access.Account)
	for _, test := range []struct {
		name      string
		edit      func(*connector.Target)
		permanent bool
		want      string
	}{
		{"wrong password", func(t *connector.Target) { t.Password = access.NewSecret([]byte("wrong-password")) }, true, "password authentication failed"},
		{"no such login", func(t *connector.Target) { t.Username = "nobody" }, true, "password authentication failed"},
		{"nobody there", func(c *connector.Target) { c.Connection.Address = freePort(t) }, false, "cannot connect"},
	} {
		target := w.target
		target.Connection.Options = maps.Clone(target.Connection.Options)
		test.edit(&target)
		_, err := w.c.Provision(t.Context(), target, o)
		var e *connector.Error
		if !errors.As(err, &e) || e.Outcome != connector.NotDone || e.Permanent != test.permanent || !strings.Contains(e.Error(), test.want) {
			t.Errorf("%s: %v, want %q, permanent %v", test.name, err, test.want, test.permanent)
		} else if strings.Contains(e.Error(), "-password") || strings.Contains(e.Error(), "the connector's password") {
			t.Errorf("%s: the error holds the password: %v", test.name, err)
		}
		if rs := w.c.Revoke(t.Context(), target, []connector.Order{o}); rs[0].Outcome == connector.Done || rs[0].Err == nil {
			t.Errorf("%s: revoke says %v", test.name, rs[0])
		}
		if v := w.c.Verify(t.Context(), target, []connector.Order{o})[0]; v.Gone() || v.Presence != connector.NotKnown || v.Sessions != -1 {
			t.Errorf("%s: verify says %+v", test.name, v)
		}
	}
}

// TestShutOutOfItsDatabase: whoever may close the target's database to us, as its
// owner may, begins nothing and keeps nothing by that.
func TestShutOutOfItsDatabase(t *testing.T) {
	for _, test := range []struct{ name, shut, open string }{
		{"no CONNECT", "REVOKE CONNECT ON DATABASE %s FROM PUBLIC", "GRANT CONNECT ON DATABASE %s TO PUBLIC"},
		{"no room", "ALTER DATABASE %s CONNECTION LIMIT 0", "ALTER DATABASE %s CONNECTION LIMIT -1"},
		{"closed", "ALTER DATABASE %s ALLOW_CONNECTIONS false", "ALTER DATABASE %s ALLOW_CONNECTIONS true"},
		{"another name", "ALTER DATABASE %s RENAME TO gone", "ALTER DATABASE gone RENAME TO %s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			var os []connector.Order
			var live []connectortest.Session
			for _, m := range []access.Mechanism{access.Account, access.Member, access.Enable} {
				o, r := w.provision(w.observed(w.Order(m)))
				s, err := w.Session(o, r)
				if err != nil {
					t.Fatal(err)
				}
				os, live = append(os, o), append(live, s)
			}
			// Sessions keep a database from being renamed; so do our own.
			if test.name == "another name" {
				for _, s := range live {
					s.Close()
				}
			}
			w.c.Close()
			shut := fmt.Sprintf(test.shut, ident(w.database))
			w.exec("", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = "+literal(w.login), shut)
			w.c = New()
			defer w.exec("", fmt.Sprintf(test.open, ident(w.database)))
			if _, err := w.c.Provision(t.Context(), w.target, w.Order(access.Account)); err == nil {
				t.Error("an account was made for a database that lets us in no more")
			}
			for i, o := range os {
				if got := w.end(o); got.Outcome != connector.Done {
					t.Errorf("%s: end: %v", o.Mechanism, got.Err)
				}
				if v := w.c.Verify(t.Context(), w.target, []connector.Order{o})[0]; !v.Gone() {
					t.Errorf("%s: %+v", o.Mechanism, v)
				}
				if live[i].Alive() {
					t.Errorf("%s: the session outlived the grant", o.Mechanism)
				}
			}
		})
	}
}

// TestNewPasswordOfLogin: a pool does not outlive the password it was made with.
func TestNewPasswordOfLogin(t *testing.T) {
	w := newWorld(t)
	if err := w.c.Claim(t.Context(), w.target, connector.Claim{Installation: "one", Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	stale := w.target
	stale.Password = access.NewSecret([]byte("of yesterday"))
	if err := w.c.Claim(t.Context(), stale, connector.Claim{Installation: "one", Epoch: 1}); err == nil {
		t.Error("a connection made with one password serves another")
	}
}

// TestEndingsAreNotStarved: provisions that fill their lane leave revocation its
// own.
func TestEndingsAreNotStarved(t *testing.T) {
	w := newWorld(t)
	o := w.Order(access.Account)
	if _, err := w.c.Provision(t.Context(), w.target, o); err != nil {
		t.Fatal(err)
	}
	release, held := make(chan struct{}), make(chan struct{})
	defer close(release)
	for range width[granting] {
		go func() {
			_ = w.c.pools.with(t.Context(), w.target, granting, func(*pgx.Conn) error {
				held <- struct{}{}
				<-release
				return nil
			})
		}()
	}
	for range width[granting] {
		<-held
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := w.c.Provision(ctx, w.target, w.Order(access.Account)); err == nil {
		t.Fatal("the lane is not full")
	}
	if r := w.c.Revoke(t.Context(), w.target, []connector.Order{o})[0]; r.Outcome != connector.Done {
		t.Errorf("revoke: %v", r.Err)
	}
}

func TestReceipt(t *testing.T) {
	target := targetAt("[::1]:5432", map[string]string{"database": "a b/c?d", "sslmode": "disable"})
	r, err := receipt(target, `we"ird@name`, 4242, []byte("p:w/%"))
	if err != nil {
		t.Fatal(err)
	}
	var got credential
	if err := json.Unmarshal(r.Credential.Reveal(), &got); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.ParseConfig(got.URI)
	if err != nil {
		t.Fatalf("the URI cannot be read: %v", err)
	}
	if c.User != `we"ird@name` || c.Password != "p:w/%" || c.Database != "a b/c?d" || c.Host != "::1" || c.Port != 5432 || c.TLSConfig != nil {
		t.Errorf("the URI means %q at %q port %d, database %q", c.User, c.Host, c.Port, c.Database)
	}
	if r.Creation != "4242" || got.Type != Type || got.Username != c.User || got.Password != c.Password || got.Host != "::1" || got.Port != 5432 || got.Database != c.Database {
		t.Errorf("the receipt is %s", r.Creation)
	}
}
