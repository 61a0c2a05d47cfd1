package broker

import (
	"context"
	"errors"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// provisionDue takes up what is due to be made at a place and reports whether
// it found any. It returns once everything it took up is done.
func (b *Broker) provisionDue(ctx context.Context, w access.Work, x *lane) bool {
	var es []access.Entitlement
	var unsure error
	owner := b.newOwner()
	if q := b.quarantine.Load(); q != nil && q.Kind != "" {
		return false // nothing is made in quarantine
	}
	err := b.Store.Update(ctx, func(tx Tx) (err error) {
		now := tx.Now()
		unsure = tx.Certain()
		if es, err = tx.Claim(w, owner, now.Add(leaseFor), perPlace); err != nil {
			return err
		}
		for i := range es {
			es[i] = es[i].Calling(now.Add(callWithin + callSlack))
		}
		return tx.SaveEntitlements(es...) // the deadline is on record before the call
	})
	if err != nil {
		b.storeTrouble(ctx, "claiming work", err)
		back, done := outlive(ctx, leaseFor)
		defer done()
		b.giveBack(back, owner)
		return false
	}
	for _, e := range es {
		x.slots <- struct{}{}
		b.lanes.wg.Go(func() {
			defer func() { <-x.slots }()
			if unsure != nil && e.State == access.Intended { // what is made anew; what is renewed goes on
				b.provisionFailed(ctx, owner, e, &connector.Error{Outcome: connector.NotDone, Message: public(unsure), Cause: unsure})
				return
			}
			b.provision(ctx, owner, e, nil)
		})
	}
	for range perPlace { // wait for all: their leases are ours
		x.slots <- struct{}{}
	}
	for range perPlace {
		<-x.slots
	}
	return len(es) > 0
}

// provision makes one entitlement, which owner holds on lease and whose
// call deadline is on record, and confirms it. holders are its grants where the
// caller knows them; otherwise they are read.
func (b *Broker) provision(ctx context.Context, owner string, e access.Entitlement, holders []access.Grant) {
	// A shutdown waits for calls in flight and records what became of them.
	ctx, done := outlive(onBehalf(withWork(ctx, string(e.ID)), e.Person), callWithin+2*leaseFor)
	defer done()
	call, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	defer b.whileAlive(owner, cancel)()
	leave, ok := b.lanes.making.enter(call, e.Target.Connection.Place())
	if !ok {
		b.provisionFailed(ctx, owner, e, &connector.Error{Outcome: connector.NotDone, Message: "too many calls are waiting for targets that do not answer"})
		return
	}
	made, err := b.makeIt(call, owner, e)
	leave(answered(err))
	if err != nil {
		b.provisionFailed(ctx, owner, e, err)
		return
	}
	b.provisioned(ctx, owner, e, made, holders)
}

// made is the outcome of a provisioning that was read back.
type made struct {
	receipt connector.Receipt
	before  *connector.Before // set when it was observed just now
	turn    *turning          // of a vaulted account
}

func (b *Broker) makeIt(ctx context.Context, owner string, e access.Entitlement) (made, error) {
	conn, t, err := b.target(ctx, e.Target.Connection)
	if err != nil {
		return made{}, &connector.Error{Outcome: connector.NotDone, Permanent: !errors.Is(err, access.Unavailable), Message: public(err), Cause: err}
	}
	if err := b.claim(ctx, conn, t); err != nil {
		said := public(err)
		var ce *connector.Error
		if errors.As(err, &ce) { // the target's words, and no error of ours
			said = ce.Message
		}
		return made{}, &connector.Error{Outcome: connector.NotDone, Permanent: errors.Is(err, access.Conflict), Message: said, Cause: err}
	}
	var m made
	if !e.Observed {
		before, err := conn.Observe(ctx, t, b.order(e))
		if err != nil {
			permanent := errors.Is(err, access.Denied) || errors.Is(err, access.NotFound) || errors.Is(err, access.Invalid)
			var ce *connector.Error
			if errors.As(err, &ce) {
				return made{}, ce
			}
			return made{}, &connector.Error{Outcome: connector.NotDone, Permanent: permanent, Message: public(err), Cause: err}
		}
		if e, err = b.observed(ctx, owner, e, before); err != nil {
			return made{}, &connector.Error{Outcome: connector.NotDone, Message: "the state before could not be recorded", Cause: err}
		}
		m.before = &before
	}
	if e.Existing {
		return m, nil
	}
	o := b.order(e)
	if o.Proofs, err = b.proofs(ctx, conn, e); err != nil {
		return made{}, &connector.Error{Outcome: connector.NotDone, Message: "what shows that it was approved could not be read", Cause: err}
	}
	if m.turn, err = b.lend(ctx, owner, e, &o, o.Renew == connector.Rotate); err != nil {
		return made{}, err
	}
	if err := b.vouched(owner); err != nil { // the last look before the call is sent
		return made{}, err
	}
	m.receipt, err = conn.Provision(ctx, t, o)
	if errors.Is(err, connector.ErrStale) {
		if m.turn, err = b.heal(ctx, owner, e, &o); err != nil {
			return made{}, err
		}
		m.receipt, err = conn.Provision(ctx, t, o)
	}
	if err != nil {
		return made{}, err
	}
	o.Account, o.Creation = m.receipt.Account, m.receipt.Creation
	switch seen := conn.Verify(ctx, t, []connector.Order{o})[0]; {
	case seen.Presence == connector.Present && !seen.Ends.IsZero() && seen.Ends.Before(o.ExpiresAt.Add(-time.Second)):
		return made{}, &connector.Error{Outcome: connector.Unknown, Message: "the target said it was done, and would end it by itself before its time"}
	case seen.Presence == connector.Present:
		return m, nil
	case seen.Presence == connector.Absent:
		return made{}, &connector.Error{Outcome: connector.Unknown, Message: "the target said it was done, and reading back does not find it"}
	default:
		return made{}, &connector.Error{Outcome: connector.Unknown, Message: "it could not be read back", Cause: seen.Err}
	}
}

// observed puts the state before on record, before anything is changed.
func (b *Broker) observed(ctx context.Context, owner string, e access.Entitlement, before connector.Before) (out access.Entitlement, err error) {
	err = b.Store.Update(ctx, func(tx Tx) error {
		mine, err := tx.Leased(owner, e.ID)
		if err != nil {
			return err
		}
		if len(mine) == 0 || mine[0].State == access.Removing {
			return access.Fail(access.Conflict, "not-wanted", "the privilege is no longer wanted")
		}
		var ev access.Event
		out, ev = mine[0].Observe(before.State, before.Existing, tx.Now())
		if err := tx.SaveEntitlements(out); err != nil {
			return err
		}
		return tx.Append(ev)
	})
	return out, err
}

// order is what the connector is told about an entitlement.
func (b *Broker) order(e access.Entitlement) connector.Order {
	o := connector.Order{
		Entitlement: e.ID, Tag: e.Tag, Mechanism: e.Mechanism, Person: e.Person, Account: e.Account, Rights: e.Rights,
		Options: e.Options, ExpiresAt: e.ExpiresAt, Before: e.Before, Creation: e.Creation,
	}
	switch e.Renew {
	case access.RenewExpiry:
		o.Renew = connector.Extend
	case access.RenewAll:
		o.Renew = connector.Rotate
	}
	if e.Confirmed == 0 {
		o.Renew = connector.Keep // there is nothing to renew yet
	}
	return o
}

// provisioned records a confirmed entitlement and activates the grants that
// have everything they need. If it is not wanted any more, or the lease is
// lost, the outcome is dropped: removal finds what was made by its tag.
func (b *Broker) provisioned(ctx context.Context, owner string, e access.Entitlement, m made, holders []access.Grant) {
	sealed, err := b.sealFor(m.receipt, e, holders)
	if err != nil {
		b.provisionFailed(ctx, owner, e, &connector.Error{Outcome: connector.Unknown, Permanent: true, Message: "the credential could not be sealed to the requesting device", Cause: err})
		return
	}
	err = b.insist(ctx, "recording a provisioning", func(tx Tx, fx *effects) error {
		mine, err := tx.Leased(owner, e.ID)
		if err != nil || len(mine) == 0 {
			return err
		}
		if err := tx.Unlease(owner, e.ID); err != nil {
			return err
		}
		now, cur := tx.Now(), mine[0]
		if cur.State == access.Removing {
			if m.receipt.Creation != "" {
				cur.Account, cur.Creation = m.receipt.Account, m.receipt.Creation
			}
			fx.entitlement(cur.Settle())
			return nil
		}
		if no := tx.Certain(); no != nil && cur.State == access.Intended {
			fx.entitlement(cur.Retry(public(no), now)) // it is made again, or removed when the set-up's time is up
			return b.changedBy(tx, fx, cur.ID)
		}
		// A failover may have taken the record of the state before back, after we had
		// read it. Without it the removal would believe that nothing was ever done.
		// Where it was on record when the work was taken up, the lease proves that it
		// still is: the two are lost together or not at all.
		if m.before != nil && !cur.Observed {
			var seen access.Event
			cur, seen = cur.Observe(m.before.State, m.before.Existing, now)
			fx.entitlement(cur)
			fx.event(seen)
		}
		cur, ev, err := cur.Confirm(e.Rev, m.receipt.Account, m.receipt.Creation, now)
		if err != nil {
			return err
		}
		fx.entitlement(cur)
		fx.event(ev)
		if err := b.lent(tx, fx, m.turn, cur.ID, m.receipt.Turned); err != nil {
			return err
		}
		return b.arrived(tx, fx, cur, m.receipt, sealed)
	})
	if err != nil {
		b.storeTrouble(ctx, "recording a provisioning", err) // the lease lapses and the work is done again; it is idempotent
	}
}

// arrived gives holders their credential, activates the grants that now have
// all they need, and settles those who left a shared account.
func (b *Broker) arrived(tx Tx, fx *effects, e access.Entitlement, r connector.Receipt, sealed map[access.GrantID][]byte) error {
	hs, err := tx.HoldsOf(e.ID)
	if err != nil {
		return err
	}
	var out []access.Sealed
	for _, h := range hs {
		if !h.ReleasedAt.IsZero() {
			if settled, ok := h.Settle(e); ok && !h.Settled {
				fx.hold(settled)
				if err := b.finishIfSettled(tx, fx, h.Grant); err != nil {
					return err
				}
			}
			continue
		}
		g, err := tx.Grant(h.Grant)
		if err != nil {
			return err
		}
		if !r.Credential.Empty() && !g.Over() {
			blob, ok := sealed[g.ID]
			if !ok { // came after we looked
				if blob, err = b.sealCredential(g, e.ID, r.Credential); err != nil {
					// One device that nothing can be sealed to is no reason to keep the
					// credential from the others.
					if _, err := b.endGrants(tx, fx, []access.Grant{g}, access.BySetup, "the credential could not be sealed to the device", access.System); err != nil {
						return err
					}
					continue
				}
			}
			out = append(out, access.Sealed{Grant: g.ID, Entitlement: e.ID, Resource: e.Target.Resource, Rev: e.Confirmed, Blob: blob, At: tx.Now()})
		}
		if g.State == access.Provisioning {
			var all []access.Hold
			if g.Permissions.Mechanism == access.Account && len(g.Targets) == 1 {
				all = []access.Hold{h} // it has no other
			}
			if err := b.activateIfReady(tx, fx, g, e, all...); err != nil {
				return err
			}
		}
	}
	return tx.SaveSealed(out...)
}

// activateIfReady activates a grant that has everything it needs. hs are its
// holds where the caller knows them all; otherwise they are read.
func (b *Broker) activateIfReady(tx Tx, fx *effects, g access.Grant, e access.Entitlement, hs ...access.Hold) error {
	if tx.Certain() != nil {
		return nil // the due loop ends it as failed, unless something else brings us here again
	}
	es := []access.Entitlement{e}
	if len(hs) == 0 {
		var err error
		if hs, err = tx.HoldsBy(g.ID); err != nil {
			return err
		}
		if es, err = tx.EntitlementsOf(entitlementIDs(hs)...); err != nil {
			return err
		}
	}
	for _, h := range hs {
		ready := false
		for _, x := range es {
			if newer, ok := fx.ents.get(x.ID); ok {
				x = newer
			}
			ready = ready || x.ID == h.Entitlement && h.Ready(x)
		}
		if !ready {
			return nil
		}
	}
	g2, ev, err := g.Activate(tx.Now())
	if err != nil { // too late: the due loop ends it as failed
		return nil
	}
	fx.grant(g2)
	fx.event(ev)
	return nil
}

// sealCredential encrypts a credential to the device of its grant's holder or, where the
// role's sessions go through a gateway, for this installation: its holder never gets it.
func (b *Broker) sealCredential(g access.Grant, id access.EntitlementID, credential access.Secret) ([]byte, error) {
	if throughGateway(g.Permissions) {
		return b.Vault.Seal(brokeredPurpose, brokeredPlace(g.ID, id), credential.Reveal())
	}
	return b.SealTo(g.SealKey, sealInfo(g.ID), credential.Reveal())
}

// sealFor encrypts a credential for the holders known so far,
// outside the transaction, because it is slow.
func (b *Broker) sealFor(r connector.Receipt, e access.Entitlement, holders []access.Grant) (map[access.GrantID][]byte, error) {
	sealed := map[access.GrantID][]byte{}
	if r.Credential.Empty() {
		return sealed, nil
	}
	for _, g := range holders {
		blob, err := b.sealCredential(g, e.ID, r.Credential)
		if err != nil {
			return nil, err
		}
		sealed[g.ID] = blob
	}
	return sealed, nil
}

// sealInfo binds a credential's ciphertext to its grant. Clients have the same
// text (api.CredentialInfo).
func sealInfo(id access.GrantID) string { return "stint credential " + string(id) }

// provisionFailed records what went wrong. What cannot succeed fails the grants
// that wait for it; everything else is tried again until their deadline.
func (b *Broker) provisionFailed(ctx context.Context, owner string, e access.Entitlement, cause error) {
	ce := &connector.Error{Message: "the target could not be set up", Cause: cause}
	errors.As(cause, &ce)
	b.Log.Warn("provisioning failed", "entitlement", e.ID, "resource", e.Target.Resource, "outcome", ce.Outcome.String(), "permanent", ce.Permanent, "error", cause)
	b.seen.provisionError(e.Target.Connection.Type)
	said := ce.Message
	if ce.Next != "" {
		said += " (" + ce.Next + ")"
	}
	err := b.insist(ctx, "recording a failed provisioning", func(tx Tx, fx *effects) error {
		mine, err := tx.Leased(owner, e.ID)
		if err != nil || len(mine) == 0 {
			return err
		}
		if err := tx.Unlease(owner, e.ID); err != nil {
			return err
		}
		cur := mine[0]
		if ce.Outcome == connector.NotDone {
			cur = cur.Settle()
		} else {
			cur = cur.LandsBy(tx.Now().Add(callSlack)) // the call is over: what it sent was sent before now
		}
		if cur.State != access.Removing {
			cur = cur.Retry(said, tx.Now()).AwaitLost()
		}
		fx.entitlement(cur)
		if ce.Permanent && cur.State != access.Removing {
			if err := b.failWaiting(tx, fx, cur, said); err != nil {
				return err
			}
		}
		return b.changedBy(tx, fx, cur.ID)
	})
	if err != nil {
		b.storeTrouble(ctx, "recording a failed provisioning", err)
	}
}

// failWaiting ends the grants that wait for an entitlement which cannot be made.
func (b *Broker) failWaiting(tx Tx, fx *effects, e access.Entitlement, said string) error {
	hs, err := tx.HoldsOf(e.ID)
	if err != nil {
		return err
	}
	var waiting []access.Grant
	for _, h := range hs {
		if h.ReleasedAt.IsZero() {
			g, err := tx.Grant(h.Grant)
			if err != nil {
				return err
			}
			if g.State == access.Provisioning {
				waiting = append(waiting, g)
			}
		}
	}
	_, err = b.endGrants(tx, fx, waiting, access.BySetup, said, access.System)
	return err
}

// changedBy notes the requests whose view an entitlement's change concerns.
func (b *Broker) changedBy(tx Tx, fx *effects, ids ...access.EntitlementID) error {
	hs, err := tx.HoldsOf(ids...)
	if err != nil {
		return err
	}
	for _, h := range hs {
		g, err := tx.Grant(h.Grant)
		if err != nil {
			return err
		}
		fx.changed = append(fx.changed, g.Request)
	}
	return nil
}

// answered reports whether the target answered at all; a call that ran into its
// deadline or never got through marks the target as silent.
func answered(err error) bool {
	return err == nil || !errors.Is(err, context.DeadlineExceeded)
}

func (b *Broker) storeTrouble(ctx context.Context, doing string, err error) {
	if ctx.Err() == nil {
		b.Log.Error("the store did not answer", "doing", doing, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}
