package broker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// View is a request with what became of it.
type View struct {
	Request access.Request
	Grant   *access.Grant    // nil until there is one
	Have    []int            // approvals so far, for each requirement
	Problem string           // what stands in the way of setting up or removing; public
	Residue []access.Residue // what the grant left behind, for each place, once it has ended
	Now     time.Time
}

// View shows the request that a full or partial id names, or that of its grant.
func (b *Broker) View(ctx context.Context, c Caller, id string) (v View, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		r, err := b.find(tx, c, id)
		if err != nil {
			return err
		}
		v, err = view(tx, r)
		return err
	})
	return v, err
}

// find resolves an id to a request that the caller may see.
func (b *Broker) find(tx Tx, c Caller, id string) (access.Request, error) {
	var err error
	rid := access.RequestID(id)
	if !strings.HasPrefix(id, "req_") || len(id) != wholeID {
		rid, err = tx.FindRequest(id)
	}
	var r access.Request
	if err == nil {
		r, err = tx.Request(rid)
	}
	if missing(err) {
		err = errNotFound // in the same words as for what is not theirs
	}
	if err != nil {
		return access.Request{}, err
	}
	if c.maySee(r) {
		return r, nil
	}
	// Only for owners, for who is on call and for delegates more has to be found out.
	set := b.documentsOrNone(tx)
	if c.Principal, err = b.as(tx, set, c.Principal); err != nil {
		return access.Request{}, err
	}
	if !c.maySee(r) && !c.ownsAll(set, r.Targets) {
		return access.Request{}, errNotFound
	}
	return r, nil
}

func view(tx Tx, r access.Request) (View, error) {
	vs, err := views(tx, []access.Request{r})
	if err != nil {
		return View{Request: r, Have: r.Have(), Now: tx.Now()}, err
	}
	return vs[0], nil
}

func entitlementIDs(hs []access.Hold) []access.EntitlementID {
	ids := make([]access.EntitlementID, 0, len(hs))
	for _, h := range hs {
		ids = append(ids, h.Entitlement)
	}
	return ids
}

// Requests lists requests, newest first. Members see their own.
func (b *Broker) Requests(ctx context.Context, c Caller, q access.RequestQuery) (vs []View, err error) {
	if !c.Principal.Admin && !c.Principal.Auditor {
		q.Principal, q.Person = c.Principal.ID, ""
	}
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		vs = nil
		rs, err := tx.Requests(q)
		if err != nil {
			return err
		}
		vs, err = views(tx, rs)
		return err
	})
	return c.only(vs), err
}

// views are requests with what became of them, by as many questions to the store for a
// thousand as for one.
func views(tx Tx, rs []access.Request) ([]View, error) {
	var ids []access.GrantID
	for _, r := range rs {
		if r.Grant != "" {
			ids = append(ids, r.Grant)
		}
	}
	known, err := byKey(ids, tx.GrantsOf, tx.Grant, func(g access.Grant) access.GrantID { return g.ID })
	if err != nil {
		return nil, err
	}
	vs := make([]View, 0, len(rs))
	for _, r := range rs {
		v := View{Request: r, Have: r.Have(), Now: tx.Now()}
		if g, ok := known[r.Grant]; ok {
			v.Grant, v.Problem = &g, g.SetupError
		}
		vs = append(vs, v)
	}
	return vs, outcomes(tx, vs)
}

