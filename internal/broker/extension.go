package broker

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// maxCounted is how many extensions of a grant are looked at; policies allow fewer.
const maxCounted = 200

// extensionOf says what policy looks at of an extension: how many the grant has had, of
// those that were carried out, and by how much it is to be longer.
func extensionOf(tx Tx, g access.Grant, by time.Duration) (*policy.Extension, error) {
	rs, err := tx.Requests(access.RequestQuery{Person: g.Person, Extends: g.ID, States: []access.RequestState{access.RequestIsGranted}, Limit: maxCounted})
	if err != nil {
		return nil, err
	}
	x := &policy.Extension{By: by}
	for _, r := range rs {
		if r.Grant == g.ID {
			x.Count++
		}
	}
	return x, nil
}

// extensionTickets reads the ticket that deciding an extension will look at: the one
// named, or that of the grant.
func (b *Broker) extensionTickets(ctx context.Context, c Caller, id string, a Ask) {
	set, err := b.Documents(ctx)
	if err != nil || !set.Wants(policy.AtRequest).Tickets {
		return
	}
	v, err := b.View(ctx, c, id)
	if err != nil || v.Grant == nil {
		return // extending says what is wrong
	}
	ask := askOf(v.Request, c.Principal)
	if a.Ticket != "" {
		ask.Ticket = a.Ticket
	}
	_ = b.readTickets(ctx, ask) // what could not be read, the decision says
}

// PreviewExtension explains how policy would decide an extension of the caller's own
// active grant, over the whole time that it would then have had.
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
	err = b.counting(ctx, func(people *people, _ bool) error {
		return b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
			set, err := b.documents(tx)
			if err != nil {
				return err
			}
			who, err := tx.Principal(g.Principal)
			if err != nil {
				return err
			}
			if whole.Task, err = taskOf(tx, &effects{}, g); err != nil {
				return err
			}
			ask := whole.policy(who, c.Source)
			if ask.Extension, err = extensionOf(tx, g, a.Duration); err != nil {
				return err
			}
			if ask, err = b.known(tx, &effects{}, set, ask, policy.AtRequest, subject{g.ID, g.Request}); err != nil {
				return err
			}
			x = Preview{Explanation: set.Explain(ask, tx.Now())}
			switch {
			case x.Decision.Effect != access.Approve:
				return nil
			case people == nil:
				return errNotSure
			}
			could := count{people, set, tx.Now(), tx.Now().Add(x.Decision.Waits()), map[access.Person]bool{who.Person: true}}
			x.Asked, err = b.asks(tx, could, x.Decision.Approvals)
			return err
		})
	})
	return x, err
}
