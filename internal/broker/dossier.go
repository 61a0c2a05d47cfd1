package broker

import (
	"context"
	"time"

	"stint/internal/access"
)

// governs refuses who neither administers nor audits.
func (c Caller) governs() error {
	if c.Glass == nil && (c.Principal.Admin || c.Principal.Auditor) {
		return nil
	}
	return access.Fail(access.Denied, "not-yours", "listing users is for administrators and auditors")
}

// Principal reads one principal; administrators and auditors.
func (b *Broker) Principal(ctx context.Context, c Caller, id access.PrincipalID) (p access.Principal, err error) {
	if err := c.governs(); err != nil {
		return p, err
	}
	err = b.Store.View(ctx, func(tx Tx) (err error) { p, err = tx.Principal(id); return err })
	return p, err
}

// AnsweredBy lists the services, agents and vendors that a user answers for;
// administrators and auditors.
func (b *Broker) AnsweredBy(ctx context.Context, c Caller, p access.Principal) (ps []access.Principal, err error) {
	if err := c.governs(); err != nil || p.ID.Kind() != access.User {
		return nil, err
	}
	err = b.Store.View(ctx, func(tx Tx) error {
		ps, err = answersFor(tx, p)
		return err
	})
	return ps, err
}

// answersFor are the vendors, agents and services that a user answers for.
func answersFor(tx Tx, p access.Principal) ([]access.Principal, error) {
	ps, err := tx.PrincipalsOf(p.ID)
	if err != nil {
		return nil, err
	}
	all, err := tx.Principals(access.Service)
	for _, s := range all {
		if s.Person == p.Person {
			ps = append(ps, s)
		}
	}
	return ps, err
}

// holdingCounted is how many live grants are looked at, to count whose they are.
const holdingCounted = 10_000

// Holding counts the live grants of each principal among so many, and reports whether
// there may be more; administrators and auditors.
func (b *Broker) Holding(ctx context.Context, c Caller) (n map[access.PrincipalID]int, more bool, err error) {
	if err := c.governs(); err != nil {
		return nil, false, err
	}
	err = b.Store.View(ctx, func(tx Tx) error {
		counts, err := tx.LiveCounts(access.LiveQuery{Limit: holdingCounted})
		all := 0
		n = map[access.PrincipalID]int{}
		for _, x := range counts {
			n[x.Principal] += x.N
			all += x.N
		}
		more = all == holdingCounted
		return err
	})
	return n, more, err
}

// endedShown bounds how many grants of somebody EndedSince looks at.
const endedShown = 200

// EndedSince lists the grants of a person, or of one principal, that came to their end
// since a time, the newest grants first; administrators and auditors.
func (b *Broker) EndedSince(ctx context.Context, c Caller, q access.GrantQuery, since time.Time) (vs []View, err error) {
	if err := c.governs(); err != nil {
		return nil, err
	}
	q.States, q.Limit = []access.GrantState{access.Ended, access.Failed}, endedShown
	err = b.Store.View(ctx, func(tx Tx) error {
		vs = nil
		gs, err := tx.Grants(q)
		if err != nil {
			return err
		}
		for _, g := range gs {
			if g.EndedAt.Before(since) && g.EndingAt.Before(since) {
				continue
			}
			r, err := tx.Request(g.Request)
			if err != nil {
				return err
			}
			vs = append(vs, View{Request: r, Grant: &g, Have: r.Have(), Now: tx.Now(), Problem: g.SetupError})
		}
		return nil
	})
	return vs, err
}
