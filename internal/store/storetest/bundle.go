package storetest

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"stint/internal/access"
)

// Ask is a draft with good defaults that a test bends in one line.
func Ask(now time.Time, bend ...func(*access.Request)) access.Request {
	r := access.Request{
		ID: access.NewRequestID(now.UnixMilli(), entropy()), Principal: "user:mira", Person: "mira", Device: "device-1",
		SealKey: []byte("0123456789abcdef0123456789abcdef"),
		Source: access.Source{IP: netip.MustParseAddr("127.0.0.1"), Device: "device-1",
			Auth: access.Auth{Provider: "corp-sso", At: now, Methods: []string{"pwd"}, Class: "low", MFA: true}},
		Targets: []access.Target{TargetNamed("orders-db")}, Role: "reader",
		Permissions: access.Permissions{Mechanism: access.Account, Rights: []string{"orders_read"}, Options: map[string]string{"scramIterations": "4096"}},
		Endings:     access.Endings{}, Clock: access.FromEffective, Duration: time.Hour, Reason: "look into INC-1 — “orders”", Ticket: "INC-1", Documents: 3,
	}
	_, _ = rand.Read(r.Nonce[:])
	for _, b := range bend {
		b(&r)
	}
	return r
}

// TargetNamed is a database of one cluster: all of them are one place.
func TargetNamed(name string) access.Target {
	return access.Target{Resource: access.ResourceName(name), Criticality: access.High,
		Connection: access.Connection{Type: "postgres", Address: "db1:5432", Credential: "orders", Options: map[string]string{"database": name}}}
}

// The decisions and the people of the cases.
var (
	Allow = access.Decision{Effect: access.Allow, Policy: "orders-read", Documents: 3, MaxDuration: 8 * time.Hour,
		Reasons: []access.Reason{{Policy: "orders-read", Source: "policy.yaml:31", Text: "all platform people may read"}}}
	Approve = access.Decision{Effect: access.Approve, Policy: "orders-read", Documents: 3, MaxDuration: 8 * time.Hour, Conditional: true,
		Approvals: []access.Requirement{{From: []access.Subject{"group:dba"}, Count: 1}}}
	Asker = access.Actor{Principal: "user:mira", Person: "mira", Device: "device-1", Address: netip.MustParseAddr("127.0.0.1")}
	DBA   = access.Principal{ID: "user:olga", Person: "olga", Groups: []access.Group{"dba"}, Version: 1}
)

// Submit saves a new request with its event.
func Submit(tx Tx, d access.Decision, bend ...func(*access.Request)) (access.Request, error) {
	r, ev, err := access.Submit(Ask(tx.Now(), bend...), Asker, d, tx.Now())
	if err != nil {
		return r, err
	}
	if err := tx.SaveRequests(r); err != nil {
		return r, err
	}
	return r, tx.Append(ev)
}

// Bundle is a grant with all that belongs to it.
type Bundle struct {
	Request      access.Request
	Grant        access.Grant
	Entitlements []access.Entitlement
	Holds        []access.Hold
}

// NewBundle makes, without saving, the grant of a request that policy allows.
func NewBundle(now time.Time, bend ...func(*access.Request)) (b Bundle, evs []access.Event, err error) {
	r, ev, err := access.Submit(Ask(now, bend...), Asker, Allow, now)
	if err != nil {
		return b, nil, err
	}
	evs = append(evs, ev)
	r, g, ev, err := r.NewGrant(access.NewGrantID(now.UnixMilli(), entropy()), now)
	if err != nil {
		return b, nil, err
	}
	evs = append(evs, ev)
	b.Request, b.Grant = r, g
	for _, e := range g.Plan() {
		e, h, ev := e.Intend(access.NewEntitlementID(now.UnixMilli(), entropy()), "tag", 1, g, now)
		b.Entitlements, b.Holds, evs = append(b.Entitlements, e), append(b.Holds, h), append(evs, ev)
	}
	return b, evs, nil
}

