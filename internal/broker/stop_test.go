package broker_test

import (
	"testing"
	"time"

	"stint/internal/access"
)

// TestStopWaitsForNoTarget: a stop waits a moment for what is at hand, and no longer. A
// removal that a silent target keeps waiting is done by whoever runs next.
func TestStopWaitsForNoTarget(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Minute)
	in.target.mu.Lock()
	in.target.silent = true
	in.target.mu.Unlock()
	_, err := in.End(t.Context(), in.as("mira"), string(v.Request.ID), "")
	must(t, err)
	for called, end := 0, time.Now().Add(30*time.Second); called == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the target was not asked")
		}
		in.target.mu.Lock()
		called = in.target.calls["revoke"]
		in.target.mu.Unlock()
	}
	began := time.Now()
	in.stop()
	if took := time.Since(began); took > 12*time.Second { // 5 s; the call may take 16
		t.Errorf("the stop took %s", took)
	}
	in.target.mu.Lock()
	in.target.silent = false
	in.target.mu.Unlock()
	in.start()
	in.until("mira", string(v.Request.ID), access.Ended)
	in.clean()
}
