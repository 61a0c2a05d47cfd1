package broker

import (
	"context"
	"errors"

	"stint/internal/access"
)

// pursueRequests does what time asks for with undecided requests: those whose time is
// up end; of the others whoever is asked is reminded, and others are asked besides.
func (b *Broker) pursueRequests(ctx context.Context, ids []access.RequestID) error {
	return b.update(ctx, func(tx Tx, fx *effects) error {
		for _, id := range ids {
			r, err := tx.Request(id)
			if err != nil {
				return err
			}
			if r.State != access.RequestPending {
				continue // decided meanwhile
			}
			done := false
			for _, step := range []func() (access.Request, access.Event, error){
				func() (access.Request, access.Event, error) { return r.TimeOut(tx.Now()) },
				func() (access.Request, access.Event, error) { return r.Escalate(tx.Now()) },
				func() (access.Request, access.Event, error) { return r.Remind(tx.Now()) },
			} {
				next, ev, err := step()
				if errors.Is(err, access.Conflict) {
					continue // not due
				}
				if err != nil {
					return err
				}
				r, done = next, true
				fx.request(r)
				fx.event(ev)
			}
			if !done {
				fx.request(r) // its row says a time that is not its own any more
			}
		}
		return nil
	})
}
