package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
	"stint/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// world is a database, a connector's login and groups to lend, on a real server.
// Roles are common to a server, so each world's have names of their own.
type world struct {
	t        testing.TB
	server   *pgtest.Server
	c        *Connector
	target   connector.Target
	database string // that users connect to
	second   string // see elsewhere
	login    string
	groups   []string  // two that may be lent
	standing string    // password of the standing accounts
	su       *pgx.Conn // the superuser's in postgres, once it was needed
}

var worlds atomic.Int64

// minimum is what README.md says the login needs on 15.
const minimum = "LOGIN CREATEROLE INHERIT NOSUPERUSER NOCREATEDB NOREPLICATION NOBYPASSRLS"

func newWorld(t *testing.T) *world { return newWorldOn(t, pgtest.Shared(t)) }

func newWorldOn(t testing.TB, server *pgtest.Server) *world {
	t.Helper()
	n := strconv.FormatInt(worlds.Add(1), 10)
	w := &world{
		t: t, server: server, c: New(), database: server.Database(t),
		login: "connector " + n, groups: []string{"Readers " + n, `writers"` + n}, standing: "standing-password",
	}
	ca, err := os.ReadFile(server.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	w.target = connector.Target{
		Connection: access.Connection{Type: Type, Address: server.Addr(), Credential: "c" + n,
			Options: map[string]string{"database": w.database, "ca": string(ca)}},
		Username: w.login, Password: access.NewSecret([]byte("the connector's password")),
	}
	w.exec("",
		"CREATE ROLE "+ident(w.login)+" "+minimum+" PASSWORD 'the connector''s password'",
		"GRANT pg_signal_backend, pg_read_all_stats TO "+ident(w.login),
		"CREATE ROLE "+ident(w.groups[0]), "CREATE ROLE "+ident(w.groups[1]))
	w.furnish(w.database)
	t.Cleanup(w.close)
	return w
}

// furnish makes what the groups are for: the first reads, the second creates.
func (w *world) furnish(db string) {
	w.exec(db, "CREATE SCHEMA work", "CREATE TABLE work.orders (id int)",
		"GRANT SELECT ON work.orders TO "+ident(w.groups[0]),
		"GRANT USAGE, CREATE ON SCHEMA work TO "+ident(w.groups[1]), "GRANT CREATE ON DATABASE "+ident(db)+" TO "+ident(w.groups[1]))
}

// ForgeClaim is what anybody with CREATEROLE can do before PostgreSQL 16.
func (w *world) ForgeClaim(installation string, epoch int64) {
	w.exec("", "COMMENT ON ROLE stint_claim IS "+literal(fmt.Sprintf("%s/%d", installation, epoch)))
}

// elsewhere is a second database, in which accounts may create too.
func (w *world) elsewhere() string {
	if w.second == "" {
		w.second = w.server.Database(w.t)
		w.furnish(w.second)
		// Runs before the database goes: what is in it may belong to roles.
		w.t.Cleanup(func() { w.disown(w.second) })
	}
	return w.second
}

// disown takes everything in a database from the roles that we made.
func (w *world) disown(db string) {
	w.exec(db, `DO $$ DECLARE r name; BEGIN
		FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'stint%' LOOP EXECUTE format('DROP OWNED BY %I CASCADE', r); END LOOP; END $$`)
}

// close leaves the shared server without anything of this world's that another
// could stumble over.
func (w *world) close() {
	w.c.Close()
	w.exec("", "DROP ROLE IF EXISTS stint_claim, stint_claim_proof")
	w.disown(w.database)
	w.disown("")
	w.exec("", `DO $$ DECLARE r name; BEGIN
		FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'stint%' LOOP EXECUTE format('DROP ROLE %I', r); END LOOP; END $$`)
	_ = w.su.Close(context.Background())
}

// superuser is a connection to postgres that lasts as long as the world: a new one for
// each look would cost more than all that is looked at. One that broke is replaced.
func (w *world) superuser() *pgx.Conn {
	w.t.Helper()
	if w.su != nil && w.su.Ping(context.Background()) == nil {
		return w.su
	}
	conn, err := pgx.Connect(context.Background(), w.server.SuperuserDSN("postgres"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.su = conn
	return conn
}

// exec runs statements as the superuser, in postgres unless a database is named.
func (w *world) exec(database string, sql ...string) {
	w.t.Helper()
	if database == "" {
		conn := w.superuser()
		for _, one := range append(slices.Clone(sql), "RESET ROLE") {
			if _, err := conn.Exec(context.Background(), one); err != nil {
				w.t.Fatalf("%s: %v", one, err)
			}
		}
		return
	}
	if err := w.server.Exec(context.Background(), database, sql...); err != nil {
		w.t.Fatalf("%s: %v", strings.Join(sql, "; "), err)
	}
}

// open connects as the superuser until the test ends.
func (w *world) open(database string) *pgx.Conn {
	w.t.Helper()
	conn, err := pgx.Connect(context.Background(), w.server.SuperuserDSN(database))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// query reads one value as the superuser.
func query[T any](w *world, sql string, args ...any) (v T) {
	w.t.Helper()
	if err := w.superuser().QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func (w *world) Connector() connector.Connector { return w.c }
func (w *world) Target() connector.Target       { return w.target }

var people atomic.Int64

// Order is for both groups; for standing accounts it makes one.
func (w *world) Order(m access.Mechanism) connector.Order {
	n := people.Add(1)
	o := connector.Order{Tag: connectortest.NewTag(), Mechanism: m, Person: access.Person(fmt.Sprintf("ada.l-%d", n)),
		ExpiresAt: time.Now().Add(time.Hour), Options: map[string]string{"scramIterations": "1"}}
	switch m {
	case access.Account:
		o.Rights = w.groups
	case access.Member:
		o.Account, o.Rights = fmt.Sprintf("Ada %d", n), w.groups[1:]
		w.exec("", "CREATE ROLE "+ident(o.Account)+" LOGIN PASSWORD "+literal(w.standing))
	case access.Enable:
		o.Account = fmt.Sprintf("dba %d", n)
		w.exec("", "CREATE ROLE "+ident(o.Account)+" NOLOGIN CONNECTION LIMIT 7 IN ROLE "+idents(w.groups))
	case access.Checkout:
		o.Account, o.Secret = fmt.Sprintf("vaulted %d", n), access.NewSecret([]byte("kept-by-the-vault"))
		w.exec("", "CREATE ROLE "+ident(o.Account)+" LOGIN PASSWORD "+literal(newVerifier(o.Secret.Reveal(), 1))+" IN ROLE "+idents(w.groups))
	}
	return o
}

// pgSession is a session of psql's kind.
type pgSession struct{ conn *pgx.Conn }

func (s pgSession) Alive() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var one int
	return s.conn.QueryRow(ctx, "SELECT 1").Scan(&one) == nil && one == 1
}

func (s pgSession) Close() { _ = s.conn.Close(context.Background()) }

func (w *world) Session(o connector.Order, r connector.Receipt) (connectortest.Session, error) {
	dsn := w.server.DSN(o.Account, w.standing, w.database)
	if !r.Credential.Empty() {
		var c credential
		if err := json.Unmarshal(r.Credential.Reveal(), &c); err != nil {
			return nil, err
		}
		dsn = c.URI + "&sslrootcert=" + w.server.CAFile
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	return pgSession{conn}, nil
}

func (w *world) State(o connector.Order, r connector.Receipt) connectortest.State {
	w.t.Helper()
	if o.Mechanism == access.Account {
		name := r.Account
		if name == "" {
			name = accountName(o.Person, o.Tag)
		}
		oid := query[int64](w, "SELECT coalesce((SELECT oid::int8 FROM pg_authid WHERE rolname = $1), 0)", name)
		sessions := query[int](w, "SELECT count(*) FROM pg_stat_activity WHERE usesysid::text = $1 OR usename = $2", r.Creation, name)
		return connectortest.State{
			Exists:  oid != 0,
			Usable:  sessions > 0 || query[bool](w, "SELECT EXISTS (SELECT FROM pg_authid WHERE rolname = $1 AND (rolcanlogin OR rolpassword IS NOT NULL))", name),
			Ends:    w.validUntil(name),
			Foreign: oid != 0 && r.Creation != "" && strconv.FormatInt(oid, 10) != r.Creation,
		}
	}
	st := connectortest.State{Exists: query[bool](w, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", markName(o.Mechanism, o.Tag))}
	if o.Mechanism == access.Enable {
		st.Usable = query[bool](w, "SELECT EXISTS (SELECT FROM pg_authid WHERE rolname = $1 AND (rolcanlogin OR rolpassword IS NOT NULL))", o.Account)
		st.Ends = w.validUntil(o.Account)
		return st
	}
	if o.Mechanism == access.Checkout {
		// What has the mark and a login, and what was lent and opens all the same.
		st.Usable = st.Exists && query[bool](w, "SELECT EXISTS (SELECT FROM pg_authid WHERE rolname = $1 AND rolcanlogin)", o.Account) ||
			r.Creation != "" && w.opens(o.Account, string(o.Secret.Reveal()))
		if st.Exists {
			st.Ends = w.validUntil(o.Account)
		}
		return st
	}
	st.Usable = query[int](w, `SELECT count(*) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles a ON a.oid = m.member
		WHERE a.rolname = $1 AND g.rolname = ANY($2)`, o.Account, o.Rights) > 0
	return st
}

// opens reports whether a password opens an account.
func (w *world) opens(account, password string) bool {
	w.t.Helper()
	conn, err := pgx.Connect(context.Background(), w.server.DSN(account, password, w.database))
	if err != nil {
		return false
	}
	_ = conn.Close(context.Background())
	return true
}

// validUntil is the target's own expiry of an account.
func (w *world) validUntil(name string) time.Time {
	us := query[int64](w, "SELECT coalesce((SELECT (extract(epoch FROM rolvaliduntil) * 1000000)::int8 FROM pg_roles WHERE rolname = $1 AND isfinite(rolvaliduntil)), 0)", name)
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us)
}

// Own makes objects in both databases, grants, default privileges and a
// prepared transaction.
func (w *world) Own(s connectortest.Session, o connector.Order) {
	w.t.Helper()
	here := s.(pgSession).conn
	var name string
	ctx := context.Background()
	if err := here.QueryRow(ctx, "SELECT current_user").Scan(&name); err != nil {
		w.t.Fatal(err)
	}
	there, err := pgx.Connect(ctx, w.server.DSN(name, here.Config().Password, w.elsewhere()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = there.Close(ctx) }()
	for _, conn := range []*pgx.Conn{here, there} {
		for _, sql := range []string{
			"CREATE TABLE work.left_behind (id serial PRIMARY KEY)",
			"CREATE FUNCTION work.back_door() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
			"CREATE TYPE work.mood AS ENUM ('sad')",
			"CREATE SCHEMA own",
			"CREATE TABLE own.thing ()",
			"SELECT lo_create(0)",
			"GRANT ALL ON work.left_behind TO PUBLIC",
			"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
		} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				w.t.Fatalf("%s: %v", sql, err)
			}
		}
	}
	w.exec(w.second, "GRANT SELECT (id) ON work.left_behind TO "+ident(w.groups[0]))
	for _, sql := range []string{"BEGIN", "LOCK TABLE work.left_behind IN EXCLUSIVE MODE", "INSERT INTO work.left_behind DEFAULT VALUES", "PREPARE TRANSACTION 'it''s held'"} {
		if _, err := there.Exec(ctx, sql); err != nil {
			w.t.Fatalf("%s: %v", sql, err)
		}
	}
}

func (w *world) Replace(o connector.Order, r connector.Receipt) {
	w.exec("", "DROP ROLE "+ident(r.Account), "CREATE ROLE "+ident(r.Account)+" LOGIN PASSWORD 'theirs'")
}

func (w *world) Grant(o connector.Order) {
	w.exec("", "GRANT "+idents(o.Rights)+" TO "+ident(o.Account))
}

func (w *world) Taken(o connector.Order) bool {
	return query[int](w, `SELECT count(*) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles a ON a.oid = m.member
		WHERE a.rolname = $1 AND g.rolname = ANY($2)`, o.Account, o.Rights) != len(o.Rights)
}

func (w *world) Weaken() { w.exec("", "REVOKE pg_signal_backend FROM "+ident(w.login)) }

func (w *world) Restart() {
	w.t.Helper()
	if err := w.server.Restart(); err != nil {
		w.t.Fatal(err)
	}
}

// faults reads statements, which TLS would hide.
type faults struct{ p *pgtest.Proxy }

func makes(sent []byte) bool {
	return strings.Contains(string(sent), "CREATE ROLE \"stint")
}
func (f faults) CutBefore() { f.p.CutBefore(makes) }
func (f faults) CutAfter()  { f.p.CutAfter(makes) }
func (f faults) Hang()      { f.p.Hang() }
func (f faults) Resume()    { _ = f.p.Resume() }

func (w *world) Faulty() (connector.Target, connectortest.Faults) {
	w.t.Helper()
	p, err := pgtest.NewProxy(w.server.Addr())
	if err != nil {
		w.t.Fatal(err)
	}
	t := w.target
	t.Connection.Address, t.Connection.Options = p.Addr(), maps.Clone(t.Connection.Options)
	t.Connection.Options["sslmode"] = disableTLS
	w.t.Cleanup(func() { w.c.Forget(t.Connection); _ = p.Close() })
	return t, faults{p}
}

func TestConformance(t *testing.T) {
	// Prepared transactions are off by default.
	server := pgtest.Start(t, pgtest.Options{Conf: map[string]string{"max_prepared_transactions": "10"}})
	connectortest.Run(t, func(t *testing.T) connectortest.World { return newWorldOn(t, server) })
}

// freePort is an address where nobody listens.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
