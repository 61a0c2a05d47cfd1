package access

import (
	"reflect"
	"testing"
	"time"
)

var entitlementInputs = map[string]func(*testing.T, Entitlement) step{
	"Intend": func(_ *testing.T, e Entitlement) step { // of a plan, so its state does not matter
		after, h, ev := e.Intend("ent_1", "tag", 3, Grant{ID: "grt_2", ExpiresAt: e.ExpiresAt}, t0)
		return step{string(after.State), after.Version + e.Version, h != Hold{Grant: "grt_2", Entitlement: "ent_1", Needs: 1}, raise(ev, e.Version), nil}
	},
	"Share":       share(0),
	"Share later": share(time.Minute),
	"Raise": func(_ *testing.T, e Entitlement) step {
		after, ev, did := e.Raise(Grant{ExpiresAt: e.ExpiresAt}, t0)
		return step{string(after.State), after.Version, !did && reflect.DeepEqual(after, e), ev, nil}
	},
	"Raise later": func(t *testing.T, e Entitlement) step {
		later := e.ExpiresAt.Add(time.Minute)
		after, ev, did := e.Raise(Grant{ExpiresAt: later}, t0)
		if did && (!after.ExpiresAt.Equal(later) || after.Rev != e.Rev+1 || after.Renew < RenewExpiry || !after.NextAt.Equal(t0)) {
			t.Errorf("raised to %+v", after)
		}
		return step{string(after.State), after.Version, !did && reflect.DeepEqual(after, e), ev, nil}
	},
	"Release last":   release(0),
	"Release others": release(2),
	"Observe": func(t *testing.T, e Entitlement) step {
		after, ev := e.Observe("x", true, t0)
		if !after.Observed || !after.Existing || after.Before != "x" || ev.Facts["before"] != "present" {
			t.Errorf("observed %+v, %v", after, ev.Facts)
		}
		return step{string(after.State), after.Version, false, ev, nil}
	},
	"Confirm": func(t *testing.T, e Entitlement) step {
		after, ev, err := e.Confirm(e.Rev, "", "", t0)
		if err == nil && (after.Confirmed != e.Rev || after.Renew != RenewNothing || !after.NextAt.IsZero() || after.Account != e.Account || after.Creation != e.Creation) {
			t.Errorf("confirmed %+v", after)
		}
		return step{string(after.State), after.Version, reflect.DeepEqual(after, e), ev, err}
	},
	"Confirm older": func(t *testing.T, e Entitlement) step {
		e.Rev, e.Renew, e.NextAt = e.Rev+1, RenewAll, t0
		after, ev, err := e.Confirm(e.Rev-1, "new", "oid 8", t0)
		if err == nil && (after.Confirmed != e.Rev-1 || after.Renew != RenewAll || after.NextAt.IsZero() || after.Account != "new" || after.Creation != "oid 8") {
			t.Errorf("confirmed %+v", after)
		}
		return step{string(after.State), after.Version, reflect.DeepEqual(after, e), ev, err}
	},
	"Confirm newer": func(_ *testing.T, e Entitlement) step {
		after, ev, err := e.Confirm(e.Rev+1, "", "", t0)
		return step{string(after.State), after.Version, reflect.DeepEqual(after, e), ev, err}
	},
	"Confirm none": func(_ *testing.T, e Entitlement) step {
		after, ev, err := e.Confirm(0, "", "", t0)
		return step{string(after.State), after.Version, reflect.DeepEqual(after, e), ev, err}
	},
	"Renewed": func(t *testing.T, e Entitlement) step {
		after, ev, did := e.Renewed("why", t0)
		if want := map[Mechanism]Renewal{Member: RenewExpiry, Enable: RenewAll}[e.Mechanism]; did && (after.Renew != max(e.Renew, want) || after.Rev != e.Rev+1 || ev.Facts["renewed"] != "why") {
			t.Errorf("renewed %+v by %+v", after, ev)
		}
		return step{string(after.State), after.Version, !did && reflect.DeepEqual(after, e), ev, nil}
	},
	"Vanish": func(t *testing.T, e Entitlement) step {
		e = e.Calling(t0)
		after, ev, err := e.Vanish(t0, t0)
		if err == nil && (!after.GoneAt.Equal(t0) || !after.NextAt.IsZero() || !after.CallUntil.IsZero() || after.Attempts != 0 || after.LastError != "") {
			t.Errorf("vanished %+v", after)
		}
		return step{string(after.State), after.Version, reflect.DeepEqual(after, e), ev, err}
	},
	"Vanish quarantined": func(_ *testing.T, e Entitlement) step {
		e = e.Calling(t0.Add(1))
		after, ev, err := e.Vanish(t0, t0)
		return step{string(after.State), after.Version, reflect.DeepEqual(after, e), ev, err}
	},
	"Again": func(t *testing.T, e Entitlement) step {
		after, ev, did := e.Again(t0)
		if did && (!after.GoneAt.IsZero() || !after.RemovingAt.Equal(t0) || !after.NextAt.Equal(t0)) {
			t.Errorf("again %+v", after)
		}
		return step{string(after.State), after.Version, !did && reflect.DeepEqual(after, e), ev, nil}
	},
}

