package broker

import (
	"context"
	"slices"

	"stint/internal/access"
)

// votedAmong is how many of the newest requests are looked through for votes of somebody.
const votedAmong = 1000

// Voted lists requests that the caller voted on, the newest first, as far as they are
// among the newest that there are.
func (b *Broker) Voted(ctx context.Context, c Caller, limit int) (vs []View, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		vs = nil
		rs, err := tx.Requests(access.RequestQuery{Limit: votedAmong})
		if err != nil {
			return err
		}
		rs = slices.DeleteFunc(rs, func(r access.Request) bool {
			return !slices.ContainsFunc(r.Approvals, func(a access.Approval) bool { return a.By == c.Principal.ID })
		})
		vs, err = views(tx, rs[:min(len(rs), limit)])
		return err
	})
	return c.only(vs), err
}
