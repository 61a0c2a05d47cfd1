package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// TestAnyDamage changes bytes: what is read is what was written, at its number, and
// what cannot be read is called damage. One byte costs one record at most.
func TestAnyDamage(t *testing.T) {
	dir := t.TempDir()
	j := open(t, filepath.Join(dir, "journal"))
	texts := []string{"one", "two", "three", "four"}
	write(t, j, texts...)
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
	hit := map[string]int{}
	for range 5000 {
		bad := bytes.Clone(whole)
		at := r.Int64N(last - dataStart + 2*headSize)
		switch { // heads and records; what is between is never read
		case at >= 2*headSize:
			at += dataStart - 2*headSize
		case at >= headSize:
			at += otherHead - headSize
		}
		bad[at] ^= byte(1 + r.IntN(255))
		c, err := parse(bad)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		hit[c.damage]++
		good := map[uint64]bool{}
		for i, rec := range c.records {
			n := c.head.first + uint64(i)
			if len(rec.body) > 0 && string(rec.body) != texts[n-1] {
				t.Fatalf("byte %d: record %d is %q", at, n, rec.body)
			}
			good[n] = len(rec.body) > 0
		}
		missing := 0
		for n := uint64(2); n <= 4; n++ {
			if !good[n] {
				missing++
			}
		}
		if missing > 1 || missing == 1 && c.damage == "" {
			t.Fatalf("byte %d: %d records are missing, %q", at, missing, c.damage)
		}
	}
	if len(hit) != 4 { // none, a head, the last record, one before it
		t.Errorf("%v", hit)
	}
}

// TestDamagedIsSetAside: a journal that was damaged stops nothing. It is kept under
// another name, and all that is whole of it goes on under its numbers.
func TestDamagedIsSetAside(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
		first  uint64
		want   []string
	}{
		{"in the middle", func(b []byte) []byte { b[dataStart+recordHead] ^= 1; return b }, 1, []string{"", "two", "three"}},
		{"at the end", func(b []byte) []byte { b[bytes.Index(b, []byte("three"))] ^= 1; return b }, 1, []string{"one", "two"}},
		{"a length", func(b []byte) []byte { b[dataStart+recordHead+3] ^= 0x80; return b }, 1, []string{"one", "", "three"}},
		{"cut off", func(b []byte) []byte { return b[:bytes.Index(b, []byte("three"))] }, 1, []string{"one", "two"}},
		{"cut off at its head", func(b []byte) []byte { return b[:headSize+1] }, 1, nil},
		{"without a head", func(b []byte) []byte { clear(b[len(magic):dataStart]); return b }, 1, nil},
		{"of zeros", func(b []byte) []byte { clear(b); return b }, 1, nil},
		{"of nothing", func([]byte) []byte { return nil }, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			j := open(t, path)
			write(t, j, "one", "two", "three")
			j.head.generation++ // a second head, as after anything was forgotten
			if _, err := j.file.WriteAt(j.head.encode(), j.head.at()); err != nil {
				t.Fatal(err)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			bad, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bad = c.damage(bad)
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if Examine(path) == nil {
				t.Error("nothing is found to be wrong")
			}
			j = open(t, path)
			holds(t, j, c.first, c.want...)
			write(t, j, "after")
			s := j.Status()
			if s.Failed != nil || s.Damage == "" {
				t.Errorf("%+v", s)
			}
			if kept, err := os.ReadFile(s.Aside); err != nil || !bytes.Equal(kept, bad) {
				t.Errorf("what was there is not kept at %q: %v", s.Aside, err)
			}
			j = again(t, j)
			holds(t, j, c.first, append(c.want, "after")...)
			if s := j.Status(); s.Damage != "" || Examine(path) != nil {
				t.Errorf("the new one: %+v, %v", s, Examine(path))
			}
			if info, err := os.Stat(path); err != nil || info.Size() != MinSize {
				t.Errorf("%v, %v", info.Size(), err)
			}
		})
	}
}

// TestForeignIsLeftAlone: what is not ours is never overwritten, and no reason not to
// work. Once it is gone, there is a file.
func TestForeignIsLeftAlone(t *testing.T) {
	diary := bytes.Repeat([]byte("dear diary "), 1000)
	for name, put := range map[string]func(path string) error{
		"a file":   func(path string) error { return os.WriteFile(path, diary, 0o600) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			j := open(t, path)
			for range 2 {
				if err := j.Write([]byte("kept")); !errors.Is(err, ErrFailed) || !errors.Is(err, errForeign) {
					t.Fatal(err)
				}
				if err := j.Mend(); !errors.Is(err, errForeign) {
					t.Fatal(err)
				}
			}
			if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) || after.Size() != before.Size() || after.Mode() != before.Mode() {
				t.Errorf("it was touched: %v, %v", after, err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := j.Mend(); err != nil {
				t.Fatal(err)
			}
			j = again(t, j)
			holds(t, j, 1, "kept", "kept")
		})
	}
}

