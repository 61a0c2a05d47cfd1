package moment

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 250 * time.Millisecond: "250ms", 20 * time.Second: "20s", 90 * time.Minute: "1h30m", time.Hour: "1h", 3605 * time.Second: "1h0m5s",
		24 * time.Hour: "24h", 36 * time.Hour: "36h", 48 * time.Hour: "2d", 336 * time.Hour: "14d", 228 * time.Hour: "9d12h",
		366 * 24 * time.Hour: "366d", 2*time.Hour + time.Millisecond: "2h0m0.001s",
		-90 * time.Minute: "-1h30m", 49 * time.Hour: "2d1h",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%v) is %q, want %q", d, got, want)
		}
	}
}

// What is ahead is not said to be nearer than it is by most of a unit: two hours that
// were asked for a moment ago are "in 2 h".
func TestAgoIsToTheNearest(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		2*time.Hour - time.Second: "in 2 h", 30*time.Minute - 200*time.Millisecond: "in 30 min", 14*day - time.Minute: "in 14 days",
		-119 * time.Minute: "2 h ago", -89*time.Second - 600*time.Millisecond: "90 s ago", -92 * time.Second: "2 min ago", -20 * time.Second: "20 s ago", 0: "0 s ago",
		90*time.Minute - time.Second: "in 90 min", 92 * time.Minute: "in 2 h", -47*time.Hour - 40*time.Minute: "2 days ago", 100 * day: "in 100 days",
	} {
		if got := Ago(now.Add(d), now); got != want {
			t.Errorf("Ago of %v is %q, want %q", d, got, want)
		}
	}
	if got := Ago(time.Time{}, now); got != "–" {
		t.Errorf("Ago of no time is %q", got)
	}
}

func TestAtIsOneZone(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 4, 59, 0, time.FixedZone("", 3600))
	if got := At(at); got != "2026-03-01 11:04 UTC" {
		t.Errorf("got %q", got)
	}
}
