package broker

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// recheckEvery is how often grants with lasting conditions are decided again.
const recheckEvery = 2 * time.Second

// askEligibility asks for the live grants that q selects to be decided again
// soon. What it loses in a crash is made up for at the next start, which asks
// for all.
func (b *Broker) askEligibility(q access.GrantQuery) {
	select {
	case b.recheck <- q:
	default: // so much was asked for that everything is looked at anyway
		select {
		case b.recheckAll <- struct{}{}:
		default:
		}
	}
}

// watchEligibility decides live grants again: all of them after a start and
// after a change of the documents, those with lasting conditions all the time.
// It can end a grant and can never widen one.
func (b *Broker) watchEligibility(ctx context.Context) {
	t := time.NewTicker(recheckEvery)
	defer t.Stop()
	b.decideAgain(ctx, access.GrantQuery{})
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-b.recheck:
			b.decideAgain(ctx, q)
		case <-b.recheckAll:
			b.decideAgain(ctx, access.GrantQuery{})
		case <-t.C:
			b.decideAgain(ctx, access.GrantQuery{Conditional: true})
		}
	}
}

// decideAgain pages through live grants and ends those no longer allowed.
func (b *Broker) decideAgain(ctx context.Context, q access.GrantQuery) {
	q.States, q.Limit = []access.GrantState{access.Provisioning, access.Active}, dueBatch
	for ctx.Err() == nil {
		var gs []access.Grant
		var no []access.GrantID
		err := b.Store.View(ctx, func(tx Tx) (err error) {
			set, err := b.documents(tx)
			if err != nil {
				return err
			}
			no = nil
			if q.Conditional && !set.HasAlive() {
				gs = nil
				return nil
			}
			if gs, err = tx.Grants(q); err != nil {
				return err
			}
			for _, g := range gs {
				if b.stillAllowed(tx, &effects{}, set, g, policy.Alive) != nil {
					no = append(no, g.ID)
				}
			}
			return nil
		})
		if err != nil {
			b.storeTrouble(ctx, "deciding live grants again", err)
			return
		}
		if len(no) > 0 {
			b.endUnlessAllowed(ctx, no)
		}
		if len(gs) < q.Limit {
			return
		}
		q.Before = gs[len(gs)-1].ID
	}
}

// endUnlessAllowed ends grants that were found to be no longer allowed, after
// asking once more in the transaction that ends them.
func (b *Broker) endUnlessAllowed(ctx context.Context, ids []access.GrantID) {
	err := b.update(ctx, func(tx Tx, fx *effects) error {
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		gs, err := tx.GrantsOf(ids...)
		if err != nil {
			return err
		}
		for _, g := range gs {
			no := b.stillAllowed(tx, fx, set, g, policy.Alive)
			if no == nil {
				continue
			}
			if access.KindOf(no) == access.Internal || access.KindOf(no) == access.Unavailable {
				return no // not a verdict
			}
			if _, err := b.endGrants(tx, fx, []access.Grant{g}, access.ByPolicy, public(no), access.System); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.storeTrouble(ctx, "ending what is no longer allowed", err)
	}
}
