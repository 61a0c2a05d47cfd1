package policy

import (
	"fmt"
	"slices"
	"time"

	"stint/internal/access"
)

// Grave is a change that a second person has to say yes to, and why.
type Grave struct {
	Kind, Name string
	Why        string
}

// heavy are the places where a resource of criticality high or critical is. What counts
// is the place: a second name for one server must not be a way around what protects the
// first.
func (s *Set) heavy() map[access.Place]bool {
	at := map[access.Place]bool{}
	for _, r := range s.resources {
		if rank(r.Criticality) >= rank(access.High) {
			at[r.Connection.Place()] = true
		}
	}
	return at
}

// SecondPerson lists the changes, of those that lead from the set before to the set
// after, that one person alone may not make where two persons are asked for:
//
//   - roles and policies that reach, before or after, a resource which was of high
//     criticality;
//   - such a resource itself, whatever of it changes, and a resource at its place;
//   - which programs a service is, but for a document of that which goes;
//   - every document of another kind, but for bundles.
//
// Not among them is what only takes away (see onlyTakes), and a document that says the
// same in other words. A resource that is new, or was not of high criticality until
// now, is protected from the next change on: who declares it so could have left that.
func SecondPerson(before, after *Set, changes []Change) (out []Grave) {
	heavy := before.heavy()
	for _, c := range changes {
		if c.Op == Unchanged {
			continue
		}
		if why := before.grave(after, c, heavy); why != "" {
			out = append(out, Grave{c.Kind, c.Name, why})
		}
	}
	return out
}

// grave says why a change needs a second person; empty: it does not.
func (s *Set) grave(after *Set, c Change, heavy map[access.Place]bool) string {
	switch c.Kind {
	case KindResource:
		was, is := s.resource[access.ResourceName(c.Name)], after.resource[access.ResourceName(c.Name)]
		switch {
		case was != nil && is != nil && saysSame(was.at, is.at):
			return ""
		case was != nil && heavy[was.Connection.Place()]:
			return "it is of high criticality, or shares its place with one that is"
		case is != nil && heavy[is.Connection.Place()]:
			return "it is at the place of a resource of high criticality"
		}
		return ""
	case KindRole:
		was, is := s.role[access.RoleName(c.Name)], after.role[access.RoleName(c.Name)]
		if onlyTakesRole(was, is) {
			return ""
		}
		return s.reaches(heavy, s.reachOfRole(was), after.reachOfRole(is))
	case KindPolicy:
		was, is := s.ruleNamed(c.Name), after.ruleNamed(c.Name)
		if s.onlyTakes(after, was, is) {
			return ""
		}
		return s.reaches(heavy, s.reachOfRule(was), after.reachOfRule(is))
	case KindWorkload:
		was, is := s.workload[c.Name], after.workload[c.Name]
		if is == nil || was != nil && saysSame(was.at, is.at) {
			return ""
		}
		return "it says which programs outside are " + string(is.Service)
	}
	if c.Kind == KindBundle {
		return "" // it lets nobody have anything
	}
	return "documents of this kind always do"
}

// reaches names a resource at a heavy place that a document reaches, wherever that
// resource was before.
func (s *Set) reaches(heavy map[access.Place]bool, reach ...[]*Resource) string {
	for _, list := range reach {
		for _, r := range list {
			was := s.resource[r.Name]
			if heavy[r.Connection.Place()] || was != nil && heavy[was.Connection.Place()] {
				return fmt.Sprintf("it reaches %s, which is of high criticality", r.Name)
			}
		}
	}
	return ""
}

func (s *Set) reachOfRole(r *Role) []*Resource {
	if r == nil {
		return nil
	}
	return s.covered(r)
}

func (s *Set) reachOfRule(r *Rule) []*Resource {
	if r == nil {
		return nil
	}
	return s.reached(r)
}

func (s *Set) ruleNamed(name string) *Rule {
	if i := slices.IndexFunc(s.rules, func(r *Rule) bool { return string(r.Name) == name }); i >= 0 {
		return s.rules[i]
	}
	return nil
}

