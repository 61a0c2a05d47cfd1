package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/pgtest"
)

// heist is a world with a group, the chief, that owns the database and things in
// it: what a grant of it can plant is what the red team plants.
type heist struct {
	*world
	chief, boss, evil string
}

func newHeist(t *testing.T) *heist {
	server := pgtest.Start(t, pgtest.Options{Conf: map[string]string{"max_prepared_transactions": "10", "wal_level": "logical", "allow_system_table_mods": "on"}})
	w := newWorldOn(t, server)
	h := &heist{world: w, chief: "chief", boss: "boss", evil: `evil "one"`}
	w.elsewhere()
	w.exec("", "CREATE ROLE chief", "CREATE ROLE boss", `CREATE ROLE "evil ""one""" LOGIN`, "GRANT boss TO chief WITH ADMIN OPTION",
		"ALTER DATABASE "+ident(w.database)+" OWNER TO chief")
	w.exec(w.second, "GRANT USAGE, CREATE ON SCHEMA work TO chief")
	w.exec(w.database, "GRANT USAGE, CREATE ON SCHEMA work TO chief",
		"CREATE FOREIGN DATA WRAPPER nowhere", "GRANT USAGE ON FOREIGN DATA WRAPPER nowhere TO chief",
		"CREATE TABLE public.open (id int, note text)", "GRANT TRIGGER ON public.open TO chief",
		"CREATE SCHEMA shop AUTHORIZATION chief", "SET ROLE chief", "GRANT USAGE, CREATE ON SCHEMA shop TO boss",
		"CREATE TABLE shop.orders (id int, who text)", "CREATE TABLE shop.vault (id int)",
		"ALTER TABLE shop.vault ENABLE ROW LEVEL SECURITY", "CREATE POLICY nobody ON shop.vault FOR SELECT USING (false)",
		"CREATE FUNCTION shop.clean() RETURNS int LANGUAGE sql AS 'SELECT 1'",
		"CREATE FUNCTION shop.watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
		"CREATE TRIGGER guard BEFORE INSERT ON shop.vault FOR EACH ROW EXECUTE FUNCTION shop.watch()",
		"CREATE TYPE shop.coin AS (n int)")
	// The extensions that run statements later are not installed here; their tables
	// are as they would be, and belong to an extension by that name.
	w.exec(w.database, "CREATE SCHEMA cron", "CREATE TABLE cron.job (jobid int, schedule text, command text, database text, username text)",
		"GRANT USAGE ON SCHEMA cron TO chief", "GRANT SELECT, INSERT ON cron.job TO chief, "+ident(w.login), "GRANT USAGE ON SCHEMA cron TO "+ident(w.login),
		`INSERT INTO pg_extension SELECT 99999, 'pg_cron', 10, oid, false, '1' FROM pg_namespace WHERE nspname = 'cron'`,
		`INSERT INTO pg_depend SELECT 'pg_class'::regclass, 'cron.job'::regclass, 0, 'pg_extension'::regclass, 99999, 0, 'e'`)
	return h
}

func (w *world) fingerprint() []byte {
	w.t.Helper()
	f, err := w.c.Fingerprint(context.Background(), w.target)
	if err != nil {
		w.t.Fatalf("fingerprint: %v", err)
	}
	return f
}

func (w *world) residue(before []byte, o connector.Order) connector.Residue {
	w.t.Helper()
	r, err := w.c.Residue(before, w.fingerprint(), []connector.Order{o})
	if err != nil {
		w.t.Fatal(err)
	}
	return r[0]
}

