package httpgate

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/gateway"
)

// reply is the answer to one request. Whatever of it passes, passes through here.
type reply struct {
	http.ResponseWriter
	q    *request
	ctrl *http.ResponseController

	shared bool // the connection has other answers, too (HTTP/2)
	status int
	got    uint64
	kept   int
	stream bool    // of server-sent events
	tail   [4]byte // the last bytes that were sent

	mu     sync.Mutex // guards deadlines and socket
	over   bool       // deadlines are not made longer any more
	socket *socket
}

// Unwrap is for http.ResponseController.
func (p *reply) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// WriteHeader sends the head. Early hints are not passed on.
func (p *reply) WriteHeader(status int) {
	if p.status != 0 || status < 200 {
		return
	}
	p.status = status
	p.stream = strings.HasPrefix(strings.ToLower(p.Header().Get("Content-Type")), "text/event-stream")
	p.wait()
	p.ResponseWriter.WriteHeader(status)
}

func (p *reply) Write(b []byte) (int, error) {
	o := p.q.session
	if over := o.Pass(); over != nil {
		return 0, over
	}
	if err := o.carry(len(b)); err != nil {
		return 0, err
	}
	if p.status == 0 {
		p.WriteHeader(http.StatusOK)
	}
	if err := p.q.keep(&p.kept, true, b); err != nil {
		return 0, err
	}
	p.wait()
	n, err := p.ResponseWriter.Write(b)
	p.rest()
	p.got += uint64(n)
	p.remember(b[:n])
	return n, err
}

func (p *reply) remember(b []byte) {
	if n := len(p.tail); len(b) >= n {
		copy(p.tail[:], b[len(b)-n:])
	} else {
		copy(p.tail[:], p.tail[len(b):])
		copy(p.tail[n-len(b):], b)
	}
}

// wait gives the client its time for what comes next.
func (p *reply) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		_ = p.ctrl.SetWriteDeadline(time.Now().Add(p.q.server.StallAfter))
	}
}

// rest takes the time back: in HTTP/2 it would end an answer that has nothing to say.
func (p *reply) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shared && !p.over {
		_ = p.ctrl.SetWriteDeadline(time.Time{})
	}
}

// FlushError sends what was written so far.
func (p *reply) FlushError() error {
	p.wait()
	defer p.rest()
	return p.ctrl.Flush()
}

// say answers in the gateway's own words.
func (p *reply) say(err error) {
	p.wait()
	p.q.refuse(p.ResponseWriter, err)
}

// Hijack hands the connection over for a websocket.
func (p *reply) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !p.q.upgrade {
		return nil, nil, http.ErrNotSupported
	}
	c, rw, err := p.ctrl.Hijack()
	if err != nil {
		return nil, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = http.StatusSwitchingProtocols
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Now().Add(p.q.server.StallAfter))
	p.socket = &socket{Conn: c, session: p.q.session, stall: p.q.server.StallAfter, reader: rw.Reader}
	return p.socket, rw, nil
}

// cut ends what is under way, because the session is over. Nothing of it waits for a peer
// for longer than a moment.
func (p *reply) cut() {
	p.mu.Lock()
	p.over = true
	ws := p.socket
	if ws == nil {
		_ = p.ctrl.SetWriteDeadline(time.Now().Add(sayWithin))
		_ = p.ctrl.SetReadDeadline(time.Now())
	}
	p.mu.Unlock()
	if ws != nil {
		_ = ws.Close()
	}
}

// farewell says why the answer ends here, and whether it could.
func (p *reply) farewell(over *gateway.Ended) bool {
	switch {
	case p.socket != nil:
		return true
	case p.status == 0:
		p.say(over)
		return true
	case p.stream && (p.got == 0 || bytes.HasSuffix(p.tail[:], []byte("\n\n")) || bytes.HasSuffix(p.tail[:], []byte("\r\n\r\n")) || bytes.HasSuffix(p.tail[:], []byte("\r\r"))):
		_, err := io.WriteString(p.ResponseWriter, "event: stint-ended\ndata: "+strings.NewReplacer("\r", " ", "\n", " ").Replace(over.Error())+"\n\n")
		return err == nil && p.ctrl.Flush() == nil
	}
	return false
}

// body is a request's body on its way to the application.
type body struct {
	io.ReadCloser
	q     *request
	out   *reply
	most  int64
	kept  int
	sent  atomic.Uint64
	broke atomic.Bool // it did not come to its end
}

var errTooLong = errors.New("the request's body is longer than it may be")

func (b *body) Read(p []byte) (int, error) {
	b.patience(true)
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.patience(false)
	case err != nil: // whoever reads on, to be rid of the rest, is not to wait either
		b.broke.Store(true)
	}
	o := b.q.session
	if over := o.Pass(); over != nil {
		return 0, over
	}
	if b.sent.Add(uint64(n)) > uint64(b.most) {
		return 0, errTooLong
	}
	if e := o.carry(n); e != nil {
		return 0, e
	}
	if e := b.q.keep(&b.kept, false, p[:n]); e != nil {
		return 0, e
	}
	return n, err
}

// patience bounds how long the client is waited for. What comes after the body is waited
// for by whoever reads that.
func (b *body) patience(bounded bool) {
	b.out.mu.Lock()
	defer b.out.mu.Unlock()
	switch {
	case b.out.over:
	case bounded:
		_ = b.out.ctrl.SetReadDeadline(time.Now().Add(b.q.server.StallAfter))
	default:
		_ = b.out.ctrl.SetReadDeadline(time.Time{})
	}
}
