package broker

import (
	"context"
	"fmt"
	"io"
	"time"

	"stint/internal/access"
	"stint/internal/approvers"
	"stint/internal/moment"
	"stint/internal/policy"
)

// MaxPending is how many undecided requests one person may have at a time.
const MaxPending = 20

// Ask is what a caller asks for.
type Ask struct {
	Resource access.ResourceName
	Role     access.RoleName
	Duration time.Duration
	Start    time.Time // zero: as soon as allowed
	Reason   string
	Ticket   string
	Task     access.TaskID // of an agent
	// Emergency is set by BreakGlass alone.
	Emergency access.Emergency
	// Key makes the call idempotent, Body is the digest of what was sent with it.
	Key  string
	Body access.Digest
}

func (a Ask) policy(p access.Principal, src access.Source) policy.Ask {
	return policy.Ask{Principal: p, Resource: a.Resource, Role: a.Role, Duration: a.Duration, Start: a.Start,
		Reason: a.Reason, Ticket: a.Ticket, Source: src, Emergency: a.Emergency.Is(), Task: a.Task}
}

// Submit asks policy and records the request with its decision. What is allowed
// at once gets its grant in the same transaction, and its access is on its way
// when Submit returns.
func (b *Broker) Submit(ctx context.Context, c Caller, a Ask) (View, error) {
	if err := b.sealable(c); err != nil {
		return View{}, err
	}
	if c.Glass != nil {
		return View{}, errGlassOnly
	}
	_ = b.readTickets(ctx, a.policy(c.Principal, c.Source)) // what could not be read, the decision says
	return b.submit(ctx, c, a, func(tx Tx, fx *effects, set *policy.Set, p access.Principal) (access.Request, access.Decision, error) {
		ask := a.policy(p, c.Source)
		got, err := set.Resolve(ask)
		if err != nil {
			return access.Request{}, access.Decision{}, err
		}
		d, err := b.decide(tx, fx, set, ask, policy.AtRequest, subject{})
		return access.Request{
			Targets: []access.Target{got.Target}, Role: a.Role, Permissions: got.Permissions, Endings: got.Endings, Clock: got.Clock,
			Duration: a.Duration, Start: a.Start, Ticket: a.Ticket, Task: a.Task,
		}, d, err
	})
}

// sealable refuses a key to which nothing can be sealed: it would show when the access is
// there, and with a shared account keep its other holders from what is sealed to them.
func (b *Broker) sealable(c Caller) error {
	if _, err := b.SealTo(c.SealKey, "stint key check", nil); err != nil {
		return access.Fail(access.Invalid, "bad-seal-key", "nothing can be sealed to this device's key").Try("sign in again with stint login").Wrap(err)
	}
	return nil
}

// Extend asks for more time on a live grant. Policy decides over the whole time
// the grant would then have had, so that extensions cannot add up past a cap.
func (b *Broker) Extend(ctx context.Context, c Caller, id string, a Ask) (View, error) {
	b.extensionTickets(ctx, c, id, a)
	return b.submit(ctx, c, a, func(tx Tx, fx *effects, set *policy.Set, p access.Principal) (access.Request, access.Decision, error) {
		orig, err := b.find(tx, c, id)
		if err != nil {
			return access.Request{}, access.Decision{}, err
		}
		g, err := tx.Grant(orig.Grant)
		switch {
		case missing(err):
			return access.Request{}, access.Decision{}, access.Fail(access.Conflict, "not-active", "there is no grant to extend yet")
		case err != nil:
			return access.Request{}, access.Decision{}, err
		case g.Principal != c.Principal.ID:
			return access.Request{}, access.Decision{}, access.Fail(access.Denied, "not-yours", "only its holder can extend a grant")
		case g.State != access.Active || !tx.Now().Before(g.ExpiresAt):
			return access.Request{}, access.Decision{}, access.Fail(access.Conflict, "not-active", "the grant is "+string(g.State)+" and cannot be extended").
				Try("ask anew with: stint request " + string(g.Targets[0].Resource) + " --as " + string(g.Role))
		case g.Renewable() != nil:
			return access.Request{}, access.Decision{}, g.Renewable()
		case a.Duration <= 0:
			return access.Request{}, access.Decision{}, access.Fail(access.Invalid, "bad-duration", "the duration must be positive")
		case a.Duration > access.MaxDuration:
			return access.Request{}, access.Decision{}, access.Fail(access.Invalid, "bad-duration", "no grant lasts longer than "+moment.Span(access.MaxDuration))
		}
		if a.Ticket == "" {
			a.Ticket = g.Ticket
		}
		a.Task = orig.Task
		whole := a
		whole.Resource, whole.Role = g.Targets[0].Resource, g.Role
		whole.Duration = g.ExpiresAt.Add(a.Duration).Sub(g.ActiveAt).Truncate(time.Millisecond)
		more, err := extensionOf(tx, g, a.Duration)
		if err != nil {
			return access.Request{}, access.Decision{}, err
		}
		ask := whole.policy(p, c.Source)
		ask.Extension = more
		d, err := b.decide(tx, fx, set, ask, policy.AtRequest, subject{g.ID, g.Request})
		return access.Request{
			Targets: g.Targets, Role: g.Role, Permissions: g.Permissions, Endings: g.Endings, Clock: g.Clock,
			Duration: a.Duration, Extends: g.ID, Ticket: a.Ticket, Task: a.Task,
		}, d, err
	})
}

