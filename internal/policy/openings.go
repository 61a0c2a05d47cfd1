package policy

import (
	"cmp"
	"math"
	"slices"
	"time"

	"stint/internal/access"
)

// Opening is a role on a resource that somebody could ask for.
type Opening struct {
	Role        access.RoleName
	Description string
	Votes       int           // that the rule which asks the fewest wants; 0: none
	Longest     time.Duration // that any of the rules gives
}

// Openings lists the roles that somebody could ask for on a resource, the least first:
// what asks fewer people comes before what asks more, then what gives fewer rights, and
// what says none, as a standing account that is enabled, may give any and comes last; then
// what may last longer. It is what to put before people who choose, and no decision: conditions, other grants,
// the hour are Decide's. What no rule names them for is left out, and what a rule denies
// them whatever the circumstances.
func (s *Set) Openings(p access.Principal, resource access.ResourceName, now time.Time) []Opening {
	res, ok := s.resource[resource]
	if !ok {
		return nil
	}
	return s.openings(s.Knows(p, now), res)
}

// Open is a resource on which there is something that somebody could ask for.
type Open struct {
	Resource
	Roles []Opening // at least one, the least first
}

// Catalogue lists the resources with what somebody could ask for on each, in document
// order.
func (s *Set) Catalogue(p access.Principal, now time.Time) []Open {
	p = s.Knows(p, now)
	var out []Open
	for _, res := range s.resources {
		if roles := s.openings(p, res); len(roles) > 0 {
			out = append(out, Open{*res, roles})
		}
	}
	return out
}

func (s *Set) openings(p access.Principal, res *Resource) []Opening {
	var out []Opening
	rights := map[access.RoleName]int{}
	for _, role := range s.roles {
		if !role.Covers(res) || res.Ceiling != nil && len(res.Ceiling.breaches(role)) > 0 {
			continue
		}
		if o, ok := s.opening(p, res, role); ok {
			if rights[role.Name] = len(role.Rights); len(role.Rights) == 0 {
				rights[role.Name] = math.MaxInt
			}
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b Opening) int {
		return cmp.Or(cmp.Compare(a.Votes, b.Votes), cmp.Compare(rights[a.Role], rights[b.Role]), cmp.Compare(b.Longest, a.Longest))
	})
	return out
}

func (s *Set) opening(p access.Principal, res *Resource, role *Role) (o Opening, ok bool) {
	if _, err := accountFor(p, res, role); err != nil {
		return o, false
	}
	o = Opening{Role: role.Name, Description: role.Description}
	for rule := range s.concerning(role.Name) {
		if rule.BreakGlass || !rule.Resources.Matches(res) || !rule.subject(p) {
			continue
		}
		if rule.Deny {
			if rule.when == nil && rule.while == nil {
				return o, false
			}
			continue
		}
		votes := 0
		for _, a := range rule.Require.Asked() {
			votes += a.Count
		}
		if !ok || votes < o.Votes {
			o.Votes = votes
		}
		o.Longest, ok = max(o.Longest, capOf(role, rule, res)), true
	}
	return o, ok
}
