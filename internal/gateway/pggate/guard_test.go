package pggate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"stint/internal/gateway/statement"
)

// guarded is a world whose role denies something.
func guarded(t *testing.T, classes, tables, functions string) *world {
	t.Helper()
	g, err := statement.NewGuard(strings.Fields(classes), strings.Fields(tables), strings.Fields(functions))
	must(t, err)
	return newWorld(t, func(_ *Config, c *control) { c.permit.Limits.Guard = g })
}

func refusedBy(err error, why string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == codeRefused && strings.Contains(pg.Message, "stint: refused") && strings.Contains(pg.Message+pg.Detail, why) && pg.Hint != ""
}

// TestGuardModes: what a guard denies is refused however it is sent, and a session goes on as
// after any other mistake: an open transaction has failed, a closed one is none.
func TestGuardModes(t *testing.T) {
	w := guarded(t, "ddl", "hr.salaries", "pg_terminate_backend")
	ctx, done := context.WithTimeout(t.Context(), 2*time.Minute)
	defer done()
	direct, err := pgx.Connect(ctx, w.direct())
	must(t, err)
	defer func() { _ = direct.Close(ctx) }()
	_, err = direct.Exec(ctx, "CREATE TABLE public.salaries (v int); CREATE TABLE kept (v int)")
	must(t, err)
	for name, mode := range map[string]pgx.QueryExecMode{"simple": pgx.QueryExecModeSimpleProtocol, "unnamed": pgx.QueryExecModeExec, "described": pgx.QueryExecModeDescribeExec, "named": pgx.QueryExecModeCacheStatement} {
		t.Run(name, func(t *testing.T) {
			c := w.connect(func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = mode })
			for text, why := range map[string]string{
				"CREATE TABLE x (v int)":              "class ddl",
				"SELECT * FROM salaries":              "table hr.salaries",
				"SELECT pg_terminate_backend(1)":      "function pg_terminate_backend",
				"DO $$ BEGIN PERFORM 1; END $$":       "class code",
				"SELECT u&'x'":                        "unknown",
				"WITH x AS (TABLE salaries) SELECT 1": "table hr.salaries",
			} {
				if _, err := c.Exec(ctx, text); !refusedBy(err, why) {
					t.Errorf("%s: %v", text, err)
				}
			}
			if s := c.PgConn().TxStatus(); s != 'I' {
				t.Errorf("outside of a transaction the state is %c", s)
			}
			tx, err := c.Begin(ctx)
			must(t, err)
			_, err = tx.Exec(ctx, "INSERT INTO kept VALUES (1)")
			must(t, err)
			if _, err := tx.Exec(ctx, "DROP TABLE kept"); !refusedBy(err, "class ddl") {
				t.Errorf("in a transaction: %v", err)
			}
			if s := c.PgConn().TxStatus(); s != 'E' {
				t.Errorf("the transaction is %c", s)
			}
			var pg *pgconn.PgError
			if _, err := tx.Exec(ctx, "SELECT 1"); !errors.As(err, &pg) || pg.Code != "25P02" {
				t.Errorf("it goes on: %v", err)
			}
			must(t, tx.Rollback(ctx))
			var n int
			must(t, c.QueryRow(ctx, "SELECT count(*) FROM kept").Scan(&n))
			if n != 0 {
				t.Errorf("%d rows are kept of a transaction that failed", n)
			}
		})
	}
	t.Run("several at once", func(t *testing.T) {
		c := w.connect()
		if _, err := c.PgConn().Exec(ctx, "INSERT INTO kept VALUES (1); SELECT 1 /* x */; DROP TABLE kept").ReadAll(); !refusedBy(err, "class ddl") {
			t.Errorf("hidden behind others: %v", err)
		}
		var b pgx.Batch
		b.Queue("INSERT INTO kept VALUES (1)")
		b.Queue("SELECT * FROM salaries")
		b.Queue("INSERT INTO kept VALUES (2)")
		if err := c.SendBatch(ctx, &b).Close(); !refusedBy(err, "salaries") {
			t.Errorf("in a batch: %v", err)
		}
		pipe := c.PgConn().StartPipeline(ctx)
		pipe.SendQueryParams("SELECT 1", nil, nil, nil, nil)
		pipe.SendQueryParams("TABLE salaries", nil, nil, nil, nil)
		pipe.SendQueryParams("INSERT INTO kept VALUES (3)", nil, nil, nil, nil)
		must(t, pipe.Sync())
		pipe.SendQueryParams("SELECT 4", nil, nil, nil, nil)
		must(t, pipe.Sync())
		refusals, results := 0, 0
		for {
			got, err := pipe.GetResults()
			if refusedBy(err, "salaries") {
				refusals++
				continue
			}
			must(t, err)
			if got == nil {
				break
			}
			if r, is := got.(*pgconn.ResultReader); is {
				if _, err := r.Close(); err == nil {
					results++
				} else if refusedBy(err, "salaries") {
					refusals++
				}
			}
			if s, is := got.(*pgconn.PipelineSync); is && s != nil && refusals == 1 && results == 2 {
				break
			}
		}
		must(t, pipe.Close())
		if refusals != 1 || results != 2 {
			t.Errorf("of a pipeline %d were refused and %d went well", refusals, results)
		}
		var n int
		must(t, direct.QueryRow(ctx, "SELECT count(*) FROM kept").Scan(&n))
		if n != 0 {
			t.Errorf("%d rows of what was refused as a whole", n)
		}
		if _, err := c.Prepare(ctx, "p", "SELECT * FROM salaries"); !refusedBy(err, "salaries") {
			t.Errorf("prepared: %v", err)
		}
		if err := c.PgConn().ExecPrepared(ctx, "p", nil, nil, nil).Read().Err; err == nil {
			t.Error("what was refused is there under its name")
		}
		if _, err := c.Exec(ctx, "PREPARE q AS SELECT * FROM salaries"); !refusedBy(err, "salaries") {
			t.Errorf("PREPARE: %v", err)
		}
		if _, err := c.PgConn().CopyTo(ctx, io.Discard, "COPY salaries TO STDOUT"); !refusedBy(err, "salaries") {
			t.Errorf("COPY: %v", err)
		}
		if _, err := c.PgConn().CopyFrom(ctx, strings.NewReader("1\n"), "COPY public . \"salaries\" FROM STDIN"); err != nil {
			t.Errorf("a table of the same name in another schema: %v", err)
		}
	})
	got := w.tapes.last().run()
	if !slices.ContainsFunc(got, func(l string) bool {
		return strings.HasPrefix(l, "rejected PREPARE q AS SELECT * FROM salaries → 42501 stint: refused")
	}) {
		t.Errorf("the refusal is not in the record:\n%s", strings.Join(got, "\n"))
	}
	for _, s := range w.tapes.last().statements {
		if s.How != Executed && s.Classes == 0 && s.Text != "" && !strings.HasPrefix(s.Text, "--") {
			t.Errorf("%q has no class", s.Text)
		}
	}
}

