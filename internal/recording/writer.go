package recording

import (
	"context"
	"crypto/cipher"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Writer writes one recording. It is safe for concurrent use; records stand in the order in which
// Add took them.
type Writer struct {
	spool      *Spool
	name       string
	mode       Mode
	began      time.Time // with the monotonic clock
	id         [16]byte
	generation atomic.Uint64 // the last of the log that has something of it
	failure    chan struct{}

	mu      sync.Mutex // guards what follows
	plain   chunk      // waits for the loop
	usual   int        // how long the last chunk was, or bulk
	next    Mark       // how many records were added
	durable Mark       // how many are on the disk
	queued  bool       // the loop will look
	busy    bool       // the loop, or a goroutine of it, is at what follows
	ending  State      // Unended: it goes on
	why     string
	ended   bool  // the final seal is on the disk
	cut     bool  // likewise, but the writer could not go on
	safe    int64 // bytes of the file that are on the disk, or in the log that is: what may be sent elsewhere
	err     error
	watches map[*Watch]struct{}
	changed chan struct{} // closed when durable, ended or err change; nil: nobody waits

	// Of whoever set busy.
	aead        cipher.AEAD
	file        file
	first, link Link
	size        int64
	number      uint64    // of the last frame
	unsealed    time.Time // when the first chunk behind the last seal was written; zero: none
	logged      bool      // its head is in the log
	head        []byte    // until then

	fileMu sync.Mutex // guards closing the file against syncing it
	shut   bool
}

// Mark is a place in a recording: how many records stand before it.
type Mark uint64

// create makes the file and writes the head, which is durable with the first record.
func (w *Writer) create(head []byte) error {
	s := w.spool
	if _, err := os.Lstat(s.path(w.name)); err == nil {
		return ErrExists
	}
	f, err := os.OpenFile(s.part(w.name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return ErrExists
	} else if err != nil {
		return err
	}
	w.file = file{f, s.fault}
	if err := w.file.write(head, 0); err != nil {
		return errors.Join(err, f.Close(), os.Remove(s.part(w.name)))
	}
	w.head, w.size = head, int64(len(head))
	w.first = Link(head[len(head)-linkSize:])
	w.link = w.first
	return nil
}

// Name is the recording's name.
func (w *Writer) Name() string { return w.name }

// Append adds records, and in strict mode waits until they are on the disk. When it fails,
// they must be taken as not recorded, and what they tell must not happen.
func (w *Writer) Append(ctx context.Context, channel uint32, events ...Event) error {
	m, err := w.Add(ctx, channel, events...)
	if err != nil {
		return err
	}
	return w.Wait(ctx, m)
}

// Add adds records and does not wait for the disk, but only for room: so many bytes may
// wait, whatever number of records they are. In strict mode nothing that they tell may happen before Wait
// with the mark has returned nil.
func (w *Writer) Add(ctx context.Context, channel uint32, events ...Event) (m Mark, err error) {
	for _, e := range events {
		switch e := e.(type) {
		case Output:
			m, err = w.addBytes(ctx, channel, KindOutput, e.Data)
		case Problem:
			m, err = w.addBytes(ctx, channel, KindProblem, e.Data)
		case Input:
			m, err = w.addBytes(ctx, channel, KindInput, e.Data)
		default:
			m, err = w.put(ctx, channel, e.Kind(), e.appendBody(nil))
		}
		if err != nil {
			return m, err
		}
	}
	return m, nil
}

// piece is how much of a stream of bytes is one record.
const piece = 64 << 10

func (w *Writer) addBytes(ctx context.Context, channel uint32, kind Kind, b []byte) (m Mark, err error) {
	for {
		n := min(len(b), piece)
		if m, err = w.put(ctx, channel, kind, b[:n]); err != nil || n == len(b) {
			return m, err
		}
		b = b[n:]
	}
}

// scratch holds what is large and needed for one flush only: the records of a chunk, and the frames that
// become of them. A stream that is always full would else make and grow both for each chunk.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, backlog+frameSlack); return &b }}

// frameSlack is how much longer than its records a chunk with its frame and seal may be.
const frameSlack = 1 << 10

// borrow gives an empty slice with room for n bytes.
func borrow(n int) []byte {
	if n < bulk {
		return make([]byte, 0, n)
	}
	b := *scratch.Get().(*[]byte)
	if cap(b) < n {
		return make([]byte, 0, n)
	}
	return b
}

// giveBack lets others use what was borrowed. Nobody may read it any more.
func giveBack(b []byte) {
	if cap(b) == backlog+frameSlack {
		b = b[:0]
		scratch.Put(&b)
	}
}

func (w *Writer) put(ctx context.Context, channel uint32, kind Kind, body []byte) (Mark, error) {
	if len(body) > MaxBody {
		return 0, ErrTooLarge
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.err != nil:
			return 0, w.err
		case w.ending != Unended:
			return 0, ErrClosed
		}
		room := backlog
		if w.spool.total.Load() > totalBacklog {
			room = littleLog
		}
		if len(w.plain.b) == 0 || len(w.plain.b)+len(body) <= room {
			break
		}
		w.wakeLoop()
		if err := w.wait(ctx); err != nil {
			return 0, err
		}
	}
	at := uint64(max(0, time.Since(w.began).Microseconds()))
	had := len(w.plain.b)
	if had == 0 {
		w.plain.b = borrow(w.usual)
		w.plain.begin(uint64(w.next), max(at, w.plain.last))
	}
	w.plain.add(kind, channel, at, body)
	w.spool.total.Add(int64(len(w.plain.b) - had))
	w.tellAll(kind, channel, body)
	w.next++
	if w.mode == Strict || len(w.plain.b) >= bulk {
		w.wakeLoop()
	} else if had == 0 {
		w.spool.later(w, flushAfter)
	}
	return w.next, nil
}

// wakeLoop has the loop look; mu is held.
func (w *Writer) wakeLoop() {
	if !w.queued {
		w.queued = true
		w.spool.push(w)
	}
}

// wait waits for a change; mu is held, and given up meanwhile.
func (w *Writer) wait(ctx context.Context) error {
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	changed := w.changed
	w.mu.Unlock()
	defer w.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *Writer) notify() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// Wait waits, in strict mode, until the records before the mark are on the disk. In normal mode
// it only says whether writing has failed.
func (w *Writer) Wait(ctx context.Context, m Mark) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.durable >= m:
			return nil
		case w.err != nil:
			return w.err
		case w.mode == Normal:
			return nil
		}
		if err := w.wait(ctx); err != nil {
			return err
		}
	}
}

