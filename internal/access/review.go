package access

import (
	"slices"
	"strings"
	"time"
)

// ReviewID names a review.
type ReviewID string // rev_…

// NewReviewID makes an identifier that sorts by time.
func NewReviewID(ms int64, e Entropy) ReviewID { return ReviewID("rev_" + newULID(ms, e)) }

// ReviewState is the state of a review. Stored: only append.
type ReviewState string

// The states of a review.
const (
	ReviewOpen   ReviewState = "open"
	ReviewClosed ReviewState = "closed"
)

// Finding is what a review found. Stored: only append.
type Finding string

// The findings.
const (
	Justified   Finding = "justified"
	Unjustified Finding = "unjustified"
	FoundDrill  Finding = "drill" // of a drill alone: nothing real was called one
)

// The events of reviews. BreakGlassOpened is their first.
const (
	ReviewOverdue EventType = "review.overdue" // nobody closed it in time; once a day
	ReviewDone    EventType = "review.closed"
)

// ReviewAgain is how often a review that is overdue is called to mind.
const ReviewAgain = 24 * time.Hour

// Review is what break-glass access owes: another person looks at it afterwards and
// says what they found. It opens with the grant, in the same transaction, and nothing
// but that person's finding closes it.
type Review struct {
	ID      ReviewID
	Version int64
	State   ReviewState

	Request   RequestID
	Grant     GrantID
	Principal PrincipalID
	Person    Person
	// Openers are the persons whose one-time codes opened it, where it was opened by
	// codes. None of them closes it.
	Openers  []Person
	Codes    []string // the ids of these codes
	Resource ResourceName
	Role     RoleName
	Reason   string
	Drill    bool

	OpenedAt time.Time
	DueAt    time.Time // when it should be closed
	RemindAt time.Time // when it is next called to mind; zero once closed
	Reminded int64     // how often it was

	ClosedAt     time.Time
	Closer       PrincipalID
	CloserPerson Person
	Finding      Finding
	Note         string
}

// ReviewQuery selects reviews, newest first. Zero fields do not select.
type ReviewQuery struct {
	State    ReviewState
	Person   Person // who broke the glass
	Resource ResourceName
	Before   ReviewID // cursor: only those with a smaller id
	Limit    int      // 1 to 1000; 0 means 100
}

// Opening is what is known of break-glass access when it opens, beside request and grant.
type Opening struct {
	Owners  []Subject // of the resource: whom to page
	Codes   []string  // the ids of the one-time codes that opened it
	Openers []Person  // whose codes they are
	// Overdue counts the reviews of this person that nobody closed in time. They keep
	// nobody from breaking glass; they make it louder.
	Overdue int
	Within  time.Duration // until the review should be closed
}

// Obligations are what break-glass access is under, as its first event says. Where its
// role sends sessions through a gateway there are no others, and all are recorded; nothing
// records those of other roles, and break-glass access does not wait for what would.
func Obligations(p Permissions) string {
	recording := "none"
	if p.Options["through"] == "gateway" {
		recording = "full"
	}
	return "recording=" + recording + ",page=owners,review=other-person"
}

// OpenReview makes the review of break-glass access that was just granted, and the
// alarm about it.
func OpenReview(id ReviewID, r Request, g Grant, o Opening, actor Actor, now time.Time) (Review, Event, error) {
	switch {
	case !r.Emergency.Is() || g.Emergency != r.Emergency || g.Request != r.ID || len(r.Targets) != 1:
		return Review{}, Event{}, Fail(Internal, "no-emergency", "only break-glass access is reviewed")
	case o.Within <= 0:
		return Review{}, Event{}, Fail(Internal, "no-deadline", "a review needs a deadline")
	}
	v := Review{
		ID: id, Version: 1, State: ReviewOpen, Request: r.ID, Grant: g.ID, Principal: r.Principal, Person: r.Person,
		Openers: slices.Clone(o.Openers), Codes: slices.Clone(o.Codes), Resource: r.Targets[0].Resource, Role: r.Role, Reason: r.Reason,
		Drill: r.Emergency == Drill, OpenedAt: now, DueAt: now.Add(o.Within), RemindAt: now.Add(o.Within),
	}
	page := "owners"
	if o.Overdue > 0 || len(o.Codes) > 0 {
		page = "owners,administrators"
	}
	overdue := ""
	if o.Overdue > 0 {
		overdue = itoa(int64(o.Overdue))
	}
	return v, v.event(BreakGlassOpened, actor, now, "reason", r.Reason, "duration", g.Duration.String(), "expires_at", stamp(g.ExpiresAt),
		"policy", string(g.Policy), "digest", r.Digest.String(), "owners", joined(o.Owners), "page", page, "overdue_reviews", overdue,
		"codes", strings.Join(v.Codes, ","), "code_persons", joined(v.Openers), "obligations", Obligations(g.Permissions), "due_at", stamp(v.DueAt)), nil
}

