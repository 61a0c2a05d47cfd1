package pggate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"stint/internal/gateway"
)

func (w *world) run(ctx context.Context, dsn, program string, stdin string, args ...string) (string, string, error) {
	w.t.Helper()
	cmd := exec.CommandContext(ctx, program, append([]string{"--dbname=" + dsn}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "LC_ALL=C", "PGTZ=UTC"}
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.String(), errs.String(), err
}

// script is what psql does both ways; the answers have to be the same.
const script = `
\set VERBOSITY verbose
CREATE TABLE t (id int PRIMARY KEY, what text, blob bytea);
INSERT INTO t SELECT n, repeat('x', n % 50), NULL FROM generate_series(1, 5000) n;
SELECT count(*), sum(length(what)) FROM t; SELECT 1; SELECT 2 AS two;
SELECT * FROM t WHERE id < 20 ORDER BY id;
SELECT 1/0;
SELECT nothing FROM nowhere;
BEGIN; DELETE FROM t WHERE id > 4000; SAVEPOINT a; SELECT broken; ROLLBACK TO a; COMMIT;
DO $$ BEGIN RAISE NOTICE 'a notice: %', 'with a text'; END $$;
COPY (SELECT id, what FROM t WHERE id < 30 ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER);
COPY t (id, what) FROM STDIN;
9001	copied
9002	copied too
\.
SELECT * FROM t WHERE id > 9000;
COPY t (id, what) FROM STDIN;
nine	wrong
\.
PREPARE p (int) AS SELECT what FROM t WHERE id = $1; EXECUTE p (30); DEALLOCATE p;
SELECT repeat('long ', 100000) AS long;
DECLARE c CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id; FETCH 3 FROM c; CLOSE c;
SET application_name = 'other'; SHOW application_name; SHOW is_superuser;
SELECT '2020-01-01'::timestamptz; SET timezone = 'Asia/Tokyo'; SELECT '2020-01-01'::timestamptz;
LISTEN news; NOTIFY news, 'heard'; SELECT 3;
\d t
DROP TABLE t;
`

// TestSameAsDirect: psql is told the same through the gateway and without it, errors,
// notices, notifications and copied data included.
func TestSameAsDirect(t *testing.T) {
	w := newWorld(t)
	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	clean := func(s string) string { // process numbers, and what only one of them warns of
		var lines []string
		for _, l := range strings.Split(s, "\n") {
			if i := strings.Index(l, "from server process with PID"); i >= 0 {
				l = l[:i]
			}
			lines = append(lines, l)
		}
		return strings.Join(lines, "\n")
	}
	args := []string{"--no-psqlrc", "-f", "-"}
	wantOut, wantErr, err := w.run(ctx, w.direct(), "psql", script, args...)
	must(t, err)
	out, errs, err := w.run(ctx, w.dsn(), "psql", script, args...)
	if err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	if len(out) < 500_000 || clean(out) != clean(wantOut) {
		t.Errorf("psql prints other things through the gateway (%d and %d bytes)", len(out), len(wantOut))
		t.Logf("%s\n%s", clean(wantOut), clean(wantErr))
		for i, l := range strings.Split(clean(out), "\n") {
			if ls := strings.Split(clean(wantOut), "\n"); i >= len(ls) || ls[i] != l {
				t.Fatalf("line %d: %.200q", i, l)
			}
		}
	}
	if clean(errs) != clean(wantErr) || !strings.Contains(errs, "division by zero") || !strings.Contains(errs, "a notice: with a text") {
		t.Errorf("psql complains of other things through the gateway:\n%s\nand directly:\n%s", errs, wantErr)
	}
	got := w.tapes.last().run()
	for _, want := range []string{"simple SELECT 1/0; → 22012 division by zero", "simple SELECT 1; → SELECT 1", "simple DROP TABLE t; → DROP TABLE",
		"simple COPY t (id, what) FROM STDIN; → COPY 2"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in the record:\n%.3000s", want, strings.Join(got, "\n"))
		}
	}
	if strings.Contains(out+errs+fmt.Sprint(got), password) {
		t.Error("the password was shown")
	}
}

