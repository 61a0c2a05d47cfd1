package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"stint/internal/access"
)

// How replicas keep an eye on each other. DESIGN: docs/rfd/0011-replicas.md has
// the arithmetic; a test holds these numbers against it.
const (
	// beatEvery is how often a replica shows that it lives, and looks after the
	// others.
	beatEvery = 200 * time.Millisecond
	// beatWithin is how long the database may take to answer a beat, or to be
	// connected to.
	beatWithin = 800 * time.Millisecond
	// silentAfter is when a replica that does not show itself is cut off by the
	// others: together with a beat, within a second.
	silentAfter = 800 * time.Millisecond
	// VouchedFor is how long after a beat a replica may rely on not being taken for
	// dead: it is at most so long later that it knows, and has stopped, if it was.
	VouchedFor = beatEvery + beatWithin
)

// channel is where replicas listen.
const channel = "stint"

// Member is the part of a process that has to know of the others. Its methods
// are called one at a time, except that calls of Bury run beside the others.
type Member interface {
	// Join gives the name under which the process takes leases now, before the
	// others learn of it. A name is used by one process only, and never again after
	// Fence.
	Join() (name string)
	// Fence says that the others may take the name for dead from now on. What
	// creates on a target under it has to stop at once, and another name begins.
	Fence()
	// Bury takes over the work of another name. It calls Tx.Bury, which says
	// whether that one is dead for certain.
	Bury(ctx context.Context, name string) error
	// Hear passes a hint of another replica on.
	Hear(n access.Notice)
}

// Replica is this process among those that share a PostgreSQL store. It has one
// session of its own, which holds the process's liveness lock and listens. While
// that session lives, so does the process for all others; when it is gone, they
// break its leases within a beat.
//
// None leads: each watches all others, and whoever sees a loss first deals with it.
type Replica struct {
	s   *Store
	e   *postgresEngine
	log *slog.Logger

	began   time.Time    // what beat counts from
	beat    atomic.Int64 // start of the last answered beat, or -1 while there is no session
	others  atomic.Int64 // how many lived at the last beat
	notices chan notice
	burying sync.Map                       // names
	hosts   func(hosts, answered []string) // or nil
}

// Replica is how this process belongs to the others; nil with SQLite, where there
// are none. There is one for a store.
func (s *Store) Replica(log *slog.Logger) *Replica {
	e, ok := s.engine.(*postgresEngine)
	if !ok {
		return nil
	}
	r := &Replica{s: s, e: e, log: log, began: time.Now(), notices: make(chan notice, 1024)}
	r.beat.Store(-1)
	s.told.Store(r)
	return r
}

// Vouched reports whether no other replica can have taken this process for dead
// before now, or has done so less than a moment ago. The monotonic clock decides,
// which goes on while a process is stopped.
func (r *Replica) Vouched() bool {
	at := r.beat.Load()
	return at >= 0 && time.Since(r.began)-time.Duration(at) < VouchedFor
}

// Others is how many other replicas there were a moment ago.
func (r *Replica) Others() int { return int(r.others.Load()) }

// Run keeps this process alive in the eyes of the others, and watches them, until
// ctx ends. It returns once everything it started has.
func (r *Replica) Run(ctx context.Context, m Member) error {
	var group sync.WaitGroup
	defer group.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group.Go(func() { r.tell(ctx) })
	wait := beatEvery / 4
	for ctx.Err() == nil {
		met, err := r.belong(ctx, m, &group)
		if ctx.Err() != nil {
			break
		}
		r.beat.Store(-1)
		if met {
			m.Fence()
			wait = beatEvery / 4
			r.log.Warn("this replica lost its place among the others; it goes on under a new name", "error", err)
		} else {
			r.log.Warn("this replica is not among the others yet", "error", err)
		}
		if pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded) {
			r.e.wires.cut(time.Now()) // the database is silent: nobody shall wait for it on the sessions there are
		}
		sleep(ctx, wait)
		wait = min(2*wait, time.Second)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// belong holds one session for as long as it lives. met is whether the others
// know of the name by now.
func (r *Replica) belong(ctx context.Context, m Member, group *sync.WaitGroup) (met bool, err error) {
	opening, cancel := context.WithTimeout(ctx, 5*beatWithin) // of several hosts some may be silent
	conn, err := pgx.ConnectConfig(opening, r.e.config.Copy())
	cancel()
	if err != nil {
		return false, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatWithin)
		defer cancel()
		_ = conn.Close(closing)
	}()
	name := m.Join()
	began := time.Since(r.began)
	if err := r.join(ctx, conn, name); err != nil {
		return true, err // perhaps it is there
	}
	r.beat.Store(int64(began))
	r.log.Info("this replica has joined", "name", name)
	m.Hear(access.Notice{Due: time.Unix(0, 1), Again: true}) // whatever was said before is looked up
	for next := time.Now(); ; {
		if err := r.listen(ctx, conn, m, next); err != nil {
			if ctx.Err() == nil {
				return true, err
			}
			return true, r.leave(ctx, conn, name)
		}
		if next = next.Add(beatEvery); next.Before(time.Now()) {
			next = time.Now().Add(beatEvery)
		}
		if err := r.look(ctx, conn, m, name, group); err != nil && ctx.Err() == nil {
			return true, err
		}
	}
}

