package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/moment"
)

// A vendor and an agent have somebody who answers for them, in Ask.Answers. Without
// them, or when they cannot sign in themselves, nothing is allowed, in every phase; nor
// is anything for a task that has ended. An
// agent's ask is decided twice, once as its own and once as if its human asked the same,
// and the answer is the stricter of the two in everything. RFD 25.

// sponsor stands in approvals for who sponsors the vendor that asks.
const sponsor access.Subject = "sponsor"

// vouched refuses whoever is here for another who is not there.
func (w *weighing) vouched(now time.Time) {
	p, end := w.facts.ask.Principal, w.facts.ask.EndsBy
	if !end.IsZero() && !now.Before(end) {
		w.refuse(access.Fail(access.Denied, "task-ended", "the task "+string(w.facts.ask.Task)+" has ended").Try("name a new task: what has ended does not go on"))
	}
	if err := p.Answered(w.facts.ask.Answers, now); err != nil {
		w.refuse(err)
	}
}

// endsBy is the latest end that the ask may have: of a contract, of an agent, of a task;
// zero without one.
func (a Ask) endsBy() time.Time {
	end := a.EndsBy
	if p := a.Principal; p.Outside() && !p.Until.IsZero() && (end.IsZero() || p.Until.Before(end)) {
		end = p.Until
	}
	return end
}

// beyond says that the ask would last longer than who asks, or its task. Where it was
// asked in time and is only carried out late, the grant is shortened instead.
func (w *weighing) beyond() (over []access.Reason) {
	a := w.facts.ask
	end := a.endsBy()
	if w.phase != AtRequest || end.IsZero() {
		return nil
	}
	left := end.Sub(w.facts.start()).Truncate(time.Second)
	if left >= a.Duration {
		return nil
	}
	what := "the contract of " + string(a.Principal.ID)
	switch {
	case a.Task != "" && end.Equal(a.EndsBy):
		what = "the task " + string(a.Task)
	case a.Principal.ID.Kind() == access.Agent:
		what = string(a.Principal.ID)
	}
	text := fmt.Sprintf("%s ends at %s, before %s would be over", what, moment.At(end), span(a.Duration))
	if left > 0 {
		text += fmt.Sprintf("; at most %s is left", span(left))
	}
	return []access.Reason{{Text: text}}
}

// standing is the ask with what an agent has of its human: the manager.
func (a Ask) standing() Ask {
	if a.Principal.ID.Kind() == access.Agent && a.Answers != nil {
		a.Principal.Manager = a.Answers.Manager
	}
	return a
}

// decide weighs the ask, and for an agent the same ask of its human.
func (s *Set) decide(a Ask, p Phase, now time.Time) access.Decision {
	a = a.standing()
	if a.Principal.ID.Kind() != access.Agent || a.Answers == nil {
		return s.weigh(a, p, now).decision()
	}
	d := s.weigh(a, p, now).decision()
	if d.Effect == access.Deny {
		return d
	}
	h := a
	h.Principal, h.Answers = *a.Answers, nil
	return s.both(a, d, s.weigh(h, p, now).decision())
}

// both is what an agent's own answer d and its human's h are together: never longer,
// never sooner over with fewer approvals, and nothing where either is a no.
func (s *Set) both(a Ask, d, h access.Decision) access.Decision {
	of := fmt.Sprintf("%s may have no more than %s, who answers for it", a.Principal.ID, a.Answers.ID)
	if h.Effect == access.Deny {
		reasons := []access.Reason{{Text: of + ", and to them it would be denied"}}
		return s.deny(h.Policy, cut(append(reasons, h.Reasons...))...)
	}
	if systems := s.watchedIn(d.Policy, h.Policy); len(systems) > 1 {
		return s.deny(h.Policy, access.Reason{Text: fmt.Sprintf("%s; its ticket would have to be watched in %s, and a grant rests on the ticket of one system",
			of, strings.Join(systems, " and "))})
	}
	d.Behalf = h.Policy
	d.MaxDuration = min(d.MaxDuration, h.MaxDuration)
	d.Conditional = d.Conditional || h.Conditional
	if h.Effect != access.Approve {
		return d
	}
	d.Effect = access.Approve
	d.AnswerWithin, d.RemindAfter = sooner(d.AnswerWithin, h.AnswerWithin), sooner(d.RemindAfter, h.RemindAfter)
	free := slices.Clone(d.Approvals)
	var more []access.Requirement
	for _, q := range h.Approvals {
		if i := slices.IndexFunc(free, func(have access.Requirement) bool { return asMuch(have, q) }); i >= 0 {
			free = slices.Delete(free, i, i+1)
			continue
		}
		more = append(more, q)
	}
	if len(more) == 0 {
		return d
	}
	d.Approvals = append(slices.Clip(d.Approvals), more...)
	n := 0
	for _, q := range d.Approvals {
		n += q.Count
	}
	if n > maxApprovals {
		return s.deny(d.Policy, access.Reason{Text: fmt.Sprintf("%s; together %d approvals are asked for, and a request can have %d", of, n, maxApprovals)})
	}
	text := fmt.Sprintf("asks besides for what %s would need: %s", a.Answers.ID, approvalText(more))
	source := ""
	if len(h.Reasons) > 0 {
		source = h.Reasons[0].Source
	}
	d.Reasons = cut(append(slices.Clip(d.Reasons), access.Reason{Policy: h.Policy, Source: source, Text: text}))
	return d
}

// sooner is the shorter of two spans, of which zero is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// readAnswers reads who answers for the principal of a test: the sponsor of a vendor by
// name, the human of an agent as a principal of their own.
func readAnswers(f *form, p *access.Principal) (by *access.Principal) {
	p.Company = f.text("company", access.MaxCompany)
	if it, ok := f.scalar("until"); ok {
		p.Until = readTime(f, it)
	}
	if p.Sponsor = readUser(f, string(sponsor)); p.Sponsor != "" {
		by = &access.Principal{ID: p.Sponsor, Person: access.Person(p.Sponsor.Name())}
	}
	if h := f.sub("responsible"); h != nil {
		human, _, _ := readPrincipal(h)
		p.Responsible, p.Person, by = human.ID, human.Person, &human
	}
	return by
}
