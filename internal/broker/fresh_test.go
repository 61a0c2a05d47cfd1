package broker_test

import (
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
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

// TestStaleFactsOnAllWays: what is asked for in a bundle, by an agent, or was asked for
// before the facts were stale, is no way around.
func TestStaleFactsOnAllWays(t *testing.T) {
	h := newHouse(t, time.Hour)
	h.apply(partyDocuments + "---\n" + two)
	waits, err := h.Submit(t.Context(), h.as("gus"), ask("reader", time.Minute))
	must(t, err)
	if waits.Request.State != access.RequestPending {
		t.Fatalf("it is %s", waits.Request.State)
	}
	var stale atomic.Bool
	stale.Store(true)
	h.Fresh = func(p access.Principal) error {
		if stale.Load() && (p.ID == "user:gus" || p.ID == "user:mira") {
			return access.Fail(access.Unavailable, "stale-directory", "nothing new is granted to you for now")
		}
		return nil
	}
	if _, _, err := h.SubmitBundle(t.Context(), h.as("gus"), bundle(part("db", "reader"), part("db2", "reader"))); code(err) != "stale-directory" {
		t.Errorf("a bundle: %v", err)
	}
	if _, err := h.Submit(t.Context(), h.by(fixer), task("T-1", time.Minute)); code(err) != "stale-directory" {
		t.Errorf("an agent of somebody stale: %v", err)
	}
	if _, err := h.yes("omar", waits); code(err) != "stale-directory" {
		t.Errorf("a yes to somebody stale: %v", err)
	}
	stale.Store(false)
	waits, err = h.yes("omar", waits) // the yes was not used up
	must(t, err)
	h.until("gus", string(waits.Request.ID), access.Active)
}
