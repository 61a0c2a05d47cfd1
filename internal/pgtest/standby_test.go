package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"stint/internal/pgtest"
)

// TestPair: what was committed survives two failovers, there and back, and one
// address leads to whoever takes changes.
func TestPair(t *testing.T) {
	ctx := t.Context()
	p, err := pgtest.LaunchPair(ctx, pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := p.Primary.Exec(ctx, "postgres", "CREATE TABLE t (n int)"); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		if err := p.Primary.Exec(ctx, "postgres", "INSERT INTO t VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		old := p.Primary
		if err := old.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := p.Promote(ctx); err != nil {
			t.Fatal(err)
		}
		if p.Primary == old || p.Standby != old {
			t.Fatal("they did not change places")
		}
		conn, err := pgx.Connect(ctx, p.DSN("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM t").Scan(&n); err != nil || n != round+1 {
			t.Errorf("after %d failovers there are %d rows (%v)", round+1, n, err)
		}
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := p.Rebuild(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