// TestDump: pg_dump and pgbench work as without the gateway.
func TestDump(t *testing.T) {
	w := newWorld(t)
	ctx, done := context.WithTimeout(t.Context(), 2*time.Minute)
	defer done()
	if _, errs, err := w.run(ctx, w.dsn(), "psql", "CREATE TABLE a (id int, b text); INSERT INTO a SELECT n, md5(n::text) FROM generate_series(1,20000) n;"); err != nil {
		t.Fatal(errs)
	}
	restrict := regexp.MustCompile(`(?m)^\\(un)?restrict .*$`) // by chance, each time
	want, _, err := w.run(ctx, w.direct(), "pg_dump", "")
	must(t, err)
	got, errs, err := w.run(ctx, w.dsn(), "pg_dump", "")
	want, got = restrict.ReplaceAllString(want, ""), restrict.ReplaceAllString(got, "")
	if err != nil || got != want || len(got) < 500_000 {
		t.Errorf("pg_dump gives %d bytes through the gateway and %d without: %v %s", len(got), len(want), err, errs)
	}
	for _, mode := range []string{"simple", "extended", "prepared"} {
		cmd := exec.CommandContext(ctx, "pgbench", "-n", "-M", mode, "-c", "4", "-t", "50", "-f", "/dev/stdin", w.dsn())
		cmd.Stdin = strings.NewReader("SELECT count(*) FROM a WHERE id = 5;\n")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir}
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("200/200")) {
			t.Errorf("pgbench -M %s: %v: %s", mode, err, out)
		}
	}
}

// TestDriver: what a driver does, and that each outcome is that of its statement.
func TestDriver(t *testing.T) {
	w := newWorld(t)
	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	c := w.connect()
	_, err := c.Exec(ctx, "CREATE TABLE d (id int PRIMARY KEY, v text)")
	must(t, err)
	var b pgx.Batch
	for i := range 5 {
		b.Queue("INSERT INTO d VALUES ($1, $2)", i, strings.Repeat("v", 100_000*i))
	}
	b.Queue("INSERT INTO d VALUES (0, 'again')") // fails, and what follows is skipped
	b.Queue("INSERT INTO d VALUES (77, 'skipped')")
	if err := c.SendBatch(ctx, &b).Close(); err == nil || !strings.Contains(err.Error(), "23505") {
		t.Errorf("the batch: %v", err)
	}
	n, err := c.CopyFrom(ctx, pgx.Identifier{"d"}, []string{"id", "v"}, pgx.CopyFromSlice(1000, func(i int) ([]any, error) { return []any{100 + i, "c"}, nil }))
	if err != nil || n != 1000 {
		t.Errorf("copied %d: %v", n, err)
	}
	rows, err := c.Query(ctx, "SELECT id FROM d WHERE id >= $1 ORDER BY id", 0)
	must(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil || len(ids) != 1000 {
		t.Errorf("%d rows: %v", len(ids), err)
	}
	if _, err := c.Exec(ctx, "SELECT wrong", pgx.QueryExecModeExec); err == nil {
		t.Error("a wrong statement went well")
	}
	var out bytes.Buffer
	if _, err := c.PgConn().CopyTo(ctx, &out, "COPY d TO STDOUT"); err != nil || out.Len() < 5000 {
		t.Errorf("copied %d bytes out: %v", out.Len(), err)
	}
	got := w.tapes.last().run()
	for _, want := range []string{"execute SELECT id FROM d WHERE id >= $1 ORDER BY id → SELECT 1000", "simple copy \"d\" ( \"id\", \"v\" ) from stdin binary; → COPY 1000", "simple COPY d TO STDOUT → COPY 1000"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in the record:\n%.5000s", want, strings.Join(got, "\n"))
		}
	}
	text := strings.Join(got, "\n")
	if !strings.Contains(text, "→ 23505 duplicate key") || !strings.Contains(text, "simple SELECT wrong → 42703") {
		t.Errorf("errors are not with their statements:\n%.5000s", text)
	}
	if strings.Contains(text, "77, 'skipped') → ") && strings.Contains(text, "skipped') → INSERT") {
		t.Error("what the server skipped has an outcome")
	}
	if f := w.control.facts; f.Protocol != "postgres" || f.Resource != "orders-db" || !f.Source.IsValid() {
		t.Errorf("the control plane was asked about %+v", f)
	}
}

