package storetest

import (
	"slices"
	"testing"
	"time"

	"stint/internal/access"
)

// whatEndsNext: active grants and those being set up, the soonest first, and
// removals also while somebody has them on lease; nothing that is scheduled,
// ending or over.
func whatEndsNext(t *testing.T, s Store) {
	late := Active(t, s, func(r *access.Request) { r.Duration = time.Hour })
	soon := Active(t, s, func(r *access.Request) { r.Duration = 20 * time.Minute })
	setup := NewGrant(t, s, "w")
	over := Active(t, s)
	next := func(limit int) (ids []access.GrantID) {
		for _, g := range read(t, s, func(tx Tx) ([]access.Grant, error) { return tx.EndingNext(limit) }) {
			ids = append(ids, g.ID)
		}
		return ids
	}
	removals := func() []access.Entitlement {
		return read(t, s, func(tx Tx) ([]access.Entitlement, error) { return tx.Removals(10) })
	}
	if got := removals(); len(got) != 0 {
		t.Errorf("removals before any: %v", got)
	}
	update(t, s, func(tx Tx) (err error) { over, err = End(tx, over, access.ByHolder); return err })
	if got, want := next(10), []access.GrantID{setup.Grant.ID, soon.Grant.ID, late.Grant.ID}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := next(1); len(got) != 1 || got[0] != setup.Grant.ID {
		t.Errorf("the next one: %v", got)
	}
	for _, leased := range []bool{false, true} {
		if leased {
			update(t, s, func(tx Tx) error { return tx.Lease("w2", tx.Now().Add(time.Minute), over.Entitlements[0].ID) })
		}
		if got := removals(); len(got) != 1 || got[0].ID != over.Entitlements[0].ID {
			t.Errorf("removals (leased: %v): %v", leased, got)
		}
	}
	update(t, s, func(tx Tx) (err error) { over, err = Vanish(tx, over); return err })
	if got := removals(); len(got) != 0 {
		t.Errorf("removals after all are gone: %v", got)
	}
}
