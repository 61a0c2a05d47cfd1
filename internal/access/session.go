package access

import (
	"net/netip"
	"time"
)

// SessionID names one session through a gateway, or of one command on a host.
type SessionID string

// NewSessionID makes an identifier that sorts by time.
func NewSessionID(ms int64, e Entropy) SessionID { return SessionID("ses_" + newULID(ms, e)) }

// Protocol is what a session speaks. Stored: only append.
type Protocol string

// The protocols that gateways carry.
const (
	SSH      Protocol = "ssh"
	Postgres Protocol = "postgres"
	HTTP     Protocol = "http"
	TCP      Protocol = "tcp"
)

// The events of sessions. A session's records in the log say who was where, from when to
// when and why no longer; what was done in it is in its recording.
const (
	SessionOpened  EventType = "session.opened"
	SessionEnding  EventType = "session.ending" // somebody wants it to end
	SessionAlarmed EventType = "session.alarmed"
	SessionLogin   EventType = "session.login"   // its gateway is about to get the login for the target
	SessionDoubted EventType = "session.doubted" // a second key for that came, and was refused
	SessionPaused  EventType = "session.paused"  // nothing of it passes
	SessionResumed EventType = "session.resumed" // and again it does
	SessionClosed  EventType = "session.closed"
)

// Session is one connection through a gateway under a grant. It is written down before
// its gateway may carry a byte of it, and closed when the gateway has said that no byte
// passes any more, or when the gateway cannot be carrying it any more.
type Session struct {
	ID      SessionID
	Version int64

	Gateway   string
	Protocol  Protocol
	Grant     GrantID
	Request   RequestID
	Principal PrincipalID
	Person    Person
	Role      RoleName
	Resource  ResourceName
	Address   string // of the target
	Account   string // on the target
	Held      EntitlementID
	Source    netip.AddrPort // where the person connected from, as the gateway saw it
	Key       string         // fingerprint of the key that proved itself
	// Keeps says that it goes on, until its grant's end, while the gateway is cut off.
	Keeps bool
	// Strict says that no byte of it passes before it is durably recorded.
	Strict bool

	OpenedAt time.Time
	OverAt   time.Time // its grant's end when it was opened; the grant's own counts
	// RenewedAt is when its gateway named it last. It is kept beside the version.
	RenewedAt time.Time

	EndingAt time.Time // when somebody wanted it to end; zero: nobody did
	EndingBy PrincipalID
	EndNote  string

	PausedAt time.Time // since when nothing of it passes; zero: it passes
	PausedBy PrincipalID

	ClosedAt time.Time // zero while it is open
	Reason   string    // why it closed: a gateway.Reason, or SessionLost
	Text     string    // more of that, for people

	// Certified is the fingerprint of the one key for its leg to the target: that was
	// certified, or that the login for it was sealed to. Empty before there was one.
	Certified string
	Alarms    int64

	Command Command // of Elevation

	Recording Tape
}

// Tape is what is known of a session's recording. It is kept beside the version.
type Tape struct {
	ID       string // where it is kept; empty while nothing of it is
	State    TapeState
	Bytes    int64
	Commands int64
}

// TapeState is what became of a recording. Stored: only append.
type TapeState string

// The states of a recording.
const (
	TapeNone    TapeState = ""        // nothing of it has come yet
	TapeRunning TapeState = "running" // it comes as it is made
	TapeKept    TapeState = "kept"    // whole, sealed and verified
	TapeBroken  TapeState = "broken"  // its end is missing, or it does not verify
	TapeRemoved TapeState = "removed" // its time was over
	TapeLost    TapeState = "lost"    // what came of it is kept; its gateway will not send the rest
)

// SessionLost is the reason of a session whose gateway has not named it for so long
// that it cannot be carrying it.
const SessionLost = "lost"

// Open makes the session and its event.
func (s Session) Open(actor Actor, now time.Time) (Session, Event) {
	s.Version, s.OpenedAt, s.RenewedAt = 1, now, now
	return s, s.event(SessionOpened, actor, now, "address", s.Address, "source", s.Source.String(), "key", s.Key, "over_at", stamp(s.OverAt), "record", s.recorded())
}

func (s Session) recorded() string {
	if s.Strict {
		return "strict"
	}
	return "normal"
}

// Lend notes that its gateway is about to get the login for the target, sealed to the one
// key that it made for that. The same may be handed out again, where it was lost on the way.
func (s Session) Lend(key string, by Actor, now time.Time) (Session, Event, error) {
	switch {
	case key == "":
		return s, Event{}, Fail(Invalid, "no-key", "there is no key to seal the login to")
	case !s.ClosedAt.IsZero():
		return s, Event{}, Fail(Conflict, "session-closed", "the session is closed already").Because("since " + stamp(s.ClosedAt))
	case s.Certified != "" && s.Certified != key:
		return s, Event{}, Fail(Conflict, "lent-already", "the login of this session was sealed to another key").Because("a session has one")
	}
	s.Version++
	s.Certified = key
	return s, s.event(SessionLogin, by, now, "source", s.Source.String(), "sealed_to", key), nil
}

