package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/policy"
)

// slowRemoval: what is left of an account takes long to go, and meanwhile the access of
// somebody else at the same target ends in time.
func slowRemoval(w *world) {
	at, open := &wire{}, make(chan struct{})
	at.meet(func(call string, o connector.Order) error {
		if call == "remove" && o.Person == "mira" {
			<-open
		}
		return nil
	})
	b := w.process("a", w.store, nil, at)
	w.soon(3*time.Second, "ask", func() { w.submit(b, "mira", "reader", 10*time.Second) })
	w.soon(3*time.Second, "ask", func() { w.submit(b, "paul", "reader", 15*time.Second) })
	w.in(14500*time.Millisecond, "look", "", func() {
		if w.usable() != 1 {
			w.fail("story", "%d privileges can be used, and should be one", w.usable())
		}
	})
	w.in(19*time.Second, "look", "", func() {
		if w.usable() != 0 {
			w.fail("L-05", "access goes on after its end, because something else at the target takes long to go")
		}
		close(open)
	})
	w.in(55*time.Second, "look", "", func() {
		if n := len(w.store.Grants(true)); n > 0 {
			w.fail("L-01", "%d grants are live", n)
		}
	})
}

// locked is a vault that does not open while it is shut.
type locked struct {
	clearVault
	shut atomic.Bool
}

func (v *locked) Open(purpose, place string, b []byte) ([]byte, error) {
	if v.shut.Load() {
		return nil, errors.New("sim: the key does not fit")
	}
	return v.clearVault.Open(purpose, place, b)
}

// loginLost: for a while nobody can sign in to the target at all, just when access ends
// there. It ends as soon as somebody can.
func loginLost(w *world) {
	v := &locked{}
	b := w.process("a", w.store, nil, &wire{vault: v})
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 17*time.Second) })
	w.in(12*time.Second, "shut", "", func() { v.shut.Store(true) })
	w.in(24*time.Second, "open", "", func() {
		w.expect("I-02", g, access.Ending)
		v.shut.Store(false)
	})
	w.in(50*time.Second, "look", "", func() {
		if w.expect("L-01", g, access.Ended); w.usable() > 0 {
			w.fail("I-02", "what could not be ended for a while never is")
		}
	})
}

// neverRegistered: there is no login for a target, and so nothing was ever made there and
// nothing can be looked for. What was granted at it fails, and is over at once.
func neverRegistered(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	failed := map[access.RoleName]access.GrantID{}
	var other access.GrantID
	w.soon(3*time.Second, "ask", func() {
		text := fmt.Sprintf("kind: Resource\nname: lost\ntype: %s\ncriticality: high\nconnection: {address: \"lost:1\", credential: nobodys}\n", kind)
		_, err := b.Apply(ctx, caller1("root"), []policy.File{{Name: "lost.yaml", Text: text}}, false)
		w.insist(err)
		other = w.submit(b, "mira", "reader", 10*time.Minute)
		for _, role := range []access.RoleName{"reader", "owner", "shared"} {
			v, err := b.Submit(ctx, caller1("paul"), broker.Ask{Resource: "lost", Role: role, Duration: time.Minute, Reason: "r", Key: string(role), Body: access.Digest{1}})
			if w.insist(err); err == nil {
				failed[role] = v.Grant.ID
			}
		}
	})
	w.in(20*time.Second, "look", "", func() {
		for _, g := range failed {
			w.expect("L-01", g, access.Failed)
		}
		for _, e := range w.store.Entitlements(true) {
			if e.Target.Resource == "lost" {
				w.fail("L-01", "what nobody could ever make is still %s: %s", e.State, e.LastError)
			}
		}
		w.expect("promise", other, access.Active)
	})
}

// noRoom: a target ends access and then does not let go of what is left, of one account
// after the other, until one more has no room to begin. It is not begun when its time is
// over: nobody takes it for gone, and it ends as soon as the target goes on.
func noRoom(w *world) {
	const room = 32 // an eighth of the calls that remove
	at, open := &wire{}, make(chan struct{})
	var hanging, late atomic.Int64
	var last atomic.Pointer[access.EntitlementID]
	at.meet(func(call string, o connector.Order) error {
		switch id := last.Load(); {
		case call == "remove":
			hanging.Add(1)
			<-open
		case call == "revoke" && id != nil && *id == o.Entitlement:
			late.Add(1)
		}
		return nil
	})
	b := w.process("a", w.store, nil, at)
	var gs []access.GrantID
	w.soon(3*time.Second, "ask", func() {
		for i := range room + 1 { // one end at a time, each with calls of its own
			gs = append(gs, w.submit(b, "mira", "reader", 12*time.Second+time.Duration(i)*100*time.Millisecond))
			time.Sleep(100 * time.Millisecond)
		}
	})
	w.in(12*time.Second, "look", "", func() {
		for _, h := range w.store.Holds(false) {
			if h.Grant == gs[room] {
				last.Store(&h.Entitlement)
			}
		}
		if n := w.usable(); n != room+1 || last.Load() == nil {
			w.fail("story", "%d privileges can be used, and should be %d", n, room+1)
		}
	})
	w.in(40*time.Second, "look", "", func() {
		if n := hanging.Load(); n != room {
			w.fail("story", "%d removals hang, and should be %d", n, room)
		}
		e, _ := w.store.Entitlement(*last.Load())
		if w.expect("I-02", gs[room], access.Ending); e.Attempts == 0 || late.Load() > 0 {
			w.fail("I-02", "there is no room to remove it; after %d attempts, %d calls for it were sent when their time was over", e.Attempts, late.Load())
		}
		close(open)
	})
	w.in(70*time.Second, "look", "", func() {
		for _, g := range gs {
			w.expect("L-01", g, access.Ended)
		}
		if n := w.usable(); n > 0 {
			w.fail("I-01", "%d privileges can be used after their end", n)
		}
	})
}

