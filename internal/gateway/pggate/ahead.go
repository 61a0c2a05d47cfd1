package pggate

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
)

// ahead is a connection beneath TLS that reads as much as has come, where much does:
// crypto/tls asks for the few bytes of a record's head first, and then for the rest of the one
// record, each time from the kernel. One goroutine reads.
type ahead struct {
	net.Conn
	held *[]byte // nil while nothing is held
	left []byte  // of it
	some atomic.Bool
}

var heldBytes = sync.Pool{New: func() any { b := make([]byte, buffer); return &b }}

// Read reads straight into p while little comes, and holds what p has no room for.
func (a *ahead) Read(p []byte) (n int, err error) {
	n, err = a.read(p)
	a.some.Store(wholeRecord(a.left))
	return n, err
}

func (a *ahead) read(p []byte) (int, error) {
	if len(a.left) == 0 {
		if a.held == nil {
			n, err := a.Conn.Read(p)
			if n == len(p) && err == nil { // there is more
				a.held = heldBytes.Get().(*[]byte)
			}
			return n, err
		}
		n, err := a.Conn.Read(*a.held)
		if n == 0 {
			a.release()
			return 0, err
		}
		a.left = (*a.held)[:n] // an error comes again
	}
	n := copy(p, a.left)
	if a.left = a.left[n:]; len(a.left) == 0 {
		a.release()
	}
	return n, nil
}

func (a *ahead) release() {
	if a.held != nil {
		heldBytes.Put(a.held)
		a.held, a.left = nil, nil
	}
}

// more reports whether a whole record of data is held: whoever reads it does not wait. It may
// be asked by another goroutine than the one that reads.
func (a *ahead) more() bool { return a != nil && a.some.Load() }

// wholeRecord reports whether b begins with a whole record of data, whose head is its type,
// its version and its length (RFC 8446, section 5.1).
func wholeRecord(b []byte) bool {
	const head, data = 5, 23
	return len(b) >= head && b[0] == data && len(b) >= head+int(binary.BigEndian.Uint16(b[3:]))
}
