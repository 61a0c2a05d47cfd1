package policy

import (
	"fmt"
	"time"

	"stint/internal/access"
)

// Extensions are what a policy says of more time on a live grant that it gave. Where it
// says nothing, more time is asked for like the first: by the same approvals, as often
// as its maxDuration has room.
type Extensions struct {
	Said      bool
	Max       int           // how many a grant may have; 0: none
	By        time.Duration // the longest each; 0: no cap of its own
	Approvals []Approval    // where Own: instead of those of the policy
	Own       bool

	line, lineApprovals int
}

// Extension says that an ask is for more time on a live grant. The ask's duration is
// then the whole that the grant would have had.
type Extension struct {
	Count int           // how many it has had already
	By    time.Duration // how much longer
}

// maxExtensions is the most that a policy can allow.
const maxExtensions = 100

func readExtensions(f *form) (e Extensions) {
	s := f.sub("extensions")
	if s == nil {
		return e
	}
	e.Said, e.line = true, s.line
	if !s.has("max") {
		s.r.add(s.line, "add max: 2, or max: 0 for none", "extensions does not say how many there may be")
	}
	e.Max = s.whole("max", 0, maxExtensions, 0)
	e.By = s.span("by", access.MaxDuration)
	e.Own, e.lineApprovals = s.has("approvals"), s.lineOf("approvals")
	for _, a := range s.subs("approvals") {
		e.Approvals = append(e.Approvals, readApproval(a))
	}
	checkApprovals(s, &Requirements{Approvals: e.Approvals, lineApprovals: e.lineApprovals})
	if e.Max == 0 && (e.By > 0 || e.Own) {
		s.r.add(s.line, "leave the rest out", "extensions allows none, and says how they go")
	}
	s.close()
	return e
}

// approvals are those that an ask needs.
func (q *Requirements) approvals(a Ask) []Approval {
	if a.Extension != nil && q.Extensions.Own {
		return q.Extensions.Approvals
	}
	return q.Approvals
}

// allApprovals are those that any ask can need.
func (q *Requirements) allApprovals() []Approval {
	return append(append([]Approval(nil), q.Approvals...), q.Extensions.Approvals...)
}

// reached says what keeps a grant from another extension.
func (e Extensions) reached(a Ask) (texts []string) {
	x := a.Extension
	if x == nil || !e.Said {
		return nil
	}
	switch {
	case e.Max == 0:
		return []string{"it allows no extension; ask anew when the grant has ended"}
	case x.Count >= e.Max:
		return []string{fmt.Sprintf("the grant was extended %s already, and it allows no more than that", times(x.Count))}
	case e.By > 0 && x.By > e.By:
		return []string{fmt.Sprintf("%s more is over the %s by which it may be extended at a time", span(x.By), span(e.By))}
	}
	return nil
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// words are what it says in the words of a difference.
func (e Extensions) words() string {
	switch {
	case !e.Said:
		return ""
	case e.Max == 0:
		return ", never longer"
	}
	text := ", extended " + times(e.Max) + " at most"
	if e.By > 0 {
		text += " by " + span(e.By) + " each"
	}
	if !e.Own {
		return text
	}
	var asked []access.Requirement
	for _, a := range e.Approvals {
		reqs, _ := a.resolve(func(s access.Subject) []access.Subject { return []access.Subject{s} })
		asked = append(asked, reqs...)
	}
	if len(asked) == 0 {
		return text + " at once"
	}
	return text + " after " + approvalText(asked)
}
