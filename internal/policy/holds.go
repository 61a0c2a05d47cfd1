package policy

import (
	"fmt"
	"slices"

	"stint/internal/access"
)

// Held is a live grant of a person, of whichever of their principals.
type Held struct {
	Grant    access.GrantID
	Resource access.ResourceName
	Role     access.RoleName
}

// Limits cap what one person can have at a time of the roles that a policy is for.
// 0: no cap of its own.
type Limits struct {
	Live    int // grants, with the one that is asked for
	Pending int // undecided requests, with it

	line int
}

func readLimits(f *form) (l Limits) {
	s := f.sub("limits")
	if s == nil {
		return l
	}
	l.line = s.line
	l.Live, l.Pending = s.whole("live", 1, 1000, 0), s.whole("pending", 1, 1000, 0)
	if !s.has("live") && !s.has("pending") {
		s.r.add(s.line, "add live: 1", "limits says neither how many live grants nor how many pending requests")
	}
	s.close()
	return l
}

// reached says which caps leave no room for what is asked.
func (l Limits) reached(r *Rule, a Ask, p Phase) (texts []string) {
	counts := func(role access.RoleName) bool { return r.everyRole || slices.Contains(r.Roles, role) }
	live, pending := 0, 0
	for _, h := range a.Holds {
		if counts(h.Role) {
			live++
		}
	}
	for _, role := range a.Pending {
		if counts(role) {
			pending++
		}
	}
	who := a.Principal.Person
	if l.Live > 0 && live >= l.Live {
		texts = append(texts, fmt.Sprintf("%s holds %d of its roles already, and it allows %d at a time", who, live, l.Live))
	}
	if l.Pending > 0 && pending >= l.Pending && p == AtRequest {
		texts = append(texts, fmt.Sprintf("%s has %d undecided requests for its roles already, and it allows %d", who, pending, l.Pending))
	}
	return texts
}

// excluded says which live grants of the person keep this role from them: those of
// roles that it excludes, and of roles that exclude it.
func (s *Set) excluded(a Ask, role *Role) (over []access.Reason) {
	for _, h := range a.Holds {
		other := s.role[h.Role]
		by := role
		switch {
		case slices.Contains(role.Excludes, h.Role):
		case other != nil && slices.Contains(other.Excludes, role.Name):
			by = other
		default:
			continue
		}
		over = append(over, access.Reason{Source: by.at.at(by.lineExcludes),
			Text: fmt.Sprintf("%s holds %s on %s (%s), and nobody has that and %s at a time", a.Principal.Person, h.Role, h.Resource, h.Grant, role.Name)})
	}
	return over
}

// Wants says what of an Ask the documents look at, so that the rest need not be
// found out.
type Wants struct {
	Above   bool
	Holds   bool
	Pending bool
	Same    bool
	Tickets bool
}

// Wants says what a decision in that phase looks at.
func (s *Set) Wants(p Phase) Wants {
	if p == Alive {
		return Wants{}
	}
	return s.wants
}

// findWants looks through the documents once.
func (s *Set) findWants() (w Wants) {
	for _, r := range s.roles {
		w.Holds = w.Holds || len(r.Excludes) > 0
	}
	for _, r := range s.rules {
		q := &r.Require
		w.Holds = w.Holds || q.Limits.Live > 0
		w.Pending = w.Pending || q.Limits.Pending > 0
		w.Tickets = w.Tickets || q.Ticket.From != ""
		w.Same = w.Same || r.when != nil && r.when.history
		for _, a := range q.allApprovals() {
			w.Above = w.Above || slices.Contains(a.From, above) || slices.Contains(a.EscalateTo, above)
		}
	}
	return w
}