// TestCancel: a client's wish to cancel reaches its own statement, by keys that the
// server never had; another's key does nothing.
func TestCancel(t *testing.T) {
	w := newWorld(t)
	c, other := w.connect(), w.connect()
	ctx, done := context.WithTimeout(t.Context(), 120*time.Second)
	defer done()
	must(t, c.PgConn().CancelRequest(ctx)) // nothing runs: nothing happens
	slept := make(chan error, 1)
	go func() { _, err := c.Exec(ctx, "SELECT pg_sleep(100)"); slept <- err }()
	eventually(t, "it runs", func() bool {
		var n int
		must(t, other.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(100)' AND state = 'active'").Scan(&n))
		return n == 1
	})
	must(t, other.PgConn().CancelRequest(ctx))
	for _, wish := range [][]byte{nil, make([]byte, 8), make([]byte, 7), append(make([]byte, 4), c.PgConn().SecretKey()...)} {
		w.server.cancelFor(ctx, wish)
	}
	select {
	case err := <-slept:
		t.Fatalf("another's key ended it: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	must(t, c.PgConn().CancelRequest(ctx))
	var pg *pgconn.PgError
	if err := <-slept; !errors.As(err, &pg) || pg.Code != "57014" {
		t.Errorf("cancelled: %v", err)
	}
	var real int
	must(t, c.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&real))
	if real == int(c.PgConn().PID()) {
		t.Error("the client has the server's process number")
	}
}

// TestEnds: whatever a session does, it is over within a second of its cut, its client is
// told why, and nothing of it is left at the server.
func TestEnds(t *testing.T) {
	for name, do := range map[string]func(ctx context.Context, c *pgx.Conn) error{
		"idle": func(ctx context.Context, c *pgx.Conn) error { _, err := c.WaitForNotification(ctx); return err },
		"sleep": func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, "SELECT pg_sleep(600)")
			return err
		},
		"in a transaction": func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, "BEGIN; CREATE TABLE open (id int)")
			if err == nil {
				_, err = c.WaitForNotification(ctx)
			}
			return err
		},
		"copying in": func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, "CREATE TEMP TABLE c (v text)")
			if err == nil {
				r, w := io.Pipe()
				go func() {
					for {
						if _, err := w.Write([]byte("x\n")); err != nil {
							return
						}
					}
				}()
				_, err = c.PgConn().CopyFrom(ctx, r, "COPY c FROM STDIN")
				_ = r.Close()
			}
			return err
		},
		"many rows": func(ctx context.Context, c *pgx.Conn) error {
			rows, err := c.Query(ctx, "SELECT repeat('x', 1000) FROM generate_series(1, 100000000)")
			for err == nil && rows.Next() {
				continue
			}
			if err == nil {
				err = rows.Err()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.connect()
			ctx, done := context.WithTimeout(t.Context(), 120*time.Second)
			defer done()
			over := make(chan error, 1)
			go func() { over <- do(ctx, c) }()
			if at := map[string]string{"sleep": "SELECT pg_sleep%", "in a transaction": "BEGIN; CREATE%", "copying in": "COPY c%", "many rows": "SELECT repeat%"}[name]; at != "" {
				eventually(t, "it is at it", func() bool { return w.doing(at) })
			}
			time.Sleep(300 * time.Millisecond) // and waits, or carries
			select {
			case err := <-over:
				t.Fatalf("it ended by itself: %v", err)
			default:
			}
			cut := time.Now()
			w.control.revoke()
			err := <-over
			took := time.Since(cut)
			var pg *pgconn.PgError
			if told := errors.As(err, &pg) && pg.Code == "57P01" && strings.Contains(pg.Message, "revoked"); !told && name != "copying in" && name != "many rows" {
				t.Errorf("the client was told: %v", err)
			}
			if err == nil || took > 20*time.Second { // a bound for a busy machine
				t.Errorf("over after %s: %v", took, err)
			}
			eventually(t, "nothing is left at the server", func() bool { return w.backends() == 0 })
			eventually(t, "the record is closed", func() bool {
				w.tapes.mu.Lock()
				defer w.tapes.mu.Unlock()
				last := w.tapes.all[len(w.tapes.all)-1]
				return last.closed != nil && last.closed.Reason == gateway.Revoked
			})
		})
	}
}

// TestClientThatDoesNotRead cannot hold up its own end.
func TestClientThatDoesNotRead(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
	defer done()
	rows, err := c.Query(ctx, "SELECT repeat('x', 1000) FROM generate_series(1, 100000000)")
	must(t, err)
	defer rows.Close()
	time.Sleep(300 * time.Millisecond) // buffers fill
	w.control.revoke()
	eventually(t, "the gateway has no session", func() bool { return w.server.Gateway.Count() == 0 })
	eventually(t, "nothing is left at the server", func() bool { return w.backends() == 0 })
}