// TestGuardSettings: a session that changes how the server tells words gets nothing past the
// guard by it, whichever way it does so and however fast it goes on.
func TestGuardSettings(t *testing.T) {
	w := guarded(t, "", "", "pg_backend_pid")
	ctx, done := context.WithTimeout(t.Context(), 2*time.Minute)
	defer done()
	const hides = `SELECT '\'', pg_backend_pid() --'` // one string to us, and a call where backslashes escape
	simple := func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol }
	c := w.connect(simple)
	var one string
	must(t, c.QueryRow(ctx, hides).Scan(&one))
	if one != `\', pg_backend_pid() --` {
		t.Fatalf("it is %q", one)
	}
	for _, set := range []string{"SET standard_conforming_strings = off", "SELECT set_config('standard_conforming_strings', 'off', false)", "SET client_encoding = 'SJIS'"} {
		c := w.connect(simple)
		if _, err := c.PgConn().Exec(ctx, set).ReadAll(); err != nil {
			t.Fatalf("%s: %v", set, err)
		}
		if _, err := c.PgConn().Exec(ctx, hides).ReadAll(); !refusedBy(err, "settings") {
			t.Errorf("after %s: %v", set, err)
		}
		if _, err := c.PgConn().Exec(ctx, "SELECT 'plain'").ReadAll(); err != nil {
			t.Errorf("what depends on nothing, after %s: %v", set, err)
		}
		if _, err := c.PgConn().Exec(ctx, "RESET ALL").ReadAll(); err != nil {
			t.Error(err)
		}
		if _, err := c.PgConn().Exec(ctx, hides).ReadAll(); err != nil {
			t.Errorf("with the setting as it was: %v", err)
		}
	}
	c = w.connect()
	pipe := c.PgConn().StartPipeline(ctx) // the second is sent before the first is answered
	pipe.SendQueryParams("SET standard_conforming_strings = off", nil, nil, nil, nil)
	pipe.SendQueryParams(hides, nil, nil, nil, nil)
	must(t, pipe.Sync())
	refused := false
	for range 3 {
		got, err := pipe.GetResults()
		if r, is := got.(*pgconn.ResultReader); is {
			_, err = r.Close()
		}
		refused = refused || refusedBy(err, "settings")
	}
	_ = pipe.Close()
	if !refused {
		t.Error("sent before the answer, it passes")
	}
}

