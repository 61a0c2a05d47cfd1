//go:build unix

package store_test

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/store"
)

// ask is a draft with good defaults that a test bends in one line.
func ask(now time.Time, bend ...func(*access.Request)) access.Request {
	r := access.Request{
		ID: access.NewRequestID(now.UnixMilli(), entropy()), Principal: "user:mira", Person: "mira", Device: "device-1",
		SealKey: []byte("0123456789abcdef0123456789abcdef"),
		Source:  access.Source{IP: netip.MustParseAddr("127.0.0.1"), Device: "device-1"},
		Targets: []access.Target{target("orders-db")}, Role: "reader",
		Permissions: access.Permissions{Mechanism: access.Account, Rights: []string{"orders_read"}, Options: map[string]string{"scramIterations": "4096"}},
		Endings:     access.Endings{}, Clock: access.FromEffective, Duration: time.Hour, Reason: "look into INC-1 — “orders”", Ticket: "INC-1", Documents: 3,
	}
	_, _ = rand.Read(r.Nonce[:])
	for _, b := range bend {
		b(&r)
	}
	return r
}

func target(name string) access.Target {
	return access.Target{Resource: access.ResourceName(name), Criticality: access.High,
		Connection: access.Connection{Type: "postgres", Address: "db1:5432", Credential: "orders", Options: map[string]string{"database": name}}}
}

var (
	allow   = access.Decision{Effect: access.Allow, Policy: "orders-read", Documents: 3, MaxDuration: 8 * time.Hour, Reasons: []access.Reason{{Policy: "orders-read", Source: "policy.yaml:31", Text: "all platform people may read"}}}
	approve = access.Decision{Effect: access.Approve, Policy: "orders-read", Documents: 3, MaxDuration: 8 * time.Hour, Conditional: true, Approvals: []access.Requirement{{From: []access.Subject{"group:dba"}, Count: 1}}}
	asker   = access.Actor{Principal: "user:mira", Person: "mira", Device: "device-1", Address: netip.MustParseAddr("127.0.0.1")}
	dba     = access.Principal{ID: "user:olga", Person: "olga", Groups: []access.Group{"dba"}, Version: 1}
)

// submit saves a new request with its event.
func submit(tx *store.Tx, d access.Decision, bend ...func(*access.Request)) (access.Request, error) {
	r, ev, err := access.Submit(ask(tx.Now(), bend...), asker, d, tx.Now())
	if err != nil {
		return r, err
	}
	if err := tx.SaveRequests(r); err != nil {
		return r, err
	}
	return r, tx.Append(ev)
}

// bundle is a grant with all that belongs to it.
type bundle struct {
	r  access.Request
	g  access.Grant
	es []access.Entitlement
	hs []access.Hold
}

// newBundle makes, without saving, the grant of a request that policy allows.
func newBundle(now time.Time, bend ...func(*access.Request)) (b bundle, evs []access.Event, err error) {
	r, ev, err := access.Submit(ask(now, bend...), asker, allow, now)
	if err != nil {
		return b, nil, err
	}
	evs = append(evs, ev)
	r, g, ev, err := r.NewGrant(access.NewGrantID(now.UnixMilli(), entropy()), now)
	if err != nil {
		return b, nil, err
	}
	evs = append(evs, ev)
	b.r, b.g = r, g
	for _, e := range g.Plan() {
		e, h, ev := e.Intend(access.NewEntitlementID(now.UnixMilli(), entropy()), "tag", 1, g, now)
		b.es, b.hs, evs = append(b.es, e), append(b.hs, h), append(evs, ev)
	}
	return b, evs, nil
}