// Doubt notes that the login for the target, or a certificate for it, was asked for by
// another key than the one that has it: of one process there is one, so that somebody else
// may have its gateway's key.
func (s Session) Doubt(key string, now time.Time) (Session, Event) {
	s.Version++
	return s, s.event(SessionDoubted, System, now, "sealed_to", s.Certified, "asked_for", key)
}

// End notes that somebody wants it to end, with why. A session that somebody wanted to
// end before stays as it is.
func (s Session) End(by Actor, why string, now time.Time) (Session, Event, error) {
	if !s.ClosedAt.IsZero() {
		return s, Event{}, Fail(Conflict, "session-closed", "the session is closed already").Because("since " + stamp(s.ClosedAt))
	}
	if !s.EndingAt.IsZero() {
		return s, Event{}, Fail(Conflict, "session-ending", "the session ends already")
	}
	s.Version++
	s.EndingAt, s.EndingBy, s.EndNote = now, by.Principal, why
	return s, s.event(SessionEnding, by, now, "why", why), nil
}

// Pause notes that nothing of it is to pass until Resume.
func (s Session) Pause(by Actor, why string, now time.Time) (Session, Event, error) {
	switch {
	case s.Protocol == Elevation:
		return s, Event{}, Fail(Conflict, "not-paused", "a command that runs with more privilege is not paused").
			Because("its host runs it and records it, and nothing in between could hold it up").Try("end it: stint session end " + string(s.ID) + " --why TEXT")
	case !s.ClosedAt.IsZero() || !s.EndingAt.IsZero():
		return s, Event{}, Fail(Conflict, "session-closed", "the session has ended, or is ending")
	case !s.PausedAt.IsZero():
		return s, Event{}, Fail(Conflict, "session-paused", "the session is paused already").Because("by " + string(s.PausedBy) + " since " + stamp(s.PausedAt))
	}
	s.Version++
	s.PausedAt, s.PausedBy = now, by.Principal
	return s, s.event(SessionPaused, by, now, "why", why), nil
}

// Resume lets it go on.
func (s Session) Resume(by Actor, now time.Time) (Session, Event, error) {
	if s.PausedAt.IsZero() || !s.ClosedAt.IsZero() {
		return s, Event{}, Fail(Conflict, "session-not-paused", "the session is not paused")
	}
	s.Version++
	since := s.PausedAt
	s.PausedAt, s.PausedBy = time.Time{}, ""
	return s, s.event(SessionResumed, by, now, "paused_at", stamp(since)), nil
}

// Alarm notes that a command rule matched.
func (s Session) Alarm(pattern, text string, at, now time.Time) (Session, Event) {
	s.Version++
	s.Alarms++
	return s, s.event(SessionAlarmed, System, now, "pattern", pattern, "text", text, "at", stamp(at))
}

// Close notes that no byte of it passes any more. took is from when its gateway knew
// that it was over to when the last byte had passed.
func (s Session) Close(reason, text string, at time.Time, took time.Duration, now time.Time) (Session, Event, error) {
	if !s.ClosedAt.IsZero() {
		return s, Event{}, Fail(Conflict, "session-closed", "the session is closed already")
	}
	s.Version++
	s.ClosedAt, s.Reason, s.Text = now, reason, text
	return s, s.event(SessionClosed, System, now, "reason", reason, "text", text, "at", stamp(at), "took", took.Round(time.Millisecond).String(), "opened_at", stamp(s.OpenedAt)), nil
}

func (s Session) event(t EventType, by Actor, now time.Time, kv ...string) Event {
	carrier := []string{"gateway", s.Gateway}
	if host, is := s.Host(); is {
		carrier = []string{"host", host}
	}
	facts := fact(append(append(carrier, "protocol", string(s.Protocol), "grant", string(s.Grant), "request", string(s.Request), "principal", string(s.Principal),
		"person", string(s.Person), "role", string(s.Role), "resource", string(s.Resource), "account", s.Account), kv...)...)
	return Event{Type: t, At: now, Entity: string(s.ID), Version: s.Version, Actor: by, Facts: facts}
}

// SessionQuery selects sessions, newest first. Zero fields do not select.
type SessionQuery struct {
	Live     bool // only those that are not closed
	Gateway  string
	Person   Person
	Resource ResourceName
	Grant    GrantID
	Since    time.Time // only those opened since
	Before   SessionID // cursor: only those with a smaller id
	Prefix   SessionID // only those whose ids begin so
	Limit    int       // 1 to 1000; 0 means 100
}

// LiveSession is an open session with what its grant says now.
type LiveSession struct {
	Session
	State     GrantState // of the grant
	ExpiresAt time.Time  // the grant's end
}

// Over reports whether it is to end now.
func (l LiveSession) Over(now time.Time) bool {
	return l.State != Active || !now.Before(l.ExpiresAt) || !l.EndingAt.IsZero()
}
