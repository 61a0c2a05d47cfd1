package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"stint/internal/access"
)

// dueBatch is how many due grants one transaction ends at most, and firstBatch how
// many the first one of a burst does: removal begins while the rest is being
// ended, and a long burst is not cut into many small transactions.
const (
	firstBatch = 250
	dueBatch   = 1000
)

// beginBatch is how many scheduled grants are begun between two looks: a thousand
// shifts that begin at nine hold up nothing that ends a moment later.
const beginBatch = 32

// soonest and latest bound how soon what was due and still is is looked at again.
const (
	soonest = 20 * time.Millisecond
	latest  = 320 * time.Millisecond
)

// batchWithin bounds one transaction of the due loop: a server that vanished
// without a word must not hold it until its connections time out.
const batchWithin = 20 * time.Second

// watchDue does what time asks for: ends grants whose time is up, pursues
// undecided requests, begins scheduled grants, and sends lanes to targets with work.
// Everything is derived from rows, so a restart needs nothing but this loop.
func (b *Broker) watchDue(ctx context.Context) {
	batch := firstBatch
	again := soonest // until what is due and still there is looked at again
	for ctx.Err() == nil {
		b.alarm.clear()
		looked := time.Now()
		d, err := b.lookForDue(ctx, batch)
		if err != nil {
			b.storeTrouble(ctx, "looking for what is due", err)
			continue
		}
		for _, w := range d.work {
			b.lanes.kick(w)
		}
		took := time.Since(looked)
		if b.doDue(ctx, d) {
			batch, again = min(2*batch, dueBatch), soonest
			continue // there may be more
		}
		batch = firstBatch
		if d.left() {
			// It was due and is still: a lane has just been sent to it, or it does
			// not go through. Either way not again at once, and the less often the
			// more there is to look at, and the longer it has been there: what is
			// next due has its own time, and does not wait for this. Only ends that
			// did not go through are tried at once, always.
			if d.ends() {
				again = soonest
			}
			b.alarm.set(d.now.Add(max(again, 10*took)))
			again = min(2*again, latest)
		} else {
			again = soonest
		}
		b.alarm.set(d.next)
		b.alarm.wait(ctx, d.now, looked, b.Backstop)
	}
}

// due is what one look found, a bounded amount.
type due struct {
	grants   []access.Grant
	requests []access.Request
	work     []access.Work
	now      time.Time // the store's
	next     time.Time // when something else is next due
}

// left reports whether anything was due.
func (d due) left() bool { return len(d.grants)+len(d.requests)+len(d.work) > 0 }

// ends reports whether grants were due to end.
func (d due) ends() bool {
	return slices.ContainsFunc(d.grants, func(g access.Grant) bool { return g.State != access.Scheduled })
}

func (b *Broker) lookForDue(ctx context.Context, batch int) (d due, err error) {
	ctx, done := context.WithTimeout(ctx, lookWithin)
	defer done()
	var seen *glance
	whole := false
	now := time.Now()
	err = b.Store.View(ending(ctx, 0), func(tx Tx) (err error) {
		d, seen, whole = due{now: tx.Now()}, nil, false
		if d.grants, err = tx.DueGrants(batch); err != nil {
			return err
		}
		if d.requests, err = tx.DueRequests(dueBatch); err != nil {
			return err
		}
		if d.work, err = tx.DueWork(); err != nil {
			return err
		}
		if d.next, err = tx.NextDue(); err != nil {
			return err
		}
		whole = true
		if !d.left() && b.glances.due(now) {
			seen, err = b.glanceAt(tx, now)
		}
		return err
	})
	switch {
	case err != nil && whole && seen == nil && ctx.Err() == nil: // what is due was read; the loops look for the rest themselves
		b.glances.failed.Store(now.UnixNano())
		err = nil
	case err == nil && seen != nil:
		b.glanced(seen)
	}
	return d, err
}

// doDue does what is due and reports whether it ended anything. What begins, and
// what is only to be forgotten, is done beside it: it waits for its turn at the
// store behind every request of a flood, and ends do not wait with it.
func (b *Broker) doDue(ctx context.Context, d due) bool {
	var over, scheduled []access.GrantID
	for _, g := range d.grants {
		if g.State == access.Scheduled {
			scheduled = append(scheduled, g.ID)
		} else {
			over = append(over, g.ID)
		}
	}
	var requests []access.RequestID
	for _, r := range d.requests {
		requests = append(requests, r.ID)
	}
	if len(requests)+len(scheduled) > 0 && b.beginning.TryLock() {
		b.lanes.wg.Go(func() {
			defer b.beginning.Unlock()
			// What was due by the time of ends is not by that of other changes, while a clock
			// has gone back: it is looked at again later, and not at once for ever.
			did := 0
			inBatches(ctx, b, "pursuing requests", requests, counted(&did, b.pursueRequests))
			for i := 0; i < len(scheduled) && i < beginBatch; i++ { // one by one: each is a decision of its own
				inBatches(ctx, b, "beginning a grant", scheduled[i:i+1], counted(&did, b.beginGrants))
			}
			if did > 0 {
				b.alarm.set(d.now) // there may be more
			}
		})
	}
	return inBatches(ctx, b, "ending grants", over, b.expireGrants) > 0
}

