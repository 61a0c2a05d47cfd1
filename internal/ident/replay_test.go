package ident_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stint/internal/access"
	"stint/internal/ident"
)

const window = time.Minute

func TestMemoryRefusesTheSecondTime(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 500e6, time.UTC)
	now := start
	m := ident.NewMemory(window, func() time.Time { return now })
	made := start.Add(time.Second)
	fresh := func(d access.DeviceID, id string) bool {
		t.Helper()
		ok, err := m.Fresh(t.Context(), d, id, made)
		must(t, err)
		return ok
	}
	if !fresh(laptop, "a") || fresh(laptop, "a") {
		t.Error("a proof is good once")
	}
	if !fresh(phone, "a") || !fresh(laptop, "b") {
		t.Error("another device's, or another proof, was taken for a replay")
	}
}

func TestMemoryRefusesWhatItCannotKnow(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 500e6, time.UTC)
	m := ident.NewMemory(window, func() time.Time { return start })
	_, err := m.Fresh(t.Context(), laptop, "a", start.Truncate(time.Second))
	var f *ident.Forgotten
	if !errors.As(err, &f) || !f.Since.Equal(start.Truncate(time.Second).Add(time.Second)) {
		t.Fatalf("a proof of the second in which we began: got %v", err)
	}
	if ok, err := m.Fresh(t.Context(), laptop, "a", f.Since); !ok || err != nil {
		t.Errorf("a proof of the next second: %v, %v", ok, err)
	}
}

// However time passes, no proof is taken twice while it is acceptable.
func TestMemoryNeverForgetsTooSoon(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		m := ident.NewMemory(window, func() time.Time { return now })
		now = now.Add(window)
		made := map[string]time.Time{}
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
			for id, at := range made {
				if now.Sub(at) > window {
					continue // VerifyProof refuses it by its time
				}
				if ok, err := m.Fresh(context.Background(), laptop, id, at); ok || err != nil {
					t.Fatalf("%s of %s passed again at %s: %v", id, at, now, err)
				}
			}
			id := fmt.Sprint("p", i)
			made[id] = now.Add(time.Duration(rapid.IntRange(-59, 60).Draw(t, "skew")) * time.Second)
			if ok, err := m.Fresh(context.Background(), laptop, id, made[id]); !ok || err != nil {
				t.Fatalf("a new proof was refused: %v", err)
			}
		}
	})
}

func TestMemoryAtOnce(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := ident.NewMemory(window, func() time.Time { return start })
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if ok, _ := m.Fresh(t.Context(), laptop, "a", start.Add(time.Second)); ok {
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if passed.Load() != 1 {
		t.Errorf("%d of 50 passed, want 1", passed.Load())
	}
}

// Two guards on one store are one guard.
func TestSharedRefusesTheSecondTime(t *testing.T) {
	w := newWorld(t)
	a := ident.Shared{Store: w.store.Store, Window: window}
	b := ident.Shared{Store: w.store.Store, Window: window}
	for _, c := range []struct {
		guard  ident.Shared
		device access.DeviceID
		want   bool
	}{{a, laptop, true}, {b, laptop, false}, {a, laptop, false}, {b, phone, true}} {
		if ok, err := c.guard.Fresh(t.Context(), c.device, "id", w.now()); ok != c.want || err != nil {
			t.Errorf("%s: got %v, %v; want %v", c.device, ok, err, c.want)
		}
	}
}
