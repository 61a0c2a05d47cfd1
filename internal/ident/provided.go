package ident

import (
	"context"

	"stint/internal/access"
)

// SignedOut ends the logins that somebody made through a provider, because the provider
// says that they signed out there. What they hold goes on, as when they sign out here.
// It answers with how many ended; a subject that nobody has is none.
func (i *Ident) SignedOut(ctx context.Context, id access.Identity) (n int, err error) {
	err = i.store.Update(ctx, func(tx Tx) error {
		n = 0
		p, err := tx.PrincipalByIdentity(id)
		if access.KindOf(err) == access.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		all, err := liveLogins(tx, p.ID)
		if err != nil {
			return err
		}
		for _, l := range all {
			if l.Glass != nil || l.Auth.Provider != id.Provider {
				continue
			}
			if err := tx.RevokeLogin(l.Token); err != nil {
				return err
			}
			if err := tx.Append(loginEvent(LoginEnded, l, 2, ProviderActor(id.Provider), tx.Now())); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}