// raise lifts an event's version, for the input whose entitlement begins at 1.
func raise(ev Event, by int64) Event { ev.Version += by; return ev }

func share(later time.Duration) func(*testing.T, Entitlement) step {
	return func(t *testing.T, e Entitlement) step {
		after, h, ev, err := e.Share(Grant{ID: "grt_2", ExpiresAt: e.ExpiresAt.Add(later)}, t0)
		switch {
		case err != nil:
			if h != (Hold{}) {
				t.Errorf("a hold in spite of %v: %+v", err, h)
			}
		case h.Grant != "grt_2" || h.Entitlement != e.ID || h.Needs < 1 || h.Needs > after.Rev || !h.ReleasedAt.IsZero():
			t.Errorf("hold %+v on %+v", h, after)
		case !after.ExpiresAt.Equal(e.ExpiresAt.Add(later)):
			t.Errorf("expiry %v, want %v later than %v", after.ExpiresAt, later, e.ExpiresAt)
		}
		return step{string(after.State), after.Version, reflect.DeepEqual(after, e), ev, err}
	}
}

func release(others int) func(*testing.T, Entitlement) step {
	return func(t *testing.T, e Entitlement) step {
		after, h, ev, did := e.Release(Hold{Grant: "grt_1", Entitlement: e.ID, Needs: 1}, others, t0)
		if !h.ReleasedAt.Equal(t0) {
			t.Errorf("released at %v", h.ReleasedAt)
		}
		if did != (ev.Type != "") {
			t.Errorf("did is %v, and the event %q", did, ev.Type)
		}
		again, h2, ev2, did2 := after.Release(h, others, t0.Add(time.Hour))
		if did2 || ev2.Type != "" || h2 != h || !reflect.DeepEqual(again, after) {
			t.Errorf("released twice: %+v, %+v, %+v", again, h2, ev2)
		}
		return step{string(after.State), after.Version, reflect.DeepEqual(after, e), ev, nil}
	}
}

