package sim

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
)

// foresight are stories about what a process knows of what ends next when the store goes
// away: what it read, what it committed itself, and which of the two is newer.
var foresight = []protection{
	{"read ahead, and done by another", 50 * time.Second, true, readElsewhere},
	{"more lives than is read ahead", 40 * time.Second, true, readInPart},
	{"who left before the store did, as it was read", 40 * time.Second, true, owedRead},
	{"who left before the store did, as it was committed", 40 * time.Second, true, owedCommitted},
	{"a right that was there before, without the store", 50 * time.Second, true, hadBeforeAway},
	{"made for somebody whom nobody knows ahead", 40 * time.Second, true, madeForAnother},
	{"committed while the store is read ahead", 60 * time.Second, true, committedWhileRead},
	{"committed while it was read ahead, and ended elsewhere", 80 * time.Second, true, committedAndEnded},
	{"heard late of an extension", 80 * time.Second, true, heardLate},
	{"heard late of an intent", 80 * time.Second, true, heardLateOfIntent},
	{"a call lands after it was taken away without the store", 40 * time.Second, true, landedAway},
	{"a store that takes no changes and is read all the while", 80 * time.Second, true, readAllTheWhile},
}

func init() { protections = append(protections, foresight...) }

// returns lets somebody give back what they have.
func (w *world) returns(b *broker.Broker, who string, g access.GrantID) {
	got, _ := w.store.Grant(g)
	_, err := b.End(context.Background(), caller1(who), string(got.Request), "done")
	w.insist(err)
}

// readElsewhere: a process that did nothing itself ends without the store what it read: at
// its end, what was ordered before, and of what two share only what the first one knows.
func readElsewhere(w *world) {
	s, there := &ill{Store: w.store, has: illness{changes: true}}, &wire{}
	w.process("a", s, nil, &wire{journal: &memory{}})
	b, stop := w.life("b", w.store, nil, there)
	w.soon(3*time.Second, "ask", func() {
		w.submit(b, "mira", "reader", 25*time.Second)
		w.submit(b, "noor", "shared", 25*time.Second)
		w.submit(b, "pia", "shared", 10*time.Minute)
		w.submit(b, "paul", "owner", 25*time.Second)
	})
	w.soon(4*time.Second, "ask", func() { w.submit(b, "paul", "owner", 10*time.Minute) })
	w.in(12*time.Second, "look", "", func() {
		if w.usable() != 3 {
			w.fail("story", "%d privileges can be used, and should be three", w.usable())
		}
		there.meet(func(string, connector.Order) error { return refusal })
	})
	var ordered access.GrantID
	w.soon(13*time.Second, "revoke", func() {
		ordered = w.revokesMira(b)
		stop()
	})
	w.in(19*time.Second, "away", "", func() { s.set(illness{changes: true, reads: true}) })
	w.in(26*time.Second, "look", "", func() {
		if w.expect("story", ordered, access.Ending); w.usable() != 2 {
			w.fail("I-02", "%d privileges can be used: one was revoked, and two have not ended", w.usable())
		}
	})
	w.in(36*time.Second, "look", "", func() {
		if p, _ := w.targets.Account(w.places[0].Place(), "paul"); w.usable() != 1 || len(p.Groups) == 0 {
			w.fail("I-01", "%d privileges can be used, and should be the one that paul holds on: %v", w.usable(), p.Groups)
		}
	})
}

// revokesMira revokes what mira has, and says what that is.
func (w *world) revokesMira(b *broker.Broker) (g access.GrantID) {
	for _, x := range w.store.Grants(true) {
		if x.Person == "mira" {
			g = x.ID
		}
	}
	w.revokes(b, g)
	return g
}

