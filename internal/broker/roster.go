package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// A request that nobody can approve waits for a day and wastes it. So before one is
// made it is counted who could fill its places: enabled users, without the person who
// asks, each person for one place. Who is in a group is in no index, and reading all
// users for each request is too much: they are read rarely. What is said of a copy
// that is old is never a no: a no is said of one that was read just now. An old yes
// costs no more than a request that nobody answers; whether a vote counts is decided
// by the store, as ever.

const (
	// rosterGood is how old a copy may be that says yes, and rosterSure how old one that
	// says no: what is asked for in great number does not read all users each time.
	rosterGood = 5 * time.Minute
	rosterSure = 2 * time.Second
)

// roster keeps a copy of the users. Its lock is never held while the store is read:
// whoever says that people changed does not wait for that.
type roster struct {
	mu      sync.Mutex
	now     *people       // nil: to be read
	changes int           // how often people changed
	reading chan struct{} // closed when the one who reads now is done; nil: nobody reads
}

// people are the enabled users as they were at one time.
type people struct {
	at      time.Time // the host's
	users   []access.Principal
	all     []access.Principal // of these, who may approve
	byID    map[access.PrincipalID]int
	byGroup map[access.Group][]int
}

func newPeople(ps []access.Principal, at time.Time) *people {
	r := &people{at: at, byID: map[access.PrincipalID]int{}, byGroup: map[access.Group][]int{}}
	for _, p := range ps {
		if p.Disabled || p.Person == "" {
			continue
		}
		r.users = append(r.users, p)
		if p.MayApprove() != nil {
			continue
		}
		n := len(r.all)
		r.all = append(r.all, p)
		r.byID[p.ID] = n
		for _, g := range p.Groups {
			r.byGroup[g] = append(r.byGroup[g], n)
		}
	}
	return r
}

// PeopleChanged says that there are other users than before, or in other groups.
func (b *Broker) PeopleChanged() {
	b.roster.mu.Lock()
	defer b.roster.mu.Unlock()
	b.roster.now = nil
	b.roster.changes++
}

// errNotSure asks for a fresher copy of the users.
var errNotSure = access.Fail(access.Unavailable, "not-sure", "who could approve is not known yet")

// counting runs what counts who could approve: first on the copy that there is, and
// once more on a fresh one if that is not enough to say no.
func (b *Broker) counting(ctx context.Context, do func(who *people, sure bool) error) error {
	b.roster.mu.Lock()
	who := b.roster.now
	b.roster.mu.Unlock()
	if who != nil && time.Since(who.at) > rosterGood {
		who = nil
	}
	sure := who != nil && time.Since(who.at) <= rosterSure
	err := do(who, sure)
	if !errors.Is(err, errNotSure) {
		return err
	}
	if who, err = b.readRoster(ctx); err != nil {
		return err
	}
	return do(who, true)
}

// readRoster gives a fresh copy. One reads, the others wait for what it reads.
func (b *Broker) readRoster(ctx context.Context) (*people, error) {
	r := &b.roster
	for {
		r.mu.Lock()
		now, reading, changes := r.now, r.reading, r.changes
		if fresh := now != nil && time.Since(now.at) <= rosterSure; fresh || reading != nil {
			r.mu.Unlock()
			if fresh {
				return now, nil
			}
			select {
			case <-reading:
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		done := make(chan struct{})
		r.reading = done
		r.mu.Unlock()

		at := time.Now()
		var ps []access.Principal
		err := b.Store.View(ctx, func(tx Tx) (err error) { ps, err = tx.Principals(access.User); return err })

		r.mu.Lock()
		if now = newPeople(ps, at); err == nil && r.changes == changes {
			r.now = now // else it may be of before the change
		}
		r.reading = nil
		r.mu.Unlock()
		close(done)
		return now, err
	}
}

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

// answerable refuses a pending request that cannot get its approvals from anybody.
func answerable(r access.Request, set *policy.Set, who *people, sure bool, now time.Time) error {
	if r.State != access.RequestPending {
		return nil
	}
	if who == nil {
		return errNotSure
	}
	reqs := r.Decision.Approvals
	as, each := count{who, set, now, r.ExpiresAt, map[access.Person]bool{r.Person: true}}.candidates(reqs)
	switch {
	case access.Quorum(reqs, as):
		return nil
	case !sure:
		return errNotSure
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

// neededLater refuses a yes in one stage of somebody without whom a later one cannot
// be filled: they would be used up, and nobody could finish it.
func neededLater(before, after access.Request, set *policy.Set, who *people, sure bool, now time.Time) error {
	reqs := after.Decision.Approvals
	if after.State != access.RequestPending || !staged(reqs) {
		return nil
	}
	if who == nil {
		return errNotSure
	}
	can := func(r access.Request) bool {
		not := map[access.Person]bool{r.Person: true}
		for _, a := range r.Approvals {
			not[a.Person], not[a.ForPerson] = true, true
		}
		as, _ := count{who, set, now, r.ExpiresAt, not}.candidates(reqs)
		return access.Quorum(reqs, slices.Concat(r.Approvals, as))
	}
	switch {
	case can(after) || !can(before):
		return nil
	case !sure:
		return errNotSure
	}
	return access.Fail(access.Conflict, "needed-later", "you are needed for a later stage of this request").
		Because("a person has one vote, and without yours then nobody could finish it").Try("leave this stage to another one of those who are asked")
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
