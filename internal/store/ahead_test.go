//go:build unix

package store_test

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"stint/internal/store"
)

// losing gives fn for an end that loses against somebody else the first time, and
// calls then from the second time on.
func losing(t *testing.T, s *store.Store, then func(*store.Tx) error) func(*store.Tx) error {
	update(t, s, func(tx *store.Tx) error { return setNumber(tx, "met", 0) })
	runs := 0
	return func(tx *store.Tx) error {
		n, err := number(tx, "met")
		if err != nil {
			return err
		}
		if runs++; runs == 1 {
			update(t, s, raise("met"))
		} else if err := then(tx); err != nil {
			return err
		}
		return setNumber(tx, "met", n+10)
	}
}

// comesTrue waits until the database says so.
func comesTrue(t *testing.T, db *sql.DB, what, query string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		var is bool
		if err := db.QueryRowContext(ctx, query).Scan(&is); err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		if is {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// An end that has lost against another change loses no second time: no other change
// begins until it is done (L-01 under load: the end of many grants lost for seconds).
func TestEndThatLostGoesAhead(t *testing.T) {
	d := postgresDatabase(t)
	s := d.open(t)
	db, err := sql.Open("pgx", d.cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var other sync.WaitGroup
	inside := make(chan struct{}, 10)
	err = s.UpdateEnds(t.Context(), 1, losing(t, s, func(*store.Tx) error {
		other.Go(func() {
			if err := s.Update(context.Background(), func(tx *store.Tx) error {
				inside <- struct{}{}
				return raise("met")(tx)
			}); err != nil {
				t.Error(err)
			}
		})
		comesTrue(t, db, "nobody waits for the end", `SELECT EXISTS (SELECT FROM pg_locks
			WHERE relation = 'commits'::regclass AND mode = 'RowExclusiveLock' AND NOT granted)`)
		select {
		case <-inside:
			t.Error("another change began while an end that had lost was under way")
		default:
		}
		return nil
	}))
	if err != nil {
		t.Error(err)
	}
	other.Wait()
	if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "met") }); n != 12 {
		t.Errorf("counted %d, want 12: one that it met, ten of its own, one that waited", n)
	}
}

// Who is ahead of all others waits for no lock that somebody hangs with: it lets the
// others go on, and waits like anybody.
func TestEndAheadGivesWay(t *testing.T) {
	d := postgresDatabase(t)
	s := d.open(t)
	update(t, s, func(tx *store.Tx) error { return setNumber(tx, "locked", 0) })
	db, err := sql.Open("pgx", d.cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	lock, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback() }()
	if _, err := lock.ExecContext(t.Context(), "SELECT * FROM settings WHERE name = 'locked' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	var end sync.WaitGroup
	end.Go(func() {
		if err := s.UpdateEnds(context.Background(), 1, losing(t, s, raise("locked"))); err != nil {
			t.Error(err)
		}
	})
	comesTrue(t, db, "the end does not wait beside the others", `SELECT EXISTS (SELECT FROM pg_locks w
		WHERE w.locktype = 'transactionid' AND NOT w.granted AND NOT EXISTS (SELECT FROM pg_locks l
			WHERE l.pid = w.pid AND l.relation = 'commits'::regclass AND l.mode = 'ShareRowExclusiveLock'))`)
	if err := s.Update(t.Context(), raise("free")); err != nil {
		t.Error(err)
	}
	_ = lock.Rollback()
	end.Wait()
	if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "locked") }); n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
}

// Whoever hangs with the lock by which one goes ahead keeps nobody from anything.
func TestNobodyDependsOnGoingAhead(t *testing.T) {
	d := postgresDatabase(t)
	s := d.open(t)
	db, err := sql.Open("pgx", d.cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	hold, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hold.Rollback() }()
	if _, err := hold.ExecContext(t.Context(), "LOCK TABLE commits IN ROW EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.UpdateEnds(ctx, 1, losing(t, s, raise("ended"))); err != nil {
		t.Errorf("an end waits for somebody who hangs: %v", err)
	}
}
