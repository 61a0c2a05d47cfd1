package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/pgtest"
)

// provision makes an account and fails the test when it cannot.
func (w *world) provision(o connector.Order) (connector.Order, connector.Receipt) {
	w.t.Helper()
	r, err := w.c.Provision(context.Background(), w.target, o)
	if err != nil {
		w.t.Fatalf("provision: %v", err)
	}
	o.Account, o.Creation = r.Account, r.Creation
	return o, r
}

// end runs the three steps and returns the result of the last that was not Done.
func (w *world) end(o connector.Order) connector.Result {
	os := []connector.Order{o}
	ctx := context.Background()
	last := connector.Result{Outcome: connector.Done}
	for _, r := range []connector.Result{w.c.Revoke(ctx, w.target, os)[0], w.c.TerminateSessions(ctx, w.target, os)[0], w.c.Remove(ctx, w.target, os)[0]} {
		if r != (connector.Result{Outcome: connector.Done}) {
			last = r
		}
	}
	return last
}

// TestLoginUnderWay: a log-in that has read the role, and is not a session yet
// when the account is revoked, does not get away. A lock on the table that holds
// the settings of roles keeps the log-in exactly there.
func TestLoginUnderWay(t *testing.T) {
	w := newWorldOn(t, pgtest.Start(t, pgtest.Options{}))
	o, r := w.provision(w.Order(access.Account))
	// The lane of endings has its connection.
	if err := w.c.pools.with(t.Context(), w.target, ending, func(conn *pgx.Conn) error { return conn.Ping(t.Context()) }); err != nil {
		t.Fatal(err)
	}

	oid := query[uint32](w, "SELECT oid FROM pg_authid WHERE rolname = $1", o.Account)
	ends := map[uint32]int64{oid: 0}
	admin, second := w.open(w.database), w.open(w.database) // nobody can log in for a while
	tx, err := admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE pg_db_role_setting IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	type opened struct {
		s   interface{ Alive() bool }
		err error
	}
	login := make(chan opened, 1)
	go func() {
		s, err := w.Session(o, r)
		login <- opened{s, err}
	}()
	// The log-in hangs once it waits for the lock.
	waiting := false
	for !waiting {
		if err := tx.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'pg_db_role_setting'::regclass AND NOT granted)").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	// The view pg_roles needs the table too, so the revocation is done by hand and
	// the step is called below the reading of the scene.
	if _, err := second.Exec(t.Context(), lockRole(o.Account)); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	got := result(w.c.endSessions(short, w.target, ending, ends)[oid])
	if got.Outcome != connector.Unknown || got.Err == nil || !strings.Contains(got.Err.Error(), "log-in") {
		t.Errorf("with a log-in under way: %v %v", got.Outcome, got.Err)
	}
	done := make(chan error, 1)
	go func() { done <- w.c.endSessions(t.Context(), w.target, ending, ends)[oid] }()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("once it got through: %v", err)
	}
	if l := <-login; l.err == nil && l.s.Alive() {
		t.Error("a session that began during the revocation is alive")
	}
	if got := w.end(o); got.Outcome != connector.Done {
		t.Errorf("end: %v", got.Err)
	}
}

