//go:build unix

package store_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
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

// postgresDatabase is a new database that belongs to an ordinary role, as it
// should be in production.
func postgresDatabase(tb testing.TB) *database {
	tb.Helper()
	s := pgtest.Shared(tb)
	name := s.Database(tb)
	role, password := "stint_"+name, rand.Text()
	ctx := context.Background()
	if err := s.Exec(ctx, name, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", role, password),
		fmt.Sprintf("GRANT ALL ON DATABASE %s TO %s; GRANT ALL ON SCHEMA public TO %s", name, role, role)); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Exec(ctx, name, fmt.Sprintf("DROP OWNED BY %s; DROP ROLE %s", role, role)); err != nil {
			tb.Error(err)
		}
	})
	url := s.DSN(role, password, name)
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
