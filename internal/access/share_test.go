package access

import (
	"maps"
	"testing"
	"time"
)

func TestIntend(t *testing.T) {
	g := grantIn(t, Provisioning)
	e, h, ev := g.Plan()[0].Intend("ent_1", "tag-1", 3, g, t0)
	if e.ID != "ent_1" || e.Tag != "tag-1" || e.Claimed != 3 || e.Rev != 1 || e.Confirmed != 0 || !e.CreatedAt.Equal(t0) || !e.NextAt.Equal(t0) {
		t.Errorf("intended %+v", e)
	}
	if h.Ready(e) || ev.Facts["tag"] != "tag-1" || ev.Facts["grant"] != "grt_1" || ev.Facts["expires_at"] != stamp(g.ExpiresAt) {
		t.Errorf("hold %+v, event %+v", h, ev)
	}
}

// From which revision on a new holder has its access: never at once, because what the row
// says was read back some time ago.
func TestShareNeeds(t *testing.T) {
	for name, tt := range map[string]struct {
		m     Mechanism
		s     EntitlementState
		later time.Duration
		needs int64
		ready bool
	}{
		"a membership that is there":               {Member, Present, 0, 2, false},
		"a membership to be kept longer":           {Member, Present, time.Minute, 2, false},
		"a membership being refreshed":             {Member, Refreshing, 0, 3, false},
		"a membership still to be made":            {Member, Intended, 0, 1, false},
		"a membership still to be made for longer": {Member, Intended, time.Minute, 2, false},
		"a shared account":                         {Enable, Present, 0, 2, false},
		"a shared account being refreshed":         {Enable, Refreshing, 0, 3, false},
		"a shared account still to be made":        {Enable, Intended, 0, 2, false},
	} {
		e := entitlementIn(t, tt.m, tt.s)
		after, h, _, err := e.Share(Grant{ID: "grt_2", ExpiresAt: e.ExpiresAt.Add(tt.later)}, t0)
		if err != nil || h.Needs != tt.needs || h.Ready(after) != tt.ready {
			t.Errorf("%s: needs %d, ready %v, want %d, %v (%v)", name, h.Needs, h.Ready(after), tt.needs, tt.ready, err)
		}
		if after, _, err = after.Confirm(after.Rev, "", "", t0); err != nil || !h.Ready(after) {
			t.Errorf("%s: not ready when all is confirmed (%v)", name, err)
		}
	}
}

// An account that was taken away is not made anew: it ends with its grant.
func TestAnAccountIsNotRenewed(t *testing.T) {
	for _, s := range []EntitlementState{Present, Refreshing} {
		if e, _, did := entitlementIn(t, Account, s).Renewed("taken away", t0); did {
			t.Errorf("renewed %+v", e)
		}
	}
}

// What two who share something do not agree in is left to the connector, which is strict.
func TestShareKeepsWhatBothAgreeIn(t *testing.T) {
	e := entitlementIn(t, Enable, Present)
	e.Options = map[string]string{"sessions": "keep", "limit": "3", "mine": "1"}
	e, _, _, err := e.Share(Grant{ID: "grt_2", ExpiresAt: e.ExpiresAt, Permissions: Permissions{Options: map[string]string{"sessions": "end", "limit": "3", "yours": "1"}}}, t0)
	if err != nil || !maps.Equal(e.Options, map[string]string{"limit": "3"}) {
		t.Errorf("shared with the options %v (%v)", e.Options, err)
	}
}

// Failures count within one piece of work: the next starts afresh.
func TestSuccessForgetsFailures(t *testing.T) {
	failed := func(e Entitlement) Entitlement { return e.Retry("no route", t0).Retry("no route", t0) }
	for _, s := range []EntitlementState{Intended, Present, Refreshing} {
		e := failed(entitlementIn(t, Member, s))
		gone, _, _, _ := e.Release(Hold{Entitlement: e.ID}, 0, t0)
		if gone.Attempts != 0 || gone.LastError != "" || !gone.NextAt.Equal(t0) || !gone.RemovingAt.Equal(t0) {
			t.Errorf("%s, released: %+v", s, gone)
		}
		if e, _, err := e.Confirm(1, "", "", t0); err != nil || e.Attempts != 0 || e.LastError != "" {
			t.Errorf("%s, confirmed: %+v, %v", s, e, err)
		}
		if gone, _, err := failed(gone).Calling(t0).Calling(t0).Vanish(t0, t0); err != nil || gone.Attempts != 0 || gone.LastError != "" || !gone.LostUntil.IsZero() {
			t.Errorf("%s, gone: %+v, %v", s, gone, err)
		}
	}
	e := failed(entitlementIn(t, Enable, Present))
	if e, _, _, _ = e.Release(Hold{}, 1, t0); e.Attempts != 0 || !e.NextAt.Equal(t0) {
		t.Errorf("refreshing: %+v", e)
	}
	if e = failed(e); e.Attempts != 2 {
		t.Errorf("%+v", e)
	}
	if e, _, _, _ = e.Release(Hold{}, 1, t0); e.Attempts != 2 { // still the same piece of work
		t.Errorf("refreshing already: %+v", e)
	}
}

func TestObserve(t *testing.T) {
	for existing, said := range map[bool]string{true: "present", false: "absent"} {
		e, ev := entitlementIn(t, Member, Intended).Observe("as it was", existing, t0)
		if !e.Observed || e.Existing != existing || e.Before != "as it was" || ev.Facts["before"] != said {
			t.Errorf("%+v, %v", e, ev.Facts)
		}
	}
}
