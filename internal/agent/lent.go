package agent

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"stint/internal/access"
)

// Lent is what a ledger says of one privilege that is there.
type Lent struct {
	Entitlement access.EntitlementID
	Person      access.Person
	Until       time.Time
	Left        time.Duration // by whichever clock is further on
	Recordings  []byte        // the public key to which commands under it are recorded
}

// Reader reads the ledger of an agent that runs, for a program beside it: it holds no
// lock and writes nothing. It is safe for concurrent use.
type Reader struct {
	path  string
	clock Clock

	mu     sync.Mutex
	at     string // which bytes were read, as the file's identity, size and time
	ledger *Ledger
}

// NewReader reads the ledger at a path, again whenever it has changed.
func NewReader(path string, clock Clock) *Reader { return &Reader{path: path, clock: clock} }

// Lent says what the ledger says of a tag now; ok is false where nothing is lent under
// it, or its end has come. What is only intended is not lent yet.
func (r *Reader) Lent(tag access.Tag) (found Lent, ok bool, err error) {
	l, err := r.read()
	if err != nil {
		return found, false, err
	}
	e, there := l.get(tag)
	if !there || e.State != made {
		return found, false, nil
	}
	found = Lent{Entitlement: access.EntitlementID(e.Order.Entitlement), Person: access.Person(e.Order.Person), Until: e.End.At,
		Left: l.clock.left(e.End, l.floor()), Recordings: bytes.Clone(e.Recordings)}
	if e.Sooner != nil { // whether the control plane is there or not: nothing that is run has to outlive it
		found.Until, found.Left = e.Sooner.At, min(found.Left, l.clock.left(*e.Sooner, l.floor()))
	}
	return found, found.Left > 0, nil
}

// read gives the ledger as it is in the file. One that has not changed is not read
// again, so that the floor of its time goes on from where it was.
func (r *Reader) read() (*Ledger, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Stat(r.path)
	if err != nil {
		return nil, err
	}
	at := info.ModTime().String() + " " + identify(info)
	if r.ledger != nil && at == r.at {
		return r.ledger, nil
	}
	l, err := ReadLedger(r.path, r.clock)
	if err != nil {
		return nil, err
	}
	r.at, r.ledger = at, l // what was written while it was read shows the next time
	return l, nil
}

// identify tells one state of a file from others: which file it is, and how long.
func identify(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d %d %d", st.Dev, st.Ino, info.Size())
	}
	return fmt.Sprint(info.Size())
}
