//go:build unix

package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/store"
)

// together lets ends wait behind one that is under way, so that they share the next
// transaction, and gives what became of each.
func together(t *testing.T, s *store.Store, fns ...func(*store.Tx) error) []error {
	t.Helper()
	begun, hold := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	once := sync.OnceFunc(func() { close(begun) })
	all.Go(func() {
		// It has more things than may share, so nobody joins it.
		if err := s.UpdateEnds(context.Background(), 1000, func(*store.Tx) error { once(); <-hold; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-begun
	errs := make([]error, len(fns))
	for i, fn := range fns {
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			errs[i] = s.UpdateEnds(context.Background(), 1, fn)
		})
		time.Sleep(50 * time.Millisecond) // so that they come in this order
	}
	close(hold)
	all.Wait()
	return errs
}

// commits counts the marks of transactions.
func commits(t *testing.T, d *database) (n int64) {
	t.Helper()
	db, err := sql.Open("pgx", d.cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM commits").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func raise(name string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		n, err := number(tx, name)
		if err != nil {
			return err
		}
		return setNumber(tx, name, n+1)
	}
}

// Ends that wait share one transaction, each sees those before it, and time never
// goes back from one to the next.
func TestEndsShareTransactions(t *testing.T) {
	d := postgresDatabase(t)
	s := d.open(t)
	before := commits(t, d)
	var mu sync.Mutex
	var last time.Time
	var fns []func(*store.Tx) error
	for range 8 {
		fns = append(fns, func(tx *store.Tx) error {
			mu.Lock()
			defer mu.Unlock()
			if tx.Now().Before(last) {
				t.Errorf("it is %v after %v", tx.Now(), last)
			}
			last = tx.Now()
			return raise("counter")(tx)
		})
	}
	for _, err := range together(t, s, fns...) {
		if err != nil {
			t.Error(err)
		}
	}
	if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); n != 8 {
		t.Errorf("counted %d, want 8", n)
	}
	// The one before them, and theirs; on a busy machine they may take a few.
	if n := commits(t, d) - before; n >= 9 {
		t.Errorf("9 ends took %d transactions", n)
	}
}

// What becomes of one end is not what becomes of those with which it shares a
// transaction: whether it refuses by itself before or after it wrote, breaks a rule
// of the database, or panics.
func TestEndsThatShareFailAlone(t *testing.T) {
	refusal := errors.New("no")
	for name, bad := range map[string]func(*store.Tx) error{
		"before it wrote": func(tx *store.Tx) error {
			if _, err := number(tx, "bad"); err != nil {
				return err
			}
			return refusal
		},
		"with a write that waits": func(tx *store.Tx) error { return errors.Join(setNumber(tx, "bad", 1), refusal) },
		"after it wrote": func(tx *store.Tx) error {
			if err := raise("bad")(tx); err != nil {
				return err
			}
			if _, err := number(tx, "bad"); err != nil {
				return err
			}
			return refusal
		},
		"by a rule": func(tx *store.Tx) error {
			if err := setNumber(tx, "bad", 1); err != nil {
				return err
			}
			return tx.SaveHolds(access.Hold{Grant: "gra_none", Entitlement: "ent_none"})
		},
		"by a panic": func(tx *store.Tx) error {
			if err := setNumber(tx, "bad", 1); err != nil {
				return err
			}
			panic(refusal)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := postgresDatabase(t).open(t)
			errs := together(t, s, raise("good"), raise("good"), bad, raise("good"))
			for i, err := range errs {
				if (i == 2) == (err == nil) {
					t.Errorf("the end %d: %v", i, err)
				}
			}
			for name, want := range map[string]int64{"good": 3, "bad": 0} {
				if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, name) }); n != want {
					t.Errorf("%s counts %d, want %d", name, n, want)
				}
			}
		})
	}
}

