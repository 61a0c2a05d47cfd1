package simtarget

import (
	"context"
	"fmt"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// batch runs one step of the way out for each order that makes sense.
func (c *Connector) batch(ctx context.Context, t connector.Target, os []connector.Order, step func(*World, *place, *subject) connector.Result) []connector.Result {
	rs := make([]connector.Result, len(os))
	p, leave, err := c.enter(ctx, t)
	if err == nil {
		defer leave()
	}
	for i, o := range os {
		if s, bad := read(t, o); bad != nil {
			rs[i] = result(bad)
		} else if err != nil {
			rs[i] = result(err)
		} else if no := p.stopped(t, s); no != nil {
			rs[i] = result(no)
		} else {
			rs[i] = step(c.w, p, s)
		}
	}
	return rs
}

// Revoke makes the credentials useless: no login for accounts, no membership for
// standing ones.
func (c *Connector) Revoke(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.batch(ctx, t, os, (*World).revoke)
}

func (w *World) revoke(p *place, s *subject) connector.Result {
	r, impostor := p.account(s)
	done := connector.Result{Outcome: connector.Done}
	switch s.Mechanism {
	case access.Account:
		done.Foreign = removable(s, r, impostor) != nil
		for _, x := range []*role{r, impostor} {
			w.lock(x)
		}
	case access.Enable:
		done.Foreign = r == nil && impostor != nil
		if r != nil && r.login && s.enabledByUs(r) {
			w.lock(r)
		}
	default:
		done.Foreign = r == nil && impostor != nil
		if r != nil {
			done.Foreign = w.leaveGroups(s, r)
		}
	}
	return done
}

// lock takes login and password.
func (w *World) lock(r *role) {
	if r != nil && (r.login || r.password != "") {
		r.login, r.password = false, ""
		w.changed()
	}
}

// leaveGroups takes back the groups that our login gave, except those that
// another order lends. It reports whether there are others' among them.
func (w *World) leaveGroups(s *subject, r *role) (foreign bool) {
	rights := s.Rights
	if m := s.markOf(r); m != nil {
		rights = append(slices.Clone(rights), m.rights...)
	}
	for _, right := range rights {
		switch {
		case !r.in(right) || s.existed(right):
		case !r.inBy(s.login, right):
			foreign = true
		case !s.lentByOther(r, right):
			ours := func(m membership) bool { return m.group == right && r.grantedBy(s.login, m) }
			r.members = slices.DeleteFunc(r.members, ours)
			w.changed()
		}
	}
	return foreign
}

func (s *subject) label() string { return string(s.Mechanism) + " " + string(s.Tag) }

// TerminateSessions ends the live sessions.
func (c *Connector) TerminateSessions(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.batch(ctx, t, os, (*World).terminate)
}

func (w *World) terminate(p *place, s *subject) connector.Result {
	id := p.sessionRole(s)
	if id == 0 {
		return result(nil)
	}
	if p.weak && len(p.sessionsOf(id)) > 0 {
		return result(refuse("the login may not end sessions", "grant it what ends sessions"))
	}
	upTo := w.serial
	if r := p.byID[id]; s.Mechanism == access.Member && r != nil {
		if m := s.markOf(r); m != nil {
			if m.ended == 0 { // sessions that begin later cannot use the group, and are the person's own
				m.ended = w.serial
				w.changed()
			}
			upTo = m.ended
		}
	}
	w.end(p, func(x *session) bool { return x.role == id && x.id <= upTo })
	return result(nil)
}

// sessionRole is the account whose sessions end with the order, or 0.
func (p *place) sessionRole(s *subject) int64 {
	r, _ := p.account(s)
	switch {
	case s.Mechanism == access.Account && r == nil:
		return s.creation
	case s.Mechanism == access.Account:
		return r.id
	case s.Mechanism == access.Member && (s.keepsSessions() || !s.lends()):
		return 0
	case r == nil && s.Creation != "":
		return s.creation
	case r == nil:
		return 0
	case s.Mechanism == access.Enable && (r.login || !s.enabledByUs(r)):
		return 0 // whoever enabled the account after us keeps their sessions
	case s.Mechanism == access.Member && s.marked && s.markOf(r) == nil:
		return 0 // done before: the mark went last
	}
	return r.id
}

// Remove takes away what is left: accounts, settings made on an enabled one, marks.
func (c *Connector) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.batch(ctx, t, os, (*World).remove)
}

