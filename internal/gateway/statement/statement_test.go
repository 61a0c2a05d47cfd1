package statement

import (
	"slices"
	"strings"
	"testing"

	"stint/internal/connector/postgres"
)

// TestClasses: what each kind of statement is called.
func TestClasses(t *testing.T) {
	for text, want := range map[string]string{
		"":                 "",
		" ; -- nothing\n;": "",
		"SELECT 1":         "read",
		"select count(*) from a.b x where x.c in (select 1) and lower(d) = 'E'":                   "read",
		"SELECT pg_catalog.lower('A'), x::numeric(10,2), CAST(y AS varchar(3)) FROM t AS v(x, y)": "read",
		"SELECT * FROM t FOR UPDATE":                                       "read",
		"SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED":                    "read",
		"(SELECT 1) UNION ALL (VALUES (2))":                                "read",
		"TABLE t":                                                          "read",
		"SHOW search_path":                                                 "read",
		"SELECT evil()":                                                    "read+call",
		"SELECT other.lower('a')":                                          "read+call",
		`SELECT "Lower"('a')`:                                              "read+call",
		"WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x":            "read+write",
		`SELECT t.insert INTO n FROM (SELECT 1 AS "insert") t`:             "read+ddl", // the word is a name there
		"SELECT t.merge INTO n FROM t":                                     "read+ddl",
		"SELECT 1 AS insert INTO n":                                        "read+write+ddl",
		"SELECT (1) insert INTO n":                                         "read+write+ddl",
		"WITH x AS (SELECT 1) SELECT (1) insert INTO n":                    "read+write+ddl",
		"WITH x AS (SELECT 1) SELECT a.merge INTO n FROM a":                "read+ddl",
		"WITH x AS (SELECT 1) INSERT INTO t TABLE x":                       "read+write",
		"WITH x AS (INSERT INTO a SELECT 1) MERGE INTO t USING s ON 1 = 1": "read+write",
		"WITH x AS (SELECT 1) INSERT INTO t SELECT 1 AS insert INTO n":     "read+write+ddl",
		"PREPARE transaction (int) AS DELETE FROM t":                       "write",
		"PREPARE transaction AS DELETE FROM t":                             "write",
		"SELECT key(1), 2 + over(3)":                                       "read+call",
		"SELECT 1 WHERE filter('x')":                                       "read+call",
		"SELECT count(*) FILTER (WHERE a > 1) OVER (PARTITION BY (b)) FROM t GROUP BY (c)": "read",
		"CREATE TABLE n AS SELECT evil()":                                                  "ddl+call",
		"CREATE VIEW n (a) AS SELECT lower('A')":                                           "ddl",
		"SELECT cron.alter_job(1, command => 'DELETE FROM t')":                             "read+code",
		"SELECT run_command_on_workers('DELETE FROM t')":                                   "read+code+server",
		"SELECT pg_background_launch('DELETE FROM t')":                                     "read+code+server",
		"SELECT pglogical.replicate_ddl_command('DROP TABLE t')":                           "read+code",
		"SELECT master_run_on_worker(a, b, c, true)":                                       "read+code",
		"WITH x (a, b) AS (SELECT 1, 2) SELECT * FROM x":                                   "read",
		"SELECT * INTO n FROM t":                                                           "read+ddl",
		"SELECT nextval('s')":                                                              "read+write",
		"SELECT pg_terminate_backend(1)":                                                   "read+server",
		"SELECT pg_read_file('/etc/passwd')":                                               "read+server",
		"SELECT lo_import('/etc/passwd')":                                                  "read+server",
		"SELECT lo_unlink(1)":                                                              "read+write",
		"SELECT lo_put(1, 0, 'x')":                                                         "read+write",
		"SELECT pg_catalog.lowrite(0, 'x')":                                                "read+write",
		"SELECT lo_export(1, '/etc/passwd')":                                               "read+server",
		"SELECT query_to_xml('delete from t', true, true, '')":                             "read+code",
		"SELECT dblink_exec('x', 'y')":                                                     "read+code+server",
		"SELECT set_config('search_path', '', false)":                                      "read+session",
		"SELECT set_config('RoLe', 'x', false)":                                            "read+privilege",
		"SELECT set_config('ro' || 'le', 'x', false)":                                      "read+privilege",
		`SELECT set_config(E'r\157le', 'x', false)`:                                        "read+privilege",
		"INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2":                 "write",
		"INSERT INTO hr.t (a) SELECT evil(1)":                                              "write+call",
		"UPDATE t SET (a, b) = (1, 2)":                                                     "write",
		"MERGE INTO t USING s ON t.i = s.i WHEN MATCHED THEN DELETE":                       "write",
		"TRUNCATE t": "write",
		"CREATE TABLE t (id int PRIMARY KEY, v varchar(10) REFERENCES x (id) ON DELETE CASCADE)": "ddl",
		"CREATE TABLE t AS WITH d AS (DELETE FROM s RETURNING *) SELECT * FROM d":                "write+ddl",
		"CREATE TEMP TABLE t (a int)":                                                    "ddl",
		"CREATE UNIQUE INDEX i ON t (lower(a))":                                          "ddl",
		"CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS $$ DELETE FROM t $$": "ddl+code",
		"CREATE TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION f()":                        "ddl+code",
		"CREATE RULE r AS ON INSERT TO t DO INSTEAD DELETE FROM s":                       "write+ddl+code",
		"CREATE SCHEMA s CREATE TABLE t (a int) GRANT SELECT ON t TO PUBLIC":             "ddl+privilege",
		"CREATE ROLE r SUPERUSER":                                                        "privilege",
		"CREATE USER MAPPING FOR u SERVER s":                                             "privilege",
		"ALTER TABLE t OWNER TO u":                                                       "ddl+privilege",
		"ALTER TABLE t ENABLE ROW LEVEL SECURITY":                                        "ddl+privilege",
		"ALTER SYSTEM SET x = 1":                                                         "privilege+server",
		"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO x":                           "privilege",
		"DROP FUNCTION f":                                                                "ddl",
		"DROP OWNED BY x":                                                                "privilege",
		"GRANT SELECT ON t TO x":                                                         "privilege",
		"SET ROLE x":                                                                     "privilege",
		"SET LOCAL ROLE x":                                                               "privilege",
		`SET "ROLE" = 'x'`:                                                               "privilege",
		"SET SESSION AUTHORIZATION x":                                                    "privilege",
		"RESET role":                                                                     "privilege",
		"SET search_path = x":                                                            "session",
		"SET TRANSACTION READ WRITE":                                                     "transaction",
		"DO $$ BEGIN DELETE FROM t; END $$":                                              "code",
		"CALL p(1)":                                                                      "call",
		"PREPARE p (int) AS DELETE FROM t WHERE i = $1":                                  "write",
		"PREPARE TRANSACTION 'x'":                                                        "transaction",
		"EXECUTE p (1)":                                                                  "call",
		"EXPLAIN (ANALYZE, FORMAT json) DELETE FROM t":                                   "read+write",
		"EXPLAIN ANALYZE VERBOSE (SELECT 1)":                                             "read",
		"EXPLAIN (SELECT evil())":                                                        "read+call",
		"DECLARE c CURSOR WITH HOLD FOR SELECT evil()":                                   "read+call",
		"COPY t (a, b) FROM STDIN WITH (FORMAT csv)":                                     "write",
		"COPY (SELECT lower(a) FROM t) TO STDOUT (FORMAT csv)":                           "read",
		"COPY (DELETE FROM t RETURNING *) TO STDOUT":                                     "read+write",
		"COPY t TO PROGRAM 'sh'":                                                         "read+code+server",
		"COPY t FROM '/etc/passwd'":                                                      "write+server",
		"COPY t FROM STDIN WHERE evil(a)":                                                "write+call",
		"VACUUM t":                                                                       "maintenance",
		"LOAD 'x'":                                                                       "code+server",
		"LISTEN x; NOTIFY x, 'y'":                                                        "session",
		"BEGIN; SELECT 1; COMMIT":                                                        "read+transaction",
		"SELECT 1; DROP TABLE t":                                                         "read+ddl",
		"REPACK t":                                                                       "unknown",
		"SELEC 1":                                                                        "unknown",
		"'DELETE'":                                                                       "unknown",
		"SELECT 'DELETE FROM t; DROP TABLE x', $$ evil() $$, \"delete\" -- evil()": "read",
	} {
		if got := Look(text).Classes.String(); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

// TestWords: where words, strings and comments begin and end, as in the server's scan.l.
func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		`a"b"'c'`:                       `a b 'c'`,
		"A.\"B\"\"c\" ":                 `a . B"c`,
		`'it''s'`:                       `'it's'`,
		`E'it\'s' x`:                    `'' x`,
		`fe'x' y`:                       `fe 'x' y`,
		`'a\' b '`:                      `'a\' b !`, // the last quote has no end
		"'a'\n  'b' c":                  `'ab' c`,
		"'a' -- x\n 'b' c":              `'ab' c`,
		"'a' 'b'":                       `'a' 'b'`,
		"'a'/*\n*/'b'":                  `'a' 'b'`,
		"E'a'\n'b\\' c' d":              `'' d`,
		"/* a /* b */ c */ d":           `d`,
		"/* a /* b */ d":                `!`,
		"a--b\nc":                       `a c`,
		"a--b\rc":                       `a c`,
		"1--2\n+3":                      `0 + 0`,
		"a+/* b */-c":                   `a + - c`,
		"a*/*b*/c":                      `a * c`,
		"a-/-b":                         `a -/- b`,
		"$a$ ' $b$ \" $a$ c":            `'' c`,
		"$$ $a$ $$ c":                   `'' c`,
		"a$$ b":                         `a$$ b`,
		"$1+$2":                         `$ + $`,
		"$1a":                           `!`,
		"$a b":                          `!`,
		"1e5 1.5 .5 0x1F 1_000 1..2":    `0 0 0 0 0 0 .. 0`,
		"1a":                            `!`,
		"1e'x'":                         `!`,
		"u&'x'":                         `!`,
		`U&"x"`:                         `!`,
		"u & 'x'":                       `u & 'x'`,
		`""`:                            `!`,
		`"a`:                            `!`,
		"N'x' b'1' X'f'":                `'x' '' ''`,
		"a::b :=c":                      `a :: b := c`,
		"ÄÖ":                            `ÄÖ`,
		"a\\b":                          `!`,
		"a{b":                           `!`,
		"\xff":                          `!`,
		strings.Repeat("(", MostText+1): `!`,
	} {
		tokens, _, err := lex(in)
		var all []string
		for _, x := range tokens {
			if x.kind == text || x.kind == coded {
				x.s = "'" + x.s + "'"
			}
			all = append(all, x.s)
		}
		if err != nil {
			all = []string{"!"}
			if i := strings.Index(want, "!"); i > 0 { // what stands before does not count
				want = "!"
			}
		}
		if got := strings.Join(all, " "); got != want {
			t.Errorf("%.50q is %s, want %s", in, got, want)
		}
	}
}

