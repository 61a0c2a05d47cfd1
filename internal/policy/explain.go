package policy

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"stint/internal/access"
)

// Explanation is a decision with what every policy had to do with it, for
// people. Its decision is the one that Decide gives.
type Explanation struct {
	Decision    access.Decision
	Trials      []Trial // one per policy, in document order
	Suggestions []string
	Offers      []Offer // the same, to ask with
}

// Offer is what would be allowed instead of what was asked, all else as it was.
type Offer struct {
	Role     access.RoleName
	Duration time.Duration
}

// Trial is what one policy made of an ask.
type Trial struct {
	Policy  access.PolicyName
	Source  string
	Effect  string // allow, deny, breakGlass or watch
	Outcome TrialOutcome
	Misses  []Miss // empty when it matched
}

// TrialOutcome says how near a policy came.
type TrialOutcome string

// The outcomes of a trial.
const (
	Matched  TrialOutcome = "matched"
	NearMiss TrialOutcome = "near miss" // one thing alone keeps it from applying
	Missed   TrialOutcome = "missed"
)

// Explain decides as at request, and says which policies matched, which nearly
// did and why not, and what would have been allowed instead.
func (s *Set) Explain(a Ask, now time.Time) Explanation {
	x := Explanation{Decision: s.Decide(a, AtRequest, now)}
	res, role, err := s.pick(a)
	if err != nil {
		return x
	}
	a.Principal = s.Knows(a.Principal, now)
	w := &weighing{set: s, phase: AtRequest, facts: facts{ask: a.standing(), now: now, lookup: s.lookup, resource: res, role: role, doubts: s.doubts(a.Principal.ID)}}
	for _, r := range s.rules {
		x.Trials = append(x.Trials, w.trial(r))
	}
	if x.Decision.Effect == access.Deny {
		x.Suggestions, x.Offers = s.suggest(a, now, res, role)
	}
	return x
}

// trial checks everything about one policy; a decision stops at the first miss.
func (w *weighing) trial(r *Rule) Trial {
	t := Trial{Policy: r.Name, Source: r.Source, Effect: r.effect(), Outcome: Matched}
	miss := func(what string, line int, format string, args ...any) {
		t.Misses = append(t.Misses, Miss{what, r.at.at(line), fmt.Sprintf(format, args...)})
	}
	a := w.facts.ask
	if !r.speaksOf(a) {
		miss("effect", r.at.line, "%s", silence(r))
	}
	if !r.subject(a.Principal) {
		miss("subject", r.at.line, "%s is none of %s%s", a.Principal.ID, list(texts(r.Subjects)), w.set.unknownShift(r.Subjects))
	}
	if !r.everyRole && !slices.Contains(r.Roles, a.Role) {
		miss("role", r.at.line, "it is for %s", list(texts(r.Roles)))
	}
	if !r.Resources.Matches(w.facts.resource) {
		miss("resource", r.at.line, "its resources do not include %s", a.Resource)
	}
	w.facts.about(r)
	t.Misses = append(t.Misses, w.failing("when", r, r.when)...)
	t.Misses = append(t.Misses, w.failing("while", r, r.while)...)
	if !r.Deny {
		t.Misses = append(t.Misses, w.path(r).misses...)
	}
	switch len(t.Misses) {
	case 0:
	case 1:
		t.Outcome = NearMiss
	default:
		t.Outcome = Missed
	}
	return t
}

// unknownShift says for which of the subjects it is not known who is on call.
func (s *Set) unknownShift(subjects []access.Subject) string {
	for _, x := range subjects {
		name, ok := x.Schedule()
		if schedule := s.schedule[name]; ok && schedule != nil && schedule.Trouble != "" {
			return "; " + schedule.Trouble
		}
	}
	return ""
}

// mayBeOnCall says for which of the subjects it is not known whether the principal, who
// takes shifts there, is on call; empty where that is known.
func (s *Set) mayBeOnCall(subjects []access.Subject, p access.PrincipalID) string {
	for _, x := range subjects {
		name, ok := x.Schedule()
		schedule := s.schedule[name]
		if ok && schedule != nil && schedule.inDoubt(p) {
			return schedule.Trouble
		}
	}
	return ""
}

// silence says why a rule has no say in an ask.
func silence(r *Rule) string {
	switch {
	case r.Deny:
		return "it yields to break-glass"
	case r.Watch:
		return "it is about recordings, and gives no role"
	case r.BreakGlass:
		return "it is for break-glass alone"
	}
	return "it is not for break-glass"
}

