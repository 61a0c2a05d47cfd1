package broker

import (
	"context"
	"slices"

	"stint/internal/access"
)

// maxEnds is how many ends a host is told at once; see envelope.MaxEnds.
const maxEnds = 1000

// HostEnds says of what is lent at a place when it ends: its host was told the latest end
// that could come of it, before it was known when access was there. It says nothing of
// what is not settled at this moment.
func (b *Broker) HostEnds(ctx context.Context, place access.Place) (out []access.HostEnd, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		out = nil
		es, err := tx.Entitlements(access.EntitlementQuery{Place: place, States: []access.EntitlementState{access.Present}, Limit: maxEnds})
		if err != nil || len(es) == 0 {
			return err
		}
		ids := make([]access.EntitlementID, len(es))
		for i, e := range es {
			ids[i] = e.ID
		}
		holds, err := tx.HoldsOf(ids...)
		if err != nil {
			return err
		}
		holds = slices.DeleteFunc(holds, func(h access.Hold) bool { return !h.ReleasedAt.IsZero() })
		var grants []access.GrantID
		for _, h := range holds {
			grants = append(grants, h.Grant)
		}
		slices.Sort(grants)
		gs, err := tx.GrantsOf(slices.Compact(grants)...)
		if err != nil {
			return err
		}
		byID := map[access.GrantID]access.Grant{}
		for _, g := range gs {
			byID[g.ID] = g
		}
		for _, e := range es {
			end := access.HostEnd{Tag: e.Tag, Told: e.ExpiresAt}
			settled := false
			for _, h := range holds {
				if h.Entitlement != e.ID {
					continue
				}
				g := byID[h.Grant]
				if settled = g.State == access.Active; !settled {
					break
				}
				if g.ExpiresAt.After(end.End) {
					end.End = g.ExpiresAt
				}
			}
			if settled && !end.End.After(end.Told) {
				out = append(out, end)
			}
		}
		return nil
	})
	return out, err
}

// Tagged is the entitlement at a place that a tag is of, if this installation made the tag.
func (b *Broker) Tagged(place access.Place, tag access.Tag) (access.EntitlementID, bool) {
	id, _, ok := b.knownTag(place, tag)
	return access.EntitlementID(id), ok
}
