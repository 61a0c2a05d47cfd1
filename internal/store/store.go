package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/clock"
)

// Config says where the data is. Exactly one of Path and URL is set.
type Config struct {
	// Path is the SQLite file. Its folder must exist. One process at a time may
	// use it; a second one is refused.
	Path string
	// URL is that of a PostgreSQL database. A password is better in a pgpass
	// file or the environment, which the driver reads. A pooler between must
	// keep sessions.
	URL string
	// Connections is the size of the PostgreSQL pool; 0 means 16. Beside it there are
	// four connections for what ends access.
	Connections int
	// Clock is for tests: this host's clock, which is the authority with SQLite
	// and is compared with PostgreSQL's otherwise. Nil is time.Now.
	Clock func() time.Time
	// Monotonic and Boot are for tests: the clock that nobody sets, and the name of
	// the boot since which it counts. Nil is the host's or, with Clock, what Clock
	// goes forward by.
	Monotonic func() time.Duration
	Boot      string
	// Bend, if set, is for tests of the whole program: it changes what the
	// authority says.
	Bend func(time.Time) time.Time
	// Damaged, if set, is told of a row that cannot be read, which lists of due
	// work leave out: one bad row must not stop the expiry of the others.
	Damaged func(error)

	// Inspect leaves the schema as it is: somebody only wants to look.
	Inspect bool

	schema int64 // bring the schema to this version; 0: the newest
}

// version is that to bring the schema to.
func (c Config) version() int64 {
	if c.Inspect {
		return asItIs
	}
	return c.schema
}

// Store is open until Close. It is safe for concurrent use.
type Store struct {
	engine engine
	d      dialect

	ids     ids
	time    *timekeeper
	damaged func(error)

	records signal // audit records were committed
	numbers signal // records were numbered
	told    atomic.Pointer[Replica]
	written writtenCache

	mu     sync.Mutex // guards closed
	closed bool
}

// engine is the part that SQLite and PostgreSQL do differently: running a
// transaction to its end.
type engine interface {
	update(ctx context.Context, fn func(*Tx) error) error
	view(ctx context.Context, fn func(*Tx) error) error
	// number runs the sequencer's transaction; held is false when another
	// replica is at it.
	number(ctx context.Context, fn func(*Tx) error) (held bool, err error)
	ready(ctx context.Context) error
	close() error
}

// Open opens the store and brings its schema up to date. It refuses a schema
// newer than this program.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s := &Store{damaged: cfg.Damaged, records: newSignal(), numbers: newSignal(), time: newTimekeeper(cfg)}
	if s.damaged == nil {
		s.damaged = func(error) {}
	}
	var err error
	switch {
	case (cfg.Path == "") == (cfg.URL == ""):
		return nil, access.Fail(access.Invalid, "bad-store", "the store needs either a file or a database URL")
	case cfg.Path != "":
		s.d = sqliteDialect
		s.engine, err = openSQLite(ctx, s, cfg)
	default:
		s.d = postgresDialect
		s.engine, err = openPostgres(ctx, s, cfg)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Kind is "sqlite" or "postgres".
func (s *Store) Kind() string { return s.d.name }

// Update runs fn in one serializable transaction and commits it, or leaves no
// trace. fn may run more than once, also on another goroutine; it MUST NOT have
// an effect but through its Tx, keep the Tx, wait for anything, or call Update.
//
// When Update returns nil, the change is durable. An error of kind
// access.Unavailable means that nothing was changed, or, with code
// "commit-unknown", that the store could not find out.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	return s.engine.update(ctx, fn)
}

// View runs fn on one consistent snapshot, read only.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	return s.engine.view(ctx, fn)
}

// UpdateEnds is Update for what ends access, so many things at once: it goes
// before what else waits, and no number of other calls uses up what it needs.
func (s *Store) UpdateEnds(ctx context.Context, things int, fn func(*Tx) error) error {
	return s.Update(context.WithValue(ctx, endsKey{}, things), fn)
}

// ViewEnds is View for what finds out what is to end.
func (s *Store) ViewEnds(ctx context.Context, fn func(*Tx) error) error {
	return s.View(context.WithValue(ctx, endsKey{}, 0), fn)
}

// endsKey marks the context of what ends access.
type endsKey struct{}

func endsOf(ctx context.Context) (things int, is bool) {
	things, is = ctx.Value(endsKey{}).(int)
	return things, is
}

// Ready reports why the store could not commit a change now, or nil.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	return s.engine.ready(ctx)
}

// Close waits for what is under way and closes the store. What comes later is
// refused.
func (s *Store) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return nil
	}
	return s.engine.close()
}

func (s *Store) usable(ctx context.Context) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return gaveUp(err)
	}
	return nil
}

var errClosed = access.Fail(access.Unavailable, "store-closed", "the store is closed")

// gaveUp reports that the caller's time ran out before anything was changed.
func gaveUp(cause error) error {
	return access.Fail(access.Unavailable, "store-timeout", "the store did not answer in time").Try("it is worth trying again").Wrap(cause)
}

// newTx begins the Go side of a transaction at the given reading of the clock.
func (s *Store) newTx(ctx context.Context, db session, at clock.Reading) *Tx {
	return &Tx{ctx: ctx, db: db, d: s.d, now: at.Now, at: at, ids: &s.ids, damaged: s.damaged}
}

// run calls fn and gives what decides over the transaction: the first failure
// of a write or of the database, even if fn made light of it, else fn's answer.
func (tx *Tx) run(fn func(*Tx) error) error {
	err := fn(tx)
	if err == nil {
		err = tx.flush()
	}
	if tx.err != nil && !errors.Is(err, tx.err) {
		return tx.err
	}
	return err
}
