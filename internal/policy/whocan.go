package policy

import (
	"time"

	"stint/internal/access"
)

// Eligible is one way in which somebody may, or may not, have a role on a
// resource.
type Eligible struct {
	Subject     access.Subject
	Role        access.RoleName
	Policy      access.PolicyName
	Source      string
	Effect      access.Effect // Deny for a denying policy, and for one that asks what cannot be met
	MaxDuration time.Duration
	Approvals   []access.Requirement // "owner" is resolved, managers cannot be
	When, While string               // conditions that must hold besides
	BreakGlass  bool                 // in an emergency alone
}

// WhoCan lists the policies that speak of a resource, for one role or, with an
// empty role, for all that cover it: by role, then policy, then subject.
func (s *Set) WhoCan(resource access.ResourceName, role access.RoleName) []Eligible {
	res, ok := s.resource[resource]
	if !ok {
		return nil
	}
	var out []Eligible
	for _, ro := range s.roles {
		if !ro.Covers(res) || role != "" && role != ro.Name {
			continue
		}
		for rule := range s.concerning(ro.Name) {
			if rule.Resources.Matches(res) {
				out = append(out, eligible(res, ro, rule)...)
			}
		}
	}
	return out
}

func eligible(res *Resource, role *Role, rule *Rule) []Eligible {
	e := Eligible{Role: role.Name, Policy: rule.Name, Source: rule.Source, When: rule.When, While: rule.While, BreakGlass: rule.BreakGlass}
	barred := res.Ceiling != nil && len(res.Ceiling.breaches(role)) > 0
	switch {
	case rule.Deny || barred:
		e.Effect = access.Deny
	case len(rule.Require.Approvals) > 0:
		e.Effect = access.Approve
	default:
		e.Effect = access.Allow
	}
	if !rule.Deny {
		e.MaxDuration = capOf(role, rule, res)
		for _, q := range rule.Require.Approvals {
			reqs, _ := q.resolve(func(s access.Subject) []access.Subject {
				if s == owner {
					return res.Owners
				}
				return []access.Subject{s}
			})
			for _, r := range reqs {
				r.Level = r.Level.At(res.Criticality)
				e.Approvals = append(e.Approvals, r)
			}
		}
	}
	out := make([]Eligible, len(rule.Subjects))
	for i, s := range rule.Subjects {
		out[i] = e
		out[i].Subject = s
	}
	return out
}

// Reach lists the resources that a policy speaks of, in document order.
func (s *Set) Reach(name access.PolicyName) (out []access.ResourceName) {
	for _, r := range s.rules {
		if r.Name != name {
			continue
		}
		for _, res := range s.reached(r) {
			out = append(out, res.Name)
		}
	}
	return out
}

// Document returns the document of a kind and name, as it was written.
func (s *Set) Document(kind, name string) (Document, bool) {
	for _, d := range s.docs {
		if d.Kind == kind && d.Name == name {
			return d, true
		}
	}
	return Document{}, false
}
