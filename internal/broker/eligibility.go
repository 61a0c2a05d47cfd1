package broker

import (
	"context"
	"errors"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// recheckEvery is how often grants with lasting conditions are decided again, and
// recheckAllEvery how often all are: what a principal is may have changed by ways
// that tell nobody.
const (
	recheckEvery    = 2 * time.Second
	recheckAllEvery = time.Minute
)

// watchEligibility decides live grants again: those with lasting conditions all
// the time, all of them after a start, once a minute (or four times as long apart as
// it takes), and under each version of the documents, whichever replica made it. It
// can end a grant and can never widen one. What it owes is told by the version that it
// has dealt with, so that a store which is away for a moment loses nothing.
func (b *Broker) watchEligibility(ctx context.Context) {
	dealtWith, at := int64(-1), time.Now()
	pace := recheckAllEvery
	hurry := false // something changed
	for {
		hurry = b.again.Swap(false) || hurry
		if hurry || time.Since(at) >= pace {
			dealtWith = -1
		}
		began := time.Now()
		version, err := b.decideAgain(ctx, dealtWith, !hurry && dealtWith < 0)
		switch {
		case err != nil:
			b.storeTrouble(ctx, "deciding live grants again", err)
		case version != dealtWith: // it was all of them
			dealtWith, at, hurry = version, began, false
			// With a million grants it takes longer than that; it is not to take more
			// than a quarter of the time.
			pace = max(recheckAllEvery, 4*time.Since(began))
		}
		if !b.rested(ctx, dealtWith, at.Add(pace)) {
			return
		}
	}
}

// rested waits for the next look of watchEligibility: recheckEvery, or as long as
// glances say that nothing lasts and nothing changed, but not beyond the time at which
// all are decided again. It reports false when ctx is over.
func (b *Broker) rested(ctx context.Context, dealtWith int64, all time.Time) bool {
	idle := func(g *glance) bool {
		return g != nil && !g.lasting && g.documents.Version == dealtWith && !b.again.Load() && time.Now().Before(all)
	}
	began := time.Now()
	t := time.NewTimer(recheckEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-b.edited:
			return true
		case <-t.C:
		}
		news := b.glances.news()
		if !idle(b.glances.good()) {
			return true
		}
		// It goes on at moments at which it would have looked: loops keep apart.
		if !idle(b.glances.newest.Load()) {
			t.Reset(recheckEvery - time.Since(began)%recheckEvery)
			continue
		}
		t.Reset(time.Until(all))
		select {
		case <-ctx.Done():
			return false
		case <-b.edited:
			return true
		case <-news:
		case <-t.C:
		}
		t.Reset((recheckEvery - time.Since(began)%recheckEvery) % recheckEvery)
	}
}

// Reconsider decides all live grants again, now: what a principal is has changed,
// its groups or its manager, and with it what it or whom it approved for may hold.
// Other replicas are told, and come to it within recheckAllEvery if that is lost.
func (b *Broker) Reconsider() {
	b.PeopleChanged()
	b.again.Store(true)
	b.nudge()
	b.tellAgain()
}

// nudge has the loop look now.
func (b *Broker) nudge() {
	select {
	case b.edited <- struct{}{}:
	default: // a look is on its way
	}
}

// decideAgain decides live grants again: only those with lasting conditions if
// all were decided under the documents of this moment, of which it returns the
// version. With rests it leaves room for others between pages.
func (b *Broker) decideAgain(ctx context.Context, dealtWith int64, rests bool) (version int64, err error) {
	now, err := b.Documents(ctx)
	if err != nil {
		return 0, err
	}
	q := access.GrantQuery{Conditional: now.Version() == dealtWith, Limit: dueBatch,
		States: []access.GrantState{access.Provisioning, access.Active}}
	for {
		began := time.Now()
		var gs []access.Grant
		var differ []access.GrantID
		var lost error
		err := b.Store.View(ctx, func(tx Tx) (err error) {
			differ = nil
			tx = &knowing{Tx: tx, people: map[access.PrincipalID]access.Principal{}}
			set, err := b.documents(tx)
			if err != nil {
				return err
			}
			if gs, err = tx.Grants(q); err != nil {
				return err
			}
			for _, g := range gs {
				if lasting, no := b.stillAllowed(tx, &effects{}, set, g, policy.Alive); no != nil || lasting != g.Conditional {
					differ = append(differ, g.ID)
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		inBatches(ctx, b, "ending what is no longer allowed", differ, func(ctx context.Context, ids []access.GrantID) error {
			err := b.endUnlessAllowed(ctx, ids)
			if errors.Is(err, access.Unavailable) {
				lost = err
			}
			return err
		})
		if lost != nil {
			return 0, lost // all of it again; a grant that fails for a reason of its own waits for the next time
		}
		if len(gs) < q.Limit {
			return now.Version(), nil
		}
		q.Before = gs[len(gs)-1].ID
		// What is done by the page for its own sake, and not because something changed,
		// leaves half of a processor to others.
		if rests && !pause(ctx, time.Since(began)) {
			return 0, ctx.Err()
		}
	}
}

// knowing is a snapshot that reads each principal once: a page of grants has few.
type knowing struct {
	Tx
	people map[access.PrincipalID]access.Principal
}

func (k *knowing) Principal(id access.PrincipalID) (access.Principal, error) {
	if p, ok := k.people[id]; ok {
		return p, nil
	}
	p, err := k.Tx.Principal(id)
	if err == nil {
		k.people[id] = p
	}
	return p, err
}

// endUnlessAllowed ends grants that were found to be no longer allowed, after
// asking once more in the transaction that ends them. Of those that are it notes
// whether that has come to depend on lasting conditions, or does no more.
func (b *Broker) endUnlessAllowed(ctx context.Context, ids []access.GrantID) error {
	return b.update(ending(ctx, len(ids)), func(tx Tx, fx *effects) error {
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		gs, err := tx.GrantsOf(ids...)
		if err != nil {
			return err
		}
		for _, g := range gs {
			lasting, no := b.stillAllowed(tx, fx, set, g, policy.Alive)
			switch {
			case !g.Live():
			case no == nil && lasting != g.Conditional:
				fx.grant(g.Depends(lasting))
			case no == nil:
			case access.KindOf(no) == access.Internal || access.KindOf(no) == access.Unavailable:
				return no // not a verdict
			default:
				if _, err := b.endGrants(tx, fx, []access.Grant{g}, access.ByPolicy, public(no), access.System); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