// onlyTakesRole: the role is gone, or may be had for shorter, or says the same.
func onlyTakesRole(was, is *Role) bool {
	switch {
	case was == nil:
		return false
	case is == nil:
		return true
	case is.MaxDuration > was.MaxDuration:
		return false
	}
	return saysSame(was.at, is.at, "maxDuration")
}

// onlyTakes reports whether a change of a policy, from was to is, can let nobody have
// anything that they could not have had, nor with the yes of others than before. It
// knows a few kinds of change and says no to all others:
//
//   - a new denying policy;
//   - a denying policy for more subjects or roles;
//   - an allowing policy that is removed, is for fewer subjects or roles, or for shorter;
//   - an allowing policy that denies from now on.
//
// A path that goes makes room for another one: of several that match, the one with the
// fewest approvals wins. So what comes into force instead must ask at least as much.
func (s *Set) onlyTakes(after *Set, was, is *Rule) bool {
	switch {
	case was == nil:
		return is.Deny
	case is != nil && saysSame(was.at, is.at):
		return true
	case was.Deny:
		return is != nil && is.Deny && covers(is.Subjects, was.Subjects) && covers(is.Roles, was.Roles) &&
			saysSame(was.at, is.at, "subjects", "roles")
	case is == nil || is.Deny:
	case !within(is.Subjects, was.Subjects) || !within(is.Roles, was.Roles) || longer(is.Require.MaxDuration, was.Require.MaxDuration):
		return false
	case !saysSame(was.at, is.at, "subjects", "roles", "require.maxDuration"):
		return false
	}
	return after.noneSteps(was, is)
}

// longer reports whether a cap was raised or lifted; 0 is none.
func longer(is, was time.Duration) bool {
	return was > 0 && (is == 0 || is > was)
}

// within reports whether none is in one list who is not in the other; "*" is everybody.
func within[S ~string](is, was []S) bool {
	return slices.Contains(was, "*") || !slices.ContainsFunc(is, func(x S) bool { return !slices.Contains(was, x) })
}

// covers reports whether all of was are still there.
func covers[S ~string](is, was []S) bool { return within(was, is) }

// noneSteps reports whether no other path comes into force, where gone no longer
// applies, that asks less than gone did: for each other allowing policy that may speak
// of the same role on the same resource, gone is no less lenient in every respect.
func (s *Set) noneSteps(gone, left *Rule) bool {
	if len(gone.Require.Asked()) == 0 {
		return true // nothing asks for less
	}
	for _, r := range s.rules {
		// Emergencies have paths of their own, which compete with no others.
		if r == left || r.Name == gone.Name || r.Deny || r.Watch || r.BreakGlass != gone.BreakGlass || !s.meet(gone, r) {
			continue
		}
		if !asksAsMuch(r.Require.Asked(), gone.Require.Asked()) {
			return false
		}
	}
	return true
}

// meet reports whether both policies may speak of one role on one resource.
func (s *Set) meet(a, b *Rule) bool {
	for _, role := range s.roles {
		if !a.everyRole && !slices.Contains(a.Roles, role.Name) || !b.everyRole && !slices.Contains(b.Roles, role.Name) {
			continue
		}
		for _, res := range s.resources {
			if role.Covers(res) && a.Resources.Matches(res) && b.Resources.Matches(res) {
				return true
			}
		}
	}
	return false
}

// asksAsMuch reports whether for each requirement of less there is one of its own in
// more, from none but those, and of as many: a matching, by augmenting paths.
func asksAsMuch(more, less []access.Requirement) bool {
	serves := make([]int, len(more)) // which of less, plus one
	var find func(i int, tried []bool) bool
	find = func(i int, tried []bool) bool {
		for j, m := range more {
			if tried[j] || !asMuch(m, less[i]) {
				continue
			}
			tried[j] = true
			if serves[j] == 0 || find(serves[j]-1, tried) {
				serves[j] = i + 1
				return true
			}
		}
		return false
	}
	for i := range less {
		if !find(i, make([]bool, len(more))) {
			return false
		}
	}
	return true
}

// saysSame reports whether two documents say the same but for the fields given. A field
// that a version to come adds is compared like any other, so that it says no.
func saysSame(a, b place, but ...string) bool { return flatText(a.raw, but) == flatText(b.raw, but) }
