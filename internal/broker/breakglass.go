package broker

import (
	"context"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// Break-glass access is a request like others with three differences: a policy that is
// for nothing else decides it, at once; everybody who owns what it is about hears of it;
// and a review opens with it that another person has to close. All of it is in the
// transaction that makes the grant: without the alarm in the log there is no access. It
// asks nothing outside of the store, so nothing outside keeps it from working. What an
// administrator stopped stays stopped, and what is in doubt (time, data, the log) stays
// refused: an emergency is no reason to grant what nobody could end or prove. RFD 22.

// Glass is what somebody asks for who breaks it.
type Glass struct {
	Resource access.ResourceName
	Role     access.RoleName // empty: the one there is
	Duration time.Duration   // 0: the longest there is
	Reason   string
	Drill    bool
	// Key makes the call idempotent, Body is the digest of what was sent with it.
	Key  string
	Body access.Digest
}

// BreakGlass asks for break-glass access. What policy does not allow is recorded as a
// denied request.
func (b *Broker) BreakGlass(ctx context.Context, c Caller, g Glass) (View, error) {
	if c.Principal.ID.Kind() != access.User {
		return View{}, c.Principal.MayBreakGlass()
	}
	if err := b.sealable(c); err != nil {
		return View{}, err
	}
	if err := c.mayOpen(g.Resource); err != nil {
		return View{}, err
	}
	a := Ask{Resource: g.Resource, Role: g.Role, Duration: g.Duration, Reason: g.Reason, Emergency: access.BreakGlass, Key: g.Key, Body: g.Body}
	if g.Drill {
		a.Emergency = access.Drill
	}
	return b.submit(ctx, c, a, func(tx Tx, fx *effects, set *policy.Set, p access.Principal) (access.Request, access.Decision, error) {
		whole, err := complete(set, a, p, c.Source, tx.Now())
		if err != nil {
			return access.Request{}, access.Decision{}, err
		}
		ask := whole.policy(p, c.Source)
		got, err := set.Resolve(ask)
		if err != nil {
			return access.Request{}, access.Decision{}, err
		}
		d, err := b.decide(tx, fx, set, ask, policy.AtRequest, subject{})
		return access.Request{
			Targets: []access.Target{got.Target}, Role: whole.Role, Permissions: got.Permissions, Endings: got.Endings, Clock: got.Clock,
			Duration: whole.Duration, Emergency: whole.Emergency,
		}, d, err
	})
}

// drillFor is how long the access of a drill lasts at most, where nobody says: it is given
// back at once, unless who drills is cut off.
const drillFor = 5 * time.Minute

// complete fills in what somebody in a hurry left out: the role where there is but one,
// and the longest duration. Where nothing is open to them it names what they would have
// asked for, so that the denied attempt is on record.
func complete(set *policy.Set, a Ask, p access.Principal, src access.Source, now time.Time) (Ask, error) {
	res, ok := set.Resource(a.Resource)
	if !ok {
		_, err := set.Resolve(a.policy(p, src)) // says which there are
		return a, err
	}
	open := set.Emergencies(a.policy(p, src), now)
	switch {
	case a.Role != "":
	case len(open) == 1:
		a.Role = open[0].Role
	case len(open) > 1:
		var names []string
		for _, o := range open {
			names = append(names, string(o.Role))
		}
		return a, access.Fail(access.Invalid, "which-role", "there is more than one role that you can break glass for on "+string(a.Resource)).
			Because(strings.Join(names, ", ")).Try("say which with --as")
	default:
		for _, r := range set.Roles() {
			if r.Covers(&res) {
				a.Role = r.Name
				break
			}
		}
		if a.Role == "" {
			return a, access.Fail(access.NotFound, "no-role", "there is no role on "+string(a.Resource)).
				Try("stint get roles lists the roles; stint who-can " + string(a.Resource) + " says who may have which")
		}
	}
	if a.Duration != 0 {
		return a, nil
	}
	a.Duration = access.MaxEmergency
	if a.Emergency == access.Drill {
		a.Duration = drillFor
	}
	for _, o := range open {
		if o.Role == a.Role {
			a.Duration = min(a.Duration, o.Duration)
		}
	}
	return a, nil
}

// opened opens the review of break-glass access that was just granted, and raises the
// alarm, in the transaction that grants it.
func (b *Broker) opened(tx Tx, fx *effects, c Caller, r access.Request, set *policy.Set) error {
	g, ok := fx.grants.get(r.Grant)
	if !ok {
		return access.Fail(access.Internal, "no-grant", "break-glass access was granted without a grant")
	}
	o := access.Opening{Within: b.ReviewWithin}
	if res, ok := set.Resource(r.Targets[0].Resource); ok {
		o.Owners = res.Owners
	}
	if c.Glass != nil {
		o.Codes, o.Openers = c.Glass.Codes, c.Glass.Persons
	}
	var err error
	if o.Overdue, err = overdueOf(tx, r.Person); err != nil {
		return err
	}
	v, ev, err := access.OpenReview(access.NewReviewID(tx.Now().UnixMilli(), b.entropy()), r, g, o, c.Actor, tx.Now())
	if err != nil {
		return err
	}
	fx.reviews = append(fx.reviews, v)
	fx.event(ev)
	return nil
}

// GlassFor lists what the caller could break glass for instead of the request, which was
// refused to them; first the role that they asked for. Nothing for others, and for what
// was an emergency already.
func (b *Broker) GlassFor(ctx context.Context, c Caller, r access.Request) (open []policy.Offer, err error) {
	if r.Principal != c.Principal.ID || r.Emergency.Is() || len(r.Targets) != 1 || c.Glass != nil {
		return nil, nil
	}
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		open = nil
		p, err := tx.Principal(c.Principal.ID)
		if err != nil {
			return err
		}
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		a := policy.Ask{Principal: p, Resource: r.Targets[0].Resource, Source: c.Source}
		for _, o := range set.Emergencies(a, tx.Now()) {
			if o.Role == r.Role {
				open = append([]policy.Offer{o}, open...)
			} else {
				open = append(open, o)
			}
		}
		return nil
	})
	return open, err
}

