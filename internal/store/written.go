package store

import (
	"slices"
	"sync"
)

// A record never changes once it has its number. When the newest were written is therefore
// read once: to count twenty thousand for the picture over the log took the database 25 ms
// each time.

// keepWritten bounds the records of which that is kept in one piece, eight bytes each, and
// keepSpans the pieces: pages that look at different times take turns.
const (
	keepWritten = 50_000
	keepSpans   = 4
)

// written is when records were written, in milliseconds, from the number first on.
type written struct {
	first int64
	at    []int64
	last  string // the id of the last of them
}

func (w written) end() int64 { return w.first + int64(len(w.at)) }

// writtenCache keeps what was used last, that first. The zero value is ready. What it has
// given is never written to.
type writtenCache struct {
	mu    sync.Mutex // nothing is called under it
	spans []written
}

// from is what is known from the record low on; nothing where that is not known.
func (c *writtenCache) from(low int64) (best written) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.spans {
		if w.first <= low && low < w.end() && w.end() > best.end() {
			best = w
		}
	}
	return best
}

// keep keeps a piece in the place of those that it has in it.
func (c *writtenCache) keep(w written) {
	if len(w.at) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	spans := []written{w}
	for _, x := range c.spans {
		if len(spans) < keepSpans && (x.first < w.first || x.end() > w.end()) {
			spans = append(spans, x)
		}
	}
	c.spans = spans
}

// plain reports whether a query selects by time and number alone.
func (q LogQuery) plain() bool {
	return q.Type == "" && q.Entity == "" && q.Kind == "" && q.Person == "" && q.Resource == "" && len(q.Where.Clauses()) == 0
}

// writtenAt is when the records from low on, below high, were written, as far as that is
// known already, and else from the store. It is false where there is not one record for each
// number. What is known is believed only if its last record still has that number: a database
// that was failed over may have lost the end of the log, and got another.
func (tx *Tx) writtenAt(known written, low, high int64) (written, bool, error) {
	if len(known.at) > 0 {
		ids, err := list(tx, scanText[string], "SELECT id FROM audit_records WHERE seq = $1", known.end()-1)
		if err != nil {
			return known, false, err
		}
		if len(ids) != 1 || ids[0] != known.last {
			known = written{}
		}
	}
	if len(known.at) == 0 {
		known = written{first: low}
	} else if drop := high - keepWritten - known.first; drop > 0 && known.first+drop <= low { // what is older was asked for before, and may be again
		known = written{first: known.first + drop, at: known.at[drop:], last: known.last}
	}
	w := written{first: known.first, at: slices.Clip(known.at), last: known.last} // what is added goes elsewhere
	if w.end() < high {
		w.at = slices.Grow(w.at, int(high-w.end()))
		from := w.end()
		err := tx.each("SELECT seq, at, id FROM audit_records WHERE seq >= $1 AND seq < $2 ORDER BY seq", []any{from, high}, func(row row) error {
			var seq, at int64
			err := row.Scan(&seq, &at, &w.last)
			if err == nil && seq == w.end() {
				w.at = append(w.at, at)
			}
			return err
		})
		if err != nil {
			return w, false, err
		}
	}
	return w, w.end() >= high && w.first <= low, nil
}

// count adds those between two times, by step from the first on.
func (t *Tally) count(at []int64, since, until, step int64) {
	for _, ms := range at {
		if i := (ms - since) / step; ms >= since && ms < until && i < int64(len(t.Counts)) {
			t.Counts[i]++
			t.Total++
		}
	}
}
