//go:build unix

package store_test

import (
	"context"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/store"
)

func benchBoth(b *testing.B, bench func(*testing.B, *database)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, sqliteDatabase(b)) })
	b.Run("postgres", func(b *testing.B) { bench(b, postgresDatabase(b)) })
}

// BenchmarkGrant is the hot path: both transactions of one grant.
func BenchmarkGrant(b *testing.B) {
	benchBoth(b, func(b *testing.B, d *database) {
		s := d.open(b)
		b.ReportAllocs()
		for b.Loop() {
			active(b, s)
		}
	})
}

// BenchmarkGrants is the same by 32 at once, with the sequencer at work.
func BenchmarkGrants(b *testing.B) {
	benchBoth(b, func(b *testing.B, d *database) {
		s := d.open(b)
		key := newLogKey(b)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- s.RunSequencer(ctx, key.signer, key.origin, time.Hour) }()
		b.SetParallelism(16) // times two cores
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				active(b, s)
			}
		})
		b.StopTimer()
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
}

// fillStore saves n active grants.
func fillStore(b *testing.B, s *store.Store, n int) {
	b.Helper()
	for n > 0 {
		size := min(n, 1000)
		n -= size
		update(b, s, func(tx *store.Tx) error {
			var bs []bundle
			var evs []access.Event
			for range size {
				x, es, err := newBundle(tx.Now())
				if err != nil {
					return err
				}
				bs, evs = append(bs, x), append(evs, es...)
			}
			if err := saveBundle(tx, "w", bs, evs); err != nil {
				return err
			}
			var gs []access.Grant
			var ents []access.Entitlement
			var ids []access.EntitlementID
			evs = nil
			for _, x := range bs {
				e, ev, err := x.Entitlements[0].Confirm(1, "a", "oid:1", tx.Now())
				if err != nil {
					return err
				}
				g, gev, err := x.Grant.Activate(tx.Now())
				if err != nil {
					return err
				}
				gs, ents, ids, evs = append(gs, g), append(ents, e), append(ids, e.ID), append(evs, ev, gev)
			}
			for _, err := range []error{tx.SaveEntitlements(ents...), tx.SaveGrants(gs...), tx.Unlease("w", ids...), tx.Append(evs...)} {
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// BenchmarkExpire ends 1,000 grants of many in one transaction: all that the
// store does between their end and the first call to a target.
func BenchmarkExpire(b *testing.B) {
	benchBoth(b, func(b *testing.B, d *database) {
		s := d.open(b)
		const batch = 1000
		for b.Loop() {
			b.StopTimer()
			fillStore(b, s, batch)
			b.StartTimer()
			update(b, s, func(tx *store.Tx) error {
				gs, err := tx.Grants(access.GrantQuery{States: []access.GrantState{access.Active}, Limit: batch})
				if err != nil || len(gs) != batch {
					b.Errorf("%d active, %v", len(gs), err)
					return err
				}
				ids := make([]access.GrantID, batch)
				for i, g := range gs {
					ids[i] = g.ID
				}
				hs, err := tx.HoldsBy(ids...)
				if err != nil {
					return err
				}
				var eids []access.EntitlementID
				for _, h := range hs {
					eids = append(eids, h.Entitlement)
				}
				es, err := tx.EntitlementsOf(eids...)
				if err != nil {
					return err
				}
				var evs []access.Event
				for i := range gs {
					g, ev, _, err := gs[i].End(access.ByPerson, "", access.System, tx.Now())
					if err != nil {
						return err
					}
					e, h, eev, _ := es[i].Release(hs[i], 0, tx.Now())
					gs[i], es[i], hs[i], evs = g, e, h, append(evs, ev, eev)
				}
				for _, err := range []error{tx.SaveEntitlements(es...), tx.SaveHolds(hs...), tx.SaveGrants(gs...), tx.Append(evs...)} {
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/batch, "µs/grant")
	})
}

// BenchmarkSequence numbers 1,000 records.
func BenchmarkSequence(b *testing.B) {
	benchBoth(b, func(b *testing.B, d *database) {
		s := d.open(b)
		key := newLogKey(b)
		for b.Loop() {
			b.StopTimer()
			fillStore(b, s, 200) // five records each
			b.StartTimer()
			if _, n, err := s.Sequence(context.Background(), key.signer, key.origin, 1000); n != 1000 || err != nil {
				b.Fatal(n, err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "µs/record")
	})
}

// BenchmarkOpenFull opens a store with 100,000 live grants and asks what the
// broker asks at its start.
func BenchmarkOpenFull(b *testing.B) {
	d := sqliteDatabase(b)
	s, err := store.Open(context.Background(), d.cfg)
	if err != nil {
		b.Fatal(err)
	}
	fillStore(b, s, 100_000)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := store.Open(context.Background(), d.cfg)
		if err != nil {
			b.Fatal(err)
		}
		view(b, s, func(tx *store.Tx) error {
			_, e1 := tx.NextDue()
			_, e2 := tx.DueGrants(1000)
			_, e3 := tx.DueRequests(1000)
			_, e4 := tx.DueWork()
			for _, err := range []error{e1, e2, e3, e4} {
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
