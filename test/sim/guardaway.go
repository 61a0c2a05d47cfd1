package sim

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/clock"
	"stint/internal/connector"
)

// outages are stories about stores that do less than they should, each in a way of its own.
var outages = []protection{
	{"commits of which nobody hears", 60 * time.Second, true, unheardCommits},
	{"one after the other ends while commits hang", 50 * time.Second, true, endsOnTime},
	{"a store that takes what is small alone", 50 * time.Second, true, takesSmall},
	{"a store that was never read ahead", 60 * time.Second, true, neverRead},
	{"a store that is away twice", 150 * time.Second, true, awayTwice},
	{"a shared credential is made useless after the store is back", 80 * time.Second, true, spoiltLate},
	{"nobody can sign in to the target when one leaves without the store", 70 * time.Second, true, spoiltLocked},
	{"one leaves without the store, and the target has no room for it", 130 * time.Second, true, spoiltCrowded},
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

// endsOnTime: while commits hang, it takes seconds to find out again and again that they
// do. What ends meanwhile does not wait for that: each of four is gone within a second of
// its end, whenever the store is asked.
func endsOnTime(w *world) {
	s := &ill{Store: w.store}
	b := w.process("a", s, nil, &wire{journal: &memory{}})
	who := []string{"mira", "noor", "pia", "paul"}
	gs := make([]access.GrantID, len(who))
	w.soon(3*time.Second, "ask", func() {
		w.submit(b, "paul", "reader", 12*time.Second) // whose end finds out that the store is away
		for i := range who {
			time.Sleep(10 * time.Millisecond) // else the second of paul's is taken for a repetition
			gs[i] = w.submit(b, who[i], "reader", 27*time.Second+time.Duration(i)*500*time.Millisecond)
		}
	})
	w.in(12*time.Second, "unheard", "", func() { s.set(illness{unheard: true}) })
	w.in(25*time.Second, "look", "", func() {
		if b.Outage().Since.IsZero() || w.usable() != len(who) {
			w.fail("story", "%d privileges can be used without the store, and should be %d", w.usable(), len(who))
		}
		for i, g := range gs {
			got, _ := w.store.Grant(g)
			w.in(got.DueAt().Add(time.Second).Sub(w.now()), "look", "", func() {
				if n := w.usable(); n >= len(who)-i {
					w.fail("I-01", "a second after the end of %s %d privileges can be used, because nobody looked", who[i], n)
				}
			})
		}
	})
	w.in(40*time.Second, "heard", "", func() { s.set(illness{}) })
}

// takesSmall: a disk is so full that it takes a small change and no grant. That the small
// one goes through is no sign that it is well.
func takesSmall(w *world) {
	s := &ill{Store: w.store}
	b := w.process("a", s, nil, &wire{journal: &memory{}})
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 17*time.Second) })
	w.in(12*time.Second, "full", "", func() { s.set(illness{full: true}) })
	w.in(26*time.Second, "look", "", func() {
		if w.expect("story", g, access.Active); w.usable() > 0 {
			w.fail("I-01", "access goes on after its end, because the store takes what is small")
		}
		s.set(illness{})
	})
	w.in(45*time.Second, "look", "", func() { w.expect("L-01", g, access.Ended) })
}

// neverRead: a process that could never read what ends next knows what it did itself, and
// ends that without the store.
func neverRead(w *world) {
	s := &ill{Store: w.store, has: illness{ahead: true}}
	b := w.process("a", s, nil, &wire{journal: &memory{}})
	var g, shared access.GrantID
	w.soon(3*time.Second, "ask", func() {
		g = w.submit(b, "mira", "reader", 17*time.Second)
		w.submit(b, "paul", "owner", 17*time.Second)
		w.submit(b, "noor", "shared", 10*time.Minute)
		shared = w.submit(b, "pia", "shared", 10*time.Minute)
	})
	w.soon(7*time.Second, "return", func() { w.returns(b, "pia", shared) }) // who stays has a new password
	w.in(12*time.Second, "away", "", func() {
		w.expect("story", shared, access.Ended)
		s.set(illness{changes: true, reads: true})
	})
	w.in(26*time.Second, "look", "", func() {
		if w.expect("story", g, access.Active); w.usable() != 1 {
			w.fail("I-01", "%d privileges can be used without the store, which was never read ahead, and that of who stays should be", w.usable())
		}
		s.set(illness{})
	})
	w.in(50*time.Second, "look", "", func() { w.expect("L-01", g, access.Ended) })
}

