package siem

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/audit"
)

// logOf is a log in memory that grows while it is read.
type logOf struct {
	t *testing.T

	mu    sync.Mutex
	recs  []Record
	grown chan struct{} // closed and replaced whenever recs grow
	idle  chan int64    // the number after which the reader waits
}

func newLogOf(t *testing.T) *logOf {
	return &logOf{t: t, grown: make(chan struct{}), idle: make(chan int64, 1000)}
}

func (l *logOf) grow(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		seq := int64(len(l.recs))
		b, err := audit.Encode(audit.Record{ID: fmt.Sprintf("rec_%d", seq), Event: access.Event{Type: "grant.active", At: time.Unix(seq, 0),
			Entity: fmt.Sprintf("grt_%d", seq), Version: 1, Actor: access.System, Facts: map[string]string{"reason": "<b>&\n"}}})
		if err != nil {
			l.t.Fatal(err)
		}
		l.recs = append(l.recs, Record{Seq: seq, Encoded: b})
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *logOf) Records(_ context.Context, after int64, limit int) ([]Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := min(max(after+1, 0), int64(len(l.recs)))
	return l.recs[from:min(from+int64(limit), int64(len(l.recs)))], nil
}

func (l *logOf) Wait(ctx context.Context, after int64) error {
	l.mu.Lock()
	grown, more := l.grown, int64(len(l.recs)) > after+1
	l.mu.Unlock()
	if more {
		return nil
	}
	l.idle <- after
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-grown:
		return nil
	}
}

// until waits for the sink to have written everything up to seq.
func (l *logOf) until(seq int64) {
	l.t.Helper()
	for {
		select {
		case at := <-l.idle:
			if at == seq {
				return
			}
		case <-time.After(60 * time.Second):
			l.t.Fatalf("the sink did not reach record %d", seq)
		}
	}
}

// start runs a sink until the function it returns is called.
func start(t *testing.T, path string, l *logOf) (f *File, stop func()) {
	t.Helper()
	f = NewFile(path, l, slog.New(slog.DiscardHandler))
	f.retry = time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return f, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// check reads files one after the other and insists on all records, in order, once.
func check(t *testing.T, l *logOf, paths ...string) {
	t.Helper()
	next := int64(0)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sc := bufio.NewScanner(bytes.NewReader(b))
		for sc.Scan() {
			var line struct {
				Seq    int64           `json:"seq"`
				Record json.RawMessage `json:"record"`
			}
			if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
				t.Fatalf("%s: %v in %q", path, err, sc.Text())
			}
			if line.Seq != next {
				t.Fatalf("%s: record %d follows %d", path, line.Seq, next-1)
			}
			if !bytes.Equal(line.Record, l.recs[next].Encoded) {
				t.Fatalf("record %d is not as it was encoded: %s", next, line.Record)
			}
			next++
		}
	}
	if next != int64(len(l.recs)) {
		t.Fatalf("%d records are in the files, want %d", next, len(l.recs))
	}
}

func TestFollowsAndGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := newLogOf(t)
	l.grow(1200) // more than two batches
	f, stop := start(t, path, l)
	l.until(1199)
	l.grow(3)
	l.until(1202)
	stop()
	if f.After() != 1202 {
		t.Errorf("stopped at %d", f.After())
	}
	l.grow(2) // while nobody reads
	_, stop = start(t, path, l)
	l.until(1204)
	stop()
	check(t, l, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAfterACrash(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"half a line": func(t *testing.T, path string) {
			add(t, path, `{"seq":10,"rec`)
		},
		"the cursor was not saved": func(t *testing.T, path string) { write(t, path+".cursor", "3\n") },
		"no cursor":                func(t *testing.T, path string) { remove(t, path+".cursor") },
		"half a line and an old cursor": func(t *testing.T, path string) {
			add(t, path, `{"seq"`)
			write(t, path+".cursor", "-1\n")
		},
		"lines of a batch that the cursor does not know": func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitAfter(string(b), "\n")
			write(t, path, strings.Join(lines[:7], ""))
			write(t, path+".cursor", "4\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			l := newLogOf(t)
			l.grow(10)
			_, stop := start(t, path, l)
			l.until(9)
			stop()
			damage(t, path)
			l.grow(5)
			_, stop = start(t, path, l)
			l.until(14)
			stop()
			check(t, l, path)
		})
	}
}

func TestRotation(t *testing.T) {
	for name, byName := range map[string]bool{"the file is moved": false, "and we are told": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			l := newLogOf(t)
			l.grow(4)
			f, stop := start(t, path, l)
			l.until(3)
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			if byName {
				f.Reopen()
			}
			l.grow(4)
			l.until(7)
			stop()
			check(t, l, path+".1", path)
		})
	}
}

func TestKeepsItsPlaceWhileItCannotWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "audit.jsonl")
	l := newLogOf(t)
	l.grow(2)
	_, stop := start(t, path, l)
	l.until(1)
	if err := os.Rename(dir, dir+".away"); err != nil { // the disk is gone
		t.Fatal(err)
	}
	l.grow(2)
	if err := os.Rename(dir+".away", dir); err != nil { // and back
		t.Fatal(err)
	}
	l.until(3)
	stop()
	check(t, l, path)
}

func TestRefusesAtTheStart(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "foreign"), "hello\n")
	write(t, filepath.Join(dir, "cursor"), "")
	write(t, filepath.Join(dir, "cursor.cursor"), "many\n")
	write(t, filepath.Join(dir, "blob"), strings.Repeat("x", 3*most))
	for name, path := range map[string]string{
		"no such folder": filepath.Join(dir, "none", "audit.jsonl"), "a folder": dir, "not ours": filepath.Join(dir, "foreign"),
		"not a cursor": filepath.Join(dir, "cursor"), "no lines": filepath.Join(dir, "blob"),
	} {
		t.Run(name, func(t *testing.T) {
			if err := NewFile(path, newLogOf(t), slog.New(slog.DiscardHandler)).Run(t.Context()); err == nil {
				t.Error("it was taken")
			}
		})
	}
	if b, err := os.ReadFile(filepath.Join(dir, "foreign")); err != nil || string(b) != "hello\n" {
		t.Errorf("a foreign file was changed: %q, %v", b, err)
	}
}

type broken struct{ error }

func (b broken) Records(context.Context, int64, int) ([]Record, error) { return nil, b.error }
func (b broken) Wait(context.Context, int64) error                     { return nil }

func TestSaysOnceThatItCannot(t *testing.T) {
	var out lockedBuffer
	f := NewFile(filepath.Join(t.TempDir(), "a"), broken{errors.New("down")}, slog.New(slog.NewTextHandler(&out, nil)))
	f.retry = time.Microsecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	for !strings.Contains(out.String(), "\n") {
		runtime.Gosched()
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors in the log, want one:\n%s", n, out.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

var _ io.Writer = (*lockedBuffer)(nil)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(b)+text)
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
