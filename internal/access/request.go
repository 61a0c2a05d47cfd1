package access

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"stint/internal/moment"
)

// RequestState is the state of a request. Stored: only append.
type RequestState string

// The states of a request; all but pending are terminal.
const (
	RequestPending   RequestState = "pending"
	RequestIsGranted RequestState = "approved"
	RequestIsDenied  RequestState = "denied"
	RequestWithdrawn RequestState = "cancelled"
	RequestTimedOut  RequestState = "expired"
)

// Limits that no document can lift.
const (
	MaxDuration  = 30 * 24 * time.Hour // of any grant
	MaxAhead     = 90 * 24 * time.Hour // of any scheduled start
	MaxReason    = 2000                // bytes
	MaxTicket    = 200                 // bytes
	MaxTargets   = 50                  // of one request
	MaxParts     = 20                  // of a bundle; each is a request
	PendingFor   = 24 * time.Hour      // an undecided request ends then, unless policy says when
	MaxWait      = 7 * 24 * time.Hour  // the longest that policy can say
	SetupWithin  = 60 * time.Second    // provisioning that takes longer has failed
	MaxSigned    = 15 * time.Minute    // that a passkey's vote may take from its page to here
	MaxAheadVote = 5 * time.Minute     // that it may be ahead of the clock here
	OverdueAfter = time.Second         // after the end, not verified gone
)

// Request is one principal asking for one role on one or more targets, for a
// duration, with a reason. What was asked never changes once it is made; State,
// Approvals, Escalated, Reminders, RemindedAt, Remarks, DecidedAt, Grant and
// Version do.
type Request struct {
	ID      RequestID
	Version int64
	State   RequestState

	Principal   PrincipalID
	Person      Person
	Device      DeviceID
	SealKey     []byte // the device's public key for the credential
	Source      Source
	Targets     []Target
	Role        RoleName
	Permissions Permissions
	Endings     Endings
	Clock       StartClock
	Duration    time.Duration
	Start       time.Time // zero: as soon as approved
	Reason      string
	Ticket      string
	Extends     GrantID // the live grant this asks to extend, or empty
	Bundle      Digest  // of all that was asked for together with it, and it; zero: nothing was
	Emergency   Emergency
	Task        TaskID // of an agent; empty for all others
	Documents   int64  // version of the documents it was resolved with
	Nonce       [16]byte
	Digest      Digest
	Decision    Decision

	Approvals  []Approval
	Escalated  []int // indices of the requirements that were
	Reminders  int   // how many there were
	RemindedAt time.Time
	Remarks    []Remark // questions and answers
	CreatedAt  time.Time
	ExpiresAt  time.Time // of the pending state
	DecidedAt  time.Time
	Grant      GrantID // once approved
}

