package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"stint/internal/access"
	"stint/internal/clock"
)

// The advisory locks that replicas share; "stint" in ASCII, and a number.
const (
	migrationLock = 0x7374696e74<<8 | 1
	sequencerLock = 0x7374696e74<<8 | 2
	expiryLock    = 0x7374696e74<<8 | 3
)

// settleIn bounds how long a commit, a rollback or the question after a lost
// answer may go on after the caller's own time has run out.
const settleIn = 5 * time.Second

// connectWithin bounds the wait for one host that takes connections and says
// nothing, unless the URL has a connect_timeout.
const connectWithin = 3 * time.Second

// postgresEngine is a pool of sessions.
type postgresEngine struct {
	s  *Store
	db *sql.DB
	// config is how sessions are made, and sessions the name under which the
	// server lists those of this process.
	config   *pgx.ConnConfig
	sessions string
	wires    wires
	size     int
	turns    *turnstile // for transactions that write
	looks    *turnstile // for those that read

	// What ends access has connections and turns of its own.
	endsDB    *sql.DB
	endsTurns *turnstile
	ends      convoy
}

// endConnections is how many connections are kept for what ends access.
const endConnections = 4

// pool gives what a transaction of this context that writes may use.
func (e *postgresEngine) pool(ctx context.Context) (*sql.DB, *turnstile) {
	if _, ends := endsOf(ctx); ends {
		return e.endsDB, e.endsTurns
	}
	return e.db, e.turns
}

// atOnce is how many transactions of a process write at a time. Identifiers
// ascend, so that all of them meet on the last pages of the same indexes; of
// many that are serializable, nearly all would have to run again.
const (
	atOnce     = 4
	atOnceEnds = 2
)