// join takes the lock first and puts up the name second: there is no name
// without a lock but that of a process whose session has ended.
func (r *Replica) join(ctx context.Context, conn *pgx.Conn, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*beatWithin)
	defer cancel()
	lock := rand.Int64()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lock); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "INSERT INTO replicas (name, lock, sessions, pid, since, seen_at) VALUES ($1, $2, $3, pg_backend_pid(), "+nowMillis+", "+nowMillis+")",
		name, lock, r.e.sessions)
	if err != nil {
		return err
	}
	// Beats need not survive anything, and no standby has to confirm them.
	_, err = conn.Exec(ctx, "SET synchronous_commit = off; LISTEN "+channel)
	return err
}

// leave takes the name down: this process has ended its work.
func (r *Replica) leave(ctx context.Context, conn *pgx.Conn, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatWithin)
	defer cancel()
	_, err := conn.Exec(ctx, "DELETE FROM replicas WHERE name = $1", name)
	return err
}

// listen takes notices until the given time.
func (r *Replica) listen(ctx context.Context, conn *pgx.Conn, m Member, until time.Time) error {
	within, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		got, err := conn.WaitForNotification(within)
		switch {
		case err == nil:
			r.hear(m, got.Payload)
		case ctx.Err() != nil:
			return ctx.Err()
		case within.Err() != nil && !conn.IsClosed():
			return nil
		default:
			return err
		}
	}
}

const nowMillis = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

// seen is another replica as a beat finds it.
type seen struct {
	name, sessions string
	lock           int64
	free           bool  // its lock is: nobody lives under the name
	silent         int64 // for how long, in milliseconds
}

// look is a beat: it shows that this replica lives, and looks after the others,
// in one round trip. A probe takes the lock of another one for a moment, shared,
// so that those who probe at the same time see the same.
func (r *Replica) look(ctx context.Context, conn *pgx.Conn, m Member, name string, group *sync.WaitGroup) error {
	within, cancel := context.WithTimeout(ctx, beatWithin)
	defer cancel()
	began := time.Since(r.began)
	away := began - time.Duration(r.beat.Load())
	var b pgx.Batch
	b.Queue("UPDATE replicas SET seen_at = "+nowMillis+" WHERE name = $1", name)
	b.Queue("SELECT name, lock, sessions, "+nowMillis+" - seen_at, pg_try_advisory_lock_shared(lock) FROM replicas WHERE name <> $1", name)
	answers := conn.SendBatch(within, &b)
	tag, err := answers.Exec()
	if err != nil {
		return errors.Join(err, answers.Close())
	}
	rows, err := answers.Query()
	if err != nil {
		return errors.Join(err, answers.Close())
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s seen, err error) {
		err = row.Scan(&s.name, &s.lock, &s.sessions, &s.silent, &s.free)
		return s, err
	})
	if err = errors.Join(err, answers.Close()); err != nil {
		return err
	}
	if tag.RowsAffected() != 1 {
		return errors.New("the others have buried this replica")
	}
	r.beat.Store(int64(began))
	living := int64(0)
	for _, other := range found {
		switch {
		case other.free:
			if _, err := conn.Exec(within, "SELECT pg_advisory_unlock_shared($1)", other.lock); err != nil {
				return err
			}
			r.bury(ctx, m, other.name, group)
			continue
		case other.silent > silentAfter.Milliseconds() && away < silentAfter/2 && other.sessions != r.e.sessions:
			// Who was away himself does not judge. A former name of ours, which somebody
			// is just burying, is no silent replica.
			if err := r.cutOff(within, conn, other); err != nil {
				return err
			}
		}
		living++
	}
	r.others.Store(living)
	return nil
}

