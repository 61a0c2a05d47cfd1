package policy

import (
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// Break-glass policies are a world of their own. Nothing but one of them allows an
// emergency, and none of them allows anything else; so that whoever reads the others
// need not think of them, and nobody is ever let through by accident. Deny overrides
// here too, but for a denying policy that says of itself that it yields.

// effects a policy can have, as documents spell them.
const (
	effectAllow      = "allow"
	effectDeny       = "deny"
	effectBreakGlass = "breakGlass"
	effectWatch      = "watch"
)

// readEffect reads what a policy does, and to what it yields.
func readEffect(f *form, r *Rule) {
	switch choice(f, "effect", effectAllow, []string{effectAllow, effectDeny, effectBreakGlass, effectWatch}) {
	case effectDeny:
		r.Deny = true
	case effectBreakGlass:
		r.BreakGlass = true
	case effectWatch:
		r.Watch = true
	}
	r.Yields = choice(f, "unless", "", []string{effectBreakGlass}) == effectBreakGlass
	if r.Yields && !r.Deny {
		f.r.add(f.lineOf("unless"), "leave it out", "%s does not deny, so there is nothing to yield", f.what)
	}
}

// checkBreakGlass refuses what an emergency must not wait for, or outlast.
func checkBreakGlass(r *report, rule *Rule, line int) {
	if !rule.BreakGlass {
		return
	}
	q := &rule.Require
	add := func(at int, hint, what string) {
		if at == 0 {
			at = line
		}
		r.add(at, hint, "policy %s is for break-glass, which %s", rule.Name, what)
	}
	if len(q.Approvals) > 0 {
		add(q.lineApprovals, "leave it out; another person reviews it afterwards", "waits for no approval")
	}
	if q.Ticket.Asked() {
		add(q.Ticket.line, "leave it out; people name it in the reason", "must not depend on a ticket")
	}
	if q.Extensions.Said {
		add(q.Extensions.line, "leave it out", "is never extended")
	}
	if q.MFA {
		add(q.lineMFA, "leave it out", "works when sign-in does not")
	}
	if q.MaxDuration > access.MaxEmergency {
		add(q.lineMax, "write at most "+span(access.MaxEmergency), "lasts "+span(access.MaxEmergency)+" at most")
	}
}

// speaksOf reports whether the rule has a say in this kind of ask at all.
func (r *Rule) speaksOf(a Ask) bool {
	if r.Watch {
		return false
	}
	if r.Deny {
		return !(r.Yields && a.Emergency)
	}
	return r.BreakGlass == a.Emergency
}

// effect is the rule's, in the words of documents.
func (r *Rule) effect() string {
	switch {
	case r.Deny:
		return effectDeny
	case r.BreakGlass:
		return effectBreakGlass
	case r.Watch:
		return effectWatch
	}
	return effectAllow
}

// Effect is what the policy does, in the words of documents.
func (r Rule) Effect() string { return r.effect() }

// anyReason is as long as a policy can ask a reason to be.
var anyReason = strings.Repeat("x", 1000)

// Emergencies lists the roles that the principal could break glass for on the resource
// of the ask, as whatever it asks for, each with the longest duration; in document order.
// Of the ask count who, where from, the resource and, where one is named, the role. The
// ask's reason is taken to suffice.
func (s *Set) Emergencies(a Ask, now time.Time) (out []Offer) {
	res, ok := s.resource[a.Resource]
	if !ok || a.Principal.MayBreakGlass() != nil {
		return nil
	}
	try := a
	try.Emergency, try.Reason, try.Ticket, try.Start = true, anyReason, "", time.Time{}
	for _, role := range s.roles {
		if !role.Covers(res) || a.Role != "" && a.Role != role.Name {
			continue
		}
		var spans []time.Duration
		for r := range s.concerning(role.Name) {
			if r.BreakGlass && r.concerns(a.Principal, res) {
				spans = append(spans, capOf(role, r, res))
			}
		}
		slices.Sort(spans)
		for _, d := range slices.Backward(slices.Compact(spans)) {
			try.Role, try.Duration = role.Name, d
			if s.Decide(try, AtRequest, now).Effect == access.Allow {
				out = append(out, Offer{role.Name, d})
				break
			}
		}
	}
	return out
}

// Breaks reports whether a policy for break-glass names the principal: whether to show
// them the way. What they could have is Emergencies' to say.
func (s *Set) Breaks(p access.Principal, now time.Time) bool {
	if p.MayBreakGlass() != nil || !slices.ContainsFunc(s.rules, func(r *Rule) bool { return r.BreakGlass }) {
		return false
	}
	p = s.Knows(p, now)
	return slices.ContainsFunc(s.rules, func(r *Rule) bool { return r.BreakGlass && r.subject(p) })
}