func openPostgres(ctx context.Context, s *Store, cfg Config) (engine, error) {
	pc, err := pgx.ParseConfig(cfg.URL)
	if err != nil { // its text has the URL without the password
		return nil, access.Fail(access.Invalid, "bad-database-url", "the database URL cannot be used").Because(err.Error())
	}
	e := &postgresEngine{s: s, config: pc, sessions: "stint " + rand.Text(), size: cfg.Connections, turns: newTurnstile(atOnce)}
	e.ends.e = e
	if pc.ConnectTimeout == 0 {
		pc.ConnectTimeout = connectWithin
	}
	pc.DialFunc = e.wires.dial(pc.DialFunc)
	for name, value := range map[string]string{
		"application_name": e.sessions,
		"timezone":         "UTC",
		// A scan of a whole table conflicts with every write to it.
		"enable_seqscan":                      "off",
		"jit":                                 "off", // its compiler is dearer than any statement of ours
		"statement_timeout":                   "60s",
		"idle_in_transaction_session_timeout": "60s",
	} {
		pc.RuntimeParams[name] = value
	}
	e.db = stdlib.OpenDB(*pc)
	if e.size <= 0 {
		e.size = 16
	}
	// Who reads leaves connections to those who write, to the sequencer and to probes.
	e.looks = newTurnstile(max(1, e.size-atOnce-2))
	e.db.SetMaxOpenConns(e.size)
	e.db.SetMaxIdleConns(e.size)
	e.db.SetConnMaxIdleTime(5 * time.Minute)
	e.endsDB, e.endsTurns = stdlib.OpenDB(*pc), newTurnstile(atOnceEnds)
	e.endsDB.SetMaxOpenConns(endConnections)
	e.endsDB.SetMaxIdleConns(endConnections)
	e.endsDB.SetConnMaxIdleTime(5 * time.Minute)
	err = e.migrate(ctx, cfg.version())
	if err == nil {
		err = e.recall(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// migrate holds a lock for as long as it takes, so that one replica does it and
// the others wait.
func (e *postgresEngine) migrate(ctx context.Context, to int64) error {
	conn, err := e.db.Conn(ctx)
	if err != nil {
		return unavailable("store-unopened", "the database cannot be reached", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "SET statement_timeout = 0"); err != nil {
		return unavailable("store-unopened", "the database cannot be used", err)
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return unavailable("store-unopened", "the database cannot be used", err)
	}
	// The session ends here, and with it the lock, whatever else happens.
	defer func() { _ = conn.Raw(func(any) error { return driver.ErrBadConn }) }()
	// The release before may be at work meanwhile. A migration that meets it in a
	// deadlock, and is the one to give way, has changed nothing and runs again.
	for n := 1; ; n++ {
		err := migrate(ctx, postgresSchema, e.db, to)
		var met *pgconn.PgError
		if err == nil || n > migrateAgain || !errors.As(err, &met) || met.Code != "40P01" || !pause(ctx, n) {
			return err
		}
	}
}

// migrateAgain is how often a migration that gave way to others is tried again.
const migrateAgain = 30

// recall lets the clock go on from what replicas have written.
func (e *postgresEngine) recall(ctx context.Context) error {
	db, at, err := e.begin(ctx, "ISOLATION LEVEL REPEATABLE READ READ ONLY", noTurn, "")
	if err != nil {
		return err
	}
	defer db.rollback()
	if err := e.s.time.recall(e.s.newTx(ctx, db, clock.Reading{})); err != nil {
		return err
	}
	e.s.time.take(at)
	return nil
}

// close gives no error: one would be of a connection that was lost already, and
// nothing is lost with it.
func (e *postgresEngine) close() error {
	_, _ = e.db.Close(), e.endsDB.Close()
	return nil
}

func (e *postgresEngine) ready(ctx context.Context) error {
	var standby bool
	if err := e.db.QueryRowContext(ctx, "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'").Scan(&standby); err != nil {
		return unavailable("store-unreachable", "the database cannot be reached", err)
	}
	if standby {
		return access.Fail(access.Unavailable, "store-read-only", "the database takes no changes").Because("it is a standby, or read only")
	}
	return nil
}

// view reads a snapshot. It need not be serializable with what it does not
// write, and so cannot make others fail.
func (e *postgresEngine) view(ctx context.Context, fn func(*Tx) error) error {
	if _, ends := endsOf(ctx); !ends {
		if err := e.looks.enter(ctx); err != nil {
			return gaveUp(err)
		}
		defer e.looks.leave()
	}
	for attempt := 0; ; attempt++ {
		db, at, err := e.begin(ctx, "ISOLATION LEVEL REPEATABLE READ READ ONLY", noTurn, "")
		if err != nil {
			return err
		}
		tx := e.s.newTx(ctx, db, e.s.time.take(at))
		err = func() error {
			defer db.rollback()
			return tx.run(fn)
		}()
		if tx.err == nil || !db.lost || attempt > 0 || ctx.Err() != nil {
			return err
		}
	}
}

// pgSession is a connection within a transaction.
type pgSession struct {
	conn   *sql.Conn
	lost   bool   // the connection broke
	repeat bool   // the database asks to run the transaction again
	taken  bool   // a row was there already
	failed bool   // something did; the transaction can only be taken back
	ahead  bool   // others wait until it is done
	held   bool   // it was ahead, and waited for somebody's lock
	heard  func() // is told when the database has answered, if set
}

// A change that ends access and has lost against others goes ahead of them: it waits
// until those under way are done, and meanwhile no other begins, on any replica, so
// that there is nobody to lose against. Where there is little in the tables all of it
// is on the same pages, and of serializable changes nearly all meet; the end of many
// grants, which is the longest of them, lost for seconds. The lock is that of the
// table where every change leaves its mark, taken before the snapshot is: a statement
// that locks needs none. Nobody depends on it: whoever does not get it in time, because
// somebody hangs with it, goes without. And whoever is ahead waits for no other lock for
// longer: it gives up its place, and waits without.
type turn string

const (
	inTurn  turn = "SET LOCAL lock_timeout = '1s'; LOCK TABLE commits IN ROW EXCLUSIVE MODE; SET LOCAL lock_timeout TO DEFAULT; "
	goAhead turn = "SET LOCAL lock_timeout = '300ms'; LOCK TABLE commits IN SHARE ROW EXCLUSIVE MODE; "
	noTurn  turn = ""
)

// begin takes a connection, begins a transaction in turn, reads the clock and marks
// the commit, all in one round trip. Connections that went bad while they lay idle
// are thrown away: nothing was done on them.
func (e *postgresEngine) begin(ctx context.Context, mode string, when turn, commitID string) (*pgSession, clock.Sample, error) {
	q := "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
	if commitID != "" { // an identifier of ours, without anything to quote
		q += "; INSERT INTO commits (id, at) VALUES ('" + commitID + "', (extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
	}
	from, _ := e.pool(ctx)
	for attempt := 0; ; attempt++ {
		conn, err := from.Conn(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, clock.Sample{}, gaveUp(errors.Join(ctx.Err(), err))
			}
			return nil, clock.Sample{}, unavailable("store-unreachable", "the database cannot be reached", err)
		}
		db := &pgSession{conn: conn, ahead: when == goAhead}
		asked := e.s.time.mono()
		results, err := db.simple(ctx, "BEGIN "+mode+"; "+string(when)+q)
		if err == nil {
			// The clock is the one that has rows.
			said := slices.IndexFunc(results, func(r *pgconn.Result) bool { return len(r.Rows) > 0 })
			ms, err := strconv.ParseInt(string(results[said].Rows[0][0]), 10, 64)
			if err == nil {
				return db, e.s.time.sampled(time.UnixMilli(ms), asked, e.s.time.host()), nil
			}
		}
		ours := db.classify(err)
		lost := db.lost
		db.rollback()
		if when != noTurn && !lost && ctx.Err() == nil && isLockTimeout(err) {
			when = noTurn
			continue
		}
		if !lost || attempt > e.size || ctx.Err() != nil {
			return nil, clock.Sample{}, ours
		}
	}
}

// isLockTimeout reports whether a lock was not to be had in time.
func isLockTimeout(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "55P03"
}

// answered says that the database lives.
func (db *pgSession) answered() {
	if db.heard != nil {
		db.heard()
	}
}

// simple sends statements without arguments in one message.
func (db *pgSession) simple(ctx context.Context, q string) (results []*pgconn.Result, err error) {
	defer db.answered()
	raw := db.conn.Raw(func(dc any) error {
		results, err = dc.(*stdlib.Conn).Conn().PgConn().Exec(ctx, q).ReadAll()
		return nil
	})
	return results, errors.Join(err, raw)
}

func (db *pgSession) exec(ctx context.Context, q string, args []any) (int64, error) {
	defer db.answered()
	r, err := db.conn.ExecContext(ctx, q, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (db *pgSession) query(ctx context.Context, q string, args []any) (*sql.Rows, error) {
	defer db.answered()
	return db.conn.QueryContext(ctx, q, args...)
}

// rollback gives the connection back, or throws it away.
func (db *pgSession) rollback() {
	ctx, cancel := context.WithTimeout(context.Background(), settleIn)
	defer cancel()
	if db.lost || db.broken() {
		db.discard()
		return
	}
	if _, err := db.simple(ctx, "ROLLBACK"); err != nil {
		db.discard()
		return
	}
	_ = db.conn.Close() // gives it back to the pool
}

// discard closes the session for good; the server then rolls back.
func (db *pgSession) discard() {
	_ = db.conn.Raw(func(dc any) error {
		if c, ok := dc.(*stdlib.Conn); ok {
			ctx, cancel := context.WithTimeout(context.Background(), settleIn)
			defer cancel()
			_ = c.Conn().Close(ctx)
		}
		return driver.ErrBadConn
	})
	_ = db.conn.Close()
}

// pid is the server's process of the session.
func (db *pgSession) pid() (pid int64) {
	_ = db.conn.Raw(func(dc any) error {
		pid = int64(dc.(*stdlib.Conn).Conn().PgConn().PID())
		return nil
	})
	return pid
}

// broken reports whether the connection is closed.
func (db *pgSession) broken() bool {
	closed := true
	_ = db.conn.Raw(func(dc any) error {
		closed = dc.(*stdlib.Conn).Conn().IsClosed()
		return nil
	})
	return closed
}

// classify notes what the error means for the transaction.
func (db *pgSession) classify(err error) error {
	var ours *access.Error
	var e *pgconn.PgError
	switch {
	case err == nil, errors.As(err, &ours):
		return err
	}
	db.failed = true
	switch {
	case isContext(err) || pgconn.Timeout(err):
		db.lost = db.broken()
		return gaveUp(err)
	case !errors.As(err, &e):
		if db.broken() || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
			db.lost = true
			return unavailable("store-unreachable", "the connection to the database was lost", err)
		}
		return access.Fail(access.Internal, "store-failed", "the store failed").Wrap(err)
	}
	switch e.Code {
	case "40001", "40P01": // serialization failure, deadlock
		db.repeat = true
		return unavailable("store-contended", "too many changes at once", err)
	case "23505": // unique
		// This may be how a lost race shows. Running again tells: who really has
		// a duplicate gets this error once more.
		db.taken = true
		return rowTaken(err)
	case "25006": // read-only transaction
		return unavailable("store-read-only", "the database takes no changes", err)
	case "22021", "22P05": // bytes that are no text; an address can hold them
		return access.Fail(access.Invalid, "no-text", "what was sent is no text").Because("it has a zero byte, or bytes that are not UTF-8").Wrap(err)
	case "57014", "25P03", "55P03": // cancelled, idle too long, lock not available
		if db.ahead && e.Code == "55P03" {
			db.repeat, db.held = true, true
		}
		return gaveUp(err)
	}
	switch e.Code[:2] {
	case "23": // other constraints, and our triggers
		return ruleBroken(err)
	case "08", "57": // connection, shutdown
		db.lost = true
		return unavailable("store-unreachable", "the connection to the database was lost", err)
	case "53", "58": // resources, system
		return unavailable("store-full", "the database lacks the means", err)
	}
	return access.Fail(access.Internal, "store-failed", "the store failed").Wrap(err)
}
