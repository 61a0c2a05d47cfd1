package broker

import (
	"context"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/policy"
)

var errNoSession = access.Fail(access.NotFound, "not-found", "there is no such session, or it is not yours to see").
	Try("stint get requests lists what is yours; an administrator sees all sessions")

// Sessions lists sessions, newest first, and says what time it is.
// Administrators and auditors see all, owners those on a resource of theirs that they
// name, everybody their own.
func (b *Broker) Sessions(ctx context.Context, c Caller, q access.SessionQuery) (found []access.LiveSession, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		q := q
		if set := b.documentsOrNone(tx); c.Glass == nil && !c.Principal.Admin && !c.Principal.Auditor && set.Reviews(c.Principal, tx.Now()) {
			ss, err := watched(tx, c, set, q)
			if err == nil {
				found, err = withGrants(tx, ss)
			}
			return err
		}
		if !c.Principal.Admin && !c.Principal.Auditor && (q.Resource == "" || !c.owns(b.documentsOrNone(tx), q.Resource)) {
			if q.Person != "" && q.Person != c.Principal.Person {
				return access.Fail(access.Denied, "not-yours", "the sessions of others are for administrators, auditors and owners").Try("owners name their resource")
			}
			q.Person = c.Principal.Person
		}
		ss, err := tx.Sessions(q)
		if err != nil {
			return err
		}
		found, err = withGrants(tx, ss)
		return err
	})
	return found, err
}

// withGrants adds what the grants of sessions say.
func withGrants(tx Tx, ss []access.Session) ([]access.LiveSession, error) {
	var ids []access.GrantID
	for _, s := range ss {
		ids = append(ids, s.Grant)
	}
	known, err := byKey(ids, tx.GrantsOf, tx.Grant, func(g access.Grant) access.GrantID { return g.ID })
	if err != nil {
		return nil, err
	}
	out := make([]access.LiveSession, len(ss))
	for i, s := range ss {
		g := known[s.Grant]
		out[i] = access.LiveSession{Session: s, State: g.State, ExpiresAt: g.ExpiresAt}
	}
	return out, nil
}

// Session shows one session, by a full or partial id.
func (b *Broker) Session(ctx context.Context, c Caller, id string) (out access.LiveSession, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		s, err := b.findSession(tx, c, id, func(Caller, *policy.Set, access.Session) bool { return true }, nil)
		if err != nil {
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

// EndSession ends one session: its holder, administrators, and owners of the resource.
// Its grant goes on.
func (b *Broker) EndSession(ctx context.Context, c Caller, id, why string) (out access.LiveSession, err error) {
	err = b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		s, err := b.findSession(tx, c, id, Caller.endsSession,
			access.Fail(access.Denied, "not-yours", "a session is ended by who has it, by owners of the resource and by administrators").Try("ask one of them"))
		if err != nil {
			return err
		}
		if s.EndingAt.IsZero() || !s.ClosedAt.IsZero() {
			var ev access.Event
			if s, ev, err = s.End(c.Actor, why, tx.Now()); err != nil {
				return err
			}
			fx.event(ev)
			fx.changed = append(fx.changed, s.Request) // wakes the streams of cuts, here and at other replicas
			if err := tx.SaveSessions(s); err != nil {
				return err
			}
		}
		all, err := withGrants(tx, []access.Session{s})
		if err == nil {
			out = all[0]
		}
		return err
	})
	return out, err
}

// findSession resolves an id to a session of which may holds, and else fails with no; of
// what is not theirs nobody hears.
func (b *Broker) findSession(tx Tx, c Caller, id string, may func(Caller, *policy.Set, access.Session) bool, no error) (access.Session, error) {
	set := b.documentsOrNone(tx)
	s, err := sessionNamed(tx, id, func(s access.Session) bool { return c.seesSession(set, s) || c.watches(set, s, tx.Now()) })
	if err != nil {
		return s, err
	}
	if !may(c, set, s) {
		return access.Session{}, no
	}
	return s, nil
}

// mostNamed bounds the sessions that are looked at to find one by the beginning of its id.
const mostNamed = 1000

// sessionNamed is the session of a full or partial id among those that sees holds of: others do
// not make an id ambiguous, which would tell that they are there. The "ses_" may be left
// out, and case does not matter.
func sessionNamed(tx Tx, id string, sees func(access.Session) bool) (access.Session, error) {
	prefix := strings.TrimPrefix(strings.ToUpper(id), "SES_")
	if prefix == "" || len(prefix) > 26 || strings.Trim(prefix, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return access.Session{}, errNoSession
	}
	found, err := tx.Sessions(access.SessionQuery{Prefix: access.SessionID("ses_" + prefix), Limit: mostNamed})
	if err != nil {
		return access.Session{}, err
	}
	many := len(found) == mostNamed // the caller's own may be behind these
	found = slices.DeleteFunc(found, func(s access.Session) bool { return !sees(s) })
	switch {
	case len(found) == 0:
		return access.Session{}, errNoSession
	case len(found) > 1 || many:
		return access.Session{}, access.Fail(access.Conflict, "ambiguous-id", "more than one session may begin like this").Try("give more of the id")
	}
	return found[0], nil
}

func (c Caller) seesSession(set *policy.Set, s access.Session) bool {
	return c.Glass == nil && (c.Principal.Auditor || c.endsSession(set, s))
}

func (c Caller) endsSession(set *policy.Set, s access.Session) bool {
	return c.Glass == nil && (c.Principal.Admin || s.Person == c.Principal.Person || c.owns(set, s.Resource))
}
