package runner

import (
	"errors"
	"sync"

	"stint/internal/elevate"
)

// tellAt is after how many bytes a client is told that the command has them.
const tellAt = elevate.MaxAhead / 4

// feed is input on its way to a command. Who reads the client's socket never waits for the
// command: what it may not have read is bounded by elevate.MaxAhead, which the client keeps to.
type feed struct {
	mu      sync.Mutex // guards what follows
	more    *sync.Cond
	waiting []byte
	ahead   int  // bytes that came, and that the client was not told of
	ended   bool // none come after those that wait
	stopped bool // the command is gone, and so are those that wait
}

func newFeed() *feed {
	f := &feed{}
	f.more = sync.NewCond(&f.mu)
	return f
}

// put takes input. That there is more than may be is an error of the client's.
func (f *feed) put(b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || f.stopped {
		return nil
	}
	if f.ahead+len(b) > elevate.MaxAhead {
		return errors.New("more input than the command takes")
	}
	f.ahead += len(b)
	f.waiting = append(f.waiting, b...)
	f.more.Signal()
	return nil
}

// end says that there is no more.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.more.Signal()
}

// stop says that nobody takes it any more.
func (f *feed) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	f.more.Signal()
}

// next fills b with what is next, and waits for it; 0: nothing comes any more.
func (f *feed) next(b []byte) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.waiting) == 0 && !f.ended && !f.stopped {
		f.more.Wait()
	}
	if f.stopped {
		return 0
	}
	n = copy(b, f.waiting)
	if f.waiting = f.waiting[n:]; len(f.waiting) == 0 {
		f.waiting = nil
	}
	return n
}

// took makes room: before the client is told, since it may use it at once.
func (f *feed) took(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ahead -= n
}

// bring writes input to the command, at the pace at which that reads.
func (x *show) bring() {
	b := make([]byte, chunk)
	for took := 0; ; {
		n := x.feed.next(b)
		if n == 0 {
			if x.master == nil {
				_ = x.stdin.Close() // nothing waits to be written
			}
			return
		}
		_, _ = x.stdin.Write(b[:n]) // a command that reads no more is no error
		if took += n; took >= tellAt {
			x.feed.took(took)
			x.send(elevate.Encode(elevate.KindTaken, elevate.Taken{Bytes: took}))
			took = 0
		}
	}
}
