package broker

import (
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// sameWithin is how far back a yes to the same counts at all, and sameAmong among how
// many of the newest it is looked for.
const (
	sameWithin = 30 * 24 * time.Hour
	sameAmong  = 50
)

// held are the states of a grant in which its access may be there.
var held = []access.GrantState{access.Provisioning, access.Active, access.Ending}

// subject is what a question is about, where that is in the store already.
type subject struct {
	grant   access.GrantID
	request access.RequestID
}

// decide asks policy, with what policy looks at and only the store knows: all of it as
// this transaction sees it, so that two requests at the same time do not both find the
// last place free.
func (b *Broker) decide(tx Tx, fx *effects, set *policy.Set, a policy.Ask, p policy.Phase, of subject) (access.Decision, error) {
	a, err := b.known(tx, fx, set, a, p, of)
	if err != nil {
		return access.Decision{}, err
	}
	return set.Decide(a, p, tx.Now()), nil
}

// known finds out what the documents look at.
func (b *Broker) known(tx Tx, fx *effects, set *policy.Set, a policy.Ask, p policy.Phase, of subject) (policy.Ask, error) {
	a, err := answering(tx, a)
	if err != nil {
		return a, err
	}
	if a.Principal.ID.Kind() == access.Agent && a.Task == "" && p == policy.AtRequest {
		return a, access.NoTask(a.Principal.ID)
	}
	w := set.Wants(p)
	if w.Above && a.Principal.Manager != "" {
		m, err := tx.Principal(a.Principal.Manager)
		if err != nil && !missing(err) {
			return a, err
		}
		a.Above = m.Manager
	}
	if w.Tickets {
		a.Tickets = b.desk.Known(set, a)
	}
	if w.Holds {
		gs, err := holdings(tx, a.Principal.Person)
		if err != nil {
			return a, err
		}
		for _, g := range append(gs, fx.begun(a.Principal.Person)...) {
			if g.ID != of.grant {
				a.Holds = append(a.Holds, policy.Held{Grant: g.ID, Resource: g.Targets[0].Resource, Role: g.Role})
			}
		}
	}
	if w.Pending && p == policy.AtRequest {
		rs, err := tx.Requests(access.RequestQuery{Person: a.Principal.Person, States: []access.RequestState{access.RequestPending}, Limit: MaxPending})
		if err != nil {
			return a, err
		}
		for _, r := range append(rs, fx.asked(a.Principal.Person)...) {
			a.Pending = append(a.Pending, r.Role)
		}
	}
	if w.Same {
		if a.SinceSame, err = sinceSame(tx, set, a, of.request); err != nil {
			return a, err
		}
	}
	return a, nil
}

// holdings lists all that a person holds, however much: what was left out would exclude
// nothing, and would not count.
func holdings(tx Tx, p access.Person) (all []access.Grant, err error) {
	q := access.GrantQuery{Person: p, States: held, Limit: dueBatch}
	for {
		gs, err := tx.Grants(q)
		if err != nil {
			return nil, err
		}
		if all = append(all, gs...); len(gs) < q.Limit {
			return all, nil
		}
		q.Before = gs[len(gs)-1].ID
	}
}

// asked are the person's undecided requests that this transaction makes.
func (fx *effects) asked(p access.Person) (rs []access.Request) {
	for _, r := range fx.reqs.newest() {
		if r.Person == p && r.State == access.RequestPending && r.Version == 1 {
			rs = append(rs, r)
		}
	}
	return rs
}

// begun are the person's grants that this transaction begins.
func (fx *effects) begun(p access.Person) (gs []access.Grant) {
	for _, g := range fx.grants.newest() {
		if g.Person == p && g.State == access.Provisioning {
			gs = append(gs, g)
		}
	}
	return gs
}

// sinceSame is how long ago somebody last said yes to the same for the same principal, for
// a yes to a person is none to their programs; but a no to any of them counts:
// this role on this target, as long or longer, with all its rights. It is 0 where
// nobody did, where the last word on it was a no, and where the access was then taken
// away again. What policy allowed by itself is nobody's yes, or one would lead to the
// next for ever.
func sinceSame(tx Tx, set *policy.Set, a policy.Ask, but access.RequestID) (time.Duration, error) {
	got, err := set.Resolve(a)
	if err != nil {
		return 0, nil // there is nothing to decide
	}
	rs, err := tx.Requests(access.RequestQuery{Person: a.Principal.Person, Resource: a.Resource, Role: a.Role, Limit: sameAmong,
		States: []access.RequestState{access.RequestIsGranted, access.RequestIsDenied}})
	if err != nil {
		return 0, err
	}
	for _, r := range rs {
		since := tx.Now().Sub(r.DecidedAt)
		switch {
		case r.ID == but || len(r.Approvals) == 0 || r.Extends != "":
			continue
		case r.State == access.RequestIsDenied || since > sameWithin:
			return 0, nil
		}
		g, err := tx.Grant(r.Grant)
		switch {
		case missing(err):
			continue
		case err != nil:
			return 0, err
		case g.EndReason == access.ByPerson || g.EndReason == access.ByPolicy:
			return 0, nil
		}
		d, rights := r.Granted()
		same := r.Principal == a.Principal.ID && len(r.Targets) == 1 && r.Targets[0].Account == got.Target.Account && r.Targets[0].Connection.Equal(got.Target.Connection)
		if same && d >= a.Duration && got.Permissions.Within(rights) {
			return max(since, time.Millisecond), nil
		}
	}
	return 0, nil
}
