package oncall

import (
	"fmt"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"
)

func berlin(t testing.TB) *time.Location {
	t.Helper()
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func at(t testing.TB, zone *time.Location, text string) time.Time {
	t.Helper()
	x, err := time.ParseInLocation("2006-01-02 15:04", text, zone)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestAt(t *testing.T) {
	zone := berlin(t)
	when := func(s string) time.Time { return at(t, zone, s) }
	weekly := Layer{Members: []string{"ada", "ben", "cem"}, Start: when("2026-03-02 09:00"), Shift: 7 * day}
	s := Schedule{Zone: zone, Layers: []Layer{weekly, {Members: []string{"zoe"}, Start: when("2026-03-09 09:00"), Shift: day}},
		Overrides: []Shift{{"cem", when("2026-03-18 12:00"), when("2026-03-18 18:00")}, {"eve", when("2026-03-18 15:00"), when("2026-03-19 09:00")}}}
	for text, want := range map[string]string{
		"2026-03-02 08:59": "[]",
		"2026-03-02 09:00": "[ada]",
		"2026-03-09 08:59": "[ada]",
		"2026-03-09 09:00": "[ben zoe]",
		"2026-03-16 09:00": "[cem zoe]",
		"2026-03-18 11:59": "[cem zoe]",
		"2026-03-18 12:00": "[cem]", // instead of both layers
		"2026-03-18 15:00": "[cem eve]",
		"2026-03-18 18:00": "[eve]",
		"2026-03-19 09:00": "[cem zoe]",
		"2026-03-23 09:00": "[ada zoe]",
		"2026-03-30 08:59": "[ada zoe]", // clocks went forward on the 29th
		"2026-03-30 09:00": "[ben zoe]",
		"2026-10-26 08:59": "[ada zoe]", // and back on the 25th
		"2026-10-26 09:00": "[ben zoe]",
	} {
		if got := fmt.Sprint(s.At(when(text))); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if got := s.Between(when("2026-03-18 11:00"), when("2026-03-31 09:00")); !slices.Equal(got, []string{"cem", "zoe", "eve", "ada", "ben"}) {
		t.Errorf("between: %v", got)
	}
	hours := Schedule{Layers: []Layer{{Members: []string{"a", "b"}, Start: when("2026-03-28 20:00"), Shift: 12 * time.Hour}}}
	for text, want := range map[string]string{"2026-03-29 08:59": "a", "2026-03-29 09:00": "b"} { // one hour was skipped
		if got := hours.At(when(text)); !slices.Equal(got, []string{want}) {
			t.Errorf("twelve hours, %s: %v", text, got)
		}
	}
	for _, s := range []Schedule{{}, {Layers: []Layer{{}}}, {Layers: []Layer{{Members: []string{"a"}}}}, {Layers: []Layer{{Members: []string{"a"}, Shift: -1}}}} {
		if got := s.At(when("2026-03-29 08:59")); len(got) != 0 {
			t.Errorf("%+v has %v on call", s, got)
		}
	}
}

// Each moment after the start has exactly one of a layer's members on call; turns follow
// each other in order, without a gap, and each begins at the same time of day.
func TestLayerIsWhole(t *testing.T) {
	zones := []*time.Location{time.UTC, berlin(t)}
	if l, err := time.LoadLocation("Australia/Lord_Howe"); err == nil { // half an hour of summer time
		zones = append(zones, l)
	}
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		start := time.Unix(rapid.Int64Range(1_700_000_000, 1_800_000_000).Draw(t, "start"), 0)
		shift := rapid.SampledFrom([]time.Duration{time.Hour, 12 * time.Hour, day, 7 * day}).Draw(t, "shift")
		l := Layer{Members: []string{"a", "b", "c"}, Start: start, Shift: shift}
		s := Schedule{Zone: zone, Layers: []Layer{l}}
		moment := start.Add(time.Duration(rapid.Int64Range(0, int64(3*365*day)).Draw(t, "after")))
		n := l.turn(moment, zone)
		begins, ends := l.begins(n, zone), l.begins(n+1, zone)
		if moment.Before(begins) || !moment.Before(ends) {
			t.Fatalf("%s is not in turn %d, %s to %s", moment, n, begins, ends)
		}
		if got := s.At(moment); !slices.Equal(got, []string{l.Members[n%3]}) {
			t.Fatalf("on call is %v in turn %d", got, n)
		}
		if on, until := s.at(moment); len(on) != 1 || !until.Equal(ends) {
			t.Fatalf("until %s, want %s", until, ends)
		}
		if got := s.At(ends); !slices.Equal(got, []string{l.Members[(n+1)%3]}) {
			t.Fatalf("after turn %d comes %v", n, got)
		}
	})
}
