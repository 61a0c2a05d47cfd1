package recording

import (
	"bytes"
	"context"
	"errors"
	"sync"
)

// watchBytes is how far who watches may be behind.
const watchBytes = 1 << 20

// ErrBehind says that who watches was too slow. What it missed is in the recording: records have numbers.
var ErrBehind = errors.New("too far behind the session to watch it")

// Watch gives the records of a recording while they are added. It never makes the session wait.
type Watch struct {
	w *Writer

	mu    sync.Mutex // may be taken while the writer's mu is held
	queue []Record
	bytes int
	err   error
	wake  chan struct{} // has one when there may be something
}

// Watch begins to watch: what is added from now on, from the record of that number on. What came before, and
// what is missing after ErrBehind, is read from the file. That somebody watches is for the
// caller to record.
func (w *Writer) Watch() (x *Watch, from uint64) {
	x = &Watch{w: w, wake: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.ending != Unended {
		x.err = ErrClosed
		return x, uint64(w.next)
	}
	if w.watches == nil {
		w.watches = map[*Watch]struct{}{}
	}
	w.watches[x] = struct{}{}
	return x, uint64(w.next)
}

// Next waits for the next record. ErrClosed: the recording ended. ErrBehind: see there.
func (x *Watch) Next(ctx context.Context) (Record, error) {
	for {
		x.mu.Lock()
		if len(x.queue) > 0 {
			r := x.queue[0]
			x.queue[0] = Record{}
			x.queue = x.queue[1:]
			x.bytes -= sizeOf(r)
			x.mu.Unlock()
			return r, nil
		}
		err := x.err
		x.mu.Unlock()
		if err != nil {
			return Record{}, err
		}
		select {
		case <-x.wake:
		case <-ctx.Done():
			return Record{}, ctx.Err()
		}
	}
}

// Stop ends watching.
func (x *Watch) Stop() {
	x.w.mu.Lock()
	delete(x.w.watches, x)
	x.w.mu.Unlock()
	x.end(ErrClosed)
}

// tell gives a record to who watches; the writer's mu is held. A false: it is too far behind.
func (x *Watch) tell(r Record) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return false
	}
	if n := sizeOf(r); len(x.queue) > 0 && x.bytes+n > watchBytes {
		x.err = ErrBehind
	} else {
		x.queue, x.bytes = append(x.queue, r), x.bytes+n
	}
	x.signal()
	return x.err == nil
}

func (x *Watch) end(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		x.err = err
	}
	x.signal()
}

func (x *Watch) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// sizeOf is about what a record takes in memory.
func sizeOf(r Record) int {
	switch e := r.Event.(type) {
	case Output:
		return 128 + len(e.Data)
	case Problem:
		return 128 + len(e.Data)
	case Input:
		return 128 + len(e.Data)
	case Exec:
		return 128 + len(e.Command)
	case Statement:
		return 128 + len(e.Text)
	case Request:
		return 128 + len(e.Target)
	}
	return 512
}

// tellAll tells who watches of a record that was added, with bytes of its own; mu is held.
func (w *Writer) tellAll(kind Kind, channel uint32, body []byte) {
	if len(w.watches) == 0 {
		return
	}
	e, err := decodeEvent(kind, bytes.Clone(body))
	if err != nil {
		return // it cannot be: we have just encoded it
	}
	r := Record{Number: uint64(w.next), At: microseconds(w.plain.last), Channel: channel, Event: e}
	for x := range w.watches {
		if !x.tell(r) {
			delete(w.watches, x)
		}
	}
}

// endWatches says to who watches that nothing comes any more; mu is held.
func (w *Writer) endWatches() {
	for x := range w.watches {
		x.end(ErrClosed)
	}
	w.watches = nil
}