// TestWordsAsTheServer: the server itself is the judge of what a text does. Whatever calls the
// function, by any spelling, is refused by the guard; run directly, each of them does call it.
func TestWordsAsTheServer(t *testing.T) {
	w := newWorld(t)
	ctx, done := context.WithTimeout(t.Context(), 2*time.Minute)
	defer done()
	c, err := pgx.Connect(ctx, w.direct())
	must(t, err)
	defer func() { _ = c.Close(ctx) }()
	run := func(text string) error { _, err := c.PgConn().Exec(ctx, text).ReadAll(); return err }
	must(t, run(`CREATE SEQUENCE counted; CREATE TABLE t (v int); INSERT INTO t VALUES (1);
		CREATE FUNCTION hidden() RETURNS int LANGUAGE sql AS $$ SELECT nextval('public.counted')::int $$;
		CREATE FUNCTION hidden(t) RETURNS int LANGUAGE sql AS $$ SELECT nextval('public.counted')::int $$;
		CREATE PROCEDURE hidden(a int) LANGUAGE sql AS $$ SELECT nextval('public.counted') $$;`))
	count := func() (n int) {
		must(t, c.QueryRow(ctx, "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM counted").Scan(&n))
		return n
	}
	g, err := statement.NewGuard(nil, nil, []string{"hidden"})
	must(t, err)
	for _, text := range []string{
		"SELECT hidden()", "SELECT public.hidden()", `SELECT "public"."hidden"()`, "SELECT HIDDEN ()", "SELECT hidden/* /* */ */--\n()",
		"SELECT 'a'--'\n, hidden() --'", "SELECT '/*', hidden() /*'*/", "SELECT $a$ $b$ $a$, hidden()--$a$", "SELECT E'\\'', hidden() --'",
		"SELECT 'a'\n'b''', hidden() --'", "SELECT E'a'\n'\\'', hidden() --'", "SELECT 'a''', hidden()", "SELECT N'\\', hidden()--'", `SELECT 1 AS "a""", hidden()`,
		"SELECT b'1'\n'0', hidden()", "SELECT 1e5, .5, 1.5e-3, hidden()", "SELECT 2*/*x*/hidden()", "SELECT 2+--x\nhidden()", "SELECT 2-hidden()",
		"SELECT t.hidden FROM t", "SELECT (t).hidden FROM t", "SELECT x.hidden FROM t AS x", "CALL hidden(1)", "TABLE t; SELECT hidden()",
		"WITH x AS (SELECT hidden()) TABLE x", "EXPLAIN ANALYZE SELECT hidden()", "PREPARE a AS SELECT hidden(); EXECUTE a", "DO $$ BEGIN PERFORM hidden(); END $$",
		"BEGIN; DECLARE c CURSOR FOR SELECT hidden(); FETCH c; COMMIT", "COPY (SELECT hidden()) TO STDOUT", "CREATE TEMP TABLE n AS SELECT hidden()",
		`SELECT u&"\0068idden"()`, `SELECT U&"h!0069dden" UESCAPE '!' ()`, "SELECT query_to_xml('SELECT hidden()', true, true, '')", "INSERT INTO t VALUES (hidden())",
		"UPDATE t SET v = hidden()", "SELECT * FROM hidden()", "SELECT * FROM ROWS FROM (hidden())", "SELECT 1 ORDER BY hidden()", "SELECT v FROM t WHERE (hidden()) > 0",
		"CREATE TEMP TABLE m (v int DEFAULT hidden()); INSERT INTO m DEFAULT VALUES", "SELECT $1$2$, hidden()",
	} {
		before := count()
		err := run(text)
		if g.Judge(statement.Look(text), true) == nil {
			t.Errorf("%q passes", text)
		}
		if count() == before && !strings.Contains(text, "UESCAPE") && !strings.Contains(text, "$1$2$") {
			t.Errorf("%q does not do it, so it proves nothing: %v", text, err)
		}
	}
	must(t, run("SET standard_conforming_strings = off"))
	before := count()
	const hides = `SELECT '\'', hidden() --'`
	must(t, run(hides))
	if look := statement.Look(hides); count() == before || !look.Depends || g.Judge(look, false) == nil {
		t.Errorf("with backslashes that escape: %d, %+v", count()-before, look)
	}
}

