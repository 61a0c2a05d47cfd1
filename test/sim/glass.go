package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// Some break the glass: they have access at once, for an hour at most, everybody hears of
// it, and another person has to say afterwards what they found. glassDocument is the
// policy that lets them.
const glassDocument = "---\nkind: Policy\nname: emergency\neffect: breakGlass\nsubjects: [group:platform, group:guests]\nroles: [reader, owner]\n"

// reviewWithin is how soon reviews should be closed: of some the day sees that they were not.
const reviewWithin = 2 * time.Hour

// reviewers close reviews of others: administrators, and omar owns every database.
var reviewers = []string{"root", "rita", "omar"}

// smashes makes break-glass access of what somebody is about to ask for.
func (w *world) smashes(a *ask) {
	if sponsors[a.who] != "" || a.role != "reader" && a.role != "owner" || !w.chance(0.06) {
		return
	}
	a.glass, a.ahead, a.d = true, 0, min(a.d, access.MaxEmergency)
}

// smash asks for it.
func (a *ask) smash(ctx context.Context, r *replica) error {
	v, err := r.BreakGlass(ctx, a.caller(), broker.Glass{Resource: a.resource(), Role: a.role, Duration: a.d, Reason: a.name(), Key: a.name(), Body: access.Digest{byte(a.n)}})
	if err == nil {
		a.told(v)
	}
	return err
}

// reviewed has people look at what somebody did who broke the glass: themselves, who must
// not, somebody who has no say in it, and in the end somebody else who has.
func (w *world) reviewed(a *ask) {
	by := &ask{w: w, n: a.n, rng: rand.New(rand.NewPCG(w.seed, uint64(3_000_000+a.n)))}
	time.Sleep(by.between(time.Minute, 4*time.Hour))
	var id access.ReviewID
	err, _ := by.call(func(ctx context.Context, r *replica) error {
		id = ""
		vs, _, err := r.Reviews(ctx, caller1("root"), access.ReviewQuery{Person: access.Person(a.who), Limit: 1000})
		for _, v := range vs {
			if v.Request == a.id {
				id = v.ID
			}
		}
		return err
	})
	if err != nil || w.closed {
		return
	}
	if id == "" {
		if !a.forgot(a.sent) {
			w.fail("review", "%s broke the glass for %s, and there is no review of it", a.who, a.name())
		}
		return
	}
	noor := "noor"
	if a.who == noor {
		noor = "paul"
	}
	for _, who := range []string{a.who, noor} {
		if by.chance(0.5) {
			continue
		}
		if err, sure := by.close(id, who); err == nil {
			w.fail("review", "%s closed the review of what %s did", who, a.who)
		} else if sure && who == a.who {
			w.sometimes("nobody reviews what they did themselves")
		}
	}
	others := slices.DeleteFunc(slices.Clone(reviewers), func(name string) bool { return name == a.who || w.rules.isDisabled(name) })
	who := others[by.rng.IntN(len(others))]
	err, sure := by.close(id, who)
	var e *access.Error
	switch {
	case err == nil:
		w.sometimes("a review is closed by another person")
	case sure && errors.As(err, &e) && e.Code != "already-closed" && !a.forgot(a.sent) && who != "omar": // who may be disabled just then
		w.fail("review", "who may close the review of %s cannot: %v", a.name(), err)
	}
}

func (a *ask) close(id access.ReviewID, who string) (error, bool) {
	return a.call(func(ctx context.Context, r *replica) error {
		_, err := r.CloseReview(ctx, caller1(who), string(id), access.Justified, "it was needed")
		return err
	})
}

// glassy holds one row against the reference: what is break-glass access was asked for as
// such, and has its alarm and its review from the first moment on.
func (o *oracle) glassy(g access.Grant, a *ask) {
	w := o.w
	switch {
	case a.glass != g.Emergency.Is():
		w.fail("review", "%s was asked for as an emergency: %t, and %s is one: %t", a.name(), a.glass, g.ID, g.Emergency.Is())
		return
	case !a.glass:
		return
	case !o.alarmed[g.ID]:
		w.fail("review", "%s is break-glass access without an alarm", g.ID)
	}
	if _, ok := w.reviewOf(g); !ok {
		w.fail("review", "%s is break-glass access that nobody has to review", g.ID)
	}
	w.sometimes("somebody breaks the glass")
}

func (w *world) reviewOf(g access.Grant) (found access.Review, ok bool) {
	_ = w.store.View(context.Background(), func(tx broker.Tx) error {
		vs, err := tx.Reviews(access.ReviewQuery{Person: g.Person, Limit: 1000})
		for _, v := range vs {
			if v.Grant == g.ID {
				found, ok = v, true
			}
		}
		return err
	})
	return found, ok
}

// reviews looks in the end at what became of all of them.
func (o *oracle) reviews() {
	w := o.w
	for _, g := range w.store.Grants(false) {
		if !g.Emergency.Is() {
			continue
		}
		switch v, ok := w.reviewOf(g); {
		case !ok:
			w.fail("review", "the review of %s is gone", g.ID)
		case o.versions[string(v.ID)] != v.Version:
			w.fail("I-15", "%s is version %d and the log says %d", v.ID, v.Version, o.versions[string(v.ID)])
		case v.State == access.ReviewClosed && (v.CloserPerson == g.Person || !slices.Contains(reviewers, string(v.CloserPerson))):
			w.fail("review", "%s was closed by %s", v.ID, v.CloserPerson)
		case v.Reminded > 0:
			w.sometimes("a review is overdue")
		}
	}
}
