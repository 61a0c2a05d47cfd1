package broker

import (
	"context"
	"errors"
	"slices"

	"stint/internal/access"
)

// endGrants begins the end of grants, whatever their state: releases what they
// hold, orders the removal of what nobody else holds, and erases the shown
// credentials. Grants that hold nothing are finished at once. It returns the
// grants whose end began now.
func (b *Broker) endGrants(tx Tx, fx *effects, gs []access.Grant, why access.EndReason, note string, actor access.Actor) ([]access.GrantID, error) {
	var ended []access.GrantID
	for _, g := range gs {
		if newer, ok := fx.grants.get(g.ID); ok {
			g = newer
		}
		g, ev, did, err := g.End(why, note, actor, tx.Now())
		if err != nil {
			if errors.Is(err, access.Conflict) {
				continue // over already, or not due any more
			}
			return nil, err
		}
		if !did {
			continue
		}
		fx.event(ev)
		fx.grant(g)
		fx.drop = append(fx.drop, g.ID)
		ended = append(ended, g.ID)
	}
	return ended, b.release(tx, fx, ended)
}

// release takes the holds of grants off.
func (b *Broker) release(tx Tx, fx *effects, ids []access.GrantID) error {
	if len(ids) == 0 {
		return nil
	}
	own, err := tx.HoldsBy(ids...)
	if err != nil {
		return err
	}
	all, err := tx.HoldsOf(entitlementIDs(own)...)
	if err != nil {
		return err
	}
	stay := map[access.EntitlementID]int{}
	for _, h := range all {
		if newer, ok := fx.holds.get(holdID{h.Grant, h.Entitlement}); ok {
			h = newer
		}
		if h.ReleasedAt.IsZero() {
			stay[h.Entitlement]++
		}
	}
	es, err := tx.EntitlementsOf(entitlementIDs(own)...)
	if err != nil {
		return err
	}
	for _, e := range es {
		if _, newer := fx.ents.get(e.ID); !newer {
			fx.entitlement(e)
		}
	}
	waits := map[access.GrantID]bool{} // for something to be removed
	for _, h := range own {
		if newer, ok := fx.holds.get(holdID{h.Grant, h.Entitlement}); ok {
			h = newer
		}
		if !h.ReleasedAt.IsZero() {
			waits[h.Grant] = waits[h.Grant] || !h.Settled
			continue
		}
		stay[h.Entitlement]--
		e, _ := fx.ents.get(h.Entitlement)
		e, h, ev, changed := e.Release(h, stay[h.Entitlement], tx.Now())
		fx.entitlement(e)
		fx.hold(h)
		if changed {
			fx.event(ev)
		}
		waits[h.Grant] = waits[h.Grant] || !h.Settled
	}
	return b.finishIfSettled(tx, fx, slices.DeleteFunc(slices.Clone(ids), func(id access.GrantID) bool { return waits[id] })...)
}

// End gives the caller's own grant back.
func (b *Broker) End(ctx context.Context, c Caller, id, note string) (View, error) {
	var r access.Request
	err := b.update(ending(ctx, 1), func(tx Tx, fx *effects) (err error) {
		r, err = b.find(tx, c, id)
		if err != nil {
			return err
		}
		switch {
		case r.Principal != c.Principal.ID:
			return access.Fail(access.Denied, "not-yours", "only its holder can give a grant back").Try("take it away with: stint revoke --grant " + string(r.ID) + " --why …")
		case r.Grant == "" && r.State == access.RequestPending:
			return access.Fail(access.Conflict, "not-granted", "the request is not decided yet").Try("withdraw it with: stint cancel " + string(r.ID))
		case r.Grant == "":
			return access.Fail(access.Conflict, "not-granted", "the request is "+string(r.State)+"; there is nothing to give back")
		}
		g, err := tx.Grant(r.Grant)
		if err != nil {
			return err
		}
		if g.Over() {
			return access.Fail(access.Conflict, "already-ended", "the grant has ended already").Because(string(g.EndReason))
		}
		_, err = b.endGrants(tx, fx, []access.Grant{g}, access.ByHolder, note, c.Actor)
		return err
	})
	if err != nil {
		return View{}, err
	}
	return b.View(ctx, c, string(r.ID))
}