// Ends that share lose against somebody else together, and are done all the same,
// each once.
func TestEndsThatShareRunAgain(t *testing.T) {
	s := postgresDatabase(t).open(t)
	update(t, s, func(tx *store.Tx) error { return errors.Join(setNumber(tx, "a", 0), setNumber(tx, "b", 0)) })
	once := sync.OnceFunc(func() { // the first run meets a change of what it has read and will write
		update(t, s, raise("a"))
	})
	meets := func(tx *store.Tx) error {
		n, err := number(tx, "a")
		if err != nil {
			return err
		}
		once()
		return setNumber(tx, "a", n+1)
	}
	for _, err := range together(t, s, raise("b"), raise("b"), meets, raise("b")) {
		if err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]int64{"a": 2, "b": 3} {
		if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, name) }); n != want {
			t.Errorf("%s counts %d, want %d", name, n, want)
		}
	}
}

// Where the transaction that ends share waits for a lock that somebody holds, the
// others go alone.
func TestEndsLeaveWhoIsStuck(t *testing.T) {
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
	var all sync.WaitGroup
	defer all.Wait()
	defer func() { _ = lock.Rollback() }()
	reached := make(chan struct{}, 100)
	all.Go(func() {
		if err := s.UpdateEnds(context.Background(), 1, func(tx *store.Tx) error {
			reached <- struct{}{}
			return setNumber(tx, "locked", 1)
		}); err != nil {
			t.Error(err)
		}
	})
	<-reached
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.UpdateEnds(ctx, 1, raise("free")); err != nil {
		t.Errorf("an end waits for the lock of another: %v", err)
	}
}

// An end that shares its transaction with one that waits for a lock does not wait for
// that lock: whoever holds it for a minute would delay what has nothing to do with it,
// and more so where the callers that gave up come again together.
func TestEndsThatShareLeaveWhoIsStuck(t *testing.T) {
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
	// The one that is stuck may wait for longer than the test. Once its caller has given
	// up nothing of it is in the database.
	patient, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	begun, hold := make(chan struct{}), make(chan struct{})
	var all, free sync.WaitGroup
	once := sync.OnceFunc(func() { close(begun) })
	all.Go(func() {
		if err := s.UpdateEnds(context.Background(), 1000, func(*store.Tx) error { once(); <-hold; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-begun
	for i := range 3 {
		if i == 1 {
			all.Go(func() {
				if err := s.UpdateEnds(patient, 1, func(tx *store.Tx) error { return setNumber(tx, "locked", 1) }); err == nil {
					t.Error("an end went past the lock of another")
				}
			})
		} else {
			free.Go(func() {
				if err := s.UpdateEnds(context.Background(), 1, raise("free")); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(50 * time.Millisecond) // so that they come in this order
	}
	close(hold)
	done := make(chan struct{})
	go func() { free.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second): // a statement of ours may take 60
		t.Error("ends wait for the lock of one that they share a transaction with")
		_ = lock.Rollback()
		<-done
	}
	giveUp()
	all.Wait()
	if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "free") }); n != 2 {
		t.Errorf("counted %d, want 2", n)
	}
}

// TestSharedCommitUnknown: nobody can be asked what became of the COMMIT that ends
// share. Who wrote is told so, and runs no second time.
func TestSharedCommitUnknown(t *testing.T) {
	s, proxy := behindProxy(t, postgresDatabase(t))
	update(t, s, func(tx *store.Tx) error { return setNumber(tx, "counter", 0) })
	var runs, cuts sync.WaitGroup
	defer cuts.Wait()
	defer runs.Wait()
	cut := sync.OnceFunc(func() {
		f := proxy.CutAfter(sends("COMMIT"))
		cuts.Go(func() {
			<-f.Struck()
			if err := proxy.Refuse(); err != nil {
				t.Error(err)
			}
			proxy.Hang()
		})
	})
	errs := together(t, s,
		func(tx *store.Tx) error { cut(); return raise("counter")(tx) },
		raise("counter"), raise("counter"))
	unknown := 0
	for _, err := range errs {
		if codeOf(err) == "commit-unknown" {
			unknown++
		} else {
			wantKind(t, err, access.Unavailable) // one that came too late to share, and found no database
		}
	}
	cuts.Wait()
	proxy.Cut()
	if err := proxy.Resume(); err != nil {
		t.Fatal(err)
	}
	if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); unknown == 0 || n != int64(unknown) {
		t.Errorf("%d do not know, and %d were done", unknown, n)
	}
}
