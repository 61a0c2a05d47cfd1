package access

import (
	"testing"
	"time"
)

// TestAgainIsAlwaysTouched: what a sweep found on the target is removed there, even
// where the row says that nothing was done or that it was there before: a failover
// of the store can have lost the record. (L-06; found by simulation)
func TestAgainIsAlwaysTouched(t *testing.T) {
	for _, e := range []Entitlement{{Observed: false}, {Observed: true, Existing: true}} {
		e.ID, e.Version, e.State, e.Mechanism = "ent_1", 4, Gone, Enable
		e, ev, ok := e.Again(time.Unix(100, 0).UTC())
		if !ok || e.State != Removing || !e.Observed || e.Existing || ev.Version != 5 {
			t.Errorf("Again gives %t, %+v, %+v", ok, e, ev)
		}
	}
}
