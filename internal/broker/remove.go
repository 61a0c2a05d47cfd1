package broker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// removeBatch is how many removals are taken up at a time.
const removeBatch = 1000

// removeDue takes up what is due to be removed at a place, removes it, reads it
// back and records what was found. It reports whether there was any, and returns
// once nobody has access by it any more: what is left of it, which somebody may
// hold a lock on, goes on by itself and delays no other end at the place.
func (b *Broker) removeDue(ctx context.Context, w access.Work) bool {
	ctx, done := outlive(ending(ctx, 1), removeWithin+leaseFor)
	var es []access.Entitlement
	owner := b.newOwner()
	var lease time.Duration
	asked := time.Now()
	err := b.Store.Update(ctx, func(tx Tx) (err error) {
		lease = b.waits.lease(asked)
		es, err = tx.Claim(w, owner, tx.Now().Add(lease), removeBatch)
		return err
	})
	if err != nil {
		b.storeTrouble(ctx, "claiming removals", err)
		b.giveBack(ctx, owner)
	}
	if err == nil && len(es) > 0 && time.Since(asked) >= lease {
		es = b.stillDue(ctx, es)
	}
	if err != nil || len(es) == 0 {
		done()
		return false
	}
	letGo := b.keepLeases(ctx, owner, lease)
	// What was there before us is left. What a row calls never touched is looked for
	// all the same: a failover can have lost the record of the state before and of
	// the call, and gone is what was read back, never what was concluded.
	var untouched []removal
	var touched []access.Entitlement
	for _, e := range es {
		if e.Existing {
			untouched = append(untouched, removal{e, verdict{gone: true}})
		} else {
			touched = append(touched, e)
		}
	}
	// What cannot be recorded keeps its lease until that lapses, and is removed
	// once more; that is harmless. What was not taken by anybody since is recorded
	// even so: nobody else has called the target meanwhile.
	record := func(rs []removal) {
		ctx := ctx
		if len(rs) > 0 {
			ctx = withWork(ctx, string(rs[0].entitlement.ID))
		}
		for _, r := range rs {
			if !r.gone {
				b.Log.Warn("removal is not confirmed", "entitlement", r.entitlement.ID, "resource", r.entitlement.Target.Resource,
					"account", r.entitlement.Account, "attempt", r.entitlement.Attempts+1, "said", r.said)
			}
		}
		inBatches(ctx, b, "recording removals", rs, func(ctx context.Context, rs []removal) error {
			return b.recordRemovals(ctx, owner, rs)
		})
	}
	var cut, over sync.WaitGroup
	for _, part := range byConnection(touched) { // at once: one that does not answer keeps none of the others
		cut.Add(1)
		over.Go(func() {
			isCut := sync.OnceFunc(cut.Done)
			defer isCut()
			record(b.takeBack(ctx, part, b.turn(ctx, owner, part), isCut))
		})
	}
	record(untouched)
	b.lanes.wg.Go(func() {
		defer done()
		over.Wait()
		letGo()
	})
	cut.Wait()
	return true
}

// stillDue leaves out what need not be removed any more, of a claim that was heard of when
// its lease was over: a failover may have taken back why it was to be removed, and somebody
// hold it again. Where the store does not answer all of it stays: what is over has to go.
func (b *Broker) stillDue(ctx context.Context, es []access.Entitlement) []access.Entitlement {
	ctx, done := context.WithTimeout(ctx, lookWithin)
	defer done()
	ids := make([]access.EntitlementID, len(es))
	for i, e := range es {
		ids[i] = e.ID
	}
	held := map[access.EntitlementID]bool{}
	err := b.Store.View(ctx, func(tx Tx) error {
		clear(held)
		now, err := tx.EntitlementsOf(ids...)
		for _, e := range now {
			held[e.ID] = e.State != access.Removing
		}
		return err
	})
	if err != nil {
		return es
	}
	return slices.DeleteFunc(es, func(e access.Entitlement) bool { return held[e.ID] })
}

// byConnection parts entitlements by the connection that they were made with:
// orders keep it, and a batch is of one.
func byConnection(es []access.Entitlement) (parts [][]access.Entitlement) {
next:
	for _, e := range es {
		for i, part := range parts {
			if part[0].Target.Connection.Equal(e.Target.Connection) {
				parts[i] = append(part, e)
				continue next
			}
		}
		parts = append(parts, []access.Entitlement{e})
	}
	return parts
}

