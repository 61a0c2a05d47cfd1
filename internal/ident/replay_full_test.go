package ident

import (
	"testing"
	"time"

	"stint/internal/access"
)

func TestFullMemoryAcceptsNothing(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := NewMemory(time.Minute, func() time.Time { return now })
	m.most = 2
	made := now.Add(time.Second)
	for _, id := range []string{"a", "b"} {
		if ok, err := m.Fresh(t.Context(), "laptop", id, made); !ok || err != nil {
			t.Fatalf("%s: %v, %v", id, ok, err)
		}
	}
	if ok, err := m.Fresh(t.Context(), "laptop", "c", made); ok || access.KindOf(err) != access.Unavailable {
		t.Errorf("a full guard says %v, %v", ok, err)
	}
	if ok, _ := m.Fresh(t.Context(), "laptop", "a", made); ok {
		t.Error("a full guard has forgotten")
	}
	now = now.Add(2 * time.Minute) // and there is room again
	if ok, err := m.Fresh(t.Context(), "laptop", "c", now); !ok || err != nil {
		t.Errorf("later: %v, %v", ok, err)
	}
}