func (w *World) remove(p *place, s *subject) connector.Result {
	r, impostor := p.account(s)
	if s.Mechanism != access.Account {
		return w.removeMark(p, s, r)
	}
	if foreign := removable(s, r, impostor); foreign != nil {
		return connector.Result{Outcome: connector.NotDone, Foreign: true, Err: foreign}
	}
	id := s.creation
	if r != nil {
		id = r.id
	}
	switch open := len(p.sessionsOf(id)); {
	case open > 0:
		return result(notDone(fmt.Sprintf("%d sessions of %s are still open", open, s.name)))
	case r == nil:
		return result(nil)
	case r.login:
		return result(notDone("the account " + s.name + " can still log in; revoke it first"))
	}
	if !r.ours {
		w.blame("%s: removed %s, which Stint did not make", s.label(), r.name)
	}
	if r.owns > 0 { // goes into quarantine
		p.estates[r.name] += r.owns
	}
	w.drop(p, r)
	return result(nil)
}

// removable says why an account is not ours to remove; nil when it is, or is gone.
func removable(s *subject, r, impostor *role) error {
	switch {
	case impostor != nil:
		return notOurs(impostor.name, "is not the one that Stint made")
	case r != nil && r.name != s.name:
		return notOurs(r.name, "was made by Stint and renamed by somebody")
	case r != nil && r.super:
		return notOurs(r.name, "has powers that Stint never gives")
	}
	return nil
}

func notOurs(name, what string) error {
	return access.Fail(access.Conflict, "foreign-role", "the account "+name+" "+what).
		Because("it was left without login, and otherwise as it is").Try("find out who did that, then drop the account")
}

// removeMark ends a group or enable order: settings go back to what they were,
// then the mark goes.
func (w *World) removeMark(p *place, s *subject, r *role) connector.Result {
	if r == nil {
		return result(nil)
	}
	m := s.markOf(r)
	if s.Mechanism == access.Enable {
		if m == nil {
			return result(nil)
		}
		switch open := len(p.sessionsOf(r.id)); {
		case r.login:
			return result(notDone("the account " + s.name + " can still log in; revoke it first"))
		case open > 0:
			return result(notDone(fmt.Sprintf("%d sessions of %s are still open", open, s.name)))
		}
		if s.before.ID == r.id { // else nobody knows how it was; it stays without login
			r.until, r.limit = s.before.Until, s.before.Limit
		}
		if !r.until.Equal(m.until) || r.limit != m.limit {
			w.blame("%s: the settings of %s were not put back", s.label(), r.name)
		}
	} else {
		for _, right := range s.Rights {
			if r.inBy(s.login, right) && !s.existed(right) && !s.lentByOther(r, right) {
				return result(notDone(r.name + " is still in " + right + "; revoke it first"))
			}
		}
		if n := p.oldSessions(s, r); n > 0 {
			return result(notDone(fmt.Sprintf("%d sessions of %s are still open", n, r.name)))
		}
	}
	if m != nil {
		r.marks = slices.DeleteFunc(r.marks, func(x *mark) bool { return x == m })
		if m.keep {
			for _, x := range p.sessionsOf(r.id) { // the role says that they may stay
				x.tags = slices.DeleteFunc(slices.Clone(x.tags), func(t access.Tag) bool { return t == s.Tag })
			}
		}
		w.changed()
	}
	return result(nil)
}

// oldSessions counts the sessions of a standing account that may still use the
// groups of an order that ended.
func (p *place) oldSessions(s *subject, r *role) (n int) {
	m := s.markOf(r)
	if m == nil || s.keepsSessions() || !s.lends() {
		return 0
	}
	for _, x := range p.sessionsOf(r.id) {
		if m.ended == 0 || x.id <= m.ended {
			n++
		}
	}
	return n
}

// activity counts the sessions that matter to an order, and says when one last
// did something.
func (p *place) activity(s *subject, r *role, presence connector.Presence) (n int, last time.Time) {
	over := presence != connector.Present && r != nil
	switch {
	case over && s.Mechanism == access.Member:
		return p.oldSessions(s, r), last
	case over && s.Mechanism == access.Enable && !s.enabledByUs(r), r == nil && s.marked && s.Creation == "":
		return 0, last
	}
	id := s.creation
	if r != nil {
		id = r.id
	}
	for _, x := range p.sessionsOf(id) {
		n++
		if x.active.After(last) {
			last = x.active
		}
	}
	return n, last
}