// removeWithin bounds one batch of removals.
const removeWithin = 20 * time.Second

// removeLease is for how long a removal is leased at least, and longestLease at
// most. The lease is renewed while the work goes on, so that what a replica was
// removing when it died is taken up this soon by another, or by itself after a
// restart. Where the store lets what ends access wait, a renewal waits as well, and
// leases last three times that long: in a storm they would lapse otherwise, all
// would be removed again, and each time the store would have more to do.
const (
	removeLease  = 2 * time.Second
	longestLease = 30 * time.Second
)

// waits remembers how long the store let what ends access wait lately.
type waits struct {
	mu      sync.Mutex
	longest time.Duration
	since   time.Time // when that was
}

// waitsFor is for how long a wait counts.
const waitsFor = 10 * time.Second

// lease is how long a lease shall last that is taken now, in a transaction that
// was asked for at that moment.
func (w *waits) lease(asked time.Time) time.Duration {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if waited := now.Sub(asked); waited >= w.longest || now.Sub(w.since) > waitsFor {
		w.longest, w.since = waited, now
	}
	return min(max(removeLease, 3*w.longest), longestLease)
}

// keepLeases renews the leases of an owner until they are let go. A renewal that
// fails does no harm: two that remove the same thing do what one does.
func (b *Broker) keepLeases(ctx context.Context, owner string, lease time.Duration) (letGo func()) {
	ctx, cancel := context.WithCancel(withWork(ctx, owner))
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTimer(lease / 2)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if ctx.Err() != nil {
					return // let go meanwhile; nothing is left to renew
				}
				asked := time.Now()
				err := b.Store.Update(ctx, func(tx Tx) error {
					lease = b.waits.lease(asked)
					return tx.RenewLeases(owner, tx.Now().Add(lease))
				})
				next := lease / 2
				if err != nil && ctx.Err() == nil {
					b.Log.Warn("a lease was not renewed; another may do the same work", "error", err)
					next = lease / 6 // while there is still some of it
				}
				tick.Reset(next)
			}
		}
	}()
	return func() { cancel(); <-over }
}

// verdict is what is known of one entitlement after an attempt to remove it.
type verdict struct {
	gone    bool
	said    string // why not; public
	foreign bool   // what is there is not what we made: left without login, for a person to look at
	// read is when reading back began, by the host: a call that could still land then is
	// not over because the verdict waited for the store. Zero where nothing was read.
	read time.Time
	// turn is what a vaulted account was to get, and turned that it has it.
	turn   *turning
	turned bool
	// shut says that its target takes no secrets by orders and none opens it, and never that
	// the target takes none and does not say more.
	shut, never bool
}

// takeAway carries out the removal of a batch of one connection, and calls isCut
// when the credentials are useless and the sessions were ended. It asks for no
// claim: what it removes is pinned by tag and creation identity, and a claim that
// somebody else made is no reason to let access go on.
func (b *Broker) takeAway(ctx context.Context, es []access.Entitlement, isCut func()) []removal {
	return b.takeBack(ctx, es, nil, isCut)
}

