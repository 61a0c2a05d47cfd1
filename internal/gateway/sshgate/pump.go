package sshgate

import (
	"context"
	"errors"
	"io"

	"stint/internal/gateway"
)

const (
	leastBuffer = 2 << 10 // of a channel on which little happens
	mostBuffer  = 32 << 10
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
			if err := c.record(t, s, buffer[:n]); err != nil {
				return err
			}
			if see != nil {
				see(buffer[:n])
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
			if n == len(buffer) && n < mostBuffer {
				buffer = make([]byte, 4*n)
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

// record keeps p, and says whether it may be forwarded then.
func (c *conn) record(t Track, s Stream, p []byte) error {
	if over := c.session.Over(); over != nil {
		return over
	}
	if err := t.Data(s, p); err != nil {
		c.unrecorded(err)
		return errUnrecorded
	}
	if over := c.session.Over(); over != nil { // recording may have taken long
		return over
	}
	return nil
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
func (o *outlet) end(person interface{ CloseWrite() error }) {
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