// entitlementTable is for memberships; enableBut says where shared accounts differ.
var entitlementTable = map[EntitlementState]map[string]string{
	Intended: {
		"Intend": "intended entitlement.intended",
		"Share":  "intended entitlement.refreshing", "Share later": "intended entitlement.refreshing",
		"Renewed": "nothing", "Raise": "nothing", "Raise later": "intended entitlement.refreshing",
		"Release last": "removing entitlement.removing", "Release others": "nothing",
		"Observe": "intended entitlement.observed", "Confirm": "present entitlement.present", "Confirm older": "refreshing entitlement.present",
		"Confirm newer": "internal wrong-revision", "Confirm none": "internal wrong-revision",
		"Vanish": "conflict wrong-state", "Vanish quarantined": "conflict wrong-state", "Again": "nothing",
	},
	Present: {
		"Intend": "intended entitlement.intended",
		"Share":  "refreshing entitlement.refreshing", "Share later": "refreshing entitlement.refreshing",
		"Renewed": "refreshing entitlement.refreshing", "Raise": "nothing", "Raise later": "refreshing entitlement.refreshing",
		"Release last": "removing entitlement.removing", "Release others": "nothing",
		"Observe": "present entitlement.observed", "Confirm": "present entitlement.present", "Confirm older": "refreshing entitlement.present",
		"Confirm newer": "internal wrong-revision", "Confirm none": "internal wrong-revision",
		"Vanish": "conflict wrong-state", "Vanish quarantined": "conflict wrong-state", "Again": "nothing",
	},
	Refreshing: {
		"Intend": "intended entitlement.intended",
		"Share":  "refreshing entitlement.refreshing", "Share later": "refreshing entitlement.refreshing",
		"Renewed": "refreshing entitlement.refreshing", "Raise": "nothing", "Raise later": "refreshing entitlement.refreshing",
		"Release last": "removing entitlement.removing", "Release others": "nothing",
		"Observe": "refreshing entitlement.observed", "Confirm": "present entitlement.present", "Confirm older": "refreshing entitlement.present",
		"Confirm newer": "internal wrong-revision", "Confirm none": "internal wrong-revision",
		"Vanish": "conflict wrong-state", "Vanish quarantined": "conflict wrong-state", "Again": "nothing",
	},
	Removing: {
		"Intend": "intended entitlement.intended",
		"Share":  "unavailable being-removed", "Share later": "unavailable being-removed",
		"Renewed": "nothing", "Raise": "nothing", "Raise later": "nothing",
		"Release last": "nothing", "Release others": "nothing",
		"Observe": "removing entitlement.observed", "Confirm": "conflict being-removed", "Confirm older": "conflict being-removed",
		"Confirm newer": "conflict being-removed", "Confirm none": "conflict being-removed",
		"Vanish": "gone entitlement.gone", "Vanish quarantined": "pending quarantine", "Again": "nothing",
	},
	Gone: {
		"Intend": "intended entitlement.intended",
		"Share":  "unavailable being-removed", "Share later": "unavailable being-removed",
		"Renewed": "nothing", "Raise": "nothing", "Raise later": "nothing",
		"Release last": "nothing", "Release others": "nothing",
		"Observe": "gone entitlement.observed", "Confirm": "conflict being-removed", "Confirm older": "conflict being-removed",
		"Confirm newer": "conflict being-removed", "Confirm none": "conflict being-removed",
		"Vanish": "conflict wrong-state", "Vanish quarantined": "conflict wrong-state", "Again": "removing entitlement.removing",
	},
}

var enableBut = map[EntitlementState]map[string]string{
	Intended:   {"Release others": "intended entitlement.refreshing"},
	Present:    {"Release others": "refreshing entitlement.refreshing"},
	Refreshing: {"Release others": "refreshing entitlement.refreshing"},
}

func TestEntitlementTransitions(t *testing.T) {
	checkTable(t, entitlementTable, entitlementInputs)
	checkMethods[Entitlement](t, entitlementInputs, "Calling", "Settle", "LandsBy", "AllLandBy", "AwaitLost", "Retry", "Quarantined", "Wanted")
	checkMethods[Hold](t, map[string]bool{"Ready": true, "Settle": true})
	for _, m := range []Mechanism{Member, Enable} {
		for s, row := range entitlementTable {
			for in, want := range row {
				if but, ok := enableBut[s][in]; ok && m == Enable {
					want = but
				}
				t.Run(string(m)+"/"+string(s)+"/"+in, func(t *testing.T) {
					e := entitlementIn(t, m, s)
					got := entitlementInputs[in](t, e)
					if got.outcome() != want {
						t.Errorf("got %s, want %s", got.outcome(), want)
					}
					got.check(t, e.Version, string(e.ID))
				})
			}
		}
	}
}

