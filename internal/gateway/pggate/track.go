package pggate

import (
	"slices"
	"sync"

	"stint/internal/gateway"
)

const (
	mostNames   = 10_000   // prepared statements and portals that are remembered
	mostPending = 32 << 20 // bytes, of what is not answered yet
)

// tracker follows which of a client's messages the server is answering, so that each
// outcome is that of its statement. Both directions use it.
//
// Answers come in the order of questions. After an error in a simple query the server is
// ready; after one in anything else it skips what it was sent, queries too, until the next
// Sync. So does the tracker. While data is copied in, a Sync counts for nothing. Where that
// fails, nobody but the server knows which of them it had read by then: those may be answered
// or not, and are forgotten when something behind them is.
type tracker struct {
	mu      sync.Mutex
	next    uint64
	pending []pending
	held    int  // bytes of pending
	copying bool // the server takes copied data for the first of pending
	skips   bool // it may be skipping still: the Sync that ended that may have counted for nothing
	names   names
	// settings are those by which the server tells words, as it said last; certain says that
	// nothing was sent since which could have set them.
	settings map[string]string
	certain  bool
	over     bool // nothing more is sent
}

// pending is a message that is not answered yet: its type, and the number of its
// statement if it is one. What a guard refused is answered with that, and not with what the
// server says to the nothing that it was sent instead.
type pending struct {
	kind    byte
	maybe   bool // a Sync that may have no answer
	n       uint64
	refused string
	name    *named // what it does with a name, nil where nothing
}

// weight is about how many bytes it takes.
func (p *pending) weight() int {
	n := 48 + len(p.refused)
	if p.name != nil {
		n += 80 + len(p.name.name) + len(p.name.of)
	}
	return n
}

func newTracker() *tracker {
	return &tracker{names: newNames(), settings: map[string]string{}, certain: true}
}

// number gives the next statement's number.
func (t *tracker) number() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	return t.next
}

var (
	tooMany = &ending{gateway.Refused, "too many messages that are not answered yet"}
	tooLate = &ending{gateway.Refused, "the session is over"}
	unclear = &ending{gateway.Refused, "statements behind copied data of which it is not known yet how it went: which of them are carried out cannot be told"}
)

// sent notes a message that will be answered, before it is sent. It must not be where that
// is an error: too many are not answered, or the session is over.
func (t *tracker) sent(p pending) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over:
		return tooLate
	case t.skips && p.kind != 'S' && p.kind != copyEnd:
		return unclear
	case t.held+p.weight() > mostPending:
		return tooMany
	}
	t.certain = false
	t.pending = append(t.pending, p)
	t.held += p.weight()
	if p.name != nil {
		t.names.ask(p.kind, p.name)
	}
	return nil
}

// shut has nothing more sent, and reports whether the server is at something still.
func (t *tracker) shut() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	return len(t.pending) > 0
}

// of is what a portal will carry out, if all goes well that was sent before.
func (t *tracker) of(portal string) origin {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.names.will(ofPortals, portal)
}

// refusal is why a guard refused what the server is answering, "" where it did not.
func (t *tracker) refusal() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.front(); p != nil {
		return p.refused
	}
	return ""
}

// set notes what the server says that a setting is.
func (t *tracker) set(name, value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range lexical {
		if s.name == name {
			t.settings[name] = value
		}
	}
}

// lexical are the settings by which the server tells words, and what they have to be for a
// statement to be told as it tells it. The server says when they change, before it is ready
// for what comes next.
var lexical = []struct{ name, value string }{{"standard_conforming_strings", "on"}, {"client_encoding", "UTF8"}}

// plain says whether the server is known to tell words as package statement does.
func (t *tracker) plain() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range lexical {
		if t.settings[s.name] != s.value {
			return false
		}
	}
	return t.certain
}

// answered notes that the server did what a message of this type asked for.
func (t *tracker) answered(kind byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.front()
	if p == nil || p.kind != kind {
		return
	}
	if p.name != nil {
		t.names.apply(kind, p.name)
	}
	t.drop(1)
}

