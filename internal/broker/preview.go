package broker

import (
	"context"

	"stint/internal/access"
	"stint/internal/approvers"
	"stint/internal/policy"
)

// Preview is what would become of an ask that nobody made.
type Preview struct {
	policy.Explanation
	Asked []approvers.Asked // for each approval of the decision; none where it asks for none
}

// Preview explains how policy would decide, without asking: it fails as Submit would
// where nobody could approve, or what is known of who asks is too old. Administrators may ask on behalf of others.
func (b *Broker) Preview(ctx context.Context, c Caller, a Ask, as access.PrincipalID) (x Preview, err error) {
	return b.PreviewOnCall(ctx, c, a, as, "")
}

// PreviewOnCall does the same as if whoever asks were on call in a schedule now; with an
// empty one, as they are.
func (b *Broker) PreviewOnCall(ctx context.Context, c Caller, a Ask, as access.PrincipalID, schedule string) (x Preview, err error) {
	if as != "" && as != c.Principal.ID {
		if err := c.admin(); err != nil {
			return x, err
		}
	} else {
		as = c.Principal.ID
	}
	b.previewTickets(ctx, c, a, as)
	err = b.approvers.Ask(ctx, func(who approvers.Known) error {
		return b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
			p, err := tx.Principal(as)
			if err != nil {
				return err
			}
			set, err := b.documents(tx)
			if err != nil {
				return err
			}
			if schedule != "" {
				if _, ok := set.Schedule(schedule); !ok {
					return access.Fail(access.NotFound, "no-such-schedule", "there is no schedule of that name").Try("stint get schedules lists what there is")
				}
				set = set.WhereOnCall(schedule, as, tx.Now())
			}
			if err := b.fresh(tx, set, p); err != nil {
				return err
			}
			ask := a.policy(p, c.Source)
			if _, err := set.Resolve(ask); err != nil {
				return err
			}
			x, err = b.foresee(tx, set, ask, subject{}, who)
			return err
		})
	})
	return x, err
}

// PreviewExtension does the same for an extension of the caller's own active grant, over
// the whole time that it would then have had.
func (b *Broker) PreviewExtension(ctx context.Context, c Caller, g access.Grant, a Ask) (x Preview, err error) {
	if g.Principal != c.Principal.ID {
		return x, access.Fail(access.Denied, "not-yours", "only its holder can extend a grant")
	}
	if err := g.Renewable(); err != nil {
		return x, err
	}
	b.extensionTickets(ctx, c, string(g.ID), a)
	whole := a
	whole.Resource, whole.Role, whole.Duration = g.Targets[0].Resource, g.Role, g.ExpiresAt.Add(a.Duration).Sub(g.ActiveAt)
	if whole.Ticket == "" {
		whole.Ticket = g.Ticket
	}
	err = b.approvers.Ask(ctx, func(who approvers.Known) error {
		return b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
			set, err := b.documents(tx)
			if err != nil {
				return err
			}
			p, err := tx.Principal(g.Principal)
			if err != nil {
				return err
			}
			if err := b.fresh(tx, set, p); err != nil {
				return err
			}
			if whole.Task, err = taskOf(tx, &effects{}, g); err != nil {
				return err
			}
			ask := whole.policy(p, c.Source)
			if ask.Extension, err = extensionOf(tx, g, a.Duration); err != nil {
				return err
			}
			x, err = b.foresee(tx, set, ask, subject{g.ID, g.Request}, who)
			return err
		})
	})
	return x, err
}

// foresee is what policy says of an ask, and whom its approvals would ask. It fails where
// nobody could give them.
func (b *Broker) foresee(tx Tx, set *policy.Set, ask policy.Ask, of subject, who approvers.Known) (Preview, error) {
	ask, err := b.known(tx, &effects{}, set, ask, policy.AtRequest, of)
	if err != nil {
		return Preview{}, err
	}
	x := Preview{Explanation: set.Explain(ask, tx.Now())}
	if x.Decision.Effect != access.Deny {
		got, err := set.Resolve(ask)
		if err != nil {
			return Preview{}, err
		}
		if err := b.underCeilings(tx, access.Request{Targets: []access.Target{got.Target}, Permissions: got.Permissions, Duration: ask.Duration, Decision: x.Decision}); err != nil {
			return Preview{}, err
		}
	}
	if x.Decision.Effect != access.Approve {
		return x, nil
	}
	asked := access.Request{State: access.RequestPending, Person: ask.Principal.Person, Decision: x.Decision, ExpiresAt: tx.Now().Add(x.Decision.Waits())}
	if err := who.Answerable(asked, set, tx.Now()); err != nil {
		return Preview{}, err
	}
	usual, err := b.usuals.Of(tx, x.Decision.Approvals)
	if err != nil {
		return Preview{}, err
	}
	x.Asked = who.Asks(asked, set, usual, tx.Now())
	for i, q := range asked.Decision.Approvals {
		if q.Level >= access.LevelPasskey { // what one signs with one's own passkey nobody else can
			continue
		}
		for _, p := range x.Asked[i].People {
			ds, err := tx.Delegations(access.DelegationQuery{Principal: p.ID, Open: true, Limit: 1000})
			if err != nil {
				return Preview{}, err
			}
			for _, d := range ds {
				if to, ok := who.StandsIn(asked, d, tx.Now()); ok {
					x.Asked[i].Delegates = append(x.Asked[i].Delegates, approvers.StandIn{To: to, For: p})
				}
			}
		}
	}
	return x, nil
}
