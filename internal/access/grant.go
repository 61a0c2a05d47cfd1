package access

import (
	"slices"
	"strings"
	"time"

	"stint/internal/moment"
)

// GrantState is the state of a grant. Stored: only append.
type GrantState string

// The states of a grant. Ended and failed are terminal.
const (
	Scheduled    GrantState = "scheduled"
	Provisioning GrantState = "provisioning"
	Active       GrantState = "active"
	Ending       GrantState = "ending"
	Ended        GrantState = "ended"
	Failed       GrantState = "failed" // never became active; clean
)

// EndReason says why a grant ends. Stored: only append.
type EndReason string

// The reasons.
const (
	ByTime   EndReason = "expired"
	ByHolder EndReason = "returned" // the holder gave it back, logged out or went idle
	ByPerson EndReason = "revoked"
	ByPolicy EndReason = "policy" // no longer allowed
	BySetup  EndReason = "failed" // could not be set up
)

// Grant is the right that results from an approved request.
type Grant struct {
	ID      GrantID
	Version int64
	State   GrantState

	Request     RequestID
	Principal   PrincipalID
	Person      Person
	Device      DeviceID
	SealKey     []byte
	Targets     []Target
	Role        RoleName
	Permissions Permissions
	Endings     Endings
	Clock       StartClock
	Duration    time.Duration // granted, ≤ what was approved
	Digest      Digest        // the request's
	Documents   int64         // version of the documents that allowed it
	Policy      PolicyName
	Source      Source // where the request came from; conditions that live on see it
	Conditional bool   // decided again meanwhile
	Reason      string
	Ticket      string
	Emergency   Emergency

	CreatedAt time.Time
	StartsAt  time.Time // when provisioning begins
	SetupBy   time.Time // provisioning that is not done by then has failed
	// ExpiresAt is never zero. Until activation it is provisional, the latest
	// end that set-up could lead to; activation lowers it to the end itself.
	ExpiresAt      time.Time
	ActiveAt       time.Time
	EndingAt       time.Time
	EndedAt        time.Time
	VerifiedGoneAt time.Time
	EndReason      EndReason
	EndNote        string
	// SetupError is what the target said when set-up failed; public.
	SetupError string
	// SeenAt is when a session was last seen to do something, give or take; for
	// grants that end on logout or idle. Zero: none was ever seen open.
	SeenAt time.Time
}

