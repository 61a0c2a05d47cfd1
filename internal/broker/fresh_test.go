package broker_test

import (
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
