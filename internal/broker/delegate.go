package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// DefaultDelegation is how long a delegation of approvals lasts at most, unless the
// configuration says otherwise.
const DefaultDelegation = 14 * 24 * time.Hour

// maxDelegators bounds for how many others one person votes.
const maxDelegators = 20

// as completes a principal with what decides whose votes are theirs at the moment:
// schedules, and the approvals that others handed to them.
func (b *Broker) as(tx Tx, set *policy.Set, p access.Principal) (access.Principal, error) {
	p = set.Knows(p, tx.Now())
	p.Delegators = nil
	if p.ID.Kind() != access.User {
		return p, nil
	}
	ds, err := tx.Delegations(access.DelegationQuery{To: p.ID, Open: true, Limit: maxDelegators})
	if err != nil {
		return p, err
	}
	slices.Reverse(ds) // the oldest first
	for _, d := range ds {
		if !d.Holds(tx.Now()) {
			continue
		}
		from, err := tx.Principal(d.Principal)
		switch {
		case missing(err):
			continue
		case err != nil:
			return p, err
		case from.Usable(tx.Now()) != nil || from.MayApprove() != nil || from.Person != d.Person || p.Person != d.ToPerson:
			continue // who they are has changed since
		}
		p.Delegators = append(p.Delegators, access.DelegatorOf(set.Knows(from, tx.Now())))
	}
	return p, nil
}

// Voter is the caller with what decides whose votes are theirs at the moment.
func (b *Broker) Voter(ctx context.Context, c Caller) (p access.Principal, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) (err error) {
		p, err = b.as(tx, b.documentsOrNone(tx), c.Principal)
		return err
	})
	return p, err
}

// Delegation is what somebody says who hands their approvals to another.
type Delegation struct {
	To     access.PrincipalID
	Starts time.Time // zero: now
	Ends   time.Time
	For    time.Duration // instead of Ends
	Why    string
}

// Delegate hands the caller's approvals to another person for a time.
func (b *Broker) Delegate(ctx context.Context, c Caller, a Delegation) (d access.Delegation, err error) {
	err = b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		from, err := tx.Principal(c.Principal.ID)
		if err != nil {
			return err
		}
		to, err := tx.Principal(a.To)
		if missing(err) {
			return access.Fail(access.NotFound, "no-such-user", "there is no user "+a.To.Name()).Try("stint get users lists them")
		}
		if err != nil {
			return err
		}
		var has []access.Delegation
		for _, q := range []access.DelegationQuery{{Principal: from.ID, Open: true, Limit: 1000}, {Principal: to.ID, Open: true, Limit: 1000}} {
			ds, err := tx.Delegations(q)
			if err != nil {
				return err
			}
			has = append(has, ds...)
		}
		taken, err := tx.Delegations(access.DelegationQuery{To: to.ID, Open: true, Limit: maxDelegators})
		if err != nil {
			return err
		}
		if len(taken) >= maxDelegators {
			return access.Fail(access.TooMany, "too-many-delegations", string(to.ID)+" stands in for "+fmt.Sprint(len(taken))+" others already").Try("name somebody else")
		}
		draft := access.Delegation{ID: access.NewDelegationID(tx.Now().UnixMilli(), b.entropy()), StartsAt: a.Starts, EndsAt: a.Ends, Why: a.Why}
		if a.For > 0 {
			draft.EndsAt = later(a.Starts, tx.Now()).Add(a.For)
		}
		made, ev, err := access.Delegate(draft, from, to, has, b.DelegateFor, c.Actor, tx.Now())
		if err != nil {
			return err
		}
		d = made
		fx.event(ev)
		return tx.SaveDelegations(made)
	})
	return d, err
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// EndDelegation ends one before its time.
func (b *Broker) EndDelegation(ctx context.Context, c Caller, id string) (d access.Delegation, err error) {
	err = b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		none := access.Fail(access.NotFound, "no-such-delegation", "there is no such delegation, or it is not yours to see").Try("stint delegate list shows them")
		prefix := "dlg_" + strings.TrimPrefix(strings.ToUpper(id), "DLG_")
		found, err := tx.Delegations(access.DelegationQuery{Prefix: prefix, Limit: 2})
		switch {
		case err != nil:
			return err
		case len(found) == 0 || len(prefix) < len("dlg_")+6 || !c.sees(found[0]):
			return none
		case len(found) > 1:
			return access.Fail(access.Conflict, "ambiguous-id", "more than one delegation begins like this").Try("give more of the id")
		}
		by, err := tx.Principal(c.Principal.ID)
		if err != nil {
			return err
		}
		ended, ev, err := found[0].End(by, c.Actor, tx.Now())
		if err != nil {
			return err
		}
		d = ended
		fx.event(ev)
		return tx.SaveDelegations(ended)
	})
	return d, err
}

// sees reports whether a delegation concerns the caller.
func (c Caller) sees(d access.Delegation) bool {
	return c.Principal.Admin || c.Principal.Auditor || d.Principal == c.Principal.ID || d.To == c.Principal.ID
}

// Delegations lists those that are not over, newest first: the caller's own and those to
// the caller; all for administrators and auditors.
func (b *Broker) Delegations(ctx context.Context, c Caller) (ds []access.Delegation, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		all := access.DelegationQuery{Open: true, Limit: 1000}
		if c.Principal.Admin || c.Principal.Auditor {
			ds, err = tx.Delegations(all)
			return err
		}
		mine, given := all, all
		mine.Principal, given.To = c.Principal.ID, c.Principal.ID
		if ds, err = tx.Delegations(mine); err != nil {
			return err
		}
		more, err := tx.Delegations(given)
		ds = append(ds, more...)
		return err
	})
	return ds, err
}