// counted adds up what do did.
func counted[T any](did *int, do func(context.Context, []T) (int, error)) func(context.Context, []T) error {
	return func(ctx context.Context, items []T) error {
		n, err := do(ctx, items)
		if err == nil {
			*did += n
		}
		return err
	}
}

// inBatches does all items in one go. If that fails for a reason that may lie in
// one of them, it halves them, so that one bad row never keeps the others from
// ending. It returns how many were done.
func inBatches[T any](ctx context.Context, b *Broker, doing string, items []T, do func(context.Context, []T) error) int {
	if len(items) == 0 || ctx.Err() != nil {
		return 0
	}
	within, over := context.WithTimeout(dividing(ctx, len(items)), batchWithin)
	err := do(within, items)
	over()
	switch {
	case err == nil:
		return len(items)
	case errors.Is(err, errNotOurs):
		return 0 // another replica is at it, and has it done when we look next
	case len(items) == 1 || errors.Is(err, access.Unavailable):
		b.storeTrouble(ctx, doing, err)
		return 0
	}
	half := len(items) / 2
	return inBatches(ctx, b, doing, items[:half], do) + inBatches(ctx, b, doing, items[half:], do)
}

// errNotOurs is how a transaction says that another replica does the same.
var errNotOurs = access.Fail(access.Pending, "not-ours", "another replica ends what is due")

// yieldFor is for how long the same grant may be left to whoever says to be ending
// what is due. A replica that hangs says so for as long as it hangs, and whoever
// may connect to the database can say so for ever; ends wait for neither.
const yieldFor = 2 * time.Second

// yielded is the grant that was left to another last, and since when. It is used
// by the due loop alone.
type yielded struct {
	grant access.GrantID
	since time.Time // the host's
}

// yields reports whether what begins with this grant, the longest due, is still to
// be left to another.
func (y *yielded) yields(longestDue access.GrantID, now time.Time) bool {
	if y.grant != longestDue {
		*y = yielded{longestDue, now}
	}
	return now.Sub(y.since) < yieldFor
}

// crowdedAfter is how often a batch may lose against others before it is divided:
// one that is about fewer things meets fewer. Undivided, a large one could lose
// for as long as there are small ones, and nothing would end.
const crowdedAfter = 4

var errCrowded = access.Fail(access.Pending, "crowded", "too many changes at once for so many at a time")

type dividingKey struct{}

// dividing marks a batch of n as one that its caller can divide.
func dividing(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, dividingKey{}, n > 1)
}

func divisible(ctx context.Context) bool { is, _ := ctx.Value(dividingKey{}).(bool); return is }

func (b *Broker) expireGrants(ctx context.Context, ids []access.GrantID) error {
	return b.update(ending(ctx, len(ids)), func(tx Tx, fx *effects) error {
		mine, err := tx.MayExpire()
		switch {
		case err != nil:
			return err
		case !mine && b.yielded.yields(ids[0], time.Now()):
			return errNotOurs
		}
		gs, err := tx.GrantsOf(ids...)
		if err != nil {
			return err
		}
		return b.timesUp(tx, fx, gs)
	})
}

// beginGrants begins those whose start has come, and returns how many.
func (b *Broker) beginGrants(ctx context.Context, ids []access.GrantID) (begun int, err error) {
	lost := b.readTicketsOf(ctx, ids)
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		begun = 0
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		gs, err := tx.GrantsOf(ids...)
		if err != nil {
			return err
		}
		for _, g := range gs {
			if g.State == access.Scheduled && !tx.Now().Before(g.StartsAt) {
				switch {
				case lost[g.ID] && !tx.Now().After(g.SetupBy): // not for long
					fx.grant(g.Defer(tx.Now()))
					continue
				case lost[g.ID]:
					err = b.giveUp(tx, fx, g, access.BySetup, access.Fail(access.Unavailable, "ticket-unread", "its ticket could not be read in time"))
				default:
					err = b.begin(tx, fx, g, set)
				}
				if err != nil {
					return err
				}
				begun++
			}
		}
		return nil
	})
	return begun, err
}

// timesUp ends grants whose time is up; what is still being set up says why.
func (b *Broker) timesUp(tx Tx, fx *effects, gs []access.Grant) error {
	var active, setup []access.Grant
	for _, g := range gs {
		if g.State == access.Provisioning {
			setup = append(setup, g)
		} else {
			active = append(active, g)
		}
	}
	if _, err := b.endGrants(tx, fx, active, access.ByTime, "", access.System); err != nil {
		return err
	}
	for _, g := range setup {
		v, err := tx.HoldsBy(g.ID)
		if err != nil {
			return err
		}
		es, err := tx.EntitlementsOf(entitlementIDs(v)...)
		if err != nil {
			return err
		}
		note := "the target was not set up in time"
		for _, e := range es {
			if e.LastError != "" {
				note += ": " + e.LastError
				break
			}
		}
		if _, err := b.endGrants(tx, fx, []access.Grant{g}, access.ByTime, note, access.System); err != nil {
			return err
		}
	}
	return nil
}