// Sync waits, in every mode, until what was added is on the disk.
func (w *Writer) Sync(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for m := w.next; w.durable < m; {
		if w.err != nil {
			return w.err
		}
		w.wakeLoop()
		if err := w.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Failed is closed when the recording cannot go on; Err says why. In strict mode the session
// must end then.
func (w *Writer) Failed() <-chan struct{} { return w.failure }

// Err is why the recording cannot go on, or nil.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close seals the recording as complete, with the reason why the session ended, and waits until that
// is on the disk. A second Close waits, too.
func (w *Writer) Close(ctx context.Context, why string) error { return w.end(ctx, Complete, why) }

func (w *Writer) end(ctx context.Context, as State, why string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending == Unended && w.err == nil {
		w.ending, w.why = as, why
		w.endWatches()
		w.wakeLoop()
	}
	for !w.ended && w.err == nil {
		if err := w.wait(ctx); err != nil {
			return err
		}
	}
	return w.err
}

// Anchor is what the audit log keeps of a recording that ended; ok says whether it has.
func (w *Writer) Anchor() (a Anchor, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy || !w.ended && !w.cut {
		return Anchor{}, false
	}
	return Anchor{Frames: w.number, Root: w.link}, true
}

// flush is what the loop makes durable in one go.
type flush struct {
	w     *Writer
	plain chunk
	mark  Mark
	seal  bool
	final State
	why   string
	now   time.Time
}

// take takes what waits, or nil where there is nothing or somebody is at it already.
func (w *Writer) take(now time.Time) *flush {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queued = false
	if w.busy || w.err != nil || w.ended {
		return nil // who is at it looks again
	}
	f := &flush{w: w, plain: w.plain, mark: w.next, now: now}
	w.usual = min(len(f.plain.b), bulk)
	if w.ending != Unended {
		f.final, f.why = w.ending, w.why
	}
	f.seal = f.final != Unended || !w.unsealed.IsZero() && now.Sub(w.unsealed) >= sealAfter-beat
	if len(f.plain.b) == 0 && !f.seal {
		return nil
	}
	w.busy = true
	w.plain = chunk{last: f.plain.last}
	return f
}

// write encrypts, signs and writes to the recording's file. It says where it wrote what, for the log; whoever
// asked gives that back.
func (w *Writer) write(f *flush) (at int64, frames []byte, err error) {
	at = w.size
	frames = borrow(len(w.head) + len(f.plain.b) + frameSlack)
	if !w.logged { // the head gets into the log with the first frame
		at, frames = 0, append(frames, w.head...)
	}
	body := len(frames)
	number, link := w.number, w.link
	if len(f.plain.b) > 0 {
		number++
		frames, link = appendChunk(frames, w.aead, w.first, link, number, f.plain.b)
		if w.unsealed.IsZero() {
			w.unsealed = f.now
		}
	}
	if f.seal {
		number++
		if frames, link, err = appendSeal(frames, w.spool.sealer, w.id, link, number, seal{state: f.final, at: f.now, reason: f.why}); err != nil {
			return 0, nil, err
		}
		w.unsealed = time.Time{}
	}
	if err := w.file.write(frames[body:], w.size); err != nil {
		w.cutOff(err)
		return 0, nil, err
	}
	w.size += int64(len(frames) - body)
	w.number, w.link = number, link
	w.logged, w.head = true, nil
	return at, frames, nil
}

// cutOff ends a recording for which there is no room any more: what got half there is taken
// away, and a seal often still fits in its place. Nothing is tried on a disk with errors.
func (w *Writer) cutOff(cause error) {
	if !errors.Is(cause, syscall.ENOSPC) && !errors.Is(cause, syscall.EDQUOT) {
		return
	}
	b, link, err := appendSeal(nil, w.spool.sealer, w.id, w.link, w.number+1, seal{state: Broken, at: time.Now(), reason: reason(cause)})
	if err != nil || w.file.Truncate(w.size) != nil || w.file.write(b, w.size) != nil {
		return // the next start of the spool does it
	}
	if w.file.sync() != nil {
		return // likewise
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.number, w.link, w.cut = w.number+1, link, true
}

// flushed takes note of what became of a flush.
func (w *Writer) flushed(f *flush, err error) {
	w.spool.total.Add(-int64(len(f.plain.b)))
	giveBack(f.plain.b)
	if err != nil {
		w.fail(cannotRecord(w.name, err))
	}
	w.mu.Lock()
	w.busy = false
	if w.err == nil {
		w.durable, w.safe = f.mark, w.size
		w.ended = f.final != Unended
		switch {
		case w.ended:
			w.aead = nil
		case len(w.plain.b) > 0 && (w.mode == Strict || len(w.plain.b) >= bulk), w.ending != Unended:
			w.wakeLoop()
		case len(w.plain.b) > 0:
			w.spool.later(w, flushAfter)
		case !w.unsealed.IsZero():
			w.spool.later(w, sealAfter)
		}
		w.notify()
	}
	over := w.ended || w.err != nil
	w.mu.Unlock()
	if over {
		w.spool.over(w)
	}
}

// fail says that the recording cannot go on.
func (w *Writer) fail(err error) {
	w.mu.Lock()
	if w.err != nil || w.ended {
		w.mu.Unlock()
		return
	}
	w.err = err
	w.endWatches()
	close(w.failure)
	w.spool.total.Add(-int64(len(w.plain.b)))
	w.plain = chunk{}
	w.notify()
	idle := !w.busy
	w.mu.Unlock()
	if idle {
		w.spool.over(w)
	}
}

// syncFile syncs the file, if it is not closed: it was synced before that, or what is
// missing in it was promised to nobody.
func (w *Writer) syncFile() error {
	w.fileMu.Lock()
	defer w.fileMu.Unlock()
	if w.shut {
		return nil
	}
	return w.file.sync()
}

func (w *Writer) shutFile() error {
	w.fileMu.Lock()
	defer w.fileMu.Unlock()
	w.shut = true
	return w.file.Close()
}

// finish gives the file of a recording that ended its name.
func (w *Writer) finish() error {
	err := w.syncFile()
	if err == nil {
		err = w.file.ask("rename", func() {})
	}
	if err == nil {
		err = os.Rename(w.spool.part(w.name), w.spool.path(w.name))
	}
	return errors.Join(err, w.shutFile())
}
