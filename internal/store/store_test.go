//go:build unix

package store_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stint/internal/access"
	"stint/internal/pgtest"
	"stint/internal/store"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// database is one place to open stores at; raw runs SQL behind the store's back.
type database struct {
	name string
	cfg  store.Config
	raw  func(q string, args ...any) error
}

// onBoth runs a test of the contract on SQLite and on PostgreSQL.
func onBoth(t *testing.T, test func(*testing.T, *database)) {
	t.Run("sqlite", func(t *testing.T) { test(t, sqliteDatabase(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, postgresDatabase(t)) })
}

func sqliteDatabase(tb testing.TB) *database {
	path := filepath.Join(tb.TempDir(), "stint.db")
	return &database{name: "sqlite", cfg: store.Config{Path: path, Damaged: refuseDamage(tb)}, raw: rawSQLite(tb, path)}
}

// owner is the ordinary role whom the tests' databases belong to, as it should be in
// production, and migrated one of them on which the newest schema is: to copy it is
// cheaper than to migrate each. Both are as the Shared server that they are on.
var (
	owner    = struct{ role, password string }{"stint_owner", rand.Text()}
	migrated struct {
		mu sync.Mutex
		on *pgtest.Server
	}
)

const migratedName = "stint_migrated"

// postgresDatabase is a new database on which a store was opened once.
func postgresDatabase(tb testing.TB) *database {
	tb.Helper()
	s := pgtest.Shared(tb)
	migrated.mu.Lock()
	defer migrated.mu.Unlock()
	if migrated.on != s {
		if err := s.Exec(context.Background(), "postgres", fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", owner.role, owner.password),
			"CREATE DATABASE "+migratedName+" OWNER "+owner.role); err != nil {
			tb.Fatal(err)
		}
		first, err := store.Open(context.Background(), store.Config{URL: s.DSN(owner.role, owner.password, migratedName)})
		if err != nil {
			tb.Fatal(err)
		}
		if err := first.Close(); err != nil {
			tb.Fatal(err)
		}
		migrated.on = s
	}
	return copied(tb, s, migratedName)
}

// emptyDatabase is a new one on which no store was ever opened.
func emptyDatabase(tb testing.TB) *database {
	tb.Helper()
	postgresDatabase(tb) // whose owner it gets
	return copied(tb, pgtest.Shared(tb), "template1")
}

func copied(tb testing.TB, s *pgtest.Server, of string) *database {
	tb.Helper()
	name := s.Copy(tb, of, owner.role)
	url := s.DSN(owner.role, owner.password, name)
	return &database{name: "postgres", cfg: store.Config{URL: url, Connections: 12, Damaged: refuseDamage(tb)}, raw: rawPostgres(tb, url)}
}

func refuseDamage(tb testing.TB) func(error) { return func(err error) { tb.Error(err) } }

// open opens the store until the test ends.
func (d *database) open(tb testing.TB) *store.Store {
	tb.Helper()
	s, err := store.Open(context.Background(), d.cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// opened is a store on a new database.
func opened(t *testing.T, d *database) *store.Store {
	t.Helper()
	return d.open(t)
}

// update and view fail the test on an error.
func update(tb testing.TB, s *store.Store, fn func(*store.Tx) error) {
	tb.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		tb.Fatal(err)
	}
}

func view(tb testing.TB, s *store.Store, fn func(*store.Tx) error) {
	tb.Helper()
	if err := s.View(context.Background(), fn); err != nil {
		tb.Fatal(err)
	}
}

// read gives one value of a view.
func read[T any](tb testing.TB, s *store.Store, fn func(*store.Tx) (T, error)) (v T) {
	tb.Helper()
	view(tb, s, func(tx *store.Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	return v
}

func wantKind(tb testing.TB, err error, kind access.Kind) {
	tb.Helper()
	if err == nil || access.KindOf(err) != kind {
		tb.Errorf("got error %v of kind %v, want kind %v", err, access.KindOf(err), kind)
	}
}

func diff(tb testing.TB, got, want any) {
	tb.Helper()
	if d := cmp.Diff(got, want, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		tb.Errorf("got (-) differs from want (+):\n%s", d)
	}
}

// storeNow is the store's time.
func storeNow(tb testing.TB, s *store.Store) time.Time {
	return read(tb, s, func(tx *store.Tx) (time.Time, error) { return tx.Now(), nil })
}

func digest() (d access.Digest) {
	_, _ = rand.Read(d[:])
	return d
}
