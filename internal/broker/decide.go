package broker

import (
	"context"

	"stint/internal/access"
	"stint/internal/approvers"
	"stint/internal/policy"
)

// Vote records the caller's yes or no. The yes that completes what policy asks
// for makes the grant, in the same transaction.
func (b *Broker) Vote(ctx context.Context, c Caller, id string, vote access.Vote) (v View, err error) {
	if vote.Approve {
		if err := b.readTicketsFor(ctx, c, id); err != nil {
			return View{}, err
		}
	}
	err = b.approvers.Ask(ctx, func(who approvers.Known) (err error) {
		v, err = b.voteOnce(ctx, c, id, vote, who)
		return err
	})
	return v, err
}

func (b *Broker) voteOnce(ctx context.Context, c Caller, id string, vote access.Vote, who approvers.Known) (View, error) {
	v, err := b.onRequest(ctx, c, id, func(tx Tx, fx *effects, r access.Request, set *policy.Set) (access.Request, error) {
		voter, err := tx.Principal(c.Principal.ID)
		if err != nil {
			return r, err
		}
		vote := vote // the function may run more than once
		roster, err := rosterFor(tx, &vote, voter.Person)
		if err != nil {
			return r, err
		}
		if voter, err = b.as(tx, set, voter); err != nil {
			return r, err
		}
		if vote.Seen == (access.Digest{}) {
			vote.Seen = r.Digest
		}
		if vote.Approve {
			if err := b.open(tx); err != nil {
				return r, err
			}
			if _, err := b.documents(tx); err != nil {
				return r, err // the yes would count, and the grant fail for want of a policy
			}
		}
		before := r
		r, ev, err := r.Vote(voter, c.Actor, vote, tx.Now())
		if err != nil {
			return r, err
		}
		if err := tx.SavePasskeys(roster.Used()...); err != nil {
			return r, err
		}
		if err := who.NeededLater(before, r, set, tx.Now()); err != nil {
			return before, err
		}
		fx.event(ev)
		fx.request(r)
		if r.State != access.RequestIsGranted {
			return r, nil
		}
		if err := b.freshStill(tx, set, r.Principal, r.Emergency); err != nil {
			return before, err // the yes is not used up
		}
		return b.carryOut(tx, fx, r, set, true)
	})
	if err != nil {
		b.noteCopy(ctx, c, vote.Assertion.Passkey, err)
	}
	return v, err
}

// Cancel withdraws the caller's own undecided request.
func (b *Broker) Cancel(ctx context.Context, c Caller, id string) (View, error) {
	return b.onRequest(ctx, c, id, func(tx Tx, fx *effects, r access.Request, _ *policy.Set) (access.Request, error) {
		if r.Principal != c.Principal.ID {
			return r, access.Fail(access.Denied, "not-yours", "only who asked can withdraw a request").Try("deny it with: stint deny " + string(r.ID))
		}
		r, ev, err := r.Cancel(c.Actor, tx.Now())
		if err != nil {
			return r, err
		}
		fx.event(ev)
		fx.request(r)
		return r, nil
	})
}

// onRequest runs one change of one request that the caller may see.
func (b *Broker) onRequest(ctx context.Context, c Caller, id string, change func(Tx, *effects, access.Request, *policy.Set) (access.Request, error)) (View, error) {
	var v View
	err := b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		r, err := b.find(tx, c, id)
		if err != nil {
			return err
		}
		if r, err = change(tx, fx, r, b.documentsOrNone(tx)); err != nil {
			return err
		}
		v = fx.view(tx, r)
		return nil
	})
	if err != nil {
		return View{}, err
	}
	return v, nil
}
