package policy

import "stint/internal/access"

// What differences, narrowing and offices need to know of approvals, in one place.

// Asked is what the document asks for, with its words ("owner", "manager") as they stand.
func (q Requirements) Asked() []access.Requirement { return q.Approvals }

// askedFor is what it asks for when somebody asks for something on a resource; nobody
// stands where there is none to ask.
func (q Requirements) askedFor(who access.Principal, res *Resource) []access.Requirement {
	out := make([]access.Requirement, len(q.Approvals))
	for i, a := range q.Approvals {
		out[i] = access.Requirement{From: approvers(a.From, who, res), Count: a.Count}
		if len(out[i].From) == 0 {
			out[i].From = []access.Subject{"nobody"}
		}
	}
	return out
}

// whoMay are all who may come to fill the places of a requirement.
func whoMay(r access.Requirement) []access.Subject { return r.From }
