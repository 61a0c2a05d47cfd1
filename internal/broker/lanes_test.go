package broker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
)

// fill lets as many in as there is room for and returns their ways out.
func fill(t *testing.T, k *bulkhead, p access.Place, most int) (in []func(bool)) {
	t.Helper()
	for range most {
		leave, ok := enterAtOnce(k, p)
		if !ok {
			return in
		}
		in = append(in, leave)
	}
	t.Fatalf("%d calls at %s, and still room", most, p)
	return nil
}

// enterAtOnce enters where there is room, and waits a moment of simulated time
// where there is none.
func enterAtOnce(k *bulkhead, p access.Place) (leave func(bool), ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	return k.enter(ctx, p)
}

// TestOnePlaceLeavesRoom: a target that has just fallen silent, of which nobody
// knows yet, keeps no other target from work.
func TestOnePlaceLeavesRoom(t *testing.T) { synctest.Test(t, onePlaceLeavesRoom) }

func onePlaceLeavesRoom(t *testing.T) {
	k := newBulkhead(64)
	dead := fill(t, k, "dead", 65)
	if len(dead) != 8 {
		t.Errorf("one place has %d of 64", len(dead))
	}
	leave, ok := enterAtOnce(k, "live")
	if !ok {
		t.Fatal("a place that is silent keeps another one out")
	}
	leave(true)
	for _, leave := range dead {
		leave(true)
	}
	if len(k.places) != 0 || len(k.all) != 0 {
		t.Errorf("%d places and %d calls are still in it", len(k.places), len(k.all))
	}
}

// TestSilentPlacesShareHalf: however many targets are known to be silent, half
// of the room is not theirs.
func TestSilentPlacesShareHalf(t *testing.T) { synctest.Test(t, silentPlacesShareHalf) }

func silentPlacesShareHalf(t *testing.T) {
	k := newBulkhead(64)
	names := []access.Place{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	for _, p := range names {
		leave, ok := k.enter(context.Background(), p)
		if !ok {
			t.Fatal("no room in an empty bulkhead")
		}
		leave(false)
	}
	n := 0
	for _, p := range names {
		n += len(fill(t, k, p, 65))
	}
	if n != 32 {
		t.Errorf("silent places have %d of 64", n)
	}
	if _, ok := enterAtOnce(k, "live"); !ok {
		t.Error("silent places keep a live one out")
	}
}
