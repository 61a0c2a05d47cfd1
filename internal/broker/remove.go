package broker

import (
	"context"
	"errors"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// removeBatch is how many removals are taken up at a time.
const removeBatch = 1000

// removeDue takes up what is due to be removed at a place, removes it, reads it
// back and records what was found. It reports whether there was any.
func (b *Broker) removeDue(ctx context.Context, w access.Work) bool {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), removeWithin+leaseFor)
	defer done()
	var es []access.Entitlement
	owner := b.newOwner()
	err := b.Store.Update(ctx, func(tx Tx) (err error) {
		es, err = tx.Claim(w, owner, tx.Now().Add(removeWithin+callSlack), removeBatch)
		return err
	})
	if err != nil {
		b.storeTrouble(ctx, "claiming removals", err)
		b.giveBack(ctx, owner)
		return false
	}
	if len(es) == 0 {
		return false
	}
	rs := make([]removal, len(es))
	for i, v := range b.takeAway(ctx, es) {
		rs[i] = removal{es[i], v}
		if !v.gone {
			b.Log.Warn("removal is not confirmed", "entitlement", es[i].ID, "resource", es[i].Target.Resource, "account", es[i].Account, "attempt", es[i].Attempts+1, "said", v.said)
		}
	}
	// What cannot be recorded keeps its lease until that lapses, and is removed
	// once more; that is harmless.
	inBatches(ctx, b, "recording removals", rs, func(ctx context.Context, rs []removal) error {
		return b.recordRemovals(ctx, owner, rs)
	})
	return true
}

// removeWithin bounds one batch of removals.
const removeWithin = 20 * time.Second

// verdict is what is known of one entitlement after an attempt to remove it.
type verdict struct {
	gone    bool
	said    string // why not; public
	foreign bool   // what is there is not what we made: left without login, for a person to look at
}

// takeAway carries out the removal of a batch at one place. It asks for no
// claim: revocation is never refused, and what it removes is pinned by tag and
// creation identity.
func (b *Broker) takeAway(ctx context.Context, es []access.Entitlement) []verdict {
	vs := make([]verdict, len(es))
	var touch []int // those for which something is to be done on the target
	for i, e := range es {
		if e.Existing || !e.Observed {
			vs[i].gone = true // was there before us, or nothing was done yet
		} else {
			touch = append(touch, i)
		}
	}
	// Orders keep the connection they were made with; a batch is one connection.
	for len(touch) > 0 {
		conn := es[touch[0]].Target.Connection
		var now, rest []int
		for _, i := range touch {
			if es[i].Target.Connection.Equal(conn) {
				now = append(now, i)
			} else {
				rest = append(rest, i)
			}
		}
		touch = rest
		b.takeAwayFrom(ctx, conn, es, now, vs)
	}
	return vs
}

func (b *Broker) takeAwayFrom(ctx context.Context, at access.Connection, es []access.Entitlement, which []int, vs []verdict) {
	fail := func(said string) {
		for _, i := range which {
			vs[i].said = said
		}
	}
	call, cancel := context.WithTimeout(ctx, removeWithin-callSlack)
	defer cancel()
	conn, t, err := b.target(call, at)
	if err != nil {
		fail(public(err))
		return
	}
	leave, ok := b.lanes.removing.enter(call, at.Place())
	if !ok {
		fail("too many calls are waiting for targets that do not answer")
		return
	}
	orders := make([]connector.Order, len(which))
	for n, i := range which {
		orders[n] = b.order(es[i])
	}
	var seen []connector.Observation
	steps := [][]connector.Result{
		conn.Revoke(call, t, orders),
		conn.TerminateSessions(call, t, orders),
		conn.Remove(call, t, orders),
	}
	seen = conn.Verify(call, t, orders)
	silent := false
	for n, i := range which {
		v := verdict{gone: seen[n].Gone()}
		for _, results := range steps {
			v.foreign = v.foreign || results[n].Foreign
			if err := results[n].Err; err != nil && v.said == "" {
				v.said = err.Error()
			}
		}
		if !v.gone && v.said == "" {
			switch {
			case seen[n].Err != nil:
				v.said = seen[n].Err.Error()
			case seen[n].Presence == connector.Absent:
				v.said = "sessions are still open"
			default:
				v.said = "reading back still finds it"
			}
		}
		silent = silent || errors.Is(seen[n].Err, context.DeadlineExceeded)
		vs[i] = v
	}
	leave(!silent)
}

