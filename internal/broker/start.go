package broker

import (
	"errors"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/policy"
)

// carryOut turns an approved request into its grant, or into the longer end of
// the grant that it extends. Whoever has to say yes has said so; policy is asked
// once more, under the documents of this moment. Where later is true the request
// was decided some time ago, and what stands in the way fails the grant instead
// of refusing the call.
func (b *Broker) carryOut(tx Tx, fx *effects, r access.Request, set *policy.Set, later bool) (access.Request, error) {
	if r.Extends != "" {
		return b.lengthen(tx, fx, r, set, later)
	}
	r, g, ev, err := r.NewGrant(access.NewGrantID(tx.Now().UnixMilli(), b.entropy()), tx.Now())
	if err != nil {
		return r, err
	}
	// It is made as what it is from its first version on: a grant that has begun never
	// goes back, and what shortens it makes a second one.
	if g.State == access.Provisioning {
		busy, err := b.beingRemoved(tx, g)
		if err != nil {
			return r, err
		}
		if busy {
			g = g.Defer(tx.Now())
			ev.Facts["state"] = string(g.State) // it waits, and the record says so
		}
	}
	fx.request(r)
	fx.grant(g)
	fx.event(ev)
	if err := b.watchTicket(tx, set, r, g); err != nil {
		return r, err
	}
	if g, err = b.bounded(tx, fx, g); err != nil {
		return r, err
	}
	if g.State == access.Scheduled { // decided again when it begins
		return r, nil
	}
	if later {
		lasting, no := b.stillAllowed(tx, fx, set, g, policy.AtActivation)
		if no = errors.Join(b.freshStill(tx, set, g.Principal, g.Emergency), no); no != nil {
			return r, b.giveUp(tx, fx, g, access.ByPolicy, no)
		}
		g = g.Depends(lasting)
		fx.grant(g)
	}
	err = b.intend(tx, fx, g)
	if err != nil && later {
		return r, b.giveUp(tx, fx, g, access.BySetup, err)
	}
	return r, err
}

// beingRemoved reports whether something that the grant needs is just being
// removed from its place. The whole grant is deferred then: half a grant is none.
func (b *Broker) beingRemoved(tx Tx, g access.Grant) (bool, error) {
	if g.Permissions.Mechanism == access.Account {
		return false, nil // shares nothing with anybody
	}
	for _, e := range g.Plan() {
		have, err := tx.LiveEntitlement(e.Target.Connection.Place(), e.Key)
		if err != nil && !missing(err) {
			return false, err
		}
		if err == nil && have.State == access.Removing {
			return true, nil
		}
	}
	return false, nil
}

// giveUp ends a grant for which nothing was intended yet.
func (b *Broker) giveUp(tx Tx, fx *effects, g access.Grant, why access.EndReason, cause error) error {
	g, ev, _, err := g.End(why, public(cause), access.System, tx.Now())
	if err != nil {
		return err
	}
	fx.event(ev)
	fx.grant(g)
	if g.State != access.Ending {
		return nil
	}
	if g, ev, err = g.Finish(tx.Now()); err != nil {
		return err
	}
	fx.event(ev)
	fx.grant(g)
	return nil
}

// intend records what a provisioning grant needs, shared where it exists.
func (b *Broker) intend(tx Tx, fx *effects, g access.Grant) error {
	now := tx.Now()
	var es []access.Entitlement
	var hs []access.Hold
	var evs []access.Event
	var mine []access.EntitlementID
	for _, e := range g.Plan() {
		if err := registered(tx, e.Target.Connection); err != nil {
			return err
		}
		place := e.Target.Connection.Place()
		if err := vaultedAt(tx, e); err != nil {
			return err
		}
		have, err := access.Entitlement{}, error(access.NotFound)
		if e.Mechanism != access.Account { // whose key holds the new grant's id
			have, err = tx.LiveEntitlement(place, e.Key)
		}
		switch {
		case missing(err):
			id := access.NewEntitlementID(now.UnixMilli(), b.entropy())
			tag := access.Tag(b.Tagger.Tag(b.Installation, string(place), b.Epoch, string(id)))
			e, h, ev := e.Intend(id, tag, b.Epoch, g, now)
			e = e.Calling(now.Add(callWithin + callSlack))
			es, hs, evs, mine = append(es, e), append(hs, h), append(evs, ev), append(mine, id)
		case err != nil:
			return err
		default:
			shared, h, ev, err := have.Share(g, now)
			if err != nil {
				return err
			}
			es, hs, evs = append(es, shared), append(hs, h), append(evs, ev)
		}
	}
	for _, e := range es {
		fx.entitlement(e)
	}
	for _, h := range hs {
		fx.hold(h)
	}
	fx.event(evs...)
	fx.mine = append(fx.mine, mine...)
	return nil
}

