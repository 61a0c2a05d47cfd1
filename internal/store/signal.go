package store

import "sync"

// signal wakes everybody who waits, as often as it is sent. A waiter takes the
// channel first, looks at the state second and waits last, and so misses nothing.
type signal struct{ s *signalState }

type signalState struct {
	mu sync.Mutex
	ch chan struct{}
}

func newSignal() signal { return signal{&signalState{ch: make(chan struct{})}} }

// next is closed by the next send.
func (s signal) next() <-chan struct{} {
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	return s.s.ch
}

func (s signal) send() {
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	close(s.s.ch)
	s.s.ch = make(chan struct{})
}
