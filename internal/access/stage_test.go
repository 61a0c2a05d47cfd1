package access

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// escalating asks leads too when nobody of those asked has answered for an hour.
func escalating(reqs ...Requirement) Decision {
	for i := range reqs {
		reqs[i].EscalateAfter, reqs[i].EscalateTo = time.Hour, []Subject{"group:leads"}
	}
	return needs(reqs...)
}

func from(stage, count int, who ...Subject) Requirement {
	return Requirement{From: who, Count: count, Stage: stage}
}

// open is OpenStage by the words of the rule: the first stage such that it and all
// before it are not filled by different persons.
func open(reqs []Requirement, as []Approval) int {
	last := 0
	for s := 1; s <= MaxStages; s++ {
		var upTo []Requirement
		for _, q := range reqs {
			if max(q.Stage, 1) > s {
				q.Count = 0
			}
			last = max(last, q.Stage, 1)
			upTo = append(upTo, q)
		}
		if !enough(upTo, as) {
			return s
		}
	}
	return last + 1
}

// Nobody votes before their stage is open, or after it; who votes counts in it; and
// all of it is approved exactly when each stage was filled by persons of its own.
func TestStages(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		groups := []Group{"dba", "security", "owners"}
		var reqs []Requirement
		for range rapid.IntRange(1, 4).Draw(t, "requirements") {
			reqs = append(reqs, from(rapid.IntRange(0, 3).Draw(t, "stage"), rapid.IntRange(1, 2).Draw(t, "count"), Subject("group:"+rapid.SampledFrom(groups).Draw(t, "from"))))
		}
		r, _, err := Submit(draft(), actorOf(mira), needs(reqs...), t0)
		if err != nil {
			t.Fatal(err)
		}
		digest := r.Digest
		for i := range rapid.IntRange(1, 10).Draw(t, "votes") {
			p := Principal{ID: PrincipalID(fmt.Sprint("user:v", i)), Person: Person(fmt.Sprint("v", rapid.IntRange(0, 9).Draw(t, "person"))),
				Groups: rapid.SliceOfNDistinct(rapid.SampledFrom(groups), 1, 3, rapid.ID).Draw(t, "groups")}
			stage := open(reqs, r.Approvals)
			if got := r.OpenStage(); got != stage {
				t.Fatalf("stage %d is open, want %d of %v", got, stage, reqs)
			}
			var can []int
			later := false
			for i, q := range reqs {
				if !p.In(q.From[0]) {
					continue
				}
				if s := max(q.Stage, 1); s == stage {
					can = append(can, i)
				} else if s > stage {
					later = true
				}
			}
			may := r.State == RequestPending && len(can) > 0 && !slices.ContainsFunc(r.Approvals, func(a Approval) bool { return a.Person == p.Person })
			if r.MayDecide(p) != may {
				t.Fatalf("MayDecide(%v) = %v in stage %d of %v", p.Groups, !may, stage, reqs)
			}
			next, _, err := r.Vote(p, actorOf(p), Vote{Approve: true, Seen: digest}, t0)
			switch {
			case (err == nil) != may:
				t.Fatalf("vote of %v in stage %d of %v: %v", p.Groups, stage, reqs, err)
			case err == nil && !slices.Equal(next.Approvals[len(next.Approvals)-1].Meets, can):
				t.Fatalf("it counts for %v, want %v", next.Approvals[len(next.Approvals)-1].Meets, can)
			case err == nil && stage > 1:
				seen["later stage"]++
			case err != nil && later && r.State == RequestPending:
				seen["too early"]++
			}
			if err != nil && !reflect.DeepEqual(next, r) {
				t.Fatal("a refused vote changed the request")
			}
			r = next
		}
		if got := r.State == RequestIsGranted; got != enough(reqs, r.Approvals) || r.Digest != digest {
			t.Fatalf("%s with %v of %v", r.State, r.Approvals, reqs)
		}
		if r.State == RequestIsGranted && lastStage(reqs) > 1 {
			seen["all stages"]++
		}
	})
	for _, what := range []string{"later stage", "too early", "all stages"} {
		if seen[what] == 0 && !testing.Short() {
			t.Errorf("the generator never came to: %s", what)
		}
	}
}

