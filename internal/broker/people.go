package broker

import (
	"context"

	"stint/internal/access"
)

// Principals lists the principals of a kind; administrators and auditors.
func (b *Broker) Principals(ctx context.Context, c Caller, kind access.PrincipalKind) (ps []access.Principal, err error) {
	if err := c.governs(); err != nil {
		return nil, err
	}
	err = b.Store.View(ctx, func(tx Tx) (err error) { ps, err = tx.Principals(kind); return err })
	return ps, err
}

// PeopleChanged says that there are other users than before, or in other groups.
func (b *Broker) PeopleChanged() { b.approvers.Changed() }

// users reads all users, for who could approve.
func (b *Broker) users(ctx context.Context) (ps []access.Principal, err error) {
	err = b.Store.View(ctx, func(tx Tx) (err error) { ps, err = tx.Principals(access.User); return err })
	return ps, err
}

// Disable disables a principal and everything it stands behind: its logins end,
// its undecided requests are refused, and all access of the person, also that of
// services it is responsible for, is taken away.
func (b *Broker) Disable(ctx context.Context, c Caller, id access.PrincipalID, why string) error {
	if err := c.admin(); err != nil {
		return err
	}
	if id == c.Principal.ID {
		return access.Fail(access.Conflict, "own-account", "nobody disables themselves").Try("ask another administrator")
	}
	defer b.PeopleChanged()
	return b.update(ending(ctx, 1), func(tx Tx, fx *effects) error {
		if err := c.still(tx); err != nil {
			return err
		}
		p, err := tx.Principal(id)
		if err != nil {
			return err
		}
		if p.Disabled && p.DisabledBy != access.DisabledByContract { // that one's sponsor can end it
			return access.Fail(access.Conflict, "already-disabled", string(id)+" is disabled already")
		}
		return b.disable(tx, fx, p, "", why, c.Actor)
	})
}

// disable disables a principal, and all that it stands behind, and ends what they
// hold. by is the provider that said so, or empty.
func (b *Broker) disable(tx Tx, fx *effects, p access.Principal, by, why string, actor access.Actor) error {
	all, err := behind(tx, p)
	if err != nil {
		return err
	}
	for _, q := range all {
		if by == "" && q.Lock.With == p.ID { // to enable them is one act; what a provider says leaves a lock alone
			q.Lock = access.Lock{}
		}
		q.Disabled = true
		if q.ID == p.ID {
			q.DisabledBy = by
		}
		q.Version++
		if err := tx.SavePrincipals(q); err != nil {
			return err
		}
		facts := map[string]string{"why": why, "person": string(q.Person)}
		if by != "" {
			facts["provider"] = by
		}
		fx.event(access.Event{Type: PrincipalDisabled, At: tx.Now(), Entity: string(q.ID), Version: q.Version, Actor: actor, Facts: facts})
		if err := b.endAll(tx, fx, q.ID, string(q.ID)+" was disabled", actor); err != nil {
			return err
		}
	}
	return b.strand(tx, fx, p, "disabled", actor)
}

// behind is a principal with the services and agents that it answers for.
func behind(tx Tx, p access.Principal) ([]access.Principal, error) {
	all := []access.Principal{p}
	if p.ID.Kind() != access.User {
		return all, nil
	}
	for _, kind := range []access.PrincipalKind{access.Service, access.Agent} {
		ps, err := tx.Principals(kind)
		if err != nil {
			return nil, err
		}
		for _, s := range ps {
			if s.Person == p.Person && !s.Disabled {
				all = append(all, s)
			}
		}
	}
	return all, nil
}

// endAll ends the logins of a principal, refuses what it asks for, and ends what it
// holds.
func (b *Broker) endAll(tx Tx, fx *effects, id access.PrincipalID, why string, actor access.Actor) error {
	if err := tx.DropLogins(id); err != nil {
		return err
	}
	return b.endHeld(tx, fx, id, why, actor)
}

// endHeld refuses what a principal asks for, and ends what it holds.
func (b *Broker) endHeld(tx Tx, fx *effects, id access.PrincipalID, why string, actor access.Actor) error {
	if err := b.refuseAll(tx, fx, id, why, actor); err != nil {
		return err
	}
	q := access.GrantQuery{Principal: id, States: live, Limit: dueBatch}
	for {
		gs, err := tx.Grants(q)
		if err != nil {
			return err
		}
		if _, err := b.endGrants(tx, fx, gs, access.ByPolicy, why, actor); err != nil {
			return err
		}
		if len(gs) < q.Limit {
			return nil
		}
		q.Before = gs[len(gs)-1].ID
	}
}

func (b *Broker) refuseAll(tx Tx, fx *effects, id access.PrincipalID, why string, actor access.Actor) error {
	rs, err := tx.Requests(access.RequestQuery{Principal: id, States: []access.RequestState{access.RequestPending}, Limit: 1000})
	if err != nil {
		return err
	}
	for _, r := range rs {
		r, ev, err := r.Reject(why, actor, tx.Now())
		if err != nil {
			return err
		}
		fx.request(r)
		fx.event(ev)
	}
	return nil
}
