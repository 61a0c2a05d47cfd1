package broker

import (
	"testing"
	"time"
)

func TestNear(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2026, 1, 2, h, 30, 0, 0, time.UTC) }
	for _, c := range []struct {
		a, b int
		want bool
	}{{10, 10, true}, {10, 13, true}, {10, 14, false}, {23, 1, true}, {1, 23, true}, {0, 12, false}, {22, 2, false}} {
		if got := near(at(c.a), at(c.b)); got != c.want {
			t.Errorf("%d and %d: %v", c.a, c.b, got)
		}
	}
}
