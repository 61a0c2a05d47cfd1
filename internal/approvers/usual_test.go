package approvers

import (
	"testing"
	"time"

	"stint/internal/access"
)

// What is usual is the median of what it took since the stage was open, of enough
// answers, and what nobody answered is told beside it.
func TestUsualOf(t *testing.T) {
	t0 := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	dba := access.Requirement{From: []access.Subject{"group:dba", "user:noor"}, Count: 1}
	leads := access.Requirement{From: []access.Subject{"group:leads"}, Count: 2, Stage: 2}
	yes := func(after time.Duration, meets int) access.Approval {
		return access.Approval{Approve: true, At: t0.Add(after), Meets: []int{meets}}
	}
	made := func(s access.RequestState, as ...access.Approval) access.Request {
		return access.Request{State: s, CreatedAt: t0, Decision: access.Decision{Approvals: []access.Requirement{dba, leads}}, Approvals: eachOwn(as)}
	}
	rs := []access.Request{
		made(access.RequestIsGranted, yes(time.Minute, 0), yes(2*time.Minute, 1), yes(11*time.Minute, 1)),
		made(access.RequestIsDenied, yes(3*time.Minute, 0), access.Approval{At: t0.Add(4 * time.Minute), Meets: []int{1}}),
		made(access.RequestIsDenied, access.Approval{At: t0.Add(2 * time.Minute), Meets: []int{0}}),
		made(access.RequestTimedOut, yes(9*time.Minute, 0), yes(20*time.Minute, 1)),
		made(access.RequestTimedOut),
		made(access.RequestIsGranted, yes(5*time.Minute, 0), yes(6*time.Minute, 1), yes(7*time.Minute, 1)),
	}
	old := made(access.RequestIsGranted, yes(time.Hour, 0))
	old.CreatedAt = t0.Add(-time.Minute)
	got := usualOf(append(rs, old), t0)
	other := access.Requirement{From: []access.Subject{"user:noor", "group:dba"}, Count: 1} // the same people
	if u := got[sameAsked(other)]; u != (Usual{Median: 3 * time.Minute, Answers: 5, Unanswered: 1}) {
		t.Errorf("dba: %+v", u)
	}
	if u := got[sameAsked(leads)]; u != (Usual{Answers: 3, Unanswered: 1}) { // too few to say
		t.Errorf("leads: %+v", u)
	}
	leads.Count = 1
	if u := got[sameAsked(leads)]; u != (Usual{}) {
		t.Errorf("one of the leads is another question: %+v", u)
	}
}

// eachOwn gives each approval a person of its own.
func eachOwn(as []access.Approval) []access.Approval {
	for i := range as {
		as[i].Person = access.Person(rune('a' + i))
	}
	return as
}
