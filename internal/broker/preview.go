package broker

import (
	"context"
	"slices"

	"stint/internal/access"
	"stint/internal/policy"
)

// Preview is what would become of an ask that nobody made.
type Preview struct {
	policy.Explanation
	Asked []Asked // for each approval of the decision; none where it asks for none
}

// Asked is whom one approval would ask, and how long they usually take.
type Asked struct {
	People []access.Principal // of each person one login; none where anybody may
	More   int                // how many there are besides, up to manyPeople in all
	Usual  Usual
}

// A preview names so many people for each approval, and counts no further than that.
const (
	namedPeople = 20
	manyPeople  = 1000
)

// Preview explains how policy would decide, without asking: it fails as Submit would
// where nobody could approve. Administrators may ask on behalf of others.
func (b *Broker) Preview(ctx context.Context, c Caller, a Ask, as access.PrincipalID) (x Preview, err error) {
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
			x, err = b.foresee(tx, set, ask, subject{}, who, sure)
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
	err = b.counting(ctx, func(who *people, sure bool) error {
		return b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
			set, err := b.documents(tx)
			if err != nil {
				return err
			}
			p, err := tx.Principal(g.Principal)
			if err != nil {
				return err
			}
			if whole.Task, err = taskOf(tx, &effects{}, g); err != nil {
				return err
			}
			ask := whole.policy(p, c.Source)
			if ask.Extension, err = extensionOf(tx, g, a.Duration); err != nil {
				return err
			}
			x, err = b.foresee(tx, set, ask, subject{g.ID, g.Request}, who, sure)
			return err
		})
	})
	return x, err
}

// foresee is what policy says of an ask, and whom its approvals would ask. It fails where
// nobody could give them.
func (b *Broker) foresee(tx Tx, set *policy.Set, ask policy.Ask, of subject, who *people, sure bool) (Preview, error) {
	ask, err := b.known(tx, &effects{}, set, ask, policy.AtRequest, of)
	if err != nil {
		return Preview{}, err
	}
	x := Preview{Explanation: set.Explain(ask, tx.Now())}
	if x.Decision.Effect != access.Approve {
		return x, nil
	}
	asked := access.Request{State: access.RequestPending, Person: ask.Principal.Person, Decision: x.Decision, ExpiresAt: tx.Now().Add(x.Decision.Waits())}
	if err := answerable(asked, set, who, sure, tx.Now()); err != nil {
		return Preview{}, err
	}
	could := count{who, set, tx.Now(), asked.ExpiresAt, map[access.Person]bool{asked.Person: true}}
	x.Asked, err = b.asks(tx, could, x.Decision.Approvals)
	return x, err
}

// asks names who would be asked for each requirement, as the copy of the users knows it.
func (b *Broker) asks(tx Tx, could count, reqs []access.Requirement) ([]Asked, error) {
	usual, err := b.usual(tx, reqs)
	if err != nil {
		return nil, err
	}
	out := make([]Asked, len(reqs))
	for i, q := range reqs {
		out[i].Usual = usual[i]
		if slices.Contains(q.From, "*") {
			continue
		}
		all := could.could(q.From, manyPeople)
		n := min(len(all), namedPeople)
		out[i].People, out[i].More = all[:n], len(all)-n
	}
	return out, nil
}