// takeBack is takeAway, with the secrets that vaulted accounts get next. Without one an
// account is left without login.
func (b *Broker) takeBack(ctx context.Context, es []access.Entitlement, turns map[access.EntitlementID]turning, isCut func()) []removal {
	ctx = withWork(ctx, string(es[0].ID))
	rs := make([]removal, len(es))
	for i, e := range es {
		rs[i].entitlement = e
	}
	fail := func(said string) []removal {
		for i := range rs {
			rs[i].said = said
		}
		return rs
	}
	call, cancel := context.WithTimeout(ctx, removeWithin-callSlack)
	defer cancel()
	at := es[0].Target.Connection
	conn, t, err := b.endingTarget(call, at)
	if err != nil {
		for i := range rs {
			rs[i].gone = neverReached(es[i], err)
		}
		return fail(public(err))
	}
	leave, ok := b.lanes.removing.enter(call, at.Place())
	if !ok {
		return fail("too many calls are waiting for targets that do not answer")
	}
	orders := make([]connector.Order, len(es))
	for i, e := range es {
		orders[i] = b.order(e)
		orders[i].Secret, orders[i].Next = turns[e.ID].secret, turns[e.ID].next
	}
	steps := [][]connector.Result{conn.Revoke(call, t, orders), conn.TerminateSessions(call, t, orders)}
	isCut()
	steps = append(steps, conn.Remove(call, t, orders))
	read := time.Now()
	seen := conn.Verify(call, t, orders)
	silent := false
	for i := range rs {
		v := verdict{gone: seen[i].Gone() || neverMade(es[i], seen[i])}
		for _, results := range steps {
			v.foreign = v.foreign || results[i].Foreign
			if err := results[i].Err; err != nil && v.said == "" {
				v.said = err.Error()
			}
		}
		if !v.gone && v.said == "" {
			switch {
			case seen[i].Err != nil:
				v.said = seen[i].Err.Error()
			case seen[i].Presence == connector.Absent:
				v.said = "sessions are still open"
			default:
				v.said = "reading back still finds it"
			}
		}
		silent = silent || errors.Is(seen[i].Err, context.DeadlineExceeded)
		if turn, ok := turns[es[i].ID]; ok {
			v.turn, v.turned = &turn, seen[i].Turned
			v.shut, v.never = v.gone && connector.Says(seen[i].Err, connector.ErrShut), connector.Says(seen[i].Err, connector.ErrNever)
			if v.shut || v.never {
				v.said = seen[i].Err.Error()
			}
			if turn.err != nil && v.gone { // it is locked, and gets its next secret when the vault can keep one
				v.gone, v.said = false, public(turn.err)
			}
		}
		v.read = read
		rs[i].verdict = v
	}
	leave(!silent)
	return rs
}

// neverMade reports whether an order was never carried out because the connector
// does not read it as one: what Verify says of it, Provision says, too. Only where
// no row says otherwise: not of what a sweep found.
func neverMade(e access.Entitlement, seen connector.Observation) bool {
	var refused *access.Error
	return !e.Observed && errors.As(seen.Err, &refused) && (refused.Kind == access.Invalid || refused.Kind == access.Denied)
}

// neverReached reports whether an order was never carried out because there never was
// a way to its target. The row of a registered login is never taken away, so that none
// is there now means that none was there for any call. A connector may be one that another
// replica has, and a login one that was deleted: then no call may be on record either.
func neverReached(e access.Entitlement, err error) bool {
	var refused *access.Error
	if !errors.As(err, &refused) || e.Confirmed > 0 || e.Observed && (e.Mechanism != access.Account || e.Creation != "") {
		return false
	}
	return refused.Code == "no-credential" || (refused.Code == "no-connector" || refused.Code == "credential-deleted") && e.CallUntil.IsZero()
}

// asOf is when the verdict was true, by the store's time.
func (v verdict) asOf(now time.Time) time.Time {
	if v.read.IsZero() {
		return now
	}
	return now.Add(-max(0, time.Since(v.read)))
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
	return b.insist(ending(ctx, len(ids)), "recording removals", func(tx Tx, fx *effects) error {
		mine, err := tx.Claimed(owner, ids...)
		if err != nil {
			return err
		}
		var gone, stay []access.EntitlementID
		for _, e := range mine {
			v := byID[e.ID]
			next, ev, err := e.Vanish(v.asOf(tx.Now()), tx.Now())
			switch {
			case !v.gone:
				next = e.Retry(v.said, tx.Now())
				if v.never {
					if err := b.never(tx, v); err != nil {
						return err
					}
				}
				// What is not ours is told when it is first seen, however often other things
				// failed before: nothing but a person ends that.
				if next.Attempts == troubleAfter || v.foreign && e.LastError != v.said {
					fx.event(b.trouble(tx.Now(), next, v))
				}
			case errors.Is(err, access.Pending): // absent now, but a call may still land: look again then
				next.NextAt = e.CallUntil
			case err != nil:
				return err
			default:
				fx.event(ev)
				gone = append(gone, e.ID)
				if err := b.returned(tx, fx, v); err != nil {
					return err
				}
			}
			fx.entitlement(next)
			if next.State != access.Gone { // whose lease ends with it
				stay = append(stay, e.ID)
			}
		}
		if len(stay) > 0 {
			if err := tx.Unlease(owner, stay...); err != nil {
				return err
			}
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
		b.lookForResidue(fx, g)
	}
	return nil
}