// readInPart: of very much that lives, what ends next is known ahead, and who else holds
// it, however late they end.
func readInPart(w *world) {
	s := &ill{Store: w.store, has: illness{changes: true, page: 1}}
	w.process("a", s, nil, &wire{journal: &memory{}})
	b, stop := w.life("b", w.store, nil, &wire{})
	w.soon(3*time.Second, "ask", func() { w.submit(b, "paul", "owner", 17*time.Second) })
	w.soon(4*time.Second, "ask", func() { w.submit(b, "paul", "owner", 10*time.Minute) })
	w.in(13*time.Second, "away", "", func() {
		stop()
		s.set(illness{changes: true, reads: true})
	})
	w.in(28*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("promise", "paul holds it by a second grant, and it was taken from him without the store")
		}
	})
}

// leavesRefused has mira leave an account that she shares with noor, while the target does
// not give noor another password.
func (w *world) leavesRefused(b *broker.Broker, at *wire) {
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() {
		w.submit(b, "noor", "shared", 10*time.Minute)
		g = w.submit(b, "mira", "shared", 10*time.Minute)
	})
	w.in(6*time.Second, "refuse", "", func() { at.meet(refuseAll) })
	w.soon(7*time.Second, "return", func() {
		w.expect("story", g, access.Active)
		w.returns(b, "mira", g)
	})
}

// owedRead: who left knows the password until there is another one. Without the store there
// is none, and it is made useless at once, by who has read that they left.
func owedRead(w *world) {
	s, there := &ill{Store: w.store, has: illness{changes: true}}, &wire{}
	w.process("a", s, nil, &wire{journal: &memory{}})
	b, stop := w.life("b", w.store, nil, there)
	w.leavesRefused(b, there)
	w.in(8*time.Second, "stop", "", func() {
		if w.usable() != 1 {
			w.fail("story", "it cannot be used")
		}
		stop()
	})
	w.in(20*time.Second, "look", "", func() {
		if w.usable() > 0 {
			w.fail("I-22", "who has left has a password that works, and the store takes no changes")
		}
	})
}

// owedCommitted: the same by who was there when they left, and could not read it since.
func owedCommitted(w *world) {
	s, at := &ill{Store: w.store, has: illness{ahead: true}}, &wire{journal: &memory{}}
	b := w.process("a", s, nil, at)
	w.leavesRefused(b, at)
	w.in(8*time.Second, "away", "", func() {
		if w.usable() != 1 {
			w.fail("story", "it cannot be used")
		}
		s.set(illness{changes: true, reads: true})
	})
	w.in(20*time.Second, "look", "", func() {
		if w.usable() > 0 {
			w.fail("I-22", "who has left has a password that works, and the store is away")
		}
	})
}

// hadBeforeAway: what somebody had before is not touched without the store either.
func hadBeforeAway(w *world) {
	s, at := &ill{Store: w.store}, &wire{journal: &memory{}}
	touched := 0
	at.meet(func(call string, o connector.Order) error {
		if o.Person == "noor" && call != "observe" {
			touched++
		}
		return nil
	})
	b := w.process("a", s, nil, at)
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "noor", "owner", 17*time.Second) })
	w.soon(3*time.Second, "ask", func() { w.submit(b, "mira", "reader", 17*time.Second) })
	w.in(12*time.Second, "away", "", func() { s.set(illness{changes: true, reads: true}) })
	w.in(30*time.Second, "look", "", func() {
		if w.expect("story", g, access.Active); touched > 0 {
			w.fail("I-23", "noor had it before, and %d calls touched it without the store", touched)
		}
	})
}