// completed is an outcome of the statement that is being answered, whose number it gives.
// Of one that was carried out by a name it gives what that was in truth, where the record has
// another.
func (t *tracker) completed() (n uint64, truth *origin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.front()
	if p == nil {
		return 0, nil
	}
	n = p.n
	if t.copying { // each Sync within it counted for nothing
		t.copying = false
		within := true
		t.pending = slices.DeleteFunc(t.pending, func(x pending) bool {
			if !within || x.kind != 'S' && x.kind != copyEnd {
				return false
			}
			within = x.kind != copyEnd
			t.held -= x.weight()
			return true
		})
		p = &t.pending[0]
	}
	if p.kind == 'E' { // of a simple query more may come
		if p.name != nil {
			if is := t.names.portals[p.name.name]; is.n != p.name.what.n {
				truth = &is
			}
		}
		t.drop(1)
	}
	return n, truth
}

// failed is an error: of the statement that is being answered, whose number it gives, or of
// nothing that was sent. What the server skips is not answered.
func (t *tracker) failed() (n uint64, _ error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.front()
	if p == nil {
		return 0, nil
	}
	if t.copying {
		t.copying = false
		for i := range t.pending[1:] {
			x := &t.pending[i+1]
			if x.kind == copyEnd {
				break
			}
			x.maybe = x.kind == 'S'
		}
	}
	n = p.n
	if p.kind == 'Q' || p.kind == 'S' {
		return n, nil
	}
	skip, known := 0, n != 0
	for ; skip < len(t.pending) && t.pending[skip].kind != 'S'; skip++ {
		if x := t.pending[skip]; !known && x.n != 0 {
			known = true
			if x.kind == 'E' { // values that do not fit are its own
				n = x.n
			}
		}
	}
	t.drop(skip)
	if len(t.pending) == 0 || !t.pending[0].maybe {
		return n, nil
	}
	t.skips = true
	for _, x := range t.pending {
		if x.kind == 'S' && !x.maybe {
			break
		}
		if x.kind != 'S' && x.kind != copyEnd {
			return n, unclear
		}
	}
	return n, nil
}

// copyEnds notes that the client has no more to copy. It has no answer of its own, and stands
// among those that do for what lies before it.
func (t *tracker) copyEnds() error {
	t.mu.Lock()
	idle := len(t.pending) == 0
	t.mu.Unlock()
	if idle {
		return nil
	}
	return t.sent(pending{kind: copyEnd})
}

const copyEnd = 'c'

// copiesIn is that the server takes copied data.
func (t *tracker) copiesIn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.front()
	t.copying = p != nil && (p.kind == 'E' || p.kind == 'Q')
}

// ready is the end of a simple query, or of what a Sync ended. idle says that no
// transaction is open, so no portal is either.
func (t *tracker) ready(idle bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.copying, t.skips = false, false
	for i, p := range t.pending {
		if p.kind == 'S' || p.kind == 'Q' {
			t.drop(i + 1)
			if p.maybe && len(t.pending) > 0 && t.pending[0].kind == 'S' { // it may have been that one's
				t.pending[0].maybe = true
			}
			break
		}
	}
	t.certain = true // of a Sync nothing is set
	for _, p := range t.pending {
		t.certain = t.certain && p.maybe
	}
	if idle && t.certain {
		clear(t.names.portals)
	}
}

// front is what the server is answering with anything but that it is ready; nil where nothing
// was asked. What it may not answer and did not, it will not. t.mu is held.
func (t *tracker) front() *pending {
	for len(t.pending) > 0 && t.pending[0].maybe {
		t.drop(1)
	}
	if len(t.pending) == 0 {
		return nil
	}
	return &t.pending[0]
}

// drop forgets the first n. t.mu is held.
func (t *tracker) drop(n int) {
	for n > 0 || len(t.pending) > 0 && t.pending[0].kind == copyEnd {
		p := &t.pending[0]
		t.held -= p.weight()
		if p.name != nil {
			t.names.settle(p.kind, p.name)
		}
		*p = pending{}
		t.pending = t.pending[1:]
		n--
	}
	if len(t.pending) == 0 {
		t.pending = nil
	}
}
