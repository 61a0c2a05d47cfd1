package recording

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// recover puts right what an earlier process left: what its log has is written into the
// recordings, and those that did not end are ended. It says the last generation of the log.
func (s *Spool) recover() (list []Recovered, generation uint64, err error) {
	var logs [][]entry
	for _, path := range logPaths(s.dir) {
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, 0, err
		}
		if es := decodeEntries(b); len(es) > 0 {
			logs = append(logs, es)
			generation = max(generation, es[0].generation)
		}
	}
	slices.SortFunc(logs, func(a, b []entry) int { return int(int64(a[0].generation - b[0].generation)) })
	r := replay{spool: s, files: map[string]*os.File{}}
	for _, es := range logs {
		for _, e := range es {
			if err := r.apply(e); err != nil {
				return nil, 0, errors.Join(err, r.close())
			}
		}
	}
	if err := r.close(); err != nil {
		return nil, 0, err
	}
	paths, err := filepath.Glob(filepath.Join(s.dir, "*"+partSuffix))
	if err != nil {
		return nil, 0, err
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), partSuffix)
		if !ValidName(name) {
			continue // not ours
		}
		x, err := s.mend(name, path)
		if err != nil {
			x = Recovered{Name: name, Err: err}
		}
		list = append(list, x)
	}
	return list, generation, nil
}

// replay writes what the log has into the recordings' files.
type replay struct {
	spool *Spool
	files map[string]*os.File // nil: it was removed
}

func (r *replay) apply(e entry) error {
	f, ok := r.files[e.name]
	if !ok {
		var err error
		if f, err = r.open(e); err != nil {
			return err
		}
		r.files[e.name] = f
		if len(r.files) > 256 { // not more at once
			defer func() { _ = r.close() }()
		}
	}
	if f == nil {
		return nil
	}
	_, err := f.WriteAt(e.data, e.offset)
	return err
}

func (r *replay) open(e entry) (*os.File, error) {
	s := r.spool
	if _, err := os.Lstat(s.goner(e.name)); err == nil {
		return nil, nil
	}
	if _, err := os.Lstat(s.path(e.name)); err == nil { // it was synced before it had that name
		return nil, nil
	}
	flag := os.O_RDWR
	if e.offset == 0 {
		flag |= os.O_CREATE
	}
	f, err := os.OpenFile(s.part(e.name), flag, 0o600)
	if errors.Is(err, os.ErrNotExist) { // it failed at once, and was taken away
		return nil, nil
	}
	return f, err
}

func (r *replay) close() (err error) {
	for _, f := range r.files {
		if f != nil {
			err = errors.Join(err, f.Sync(), f.Close())
		}
	}
	clear(r.files)
	return err
}

// mend ends a recording that its writer did not end.
func (s *Spool) mend(name, path string) (Recovered, error) {
	x := Recovered{Name: name}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return x, err
	}
	defer func() { _ = f.Close() }() // synced below
	info, err := f.Stat()
	if err != nil {
		return x, err
	}
	t, err := lastWhole(f, info.Size())
	if d := (*Damage)(nil); errors.As(err, &d) && d.Frame == 0 && t.size <= int64(headFixed+maxName+linkSize) {
		x.Cut = t.size // not even its head is whole, so nothing of it was promised to anybody
		return x, os.Remove(path)
	}
	if err != nil {
		return x, err
	}
	x.Cut, x.Damaged = t.size-t.end, t.damaged
	x.Anchor = Anchor{Frames: t.number, Root: t.link}
	if t.state == Unended {
		why := "the gateway crashed"
		if t.damaged > 0 {
			why = "the gateway crashed, and what it had written is damaged"
		}
		b, link, err := appendSeal(nil, s.sealer, t.id, t.link, t.number+1, seal{state: Broken, at: time.Now(), reason: why})
		if err != nil {
			return x, err
		}
		if err := f.Truncate(t.end); err != nil {
			return x, err
		}
		if _, err := f.WriteAt(b, t.end); err != nil {
			return x, err
		}
		x.Anchor = Anchor{Frames: t.number + 1, Root: link}
	} else if x.Cut > 0 {
		return x, &Error{Message: "the recording " + name + " goes on behind its final seal", Why: "no gateway writes that",
			Next: "keep the file, and look at who could write to it"}
	}
	if err := f.Sync(); err != nil {
		return x, err
	}
	return x, os.Rename(path, s.path(name))
}

// tail is how a recording ends that nobody may have ended.
type tail struct {
	id      [16]byte
	size    int64
	end     int64 // behind the last whole frame
	number  uint64
	link    Link
	state   State
	damaged uint64
}

// lastWhole finds the last whole frame. A damaged frame with whole ones behind it is no work
// of a crash in strict mode: nothing is taken away then, and Verify finds it.
func lastWhole(f io.ReaderAt, size int64) (t tail, err error) {
	t.size = size
	fs, err := newFrames(io.NewSectionReader(f, 0, t.size))
	if err != nil {
		return t, err
	}
	t.id = fs.head.id
	for {
		fr, err := fs.next()
		if d := (*Damage)(nil); errors.As(err, &d) {
			if !fs.skip(f, t.size) {
				break
			}
			if t.damaged == 0 {
				t.damaged = d.Frame
			}
			continue
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return t, err
		}
		t.state = Unended
		if fr.kind == frameSeal {
			s, err := fs.checkSeal(fr)
			if err != nil {
				return t, err
			}
			t.state = s.state
		}
		if t.state != Unended {
			break
		}
	}
	t.end, t.number, t.link = fs.offset, fs.number, fs.last
	return t, nil
}

// skip looks for a whole frame behind a damaged one, and goes there.
func (f *frames) skip(r io.ReaderAt, size int64) bool {
	const window = 64 << 10
	b := make([]byte, window+linkSize+frameHead)
	for at := f.offset; at < size; at += window {
		n, _ := r.ReadAt(b, at)
		for i := 1; i+linkSize+frameHead <= n && i <= window; i++ {
			h := b[i+linkSize:]
			number := binary.BigEndian.Uint64(h[1:])
			length := int64(binary.BigEndian.Uint32(h[9:]))
			begin := at + int64(i) + linkSize
			if h[0] != frameChunk && h[0] != frameSeal || number <= f.number || number > f.number+1<<20 ||
				length > maxPayload || begin+frameHead+length+linkSize > size {
				continue
			}
			fr := make([]byte, frameHead+length+linkSize)
			if _, err := r.ReadAt(fr, begin); err != nil {
				continue
			}
			before := Link(b[i:])
			if linkOf(before, fr[:frameHead+length]) != Link(fr[frameHead+length:]) {
				continue
			}
			f.last, f.number, f.offset = before, number-1, begin
			f.r.Reset(io.NewSectionReader(r, begin, size-begin))
			return true
		}
	}
	return false
}
