package access

import (
	"slices"
	"strings"
	"time"

	"stint/internal/moment"
)

// DelegationID names a delegation: dlg_….
type DelegationID string

// NewDelegationID makes an identifier that sorts by time.
func NewDelegationID(ms int64, e Entropy) DelegationID { return DelegationID("dlg_" + newULID(ms, e)) }

// MaxDelegation is the longest that a delegation lasts. Installations can say less.
const MaxDelegation = 30 * 24 * time.Hour

// Delegation lets another person vote where somebody is asked, for a time. It moves
// nothing: who delegates may vote all the same, and of the two one does. It passes on no
// further, so that who is asked can always be told from one document and one delegation.
type Delegation struct {
	ID      DelegationID
	Version int64

	Principal PrincipalID // whose approvals they are
	Person    Person
	To        PrincipalID // who may give them
	ToPerson  Person
	Why       string
	StartsAt  time.Time
	EndsAt    time.Time
	CreatedAt time.Time

	EndedAt time.Time // by somebody, before its time; zero: not
	EndedBy PrincipalID
}

// The events of delegations.
const (
	DelegationMade  EventType = "delegation.made"
	DelegationEnded EventType = "delegation.ended" // before its time
)

// Delegate makes a delegation of a draft in which ID, Why and the times are set; longest
// is what the installation allows. has lists the delegations of both that are not over.
func Delegate(draft Delegation, from, to Principal, has []Delegation, longest time.Duration, actor Actor, now time.Time) (Delegation, Event, error) {
	d := draft
	d.Version, d.CreatedAt, d.EndedAt, d.EndedBy = 1, now, time.Time{}, ""
	d.Principal, d.Person, d.To, d.ToPerson = from.ID, from.Person, to.ID, to.Person
	if d.StartsAt.IsZero() {
		d.StartsAt = now
	}
	d.StartsAt, d.EndsAt = d.StartsAt.UTC().Truncate(time.Millisecond), d.EndsAt.UTC().Truncate(time.Millisecond)
	longest = min(longest, MaxDelegation)
	if err := from.Usable(now); err != nil {
		return Delegation{}, Event{}, err
	}
	switch {
	case !strings.HasPrefix(string(d.ID), "dlg_"):
		return Delegation{}, Event{}, Fail(Internal, "incomplete-delegation", "the delegation lacks its id")
	case from.ID.Kind() != User || to.ID.Kind() != User || from.Person == "" || to.Person == "":
		return Delegation{}, Event{}, Fail(Invalid, "not-a-person", "only people approve, so only people delegate, and to people")
	case from.MayApprove() != nil || to.MayApprove() != nil:
		return Delegation{}, Event{}, Fail(Invalid, "not-of-the-house", "only people of the house approve, so only they delegate, and to each other").
			Because(string(from.ID) + " or " + string(to.ID) + " is a vendor")
	case from.Person == to.Person:
		return Delegation{}, Event{}, Fail(Invalid, "own-delegation", "nobody delegates to themselves").Because(string(from.ID) + " and " + string(to.ID) + " are of one person, " + string(to.Person))
	case to.Usable(now) != nil:
		return Delegation{}, Event{}, Fail(Invalid, "unusable-delegate", string(to.ID)+" cannot approve anything").Because("their login is disabled or over")
	case longest <= 0:
		return Delegation{}, Event{}, Fail(Denied, "no-delegations", "nobody delegates approvals here").Because("the server is configured so").
			Try("have somebody else added to the group that is asked")
	case d.StartsAt.Before(now.Add(-time.Minute)) || d.StartsAt.After(now.Add(MaxAhead)):
		return Delegation{}, Event{}, Fail(Invalid, "bad-start", "the start lies in the past, or more than "+moment.Span(MaxAhead)+" ahead").Because("it was to be " + moment.At(d.StartsAt))
	case !d.EndsAt.After(d.StartsAt):
		return Delegation{}, Event{}, Fail(Invalid, "bad-end", "a delegation ends after it begins")
	case d.EndsAt.Sub(d.StartsAt) > longest:
		return Delegation{}, Event{}, Fail(Invalid, "long-delegation", "no delegation lasts longer than "+moment.Span(longest)+" here").
			Because(moment.Span(d.EndsAt.Sub(d.StartsAt)) + " was asked").Try("make it shorter; it can be made again")
	}
	for _, h := range has {
		switch {
		case !h.overlaps(d):
		case h.Principal == d.Principal:
			return Delegation{}, Event{}, Fail(Conflict, "delegated-already", "your approvals are delegated to "+string(h.To)+" already").
				Because("from " + moment.At(h.StartsAt) + " until " + moment.At(h.EndsAt)).Try("end that first: stint delegate end " + string(h.ID))
		case h.Person == d.ToPerson:
			return Delegation{}, Event{}, Fail(Conflict, "delegate-away", string(d.To)+" has delegated their own approvals then").
				Because("to " + string(h.To) + " until " + moment.At(h.EndsAt) + ", and a delegation passes on no further").Try("name somebody who is there")
		}
	}
	if err := checkText("why", d.Why, MaxReason, false); err != nil {
		return Delegation{}, Event{}, err
	}
	return d, d.event(DelegationMade, actor, now, "starts_at", stamp(d.StartsAt), "ends_at", stamp(d.EndsAt), "why", d.Why), nil
}

