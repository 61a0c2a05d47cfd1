package store

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
	"stint/internal/audit"
)

// LogQuery selects numbered records, in the order of their numbers. Zero fields
// do not select, but for After.
type LogQuery struct {
	After    int64 // only higher numbers; -1 begins at the first
	Limit    int   // 1 to 1000; 0 means 100
	Type     access.EventType
	Entity   string
	Kind     string        // of entities: what their names begin with, with the underscore
	Person   access.Person // who did it, or whom it is about
	Resource access.ResourceName
	Since    time.Time // inclusive
	Until    time.Time // exclusive
	// Newest gives the newest first, only numbers below Before unless that is zero, and
	// looks at no more than Look records, if that is set: see Search.
	Newest bool
	Before int64
	Look   int64
	Where  audit.Filter
}

// LogRecord is one record as it is stored.
type LogRecord struct {
	Seq  int64
	Leaf tlog.Hash
	Body []byte // as audit.Encode wrote it
}

func scanRecord(row row) (LogRecord, error) {
	var r LogRecord
	err := row.Scan(&r.Seq, &r.Body)
	return r, err
}

// Records reads the log.
func (s *Store) Records(ctx context.Context, q LogQuery) (found []LogRecord, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		found, err = tx.logRecords(q)
		if err != nil {
			return err
		}
		return tx.leaves(found)
	})
	return found, err
}

func (tx *Tx) logRecords(q LogQuery) ([]LogRecord, error) {
	conds, args := tx.logConds(q)
	order := " ORDER BY seq"
	if q.Newest {
		order += " DESC"
	}
	args = append(args, int64(limited(q.Limit, 100, 1000)))
	return list(tx, scanRecord, "SELECT seq, body FROM audit_records WHERE "+strings.Join(conds, " AND ")+order+
		fmt.Sprintf(" LIMIT $%d", len(args)), args...)
}

// logConds are the conditions of a query, and their arguments.
func (tx *Tx) logConds(q LogQuery) (conds []string, args []any) {
	args, conds = []any{q.After}, []string{"seq > $1"}
	where := func(cond string, arg any) {
		args = append(args, arg)
		conds = append(conds, strings.ReplaceAll(cond, "$?", fmt.Sprintf("$%d", len(args))))
	}
	if q.Before > 0 {
		where("seq < $?", q.Before)
	}
	switch {
	case q.Type == "":
	case q.Entity+q.Kind+string(q.Person)+string(q.Resource) == "":
		where("type = $?", string(q.Type))
	default: // there are fewer of those than of a type, which SQLite does not know
		where("type || '' = $?", string(q.Type))
	}
	if q.Entity != "" {
		where("entity = $?", q.Entity)
	}
	if q.Kind != "" { // by the index of entities
		args = append(args, q.Kind, q.Kind+"~") // "~" sorts after all letters
		conds = append(conds, fmt.Sprintf("seq IN (SELECT seq FROM audit_records WHERE seq IS NOT NULL AND entity >= $%d AND entity < $%d)", len(args)-1, len(args)))
	}
	if !q.Since.IsZero() {
		where("at >= $?", q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		where("at < $?", q.Until.UnixMilli())
	}
	// Each way to a person and to a resource has an index, or is a short list.
	if q.Person != "" {
		where("seq IN (SELECT seq FROM audit_records WHERE seq IS NOT NULL AND person <> '' AND person = $? UNION ALL "+
			"SELECT seq FROM audit_records WHERE seq IS NOT NULL AND actor <> '' AND actor = $?)", string(q.Person))
	}
	if q.Resource != "" {
		where("seq IN (SELECT seq FROM audit_records WHERE seq IS NOT NULL AND resource <> '' AND resource = $? UNION ALL "+
			"SELECT r.seq FROM audit_targets AS x JOIN audit_records AS r ON r.entity = x.entity AND r.version = x.version "+
			"WHERE x.resource = $? AND r.seq IS NOT NULL)", string(q.Resource))
	}
	for _, c := range q.Where.Clauses() {
		text, more := tx.d.clause(c, len(args))
		conds, args = append(conds, text), append(args, more...)
	}
	return conds, args
}

// leaves fills in the stored leaf hashes; one that is missing stays zero, for
// the verifier to find.
func (tx *Tx) leaves(rs []LogRecord) error {
	if len(rs) == 0 {
		return nil
	}
	first, last := rs[0].Seq, rs[len(rs)-1].Seq
	if last-first > 2*int64(len(rs)) { // far apart: one by one
		for i := range rs {
			if err := tx.leavesBetween(rs[i:i+1], rs[i].Seq, rs[i].Seq); err != nil {
				return err
			}
		}
		return nil
	}
	return tx.leavesBetween(rs, first, last)
}

func (tx *Tx) leavesBetween(rs []LogRecord, first, last int64) error {
	bySeq := make(map[int64]*LogRecord, len(rs))
	for i := range rs {
		bySeq[rs[i].Seq] = &rs[i]
	}
	return tx.each("SELECT idx, hash FROM audit_hashes WHERE idx >= $1 AND idx <= $2 ORDER BY idx",
		[]any{tlog.StoredHashIndex(0, first), tlog.StoredHashIndex(0, last)}, func(row row) error {
			var idx int64
			var hash []byte
			if err := row.Scan(&idx, &hash); err != nil {
				return err
			}
			if level, n := tlog.SplitStoredHashIndex(idx); level == 0 && bySeq[n] != nil {
				copy(bySeq[n].Leaf[:], hash)
			}
			return nil
		})
}

// Head reads the newest checkpoint; size 0 before there is one.
func (s *Store) Head(ctx context.Context) (h Head, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		h, err = tx.head()
		return err
	})
	return h, err
}

