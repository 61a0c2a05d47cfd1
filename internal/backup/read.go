package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/audit"
)

// Bounds of what is read.
const (
	maxManifest = 1 << 20
	maxParts    = 200
	maxColumns  = 200
	maxLine     = 64 << 20 // one row: documents are the largest, 8 MiB
)

// Reader reads an archive from its beginning to its end, once.
type Reader struct {
	Manifest Manifest
	signed   []byte
	tar      *tar.Reader
	next     int
	table    *Table
}

// Open reads the manifest. What it says is not proven before Verify.
func Open(r io.Reader) (*Reader, error) {
	t := tar.NewReader(r)
	h, err := t.Next()
	if err != nil || h.Name != manifestName || h.Typeflag != tar.TypeReg || h.Size > maxManifest {
		return nil, because("it is not an archive that begins with a manifest", err)
	}
	signed, err := io.ReadAll(io.LimitReader(t, maxManifest))
	if err != nil {
		return nil, because("it ends within its manifest", err)
	}
	m, err := read(signed)
	if err != nil {
		return nil, err
	}
	return &Reader{Manifest: m, signed: signed, tar: t}, nil
}

// Verify checks the manifest's signature with the public keys of the audit log.
func (r *Reader) Verify(verifierKeys string) error { return verify(r.signed, verifierKeys) }

// Table is one part while it is read.
type Table struct {
	Name    string
	Columns []Column

	part  Part
	raw   *counter // of compressed bytes
	sum   hash.Hash
	zip   *gzip.Reader
	lines *bufio.Reader
	rows  int64
	done  bool
}

// Next gives the next table, or io.EOF after the last, when every byte of the
// archive was accounted for. The table before must have been read to its end.
func (r *Reader) Next() (*Table, error) {
	if r.table != nil && !r.table.done {
		return nil, errors.New("backup: the table before was not read to its end")
	}
	h, err := r.tar.Next()
	if r.next == len(r.Manifest.Parts) {
		if !errors.Is(err, io.EOF) {
			return nil, because("it holds more than its manifest says", err)
		}
		return nil, io.EOF
	}
	p := r.Manifest.Parts[r.next]
	if err != nil || h.Name != partName(p.Table) || h.Size != p.Bytes || h.Typeflag != tar.TypeReg {
		return nil, because("its part "+p.Table+" is missing or has another size", err)
	}
	r.next++
	t := &Table{Name: p.Table, part: p, sum: sha256.New()}
	r.table = t
	t.raw = &counter{w: t.sum}
	if t.zip, err = gzip.NewReader(bufio.NewReaderSize(io.TeeReader(r.tar, t.raw), 64<<10)); err != nil {
		return nil, t.damaged("it is not compressed as it should be", err)
	}
	t.zip.Multistream(false)
	t.lines = bufio.NewReaderSize(t.zip, 64<<10)
	line, err := t.line()
	if err != nil {
		return nil, t.damaged("it has no heading", err)
	}
	var head heading
	if err := json.Unmarshal(line, &head); err != nil || head.Table != p.Table || len(head.Columns) == 0 || len(head.Columns) > maxColumns {
		return nil, t.damaged("its heading is not of this table", err)
	}
	seen := map[string]bool{}
	for _, c := range head.Columns {
		if !tableName.MatchString(c.Name) || seen[c.Name] || c.Kind != Text && c.Kind != Integer && c.Kind != Binary {
			return nil, t.damaged("its heading names a column that cannot be", nil)
		}
		seen[c.Name] = true
	}
	t.Columns = head.Columns
	return t, nil
}

func (t *Table) damaged(why string, err error) error { return because("part "+t.Name+": "+why, err) }

// because is damage with its cause. An early end is no end: io.EOF, by which Next
// and Row say that all was read, is never in it.
func because(why string, err error) error {
	e := damaged(why)
	switch {
	case err == nil:
		return e
	case errors.Is(err, io.EOF):
		return e.Wrap(io.ErrUnexpectedEOF)
	}
	return e.Wrap(err)
}