// TestH14 is the statements of the list of attacks on databases: through a role that denies
// what they need, none of them does anything.
func TestH14(t *testing.T) {
	w := guarded(t, "ddl privilege server", "", "")
	ctx, done := context.WithTimeout(t.Context(), 2*time.Minute)
	defer done()
	c := w.connect(func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol })
	for name, text := range map[string]string{
		"SET ROLE": "SET ROLE pg_read_all_data", "SET SESSION AUTHORIZATION": "SET SESSION AUTHORIZATION postgres", "set_config": "SELECT set_config('role', 'postgres', false)",
		"a setting by its name": `SET "Role" = postgres`, "DO": "DO $$ BEGIN EXECUTE 'SET ROLE postgres'; END $$", "COPY PROGRAM": "COPY (SELECT 1) TO PROGRAM 'touch /tmp/x'",
		"COPY a file": "COPY t FROM '/etc/passwd'", "large objects of files": "SELECT lo_import('/etc/passwd')", "others' sessions": "SELECT pg_terminate_backend(1)",
		"files": "SELECT pg_read_file('/etc/passwd')", "hidden behind": "SELECT 1; /* */ SELECT pg_reload_conf()", "text": "SELECT query_to_xml('DROP TABLE t', true, true, '')",
		"program text": "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "elsewhere": "SELECT dblink('host=x', 'DROP TABLE t')",
	} {
		if _, err := c.Exec(ctx, text); !refusedBy(err, "class") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := c.PgConn().ParameterStatus("is_superuser"); got != "off" {
		t.Errorf("is_superuser is %q", got)
	}
}

