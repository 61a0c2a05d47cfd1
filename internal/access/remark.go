package access

import (
	"slices"
	"time"

	"stint/internal/moment"
)

// MaxRemarks is how many questions and answers one request can have.
const MaxRemarks = 40

// Remark is a question about a request by somebody who is asked to decide it, or the
// answer of who asks for access. Remarks are no part of what is approved: a vote
// binds to the request's digest, and that covers the reason as it was given.
type Remark struct {
	By     PrincipalID
	Person Person
	Answer bool // else a question
	Text   string
	At     time.Time
}

// Question records a question of somebody whom the request asks. It changes nothing
// else: the request waits as before, and ends when it would have.
func (r Request) Question(by Principal, actor Actor, text string, now time.Time) (Request, Event, error) {
	if err := r.talks(by, now); err != nil {
		return r, Event{}, err
	}
	if !r.Asks(by) {
		return r, Event{}, Fail(Denied, "not-an-approver", "this request is not yours to decide").Because("it asks for " + askedOf(r.Asking()))
	}
	return r.remark(Remark{By: by.ID, Person: by.Person, Text: text, At: now}, actor, RequestQuestioned)
}

// Answer records what who asks for access says to the questions.
func (r Request) Answer(by Principal, actor Actor, text string, now time.Time) (Request, Event, error) {
	if err := r.talks(by, now); err != nil {
		return r, Event{}, err
	}
	switch {
	case by.ID != r.Principal:
		return r, Event{}, Fail(Denied, "not-yours", "only who asked for access answers")
	case len(r.Remarks) == 0:
		return r, Event{}, Fail(Conflict, "nothing-asked", "nobody has a question")
	}
	return r.remark(Remark{By: by.ID, Person: by.Person, Answer: true, Text: text, At: now}, actor, RequestAnswered)
}

func (r Request) talks(by Principal, now time.Time) error {
	if err := r.undecided(); err != nil {
		return err
	}
	if !now.Before(r.ExpiresAt) {
		return Fail(Expired, "request-expired", "the request expired").Because("nobody decided before " + moment.At(r.ExpiresAt))
	}
	return by.Usable(now)
}

func (r Request) remark(m Remark, actor Actor, t EventType) (Request, Event, error) {
	if err := checkText("text", m.Text, MaxReason, false); err != nil {
		return r, Event{}, err
	}
	if len(r.Remarks) >= MaxRemarks {
		return r, Event{}, Fail(TooMany, "too-many-remarks", "there is no room for more questions and answers").Try("decide it, or withdraw it and ask anew")
	}
	r.Remarks = append(slices.Clone(r.Remarks), m)
	r.Version++
	return r, r.event(t, actor, m.At, "text", m.Text), nil
}
