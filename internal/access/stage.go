package access

import (
	"math"
	"slices"
	"strings"
	"time"
)

// MaxStages is how many stages there are at most, and MaxReminders how many reminders
// of one request.
const (
	MaxStages    = 9
	MaxReminders = 5
)

// Requirements are asked in stages: those of the second once those of the first
// are filled, and so on. A vote counts for the stage that is open when it is cast,
// and for no other, so that nobody decides before it is their turn. A person has
// one vote, also where two stages ask for them; the no of whoever is asked denies.

func (q Requirement) stage() int { return max(q.Stage, 1) }

func lastStage(reqs []Requirement) (last int) {
	for _, q := range reqs {
		last = max(last, q.stage())
	}
	return last
}

// through leaves of the requirements those of the stages up to last. Indices stay.
func through(reqs []Requirement, last int) []Requirement {
	reqs = slices.Clone(reqs)
	for i := range reqs {
		if reqs[i].stage() > last {
			reqs[i].Count = 0
		}
	}
	return reqs
}

// OpenStage is the stage that is asked, or was when the request was decided: the
// first that is not filled; after the last one where all are.
func (r Request) OpenStage() int { return openStage(r.Decision.Approvals, r.Approvals) }

func openStage(reqs []Requirement, as []Approval) int {
	var stages []int
	for _, q := range reqs {
		stages = append(stages, q.stage())
	}
	slices.Sort(stages)
	for _, s := range slices.Compact(stages) {
		if !Quorum(through(reqs, s), as) {
			return s
		}
	}
	return lastStage(reqs) + 1
}

// openedAt is since when the open stage is asked.
func (r Request) openedAt() time.Time {
	open := r.OpenStage()
	for n := len(r.Approvals); n > 0; n-- {
		if openStage(r.Decision.Approvals, r.Approvals[:n-1]) < open {
			return r.Approvals[n-1].At
		}
	}
	return r.CreatedAt
}

// stageFact is the open stage as an event says it: nothing where there is but one,
// or none open.
func (r Request) stageFact() string {
	last, open := lastStage(r.Decision.Approvals), r.OpenStage()
	if r.State != RequestPending || last < 2 || open > last {
		return ""
	}
	return itoa(int64(open))
}

// asking is requirements as they are asked by now: also of those to whom they were
// escalated.
func (r Request) asking(reqs []Requirement) []Requirement {
	if len(r.Escalated) == 0 {
		return reqs
	}
	reqs = slices.Clone(reqs)
	for _, i := range r.Escalated {
		if i >= 0 && i < len(reqs) {
			reqs[i].From = append(slices.Clip(reqs[i].From), reqs[i].EscalateTo...)
		}
	}
	return reqs
}

// stillAsking is the same for requirements that were decided anew: what was escalated
// counts where the same are asked as then, and the same besides.
func (r Request) stillAsking(reqs []Requirement) []Requirement {
	then := r.Decision.Approvals
	r.Escalated = slices.DeleteFunc(slices.Clone(r.Escalated), func(i int) bool {
		return i < 0 || i >= len(reqs) || i >= len(then) || !slices.Equal(reqs[i].From, then[i].From) || !slices.Equal(reqs[i].EscalateTo, then[i].EscalateTo)
	})
	return r.asking(reqs)
}

// Asked lists all its requirements, in the order of the decision, with whoever they were
// escalated to.
func (r Request) Asked() []Requirement { return r.asking(r.Decision.Approvals) }

// Asking lists the requirements that the request asks for now, with whoever they
// were escalated to; none once it is decided.
func (r Request) Asking() (reqs []Requirement) {
	if r.State != RequestPending {
		return nil
	}
	open := r.OpenStage()
	for _, q := range r.asking(r.Decision.Approvals) {
		if q.stage() == open {
			reqs = append(reqs, q)
		}
	}
	return reqs
}

// mayBeAsked reports whether the principal is a person, and another one than asks.
func (r Request) mayBeAsked(p Principal) bool {
	return p.MayApprove() == nil && p.Person != "" && p.Person != r.Person
}

// meetsIn lists the requirements of the stages from first to last that ask the
// principal, at whatever level.
func (r Request) meetsIn(p Principal, first, last int) (is []int) {
	for i, q := range r.asking(r.Decision.Approvals) {
		if inAny(q, p) {
			is = append(is, i)
		}
	}
	return r.inStages(is, first, last)
}

// inStages leaves of requirements those of the stages from first to last.
func (r Request) inStages(is []int, first, last int) []int {
	return slices.DeleteFunc(is, func(i int) bool {
		s := r.Decision.Approvals[i].stage()
		return s < first || s > last
	})
}

