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
		gs, es, err := b.watched(ctx)
		if err != nil {
			b.storeTrouble(ctx, "looking for watched grants", err)
			return
		}
		for _, part := range byConnection(es) {
			b.lanes.wg.Go(func() { b.lookAt(ctx, part, gs) })
		}
	})
}

// watched reads the grants to watch, by what they hold, and that.
func (b *Broker) watched(ctx context.Context) (gs map[access.EntitlementID][]access.Grant, held []access.Entitlement, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		gs, held = nil, nil
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
			if gs == nil {
				gs = map[access.EntitlementID][]access.Grant{}
			}
			for _, h := range hs {
				gs[h.Entitlement] = append(gs[h.Entitlement], byID[h.Grant])
			}
			for _, e := range es {
				if e.State == access.Present {
					held = append(held, e)
				}
			}
			if len(page) < q.Limit {
				return nil
			}
			q.Before = page[len(page)-1].ID
		}
	})
	return gs, held, err
}

// lookAt reads the sessions under entitlements of one connection back and ends
// what is over. A target that does not answer ends nothing: time will.
func (b *Broker) lookAt(ctx context.Context, es []access.Entitlement, gs map[access.EntitlementID][]access.Grant) {
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

	err = b.update(ctx, func(tx Tx, fx *effects) error {
		over, active := map[access.GrantID]string{}, map[access.GrantID]time.Time{}
		var ids []access.GrantID
		for i, e := range es {
			o := seen[i]
			if o.Presence != connector.Present || o.Sessions < 0 {
				continue
			}
			for _, g := range gs[e.ID] {
				last := o.LastActive
				if last.IsZero() || last.After(tx.Now()) { // not known, or by another clock
					last = tx.Now()
				}
				switch said := g.Left(o.Sessions, o.LastActive, tx.Now()); {
				case said != "":
					over[g.ID] = said
				case o.Sessions > 0 && g.WorthNoting(last):
					active[g.ID] = last
				default:
					continue
				}
				ids = append(ids, g.ID)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		now, err := tx.GrantsOf(ids...)
		if err != nil {
			return err
		}
		for _, g := range now {
			if g.State != access.Active {
				continue
			}
			if said := over[g.ID]; said != "" {
				if _, err := b.endGrants(tx, fx, []access.Grant{g}, access.ByHolder, said, access.System); err != nil {
					return err
				}
			} else {
				fx.grant(g.Seen(active[g.ID]))
			}
		}
		return nil
	})
	if err != nil {
		b.storeTrouble(ctx, "recording sessions", err)
	}
}