// registered refuses what would be made with a login that was deleted: it could not be taken
// away again. It reads the row, so that of an intent and a deletion at the same time the
// store lets only one pass. A login that is yet to be registered is none that was lost.
func registered(tx Tx, at access.Connection) error {
	if at.Credential == "" {
		return nil
	}
	c, err := tx.Credential(at.Credential)
	switch {
	case err == nil && c.Gone():
		return deleted(at)
	case !missing(err):
		return err
	}
	return nil
}

// begin starts a scheduled grant whose time has come. Days may have passed, so
// everything is decided again.
func (b *Broker) begin(tx Tx, fx *effects, g access.Grant, set *policy.Set) error {
	if tx.Certain() != nil && !tx.Now().After(g.SetupBy) { // not now, and not for long
		fx.grant(g.Defer(tx.Now()))
		return nil
	}
	lasting, no := b.stillAllowed(tx, fx, set, g, policy.AtActivation)
	if no = errors.Join(b.open(tx), b.freshStill(tx, set, g.Principal, g.Emergency), no); no != nil {
		return b.giveUp(tx, fx, g, access.ByPolicy, no)
	}
	g = g.Depends(lasting)
	started, ev, err := g.Begin(tx.Now())
	if err != nil {
		return b.giveUp(tx, fx, g, access.BySetup, err)
	}
	busy, err := b.beingRemoved(tx, started)
	switch {
	case err != nil:
		return err
	case busy: // as if it had not begun
		fx.grant(g.Defer(tx.Now()))
		return nil
	}
	fx.grant(started)
	fx.event(ev)
	if err := b.intend(tx, fx, started); err != nil {
		return b.giveUp(tx, fx, started, access.BySetup, err)
	}
	return nil
}

// lengthen carries out an approved extension. One that was decided some time ago
// is decided again, over the whole time that the grant will then have had.
func (b *Broker) lengthen(tx Tx, fx *effects, r access.Request, set *policy.Set, later bool) (access.Request, error) {
	g, err := tx.Grant(r.Extends)
	if err != nil {
		return r, err
	}
	g, r, ev, err := g.Extend(r, tx.Now())
	if err != nil {
		return r, err
	}
	if later {
		whole := g
		whole.Request, whole.Reason, whole.Ticket = r.ID, r.Reason, r.Ticket // those who approved the extension count
		whole.Duration = g.ExpiresAt.Sub(g.ActiveAt)
		more, err := extensionOf(tx, g, r.Duration)
		if err != nil {
			return r, err
		}
		_, no := b.allowedAs(tx, fx, set, whole, policy.AtActivation, more)
		if no = errors.Join(b.freshStill(tx, set, g.Principal, g.Emergency), no); no != nil {
			return r, no
		}
	}
	fx.request(r)
	fx.event(ev)
	fx.grant(g)
	if g, err = b.bounded(tx, fx, g); err != nil {
		return r, err
	}
	return r, b.raise(tx, fx, g)
}

// raise lets the target's own expiry follow a grant's end.
func (b *Broker) raise(tx Tx, fx *effects, g access.Grant) error {
	hs, err := tx.HoldsBy(g.ID)
	if err != nil {
		return err
	}
	es, err := tx.EntitlementsOf(entitlementIDs(hs)...)
	if err != nil {
		return err
	}
	for _, e := range es {
		if e, ev, ok := e.Raise(g, tx.Now()); ok {
			fx.entitlement(e)
			fx.event(ev)
		}
	}
	return nil
}

