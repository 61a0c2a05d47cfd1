package policy

import (
	"slices"
	"strings"
)

// warn lists what is legal and probably not meant. It looks at pairs of roles
// and resources; that is a service and not a check, so it stops when there are
// very many pairs, with what it has found.
func (s *Set) warn() []Problem {
	w := &warner{set: s, report: &report{}}
	for _, role := range s.roles {
		w.file = role.at.file
		w.role(role)
	}
	for _, rule := range s.rules {
		w.file = rule.at.file
		w.rule(rule)
	}
	return w.problems
}

type warner struct {
	*report
	set   *Set
	pairs int
}

const maxPairs = 2_000_000

// tired reports that enough pairs were looked at.
func (w *warner) tired() bool { w.pairs++; return w.pairs > maxPairs }

func (w *warner) role(role *Role) {
	covers := false
	for _, res := range w.set.resources {
		if w.tired() {
			return
		}
		if role.Covers(res) {
			covers = true
			w.ceiling(role, res)
		}
	}
	if !covers {
		w.add(role.at.line, "", "role %s covers no resource", role.Name)
		return
	}
	for rule := range w.set.concerning(role.Name) {
		if !rule.Deny {
			return
		}
	}
	w.add(role.at.line, "", "no policy allows role %s", role.Name)
}

func (w *warner) ceiling(role *Role, res *Resource) {
	c := res.Ceiling
	if c == nil {
		return
	}
	if b := c.breaches(role); len(b) > 0 {
		w.add(role.at.line, "", "role %s cannot be used on %s: its ceiling (%s) does not allow %s",
			role.Name, res.Name, res.at.at(c.line), strings.Join(b, ", "))
	}
	if c.MaxDuration > 0 && c.MaxDuration < role.MaxDuration {
		w.add(role.lineMax, "", "role %s allows %s, and the ceiling of %s no more than %s",
			role.Name, span(role.MaxDuration), res.Name, span(c.MaxDuration))
	}
}

func (w *warner) rule(rule *Rule) {
	q := &rule.Require
	unconditional := rule.when == nil && rule.while == nil
	if rule.Deny && rule.everyRole && unconditional && rule.Resources.Empty() && slices.Contains(rule.Subjects, "*") {
		w.add(rule.at.line, "", "policy %s denies everything to everybody", rule.Name)
	}
	if rule.BreakGlass && slices.Contains(rule.Subjects, "*") {
		w.add(rule.at.line, "name the group that is called in an emergency", "policy %s lets everybody break glass", rule.Name)
	}
	if rule.Watch && slices.Contains(rule.Subjects, "*") {
		w.add(rule.at.line, "name the group that reviews sessions", "policy %s lets everybody see recordings", rule.Name)
	}
	if p := q.Ticket.Pattern; p != "" && !(strings.HasPrefix(p, "^") && strings.HasSuffix(p, "$")) {
		w.add(q.Ticket.linePattern, "write it as ^…$", "the ticket pattern of policy %s matches anywhere in the text", rule.Name)
	}
	w.reach(rule)
}

func (w *warner) reach(rule *Rule) {
	q := &rule.Require
	reaches, longest := false, false
	for _, role := range w.set.roles {
		if !rule.everyRole && !slices.Contains(rule.Roles, role.Name) {
			continue
		}
		longest = longest || q.MaxDuration <= role.MaxDuration
		for _, res := range w.set.resources {
			if w.tired() {
				return
			}
			if reaches = reaches || role.Covers(res) && rule.Resources.Matches(res); reaches {
				break
			}
		}
	}
	if !reaches {
		w.add(rule.at.line, "", "policy %s reaches no resource", rule.Name)
	} else if !longest {
		w.add(q.lineMax, "", "policy %s allows %s, and none of its roles so long", rule.Name, span(q.MaxDuration))
	}
}
