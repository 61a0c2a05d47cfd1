package store

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// How often a transaction runs again.
const (
	contended  = 60 // after it lost against another; what ends access has as often as its time allows
	lostAgain  = 1  // after the connection broke before the commit
	takenAgain = 2  // after somebody else made the same row: a lost race, or a real duplicate
)

// outcome is what is known of one run of a transaction.
type outcome uint8

const (
	final    outcome = iota // the error says all; nothing runs again
	conflict                // not committed, because another was; worth another run
	lost                    // not committed, because the connection broke
	taken                   // not committed, because a row is there already
	held                    // not committed: it was ahead of all others and had to wait for a lock
)

// update runs fn, with others where it ends access, or alone.
func (e *postgresEngine) update(ctx context.Context, fn func(*Tx) error) error {
	if things, ends := endsOf(ctx); ends {
		if done, err := e.ends.do(ctx, things, fn); done {
			return err
		}
	}
	return e.alone(ctx, fn)
}

// alone runs fn in transactions of its own until it is committed, refused, or
// hopeless. What ends access has lost in a convoy before, or was held up there.
func (e *postgresEngine) alone(ctx context.Context, fn func(*Tx) error) error {
	most, first := contended, inTurn
	if _, ends := endsOf(ctx); ends {
		most, first = math.MaxInt, goAhead
	}
	when := first
	for conflicts, breaks, takes := 0, 0, 0; ; {
		result, err := e.attempt(ctx, when, fn)
		when = first
		switch {
		case result == final || ctx.Err() != nil:
			return err
		case result == lost:
			if breaks++; breaks > lostAgain {
				return err
			}
		case result == taken:
			if takes++; takes > takenAgain {
				return err
			}
		case result == held:
			when = noTurn
		default:
			if conflicts++; conflicts > most {
				return err
			}
			if !pause(ctx, conflicts) {
				return gaveUp(errors.Join(ctx.Err(), err))
			}
		}
	}
}

// pause waits longer after each lost race, by chance, so that those who met do
// not meet again. It reports false when the context is over.
func pause(ctx context.Context, conflicts int) bool {
	longest := time.Millisecond << min(conflicts, 6)
	t := time.NewTimer(rand.N(longest))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt runs fn once, when it is its turn, and finds out what became of it.
func (e *postgresEngine) attempt(ctx context.Context, when turn, fn func(*Tx) error) (outcome, error) {
	_, turns := e.pool(ctx)
	if err := turns.enter(ctx); err != nil {
		return final, gaveUp(err)
	}
	defer turns.leave()
	id, err := e.s.ids.next(e.s.time.read().Now.UnixMilli())
	if err != nil {
		return final, err
	}
	db, at, err := e.begin(ctx, "ISOLATION LEVEL SERIALIZABLE", when, id)
	if err != nil {
		return final, err // it has tried every connection
	}
	tx := e.s.newTx(ctx, db, e.s.time.take(at))
	finished := false
	defer func() {
		if !finished { // fn panicked
			db.rollback()
		}
	}()
	err = tx.run(fn)
	finished = true
	if err != nil {
		db.rollback()
		switch {
		case db.held:
			return held, err
		case db.repeat:
			return conflict, err
		case db.lost && tx.err != nil:
			return lost, err
		case db.taken:
			return taken, err
		}
		return final, err
	}
	result, err := e.commit(ctx, db, id)
	if err == nil && tx.records > 0 {
		e.s.records.send()
	}
	return result, err
}

// commit commits. The caller's context does not stop it half-way.
func (e *postgresEngine) commit(ctx context.Context, db *pgSession, id string) (outcome, error) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleIn)
	defer cancel()
	results, err := db.simple(within, "COMMIT")
	if err == nil {
		done := len(results) == 1 && results[0].CommandTag.String() == "COMMIT"
		_ = db.conn.Close()
		if !done { // the server had given the transaction up
			return final, ruleBroken(errors.New("the transaction was aborted"))
		}
		return final, nil
	}
	var e2 *pgconn.PgError
	if errors.As(err, &e2) && (e2.Code == "40001" || e2.Code == "40P01" || e2.Code[:2] == "23") {
		err = db.classify(err)
		db.rollback()
		if db.repeat {
			return conflict, err
		}
		return final, err
	}
	pid := db.pid()
	db.discard()
	return e.resolve(ctx, id, pid, err)
}

// resolve finds out whether a transaction whose COMMIT had no answer was
// committed. It writes the transaction's mark itself: the server makes it wait
// while the lost transaction is still open, then refuses it if that one was
// committed. If the mark can be written, the lost one is not and, its mark being
// taken, never will be.
func (e *postgresEngine) resolve(ctx context.Context, id string, pid int64, cause error) (outcome, error) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleIn)
	defer cancel()
	for n := 1; ; n++ {
		// A session that never got the COMMIT would wait for it until its timeout.
		_, _ = e.db.ExecContext(within, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE pid = $1 AND usename = current_user AND application_name = $2 AND state LIKE 'idle in transaction%'`, pid, e.sessions)
		r, err := e.db.ExecContext(within, `INSERT INTO commits (id, at) VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
			ON CONFLICT (id) DO NOTHING`, id)
		if err == nil {
			written, err := r.RowsAffected()
			switch {
			case err != nil:
				return final, unknownCommit(errors.Join(cause, err))
			case written == 0:
				// It is committed here. Giving up on its COMMIT may have cut short its
				// wait for a standby, so this says nothing of a standby yet; a later
				// change that a standby has confirmed does.
				if _, err := e.db.ExecContext(within, "UPDATE commits SET at = at WHERE id = $1", id); err != nil {
					return final, unknownCommit(errors.Join(cause, err))
				}
				return final, nil
			}
			return lost, unavailable("store-unreachable", "the connection to the database was lost", cause)
		}
		if !pause(within, n) {
			return final, unknownCommit(errors.Join(cause, err))
		}
	}
}

// byIndex keeps the planner to the one plan that is good for the log's numbers,
// however many records wait for theirs. By the statistics of a calm hour hardly any
// does, so it would sort all of them for each batch, or compare each with each.
const byIndex = "SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_nestloop = off"

// number runs the sequencer's transaction: at READ COMMITTED, because under the
// lock there is nobody to be isolated from and every statement shall see what
// was committed until then.
func (e *postgresEngine) number(ctx context.Context, fn func(*Tx) error) (held bool, err error) {
	id, err := e.s.ids.next(e.s.time.read().Now.UnixMilli())
	if err != nil {
		return false, err
	}
	db, at, err := e.begin(ctx, "ISOLATION LEVEL READ COMMITTED; "+byIndex, noTurn, id)
	if err != nil {
		return false, err
	}
	tx := e.s.newTx(ctx, db, e.s.time.take(at))
	err = tx.each("SELECT pg_try_advisory_xact_lock($1)", []any{int64(sequencerLock)}, func(row row) error { return row.Scan(&held) })
	if err == nil && held {
		err = tx.run(fn)
	}
	if err != nil || !held {
		db.rollback()
		return held, err
	}
	_, err = e.commit(ctx, db, id)
	return true, err
}