// submit is what requests and extensions share: who asks, idempotency, limits,
// and what follows from the decision.
func (b *Broker) submit(ctx context.Context, c Caller, a Ask, resolve func(Tx, *effects, *policy.Set, access.Principal) (access.Request, access.Decision, error)) (v View, err error) {
	err = b.approvers.Ask(ctx, func(who approvers.Known) (err error) {
		v, err = b.submitOnce(ctx, c, a, resolve, who)
		return err
	})
	return v, err
}

func (b *Broker) submitOnce(ctx context.Context, c Caller, a Ask, resolve func(Tx, *effects, *policy.Set, access.Principal) (access.Request, access.Decision, error), who approvers.Known) (View, error) {
	var v View
	err := b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		v = View{}
		if known, err := b.recall(tx, c, a); err != nil || known != "" {
			if err == nil {
				var r access.Request
				if r, err = tx.Request(access.RequestID(known)); err == nil {
					v, err = view(tx, r)
				}
			}
			if v.Grant != nil { // what the caller is told counts here too, although the first answer was lost
				fx.met = append(fx.met, *v.Grant)
			}
			return err
		}
		if err := b.open(tx); err != nil {
			return err
		}
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		p, err := b.asker(tx, set, c, a.Emergency)
		if err != nil {
			return err
		}
		draft, d, err := resolve(tx, fx, set, p)
		if err != nil {
			return err
		}
		if err := b.fill(tx, c, p, set, &draft, a.Reason); err != nil {
			return err
		}
		r, err := b.record(tx, fx, c, p, set, draft, d, who)
		if err != nil {
			return err
		}
		if a.Key != "" {
			if err := tx.Remember(access.Remembered{Principal: p.ID, Key: a.Key, Body: a.Body, Result: string(r.ID), At: tx.Now()}); err != nil {
				return err
			}
		}
		v = fx.view(tx, r)
		return nil
	})
	if err != nil {
		return View{}, err
	}
	return v, nil
}

// asker is the caller as they are now, if they may ask for something new.
func (b *Broker) asker(tx Tx, set *policy.Set, c Caller, e access.Emergency) (access.Principal, error) {
	p, err := tx.Principal(c.Principal.ID)
	if err == nil {
		err = p.Usable(tx.Now())
	}
	if err == nil && !e.Is() {
		err = b.fresh(tx, set, p)
	}
	return p, err
}

// fill puts into a draft who asks, from where, why, under which documents, and what
// makes it differ from every other one.
func (b *Broker) fill(tx Tx, c Caller, p access.Principal, set *policy.Set, draft *access.Request, reason string) error {
	draft.ID = access.NewRequestID(tx.Now().UnixMilli(), b.entropy())
	draft.Principal, draft.Person, draft.Device, draft.SealKey, draft.Source = p.ID, p.Person, c.Source.Device, c.SealKey, c.Source
	draft.Reason, draft.Documents = reason, set.Version()
	if _, err := io.ReadFull(b.Rand, draft.Nonce[:]); err != nil {
		return access.Fail(access.Internal, "no-randomness", "no randomness").Wrap(err)
	}
	return nil
}

// record makes a request of a draft with its decision. What is allowed at once is
// carried out.
func (b *Broker) record(tx Tx, fx *effects, c Caller, p access.Principal, set *policy.Set, draft access.Request, d access.Decision, who approvers.Known) (access.Request, error) {
	r, ev, err := access.Submit(draft, c.Actor, d, tx.Now())
	if err != nil {
		return r, err
	}
	if r, err = b.withinParty(tx, fx, r, p, c.Actor); err != nil {
		return r, err
	}
	if r.State == access.RequestPending || r.State == access.RequestIsGranted {
		if err := b.underCeilings(tx, r); err != nil {
			return r, err
		}
	}
	if r.State == access.RequestPending {
		if err := pendingRoom(tx, r.Person); err != nil {
			return r, err
		}
		if err := who.Answerable(r, set, tx.Now()); err != nil {
			return r, err
		}
	}
	fx.event(ev)
	fx.request(r)
	if r.State != access.RequestIsGranted {
		return r, nil
	}
	if r, err = b.carryOut(tx, fx, r, set, false); err != nil {
		return r, err
	}
	if r.Emergency.Is() {
		return r, b.opened(tx, fx, c, r, set)
	}
	return r, nil
}

// recall finds the request that an earlier call with the same key made.
func (b *Broker) recall(tx Tx, c Caller, a Ask) (string, error) {
	if a.Key == "" {
		return "", nil
	}
	m, err := tx.Recall(c.Principal.ID, a.Key)
	switch {
	case missing(err):
		return "", nil
	case err != nil:
		return "", err
	case m.Body != a.Body:
		return "", access.Fail(access.Conflict, "key-reused", "the idempotency key was used for another call").Try("use a fresh key for each new request")
	}
	return m.Result, nil
}

func pendingRoom(tx Tx, p access.Person) error {
	rs, err := tx.Requests(access.RequestQuery{Person: p, States: []access.RequestState{access.RequestPending}, Limit: MaxPending})
	if err != nil {
		return err
	}
	if len(rs) >= MaxPending {
		return access.Fail(access.TooMany, "too-many-pending", fmt.Sprintf("you have %d undecided requests already", len(rs))).
			Try("wait for an answer, or withdraw one with: stint cancel " + string(rs[0].ID))
	}
	return nil
}
