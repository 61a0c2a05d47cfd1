package broker

import (
	"context"
	"time"

	"stint/internal/access"
)

// dueBatch is how many due grants one transaction ends.
const dueBatch = 1000

// backstop is how long the due loop sleeps at most: other replicas' changes are
// found by looking.
const backstop = time.Second

// watchDue does what time asks for: ends grants whose time is up, times out
// requests, begins scheduled grants, and sends lanes to targets with work.
// Everything is derived from rows, so a restart needs nothing but this loop.
func (b *Broker) watchDue(ctx context.Context) {
	for ctx.Err() == nil {
		b.alarm.clear()
		more, now, next, err := b.tick(ctx)
		switch {
		case err != nil:
			b.storeTrouble(ctx, "looking for what is due", err)
			continue
		case more:
			continue
		}
		b.alarm.set(next)
		b.alarm.wait(ctx, now, backstop)
	}
}

// tick does what is due now, a bounded amount, and reports whether there may be
// more, the store's time and when something is next due.
func (b *Broker) tick(ctx context.Context) (more bool, now, next time.Time, err error) {
	var gs []access.Grant
	var rs []access.Request
	var work []access.Work
	err = b.Store.View(ctx, func(tx Tx) (err error) {
		now = tx.Now()
		if gs, err = tx.DueGrants(dueBatch); err != nil {
			return err
		}
		if rs, err = tx.DueRequests(dueBatch); err != nil {
			return err
		}
		if work, err = tx.DueWork(); err != nil {
			return err
		}
		next, err = tx.NextDue()
		return err
	})
	if err != nil {
		return false, now, next, err
	}
	for _, w := range work {
		b.lanes.kick(w)
	}
	if len(gs) > 0 {
		if err := b.expireGrants(ctx); err != nil {
			return false, now, next, err
		}
	}
	if len(rs) > 0 {
		if err := b.expireRequests(ctx); err != nil {
			return false, now, next, err
		}
	}
	return len(gs) > 0 || len(rs) > 0, now, later(next, work, now), nil
}

// later keeps the loop from spinning on work that lanes are doing already: what
// was due and was handed to a lane comes back as NextDue until it is leased.
func later(next time.Time, work []access.Work, now time.Time) time.Time {
	if len(work) > 0 && !next.After(now) {
		return now.Add(20 * time.Millisecond)
	}
	return next
}

func (b *Broker) expireGrants(ctx context.Context) error {
	var fx effects
	err := b.Store.Update(ctx, func(tx Tx) error {
		fx = effects{}
		gs, err := tx.DueGrants(dueBatch)
		if err != nil {
			return err
		}
		set, err := b.documents(tx)
		if err != nil {
			b.Log.Error("the documents do not load; nothing new is granted", "error", err)
			set = b.noDocuments()
		}
		var over []access.Grant
		for _, g := range gs {
			if g.State != access.Scheduled {
				over = append(over, g)
			} else if err := b.begin(tx, &fx, g, set); err != nil {
				return err
			}
		}
		if err := b.timesUp(tx, &fx, over); err != nil {
			return err
		}
		return fx.commit(tx, b)
	})
	if err == nil {
		b.after(fx)
	}
	return err
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

func (b *Broker) expireRequests(ctx context.Context) error {
	var fx effects
	err := b.Store.Update(ctx, func(tx Tx) error {
		fx = effects{}
		rs, err := tx.DueRequests(dueBatch)
		if err != nil {
			return err
		}
		for _, r := range rs {
			r, ev, err := r.TimeOut(tx.Now())
			if err != nil {
				return err
			}
			fx.request(r)
			fx.event(ev)
		}
		return fx.commit(tx, b)
	})
	if err == nil {
		b.after(fx)
	}
	return err
}
