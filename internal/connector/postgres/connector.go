package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
)

// Type is the type of resource this connector serves.
const Type = "postgres"

// Connector lends access to PostgreSQL. Its zero value is ready; Close ends it.
type Connector struct {
	pools table
}

var _ connector.Connector = (*Connector)(nil)

// New makes a connector. It opens connections when they are needed.
func New() *Connector { return new(Connector) }

// Close waits for the calls under way and closes every connection.
func (c *Connector) Close() { c.pools.close() }

// Type is "postgres".
func (*Connector) Type() string { return Type }

// Capabilities says what PostgreSQL can and cannot do. A membership has no
// expiry of its own there; accounts and enabled ones have (VALID UNTIL), for new
// sessions with a password.
func (*Connector) Capabilities() connector.Capabilities {
	return connector.Capabilities{
		Mechanisms:   []access.Mechanism{access.Account, access.Member, access.Enable, access.Checkout},
		Sweepable:    true,
		NativeExpiry: true,
		SessionKill:  true,
		MinTTL:       time.Second,
	}
}

// Forget drops the pooled connections of a target.
func (c *Connector) Forget(conn access.Connection) { c.pools.forget(conn) }

// Provision makes the privilege of one order.
func (c *Connector) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	s := newSubject(t, o)
	if s.err != nil {
		return connector.Receipt{}, failure(s.err)
	}
	if o.Tag == "" {
		return connector.Receipt{}, refuse("an order without a tag is never carried out", "")
	}
	if !o.ExpiresAt.After(time.Unix(0, 0)) {
		return connector.Receipt{}, refuse("an order without an end is never carried out", "")
	}
	var (
		r   connector.Receipt
		err error
	)
	switch o.Mechanism {
	case access.Account:
		r, err = c.provisionAccount(ctx, t, s)
	case access.Enable:
		r, err = c.provisionEnabled(ctx, t, s)
	case access.Checkout:
		r, err = c.provisionCheckout(ctx, t, s)
	default:
		r, err = c.provisionMember(ctx, t, s)
	}
	if err != nil {
		return connector.Receipt{}, failure(err)
	}
	return r, nil
}

// Revoke makes the credentials useless.
func (c *Connector) Revoke(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.batch(ctx, t, os, c.revoke)
}

// TerminateSessions ends the live sessions.
func (c *Connector) TerminateSessions(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.batch(ctx, t, os, c.terminate)
}

// Remove takes away what is left.
func (c *Connector) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.batch(ctx, t, os, c.remove)
}

// batch runs one step of the way out for the orders that make sense, and gives
// each of those that do not its own error.
func (c *Connector) batch(ctx context.Context, t connector.Target, os []connector.Order, step func(context.Context, connector.Target, []*subject) error) []connector.Result {
	all := newSubjects(t, os)
	good := make([]*subject, 0, len(all))
	for _, s := range all {
		if s.err == nil {
			good = append(good, s)
		} else {
			s.result = result(s.err)
		}
	}
	if len(good) > 0 {
		if err := step(ctx, t, good); err != nil {
			r := result(err)
			for _, s := range good {
				if s.result == (connector.Result{}) {
					s.result = r
				}
			}
		}
	}
	rs := make([]connector.Result, len(all))
	for i, s := range all {
		rs[i] = s.result
	}
	return rs
}

// look reads what the catalogue says about the subjects.
func (c *Connector) look(ctx context.Context, t connector.Target, l lane, ss []*subject, what detail) (*scene, error) {
	var seen *scene
	err := c.pools.again(ctx, t, l, func(conn *pgx.Conn) (err error) {
		seen, err = readScene(ctx, conn, ss, what)
		return err
	})
	return seen, err
}
