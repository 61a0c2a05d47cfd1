package elevate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// answerWithin is how long the runner may take to say whether a command runs.
const answerWithin = 30 * time.Second

// Client is one connection to the runner of this host.
type Client struct {
	conn net.Conn
	in   *Reader
	mu   sync.Mutex // one frame is written after the other

	roomMu sync.Mutex // guards what follows
	more   *sync.Cond // there is room again, or nobody takes any more
	room   int        // bytes of input that may be sent
	over   bool
}

// Dial connects to the runner at a socket.
func Dial(ctx context.Context, path string) (*Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, in: NewRunnerReader(conn), room: MaxAhead}
	c.more = sync.NewCond(&c.roomMu)
	return c, nil
}

// Close ends the connection, and with it the command.
func (c *Client) Close() error {
	c.noMore()
	return c.conn.Close()
}

// noMore ends who waits for room.
func (c *Client) noMore() {
	c.roomMu.Lock()
	defer c.roomMu.Unlock()
	c.over = true
	c.more.Broadcast()
}

// addRoom counts input: sent, below zero, or taken.
func (c *Client) addRoom(n int) {
	c.roomMu.Lock()
	defer c.roomMu.Unlock()
	c.room += n
	c.more.Broadcast()
}

// waitRoom waits until input may be sent, and says how much; 0: nobody takes any more. No lock
// is held meanwhile that Send wants.
func (c *Client) waitRoom() int {
	c.roomMu.Lock()
	defer c.roomMu.Unlock()
	for c.room <= 0 && !c.over {
		c.more.Wait()
	}
	if c.over {
		return 0
	}
	return c.room
}

// Send sends one frame.
func (c *Client) Send(f Frame) error {
	b, err := f.Append(nil)
	if err != nil {
		return err
	}
	if f.Kind == KindInput {
		c.addRoom(-len(f.Payload))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err = c.conn.Write(b)
	return err
}

// Refused is the runner's answer that a command does not run.
type Refused struct{ Refusal }

func (e *Refused) Error() string {
	return strings.TrimSuffix(e.Message+": "+e.Why, ": ")
}

// Ask asks for a command to be run.
func (c *Client) Ask(a Ask) (Accepted, error) {
	a.Version = version
	if err := a.Check(); err != nil {
		return Accepted{}, &Refused{Refusal{Code: "bad-command", Message: "this command cannot be asked for", Why: err.Error()}}
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(answerWithin)); err != nil {
		return Accepted{}, err
	}
	// A runner that has no room says so and closes, before it has read anything.
	sent := c.Send(Encode(KindAsk, a))
	f, err := c.in.Next()
	if err != nil {
		return Accepted{}, errors.Join(sent, err)
	}
	switch f.Kind {
	case KindAccepted:
		var ok Accepted
		if err := Decode(f, &ok); err != nil {
			return Accepted{}, err
		}
		return ok, c.conn.SetReadDeadline(time.Time{})
	case KindRefused:
		var no Refusal
		if err := Decode(f, &no); err != nil {
			return Accepted{}, err
		}
		return Accepted{}, &Refused{no}
	}
	return Accepted{}, fmt.Errorf("the first answer is of the kind %q: %w", f.Kind, errFrame)
}

// Feed sends input until it ends, as the command takes it; Wait hears that it does. A command
// that reads no more is no error.
func (c *Client) Feed(in io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		room := c.waitRoom()
		if room == 0 {
			return net.ErrClosed
		}
		n, err := in.Read(buf[:min(len(buf), room)])
		if n > 0 {
			if err := c.Send(Frame{KindInput, buf[:n]}); err != nil {
				return err
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(err, c.Send(Frame{Kind: KindEnd}))
		}
	}
}

// Wait writes what the command writes until it has ended.
func (c *Client) Wait(out, problems io.Writer, note func(string)) (Exit, error) {
	defer c.noMore()
	for {
		f, err := c.in.Next()
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
				err = io.ErrUnexpectedEOF
			}
			return Exit{}, err
		}
		switch f.Kind {
		case KindOutput:
			_, err = out.Write(f.Payload)
		case KindProblem:
			_, err = problems.Write(f.Payload)
		case KindNote:
			note(string(f.Payload))
		case KindTaken:
			var t Taken
			if err = Decode(f, &t); err == nil {
				c.addRoom(max(0, min(t.Bytes, MaxAhead)))
			}
		case KindExited:
			var x Exit
			err := Decode(f, &x)
			return x, err
		default:
			err = fmt.Errorf("an answer is of the kind %q: %w", f.Kind, errFrame)
		}
		if err != nil {
			return Exit{}, err
		}
	}
}
