package audit

import (
	"bytes"
	"strconv"
)

// The next checkpoint decides what the records before it are worth.

// checkpoint verifies a line with a checkpoint, and with it that everything
// before it is what was signed.
func (v *verification) checkpoint(line []byte) error {
	s := scanner{rest: line}
	s.lit(checkpointMark)
	text := s.text()
	s.lit(`,"nth":`)
	nth := s.number()
	s.lit("}")
	v.want = appendCheckpointLine(v.want[:0], text, nth)
	if !s.done() || !bytes.Equal(v.want, line) {
		return v.other("the checkpoint's line is not in its canonical form")
	}
	c, err := v.keys.open([]byte(text))
	switch {
	case err != nil:
		return v.other(err.Error())
	case c.Size <= v.signed:
		return v.other("a checkpoint of size " + strconv.FormatInt(c.Size, 10) + " stands here, a second time or too late")
	case c.Size != v.tree.size:
		// The first bad record may also be the one that stands, or is missing,
		// right after what both agree on.
		return v.rewritten(min(c.Size, v.tree.size), "a checkpoint of "+strconv.FormatInt(c.Size, 10)+
			" records stands after "+strconv.FormatInt(v.tree.size, 10)+"; one was removed, inserted or moved")
	case c.Root != v.tree.Root():
		return v.rewritten(v.tree.size-1, "the records do not give the root that was signed; one was changed together with its hash")
	case v.doubt != nil:
		v.doubt.What += v.signedSo
		return v.doubt
	case nth != v.report.Checkpoints:
		return v.other("checkpoint " + strconv.FormatInt(v.report.Checkpoints, 10) + " of the export is missing; number " +
			strconv.FormatInt(nth, 10) + " stands in its place")
	}
	v.signed = c.Size
	v.report.Checkpoint, v.report.Signed = c, text
	v.report.Checkpoints++
	return nil
}

// rewritten is damage that only a checkpoint shows: somewhere after the last
// good one and up to last. An earlier doubt narrows it.
func (v *verification) rewritten(last int64, what string) error {
	first := max(v.signed, 0)
	if last < first {
		return v.other(what)
	}
	d := &Damage{Seq: first, Last: last, Line: v.lines.number, What: what}
	if v.doubt != nil && v.doubt.Last < last {
		d.Last, d.What = v.doubt.Last, what+"; also, "+v.doubt.What
	}
	if d.Seq == d.Last && d.Seq == v.tree.size-1 {
		d.ID = v.lastID
	}
	return d
}

// suspect notes that some record up to last is not right. Whether it was signed
// so or changed afterwards is for the next checkpoint to say; if it was
// changed, the record that shows it need not be the one that was changed.
// signedSo is what else to say in the first case.
func (v *verification) suspect(first, last int64, id, what, signedSo string) {
	if v.doubt == nil {
		v.doubt = &Damage{Seq: first, Last: last, Line: v.lines.number, ID: id, What: what}
		v.signedSo = signedSo
	}
}

// compareVersion holds that each entity's versions are 1, 2, 3, …: a record
// that was taken away before it got a number leaves a gap here.
func (v *verification) compareVersion(r Record) {
	e := &r.Event
	before := v.versions[e.Entity]
	v.versions[e.Entity] = e.Version
	if e.Version == before+1 {
		return
	}
	what := strconv.Quote(e.Entity) + " has version " + strconv.FormatInt(e.Version, 10) +
		" after version " + strconv.FormatInt(before, 10)
	why := "; it was numbered twice, or out of order"
	if e.Version > before {
		why = "; a record in between was removed before it was numbered"
	}
	v.suspect(v.tree.size, v.tree.size, r.ID, what, why)
}

// comparePinned holds that what the caller has seen is a prefix of the export.
func (v *verification) comparePinned() {
	for _, p := range v.pinned {
		if p.Size != v.tree.size || p.Root == v.tree.Root() {
			continue
		}
		v.suspect(0, p.Size-1, "", "the first "+strconv.FormatInt(p.Size, 10)+
			" records are not those that were signed when the log was last seen",
			"; its history was rewritten and signed again")
		return
	}
}
