package ahead

import (
	"testing"
	"time"

	"stint/internal/access"
)

// TestNotAllIsKnown: who revokes what is known is told when there is more.
func TestNotAllIsKnown(t *testing.T) {
	a := New(time.Second)
	a.add(access.Entitlement{ID: "ent_1"}, "grn_1", Holder{Grant: "grn_1", Person: "mira"})
	a.add(access.Entitlement{ID: "ent_2"}, "grn_1", Holder{Grant: "grn_1", Person: "mira"})
	a.add(access.Entitlement{ID: "ent_2"}, "grn_2", Holder{Grant: "grn_2", Person: "noor"})
	for _, full := range []bool{false, true} {
		a.cut = full
		ids, cut := a.Revocable(func(h Holder) bool { return h.Person == "mira" })
		if len(ids) != 1 || ids[0] != "grn_1" || cut != full {
			t.Errorf("cut %t: %v, %t", full, ids, cut)
		}
	}
}

// rows are one entitlement that grants share.
type rows struct {
	e  access.Entitlement
	gs []access.Grant
}

func (r *rows) Now() time.Time                                     { return time.Unix(1, 0) }
func (r *rows) EndingNext(int) ([]access.Grant, error)             { return r.gs, nil }
func (r *rows) Removals(int) ([]access.Entitlement, error)         { return nil, nil }
func (r *rows) Credential(string) (access.Credential, error)       { return access.Credential{}, nil }
func (r *rows) GrantsOf(...access.GrantID) ([]access.Grant, error) { return nil, nil }
func (r *rows) HoldsBy(...access.GrantID) ([]access.Hold, error)   { return r.HoldsOf() }
func (r *rows) EntitlementsOf(...access.EntitlementID) ([]access.Entitlement, error) {
	return []access.Entitlement{r.e}, nil
}

func (r *rows) HoldsOf(...access.EntitlementID) (hs []access.Hold, err error) {
	for _, g := range r.gs {
		hs = append(hs, access.Hold{Grant: g.ID, Entitlement: r.e.ID})
	}
	return hs, nil
}

// TestSpoiltOnceIsNotSpoiltForEver: a shared credential that was made useless in one
// outage and replaced by another replica since is made useless in the next one too.
func TestSpoiltOnceIsNotSpoiltForEver(t *testing.T) {
	r := &rows{e: access.Entitlement{ID: "ent_1", State: access.Present, Mechanism: access.Enable, Observed: true, Rev: 1, Confirmed: 1},
		gs: []access.Grant{{ID: "grn_1", State: access.Active, ExpiresAt: time.Unix(1, 0)}, {ID: "grn_2", State: access.Active, ExpiresAt: time.Unix(3600, 0)}}}
	a := New(time.Second)
	spoil := func() []access.Entitlement {
		t.Helper()
		next := a.Reading()
		defer next.Close()
		if err := next.Read(r); err != nil {
			t.Fatal(err)
		}
		next.Keep()
		return a.Take().Spoilings
	}
	es := spoil()
	if len(es) != 1 {
		t.Fatalf("%d are made useless at the first end", len(es))
	}
	a.Done([]Outcome{{es[0], true}}, true)
	if es := spoil(); len(es) != 0 {
		t.Fatalf("%d are made useless once more", len(es))
	}
	r.e.Rev, r.e.Confirmed, r.e.Version = 2, 2, 2
	if es := spoil(); len(es) != 1 {
		t.Errorf("%d are made useless after another replica has given a new one", len(es))
	}
}
