package httpgate

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/gateway"
)

const (
	// sayWithin is for how long a client may keep the gateway from saying why a session ends.
	sayWithin = 250 * time.Millisecond
	// policyViolation is the code with which a websocket is closed (RFC 6455 section 7.4.1).
	policyViolation = 1008
)

// socket is the client's end of a websocket. It passes bytes on, and looks at the heads of
// frames only to know where one ends: that is where the gateway may say something.
type socket struct {
	net.Conn
	session *session
	stall   time.Duration
	reader  *bufio.Reader // what came with the request stands in it
	sent    atomic.Uint64 // to the application
	got     atomic.Uint64

	mu     sync.Mutex
	frames frames
	torn   bool // nothing is written any more
}

func (c *socket) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	if over := c.session.Pass(); over != nil {
		return 0, over
	}
	c.sent.Add(uint64(n))
	if e := c.session.carry(n); e != nil {
		return 0, e
	}
	return n, err
}

// Write passes on what the application sends.
func (c *socket) Write(p []byte) (int, error) {
	if over := c.session.Pass(); over != nil {
		return 0, over
	}
	if err := c.session.carry(len(p)); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.torn {
		return 0, errGone
	}
	if c.session.Over() == nil { // else its deadline is shorter
		_ = c.Conn.SetWriteDeadline(time.Now().Add(c.stall))
	}
	n, err := c.Conn.Write(p)
	c.got.Add(uint64(n))
	c.frames.pass(p[:n])
	c.torn = c.torn || err != nil
	return n, err
}

// Close closes it, and says why, where the session is over.
func (c *socket) Close() error {
	over := c.session.Over()
	if over != nil {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(sayWithin)) // it ends what is being written, too
	}
	c.mu.Lock()
	first := !c.torn
	c.torn = true
	if first && over != nil && c.frames.between() {
		if _, err := c.Conn.Write(closing(over)); err == nil {
			c.linger()
		}
	}
	c.mu.Unlock()
	if over != nil {
		return hangUp(c.Conn)
	}
	return c.Conn.Close()
}

// linger reads what is still coming, for a moment: to close with bytes unread would have
// the system take back the last words.
func (c *socket) linger() {
	if t, is := c.Conn.(*tls.Conn); is {
		_ = t.CloseWrite()
	}
	_ = c.Conn.SetReadDeadline(time.Now().Add(sayWithin / 2))
	_, _ = io.Copy(io.Discard, c.Conn)
}

// hangUp closes a connection without TLS's own goodbye, which waits for a peer that does
// not read.
func hangUp(c net.Conn) error {
	if t, is := c.(*tls.Conn); is {
		c = t.NetConn()
	}
	return c.Close()
}

// closing is a frame that ends a websocket, with why.
func closing(why *gateway.Ended) []byte {
	text := "stint: the session has ended: " + why.Reason.Sentence()
	text = text[:min(len(text), 123)] // a control frame has 125 bytes at most; sentences are ASCII
	f := []byte{0x88, byte(2 + len(text))}
	f = binary.BigEndian.AppendUint16(f, policyViolation)
	return append(f, text...)
}

// frames follows the frames of one direction (RFC 6455 section 5.2). The zero value is
// between two.
type frames struct {
	head [14]byte
	have int    // bytes of head
	left uint64 // of a payload
}

// between says whether a frame could begin here.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 }

func (f *frames) pass(p []byte) {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, uint64(len(p)))
			f.left -= n
			p = p[n:]
			continue
		}
		f.head[f.have] = p[0]
		f.have++
		p = p[1:]
		if f.have >= 2 && f.have == f.long() {
			f.left, f.have = f.payload(), 0
		}
	}
}

// long is how long the head is.
func (f *frames) long() int {
	n := 2
	switch f.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.head[1]&0x80 != 0 {
		n += 4
	}
	return n
}

func (f *frames) payload() uint64 {
	switch n := f.head[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.head[2:])
	default:
		return uint64(n)
	}
}
