package simstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/test/sim/simstore"
)

// BenchmarkIdle is what a replica with nothing to do does: it looks for what is
// due, with ten thousand rows that have ended and fifty that live.
func BenchmarkIdle(b *testing.B) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	s := simstore.New(func() time.Time { return now })
	at := access.Target{Resource: "orders", Connection: access.Connection{Type: "sim", Address: "db1"}}
	if err := s.Update(context.Background(), func(tx broker.Tx) error {
		for i := range 10_050 {
			e := access.Entitlement{
				ID: access.EntitlementID(fmt.Sprintf("ent_%026d", i)), Version: 1, State: access.Removing, Target: at,
				Key: fmt.Sprint("account:", i), CreatedAt: now, NextAt: now.Add(time.Hour),
			}
			if err := tx.SaveEntitlements(e); err != nil {
				return err
			}
			if i >= 50 {
				e.State, e.Version = access.Gone, 2
				if err := tx.SaveEntitlements(e); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	work := access.Work{Place: at.Connection.Place(), Removals: true}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := s.View(ctx, func(tx broker.Tx) error {
			g, e1 := tx.DueGrants(100)
			r, e2 := tx.DueRequests(100)
			w, e3 := tx.DueWork()
			next, e4 := tx.NextDue()
			if len(g)+len(r)+len(w) > 0 || !next.Equal(now.Add(time.Hour)) || e1 != nil || e2 != nil || e3 != nil || e4 != nil {
				b.Fatal("something is due")
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		if err := s.Update(ctx, func(tx broker.Tx) error {
			es, err := tx.Claim(work, "w", now.Add(time.Minute), 100)
			if len(es) > 0 {
				b.Fatal("something was claimed")
			}
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
}