// byKey finds all that have the ids. One that the list leaves out, since it cannot be read, is
// asked for by itself, which says what is wrong.
func byKey[T any, ID comparable](ids []ID, list func(...ID) ([]T, error), one func(ID) (T, error), key func(T) ID) (map[ID]T, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := list(ids...)
	if err != nil {
		return nil, err
	}
	all := make(map[ID]T, len(ids))
	for _, x := range found {
		all[key(x)] = x
	}
	for _, id := range ids {
		if _, ok := all[id]; ok {
			continue
		}
		if all[id], err = one(id); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// outcomes adds what is left of those that ended, and what is the matter with those on their way.
func outcomes(tx Tx, vs []View) error {
	var ended, going []access.GrantID
	for _, v := range vs {
		switch {
		case v.Grant == nil:
		case v.Grant.State == access.Ended:
			ended = append(ended, v.Grant.ID)
		case v.Grant.State == access.Provisioning || v.Grant.State == access.Ending:
			going = append(going, v.Grant.ID)
		}
	}
	left := map[access.GrantID][]access.Residue{}
	if len(ended) > 0 {
		all, err := tx.ResiduesOf(ended...)
		if err != nil {
			return err
		}
		for _, x := range all {
			left[x.Grant] = append(left[x.Grant], x)
		}
	}
	troubles := map[access.GrantID]string{}
	if len(going) > 0 {
		hs, err := tx.HoldsBy(going...)
		if err != nil {
			return err
		}
		es, err := tx.EntitlementsOf(entitlementIDs(hs)...)
		if err != nil {
			return err
		}
		said := map[access.EntitlementID]string{}
		for _, e := range es {
			said[e.ID] = e.LastError
		}
		for _, h := range hs {
			troubles[h.Grant] = cmp.Or(said[h.Entitlement], troubles[h.Grant])
		}
	}
	for i := range vs {
		if g := vs[i].Grant; g != nil {
			vs[i].Residue, vs[i].Problem = left[g.ID], cmp.Or(troubles[g.ID], vs[i].Problem)
		}
	}
	return nil
}

// Grants lists grants, newest first, with their requests. Members see their own;
// the owner of the resource that q names sees all of that resource.
func (b *Broker) Grants(ctx context.Context, c Caller, q access.GrantQuery) (vs []View, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		vs = nil
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		if !c.Principal.Admin && !c.Principal.Auditor && (q.Resource == "" || !c.owns(set, q.Resource)) {
			q.Principal, q.Person = c.Principal.ID, ""
		}
		gs, err := tx.Grants(q)
		if err != nil {
			return err
		}
		vs, err = grantViews(tx, gs)
		return err
	})
	return c.only(vs), err
}

// grantViews are grants with their requests.
func grantViews(tx Tx, gs []access.Grant) ([]View, error) {
	ids := make([]access.RequestID, 0, len(gs))
	for _, g := range gs {
		ids = append(ids, g.Request)
	}
	known, err := byKey(ids, tx.RequestsOf, tx.Request, func(r access.Request) access.RequestID { return r.ID })
	if err != nil {
		return nil, err
	}
	vs := make([]View, 0, len(gs))
	for _, g := range gs {
		r := known[g.Request]
		vs = append(vs, View{Request: r, Grant: &g, Have: r.Have(), Now: tx.Now(), Problem: g.SetupError})
	}
	return vs, outcomes(tx, vs)
}

// only leaves out what a login by one-time codes did not open itself.
func (c Caller) only(vs []View) []View {
	if c.Glass == nil {
		return vs
	}
	return slices.DeleteFunc(vs, func(v View) bool { return !c.opened(v.Request) })
}

// WhoHas lists the live grants on a resource; for administrators, auditors and
// the resource's owners.
func (b *Broker) WhoHas(ctx context.Context, c Caller, resource access.ResourceName) (vs []View, err error) {
	set, err := b.Documents(ctx)
	if err != nil {
		return nil, err
	}
	if _, ok := set.Resource(resource); !ok {
		return nil, noResource(set, resource)
	}
	if !c.Principal.Admin && !c.Principal.Auditor && !c.owns(set, resource) {
		return nil, access.Fail(access.Denied, "not-yours", "who holds access to "+string(resource)+" is for its owners, administrators and auditors")
	}
	q := access.GrantQuery{Resource: resource, States: []access.GrantState{access.Scheduled, access.Provisioning, access.Active, access.Ending}, Limit: 1000}
	for {
		page, err := b.Grants(ctx, c, q)
		if err != nil {
			return nil, err
		}
		vs = append(vs, page...)
		if len(page) < q.Limit {
			return vs, nil
		}
		q.Before = page[len(page)-1].Grant.ID
	}
}

// missing reports whether err says that something does not exist.
func missing(err error) bool { return errors.Is(err, access.NotFound) }
