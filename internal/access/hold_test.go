package access

import "testing"

// holds lists what a hold can be, and what it means on an entitlement at
// revision 3 in each state: has its access, is settled, or neither.
func TestHolds(t *testing.T) {
	held := Hold{Grant: "grt_1", Entitlement: "ent_1", Needs: 3}
	left := held
	left.ReleasedAt = t0
	left.Settles = 3
	last := left
	last.Settles = 0
	done := last
	done.Settled = true
	early := held
	early.Needs = 4
	leftLater := left
	leftLater.Settles = 4
	table := map[string]struct {
		h    Hold
		want map[EntitlementState]string
	}{
		"held":              {held, map[EntitlementState]string{Intended: "", Present: "ready", Refreshing: "ready", Removing: "", Gone: ""}},
		"needs more":        {early, map[EntitlementState]string{Intended: "", Present: "", Refreshing: "", Removing: "", Gone: ""}},
		"left others":       {left, map[EntitlementState]string{Intended: "settled", Present: "settled", Refreshing: "settled", Removing: "settled", Gone: "settled"}},
		"left others later": {leftLater, map[EntitlementState]string{Intended: "", Present: "", Refreshing: "", Removing: "", Gone: "settled"}},
		"left last":         {last, map[EntitlementState]string{Intended: "", Present: "", Refreshing: "", Removing: "", Gone: "settled"}},
		"settled":           {done, map[EntitlementState]string{Intended: "settled", Present: "settled", Refreshing: "settled", Removing: "settled", Gone: "settled"}},
	}
	for name, row := range table {
		for _, s := range constants[EntitlementState](t) {
			want, ok := row.want[s]
			if !ok {
				t.Fatalf("%s: no row for %s", name, s)
			}
			e := Entitlement{ID: "ent_1", State: s, Rev: 5, Confirmed: 3}
			after, settled := row.h.Settle(e)
			got := ""
			if row.h.Ready(e) {
				got = "ready"
			}
			if settled {
				got += "settled"
			}
			if got != want {
				t.Errorf("%s on %s: %q, want %q", name, s, got, want)
			}
			same := row.h
			same.Settled = settled
			if after != same || after.Settled != settled {
				t.Errorf("%s on %s: became %+v", name, s, after)
			}
		}
	}
}

// What a leave settles at once, and what it settles later.
func TestReleaseSettles(t *testing.T) {
	h := Hold{Grant: "grt_1", Entitlement: "ent_1", Needs: 1}
	for name, tt := range map[string]struct {
		m       Mechanism
		s       EntitlementState
		others  int
		settled bool
		settles int64
	}{
		"membership others need":     {Member, Present, 1, true, 0},
		"membership nobody needs":    {Member, Present, 0, false, 0},
		"account others use":         {Enable, Present, 1, false, 2},
		"account nobody uses":        {Enable, Present, 0, false, 0},
		"removed meanwhile":          {Member, Gone, 0, true, 0},
		"being removed":              {Enable, Removing, 1, false, 0},
		"account not there yet":      {Enable, Intended, 1, false, 2},
		"membership not there yet":   {Member, Intended, 1, true, 0},
		"membership never confirmed": {Member, Intended, 0, false, 0},
	} {
		e := entitlementIn(t, tt.m, tt.s)
		after, got, _, _ := e.Release(h, tt.others, t0)
		if got.Settled != tt.settled || got.Settles != tt.settles {
			t.Errorf("%s: settled %v at %d, want %v at %d", name, got.Settled, got.Settles, tt.settled, tt.settles)
		}
		if got.Settles > 0 && (after.Rev != got.Settles || after.Renew != RenewAll) {
			t.Errorf("%s: revision %d does %d", name, after.Rev, after.Renew)
		}
	}
}
