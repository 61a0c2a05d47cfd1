package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
)

// Number reads a counter that is kept as a setting.
func Number(tx Tx, name string) (int64, error) {
	b, err := tx.Setting(name)
	if len(b) == 0 {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(b)), err
}

// SetNumber writes it.
func SetNumber(tx Tx, name string, n int64) error {
	return tx.SaveSetting(name, binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// countersLoseNothing: read, add one, write, by many at once.
func countersLoseNothing(t *testing.T, s Store) {
	const workers, rounds = 8, 15
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				if err := s.Update(context.Background(), func(tx Tx) error {
					n, err := Number(tx, "counter")
					if err != nil {
						return err
					}
					return SetNumber(tx, "counter", n+1)
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := read(t, s, func(tx Tx) (int64, error) { return Number(tx, "counter") }); n != workers*rounds {
		t.Errorf("counted %d, want %d", n, workers*rounds)
	}
}

// noWriteSkew: two may each switch one light off, as long as the other is
// on. Snapshots alone would let both.
func noWriteSkew(t *testing.T, s Store) {
	for round := range 10 {
		a, b := fmt.Sprint("a", round), fmt.Sprint("b", round)
		update(t, s, func(tx Tx) error { return errors.Join(SetNumber(tx, a, 1), SetNumber(tx, b, 1)) })
		var wg sync.WaitGroup
		for _, pair := range [][2]string{{a, b}, {b, a}} {
			wg.Go(func() {
				if err := s.Update(context.Background(), func(tx Tx) error {
					other, err := Number(tx, pair[1])
					if err != nil || other == 0 {
						return err
					}
					return SetNumber(tx, pair[0], 0)
				}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		view(t, s, func(tx Tx) error {
			x, e1 := Number(tx, a)
			y, e2 := Number(tx, b)
			if x+y != 1 {
				t.Errorf("round %d: %d lights are on, want 1", round, x+y)
			}
			return errors.Join(e1, e2)
		})
	}
}

// transfersKeepTheSum: every view, at any moment, sees the same total.
func transfersKeepTheSum(t *testing.T, s Store) {
	const accounts, each = 5, 100
	name := func(i int) string { return fmt.Sprint("account", i) }
	update(t, s, func(tx Tx) error {
		for i := range accounts {
			if err := SetNumber(tx, name(i), each); err != nil {
				return err
			}
		}
		return nil
	})
	sum := func(tx Tx) (int64, error) {
		total := int64(0)
		for i := range accounts {
			n, err := Number(tx, name(i))
			if err != nil {
				return 0, err
			}
			total += n
		}
		return total, nil
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				from, to := rand.IntN(accounts), rand.IntN(accounts)
				if err := s.Update(context.Background(), func(tx Tx) error {
					x, err := Number(tx, name(from))
					if err != nil || x < 7 || from == to {
						return err
					}
					y, err := Number(tx, name(to))
					return errors.Join(err, SetNumber(tx, name(from), x-7), SetNumber(tx, name(to), y+7))
				}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				if total := read(t, s, sum); total != accounts*each {
					t.Errorf("a view saw %d, want %d", total, accounts*each)
				}
			}
		})
	}
	wg.Wait()
}

// oneOfManyMakesIt: many want the same privilege; one intends it, the others
// find it there.
func oneOfManyMakesIt(t *testing.T, s Store) {
	var mu sync.Mutex
	made, found := 0, 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			was := false
			if err := s.Update(context.Background(), func(tx Tx) error {
				e := access.Entitlement{ID: access.NewEntitlementID(tx.Now().UnixMilli(), entropy()), Version: 1, State: access.Intended,
					Target: TargetNamed("orders-db"), Key: "group:mira:orders_owner", Mechanism: access.Member, CreatedAt: tx.Now(), NextAt: tx.Now(), ExpiresAt: tx.Now().Add(time.Hour)}
				_, err := tx.LiveEntitlement(e.Target.Connection.Place(), e.Key)
				if was = err == nil; was {
					return nil
				}
				if !errors.Is(err, access.NotFound) {
					return err
				}
				return tx.SaveEntitlements(e)
			}); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if was {
				found++
			} else {
				made++
			}
		})
	}
	wg.Wait()
	if made != 1 || found != 7 {
		t.Errorf("%d made it and %d found it, want 1 and 7", made, found)
	}
}

func leases(t *testing.T, s Store) {
	b := NewGrant(t, s, "")
	work := access.Work{Place: b.Entitlements[0].Target.Connection.Place()}
	claim := func(owner string, hold time.Duration) []access.EntitlementID {
		var ids []access.EntitlementID
		update(t, s, func(tx Tx) error {
			es, err := tx.Claim(work, owner, tx.Now().Add(hold), 10)
			ids = nil
			for _, e := range es {
				ids = append(ids, e.ID)
			}
			return err
		})
		return ids
	}
	due := func() []access.Work { return read(t, s, Tx.DueWork) }
	mine := []access.EntitlementID{b.Entitlements[0].ID}
	if w := due(); !slices.Equal(w, []access.Work{work}) {
		t.Errorf("due work %v", w)
	}
	if got := claim("w1", time.Hour); !slices.Equal(got, mine) {
		t.Errorf("claimed %v, want %v", got, mine)
	}
	if got := claim("w2", time.Hour); len(got) != 0 {
		t.Errorf("claimed what another has: %v", got)
	}
	if w := due(); len(w) != 0 {
		t.Errorf("due work under a lease: %v", w)
	}
	if next := read(t, s, Tx.NextDue); next.Before(storeNow(t, s).Add(30 * time.Second)) {
		t.Errorf("next due %v; there is only the grant's set-up and the lease", next)
	}
	wantKind(t, s.Update(context.Background(), func(tx Tx) error { return tx.Lease("w2", tx.Now().Add(time.Hour), mine...) }), access.Conflict)
	// A save by somebody else, like a share, leaves the lease where it is.
	b.Entitlements[0].LastError = "x"
	update(t, s, func(tx Tx) error { return tx.SaveEntitlements(b.Entitlements[0]) })
	leased := func(owner string) int {
		return len(read(t, s, func(tx Tx) ([]access.Entitlement, error) { return tx.Leased(owner, mine...) }))
	}
	if leased("w1") != 1 || leased("w2") != 0 {
		t.Errorf("leased: %d and %d", leased("w1"), leased("w2"))
	}
	update(t, s, func(tx Tx) error { return tx.Unlease("w2", mine...) }) // not his
	if leased("w1") != 1 {
		t.Error("another took the lease away")
	}
	update(t, s, func(tx Tx) error { return tx.Unlease("w1", mine...) })
	if got := claim("w2", -time.Second); len(got) != 0 { // a lease that has run out already
		t.Errorf("claimed with a lease in the past: %v", got)
	}
	if got := claim("w1", time.Hour); !slices.Equal(got, mine) {
		t.Errorf("the lease that ran out was not taken over: %v", got)
	}
	if leased("w2") != 0 {
		t.Error("a lease that ran out still counts")
	}
	// One that ran out is still its owner's until somebody takes it, and can be renewed.
	claimed := func(owner string) int {
		return len(read(t, s, func(tx Tx) ([]access.Entitlement, error) { return tx.Claimed(owner, mine...) }))
	}
	update(t, s, func(tx Tx) error { return tx.CutLeases(tx.Now().Add(-time.Millisecond), mine...) })
	if leased("w1") != 0 || claimed("w1") != 1 || claimed("w2") != 0 {
		t.Errorf("after it ran out: %d leased; claimed %d and %d", leased("w1"), claimed("w1"), claimed("w2"))
	}
	update(t, s, func(tx Tx) error { return tx.RenewLeases("w2", tx.Now().Add(time.Hour)) }) // not his
	if got := claim("w2", time.Millisecond); !slices.Equal(got, mine) {
		t.Errorf("what ran out was not taken over: %v", got)
	}
	update(t, s, func(tx Tx) error { return tx.RenewLeases("w1", tx.Now().Add(time.Hour)) }) // not his any more
	if leased("w1") != 0 || claimed("w1") != 0 || claimed("w2") != 1 {
		t.Errorf("after it was taken: %d leased; claimed %d and %d", leased("w1"), claimed("w1"), claimed("w2"))
	}
	update(t, s, func(tx Tx) error { return tx.Unlease("w2", mine...) })
	if claimed("w2") != 0 {
		t.Error("what was given back still counts")
	}
	if got := claim("w1", time.Hour); !slices.Equal(got, mine) {
		t.Errorf("what was given back was not taken: %v", got)
	}
	update(t, s, func(tx Tx) error { _, err := tx.TakeBack("", "w2"); return err })
	if got := claim("w3", time.Hour); !slices.Equal(got, mine) {
		t.Errorf("after all leases were broken: %v", got)
	}
}

// claimsDoNotOverlap: many workers, each entitlement once.
func claimsDoNotOverlap(t *testing.T, s Store) {
	const n = 60
	update(t, s, func(tx Tx) error {
		var bs []Bundle
		var evs []access.Event
		for range n {
			b, es, err := NewBundle(tx.Now())
			if err != nil {
				return err
			}
			bs, evs = append(bs, b), append(evs, es...)
		}
		return SaveBundle(tx, "", bs, evs)
	})
	var mu sync.Mutex
	owners := map[access.EntitlementID]string{}
	var wg sync.WaitGroup
	for w := range 6 {
		owner := fmt.Sprint("w", w)
		wg.Go(func() {
			for {
				var got []access.Entitlement
				if err := s.Update(context.Background(), func(tx Tx) (err error) {
					got, err = tx.Claim(access.Work{Place: "postgres://db1:5432"}, owner, tx.Now().Add(time.Hour), 7)
					return err
				}); err != nil {
					t.Error(err)
					return
				}
				if len(got) == 0 {
					return
				}
				mu.Lock()
				for _, e := range got {
					if other, taken := owners[e.ID]; taken {
						t.Errorf("%s has %s, which %s has", owner, e.ID, other)
					}
					owners[e.ID] = owner
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(owners) != n {
		t.Errorf("%d claimed, want %d", len(owners), n)
	}
}

func due(t *testing.T, s Store, clock *Clock) {
	start := clock.Now()
	long := Active(t, s)
	short := Active(t, s, func(r *access.Request) { r.Duration = time.Minute })
	var asked access.Request
	update(t, s, func(tx Tx) (err error) { asked, err = Submit(tx, Approve); return err })
	dueNow := func() (ids []access.GrantID) {
		for _, g := range read(t, s, func(tx Tx) ([]access.Grant, error) { return tx.DueGrants(10) }) {
			ids = append(ids, g.ID)
		}
		return ids
	}
	if got := dueNow(); len(got) != 0 {
		t.Errorf("due at once: %v", got)
	}
	if next := read(t, s, Tx.NextDue); !next.Equal(short.Grant.ExpiresAt) {
		t.Errorf("next due %v, want %v", next, short.Grant.ExpiresAt)
	}
	clock.Set(start.Add(2 * time.Hour))
	if got := dueNow(); !slices.Equal(got, []access.GrantID{short.Grant.ID, long.Grant.ID}) {
		t.Errorf("due %v, want the short one, then the long one", got)
	}
	if next := read(t, s, Tx.NextDue); !next.Equal(asked.ExpiresAt) {
		t.Errorf("next due %v, want %v: what is due already is not next", next, asked.ExpiresAt)
	}
	clock.Set(asked.ExpiresAt)
	rs := read(t, s, func(tx Tx) ([]access.Request, error) { return tx.DueRequests(10) })
	if len(rs) != 1 || rs[0].ID != asked.ID {
		t.Errorf("due requests: %v", rs)
	}
}
