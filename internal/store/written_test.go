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
	w := s.written.spans[0]
	if times {
		w.at = make([]int64, len(w.at))
	} else {
		w.last = "another"
	}
	s.written.keep(w)
	return len(w.at)
}

// TestWrittenCache: pieces that lie apart are kept side by side, so that readers of different
// times do not drive each other out; there are never more than so many, and one that has
// another in it takes its place.
func TestWrittenCache(t *testing.T) {
	var c writtenCache
	piece := func(first int64, n int) written { return written{first: first, at: make([]int64, n), last: "x"} }
	has := func(low, first, end int64) {
		t.Helper()
		if w := c.from(low); w.first != first || w.end() != end {
			t.Errorf("from %d on [%d, %d) is known, not [%d, %d)", low, w.first, w.end(), first, end)
		}
	}
	has(0, 0, 0)
	c.keep(written{first: 7})
	has(7, 0, 0)
	for range 2 { // in turns
		c.keep(piece(0, 10))
		c.keep(piece(100, 10))
		has(5, 0, 10)
		has(100, 100, 110)
	}
	has(10, 0, 0) // what is known ends before it
	has(99, 0, 0)
	c.keep(piece(90, 30)) // which has the one from 100 on in it
	has(100, 90, 120)
	c.keep(piece(110, 30)) // which begins within it and goes further
	has(110, 110, 140)
	has(95, 90, 120)
	for i := range int64(keepSpans) {
		c.keep(piece(1000*(i+1), 1))
	}
	has(95, 0, 0) // not used for so long
	has(5, 0, 0)
	has(4000, 4000, 4001)
	if len(c.spans) != keepSpans {
		t.Errorf("%d pieces are kept", len(c.spans))
	}
}