// stillAllowed decides a grant again: the principal as it is now, the documents
// of this moment, the same targets. It returns why not, or nil and whether that
// depends on conditions that must hold for as long as the grant lives. fx has what
// the transaction has not saved yet.
func (b *Broker) stillAllowed(tx Tx, fx *effects, set *policy.Set, g access.Grant, p policy.Phase) (lasting bool, no error) {
	return b.allowedAs(tx, fx, set, g, p, nil)
}

// allowedAs is stillAllowed; with more, of the grant as an extension would leave it.
func (b *Broker) allowedAs(tx Tx, fx *effects, set *policy.Set, g access.Grant, p policy.Phase, more *policy.Extension) (lasting bool, no error) {
	who, err := tx.Principal(g.Principal)
	if err != nil {
		return false, err
	}
	if err := who.Usable(tx.Now()); err != nil {
		return false, err
	}
	task, err := taskOf(tx, fx, g)
	if err != nil {
		return false, err
	}
	for _, t := range g.Targets {
		ask := policy.Ask{Task: task, Principal: who, Resource: t.Resource, Role: g.Role, Duration: g.Duration, Start: g.StartsAt,
			Reason: g.Reason, Ticket: g.Ticket, Source: g.Source, Emergency: g.Emergency.Is(), Extension: more}
		got, err := set.Resolve(ask)
		switch {
		case err != nil:
			return false, err
		case !got.Target.Connection.Equal(t.Connection) || got.Target.Account != t.Account:
			return false, access.Fail(access.Denied, "target-moved", "the resource "+string(t.Resource)+" is not what was approved any more")
		case !g.Permissions.Within(got.Permissions):
			return false, access.Fail(access.Denied, "role-narrowed", "the role "+string(g.Role)+" allows less than was approved")
		}
		d, err := b.decide(tx, fx, set, ask, p, subject{g.ID, g.Request})
		if err != nil {
			return false, err
		}
		if d.Effect == access.Deny {
			return false, denied(d)
		}
		lasting = lasting || d.Conditional
		if p == policy.AtActivation && d.Effect == access.Approve {
			if err := b.recount(tx, fx, set, g, d); err != nil {
				return false, err
			}
		}
	}
	return lasting, nil
}

// recount checks that those who approved still may, and still suffice.
func (b *Broker) recount(tx Tx, fx *effects, set *policy.Set, g access.Grant, d access.Decision) error {
	r, changed := fx.reqs.get(g.Request)
	if !changed {
		var err error
		if r, err = tx.Request(g.Request); err != nil {
			return err
		}
	}
	voters := map[access.PrincipalID]access.Principal{}
	for _, a := range r.Approvals {
		for _, id := range []access.PrincipalID{a.By, a.For} {
			if id == "" {
				continue
			}
			p, err := tx.Principal(id)
			switch {
			case missing(err): // counts no more
			case err != nil:
				return err
			default:
				voters[id] = set.Knows(p, a.At) // whose shift it was when they voted
			}
		}
	}
	roster, err := rosterOf(tx, r.Approvals)
	if err != nil {
		return err
	}
	return r.Recount(d.Approvals, voters, roster, tx.Now())
}

func denied(d access.Decision) error {
	e := access.Fail(access.Denied, "denied", "policy denies it")
	if len(d.Reasons) > 0 {
		e = e.Because(d.Reasons[0].Text)
	}
	return e
}

// public is the part of an error that users may see.
func public(err error) string {
	var e *access.Error
	if !errors.As(err, &e) || e.Kind == access.Internal {
		return "an internal error; the server's log has the cause"
	}
	if e.Why != "" {
		return e.Message + ": " + e.Why
	}
	return e.Message
}

// Bounds of one call to a target that creates something. A call is given up
// after callWithin; until callSlack later it may still take effect, and a
// read-back of "absent" proves nothing. leaseFor is longer than both, so that
// no other worker starts while the first may still act.
//
// FencedWithin, in callSlack, is for what is between us and the connector's word:
// the way to the target, and, where the sender was taken for dead, the time until
// it knows that and has stopped (life.go). Whoever is Peers must not vouch for
// longer; cmd/stintd holds the two against each other.
const (
	FencedWithin = time.Second

	callWithin = 4 * time.Second
	callSlack  = connector.Late + FencedWithin
	leaseFor   = callWithin + callSlack + time.Second
)
