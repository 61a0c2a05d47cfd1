package policy

import (
	"slices"
	"time"

	"stint/internal/access"
)

// Policies with effect watch say who may see recordings of sessions, those under way
// among them, that were had by a role. They are a world of their own: none of them gives
// a role, and nothing else lets anybody see a recording. Whoever may administer, owns the
// resource, approved the request or had the session sees none for that.

// checkWatch refuses what such a policy cannot mean: there is no request to look at, and
// nobody is asked.
func checkWatch(f *form, r *Rule) {
	if !r.Watch {
		return
	}
	for _, name := range []string{"when", "while", "require", "zone", "unless"} {
		if f.has(name) {
			f.r.add(f.lineOf(name), "leave it out", "policy %s is about recordings, and has no place for %s", r.Name, name)
		}
	}
}

// MayWatch reports whether the principal may see recordings of sessions that were had by
// the role on the resource, and by which policy. Where either is gone from the documents,
// policies for every role and resource still count.
func (s *Set) MayWatch(p access.Principal, role access.RoleName, resource access.ResourceName, now time.Time) (access.PolicyName, bool) {
	p = s.Knows(p, now)
	res := s.resource[resource]
	for _, r := range s.rules {
		if !r.Watch || !r.subject(p) || !r.everyRole && !slices.Contains(r.Roles, role) {
			continue
		}
		if r.Resources.Empty() || res != nil && r.Resources.Matches(res) {
			return r.Name, true
		}
	}
	return "", false
}

// Reviews reports whether any policy lets the principal see recordings: whether to show
// them the way.
func (s *Set) Reviews(p access.Principal, now time.Time) bool {
	p = s.Knows(p, now)
	return slices.ContainsFunc(s.rules, func(r *Rule) bool { return r.Watch && r.subject(p) })
}
