package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/url"
	"os"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"stint/internal/access"
	"stint/internal/clock"
)

// Memory counts: each connection has a page cache of its own.
const (
	writerCache = "-4096" // KiB, as SQLite wants it: negative
	readerCache = "-1024"
	readers     = 4
	endReaders  = 1 // for what ends access, beside them
)

// sqliteEngine is one file, one goroutine that writes, and a few connections
// that read snapshots.
type sqliteEngine struct {
	s     *Store
	lock  *fileLock
	write *sql.DB
	read  *sql.DB

	writer *writer
	looks  *turnstile // before idle
	// Readers not in use; nil for one not yet opened.
	idle    chan *sqliteSession
	forEnds chan *sqliteSession
}

func openSQLite(ctx context.Context, s *Store, cfg Config) (engine, error) {
	lock, err := lockFile(cfg.Path + ".lock")
	if err != nil {
		return nil, err
	}
	e := &sqliteEngine{s: s, lock: lock, looks: newTurnstile(readers), idle: make(chan *sqliteSession, readers), forEnds: make(chan *sqliteSession, endReaders)}
	if err := e.open(ctx, cfg); err != nil {
		return nil, errors.Join(err, e.release())
	}
	return e, nil
}

func (e *sqliteEngine) open(ctx context.Context, cfg Config) error {
	path := cfg.Path
	// SQLite gives its other files the rights of this one.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return unavailable("store-unopened", "the store's file cannot be opened", err)
	}
	if err := f.Close(); err != nil {
		return unavailable("store-unopened", "the store's file cannot be opened", err)
	}
	if e.write, err = sql.Open("sqlite", dsn(path, "cache_size("+writerCache+")", "journal_mode(WAL)", "synchronous(FULL)",
		"journal_size_limit(16777216)")); err != nil {
		return unavailable("store-unopened", "the store cannot be opened", err)
	}
	e.write.SetMaxOpenConns(1)
	if err := migrate(ctx, sqliteSchema, e.write, cfg.version()); err != nil {
		return err
	}
	if e.read, err = sql.Open("sqlite", dsn(path, "cache_size("+readerCache+")", "query_only(1)")); err != nil {
		return unavailable("store-unopened", "the store cannot be opened", err)
	}
	e.read.SetMaxOpenConns(readers + endReaders)
	for range readers {
		e.idle <- nil
	}
	for range endReaders {
		e.forEnds <- nil
	}
	conn, err := e.write.Conn(ctx)
	if err != nil {
		return classifySQLite(err)
	}
	db := &sqliteSession{conn: conn, stmts: map[string]*sql.Stmt{}}
	if err := e.s.time.recall(e.s.newTx(context.Background(), db, clock.Reading{})); err != nil {
		return err
	}
	e.now() // where the line begins, or how far the wall is from where it goes on
	e.writer = newWriter(e.s, db, e.reopen, e.now)
	return nil
}

// dsn says how a connection is set up. recursive_triggers makes REPLACE ask the
// triggers that forbid to delete.
func dsn(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{"busy_timeout(5000)", "foreign_keys(1)", "recursive_triggers(1)", "temp_store(MEMORY)"}, pragmas...)}
	u := url.URL{Path: path}
	return "file:" + u.EscapedPath() + "?" + q.Encode()
}

// reopen takes a new connection in the place of one that met an error of the disk.
func (e *sqliteEngine) reopen(broken *sqliteSession) (*sqliteSession, error) {
	broken.discard()
	conn, err := e.write.Conn(context.Background())
	if err != nil {
		return nil, classifySQLite(err)
	}
	return &sqliteSession{conn: conn, stmts: map[string]*sql.Stmt{}}, nil
}

// now asks the host, which is the authority here.
func (e *sqliteEngine) now() clock.Reading {
	asked := e.s.time.mono()
	return e.s.time.take(e.s.time.sampled(e.s.time.host(), asked, time.Time{}))
}

func (e *sqliteEngine) update(ctx context.Context, fn func(*Tx) error) error {
	return e.writer.do(ctx, fn)
}

func (e *sqliteEngine) number(ctx context.Context, fn func(*Tx) error) (bool, error) {
	return true, e.writer.do(ctx, fn)
}

func (e *sqliteEngine) view(ctx context.Context, fn func(*Tx) error) (err error) {
	idle := e.idle
	if _, ends := endsOf(ctx); ends {
		idle = e.forEnds
	} else {
		if err := e.looks.enter(ctx); err != nil {
			return gaveUp(err)
		}
		defer e.looks.leave() // after the reader is back: who comes next finds one
	}
	var db *sqliteSession
	select {
	case db = <-idle:
	case <-ctx.Done():
		return gaveUp(ctx.Err())
	}
	defer func() {
		if db != nil && diskFailed(err) {
			db.discard()
			db = nil
		}
		idle <- db
	}()
	if db == nil {
		conn, err := e.read.Conn(ctx)
		if err != nil {
			return classifySQLite(err)
		}
		db = &sqliteSession{conn: conn, stmts: map[string]*sql.Stmt{}}
	}
	if err := db.do("BEGIN"); err != nil {
		return classifySQLite(err)
	}
	defer func() { _ = db.do("ROLLBACK") }() // nothing was written
	return e.s.newTx(ctx, db, e.now()).run(fn)
}