// TestWarned: a minute before the end the client is told how to ask for more, to be pasted.
func TestWarned(t *testing.T) {
	w := newWorld(t)
	heard := make(chan *pgconn.Notice, 16)
	c := w.connect(func(c *pgx.ConnConfig) { c.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { heard <- n } })
	ctx, done := context.WithTimeout(t.Context(), 55*time.Second)
	defer done()
	w.control.ends(time.Now().Add(61 * time.Second))
	for {
		if _, err := c.Exec(ctx, "SELECT pg_sleep(0.05)"); err != nil {
			t.Fatal("nobody said anything: ", err)
		}
		select {
		case n := <-heard:
			if strings.Contains(n.Message, "was extended") { // its end was moved
				continue
			}
			if !strings.Contains(n.Message, "your access to orders-db ends in 1m") || !strings.Contains(n.Hint, "stint extend grt_1 --for 30m --why") {
				t.Errorf("told %q %q", n.Message, n.Hint)
			}
			return
		default:
		}
	}
}

// TestExpires: the session ends on the gateway's own clock, and is warned of nothing
// that is not so.
func TestExpires(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	ctx, done := context.WithTimeout(t.Context(), 120*time.Second)
	defer done()
	over := make(chan error, 1)
	go func() { _, err := c.Exec(ctx, "SELECT pg_sleep(600)"); over <- err }()
	eventually(t, "it runs", func() bool { return w.doing("SELECT pg_sleep%") })
	end := time.Now().Add(time.Second)
	w.control.ends(end)
	err := <-over
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "57P01" || !strings.Contains(pg.Message, "its time is over") || pg.Hint == "" {
		t.Errorf("the client was told: %v", err)
	}
	if late := time.Since(end); late > 20*time.Second || late < 0 {
		t.Errorf("over %s after its end", late)
	}
}

// TestRecordedFirst: what cannot be recorded is not sent, and the session is over.
func TestRecordedFirst(t *testing.T) {
	w := newWorld(t)
	c := w.connect()
	ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
	defer done()
	_, err := c.Exec(ctx, "CREATE TABLE r (id int)")
	must(t, err)
	w.tapes.mu.Lock()
	w.tapes.fails = func(Statement) error { return errors.New("no space left on device") }
	w.tapes.mu.Unlock()
	if _, err = c.Exec(ctx, "INSERT INTO r VALUES (1)"); err == nil || !strings.Contains(err.Error(), "could not be recorded") {
		t.Errorf("told: %v", err)
	}
	d, err := pgx.Connect(ctx, w.direct())
	must(t, err)
	defer func() { _ = d.Close(ctx) }()
	var n int
	must(t, d.QueryRow(ctx, "SELECT count(*) FROM r").Scan(&n))
	if n != 0 {
		t.Error("a statement that was not recorded was carried out")
	}
}

// TestLimits: a session ends where it carries more than the role allows.
func TestLimits(t *testing.T) {
	for name, l := range map[string]gateway.Limits{"rows": {Rows: 100}, "bytes": {Bytes: 10_000}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(_ *Config, c *control) { c.permit.Limits = l })
			c := w.connect()
			ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
			defer done()
			_, err := c.Exec(ctx, "SELECT repeat('x', 90) FROM generate_series(1, 50)")
			must(t, err)
			if _, err := c.Exec(ctx, "SELECT repeat('x', 90) FROM generate_series(1, 100000)"); err == nil {
				t.Error("it carries any number")
			}
			eventually(t, "the record says why", func() bool {
				w.tapes.mu.Lock()
				defer w.tapes.mu.Unlock()
				e := w.tapes.all[0].closed
				return e != nil && e.Reason == gateway.Policy && strings.Contains(e.Text, "more than the")
			})
		})
	}
	t.Run("read only", func(t *testing.T) {
		w := newWorld(t, func(_ *Config, c *control) { c.permit.Limits.ReadOnly = true })
		if _, err := w.connect().Exec(t.Context(), "CREATE TABLE n (id int)"); err == nil || !strings.Contains(err.Error(), "25006") {
			t.Errorf("it writes: %v", err)
		}
	})
}
