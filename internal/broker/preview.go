package broker

import (
	"context"

	"stint/internal/access"
	"stint/internal/policy"
)

// Preview explains how policy would decide, without asking: it fails as Submit would
// where nobody could approve. Administrators may ask on behalf of others.
func (b *Broker) Preview(ctx context.Context, c Caller, a Ask, as access.PrincipalID) (x policy.Explanation, err error) {
	if as != "" && as != c.Principal.ID {
		if err := c.admin(); err != nil {
			return x, err
		}
	} else {
		as = c.Principal.ID
	}
	b.previewTickets(ctx, c, a, as)
	err = b.counting(ctx, func(who *people, sure bool) error {
		return b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
			p, err := tx.Principal(as)
			if err != nil {
				return err
			}
			set, err := b.documents(tx)
			if err != nil {
				return err
			}
			ask := a.policy(p, c.Source)
			if _, err := set.Resolve(ask); err != nil {
				return err
			}
			if ask, err = b.known(tx, &effects{}, set, ask, policy.AtRequest, subject{}); err != nil {
				return err
			}
			x = set.Explain(ask, tx.Now())
			if x.Decision.Effect != access.Approve {
				return nil
			}
			asked := access.Request{State: access.RequestPending, Person: p.Person, Decision: x.Decision, ExpiresAt: tx.Now().Add(x.Decision.Waits())}
			return answerable(asked, set, who, sure, tx.Now())
		})
	})
	return x, err
}
