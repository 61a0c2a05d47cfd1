package broker

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// lookAtSessions is how often the sessions of grants that end on logout or idle
// are looked at.
const lookAtSessions = time.Second

// watchSessions ends grants whose role ends them on logout or idle.
func (b *Broker) watchSessions(ctx context.Context) {
	b.glances.unless(ctx, lookAtSessions, func(g *glance) bool { return !g.watched }, func() {
		list, err := b.watched(ctx)
		if err != nil {
			b.storeTrouble(ctx, "looking for watched grants", err)
			return
		}
		for _, part := range byConnection(list.held) {
			b.lanes.wg.Go(func() { b.lookAt(ctx, part, list) })
		}
	})
}

// watchlist is what was held at one moment by grants that end on logout or idle.
type watchlist struct {
	at   time.Time // the store's
	held []access.Entitlement
	by   map[access.EntitlementID][]access.Grant
}

// watched reads the grants to watch and what they hold.
func (b *Broker) watched(ctx context.Context) (list watchlist, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		list = watchlist{at: tx.Now()}
		q := access.GrantQuery{Watched: true, States: []access.GrantState{access.Active}, Limit: dueBatch}
		for {
			page, err := tx.Grants(q)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				return nil // as nearly always
			}
			var ids []access.GrantID
			byID := map[access.GrantID]access.Grant{}
			for _, g := range page {
				ids, byID[g.ID] = append(ids, g.ID), g
			}
			hs, err := tx.HoldsBy(ids...)
			if err != nil {
				return err
			}
			es, err := tx.EntitlementsOf(entitlementIDs(hs)...)
			if err != nil {
				return err
			}
			if list.by == nil {
				list.by = map[access.EntitlementID][]access.Grant{}
			}
			for _, h := range hs {
				list.by[h.Entitlement] = append(list.by[h.Entitlement], byID[h.Grant])
			}
			for _, e := range es {
				if e.State == access.Present {
					list.held = append(list.held, e)
				}
			}
			if len(page) < q.Limit {
				return nil
			}
			q.Before = page[len(page)-1].ID
		}
	})
	return list, err
}

// use is what the sessions of watched grants come to.
type use struct {
	grants []access.GrantID
	over   map[access.GrantID]string    // why it ends
	active map[access.GrantID]time.Time // when it was last used
}

// use judges by the sessions that were seen under some of what is held.
func (l watchlist) use(es []access.Entitlement, seen []connector.Observation, now time.Time) use {
	u := use{over: map[access.GrantID]string{}, active: map[access.GrantID]time.Time{}}
	for i, e := range es {
		o := seen[i]
		if o.Presence != connector.Present || o.Sessions < 0 {
			continue
		}
		for _, g := range l.by[e.ID] {
			last := o.LastActive
			if last.IsZero() || last.After(now) { // not known, or by another clock
				last = now
			}
			switch said := g.Left(o.Sessions, o.LastActive, now); {
			case said != "":
				u.over[g.ID] = said
			case o.Sessions > 0 && g.WorthNoting(last):
				u.active[g.ID] = last
			default:
				continue
			}
			u.grants = append(u.grants, g.ID)
		}
	}
	return u
}

// lookAt reads the sessions under entitlements of one connection back and ends
// what is over. A target that does not answer ends nothing: time will.
func (b *Broker) lookAt(ctx context.Context, es []access.Entitlement, list watchlist) {
	at := es[0].Target.Connection
	ctx = withWork(ctx, string(at.Place())+" "+at.Credential)
	call, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	conn, t, err := b.target(call, at)
	if err != nil {
		return
	}
	leave, ok := b.lanes.making.enter(call, at.Place())
	if !ok {
		return
	}
	orders := make([]connector.Order, len(es))
	for i, e := range es {
		orders[i] = b.order(e)
	}
	seen := conn.Verify(call, t, orders)
	leave(call.Err() == nil)

	// The time of the list is from before it was looked: an idle end may be seen a look
	// later, and never early.
	if len(list.use(es, seen, list.at).grants) == 0 {
		return // as nearly always: else each second would cost a transaction that writes
	}
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		u := list.use(es, seen, tx.Now())
		if len(u.grants) == 0 {
			return nil
		}
		now, err := tx.GrantsOf(u.grants...)
		if err != nil {
			return err
		}
		for _, g := range now {
			if g.State != access.Active {
				continue
			}
			if said := u.over[g.ID]; said != "" {
				if _, err := b.endGrants(tx, fx, []access.Grant{g}, access.ByHolder, said, access.System); err != nil {
					return err
				}
			} else {
				fx.grant(g.Seen(u.active[g.ID]))
			}
		}
		return nil
	})
	if err != nil {
		b.storeTrouble(ctx, "recording sessions", err)
	}
}
