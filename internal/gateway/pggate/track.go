package pggate

import "sync"

const (
	mostNames   = 10_000 // prepared statements and portals that are remembered
	mostPending = 1 << 20
)

// tracker follows which of a client's messages the server is answering, so that each
// outcome is that of its statement. Both directions use it.
//
// Answers come in the order of questions. After an error the server skips what it was
// sent until the next Sync; so does the tracker.
type tracker struct {
	mu         sync.Mutex
	next       uint64
	pending    []pending
	statements map[string]uint64 // number of what was prepared under the name
	portals    map[string]uint64
}

// pending is a message that is not answered yet: its type, and the number of its
// statement if it is one.
type pending struct {
	kind byte
	n    uint64
}

func newTracker() *tracker {
	return &tracker{statements: map[string]uint64{}, portals: map[string]uint64{}}
}

// number gives the next statement's number.
func (t *tracker) number() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	return t.next
}

// sent notes a message that will be answered; false where too many are not.
func (t *tracker) sent(kind byte, n uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = append(t.pending, pending{kind, n})
	return len(t.pending) <= mostPending
}

// prepared notes a statement's name; bound, that a portal is of it. A name that is not
// remembered, because there are too many, has the number 0.
func (t *tracker) prepared(name string, n uint64) {
	t.mu.Lock()
	remember(t.statements, name, n)
	t.mu.Unlock()
}

func (t *tracker) bound(portal, statement string) {
	t.mu.Lock()
	remember(t.portals, portal, t.statements[statement])
	t.mu.Unlock()
}

// of is the number of what a portal carries out.
func (t *tracker) of(portal string) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.portals[portal]
}

// closed forgets a statement ('S') or a portal ('P').
func (t *tracker) closed(what byte, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if what == 'S' {
		delete(t.statements, name)
	} else {
		delete(t.portals, name)
	}
}

func remember(names map[string]uint64, name string, n uint64) {
	if _, known := names[name]; !known && len(names) >= mostNames {
		for some := range names {
			delete(names, some)
			break
		}
	}
	names[name] = n
}

// answered notes that the server is done with a message of one of these types, and gives
// its statement's number: 0 where it was none, or another was due.
func (t *tracker) answered(kinds string) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pending) == 0 {
		return 0
	}
	p := t.pending[0]
	for i := range len(kinds) {
		if p.kind == kinds[i] {
			t.drop(1)
			return p.n
		}
	}
	return 0
}

// completed is an outcome of the statement that is being answered, whose number it gives.
func (t *tracker) completed() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pending) == 0 {
		return 0
	}
	p := t.pending[0]
	if p.kind == 'E' { // of a simple query more may come
		t.drop(1)
	}
	return p.n
}

// failed is an error: of the statement that is being answered, or of nothing that was
// sent. What the server skips is not answered.
func (t *tracker) failed() (n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	skip := 0
	for _, p := range t.pending {
		if p.kind == 'S' || p.kind == 'Q' {
			if n == 0 {
				n = p.n
			}
			break
		}
		if n == 0 {
			n = p.n
		}
		skip++
	}
	t.drop(skip)
	return n
}

// ready is the end of a simple query, or of what a Sync ended. idle says that no
// transaction is open, so no portal is either.
func (t *tracker) ready(idle bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, p := range t.pending {
		if p.kind == 'S' || p.kind == 'Q' {
			t.drop(i + 1)
			break
		}
	}
	if idle && len(t.pending) == 0 {
		clear(t.portals)
	}
}

// drop forgets the first n. t.mu is held.
func (t *tracker) drop(n int) {
	t.pending = t.pending[n:]
	if len(t.pending) == 0 {
		t.pending = nil
	}
}
