package sshgate

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"stint/internal/gateway"
)

const (
	leastBuffer = 2 << 10 // of a channel on which little happens
	mostBuffer  = 32 << 10
	// ahead is how much of a stream that is always full may be read and recorded while what
	// was before becomes durable: so that one wait for the disk is one for all of it. None is
	// forwarded before its own is over. The more is read at once, the less often the other
	// side must be told that it may send more.
	ahead    = 1 << 20
	mostRead = 128 << 10
)

var errUnrecorded = errors.New("not recorded")

// carry takes bytes from one leg to the other: reads, records, looks whether the session
// is still live, forwards. It returns nil at the end of the stream. see is shown what is
// about to be forwarded, and may be nil.
func (c *conn) carry(t Track, s Stream, from io.Reader, to io.Writer, see func([]byte)) error {
	buffer := make([]byte, leastBuffer)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if err := c.pass(t, s, buffer[:n], to, see); err != nil {
				return err
			}
			switch {
			case n < len(buffer):
			case n < mostBuffer:
				buffer = make([]byte, 4*n)
			case err == nil:
				err = c.carryAhead(t, s, from, to, see)
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// pass records p and forwards it.
func (c *conn) pass(t Track, s Stream, p []byte, to io.Writer, see func([]byte)) error {
	m, err := c.record(t, s, p)
	if err != nil {
		return err
	}
	return c.forwardRecorded(t, m, p, to, see)
}

// forwardRecorded forwards what was recorded up to a mark, once that is durable.
func (c *conn) forwardRecorded(t Track, m Mark, p []byte, to io.Writer, see func([]byte)) error {
	if err := t.Wait(m); err != nil {
		c.unrecorded(err)
		return errUnrecorded
	}
	if over := c.session.Pass(); over != nil { // recording may have taken long
		return over
	}
	if see != nil {
		see(p)
	}
	_, err := to.Write(p)
	return err
}

// piece is what was read and recorded, and waits to be forwarded.
type piece struct {
	p    []byte // within the ring
	took int    // of the ring: with what was left out at its end
	mark Mark
	last bool  // the reader does not go on
	err  error // because the stream ended so, behind all pieces
}

// ring is what is read ahead, until it is forwarded.
type ring struct {
	b    [ahead]byte
	free atomic.Int64
	more chan struct{} // there is more room
}

var rings = sync.Pool{New: func() any { return &ring{more: make(chan struct{}, 1)} }}

// carryAhead is carry while much passes: it reads and records what is there while what was
// before becomes durable, and forwards it in its order. It returns nil when there is little
// again: who only waits needs no ring.
func (c *conn) carryAhead(t Track, s Stream, from io.Reader, to io.Writer, see func([]byte)) error {
	r := rings.Get().(*ring)
	r.free.Store(ahead)
	pieces := make(chan piece, ahead/mostBuffer)
	stopped := make(chan struct{})
	defer close(stopped)
	c.work.Go(func() { // it ends with what it reads from, or when nobody takes what it read
		for at := 0; ; {
			skip := 0
			if ahead-at < mostBuffer { // too little to read into, before the ring begins anew
				at, skip = 0, ahead-at
			}
			for r.free.Load() < int64(skip+mostBuffer) {
				select {
				case <-r.more:
				case <-stopped:
					return
				}
			}
			free := int(r.free.Load()) - skip
			n, err := from.Read(r.b[at:min(at+free, at+mostRead, ahead)])
			x := piece{p: r.b[at : at+n], took: skip + n, err: err}
			if n > 0 {
				var failed error
				if x.mark, failed = c.record(t, s, x.p); failed != nil {
					x.p, x.err = nil, failed
				}
			}
			x.last = x.err != nil || n < mostBuffer && free+skip == ahead
			at += n
			r.free.Add(int64(-x.took))
			select {
			case pieces <- x:
			case <-stopped:
				return
			}
			if x.last {
				return
			}
		}
	})
	for x := range pieces {
		if len(x.p) > 0 {
			if err := c.forwardRecorded(t, x.mark, x.p, to, see); err != nil {
				return err // and the ring is left to the reader
			}
		}
		if x.last {
			rings.Put(r)
			return x.err
		}
		r.free.Add(int64(x.took))
		select {
		case r.more <- struct{}{}:
		default:
		}
	}
	return nil
}

// closeWrite says that no more bytes come, when those before would pass, too.
func (c *conn) closeWrite(to interface{ CloseWrite() error }) {
	if c.session.Pass() == nil {
		_ = to.CloseWrite()
	}
}

// record gives p to the recorder, unless the session is over.
func (c *conn) record(t Track, s Stream, p []byte) (Mark, error) {
	if over := c.session.Over(); over != nil {
		return 0, over
	}
	m, err := t.Data(s, p)
	if err != nil {
		c.unrecorded(err)
		return 0, errUnrecorded
	}
	return m, nil
}

// event keeps e, and says whether what it is about may happen then.
func (c *conn) event(t Track, e Event) error {
	if over := c.session.Over(); over != nil {
		return over
	}
	if err := t.Event(e); err != nil {
		c.unrecorded(err)
		return errUnrecorded
	}
	if over := c.session.Over(); over != nil {
		return over
	}
	return nil
}

// outlet is the way to the person's end of a channel. What the target sends and what the
// gateway says take turns in it, and once it is shut only the gateway speaks.
type outlet struct {
	to   io.Writer
	over func() *gateway.Ended
	turn chan struct{} // holds the turn
	look screen        // what the bytes so far leave the terminal in; of who has the turn
}

func newOutlet(to io.Writer, over func() *gateway.Ended) *outlet {
	o := &outlet{to: to, over: over, turn: make(chan struct{}, 1)}
	o.turn <- struct{}{}
	return o
}

// Write forwards what the target sent.
func (o *outlet) Write(p []byte) (int, error) {
	<-o.turn
	defer func() { o.turn <- struct{}{} }()
	if over := o.over(); over != nil {
		return 0, over
	}
	o.look.see(p)
	return o.to.Write(p)
}

// end says that the target sends no more. It takes its turn as bytes do, since nothing may
// be written after it; where the session is over the gateway still has to say why.
func (o *outlet) end(person interface{ CloseWrite() error }, pass func() *gateway.Ended) {
	if pass() != nil { // what is paused does not end either
		return
	}
	<-o.turn
	defer func() { o.turn <- struct{}{} }()
	if o.over() == nil {
		_ = person.CloseWrite()
	}
}

// say writes what make makes of the terminal's state, when its turn comes, and not after
// ctx is done.
func (o *outlet) say(ctx context.Context, text func(screen) string) error {
	select {
	case <-o.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { o.turn <- struct{}{} }()
	_, err := io.WriteString(o.to, text(o.look))
	return err
}