func texts[S ~string](ss []S) []string {
	out := make([]string, len(ss))
	for i, s := range ss {
		out[i] = string(s)
	}
	return out
}

// failing says which parts of a condition, joined by &&, do not hold.
func (w *weighing) failing(what string, r *Rule, c *condition) (out []Miss) {
	if c == nil {
		return nil
	}
	ok, err := c.holds(&w.facts)
	if ok || err != nil && r.Deny { // a denying policy applies where its condition fails
		return nil
	}
	for _, part := range w.set.env.parts(c) {
		ok, err := part.holds(&w.facts)
		switch {
		case err != nil:
			out = append(out, Miss{what, r.at.at(c.line), fmt.Sprintf("%s could not be evaluated: %s", brief(part.text), err)})
		case !ok:
			out = append(out, Miss{what, r.at.at(c.line), brief(part.text) + " does not hold"})
		}
	}
	if len(out) == 0 { // each part holds, and together they ran into the cost limit
		out = append(out, Miss{what, r.at.at(c.line), brief(c.text) + " could not be evaluated"})
	}
	return out
}

// parts compiles the parts of a condition that are joined by &&; the whole where
// there is but one. For people only: a decision compiles nothing.
func (e *environment) parts(c *condition) []*condition {
	parsed, issues := e.cel.Parse(c.text)
	if issues.Err() != nil {
		return []*condition{c}
	}
	var exprs []ast.Expr
	conjuncts(parsed.NativeRep().Expr(), &exprs)
	var out []*condition
	for _, x := range exprs {
		text, err := cel.ExprToString(x, parsed.NativeRep().SourceInfo())
		if err != nil {
			return []*condition{c}
		}
		checked, issues := e.cel.Compile(text)
		if issues.Err() != nil {
			return []*condition{c}
		}
		program, err := e.cel.Program(checked, cel.CostLimit(costLimit))
		if err != nil {
			return []*condition{c}
		}
		out = append(out, &condition{text: text, line: c.line, program: program, onCall: looksAt(checked.NativeRep(), "principal.onCall")})
	}
	return out
}

func conjuncts(e ast.Expr, out *[]ast.Expr) {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.LogicalAnd {
		for _, a := range e.AsCall().Args() {
			conjuncts(a, out)
		}
		return
	}
	*out = append(*out, e)
}

var durationLiteral = regexp.MustCompile(`duration\(["']([^"']+)["']\)`)

// suggest tries shorter durations, then other roles, and says which would do.
func (s *Set) suggest(a Ask, now time.Time, res *Resource, role *Role) (out []string, offers []Offer) {
	for _, d := range s.shorter(a, res, role) {
		try := a
		try.Duration = d
		if got := s.Decide(try, AtRequest, now); got.Effect != access.Deny {
			out = append(out, span(d)+" would be allowed by "+string(got.Policy)+after(got))
			offers = append(offers, Offer{try.Role, d})
			break
		}
	}
	for _, other := range s.roles {
		if other == role || !other.Covers(res) || len(out) == few {
			continue
		}
		try := a
		try.Role, try.Duration = other.Name, min(a.Duration, capOf(other, nil, res))
		if got := s.Decide(try, AtRequest, now); got.Effect != access.Deny {
			out = append(out, fmt.Sprintf("role %s would be allowed for %s by %s%s", other.Name, span(try.Duration), got.Policy, after(got)))
			offers = append(offers, Offer{try.Role, try.Duration})
		}
	}
	return out, offers
}

func after(d access.Decision) string {
	if d.Effect != access.Approve {
		return ""
	}
	return ", after " + approvalText(d.Approvals)
}

// shorter lists durations below the one asked for that a policy may have in
// mind, the longest first: caps, the constants in conditions, round ones.
func (s *Set) shorter(a Ask, res *Resource, role *Role) []time.Duration {
	list := []time.Duration{8 * time.Hour, 4 * time.Hour, 2 * time.Hour, time.Hour, 30 * time.Minute, 15 * time.Minute, capOf(role, nil, res)}
	for r := range s.concerning(role.Name) {
		list = append(list, capOf(role, r, res))
		for _, m := range durationLiteral.FindAllStringSubmatch(r.When+" "+r.While, 8) {
			if d, ok := parseSpan(m[1]); ok {
				list = append(list, d)
			}
		}
	}
	list = slices.DeleteFunc(list, func(d time.Duration) bool { return d >= a.Duration })
	slices.Sort(list)
	list = slices.Compact(list)
	slices.Reverse(list)
	return list[:min(len(list), 32)]
}
