package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
)

func requestKeepsEveryField(t *testing.T, s Store) {
	var want access.Request
	update(t, s, func(tx Tx) (err error) {
		want, err = Submit(tx, Approve, func(r *access.Request) {
			r.Start = tx.Now().Add(time.Hour)
			r.Endings = access.Endings{OnLogout: true, OnIdle: 90 * time.Second}
			r.Targets = append(r.Targets, TargetNamed("stock-db"), TargetNamed("hr-db"))
		})
		return err
	})
	got := read(t, s, func(tx Tx) (access.Request, error) { return tx.Request(want.ID) })
	diff(t, got, want)
	update(t, s, func(tx Tx) error {
		r, err := tx.Request(want.ID)
		if err != nil {
			return err
		}
		r, ev, err := r.Vote(DBA, access.Actor{Principal: DBA.ID, Person: DBA.Person}, access.Vote{Approve: true, Duration: 20 * time.Minute, Note: "short", Seen: r.Digest}, tx.Now())
		if err != nil {
			return err
		}
		want = r
		return errors.Join(tx.SaveRequests(r), tx.Append(ev))
	})
	got = read(t, s, func(tx Tx) (access.Request, error) { return tx.Request(want.ID) })
	diff(t, got, want)
	if got.State != access.RequestIsGranted || len(got.Approvals) != 1 {
		t.Errorf("state %s with %d approvals, want an approved request with one", got.State, len(got.Approvals))
	}
	// The digest is still that of what was asked, so a grant can be made of it.
	update(t, s, func(tx Tx) error {
		r, g, ev, err := got.NewGrant(access.NewGrantID(tx.Now().UnixMilli(), entropy()), tx.Now())
		if err != nil {
			return err
		}
		return errors.Join(tx.SaveRequests(r), tx.SaveGrants(g), tx.Append(ev))
	})
}

func grantAndEntitlementKeepEveryField(t *testing.T, s Store) {
	b := Active(t, s, func(r *access.Request) {
		r.Endings.OnLogout = true
		r.Targets = append(r.Targets, TargetNamed("stock-db"))
	})
	b.Entitlements[0] = b.Entitlements[0].Retry("the target is down", storeNow(t, s)).Calling(storeNow(t, s).Add(time.Second))
	b.Entitlements[0].Observed, b.Entitlements[0].Before, b.Entitlements[0].Existing, b.Entitlements[0].Renew = true, "before", true, access.RenewSecret
	update(t, s, func(tx Tx) error { return tx.SaveEntitlements(b.Entitlements[0]) })
	diff(t, read(t, s, func(tx Tx) (access.Grant, error) { return tx.Grant(b.Grant.ID) }), b.Grant)
	for _, want := range b.Entitlements {
		diff(t, read(t, s, func(tx Tx) (access.Entitlement, error) { return tx.Entitlement(want.ID) }), want)
	}
	diff(t, read(t, s, func(tx Tx) ([]access.Hold, error) { return tx.HoldsBy(b.Grant.ID) }), sortedHolds(b.Holds))
}

func sortedHolds(hs []access.Hold) []access.Hold {
	hs = slices.Clone(hs)
	slices.SortFunc(hs, func(a, b access.Hold) int { return strings.Compare(string(a.Entitlement), string(b.Entitlement)) })
	return hs
}

