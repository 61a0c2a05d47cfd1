package broker

import (
	"context"

	"stint/internal/access"
	"stint/internal/policy"
)

// Question records what somebody who is asked to decide wants to know first.
func (b *Broker) Question(ctx context.Context, c Caller, id, text string) (View, error) {
	return b.remark(ctx, c, id, func(r access.Request, by access.Principal, tx Tx) (access.Request, access.Event, error) {
		return r.Question(by, c.Actor, text, tx.Now())
	})
}

// Answer records what who asked for access says to that.
func (b *Broker) Answer(ctx context.Context, c Caller, id, text string) (View, error) {
	return b.remark(ctx, c, id, func(r access.Request, by access.Principal, tx Tx) (access.Request, access.Event, error) {
		return r.Answer(by, c.Actor, text, tx.Now())
	})
}

func (b *Broker) remark(ctx context.Context, c Caller, id string, say func(access.Request, access.Principal, Tx) (access.Request, access.Event, error)) (View, error) {
	return b.onRequest(ctx, c, id, func(tx Tx, fx *effects, r access.Request, set *policy.Set) (access.Request, error) {
		by, err := tx.Principal(c.Principal.ID)
		if err != nil {
			return r, err
		}
		if by, err = b.as(tx, set, by); err != nil {
			return r, err
		}
		r, ev, err := say(r, by, tx)
		if err != nil {
			return r, err
		}
		fx.event(ev)
		fx.request(r)
		return r, nil
	})
}