func (e *sqliteEngine) ready(ctx context.Context) error {
	// A save proves more than a read: that the disk takes it.
	return e.writer.do(ctx, func(tx *Tx) error {
		_, err := tx.exec("INSERT INTO marks (name, value) VALUES ('ready', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			tx.now.UnixMilli())
		return err
	})
}

func (e *sqliteEngine) close() error {
	err := e.writer.do(context.Background(), func(tx *Tx) error {
		_, err := tx.exec(saveMark,
			e.s.time.read().Now.UnixMilli())
		return err
	})
	e.writer.stop()
	for _, idle := range []chan *sqliteSession{e.idle, e.forEnds} {
		for range cap(idle) { // waits for those that still read
			if db := <-idle; db != nil {
				err = errors.Join(err, db.close())
			}
		}
	}
	return errors.Join(err, e.writer.db.close(), e.release())
}

func (e *sqliteEngine) release() error {
	var err error
	for _, db := range []*sql.DB{e.read, e.write} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	return errors.Join(err, e.lock.unlock())
}

// sqliteSession is a connection with its prepared statements.
type sqliteSession struct {
	conn *sql.Conn

	mu    sync.Mutex // guards stmts; a connection has one user at a time all the same
	stmts map[string]*sql.Stmt
}

// maxStatements bounds the statements kept: queries are put together from a few
// parts, in a bounded but large number of ways.
const maxStatements = 200

func (db *sqliteSession) prepared(q string) (*sql.Stmt, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if st, ok := db.stmts[q]; ok {
		return st, nil
	}
	if len(db.stmts) >= maxStatements {
		for _, st := range db.stmts {
			_ = st.Close()
		}
		clear(db.stmts)
	}
	st, err := db.conn.PrepareContext(context.Background(), q)
	if err != nil {
		return nil, err
	}
	db.stmts[q] = st
	return st, nil
}

// Statements are short and local: they are not interrupted, which would cost a
// goroutine each. The context counts before each of them.

func (db *sqliteSession) exec(ctx context.Context, q string, args []any) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	st, err := db.prepared(q)
	if err != nil {
		return 0, err
	}
	r, err := st.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (db *sqliteSession) query(ctx context.Context, q string, args []any) (*sql.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	st, err := db.prepared(q)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}

func (db *sqliteSession) do(q string) error {
	_, err := db.exec(context.Background(), q, nil)
	return err
}

func (db *sqliteSession) close() error {
	var err error
	for _, st := range db.stmts {
		err = errors.Join(err, st.Close())
	}
	clear(db.stmts)
	if cerr := db.conn.Close(); !errors.Is(cerr, sql.ErrConnDone) { // it was discarded
		err = errors.Join(err, cerr)
	}
	return err
}

// discard closes the connection for good; the pool makes another.
func (db *sqliteSession) discard() {
	for _, st := range db.stmts { // before their connection
		_ = st.Close()
	}
	clear(db.stmts)
	_ = db.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = db.conn.Close()
}

// diskFailed reports whether an error came from a disk or a file that cannot be
// trusted any more.
func diskFailed(err error) bool {
	var e *access.Error
	for errors.As(err, &e) {
		if e.Code == "store-broken" {
			return true
		}
		err = e.Cause
	}
	return false
}

func (db *sqliteSession) classify(err error) error { return classifySQLite(err) }

func classifySQLite(err error) error {
	var ours *access.Error
	var e *sqlite.Error
	switch {
	case err == nil, errors.As(err, &ours):
		return err
	case isContext(err):
		return gaveUp(err)
	case !errors.As(err, &e):
		return access.Fail(access.Internal, "store-failed", "the store failed").Wrap(err)
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return rowTaken(err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT:
		return ruleBroken(err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return unavailable("store-busy", "another program holds the store's file", err)
	case sqlite3.SQLITE_FULL:
		return unavailable("store-full", "the disk of the store is full", err).Try("make room there; Stint goes on by itself, and ending and revoking work meanwhile")
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM:
		return unavailable("store-broken", "the store's file cannot be read or written", err).
			Try("look at the disk of the data folder; Stint goes on by itself, and ending and revoking work meanwhile")
	}
	return access.Fail(access.Internal, "store-failed", "the store failed").Wrap(err)
}