// madeForAnother: a process makes what another one had intended, and never reads for whom.
// Without the store it does not take that for held by nobody.
func madeForAnother(w *world) {
	s := &ill{Store: w.store, has: illness{ahead: true}}
	b, stop := w.life("b", w.store, nil, &wire{meets: refuseAll})
	w.soon(3*time.Second, "ask", func() { w.submit(b, "mira", "reader", 10*time.Minute) })
	w.in(4*time.Second, "another", "", func() {
		stop()
		w.process("a", s, nil, &wire{journal: &memory{}})
	})
	w.in(15*time.Second, "away", "", func() {
		if w.usable() != 1 {
			w.fail("story", "it was not made")
		}
		s.set(illness{changes: true, reads: true})
	})
	w.soon(16*time.Second, "fail", func() { // so that it is noticed
		_, err := b.Submit(context.Background(), caller1("paul"), broker.Ask{})
		_ = err // of no use
	})
	w.in(30*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("promise", "it was taken away without the store, because nobody knew for whom it was")
		}
	})
}

// committedWhileRead: what was committed while the store was read ahead is not in what was
// read, and ends without the store all the same.
func committedWhileRead(w *world) {
	s := &ill{Store: w.store}
	b := w.process("a", s, nil, &wire{journal: &memory{}})
	var since time.Time
	w.in(9*time.Second, "slow", "", func() {
		s.set(illness{during: func() {
			w.submit(b, "mira", "reader", 15*time.Second)
			w.submit(b, "paul", "owner", 10*time.Minute)
			time.Sleep(100 * time.Millisecond)
			since = w.now()
			s.set(illness{changes: true, reads: true})
		}})
	})
	w.in(16*time.Second, "look", "", func() {
		if w.usable() != 2 || since.IsZero() {
			w.fail("story", "%d privileges can be used since %s", w.usable(), since)
		}
	})
	w.in(40*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("I-01", "%d privileges can be used, and one was to end without the store", w.usable())
		}
	})
}

// committedAndEnded: what was committed during one reading is not taken for newer than the
// readings after it: another replica has ended it since.
func committedAndEnded(w *world) {
	s := &ill{Store: w.store}
	a := w.process("a", s, nil, &wire{journal: &memory{}})
	b, stop := w.life("b", w.store, nil, &wire{})
	var g access.GrantID
	w.in(9*time.Second, "slow", "", func() { s.set(illness{during: func() { g = w.submit(a, "paul", "owner", time.Hour) }}) })
	w.soon(22*time.Second, "ask", func() {
		w.submit(b, "paul", "owner", 28*time.Second)
		w.revokes(b, g)
	})
	w.in(40*time.Second, "away", "", func() {
		w.expect("story", g, access.Ended)
		s.set(illness{changes: true, reads: true})
	})
	w.soon(41*time.Second, "stop", func() { stop() })
	w.in(58*time.Second, "look", "", func() {
		if w.usable() > 0 {
			w.fail("I-01", "it is held by nobody any more, and can be used without the store")
		}
	})
}

// lateHearing is a store of which one hears late, while somebody says so.
type lateHearing struct {
	*ill
	until chan struct{} // nil: at once
}

func (s *lateHearing) Update(ctx context.Context, fn func(broker.Tx) error) error {
	until := s.until
	err := s.ill.Update(ctx, fn)
	if until != nil && err == nil {
		<-until
	}
	return err
}

// heardLate: a process hears late of its own commit, and has read newer things since. It
// does not go by the older ones when the store goes away.
func heardLate(w *world) {
	s := &lateHearing{ill: &ill{Store: w.store}}
	a := w.process("a", s, nil, &wire{journal: &memory{}})
	b, stop := w.life("b", w.store, nil, &wire{})
	extend := func(b *broker.Broker, d time.Duration, key string, g access.GrantID) {
		_, err := b.Extend(context.Background(), caller1("mira"), string(g), broker.Ask{Duration: d, Reason: "longer", Key: key, Body: access.Digest{7}})
		w.insist(err)
	}
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(a, "mira", "reader", 20*time.Second) })
	open := make(chan struct{})
	w.soon(8*time.Second, "extend", func() {
		s.until = open
		extend(a, 10*time.Second, "a", g)
	})
	w.soon(9*time.Second, "extend", func() {
		s.until = nil
		extend(b, 20*time.Minute, "b", g)
	})
	w.in(19*time.Second, "hear", "", func() { close(open) })
	w.soon(19010*time.Millisecond, "away", func() {
		s.set(illness{changes: true, reads: true})
		stop()
	})
	w.in(60*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("promise", "it was extended twice, and who heard late of the first ended it")
		}
	})
}

