package main

import (
	"context"
	"crypto/rand"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
	"stint/internal/store"
)

// fillBatch is how many grants share a transaction.
const fillBatch = 1000

// fill adds n active grants that end at the moment end, over the places from
// first to last, without asking the broker for each: it repeats what the core
// and the store do for a request, with the core and the store themselves. With
// accounts, what they made is on the targets, too.
func (h *house) fill(ctx context.Context, n, first, last int, end time.Time, accounts bool) error {
	set, err := h.broker.Documents(ctx)
	if err != nil {
		return err
	}
	place := first
	for n > 0 && ctx.Err() == nil {
		some := min(n, fillBatch)
		n -= some
		if err := h.store.Update(ctx, func(tx *store.Tx) error {
			var b bulk
			for range some {
				if err := h.one(tx, set, &b, place, end, accounts); err != nil {
					return err
				}
				if place++; place > last {
					place = first
				}
			}
			return b.save(tx)
		}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// bulk is what a transaction of fill writes: what is new, then what became of it.
type bulk struct {
	rs         []access.Request
	gs, active []access.Grant
	es, there  []access.Entitlement
	hs         []access.Hold
	evs        []access.Event
}

func (h *house) one(tx *store.Tx, set *policy.Set, b *bulk, place int, end time.Time, accounts bool) error {
	now := tx.Now()
	c := h.caller(1 + place%(people-1))
	ask := policy.Ask{Principal: c.Principal, Resource: access.ResourceName(h.names[place]), Role: "user", Duration: end.Sub(now), Reason: "measure", Source: c.Source}
	got, err := set.Resolve(ask)
	if err != nil {
		return err
	}
	draft := access.Request{ID: access.NewRequestID(now.UnixMilli(), entropy()), Principal: c.Principal.ID, Person: c.Principal.Person,
		Device: c.Source.Device, SealKey: c.SealKey, Source: c.Source, Targets: []access.Target{got.Target}, Role: "user",
		Permissions: got.Permissions, Endings: got.Endings, Clock: got.Clock, Duration: end.Sub(now), Reason: "measure", Documents: set.Version()}
	_, _ = rand.Read(draft.Nonce[:]) // never fails
	r, asked, err := access.Submit(draft, c.Actor, set.Decide(ask, policy.AtRequest, now), now)
	if err != nil {
		return err
	}
	r, g, made, err := r.NewGrant(access.NewGrantID(now.UnixMilli(), entropy()), now)
	if err != nil {
		return err
	}
	planned := g.Plan()[0]
	at := planned.Target.Connection
	id := access.NewEntitlementID(now.UnixMilli(), entropy())
	e, hold, intended := planned.Intend(id, access.Tag(h.tagger.Tag(installation, string(at.Place()), 1, string(id))), 1, g, now)
	there, present, err := e.Confirm(1, account(string(e.Tag)), account(string(e.Tag)), now)
	if err != nil {
		return err
	}
	active, activated, err := g.Activate(now)
	if err != nil {
		return err
	}
	if accounts {
		h.world.add(at.Address, account(string(e.Tag)))
	}
	b.rs, b.gs, b.es, b.hs = append(b.rs, r), append(b.gs, g), append(b.es, e), append(b.hs, hold)
	b.active, b.there = append(b.active, active), append(b.there, there)
	b.evs = append(b.evs, asked, made, intended, present, activated)
	return nil
}

func (b *bulk) save(tx *store.Tx) error {
	for _, do := range []func() error{
		func() error { return tx.SaveRequests(b.rs...) },
		func() error { return tx.SaveGrants(b.gs...) },
		func() error { return tx.SaveEntitlements(b.es...) },
		func() error { return tx.SaveHolds(b.hs...) },
		func() error { return tx.SaveEntitlements(b.there...) },
		func() error { return tx.SaveGrants(b.active...) },
		func() error { return tx.Append(b.evs...) },
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

func entropy() (e access.Entropy) {
	_, _ = rand.Read(e[:]) // never fails
	return e
}
