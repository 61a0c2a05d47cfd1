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
		return h.of(tx, []access.PrincipalID{c.Principal.ID}, after, n)
	})
	return h, err
}

// HeldBy gives so many of each kind of what somebody holds, a user with the services and
// agents that they answer for; administrators and auditors.
func (b *Broker) HeldBy(ctx context.Context, c Caller, id access.PrincipalID, after access.EndMark, n int) (h Held, err error) {
	if err := c.governs(); err != nil {
		return h, err
	}
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		h = Held{N: map[access.GrantState]int{}}
		p, err := tx.Principal(id)
		if err != nil {
			return err
		}
		ids := []access.PrincipalID{p.ID}
		if p.ID.Kind() == access.User {
			more, err := answersFor(tx, p)
			if err != nil {
				return err
			}
			for _, q := range more {
				if q.Person == p.Person { // what a vendor holds is that person's own
					ids = append(ids, q.ID)
				}
			}
		}
		return h.of(tx, ids, after, n)
	})
	return h, err
}

// of fills in what principals hold together. Each is asked for by itself, by its index, as
// far as a window can reach; those that hold nothing cost a count.
func (h *Held) of(tx Tx, ids []access.PrincipalID, after access.EndMark, n int) error {
	var active, going, coming []access.Grant
	for _, id := range ids {
		counts, err := tx.LiveCounts(access.LiveQuery{Principal: id, Limit: countedMost})
		if err != nil {
			return err
		}
		has := map[access.GrantState]int{}
		for _, x := range counts {
			has[x.State] = x.N
			h.N[x.State] += x.N
		}
		if has[access.Active] > 0 {
			gs, err := tx.GrantsByEnd(access.EndQuery{Principal: id, State: access.Active, After: after, Limit: n + 1})
			if err != nil {
				return err
			}
			active = append(active, gs...)
		}
		some := func(into []access.Grant, states ...access.GrantState) ([]access.Grant, error) {
			if !slices.ContainsFunc(states, func(s access.GrantState) bool { return has[s] > 0 }) {
				return into, nil
			}
			gs, err := tx.Grants(access.GrantQuery{Principal: id, States: states, Limit: n})
			return append(into, gs...), err
		}
		if going, err = some(going, access.Ending); err != nil {
			return err
		}
		if coming, err = some(coming, access.Scheduled, access.Provisioning); err != nil {
			return err
		}
	}
	slices.SortFunc(active, func(a, b access.Grant) int { return ofGrant(a).compare(ofGrant(b)) })
	if len(active) > n {
		active, h.Next = active[:n], access.EndMark(ofGrant(active[n-1]))
	}
	newest := func(gs []access.Grant) []access.Grant {
		slices.SortFunc(gs, func(a, b access.Grant) int { return cmp.Compare(b.ID, a.ID) })
		return gs[:min(n, len(gs))]
	}
	var err error
	if h.Active, err = grantViews(tx, active); err != nil {
		return err
	}
	if h.Going, err = grantViews(tx, newest(going)); err != nil {
		return err
	}
	h.Coming, err = grantViews(tx, newest(coming))
	return err
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
			if after.Grant == "" || ofGrant(*v.Grant).compare(endMark(after)) > 0 {
				h.Active = append(h.Active, v)
			}
		case access.Ending:
			h.Going = append(h.Going, v)
		default:
			h.Coming = append(h.Coming, v)
		}
	}
	slices.SortFunc(h.Active, func(a, b View) int {
		return ofGrant(*a.Grant).compare(ofGrant(*b.Grant))
	})
	if len(h.Active) > n {
		h.Active, h.Next = h.Active[:n], access.EndMark(ofGrant(*h.Active[n-1].Grant))
	}
	h.Going, h.Coming = h.Going[:min(n, len(h.Going))], h.Coming[:min(n, len(h.Coming))]
	return err
}

// endMark is where a grant stands among those that end sooner and later.
type endMark access.EndMark

func ofGrant(g access.Grant) endMark { return endMark{ExpiresAt: g.ExpiresAt, Grant: g.ID} }

func (a endMark) compare(b endMark) int {
	return cmp.Or(a.ExpiresAt.Compare(b.ExpiresAt), cmp.Compare(a.Grant, b.Grant))
}
