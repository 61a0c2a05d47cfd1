package simtarget

import (
	"context"
	"encoding/json"
	"slices"

	"stint/internal/access"
	"stint/internal/connector"
)

// Connector is the connector to every target of a world.
type Connector struct{ w *World }

var _ connector.Connector = (*Connector)(nil)

// Connector makes a connector. All of them see the same world.
func (w *World) Connector() *Connector { return &Connector{w} }

// Type is "sim".
func (*Connector) Type() string { return Type }

// Schema says what documents may contain for these targets.
func (*Connector) Schema() access.Schema {
	return access.Schema{
		Type:       Type,
		Mechanisms: []access.Mechanism{access.Account, access.Member, access.Enable},
		Role: map[string]access.Option{
			"sessions": {Doc: "what becomes of the account's sessions when it leaves a group", Values: []string{"end", "keep"}, Default: "end"},
		},
	}
}

// Capabilities are those of PostgreSQL.
func (*Connector) Capabilities() connector.Capabilities {
	return connector.Capabilities{Mechanisms: []access.Mechanism{access.Account, access.Member, access.Enable},
		Sweepable: true, NativeExpiry: true, SessionKill: true}
}

// Forget does nothing: there are no connections.
func (*Connector) Forget(access.Connection) {}

// enter locks the world for one call at a place.
func (c *Connector) enter(ctx context.Context, t connector.Target) (p *place, leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	c.w.mu.Lock()
	return c.w.at(t.Connection.Place()), c.w.mu.Unlock, nil
}

// Claim marks a place as ours.
func (c *Connector) Claim(ctx context.Context, t connector.Target, want connector.Claim) error {
	if want.Installation == "" || want.Epoch < 0 {
		return access.Fail(access.Invalid, "bad-claim", "a claim has an installation and an epoch")
	}
	p, leave, err := c.enter(ctx, t)
	if err != nil {
		return access.Fail(access.Unavailable, "claim-failed", "the target could not be claimed").Wrap(err)
	}
	defer leave()
	t.Claim = want
	if err := checkClaim(p.claim, t); err != nil {
		return err
	}
	if p.claim != want {
		p.claim = want
		c.w.changed()
	}
	return nil
}

// Observe reads what an order is about to change.
func (c *Connector) Observe(ctx context.Context, t connector.Target, o connector.Order) (connector.Before, error) {
	s, err := read(t, o)
	if err != nil {
		return connector.Before{}, err
	}
	if o.Mechanism == access.Account {
		return connector.Before{}, nil
	}
	p, leave, err := c.enter(ctx, t)
	if err != nil {
		return connector.Before{}, access.Fail(access.Unavailable, "target-unreadable", "the state of the account cannot be read").Wrap(err)
	}
	defer leave()
	r := p.byName[s.name]
	if err := lendable(s, r); err != nil {
		return connector.Before{}, err
	}
	b := before{ID: r.id}
	switch {
	case o.Mechanism == access.Member:
		for _, right := range o.Rights {
			if !p.groups[right] {
				return connector.Before{}, access.Fail(access.NotFound, "no-such-group", "there is no group "+right+" on the target")
			}
			if r.in(right) && !r.inBy(s.login, right) {
				b.Existing = append(b.Existing, right)
			}
		}
	case r.login && s.markOf(r) == nil:
		return connector.Before{}, access.Fail(access.Denied, "not-dormant", s.name+" can log in already").
			Because("an account to enable is dormant: its privilege would outlive the grant")
	default:
		b.Until, b.Limit = r.until, r.limit
	}
	text, err := json.Marshal(b)
	if err != nil {
		return connector.Before{}, access.Fail(access.Internal, "bad-before", "record the state before").Wrap(err)
	}
	return connector.Before{Existing: o.Mechanism == access.Member && len(b.Existing) == len(o.Rights), State: string(text)}, nil
}

// lendable refuses accounts that no order may touch.
func lendable(s *subject, r *role) error {
	if r == nil {
		return access.Fail(access.NotFound, "no-such-account", "there is no account "+s.name+" on the target")
	}
	if r.super {
		return access.Fail(access.Denied, "protected-account", s.name+" is a superuser, which is never lent or lent to")
	}
	return nil
}

