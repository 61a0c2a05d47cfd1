package policy

import (
	"fmt"
	"slices"

	"stint/internal/access"
)

// MayWrite says whether who may have the document d in this set, which is the
// one after the merge. Administrators may write anything. An owner may write
// roles and policies that reach only resources of their own; roles that use only
// what those resources' ceilings list, and policies that allow only such roles. A
// policy author may write what the owners of all resources together may. A selector
// is judged by the resources there are.
func (s *Set) MayWrite(who access.Principal, d Document) error {
	if who.Admin {
		return nil
	}
	refused := access.Fail(access.Denied, "not-yours-to-write", fmt.Sprintf("%s may not write %s %s", who.ID, d.Kind, d.Name))
	if who.Outside() {
		return refused.Because("they are here for somebody else, and own nothing")
	}
	var reach []*Resource
	var allows *Rule
	switch d.Kind {
	case KindRole:
		role, ok := s.role[access.RoleName(d.Name)]
		if !ok {
			return refused.Because("it is not among the documents")
		}
		reach = s.covered(role)
		for _, res := range reach {
			if err := ownerCeiling(role, res); err != "" {
				return refused.Because(err).Try("ask an administrator")
			}
		}
		// To exclude a role is to keep its holders from another, and so to have a say
		// about both.
		for _, name := range role.Excludes {
			if other, ok := s.role[name]; ok {
				reach = append(reach, s.covered(other)...)
			}
		}
	case KindPolicy:
		i := slices.IndexFunc(s.rules, func(r *Rule) bool { return string(r.Name) == d.Name })
		if i < 0 {
			return refused.Because("it is not among the documents")
		}
		if s.rules[i].Watch {
			return refused.Because("only administrators say who may see recordings")
		}
		reach = s.reached(s.rules[i])
		if !s.rules[i].Deny {
			allows = s.rules[i]
		}
	case KindIntegration:
		return refused.Because("only administrators write integrations")
	case KindWorkload:
		return refused.Because("only administrators say which programs a service is")
	default:
		return refused.Because("only administrators write resources, schedules and bundles")
	}
	if len(reach) == 0 {
		return refused.Because("it reaches no resource of yours").Try("name a resource you own under resources")
	}
	for _, res := range reach {
		if !who.Author && !slices.ContainsFunc(res.Owners, who.In) {
			return refused.Because(fmt.Sprintf("it reaches %s, which is not yours", res.Name)).
				Try("narrow it with resources: {names: […]}")
		}
	}
	if why := s.unbounded(allows, reach); why != "" {
		return refused.Because(why).Try("ask an administrator")
	}
	return nil
}

// unbounded says which role a policy would allow on a resource whose ceiling says
// nothing about it; empty when there is none, or no policy. Such a role is an
// administrator's, and only they say who may have it. What a ceiling does not
// allow needs no word here: nobody can ask for it.
func (s *Set) unbounded(rule *Rule, reach []*Resource) string {
	if rule == nil {
		return ""
	}
	for _, role := range s.roles {
		if !rule.everyRole && !slices.Contains(rule.Roles, role.Name) {
			continue
		}
		for _, res := range reach {
			switch c := res.Ceiling; {
			case !role.Covers(res):
			case c == nil:
				return fmt.Sprintf("it allows role %s, and %s has no ceiling for its owners", role.Name, res.Name)
			case len(c.unlisted(role)) > 0:
				return fmt.Sprintf("it allows role %s, and the ceiling of %s lists no %s", role.Name, res.Name, c.unlisted(role)[0])
			}
		}
	}
	return ""
}

// ownerCeiling says why an owner's role may not reach res; empty when it may.
func ownerCeiling(role *Role, res *Resource) string {
	c := res.Ceiling
	if c == nil {
		return fmt.Sprintf("%s has no ceiling for its owners", res.Name)
	}
	if u := c.unlisted(role); len(u) > 0 {
		return fmt.Sprintf("the ceiling of %s lists no %s", res.Name, u[0])
	}
	if b := c.breaches(role); len(b) > 0 {
		return fmt.Sprintf("the ceiling of %s does not allow %s", res.Name, b[0])
	}
	if c.MaxDuration > 0 && role.MaxDuration > c.MaxDuration {
		return fmt.Sprintf("the ceiling of %s allows no more than %s", res.Name, span(c.MaxDuration))
	}
	return ""
}

// covered lists the resources that a role covers.
func (s *Set) covered(role *Role) (out []*Resource) {
	for _, res := range s.resources {
		if role.Covers(res) {
			out = append(out, res)
		}
	}
	return out
}

// reached lists the resources that a policy speaks of.
func (s *Set) reached(rule *Rule) (out []*Resource) {
	for _, res := range s.resources {
		covers := func(role *Role) bool {
			return role.Covers(res) && (rule.everyRole || slices.Contains(rule.Roles, role.Name))
		}
		if rule.Resources.Matches(res) && slices.ContainsFunc(s.roles, covers) {
			out = append(out, res)
		}
	}
	return out
}

// MayChange says whether who may make these changes, which lead from the set
// before to the set after. Replacing a document takes the right to write the old
// one too: else an owner could put a narrow document in the place of a wide one.
// A denying policy that somebody else wrote is for administrators to lift.
func MayChange(before, after *Set, who access.Principal, changes []Change) error {
	if who.Admin {
		return nil
	}
	for _, c := range changes {
		if c.Op == Unchanged {
			continue
		}
		d := Document{Kind: c.Kind, Name: c.Name}
		if c.Op == Updated || c.Op == Deleted {
			if err := before.MayWrite(who, d); err != nil {
				return err
			}
			if author := before.deniedBy(d); author != "" && author != who.ID {
				return access.Fail(access.Denied, "not-yours-to-lift", fmt.Sprintf("%s may not change Policy %s", who.ID, c.Name)).
					Because("it denies, and " + string(author) + " wrote it").Try("ask an administrator")
			}
		}
		if c.Op == Created || c.Op == Updated {
			if err := after.MayWrite(who, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// deniedBy is the author of a denying policy; empty for every other document.
func (s *Set) deniedBy(d Document) access.PrincipalID {
	if d.Kind != KindPolicy {
		return ""
	}
	for _, r := range s.rules {
		if string(r.Name) != d.Name || !r.Deny {
			continue
		}
		for _, doc := range s.docs {
			if doc.Kind == d.Kind && doc.Name == d.Name {
				if doc.Author == "" {
					return access.System.Principal
				}
				return doc.Author
			}
		}
	}
	return ""
}
