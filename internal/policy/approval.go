package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// maxApprovals is the most that a request can collect; access refuses more.
const maxApprovals = 20

// Approval is one entry of `approvals`, as written: its subjects may be words that
// depend on who asks for what.
type Approval struct {
	access.Requirement
	All bool // each of From says yes, not Count of them

	line int
}

// The words that stand for somebody else in each request.
const (
	owner   access.Subject = "owner"           // the owners of the resource
	manager access.Subject = "manager"         // of who asks
	above   access.Subject = "manager.manager" // the manager's manager
)

func readApproval(f *form) Approval {
	a := Approval{line: f.line}
	a.From = readApprovers(f, "from")
	if len(a.From) == 0 {
		f.r.add(f.line, "add from: [group:…]", "%s does not say from whom", f.what)
	}
	if a.All = f.flag("all"); a.All {
		if f.has("count") {
			f.r.add(f.lineOf("count"), "leave one of them out", "%s asks all of those named, and a count of them", f.what)
		}
		for _, s := range a.From {
			if _, shift := s.Schedule(); s == "*" || shift || strings.HasPrefix(string(s), "group:") {
				f.r.add(f.lineOf("from"), "give it an entry of its own: {from: [\""+string(s)+"\"]}", "all asks each of those named, and %s is many", s)
			}
		}
	}
	a.Count = f.whole("count", 1, 16, 1)
	a.Level, _ = access.ParseLevel(choice(f, "level", access.LevelConsole.String(), access.PolicyLevels))
	a.Stage = f.whole("stage", 1, access.MaxStages, 0)
	if e := f.sub("escalate"); e != nil {
		a.EscalateAfter, a.EscalateTo = e.span("after", access.MaxWait), readApprovers(e, "to")
		switch {
		case !e.has("after"):
			e.r.add(e.line, "add after: 30m", "escalate does not say after what time")
		case !e.has("to"):
			e.r.add(e.line, "add to: [group:…]", "escalate does not say to whom")
		case a.All:
			e.r.add(e.line, "leave it out", "all asks each of those named, and nobody else can answer for them")
		}
		e.close()
	}
	f.close()
	return a
}

func readApprovers(f *form, name string) (from []access.Subject) {
	for _, it := range f.texts(name) {
		s := access.Subject(it.text)
		if !access.ValidSubject(s, true) {
			f.r.add(it.line, subjectForms+`, "oncall:payments", "owner", "manager", "manager.manager", "sponsor" or "*"`, "%q cannot approve", it.text)
		}
		from = append(from, s)
	}
	return from
}

// readWaiting reads what becomes of a request that nobody answers.
func readWaiting(f *form, q *Requirements) {
	q.AnswerWithin, q.RemindAfter = f.span("answerWithin", access.MaxWait), f.span("remindAfter", access.MaxWait)
	for _, name := range []string{"answerWithin", "remindAfter"} {
		if f.has(name) && len(q.Approvals) == 0 {
			f.r.add(f.lineOf(name), "leave it out", "%s asks for no approvals, so there is nothing to answer", f.what)
		}
	}
	if q.RemindAfter > 0 && q.RemindAfter < time.Minute {
		f.r.add(f.lineOf("remindAfter"), "", "remindAfter %s is shorter than a minute", span(q.RemindAfter))
	}
	within := q.AnswerWithin
	if within == 0 {
		within = access.PendingFor
	}
	late := func(name string, line int, d time.Duration) {
		if d >= within {
			f.r.add(line, "", "%s %s comes too late: nobody can answer after %s", name, span(d), span(within))
		}
	}
	late("remindAfter", f.lineOf("remindAfter"), q.RemindAfter)
	for _, a := range q.Approvals {
		late("escalate", a.line, a.EscalateAfter)
	}
}

// checkApprovals checks the entries together: how many there are, and that no stage
// is left out.
func checkApprovals(f *form, q *Requirements) {
	n, last := 0, 0
	for _, r := range q.Asked() {
		n += r.Count
		last = max(last, stage(r))
	}
	if n > maxApprovals {
		f.r.add(q.lineApprovals, "", "%d approvals are asked for, and a request can have %d", n, maxApprovals)
	}
	for s := 1; s < last; s++ {
		if !slices.ContainsFunc(q.Approvals, func(a Approval) bool { return stage(a.Requirement) == s }) {
			f.r.add(q.lineApprovals, "number the stages from 1", "there is a stage %d, and no stage %d", last, s)
			return
		}
	}
}

