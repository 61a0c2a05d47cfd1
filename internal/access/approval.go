package access

import (
	"slices"
	"strings"
	"time"

	"stint/internal/moment"
)

// maxSlots bounds the approvals that a decision can ask for.
const maxSlots = 20

// Vote is what an approver says. A zero Duration and nil Rights leave what was
// asked; otherwise they can only narrow it.
type Vote struct {
	Approve  bool
	Duration time.Duration
	Rights   []string
	Note     string
	// Seen is the digest of the request that the approver was shown.
	Seen Digest

	// Level is chat or console, as the door knows it that the vote came through. An
	// Assertion makes it what Passkeys finds it to be.
	Level     Level
	Assertion Assertion
	Passkeys  Prover // needed where there is an assertion
	// Signed is when the assertion was asked for, by the clock of whoever asked; zero
	// where the client says none.
	Signed time.Time
}

// Approval is a recorded vote.
type Approval struct {
	By        PrincipalID
	Person    Person
	For       PrincipalID // whose approval it is, where somebody else gave it; else empty
	ForPerson Person
	Approve   bool
	Duration  time.Duration // what the vote leaves
	Rights    []string
	Note      string
	At        time.Time
	Request   Digest
	Digest    Digest
	Meets     []int // indices of the requirements that the voter can fill
	// Level is how the vote was given, and Assertion what proves it from passkey up.
	Level     Level
	Assertion Assertion
	Signed    time.Time // that the assertion says; zero in those that say none
}

// Vote records a vote on a pending request. One no denies; enough yes approves.
func (r Request) Vote(voter Principal, actor Actor, v Vote, now time.Time) (Request, Event, error) {
	if err := r.undecided(); err != nil {
		return r, Event{}, err
	}
	if !now.Before(r.ExpiresAt) {
		return r, Event{}, Fail(Expired, "request-expired", "the request expired").Because("nobody decided before " + moment.At(r.ExpiresAt))
	}
	a, err := r.approval(voter, v, now)
	if err != nil {
		return r, Event{}, err
	}
	asked := r
	r.Approvals = append(slices.Clone(r.Approvals), a)
	r.Version++
	kv := []string{"approver", string(a.By), "approver_person", string(a.Person), "note", a.Note, "approval_digest", a.Digest.String()}
	kv = append(kv, "for", string(a.For), "for_person", string(a.ForPerson))
	kv = append(kv, a.levelFacts()...)
	if a.Approve {
		kv = append(kv, "stage", r.stageFact())
	}
	switch {
	case !a.Approve:
		r.State, r.DecidedAt = RequestIsDenied, now
		return r, r.event(RequestDenied, actor, now, kv...), nil
	case !Quorum(r.Decision.Approvals, r.Approvals):
		return r, r.event(RequestVoted, actor, now, append(kv, "duration", a.Duration.String(), "rights", strings.Join(a.Rights, ","))...), nil
	}
	if _, p := r.Granted(); len(p.Rights) == 0 && len(r.Permissions.Rights) > 0 {
		return asked, Event{}, Fail(Conflict, "nothing-left", "the approvals together leave no right to grant")
	}
	r.State, r.DecidedAt = RequestIsGranted, now
	d, p := r.Granted()
	return r, r.event(RequestApproved, actor, now, append(kv, "duration", d.String(), "rights", strings.Join(p.Rights, ","))...), nil
}

