package backup

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"stint/internal/access"
)

const manifestName = "manifest.note"

// Kind is what a column holds.
type Kind string

// The kinds. A boolean of PostgreSQL is an integer here, 0 or 1.
const (
	Text    Kind = "text"
	Integer Kind = "integer"
	Binary  Kind = "binary" // base64 in JSON
)

// Column is one column of a table.
type Column struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
}

// heading is the first line of a part.
type heading struct {
	Table   string   `json:"table"`
	Columns []Column `json:"columns"`
}

// Writer collects the parts in a spool, because a manifest comes before what it
// describes. The spool is a file nobody else can see, and needs as much room as
// the archive.
type Writer struct {
	spool io.ReadWriteSeeker
	parts []Part

	zip   *gzip.Writer
	sum   hash.Hash
	bytes *counter
	cols  []Column
	rows  int64
	line  []byte
}

// counter counts what passes.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// NewWriter begins an archive; spool is empty.
func NewWriter(spool io.ReadWriteSeeker) *Writer { return &Writer{spool: spool} }

// Table begins the part of a table.
func (w *Writer) Table(name string, cols []Column) error {
	if err := w.end(); err != nil {
		return err
	}
	w.sum, w.rows, w.cols = sha256.New(), 0, slices.Clone(cols)
	w.bytes = &counter{w: io.MultiWriter(w.spool, w.sum)}
	w.zip, _ = gzip.NewWriterLevel(w.bytes, gzip.BestSpeed) // a level that exists
	w.parts = append(w.parts, Part{Table: name})
	text, err := json.Marshal(heading{name, cols})
	if err == nil {
		_, err = w.zip.Write(append(text, '\n'))
	}
	return unwritten(err)
}

// Row adds a row to the table begun last. Values are nil, int64, string or
// []byte, as the columns say.
func (w *Writer) Row(values []any) error {
	if len(values) != len(w.cols) {
		return unwritten(errColumns)
	}
	w.line = append(w.line[:0], '[')
	for i, v := range values {
		if i > 0 {
			w.line = append(w.line, ',')
		}
		if b, ok := v.([]byte); ok {
			v = base64.StdEncoding.EncodeToString(b)
		}
		text, err := json.Marshal(v)
		if err != nil {
			return unwritten(err)
		}
		w.line = append(w.line, text...)
	}
	w.line = append(w.line, "]\n"...)
	w.rows++
	_, err := w.zip.Write(w.line)
	return unwritten(err)
}

func (w *Writer) end() error {
	if w.zip == nil {
		return nil
	}
	err := w.zip.Close()
	p := &w.parts[len(w.parts)-1]
	p.Rows, p.Bytes, p.SHA256 = w.rows, w.bytes.n, hex.EncodeToString(w.sum.Sum(nil))
	w.zip = nil
	return unwritten(err)
}

// Close writes the archive to out: m, completed with what was collected and
// signed, then the parts.
func (w *Writer) Close(out io.Writer, m Manifest, signer note.Signer) (Manifest, error) {
	if err := w.end(); err != nil {
		return Manifest{}, err
	}
	m.Format, m.Parts, m.At = Format, w.parts, m.At.UTC().Truncate(time.Millisecond)
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	signed, err := m.sign(signer)
	if err != nil {
		return Manifest{}, err
	}
	if _, err := w.spool.Seek(0, io.SeekStart); err != nil {
		return Manifest{}, unwritten(err)
	}
	t := tar.NewWriter(out)
	entry := func(name string, size int64) error {
		return t.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: m.At, Format: tar.FormatPAX})
	}
	if err := entry(manifestName, int64(len(signed))); err != nil {
		return Manifest{}, unwritten(err)
	}
	if _, err := t.Write(signed); err != nil {
		return Manifest{}, unwritten(err)
	}
	for _, p := range m.Parts {
		if err := entry(partName(p.Table), p.Bytes); err != nil {
			return Manifest{}, unwritten(err)
		}
		if _, err := io.CopyN(t, w.spool, p.Bytes); err != nil {
			return Manifest{}, unwritten(err)
		}
	}
	return m, unwritten(t.Close())
}

func partName(table string) string { return table + ".jsonl.gz" }

var errColumns = access.Fail(access.Internal, "backup-unwritten", "a row has not the columns of its table")

func unwritten(err error) error {
	if err == nil {
		return nil
	}
	return access.Fail(access.Unavailable, "backup-unwritten", "the backup could not be written").Because(err.Error()).
		Try("see that the disk has room for it twice").Wrap(err)
}