// mayVote says why the voter has no say in the open stage, or nil.
func (r Request) mayVote(voter Principal, open int) error {
	if len(r.meetsIn(voter, open, open)) > 0 {
		return nil
	}
	now := "it asks for " + askedOf(r.Asking())
	if len(r.meetsIn(voter, open+1, math.MaxInt)) > 0 {
		return Fail(Denied, "not-yet-asked", "this request does not ask you yet").Because(now + " first").
			Try("it is among stint approvals once it does")
	}
	return Fail(Denied, "not-an-approver", "this request is not yours to decide").Because(now)
}

// AnsweredIn is how long it took from when the requirement was asked until its people
// had given as many answers as it asks for, or a no. asked is false where its stage was
// never reached, answered where they never did.
func (r Request) AnsweredIn(i int) (took time.Duration, asked, answered bool) {
	q := r.Decision.Approvals[i]
	for n := range len(r.Approvals) + 1 {
		if openStage(r.Decision.Approvals, r.Approvals[:n]) < q.stage() {
			continue
		}
		opened, have := r.CreatedAt, 0
		if n > 0 {
			opened = r.Approvals[n-1].At
		}
		for _, a := range r.Approvals[n:] {
			if !slices.Contains(a.Meets, i) {
				continue
			}
			if have++; have >= q.Count || !a.Approve {
				return a.At.Sub(opened), true, true
			}
		}
		return 0, true, false
	}
	return 0, false, false
}

// chased reports whether a decision's times are such that a request can be held to
// them: none is negative, and it waits no longer than any may.
func chased(d Decision) bool {
	for _, q := range d.Approvals {
		if q.EscalateAfter < 0 || q.EscalateAfter == 0 && len(q.EscalateTo) > 0 {
			return false
		}
	}
	return d.AnswerWithin >= 0 && d.AnswerWithin <= MaxWait && d.RemindAfter >= 0 &&
		d.AnswerWithin%time.Millisecond == 0
}

// ChaseAt is when those who are asked are next reminded, or others asked besides
// them; zero when that does not happen before the request ends.
func (r Request) ChaseAt() time.Time {
	at := r.remindAt()
	for _, i := range r.toEscalate() {
		if t := r.openedAt().Add(r.Decision.Approvals[i].EscalateAfter); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if r.State != RequestPending || !at.Before(r.ExpiresAt) {
		return time.Time{}
	}
	return at
}

// remindAt is when they are next reminded; zero: never.
func (r Request) remindAt() time.Time {
	if r.Decision.RemindAfter <= 0 || r.Reminders >= MaxReminders {
		return time.Time{}
	}
	since := r.openedAt()
	if r.RemindedAt.After(since) {
		since = r.RemindedAt
	}
	return since.Add(r.Decision.RemindAfter)
}

// toEscalate lists the requirements of the open stage that have places left and others
// to ask for them. Where each looks filled alone and together they are not, because
// one person could fill two of them, all have.
func (r Request) toEscalate() (is []int) {
	open, have := r.OpenStage(), r.Have()
	lacking := false
	for i, q := range r.Decision.Approvals {
		lacking = lacking || q.stage() == open && have[i] < q.Count
	}
	for i, q := range r.Decision.Approvals {
		if q.stage() == open && len(q.EscalateTo) > 0 && (have[i] < q.Count || !lacking) && !slices.Contains(r.Escalated, i) {
			is = append(is, i)
		}
	}
	return is
}

// Remind records that those who are asked are reminded.
func (r Request) Remind(now time.Time) (Request, Event, error) {
	if err := r.undecided(); err != nil {
		return r, Event{}, err
	}
	if at := r.remindAt(); at.IsZero() || now.Before(at) || !now.Before(r.ExpiresAt) {
		return r, Event{}, Fail(Conflict, "not-due", "no reminder is due")
	}
	r.Reminders++
	r.RemindedAt = now
	r.Version++
	return r, r.event(RequestReminded, System, now, "asked", askedOf(r.Asking()), "reminder", itoa(int64(r.Reminders)), "expires_at", stamp(r.ExpiresAt)), nil
}

// Escalate asks others besides, for the places that are still open and whose time
// has come. It never asks for fewer.
func (r Request) Escalate(now time.Time) (Request, Event, error) {
	if err := r.undecided(); err != nil {
		return r, Event{}, err
	}
	var is []int
	var to []string
	for _, i := range r.toEscalate() {
		q := r.Decision.Approvals[i]
		if now.Before(r.openedAt().Add(q.EscalateAfter)) {
			continue
		}
		is = append(is, i)
		for _, s := range q.EscalateTo {
			if !slices.Contains(to, string(s)) {
				to = append(to, string(s))
			}
		}
	}
	if len(is) == 0 || !now.Before(r.ExpiresAt) {
		return r, Event{}, Fail(Conflict, "not-due", "no escalation is due")
	}
	r.Escalated = append(slices.Clone(r.Escalated), is...)
	slices.Sort(r.Escalated)
	r.Version++
	return r, r.event(RequestEscalated, System, now, "to", strings.Join(to, ","), "asked", askedOf(r.Asking()), "expires_at", stamp(r.ExpiresAt)), nil
}