// line reads up to the next newline, which it cuts off; io.EOF at a clean end.
func (t *Table) line() ([]byte, error) {
	var whole []byte
	for {
		some, err := t.lines.ReadSlice('\n')
		whole = append(whole, some...)
		switch {
		case err == nil:
			return whole[:len(whole)-1], nil
		case errors.Is(err, bufio.ErrBufferFull) && len(whole) < maxLine:
			continue
		case errors.Is(err, io.EOF) && len(whole) == 0:
			return nil, io.EOF
		}
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
}

// Row gives the next row, or io.EOF after the last, when the part's digest was
// found right. Values are nil, int64, string or []byte.
func (t *Table) Row() ([]any, error) {
	line, err := t.line()
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, t.close()
	}
	if err != nil {
		return nil, t.damaged("a line of it is cut off or too long", err)
	}
	t.rows++
	var cells []json.RawMessage
	if err := json.Unmarshal(line, &cells); err != nil || len(cells) != len(t.Columns) {
		return nil, t.damaged("row "+strconv.FormatInt(t.rows, 10)+" has not the columns of the heading", err)
	}
	values := make([]any, len(cells))
	for i, c := range cells {
		if values[i], err = t.value(c, t.Columns[i].Kind); err != nil {
			return nil, t.damaged("row "+strconv.FormatInt(t.rows, 10)+" has a value that is no "+string(t.Columns[i].Kind), err)
		}
	}
	return values, nil
}

func (t *Table) value(cell json.RawMessage, kind Kind) (any, error) {
	if bytes.Equal(cell, []byte("null")) {
		return nil, nil
	}
	if kind == Integer {
		return strconv.ParseInt(string(cell), 10, 64)
	}
	var s string
	if err := json.Unmarshal(cell, &s); err != nil {
		return nil, err
	}
	if kind == Text {
		return s, nil
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

// close finds out whether the part was what the manifest says: all its rows,
// and not a byte more.
func (t *Table) close() error {
	if err := t.zip.Close(); err != nil {
		return t.damaged("it is not compressed as it should be", err)
	}
	if t.rows != t.part.Rows {
		return t.damaged("it has "+strconv.FormatInt(t.rows, 10)+" rows, the manifest says "+strconv.FormatInt(t.part.Rows, 10), nil)
	}
	// The decompressor's buffer has read the part to its end, or far enough
	// ahead that the rest shows as a size that differs.
	if t.raw.n != t.part.Bytes || hex.EncodeToString(t.sum.Sum(nil)) != t.part.SHA256 {
		return t.damaged("its bytes are not those that were written", nil)
	}
	t.done = true
	return io.EOF
}

// Summary is what Check found.
type Summary struct {
	Rows    int64
	Records int64            // of the audit log, numbered
	Waiting int64            // records that had no number yet
	Head    audit.Checkpoint // of the log
}

// Check reads a whole archive: signature, digests, and that the audit records in
// it are those of the checkpoint, by building the tree anew.
func Check(r *Reader, verifierKeys string) (Summary, error) {
	var s Summary
	if err := r.Verify(verifierKeys); err != nil {
		return s, err
	}
	var err error
	if s.Head, err = r.Manifest.Head(verifierKeys); err != nil {
		return s, err
	}
	log := NewLog()
	for {
		t, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s, err
		}
		for {
			row, err := t.Row()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = log.Row(t, row)
			}
			if err != nil {
				return s, err
			}
			s.Rows++
		}
	}
	s.Records, s.Waiting = log.size, log.waiting
	return s, log.Check(s.Head)
}

// Log builds the tree of the audit log from the rows of an archive.
type Log struct {
	tree          audit.Tree
	size, waiting int64
	seq, body     int // columns; set at the first row
	found         bool
}

// NewLog begins with the empty tree.
func NewLog() *Log { return &Log{} }

// records is the table of the audit log. Its rows come in the order of numbers,
// those without one last.
const records = "audit_records"

// Row looks at a row of any table.
func (l *Log) Row(t *Table, row []any) error {
	if t.Name != records {
		return nil
	}
	if !l.found {
		l.seq, l.body, l.found = -1, -1, true
		for i, c := range t.Columns {
			switch c.Name {
			case "seq":
				l.seq = i
			case "body":
				l.body = i
			}
		}
		if l.seq < 0 || l.body < 0 {
			return t.damaged("it lacks the columns of the audit log", nil)
		}
	}
	seq, numbered := row[l.seq].(int64)
	body, _ := row[l.body].([]byte)
	switch {
	case !numbered:
		l.waiting++
		return nil
	case seq != l.size || l.waiting > 0:
		return t.damaged("record "+strconv.FormatInt(l.size, 10)+" of the audit log is missing", nil)
	}
	l.size++
	l.tree, _ = l.tree.Append(audit.Leaf(body))
	return nil
}

// Check compares with the checkpoint of the manifest.
func (l *Log) Check(head audit.Checkpoint) error {
	if l.size != head.Size || l.size > 0 && l.tree.Root() != tlog.Hash(head.Root) {
		return damaged("the audit records in it are not those of its checkpoint: " + strconv.FormatInt(l.size, 10) + " records, and the checkpoint is of " + strconv.FormatInt(head.Size, 10))
	}
	return nil
}
