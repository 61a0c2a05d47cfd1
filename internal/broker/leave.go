package broker

import (
	"context"

	"stint/internal/access"
)

// Leave disables a user because a provider says that they left, as Disable does for an
// administrator; who is disabled already stays so, and a vendor whose contract is over is
// not let in again by who extends it. It does not ask who calls: that is decided where
// the provider's word comes in. The last administrator who can sign in
// loses what they hold and every login, and keeps the account: Stint without an
// administrator could not be mended.
func (b *Broker) Leave(ctx context.Context, actor access.Actor, id access.PrincipalID, provider, why string) error {
	return b.update(ending(ctx, 1), func(tx Tx, fx *effects) error {
		p, err := tx.Principal(id)
		if err != nil || p.Disabled && p.DisabledBy != access.DisabledByContract {
			return err
		}
		last, err := lastAdministrator(tx, p)
		if err != nil || !last {
			if err == nil {
				err = b.disable(tx, fx, p, provider, why, actor)
			}
			return err
		}
		return b.endOf(tx, fx, p, PrincipalKept, provider, why, actor)
	})
}

// EndFor ends a principal's logins and, with grants, what it and the services it
// answers for hold, because a provider says that it is not to be trusted just now. It
// may sign in and ask again.
func (b *Broker) EndFor(ctx context.Context, actor access.Actor, id access.PrincipalID, provider, why string, grants bool) error {
	return b.update(ending(ctx, 1), func(tx Tx, fx *effects) error {
		p, err := tx.Principal(id)
		if err != nil {
			return err
		}
		if grants {
			return b.endOf(tx, fx, p, PrincipalEnded, provider, why, actor)
		}
		if err := tx.DropLogins(id); err != nil {
			return err
		}
		return b.noted(tx, fx, p, PrincipalEnded, provider, why, "logins", actor)
	})
}

// endOf ends all that a principal and those it stands behind hold, and leaves it as it
// is.
func (b *Broker) endOf(tx Tx, fx *effects, p access.Principal, t access.EventType, provider, why string, actor access.Actor) error {
	all, err := behind(tx, p)
	if err != nil {
		return err
	}
	for _, q := range all {
		if err := b.endAll(tx, fx, q.ID, why, actor); err != nil {
			return err
		}
	}
	return b.noted(tx, fx, p, t, provider, why, "logins,grants", actor)
}

// noted is a new version of a principal for what happened to it.
func (b *Broker) noted(tx Tx, fx *effects, p access.Principal, t access.EventType, provider, why, what string, actor access.Actor) error {
	p.Version++
	if err := tx.SavePrincipals(p); err != nil {
		return err
	}
	fx.event(access.Event{Type: t, At: tx.Now(), Entity: string(p.ID), Version: p.Version, Actor: actor,
		Facts: map[string]string{"why": why, "person": string(p.Person), "provider": provider, "ended": what}})
	return nil
}

func lastAdministrator(tx Tx, p access.Principal) (bool, error) {
	if !p.Admin {
		return false, nil
	}
	users, err := tx.Principals(access.User)
	if err != nil {
		return false, err
	}
	for _, u := range users {
		if u.ID != p.ID && u.Admin && u.Usable(tx.Now()) == nil {
			return false, nil
		}
	}
	return true, nil
}
