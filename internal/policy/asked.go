package policy

import (
	"slices"

	"stint/internal/access"
)

// What differences, narrowing and offices need to know of approvals, in one place.

// askedFor is what it asks for when somebody asks for something on a resource; nobody
// stands where there is none to ask, and the manager's manager, whom only the store
// knows, as the word.
func (q Requirements) askedFor(who access.Principal, res *Resource) (out []access.Requirement) {
	means := meaning(Ask{Principal: who, Above: access.PrincipalID(above)}, res)
	for _, a := range q.Approvals {
		reqs, lacks := a.resolve(means)
		if len(lacks) > 0 {
			reqs = append(slices.DeleteFunc(reqs, func(r access.Requirement) bool { return len(r.From) == 0 }),
				access.Requirement{From: []access.Subject{"nobody"}, Count: max(a.Count, 1), Stage: a.Stage})
		}
		out = append(out, reqs...)
	}
	return out
}

// whoMay are all who may come to fill the places of a requirement.
func whoMay(r access.Requirement) []access.Subject { return slices.Concat(r.From, r.EscalateTo) }

// asMuch reports whether a requirement asks none but those whom the other asks, none
// sooner, in the same stage, for as many, by as strong a vote.
func asMuch(more, less access.Requirement) bool {
	return more.Count >= less.Count && more.Level >= less.Level && stage(more) == stage(less) &&
		within(more.From, less.From) && within(whoMay(more), whoMay(less)) &&
		(len(more.EscalateTo) == 0 || more.EscalateAfter >= less.EscalateAfter)
}