// TestUnreadable: a folder that is out of reach, as of a disk that is not there. When
// it comes back, so does what was written before, once nothing waits in memory that
// begins at the same number.
func TestUnreadable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	j := open(t, filepath.Join(dir, "journal"))
	id := j.ID()
	write(t, j, "before")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	j = open(t, j.path)
	if err := j.Write([]byte("meanwhile")); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	if err := j.Mend(); err == nil {
		t.Fatal("mended without a disk")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := j.Mend(); err == nil {
		t.Fatal("what waits was mixed up with what was there")
	}
	holds(t, j, 1, "meanwhile")
	if err := j.Forget(1); !errors.Is(err, ErrFailed) { // it is merged
		t.Fatal(err)
	}
	if err := j.Mend(); err != nil {
		t.Fatal(err)
	}
	if j.ID() != id {
		t.Error("another id")
	}
	holds(t, j, 1, "before")
	write(t, j, "after")
	j = again(t, j)
	holds(t, j, 1, "before", "after")
}

// TestDiskErrs: a file that the disk does not give is left alone.
func TestDiskErrs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if err := os.Symlink("/proc/self/mem", path); err != nil { // no process has anything at its address 0
		t.Fatal(err)
	}
	j := open(t, path)
	for range 2 {
		if err := j.Write([]byte("kept")); !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		if err := j.Mend(); !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
	}
	holds(t, j, 1, "kept", "kept")
	if to, err := os.Readlink(path); err != nil || to != "/proc/self/mem" {
		t.Errorf("it was replaced: %q, %v", to, err)
	}
}

// TestReadOnlyDisk: what was written before is known, also of a disk that takes nothing
// any more, and nothing of it is lost when it does again.
func TestReadOnlyDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Fatalf("a disk can be mounted by root only, as make test is run: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("%s stays mounted: %v", dir, err)
		}
	})
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	j, err := Open(filepath.Join(dir, "journal"), MinSize)
	if err != nil {
		t.Fatal(err)
	}
	id := j.ID()
	write(t, j, "before")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	remount(syscall.MS_RDONLY)
	if j, err = Open(j.path, MinSize); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	if err := j.Write([]byte("during")); !errors.Is(err, syscall.EROFS) || j.ID() != id {
		t.Fatal(err)
	}
	holds(t, j, 1, "before", "during")
	if err := j.Mend(); !errors.Is(err, syscall.EROFS) {
		t.Fatal(err)
	}
	remount(0)
	if err := j.Mend(); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j, err = Open(j.path, MinSize); err != nil {
		t.Fatal(err)
	}
	holds(t, j, 1, "before", "during")
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

// TestFileComesBack: a journal whose folder is there only later is as well as one that
// was there at the start, and has what that folder kept.
func TestFileComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mounted")
	path := filepath.Join(dir, "journal")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	j := open(t, path)
	write(t, j, "one")
	if err := errors.Join(j.Close(), os.Rename(dir, dir+".away")); err != nil {
		t.Fatal(err)
	}
	j = open(t, path)
	if s := j.Status(); s.Failed == nil {
		t.Fatal("it claims to have a file")
	}
	if err := errors.Join(os.Rename(dir+".away", dir), j.Mend()); err != nil {
		t.Fatal(err)
	}
	if s := j.Status(); s.Failed != nil {
		t.Errorf("it has a file again, and says %v", s.Failed)
	}
	holds(t, j, 1, "one")
}

// TestDamagedIsTakenAway: a damaged file that somebody takes away before it is set
// aside keeps nobody from a new one.
func TestDamagedIsTakenAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Mkdir(path+".new", 0o700)); err != nil { // nothing can be made there
		t.Fatal(err)
	}
	j := open(t, path)
	if s := j.Status(); s.Failed == nil || s.Damage == "" {
		t.Fatalf("%+v", s)
	}
	if err := errors.Join(os.Remove(path), os.Remove(path+".new"), j.Mend()); err != nil {
		t.Fatal(err)
	}
	if s := j.Status(); s.Failed != nil || s.Aside != "" {
		t.Errorf("%+v", s)
	}
	write(t, j, "one")
	holds(t, again(t, j), 1, "one")
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j := open(t, path)
	if _, err := Open(path, MinSize); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
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