func joined[S ~string](ss []S) string {
	parts := make([]string, len(ss))
	for i, s := range ss {
		parts[i] = string(s)
	}
	return strings.Join(parts, ",")
}

// Close records what another person found.
func (v Review) Close(closer Principal, actor Actor, f Finding, note string, now time.Time) (Review, Event, error) {
	if v.State != ReviewOpen {
		return v, Event{}, Fail(Conflict, "already-closed", "the review is closed already").
			Because(string(v.Closer) + " found it " + string(v.Finding))
	}
	if err := closer.Usable(now); err != nil {
		return v, Event{}, err
	}
	switch {
	case closer.ID.Kind() != User || closer.Person == "":
		return v, Event{}, Fail(Denied, "not-a-person", "only people close reviews").Because(string(closer.ID) + " is not a user")
	case closer.Outside():
		return v, Event{}, closer.MayApprove()
	case closer.Person == v.Person:
		return v, Event{}, Fail(Denied, "own-review", "nobody reviews what they did themselves").
			Because(string(v.Principal) + " broke the glass as the same person, " + string(v.Person)).Try("ask an owner of " + string(v.Resource) + ", an auditor or an administrator")
	case slices.Contains(v.Openers, closer.Person):
		return v, Event{}, Fail(Denied, "own-review", "nobody reviews what they helped to open").
			Because("a one-time code of " + string(closer.Person) + " was used").Try("ask an owner of " + string(v.Resource) + ", an auditor or an administrator who gave no code")
	case !slices.Contains([]Finding{Justified, Unjustified, FoundDrill}, f):
		return v, Event{}, Fail(Invalid, "bad-finding", "a finding is justified, unjustified or drill")
	case f == FoundDrill && !v.Drill:
		return v, Event{}, Fail(Invalid, "no-drill", "this was no drill").Because("it was opened as an emergency").Try("find it justified or unjustified")
	}
	if err := checkText("note", note, MaxReason, false); err != nil {
		return v, Event{}, err
	}
	v.State, v.ClosedAt, v.RemindAt = ReviewClosed, now, time.Time{}
	v.Closer, v.CloserPerson, v.Finding, v.Note = closer.ID, closer.Person, f, note
	v.Version++
	return v, v.event(ReviewDone, actor, now, "finding", string(f), "note", note, "closer", string(closer.ID), "closer_person", string(closer.Person),
		"open_for", now.Sub(v.OpenedAt).String()), nil
}

// Remind calls an overdue review to mind.
func (v Review) Remind(now time.Time) (Review, Event, error) {
	if v.State != ReviewOpen || now.Before(v.RemindAt) {
		return v, Event{}, Fail(Conflict, "not-due", "the review is not overdue")
	}
	v.RemindAt = now.Add(ReviewAgain)
	v.Reminded++
	v.Version++
	return v, v.event(ReviewOverdue, System, now, "due_at", stamp(v.DueAt), "overdue_for", now.Sub(v.DueAt).String(), "times", itoa(v.Reminded)), nil
}

// Overdue reports whether nobody closed the review in time.
func (v Review) Overdue(now time.Time) bool { return v.State == ReviewOpen && !now.Before(v.DueAt) }

func (v Review) event(t EventType, actor Actor, now time.Time, kv ...string) Event {
	drill := ""
	if v.Drill {
		drill = "true"
	}
	return Event{Type: t, At: now, Entity: string(v.ID), Version: v.Version, Actor: actor,
		Facts: fact(append(kv, "request", string(v.Request), "grant", string(v.Grant), "principal", string(v.Principal), "person", string(v.Person),
			"resource", string(v.Resource), "role", string(v.Role), "drill", drill)...)}
}
