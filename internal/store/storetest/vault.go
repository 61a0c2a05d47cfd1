package storetest

import (
	"context"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/vault"
)

// vaulted are kept whole; of one account there is one; what is due comes first.
func vaulted(t *testing.T, s Store) {
	now := storeNow(t, s)
	by := access.Actor{Principal: "user:root", Person: "root"}
	add := func(name, account string, old *vault.Entry, sealed []byte) vault.Entry {
		t.Helper()
		e, _, err := vault.Add(vault.Entry{Name: name, Resource: "orders-db", At: "postgres://db:5432", Account: account, Kind: vault.Password, RotateEvery: 24 * time.Hour}, old, vault.Fresh{Sealed: sealed}, by, now)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	a, b := add("a", "dba", nil, []byte("sealed")), add("b", "app", nil, nil)
	save := func(es ...vault.Entry) error {
		return s.Update(context.Background(), func(tx Tx) error { return tx.SaveVault(es...) })
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(save(a, b))
	all := func() []vault.Entry {
		return read(t, s, func(tx Tx) ([]vault.Entry, error) { return tx.Vault() })
	}
	due := func() []vault.Entry {
		return read(t, s, func(tx Tx) ([]vault.Entry, error) { return tx.DueVault(vault.Entry{}, 10) })
	}
	diff(t, all(), []vault.Entry{a, b})
	diff(t, due(), []vault.Entry{b})
	diff(t, read(t, s, func(tx Tx) (vault.Entry, error) { return tx.VaultedAt("postgres://db:5432", "dba") }), a)
	for _, q := range []func(Tx) (vault.Entry, error){
		func(tx Tx) (vault.Entry, error) { return tx.Vaulted("c") },
		func(tx Tx) (vault.Entry, error) { return tx.VaultedAt("postgres://other:5432", "dba") },
	} {
		wantKind(t, s.View(context.Background(), func(tx Tx) error { _, err := q(tx); return err }), access.NotFound)
	}
	twice := add("c", "dba", nil, nil)
	wantKind(t, save(twice), access.Conflict)
	skipped := a
	skipped.Version = 3
	wantKind(t, save(skipped), access.Conflict)

	a, _, err := a.Begin(vault.Fresh{Sealed: []byte("next"), NotAfter: now.Add(time.Hour)}, "returned", now)
	must(err)
	must(save(a))
	a, _, _ = a.Commit(2, "", now)
	a, _, _ = a.Lend("ent_1", now)
	a, _, _ = a.Drift(now)
	a = a.Defer("no resource", now.Add(time.Hour))
	a.Version = 3 // what was done at once is one change
	must(save(a))
	diff(t, all(), []vault.Entry{a, b})
	diff(t, due(), []vault.Entry{b, a})
	var paged []vault.Entry // one by one
	for after := (vault.Entry{}); ; after = paged[len(paged)-1] {
		page := read(t, s, func(tx Tx) ([]vault.Entry, error) { return tx.DueVault(after, 1) })
		if len(page) == 0 {
			break
		}
		if paged = append(paged, page...); len(paged) > 9 {
			t.Fatal("what is due goes round and round")
		}
	}
	diff(t, paged, []vault.Entry{b, a})

	b, _, err = b.Remove(by, now)
	must(err)
	must(save(b))
	diff(t, all(), []vault.Entry{a})
	diff(t, due(), []vault.Entry{a})
	diff(t, read(t, s, func(tx Tx) (vault.Entry, error) { return tx.Vaulted("b") }), b)
	must(save(add("b", "app", &b, nil)))
}