// SaveBundle is the hot path's first transaction: request, grant, intent, lease.
func SaveBundle(tx Tx, owner string, bs []Bundle, evs []access.Event) error {
	var rs []access.Request
	var gs []access.Grant
	var es []access.Entitlement
	var hs []access.Hold
	var ids []access.EntitlementID
	for _, b := range bs {
		rs, gs, es, hs = append(rs, b.Request), append(gs, b.Grant), append(es, b.Entitlements...), append(hs, b.Holds...)
		for _, e := range b.Entitlements {
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

// NewGrant saves one new grant of a request that policy allows.
func NewGrant(tb testing.TB, s Store, owner string, bend ...func(*access.Request)) (b Bundle) {
	tb.Helper()
	update(tb, s, func(tx Tx) error {
		var evs []access.Event
		var err error
		if b, evs, err = NewBundle(tx.Now(), bend...); err != nil {
			return err
		}
		return SaveBundle(tx, owner, []Bundle{b}, evs)
	})
	return b
}

// Activate is the hot path's second transaction.
func Activate(tx Tx, owner string, b Bundle) (Bundle, error) {
	var evs []access.Event
	var ids []access.EntitlementID
	var sealed []access.Sealed
	for i, e := range b.Entitlements {
		e, ev, err := e.Confirm(e.Rev, "stint_mira_1", fmt.Sprint("oid:", 16384+i), tx.Now())
		if err != nil {
			return b, err
		}
		b.Entitlements[i], evs, ids = e, append(evs, ev), append(ids, e.ID)
		sealed = append(sealed, access.Sealed{Grant: b.Grant.ID, Entitlement: e.ID, Resource: e.Target.Resource, Rev: e.Rev, Blob: []byte("ciphertext"), At: tx.Now()})
	}
	g, ev, err := b.Grant.Activate(tx.Now())
	if err != nil {
		return b, err
	}
	b.Grant = g
	if err := tx.SaveEntitlements(b.Entitlements...); err != nil {
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

// Active saves one grant and activates it.
func Active(tb testing.TB, s Store, bend ...func(*access.Request)) (b Bundle) {
	tb.Helper()
	made := NewGrant(tb, s, "w1", bend...)
	update(tb, s, func(tx Tx) (err error) {
		again := made
		again.Entitlements = append([]access.Entitlement(nil), made.Entitlements...)
		b, err = Activate(tx, "w1", again)
		return err
	})
	return b
}

// End begins the end of a grant and orders the removal of what it held.
func End(tx Tx, b Bundle, why access.EndReason) (Bundle, error) {
	g, ev, _, err := b.Grant.End(why, "", access.System, tx.Now())
	if err != nil {
		return b, err
	}
	evs := []access.Event{ev}
	b.Grant = g
	for i, e := range b.Entitlements {
		e, h, ev, changed := e.Release(b.Holds[i], 0, tx.Now())
		if changed {
			evs = append(evs, ev)
		}
		b.Entitlements[i], b.Holds[i] = e, h
	}
	if err := tx.SaveGrants(b.Grant); err != nil {
		return b, err
	}
	if err := tx.SaveEntitlements(b.Entitlements...); err != nil {
		return b, err
	}
	if err := tx.SaveHolds(b.Holds...); err != nil {
		return b, err
	}
	return b, tx.Append(evs...)
}

// Vanish records that all of it is gone.
func Vanish(tx Tx, b Bundle) (Bundle, error) {
	var evs []access.Event
	for i, e := range b.Entitlements {
		e, ev, err := e.Vanish(tx.Now(), tx.Now())
		if err != nil {
			return b, err
		}
		b.Holds[i], _ = b.Holds[i].Settle(e)
		b.Entitlements[i], evs = e, append(evs, ev)
	}
	if err := tx.SaveEntitlements(b.Entitlements...); err != nil {
		return b, err
	}
	if err := tx.SaveHolds(b.Holds...); err != nil {
		return b, err
	}
	return b, tx.Append(evs...)
}
