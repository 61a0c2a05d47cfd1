package policy

import (
	"slices"

	"stint/internal/access"
)

// Offices are what the documents make of somebody: the resources that they own, and
// the policies that ask them to approve, by name, by group, or as an owner of a resource
// that the policy speaks of. Whose manager somebody is stands in no document, so
// policies that ask the manager are not among them.
func (s *Set) Offices(p access.Principal) (owns []access.ResourceName, approves []access.PolicyName) {
	owned := func(r *Resource) bool { return !p.Outside() && slices.ContainsFunc(r.Owners, p.In) }
	for _, r := range s.resources {
		if owned(r) {
			owns = append(owns, r.Name)
		}
	}
	if p.MayApprove() != nil { // only people of the house approve
		return owns, nil
	}
	for _, r := range s.rules {
		if slices.ContainsFunc(r.Require.Asked(), func(q access.Requirement) bool {
			from := whoMay(q)
			return slices.ContainsFunc(from, p.In) || slices.Contains(from, "owner") && slices.ContainsFunc(s.reached(r), owned)
		}) {
			approves = append(approves, r.Name)
		}
	}
	return owns, approves
}