// Provision makes the privilege of one order.
func (c *Connector) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	s, err := read(t, o)
	switch {
	case err != nil:
		return connector.Receipt{}, failure(err)
	case o.Tag == "":
		return connector.Receipt{}, refuse("an order without a tag is never carried out", "")
	case o.ExpiresAt.Unix() <= 0:
		return connector.Receipt{}, refuse("an order without an end is never carried out", "")
	}
	p, leave, err := c.enter(ctx, t)
	if err != nil {
		return connector.Receipt{}, failure(err)
	}
	defer leave()
	if err := checkClaim(p.claim, t); err != nil {
		return connector.Receipt{}, failure(err)
	}
	for _, right := range o.Rights {
		if !p.groups[right] {
			return connector.Receipt{}, refuse("there is no group "+right, "create it, or mend the name in the document")
		}
	}
	r, impostor := p.account(s)
	var failed error
	switch {
	case o.Renew == connector.Extend && (o.Mechanism == access.Account || o.Mechanism == access.Enable):
		failed = c.w.extend(s, r, impostor)
	case o.Mechanism == access.Account:
		r, failed = c.w.provisionAccount(p, s, r, impostor)
	default:
		failed = c.w.provisionStanding(p, s, r, impostor)
	}
	if failed != nil {
		return connector.Receipt{}, failure(failed)
	}
	out := connector.Receipt{Account: r.name, Creation: idText(r.id)}
	if o.Renew == connector.Extend || o.Mechanism == access.Member {
		return out, nil
	}
	if o.Renew == connector.Rotate {
		c.w.end(p, func(x *session) bool { return x.role == r.id })
	}
	text, err := json.Marshal(map[string]string{"username": r.name, "password": r.password})
	if err != nil {
		return connector.Receipt{}, failure(err)
	}
	out.Credential = access.NewSecret(text)
	return out, nil
}

// extend raises the target's own expiry, and never lowers it.
func (w *World) extend(s *subject, r, impostor *role) error {
	if r == nil || impostor != nil || s.Mechanism == access.Account && (r.super || r.name != s.name) || s.marked && s.markOf(r) == nil {
		return refuse("there is nothing to extend: "+s.name+" is not as Stint left it", "end the grant and ask anew")
	}
	if !r.until.IsZero() && r.until.Before(s.ExpiresAt) {
		r.until = s.ExpiresAt
		w.changed()
	}
	return nil
}

// provisionAccount makes the account, or finds the one it made before and gives
// it a new password.
func (w *World) provisionAccount(p *place, s *subject, r, impostor *role) (*role, error) {
	if impostor != nil || r != nil && (r.super || r.name != s.name) {
		return nil, refuse("an account with that name is there that Stint did not make", "drop or rename the account "+s.name)
	}
	if r == nil {
		r = w.make(p, s.name)
		r.ours, r.person = true, s.Person
	}
	r.login, r.password, r.until = true, w.password(), s.ExpiresAt
	for _, right := range s.Rights {
		if !r.in(right) {
			r.members = append(r.members, membership{right, s.login, true})
		}
	}
	w.changed()
	return r, nil
}

// provisionStanding puts the order's mark on a standing account, and enables it
// or lets it join.
func (w *World) provisionStanding(p *place, s *subject, r, impostor *role) error {
	if impostor != nil {
		return refuse("the account "+s.name+" is not the one that was there when this was asked for", "ask anew")
	}
	if err := lendable(s, r); err != nil {
		return err
	}
	m := s.markOf(r)
	if s.Mechanism == access.Enable {
		if s.otherEnabled(r) {
			return notDone(s.name + " is enabled for another grant")
		}
		if r.login && m == nil {
			return refuse(s.name+" can log in already, and not through Stint", "make it dormant")
		}
	}
	if m == nil || m.ended != 0 {
		r.marks = slices.DeleteFunc(r.marks, func(x *mark) bool { return x == m })
		m = &mark{mechanism: s.Mechanism, tag: s.Tag, grantor: s.login, keep: s.keepsSessions(), made: w.now(), until: r.until, limit: r.limit}
		for _, right := range s.Rights {
			if !s.existed(right) && s.Mechanism == access.Member {
				m.rights = append(m.rights, right)
			}
		}
		r.marks = append(r.marks, m)
		for _, x := range p.sessionsOf(r.id) {
			if !slices.Contains(x.tags, s.Tag) && s.lends() {
				x.tags = append(slices.Clone(x.tags), s.Tag)
			}
		}
	}
	if s.Mechanism == access.Enable {
		r.login, r.password, r.until = true, w.password(), s.ExpiresAt
	} else {
		for _, right := range s.Rights {
			if !r.in(right) {
				r.members = append(r.members, membership{right, s.login, true})
			}
		}
	}
	w.changed()
	return nil
}