// Checkpoints lists those of a size greater than after, the smallest first.
func (s *Store) Checkpoints(ctx context.Context, after int64, limit int) (hs []Head, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		hs, err = tx.checkpoints(after, limited(limit, 100, 1000))
		return err
	})
	return hs, err
}

func (tx *Tx) checkpoints(after int64, limit int) ([]Head, error) {
	return list(tx, func(row row) (Head, error) {
		var h Head
		var root []byte
		var at int64
		err := row.Scan(&h.Size, &root, &at, &h.Checkpoint)
		copy(h.Root[:], root)
		h.At = instant(at)
		return h, err
	}, "SELECT size, root, at, note FROM audit_checkpoints WHERE size > $1 ORDER BY size LIMIT $2", after, int64(limit))
}

// Hashes calls fn with the hash storage of one snapshot, for proofs, and the
// head of the log in it.
func (s *Store) Hashes(ctx context.Context, fn func(Head, tlog.HashReader) error) error {
	return s.View(ctx, func(tx *Tx) error {
		h, err := tx.head()
		if err != nil {
			return err
		}
		return fn(h, tx)
	})
}

// Unsequenced is how many records wait for a number, and since when the oldest
// does; zero when none waits.
func (s *Store) Unsequenced(ctx context.Context) (n int64, oldest time.Time, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		return tx.each("SELECT COUNT(*), MIN(at) FROM audit_records WHERE seq IS NULL", nil, func(row row) error {
			var at *int64
			err := row.Scan(&n, &at)
			oldest = instantOf(at)
			return err
		})
	})
	return n, oldest, err
}

// RecordedAt is when the numbered record was written; access.NotFound when there
// is none of that number.
func (s *Store) RecordedAt(ctx context.Context, seq int64) (at time.Time, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		at, err = tx.recordedAt(seq)
		return err
	})
	return at, err
}

func (tx *Tx) recordedAt(seq int64) (time.Time, error) {
	return one(tx, "record", func(row row) (time.Time, error) {
		var ms int64
		err := row.Scan(&ms)
		return instant(ms), err
	}, "SELECT at FROM audit_records WHERE seq = $1", seq)
}

