package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := Open(path, MinSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// holds insists on what the journal holds.
func holds(t *testing.T, j *Journal, first uint64, want ...string) {
	t.Helper()
	n, bodies := j.Entries(1 << 20)
	var got []string
	for _, b := range bodies {
		got = append(got, string(b))
	}
	if n != first || strings.Join(got, "|") != strings.Join(want, "|") {
		t.Fatalf("from %d: %q, want from %d: %q", n, got, first, want)
	}
}

func write(t *testing.T, j *Journal, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if err := j.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
}

func again(t *testing.T, j *Journal) *Journal {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, j.path)
}

func TestKeepsUntilForgotten(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal"))
	id := j.ID()
	write(t, j, "a", "b", "c")
	j = again(t, j)
	holds(t, j, 1, "a", "b", "c")
	if err := j.Forget(2); err != nil {
		t.Fatal(err)
	}
	holds(t, j, 3, "c")
	j = again(t, j)
	holds(t, j, 3, "c")
	write(t, j, "d")
	if err := j.Forget(4); err != nil {
		t.Fatal(err)
	}
	j = again(t, j)
	holds(t, j, 5)
	write(t, j, "e") // at the beginning of the file, over what was there
	j = again(t, j)
	holds(t, j, 5, "e")
	if j.ID() != id {
		t.Error("another id after a restart")
	}
	if err := j.Forget(99); err != nil {
		t.Fatal(err)
	}
	holds(t, j, 6)
}

func TestIsItsFullSizeFromTheStart(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal"))
	for range 100 {
		write(t, j, strings.Repeat("x", 100))
		if err := j.Forget(1 << 60); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(j.path)
	if err != nil || info.Size() != MinSize || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v, %v", info.Size(), info.Mode(), err)
	}
}

func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	j := open(t, filepath.Join(dir, "journal"))
	write(t, j, "first", "second", "third")
	end := j.records[2].end
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := j.records[1].end; cut < end; cut++ { // as if only so much of the last write had got to the disk
		torn := bytes.Clone(whole)
		clear(torn[cut:])
		path := filepath.Join(dir, fmt.Sprint("torn", cut))
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		k := open(t, path)
		holds(t, k, 1, "first", "second")
		write(t, k, "after")
		k = again(t, k)
		holds(t, k, 1, "first", "second", "after")
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnyDamage flips bytes: what is read is a prefix of what was written, or the
// file is refused, never anything else.
func TestAnyDamage(t *testing.T) {
	dir := t.TempDir()
	j := open(t, filepath.Join(dir, "journal"))
	write(t, j, "one", "two", "three", "four")
	if err := j.Forget(1); err != nil {
		t.Fatal(err)
	}
	last := j.end
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	refused, short := 0, 0
	for range 2000 {
		bad := bytes.Clone(whole)
		bad[r.Int64N(last)] ^= byte(1 + r.IntN(255))
		h, records, _, err := readAll(bytes.NewReader(bad), int64(len(bad)))
		if err != nil {
			refused++
			continue
		}
		all := []string{"one", "two", "three", "four"}[h.first-1:]
		if len(records) < len(all) {
			short++
		}
		for i, rec := range records {
			if string(rec.body) != all[i] {
				t.Fatalf("record %d is %q", i, rec.body)
			}
		}
	}
	if short == 0 {
		t.Error("no damage was met")
	}
}

func TestFullKeepsInMemory(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal"))
	body := bytes.Repeat([]byte("x"), 1000)
	n := 0
	var err error
	for err == nil && n < 1000 {
		err = j.Write(body)
		n++
	}
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	first, all := j.Entries(1 << 20)
	if first != 1 || len(all) != n {
		t.Fatalf("%d records from %d on, want %d: the last is in memory", len(all), first, n)
	}
	if waiting, err := j.Waiting(); waiting != n || !errors.Is(err, ErrFull) {
		t.Errorf("%d wait, %v", waiting, err)
	}
	for range 200 {
		_ = j.Write(body)
	}
	if s := j.Status(); s.Lost == 0 || s.Used > MinSize {
		t.Errorf("%+v: memory is bounded too", s)
	}
	if err := j.Forget(uint64(n / 2)); err != nil { // half of them are merged, and there is room
		t.Fatal(err)
	}
	if err := j.Write([]byte("again")); err != nil {
		t.Fatal(err)
	}
	want, _ := j.Waiting()
	j = again(t, j)
	if got, _ := j.Waiting(); got != want {
		t.Errorf("%d records after a restart, want %d", got, want)
	}
}

// sick is a file that fails.
type sick struct {
	disk
	write, sync error
	writes      int
}

func (s *sick) WriteAt(b []byte, at int64) (int, error) {
	s.writes++
	if s.write != nil {
		return 0, s.write
	}
	return s.disk.WriteAt(b, at)
}

func (s *sick) Sync() error { return errors.Join(s.sync, s.disk.Sync()) }

// TestFailedFileIsNotWrittenAgain: after a sync that failed, a kernel may say
// that all is well and have dropped the pages. (fail-closed table, EIO)
func TestFailedFileIsNotWrittenAgain(t *testing.T) {
	eio := errors.New("input/output error")
	for name, fault := range map[string]func(*sick){"write": func(s *sick) { s.write = eio }, "sync": func(s *sick) { s.sync = eio }} {
		t.Run(name, func(t *testing.T) {
			j := open(t, filepath.Join(t.TempDir(), "journal"))
			write(t, j, "before")
			s := &sick{disk: j.file}
			j.file = s
			fault(s)
			if err := j.Write([]byte("during")); !errors.Is(err, ErrFailed) || !errors.Is(err, eio) {
				t.Fatal(err)
			}
			s.write, s.sync = nil, nil // and now it says that all is well
			n := s.writes
			if err := j.Write([]byte("after")); !errors.Is(err, ErrFailed) || s.writes != n {
				t.Fatalf("%v, %d writes", err, s.writes-n)
			}
			holds(t, j, 1, "before", "during", "after")
			if err := j.Mend(); err != nil {
				t.Fatal(err)
			}
			write(t, j, "mended")
			j = again(t, j)
			holds(t, j, 1, "before", "during", "after", "mended")
		})
	}
}

func TestStartsWithoutADisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if err := os.Mkdir(path+".new", 0o700); err != nil { // nothing can be made there
		t.Fatal(err)
	}
	j := open(t, path)
	if s := j.Status(); s.Failed == nil {
		t.Fatal("it claims to have a file")
	}
	if err := j.Write([]byte("kept")); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	if err := j.Mend(); err == nil {
		t.Fatal("mended")
	}
	if err := os.Remove(path + ".new"); err != nil {
		t.Fatal(err)
	}
	if err := j.Mend(); err != nil {
		t.Fatal(err)
	}
	j = again(t, j)
	holds(t, j, 1, "kept")
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j := open(t, path)
	if _, err := Open(path, MinSize); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second one: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "notes")
	if err := os.WriteFile(other, bytes.Repeat([]byte("dear diary "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(other, MinSize); !errors.Is(err, errNoJournal) {
		t.Errorf("a file of somebody else: %v", err)
	}
	if _, err := Open(path, 100); err == nil {
		t.Error("a hundred bytes are no journal")
	}
}

func TestAnotherSize(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal"))
	write(t, j, "kept")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	k, err := Open(j.path, 2*MinSize)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	holds(t, k, 1, "kept")
	if info, err := os.Stat(j.path); err != nil || info.Size() != 2*MinSize {
		t.Errorf("%v, %v", info.Size(), err)
	}
}