// NewGrant makes the grant of an approved request, once.
func (r Request) NewGrant(id GrantID, now time.Time) (Request, Grant, Event, error) {
	switch {
	case r.State != RequestIsGranted || r.Extends != "":
		return r, Grant{}, Event{}, Fail(Conflict, "not-approved", "the request is not approved")
	case r.Grant != "":
		return r, Grant{}, Event{}, Fail(Conflict, "already-granted", "the request has its grant already")
	case !r.binds():
		return r, Grant{}, Event{}, Fail(Conflict, "digest-mismatch", "the request is not what was approved")
	case r.Decision.Effect == Deny:
		return r, Grant{}, Event{}, Fail(Denied, "denied", "policy denies the request")
	case !r.approved():
		return r, Grant{}, Event{}, Fail(Conflict, "not-approved", "the approvals do not suffice")
	}
	d, p := r.Granted()
	d = min(d, r.Decision.MaxDuration)
	if d <= 0 || d > MaxDuration || r.Emergency.Is() && d > MaxEmergency || !p.Within(r.Permissions) {
		return r, Grant{}, Event{}, Fail(Internal, "not-narrower", "a grant can only be narrower than its request")
	}
	g := Grant{
		ID: id, Version: 1, Request: r.ID, Principal: r.Principal, Person: r.Person, Device: r.Device, SealKey: r.SealKey,
		Targets: r.Targets, Role: r.Role, Permissions: p, Endings: r.Endings, Clock: r.Clock, Duration: d, Digest: r.Digest,
		Documents: r.Decision.Documents, Policy: r.Decision.Policy, Source: r.Source, Conditional: r.Decision.Conditional,
		Reason: r.Reason, Ticket: r.Ticket, Emergency: r.Emergency, CreatedAt: now, StartsAt: now, State: Provisioning,
	}
	if r.Start.After(now) {
		g.State, g.StartsAt = Scheduled, r.Start
	}
	from := g.StartsAt.Add(SetupWithin)
	switch r.Clock {
	case FromRequest:
		from = later(r.CreatedAt, r.Start)
	case FromApproval:
		from = later(r.DecidedAt, r.Start)
	}
	g.SetupBy, g.ExpiresAt = g.StartsAt.Add(SetupWithin), from.Add(d)
	if !g.ExpiresAt.After(now) {
		return r, Grant{}, Event{}, Fail(Expired, "used-up", "nothing is left of the duration").Because("it counts from the " + string(r.Clock) + ", and the approval came too late")
	}
	r.Grant = id
	return r, g, g.event(GrantCreated, System, now, "state", string(g.State), "duration", d.String(), "starts_at", stamp(g.StartsAt),
		"expires_at", stamp(g.ExpiresAt), "digest", g.Digest.String(), "documents", itoa(g.Documents), "policy", string(g.Policy),
		"rights", strings.Join(p.Rights, ","), "emergency", string(g.Emergency)), nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Begin starts the provisioning of a scheduled grant whose time has come.
func (g Grant) Begin(now time.Time) (Grant, Event, error) {
	if err := g.in(Scheduled); err != nil {
		return g, Event{}, err
	}
	if now.Before(g.StartsAt) {
		return g, Event{}, Fail(Conflict, "not-due", "the grant starts later")
	}
	deferred := g.StartsAt.Add(SetupWithin).After(g.SetupBy) // Defer moves the start and not the deadline
	if deferred && now.After(g.SetupBy) {
		return g, Event{}, Fail(Expired, "set-up-too-late", "what the grant needs was not free in time")
	}
	was := g
	g.State = Provisioning
	if !deferred {
		g.SetupBy = now.Add(SetupWithin)
	}
	if !now.Before(g.ExpiresAt) {
		return was, Event{}, Fail(Expired, "used-up", "nothing is left of the duration").Because("the grant was to start at " + moment.At(g.StartsAt))
	}
	g.Version++
	return g, g.event(GrantStarted, System, now, "expires_at", stamp(g.ExpiresAt)), nil
}

// Activate fixes the end of a grant whose access was verified to work. The end
// is never later than the provisional one.
func (g Grant) Activate(now time.Time) (Grant, Event, error) {
	if err := g.in(Provisioning); err != nil {
		return g, Event{}, err
	}
	end := g.ExpiresAt
	if g.Clock == FromEffective || g.Clock == "" {
		end = earlier(now.Add(g.Duration), end) // a start that came late keeps its end
	}
	if now.After(g.SetupBy) || !now.Before(end) {
		return g, Event{}, Fail(Expired, "set-up-too-late", "set-up took too long")
	}
	g.State, g.ActiveAt, g.ExpiresAt = Active, now, end
	g.Version++
	return g, g.event(GrantActive, System, now, "expires_at", stamp(end)), nil
}

// Extend moves the end of a live grant by an approved extension, once: the
// extension's Grant field records that it was used.
func (g Grant) Extend(ext Request, now time.Time) (Grant, Request, Event, error) {
	if err := g.in(Active); err != nil {
		return g, ext, Event{}, err
	}
	switch {
	case g.Emergency.Is():
		return g, ext, Event{}, errNotRenewable
	case ext.State != RequestIsGranted || ext.Extends != g.ID || ext.Grant != "" || !g.sameAs(ext):
		return g, ext, Event{}, Fail(Conflict, "not-an-extension", "the request is no approved extension of this grant")
	case !ext.binds() || !ext.approved():
		return g, ext, Event{}, Fail(Conflict, "digest-mismatch", "the extension is not what was approved")
	case !now.Before(g.ExpiresAt):
		return g, ext, Event{}, Fail(Expired, "grant-ended", "the grant has ended")
	}
	d, _ := ext.Granted()
	total := g.ExpiresAt.Add(d).Sub(g.ActiveAt)
	if total > ext.Decision.MaxDuration || total > MaxDuration {
		return g, ext, Event{}, Fail(Denied, "duration-too-long", "the grant would become too long").Because("in all at most " + moment.Span(ext.Decision.MaxDuration))
	}
	g.ExpiresAt = g.ExpiresAt.Add(d)
	g.Duration += d
	g.Version++
	ext.Grant = g.ID
	return g, ext, g.event(GrantExtended, System, now, "expires_at", stamp(g.ExpiresAt), "by_request", string(ext.ID)), nil
}

// sameAs reports whether an extension asks for no other access than the grant
// gives, and was approved for all of it: more time on less would be more.
func (g Grant) sameAs(ext Request) bool {
	_, p := ext.Granted()
	return ext.Principal == g.Principal && ext.Person == g.Person && ext.Role == g.Role && g.Permissions.Within(p) &&
		slices.EqualFunc(ext.Targets, g.Targets, func(a, b Target) bool {
			return a.Resource == b.Resource && a.Account == b.Account && a.Connection.Equal(b.Connection)
		})
}

// End begins the end of a grant, from any state that is not terminal. Ending
// what is ending already is no error and no event.
func (g Grant) End(why EndReason, note string, actor Actor, now time.Time) (Grant, Event, bool, error) {
	switch g.State {
	case Ending:
		return g, Event{}, false, nil
	case Ended, Failed:
		return g, Event{}, false, Fail(Conflict, "already-ended", "the grant has ended already")
	}
	if why == ByTime && !g.timeIsUp(now) {
		return g, Event{}, false, Fail(Conflict, "not-due", "the grant is not due yet")
	}
	if g.State == Provisioning && why == ByTime {
		why = BySetup
	}
	untouched := g.State == Scheduled
	g.State, g.EndReason, g.EndNote, g.EndingAt = Ending, why, note, now
	g.Version++
	if why == BySetup && g.SetupError == "" {
		g.SetupError = note
	}
	ev := g.event(GrantEnding, actor, now, "end_reason", string(why), "note", note, "expires_at", stamp(g.ExpiresAt))
	if untouched { // nothing was provisioned: there is nothing to remove or to read back
		g.State, g.EndedAt, g.VerifiedGoneAt = Ended, now, now
		ev.Type, ev.Facts["state"] = GrantEnded, string(g.State)
	}
	return g, ev, true, nil
}

// timeIsUp reports whether the grant's own time has run out at now.
func (g Grant) timeIsUp(now time.Time) bool {
	due := g.DueAt()
	return !due.IsZero() && g.State != Scheduled && !now.Before(due)
}

// Finish ends a grant all of whose holds are settled: what they held was read
// back as gone, or is held by others.
func (g Grant) Finish(now time.Time) (Grant, Event, error) {
	if err := g.in(Ending); err != nil {
		return g, Event{}, err
	}
	g.State, g.EndedAt, g.VerifiedGoneAt = g.final(), now, now
	g.Version++
	return g, g.event(GrantEnded, System, now, "state", string(g.State), "end_reason", string(g.EndReason),
		"verified_gone_at", stamp(now), "lag", now.Sub(g.endedBy()).String()), nil
}

// final is the terminal state that an ending leads to.
func (g Grant) final() GrantState {
	if g.ActiveAt.IsZero() && g.EndReason == BySetup {
		return Failed
	}
	return Ended
}

// deferFor is how long a grant waits before it looks again whether what it
// needs has been removed from its place.
const deferFor = 250 * time.Millisecond

// Defer puts off provisioning while what the grant needs is just being removed.
// It moves no deadline: a grant that is deferred past SetupBy has failed. It is
// for a grant that is just being made or begun, before it is saved; so it is
// bookkeeping, not an event. In any other state nothing is put off.
func (g Grant) Defer(now time.Time) Grant {
	if g.State != Provisioning && g.State != Scheduled {
		return g
	}
	g.State, g.StartsAt = Scheduled, later(g.StartsAt, now.Add(deferFor)) // never earlier
	return g
}

// Show reports that the grant's credential is about to be shown to its holder.
// The caller commits this before it shows anything.
func (g Grant) Show(actor Actor, now time.Time) (Grant, Event, error) {
	if err := g.in(Active); err != nil {
		return g, Event{}, err
	}
	if !now.Before(g.ExpiresAt) {
		return g, Event{}, Fail(Expired, "grant-ended", "the grant has ended")
	}
	var accounts []string // those that the target had before; one, as roles are now
	for _, t := range g.Targets {
		if t.Account != "" && !slices.Contains(accounts, t.Account) {
			accounts = append(accounts, t.Account)
		}
	}
	g.Version++
	return g, g.event(CredentialShown, actor, now, "account", strings.Join(accounts, ",")), nil
}

// Seen notes that a session of the grant was open, and last did something at the
// given time. It is bookkeeping, not an event.
func (g Grant) Seen(lastActive time.Time) Grant { g.SeenAt = lastActive; return g }

// WorthNoting reports whether a session that was last active at the given time
// is news: the first one, or, where the grant ends on idle, one by a tenth of
// that later than the last.
func (g Grant) WorthNoting(lastActive time.Time) bool {
	return g.SeenAt.IsZero() || g.Endings.OnIdle > 0 && lastActive.Sub(g.SeenAt) >= g.Endings.OnIdle/10
}

// Depends notes whether the grant is allowed only as long as conditions hold, as
// the documents of this moment say. It is bookkeeping, not an event.
func (g Grant) Depends(lasting bool) Grant { g.Conditional = lasting; return g }

// Left says why a live grant's own endings end it, given what was read back:
// the number of open sessions and when one was last active. Empty: they do not.
func (g Grant) Left(sessions int, lastActive, now time.Time) string {
	// Sessions that are closed by now were active too.
	lastActive = later(later(lastActive, g.SeenAt), g.ActiveAt)
	switch {
	case g.State != Active:
		return ""
	case g.Endings.OnLogout && sessions == 0 && !g.SeenAt.IsZero():
		return "the last session was closed"
	case g.Endings.OnIdle > 0 && now.Sub(lastActive) >= g.Endings.OnIdle:
		return "nothing was done for " + g.Endings.OnIdle.String()
	}
	return ""
}

// Live reports whether the grant gives, or is about to give, access.
func (g Grant) Live() bool { return !g.Over() && g.State != Ending }

// Over reports whether the grant's state is terminal.
func (g Grant) Over() bool { return g.State == Ended || g.State == Failed }

// DueAt is when the broker must next act on the grant by itself; zero when it
// need not. Expiry is derived from this, never from a timer.
func (g Grant) DueAt() time.Time {
	switch g.State {
	case Scheduled:
		return g.StartsAt
	case Provisioning:
		if g.ExpiresAt.Before(g.SetupBy) {
			return g.ExpiresAt
		}
		return g.SetupBy
	case Active:
		return g.ExpiresAt
	}
	return time.Time{}
}

// endedBy is when the access should have been gone.
func (g Grant) endedBy() time.Time {
	if g.EndReason == ByTime && g.ExpiresAt.Before(g.EndingAt) {
		return g.ExpiresAt
	}
	return g.EndingAt
}

// Overdue reports whether the access should have been gone for more than a
// second and is not verified gone.
func (g Grant) Overdue(now time.Time) bool {
	switch g.State {
	case Active:
		return now.After(g.ExpiresAt.Add(OverdueAfter))
	case Ending:
		return now.After(g.endedBy().Add(OverdueAfter))
	}
	return false
}

func (g Grant) in(s GrantState) error {
	if g.State == s {
		return nil
	}
	return Fail(Conflict, "wrong-state", "the grant is "+string(g.State)+", not "+string(s))
}

func (g Grant) event(t EventType, actor Actor, now time.Time, kv ...string) Event {
	var names []string
	for _, x := range g.Targets {
		names = append(names, string(x.Resource))
	}
	return Event{Type: t, At: now, Entity: string(g.ID), Version: g.Version, Actor: actor,
		Facts: fact(append(slices.Clone(kv), "request", string(g.Request), "principal", string(g.Principal), "person", string(g.Person),
			"resource", strings.Join(names, ","), "role", string(g.Role))...)}
}
