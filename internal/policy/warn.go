package policy

import (
	"slices"
	"strings"
)

// warn lists what is legal and probably not meant. It looks at pairs of roles
// and resources, so it says little for each.
func (s *Set) warn() []Problem {
	r := &report{}
	for _, role := range s.roles {
		r.file = role.at.file
		s.warnRole(r, role)
	}
	for _, rule := range s.rules {
		r.file = rule.at.file
		s.warnRule(r, rule)
	}
	return r.problems
}

func (s *Set) warnRole(r *report, role *Role) {
	covers := false
	for _, res := range s.resources {
		if !role.Covers(res) {
			continue
		}
		covers = true
		if c := res.Ceiling; c != nil {
			if b := c.breaches(role); len(b) > 0 {
				r.add(role.at.line, "", "role %s cannot be used on %s: its ceiling (%s) does not allow %s",
					role.Name, res.Name, res.at.at(c.line), strings.Join(b, ", "))
			}
			if c.MaxDuration > 0 && c.MaxDuration < role.MaxDuration {
				r.add(role.lineMax, "", "role %s allows %s, and the ceiling of %s no more than %s",
					role.Name, span(role.MaxDuration), res.Name, span(c.MaxDuration))
			}
		}
	}
	if !covers {
		r.add(role.at.line, "", "role %s covers no resource", role.Name)
		return
	}
	for rule := range s.concerning(role.Name) {
		if !rule.Deny {
			return
		}
	}
	r.add(role.at.line, "", "no policy allows role %s", role.Name)
}

func (s *Set) warnRule(r *report, rule *Rule) {
	q := &rule.Require
	if rule.Deny && rule.everyRole && slices.Contains(rule.Subjects, "*") && rule.Resources.Empty() && rule.when == nil && rule.while == nil {
		r.add(rule.at.line, "", "policy %s denies everything to everybody", rule.Name)
	}
	if q.MFA {
		r.add(q.lineMFA, "", "policy %s denies for now: mfa is asked for, and step-up is not available", rule.Name)
	}
	if q.Ticket != "" && !(strings.HasPrefix(q.Ticket, "^") && strings.HasSuffix(q.Ticket, "$")) {
		r.add(q.lineTicket, "write it as ^…$", "the ticket pattern of policy %s matches anywhere in the text", rule.Name)
	}
	reaches, longest := false, false
	for _, role := range s.roles {
		if !rule.everyRole && !slices.Contains(rule.Roles, role.Name) {
			continue
		}
		longest = longest || q.MaxDuration <= role.MaxDuration
		for _, res := range s.resources {
			if role.Covers(res) && rule.Resources.Matches(res) {
				reaches = true
				break
			}
		}
	}
	if !reaches {
		r.add(rule.at.line, "", "policy %s reaches no resource", rule.Name)
	} else if !longest {
		r.add(q.lineMax, "", "policy %s allows %s, and none of its roles so long", rule.Name, span(q.MaxDuration))
	}
}
