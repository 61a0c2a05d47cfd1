package recording

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Inbox is a folder of recordings that their writers still send, frame by frame. It is safe for
// concurrent use, also by several processes that share the folder. What was taken is never
// changed: a frame that comes again must be the one that is here.
//
// It is a copy until the recording is kept (Keep.Ship), and its writer has the other one: nothing
// here is synced, and what a crash takes is sent again.
type Inbox struct {
	dir  string
	most int64 // bytes of one recording

	mu     sync.Mutex // guards places
	places map[string]*place
}

// place is what is known of one recording. Its mu is held while the file is looked at or written.
type place struct {
	mu   sync.Mutex
	seen Progress
	head head
}

// Progress is how far a recording has come.
type Progress struct {
	Frames uint64 // whole ones
	Root   Link   // of the last; the head's where there is none
	Bytes  int64  // 0: not even a head
	Sealed uint64 // frames up to the last seal
	State  State
	Reason string
	Began  time.Time
	Ended  time.Time // when the last seal was made
}

// Gap says that frames before those that were sent are missing.
type Gap struct{ Have Progress }

func (g *Gap) Error() string {
	if g.Have.Bytes == 0 {
		return "frames do not begin with the head of their recording, of which nothing is here"
	}
	return fmt.Sprintf("frames do not follow those that are here: %d would", g.Have.Frames+1)
}

// OpenInbox opens the folder, which is made if it is not there.
func OpenInbox(dir string) (*Inbox, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &Error{Message: "cannot take recordings in " + dir, Next: "choose a folder that this user may make", Cause: err}
	}
	return &Inbox{dir: dir, most: maxObject, places: map[string]*place{}}, nil
}

func (x *Inbox) path(name string) string { return filepath.Join(x.dir, name+partSuffix) }

func (x *Inbox) place(name string) *place {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.places[name]
	if p == nil {
		p = &place{}
		x.places[name] = p
	}
	return p
}