// removal is one entitlement of a batch with its verdict.
type removal struct {
	entitlement access.Entitlement
	verdict
}

// recordRemovals writes verdicts down in one transaction, settles the holds of
// what is gone and finishes the grants that have nothing left.
func (b *Broker) recordRemovals(ctx context.Context, owner string, rs []removal) error {
	ids := make([]access.EntitlementID, len(rs))
	byID := make(map[access.EntitlementID]verdict, len(rs))
	for i, r := range rs {
		ids[i], byID[r.entitlement.ID] = r.entitlement.ID, r.verdict
	}
	return b.insist(ctx, "recording removals", func(tx Tx, fx *effects) error {
		mine, err := tx.Leased(owner, ids...)
		if err != nil {
			return err
		}
		var gone []access.EntitlementID
		for _, e := range mine {
			v := byID[e.ID]
			next, ev, err := e.Vanish(tx.Now())
			switch {
			case !v.gone:
				next = e.Retry(v.said, tx.Now())
				if next.Attempts == troubleAfter || v.foreign && next.Attempts == 1 {
					fx.event(b.trouble(tx.Now(), next, v))
				}
			case errors.Is(err, access.Pending): // absent now, but a call may still land: look again then
				next = e
				next.NextAt = e.CallUntil
			case err != nil:
				return err
			default:
				fx.event(ev)
				gone = append(gone, e.ID)
			}
			fx.entitlement(next)
		}
		if err := tx.Unlease(owner, ids...); err != nil {
			return err
		}
		return b.settle(tx, fx, gone)
	})
}

// troubleAfter is the failed attempt at which a removal is put into the log as
// trouble: the first few may be a restart of the target.
const troubleAfter = 3

// trouble reports a removal that does not succeed.
func (b *Broker) trouble(now time.Time, e access.Entitlement, v verdict) access.Event {
	kind := RemovalTrouble
	if v.foreign {
		kind = ForeignFound
	}
	return b.alarmEvent(kind, now, access.System, "entitlement", string(e.ID), "resource", string(e.Target.Resource), "account", e.Account, "said", v.said)
}

// settle marks the holds on what is gone as settled, and finishes their grants.
func (b *Broker) settle(tx Tx, fx *effects, gone []access.EntitlementID) error {
	if len(gone) == 0 {
		return nil
	}
	hs, err := tx.HoldsOf(gone...)
	if err != nil {
		return err
	}
	var grants []access.GrantID
	for _, h := range hs {
		e, _ := fx.ents.get(h.Entitlement)
		if settled, ok := h.Settle(e); ok && !h.Settled {
			fx.hold(settled)
			grants = append(grants, h.Grant)
		}
	}
	return b.finishIfSettled(tx, fx, grants...)
}

// finishIfSettled finishes those of the ending grants whose holds are all settled.
func (b *Broker) finishIfSettled(tx Tx, fx *effects, ids ...access.GrantID) error {
	if len(ids) == 0 {
		return nil
	}
	gs, err := tx.GrantsOf(ids...)
	if err != nil {
		return err
	}
	hs, err := tx.HoldsBy(ids...)
	if err != nil {
		return err
	}
	open := map[access.GrantID]bool{}
	for _, h := range hs {
		if newer, ok := fx.holds.get(holdID{h.Grant, h.Entitlement}); ok {
			h = newer
		}
		open[h.Grant] = open[h.Grant] || !h.Settled
	}
	for _, g := range gs {
		if newer, ok := fx.grants.get(g.ID); ok {
			g = newer
		}
		if g.State != access.Ending || open[g.ID] {
			continue
		}
		g, ev, err := g.Finish(tx.Now())
		if err != nil {
			return err
		}
		fx.grant(g)
		fx.event(ev)
	}
	return nil
}
