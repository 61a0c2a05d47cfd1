package broker

import (
	"context"
	"errors"

	"stint/internal/access"
	"stint/internal/passkey"
)

// rosterFor gives a vote the passkeys by which its signature is checked: those of the
// person who votes, and nobody else's.
func rosterFor(tx Tx, v *access.Vote, voter access.Person) (*passkey.Roster, error) {
	if v.Assertion.IsZero() {
		return passkey.NewRoster(), nil
	}
	ps, err := tx.Passkeys(voter)
	if err != nil {
		return nil, err
	}
	roster := passkey.NewRoster(ps...)
	v.Passkeys = roster
	return roster, nil
}

// rosterOf is the passkeys, as they are now, of those who approved with one.
func rosterOf(tx Tx, as []access.Approval) (*passkey.Roster, error) {
	var all []access.Passkey
	for _, a := range as {
		if a.Assertion.IsZero() {
			continue
		}
		p, err := tx.Passkey(a.Assertion.Passkey)
		switch {
		case missing(err): // counts no more
		case err != nil:
			return nil, err
		default:
			all = append(all, p)
		}
	}
	return passkey.NewRoster(all...), nil
}

// noteCopy writes down that a passkey's counter went back, if that is why a vote was
// refused: the vote itself left no trace.
func (b *Broker) noteCopy(ctx context.Context, c Caller, id access.PasskeyID, cause error) {
	var e *access.Error
	if !errors.As(cause, &e) || e.Code != passkey.CodeCounterWentBack {
		return
	}
	err := b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		p, err := tx.Passkey(id)
		if err != nil {
			return err
		}
		p, ev := passkey.Suspect(p, c.Actor, tx.Now())
		fx.event(ev)
		return tx.SavePasskeys(p)
	})
	if err != nil {
		b.Log.Error("a passkey's counter went back, and that could not be recorded", "passkey", id, "error", err)
	}
}
