package broker

import (
	"slices"
	"time"

	"stint/internal/access"
)

// effects collects what one transaction changes beyond the request at hand, so
// that everything is saved in a few batches, and remembers what is to be done
// once it is committed. It belongs to one run of one transaction.
type effects struct {
	events []access.Event
	reqs   ordered[access.RequestID, access.Request]
	grants ordered[access.GrantID, access.Grant]
	ents   ordered[access.EntitlementID, access.Entitlement]
	holds  ordered[holdID, access.Hold]
	drop   []access.GrantID // whose shown credentials are erased

	mine    []access.EntitlementID // leased to owner in this transaction
	owner   string
	changed []access.RequestID
	kick    map[access.Work]bool
	due     time.Time // earliest time at which something of this becomes due
}

type holdID struct {
	g access.GrantID
	e access.EntitlementID
}

// ordered is a map that remembers the order of insertion: rows are always
// written in the order in which they were touched, so that two transactions
// that touch the same rows do not deadlock more than they must.
type ordered[K comparable, V any] struct {
	keys []K
	m    map[K]V
}

func (o *ordered[K, V]) put(k K, v V) {
	if o.m == nil {
		o.m = map[K]V{}
	}
	if _, ok := o.m[k]; !ok {
		o.keys = append(o.keys, k)
	}
	o.m[k] = v
}

func (o *ordered[K, V]) get(k K) (V, bool) { v, ok := o.m[k]; return v, ok }

func (o *ordered[K, V]) values() []V {
	vs := make([]V, 0, len(o.keys))
	for _, k := range o.keys {
		vs = append(vs, o.m[k])
	}
	return vs
}

func (fx *effects) event(evs ...access.Event) { fx.events = append(fx.events, evs...) }

func (fx *effects) request(r access.Request) {
	fx.reqs.put(r.ID, r)
	fx.changed = append(fx.changed, r.ID)
	fx.dueAt(r.DueAt())
}

func (fx *effects) grant(g access.Grant) {
	fx.grants.put(g.ID, g)
	fx.changed = append(fx.changed, g.Request)
	fx.dueAt(g.DueAt())
}

func (fx *effects) entitlement(e access.Entitlement) { fx.ents.put(e.ID, e) }

func (fx *effects) hold(h access.Hold) { fx.holds.put(holdID{h.Grant, h.Entitlement}, h) }

func (fx *effects) dueAt(t time.Time) {
	if !t.IsZero() && (fx.due.IsZero() || t.Before(fx.due)) {
		fx.due = t
	}
}

// commit writes what was collected.
func (fx *effects) commit(tx Tx, b *Broker) error {
	if err := tx.SaveRequests(fx.reqs.values()...); err != nil {
		return err
	}
	if err := tx.SaveGrants(fx.grants.values()...); err != nil {
		return err
	}
	es := fx.ents.values()
	if err := tx.SaveEntitlements(es...); err != nil {
		return err
	}
	if err := tx.SaveHolds(fx.holds.values()...); err != nil {
		return err
	}
	if len(fx.mine) > 0 {
		fx.owner = b.newOwner()
		if err := tx.Lease(fx.owner, tx.Now().Add(leaseFor), fx.mine...); err != nil {
			return err
		}
	}
	if len(fx.drop) > 0 {
		if err := tx.DropSealed(fx.drop...); err != nil {
			return err
		}
	}
	fx.kick = map[access.Work]bool{}
	for _, e := range es {
		if e.Wanted() && !slices.Contains(fx.mine, e.ID) {
			fx.kick[access.Work{Place: e.Target.Connection.Place(), Removals: e.State == access.Removing}] = true
		}
		fx.dueAt(e.NextAt)
	}
	return tx.Append(fx.events...)
}

// after does, once the transaction is committed, what makes it fast: it wakes
// whoever waits, sets the alarm, and starts the work on targets. If the process
// dies before, the rows say the same and the due loop finds them.
func (b *Broker) after(fx effects) {
	b.watch.changed(fx.changed...)
	b.alarm.set(fx.due)
	b.lanes.take(fx)
	for w := range fx.kick {
		b.lanes.kick(w)
	}
	b.seen.count(fx.events)
}