// TestOwnPassword: in a session without any guard, too, nobody sets the password of the account
// that the gateway signs in with, however the statement is sent; and that of no other is meant.
func TestOwnPassword(t *testing.T) {
	w := newWorld(t)
	ctx, done := context.WithTimeout(t.Context(), 2*time.Minute)
	defer done()
	must(t, w.db.Exec(ctx, w.database, "ALTER ROLE "+w.control.permit.Target.Login+" CREATEROLE"))
	const set = "ALTER ROLE current_user PASSWORD 'mine'"
	for name, mode := range map[string]pgx.QueryExecMode{"simple": pgx.QueryExecModeSimpleProtocol, "unnamed": pgx.QueryExecModeExec, "described": pgx.QueryExecModeDescribeExec, "named": pgx.QueryExecModeCacheStatement} {
		c := w.connect(func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = mode })
		for _, text := range []string{set, "ALTER USER " + w.control.permit.Target.Login + " WITH ENCRYPTED PASSWORD 'mine'", "/* x */ alter group session_user password null"} {
			if _, err := c.Exec(ctx, text); !refusedBy(err, "own password") {
				t.Errorf("%s: %s: %v", name, text, err)
			}
		}
		b := &pgx.Batch{}
		b.Queue("SELECT 1")
		b.Queue(set)
		if err := c.SendBatch(ctx, b).Close(); !refusedBy(err, "own password") {
			t.Errorf("%s: in a batch: %v", name, err)
		}
		if _, err := c.Exec(ctx, "SELECT 1"); err != nil {
			t.Errorf("%s: the session does not go on: %v", name, err)
		}
	}
	c := w.connect(func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol })
	if _, err := c.Exec(ctx, "SELECT 1; "+set); !refusedBy(err, "own password") {
		t.Errorf("behind another: %v", err)
	}
	other := w.database + "_other"
	if _, err := c.Exec(ctx, "CREATE ROLE "+other+" PASSWORD 'x'; ALTER ROLE "+other+" PASSWORD 'y'; DROP ROLE "+other); err != nil {
		t.Errorf("of another: %v", err)
	}
	if direct, err := pgx.Connect(ctx, w.direct()); err != nil {
		t.Errorf("its password is another: %v", err)
	} else {
		_ = direct.Close(ctx)
	}
}

// TestServerThatObeysNothing: a server that says to have carried out what was refused is none,
// and one that fails for another reason is not spoken for.
func TestServerThatObeysNothing(t *testing.T) {
	for name, x := range map[string]struct {
		kind byte
		body []byte
		want string
	}{
		"carried out": {'C', []byte("DROP TABLE\x00"), "carried out what a guard"},
		"prepared":    {'1', nil, "carried out what a guard"},
		"a mistake":   {'E', []byte("SERROR\x00C42601\x00Mx\x00\x00"), "why"},
		"stopping":    {'E', []byte("SFATAL\x00C57P01\x00Mgoing\x00\x00"), "going"},
		"a notice":    {'N', []byte("SNOTICE\x00C00000\x00Mx\x00\x00"), "NOTICE"},
	} {
		d := &downward{session: &session{track: newTracker()}}
		must(t, d.track.sent(pending{kind: 'Q', n: 1, refused: "why"}))
		got, err := d.refused(x.kind, frame(x.kind, x.body))
		if said := fmt.Sprint(string(got), err); !strings.Contains(said, x.want) {
			t.Errorf("%s: %q", name, said)
		}
	}
}

// TestPlain: how the server tells words is certain when it has said so since the last that
// could have changed it.
func TestPlain(t *testing.T) {
	k := newTracker()
	if k.plain() {
		t.Error("nothing was said")
	}
	k.set("standard_conforming_strings", "on")
	k.set("client_encoding", "UTF8")
	k.set("TimeZone", "off")
	if !k.plain() {
		t.Error("it was said")
	}
	must(t, k.sent(pending{kind: 'P', n: 1}))
	must(t, k.sent(pending{kind: 'E', n: 2}))
	k.answered('P')
	k.completed()
	if k.plain() {
		t.Error("a statement was answered, but not whether it changed a setting")
	}
	must(t, k.sent(pending{kind: 'S'}))
	k.ready(true)
	if !k.plain() {
		t.Error("it is ready, and said nothing else")
	}
	k.set("standard_conforming_strings", "off")
	if k.plain() {
		t.Error("it said otherwise")
	}
}

