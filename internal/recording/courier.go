package recording

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Carrier brings frames to where recordings are kept. It is safe for concurrent use.
type Carrier interface {
	// Bring sends whole frames, the first of which has that number; with 0 the head stands before
	// the first. It says how far the recording is there, also where it refuses with a *Gap.
	Bring(ctx context.Context, name string, from uint64, frames []byte) (Kept, error)
	// Have says how far it is there. A recording of which nothing is there is no error.
	Have(ctx context.Context, name string) (Kept, error)
}

// Kept is how far a recording is where it is brought to.
type Kept struct {
	Began  bool   // its head is there
	Frames uint64 // whole ones
	// Done says that it ended, and was put where it stays. Size and Digest are of what was read
	// back from there.
	Done   bool
	Size   int64
	Digest [sha256.Size]byte
}

const (
	bringEvery  = 400 * time.Millisecond // with flushAfter it is below a second
	bringAtOnce = 1 << 20                // bytes of one call, or one frame
	bringers    = 8                      // recordings at a time
	restLeast   = 2 * time.Second        // after a call that failed
	restMost    = time.Minute
	handEvery   = 50 * time.Millisecond
)

// Courier brings what a spool holds to where it is kept, while it is written and after, and removes
// here what is kept there.
type Courier struct {
	spool *Spool
	to    Carrier
	log   *slog.Logger

	mu   sync.Mutex // guards all below; no call is made under it
	bags map[string]*bag
}

// bag is one recording on its way. Whoever took it off has it for themselves.
type bag struct {
	busy   bool
	asked  bool // how far it is there is known
	next   uint64
	offset int64 // where that frame begins here; 0 with next 0
	rest   time.Duration
	again  time.Time
	stuck  bool // what is there is not what is here: it stays, and people look
	over   bool // it ended, and all of it is there
}

// NewCourier makes a courier. Nothing happens until Run.
func NewCourier(s *Spool, to Carrier, log *slog.Logger) *Courier {
	return &Courier{spool: s, to: to, log: log, bags: map[string]*bag{}}
}

