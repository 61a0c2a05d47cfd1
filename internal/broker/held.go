package broker

import (
	"cmp"
	"context"
	"slices"

	"stint/internal/access"
)

// Held is what the caller holds at a moment, a window of it, and how much there is in all.
type Held struct {
	Active []View // what ends first first, after the mark that was asked for
	Going  []View // ending, the newest first
	Coming []View // scheduled or being set up, the newest first
	N      map[access.GrantState]int
	// Next is where the next window of the active ones begins; zero after the last.
	Next access.EndMark
}

// countedMost bounds the live grants that are counted.
const countedMost = 100_000

// Held gives so many of the caller's own grants of each kind that are not over.
func (b *Broker) Held(ctx context.Context, c Caller, after access.EndMark, n int) (h Held, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		h = Held{N: map[access.GrantState]int{}}
		if c.Glass != nil { // what a login by one-time codes opened itself, which are few
			return h.opened(tx, c, after, n)
		}
		counts, err := tx.LiveCounts(access.LiveQuery{Principal: c.Principal.ID, Limit: countedMost})
		if err != nil {
			return err
		}
		for _, x := range counts {
			h.N[x.State] = x.N
		}
		if h.N[access.Active] > 0 {
			gs, err := tx.GrantsByEnd(access.EndQuery{Principal: c.Principal.ID, State: access.Active, After: after, Limit: n + 1})
			if err != nil {
				return err
			}
			if len(gs) > n {
				gs = gs[:n]
				h.Next = access.EndMark{ExpiresAt: gs[n-1].ExpiresAt, Grant: gs[n-1].ID}
			}
			if h.Active, err = grantViews(tx, gs); err != nil {
				return err
			}
		}
		some := func(states ...access.GrantState) ([]View, error) {
			if !slices.ContainsFunc(states, func(s access.GrantState) bool { return h.N[s] > 0 }) {
				return nil, nil
			}
			gs, err := tx.Grants(access.GrantQuery{Principal: c.Principal.ID, States: states, Limit: n})
			if err != nil {
				return nil, err
			}
			return grantViews(tx, gs)
		}
		if h.Going, err = some(access.Ending); err != nil {
			return err
		}
		h.Coming, err = some(access.Scheduled, access.Provisioning)
		return err
	})
	return h, err
}

func (h *Held) opened(tx Tx, c Caller, after access.EndMark, n int) error {
	gs, err := tx.Grants(access.GrantQuery{Principal: c.Principal.ID, States: append([]access.GrantState{access.Ending}, live...), Limit: 1000})
	if err != nil {
		return err
	}
	vs, err := grantViews(tx, gs)
	for _, v := range c.only(vs) {
		h.N[v.Grant.State]++
		switch v.Grant.State {
		case access.Active:
			if m := markOf(v); after.Grant == "" || beyond(m, after) {
				h.Active = append(h.Active, v)
			}
		case access.Ending:
			h.Going = append(h.Going, v)
		default:
			h.Coming = append(h.Coming, v)
		}
	}
	slices.SortFunc(h.Active, func(a, b View) int {
		return cmp.Or(a.Grant.ExpiresAt.Compare(b.Grant.ExpiresAt), cmp.Compare(a.Grant.ID, b.Grant.ID))
	})
	if len(h.Active) > n {
		h.Active, h.Next = h.Active[:n], markOf(h.Active[n-1])
	}
	h.Going, h.Coming = h.Going[:min(n, len(h.Going))], h.Coming[:min(n, len(h.Coming))]
	return err
}

func markOf(v View) access.EndMark {
	return access.EndMark{ExpiresAt: v.Grant.ExpiresAt, Grant: v.Grant.ID}
}

// beyond reports whether a comes after b.
func beyond(a, b access.EndMark) bool {
	c := a.ExpiresAt.Compare(b.ExpiresAt)
	return c > 0 || c == 0 && a.Grant > b.Grant
}
