package broker

import (
	"context"
	"slices"
	"time"

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
		var all []shown
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
			all = append(all, more...)
		}
		out = lastShown(all)
		return nil
	})
	return out, err
}

// shown is a proof, and when what it proves was decided.
type shown struct {
	access.Proof
	at        time.Time
	extension bool
}

// lastShown are as many as a host looks at, those first that were decided last: what is
// ordered now is among them. What somebody extends comes along, for without it an extension
// proves nothing.
func lastShown(all []shown) (out []access.Proof) {
	slices.SortStableFunc(all, func(a, b shown) int { return b.at.Compare(a.at) })
	based := map[access.GrantID]bool{} // whose first request is in, or has no proof
	for _, s := range all {
		if !s.extension {
			if !based[s.Grant] && len(out) < access.MaxProofs {
				based[s.Grant], out = true, append(out, s.Proof)
			}
			continue
		}
		add := []access.Proof{s.Proof}
		if i := slices.IndexFunc(all, func(x shown) bool { return x.Grant == s.Grant && !x.extension }); i >= 0 && !based[s.Grant] {
			add = append(add, all[i].Proof)
		}
		if len(out)+len(add) <= access.MaxProofs {
			based[s.Grant], out = true, append(out, add...)
		}
	}
	return out
}

// proofsOf are those of one grant: what it was made for, and the last extensions of it.
func proofsOf(tx Tx, g access.Grant) (out []shown, err error) {
	first, err := tx.Request(g.Request)
	if err != nil {
		return nil, err
	}
	more, err := tx.Requests(access.RequestQuery{Person: g.Person, Extends: g.ID, States: []access.RequestState{access.RequestIsGranted}, Limit: access.MaxProofs - 1})
	if err != nil {
		return nil, err
	}
	for i, r := range append([]access.Request{first}, more...) {
		if p, ok := access.ProofOf(r, g.ID); ok {
			out = append(out, shown{p, r.DecidedAt, i > 0})
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
