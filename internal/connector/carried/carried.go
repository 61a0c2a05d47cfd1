package carried

import (
	"context"
	"iter"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

const (
	// closeWithin is how long Remove waits for gateways to have closed sessions: they hear
	// of an end within a quarter of a second, and have one to act.
	closeWithin = 5 * time.Second
	lookEvery   = 50 * time.Millisecond // at first; it doubles
	lookSeldom  = 500 * time.Millisecond
)

// Ledger is where sessions are written down.
type Ledger interface {
	// Carried says of orders, in the order given, whether each is wanted still, and how many
	// sessions under it are not closed.
	Carried(ctx context.Context, ids []access.EntitlementID) ([]Standing, error)
}

// Standing is what the ledger says of one order. The zero value is one that is over.
type Standing struct {
	Wanted bool
	Open   int // sessions
}

// Open reports whether bytes of a session may still pass. One that was lost is closed without
// its gateway's word: a gateway that is cut off, and that was told to keep it, carries it until
// the end that it was told last, which is no later than that of the entitlement.
func Open(s access.Session, end, now time.Time) bool {
	return s.ClosedAt.IsZero() || s.Keeps && s.Reason == access.SessionLost && now.Before(end)
}

// Connector is a connector for one type of resource.
type Connector struct {
	schema access.Schema
	ledger Ledger
}

// New makes the connectors of all types of resources on which nothing is made. Without a
// ledger they only tell their schemas.
func New(l Ledger) []*Connector {
	return []*Connector{{HTTP(), l}, {TCP(), l}}
}

// Type is the schema's.
func (c *Connector) Type() string { return c.schema.Type }

// Schema says what documents may contain.
func (c *Connector) Schema() access.Schema { return c.schema }

// Capabilities of sessions: a gateway ends them on time by itself.
func (c *Connector) Capabilities() connector.Capabilities {
	return connector.Capabilities{Mechanisms: c.schema.Mechanisms, NativeExpiry: true, SessionKill: true, MinTTL: time.Second}
}

// Check has nothing to try: whether a target answers, and takes the login, a gateway sees.
func (c *Connector) Check(context.Context, connector.Target) connector.Report {
	return connector.Report{Steps: []connector.Step{{Name: "nothing is made on the target", OK: true, Detail: "people reach it through gateways only; to try the way and the login, run stint proxy NAME as somebody who has a role on it"}}}
}

// Claim has nothing to mark.
func (c *Connector) Claim(context.Context, connector.Target, connector.Claim) error { return nil }

// Observe finds nothing that was there before.
func (c *Connector) Observe(context.Context, connector.Target, connector.Order) (connector.Before, error) {
	return connector.Before{}, nil
}

// Provision makes nothing. Who a session is, is its person.
func (c *Connector) Provision(_ context.Context, _ connector.Target, o connector.Order) (connector.Receipt, error) {
	return connector.Receipt{Account: string(o.Person)}, nil
}

func done(os []connector.Order) []connector.Result {
	out := make([]connector.Result, len(os))
	for i := range out {
		out[i].Outcome = connector.Done
	}
	return out
}

// Revoke has been done by whoever stopped wanting it: no session begins any more.
func (c *Connector) Revoke(_ context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return done(os)
}

// TerminateSessions has been done likewise: gateways follow what is to end.
func (c *Connector) TerminateSessions(_ context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return done(os)
}

// Remove waits until gateways have closed the sessions, for a while. Whether they have, Verify
// says.
func (c *Connector) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	within, stop := context.WithTimeout(ctx, closeWithin)
	defer stop()
	wait := lookEvery
	for left := os; ; wait = min(2*wait, lookSeldom) {
		var still []connector.Order
		for i, seen := range c.Verify(within, t, left) {
			if seen.Presence == connector.Absent && seen.Sessions > 0 {
				still = append(still, left[i])
			}
		}
		if left = still; len(left) == 0 {
			return done(os)
		}
		select {
		case <-within.Done():
			return done(os)
		case <-time.After(wait):
		}
	}
}

// Verify reads the ledger.
func (c *Connector) Verify(ctx context.Context, _ connector.Target, os []connector.Order) []connector.Observation {
	out := make([]connector.Observation, len(os))
	ids := make([]access.EntitlementID, len(os))
	for i, o := range os {
		ids[i] = o.Entitlement
	}
	all, err := c.read(ctx, ids)
	for i := range out {
		switch {
		case err != nil:
			out[i].Sessions, out[i].Err = -1, err
		case all[i].Wanted:
			out[i].Presence, out[i].Sessions = connector.Present, all[i].Open
		default:
			out[i].Presence, out[i].Sessions = connector.Absent, all[i].Open
		}
	}
	return out
}

func (c *Connector) read(ctx context.Context, ids []access.EntitlementID) ([]Standing, error) {
	if c.ledger == nil {
		return nil, access.Fail(access.Unavailable, "no-ledger", "nothing is known of sessions here")
	}
	all, err := c.ledger.Carried(ctx, ids)
	if err == nil && len(all) != len(ids) {
		err = access.Fail(access.Internal, "ledger", "the ledger answered for others")
	}
	if err != nil {
		return nil, access.Fail(access.Unavailable, "store", "the sessions under it cannot be read").Wrap(err)
	}
	return all, nil
}

// Inventory finds nothing: there is nothing of ours on the target.
func (c *Connector) Inventory(context.Context, connector.Target) iter.Seq2[connector.Artefact, error] {
	return func(func(connector.Artefact, error) bool) {}
}

// Forget has no connections.
func (c *Connector) Forget(access.Connection) {}

// Close has nothing to wait for.
func (c *Connector) Close() {}
