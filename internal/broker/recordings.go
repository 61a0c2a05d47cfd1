package broker

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// watches reports whether the caller may see the recording of a session. No office is
// enough: a policy names them.
func (c Caller) watches(set *policy.Set, s access.Session, now time.Time) bool {
	if c.Glass != nil {
		return false
	}
	_, ok := set.MayWatch(c.Principal, s.Role, s.Resource, now)
	return ok
}

// watched are the sessions of a query that the caller may see, of which many may not be.
func watched(tx Tx, c Caller, set *policy.Set, q access.SessionQuery) (out []access.Session, err error) {
	const most = 20 // pages that are looked at for one
	want := q.Limit
	if want <= 0 {
		want = 100
	}
	for range most {
		ss, err := tx.Sessions(q)
		if err != nil {
			return nil, err
		}
		for _, s := range ss {
			if (c.seesSession(set, s) || c.watches(set, s, tx.Now())) && len(out) < want {
				out = append(out, s)
			}
		}
		if len(out) >= want || len(ss) < want {
			break
		}
		q.Before = ss[len(ss)-1].ID
	}
	return out, nil
}

// Watch is a session whose recording the caller may see. Who sees the session and not
// its recording is told what it takes; of others' sessions nobody hears.
func (b *Broker) Watch(ctx context.Context, c Caller, id string) (out access.LiveSession, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		s, err := b.findSession(tx, c, id, func(Caller, *policy.Set, access.Session) bool { return true }, nil)
		if err != nil {
			return err
		}
		if !c.watches(b.documentsOrNone(tx), s, tx.Now()) {
			return access.Fail(access.Denied, "not-yours-to-watch", "the recording of this session is not yours to see").
				Because("it is for whom a policy with effect watch names, for the role " + string(s.Role)).Try("an administrator applies one; docs/reference/documents.md shows how")
		}
		all, err := withGrants(tx, []access.Session{s})
		if err == nil {
			out = all[0]
		}
		return err
	})
	return out, err
}

// Watched are sessions whose recordings the caller may see, the newest first.
func (b *Broker) Watched(ctx context.Context, c Caller, q access.SessionQuery) (out []access.LiveSession, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		out = nil
		set := b.documentsOrNone(tx)
		if c.Glass != nil || !set.Reviews(c.Principal, tx.Now()) {
			return nil
		}
		ss, err := tx.Sessions(q)
		if err != nil {
			return err
		}
		for _, s := range ss {
			if c.watches(set, s, tx.Now()) {
				out = append(out, access.LiveSession{Session: s})
			}
		}
		return nil
	})
	return out, err
}

// Hold is a session whose recording the caller may hold: administrators, auditors, and who
// may watch it; or, with free, let go again: administrators, and not of what is their own.
func (b *Broker) Hold(ctx context.Context, c Caller, id string, free bool) (out access.Session, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) (err error) {
		now := tx.Now()
		may := func(c Caller, set *policy.Set, s access.Session) bool {
			return c.Glass == nil && (c.Principal.Admin || c.Principal.Auditor || c.watches(set, s, now))
		}
		no := access.Fail(access.Denied, "not-yours", "recordings are held by administrators, auditors and who may watch them").Try("ask one of them")
		if free {
			may = func(c Caller, _ *policy.Set, s access.Session) bool {
				return c.Glass == nil && c.Principal.Admin && s.Person != c.Principal.Person
			}
			no = access.Fail(access.Denied, "not-yours", "a recording that is held is let go by administrators").Because("and never that of a session of their own").Try("ask another administrator")
		}
		out, err = b.findSession(tx, c, id, may, no)
		return err
	})
	return out, err
}

// OfSession is what a caller may do about a session.
type OfSession struct{ Watch, Pause, End bool }

// MayOfSession says so.
func (b *Broker) MayOfSession(ctx context.Context, c Caller, s access.Session) (may OfSession, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		set := b.documentsOrNone(tx)
		may.Watch, may.End = c.watches(set, s, tx.Now()), c.endsSession(set, s)
		may.Pause = c.Glass == nil && s.Protocol != access.Elevation && (may.Watch || c.Principal.Admin || c.owns(set, s.Resource))
		return nil
	})
	return may, err
}

// PauseSession stops what passes in a session, or lets it go on: administrators, owners
// of the resource, and who may watch it.
func (b *Broker) PauseSession(ctx context.Context, c Caller, id, why string, pause bool) (out access.LiveSession, err error) {
	err = b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		now := tx.Now()
		verb := "resumed"
		if pause {
			verb = "paused"
		}
		s, err := b.findSession(tx, c, id, func(c Caller, set *policy.Set, s access.Session) bool {
			return c.Glass == nil && (c.Principal.Admin || c.owns(set, s.Resource) || c.watches(set, s, now))
		}, access.Fail(access.Denied, "not-yours", "a session is "+verb+" by owners of the resource, by administrators and by who may watch it").
			Try("ask one of them; who has it can end it: stint session end "+id+" --why TEXT"))
		if err != nil {
			return err
		}
		var ev access.Event
		if pause {
			s, ev, err = s.Pause(c.Actor, why, now)
		} else {
			s, ev, err = s.Resume(c.Actor, now)
		}
		if err != nil {
			return err
		}
		fx.event(ev)
		fx.changed = append(fx.changed, s.Request)
		if err := tx.SaveSessions(s); err != nil {
			return err
		}
		all, err := withGrants(tx, []access.Session{s})
		if err == nil {
			out = all[0]
		}
		return err
	})
	return out, err
}
