//go:build unix

package pgtest

import (
	"encoding/binary"
	"sync"
)

// A Fault happens once, to the first bytes of a client that match. A nil match
// takes any. Several faults wait in the order in which they were set.
type Fault struct {
	match func(sent []byte) bool
	kind  faultKind

	struck   chan struct{}
	released chan struct{}
	done     chan struct{}
	once     sync.Once
}

type faultKind int

const (
	cutBefore faultKind = iota + 1
	cutAfter
	holdBefore
)

// CutBefore resets the connection instead of forwarding: failed, and not done.
func (p *Proxy) CutBefore(match func(sent []byte) bool) *Fault { return p.add(cutBefore, match) }

// CutAfter forwards, waits for the target's answer, swallows it and resets the
// connection: failed, but done.
func (p *Proxy) CutAfter(match func(sent []byte) bool) *Fault { return p.add(cutAfter, match) }

// HoldBefore keeps the bytes until Release, whatever the client does meanwhile,
// and then forwards them and swallows the answer: done after the client gave up.
//
// A client of PostgreSQL that gives up may ask the server to cancel, on a
// connection of its own. Where that must not reach the held statement, lose it:
// CutBefore(IsCancelRequest).
func (p *Proxy) HoldBefore(match func(sent []byte) bool) *Fault { return p.add(holdBefore, match) }

func (p *Proxy) add(kind faultKind, match func([]byte) bool) *Fault {
	f := &Fault{match: match, kind: kind, struck: make(chan struct{}), released: make(chan struct{}), done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, f)
	return f
}

// Struck is closed when bytes matched.
func (f *Fault) Struck() <-chan struct{} { return f.struck }

// Done is closed when it is over: the target has not seen the bytes and never
// will, or has answered them, or has gone.
func (f *Fault) Done() <-chan struct{} { return f.done }

// Release lets go what HoldBefore holds.
func (f *Fault) Release() { f.once.Do(func() { close(f.released) }) }

// play runs the fault on the connection that brought the bytes. Nothing else
// reads from the client any more.
func (f *Fault) play(l *link, sent []byte) {
	defer close(f.done)
	defer l.reset()
	close(f.struck)
	if f.kind == cutBefore {
		return
	}
	answered := l.swallow()
	if f.kind == holdBefore {
		select {
		case <-f.released:
		case <-l.silent:
			return
		case <-l.gone:
			return
		}
	}
	if _, err := l.server.Write(sent); err != nil {
		return
	}
	select {
	case <-answered:
	case <-l.silent:
	case <-l.gone:
	}
}

// IsCancelRequest matches PostgreSQL's request to cancel a statement: the length
// 16 and the code 80877102 (the manual's "Message Formats").
func IsCancelRequest(sent []byte) bool {
	return len(sent) == 16 && binary.BigEndian.Uint32(sent) == 16 && binary.BigEndian.Uint32(sent[4:]) == 80877102
}