// cutOff ends every session of a replica that lives and does not show itself:
// stopped, or behind a network that carries nothing. What its transactions hold
// is free then, and with its lock so is its work. It sees that when it wakes.
func (r *Replica) cutOff(ctx context.Context, conn *pgx.Conn, other seen) error {
	// It must hold the lock itself: a name that somebody else is just burying may be
	// the former one of a process that lives.
	n, err := conn.Exec(ctx, `SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a WHERE a.usename = current_user AND a.application_name = $1
		AND EXISTS (SELECT FROM pg_locks AS l JOIN replicas AS r ON l.pid = r.pid AND (l.classid::bigint << 32) + l.objid::bigint = r.lock
			WHERE r.name = $2 AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.mode = 'ExclusiveLock')`, other.sessions, other.name)
	var refused *pgconn.PgError
	if err == nil && n.RowsAffected() > 0 {
		r.log.Warn("a replica does not show itself; its sessions were ended", "name", other.name, "silent", time.Duration(other.silent)*time.Millisecond)
	}
	if errors.As(err, &refused) && refused.Code == "42501" {
		r.log.Error("the sessions of a silent replica could not be ended; its leases lapse by themselves", "name", other.name, "error", err)
		return nil
	}
	return err
}

// bury has the member take over, beside the beats. It is tried again with each
// beat while the name is there.
func (r *Replica) bury(ctx context.Context, m Member, name string, group *sync.WaitGroup) {
	if _, at := r.burying.LoadOrStore(name, true); at {
		return
	}
	group.Go(func() {
		defer r.burying.Delete(name)
		if err := m.Bury(ctx, name); err != nil && ctx.Err() == nil {
			r.log.Warn("the work of a lost replica was not taken over; tried again", "name", name, "error", err)
		}
	})
}

// Bury takes the name of a replica down if nobody lives under it, for certain:
// its lock is held until the end of this transaction. It reports false when
// somebody does, or another has buried it.
func (tx *Tx) Bury(name string) (dead bool, err error) {
	if !tx.d.arrays {
		return false, nil // one process at a time
	}
	var lock int64
	known := false
	err = tx.each("SELECT lock FROM replicas WHERE name = $1", []any{name}, func(row row) error { known = true; return row.Scan(&lock) })
	if err != nil || !known {
		return false, err
	}
	err = tx.each("SELECT pg_try_advisory_xact_lock($1)", []any{lock}, func(row row) error { return row.Scan(&dead) })
	if err != nil || !dead {
		return false, err
	}
	_, err = tx.exec("DELETE FROM replicas WHERE name = $1", name)
	return err == nil, err
}

// Others is how many other processes live on the store. With SQLite there is none.
func (s *Store) Others(ctx context.Context) (n int, err error) {
	e, ok := s.engine.(*postgresEngine)
	if !ok {
		return 0, nil
	}
	err = e.db.QueryRowContext(ctx, "SELECT count(*) FROM replicas WHERE sessions <> $1 AND NOT pg_try_advisory_xact_lock_shared(lock)", e.sessions).Scan(&n)
	if err != nil {
		return 0, unavailable("store-unreachable", "the replicas cannot be counted", err)
	}
	return n, nil
}

// Protected reports why a commit that was acknowledged could be lost with the
// database server; nil when a standby has each one first.
func (s *Store) Protected(ctx context.Context) error {
	e, ok := s.engine.(*postgresEngine)
	if !ok {
		return nil
	}
	var commit, standbys string
	if err := e.db.QueryRowContext(ctx, "SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names')").Scan(&commit, &standbys); err != nil {
		return unavailable("store-unreachable", "the database cannot be reached", err)
	}
	no := access.Fail(access.Invalid, "commits-unprotected", "a decision that was acknowledged could be lost when the database fails over")
	switch {
	case standbys == "":
		return no.Because("synchronous_standby_names is empty, so no standby has a commit before it is acknowledged")
	case commit != "on" && commit != "remote_apply":
		return no.Because(fmt.Sprintf("synchronous_commit is %s, so a commit is acknowledged before a standby has it on disk", commit))
	}
	return nil
}