func TestVoteOutOfTurn(t *testing.T) {
	lead := Principal{ID: "user:lea", Person: "lea", Groups: []Group{"leads"}}
	r := submit(t, needs(oneDBA, from(2, 1, "group:leads")))
	if ask := r.Asking(); len(ask) != 1 || ask[0].From[0] != "group:dba" {
		t.Errorf("it asks %v", ask)
	}
	_, _, err := r.Vote(lead, actorOf(lead), Vote{Approve: true, Seen: r.Digest}, t0)
	wantCode(t, err, Denied, "not-yet-asked")
	_, _, err = r.Vote(lead, actorOf(lead), Vote{Seen: r.Digest, Note: "no"}, t0)
	wantCode(t, err, Denied, "not-yet-asked")
	if r.Asks(lead) || r.MayDecide(lead) {
		t.Error("who is of a later stage is asked")
	}
	_, _, err = r.Question(lead, actorOf(lead), "what is it?", t0)
	wantCode(t, err, Denied, "not-an-approver")

	r, ev, err := r.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: r.Digest}, t0)
	if err != nil || ev.Type != RequestVoted || ev.Facts["stage"] != "2" {
		t.Fatalf("%+v, %v", ev, err)
	}
	if !r.Asks(lead) || !r.MayDecide(lead) || r.MayDecide(zoe) || !r.Asks(zoe) {
		t.Error("the second stage asks the wrong people")
	}
	_, _, err = r.Vote(zoe, actorOf(zoe), Vote{Seen: r.Digest, Note: "no"}, t0) // her stage is done
	wantCode(t, err, Denied, "not-an-approver")
	r, ev, err = r.Vote(lead, actorOf(lead), Vote{Approve: true, Seen: r.Digest}, t0)
	if err != nil || r.State != RequestIsGranted || ev.Facts["stage"] != "" || r.Asking() != nil {
		t.Fatalf("%s, %+v, %v", r.State, ev, err)
	}
	if _, _, _, err := r.NewGrant("grt_1", t0); err != nil {
		t.Error(err)
	}
}

func TestStageBounds(t *testing.T) {
	for stage, want := range map[int]RequestState{-1: RequestIsDenied, 0: RequestPending, MaxStages: RequestPending, MaxStages + 1: RequestIsDenied, math.MaxInt: RequestIsDenied} {
		if r := submit(t, needs(from(stage, 1, "*"))); r.State != want {
			t.Errorf("stage %d is %s, want %s", stage, r.State, want)
		}
	}
	for name, bend := range map[string]func(*Decision){
		"waits too long":       func(d *Decision) { d.AnswerWithin = MaxWait + time.Millisecond },
		"ends before it began": func(d *Decision) { d.AnswerWithin = -1 },
		"half a millisecond":   func(d *Decision) { d.AnswerWithin = time.Hour + time.Microsecond },
		"reminds before":       func(d *Decision) { d.RemindAfter = -1 },
		"escalates at once":    func(d *Decision) { d.Approvals[0].EscalateTo = []Subject{"*"} },
		"escalates before":     func(d *Decision) { d.Approvals[0].EscalateAfter = -1 },
	} {
		d := needs(oneDBA)
		bend(&d)
		if r := submit(t, d); r.State != RequestIsDenied {
			t.Errorf("%s: %s", name, r.State)
		}
	}
}

func TestAnswerWithin(t *testing.T) {
	d := needs(oneDBA)
	d.AnswerWithin = 4 * time.Hour
	if r := submit(t, d); !r.ExpiresAt.Equal(t0.Add(4*time.Hour)) || !r.DueAt().Equal(r.ExpiresAt) || !r.ChaseAt().IsZero() {
		t.Errorf("waits until %v, due at %v", r.ExpiresAt, r.DueAt())
	}
	if r := submit(t, needs(oneDBA)); !r.ExpiresAt.Equal(t0.Add(PendingFor)) {
		t.Errorf("waits until %v", r.ExpiresAt)
	}
}