// saveBundle is the hot path's first transaction: request, grant, intent, lease.
func saveBundle(tx *store.Tx, owner string, bs []bundle, evs []access.Event) error {
	var rs []access.Request
	var gs []access.Grant
	var es []access.Entitlement
	var hs []access.Hold
	var ids []access.EntitlementID
	for _, b := range bs {
		rs, gs, es, hs = append(rs, b.r), append(gs, b.g), append(es, b.es...), append(hs, b.hs...)
		for _, e := range b.es {
			ids = append(ids, e.ID)
		}
	}
	for _, step := range []func() error{
		func() error { return tx.SaveRequests(rs...) },
		func() error { return tx.SaveGrants(gs...) },
		func() error { return tx.SaveEntitlements(es...) },
		func() error { return tx.SaveHolds(hs...) },
		func() error {
			if owner == "" {
				return nil
			}
			return tx.Lease(owner, tx.Now().Add(time.Minute), ids...)
		},
		func() error { return tx.Append(evs...) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// grant saves one new grant of a request that policy allows.
func grant(tb testing.TB, s *store.Store, owner string, bend ...func(*access.Request)) (b bundle) {
	tb.Helper()
	update(tb, s, func(tx *store.Tx) error {
		var evs []access.Event
		var err error
		if b, evs, err = newBundle(tx.Now(), bend...); err != nil {
			return err
		}
		return saveBundle(tx, owner, []bundle{b}, evs)
	})
	return b
}

// activate is the hot path's second transaction.
func activate(tx *store.Tx, owner string, b bundle) (bundle, error) {
	var evs []access.Event
	var ids []access.EntitlementID
	var sealed []access.Sealed
	for i, e := range b.es {
		e, ev, err := e.Confirm(e.Rev, "stint_mira_1", fmt.Sprint("oid:", 16384+i), tx.Now())
		if err != nil {
			return b, err
		}
		b.es[i], evs, ids = e, append(evs, ev), append(ids, e.ID)
		sealed = append(sealed, access.Sealed{Grant: b.g.ID, Entitlement: e.ID, Resource: e.Target.Resource, Rev: e.Rev, Blob: []byte("ciphertext"), At: tx.Now()})
	}
	g, ev, err := b.g.Activate(tx.Now())
	if err != nil {
		return b, err
	}
	b.g = g
	if err := tx.SaveEntitlements(b.es...); err != nil {
		return b, err
	}
	if err := tx.SaveGrants(g); err != nil {
		return b, err
	}
	if err := tx.SaveSealed(sealed...); err != nil {
		return b, err
	}
	if err := tx.Unlease(owner, ids...); err != nil {
		return b, err
	}
	return b, tx.Append(append(evs, ev)...)
}

// active saves one grant and activates it.
func active(tb testing.TB, s *store.Store, bend ...func(*access.Request)) (b bundle) {
	tb.Helper()
	made := grant(tb, s, "w1", bend...)
	update(tb, s, func(tx *store.Tx) (err error) {
		again := made
		again.es = append([]access.Entitlement(nil), made.es...)
		b, err = activate(tx, "w1", again)
		return err
	})
	return b
}

// end begins the end of a grant and orders the removal of what it held.
func end(tx *store.Tx, b bundle, why access.EndReason) (bundle, error) {
	g, ev, _, err := b.g.End(why, "", access.System, tx.Now())
	if err != nil {
		return b, err
	}
	evs := []access.Event{ev}
	b.g = g
	for i, e := range b.es {
		e, h, ev, changed := e.Release(b.hs[i], 0, tx.Now())
		if changed {
			evs = append(evs, ev)
		}
		b.es[i], b.hs[i] = e, h
	}
	if err := tx.SaveGrants(b.g); err != nil {
		return b, err
	}
	if err := tx.SaveEntitlements(b.es...); err != nil {
		return b, err
	}
	if err := tx.SaveHolds(b.hs...); err != nil {
		return b, err
	}
	return b, tx.Append(evs...)
}

// vanish records that all of it is gone.
func vanish(tx *store.Tx, b bundle) (bundle, error) {
	var evs []access.Event
	for i, e := range b.es {
		e, ev, err := e.Vanish(tx.Now())
		if err != nil {
			return b, err
		}
		b.hs[i], _ = b.hs[i].Settle(e)
		b.es[i], evs = e, append(evs, ev)
	}
	if err := tx.SaveEntitlements(b.es...); err != nil {
		return b, err
	}
	if err := tx.SaveHolds(b.hs...); err != nil {
		return b, err
	}
	return b, tx.Append(evs...)
}
