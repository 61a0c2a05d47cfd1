package broker_test

import (
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
)

// TestStaleFacts: of whom is known only what was so too long ago gets nothing new. What
// they hold goes on and ends, others ask as ever, and break-glass does not ask.
func TestStaleFacts(t *testing.T) {
	h := newGlassHouse(t)
	v := h.hold("mira", "reader", time.Minute)
	v = h.until("mira", string(v.Request.ID), access.Active)
	h.Fresh = func(_ broker.Tx, _ *policy.Set, p access.Principal) error {
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
	for what, preview := range map[string]func() error{
		"a dry run": func() error {
			_, err := h.Preview(t.Context(), h.as("mira"), ask("reader", time.Minute), "")
			return err
		},
		"an explanation": func() error {
			_, err := h.Preview(t.Context(), h.as("root"), ask("reader", time.Minute), "user:mira")
			return err
		},
		"an extension": func() error {
			_, err := h.PreviewExtension(t.Context(), h.as("mira"), *v.Grant, ask("reader", time.Minute))
			return err
		},
	} {
		if err := preview(); code(err) != "stale-directory" {
			t.Errorf("%s: %v", what, err)
		}
	}
	h.hold("noor", "reader", time.Minute)
	if _, _, err := h.PreviewGlass(t.Context(), h.as("gus"), broker.Glass{Resource: "db", Role: "reader", Reason: "the shop is down"}); err != nil {
		t.Errorf("break-glass foreseen: %v", err)
	}
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
	h.Fresh = func(_ broker.Tx, _ *policy.Set, p access.Principal) error {
		if stale.Load() && (p.ID == "user:gus" || p.ID == "user:mira") {
			return access.Fail(access.Unavailable, "stale-directory", "nothing new is granted to you for now")
		}
		return nil
	}
	if _, _, err := h.SubmitBundle(t.Context(), h.as("gus"), bundle(part("db", "reader"), part("db2", "reader"))); code(err) != "stale-directory" {
		t.Errorf("a bundle: %v", err)
	}
	if _, err := h.PreviewBundle(t.Context(), h.as("gus"), bundle(part("db", "reader"), part("db2", "reader"))); code(err) != "stale-directory" {
		t.Errorf("a bundle foreseen: %v", err)
	}
	if _, err := h.Preview(t.Context(), h.by(fixer), task("T-1", time.Minute), ""); code(err) != "stale-directory" {
		t.Errorf("an agent of somebody stale, foreseen: %v", err)
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