// stage is 1 where none is said.
func stage(r access.Requirement) int { return max(r.Stage, 1) }

// Asked is what the document asks for, with its words as they stand.
func (q Requirements) Asked() (out []access.Requirement) {
	asWritten := func(s access.Subject) []access.Subject { return []access.Subject{s} }
	for _, a := range q.Approvals {
		reqs, _ := a.resolve(asWritten)
		out = append(out, reqs...)
	}
	return out
}

// resolve replaces the words by what they mean here. Where all are asked, each is a
// requirement of its own. It returns the words for which there is nobody, if nobody
// is left or, of all, one is missing.
func (a Approval) resolve(means func(access.Subject) []access.Subject) (reqs []access.Requirement, lacks []access.Subject) {
	var from []access.Subject
	for _, s := range a.From {
		who := means(s)
		if len(who) == 0 {
			lacks = append(lacks, s)
		}
		from = appendNew(from, who...)
	}
	if len(from) > 0 && !a.All {
		lacks = nil
	}
	r := a.Requirement
	r.EscalateTo = nil
	for _, s := range a.EscalateTo {
		r.EscalateTo = appendNew(r.EscalateTo, means(s)...)
	}
	if len(r.EscalateTo) == 0 {
		r.EscalateAfter = 0
	}
	if !a.All {
		r.From = from
		return []access.Requirement{r}, lacks
	}
	for _, s := range from {
		one := r
		one.From, one.Count = []access.Subject{s}, 1
		reqs = append(reqs, one)
	}
	return reqs, lacks
}

func appendNew[S ~string](to []S, more ...S) []S {
	for _, s := range more {
		if !slices.Contains(to, s) {
			to = append(to, s)
		}
	}
	return to
}

// meaning is what the words of an approval mean for an ask.
func meaning(a Ask, res *Resource) func(access.Subject) []access.Subject {
	return func(s access.Subject) []access.Subject {
		switch s {
		case owner:
			return res.Owners
		case manager:
			return present(a.Principal.Manager)
		case above:
			return present(a.Above)
		case sponsor:
			return present(a.Principal.Sponsor)
		}
		return []access.Subject{s}
	}
}

func present(p access.PrincipalID) []access.Subject {
	if p == "" {
		return nil
	}
	return []access.Subject{access.Subject(p)}
}

// lacking says who has not got whom.
func lacking(words []access.Subject, a Ask, res *Resource) string {
	var who []string
	for _, s := range words {
		name := string(a.Principal.ID)
		switch {
		case s == owner:
			name = string(res.Name)
		case s == above && a.Principal.Manager != "":
			name, s = string(a.Principal.Manager), manager
		}
		who = append(who, name+" has no "+string(s))
	}
	return strings.Join(who, ", and ")
}

// approvalText says "1 approval from group:dba and 2 from user:mira or group:sec,
// then 1 from user:omar".
func approvalText(list []access.Requirement) string {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b access.Requirement) int { return stage(a) - stage(b) })
	var text strings.Builder
	for i, q := range list {
		word := ""
		switch {
		case i == 0:
			word = " approval"
			if q.Count > 1 {
				word += "s"
			}
		case stage(q) != stage(list[i-1]):
			text.WriteString(", then ")
		default:
			text.WriteString(" and ")
		}
		fmt.Fprintf(&text, "%d%s%s from %s", q.Count, word, how(q.Level), anyOf(q.From))
		if len(q.EscalateTo) > 0 {
			fmt.Fprintf(&text, " (after %s also %s)", span(q.EscalateAfter), anyOf(q.EscalateTo))
		}
	}
	return text.String()
}

func anyOf(from []access.Subject) string {
	names := make([]string, len(from))
	for i, s := range from {
		names[i] = string(s)
		if s == "*" {
			names[i] = "anybody else"
		}
	}
	return strings.Join(names, " or ")
}