func (r Request) approval(voter Principal, v Vote, now time.Time) (Approval, error) {
	if err := voter.Usable(now); err != nil {
		return Approval{}, err
	}
	if err := voter.MayApprove(); err != nil {
		return Approval{}, err
	}
	switch {
	case voter.Person == r.Person || voter.Person == "":
		return Approval{}, Fail(Denied, "own-request", "nobody decides their own request").Because(string(r.Principal) + " asks for the same person, " + string(r.Person))
	case v.Seen != r.Digest:
		return Approval{}, Fail(Conflict, "other-request", "the request is not the one you were shown").Because("its digest is " + r.Digest.String())
	case r.voted(voter.Person):
		return Approval{}, Fail(Conflict, "already-voted", "you have voted on this request already").Because("a vote that somebody else gave for you is yours too")
	}
	open := r.OpenStage()
	as, by := r.voice(voter, open, open)
	if err := r.mayVote(as, open); err != nil {
		return Approval{}, err
	}
	if v.Note != "" || !v.Approve {
		if err := checkText("note", v.Note, MaxReason, false); err != nil {
			return Approval{}, err
		}
	}
	a := Approval{By: voter.ID, Person: voter.Person, Approve: v.Approve, Note: v.Note, At: now, Request: r.Digest}
	if by != nil {
		a.For, a.ForPerson = by.ID, by.Person
	}
	a, err := r.leaves(a, v)
	if err != nil {
		return Approval{}, err
	}
	if a, err = a.proved(r, v, now); err != nil {
		return Approval{}, err
	}
	if a.Meets = r.inStages(r.meets(r.asking(r.Decision.Approvals), as, a.counts(a.Level)), open, open); a.Approve && len(a.Meets) == 0 {
		return Approval{}, r.tooWeak(as, by != nil, a.Level)
	}
	a.Digest = approvalDigest(a, r.Permissions)
	return a, nil
}

// leaves works out what a vote leaves of what was asked. It can only be less.
func (r Request) leaves(a Approval, v Vote) (Approval, error) {
	if !v.Approve {
		return a, nil
	}
	a.Duration, a.Rights = r.Duration, r.Permissions.Rights
	if v.Duration != 0 {
		if v.Duration < 0 || v.Duration > r.Duration || v.Duration%time.Millisecond != 0 {
			return Approval{}, Fail(Invalid, "not-narrower", "an approval can only shorten what was asked").Because("asked: " + moment.Span(r.Duration) + ", said: " + moment.Span(v.Duration))
		}
		a.Duration = v.Duration
	}
	if v.Rights != nil {
		p, err := r.Permissions.Narrow(v.Rights)
		if err != nil {
			return Approval{}, err
		}
		a.Rights = p.Rights
		if r.Extends != "" && len(a.Rights) < len(r.Permissions.Rights) {
			return Approval{}, Fail(Invalid, "extension-narrowed", "an extension can be shortened, not narrowed").Because("the grant keeps its rights until it ends")
		}
	}
	return a, nil
}

// Asks reports whether the principal is one of those whom the request asks, or
// asked when it was open. Whoever is of a stage that was never reached was not.
func (r Request) Asks(p Principal) bool {
	as, _ := r.voice(p, 1, r.OpenStage())
	return r.mayBeAsked(p) && len(r.meetsIn(as, 1, r.OpenStage())) > 0
}

// MayDecide reports whether the principal's vote would count now.
func (r Request) MayDecide(p Principal) bool {
	open := r.OpenStage()
	as, _ := r.voice(p, open, open)
	return r.State == RequestPending && r.mayBeAsked(p) && len(r.meetsIn(as, open, open)) > 0 && !r.voted(p.Person)
}

// Granted is what an approved request leaves to grant: the shortest duration
// and the rights common to all approvals.
func (r Request) Granted() (time.Duration, Permissions) {
	d, p := r.Duration, r.Permissions
	p.Rights = slices.Clone(p.Rights)
	for _, a := range r.Approvals {
		if !a.Approve {
			continue
		}
		d = min(d, a.Duration)
		p.Rights = slices.DeleteFunc(p.Rights, func(x string) bool { return !slices.Contains(a.Rights, x) })
	}
	return d, p
}

// Recount checks an approved request again at activation: every counted vote
// still binds to the request's digest, and those who voted, as they are now,
// still make up what reqs asks for. Voters that are gone are simply not passed; of a vote
// for somebody, both are passed, and whoever it was for must still be asked. What
// a passkey signed is checked again, by the passkeys that there are now: a vote whose
// passkey was removed meanwhile counts no more. Without passkeys none such counts.
func (r Request) Recount(reqs []Requirement, voters map[PrincipalID]Principal, passkeys Prover, now time.Time) error {
	if requestDigest(r) != r.Digest {
		return Fail(Conflict, "digest-mismatch", "the request is not what was approved")
	}
	var counted []Approval
	for _, a := range r.Approvals {
		v, ok := voters[a.By]
		if !ok || !a.Approve || v.Usable(now) != nil || v.MayApprove() != nil || v.Person == r.Person || v.Person != a.Person {
			continue
		}
		if a.Request != r.Digest || a.Digest != approvalDigest(a, r.Permissions) {
			return Fail(Conflict, "digest-mismatch", "an approval is not for what was asked")
		}
		level, err := a.level(passkeys)
		switch {
		case KindOf(err) == Unavailable || KindOf(err) == Internal && err != nil:
			return err // not a verdict
		case err != nil || level < r.floor():
			continue
		}
		as := v
		if a.For != "" {
			if as, ok = voters[a.For]; !ok || as.Usable(now) != nil || as.MayApprove() != nil || as.Person == r.Person || as.Person != a.ForPerson {
				continue
			}
		}
		a.Meets = r.meets(r.stillAsking(reqs), as, a.counts(level))
		counted = append(counted, a)
	}
	if !Quorum(reqs, counted) {
		return Fail(Denied, "approvals-lapsed", "the approvals no longer suffice").Because("it asks for " + askedOf(reqs))
	}
	return nil
}

