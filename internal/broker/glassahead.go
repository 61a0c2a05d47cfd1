package broker

import (
	"context"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// What breaking the glass would set off, for who is about to: on that night nobody reads
// documents.

// Emergency is a resource on which somebody could break the glass.
type Emergency struct {
	policy.Resource
	Offers []policy.Offer // at least one, in document order
}

// Emergencies lists what the caller could break the glass for, in document order.
func (b *Broker) Emergencies(ctx context.Context, c Caller) (out []Emergency, err error) {
	if c.Glass != nil {
		return nil, errGlassOnly
	}
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		out = nil
		p, set, err := b.breaker(tx, c)
		if err != nil || !set.Breaks(p, tx.Now()) {
			return err
		}
		for _, r := range set.Resources() {
			if open := set.Emergencies(policy.Ask{Principal: p, Resource: r.Name, Source: c.Source}, tx.Now()); len(open) > 0 {
				out = append(out, Emergency{r, open})
			}
		}
		return nil
	})
	return out, err
}

func (b *Broker) breaker(tx Tx, c Caller) (p access.Principal, set *policy.Set, err error) {
	if p, err = tx.Principal(c.Principal.ID); err == nil {
		set, err = b.documents(tx)
	}
	return p, set, err
}

// mostTold is how many people are named of those whom an alarm tells.
const mostTold = 12

// Alarm is what break-glass access would set off.
type Alarm struct {
	Owners   []access.Subject     // of the resource, as its document says
	Told     []access.PrincipalID // the people that these are now, and administrators where they are told too; without the caller
	More     int                  // that are not among Told
	Overdue  int                  // reviews of the caller's that nobody closed in time
	ReviewBy time.Time
}

// Alarm says what break-glass access of the caller's on a resource would set off now. It
// is for those who could break the glass there.
func (b *Broker) Alarm(ctx context.Context, c Caller, resource access.ResourceName) (a Alarm, err error) {
	if c.Glass != nil {
		return a, errGlassOnly
	}
	people, err := b.approvers.Users(ctx)
	if err != nil {
		return a, err
	}
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		now := tx.Now()
		a = Alarm{ReviewBy: now.Add(b.ReviewWithin)}
		p, set, err := b.breaker(tx, c)
		if err != nil {
			return err
		}
		res, ok := set.Resource(resource)
		if !ok || len(set.Emergencies(policy.Ask{Principal: p, Resource: resource, Source: c.Source}, now)) == 0 {
			return access.Fail(access.NotFound, "not-open", "there is no "+string(resource)+", or you cannot break the glass for it").
				Try("see for what you can, or ask an administrator for a policy with effect: breakGlass")
		}
		a.Owners = res.Owners
		if a.Overdue, err = overdueOf(tx, p.Person); err != nil {
			return err
		}
		for _, u := range people {
			u = set.Knows(u, now)
			told := slices.ContainsFunc(res.Owners, u.In) || a.Overdue > 0 && u.Admin
			switch {
			case !told || u.Person == p.Person || u.Usable(now) != nil:
			case len(a.Told) < mostTold:
				a.Told = append(a.Told, u.ID)
			default:
				a.More++
			}
		}
		slices.SortFunc(a.Told, func(x, y access.PrincipalID) int { return strings.Compare(string(x), string(y)) })
		return nil
	})
	return a, err
}

// overdueOf counts the reviews of what a person did that nobody closed in time.
func overdueOf(tx Tx, p access.Person) (n int, err error) {
	mine, err := tx.Reviews(access.ReviewQuery{State: access.ReviewOpen, Person: p, Limit: reviewsCounted})
	for _, v := range mine {
		if v.Overdue(tx.Now()) {
			n++
		}
	}
	return n, err
}

// OpensGlass reports whether a policy names the caller for emergencies: whether to show
// them the way. Where the documents do not load, nothing is open to anybody.
func (b *Broker) OpensGlass(ctx context.Context, c Caller) (open bool, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		open = c.Glass == nil && b.documentsOrNone(tx).Breaks(c.Principal, tx.Now())
		return nil
	})
	return open, err
}

// waitsCounted is how many open reviews are looked at for a number beside a link.
const waitsCounted = 200

// ReviewsWaiting counts the open reviews that the caller may close, among the newest
// waitsCounted.
func (b *Broker) ReviewsWaiting(ctx context.Context, c Caller) (n int, err error) {
	if c.Glass != nil {
		return 0, nil
	}
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		n = 0
		open, err := tx.Reviews(access.ReviewQuery{State: access.ReviewOpen, Limit: waitsCounted})
		if err != nil || len(open) == 0 {
			return err
		}
		set := b.documentsOrNone(tx)
		for _, v := range open {
			if c.closes(set, v) {
				n++
			}
		}
		return nil
	})
	return n, err
}
