package broker

import (
	"context"

	"stint/internal/access"
)

// EndWorkload takes away what a service holds by a login that is no workload's any more:
// what it asked for from that device, while that integration vouched for it. Without a
// device it is everything that it asked for so. Requests that are not decided are refused.
func (b *Broker) EndWorkload(ctx context.Context, l access.Login, why string) error {
	theirs := func(source access.Source, device access.DeviceID) bool {
		return source.Auth.Provider == l.Auth.Provider && (l.Device == "" || device == l.Device)
	}
	return b.update(ending(ctx, 1), func(tx Tx, fx *effects) error {
		rs, err := tx.Requests(access.RequestQuery{Principal: l.Principal, States: []access.RequestState{access.RequestPending}, Limit: 1000})
		if err != nil {
			return err
		}
		for _, r := range rs {
			if !theirs(r.Source, r.Source.Device) {
				continue
			}
			r, ev, err := r.Reject(why, access.System, tx.Now())
			if err != nil {
				return err
			}
			fx.request(r)
			fx.event(ev)
		}
		q := access.GrantQuery{Principal: l.Principal, States: live, Limit: dueBatch}
		for {
			gs, err := tx.Grants(q)
			if err != nil {
				return err
			}
			var some []access.Grant
			for _, g := range gs {
				if theirs(g.Source, g.Device) {
					some = append(some, g)
				}
			}
			if _, err := b.endGrants(tx, fx, some, access.ByPolicy, why, access.System); err != nil {
				return err
			}
			if len(gs) < q.Limit {
				return nil
			}
			q.Before = gs[len(gs)-1].ID
		}
	})
}