// during plants things in a database while the order's account is live, as the
// account, and ends it. super runs beside it, as somebody else who may.
func (h *heist) during(t *testing.T, database string, super, plant []string) (before []byte, o connector.Order) {
	t.Helper()
	before = h.fingerprint()
	o = h.Order(access.Account)
	o.Rights = []string{h.chief}
	o, r := h.provision(o)
	h.exec(h.database, super...)
	live, err := h.Session(o, r)
	if err != nil {
		t.Fatal(err)
	}
	conn := live.(pgSession).conn
	if database != h.database {
		c := conn.Config().Copy()
		c.Database = database
		if conn, err = pgx.ConnectConfig(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
	}
	for _, sql := range plant {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	live.Close()
	return before, o
}

func (h *heist) over(t *testing.T, o connector.Order) {
	t.Helper()
	if got := h.end(o); got.Outcome != connector.Done {
		t.Fatalf("end: %v", got.Err)
	}
}

// TestRedTeam plants one thing of each kind during a grant. Each is found, told
// with who made it, and undone by the statement that is told with it.
func TestRedTeam(t *testing.T) {
	h := newHeist(t)
	const as = "SET ROLE chief"
	for i, c := range []struct {
		name  string
		there bool     // in the second database
		super []string // what an administrator does meanwhile
		plant []string
		kind  string
		what  string
		keep  bool // the undo is prose
		mend  []string
	}{
		{name: "a table", plant: []string{"CREATE TABLE work.mine (id int)"}, kind: "owner", what: "table work.mine belongs to stintquarantine_"},
		{name: "a table in another database", there: true, plant: []string{"CREATE TABLE work.mine (id int)"}, kind: "owner", what: "table work.mine"},
		{name: "a definer function", plant: []string{"CREATE FUNCTION work.door() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"}, kind: "function", what: "security definer function work.door() of stintquarantine_"},
		{name: "a definer function in another database", there: true, plant: []string{"CREATE FUNCTION work.door() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"}, kind: "function", what: "security definer"},
		{name: "a definer function of the group", plant: []string{as, "CREATE FUNCTION shop.door() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"}, kind: "function", what: "security definer function shop.door() of chief"},
		{name: "another body for a function", plant: []string{"CREATE OR REPLACE FUNCTION shop.clean() RETURNS int LANGUAGE sql AS 'SELECT 2'"}, kind: "function", what: "shop.clean() of chief, which was changed",
			keep: true, mend: []string{"SET ROLE chief", "CREATE OR REPLACE FUNCTION shop.clean() RETURNS int LANGUAGE sql AS 'SELECT 1'"}},
		{name: "a privilege", plant: []string{`GRANT SELECT ON shop.orders TO "evil ""one""" WITH GRANT OPTION`}, kind: "privilege", what: `SELECT on table shop.orders for "evil ""one""", to pass on`},
		{name: "a privilege for all", plant: []string{"GRANT UPDATE ON shop.orders TO PUBLIC"}, kind: "privilege", what: "UPDATE on table shop.orders for PUBLIC"},
		{name: "a privilege on a column", plant: []string{"GRANT UPDATE (who) ON shop.orders TO PUBLIC"}, kind: "privilege", what: "UPDATE (who)"},
		{name: "a privilege on a schema", plant: []string{"GRANT CREATE ON SCHEMA public TO PUBLIC"}, kind: "privilege", what: "CREATE on schema public for PUBLIC"},
		{name: "a privilege on the database", plant: []string{fmt.Sprintf(`GRANT CREATE ON DATABASE %s TO "evil ""one"""`, ident(h.database))}, kind: "privilege", what: "CREATE on database"},
		{name: "a default privilege", plant: []string{as, "ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC"}, kind: "default privilege", what: "SELECT on all tables that chief makes in schema shop"},
		{name: "a membership", plant: []string{as, `GRANT boss TO "evil ""one"""`}, kind: "membership", what: `"evil ""one""" is in boss`},
		{name: "a membership, made as the account", super: []string{}, plant: []string{`GRANT boss TO "evil ""one"""`}, kind: "membership", what: `"evil ""one""" is in boss`},
		{name: "a trigger", plant: []string{"CREATE TRIGGER spy AFTER INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.watch()"}, kind: "trigger", what: "trigger spy on shop.orders"},
		{name: "a trigger on another's table", plant: []string{"CREATE TRIGGER spy AFTER INSERT ON public.open FOR EACH ROW EXECUTE FUNCTION shop.watch()"}, kind: "trigger", what: "trigger spy on public.open"},
		{name: "a trigger switched off", plant: []string{"ALTER TABLE shop.vault DISABLE TRIGGER guard"}, kind: "trigger", what: "trigger guard on shop.vault, which was changed",
			keep: true, mend: []string{"ALTER TABLE shop.vault ENABLE TRIGGER guard"}},
		{name: "a trigger dropped", plant: []string{"DROP TRIGGER guard ON shop.vault"}, kind: "trigger", what: "trigger guard on shop.vault, which is gone"},
		{name: "an event trigger", super: []string{"ALTER ROLE chief SUPERUSER"},
			plant: []string{as, "CREATE FUNCTION shop.ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'", "CREATE EVENT TRIGGER spy ON ddl_command_end EXECUTE FUNCTION shop.ddl()", "ALTER ROLE chief NOSUPERUSER"},
			kind:  "event trigger", what: "event trigger spy of chief"},
		{name: "a row security policy", plant: []string{"CREATE POLICY all_of_it ON shop.vault USING (true)"}, kind: "policy", what: "policy all_of_it on shop.vault"},
		{name: "a policy dropped", plant: []string{"DROP POLICY nobody ON shop.vault"}, kind: "policy", what: "policy nobody on shop.vault, which is gone"},
		{name: "row security switched off", plant: []string{"ALTER TABLE shop.vault DISABLE ROW LEVEL SECURITY"}, kind: "row security", what: "row security on shop.vault, which is gone"},
		{name: "a setting of the group", plant: []string{as, "ALTER ROLE chief SET search_path = shop"}, kind: "setting", what: "search_path is set for chief"},
		{name: "a setting of the database", plant: []string{"ALTER DATABASE " + ident(h.database) + " SET search_path = shop"}, kind: "setting", what: "search_path is set for everybody"},
		{name: "a prepared transaction", plant: []string{as, "BEGIN", "LOCK TABLE shop.orders IN SHARE MODE", "PREPARE TRANSACTION 'later'"}, kind: "prepared transaction", what: "'later'"},
		{name: "a replication slot", super: []string{"ALTER ROLE chief REPLICATION"}, plant: []string{as, "SELECT pg_create_physical_replication_slot('tap')"}, kind: "replication slot", what: "tap",
			mend: []string{"ALTER ROLE chief NOREPLICATION"}},
		{name: "a publication", plant: []string{as, "CREATE PUBLICATION news FOR TABLE shop.orders"}, kind: "publication", what: "publication news of chief"},
		{name: "a subscription", super: []string{"ALTER ROLE chief SUPERUSER"},
			plant: []string{as, "CREATE SUBSCRIPTION tap CONNECTION 'dbname=nowhere' PUBLICATION news WITH (connect = false, slot_name = NONE)", "ALTER ROLE chief NOSUPERUSER"}, kind: "subscription", what: "subscription tap"},
		{name: "a foreign server", plant: []string{as, "CREATE SERVER outside FOREIGN DATA WRAPPER nowhere"}, kind: "foreign server", what: "foreign server outside of chief"},
		{name: "a user mapping", super: []string{"SET ROLE chief", "CREATE SERVER other FOREIGN DATA WRAPPER nowhere"}, plant: []string{as, "CREATE USER MAPPING FOR PUBLIC SERVER other"}, kind: "user mapping", what: "for PUBLIC on server other"},
		{name: "a large object", plant: []string{"SELECT lo_from_bytea(4711, 'x')"}, kind: "owner", what: "large object 4711"},
		{name: "a privilege on a large object", super: []string{"SET ROLE chief", "SELECT lo_from_bytea(4712, 'x')"}, plant: []string{as, "GRANT UPDATE ON LARGE OBJECT 4712 TO PUBLIC"}, kind: "privilege", what: "UPDATE on large object 4712"},
		{name: "an extension", plant: []string{as, "CREATE EXTENSION pg_trgm SCHEMA shop"}, kind: "extension", what: "extension pg_trgm"},
		{name: "a language", super: []string{"ALTER ROLE chief SUPERUSER"}, plant: []string{as, "CREATE LANGUAGE pidgin HANDLER plpgsql_call_handler", "ALTER ROLE chief NOSUPERUSER"}, kind: "language", what: "language pidgin of chief"},
		{name: "a cast", plant: []string{as, "CREATE CAST (shop.coin AS text) WITH INOUT AS IMPLICIT"}, kind: "cast", what: "cast from shop.coin to text"},
		{name: "a view", plant: []string{as, "CREATE VIEW shop.peep AS SELECT * FROM shop.orders"}, kind: "view", what: "view shop.peep of chief"},
		{name: "a rule", plant: []string{as, "CREATE RULE twice AS ON INSERT TO shop.orders DO ALSO NOTIFY sold"}, kind: "rule", what: "rule twice on shop.orders"},
		{name: "a default that calls a function", plant: []string{as, "ALTER TABLE shop.orders ALTER id SET DEFAULT shop.clean()"}, kind: "expression", what: "calls shop.clean()",
			keep: true, mend: []string{"ALTER TABLE shop.orders ALTER id DROP DEFAULT"}},
		{name: "another owner", plant: []string{as, "ALTER TABLE shop.orders OWNER TO boss"}, kind: "owner", what: "table shop.orders belongs to boss, which was changed"},
		{name: "a scheduled job", plant: []string{"INSERT INTO cron.job VALUES (7, '* * * * *', 'SELECT 1', 'db', 'chief')"}, kind: "scheduled job", what: "job 7 of pg_cron, as chief",
			keep: true, mend: []string{"DELETE FROM cron.job"}},
	} {
		if testing.Short() && i%8 != 0 {
			continue // for the race detector, which all of them are the same to
		}
		t.Run(c.name, func(t *testing.T) {
			database := h.database
			if c.there {
				database = h.second
			}
			before, o := h.during(t, database, c.super, c.plant)
			h.over(t, o)
			r := h.residue(before, o)
			i := slices.IndexFunc(r.Traces, func(x access.Trace) bool { return x.Kind == c.kind && strings.Contains(x.What, c.what) })
			if r.State == access.ResidueNone || i < 0 {
				t.Fatalf("%s, %+v: no %s with %q", r.State, r.Traces, c.kind, c.what)
			}
			if found := r.Traces[i]; found.Undo == "" || found.Database != "" && found.Database != database {
				t.Errorf("told as %+v", found)
			}
			if !c.keep {
				h.undo(t, r.Traces)
			}
			if len(c.mend) > 0 {
				h.exec(h.database, c.mend...)
			}
			if r := h.residue(before, o); len(r.Traces) > 0 {
				t.Errorf("after what was told was done: %+v", r.Traces)
			}
		})
	}
}

// undo runs what was told, in an order that works: one may stand on another.
func (h *heist) undo(t *testing.T, traces []access.Trace) {
	t.Helper()
	for len(traces) > 0 {
		var left []access.Trace
		var why error
		for _, x := range traces {
			if err := h.server.Exec(t.Context(), cmp.Or(x.Database, h.database), x.Undo); err != nil {
				left, why = append(left, x), err
			}
		}
		if len(left) == len(traces) {
			t.Fatalf("%s: %v", left[0].Undo, why)
		}
		traces = left
	}
}

// TestResidueOfOthers: what a grant cannot have made is not laid at its door:
// other people's doings, other grants, and Stint's own.
func TestResidueOfOthers(t *testing.T) {
	h := newHeist(t)
	h.exec(h.database, "CREATE ROLE stranger", "GRANT CREATE ON DATABASE "+ident(h.database)+" TO stranger")
	before, o := h.during(t, h.database, []string{
		"SET ROLE stranger", "CREATE SCHEMA strange", "CREATE TABLE strange.t (id int)", "GRANT SELECT ON strange.t TO PUBLIC",
		"CREATE FUNCTION strange.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
		"RESET ROLE", `GRANT boss TO "evil ""one"""`, "ALTER ROLE stranger SET search_path = strange",
	}, []string{"SELECT count(*) FROM shop.orders", "CREATE TEMP TABLE notes (id int)", "SET ROLE chief", "CREATE TABLE shop.report (id int)"})
	_, other := h.during(t, h.database, nil, []string{"CREATE TABLE work.theirs (id int)"})
	h.over(t, other)
	member := h.Order(access.Member)
	member, _ = h.provision(member)
	h.over(t, o)
	if r := h.residue(before, o); r.State != access.ResidueNone || len(r.Traces) > 0 || r.Note != "" {
		t.Errorf("the reader: %+v", r)
	}
	if r := h.residue(before, other); r.State != access.ResidueFound || len(r.Traces) != 1 {
		t.Errorf("who made a table: %+v", r)
	}
	h.over(t, member)
	if r := h.residue(before, member); r.State != access.ResidueNone || len(r.Traces) > 0 {
		t.Errorf("the member: %+v", r)
	}
}

// TestResidueOfStanding: a standing account that joined a group, and one that was
// enabled, leave behind what they did with it.
func TestResidueOfStanding(t *testing.T) {
	h := newHeist(t)
	for _, m := range []access.Mechanism{access.Member, access.Enable} {
		t.Run(string(m), func(t *testing.T) {
			o := h.Order(m)
			if m == access.Member {
				o.Rights = []string{h.chief}
			} else {
				h.exec("", "GRANT chief TO "+ident(o.Account))
			}
			o = h.observed(o)
			before := h.fingerprint()
			o, r := h.provision(o)
			live, err := h.Session(o, r)
			if err != nil {
				t.Fatal(err)
			}
			conn := live.(pgSession).conn
			for _, sql := range []string{"GRANT INSERT ON shop.orders TO PUBLIC", "CREATE FUNCTION shop.by_" + string(m) + "() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"} {
				if _, err := conn.Exec(t.Context(), sql); err != nil {
					t.Fatalf("%s: %v", sql, err)
				}
			}
			live.Close()
			h.over(t, o)
			got := h.residue(before, o)
			if got.State != access.ResidueFound || len(got.Traces) != 2 {
				t.Errorf("%+v", got)
			}
			h.undo(t, got.Traces)
			if m == access.Enable {
				h.exec("", "DROP ROLE "+ident(o.Account))
			}
		})
	}
}

// TestResidueUnknowable: where the account could do what leaves no trace, or
// where we cannot look, the answer says so.
func TestResidueUnknowable(t *testing.T) {
	h := newHeist(t)
	closed := ident(h.second)
	for _, c := range []struct{ spoil, mend, want string }{
		{"ALTER ROLE chief SUPERUSER", "ALTER ROLE chief NOSUPERUSER", "superuser"},
		{"ALTER ROLE chief CREATEROLE", "ALTER ROLE chief NOCREATEROLE", "CREATEROLE"},
		{"GRANT pg_write_server_files TO chief", "REVOKE pg_write_server_files FROM chief", "files"},
		{"GRANT pg_execute_server_program TO boss; GRANT boss TO chief", "REVOKE pg_execute_server_program FROM boss", "programs"},
		{"REVOKE CONNECT ON DATABASE " + closed + " FROM PUBLIC; GRANT CONNECT ON DATABASE " + closed + " TO chief",
			"GRANT CONNECT ON DATABASE " + closed + " TO PUBLIC; REVOKE CONNECT ON DATABASE " + closed + " FROM chief", "database " + h.second},
		{"REVOKE SELECT ON cron.job FROM " + ident(h.login), "GRANT SELECT ON cron.job TO " + ident(h.login), "jobs of pg_cron"},
		{"ALTER TABLE cron.job ENABLE ROW LEVEL SECURITY", "ALTER TABLE cron.job DISABLE ROW LEVEL SECURITY", "jobs of pg_cron"},
	} {
		t.Run(c.want, func(t *testing.T) {
			before, o := h.during(t, h.database, strings.Split(c.spoil, "; "), nil)
			h.over(t, o)
			if r := h.residue(before, o); r.State != access.ResidueUnknowable || !strings.Contains(r.Note, c.want) {
				t.Errorf("%+v, want unknowable because of %q", r, c.want)
			}
			h.exec(h.database, strings.Split(c.mend, "; ")...)
			before, o = h.during(t, h.database, nil, nil)
			h.over(t, o)
			if r := h.residue(before, o); r.State != access.ResidueNone {
				t.Errorf("after %q: %+v", c.mend, r)
			}
		})
	}
	// Where the account could not have been, it does not matter that we cannot look.
	h.exec("", "REVOKE CONNECT ON DATABASE "+closed+" FROM PUBLIC")
	before, o := h.during(t, h.database, nil, nil)
	h.over(t, o)
	if r := h.residue(before, o); r.State != access.ResidueNone {
		t.Errorf("a database that neither enters: %+v", r)
	}
	h.exec("", "GRANT CONNECT ON DATABASE "+closed+" TO PUBLIC")
}

// TestFingerprintRunsNothing: the reading trips over nothing that somebody laid
// out for it, in its search path or in the place of a scheduler's table.
func TestFingerprintRunsNothing(t *testing.T) {
	w := newWorld(t)
	w.exec(w.database, "CREATE TABLE public.tripped (at timestamptz)", "GRANT INSERT ON public.tripped TO PUBLIC",
		"CREATE FUNCTION public.trip() RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.tripped VALUES (now()); RETURN 1; END'",
		"CREATE FUNCTION public.md5(text) RETURNS text LANGUAGE sql AS 'SELECT public.trip()::text'",
		"CREATE SCHEMA cron", "CREATE VIEW cron.job AS SELECT public.trip() AS jobid, 'x' AS schedule, 'x' AS command, 'x' AS database, 'x' AS username",
		"GRANT USAGE ON SCHEMA cron TO PUBLIC", "GRANT SELECT ON cron.job TO PUBLIC",
		"ALTER DATABASE "+ident(w.database)+" SET search_path = public, pg_catalog", "ALTER ROLE "+ident(w.login)+" SET search_path = public, pg_catalog")
	before := w.fingerprint()
	if string(before) != string(w.fingerprint()) {
		t.Error("two fingerprints of the same are not the same")
	}
	conn := w.open(w.database)
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM public.tripped").Scan(&n); err != nil || n != 0 {
		t.Errorf("tripped %d times, %v", n, err)
	}
}

// TestFingerprintIsBounded: what somebody with an account wrote into the catalogue,
// a few triggers with arguments of some megabytes each, does not fill our memory.
func TestFingerprintIsBounded(t *testing.T) {
	large := line{Kind: "trigger", Lost: strings.Repeat("x", 8<<20)}
	r := reader{f: &fingerprint{}}
	for range maxBytes / len(large.Lost) {
		r.keep(large)
	}
	if err := r.tooMuch(); err != nil || len(r.f.Lines) == 0 {
		t.Fatalf("up to the bound: %v", err)
	}
	r.keep(large)
	if err := r.tooMuch(); err == nil || len(r.f.Lines) != 0 {
		t.Errorf("beyond the bound %d lines are kept: %v", len(r.f.Lines), err)
	}
	r = reader{f: &fingerprint{}}
	for range maxLines + 1 {
		r.keep(line{})
	}
	if err := r.tooMuch(); err == nil || len(r.f.Lines) != 0 {
		t.Errorf("%d lines are kept: %v", len(r.f.Lines), err)
	}
}
