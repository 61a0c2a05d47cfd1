package postgres

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// Verify reads back, in one round trip for all orders.
func (c *Connector) Verify(ctx context.Context, t connector.Target, os []connector.Order) []connector.Observation {
	found := make([]connector.Observation, len(os))
	var good []*subject
	var index []int
	for i, s := range newSubjects(t, os) {
		if s.err != nil {
			found[i] = connector.Observation{Sessions: -1, Err: s.err}
			continue
		}
		good, index = append(good, s), append(index, i)
	}
	if len(good) == 0 {
		return found
	}
	seen, err := c.look(ctx, t, reading, good, withMembers|withSessions)
	now := time.Now()
	for i, s := range good {
		if err != nil {
			found[index[i]] = connector.Observation{Sessions: -1, Err: failure(err)}
			continue
		}
		found[index[i]] = seen.observe(s, now)
	}
	if err == nil {
		c.settleCheckouts(ctx, t, seen, good, found, index)
	}
	return found
}

// observe is the state of one order.
func (v *scene) observe(s *subject, now time.Time) connector.Observation {
	r, impostor := v.account(s)
	var o connector.Observation
	switch s.order.Mechanism {
	case access.Account:
		o.Presence, o.Err = v.accountPresence(s, r, impostor)
	case access.Enable:
		if r == nil {
			o.Presence = connector.Absent
		} else {
			o.Presence, o.Err = v.enabledPresence(s, r)
		}
	case access.Checkout:
		if r == nil {
			o.Presence = connector.Absent
		} else {
			o.Presence, o.Err = v.checkoutPresence(s, r)
		}
	default:
		if r == nil {
			o.Presence = connector.Absent
		} else {
			o.Presence, o.Err = v.memberPresence(s, r)
		}
	}
	o.Sessions, o.LastActive = v.activity(s, r, o.Presence, now)
	if o.Presence == connector.Present && s.order.Mechanism != access.Member && r.endsUS != 0 {
		o.Ends = time.UnixMicro(r.endsUS).UTC()
	}
	return o
}

// accountPresence is strict on both sides: an account that is there and of no
// use is neither present nor gone.
func (v *scene) accountPresence(s *subject, r, impostor *role) (connector.Presence, error) {
	if err := removable(s, r, impostor); err != nil {
		return connector.NotKnown, err
	}
	switch {
	case r == nil:
		return connector.Absent, nil
	case !r.login:
		return connector.NotKnown, access.Fail(access.Pending, "account-locked", "the account "+s.name+" is there without login")
	case r.expired:
		return connector.NotKnown, access.Fail(access.Expired, "account-expired", "the account "+s.name+" has expired on the target")
	case len(v.missing(s, r)) > 0:
		return connector.NotKnown, access.Fail(access.Conflict, "group-missing", "the account "+s.name+" is not in all its groups")
	}
	return connector.Present, nil
}

// memberPresence: the mark and every group make it present; neither the mark nor
// a group that we gave makes it absent.
func (v *scene) memberPresence(s *subject, r *role) (connector.Presence, error) {
	marked := v.marked(s, r)
	if marked && len(v.missing(s, r)) == 0 && v.notes[s.mark].EndedUS == 0 {
		return connector.Present, nil
	}
	for _, right := range s.order.Rights {
		if _, ours := v.in(r.oid, right); ours && !s.existed(right) && !v.lentByOther(s, r, right) {
			return connector.NotKnown, access.Fail(access.Conflict, "mark-lost", r.name+" is in "+right+" through Stint, and not as the order says")
		}
	}
	if marked {
		return connector.NotKnown, access.Fail(access.Pending, "mark-left", r.name+" has left the groups, and Stint's mark on it is still there")
	}
	return connector.Absent, nil
}

// activity counts the sessions that matter to the order: those of an account
// that was made or enabled for it, those of a standing account as long as they
// may use what it was lent. Once that is over its sessions are its owner's own.
func (v *scene) activity(s *subject, r *role, p connector.Presence, now time.Time) (n int, last time.Time) {
	over := p != connector.Present && r != nil
	switch {
	case over && s.order.Mechanism == access.Member:
		if v.marked(s, r) {
			n = v.oldSessions(s, r)
		}
		return n, last
	case over && s.order.Mechanism == access.Enable && !v.enabledByUs(s, r),
		over && s.order.Mechanism == access.Checkout && !v.marked(s, r),
		r == nil && s.mark != "" && s.order.Creation == "":
		return 0, last
	}
	open := v.sessions[r.oidOr(s.creation)]
	for _, x := range open {
		if at := now.Add(-x.idle); at.After(last) {
			last = at
		}
	}
	return len(open), last
}