// heardLateOfIntent: the same of a first word, while another one has made what it was for.
func heardLateOfIntent(w *world) {
	s := &lateHearing{ill: &ill{Store: w.store}}
	a := w.process("a", s, nil, &wire{journal: &memory{}})
	_, stop := w.life("b", w.store, nil, &wire{})
	open := make(chan struct{})
	w.in(2900*time.Millisecond, "late", "", func() { s.until = open })
	w.soon(3*time.Second, "ask", func() { w.submit(a, "paul", "owner", 40*time.Second) })
	w.in(3100*time.Millisecond, "no more", "", func() { s.until = nil })
	w.in(25*time.Second, "hear", "", func() {
		if w.usable() != 1 {
			w.fail("story", "nobody has made it")
		}
		s.set(illness{changes: true, reads: true})
		close(open)
	})
	w.soon(26*time.Second, "stop", func() { stop() })
	w.in(60*time.Second, "look", "", func() {
		if w.usable() > 0 {
			w.fail("I-01", "who heard late that it was intended does not end it without the store")
		}
	})
}

// landedAway: nobody heard what became of a call, and what it is for is revoked without the
// store and not there. The call may land for a while yet, and then it goes again.
func landedAway(w *world) {
	s, at := &ill{Store: w.store}, &wire{journal: &memory{}}
	var order connector.Order
	at.meet(func(call string, o connector.Order) error {
		if call == "provision" {
			order = o
			return &connector.Error{Outcome: connector.Unknown, Message: "nobody knows"}
		}
		return nil
	})
	b := w.process("a", s, nil, at)
	w.soon(6*time.Second, "ask", func() { w.submit(b, "mira", "reader", 10*time.Minute) })
	w.in(6100*time.Millisecond, "away", "", func() { s.set(illness{changes: true, reads: true}) })
	w.soon(7*time.Second, "revoke", func() { w.takes(b, broker.Selector{User: "mira"}) })
	w.in(9*time.Second, "land", "", func() {
		_, err := w.targets.Connector().Provision(context.Background(), w.target(), order)
		if w.insist(err); w.usable() != 1 {
			w.fail("story", "it did not land")
		}
	})
	w.in(25*time.Second, "look", "", func() {
		if w.usable() > 0 {
			w.fail("I-02", "a call landed after it was taken away without the store, and stays")
		}
		s.set(illness{})
	})
}

// readAllTheWhile: the store takes no changes for long and is read ahead all the while. What
// was done meanwhile is done once.
func readAllTheWhile(w *world) {
	kept, s := &memory{}, &ill{Store: w.store}
	at := &wire{journal: kept}
	removals := 0
	at.meet(func(call string, o connector.Order) error {
		if call == "remove" && o.Person == "mira" {
			removals++
		}
		return nil
	})
	b := w.process("a", s, nil, at)
	w.soon(3*time.Second, "ask", func() {
		w.submit(b, "mira", "reader", 17*time.Second)
		w.submit(b, "noor", "shared", 17*time.Second)
		w.submit(b, "pia", "shared", 10*time.Minute)
	})
	w.in(12*time.Second, "away", "", func() { s.set(illness{changes: true}) })
	w.in(50*time.Second, "back", "", func() {
		if n, _ := kept.Waiting(); w.usable() > 0 || removals != 1 || n != 4 {
			w.fail("I-15", "two things ended without the store; %d removals were sent, %d words are in the journal, and %d privileges can be used", removals, n, w.usable())
		}
		s.set(illness{})
	})
	w.in(75*time.Second, "look", "", func() { w.merged(kept) })
}