// Run brings until ctx is done.
func (c *Courier) Run(ctx context.Context) error {
	t := time.NewTicker(bringEvery)
	defer t.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	places := make(chan struct{}, bringers)
	for {
		for _, name := range c.due(time.Now(), false) {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			all.Go(func() {
				defer func() { <-places }()
				c.bring(ctx, name)
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// HandOver brings what is here of recordings that ended, until all of it is there or ctx is
// done. It is for who stops: called when Run has returned, and before the spool is closed. It
// says how many of them are not there, and come after the next start.
func (c *Courier) HandOver(ctx context.Context) (left int) {
	for {
		names := c.due(time.Now(), true)
		var all sync.WaitGroup
		places := make(chan struct{}, bringers)
		for _, name := range names {
			places <- struct{}{}
			all.Go(func() {
				defer func() { <-places }()
				c.bring(ctx, name)
			})
		}
		all.Wait()
		if left = c.unbrought(); left == 0 {
			return 0
		}
		select {
		case <-ctx.Done():
			return left
		case <-time.After(handEvery):
		}
	}
}

// unbrought is how many are not there as a whole, but for those that cannot be.
func (c *Courier) unbrought() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bags {
		if !b.over && !b.stuck {
			n++
		}
	}
	return n
}

// Waiting is how many recordings are not kept yet, and how many of them cannot be.
func (c *Courier) Waiting() (all, stuck int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bags {
		if b.stuck {
			stuck++
		}
	}
	return len(c.bags), stuck
}

// due takes the recordings that there may be something to do for. With anyway it takes what
// is not there yet, also where it was to rest.
func (c *Courier) due(now time.Time, anyway bool) (names []string) {
	ended, err := c.spool.Finished()
	if err != nil {
		c.log.Error("recordings are not brought to where they are kept", "error", err)
	}
	c.spool.mu.Lock()
	for name := range c.spool.writers {
		ended = append(ended, name)
	}
	c.spool.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range ended {
		b := c.bags[name]
		if b == nil {
			b = &bag{}
			c.bags[name] = b
		}
		if !b.busy && !b.stuck && (!now.Before(b.again) || anyway) && !(anyway && b.over) {
			b.busy = true
			names = append(names, name)
		}
	}
	return names
}

// bring does what there is to do for one.
func (c *Courier) bring(ctx context.Context, name string) {
	c.mu.Lock()
	b := c.bags[name]
	c.mu.Unlock()
	gone, err := c.carry(ctx, name, b)
	c.mu.Lock()
	defer c.mu.Unlock()
	b.busy = false
	switch {
	case gone:
		delete(c.bags, name)
	case err == nil:
		b.rest, b.again = 0, time.Time{}
	case ctx.Err() != nil:
	default:
		b.asked = false
		b.rest = min(restMost, max(restLeast, 2*b.rest))
		b.again = time.Now().Add(b.rest)
		c.log.Warn("a recording was not brought to where it is kept; tried again", "recording", name, "again_in", b.rest, "error", err)
	}
}

// carry sends what is new, and removes a recording that is kept.
func (c *Courier) carry(ctx context.Context, name string, b *bag) (gone bool, err error) {
	f, err := c.spool.OpenFile(name)
	if errors.Is(err, ErrNotFound) { // a writer that failed, until the spool is opened again
		return true, nil
	} else if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // only read
	size, live, err := c.spool.safeSize(name, f)
	if err != nil || size == 0 {
		return false, err
	}
	if !b.asked {
		there, err := c.to.Have(ctx, name)
		if err != nil {
			return false, err
		}
		if err := b.seek(f, size, there); err != nil {
			return false, err
		}
		b.asked = true
		if there.Done && !live {
			return c.settle(f, name, b, there)
		}
	}
	var there Kept
	for b.offset < size {
		frames, last, err := cutOut(f, b.offset, size)
		if err != nil || len(frames) == 0 {
			return false, err
		}
		if there, err = c.to.Bring(ctx, name, b.next, frames); err != nil {
			return false, err
		}
		b.next, b.offset = last+1, b.offset+int64(len(frames))
	}
	if live {
		return false, nil
	}
	c.mu.Lock()
	b.over = true
	c.mu.Unlock()
	if !there.Done {
		if there, err = c.to.Have(ctx, name); err != nil {
			return false, err
		}
	}
	if !there.Done {
		b.again = time.Now().Add(restLeast)
		return false, nil
	}
	return c.settle(f, name, b, there)
}

// settle compares what was read back there with what is here, and removes it here.
func (c *Courier) settle(f *os.File, name string, b *bag, there Kept) (gone bool, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	size, sum, err := digest(f)
	if err != nil {
		return false, err
	}
	if size != there.Size || sum != there.Digest {
		c.mu.Lock() // who counts does not ask whether it is off
		b.stuck = true
		c.mu.Unlock()
		c.log.Error("what is kept of a recording is not what is here; it stays here", "recording", name, "bytes", size, "kept_bytes", there.Size)
		return false, nil
	}
	if err := c.spool.Remove(name); err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	return true, nil
}

// seek goes to the first frame that is not there.
func (b *bag) seek(f *os.File, size int64, there Kept) error {
	b.next, b.offset = 0, 0
	if !there.Began {
		return nil
	}
	fs, err := newFrames(io.NewSectionReader(f, 0, size))
	if err != nil {
		return err
	}
	for fs.number < there.Frames {
		if _, err := fs.next(); errors.Is(err, io.EOF) {
			return fmt.Errorf("there are %d frames of it where it is kept, and %d here", there.Frames, fs.number)
		} else if err != nil {
			return err
		}
	}
	b.next, b.offset = fs.number+1, fs.offset
	return nil
}

// cutOut reads whole frames from an offset on, at least one, with the head where it stands before them. It
// says the number of the last; what is not whole yet is left.
func cutOut(f io.ReaderAt, from, to int64) (frames []byte, last uint64, err error) {
	b := make([]byte, min(to-from, bringAtOnce+maxPayload+frameHead+linkSize))
	if _, err := f.ReadAt(b, from); err != nil {
		return nil, 0, err
	}
	at := 0
	if from == 0 {
		if len(b) < headFixed {
			return nil, 0, nil
		}
		at = headFixed + int(b[headFixed-1]) + linkSize
	}
	for at < len(b) && at < bringAtOnce {
		n, number, ok := frameAt(b[at:])
		if !ok {
			break
		}
		at, last = at+n, number
	}
	if last == 0 {
		return nil, 0, nil
	}
	return b[:at], last, nil
}

// safeSize is how much of a recording may be sent, and whether it is still being written.
func (s *Spool) safeSize(name string, f *os.File) (size int64, live bool, err error) {
	if w, ok := s.Get(name); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.safe, true, nil
	}
	info, err := f.Stat()
	if err != nil {
		return 0, false, err
	}
	return info.Size(), false, nil
}
