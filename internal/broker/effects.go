package broker

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/ahead"
)

// effects collects what one transaction changes beyond the request at hand, so
// that everything is saved in a few batches, and remembers what is to be done
// once it is committed. It belongs to one run of one transaction.
type effects struct {
	events  []access.Event
	reqs    ordered[access.RequestID, access.Request]
	grants  ordered[access.GrantID, access.Grant]
	ents    ordered[access.EntitlementID, access.Entitlement]
	holds   ordered[holdID, access.Hold]
	drop    []access.GrantID // whose shown credentials are erased
	left    []access.Residue // to be found out
	reviews []access.Review
	met     []access.Grant // as they were, where the answer tells of them

	mine    []access.EntitlementID // leased to owner in this transaction
	owner   string
	changed []access.RequestID
	now     time.Time // of the transaction
	kick    map[access.Work]bool
	due     time.Time // earliest time at which something of this becomes due
}

type holdID struct {
	g access.GrantID
	e access.EntitlementID
}

// ordered remembers values by key, each with the versions it went through in
// this transaction, in the order of first insertion: rows are always written in
// the order in which they were touched, and no version is left out.
type ordered[K comparable, V any] struct {
	keys []K
	m    map[K][]V
}

// put remembers v: as the next version of what k names, or in the place of the
// last one.
func (o *ordered[K, V]) put(k K, v V, next bool) {
	if o.m == nil {
		o.m = map[K][]V{}
	}
	vs, known := o.m[k]
	switch {
	case !known:
		o.keys = append(o.keys, k)
		o.m[k] = []V{v}
	case next:
		o.m[k] = append(vs, v)
	default:
		vs[len(vs)-1] = v
	}
}

// get gives the newest version.
func (o *ordered[K, V]) get(k K) (v V, ok bool) {
	vs := o.m[k]
	if len(vs) == 0 {
		return v, false
	}
	return vs[len(vs)-1], true
}

// newest lists the newest version of each.
func (o *ordered[K, V]) newest() []V {
	vs := make([]V, 0, len(o.keys))
	for _, k := range o.keys {
		v, _ := o.get(k)
		vs = append(vs, v)
	}
	return vs
}

// save calls write with first versions, then second ones, and so on.
func (o *ordered[K, V]) save(write func(...V) error) error {
	for i := 0; ; i++ {
		var wave []V
		for _, k := range o.keys {
			if vs := o.m[k]; i < len(vs) {
				wave = append(wave, vs[i])
			}
		}
		if len(wave) == 0 {
			return nil
		}
		if err := write(wave...); err != nil {
			return err
		}
	}
}

func (fx *effects) event(evs ...access.Event) { fx.events = append(fx.events, evs...) }

func (fx *effects) request(r access.Request) {
	old, ok := fx.reqs.get(r.ID)
	fx.reqs.put(r.ID, r, ok && old.Version != r.Version)
	fx.changed = append(fx.changed, r.ID)
	fx.dueAt(r.DueAt())
}

func (fx *effects) grant(g access.Grant) {
	old, ok := fx.grants.get(g.ID)
	fx.grants.put(g.ID, g, ok && old.Version != g.Version)
	fx.changed = append(fx.changed, g.Request)
	fx.dueAt(g.DueAt())
}

func (fx *effects) entitlement(e access.Entitlement) {
	old, ok := fx.ents.get(e.ID)
	fx.ents.put(e.ID, e, ok && old.Version != e.Version)
}

func (fx *effects) hold(h access.Hold) { fx.holds.put(holdID{h.Grant, h.Entitlement}, h, false) }

func (fx *effects) dueAt(t time.Time) {
	if !t.IsZero() && (fx.due.IsZero() || t.Before(fx.due)) {
		fx.due = t
	}
}