// TestDepends: a text whose words are others under other settings of the session says so.
func TestDepends(t *testing.T) {
	for in, want := range map[string]bool{
		`SELECT 'a'`: false, `SELECT '\d'`: true, `SELECT E'\d'`: false, `SELECT $$\$$`: false, `SELECT "\"`: false, `-- \`: false,
		`SELECT N'\'`: true, `SELECT 'ä'`: true, `SELECT 'a' -- ä`: true, "SELECT 'a'\n'\\'": true,
	} {
		if got := Look(in).Depends; got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func guard(t testing.TB, classes, tables, functions string) Guard {
	t.Helper()
	g, err := NewGuard(strings.Fields(classes), strings.Fields(tables), strings.Fields(functions))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestGuard: what each rule denies, and by which rule.
func TestGuard(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, x := range []struct{ classes, tables, functions, in, want string }{
		{"", "", "", "DROP TABLE t; SELEC", ""}, // no guard
		{"ddl", "", "", "SELECT 1", ""},
		{"ddl", "", "", "SELECT 1; DROP TABLE t", "class ddl"},
		{"write", "", "", "WITH x AS (DELETE FROM t RETURNING *) SELECT 1", "class write"},
		{"write", "", "", "PREPARE p AS DELETE FROM t", "class write"},
		{"write", "", "", "COPY t FROM STDIN", "class write"},
		{"privilege", "", "", "SET ROLE x", "class privilege"},
		{"privilege", "", "", "select set_config('role', 'x', true)", "class privilege"},
		{"server", "", "", "COPY t TO PROGRAM 'sh'", "class code+server"},
		{"write", "", "", "DO $$ BEGIN END $$", "class code"},
		{"write", "", "", "SELECT query_to_xml('x', true, true, '')", "class code"},
		{"write", "", "", "WHATEVER", "class unknown"},
		{"write", "", "", "SELECT u&'x'", "unknown"},
		{"write", "", "", "SELECT 'a", "unknown"},
		{"write", "", "", `SELECT '\'`, "unknown"},
		{"write", "", "", "", ""},

		{"", "hr.salaries", "", "SELECT * FROM hr.salaries", "table hr.salaries"},
		{"", "hr.salaries", "", `SELECT * FROM "hr" . /* x */ "salaries"`, "table hr.salaries"},
		{"", "hr.salaries", "", "SELECT * FROM HR.SALARIES", "table hr.salaries"},
		{"", "hr.salaries", "", "SELECT * FROM salaries", "table hr.salaries"},
		{"", "hr.salaries", "", "SELECT * FROM orders.hr.salaries", "table hr.salaries"},
		{"", "hr.salaries", "", "SELECT * FROM shop.salaries", ""},
		{"", "hr.salaries", "", `SELECT * FROM hr."Salaries"`, ""},
		{"", "hr.salaries", "", "SELECT s.salaries FROM jobs s", ""},
		{"", "hr.salaries", "", "SELECT 'hr.salaries'", ""},
		{"", "hr.salaries", "", "SELECT * FROM hr.jobs -- hr.salaries", ""},
		{"", "hr.salaries", "", "TABLE salaries", "table hr.salaries"},
		{"", "hr.salaries", "", "SELECT most_common_vals FROM pg_stats", "table pg_catalog.pg_stats"},
		{"", "hr.salaries", "", `SELECT * FROM pg_catalog."pg_statistic"`, "table pg_catalog.pg_statistic"},
		{"", "hr.salaries", "", "TABLE pg_stats_ext", "table pg_catalog.pg_stats_ext"},
		{"", "hr.salaries", "", "TABLE pg_stats_ext_exprs", "table pg_catalog.pg_stats_ext_exprs"},
		{"", "hr.salaries", "", "TABLE pg_statistic_ext_data", "table pg_catalog.pg_statistic_ext_data"},
		{"", "hr.salaries", "", "SELECT * FROM pg_toast.pg_toast_16400", "table pg_toast"},
		{"", "hr.salaries", "", "SELECT * FROM pg_statistic_ext, shop.pg_stats", ""},
		{"ddl", "", "", "SELECT * FROM pg_stats", ""}, // no table is denied
		{"", "hr.salaries", "", "CREATE VIEW v AS SELECT * FROM hr.salaries", "table hr.salaries"},
		{"", "hr.salaries", "", "ALTER SCHEMA hr RENAME TO x", "table hr.salaries"},
		{"", "hr.salaries", "", "GRANT SELECT ON ALL TABLES IN SCHEMA hr TO x", "table hr.salaries"},
		{"", "hr.salaries", "", "DROP TABLE hr.jobs", ""},
		{"", "hr.salaries", "", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'TABLE hr.salaries'", "class code"},
		{"", "hr.salaries", "", "SELECT table_to_xml('hr.salaries', true, true, '')", "class code"},
		{"", `hr."Salaries"`, "", `SELECT * FROM hr."Salaries"`, "table hr.Salaries"},
		{"", `hr."Salaries"`, "", `SELECT * FROM hr.Salaries`, ""},
		{"", "salaries", "", "SELECT * FROM any_schema.salaries", "table salaries"},
		{"", long, "", "SELECT * FROM " + long + "bcd", "table " + long},
		{"", long[:60], "", "SELECT * FROM " + long, ""},
		{"", "ärger", "", "SELECT * FROM ÄRGER", "unknown"}, // asked without knowing the encoding

		{"", "", "pg_terminate_backend", "SELECT pg_terminate_backend(1)", "function pg_terminate_backend"},
		{"", "", "pg_terminate_backend", "SELECT pg_catalog . PG_Terminate_Backend (1)", "function pg_terminate_backend"},
		{"", "", "pg_terminate_backend", `SELECT "pg_terminate_backend"(1)`, "function pg_terminate_backend"},
		{"", "", "pg_terminate_backend", "SELECT pg_terminate_backend/**/\n(1)", "function pg_terminate_backend"},
		{"", "", "pg_terminate_backend", "SELECT pg_terminate_backend FROM t", ""},
		{"", "", "hr.evil", "SELECT t.evil FROM t", "function hr.evil"}, // a call, in the manner of a column
		{"", "", "hr.evil", "SELECT (t).evil FROM t", "function hr.evil"},
		{"", "", "hr.evil", "SELECT evil(1)", "function hr.evil"},
		{"", "", "hr.evil", "SELECT other.evil(1)", ""},
		{"", "", "hr.evil", "ALTER FUNCTION hr.evil RENAME TO good", "class code"},
		{"", "", "evil", "CREATE TABLE t (a int DEFAULT evil())", "function evil"},
		{"", "", "evil", "ALTER TABLE t ALTER a SET DEFAULT evil()", "function evil"},
	} {
		g := guard(t, x.classes, x.tables, x.functions)
		got := ""
		if r := g.Judge(Look(x.in), false); r != nil {
			got = r.Rule
			if r.Why == "" || r.Next == "" {
				t.Errorf("%q: %+v", x.in, r)
			}
		}
		if got != x.want {
			t.Errorf("%q with the guard [%s] [%s] [%s]: %q, want %q", x.in, x.classes, x.tables, x.functions, got, x.want)
		}
	}
	g := guard(t, "", "ärger", "")
	if r := g.Judge(Look("SELECT * FROM ÄRGER"), true); r == nil || r.Rule != "table ärger" {
		t.Errorf("letters that a server may fold: %+v", r)
	}
	for _, bad := range []string{"", "a.b.c", "a b", "a;", "1", "'a'", "a.", `"a`, "a(", "hr.*"} {
		if _, err := NewGuard(nil, []string{bad}, nil); err == nil {
			t.Errorf("%q is a name", bad)
		}
	}
	if _, err := NewGuard([]string{"delete"}, nil, nil); err == nil {
		t.Error("there is a class delete")
	}
}

// TestNamesOfClasses: documents may say the classes that there are, and names that a guard reads.
func TestNamesOfClasses(t *testing.T) {
	role := postgres.New().Schema().Role
	if got := role["denyStatements"].Values; !slices.Equal(got, Names()[:len(Names())-1]) {
		t.Errorf("documents may say %q", got)
	}
}

// FuzzLook: whatever stands before it, a statement that follows is seen, and a name that a
// guard denies is found, or the text is denied because it cannot be read.
func FuzzLook(f *testing.F) {
	for _, s := range []string{"SELECT 1", `SELECT E'\'`, "/* /* */", "$a$ $b$", `"x`, "(((", "set (", "1e-5", "'a'\n'b'", "--", "u&'x'", "a.b.c(d)", "COPY x TO", "EXPLAIN ("} {
		f.Add(s)
	}
	g := guard(f, "", "hidden", "")
	f.Fuzz(func(t *testing.T, in string) {
		_ = Look(in).Classes.String()
		x := Look(in + "\n; DELETE FROM hidden")
		if g.Judge(x, true) == nil {
			t.Errorf("%q hides a name", in)
		}
		if plain := Look(in); plain.Why == nil && strings.Count(in, "(") == 0 && strings.Count(in, "[") == 0 && x.Why == nil &&
			x.Classes&(Write|Unknown) == 0 {
			t.Errorf("%q hides a statement: %s", in, x.Classes)
		}
		if x := Look(in + "\n; ALTER ROLE current_user PASSWORD 'x'"); strings.Count(in, "(") == 0 && strings.Count(in, "[") == 0 && !x.SetsPassword("me", false) {
			t.Errorf("%q hides a password", in)
		}
	})
}

func BenchmarkLook(b *testing.B) {
	const in = "SELECT a.b, count(*) FROM hr.salaries a JOIN t USING (id) WHERE x = 'a' AND y > 5 GROUP BY 1 ORDER BY 2"
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		_ = Look(in)
	}
}
