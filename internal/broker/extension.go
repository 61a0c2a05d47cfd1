package broker

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// maxCounted is how many extensions of a grant are looked at; policies allow fewer.
const maxCounted = 200

// extensionOf says what policy looks at of an extension: how many the grant has had, of
// those that were carried out, and by how much it is to be longer.
func extensionOf(tx Tx, g access.Grant, by time.Duration) (*policy.Extension, error) {
	rs, err := tx.Requests(access.RequestQuery{Person: g.Person, Extends: g.ID, States: []access.RequestState{access.RequestIsGranted}, Limit: maxCounted})
	if err != nil {
		return nil, err
	}
	x := &policy.Extension{By: by}
	for _, r := range rs {
		if r.Grant == g.ID {
			x.Count++
		}
	}
	return x, nil
}

// extensionTickets reads the ticket that deciding an extension will look at: the one
// named, or that of the grant.
func (b *Broker) extensionTickets(ctx context.Context, c Caller, id string, a Ask) {
	set, err := b.Documents(ctx)
	if err != nil || !set.Wants(policy.AtRequest).Tickets {
		return
	}
	v, err := b.View(ctx, c, id)
	if err != nil || v.Grant == nil {
		return // extending says what is wrong
	}
	ask := askOf(v.Request, c.Principal)
	if a.Ticket != "" {
		ask.Ticket = a.Ticket
	}
	_ = b.readTickets(ctx, ask) // what could not be read, the decision says
}
