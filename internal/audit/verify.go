package audit

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
)

// Report is what an export that verifies contains.
type Report struct {
	Checkpoint  Checkpoint // of the whole; what a client pins
	Signed      string     // the checkpoint's signed note
	Checkpoints int64      // how many the export holds
	Types       map[access.EventType]int64
	First, Last time.Time // the earliest and the latest time in a record
	Restores    []Restore // what the log says of restores of its data
}

// Restore is a record that says that the data of the log came from a backup: what
// follows continues the first Kept records, whatever had followed them before.
type Restore struct {
	Seq  int64
	At   time.Time
	Kept int64 // -1 where the record does not say
}

// restoredType is the event of a restore; the broker's, and part of the format now
// that verification reads it.
const restoredType = "installation.restored"

// Verify reads an export to its end and reports what it holds, or returns the
// first *Damage. It needs nothing but the export and the public key, which must
// not come from the export. If checkpoints are given that the caller has seen, or
// that witnesses have signed, the export must be a continuation of each; nil ones
// say nothing.
//
// Any other error says that verification could not be done: the key or the
// pinned checkpoint are not of this kind, or r failed.
func Verify(r io.Reader, verifierKey string, pinned ...*Checkpoint) (Report, error) {
	return VerifyEach(r, verifierKey, nil, pinned...)
}

// VerifyEach is Verify that hands every record that it has checked to each, in order.
// What is wrong with the log as a whole shows only at its end: nothing that each learned
// counts when an error is returned.
func VerifyEach(r io.Reader, verifierKey string, each func(seq int64, rec Record), pinned ...*Checkpoint) (Report, error) {
	k, err := parseKeys(verifierKey)
	if err != nil {
		return Report{}, err
	}
	pinned = slices.DeleteFunc(slices.Clone(pinned), func(p *Checkpoint) bool { return p == nil })
	if slices.ContainsFunc(pinned, func(p *Checkpoint) bool { return !p.of(k.origin) }) {
		return Report{}, access.Fail(access.Invalid, "bad-pinned-checkpoint", "the pinned checkpoint is not of this log").
			Because("the key is of " + strconv.Quote(k.origin))
	}
	v := verification{
		lines:    lineReader{r: bufio.NewReaderSize(r, 64<<10)},
		keys:     k,
		pinned:   pinned,
		each:     each,
		versions: map[string]int64{},
		signed:   -1,
		report:   Report{Types: map[access.EventType]int64{}},
	}
	if err := v.run(); err != nil {
		return Report{}, err
	}
	return v.report, nil
}

// verification is the state after some lines, all of them good.
type verification struct {
	lines  lineReader
	keys   keys
	pinned []*Checkpoint
	each   func(int64, Record) // may be nil

	size     int64            // what the header promises; unsigned, so only a promise
	tree     Tree             // of the records so far
	versions map[string]int64 // of each entity so far
	signed   int64            // size of the last checkpoint, -1 before the first
	lastID   string           // of the record before
	doubt    *Damage          // see suspect
	signedSo string           // likewise
	report   Report

	want  []byte      // reused: the line as it should be
	nodes []tlog.Hash // reused
}

func (v *verification) run() error {
	line, err := v.lines.next()
	if errors.Is(err, io.EOF) {
		return v.other("the export is empty")
	} else if err == nil {
		err = v.header(line)
	} else {
		err = v.broken(line, err)
	}
	if bad := (*Damage)(nil); errors.As(err, &bad) {
		bad.NotExport = foreign(line)
	}
	if err != nil {
		return err
	}
	v.comparePinned()
	for {
		line, err := v.lines.next()
		if errors.Is(err, io.EOF) {
			return v.end()
		}
		if err != nil {
			return v.broken(line, err)
		}
		switch kindOf(line) {
		case recordLine:
			err = v.record(line)
		case checkpointLine:
			err = v.checkpoint(line)
		default:
			err = v.here(line, "the line is neither a record nor a checkpoint")
		}
		if err != nil {
			return err
		}
	}
}

const headerMark = `{"stint-audit-export":`

// foreign says of the first line of a file that it is of something else. Of a
// header that was cut off, what is there is the beginning of one.
func foreign(line []byte) bool {
	n := min(len(line), len(headerMark))
	return kindOf(line) == unknownLine && string(line[:n]) != headerMark[:n]
}

func (v *verification) header(line []byte) error {
	s := scanner{rest: line}
	s.lit(headerMark + `1,"origin":`)
	origin := s.text()
	s.lit(`,"from":0,"size":`)
	v.size = s.number()
	s.lit("}")
	switch {
	case !s.done() || !bytes.Equal(appendHeader(nil, origin, v.size), line):
		return v.other("this is not the header of an audit export of format 1")
	case origin != v.keys.origin:
		return v.other("the export is of the log " + strconv.Quote(origin) + ", the key is of " + strconv.Quote(v.keys.origin))
	}
	return nil
}