func wholeLife(t *testing.T, s Store) {
	b := Active(t, s)
	if got := read(t, s, func(tx Tx) ([]access.Sealed, error) { return tx.Sealed(b.Grant.ID) }); len(got) != 1 || string(got[0].Blob) != "ciphertext" {
		t.Errorf("sealed credentials: %+v", got)
	}
	update(t, s, func(tx Tx) (err error) { b, err = End(tx, b, access.ByHolder); return err })
	// Nobody can finish it while the removal is under way.
	err := s.Update(context.Background(), func(tx Tx) error {
		g, ev, err := b.Grant.Finish(tx.Now())
		if err != nil {
			return err
		}
		return errors.Join(tx.SaveGrants(g), tx.Append(ev))
	})
	wantKind(t, err, access.Internal)
	update(t, s, func(tx Tx) (err error) { b, err = Vanish(tx, b); return err })
	update(t, s, func(tx Tx) error {
		g, ev, err := b.Grant.Finish(tx.Now())
		if err != nil {
			return err
		}
		return errors.Join(tx.SaveGrants(g), tx.DropSealed(g.ID), tx.Append(ev))
	})
	if next := read(t, s, Tx.NextDue); !next.IsZero() {
		t.Errorf("next due %v, want never", next)
	}
	if got := read(t, s, func(tx Tx) ([]access.Sealed, error) { return tx.Sealed(b.Grant.ID) }); len(got) != 0 {
		t.Errorf("sealed credentials outlived the grant: %d", len(got))
	}
}

func savesCompareVersions(t *testing.T, s Store) {
	a, b, young := Active(t, s), Active(t, s), NewGrant(t, s, "w1")
	made := young.Entitlements[0]
	update(t, s, func(tx Tx) error { _, err := Activate(tx, "w1", young); return err })
	try := func(es ...access.Entitlement) error {
		return s.Update(context.Background(), func(tx Tx) error { return tx.SaveEntitlements(es...) })
	}
	same, next, skip := b.Entitlements[0], b.Entitlements[0], b.Entitlements[0]
	same.LastError = "bookkeeping"
	next.Version++
	skip.Version += 3
	if err := try(a.Entitlements[0], same); err != nil {
		t.Errorf("same version: %v", err)
	}
	wantKind(t, try(a.Entitlements[0], skip), access.Conflict)
	wantKind(t, try(made, a.Entitlements[0]), access.Conflict)
	if err := try(next); err != nil {
		t.Errorf("next version: %v", err)
	}
	wantKind(t, try(same), access.Conflict)
	stranger := next
	stranger.ID = access.NewEntitlementID(1, entropy())
	wantKind(t, try(stranger), access.Conflict)
	twice := next
	next.Version++
	twice.Version += 2
	if err := try(next, twice); err != nil {
		t.Errorf("two versions of one thing in one call: %v", err)
	}
	got := read(t, s, func(tx Tx) (access.Entitlement, error) { return tx.Entitlement(next.ID) })
	if got.Version != twice.Version {
		t.Errorf("version %d, want %d", got.Version, twice.Version)
	}
}

func failedWriteIsNeverCommitted(t *testing.T, s Store) {
	b := Active(t, s)
	bad := b.Entitlements[0]
	bad.Version += 7
	err := s.Update(context.Background(), func(tx Tx) error {
		if err := tx.SaveSetting("stop", []byte("yes")); err != nil {
			return err
		}
		_ = tx.SaveEntitlements(bad) // and makes light of it
		return nil
	})
	wantKind(t, err, access.Conflict)
	if v := read(t, s, func(tx Tx) ([]byte, error) { return tx.Setting("stop") }); v != nil {
		t.Errorf("setting %q was committed", v)
	}
}

func notFound(t *testing.T, s Store) {
	view(t, s, func(tx Tx) error {
		_, e1 := tx.Request("req_x")
		_, e2 := tx.Grant("grt_x")
		_, e3 := tx.Entitlement("ent_x")
		_, e4 := tx.LiveEntitlement("postgres://db1", "k")
		_, e5 := tx.Principal("user:x")
		_, e6 := tx.Credential("x")
		_, e7 := tx.Recall("user:x", "k")
		_, e8 := tx.Login(digest())
		_, e9 := tx.FindRequest("01J")
		_, e10 := tx.FindRequest("")
		_, e11 := tx.Enrolment(digest())
		_, e12 := tx.FindRequest("req_%")
		_, e13 := tx.LeftGroup("postgres://db1", "group:k:g")
		for i, err := range []error{e13, e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, e11, e12} {
			if access.KindOf(err) != access.NotFound {
				t.Errorf("lookup %d: %v, want not-found", i+1, err)
			}
		}
		return nil
	})
}

