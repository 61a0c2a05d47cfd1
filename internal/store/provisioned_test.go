//go:build unix

package store_test

import (
	"errors"
	"slices"
	"testing"

	"stint/internal/access"
	"stint/internal/store"
)

func TestProvisioned(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		now := read(t, s, func(tx *store.Tx) (access.Provisioned, error) { return access.Provisioned{Created: tx.Now()}, nil }).Created
		user := func(id, name, external string) access.Provisioned {
			return access.Provisioned{Provider: "corp", Kind: access.ProvisionedUser, ID: id, Name: name, External: external, Body: `{"ü":"\""}`, Version: 1, Created: now, Changed: now}
		}
		mira, omar := user("mira", "mira@corp.example", "x1"), user("omar", "omar@corp.example", "x2")
		dba := access.Provisioned{Provider: "corp", Kind: access.ProvisionedGroup, ID: "g1", Name: "dba", Version: 1, Created: now, Changed: now}
		other := user("mira", "mira@corp.example", "x1")
		other.Provider = "other"
		update(t, s, func(tx *store.Tx) error {
			return errors.Join(tx.SaveProvisioned(omar), tx.SaveProvisioned(mira), tx.SaveProvisioned(dba), tx.SaveProvisioned(other),
				tx.SetMember("corp", "g1", "mira", true), tx.SetMember("corp", "g1", "mira", true), tx.SetMember("corp", "g1", "omar", true), tx.SetMember("other", "g1", "eve", true))
		})
		all := access.ProvisionedQuery{Provider: "corp", Kind: access.ProvisionedUser, Limit: -1}
		find := func(bend func(*access.ProvisionedQuery)) []access.Provisioned {
			t.Helper()
			q := all
			bend(&q)
			return read(t, s, func(tx *store.Tx) ([]access.Provisioned, error) { return tx.Provisioned(q) })
		}
		for name, c := range map[string]struct {
			bend func(*access.ProvisionedQuery)
			want []access.Provisioned
		}{
			"all":         {func(*access.ProvisionedQuery) {}, []access.Provisioned{mira, omar}},
			"by id":       {func(q *access.ProvisionedQuery) { q.ID = "omar" }, []access.Provisioned{omar}},
			"by name":     {func(q *access.ProvisionedQuery) { q.Name = "mira@corp.example" }, []access.Provisioned{mira}},
			"by external": {func(q *access.ProvisionedQuery) { q.External = "x2" }, []access.Provisioned{omar}},
			"none":        {func(q *access.ProvisionedQuery) { q.External = "x3" }, nil},
			"a page":      {func(q *access.ProvisionedQuery) { q.Limit, q.Offset = 1, 1 }, []access.Provisioned{omar}},
			"no page":     {func(q *access.ProvisionedQuery) { q.Limit = 0 }, nil},
			"groups":      {func(q *access.ProvisionedQuery) { q.Kind = access.ProvisionedGroup }, []access.Provisioned{dba}},
		} {
			if got := find(c.bend); !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, want %v", name, got, c.want)
			}
		}
		if n := read(t, s, func(tx *store.Tx) (int, error) { return tx.CountProvisioned(all) }); n != 2 {
			t.Errorf("counted %d users", n)
		}
		members := func() []string {
			t.Helper()
			return read(t, s, func(tx *store.Tx) ([]string, error) { return tx.Members("corp", "g1") })
		}
		if got := members(); !slices.Equal(got, []string{"mira", "omar"}) {
			t.Errorf("members are %v", got)
		}
		if got := read(t, s, func(tx *store.Tx) ([]access.Provisioned, error) { return tx.GroupsOf("corp", "mira") }); !slices.Equal(got, []access.Provisioned{dba}) {
			t.Errorf("mira is in %v", got)
		}

		save := func(p access.Provisioned) error {
			return s.Update(t.Context(), func(tx *store.Tx) error { return tx.SaveProvisioned(p) })
		}
		wantKind(t, save(mira), access.Conflict) // there already
		mira.Version, mira.Name = 2, "omar@corp.example"
		wantKind(t, save(mira), access.Conflict) // omar's name
		mira.Name, mira.External = "mira.k@corp.example", ""
		if err := save(mira); err != nil {
			t.Fatal(err)
		}
		wantKind(t, save(mira), access.Conflict) // not the version before
		if got := find(func(q *access.ProvisionedQuery) { q.ID = "mira" }); !slices.Equal(got, []access.Provisioned{mira}) {
			t.Errorf("got %v", got)
		}

		drop := func(p access.Provisioned) error {
			return s.Update(t.Context(), func(tx *store.Tx) error { return tx.DropProvisioned(p) })
		}
		old := mira
		old.Version = 1
		wantKind(t, drop(old), access.Conflict)
		if err := drop(mira); err != nil {
			t.Fatal(err)
		}
		if got := members(); !slices.Equal(got, []string{"omar"}) {
			t.Errorf("members are %v after one was forgotten", got)
		}
		if err := drop(dba); err != nil {
			t.Fatal(err)
		}
		if got := members(); len(got) != 0 {
			t.Errorf("a group that is gone has members %v", got)
		}
		if got := read(t, s, func(tx *store.Tx) ([]string, error) { return tx.Members("other", "g1") }); len(got) != 1 {
			t.Errorf("another service's group lost its members: %v", got)
		}
	})
}