// record accepts a line only if writing it again, from its parts and what must
// be in it, gives the same bytes.
func (v *verification) record(line []byte) error {
	if v.tree.size >= v.size {
		return v.here(line, "the header promises only "+strconv.FormatInt(v.size, 10)+" records")
	}
	encoded := recordIn(line)
	r, err := Decode(encoded)
	leaf := Leaf(encoded)
	v.want = appendRecordLine(v.want[:0], v.tree.size, leaf, encoded)
	if err != nil || !bytes.Equal(v.want, line) {
		return v.here(line, explain(line, v.tree.size, err))
	}
	v.compareVersion(r)
	v.count(r)
	if v.each != nil {
		v.each(v.tree.size, r)
	}
	v.nodes = v.tree.add(v.nodes[:0], leaf)
	v.lastID = r.ID
	v.comparePinned()
	return nil
}

// recordIn cuts the encoded record out of a line; nothing if it has none.
func recordIn(line []byte) []byte {
	_, record, ok := bytes.Cut(line, []byte(`",`+recordField))
	if !ok || len(record) == 0 {
		return nil
	}
	return record[:len(record)-1]
}

// explain says what is wrong with a line that is not record seq as it should be.
func explain(line []byte, seq int64, notRecord error) string {
	s := scanner{rest: line}
	s.lit(recordMark)
	got := s.number()
	switch {
	case !s.failed && got > seq:
		return "it is missing; record " + strconv.FormatInt(got, 10) + " stands in its place"
	case !s.failed && got < seq:
		return "record " + strconv.FormatInt(got, 10) + " stands in its place, a second time or too late"
	case notRecord != nil:
		return notRecord.Error()
	}
	s.lit(`,"leaf":`)
	if s.text() != Leaf(recordIn(line)).String() {
		return "its content does not match its hash"
	}
	return "the line is not in its canonical form"
}

func (v *verification) count(r Record) {
	if r.Event.Type == restoredType {
		kept, err := strconv.ParseInt(r.Event.Facts["kept"], 10, 64)
		if err != nil || kept < 0 || kept > v.tree.size {
			kept = -1
		}
		v.report.Restores = append(v.report.Restores, Restore{v.tree.size, r.Event.At, kept})
	}
	v.report.Types[r.Event.Type]++
	if at := r.Event.At; v.tree.size == 0 {
		v.report.First, v.report.Last = at, at
	} else if at.Before(v.report.First) {
		v.report.First = at
	} else if at.After(v.report.Last) {
		v.report.Last = at
	}
}

// end is reached after the last whole line.
func (v *verification) end() error {
	switch {
	case v.tree.size < v.size:
		return v.at(v.tree.size, v.tree.size, "", "it is missing; the export ends here, and its header promises "+
			strconv.FormatInt(v.size, 10)+" records")
	case v.signed != v.tree.size:
		return v.other("the export ends here, without the checkpoint of the whole")
	}
	for _, p := range v.pinned {
		if p.Size > v.tree.size {
			return v.at(v.tree.size, v.tree.size, "", "it is missing; the log had "+
				strconv.FormatInt(p.Size, 10)+" records when it was last seen")
		}
	}
	return nil
}

// broken turns what is wrong with a line as such into damage.
func (v *verification) broken(line []byte, err error) error {
	switch {
	case errors.Is(err, errCut) && v.tree.size < v.size:
		// Whatever the line was, the record is not in the export.
		return v.at(v.tree.size, v.tree.size, readableID(line), "the export is "+err.Error())
	case errors.Is(err, errCut), errors.Is(err, errLong):
		return v.here(line, err.Error())
	}
	return err
}

// here is damage in this line: of the record that should stand here, unless
// the line is plainly a checkpoint.
func (v *verification) here(line []byte, what string) error {
	kind := kindOf(line)
	if kind == checkpointLine || kind == unknownLine && v.tree.size >= v.size {
		return v.other(what)
	}
	return v.at(v.tree.size, v.tree.size, readableID(line), what)
}

// other is damage to something that is not a record.
func (v *verification) other(what string) error { return v.at(NoRecord, NoRecord, "", what) }

// at is damage that shows in the current line. An earlier doubt goes first.
func (v *verification) at(seq, last int64, id, what string) error {
	if v.doubt != nil {
		return v.doubt
	}
	return &Damage{Seq: seq, Last: last, Line: max(v.lines.number, 1), ID: id, What: what}
}
