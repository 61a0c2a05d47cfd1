package broker

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestLeasesLastAsTheStoreWaits: leases last three times as long as the store let
// what ends access wait lately, within bounds, and are short again after that.
func TestLeasesLastAsTheStoreWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w waits
		after := func(wait, want time.Duration) {
			t.Helper()
			if got := w.lease(time.Now().Add(-wait)); got != want {
				t.Errorf("after a wait of %s a lease lasts %s, not %s", wait, got, want)
			}
		}
		after(0, removeLease)
		after(600*time.Millisecond, removeLease)
		after(4*time.Second, 12*time.Second)
		after(time.Second, 12*time.Second) // the longest lately counts
		after(time.Hour, longestLease)
		time.Sleep(waitsFor + 1)
		after(0, removeLease)
	})
}