// A stronger renewal is not weakened by a weaker one that comes while it waits.
func TestRenewalsAddUp(t *testing.T) {
	e := entitlementIn(t, Enable, Present)
	e, h, _, err := e.Share(Grant{ID: "grt_2", ExpiresAt: e.ExpiresAt}, t0)
	if err != nil || e.Renew != RenewSecret || h.Needs != e.Rev || h.Ready(e) {
		t.Fatalf("a new holder of a shared account waits for a fresh secret: %+v %+v %v", e, h, err)
	}
	e, _, _, _ = e.Release(Hold{Grant: "grt_1", Needs: 1}, 1, t0)
	if e.Renew != RenewAll || e.Rev != 3 {
		t.Errorf("a leave ends all sessions: %+v", e)
	}
	e, _, _ = e.Raise(Grant{ExpiresAt: e.ExpiresAt.Add(1)}, t0)
	if e.Renew != RenewAll || e.Rev != 4 {
		t.Errorf("an extension must not spare them: %+v", e)
	}
}

func TestExclusiveIsNotShared(t *testing.T) {
	e := entitlementIn(t, Enable, Present)
	exclusive := e
	exclusive.Exclusive = true
	_, _, _, err := exclusive.Share(Grant{ID: "grt_2"}, t0)
	wantCode(t, err, Conflict, "account-in-use")
	_, _, _, err = e.Share(Grant{ID: "grt_2", Permissions: Permissions{Exclusive: true}}, t0)
	wantCode(t, err, Conflict, "account-in-use")
}

func TestAdopt(t *testing.T) {
	e, ev := Adopt(Entitlement{Tag: "tag", Account: "stray", Mechanism: Account}, "ent_9", t0)
	if e.State != Removing || e.Version != 1 || !e.Observed || e.Existing || !e.NextAt.Equal(t0) || !e.RemovingAt.Equal(t0) || !e.CreatedAt.Equal(t0) {
		t.Errorf("adopted %+v", e)
	}
	if ev.Type != EntitlementRemoving || ev.Version != 1 || ev.Entity != "ent_9" || ev.Facts["tag"] != "tag" || ev.Facts["account"] != "stray" {
		t.Errorf("event %+v", ev)
	}
	if _, _, err := e.Vanish(t0, t0); err != nil {
		t.Error(err)
	}
}

// What was read while a call was in flight stays unproved, however late it is said.
func TestVanishCountsFromTheReading(t *testing.T) {
	e := entitlementIn(t, Account, Removing)
	e.CallUntil = t0.Add(time.Second)
	_, _, err := e.Vanish(t0.Add(time.Second-1), t0.Add(time.Hour))
	wantCode(t, err, Pending, "quarantine")
	gone, ev, err := e.Vanish(t0.Add(time.Second), t0.Add(time.Hour))
	if err != nil || !gone.GoneAt.Equal(t0.Add(time.Hour)) || !ev.At.Equal(t0.Add(time.Hour)) {
		t.Errorf("gone at %v, said at %v: %v", gone.GoneAt, ev.At, err)
	}
}

func TestVanishSaysWhatIsKept(t *testing.T) {
	e := entitlementIn(t, Member, Removing)
	if _, ev, _ := e.Vanish(t0, t0); ev.Facts["kept"] != "" {
		t.Errorf("facts %v", ev.Facts)
	}
	e.Existing = true
	if _, ev, _ := e.Vanish(t0, t0); ev.Facts["kept"] == "" {
		t.Errorf("facts %v", ev.Facts)
	}
}

// A call that was lost may land until its deadline, whatever a later one did.
func TestLostCallsStayInQuarantine(t *testing.T) {
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	known := map[string]func(Entitlement) Entitlement{
		"confirmed": func(e Entitlement) Entitlement {
			e, _, err := e.Confirm(1, "", "", at(2))
			if err != nil {
				t.Fatal(err)
			}
			return e
		},
		"not done": Entitlement.Settle,
	}
	for name, f := range known {
		e := f(entitlementIn(t, Member, Intended).Calling(at(5)))
		if e.Quarantined(at(0)) {
			t.Errorf("%s: quarantined until %v though the only call is over", name, e.CallUntil)
		}
		e = e.Calling(at(7)) // lost: its outcome is never recorded
		e = f(e.Retry("no answer", at(1)).Calling(at(9)))
		if !e.Quarantined(at(7).Add(-1)) || e.Quarantined(at(7)) {
			t.Errorf("%s: quarantined until %v, want the lost call's deadline, %v", name, e.CallUntil, at(7))
		}
		if e = f(e.Calling(at(11))); !e.Quarantined(at(7).Add(-1)) || e.Quarantined(at(7)) {
			t.Errorf("%s: after one more call, quarantined until %v, want %v", name, e.CallUntil, at(7))
		}
	}
	if e := (Entitlement{}).Calling(at(5)).Calling(at(3)); !e.CallUntil.Equal(at(5)) {
		t.Errorf("a shorter call shortens the quarantine to %v", e.CallUntil)
	}
}

