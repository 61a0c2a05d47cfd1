package clock

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestWhateverTheWallDoes draws walls that step, drift, freeze and come back,
// answers of any width, and restarts of the process, and holds the invariants of
// the package comment against them after every sample.
func TestWhateverTheWallDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mono := booted
		began, wrong := mono, time.Duration(0)
		k := New(Mark{}, "b1", mono, true)
		k.Take(Sample{Wall: noon, Mono: mono})
		last := noon
		steps := rapid.SampledFrom([]time.Duration{0, 0, 0, 300 * time.Millisecond, time.Second, 3 * time.Second, time.Minute, time.Hour, 24 * time.Hour, 10 * 365 * 24 * time.Hour})
		for range rapid.IntRange(1, 200).Draw(t, "samples") {
			passed := time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "passed"))
			mono += passed
			step := steps.Draw(t, "step")
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				wrong += step
			case 1:
				wrong -= step
			case 2:
				wrong = 0
			case 3:
				wrong -= passed // it stood still
			case 4:
				k = New(k.Mark("b1"), "b1", mono, true)
			}
			width := time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "width"))
			read := mono - time.Duration(rapid.Int64Range(0, int64(width)).Draw(t, "read"))
			truth := noon.Add(mono - began)
			wall := noon.Add(read - began).Add(wrong)
			r := k.Take(Sample{Wall: wall, Mono: mono, Width: width})

			drawn := (mono-began)/Slew + time.Millisecond
			if r.Now.Before(last) {
				t.Fatalf("went back from %v to %v", last, r.Now)
			}
			if ahead := r.Now.Sub(truth); ahead > Uncertainty+drawn {
				t.Fatalf("%v ahead of monotonic time after %v", ahead, mono-began)
			}
			if behind := truth.Sub(r.Now); behind > drawn {
				t.Fatalf("%v behind monotonic time after %v", behind, mono-began)
			}
			if off := r.Now.Sub(wall); r.Trusted && (off > 2*Uncertainty+width || off < -Uncertainty) {
				t.Fatalf("trusted, and %v off the wall", off)
			}
			last = r.Now
		}
		// It is right again. Unless it was ahead for so long that the line was drawn
		// far from what is right, nothing is in doubt after a while.
		if k.Read(mono).Now.Sub(noon.Add(mono-began)).Abs() > Near {
			return
		}
		for range 40 {
			mono += 30 * time.Second
			k.Take(Sample{Wall: noon.Add(mono - began), Mono: mono})
		}
		if r := k.Read(mono); !r.Trusted {
			t.Fatalf("the wall has been right for 20 minutes: %s", r.Why)
		}
	})
}

// TestHonestWall: what is right is never doubted, whatever drift NTP leaves and
// however answers come, and nothing ends more than U early or late by it.
func TestHonestWall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ppm := rapid.Int64Range(-500, 500).Draw(t, "ppm")
		mono := booted
		began := mono
		k := New(Mark{}, "b1", mono, true)
		k.Take(Sample{Wall: noon, Mono: mono})
		for range rapid.IntRange(1, 100).Draw(t, "samples") {
			mono += time.Duration(rapid.Int64Range(0, int64(90*time.Second)).Draw(t, "passed"))
			width := time.Duration(rapid.Int64Range(0, int64(400*time.Millisecond)).Draw(t, "width"))
			read := mono - time.Duration(rapid.Int64Range(0, int64(width)).Draw(t, "read"))
			wallAt := func(m time.Duration) time.Time {
				return noon.Add(m - began).Add((m - began) / 1e6 * time.Duration(ppm))
			}
			r := k.Take(Sample{Wall: wallAt(read), Mono: mono, Width: width})
			if !r.Trusted {
				t.Fatalf("doubted: %s", r.Why)
			}
			if off := r.Now.Sub(wallAt(mono)); off > Uncertainty || off < -Uncertainty-width {
				t.Fatalf("%v off", off)
			}
		}
	})
}
