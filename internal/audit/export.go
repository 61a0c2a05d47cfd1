package audit

import (
	"bufio"
	"encoding/base64"
	"io"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
)

// An export is lines of JSON, each ended by a line break, each in one form:
//
//	{"stint-audit-export":1,"origin":"stint/…","from":0,"size":N}
//	{"seq":0,"leaf":"<base64>","record":{…}}          N of these, numbered from 0
//	{"checkpoint":"<signed note>","nth":0}            one of size n after record n-1
//	{"checkpoint":"<signed note>","nth":k}            the last line, of size N
//
// Checkpoints in between may be many or none; the more, the closer damage can
// be located. They are numbered too, so that no line can be missing unseen.

// Exporter writes an export. It does not judge what it is given: a damaged log
// must be exportable as it is, or nobody could show the damage. The first
// failure to write is returned by every later call.
type Exporter struct {
	w    *bufio.Writer
	line []byte // reused
	nth  int64  // of the next checkpoint
	err  error
}

// NewExporter begins an export of the first size records of a log.
func NewExporter(w io.Writer, origin string, size int64) *Exporter {
	e := &Exporter{w: bufio.NewWriterSize(w, 64<<10)}
	e.line = appendHeader(e.line, origin, size)
	_ = e.flushLine() // kept in e.err
	return e
}

// Record writes the next record: its number, the leaf hash that the store
// keeps for it, and its encoding as stored.
func (e *Exporter) Record(seq int64, leaf tlog.Hash, encoded []byte) error {
	e.line = appendRecordLine(e.line[:0], seq, leaf, encoded)
	return e.flushLine()
}

// Checkpoint writes a signed checkpoint; it belongs after the last record that
// it covers. The last call before Close gives the checkpoint of the whole.
func (e *Exporter) Checkpoint(signed []byte) error {
	e.line = appendCheckpointLine(e.line[:0], string(signed), e.nth)
	e.nth++
	return e.flushLine()
}

// Close writes out what is buffered. It does not close the writer.
func (e *Exporter) Close() error {
	if e.err == nil {
		e.err = exportError(e.w.Flush())
	}
	return e.err
}

func (e *Exporter) flushLine() error {
	if e.err == nil {
		e.line = append(e.line, '\n')
		_, err := e.w.Write(e.line)
		e.err = exportError(err)
	}
	return e.err
}

// exportError keeps a nil error nil.
func exportError(err error) error {
	if err == nil {
		return nil
	}
	return access.Fail(access.Unavailable, "export-unwritten", "the export could not be written").Wrap(err)
}

func appendHeader(b []byte, origin string, size int64) []byte {
	b = append(b, `{"stint-audit-export":1,"origin":`...)
	b = appendText(b, origin)
	b = append(b, `,"from":0,"size":`...)
	b = strconv.AppendInt(b, size, 10)
	return append(b, '}')
}

func appendRecordLine(b []byte, seq int64, leaf tlog.Hash, encoded []byte) []byte {
	b = append(b, recordMark...)
	b = strconv.AppendInt(b, seq, 10)
	b = append(b, `,"leaf":"`...)
	b = base64.StdEncoding.AppendEncode(b, leaf[:])
	b = append(b, `",`...)
	b = append(b, recordField...)
	b = append(b, encoded...)
	return append(b, '}')
}

func appendCheckpointLine(b []byte, signed string, nth int64) []byte {
	b = append(b, checkpointMark...)
	b = appendText(b, signed)
	b = append(b, `,"nth":`...)
	b = strconv.AppendInt(b, nth, 10)
	return append(b, '}')
}

// How lines begin, and what else tells their kinds apart when the beginning is
// damaged.
const (
	recordMark     = `{"seq":`
	recordField    = `"record":`
	checkpointMark = `{"checkpoint":`
	signatureField = `\n\n— ` // of a signed note, as a JSON string has it
)
