package broker

import (
	"context"

	"stint/internal/access"
)

// Voted lists requests that the caller voted on, the newest first, those before one.
func (b *Broker) Voted(ctx context.Context, c Caller, before access.RequestID, limit int) (vs []View, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		vs = nil
		rs, err := tx.Requests(access.RequestQuery{Voter: c.Principal.ID, Before: before, Limit: limit})
		if err != nil {
			return err
		}
		vs, err = views(tx, rs)
		return err
	})
	return c.only(vs), err
}