// awayTwice: what was done in one outage holds up nothing in the next: an account that was
// given anew since is made useless again, and the journal is merged again.
func awayTwice(w *world) {
	kept, s := &memory{}, &ill{Store: w.store}
	at := &wire{journal: kept}
	b := w.process("a", s, nil, at)
	place := w.places[0].Place()
	var first, second, shared, stays access.GrantID
	var password string
	at.after = func(o connector.Order, made connector.Receipt) {
		if o.Mechanism == access.Enable {
			password = passwordOf(made.Credential.Reveal())
		}
	}
	signIn := func() error {
		_, err := w.targets.SignIn(place, "dba", password)
		return err
	}
	w.soon(3*time.Second, "ask", func() {
		first = w.submit(b, "mira", "reader", 17*time.Second)
		w.submit(b, "noor", "shared", 20*time.Second)
	})
	w.soon(4*time.Second, "ask", func() { stays = w.submit(b, "pia", "shared", 10*time.Minute) })
	gone := illness{changes: true, reads: true}
	w.in(12*time.Second, "away", "", func() { s.set(gone) })
	w.in(18*time.Second, "look", "", func() {
		if signIn() != nil || w.usable() != 2 {
			w.fail("promise", "%d privileges can be used before their end; who shares one can sign in: %t", w.usable(), signIn() == nil)
		}
	})
	w.in(30*time.Second, "back", "", func() {
		if signIn() == nil || w.usable() > 0 {
			w.fail("I-01", "%d privileges can be used after their end, and the password of who left works: %t", w.usable(), signIn() == nil)
		}
		s.set(illness{})
	})
	w.soon(60*time.Second, "ask", func() {
		w.merged(kept)
		second = w.submit(b, "paul", "reader", 30*time.Second)
		shared = w.submit(b, "mira", "shared", 30*time.Second)
	})
	w.in(75*time.Second, "away", "", func() {
		w.expect("promise", stays, access.Active)
		if err := signIn(); err != nil {
			w.fail("promise", "who stays has no password that works: %v", err)
		}
		s.set(gone)
	})
	w.in(100*time.Second, "back", "", func() {
		if signIn() == nil || w.usable() > 0 {
			w.fail("I-01", "%d privileges can be used after their end in a second outage, and the password of who left works: %t", w.usable(), signIn() == nil)
		}
		s.set(illness{})
	})
	w.in(140*time.Second, "look", "", func() {
		w.merged(kept)
		for _, g := range []access.GrantID{first, second, shared} {
			w.expect("L-01", g, access.Ended)
		}
		w.expect("promise", stays, access.Active)
		if err := signIn(); err != nil {
			w.fail("promise", "who stays has no password that works: %v", err)
		}
	})
}

// spoiltLate: a target is slow to make a shared credential useless, and does so only when
// the store is back and who stays has a new one: that one. They get another.
func spoiltLate(w *world) {
	s, at, open := &ill{Store: w.store}, &wire{journal: &memory{}}, make(chan struct{})
	b := w.process("a", s, nil, at)
	var away bool
	w.soon(3*time.Second, "ask", func() { w.submit(b, "mira", "shared", 17*time.Second) })
	w.soon(4*time.Second, "ask", func() { w.submit(b, "noor", "shared", 10*time.Minute) })
	w.in(12*time.Second, "away", "", func() {
		s.set(illness{changes: true, reads: true})
		at.meet(func(call string, _ connector.Order) error {
			switch call {
			case "revoke":
				away = true
				<-open
			case "terminate":
				return errors.New("sim: nobody answers")
			}
			return nil
		})
	})
	w.in(24*time.Second, "back", "", func() { s.set(illness{}) })
	w.in(35*time.Second, "go on", "", func() {
		if !away || w.usable() != 1 {
			w.fail("story", "who stays has no new credential")
		}
		close(open)
	})
	w.in(65*time.Second, "look", "", func() {
		if w.logged(broker.JournalSpoilt) {
			w.fail("I-15", "the target did not say that it is useless, and the log does")
		}
	})
	w.in(70*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("promise", "who stays has a credential that was made useless")
		}
	})
}

// spoiltLocked: for a while nobody can sign in to the target, just when one who shares an
// account leaves without the store. Their password is made useless as soon as somebody can.
func spoiltLocked(w *world) {
	v, s := &locked{}, &ill{Store: w.store}
	at := &wire{journal: &memory{}, vault: v}
	b := w.process("a", s, nil, at)
	w.soon(3*time.Second, "ask", func() { w.submit(b, "mira", "shared", 17*time.Second) })
	w.soon(4*time.Second, "ask", func() { w.submit(b, "noor", "shared", 10*time.Minute) })
	w.in(12*time.Second, "away", "", func() {
		s.set(illness{changes: true, reads: true})
		v.shut.Store(true)
	})
	w.in(26*time.Second, "open", "", func() {
		if w.usable() != 1 {
			w.fail("story", "it was made useless")
		}
		v.shut.Store(false)
	})
	w.in(50*time.Second, "look", "", func() {
		if w.usable() > 0 {
			w.fail("I-22", "who has left without the store has a password that works")
		}
		s.set(illness{})
	})
	w.in(65*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("promise", "who stays has no password that works")
		}
	})
}

// spoiltCrowded: a target has no room for one more removal when one who shares an account
// leaves without the store. Their password is made useless as soon as it has.
func spoiltCrowded(w *world) {
	const room = 32 // an eighth of the calls that remove
	s, at, open := &ill{Store: w.store}, &wire{journal: &memory{}}, make(chan struct{})
	var hanging atomic.Int64
	at.meet(func(call string, o connector.Order) error {
		if call == "remove" {
			hanging.Add(1)
			<-open
		}
		return nil
	})
	b := w.process("a", s, nil, at)
	w.soon(3*time.Second, "ask", func() {
		w.submit(b, "noor", "shared", 47*time.Second)
		w.submit(b, "pia", "shared", 20*time.Minute)
		for i := range room { // one end at a time, each with calls of its own
			w.submit(b, "mira", "reader", 12*time.Second+time.Duration(i)*100*time.Millisecond)
			time.Sleep(100 * time.Millisecond)
		}
	})
	w.in(35*time.Second, "away", "", func() {
		if n := hanging.Load(); n != room {
			w.fail("story", "%d removals hang, and should be %d", n, room)
		}
		s.set(illness{changes: true, reads: true})
	})
	w.in(80*time.Second, "open", "", func() {
		if w.usable() != 1 {
			w.fail("story", "there was room")
		}
		close(open)
	})
	w.in(115*time.Second, "look", "", func() {
		if w.usable() > 0 {
			w.fail("I-22", "who has left without the store has a password that works")
		}
	})
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