// Time reminds of a request, asks others, and ends it, each when it is due and not
// before; a stage begins anew.
func TestChase(t *testing.T) {
	d := escalating(oneDBA)
	d.Approvals = append(d.Approvals, from(2, 1, "group:leads"))
	d.RemindAfter, d.AnswerWithin = 40*time.Minute, 5*time.Hour
	r := submit(t, d)
	at := func(min int) time.Time { return t0.Add(time.Duration(min) * time.Minute) }
	step := func(min int, want EventType, f func(time.Time) (Request, Event, error)) {
		t.Helper()
		if !r.DueAt().Equal(at(min)) {
			t.Fatalf("due at %s, want %s", r.DueAt(), at(min))
		}
		if _, _, err := f(at(min).Add(-time.Millisecond)); KindOf(err) != Conflict {
			t.Fatalf("early: %v", err)
		}
		next, ev, err := f(at(min))
		if err != nil || ev.Type != want || ev.Actor != System || next.Version != r.Version+1 {
			t.Fatalf("%+v, %v", ev, err)
		}
		r = next
	}
	lead := Principal{ID: "user:lea", Person: "lea", Groups: []Group{"leads"}}
	second := Principal{ID: "user:lou", Person: "lou", Groups: []Group{"leads"}}
	if r.Asks(lead) {
		t.Error("a lead is asked before it was escalated")
	}
	step(40, RequestReminded, r.Remind)
	step(60, RequestEscalated, r.Escalate)
	if !r.MayDecide(lead) || !r.MayDecide(zoe) || !slices.Equal(r.Escalated, []int{0}) || r.Decision.Approvals[0].Count != 1 {
		t.Error("it asks the wrong people")
	}
	step(80, RequestReminded, r.Remind)
	var err error
	if r, _, err = r.Vote(lead, actorOf(lead), Vote{Approve: true, Seen: r.Digest}, at(90)); err != nil || r.OpenStage() != 2 {
		t.Fatal(err, r.OpenStage())
	}
	step(130, RequestReminded, r.Remind) // since the stage opened
	step(170, RequestReminded, r.Remind)
	step(210, RequestReminded, r.Remind)
	step(300, RequestExpired, r.TimeOut) // five were enough
	pending := r
	pending.State, pending.DecidedAt = RequestPending, time.Time{}
	r = pending
	if r, _, err = r.Vote(second, actorOf(second), Vote{Approve: true, Seen: r.Digest}, at(295)); err != nil || r.State != RequestIsGranted {
		t.Fatal(err, r.State)
	}
	if !r.DueAt().IsZero() {
		t.Error("a decided request is due")
	}
	// Who was asked besides counts later too, and only where it was escalated.
	voters := map[PrincipalID]Principal{lead.ID: lead, second.ID: second}
	if err := r.Recount(d.Approvals, voters, nil, t0); err != nil {
		t.Error(err)
	}
	wantCode(t, r.Recount(needs(oneDBA, d.Approvals[1]).Approvals, voters, nil, t0), Denied, "approvals-lapsed")
	r.Escalated = nil
	wantCode(t, r.Recount(d.Approvals, voters, nil, t0), Denied, "approvals-lapsed")
}

// A person who could fill either place fills one: the other is still escalated.
func TestEscalationOfWhatLooksFilled(t *testing.T) {
	r := submit(t, escalating(from(0, 1, "group:dba"), from(0, 1, "group:security")))
	r, _, err := r.Vote(zoe, actorOf(zoe), Vote{Approve: true, Seen: r.Digest}, t0)
	if err != nil || r.State != RequestPending {
		t.Fatal(err, r.State)
	}
	r, _, err = r.Escalate(t0.Add(time.Hour))
	if err != nil || !slices.Equal(r.Escalated, []int{0, 1}) {
		t.Errorf("escalated %v, %v", r.Escalated, err)
	}
}

func TestRemarks(t *testing.T) {
	r := submit(t, needs(oneDBA))
	digest, due := r.Digest, r.DueAt()
	r, ev, err := r.Question(ben, actorOf(ben), "which customer?", t0)
	if err != nil || ev.Facts["text"] != "which customer?" || ev.Actor.Person != "ben" {
		t.Fatalf("%+v, %v", ev, err)
	}
	r, _, err = r.Answer(mira, actorOf(mira), "4711", t0)
	if err != nil || len(r.Remarks) != 2 || !r.Remarks[1].Answer || r.Remarks[0].Answer || r.Version != 3 {
		t.Fatalf("%+v, %v", r.Remarks, err)
	}
	if r.Digest != digest || !r.DueAt().Equal(due) || r.State != RequestPending {
		t.Error("a word changed more than itself")
	}
	if _, _, err := r.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: digest}, t0); err != nil {
		t.Error("the vote on what was shown does not count after an answer:", err)
	}
	_, _, err = r.Answer(miraAdm, actorOf(miraAdm), "for her", t0)
	wantCode(t, err, Denied, "not-yours")
	_, _, err = r.Question(miraAdm, actorOf(miraAdm), "so?", t0)
	wantCode(t, err, Denied, "not-an-approver")
	_, _, err = r.Question(ben, actorOf(ben), "so\u202e?", t0)
	wantCode(t, err, Invalid, "bad-text")
	_, _, err = r.Question(Principal{ID: ben.ID, Person: "ben", Groups: ben.Groups, Disabled: true}, actorOf(ben), "so?", t0)
	wantCode(t, err, Unauthenticated, "principal-disabled")
	_, _, err = r.Question(ben, actorOf(ben), "late?", r.ExpiresAt)
	wantCode(t, err, Expired, "request-expired")
	for len(r.Remarks) < MaxRemarks {
		if r, _, err = r.Question(ben, actorOf(ben), "and?", t0); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = r.Question(ben, actorOf(ben), "and?", t0)
	wantCode(t, err, TooMany, "too-many-remarks")
}