// commit writes what was collected.
func (fx *effects) commit(tx Tx, b *Broker) error {
	if err := fx.reqs.save(tx.SaveRequests); err != nil {
		return err
	}
	// A hold needs its grant, and a grant ends only when its holds are settled:
	// new grants go before holds, changes of grants after.
	var young, old ordered[access.GrantID, access.Grant]
	for _, id := range fx.grants.keys {
		for _, g := range fx.grants.m[id] {
			if g.Version == 1 {
				young.put(id, g, true)
			} else {
				old.put(id, g, true)
			}
		}
	}
	if err := young.save(tx.SaveGrants); err != nil {
		return err
	}
	if err := fx.ents.save(tx.SaveEntitlements); err != nil {
		return err
	}
	if err := fx.hurry(tx); err != nil {
		return err
	}
	if err := fx.holds.save(tx.SaveHolds); err != nil {
		return err
	}
	if err := old.save(tx.SaveGrants); err != nil {
		return err
	}
	if len(fx.mine) > 0 {
		fx.owner = b.newOwner()
		if err := tx.Lease(fx.owner, tx.Now().Add(leaseFor), fx.mine...); err != nil {
			return err
		}
	}
	if len(fx.reviews) > 0 {
		if err := tx.SaveReviews(fx.reviews...); err != nil {
			return err
		}
	}
	if len(fx.left) > 0 {
		if err := tx.SaveResidues(fx.left...); err != nil {
			return err
		}
	}
	if len(fx.drop) > 0 {
		if err := tx.DropSealed(fx.drop...); err != nil {
			return err
		}
	}
	fx.now = tx.Now()
	fx.kick = map[access.Work]bool{}
	for _, e := range fx.ents.newest() {
		if slices.Contains(fx.mine, e.ID) {
			fx.dueAt(tx.Now().Add(leaseFor)) // the lease hides it from everybody until then
			continue
		}
		if e.Wanted() {
			fx.kick[access.Work{Place: e.Target.Connection.Place(), Removals: e.State == access.Removing}] = true
		}
		fx.dueAt(e.NextAt)
	}
	return tx.Append(fx.events...)
}

// hurryAfter is how long an ordered removal waits for a worker that is still
// creating: long for one that lives, and short for one that died. What lands
// after that is found when the quarantine of its call is over.
const hurryAfter = time.Second

// hurry cuts the leases on what was ordered to be removed just now.
func (fx *effects) hurry(tx Tx) error {
	var ids []access.EntitlementID
	for _, e := range fx.ents.newest() {
		if e.State == access.Removing && e.RemovingAt.Equal(tx.Now()) {
			ids = append(ids, e.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return tx.CutLeases(tx.Now().Add(hurryAfter), ids...)
}

// update runs one change in one transaction, commits its effects, and does what
// follows.
func (b *Broker) update(ctx context.Context, change func(Tx, *effects) error) error {
	var fx effects
	runs := 0
	err := b.Store.Update(ctx, func(tx Tx) error {
		fx = effects{} // the transaction may run again
		if runs++; runs > crowdedAfter && divisible(ctx) {
			return errCrowded
		}
		if err := change(tx, &fx); err != nil {
			return err
		}
		return fx.commit(tx, b)
	})
	switch {
	case err == nil:
		b.after(fx)
	case storeFailed(err):
		b.ahead.Doubted()
	}
	return err
}

// insist runs a change that records what happened outside, and tries again
// while the store does not answer, until ctx ends: what is not recorded has to
// be found out anew. change must do nothing when it was recorded already.
func (b *Broker) insist(ctx context.Context, doing string, change func(Tx, *effects) error) error {
	for {
		err := b.update(ctx, change)
		if !errors.Is(err, access.Unavailable) || ctx.Err() != nil {
			return err
		}
		b.storeTrouble(ctx, doing, err)
	}
}

// giveBack returns the leases of an owner after a claim whose outcome is not
// known, so that nobody has to wait for them to lapse.
func (b *Broker) giveBack(ctx context.Context, owner string) {
	err := b.insist(ctx, "giving leases back", func(tx Tx, _ *effects) error { return tx.Unlease(owner) })
	if err != nil {
		b.storeTrouble(ctx, "giving leases back", err)
	}
}

// view shows a request as this transaction leaves it.
func (fx *effects) view(tx Tx, r access.Request) View {
	if newer, ok := fx.reqs.get(r.ID); ok {
		r = newer
	}
	v := View{Request: r, Have: r.Have(), Now: tx.Now()}
	if g, ok := fx.grants.get(r.Grant); ok {
		v.Grant, v.Problem = &g, g.SetupError
	}
	return v
}

func removalsFirst(a, b access.Work) int {
	switch {
	case a.Removals == b.Removals:
		return cmp.Compare(a.Place, b.Place)
	case a.Removals:
		return -1
	}
	return 1
}

// after does, once the transaction is committed, what makes it fast: it wakes
// whoever waits, sets the alarm, and starts the work on targets. If the process
// dies before, the rows say the same and the due loop finds them.
func (b *Broker) after(fx effects) {
	b.watch.changed(&fx)
	if b.ahead.Follow(ahead.Commit{Now: fx.now, Entitlements: fx.ents.newest(), Holds: fx.holds.newest(), Grants: fx.grants.newest(), Met: fx.met}) {
		b.pulse.wake()
	}
	b.alarm.set(fx.due)
	b.tell(fx)
	b.lanes.take(fx)
	for _, w := range slices.SortedFunc(maps.Keys(fx.kick), removalsFirst) { // in one order, as everything that starts goroutines
		b.lanes.kick(w)
	}
	b.seen.count(fx.events)
}
