// Package approvers says who could say yes to a request, and how long they usually take.
//
// A request that nobody can approve waits for a day and wastes it. So before one is
// made it is counted who could fill its places: enabled users, without the person who
// asks, each person for one place. Who is in a group is in no index, and reading all
// users for each request is too much: they are read rarely. What is said of a copy
// that is old is never a no: a no is said of one that was read just now. An old yes
// costs no more than a request that nobody answers; whether a vote counts is decided
// by the store, as ever.
package approvers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// Known is what is known of the users at a moment. The zero Known knows nobody, and
// says so.
type Known struct {
	*people
	sure bool // it was read just now, and may say no
}

// ErrNotSure asks for a fresher copy of the users. Whoever gets it from Known hands it
// on to Copy.Ask as it is.
var ErrNotSure = access.Fail(access.Unavailable, "not-sure", "who could approve is not known yet")

// count is who could fill places, and when.
type count struct {
	*people
	set        *policy.Set
	now, until time.Time
	not        map[access.Person]bool // who cannot
}

// could lists up to most people, each by one login, who are among the subjects.
func (r count) could(from []access.Subject, most int) (who []access.Principal) {
	seen := map[access.Person]bool{}
	add := func(n int) bool {
		if p := r.all[n]; !seen[p.Person] && !r.not[p.Person] && p.Usable(r.now) == nil {
			seen[p.Person] = true
			who = append(who, p)
		}
		return len(who) < most
	}
	for _, s := range from {
		g, isGroup := strings.CutPrefix(string(s), "group:")
		shift, isShift := s.Schedule()
		switch {
		case isShift: // whoever is on call while the request waits
			schedule, _ := r.set.Schedule(shift)
			for _, id := range schedule.Between(r.now, r.until) {
				if n, ok := r.byID[id]; ok && !add(n) {
					return who
				}
			}
		case s == "*":
			for n := range r.all {
				if !add(n) {
					return who
				}
			}
		case isGroup:
			for _, n := range r.byGroup[access.Group(g)] {
				if !add(n) {
					return who
				}
			}
		default:
			if n, ok := r.byID[access.PrincipalID(s)]; ok && !add(n) {
				return who
			}
		}
	}
	return who
}

// candidates are approvals that could still come: of each person one, for whichever
// places any of their logins can fill. So many as there are places are enough for a
// requirement: it then gets its own whoever else is needed elsewhere.
func (r count) candidates(reqs []access.Requirement) (as []access.Approval, each [][]access.Principal) {
	places := 0
	for _, q := range reqs {
		places += q.Count
	}
	of := map[access.Person]int{}
	each = make([][]access.Principal, len(reqs))
	for i, q := range reqs {
		each[i] = r.could(slices.Concat(q.From, q.EscalateTo), places)
		for _, p := range each[i] {
			n, ok := of[p.Person]
			if !ok {
				n = len(as)
				of[p.Person] = n
				as = append(as, access.Approval{By: p.ID, Person: p.Person, Approve: true})
			}
			as[n].Meets = append(as[n].Meets, i)
		}
	}
	return as, each
}

// Answerable refuses a pending request that cannot get its approvals from anybody.
func (k Known) Answerable(r access.Request, set *policy.Set, now time.Time) error {
	if r.State != access.RequestPending {
		return nil
	}
	if k.people == nil {
		return ErrNotSure
	}
	reqs := r.Decision.Approvals
	as, each := count{k.people, set, now, r.ExpiresAt, map[access.Person]bool{r.Person: true}}.candidates(reqs)
	switch {
	case access.Quorum(reqs, as):
		return nil
	case !k.sure:
		return ErrNotSure
	}
	why, missing := "together its approvals need more people than there are", []access.Subject(nil)
	for i, q := range reqs {
		missing = append(missing, q.From...)
		if len(each[i]) >= q.Count {
			continue
		}
		missing = q.From
		why = fmt.Sprintf("it needs %d from %s, and %s could give one", q.Count, strings.Join(texts(q.From), " or "), names(each[i]))
		break
	}
	if text := noDuty(set, reqs); text != "" {
		why += "; " + text
	}
	return access.Fail(access.Denied, "nobody-to-approve", "nobody could approve this, so it was not sent").
		Because(why + "; nobody approves for themselves, disabled users do not count, and each person counts once").
		Try("an administrator can enable or add people to " + strings.Join(texts(missing), ", ") + ", or change " + string(r.Decision.Policy))
}

// NeededLater refuses a yes in one stage of somebody without whom a later one cannot
// be filled: they would be used up, and nobody could finish it.
func (k Known) NeededLater(before, after access.Request, set *policy.Set, now time.Time) error {
	reqs := after.Decision.Approvals
	if after.State != access.RequestPending || !staged(reqs) {
		return nil
	}
	if k.people == nil {
		return ErrNotSure
	}
	can := func(r access.Request) bool {
		not := map[access.Person]bool{r.Person: true}
		for _, a := range r.Approvals {
			not[a.Person], not[a.ForPerson] = true, true
		}
		as, _ := count{k.people, set, now, r.ExpiresAt, not}.candidates(reqs)
		return access.Quorum(reqs, slices.Concat(r.Approvals, as))
	}
	switch {
	case can(after) || !can(before):
		return nil
	case !k.sure:
		return ErrNotSure
	}
	return access.Fail(access.Conflict, "needed-later", "you are needed for a later stage of this request").
		Because("a person has one vote, and without yours then nobody could finish it").Try("leave this stage to another one of those who are asked")
}

// noDuty is why nobody is on call in a schedule that the requirements name; empty where
// that is known.
func noDuty(set *policy.Set, reqs []access.Requirement) string {
	for _, q := range reqs {
		for _, s := range slices.Concat(q.From, q.EscalateTo) {
			name, ok := s.Schedule()
			if x, known := set.Schedule(name); ok && known && x.Trouble != "" {
				return x.Trouble
			}
		}
	}
	return ""
}

// staged reports whether the requirements are of several stages.
func staged(reqs []access.Requirement) bool {
	return slices.ContainsFunc(reqs, func(q access.Requirement) bool { return q.Stage > 1 })
}

// names says a few.
func names(ps []access.Principal) string {
	const few = 5
	var said []string
	for _, p := range ps[:min(len(ps), few)] {
		said = append(said, p.ID.Name())
	}
	switch {
	case len(ps) == 0:
		return "nobody"
	case len(ps) > few:
		return fmt.Sprintf("%s and %d more", strings.Join(said, ", "), len(ps)-few)
	}
	return "only " + strings.Join(said, ", ")
}

func texts[S ~string](in []S) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return out
}
