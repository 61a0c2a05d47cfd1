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
	every(ctx, lookAtSessions, func() {
		gs, es, err := b.watched(ctx)
		if err != nil {
			b.storeTrouble(ctx, "looking for watched grants", err)
			return
		}
		for place, mine := range es {
			b.lanes.wg.Go(func() { b.lookAt(ctx, place, mine, gs) })
		}
	})
}

// watched reads the grants to watch and what they hold, by place.
func (b *Broker) watched(ctx context.Context) (gs map[access.EntitlementID][]access.Grant, byPlace map[access.Place][]access.Entitlement, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		gs, byPlace = map[access.EntitlementID][]access.Grant{}, map[access.Place][]access.Entitlement{}
		q := access.GrantQuery{Watched: true, States: []access.GrantState{access.Active}, Limit: dueBatch}
		for {
			page, err := tx.Grants(q)
			if err != nil {
				return err
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
			for _, h := range hs {
				gs[h.Entitlement] = append(gs[h.Entitlement], byID[h.Grant])
			}
			for _, e := range es {
				if e.State == access.Present {
					place := e.Target.Connection.Place()
					byPlace[place] = append(byPlace[place], e)
				}
			}
			if len(page) < q.Limit {
				return nil
			}
			q.Before = page[len(page)-1].ID
		}
	})
	return gs, byPlace, err
}

// lookAt reads the sessions at one place back and ends what is over. A target
// that does not answer ends nothing: time will.
func (b *Broker) lookAt(ctx context.Context, place access.Place, es []access.Entitlement, gs map[access.EntitlementID][]access.Grant) {
	call, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	conn, t, err := b.target(call, es[0].Target.Connection)
	if err != nil {
		return
	}
	leave, ok := b.lanes.making.enter(call, place)
	if !ok {
		return
	}
	orders := make([]connector.Order, len(es))
	for i, e := range es {
		orders[i] = b.order(e)
	}
	seen := conn.Verify(call, t, orders)
	leave(call.Err() == nil)

	over := map[access.GrantID]string{}
	var ids []access.GrantID
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		ids = nil
		for i, e := range es {
			o := seen[i]
			if o.Presence != connector.Present || o.Sessions < 0 {
				continue
			}
			for _, g := range gs[e.ID] {
				said := g.Left(o.Sessions, o.LastActive, tx.Now())
				if said != "" {
					over[g.ID] = said
				}
				if said != "" || o.Sessions > 0 && g.SeenAt.IsZero() {
					ids = append(ids, g.ID)
				}
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
				fx.grant(g.Seen(tx.Now()))
			}
		}
		return nil
	})
	if err != nil {
		b.storeTrouble(ctx, "recording sessions", err)
	}
}