// Quorum reports whether the approvals fill every requirement, each place by a
// person of its own: nobody counts twice, whatever groups they are in.
func Quorum(reqs []Requirement, as []Approval) bool {
	var slots []int // requirement of each place to fill
	for i, q := range reqs {
		if q.Count > maxSlots-len(slots) {
			return false
		}
		for range q.Count {
			slots = append(slots, i)
		}
	}
	var yes []Approval
	seen := map[Person]bool{}
	for _, a := range as {
		if a.Approve && !seen[a.Person] && (a.ForPerson == "" || !seen[a.ForPerson]) {
			seen[a.Person] = true
			if a.ForPerson != "" { // one vote of the two
				seen[a.ForPerson] = true
			}
			yes = append(yes, a)
		}
	}
	// Maximum bipartite matching of places and persons by augmenting paths.
	filledBy := make([]int, len(yes)) // place filled by each person, or -1
	for i := range filledBy {
		filledBy[i] = -1
	}
	var fill func(place int, tried []bool) bool
	fill = func(place int, tried []bool) bool {
		for i, a := range yes {
			if tried[i] || !slices.Contains(a.Meets, slots[place]) {
				continue
			}
			tried[i] = true
			if filledBy[i] < 0 || fill(filledBy[i], tried) {
				filledBy[i] = place
				return true
			}
		}
		return false
	}
	for place := range slots {
		if !fill(place, make([]bool, len(yes))) {
			return false
		}
	}
	return true
}

// binds reports whether what was asked is what its digest says, and every vote
// is on exactly that.
func (r Request) binds() bool {
	return requestDigest(r) == r.Digest && !slices.ContainsFunc(r.Approvals, func(a Approval) bool {
		return a.Request != r.Digest || a.Digest != approvalDigest(a, r.Permissions)
	})
}

// approved reports whether the decision allows the request, or those it asks
// for have said yes.
func (r Request) approved() bool {
	return r.Decision.fits(r.Emergency) && (r.Decision.Effect == Allow ||
		r.Decision.Effect == Approve && wellFormed(r.Decision.Approvals) && Quorum(r.Decision.Approvals, r.Approvals))
}

// Have counts, for each requirement alone, the approvals that could fill it.
func (r Request) Have() []int {
	have := make([]int, len(r.Decision.Approvals))
	for i, q := range r.Decision.Approvals {
		for _, a := range r.Approvals {
			if a.Approve && slices.Contains(a.Meets, i) && have[i] < q.Count {
				have[i]++
			}
		}
	}
	return have
}

// meets lists the requirements that a vote of the principal and level can fill.
func (r Request) meets(reqs []Requirement, p Principal, l Level) (is []int) {
	for i, q := range reqs {
		if inAny(q, p) && l >= r.Wants(q) {
			is = append(is, i)
		}
	}
	return is
}

// inAny reports whether the principal is one of those a requirement asks.
func inAny(q Requirement, p Principal) bool { return slices.ContainsFunc(q.From, p.In) }

func askedOf(reqs []Requirement) string {
	var parts []string
	for _, q := range reqs {
		var from []string
		for _, s := range q.From {
			from = append(from, string(s))
		}
		how := ""
		if q.Level != LevelConsole {
			how = " (" + q.Level.String() + ")"
		}
		parts = append(parts, itoa(int64(q.Count))+" of "+strings.Join(from, ", ")+how)
	}
	return strings.Join(parts, " and ")
}
