package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"stint/internal/access"
)

// Phase says for what a decision is made.
type Phase int

// The phases. The zero value is the strictest.
const (
	// AtRequest decides whether the ask may be made: everything counts.
	AtRequest Phase = iota
	// AtActivation decides whether what was asked may start now: everything
	// counts again, under the documents and the time of that moment.
	AtActivation
	// Alive decides whether a live grant may go on. What was required and capped
	// when it started is done with: subjects, roles, resources and `while` count,
	// of denying policies those with a `while`, or without any condition.
	Alive
)

// Decide answers the ask. It never panics: a fault denies.
func (s *Set) Decide(a Ask, p Phase, now time.Time) (d access.Decision) {
	defer func() {
		if fault := recover(); fault != nil {
			d = s.deny("", access.Reason{Text: fmt.Sprintf("the policy engine failed, so nothing is granted: %v", fault)})
		}
	}()
	return s.decide(a, p, now)
}

func (s *Set) deny(by access.PolicyName, reasons ...access.Reason) access.Decision {
	return access.Decision{Effect: access.Deny, Policy: by, Documents: s.version, Reasons: reasons}
}

// weighing is everything that one decision rests on.
type weighing struct {
	set      *Set
	phase    Phase
	facts    facts
	refusals []access.Reason // before any policy: no such role, principal disabled
	over     []access.Reason // caps and ceiling
	denying  []match
	met      *path  // the best path whose requirements are met
	unmet    []path // paths that match, with requirements that are not met
	near     []match
	lasting  bool // a denying policy that concerns this ask has a `while`
}

// match is a policy that concerns an ask, and the condition that decided.
type match struct {
	rule *Rule
	by   *condition // nil: the policy has none
	err  error      // by could not be evaluated
	// doubt says why it is not known whether the policy is for who asks; empty: it is.
	doubt string
}

// path is an allowing policy that matches.
type path struct {
	rule      *Rule
	approvals []access.Requirement
	count     int
	misses    []Miss
}

// Miss is one thing that keeps a policy from applying.
type Miss struct {
	What   string // subject, role, resource, when, while, reason, ticket, approvals, limits, extensions, duration, start, mfa, recording
	Source string // "policy.yaml:31"
	Text   string
}

func (s *Set) weigh(a Ask, p Phase, now time.Time) *weighing {
	a.Principal = s.Knows(a.Principal, now)
	w := &weighing{set: s, phase: p, facts: facts{ask: a, now: now, lookup: s.lookup}}
	if p != Alive { // what lives goes by what is known, until more is
		w.facts.doubts = s.doubts(a.Principal.ID)
	}
	if err := a.Principal.Usable(now); err != nil {
		w.refuse(err)
	}
	w.vouched(now)
	if err := a.Principal.MayBreakGlass(); a.Emergency && err != nil {
		w.refuse(err)
	}
	res, role, err := s.pick(a)
	if err != nil {
		w.refuse(err)
		return w
	}
	w.facts.resource, w.facts.role = res, role
	account, err := accountFor(a.Principal, res, role)
	if err != nil {
		w.refuse(err)
	}
	if len(w.refusals) > 0 {
		return w
	}
	if p != Alive {
		w.over = slices.Concat(limits(a, res, role, account), s.excluded(a, role), w.beyond())
	}
	for r := range s.concerning(role.Name) {
		switch {
		case !r.speaksOf(a):
		case r.concerns(a.Principal, res):
			w.apply(r)
		case r.Deny && p != Alive && r.Resources.Matches(res):
			w.inDoubt(r)
		}
	}
	return w
}

// inDoubt weighs a denying rule whose subjects may be the principal: they take shifts in a
// schedule of which it is not known who is on call. Nothing new is allowed by that; what
// lives goes on until it is known.
func (w *weighing) inDoubt(r *Rule) {
	why := w.set.mayBeOnCall(r.Subjects, w.facts.ask.Principal.ID)
	if why == "" {
		return
	}
	if m, matched := w.conditions(r); matched {
		m.doubt = why
		w.denying = append(w.denying, m)
	}
}

func (w *weighing) refuse(err error) {
	r := access.Reason{Text: err.Error()}
	var e *access.Error
	if errors.As(err, &e) && e.Next != "" {
		r.Text += "; " + e.Next
	}
	w.refusals = append(w.refusals, r)
}

// concerns reports whether the rule speaks of this principal and resource.
func (r *Rule) concerns(p access.Principal, res *Resource) bool {
	return r.subject(p) && r.Resources.Matches(res)
}

func (r *Rule) subject(p access.Principal) bool {
	for _, s := range r.Subjects {
		if p.In(s) {
			return true
		}
	}
	return false
}

// apply weighs one rule that concerns the ask.
func (w *weighing) apply(r *Rule) {
	w.lasting = w.lasting || r.Deny && (r.while != nil || r.onCall())
	m, matched := w.conditions(r)
	switch {
	case r.Deny:
		if matched {
			w.denying = append(w.denying, m)
		}
	case !matched:
		w.near = append(w.near, m)
	default:
		w.consider(w.path(r))
	}
}