// Take takes whole frames of a recording, the first of which has that number; with 0 the head stands before
// the first. Frames that are here already are passed over, if they lead to the same last one. What does not
// follow is a *Gap or a *Damage, and nothing of it is kept. The seals must be by a key of trust.
func (x *Inbox) Take(name string, trust Trust, from uint64, b []byte) (Progress, error) {
	if !ValidName(name) {
		return Progress{}, ErrNotFound
	}
	p := x.place(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	f, err := x.lock(name, from == 0)
	if errors.Is(err, os.ErrNotExist) {
		p.seen, p.head = Progress{}, head{}
		return p.seen, &Gap{p.seen}
	} else if err != nil {
		return Progress{}, fmt.Errorf("take frames of %s: %w", name, err)
	}
	defer func() { _ = f.Close() }() // nothing is promised of it
	if err := p.look(f); err != nil {
		return Progress{}, fmt.Errorf("take frames of %s: %w", name, err)
	}
	fresh, next, h, err := p.follow(name, trust, from, b)
	if err != nil {
		if p.seen.Bytes == 0 { // whoever waits for it sees that it is gone
			_ = os.Remove(x.path(name)) // empty, it says as much as none
		}
		return p.seen, err
	}
	if len(fresh) == 0 {
		return p.seen, nil
	}
	if p.seen.Bytes+int64(len(fresh)) > x.most {
		return p.seen, &Error{Message: "the recording " + name + " is too long", Why: fmt.Sprintf("one may have %d bytes", x.most), Next: "end the session"}
	}
	if _, err := f.WriteAt(fresh, p.seen.Bytes); err != nil {
		return p.seen, fmt.Errorf("take frames of %s: %w", name, err)
	}
	next.Bytes = p.seen.Bytes + int64(len(fresh))
	p.seen, p.head = next, h
	return p.seen, nil
}

// lock opens the file for one process at a time, and makes it only where it is to begin.
func (x *Inbox) lock(name string, begin bool) (*os.File, error) {
	flags := os.O_RDWR
	if begin {
		flags |= os.O_CREATE
	}
	for {
		f, err := os.OpenFile(x.path(name), flags, 0o600)
		if err != nil {
			return nil, err
		}
		if err := lockFile(f, lockExclusive); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if now, err := os.Stat(x.path(name)); err == nil && os.SameFile(mine, now) {
			return f, nil
		}
		_ = f.Close() // it was removed meanwhile, and nothing was written to it
	}
}

// look finds out what is in the file, where that is not known: another process may have written to it,
// or died while it did.
func (p *place) look(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == p.seen.Bytes {
		return err
	}
	p.seen, p.head = Progress{}, head{}
	fs, err := newFrames(f)
	if d := (*Damage)(nil); errors.As(err, &d) { // not even a head: it comes again
		return f.Truncate(0)
	} else if err != nil {
		return err
	}
	p.head = fs.head
	p.seen = Progress{Root: fs.first, Bytes: fs.offset, Began: fs.head.began}
	for {
		fr, err := fs.next()
		if d := (*Damage)(nil); errors.As(err, &d) {
			return f.Truncate(p.seen.Bytes)
		} else if err != nil {
			break // the end
		}
		if err := p.seen.add(fs, fr, nil); err != nil {
			return err
		}
		p.seen.Bytes = fs.offset
	}
	return nil
}

// add counts a frame. Where ours is given, it says whose seals are.
func (g *Progress) add(fs *frames, fr frame, ours func(seal) bool) error {
	if g.State != Unended {
		return &Damage{Frame: fr.number, What: "it stands behind the final seal"}
	}
	g.Frames, g.Root = fr.number, fr.link
	if fr.kind != frameSeal {
		return nil
	}
	s, err := fs.checkSeal(fr)
	if err != nil {
		return err
	}
	if ours != nil && !ours(s) {
		return &Damage{Frame: fr.number, What: fmt.Sprintf("it is sealed with the key %x…, which is not this gateway's", []byte(s.key[:4]))}
	}
	g.Sealed, g.State, g.Reason, g.Ended = fr.number, s.state, s.reason, s.at
	return nil
}

// follow finds what of b is new, and how far it leads.
func (p *place) follow(name string, trust Trust, from uint64, b []byte) (fresh []byte, next Progress, h head, err error) {
	have := p.seen
	known := func(s seal) bool {
		return slices.ContainsFunc(trust.Keys, func(k ed25519.PublicKey) bool { return k.Equal(s.key) })
	}
	h, next, at := p.head, have, 0
	switch {
	case from == 0:
		fs, err := newFrames(bytes.NewReader(b))
		if err != nil {
			return nil, have, h, err
		}
		if fs.head.name != name {
			return nil, have, h, &Damage{What: "it is of another session, " + fs.head.name}
		}
		at, from = int(fs.offset), 1
		if have.Bytes == 0 {
			h, next = fs.head, Progress{Root: fs.first, Began: fs.head.began}
			fresh = b[:at]
			break
		}
		if fs.head.id != p.head.id || headLink(p.head.body()) != fs.first {
			return nil, have, h, &Damage{What: "another recording of that name is here"}
		}
	case have.Bytes == 0 || from > have.Frames+1:
		return nil, have, h, &Gap{have}
	}
	// What is here already is passed over: the last of it has to be the same.
	for ; from <= next.Frames && at < len(b); from++ {
		n, number, ok := frameAt(b[at:])
		if !ok || number != from {
			return nil, have, h, &Damage{Frame: from, What: "it is not whole, or another one stands in its place"}
		}
		at += n
		if from == next.Frames && Link(b[at-linkSize:at]) != next.Root {
			return nil, have, h, &Damage{Frame: from, What: "another one is here already"}
		}
	}
	if at == len(b) {
		return fresh, next, h, nil
	}
	fs := &frames{head: h, last: next.Root, number: next.Frames, r: bufio.NewReader(bytes.NewReader(b[at:]))}
	for {
		fr, err := fs.next()
		if err != nil {
			if d := (*Damage)(nil); errors.As(err, &d) {
				return nil, have, h, err
			}
			break // the end
		}
		if err := next.add(fs, fr, known); err != nil {
			return nil, have, h, err
		}
	}
	if fresh != nil { // with the head
		return b, next, h, nil
	}
	return b[at:], next, h, nil
}

// frameAt is how long the frame is with which b begins, and its number.
func frameAt(b []byte) (n int, number uint64, ok bool) {
	if len(b) < frameHead {
		return 0, 0, false
	}
	size := int64(binary.BigEndian.Uint32(b[9:]))
	n = frameHead + int(min(size, maxPayload+1)) + linkSize
	return n, binary.BigEndian.Uint64(b[1:]), size <= maxPayload && n <= len(b)
}

// Have says how far a recording is here; ErrNotFound: nothing of it is.
func (x *Inbox) Have(name string) (Progress, error) {
	f, err := x.OpenFile(name)
	if err != nil {
		return Progress{}, err
	}
	defer func() { _ = f.Close() }() // only read
	p := x.place(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := lockFile(f, lockShared); err != nil {
		return Progress{}, err
	}
	if info, err := f.Stat(); err == nil && info.Size() == p.seen.Bytes {
		return p.seen, nil
	}
	rw, err := os.OpenFile(x.path(name), os.O_RDWR, 0)
	if err != nil {
		return Progress{}, ErrNotFound
	}
	defer func() { _ = rw.Close() }() // what is cut off is cut off again
	_ = lockFile(f, unlock)
	if err := lockFile(rw, lockExclusive); err != nil {
		return Progress{}, err
	}
	if err := p.look(rw); err != nil {
		return Progress{}, err
	}
	return p.seen, nil
}

// OpenFile opens a recording that is here for reading, as far as it has come.
func (x *Inbox) OpenFile(name string) (*os.File, error) {
	if !ValidName(name) {
		return nil, ErrNotFound
	}
	f, err := os.Open(x.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotFound
	}
	return f, err
}

// Remove removes a recording that is kept elsewhere; see Keep.Ship.
func (x *Inbox) Remove(name string) error {
	if !ValidName(name) {
		return ErrNotFound
	}
	p := x.place(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	err := os.Remove(x.path(name))
	p.seen, p.head = Progress{}, head{}
	x.mu.Lock()
	delete(x.places, name)
	x.mu.Unlock()
	if errors.Is(err, os.ErrNotExist) {
		return ErrNotFound
	}
	return err
}

// Names are the recordings that are here.
func (x *Inbox) Names() ([]string, error) {
	list, err := os.ReadDir(x.dir)
	if err != nil {
		return nil, fmt.Errorf("look for recordings on their way: %w", err)
	}
	var names []string
	for _, e := range list {
		if name, ok := strings.CutSuffix(e.Name(), partSuffix); ok && ValidName(name) {
			names = append(names, name)
		}
	}
	return names, nil
}
