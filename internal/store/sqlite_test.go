//go:build unix

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/store"
)

// TestGroupCommitIsolates: transactions that are committed together do not see
// each other fail.
func TestGroupCommitIsolates(t *testing.T) {
	s := sqliteDatabase(t).open(t)
	refused := errors.New("refused")
	entered, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // holds the writer until all others wait behind it
		_ = s.Update(context.Background(), func(tx *store.Tx) error { close(entered); <-release; return nil })
	})
	<-entered
	var queued sync.WaitGroup
	for i := range 30 {
		queued.Add(1)
		wg.Go(func() {
			queued.Done()
			var err error
			func() {
				defer func() {
					if p := recover(); p != nil {
						err = errors.New("panicked")
					}
				}()
				err = s.Update(context.Background(), func(tx *store.Tx) error {
					n, err := number(tx, "counter")
					if err != nil {
						return err
					}
					if err := setNumber(tx, "counter", n+1); err != nil {
						return err
					}
					switch i % 5 {
					case 0:
						return refused
					case 1:
						panic("at the disco")
					case 2:
						_ = tx.SaveDocuments(99, nil) // fails, and dooms this one
					}
					return nil
				})
			}()
			if failed := err != nil; failed != (i%5 < 3) {
				t.Errorf("transaction %d: %v", i, err)
			}
		})
	}
	queued.Wait()
	close(release)
	wg.Wait()
	if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); n != 12 {
		t.Errorf("counted %d, want the 12 that succeeded", n)
	}
}

// TestLargeTransactionBehindOthers: it is taken back and runs again, whole, and
// those before and after it are committed as they should.
func TestLargeTransactionBehindOthers(t *testing.T) {
	s := sqliteDatabase(t).open(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var wg, queued sync.WaitGroup
	wg.Go(func() {
		_ = s.Update(context.Background(), func(tx *store.Tx) error { close(entered); <-release; return nil })
	})
	<-entered
	for i := range 9 {
		queued.Add(1)
		wg.Go(func() {
			queued.Done()
			if err := s.Update(context.Background(), func(tx *store.Tx) error {
				for n := range 1 + 400*(i%3) {
					if err := setNumber(tx, fmt.Sprint(i, ".", n), 1); err != nil && i == 4 {
						panic("at the disco")
					} else if err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Errorf("transaction %d: %v", i, err)
			}
		})
	}
	queued.Wait()
	close(release)
	wg.Wait()
	view(t, s, func(tx *store.Tx) error {
		for i := range 9 {
			for n := range 1 + 400*(i%3) {
				if v, err := number(tx, fmt.Sprint(i, ".", n)); v != 1 || err != nil {
					t.Fatalf("write %d of transaction %d: %d, %v", n, i, v, err)
				}
			}
		}
		return nil
	})
}

func TestCallerGivesUpWhileItWaits(t *testing.T) {
	s := sqliteDatabase(t).open(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.Update(context.Background(), func(tx *store.Tx) error { close(entered); <-release; return nil })
	})
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err := s.Update(ctx, func(tx *store.Tx) error { return setNumber(tx, "counter", 1) })
	wantKind(t, err, access.Unavailable)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v does not tell why", err)
	}
	close(release)
	wg.Wait()
	if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); n != 0 {
		t.Error("what was given up ran all the same")
	}
}

func TestCancelledInTheMiddleLeavesNoTrace(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		ctx, cancel := context.WithCancel(context.Background())
		err := s.Update(ctx, func(tx *store.Tx) error {
			if err := setNumber(tx, "counter", 1); err != nil {
				return err
			}
			cancel()
			return setNumber(tx, "other", 1)
		})
		wantKind(t, err, access.Unavailable)
		if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); n != 0 {
			t.Error("half of a cancelled transaction was committed")
		}
	})
}

func TestPanicReachesTheCaller(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		func() {
			defer func() {
				if p := recover(); p != "boom" {
					t.Errorf("recovered %v", p)
				}
			}()
			_ = s.Update(context.Background(), func(tx *store.Tx) error { _ = setNumber(tx, "counter", 1); panic("boom") })
		}()
		if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); n != 0 {
			t.Error("a panic was committed")
		}
	})
}

