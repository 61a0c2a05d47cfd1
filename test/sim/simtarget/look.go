package simtarget

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"stint/internal/access"
	"stint/internal/connector"
)

// Verify reads back.
func (c *Connector) Verify(ctx context.Context, t connector.Target, os []connector.Order) []connector.Observation {
	found := make([]connector.Observation, len(os))
	p, leave, err := c.enter(ctx, t)
	if err == nil {
		defer leave()
	}
	for i, o := range os {
		s, bad := read(t, o)
		switch {
		case bad != nil:
			found[i] = connector.Observation{Sessions: -1, Err: bad}
		case err != nil:
			found[i] = connector.Observation{Sessions: -1, Err: failure(err)}
		default:
			found[i] = c.w.observe(p, s)
		}
	}
	return found
}

func (w *World) observe(p *place, s *subject) (o connector.Observation) {
	r, impostor := p.account(s)
	switch {
	case s.Mechanism == access.Account:
		o.Presence, o.Err = w.accountPresence(s, r, impostor)
	case r == nil:
		o.Presence = connector.Absent
	case s.Mechanism == access.Enable:
		o.Presence, o.Err = w.enabledPresence(s, r)
	default:
		o.Presence, o.Err = memberPresence(s, r)
	}
	o.Sessions, o.LastActive = p.activity(s, r, o.Presence)
	if o.Presence == connector.Present && s.Mechanism != access.Member {
		o.Ends = r.until
	}
	return o
}

// accountPresence is strict on both sides: an account that is there and of no
// use is neither present nor gone.
func (w *World) accountPresence(s *subject, r, impostor *role) (connector.Presence, error) {
	if err := removable(s, r, impostor); err != nil {
		return connector.NotKnown, err
	}
	switch {
	case r == nil:
		return connector.Absent, nil
	case !r.login:
		return connector.NotKnown, access.Fail(access.Pending, "account-locked", "the account "+s.name+" is there without login")
	case r.expired(w.now()):
		return connector.NotKnown, access.Fail(access.Expired, "account-expired", "the account "+s.name+" has expired on the target")
	case slices.ContainsFunc(s.Rights, func(g string) bool { return !r.in(g) }):
		return connector.NotKnown, access.Fail(access.Conflict, "group-missing", "the account "+s.name+" is not in all its groups")
	}
	return connector.Present, nil
}

func (w *World) enabledPresence(s *subject, r *role) (connector.Presence, error) {
	marked := s.markOf(r) != nil
	switch {
	case marked && r.login && !r.expired(w.now()):
		return connector.Present, nil
	case marked && r.login:
		return connector.NotKnown, access.Fail(access.Expired, "account-expired", s.name+" has expired on the target")
	case marked:
		return connector.NotKnown, access.Fail(access.Pending, "mark-left", s.name+" cannot log in, and what was changed about it was not put back yet")
	case r.login && s.enabledByUs(r):
		return connector.NotKnown, access.Fail(access.Conflict, "mark-lost", s.name+" can log in, and somebody has removed Stint's mark from it")
	}
	return connector.Absent, nil
}

func memberPresence(s *subject, r *role) (connector.Presence, error) {
	m := s.markOf(r)
	if m != nil && m.ended == 0 && !slices.ContainsFunc(s.Rights, func(g string) bool { return !r.in(g) }) {
		return connector.Present, nil
	}
	for _, right := range s.Rights {
		if r.inBy(s.login, right) && !s.existed(right) && !s.lentByOther(r, right) {
			return connector.NotKnown, access.Fail(access.Conflict, "mark-lost", r.name+" is in "+right+" through Stint, and not as the order says")
		}
	}
	if m != nil {
		return connector.NotKnown, access.Fail(access.Pending, "mark-left", r.name+" has left the groups, and Stint's mark on it is still there")
	}
	return connector.Absent, nil
}

// Inventory lists what is ours at a place, and the standing privilege.
func (c *Connector) Inventory(ctx context.Context, t connector.Target) iter.Seq2[connector.Artefact, error] {
	return func(yield func(connector.Artefact, error) bool) {
		p, leave, err := c.enter(ctx, t)
		if err != nil {
			yield(connector.Artefact{}, failure(err))
			return
		}
		found := p.inventory(t.Username)
		leave()
		for _, a := range found {
			if !yield(a, nil) {
				return
			}
		}
	}
}

func (p *place) inventory(login string) (found []connector.Artefact) {
	for _, r := range p.roles {
		a := connector.Artefact{Mechanism: access.Account, Account: r.name, Creation: idText(r.id)}
		if tag, ok := accountTag(r.name); ok {
			a.Tag, a.Ours, a.Detail = tag, true, "an account made for a grant"
			found = append(found, a)
		} else if r.super && r.login {
			a.Right, a.Standing, a.Detail = "superuser", true, "can log in with superuser"
			found = append(found, a)
		}
		found = append(found, r.lent()...)
		found = append(found, r.unexplained(login, a.Tag != "")...)
	}
	for _, name := range slices.Sorted(maps.Keys(p.estates)) {
		found = append(found, connector.Artefact{Mechanism: access.Account, Account: "quarantine of " + name, Standing: true,
			Detail: "owns what an ended account left behind; it has no privilege of its own"})
	}
	return found
}

// lent lists what the marks on an account say.
func (r *role) lent() (found []connector.Artefact) {
	for _, m := range r.marks {
		a := connector.Artefact{Mechanism: m.mechanism, Account: r.name, Tag: m.tag, Creation: idText(r.id), Ours: true, Detail: "a standing account with a mark of Stint's"}
		if m.mechanism == access.Enable || len(m.rights) == 0 {
			found = append(found, a)
		}
		for _, right := range m.rights {
			a.Right = right
			found = append(found, a)
		}
	}
	return found
}

// unexplained lists the memberships that no account of ours and no mark explains.
func (r *role) unexplained(login string, made bool) (found []connector.Artefact) {
	enabled := slices.ContainsFunc(r.marks, func(m *mark) bool { return m.mechanism == access.Enable })
	for _, m := range r.members {
		ours := r.inBy(login, m.group)
		lent := slices.ContainsFunc(r.marks, func(k *mark) bool { return slices.Contains(k.rights, m.group) })
		switch {
		case made && ours, ours && lent:
		case ours:
			found = append(found, connector.Artefact{Mechanism: access.Member, Account: r.name, Right: m.group, Creation: idText(r.id), Ours: true,
				Detail: "a membership that the connector's login granted, and that no grant explains"})
		case r.login && !enabled:
			found = append(found, connector.Artefact{Mechanism: access.Member, Account: r.name, Right: m.group, Creation: idText(r.id), Standing: true,
				Detail: fmt.Sprintf("%s is in %s, and not through Stint", r.name, m.group)})
		}
	}
	return found
}

// Check says whether the login can begin and end access.
func (c *Connector) Check(ctx context.Context, t connector.Target) (rep connector.Report) {
	p, leave, err := c.enter(ctx, t)
	if err != nil {
		return connector.Report{Steps: []connector.Step{{Name: "connects", Detail: failure(err).Error(), Fix: "see why the target does not answer"}}}
	}
	defer leave()
	rep.Steps = []connector.Step{{Name: "connects", OK: true}, {Name: "can end sessions", OK: !p.weak}}
	if p.weak {
		rep.Steps[1].Detail, rep.Steps[1].Fix = "the login may not end sessions", "grant it what ends sessions"
	}
	return rep
}
