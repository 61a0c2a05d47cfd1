package store

import (
	"slices"
	"testing"
)

// TestWrittenCount: what is counted is what the database would count.
func TestWrittenCount(t *testing.T) {
	at := []int64{0, 99, 100, 149, 150, 199, 200, 250, 299, 300, 1 << 40, -5}
	got := Tally{Counts: make([]int64, 4)}
	got.count(at, 100, 300, 50) // of a span that is cut into 4 steps
	if want := []int64{2, 2, 1, 2}; !slices.Equal(got.Counts, want) || got.Total != 7 {
		t.Errorf("%+v, want %v", got, want)
	}
}

// Spoil makes what is known of a store's records wrong, for tests: their times, or which the
// last of them is.
func (s *Store) Spoil(times bool) (known int) {
	w := s.written.get()
	if times {
		w.at = make([]int64, len(w.at))
	} else {
		w.last = "another"
	}
	s.written.keep(w)
	return len(w.at)
}
