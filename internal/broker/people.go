package broker

import (
	"context"

	"stint/internal/access"
)

// Principals lists the principals of a kind; administrators and auditors.
func (b *Broker) Principals(ctx context.Context, c Caller, kind access.PrincipalKind) (ps []access.Principal, err error) {
	if !c.Principal.Admin && !c.Principal.Auditor {
		return nil, access.Fail(access.Denied, "not-yours", "listing users is for administrators and auditors")
	}
	err = b.Store.View(ctx, func(tx Tx) (err error) { ps, err = tx.Principals(kind); return err })
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
	return b.update(ending(ctx, 1), func(tx Tx, fx *effects) error {
		p, err := tx.Principal(id)
		if err != nil {
			return err
		}
		if p.Disabled {
			return access.Fail(access.Conflict, "already-disabled", string(id)+" is disabled already")
		}
		all := []access.Principal{p}
		if id.Kind() == access.User {
			for _, kind := range []access.PrincipalKind{access.Service, access.Agent} {
				ps, err := tx.Principals(kind)
				if err != nil {
					return err
				}
				for _, s := range ps {
					if s.Person == p.Person && !s.Disabled {
						all = append(all, s)
					}
				}
			}
		}
		for _, p := range all {
			p.Disabled = true
			p.Version++
			if err := tx.SavePrincipals(p); err != nil {
				return err
			}
			if err := tx.DropLogins(p.ID); err != nil {
				return err
			}
			fx.event(access.Event{Type: PrincipalDisabled, At: tx.Now(), Entity: string(p.ID), Version: p.Version, Actor: c.Actor,
				Facts: map[string]string{"why": why, "person": string(p.Person)}})
			if err := b.refuseAll(tx, fx, p.ID, c.Actor); err != nil {
				return err
			}
			q := access.GrantQuery{Principal: p.ID, States: live, Limit: dueBatch}
			for {
				gs, err := tx.Grants(q)
				if err != nil {
					return err
				}
				if _, err := b.endGrants(tx, fx, gs, access.ByPolicy, string(p.ID)+" was disabled", c.Actor); err != nil {
					return err
				}
				if len(gs) < q.Limit {
					break
				}
				q.Before = gs[len(gs)-1].ID
			}
		}
		return nil
	})
}

func (b *Broker) refuseAll(tx Tx, fx *effects, id access.PrincipalID, actor access.Actor) error {
	rs, err := tx.Requests(access.RequestQuery{Principal: id, States: []access.RequestState{access.RequestPending}, Limit: 1000})
	if err != nil {
		return err
	}
	for _, r := range rs {
		r, ev, err := r.Reject(string(id)+" was disabled", actor, tx.Now())
		if err != nil {
			return err
		}
		fx.request(r)
		fx.event(ev)
	}
	return nil
}