// PreviewGlass explains how break-glass access would be decided, and as what it would be
// asked for, without asking.
func (b *Broker) PreviewGlass(ctx context.Context, c Caller, g Glass) (a Ask, x Preview, err error) {
	if err := c.mayOpen(g.Resource); err != nil {
		return a, x, err
	}
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		p, err := tx.Principal(c.Principal.ID)
		if err != nil {
			return err
		}
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		a, err = complete(set, Ask{Resource: g.Resource, Role: g.Role, Duration: g.Duration, Reason: g.Reason, Emergency: access.BreakGlass}, p, c.Source, tx.Now())
		if err != nil {
			return err
		}
		ask := a.policy(p, c.Source)
		if _, err := set.Resolve(ask); err != nil {
			return err
		}
		if ask, err = b.known(tx, &effects{}, set, ask, policy.AtRequest, subject{}); err != nil {
			return err
		}
		x = Preview{Explanation: set.Explain(ask, tx.Now())} // which asks nobody
		return nil
	})
	return a, x, err
}

// mayOpen refuses a login by one-time codes that are for another resource.
func (c Caller) mayOpen(name access.ResourceName) error {
	if c.Glass == nil || c.Glass.Resource == "" || c.Glass.Resource == name {
		return nil
	}
	return access.Fail(access.Denied, "other-resource", "the codes are for "+string(c.Glass.Resource)+" alone").Because("they were made so").
		Try("use a code for " + string(name) + ", or one for every resource")
}

// opened reports whether a login by one-time codes made the request, on the device that
// it is bound to. Such a login sees nothing else.
func (c Caller) opened(r access.Request) bool {
	return r.Principal == c.Principal.ID && r.Emergency.Is() && r.Device == c.Source.Device
}