// conditions evaluates what must hold in this phase. All are evaluated as one
// conjunction: one that is false decides; else one that fails decides, for a
// denying rule as if it held and for an allowing rule as if it did not.
func (w *weighing) conditions(r *Rule) (m match, matched bool) {
	m.rule = r
	list := [...]*condition{r.when, r.while}
	if w.phase == Alive {
		if r.Deny && r.when != nil && r.while == nil {
			return m, false
		}
		list[0] = nil
	}
	w.facts.about(r)
	for _, c := range list {
		if c == nil {
			continue
		}
		ok, err := c.holds(&w.facts)
		switch {
		case err != nil && m.err == nil:
			m.by, m.err = c, err
		case err == nil && !ok:
			return match{rule: r, by: c}, false
		case m.by == nil:
			m.by = c
		}
	}
	return m, m.err == nil || r.Deny
}

// path checks what an allowing rule requires.
func (w *weighing) path(r *Rule) path {
	p := path{rule: r}
	if w.phase == Alive {
		return p
	}
	a, q := w.facts.ask, &r.Require
	miss := func(what string, line int, format string, args ...any) {
		p.misses = append(p.misses, Miss{what, r.at.at(line), fmt.Sprintf(format, args...)})
	}
	if n := utf8.RuneCountInString(strings.TrimSpace(a.Reason)); n < q.MinReason {
		miss("reason", q.lineReason, "the reason must have at least %d characters, it has %d", q.MinReason, n)
	}
	for _, text := range q.Ticket.missing(a, w.facts.resource) {
		miss("ticket", q.Ticket.line, "%s", text)
	}
	if q.MaxDuration > 0 && a.Duration > q.MaxDuration {
		miss("duration", q.lineMax, "%s is over the maxDuration of %s", span(a.Duration), span(q.MaxDuration))
	}
	if q.MFA && !a.Source.Auth.MFA {
		miss("mfa", q.lineMFA, "it asks for a second factor, and the sign-in proved none; sign in again with one")
	}
	if q.Recording && !w.facts.role.recorded() {
		miss("recording", q.lineRecording, "it asks for the session to be recorded, which a gateway does, and sessions of role %s on %s do not go through one", w.facts.role.Name, w.facts.resource.Type)
	}
	if ahead := a.Start.Sub(w.facts.now); q.MaxAhead > 0 && ahead > q.MaxAhead {
		miss("start", q.lineAhead, "the start is more than %s ahead", span(q.MaxAhead))
	}
	for _, text := range q.Extensions.reached(a) {
		miss("extensions", q.Extensions.line, "%s", text)
	}
	for _, ap := range q.approvals(a) {
		reqs, lacks := ap.resolve(meaning(a, w.facts.resource))
		if len(lacks) > 0 {
			miss("approvals", q.lineApprovals, "nobody can approve: %s", lacking(lacks, a, w.facts.resource))
		}
		for i, r := range reqs {
			reqs[i].Level = r.Level.At(w.facts.resource.Criticality)
			p.count += r.Count
		}
		p.approvals = append(p.approvals, reqs...)
	}
	if p.count > maxApprovals {
		miss("approvals", q.lineApprovals, "%d approvals are asked for, and a request can have %d", p.count, maxApprovals)
	}
	for _, text := range q.Limits.reached(r, a, w.phase) {
		miss("limits", q.Limits.line, "%s", text)
	}
	return p
}

// consider keeps the best path: fewest approvals, then document order.
func (w *weighing) consider(p path) {
	switch {
	case len(p.misses) > 0:
		w.unmet = append(w.unmet, p)
	case w.met == nil || p.count < w.met.count:
		w.met = &p
	}
}

// limits are the caps that hold on every path: the role's and the ceiling's.
func limits(a Ask, res *Resource, role *Role, account string) (over []access.Reason) {
	add := func(source, format string, args ...any) {
		over = append(over, access.Reason{Source: source, Text: fmt.Sprintf(format, args...)})
	}
	if a.Duration <= 0 {
		add("", "the duration must be longer than zero")
	}
	if a.Duration > role.MaxDuration {
		add(role.at.at(role.lineMax), "%s is over the maxDuration of %s of role %s", span(a.Duration), span(role.MaxDuration), role.Name)
	}
	if a.Emergency && a.Duration > access.MaxEmergency {
		add("", "%s is over the %s that break-glass access lasts at most", span(a.Duration), span(access.MaxEmergency))
	}
	c := res.Ceiling
	if c == nil {
		return over
	}
	if c.MaxDuration > 0 && a.Duration > c.MaxDuration {
		add(res.at.at(c.line), "%s is over the maxDuration of %s in the ceiling of %s", span(a.Duration), span(c.MaxDuration), res.Name)
	}
	for _, b := range c.breaches(role) {
		add(res.at.at(c.line), "the ceiling of %s does not allow %s", res.Name, b)
	}
	return over
}