// TestSilentClientHoldsNobodyUp: a client that was asked for its password and
// does not answer is not waited for.
func TestSilentClientHoldsNobodyUp(t *testing.T) {
	w := newWorld(t)
	o, _ := w.provision(w.Order(access.Account))
	conn, err := net.Dial("tcp", w.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fe := pgproto3.NewFrontend(conn, conn)
	fe.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": o.Account, "database": w.database}})
	if err := fe.Flush(); err != nil {
		t.Fatal(err)
	}
	if m, err := fe.Receive(); err != nil {
		t.Fatal(err)
	} else if _, asked := m.(*pgproto3.AuthenticationSASL); !asked {
		t.Fatalf("the server said %T", m)
	}
	began := time.Now()
	if got := w.end(o); got.Outcome != connector.Done {
		t.Fatalf("end: %v", got.Err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestDroppedUnderItsSession: the session of a role that somebody dropped lives
// on; it is found by the oid, counted and ended.
func TestDroppedUnderItsSession(t *testing.T) {
	w := newWorld(t)
	o, r := w.provision(w.Order(access.Account))
	live, err := w.Session(o, r)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	w.exec("", "DROP ROLE "+ident(o.Account))
	if v := w.c.Verify(t.Context(), w.target, []connector.Order{o})[0]; v.Presence != connector.Absent || v.Sessions != 1 || v.Gone() {
		t.Errorf("verify: %+v", v)
	}
	if got := w.c.Remove(t.Context(), w.target, []connector.Order{o})[0]; got.Outcome == connector.Done {
		t.Error("remove is done while a session is open")
	}
	if got := w.end(o); got.Outcome != connector.Done {
		t.Fatalf("end: %v", got.Err)
	}
	if live.Alive() {
		t.Error("the session of a dropped role outlived the end")
	}
}

// TestRenamed: an account under another name is still the one we made; it loses
// its login, and a person decides the rest.
func TestRenamed(t *testing.T) {
	w := newWorld(t)
	o, r := w.provision(w.Order(access.Account))
	live, err := w.Session(o, r)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	w.exec("", "ALTER ROLE "+ident(o.Account)+` RENAME TO "stint_elsewhere"`)
	if got := w.end(o); got.Outcome != connector.NotDone || !got.Foreign || !strings.Contains(got.Err.Error(), "stint_elsewhere") {
		t.Errorf("end: %+v", got)
	}
	if live.Alive() {
		t.Error("renaming saved the session")
	}
	if query[bool](w, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'stint_elsewhere'") {
		t.Error("renaming saved the login")
	}
	if v := w.c.Verify(t.Context(), w.target, []connector.Order{o})[0]; v.Gone() || v.Err == nil {
		t.Errorf("verify: %+v", v)
	}
}

// TestEmpowered: an account that was given powers is not dropped in silence.
func TestEmpowered(t *testing.T) {
	w := newWorld(t)
	o, _ := w.provision(w.Order(access.Account))
	w.exec("", "ALTER ROLE "+ident(o.Account)+" CREATEDB")
	if got := w.end(o); got.Outcome != connector.NotDone || !got.Foreign || !strings.Contains(got.Err.Error(), "powers") {
		t.Errorf("end: %+v", got)
	}
	if query[bool](w, "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", o.Account) {
		t.Error("it can still log in")
	}
	w.exec("", "ALTER ROLE "+ident(o.Account)+" SUPERUSER LOGIN")
	got := w.c.Revoke(t.Context(), w.target, []connector.Order{o})[0]
	if got.Outcome != connector.NotDone || !got.Foreign || got.Err == nil {
		t.Errorf("revoke of a superuser: %+v", got)
	}
	w.exec("", "ALTER ROLE "+ident(o.Account)+" NOSUPERUSER NOCREATEDB")
	if got := w.end(o); got.Outcome != connector.Done {
		t.Errorf("end after the powers were taken back: %v", got.Err)
	}
}

// TestEstate: what an account owned is afterwards a powerless role's, in every
// database, and nothing of it was dropped.
func TestEstate(t *testing.T) {
	w := newWorldOn(t, pgtest.Start(t, pgtest.Options{Conf: map[string]string{"max_prepared_transactions": "5"}}))
	o, r := w.provision(w.Order(access.Account))
	live, err := w.Session(o, r)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	w.Own(live, o)
	before := w.objects()
	if len(before) < 12 {
		t.Fatalf("the account made only %v", before)
	}
	if got := w.end(o); got.Outcome != connector.Done {
		t.Fatalf("end: %v", got.Err)
	}
	heir := quarantinePrefix + string(o.Tag)
	for _, db := range []string{w.database, w.second} {
		conn := w.open(db)
		for what, sql := range map[string]string{
			"table":    "SELECT tableowner::text FROM pg_tables WHERE tablename = 'left_behind'",
			"function": "SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'back_door'",
			"type":     "SELECT typowner::regrole::text FROM pg_type WHERE typname = 'mood'",
			"schema":   "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'own'",
			"sequence": "SELECT sequenceowner::text FROM pg_sequences WHERE sequencename = 'left_behind_id_seq'",
			"large":    "SELECT lomowner::regrole::text FROM pg_largeobject_metadata",
		} {
			var owner string
			if err := conn.QueryRow(t.Context(), sql).Scan(&owner); err != nil || owner != heir {
				t.Errorf("the %s in %s belongs to %q (%v), want %q", what, db, owner, err, heir)
			}
		}
		var defaults int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_default_acl").Scan(&defaults); err != nil || defaults != 0 {
			t.Errorf("%d default privileges are left in %s (%v)", defaults, db, err)
		}
	}
	if after := w.objects(); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("before the end there were\n%v\nand after it\n%v", before, after)
	}
	if n := query[int](w, "SELECT count(*) FROM pg_prepared_xacts"); n != 0 {
		t.Errorf("%d prepared transactions are left", n)
	}
	if query[bool](w, `SELECT rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
		OR EXISTS (SELECT FROM pg_auth_members m WHERE r.oid IN (m.member, m.roleid)) FROM pg_roles r WHERE rolname = $1`, heir) {
		t.Error("the quarantine role has power, or somebody has its")
	}
	if n := query[int](w, "SELECT count(*) FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = $1)", w.login); n != 2 {
		t.Errorf("the login is in %d roles afterwards, want the 2 it began with", n)
	}
	found := false
	for a, err := range w.c.Inventory(t.Context(), w.target) {
		found = found || err == nil && a.Account == heir && a.Standing && !a.Ours
	}
	if !found {
		t.Error("the inventory is silent about the quarantine role")
	}
}

// objects lists what users made in both databases.
func (w *world) objects() (all []string) {
	w.t.Helper()
	for _, db := range []string{w.database, w.second} {
		rows, err := w.open(db).Query(context.Background(), `
			SELECT current_database() || ' ' || n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('work', 'own')
			UNION ALL SELECT current_database() || ' ' || p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'work'
			UNION ALL SELECT current_database() || ' large ' || oid FROM pg_largeobject_metadata ORDER BY 1`)
		if err != nil {
			w.t.Fatal(err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, names...)
	}
	return all
}

// TestEstateOutOfReach: what the login may not settle is named, the account
// stays locked, and a repeat ends it once a person has helped.
func TestEstateOutOfReach(t *testing.T) {
	for name, test := range map[string]struct {
		before, help string // as the superuser; %s is the account
		want         string
	}{
		"granted by another": {"GRANT SELECT ON work.orders TO %s", "DROP OWNED BY %s", "table work.orders"},
		"owned in another's schema": {
			"CREATE SCHEMA theirs; CREATE FUNCTION theirs.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION theirs.f() OWNER TO %s",
			"DROP FUNCTION theirs.f()", "permission denied for schema theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o, _ := w.provision(w.Order(access.Account))
			w.exec(w.database, strings.ReplaceAll(test.before, "%s", ident(o.Account)))
			got := w.end(o)
			if got.Outcome != connector.NotDone || got.Foreign || got.Err == nil || !strings.Contains(got.Err.Error(), test.want) || !strings.Contains(got.Err.Error(), w.database) {
				t.Fatalf("end: %v %v, want %q", got.Outcome, got.Err, test.want)
			}
			var e *connector.Error
			if !errors.As(got.Err, &e) || !strings.Contains(e.Next, ident(o.Account)) {
				t.Errorf("the error does not say what to do: %+v", got.Err)
			}
			if query[bool](w, "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", o.Account) {
				t.Error("the account can log in")
			}
			w.exec(w.database, strings.ReplaceAll(test.help, "%s", ident(o.Account)))
			if got := w.end(o); got.Outcome != connector.Done {
				t.Errorf("after the help: %v", got.Err)
			}
		})
	}
}

// TestEstateHoldsNobodyUp: what one account left behind, and somebody holds a lock
// on, does not keep another that left nothing.
func TestEstateHoldsNobodyUp(t *testing.T) {
	w := newWorld(t)
	hostile, _ := w.provision(w.Order(access.Account))
	w.exec(w.database, "ALTER TABLE work.orders OWNER TO "+ident(hostile.Account))
	plain, _ := w.provision(w.Order(access.Account))
	locker := w.open(w.database)
	if _, err := locker.Exec(t.Context(), "BEGIN; LOCK TABLE work.orders IN ACCESS SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	os := []connector.Order{hostile, plain}
	if rs := w.c.Revoke(t.Context(), w.target, os); rs[0].Err != nil || rs[1].Err != nil {
		t.Fatalf("revoke: %v %v", rs[0].Err, rs[1].Err)
	}
	// Less time than the lock is waited for, as when several such accounts end at once.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if rs := w.c.Remove(ctx, w.target, os); rs[0].Outcome == connector.Done || rs[1].Outcome != connector.Done {
		t.Errorf("remove: %v %v", rs[0], rs[1])
	}
	if v := w.c.Verify(t.Context(), w.target, os); v[0].Gone() || !v[1].Gone() {
		t.Errorf("verify: %+v", v)
	}
	if _, err := locker.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if got := w.end(hostile); got.Outcome != connector.Done {
		t.Errorf("end: %v", got.Err)
	}
}

// TestEstateInClosedDatabase: a database that takes no connections is named.
func TestEstateInClosedDatabase(t *testing.T) {
	w := newWorld(t)
	o, _ := w.provision(w.Order(access.Account))
	other := w.elsewhere()
	w.exec(other, "ALTER TABLE work.orders OWNER TO "+ident(o.Account))
	w.exec("", "ALTER DATABASE "+ident(other)+" ALLOW_CONNECTIONS false")
	if got := w.end(o); got.Outcome != connector.NotDone || !strings.Contains(got.Err.Error(), other) {
		t.Errorf("end: %v %v", got.Outcome, got.Err)
	}
	w.exec("", "ALTER DATABASE "+ident(other)+" ALLOW_CONNECTIONS true")
	if got := w.end(o); got.Outcome != connector.Done {
		t.Errorf("end: %v", got.Err)
	}
}

// TestQuarantineWithPrivileges: a quarantine role that somebody made powerful
// gets nothing.
func TestQuarantineWithPrivileges(t *testing.T) {
	w := newWorld(t)
	o, _ := w.provision(w.Order(access.Account))
	w.exec(w.database, "ALTER TABLE work.orders OWNER TO "+ident(o.Account), "CREATE ROLE "+ident(quarantinePrefix+string(o.Tag))+" IN ROLE "+ident(w.groups[0]))
	if got := w.end(o); got.Outcome != connector.NotDone || !strings.Contains(got.Err.Error(), "has privileges") {
		t.Errorf("end: %v %v", got.Outcome, got.Err)
	}
}

// TestNoSecretIsTold: neither errors nor the target's own log hold a password,
// whatever is logged there.
func TestNoSecretIsTold(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Conf: map[string]string{"log_statement": "all", "log_min_error_statement": "debug1"}})
	w := newWorldOn(t, server)
	o, r := w.provision(w.Order(access.Account))
	var cred credential
	if err := json.Unmarshal(r.Credential.Reveal(), &cred); err != nil {
		t.Fatal(err)
	}
	bad := w.Order(access.Account)
	bad.Rights = []string{"no such group"}
	_, err := w.c.Provision(t.Context(), w.target, bad)
	var e *connector.Error
	if !errors.As(err, &e) || e.Outcome != connector.NotDone || !e.Permanent || e.Next == "" || !strings.Contains(e.Error(), "no such group") {
		t.Errorf("a group that is not there: %#v", err)
	}
	if strings.Contains(err.Error(), "SCRAM-SHA-256$") {
		t.Error("the error holds a verifier")
	}
	if got := w.end(o); got.Outcome != connector.Done {
		t.Fatal(got.Err)
	}
	log := server.Log()
	if !strings.Contains(log, o.Account) {
		t.Fatal("the log does not have the statements")
	}
	if strings.Contains(log, cred.Password) {
		t.Error("the target's log has the password")
	}
}
