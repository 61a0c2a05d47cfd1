package sim

import (
	"context"
	"errors"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/clock"
)

// outages are stories about stores that do less than they should, each in a way of its own.
var outages = []protection{
	{"commits of which nobody hears", 60 * time.Second, true, unheardCommits},
	{"a clock that is behind while anybody has access", 60 * time.Second, true, slowClock},
}

func init() { protections = append(protections, outages...) }

// unheardCommits: a database whose standby is gone tells all that it knows, and commits
// nothing. That reads go through is no sign that it is well: nothing new is granted, and
// what ends is ended without it.
func unheardCommits(w *world) {
	s := &ill{Store: w.store}
	b := w.process("a", s, nil, &wire{journal: &memory{}})
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 17*time.Second) })
	w.in(12*time.Second, "unheard", "", func() { s.set(illness{unheard: true}) })
	w.in(26*time.Second, "look", "", func() {
		if w.expect("story", g, access.Active); w.usable() > 0 {
			w.fail("I-01", "access goes on after its end, because commits hang and reads do not")
		}
		if b.Outage().Since.IsZero() {
			w.fail("fail-closed", "commits hang, and the store counts as well because it can be read")
		}
	})
	w.in(27*time.Second, "heard", "", func() { s.set(illness{}) })
	w.in(50*time.Second, "look", "", func() { w.expect("L-01", g, access.Ended) })
}

// wrong is a clock that is an hour behind.
type wrong struct {
	mu       sync.Mutex
	accepted int
}

func (*wrong) Clock() clock.State {
	return clock.State{Reading: clock.Reading{Why: "it is far behind"}, Wall: time.Now().Add(-time.Hour), Ahead: -time.Hour, Far: true}
}

func (c *wrong) AcceptClock(time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted++
	return true
}

func (c *wrong) times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted
}

// slowClock: two administrators may say that a clock which is behind is right, and time
// runs slowly then. Not while anybody has access: it would end later than they were told.
func slowClock(w *world) {
	c := &wrong{}
	b := w.process("a", w.store, nil, &wire{clock: c})
	other := &wrong{}
	w.process("b", w.store, nil, &wire{clock: other}) // follows what is decided
	accept := func(want error) {
		for _, admin := range []string{"root", "rita"} {
			if _, err := b.AcceptClock(context.Background(), caller1(admin), "the other clocks are wrong"); !errors.Is(err, want) {
				w.fail("T-26", "%s accepts a clock that is behind, and is told: %v", admin, err)
			}
		}
	}
	w.soon(3*time.Second, "ask", func() { w.submit(b, "mira", "reader", 17*time.Second) })
	w.soon(10*time.Second, "accept", func() { accept(access.Conflict) })
	w.in(18*time.Second, "look", "", func() {
		if w.usable() != 1 || c.times()+other.times() > 0 {
			w.fail("T-26", "somebody has access, and time runs slowly: %d", c.times()+other.times())
		}
	})
	w.soon(30*time.Second, "accept", func() {
		if w.usable() > 0 {
			w.fail("story", "it has not ended")
		}
		accept(nil)
	})
	w.in(35*time.Second, "look", "", func() {
		if c.times() == 0 || other.times() == 0 {
			w.fail("T-26", "two administrators accepted a clock, and it is not taken: %d, %d", c.times(), other.times())
		}
	})
}