func listsAndPages(t *testing.T, s Store) {
	var all []access.Request
	for i := range 7 {
		update(t, s, func(tx Tx) error {
			r, err := Submit(tx, []access.Decision{Approve, {}}[i%2], func(r *access.Request) {
				r.ID = access.NewRequestID(int64(1000+i), entropy())
				if i == 3 {
					r.Principal, r.Person = "user:ben", "ben"
				}
				if i == 4 {
					r.Targets = append(r.Targets, TargetNamed("stock-db"))
				}
				if i == 5 {
					r.Targets, r.Role = []access.Target{TargetNamed("stock-db")}, "owner"
				}
			})
			all = append(all, r)
			return err
		})
	}
	for _, c := range []struct {
		name string
		q    access.RequestQuery
		want []int
	}{
		{"all", access.RequestQuery{}, []int{6, 5, 4, 3, 2, 1, 0}},
		{"page", access.RequestQuery{Limit: 2}, []int{6, 5}},
		{"next page", access.RequestQuery{Limit: 2, Before: all[5].ID}, []int{4, 3}},
		{"the oldest first", access.RequestQuery{Oldest: true, Limit: 3}, []int{0, 1, 2}},
		{"the oldest first, next page", access.RequestQuery{Oldest: true, Limit: 3, After: all[2].ID, Before: all[1].ID}, []int{3, 4, 5}},
		{"the oldest first, of two states", access.RequestQuery{Oldest: true, After: all[2].ID, States: []access.RequestState{access.RequestPending, access.RequestIsDenied}, Limit: 2}, []int{3, 4}},
		{"person", access.RequestQuery{Person: "ben"}, []int{3}},
		{"principal", access.RequestQuery{Principal: "user:mira", Limit: 3}, []int{6, 5, 4}},
		{"role", access.RequestQuery{Role: "owner"}, []int{5}},
		{"resource, also as a further target", access.RequestQuery{Resource: "stock-db"}, []int{5, 4}},
		{"state", access.RequestQuery{States: []access.RequestState{access.RequestPending}}, []int{6, 4, 2, 0}},
		{"states, limited", access.RequestQuery{States: []access.RequestState{access.RequestPending, access.RequestIsDenied}, Limit: 3}, []int{6, 5, 4}},
		{"all of it", access.RequestQuery{States: []access.RequestState{access.RequestPending, access.RequestIsDenied}, Resource: "stock-db", Principal: "user:mira", Before: all[5].ID}, []int{4}},
	} {
		got := read(t, s, func(tx Tx) ([]access.Request, error) { return tx.Requests(c.q) })
		var ids, want []access.RequestID
		for _, r := range got {
			ids = append(ids, r.ID)
		}
		for _, i := range c.want {
			want = append(want, all[i].ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%s: got %v, want %v", c.name, ids, want)
		}
	}
}

func grantAndEntitlementLists(t *testing.T, s Store) {
	plain := Active(t, s)
	watched := Active(t, s, func(r *access.Request) { r.Endings.OnIdle = time.Minute })
	two := NewGrant(t, s, "w", func(r *access.Request) { r.Targets = append(r.Targets, TargetNamed("stock-db")) })
	ids := func(q access.GrantQuery) (ids []access.GrantID) {
		for _, g := range read(t, s, func(tx Tx) ([]access.Grant, error) { return tx.Grants(q) }) {
			ids = append(ids, g.ID)
		}
		return ids
	}
	if got := ids(access.GrantQuery{Watched: true}); !slices.Equal(got, []access.GrantID{watched.Grant.ID}) {
		t.Errorf("watched: %v", got)
	}
	if got := ids(access.GrantQuery{Conditional: true}); len(got) != 0 {
		t.Errorf("conditional: %v", got)
	}
	if got := ids(access.GrantQuery{Resource: "stock-db"}); !slices.Equal(got, []access.GrantID{two.Grant.ID}) {
		t.Errorf("resource: %v", got)
	}
	if got := ids(access.GrantQuery{States: []access.GrantState{access.Active}, Person: "mira"}); len(got) != 2 || slices.Contains(got, two.Grant.ID) {
		t.Errorf("active: %v", got)
	}
	es := read(t, s, func(tx Tx) ([]access.Entitlement, error) {
		return tx.Entitlements(access.EntitlementQuery{Place: "postgres://db1:5432", States: []access.EntitlementState{access.Intended, access.Present}})
	})
	if len(es) != 4 || !slices.IsSortedFunc(es, func(a, b access.Entitlement) int { return strings.Compare(string(a.ID), string(b.ID)) }) {
		t.Errorf("%d entitlements, want 4, oldest first", len(es))
	}
	es = read(t, s, func(tx Tx) ([]access.Entitlement, error) {
		return tx.Entitlements(access.EntitlementQuery{After: es[0].ID, Limit: 2})
	})
	if len(es) != 2 {
		t.Errorf("a page of %d, want 2", len(es))
	}
	live := read(t, s, func(tx Tx) (access.Entitlement, error) {
		return tx.LiveEntitlement("postgres://db1:5432", plain.Entitlements[0].Key)
	})
	if live.ID != plain.Entitlements[0].ID {
		t.Errorf("live entitlement %s, want %s", live.ID, plain.Entitlements[0].ID)
	}
}

func findRequest(t *testing.T, s Store) {
	b := Active(t, s)
	other := Active(t, s)
	full := string(b.Request.ID)
	view(t, s, func(tx Tx) error {
		for _, prefix := range []string{full, full[:len(full)-2], full[4:], string(b.Grant.ID), string(b.Grant.ID)[4:], "REQ_" + full[4:]} {
			if id, err := tx.FindRequest(prefix); err != nil || id != b.Request.ID {
				t.Errorf("FindRequest(%q) = %q, %v, want %q", prefix, id, err, b.Request.ID)
			}
		}
		for _, prefix := range []string{"req_", "grt_", full[:6], "0"} {
			_, err := tx.FindRequest(prefix)
			wantKind(t, err, access.Conflict)
		}
		return nil
	})
	_ = other
}

func batches(t *testing.T, s Store) {
	const n = 2300 // more than two statements
	var bs []Bundle
	update(t, s, func(tx Tx) error {
		bs = nil
		var evs []access.Event
		for range n {
			b, es, err := NewBundle(tx.Now())
			if err != nil {
				return err
			}
			bs, evs = append(bs, b), append(evs, es...)
		}
		return SaveBundle(tx, "", bs, evs)
	})
	// One stale row among many is named, and nothing is saved.
	err := s.Update(context.Background(), func(tx Tx) error {
		var gs []access.Grant
		for i, b := range bs {
			g, _, _, err := b.Grant.End(access.ByPerson, "", access.System, tx.Now())
			if err != nil {
				return err
			}
			if i == 1717 {
				g.Version++
			}
			gs = append(gs, g)
		}
		return tx.SaveGrants(gs...)
	})
	wantKind(t, err, access.Conflict)
	if err != nil && !strings.Contains(err.Error(), string(bs[1717].Grant.ID)) {
		t.Errorf("%v does not name %s", err, bs[1717].Grant.ID)
	}
	view(t, s, func(tx Tx) error {
		ids := make([]access.GrantID, 0, n)
		for _, b := range bs {
			ids = append(ids, b.Grant.ID)
		}
		hs, err := tx.HoldsBy(ids...)
		if len(hs) != n {
			t.Errorf("%d holds, want %d", len(hs), n)
		}
		gs, err2 := tx.Grants(access.GrantQuery{States: []access.GrantState{access.Ending}})
		if len(gs) != 0 {
			t.Errorf("%d grants ending after a refused batch", len(gs))
		}
		return errors.Join(err, err2)
	})
}