// Submit makes a request of a draft in which the fields of what is asked are
// set, with policy's decision on it. The result is pending, approved or denied.
func Submit(draft Request, actor Actor, d Decision, now time.Time) (Request, Event, error) {
	r := draft
	r.Start = r.Start.UTC().Truncate(time.Millisecond) // as the digest and the store know it
	if err := checkAsk(r, now); err != nil {
		return Request{}, Event{}, err
	}
	if err := checkEmergency(r); err != nil {
		return Request{}, Event{}, err
	}
	if err := checkTask(r); err != nil {
		return Request{}, Event{}, err
	}
	r.Version, r.CreatedAt, r.ExpiresAt = 1, now, now.Add(d.Waits())
	r.Approvals, r.Grant, r.DecidedAt = nil, "", time.Time{}
	r.Escalated, r.Reminders, r.RemindedAt, r.Remarks = nil, 0, time.Time{}, nil
	r.Decision = d
	r.Digest = requestDigest(r)
	switch {
	case !d.fits(r.Emergency):
		r.State, r.DecidedAt = RequestIsDenied, now
	case d.Effect == Allow && r.Duration <= d.MaxDuration:
		r.State, r.DecidedAt = RequestIsGranted, now
	case d.Effect == Approve && r.Duration <= d.MaxDuration && wellFormed(d.Approvals) && chased(d):
		r.State = RequestPending
	default: // also a decision that contradicts itself
		r.State, r.DecidedAt = RequestIsDenied, now
	}
	var names []string
	for _, t := range r.Targets {
		names = append(names, string(t.Resource))
	}
	var ask, passkeys string
	if r.State == RequestPending { // what approvals bind to, for who verifies them from the log alone
		ask = EncodeAsk(r)
		if n := r.leastByPasskey(); n > 0 {
			passkeys = itoa(int64(n))
		}
	}
	return r, r.event(RequestSubmitted, actor, now, "ask", ask, "passkeys", passkeys,
		"state", string(r.State), "effect", d.Effect.String(), "policy", string(d.Policy), "rule", firstSource(d.Reasons), "explanation", firstText(d.Reasons),
		"resource", strings.Join(names, ","), "role", string(r.Role), "mechanism", string(r.Permissions.Mechanism),
		"rights", strings.Join(r.Permissions.Rights, ","), "duration", r.Duration.String(), "start", stamp(r.Start),
		"stage", r.stageFact(), "reason", r.Reason, "ticket", r.Ticket, "extends", string(r.Extends), "bundle", bundleFact(r.Bundle), "emergency", string(r.Emergency), "task", string(r.Task), "digest", r.Digest.String(), "documents", itoa(r.Documents)), nil
}

func checkAsk(r Request, now time.Time) error {
	switch {
	case !strings.HasPrefix(string(r.ID), "req_") || r.Principal == "" || r.Person == "" || r.Role == "":
		return Fail(Internal, "incomplete-request", "the request lacks its id, principal, person or role")
	case !slices.Contains([]StartClock{"", FromEffective, FromApproval, FromRequest}, r.Clock):
		return Fail(Internal, "bad-clock", "the role counts from "+string(r.Clock))
	case r.Endings.OnIdle < 0 || r.Endings.OnIdle%time.Millisecond != 0:
		return Fail(Internal, "bad-endings", "the role ends after idling "+r.Endings.OnIdle.String())
	case len(r.Targets) == 0 || len(r.Targets) > MaxTargets:
		return Fail(Invalid, "bad-targets", fmt.Sprintf("a request names 1 to %d resources", MaxTargets))
	case namedTwice(r.Targets) != "":
		return Fail(Invalid, "bad-targets", "a request names each resource once").Because(string(namedTwice(r.Targets)))
	case r.Duration <= 0:
		return Fail(Invalid, "bad-duration", "the duration must be positive").Because(moment.Span(r.Duration) + " was asked").Try("ask for a duration like 30m or 2h")
	case r.Duration > MaxDuration:
		return Fail(Invalid, "bad-duration", "no grant lasts longer than "+moment.Span(MaxDuration)).Because(moment.Span(r.Duration) + " was asked")
	case r.Duration%time.Millisecond != 0:
		return Fail(Invalid, "bad-duration", "durations are whole milliseconds")
	case !r.Start.IsZero() && r.Start.Before(now.Add(-time.Minute)):
		return Fail(Invalid, "bad-start", "the start lies in the past").Because("it was to be " + moment.At(r.Start))
	case r.Start.After(now.Add(MaxAhead)):
		return Fail(Invalid, "bad-start", "the start lies too far ahead").Because("at most " + moment.Span(MaxAhead))
	}
	if err := checkText("reason", r.Reason, MaxReason, false); err != nil {
		return err
	}
	if strings.ContainsAny(r.Ticket, "\n\t") {
		return Fail(Invalid, "bad-ticket", "a ticket is one line")
	}
	return checkText("ticket", r.Ticket, MaxTicket, true)
}

