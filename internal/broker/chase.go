package broker

import (
	"context"
	"errors"

	"stint/internal/access"
)

// pursueRequests does what time asks for with undecided requests: those whose time is
// up end; of the others whoever is asked is reminded, and others are asked besides. It
// returns for how many there was something to do.
func (b *Broker) pursueRequests(ctx context.Context, ids []access.RequestID) (pursued int, err error) {
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		pursued = 0
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
			if done {
				pursued++
			} else {
				fx.request(r) // its row may say a time that is not its own any more
			}
		}
		return nil
	})
	return pursued, err
}
