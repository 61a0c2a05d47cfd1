//go:build unix

package store_test

import (
	"database/sql"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

func rawSQLite(tb testing.TB, path string) func(string, ...any) error {
	return raw(tb, "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_pragma=recursive_triggers(1)")
}

func rawPostgres(tb testing.TB, url string) func(string, ...any) error { return raw(tb, "pgx", url) }

// raw runs SQL as a buggy or hostile program would.
func raw(tb testing.TB, driver, dsn string) func(string, ...any) error {
	return func(q string, args ...any) error {
		tb.Helper()
		db, err := sql.Open(driver, dsn)
		if err != nil {
			tb.Fatal(err)
		}
		defer db.Close()
		db.SetConnMaxLifetime(time.Minute)
		_, err = db.Exec(q, args...)
		return err
	}
}
