package broker_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// TestStaleFacts: of whom is known only what was so too long ago gets nothing new. What
// they hold goes on and ends, others ask as ever, and break-glass does not ask.
func TestStaleFacts(t *testing.T) {
	h := newGlassHouse(t)
	v := h.hold("mira", "reader", time.Minute)
	h.Fresh = func(p access.Principal) error {
		if p.ID == "user:noor" {
			return nil
		}
		return access.Fail(access.Unavailable, "stale-directory", "nothing new is granted to you for now")
	}
	for _, name := range []string{"mira", "gus"} {
		if _, err := h.Submit(t.Context(), h.as(name), ask("reader", time.Minute)); code(err) != "stale-directory" {
			t.Errorf("%s asks: %v", name, err)
		}
	}
	h.hold("noor", "reader", time.Minute)
	glass, err := h.smash(h.as("gus"))
	must(t, err)
	h.until("gus", string(glass.Request.ID), access.Active)
	_, err = h.End(t.Context(), h.as("mira"), string(v.Request.ID), "")
	must(t, err)
	h.until("mira", string(v.Request.ID), access.Ended)
}

// TestStaleFactsAnyWay: there is no way around it: not several things at once, not an
// agent of theirs, not a yes that comes when it is too late, nor more time by one.
func TestStaleFactsAnyWay(t *testing.T) {
	h := newHouse(t, time.Hour)
	var stale atomic.Bool
	h.Fresh = func(p access.Principal) error {
		if !stale.Load() || p.ID != "user:mira" && p.ID != "user:gus" {
			return nil
		}
		return access.Fail(access.Unavailable, "stale-directory", "nothing new is granted to you for now")
	}
	h.apply(two + "---\n" + guests("{approvals: [{from: [group:dba]}], maxDuration: 1h}"))
	ctx, gus := t.Context(), h.as("gus")
	submit := func() broker.View {
		t.Helper()
		v, err := h.Submit(ctx, gus, ask("reader", time.Minute))
		must(t, err)
		return v
	}
	holds := submit()
	_, err := h.yes("omar", holds)
	must(t, err)
	holds = h.until("gus", string(holds.Request.ID), access.Active)
	more, err := h.Extend(ctx, gus, string(holds.Request.ID), broker.Ask{Duration: time.Minute, Reason: "it takes longer"})
	must(t, err)
	late := submit()

	stale.Store(true)
	if _, _, err := h.SubmitBundle(ctx, gus, bundle(part("db", "reader"), part("db2", "reader"))); code(err) != "stale-directory" {
		t.Errorf("a bundle: %v", err)
	}
	if _, err := h.Submit(ctx, h.by(fixer), task("OPS-1", time.Minute)); code(err) != "stale-directory" {
		t.Errorf("an agent: %v", err)
	}
	v, err := h.yes("omar", late)
	if err != nil || v.Grant == nil || v.Grant.Live() || !strings.Contains(v.Grant.EndNote, "nothing new is granted") {
		t.Errorf("a late yes: %+v, %v", v.Grant, err)
	}
	if _, err := h.yes("omar", more); code(err) != "stale-directory" {
		t.Errorf("more time: %v", err)
	}
}
