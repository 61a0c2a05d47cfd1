package audit

import (
	"bytes"
	"fmt"
	"strings"
)

// NoRecord is the Seq of damage to a line that is not a record.
const NoRecord = -1

// Damage is where an export stops being a whole log. It names the first number
// that does not hold, intact and in its place, the record that was signed.
type Damage struct {
	// Seq is the first bad record, Last the last that may be it. They differ
	// when a record was changed together with its hash: then only the next
	// checkpoint shows it. Both are NoRecord for the header and checkpoints.
	Seq, Last int64
	Line      int    // of the export, from 1; where it showed
	ID        string // of the record that stands there, when it can be read
	What      string
	// NotExport says that nothing shows that this ever was an export: its first
	// line has neither the beginning of a header nor of any other line of one.
	NotExport bool
}

func (d *Damage) Error() string {
	var b strings.Builder
	b.WriteString("the audit log is damaged: ")
	switch {
	case d.Seq == NoRecord:
		fmt.Fprintf(&b, "line %d", d.Line)
	case d.Seq != d.Last:
		fmt.Fprintf(&b, "between records %d and %d (line %d)", d.Seq, d.Last, d.Line)
	case d.ID != "":
		fmt.Fprintf(&b, "record %d (%s, line %d)", d.Seq, d.ID, d.Line)
	default:
		fmt.Fprintf(&b, "record %d (line %d)", d.Seq, d.Line)
	}
	b.WriteString(": " + d.What)
	return b.String()
}

// lineKind is what a line is meant to be.
type lineKind uint8

const (
	unknownLine lineKind = iota
	recordLine
	checkpointLine
)

// kindOf tells by the beginning; when that is damaged, by what else only one
// kind has.
func kindOf(line []byte) lineKind {
	switch {
	case bytes.HasPrefix(line, []byte(recordMark)):
		return recordLine
	case bytes.HasPrefix(line, []byte(checkpointMark)):
		return checkpointLine
	case bytes.Contains(line, []byte(recordField)):
		return recordLine
	case bytes.Contains(line, []byte(signatureField)):
		return checkpointLine
	}
	return unknownLine
}

// readableID finds the record's id in a damaged line, or nothing.
func readableID(line []byte) string {
	_, after, ok := bytes.Cut(line, []byte(`"id":"`))
	id, _, closed := bytes.Cut(after, []byte(`"`))
	if !ok || !closed || !word(string(id)) {
		return ""
	}
	return string(id)
}
