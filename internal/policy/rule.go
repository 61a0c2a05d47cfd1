package policy

import (
	"slices"
	"time"

	"stint/internal/access"
)

// Rule is a policy, as its document says.
type Rule struct {
	Name        access.PolicyName
	Description string
	Deny        bool // effect: deny
	BreakGlass  bool // effect: breakGlass
	Watch       bool // effect: watch
	Yields      bool // unless: breakGlass; of denying policies
	Subjects    []access.Subject
	Roles       []access.RoleName // "*" for all
	Resources   Selector          // narrows further; empty: all that the roles cover
	Zone        string            // for `now`; default UTC
	When        string            // condition for asking and starting; may be empty
	While       string            // condition for as long as the grant lives; may be empty
	Require     Requirements
	Source      string

	at          place
	index       int // position in document order
	roleRefs    []item
	refs        []item // resources it names
	location    *time.Location
	when, while *condition
	whenText    conditionText
	whileText   conditionText
	zoneLine    int
	everyRole   bool

	lineSubjects int
}

// onCall reports whether the policy is for people on call, who change by themselves.
func (r *Rule) onCall() bool { return len(scheduleRefs(0, r.Subjects...)) > 0 }

// scheduleRefs are the schedules that the policy names.
func (r *Rule) scheduleRefs() []item {
	refs := scheduleRefs(r.lineSubjects, r.Subjects...)
	for _, a := range r.Require.allApprovals() {
		refs = append(refs, scheduleRefs(a.line, append(slices.Clone(a.From), a.EscalateTo...)...)...)
	}
	return refs
}

// Requirements are what an allowing policy asks of a request.
type Requirements struct {
	MinReason   int // characters; 0: none
	Ticket      TicketRule
	Approvals   []Approval
	MaxDuration time.Duration // 0: the role's
	MFA         bool
	Recording   bool // of the session: it denies what does not go through a gateway
	// AnswerWithin is how long a request waits for its approvals; 0: access.PendingFor.
	AnswerWithin time.Duration
	RemindAfter  time.Duration // 0: nobody is reminded
	Limits       Limits
	Extensions   Extensions
	MaxAhead     time.Duration // how far off a start may be; 0: access.MaxAhead

	lineReason, lineMax, lineAhead int
	lineMFA, lineApprovals         int
	lineRecording                  int
}

func readRule(f *form, at place, schemas map[string]access.Schema) *Rule {
	r := &Rule{Name: access.PolicyName(fieldText(f, "name")), Source: at.String(), at: at, Zone: "UTC"}
	r.Description = f.text("description", 1024)
	readEffect(f, r)
	if !f.has("subjects") {
		f.r.add(f.line, `add subjects: [group:…], or ["*"] for everybody`, "%s has no subjects", f.what)
	}
	subjects, roles := f.texts("subjects"), f.texts("roles")
	for _, it := range subjects {
		s := access.Subject(it.text)
		if !access.ValidSubject(s, false) {
			f.r.add(it.line, subjectForms+`, "oncall:payments", or "*"`, "%q is not a subject", it.text)
		}
		r.Subjects = append(r.Subjects, s)
	}
	r.lineSubjects = f.lineOf("subjects")
	if !f.has("roles") {
		f.r.add(f.line, `add roles: […], or ["*"] for all`, "%s has no roles", f.what)
	}
	for _, it := range roles {
		r.Roles = append(r.Roles, access.RoleName(it.text))
		if it.text == "*" {
			r.everyRole = true
		} else {
			r.roleRefs = append(r.roleRefs, it)
		}
	}
	for name, l := range map[string][]item{"subjects": subjects, "roles": roles} {
		if l != nil && len(l) == 0 { // nil: absent, or wrong and reported
			f.r.add(f.lineOf(name), "", "%s has an empty list of %s", f.what, name)
		}
	}
	if sel := f.sub("resources"); sel != nil {
		r.Resources, r.refs = readSelector(sel, schemas)
	}
	if it, ok := f.scalar("zone"); ok {
		r.Zone = it.text
	}
	r.zoneLine = f.lineOf("zone")
	r.whenText = readCondition(f, "when", at)
	r.whileText = readCondition(f, "while", at)
	r.When, r.While = r.whenText.text, r.whileText.text
	if req := f.sub("require"); req != nil {
		if r.Deny {
			f.r.add(req.line, "leave it out", "%s denies, so it cannot require anything", f.what)
		}
		r.Require = readRequire(req)
	}
	checkBreakGlass(f.r, r, f.line)
	checkWatch(f, r)
	return r
}

func readRequire(f *form) Requirements {
	var q Requirements
	f.what = "require"
	if s := f.sub("reason"); s != nil {
		q.MinReason, q.lineReason = s.whole("minLength", 1, 1000, 1), s.lineOf("minLength")
		s.close()
	}
	q.Ticket = readTicket(f)
	for _, s := range f.subs("approvals") {
		q.Approvals = append(q.Approvals, readApproval(s))
	}
	q.lineApprovals = f.lineOf("approvals")
	readWaiting(f, &q)
	checkApprovals(f, &q)
	q.Limits = readLimits(f)
	q.Extensions = readExtensions(f)
	q.MaxAhead, q.lineAhead = f.span("maxAhead", access.MaxAhead), f.lineOf("maxAhead")
	q.MaxDuration, q.lineMax = f.span("maxDuration", access.MaxDuration), f.lineOf("maxDuration")
	q.MFA, q.lineMFA = f.flag("mfa"), f.lineOf("mfa")
	q.Recording, q.lineRecording = f.flag("recording"), f.lineOf("recording")
	f.close()
	return q
}