func TestSecondProcessIsRefused(t *testing.T) {
	d := sqliteDatabase(t)
	s := d.open(t)
	_, err := store.Open(context.Background(), d.cfg)
	wantKind(t, err, access.Unavailable)
	if codeOf(err) != "store-in-use" || !strings.Contains(err.Error(), "process") {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(context.Background(), d.cfg)
	if err != nil {
		t.Fatalf("after the first one closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestFileIsPrivate(t *testing.T) {
	d := sqliteDatabase(t)
	active(t, d.open(t))
	for _, name := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(d.cfg.Path + name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", name, info.Mode())
		}
	}
}

func TestReopen(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s, err := store.Open(context.Background(), d.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if s.Kind() != d.name {
			t.Errorf("kind %q, want %q", s.Kind(), d.name)
		}
		b := active(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"update": s.Update(context.Background(), func(*store.Tx) error { return nil }),
			"view":   s.View(context.Background(), func(*store.Tx) error { return nil }),
			"ready":  s.Ready(context.Background()),
		} {
			if codeOf(err) != "store-closed" {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
		again := d.open(t)
		if err := again.Ready(context.Background()); err != nil {
			t.Error(err)
		}
		diff(t, read(t, again, func(tx *store.Tx) (access.Grant, error) { return tx.Grant(b.Grant.ID) }), b.Grant)
	})
}

func TestViewCannotWrite(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		if err := s.View(context.Background(), func(tx *store.Tx) error { return setNumber(tx, "counter", 1) }); err == nil {
			t.Error("a view wrote")
		}
		if n := read(t, s, func(tx *store.Tx) (int64, error) { return number(tx, "counter") }); n != 0 {
			t.Error("a view's write was kept")
		}
	})
}

func TestNewerSchemaIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s, err := store.Open(context.Background(), d.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := d.raw("INSERT INTO schema_version (version_id, is_applied) VALUES (99999, TRUE)"); err != nil {
			t.Fatal(err)
		}
		_, err = store.Open(context.Background(), d.cfg)
		if codeOf(err) != "schema-newer" {
			t.Errorf("got %v, want schema-newer", err)
		}
	})
}

func TestManyOpenAtOnce(t *testing.T) {
	d := emptyDatabase(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := store.Open(context.Background(), d.cfg)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestDamagedRowDoesNotStopOthers(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		var mu sync.Mutex
		var told []error
		d.cfg.Damaged = func(err error) { mu.Lock(); defer mu.Unlock(); told = append(told, err) }
		s := opened(t, d)
		bad, good := grant(t, s, ""), grant(t, s, "")
		for _, table := range []string{"grants", "entitlements"} {
			id := string(bad.Grant.ID)
			if table == "entitlements" {
				id = string(bad.Entitlements[0].ID)
			}
			if err := d.raw("UPDATE " + table + " SET body = '{\"from_the_future\": 1}', due_at = 1 WHERE id = '" + id + "'"); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.raw("UPDATE grants SET due_at = 2 WHERE id = '" + string(good.Grant.ID) + "'"); err != nil {
			t.Fatal(err)
		}
		gs := read(t, s, func(tx *store.Tx) ([]access.Grant, error) { return tx.DueGrants(10) })
		if len(gs) != 1 || gs[0].ID != good.Grant.ID {
			t.Errorf("due: %d grants", len(gs))
		}
		update(t, s, func(tx *store.Tx) error {
			es, err := tx.Claim(access.Work{Place: "postgres://db1:5432"}, "w", tx.Now().Add(time.Hour), 10)
			if len(es) != 1 || es[0].ID != good.Entitlements[0].ID {
				t.Errorf("claimed %d", len(es))
			}
			return err
		})
		if len(told) < 2 || !strings.Contains(told[0].Error(), string(bad.Grant.ID)) {
			t.Errorf("told: %v", told)
		}
		wantKind(t, s.View(context.Background(), func(tx *store.Tx) error { _, err := tx.Grant(bad.Grant.ID); return err }), access.Internal)
	})
}
