package sim

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/test/sim/simstore"
)

// company are stories about others who work in our name: a copy that knows all that we
// know until it was made, and a target that is not the one it was.
var company = []protection{
	{"a copy that knows our beats", 1000 * time.Second, true, copyKnowsBeats},
	{"a target carries another's beat for a while", 330 * time.Second, true, anothersBeat},
	{"restored, with things that no row knows", 100 * time.Second, true, restoredLeftover},
}

func init() { protections = append(protections, company...) }

// leave puts an account of ours on the target that no row knows.
func (w *world) leave(n byte) {
	id := access.NewEntitlementID(w.now().UnixMilli(), access.Entropy{n, 82})
	_, err := w.targets.Connector().Provision(context.Background(), w.target(), connector.Order{Entitlement: id, Mechanism: access.Account, Person: "mira",
		Tag: access.Tag(w.tagger.Tag("sim", string(w.places[0].Place()), 1, string(id))), Rights: []string{"app_read"}, ExpiresAt: w.now().Add(24 * time.Hour)})
	w.insist(err)
}

// copyKnowsBeats: a copy of the data is as good as the original until one of them leaves a
// beat that the other does not know. From then on both know of each other, neither removes
// what it has no record of, and people are told on both sides. When the copy is gone, the
// original is careful for a while, and then tidies up; and it tells of the next one, too.
func copyKnowsBeats(w *world) {
	theirs := simstore.New(time.Now)
	w.insist(w.settle(theirs))
	at := &wire{beats: &beats{}}
	w.process("a", w.store, nil, at)
	var stop func()
	w.in(200*time.Second, "copy", "", func() {
		of := at.read().Of
		known := w.setting("beats:" + of)
		if of == "" || len(known) == 0 {
			w.fail("I-23", "the target does not say whose memory of beats is its own: %q, of which the store has %q", of, known)
		}
		w.insist(theirs.Update(context.Background(), func(tx broker.Tx) error { return tx.SaveSetting("beats:"+of, known) }))
		_, stop = w.life("copy", theirs, nil, &wire{beats: at.beats})
	})
	w.in(400*time.Second, "leftover", "", func() { w.leave(1) }) // which one of them may have made
	told := func() (us, them int) {
		for _, ev := range theirs.Log() {
			if ev.Type == broker.ClaimContested {
				them++
			}
		}
		return w.times(broker.ClaimContested), them
	}
	w.in(600*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("I-23", "what the other one may have made was removed")
		}
		if us, them := told(); us != 1 || them != 1 {
			w.fail("I-15", "a copy works on the target, and the log of the original says so %d times, that of the copy %d times", us, them)
		}
		stop()
		at.write(connector.Beat{}) // an administrator has dropped the mark
	})
	w.in(750*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("I-23", "a moment ago a copy was there, and what it may have made was removed")
		}
	})
	w.in(880*time.Second, "look", "", func() {
		if w.usable() != 0 {
			w.fail("L-06", "no copy has shown up for a while, and what nobody knows is left")
		}
		again := at.read()
		again.Rival = "another"
		at.write(again)
	})
	w.in(990*time.Second, "look", "", func() {
		if us, _ := told(); us != 2 {
			w.fail("I-15", "two copies have worked on the target, and the log says so %d times", us)
		}
	})
}

// anothersBeat: while a target carries a beat that is not ours, nothing is made there. When
// it is as it was before, things go on.
func anothersBeat(w *world) {
	at := &wire{beats: &beats{}}
	b := w.process("a", w.store, nil, at)
	var ours connector.Beat
	w.in(100*time.Second, "theirs", "", func() {
		ours = at.read()
		at.write(connector.Beat{Of: ours.Of, Last: "theirs"})
	})
	w.soon(130*time.Second, "ask", func() { w.submit(b, "paul", "reader", time.Minute) })
	w.in(150*time.Second, "ours", "", func() {
		if w.usable() > 0 {
			w.fail("copy", "something is made where another works in our name")
		}
		at.write(ours)
	})
	var g access.GrantID
	w.soon(300*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.in(310*time.Second, "look", "", func() { w.expect("promise", g, access.Active) })
}

// restoredLeftover: who restores a backup says that this one goes on, and no copy. What it
// does not know goes with the first sweep, and does not wait for copies to show up.
func restoredLeftover(w *world) {
	w.in(2*time.Second, "leftover", "", func() { w.leave(2) })
	w.begunRestored(w.store, &wire{beats: &beats{}}, func(*broker.Broker) {})
	w.in(90*time.Second, "look", "", func() {
		if n := w.usable(); n != 0 {
			w.fail("L-06", "%d things can be used that the backup does not know", n)
		}
	})
}

// read gives what the target says of beats, as somebody sees it who may.
func (x *wire) read() connector.Beat {
	x.beats.mu.Lock()
	defer x.beats.mu.Unlock()
	return x.beats.last
}

// write puts a beat onto the target, as somebody would who may.
func (x *wire) write(beat connector.Beat) {
	x.beats.mu.Lock()
	defer x.beats.mu.Unlock()
	x.beats.last = beat
}
