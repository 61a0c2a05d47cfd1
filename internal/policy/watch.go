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

// seeing is what such a policy gives, in the words of a difference.
const seeing = "see the recordings of its sessions"

// watchers are the policies by which recordings under the role on the resource are seen;
// none where nothing is recorded.
func (s *Set) watchers(roleName access.RoleName, resName access.ResourceName) (out []*Rule) {
	res, role := s.resource[resName], s.role[roleName]
	if res == nil || role == nil || !role.Covers(res) || !role.recorded() && role.Mechanism != access.Elevate {
		return nil
	}
	for _, r := range s.rules {
		if r.Watch && (r.everyRole || slices.Contains(r.Roles, roleName)) && (r.Resources.Empty() || r.Resources.Matches(res)) {
			out = append(out, r)
		}
	}
	return out
}

// watchChanges says who comes to see recordings under the role on the resource, and who
// does not any more.
func watchChanges(before, after *Set, role access.RoleName, res access.ResourceName, people []access.Principal) (out []CanChange) {
	was, is := before.watchers(role, res), after.watchers(role, res)
	if len(was)+len(is) == 0 || slices.EqualFunc(was, is, func(a, b *Rule) bool { return slices.Equal(a.Subjects, b.Subjects) }) {
		return nil
	}
	gains, loses := CanChange{Op: Gains, After: seeing}, CanChange{Op: Loses, Before: seeing}
	for _, p := range people {
		in := func(r *Rule) bool { return r.subject(p) }
		switch had, has := slices.ContainsFunc(was, in), slices.ContainsFunc(is, in); {
		case has && !had:
			gains.Who = append(gains.Who, string(p.ID))
		case had && !has:
			loses.Who = append(loses.Who, string(p.ID))
		}
	}
	for _, c := range []CanChange{gains, loses} {
		if len(c.Who) > 0 {
			out = append(out, c)
		}
	}
	return out
}