// replaced: what is there under our name is not what we made. It is left without login,
// nobody is told that it is gone, and a person is told what it is.
func replaced(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	place := w.places[0].Place()
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 17*time.Second) })
	w.in(10*time.Second, "replace", "", func() {
		_, err := w.targets.Replace(place, w.row().Account, "theirs")
		w.insist(err)
	})
	w.in(25*time.Second, "look", "", func() {
		p, there := w.targets.Account(place, w.row().Account)
		if !there || p.Login {
			w.fail("I-23", "an account that we did not make is there: %t, and can sign in: %t", there, p.Login)
		}
		w.expect("I-03", g, access.Ending)
		if !w.logged(broker.ForeignFound) {
			w.fail("I-03", "nobody was told that what is there is not what was made")
		}
	})
}

// replacedLater: the same of what is replaced while its removal does not succeed for other
// reasons. Whenever it is first seen that it is not ours, a person is told.
func replacedLater(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	place := w.places[0].Place()
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.in(9*time.Second, "stick", "", func() { at.stick("app_read") })
	w.soon(10*time.Second, "revoke", func() { w.revokes(b, g) })
	w.in(14*time.Second, "replace", "", func() {
		if e := w.row(); e.Attempts < 4 || w.logged(broker.ForeignFound) {
			w.fail("story", "it was tried %d times", e.Attempts)
		}
		_, err := w.targets.Replace(place, w.row().Account, "theirs")
		w.insist(err)
		at.stick("")
	})
	w.in(60*time.Second, "look", "", func() {
		w.expect("I-03", g, access.Ending)
		if n := w.times(broker.ForeignFound); n != 1 {
			w.fail("I-03", "what is there is not what was made, and people were told so %d times", n)
		}
	})
}

// said is a fact of the last record of a kind.
func (w *world) said(t access.EventType, fact string) (said string) {
	for _, ev := range w.store.Log() {
		if ev.Type == t {
			said = ev.Facts[fact]
		}
	}
	return said
}

func (w *world) logged(t access.EventType) bool {
	return slices.ContainsFunc(w.store.Log(), func(ev access.Event) bool { return ev.Type == t })
}

// revokedTwice: what is ending ends once, however often somebody says so. That it does
// not go is put on record, with what the target said.
func revokedTwice(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.in(9*time.Second, "stick", "", func() { at.stick("app_read") })
	w.soon(10*time.Second, "revoke", func() { w.revokes(b, g) })
	w.soon(12*time.Second, "revoke", func() { w.revokes(b, g) })
	w.soon(14*time.Second, "return", func() {
		got, _ := w.store.Grant(g)
		_, err := b.End(context.Background(), caller1("mira"), string(got.Request), "")
		w.insist(err)
	})
	w.in(20*time.Second, "look", "", func() {
		w.expect("I-02", g, access.Ending)
		if !w.logged(broker.RemovalTrouble) {
			w.fail("I-03", "nobody was told that it cannot be removed")
		}
		if e := w.row(); e.LastError != "sim: it is locked" {
			w.fail("I-03", "it cannot be removed, and why is not on record: %q", e.LastError)
		}
		at.stick("")
	})
	w.in(55*time.Second, "look", "", func() { w.expect("L-01", g, access.Ended) })
}

// givenBack: who has something can give it back, and nobody else can.
func givenBack(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	var g access.GrantID
	end := func(who string) error {
		got, _ := w.store.Grant(g)
		_, err := b.End(context.Background(), caller1(who), string(got.Request), "done")
		return err
	}
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.soon(8*time.Second, "return", func() {
		for _, who := range []string{"paul", "root"} {
			if err := end(who); err == nil {
				w.fail("I-02", "%s gives back what is not theirs", who)
			}
		}
		w.expect("promise", g, access.Active)
		w.insist(end("mira"))
	})
	w.in(10*time.Second, "look", "", func() {
		if w.expect("L-01", g, access.Ended); w.usable() > 0 {
			w.fail("I-02", "what was given back can be used")
		}
	})
}
