package gateway

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// at is a moment at which both clocks counted the same.
func at(d time.Duration) Instant { return Instant{Wall: noon.Add(d), Mono: d} }

func TestLease(t *testing.T) {
	const h = time.Hour
	closes := NewLease(Permit{Remaining: h}, at(0))
	keeps := NewLease(Permit{Remaining: h, OnPartition: PartitionKeep}, at(0))
	tests := []struct {
		name  string
		lease Lease
		now   Instant
		want  State
		why   Reason
	}{
		{"zero", Lease{}, at(0), Over, Expired},
		{"fresh", closes, at(Freshness - 1), Live, ""},
		{"stale", closes, at(Freshness), Over, Partitioned},
		{"stale and kept", keeps, at(Freshness), Kept, ""},
		{"kept to its end", keeps, at(h - 1), Kept, ""},
		{"kept no longer", keeps, at(h), Over, Expired},
		{"renewed", closes.Renewed(at(20*time.Second), h), at(49 * time.Second), Live, ""},
		{"renewed and over", closes.Renewed(at(20*time.Second), 5*time.Second), at(25 * time.Second), Over, Expired},
		{"renewed to nothing", closes.Renewed(at(1), 0), at(2), Over, Expired},
		{"an older answer", closes.Renewed(at(10), 5*time.Second).Renewed(at(9), h), at(6 * time.Second), Over, Expired},
		{"cut stays cut", closes.Cut(Revoked).Renewed(at(10), h), at(11), Over, Revoked},
		{"the first reason", closes.Cut(Revoked).Cut(Killed), at(11), Over, Revoked},
		{"the wall ran on while the machine slept", keeps, Instant{noon.Add(h), time.Second}, Over, Expired},
		{"the wall was set back", keeps, Instant{noon.Add(-24 * h), h}, Over, Expired},
		{"the wall stands", keeps, Instant{noon, h}, Over, Expired},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, got := test.lease.At(test.now)
			if got != test.want || l.over != test.why {
				t.Errorf("got %v %q, want %v %q", got, l.over, test.want, test.why)
			}
		})
	}
}

// TestLeaseNeverOutlives drives leases with any clocks and answers, and holds them
// against what monotonic time and the last answer say.
func TestLeaseNeverOutlives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		second := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(0, 100_000).Draw(t, "ms")) * time.Millisecond
		})
		now := at(0)
		remaining := second.Draw(t, "remaining")
		l := NewLease(Permit{Remaining: remaining, OnPartition: OnPartition(rapid.SampledFrom([]string{"", "keep"}).Draw(t, "partition"))}, now)
		asked, over := now, false
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now.Mono += second.Draw(t, "passes")
			now.Wall = noon.Add(time.Duration(rapid.Int64Range(-1_000_000, 1_000_000).Draw(t, "wall")) * time.Millisecond)
			if rapid.Bool().Draw(t, "renew") {
				asked, remaining = now, second.Draw(t, "remaining")
				l = l.Renewed(asked, remaining)
			}
			next := l.Next(now)
			var state State
			l, state = l.At(now)
			if passed := now.Mono - asked.Mono; state != Over && passed >= remaining {
				t.Fatalf("%v at %v of %v", state, passed, remaining)
			} else if state == Live && passed >= Freshness {
				t.Fatalf("live %v after it was renewed", passed)
			}
			if over && state != Over {
				t.Fatalf("over, and %v again", state)
			}
			over = over || state == Over
			if !over && next <= 0 {
				t.Fatalf("%v, and something is due in %v", state, next)
			}
		}
	})
}
