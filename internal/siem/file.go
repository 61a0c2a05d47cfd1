package siem

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"stint/internal/audit"
)

// Record is one numbered record of the log.
type Record struct {
	Seq     int64
	Encoded []byte // as audit.Encode made it
}

// Source is the log.
type Source interface {
	// Records are those with a greater number than after, in order; none when
	// there are no more.
	Records(ctx context.Context, after int64, limit int) ([]Record, error)
	// Wait returns when there is a record after that one, or ctx is done.
	Wait(ctx context.Context, after int64) error
}

const (
	batch = 500
	// most bounds how far back a last line is looked for; no line is longer.
	most     = audit.MaxLine + 64
	fileMode = 0o600
)

// File writes the log as lines of JSON: {"seq":12,"record":{…}}, the record in
// its canonical encoding. The cursor is kept beside it.
type File struct {
	path   string
	source Source
	log    *slog.Logger
	retry  time.Duration

	reopen chan struct{}
	after  atomic.Int64 // the last record that is on disk
	out    *os.File     // owned by Run
}

// NewFile makes a sink. It opens nothing; Run does.
func NewFile(path string, source Source, log *slog.Logger) *File {
	f := &File{path: path, source: source, log: log.With("sink", path), retry: 5 * time.Second, reopen: make(chan struct{}, 1)}
	f.after.Store(-1)
	return f
}

// After is the number of the last record on disk, -1 before the first.
func (f *File) After() int64 { return f.after.Load() }

// Path is where the sink writes.
func (f *File) Path() string { return f.path }

// Reopen makes the sink open its path anew before it writes again, for log
// rotation by name. A moved file is noticed without it too.
func (f *File) Reopen() {
	select {
	case f.reopen <- struct{}{}:
	default:
	}
}

// Run writes until ctx is done. It returns an error only if the file cannot be
// opened at the start, so that a wrong path is noticed at once.
func (f *File) Run(ctx context.Context) error {
	if err := f.open(); err != nil {
		return err
	}
	defer func() { f.close() }()
	failing := false
	for ctx.Err() == nil {
		err := f.step(ctx)
		if err == nil {
			if failing {
				f.log.Info("the audit sink writes again", "after", f.After())
			}
			failing = false
			continue
		}
		if ctx.Err() != nil {
			break
		}
		if !failing {
			f.log.Error("the audit sink cannot write; it keeps its place", "after", f.After(), "error", err)
		}
		failing = true
		f.close()
		select {
		case <-ctx.Done():
		case <-f.reopen:
		case <-time.After(f.retry):
		}
	}
	return nil
}

// step waits for records and writes one batch of them.
func (f *File) step(ctx context.Context) error {
	recs, err := f.source.Records(ctx, f.After(), batch)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	if len(recs) == 0 {
		return f.source.Wait(ctx, f.After())
	}
	if f.out == nil || f.moved() {
		f.close()
		if err := f.open(); err != nil {
			return err
		}
		// What open found on disk may be newer than what was asked for.
		for len(recs) > 0 && recs[0].Seq <= f.After() {
			recs = recs[1:]
		}
		if len(recs) == 0 {
			return nil
		}
	}
	var lines bytes.Buffer
	for _, r := range recs {
		lines.WriteString(`{"seq":`)
		lines.WriteString(strconv.FormatInt(r.Seq, 10))
		lines.WriteString(`,"record":`)
		lines.Write(r.Encoded)
		lines.WriteString("}\n")
	}
	before, err := f.out.Stat()
	if err != nil {
		return fmt.Errorf("look at the audit sink: %w", err)
	}
	if _, err := f.out.Write(lines.Bytes()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := f.out.Sync(); err != nil {
		// The lines may be in the kernel's memory and never on disk, whatever the
		// next flush says. They are taken back and written anew.
		if before.Mode().IsRegular() {
			err = errors.Join(err, f.out.Truncate(before.Size()))
		}
		return fmt.Errorf("flush: %w", err)
	}
	f.after.Store(recs[len(recs)-1].Seq)
	return f.saveCursor()
}

// moved reports whether the path no longer names the open file.
func (f *File) moved() bool {
	select {
	case <-f.reopen:
		return true
	default:
	}
	a, err := f.out.Stat()
	if err != nil {
		return true
	}
	b, err := os.Stat(f.path)
	return err != nil || !os.SameFile(a, b)
}

func (f *File) close() {
	if f.out != nil {
		_ = f.out.Close() // everything that counts was flushed
		f.out = nil
	}
}

// open opens the file for appending and finds out where to go on.
func (f *File) open() error {
	out, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, fileMode)
	if err != nil {
		return fmt.Errorf("open the audit sink: %w", err)
	}
	last, err := mend(out)
	if err == nil {
		var cursor int64
		if cursor, err = f.readCursor(); err == nil {
			f.after.Store(max(last, cursor, f.After()))
			f.out = out
			return nil
		}
	}
	_ = out.Close()
	return err
}

// mend cuts half a line off the end and returns the number in the last whole
// one, -1 when there is none.
func mend(out *os.File) (int64, error) {
	info, err := out.Stat()
	if err != nil {
		return 0, fmt.Errorf("look at the audit sink: %w", err)
	}
	if !info.Mode().IsRegular() { // a pipe has no past
		return -1, nil
	}
	from := max(0, info.Size()-2*most)
	tail := make([]byte, info.Size()-from)
	if _, err := io.ReadFull(io.NewSectionReader(out, from, int64(len(tail))), tail); err != nil {
		return 0, fmt.Errorf("read the end of the audit sink: %w", err)
	}
	end := bytes.LastIndexByte(tail, '\n') + 1
	if end < len(tail) {
		if end == 0 && from > 0 {
			return 0, errors.New("the audit sink ends in something that Stint did not write")
		}
		if err := out.Truncate(from + int64(end)); err != nil {
			return 0, fmt.Errorf("cut half a line off the audit sink: %w", err)
		}
	}
	if end == 0 {
		return -1, nil
	}
	line := tail[bytes.LastIndexByte(tail[:end-1], '\n')+1 : end]
	var last struct {
		Seq *int64 `json:"seq"`
	}
	if json.Unmarshal(line, &last) != nil || last.Seq == nil {
		return 0, fmt.Errorf("the last line of %s is not one that Stint wrote; move the file away", filepath.Base(out.Name()))
	}
	return *last.Seq, nil
}

func (f *File) cursorPath() string { return f.path + ".cursor" }

func (f *File) readCursor() (int64, error) {
	b, err := os.ReadFile(f.cursorPath())
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the cursor: %w", err)
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil || n < -1 {
		return 0, fmt.Errorf("%s does not hold a number; correct it to the last record's, or remove it to begin anew", f.cursorPath())
	}
	return n, nil
}

// saveCursor replaces the cursor at once or not at all.
func (f *File) saveCursor() (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.cursorPath())+".*")
	if err != nil {
		return fmt.Errorf("save the cursor: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = fmt.Fprintln(tmp, f.After())
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), f.cursorPath())
	}
	if err != nil {
		return fmt.Errorf("save the cursor: %w", err)
	}
	return nil
}