// TestForgedStatus: what a client says as a server would counts for nothing: a session that
// sends a message of the server's is over, and what it says of settings is not believed.
func TestForgedStatus(t *testing.T) {
	w := newWorld(t)
	c := w.secure()
	// 'S' from a client is Sync, whose body the server refuses; 'K' and 'R' are no messages of a client's.
	_, err := c.Write(append(packet(version3, "user", "orders-db", "database", w.database), frame('K', make([]byte, 8))...))
	must(t, err)
	if got := answers(c); !strings.Contains(got, "broke the protocol") {
		t.Errorf("told %q", got)
	}

	// In the form in which a server says it, it is Sync to the server, which refuses the body; what
	// is certain of the settings is what the server said, and a text that hides a statement by
	// another is refused.
	g := guarded(t, "ddl", "", "")
	c = g.secure()
	text := func(s string) []byte { return frame('Q', []byte(s+"\x00")) }
	_, err = c.Write(slices.Concat(packet(version3, "user", "orders-db", "database", g.database), text("SET standard_conforming_strings = off"),
		frame('S', []byte("standard_conforming_strings\x00on\x00")), frame('S', nil), text(`SELECT '\'; CREATE TABLE hidden (v int) --'`)))
	must(t, err)
	must(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	said, some := "", make([]byte, 4096)
	for !strings.Contains(said, "where its strings end depends on settings") {
		n, err := c.Read(some)
		if said += string(some[:n]); err != nil {
			t.Fatalf("told %q, %v", said, err)
		}
	}
	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	direct, err := pgx.Connect(ctx, g.direct())
	must(t, err)
	defer func() { _ = direct.Close(ctx) }()
	var there bool
	if must(t, direct.QueryRow(ctx, "SELECT to_regclass('public.hidden') IS NOT NULL").Scan(&there)); there {
		t.Error("what was hidden was carried out")
	}
}

// TestStatusOfAServer: of what a server says of settings nothing is believed that is not whole.
func TestStatusOfAServer(t *testing.T) {
	for name, x := range map[string]struct {
		body  string
		plain bool
	}{
		"as it is said": {"standard_conforming_strings\x00on\x00", true}, "said again": {"client_encoding\x00UTF8\x00", true}, "another": {"is_superuser\x00on\x00", true}, "nothing": {"", true},
		"no end": {"standard_conforming_strings\x00on", false}, "the name alone": {"standard_conforming_strings\x00", false}, "no end of the name": {"standard_conforming_strings", true},
		"no name": {"\x00off\x00", true}, "long": {"standard_conforming_strings\x00" + strings.Repeat("on", 1<<19) + "\x00", false}, "in capitals": {"standard_conforming_strings\x00ON\x00", false},
		"off": {"standard_conforming_strings\x00off\x00", false}, "another encoding": {"client_encoding\x00SJIS\x00", false},
	} {
		d := &downward{session: &session{track: newTracker()}}
		d.track.set("standard_conforming_strings", "on")
		d.track.set("client_encoding", "UTF8")
		if err := d.note('S', []byte(x.body)); err != nil || d.track.plain() != x.plain {
			t.Errorf("%s: words are certain %t, %v", name, d.track.plain(), err)
		}
	}
}

// TestSlowly: a statement that comes byte by byte is carried out when it is whole, and holds up
// no other session.
func TestSlowly(t *testing.T) {
	w := newWorld(t)
	slow := w.secure()
	must(t, slow.SetDeadline(time.Now().Add(2*time.Minute)))
	_, err := slow.Write(packet(version3, "user", "orders-db", "database", w.database))
	must(t, err)
	got := make(chan string, 1)
	go func() { // until it is answered: who says goodbye at once need not be
		all := ""
		for b := make([]byte, 4096); !strings.Contains(all, "SELECT 1\x00"); {
			n, err := slow.Read(b)
			all += string(b[:n])
			if err != nil {
				break
			}
		}
		got <- all
	}()
	ctx, done := context.WithTimeout(t.Context(), 2*time.Minute)
	defer done()
	c := w.connect()
	for _, b := range frame('Q', []byte("SELECT 'came slowly'\x00")) {
		_, err := slow.Write([]byte{b})
		must(t, err)
		var n int
		must(t, c.QueryRow(ctx, "SELECT 1").Scan(&n))
	}
	if said := <-got; !strings.Contains(said, "came slowly") {
		t.Errorf("told %q", said)
	}
}