func namedTwice(ts []Target) ResourceName {
	for i, t := range ts {
		if slices.ContainsFunc(ts[:i], func(u Target) bool { return u.Resource == t.Resource }) {
			return t.Resource
		}
	}
	return ""
}

// checkText refuses what could mislead a reader: invalid UTF-8, control and
// invisible characters (which can turn text around on a screen, or look like
// nothing at all).
func checkText(what, s string, limit int, optional bool) error {
	switch {
	case s == "" && optional:
		return nil
	case strings.TrimSpace(s) == "":
		return Fail(Invalid, "no-"+what, "a "+what+" is needed").Try("say in a few words what you will do")
	case len(s) > limit:
		return Fail(Invalid, "long-"+what, fmt.Sprintf("the %s is longer than %d bytes", what, limit))
	case !utf8.ValidString(s):
		return Fail(Invalid, "bad-"+what, "the "+what+" is not valid UTF-8")
	}
	for _, c := range s {
		if unicode.IsControl(c) && c != '\n' && c != '\t' || unicode.In(c, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point) {
			return Fail(Invalid, "bad-"+what, fmt.Sprintf("the %s has a control or invisible character (%U)", what, c))
		}
	}
	return nil
}

func wellFormed(rs []Requirement) bool {
	slots := 0
	for _, r := range rs {
		if r.Count < 1 || r.Count > maxSlots || len(r.From) == 0 || r.Stage < 0 || r.Stage > MaxStages { // so that the sum cannot overflow
			return false
		}
		slots += r.Count
	}
	return len(rs) > 0 && slots <= maxSlots
}

// Cancel withdraws a pending request.
func (r Request) Cancel(actor Actor, now time.Time) (Request, Event, error) {
	if err := r.undecided(); err != nil {
		return r, Event{}, err
	}
	r.State, r.DecidedAt = RequestWithdrawn, now
	r.Version++
	return r, r.event(RequestCancelled, actor, now), nil
}

// Reject ends a pending request for a reason of Stint's own: the person was
// disabled, the resource removed.
func (r Request) Reject(why string, actor Actor, now time.Time) (Request, Event, error) {
	if err := r.undecided(); err != nil {
		return r, Event{}, err
	}
	r.State, r.DecidedAt = RequestIsDenied, now
	r.Decision.Reasons = append(slices.Clone(r.Decision.Reasons), Reason{Text: why})
	r.Version++
	return r, r.event(RequestDenied, actor, now, "note", why), nil
}

// TimeOut ends a request that nobody decided in time.
func (r Request) TimeOut(now time.Time) (Request, Event, error) {
	if err := r.undecided(); err != nil {
		return r, Event{}, err
	}
	if now.Before(r.ExpiresAt) {
		return r, Event{}, Fail(Conflict, "not-due", "the request is not due yet")
	}
	r.State, r.DecidedAt = RequestTimedOut, now
	r.Version++
	return r, r.event(RequestExpired, System, now), nil
}

// DueAt is when time next does something to an undecided request: ends it, reminds
// of it, escalates it; zero for a decided one.
func (r Request) DueAt() time.Time {
	if r.State != RequestPending {
		return time.Time{}
	}
	if at := r.ChaseAt(); !at.IsZero() {
		return at
	}
	return r.ExpiresAt
}

func (r Request) undecided() error {
	if r.State == RequestPending {
		return nil
	}
	return Fail(Conflict, "already-decided", "the request is "+string(r.State)+" already")
}

func (r Request) event(t EventType, actor Actor, now time.Time, kv ...string) Event {
	return Event{Type: t, At: now, Entity: string(r.ID), Version: r.Version, Actor: actor,
		Facts: fact(append(kv, "principal", string(r.Principal), "person", string(r.Person))...)}
}

func firstSource(rs []Reason) string {
	if len(rs) == 0 {
		return ""
	}
	return rs[0].Source
}

func firstText(rs []Reason) string {
	if len(rs) == 0 {
		return ""
	}
	return rs[0].Text
}