// overlaps reports whether there is a time at which both hold.
func (d Delegation) overlaps(e Delegation) bool {
	return d.EndedAt.IsZero() && e.EndedAt.IsZero() && d.StartsAt.Before(e.EndsAt) && e.StartsAt.Before(d.EndsAt)
}

// Holds reports whether the delegation is in force.
func (d Delegation) Holds(now time.Time) bool {
	return d.EndedAt.IsZero() && !now.Before(d.StartsAt) && now.Before(d.EndsAt)
}

// End ends a delegation before its time. Either of the two may, and administrators. What
// was voted under it stays.
func (d Delegation) End(by Principal, actor Actor, now time.Time) (Delegation, Event, error) {
	switch {
	case by.ID != d.Principal && by.ID != d.To && !by.Admin:
		return d, Event{}, Fail(Denied, "not-yours", "only the two that it is between end a delegation, and administrators")
	case !d.EndedAt.IsZero() || !now.Before(d.EndsAt):
		return d, Event{}, Fail(Conflict, "over-already", "the delegation is over already")
	}
	d.EndedAt, d.EndedBy = now, by.ID
	d.Version++
	return d, d.event(DelegationEnded, actor, now, "by", string(by.ID)), nil
}

func (d Delegation) event(t EventType, actor Actor, now time.Time, kv ...string) Event {
	return Event{Type: t, At: now, Entity: string(d.ID), Version: d.Version, Actor: actor,
		Facts: fact(append(slices.Clone(kv), "principal", string(d.Principal), "person", string(d.Person), "to", string(d.To), "to_person", string(d.ToPerson))...)}
}

// DelegationQuery selects delegations, newest first. Zero fields do not select.
type DelegationQuery struct {
	Principal PrincipalID // whose approvals they are
	To        PrincipalID
	Open      bool   // neither over nor ended
	Prefix    string // only ids that begin with it
	Before    DelegationID
	Limit     int // 1 to 1000; 0 means 100
}

// Delegator is somebody whose approvals somebody else may give at the moment, as far as
// it matters to whom they are.
type Delegator struct {
	ID     PrincipalID
	Person Person
	Groups []Group
	OnCall []string
}

// DelegatorOf is a principal as one whose approvals somebody else gives.
func DelegatorOf(p Principal) Delegator { return Delegator{p.ID, p.Person, p.Groups, p.OnCall} }

// self is the delegator as a requirement sees them.
func (d Delegator) self() Principal {
	return Principal{ID: d.ID, Person: d.Person, Groups: d.Groups, OnCall: d.OnCall}
}

// voice is as whom a voter votes in the stages from first to last: as themselves where
// these ask them, else for the first of those whose approvals they may give who is asked,
// is not who asks, and has not voted.
func (r Request) voice(voter Principal, first, last int) (as Principal, by *Delegator) {
	if len(r.meetsIn(voter, first, last)) > 0 {
		return voter, nil
	}
	for _, d := range voter.Delegators {
		if d.Person == "" || d.Person == r.Person || d.Person == voter.Person || r.voted(d.Person) {
			continue
		}
		if as := d.self(); len(r.meetsIn(as, first, last)) > 0 {
			return as, &d
		}
	}
	return voter, nil
}

// voted reports whether the person has a vote on the request, given by whomever.
func (r Request) voted(p Person) bool {
	return slices.ContainsFunc(r.Approvals, func(a Approval) bool { return a.Person == p || a.ForPerson != "" && a.ForPerson == p })
}

// counts is the level at which a vote counts that was given for somebody: a passkey says
// that its owner was there, and not that of whoever they stand for.
func (a Approval) counts(l Level) Level {
	if a.For != "" {
		return min(l, LevelConsole)
	}
	return l
}
