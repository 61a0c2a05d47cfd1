package ident

import (
	"context"

	"stint/internal/access"
)

// SetMessages says whether the caller wants to hear of trouble only. It is theirs to say,
// and changes nothing else about them.
func (i *Ident) SetMessages(ctx context.Context, by Caller, few bool) error {
	value := ""
	if few {
		value = access.MessagesFew
	}
	return i.store.Update(ctx, func(tx Tx) error {
		old, err := usable(tx, by)
		if err != nil {
			return err
		}
		if old.ID.Kind() != access.User {
			return access.Fail(access.Denied, "not-a-person", "only people are sent messages")
		}
		now := old.With(access.MessagesAttribute, value)
		what := changes(old, now)
		if len(what) == 0 {
			return nil
		}
		now.Version++
		if err := tx.SavePrincipals(now); err != nil {
			return err
		}
		return tx.Append(changedEvent(now, what, by.Actor, tx.Now()))
	})
}
