package postgres

import (
	"testing"

	"go.uber.org/goleak"

	"stint/internal/access"
	"stint/internal/connector"
)

// TestClose: nothing of a connector runs on after Close, pools that were
// forgotten meanwhile included.
func TestClose(t *testing.T) {
	w := newWorld(t)
	here := goleak.IgnoreCurrent()
	c := New()
	for range 2 {
		o := w.Order(access.Account)
		if _, err := c.Provision(t.Context(), w.target, o); err != nil {
			t.Fatal(err)
		}
		for i, r := range c.Revoke(t.Context(), w.target, []connector.Order{o}) {
			if r.Outcome != connector.Done {
				t.Fatalf("revoke %d: %v", i, r.Err)
			}
		}
		c.Forget(w.target.Connection)
	}
	c.Close()
	goleak.VerifyNone(t, here)
}
