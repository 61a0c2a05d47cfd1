//go:build unix

package store_test

import (
	"testing"

	"stint/internal/access"
	"stint/internal/store"
	"stint/internal/store/storetest"
)

// The grants that the suite makes, for tests of this package too.

type bundle = storetest.Bundle

var (
	approve   = storetest.Approve
	asker     = storetest.Asker
	dba       = storetest.DBA
	newBundle = storetest.NewBundle
)

func submit(tx *store.Tx, d access.Decision, bend ...func(*access.Request)) (access.Request, error) {
	return storetest.Submit(tx, d, bend...)
}

func saveBundle(tx *store.Tx, owner string, bs []bundle, evs []access.Event) error {
	return storetest.SaveBundle(tx, owner, bs, evs)
}

func grant(tb testing.TB, s *store.Store, owner string, bend ...func(*access.Request)) bundle {
	tb.Helper()
	return storetest.NewGrant(tb, contract(s), owner, bend...)
}

func active(tb testing.TB, s *store.Store, bend ...func(*access.Request)) bundle {
	tb.Helper()
	return storetest.Active(tb, contract(s), bend...)
}

func end(tx *store.Tx, b bundle, why access.EndReason) (bundle, error) {
	return storetest.End(tx, b, why)
}

func vanish(tx *store.Tx, b bundle) (bundle, error) { return storetest.Vanish(tx, b) }

// number reads a counter that is kept as a setting.
func number(tx *store.Tx, name string) (int64, error) { return storetest.Number(tx, name) }

func setNumber(tx *store.Tx, name string, n int64) error { return storetest.SetNumber(tx, name, n) }
