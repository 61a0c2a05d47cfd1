package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
	"stint/internal/pgtest"
)

// benchWorld is a world on a server that pays for its commits.
func benchWorld(b *testing.B) *world {
	server := pgtest.Start(b, pgtest.Options{Fsync: true, MaxConnections: 1200})
	return newWorldOn(b, server)
}

// bare sends what anybody would: the same statement with the same verifier.
func bare(ctx context.Context, pool *pgxpool.Pool, name string, groups []string, iterations int) error {
	secret := newVerifier(newPassword(), iterations)
	_, err := pool.Exec(ctx, fmt.Sprintf("CREATE ROLE %s LOGIN CONNECTION LIMIT 10 PASSWORD %s VALID UNTIL %s IN ROLE %s",
		ident(name), literal(secret), until(time.Now().Add(time.Hour)), idents(groups)), pgx.QueryExecModeSimpleProtocol)
	return err
}

// BenchmarkProvision makes accounts, beside the bare statement over a pool of
// the same size.
func BenchmarkProvision(b *testing.B) {
	w := benchWorld(b)
	pool, err := newPool(w.target, granting)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	var n atomic.Int64
	for _, iterations := range []int{4096, 1} {
		for _, clients := range []int{1, 8, 32} {
			name := fmt.Sprintf("iterations=%d/clients=%d/", iterations, clients)
			b.Run(name+"bare", func(b *testing.B) {
				parallel(b, clients, func(ctx context.Context) error {
					return bare(ctx, pool, fmt.Sprintf("bare_%d", n.Add(1)), w.groups, iterations)
				})
			})
			b.Run(name+"stint", func(b *testing.B) {
				parallel(b, clients, func(ctx context.Context) error {
					_, err := w.c.Provision(ctx, w.target, connector.Order{Tag: connectortest.NewTag(), Mechanism: access.Account, Person: "mira",
						Rights: w.groups, ExpiresAt: time.Now().Add(time.Hour), Options: map[string]string{"scramIterations": fmt.Sprint(iterations)}})
					return err
				})
			})
		}
	}
}

// parallel runs f b.N times by a number of clients.
func parallel(b *testing.B, clients int, f func(context.Context) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := f(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accounts/s")
}

// populate makes n accounts, each with a session if wanted.
func populate(b *testing.B, w *world, n int, sessions bool) []connector.Order {
	os := make([]connector.Order, n)
	receipts := make([]connector.Receipt, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				o := w.Order(access.Account)
				r, err := w.c.Provision(b.Context(), w.target, o)
				if err != nil {
					b.Error(err)
					return
				}
				o.Account, o.Creation = r.Account, r.Creation
				os[i], receipts[i] = o, r
				if sessions {
					live, err := w.Session(o, r)
					if err != nil {
						b.Error(err)
						return
					}
					b.Cleanup(live.Close)
				}
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return os
}

// BenchmarkEnd ends many accounts at once: revoke, terminate, remove, read back.
func BenchmarkEnd(b *testing.B) {
	b.Run("accounts=1000/sessions=1000/bare-terminate", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			w := benchWorld(b)
			populate(b, w, 1000, true)
			admin := w.open("postgres")
			b.StartTimer()
			const of = " FROM pg_stat_activity WHERE usename LIKE 'stint\\_%'"
			if _, err := admin.Exec(b.Context(), "SELECT pg_terminate_backend(pid)"+of); err != nil {
				b.Fatal(err)
			}
			for left := 1; left > 0; {
				if err := admin.QueryRow(b.Context(), "SELECT count(*)"+of).Scan(&left); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	for _, n := range []struct {
		accounts int
		sessions bool
	}{{1000, true}, {1, true}, {1000, false}, {10000, false}} {
		sessions := 0
		if n.sessions {
			sessions = n.accounts
		}
		b.Run(fmt.Sprintf("accounts=%d/sessions=%d/stint", n.accounts, sessions), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				w := benchWorld(b)
				os := populate(b, w, n.accounts, n.sessions)
				b.StartTimer()
				endAll(b, w, os)
			}
		})
	}
}

func endAll(b *testing.B, w *world, os []connector.Order) {
	b.Helper()
	began := time.Now()
	for _, step := range []struct {
		name string
		do   func(context.Context, connector.Target, []connector.Order) []connector.Result
	}{{"revoke", w.c.Revoke}, {"terminate", w.c.TerminateSessions}, {"remove", w.c.Remove}} {
		for i, r := range step.do(b.Context(), w.target, os) {
			if r.Err != nil {
				b.Fatalf("%s %d: %v", step.name, i, r.Err)
			}
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), step.name+"-by-ms")
	}
	for i, v := range w.c.Verify(b.Context(), w.target, os) {
		if !v.Gone() {
			b.Fatalf("order %d: %+v", i, v)
		}
	}
}

// BenchmarkFingerprint reads a cluster of three databases, two of them with 300
// tables, 300 functions and 600 privileges, and compares two readings for 1,000
// orders.
func BenchmarkFingerprint(b *testing.B) {
	w := benchWorld(b)
	for _, db := range []string{w.database, w.elsewhere()} {
		w.exec(db, fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..300 LOOP
			EXECUTE format('CREATE TABLE work.t%%s (id int)', i);
			EXECUTE format('ALTER TABLE work.t%%s OWNER TO %%I', i, %[1]s);
			EXECUTE format('GRANT SELECT, INSERT ON work.t%%s TO %%I', i, %[2]s);
			EXECUTE format('CREATE FUNCTION work.f%%s() RETURNS int LANGUAGE sql SECURITY DEFINER AS ''SELECT 1''', i);
		END LOOP; END $$`, literal(w.groups[0]), literal(w.groups[1])))
	}
	var f []byte
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			f = w.fingerprint()
		}
		b.ReportMetric(float64(len(f)), "bytes")
	})
	b.Run("compare", func(b *testing.B) {
		os := make([]connector.Order, 1000)
		for i := range os {
			os[i] = w.Order(access.Account)
		}
		for b.Loop() {
			if _, err := w.c.Residue(f, f, os); err != nil {
				b.Fatal(err)
			}
		}
	})
}
