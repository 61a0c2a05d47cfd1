package sim

import (
	"context"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// Approvers go away and hand their approvals to somebody for a time, who votes for them,
// within these bounds and never beside them: of the two one person's vote counts.

// standIns are who may be asked to stand in: none of them has a say of their own.
var standIns = []string{"noor", "paul", "pia"}

// standIn is one delegation, as who made it was told.
type standIn struct {
	from, to    string
	sent, until time.Time // the true times between which it may hold
	most        time.Time // as until, where nobody ended it early
}

// nextStandIn has somebody who approves go away now and then.
func (w *world) nextStandIn() {
	n := int(w.seq)
	w.in(w.between(10*time.Minute, 80*time.Minute), "away", "", func() {
		if w.calm {
			return
		}
		w.nextStandIn()
		from, to, lasts, early := pick(w.sched, approvers), pick(w.sched, standIns), w.between(2*time.Minute, 90*time.Minute), w.chance(0.4)
		w.people.Go(func() { w.handOver(n, from, to, lasts, early) })
	})
}

func (w *world) handOver(n int, from, to string, lasts time.Duration, early bool) {
	now := time.Now()
	for _, s := range w.rules.standIns { // one at a time, so that it is plain for whom somebody votes
		if (s.from == from || s.to == to) && s.until.Add(w.oracle.slack+time.Minute).After(now) {
			return
		}
	}
	most := now.Add(lasts + 4*time.Minute) // the call may be made again and again
	s := &standIn{from: from, to: to, sent: now, until: most, most: most}
	w.rules.standIns = append(w.rules.standIns, s)
	var d access.Delegation
	err, sure := w.admin(n, func(ctx context.Context, r *replica) (err error) {
		d, err = r.Delegate(ctx, caller1(from), broker.Delegation{To: access.NewPrincipalID(access.User, to), For: lasts, Why: "away"})
		return err
	})
	if err != nil || !sure {
		return
	}
	s.until, s.most = d.EndsAt, d.EndsAt
	w.sometimes("somebody hands their approvals over")
	if !early {
		return
	}
	time.Sleep(lasts / 2)
	err, _ = w.admin(n+1, func(ctx context.Context, r *replica) error {
		_, err := r.EndDelegation(ctx, caller1(from), string(d.ID))
		return err
	})
	if err == nil && !w.oracle.took(string(d.ID), s.sent) {
		s.until = time.Now()
	}
}

// standsIn is the delegation by which somebody may have voted for another between two
// times; nil where there is none.
func (r *rules) standsIn(to string, from, until time.Time, slack time.Duration) *standIn {
	for _, s := range r.standIns {
		if s.may(to, from, until, slack) {
			return s
		}
	}
	return nil
}

// may reports whether it may have let somebody vote between two times.
func (s *standIn) may(to string, from, until time.Time, slack time.Duration) bool {
	return s.to == to && !s.sent.Add(-slack).After(until) && !s.until.Add(slack).Before(from)
}

// away is a delegation that may hold now; nil where there is none.
func (r *rules) away() *standIn {
	now := time.Now()
	for _, s := range r.standIns {
		if s.until.After(now) {
			return s
		}
	}
	return nil
}

// once holds the votes of a request against the delegations: each was within bounds, and
// nobody counts twice, neither for themselves and through another, nor through two.
func (o *oracle) once(r access.Request) {
	w := o.w
	var counted []access.Person
	for _, v := range r.Approvals {
		of := []access.Person{v.Person}
		if v.ForPerson != "" {
			of = append(of, v.ForPerson)
			w.sometimes("somebody votes for another")
			ok := slices.ContainsFunc(w.rules.standIns, func(s *standIn) bool {
				return s.from == string(v.ForPerson) && s.to == string(v.Person) && !v.At.Before(s.sent.Add(-o.slack-prompt)) && !v.At.After(s.until.Add(o.slack+prompt))
			})
			if !ok && !o.took(string(r.ID), time.Time{}) {
				w.fail("I-10", "%s votes on %s for %s at %s, who has not handed that over", v.Person, r.ID, v.ForPerson, v.At)
			}
		}
		for _, p := range of {
			if slices.Contains(counted, p) {
				w.fail("I-10", "%s counts twice on %s", p, r.ID)
			}
			counted = append(counted, p)
		}
	}
}