func TestRetryBacksOff(t *testing.T) {
	e := Entitlement{State: Removing}
	for i, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000} {
		e = e.Retry("down", t0)
		if got := e.NextAt.Sub(t0); got != want*time.Millisecond || e.Attempts != i+1 || e.LastError != "down" {
			t.Errorf("attempt %d: next in %v, want %v ms; %+v", e.Attempts, got, int64(want), e)
		}
	}
	e.Attempts = 1 << 40
	if got := e.Retry("down", t0).NextAt.Sub(t0); got != 30*time.Second {
		t.Errorf("after very many attempts: %v", got)
	}
}

func TestWanted(t *testing.T) {
	want := map[EntitlementState]bool{Intended: true, Present: false, Refreshing: true, Removing: true, Gone: false}
	for _, s := range constants[EntitlementState](t) {
		w, ok := want[s]
		if got := (Entitlement{State: s}).Wanted(); !ok || got != w {
			t.Errorf("%s: Wanted() = %v", s, got)
		}
	}
}

// TestLostCallOfAnEarlierEnd: an extension comes while a call is out, which is lost. The
// call after it sets the later end; the lost one may set it back until it cannot land any
// more, and then it is set again.
func TestLostCallOfAnEarlierEnd(t *testing.T) {
	lands := t0.Add(8 * time.Second)
	for _, c := range []struct {
		name  string
		rev   int64
		lost  time.Time
		state EntitlementState
	}{
		{"extended meanwhile", 2, lands, Refreshing},
		{"never extended", 1, lands, Present},
		{"nothing lost", 2, time.Time{}, Present},
		{"it has landed or never will", 2, t0, Present},
	} {
		e := Entitlement{State: Refreshing, Rev: c.rev, Confirmed: c.rev - 1, Renew: RenewAll, CallUntil: lands, LostUntil: c.lost}
		after, _, err := e.Confirm(c.rev, "", "", t0)
		if err != nil || after.State != c.state || after.Confirmed != c.rev {
			t.Errorf("%s: %s, confirmed %d, %v", c.name, after.State, after.Confirmed, err)
		}
		if c.state == Present {
			continue
		}
		if after.Renew != RenewExpiry || !after.NextAt.Equal(lands) {
			t.Errorf("%s: renews %d at %s", c.name, after.Renew, after.NextAt)
		}
		again, _, err := after.Calling(lands.Add(5*time.Second)).Confirm(c.rev, "", "", lands)
		if err != nil || again.State != Present {
			t.Errorf("%s: then %s, %v", c.name, again.State, err)
		}
	}
}

// TestRaiseAfterALostCall: what a lost call may still set back is moved after it.
func TestRaiseAfterALostCall(t *testing.T) {
	e := Entitlement{State: Present, Rev: 1, Confirmed: 1, ExpiresAt: t0, CallUntil: t0.Add(7 * time.Second), LostUntil: t0.Add(7 * time.Second)}
	after, _, did := e.Raise(Grant{ExpiresAt: t0.Add(time.Hour)}, t0)
	if !did || after.State != Refreshing || !after.NextAt.Equal(e.LostUntil) {
		t.Errorf("raised: %v, %s, next at %s", did, after.State, after.NextAt)
	}
	// Who leaves takes the credential along at once.
	e.Mechanism = Enable
	after, _, _, did = e.Release(Hold{Grant: "grt_1"}, 1, t0)
	if !did || !after.NextAt.Equal(t0) {
		t.Errorf("left: %v, next at %s", did, after.NextAt)
	}
}
