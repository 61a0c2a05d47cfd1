package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"stint/internal/access"
)

// held: grants of somebody by when they end, in pages of which each begins where the one
// before ended, also among those that end together; and the counts of what is not over.
func held(t *testing.T, s Store) {
	var ends []access.Grant
	for i := range 7 {
		b := Active(t, s, func(r *access.Request) { r.Duration = time.Duration(1+(i*5)%4) * 10 * time.Minute })
		ends = append(ends, b.Grant)
	}
	who := ends[0].Principal
	other := NewGrant(t, s, "w1") // of the same principal, and not active yet
	slices.SortFunc(ends, func(a, b access.Grant) int {
		if c := a.ExpiresAt.Compare(b.ExpiresAt); c != 0 {
			return c
		}
		return map[bool]int{true: -1, false: 1}[a.ID < b.ID]
	})
	for _, size := range []int{1, 2, 3, 7, 100} {
		var got []access.GrantID
		q := access.EndQuery{Principal: who, State: access.Active, Limit: size}
		for {
			gs := read(t, s, func(tx Tx) ([]access.Grant, error) { return tx.GrantsByEnd(q) })
			for _, g := range gs {
				got = append(got, g.ID)
			}
			if len(gs) > size {
				t.Fatalf("%d grants on a page of %d", len(gs), size)
			}
			if len(gs) < size {
				break
			}
			last := gs[len(gs)-1]
			q.After = access.EndMark{ExpiresAt: last.ExpiresAt, Grant: last.ID}
		}
		var want []access.GrantID
		for _, g := range ends {
			want = append(want, g.ID)
		}
		diff(t, got, want)
	}
	if gs := read(t, s, func(tx Tx) ([]access.Grant, error) {
		return tx.GrantsByEnd(access.EndQuery{Principal: who, State: access.Active, Limit: 1})
	}); len(gs) == 1 {
		diff(t, gs[0], ends[0])
	}
	if gs := read(t, s, func(tx Tx) ([]access.Grant, error) {
		return tx.GrantsByEnd(access.EndQuery{Principal: "user:nobody", State: access.Active})
	}); len(gs) != 0 {
		t.Errorf("%d grants of nobody", len(gs))
	}

	counts := func(q access.LiveQuery) []access.LiveCount {
		return read(t, s, func(tx Tx) ([]access.LiveCount, error) { return tx.LiveCounts(q) })
	}
	diff(t, counts(access.LiveQuery{Principal: who}), []access.LiveCount{{Principal: who, State: access.Active, N: 7}, {Principal: who, State: access.Provisioning, N: 1}})
	diff(t, counts(access.LiveQuery{}), counts(access.LiveQuery{Principal: who}))
	update(t, s, func(tx Tx) (err error) { other, err = End(tx, other, access.ByHolder); return err })
	diff(t, counts(access.LiveQuery{Principal: who}), []access.LiveCount{{Principal: who, State: access.Active, N: 7}, {Principal: who, State: access.Ending, N: 1}})
	update(t, s, func(tx Tx) (err error) { other, err = Vanish(tx, other); return err })
	update(t, s, func(tx Tx) error {
		g, ev, err := other.Grant.Finish(tx.Now())
		return errors.Join(err, tx.SaveGrants(g), tx.DropSealed(g.ID), tx.Append(ev))
	})
	diff(t, counts(access.LiveQuery{Principal: who}), []access.LiveCount{{Principal: who, State: access.Active, N: 7}})
	if gs := read(t, s, func(tx Tx) ([]access.Grant, error) {
		return tx.GrantsByEnd(access.EndQuery{Principal: who, State: access.Ended})
	}); len(gs) != 0 {
		t.Errorf("%d grants that are over", len(gs))
	}
	if few := counts(access.LiveQuery{Limit: 3}); len(few) != 1 || few[0].N != 3 {
		t.Errorf("of three at most: %+v", few)
	}
	if none := counts(access.LiveQuery{Principal: "user:nobody"}); len(none) != 0 {
		t.Errorf("of nobody: %+v", none)
	}
}
