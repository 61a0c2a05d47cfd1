package broker

import (
	"context"
	"slices"

	"stint/internal/access"
	"stint/internal/connector"
)

// proofs are what the host of an entitlement can be shown of those who hold it: what each
// asked for, and what passkeys signed of that. None where the host asks for none: agents
// of before do not know what that is.
func (b *Broker) proofs(ctx context.Context, conn connector.Connector, e access.Entitlement) (out []access.Proof, err error) {
	if !conn.Capabilities().Proofs {
		return nil, nil
	}
	err = b.Store.View(ctx, func(tx Tx) error {
		out = nil
		if c, err := ceilingOf(tx, e.Target.Connection); err != nil || c == nil {
			return err
		}
		hs, err := tx.HoldsOf(e.ID)
		if err != nil {
			return err
		}
		for _, h := range hs {
			if !h.ReleasedAt.IsZero() {
				continue
			}
			g, err := tx.Grant(h.Grant)
			if err != nil {
				return err
			}
			more, err := proofsOf(tx, g)
			if err != nil {
				return err
			}
			out = append(out, more...)
		}
		return nil
	})
	return out[:min(len(out), access.MaxProofs)], err
}

// proofsOf are those of one grant: what it was made for, and the extensions of it, the
// last ones first where there are many.
func proofsOf(tx Tx, g access.Grant) (out []access.Proof, err error) {
	first, err := tx.Request(g.Request)
	if err != nil {
		return nil, err
	}
	more, err := tx.Requests(access.RequestQuery{Person: g.Person, Extends: g.ID, States: []access.RequestState{access.RequestIsGranted}, Limit: access.MaxProofs - 1})
	if err != nil {
		return nil, err
	}
	slices.Reverse(more) // in the order in which they were asked for
	for _, r := range append([]access.Request{first}, more...) {
		if p, ok := access.ProofOf(r, g.ID); ok {
			out = append(out, p)
		}
	}
	return out, nil
}

// ceilingOf is what the host at a connection lets be done, where it has a say of its own.
func ceilingOf(tx Tx, at access.Connection) (*access.Ceiling, error) {
	h, err := tx.Host(at.Address)
	switch {
	case missing(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return h.Ceiling, nil
}

// underCeilings refuses what a host would refuse in the end, however it is decided here: so
// that nobody waits for approvals which will not do.
func (b *Broker) underCeilings(tx Tx, r access.Request) error {
	for _, t := range r.Targets {
		conn, ok := b.Connectors[t.Connection.Type]
		if !ok || !conn.Capabilities().Proofs {
			continue
		}
		c, err := ceilingOf(tx, t.Connection)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		if err := c.Demands(t.Connection.Address, r, r.Permissions, t.Account); err != nil {
			return err
		}
	}
	return nil
}