// pollOthers is how often those who wait look for what other replicas numbered.
const pollOthers = 500 * time.Millisecond

// Wait blocks until the log has a record with a number greater than after.
func (s *Store) Wait(ctx context.Context, after int64) (h Head, err error) {
	err = s.untilNumbers(ctx, func() (bool, error) {
		h, err = s.Head(ctx)
		return h.Size > after+1, err
	})
	if err != nil {
		return Head{}, err
	}
	return h, nil
}

// Settle blocks until every record that was committed before the call has its number,
// so that who did something finds it in the log. It waits for nothing that comes after.
func (s *Store) Settle(ctx context.Context) error {
	last := ""
	newest := func(tx *Tx) error {
		return tx.each("SELECT id FROM audit_records WHERE seq IS NULL ORDER BY id DESC LIMIT 1", nil, func(row row) error { return row.Scan(&last) })
	}
	if err := s.View(ctx, newest); err != nil || last == "" {
		return err
	}
	return s.untilNumbers(ctx, func() (settled bool, err error) {
		err = s.View(ctx, func(tx *Tx) error {
			settled = true
			return tx.each("SELECT 1 FROM audit_records WHERE seq IS NULL AND id <= $1 LIMIT 1", []any{last}, func(row) error {
				settled = false
				return nil
			})
		})
		return settled, err
	})
}

// untilNumbers asks again whenever records were numbered, here or by another replica.
func (s *Store) untilNumbers(ctx context.Context, done func() (bool, error)) error {
	var poll <-chan time.Time // other replicas' records are found by looking
	if s.d.arrays {
		t := time.NewTicker(pollOthers)
		defer t.Stop()
		poll = t.C
	}
	for {
		wake := s.numbers.next()
		if ok, err := done(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return gaveUp(ctx.Err())
		case <-wake:
		case <-poll:
		}
	}
}

// Export writes the log up to the newest checkpoint, as audit.Verify reads it.
// It judges nothing: a damaged log is exported as it is.
func (s *Store) Export(ctx context.Context, w io.Writer) error {
	return s.View(ctx, func(tx *Tx) error {
		head, err := tx.head()
		if err != nil {
			return err
		}
		if head.Size == 0 && head.Checkpoint == nil {
			return access.Fail(access.Pending, "log-empty", "the log has no checkpoint yet").Try("try again in a second")
		}
		origin, _, _ := strings.Cut(string(head.Checkpoint), "\n")
		return tx.export(audit.NewExporter(w, origin, head.Size))
	})
}

// exportBatch is the number of records in memory at a time.
const exportBatch = 500

func (tx *Tx) export(out *audit.Exporter) error {
	notes, err := tx.checkpoints(-1, exportBatch)
	if err != nil {
		return err
	}
	for after := int64(-1); ; {
		found, err := tx.logRecords(LogQuery{After: after, Limit: exportBatch})
		if err != nil {
			return err
		}
		if err := tx.leaves(found); err != nil {
			return err
		}
		for _, r := range found {
			if notes, err = tx.exportNotes(out, notes, r.Seq); err != nil {
				return err
			}
			if err := out.Record(r.Seq, r.Leaf, r.Body); err != nil {
				return err
			}
			after = r.Seq
		}
		if len(found) == 0 {
			break
		}
	}
	if _, err := tx.exportNotes(out, notes, 1<<62); err != nil {
		return err
	}
	return out.Close()
}

// exportNotes writes the checkpoints that cover only records before seq.
func (tx *Tx) exportNotes(out *audit.Exporter, notes []Head, seq int64) ([]Head, error) {
	for len(notes) > 0 && notes[0].Size <= seq {
		if err := out.Checkpoint(notes[0].Checkpoint); err != nil {
			return nil, err
		}
		last := notes[0].Size
		if notes = notes[1:]; len(notes) == 0 {
			var err error
			if notes, err = tx.checkpoints(last, exportBatch); err != nil {
				return nil, err
			}
		}
	}
	return notes, nil
}
