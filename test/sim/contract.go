package sim

import (
	"context"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// Vendors have a contract that ends, is moved, and is renewed in the day, and somebody of
// the house who answers for them. vendorDocument lets them in.
const vendorDocument = "---\nkind: Policy\nname: vendors\nsubjects: [group:acme]\nroles: [reader, owner]\nrequire: {maxDuration: 2h}\n"

// sponsors says who answers for whom.
var sponsors = map[string]string{"vic": "pia", "vera": "paul"}

var vendors = []string{"vera", "vic"}

// firstContract is when the contracts of the morning end.
const firstContract = 90 * time.Minute

// contract is when a vendor's contract may end by the store's clock, as those who moved it
// were told: one value, or several while a change is on its way.
type contract struct {
	latest, soonest time.Time
	all             []time.Time // every end that it may ever have had
	busy            bool
}

// may notes an end that the contract may have from now on.
func (c *contract) may(end time.Time) {
	c.latest, c.all = latest(c.latest, end), append(c.all, end)
	if end.Before(c.soonest) {
		c.soonest = end
	}
}

// over reports whether the contract may have ended since the given time, until shortly
// after now.
func (c *contract) over(since, now time.Time, slack time.Duration) bool {
	return c != nil && slices.ContainsFunc(c.all, func(t time.Time) bool { return !t.Add(slack).Before(since) && !t.Add(-slack).After(now) })
}

// nextContract has somebody see to a vendor's contract now and then.
func (w *world) nextContract(who string) {
	n := int(w.seq)
	w.in(w.between(20*time.Minute, 2*time.Hour), "contract", who, func() {
		if w.calm {
			return
		}
		w.nextContract(who)
		lasts := w.between(20*time.Minute, 3*time.Hour)
		c := w.rules.contracts[who]
		if c.latest.After(w.store.Now()) && w.chance(0.8) { // it is ended early, while somebody is at work
			lasts = w.between(0, 5*time.Minute)
		}
		w.people.Go(func() { w.moveContract(n, who, lasts) })
	})
}

// bringForward has a vendor's contract ended while they may be at work.
func (w *world) bringForward(a *ask) {
	if sponsors[a.who] == "" || !w.chance(0.2) {
		return
	}
	n, lasts := int(w.seq), w.between(0, 2*time.Minute)
	w.in(a.ahead+w.between(5*time.Second, a.d), "contract", a.who, func() {
		w.people.Go(func() { w.moveContract(n, a.who, lasts) })
	})
}

func (w *world) moveContract(n int, who string, lasts time.Duration) {
	c := w.rules.contracts[who]
	if c.busy {
		return
	}
	c.busy = true
	end := w.store.Now().Add(lasts).Truncate(time.Millisecond)
	c.may(end)
	if lasts < time.Minute {
		c.may(w.store.Now()) // now, when it is there
	}
	began := time.Now()
	e := w.expects(access.ByPolicy, func(a *ask) bool { return a.who == who })
	var is access.Principal
	var err error
	w.untilSure(n, func(ctx context.Context, r *replica) error {
		is, err = r.SetContract(ctx, caller1("root"), who, broker.Contract{Until: &end, Why: "an exercise"})
		return err
	})
	w.rules.ends[e].heard, c.busy = time.Now(), false
	if err != nil || w.oracle.took("user:"+who, began) {
		return // nobody knows more than before
	}
	c.latest, c.soonest = is.Until, is.Until
	c.all = append(c.all, is.Until)
	time.Sleep(time.Until(is.Until))
	if w.closed || !c.latest.Equal(is.Until) {
		return
	}
	for _, a := range w.asks {
		if a.who == who && !a.active.IsZero() && (a.over.IsZero() || !a.over.Before(is.Until)) && a.active.Before(is.Until) {
			w.sometimes("a contract ends while its vendor has access")
			return
		}
	}
}

// contracts looks in peace whether all that ended were put in order: nobody signs in any
// more whose contract is over.
func (o *oracle) contracts() {
	w := o.w
	for _, who := range vendors {
		c := w.rules.contracts[who]
		if c.busy || w.store.Now().Sub(c.latest) < settled+o.slack {
			continue
		}
		if p, err := principalOf(w, access.NewPrincipalID(access.User, who)); err == nil && !p.Disabled && !o.took(string(p.ID), c.latest) {
			w.fail("Q-07", "the contract of %s ended at %s, and the account is open", who, w.at(c.latest))
		}
	}
}

// within holds a live row against the contract of who has it.
func (o *oracle) within(g access.Grant) {
	c := o.w.rules.contracts[string(g.Person)]
	if c != nil && g.State != access.Ending && g.ExpiresAt.After(c.latest) && !o.took("user:"+string(g.Person), g.CreatedAt) {
		o.w.fail("Q-07", "%s of %s lasts until %s, and the contract until %s", g.ID, g.Person, g.ExpiresAt, c.latest)
	}
}

// forgetContracts reads the ends again that a failover took back.
func (o *oracle) forgetContracts() {
	for _, who := range vendors {
		if p, err := principalOf(o.w, access.NewPrincipalID(access.User, who)); err == nil && o.w.rules.contracts != nil {
			o.w.rules.contracts[who].may(p.Until)
		}
	}
}
