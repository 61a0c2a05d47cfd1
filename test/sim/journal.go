package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"stint/internal/access"
)

// journal is what a replica's disk keeps beside the store: it outlives the process,
// but for what a failing disk did not take. It follows what package journal promises:
// numbers are never used again, and once a write has failed, everything after it is in
// memory only, until all of it stands in the store and a new file was made.
type journal struct {
	id      string
	first   uint64 // of the first record
	records [][]byte
	kept    int  // so many of them are on the disk; the rest dies with the process
	failed  bool // the disk refused one
	// forgot are the grants of which a record was lost.
	forgot map[access.GrantID]bool
}

var errJournal = errors.New("sim: the journal's disk is full")

// lose forgets what was in memory only: the process has died.
func (j *journal) lose() {
	// Numbers of what was lost are given again, as package journal does.
	for _, b := range j.records[j.kept:] {
		var said struct{ Grants []access.GrantID }
		_ = json.Unmarshal(b, &said) // the broker's own
		for _, g := range said.Grants {
			j.forgot[g] = true
		}
	}
	j.records, j.failed = j.records[:j.kept], false
}

// inJournal reports whether some journal has a word about a grant that is not in the
// store yet.
func (w *world) inJournal(g access.GrantID) bool {
	for _, j := range w.journals {
		for _, b := range j.records {
			if bytes.Contains(b, []byte(g)) {
				return true
			}
		}
	}
	return false
}

// journalSeam is a replica's journal as one life of its process reaches it.
type journalSeam struct {
	r *replica
	j *journal
}

func (x journalSeam) ID() string { return x.j.id }

// Write is a step, so that records of two batches come in one order, and so that a
// process can die before one and after it.
func (x journalSeam) Write(bodies ...[]byte) error {
	r, w := x.r, x.r.w
	if r.dead {
		return errDead
	}
	err := errDead
	st := &step{by: r, op: "journal", label: x.j.id, detail: fmt.Sprint(len(bodies), " records"), key: string(bytes.Join(bodies, nil))}
	st.do = func(st *step) {
		switch {
		case r.dead:
			w.answer(st, "dead")
			return
		case st.fault == crashBefore:
			w.crash(r)
			w.answer(st, "dead")
			return
		case st.fault == refused || x.j.failed:
			x.j.failed, err = true, errJournal
			w.sometimes("the journal does not take a record")
		default:
			x.j.kept, err = len(x.j.records)+len(bodies), nil
			w.sometimes("done without the store and put into the journal")
		}
		for _, b := range bodies {
			x.j.records = append(x.j.records, bytes.Clone(b))
		}
		if st.fault == crashAfter {
			w.crash(r)
			err = errDead
		}
		w.answer(st, outcome(err))
	}
	w.park(st)
	<-st.done
	return err
}

func (x journalSeam) Entries(limit int) (first uint64, bodies [][]byte) {
	if x.r.dead {
		return x.j.first, nil
	}
	return x.j.first, x.j.records[:min(limit, len(x.j.records))]
}

func (x journalSeam) Forget(through uint64) error {
	if x.r.dead || through < x.j.first {
		return nil
	}
	n := min(int(through-x.j.first)+1, len(x.j.records))
	x.j.first, x.j.records, x.j.kept = x.j.first+uint64(n), x.j.records[n:], max(0, x.j.kept-n)
	if len(x.j.records) == 0 {
		x.j.failed = false // a new file
	}
	return nil
}

func (x journalSeam) Waiting() (int, error) {
	if x.j.failed {
		return len(x.j.records), errJournal
	}
	return len(x.j.records), nil
}
