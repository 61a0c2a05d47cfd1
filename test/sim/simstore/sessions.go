package simstore

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

func cloneSession(s access.Session) access.Session {
	s.OpenedAt, s.OverAt, s.RenewedAt, s.EndingAt, s.ClosedAt = instant(s.OpenedAt), instant(s.OverAt), instant(s.RenewedAt), instant(s.EndingAt), instant(s.ClosedAt)
	return s
}

// SaveSessions writes sessions. What is known of their recordings stays.
func (tx *Tx) SaveSessions(ss ...access.Session) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, s := range ss {
		old, there := tx.s.sessions[s.ID]
		switch {
		case !there && s.Version != 1 || there && !follows(s.Version, old.Version):
			return tx.fail(changed("session", s.ID, s.Version))
		case there && (s.Gateway != old.Gateway || s.Grant != old.Grant || s.Person != old.Person || s.Resource != old.Resource || s.Keeps != old.Keeps || !s.OpenedAt.Equal(old.OpenedAt)):
			return tx.fail(changed("session", s.ID, s.Version))
		case tx.s.grants.rows[s.Grant] == nil:
			return tx.fail(broken("a session is of a grant"))
		}
		s.Recording = old.Recording
		if s.RenewedAt.Before(old.RenewedAt) {
			s.RenewedAt = old.RenewedAt
		}
		putKey(tx, tx.s.sessions, s.ID, cloneSession(s))
	}
	return nil
}

// SaveTape notes what is known of a session's recording.
func (tx *Tx) SaveTape(id access.SessionID, t access.Tape) error {
	if err := tx.writes(); err != nil {
		return err
	}
	s, there := tx.s.sessions[id]
	if !there {
		return tx.fail(missing("session"))
	}
	s.Recording = t
	putKey(tx, tx.s.sessions, id, s)
	return nil
}

// sessionsWhere lists those that ok takes, by id.
func (tx *Tx) sessionsWhere(ok func(access.Session) bool) (found []access.Session, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, s := range tx.s.sessions {
		if ok(s) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b access.Session) int { return cmp.Compare(a.ID, b.ID) })
	return found, nil
}

// Session reads a session by its whole id.
func (tx *Tx) Session(id access.SessionID) (access.Session, error) {
	if tx.err != nil {
		return access.Session{}, tx.err
	}
	s, there := tx.s.sessions[id]
	if !there {
		return s, missing("session")
	}
	return s, nil
}

// Sessions lists sessions, newest first.
func (tx *Tx) Sessions(q access.SessionQuery) ([]access.Session, error) {
	found, err := tx.sessionsWhere(func(s access.Session) bool {
		return (!q.Live || s.ClosedAt.IsZero()) && (q.Gateway == "" || s.Gateway == q.Gateway) && (q.Person == "" || s.Person == q.Person) &&
			(q.Resource == "" || s.Resource == q.Resource) && (q.Grant == "" || s.Grant == q.Grant) && (q.Before == "" || s.ID < q.Before) && strings.HasPrefix(string(s.ID), string(q.Prefix)) && !s.OpenedAt.Before(q.Since)
	})
	slices.Reverse(found)
	return found[:min(len(found), limited(q.Limit, 100, 1000))], err
}

// LiveSessions are those of a gateway that are not closed, with what their grants say.
func (tx *Tx) LiveSessions(gateway string) (live []access.LiveSession, err error) {
	found, err := tx.sessionsWhere(func(s access.Session) bool { return s.Gateway == gateway && s.ClosedAt.IsZero() })
	for _, s := range found {
		g := tx.s.grants.rows[s.Grant]
		live = append(live, access.LiveSession{Session: s, State: g.State, ExpiresAt: g.ExpiresAt})
	}
	return live, err
}

// RenewSessions notes that a gateway is heard of, and so are the sessions that it has.
func (tx *Tx) RenewSessions(gateway string) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for id, s := range tx.s.sessions {
		if s.Gateway == gateway && s.ClosedAt.IsZero() && s.RenewedAt.Before(tx.now) {
			s.RenewedAt = tx.now
			putKey(tx, tx.s.sessions, id, s)
		}
	}
	return nil
}

// LostSessions are open ones that were not named since.
func (tx *Tx) LostSessions(since time.Time, limit int) ([]access.Session, error) {
	found, err := tx.sessionsWhere(func(s access.Session) bool {
		return s.ClosedAt.IsZero() && s.RenewedAt.Before(since) && (!s.Keeps || tx.s.grants.rows[s.Grant].State != access.Active)
	})
	return found[:min(len(found), limit)], err
}
