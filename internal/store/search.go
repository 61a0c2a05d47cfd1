package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
	"stint/internal/audit"
)

const (
	// stretch is how many records one query of a search looks at. Most filters have no
	// index: a stretch is read, and then the next, until enough is found or looked at.
	stretch = 5_000
	// clocksApart is how far the clock that a record was written by may have been from that
	// of its checkpoint, for a search by time not to miss it.
	clocksApart = time.Hour
)

// clause is a condition of a filter as SQL, with its arguments, numbered after the first n.
func (d dialect) clause(c audit.Clause, n int) (string, []any) {
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", n+len(args))
	}
	var cases []string
	for _, x := range c.Any {
		var all []string
		if len(x.Types) > 0 {
			var in []string
			for _, t := range x.Types {
				in = append(in, arg(string(t)))
			}
			all = append(all, "type IN ("+strings.Join(in, ", ")+")")
		}
		if x.Noun != "" { // a slash comes after a dot; not by the index of types, which has all of them and not those of the stretch
			all = append(all, "type || '' >= "+arg(x.Noun+".")+" AND type || '' < "+arg(x.Noun+"/"))
		}
		for _, b := range x.Holds {
			if d.arrays {
				all = append(all, "position("+arg(b)+"::bytea IN body) > 0")
			} else {
				all = append(all, "instr(body, "+arg(b)+") > 0")
			}
		}
		cases = append(cases, strings.Join(all, " AND "))
	}
	text := "(" + strings.Join(cases, " OR ") + ")"
	if c.Not {
		text = "NOT " + text
	}
	return text, args
}

// Found is a page of a search.
type Found struct {
	Records []LogRecord // without their leaves
	// Next is the Before of what is further back; 0 when all was looked at.
	Next int64
}

// Search gives the newest records first. Where it has looked at q.Look records and found
// less than a page, it gives what there is, and where to go on.
func (s *Store) Search(ctx context.Context, q LogQuery) (f Found, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		f = Found{}
		low, high, err := tx.span(q)
		if err != nil {
			return err
		}
		limit, looked := limited(q.Limit, 100, 1000), int64(0)
		for high > low && (q.Look <= 0 || looked < q.Look) {
			some := q
			some.Newest, some.Limit = true, limit-len(f.Records)
			some.After, some.Before = max(low, high-stretch)-1, high
			recs, err := tx.logRecords(some)
			if err != nil {
				return err
			}
			f.Records = append(f.Records, recs...)
			looked += high - some.After - 1
			if high = some.After + 1; len(f.Records) >= limit {
				high = f.Records[len(f.Records)-1].Seq
				break
			}
		}
		if high > low {
			f.Next = high
		}
		return nil
	})
	return f, err
}

// span is which numbers a query is about: from low on, below high.
func (tx *Tx) span(q LogQuery) (low, high int64, err error) {
	head, err := tx.head()
	if err != nil {
		return 0, 0, err
	}
	if high = head.Size; q.Before > 0 {
		high = min(high, q.Before)
	}
	low = max(0, q.After+1)
	if !q.Since.IsZero() {
		since, err := tx.sizeBefore(head, q.Since.Add(-clocksApart))
		if err != nil {
			return 0, 0, err
		}
		low = max(low, since)
	}
	return low, high, nil
}

// sizeBefore is the size of the log at a checkpoint from before t: what it covers is older.
// Their times rise with their sizes, but for what clocks were set by, and so it is found
// by halving.
func (tx *Tx) sizeBefore(head Head, t time.Time) (int64, error) {
	low, high := int64(0), head.Size // the size that is looked for is in [low, high]
	for high-low > 1 {
		mid := low + (high-low)/2
		size, at, err := int64(-1), time.Time{}, error(nil)
		err = tx.each("SELECT size, at FROM audit_checkpoints WHERE size >= $1 ORDER BY size LIMIT 1", []any{mid}, func(row row) error {
			var ms int64
			err := row.Scan(&size, &ms)
			at = instant(ms)
			return err
		})
		switch {
		case err != nil:
			return 0, err
		case size < 0 || size > high || !at.Before(t):
			high = mid
		default:
			low = size
		}
		if low >= high {
			break
		}
	}
	return low, nil
}

// Tally is how many records a query selects, by time.
type Tally struct {
	Counts []int64 // of each step from Since on
	Total  int64
	// Looked is how many records were looked at, of Of that there are from then on.
	Looked, Of int64
	Oldest     time.Time // when the oldest that was looked at was written; zero where all were
}

// Tally counts what a query with a Since and an Until selects, in so many steps of equal
// length. It looks at the newest q.Look records, if that is set.
func (s *Store) Tally(ctx context.Context, q LogQuery, steps int) (t Tally, err error) {
	span := q.Until.UnixMilli() - q.Since.UnixMilli()
	if q.Since.IsZero() || q.Until.IsZero() || span <= 0 || steps < 1 || steps > 1000 {
		return t, access.Fail(access.Invalid, "bad-time", "what is counted has a beginning and a later end")
	}
	step := (span + int64(steps) - 1) / int64(steps)
	var read written
	defer func() {
		if err == nil {
			s.written.keep(read)
		}
	}()
	err = s.View(ctx, func(tx *Tx) error {
		t, read = Tally{Counts: make([]int64, steps)}, written{}
		low, high, err := tx.span(q)
		if err != nil || high <= low {
			return err
		}
		t.Of, t.Looked = high-low, high-low
		if q.Look > 0 && t.Looked > q.Look {
			low, t.Looked = high-q.Look, q.Look
			if t.Oldest, err = tx.recordedAt(low); err != nil {
				return err
			}
		}
		if q.plain() && high-low <= keepWritten {
			ats, ok, err := tx.writtenAt(s.written.from(low), low, high)
			if err != nil {
				return err
			}
			if ok {
				read = ats
				t.count(ats.at[low-ats.first:high-ats.first], q.Since.UnixMilli(), q.Until.UnixMilli(), step)
				return nil
			}
		}
		q.After, q.Before = low-1, high
		conds, args := tx.logConds(q)
		args = append(args, q.Since.UnixMilli(), step)
		return tx.each(fmt.Sprintf("SELECT (at - $%d) / $%d AS step, COUNT(*) FROM audit_records WHERE %s GROUP BY 1", len(args)-1, len(args), strings.Join(conds, " AND ")),
			args, func(row row) error {
				var at, n int64
				err := row.Scan(&at, &n)
				if err == nil && at >= 0 && at < int64(steps) {
					t.Counts[at] += n
					t.Total += n
				}
				return err
			})
	})
	return t, err
}

// Proof is one record with what shows that it is in the log.
type Proof struct {
	Record LogRecord
	Proof  tlog.RecordProof // nil while no checkpoint covers it
	Head   Head             // the newest checkpoint, in which it is proven
}

// Prove reads a record and makes the proof that it is in the newest checkpoint; access.NotFound
// when there is none of that number. It judges nothing: a proof may not hold.
func (s *Store) Prove(ctx context.Context, seq int64) (p Proof, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		p = Proof{}
		recs, err := tx.logRecords(LogQuery{After: seq - 1, Before: seq + 1, Limit: 1})
		if err != nil {
			return err
		}
		if len(recs) == 0 || seq < 0 {
			return access.Fail(access.NotFound, "no-such-record", "there is no such record")
		}
		if err := tx.leaves(recs); err != nil {
			return err
		}
		p.Record = recs[0]
		if p.Head, err = tx.head(); err != nil || seq >= p.Head.Size {
			return err
		}
		p.Proof, err = audit.ProveRecord(p.Head.Size, seq, tx)
		return err
	})
	return p, err
}
