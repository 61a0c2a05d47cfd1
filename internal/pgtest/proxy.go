//go:build unix

package pgtest

import (
	"errors"
	"net"
	"slices"
	"sync"

	"stint/internal/freeport"
)

// A Proxy forwards TCP connections to a target and breaks them on demand. It knows
// nothing of PostgreSQL. Between Cut, Refuse, Hang and Resume it forwards.
//
// Faults are the pairs that matter to whoever changes something on a target:
// CutBefore is "failed and not done", CutAfter is "failed but done", HoldBefore is
// "given up, and then done". They look at what clients send, so TLS hides it from
// them: connect with sslmode=disable, or match anything.
//
// One look is at what one read returned. A statement of a test arrives whole.
type Proxy struct {
	target string
	addr   string

	mu       sync.Mutex // guards what follows
	listener net.Listener
	links    map[*link]struct{}
	faults   []*Fault
	gate     chan struct{} // closed while bytes may pass
	closed   bool

	running sync.WaitGroup
}

// NewProxy listens on a free port of 127.0.0.1.
func NewProxy(target string) (*Proxy, error) {
	p := &Proxy{target: target, links: map[*link]struct{}{}, gate: make(chan struct{})}
	close(p.gate)
	port, err := freeport.Find()
	if err != nil {
		return nil, err
	}
	p.addr = loopback(port)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.listen(); err != nil {
		return nil, err
	}
	return p, nil
}

// Addr is where clients connect: host:port.
func (p *Proxy) Addr() string { return p.addr }

// listen starts to accept. The caller holds p.mu.
func (p *Proxy) listen() error {
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	p.listener = l
	p.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed by Refuse or Close
			}
			p.running.Go(func() { p.serve(client) })
		}
	})
	return nil
}

// Cut resets every open connection. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Refuse turns new connections away, as a port without a listener does. Open ones
// go on; Cut them too and the target is gone.
func (p *Proxy) Refuse() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return nil
	}
	l := p.listener
	p.listener = nil
	return l.Close()
}

// Hang accepts connections and passes nothing on, in either direction, for open
// connections too: a silent target.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
		p.gate = make(chan struct{})
	default: // it hangs already
	}
}

// Resume ends Refuse and Hang. What was held passes now.
func (p *Proxy) Resume() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
	if p.listener != nil {
		return nil
	}
	return p.listen()
}

// Close ends everything and waits for it.
func (p *Proxy) Close() error {
	p.mu.Lock()
	var err error
	if p.listener != nil {
		err = p.listener.Close()
		p.listener = nil
	}
	p.closed = true
	for l := range p.links {
		l.reset()
	}
	p.mu.Unlock()
	p.running.Wait()
	return err
}

// Open is the number of connections that are open now.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server, gone: make(chan struct{}), silent: make(chan struct{})}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		l.reset()
		return
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()

	var pumps sync.WaitGroup
	pumps.Go(func() { p.toServer(l) })
	pumps.Go(func() { p.toClient(l) })
	pumps.Wait()
	l.reset()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// toServer carries what the client sends, unless a fault has other plans.
func (p *Proxy) toServer(l *link) {
	defer closeWrite(l.server)
	for buf := make([]byte, 64<<10); ; {
		n, err := l.client.Read(buf)
		if n > 0 && p.pass(l) {
			sent := buf[:n]
			if f := p.take(sent); f != nil {
				f.play(l, sent)
				return
			}
			if _, err := l.server.Write(sent); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// toClient carries what the server answers, and marks the first answer after a
// fault took the connection over.
func (p *Proxy) toClient(l *link) {
	defer close(l.silent)
	defer closeWrite(l.client)
	for buf := make([]byte, 64<<10); ; {
		n, err := l.server.Read(buf)
		if n > 0 && l.swallowing() {
			l.answer()
			continue
		}
		if n > 0 && p.pass(l) {
			if _, err := l.client.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits while the proxy hangs; false means that the connection went meanwhile.
func (p *Proxy) pass(l *link) bool {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	select {
	case <-gate:
		return true
	case <-l.gone:
		return false
	}
}

// take removes and gives the first fault that wants these bytes.
func (p *Proxy) take(sent []byte) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, f := range p.faults {
		if f.match == nil || f.match(sent) {
			p.faults = slices.Delete(p.faults, i, i+1)
			return f
		}
	}
	return nil
}

// link is one forwarded connection.
type link struct {
	client, server net.Conn
	gone           chan struct{} // closed by reset
	silent         chan struct{} // closed when the server has said its last
	once           sync.Once

	mu       sync.Mutex
	answered chan struct{} // not nil: swallow what the server says; closed at its first words
	replied  bool
}

// reset closes both sides, the client's so hard that it sees an error and not an end.
func (l *link) reset() {
	l.once.Do(func() {
		close(l.gone)
		if tcp, ok := l.client.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = errors.Join(l.client.Close(), l.server.Close())
	})
}

// closeWrite passes an end on: the other side may still have something to say.
func closeWrite(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
		return
	}
	_ = c.Close()
}

func (l *link) swallow() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered = make(chan struct{})
	return l.answered
}

func (l *link) swallowing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answered != nil
}

func (l *link) answer() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.replied {
		l.replied = true
		close(l.answered)
	}
}
