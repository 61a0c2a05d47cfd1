package sim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
)

// guards are stories in which one look, or one word on record, of the way in matters:
// something changes just between two of its steps. What nobody would miss in them is
// found by `make sim-deletions`.
var guards = []protection{
	{"quarantine begins while something is to be made", 90 * time.Second, true, quarantinedWhileMade},
	{"the clock is in doubt while something is to be made", 40 * time.Second, true, doubtBeforeMade},
	{"the clock is in doubt while one joins", 30 * time.Second, true, doubtWhileJoined},
	{"revoked while the state before is read", 40 * time.Second, true, func(w *world) { w.revokedWhileLooked(1400 * time.Millisecond) }},
	{"revoked and taken over while the state before is read", 40 * time.Second, true, func(w *world) { w.revokedWhileLooked(2500 * time.Millisecond) }},
	{"revoked while it is made", 40 * time.Second, true, revokedWhileMade},
	{"revoked just after it was made", 40 * time.Second, true, revokedJustMade},
	{"revoked after it was refused", 40 * time.Second, true, func(w *world) { w.refusedThenRevoked(false) }},
	{"revoked, taken over, and refused then", 40 * time.Second, true, func(w *world) { w.refusedThenRevoked(true) }},
	{"a right that was there before", 60 * time.Second, true, hadBefore},
	{"replaced just after it was made", 40 * time.Second, true, swapped},
	{"extended, and the password stays", 60 * time.Second, true, passwordStays},
	{"one of two leaves a shared account", 80 * time.Second, true, leavesShared},
	{"one of two rights cannot be made", 40 * time.Second, true, halfMade},
	{"a device that nothing can be sealed to", 60 * time.Second, true, unsealable},
	{"taken for dead just when it is to begin", 40 * time.Second, true, fencedAtOnce},
	{"the record of the state before is lost while it is made", 60 * time.Second, true, observedLost},
	{"a store that comes and goes", 60 * time.Second, true, flapping},
	{"two devices that nothing can be sealed to share an account", 60 * time.Second, true, unsealableTwo},
	{"what is left of one end delays another", 60 * time.Second, true, slowRemoval},
	{"nobody can sign in to the target when access ends", 55 * time.Second, true, loginLost},
	{"a target that no login was ever registered for", 30 * time.Second, true, neverRegistered},
	{"more removals hang at a target than it has room for", 75 * time.Second, true, noRoom},
	{"an account that somebody replaced", 40 * time.Second, true, replaced},
	{"replaced while it cannot be removed", 70 * time.Second, true, replacedLater},
	{"revoked again while it cannot be removed", 60 * time.Second, true, revokedTwice},
	{"given back", 40 * time.Second, true, givenBack},
	{"whose credential it is", 40 * time.Second, true, whoseCredential},
	{"restored, and a target cannot be compared", 70 * time.Second, true, restoredUnseen},
	{"restored, and something is left", 155 * time.Second, true, restoredLeft},
	{"restored, and something was asked", 60 * time.Second, true, restoredAsked},
	{"a quarantine that cannot be read", 60 * time.Second, true, unreadable},
	{"asked before the first look at the quarantine", 30 * time.Second, true, askedAtOnce},
	{"a shared account while the store is away", 90 * time.Second, true, sharedAway},
	{"revoked with the store and without it", 90 * time.Second, true, revokedOnBothSides},
	{"extended elsewhere and taken away without the store", 80 * time.Second, true, takenEarly},
	{"joined elsewhere and taken away without the store", 100 * time.Second, true, takenFromOne},
	{"what can never be made", 40 * time.Second, true, neverMade},
	{"who may say what of the data", 60 * time.Second, true, mayNotAccept},
	{"who may sweep", 30 * time.Second, true, maySweep},
	{"data that looks old is not swept", 150 * time.Second, true, oldNotSwept},
}

func init() { protections = append(protections, guards...) }

var refusal = &connector.Error{Outcome: connector.NotDone, Message: "not now", Cause: errors.New("sim: not now")}

func refuseAll(call string, _ connector.Order) error {
	if call == "provision" {
		return refusal
	}
	return nil
}

// row is the newest entitlement.
func (w *world) row() access.Entitlement {
	es := w.store.Entitlements(false)
	if len(es) == 0 {
		return access.Entitlement{}
	}
	return slices.MaxFunc(es, func(a, b access.Entitlement) int { return a.CreatedAt.Compare(b.CreatedAt) })
}

func (w *world) revokes(b *broker.Broker, g access.GrantID) {
	_, err := b.Revoke(context.Background(), caller1("root"), broker.Selector{Grant: string(g)}, "an exercise")
	w.insist(err)
}

func (w *world) is(g access.GrantID, s access.GrantState) bool {
	got, _ := w.store.Grant(g)
	return got.State == s
}

// expect fails the run unless a grant is in one of the states.
func (w *world) expect(invariant string, g access.GrantID, states ...access.GrantState) {
	if got, _ := w.store.Grant(g); !slices.Contains(states, got.State) {
		w.fail(invariant, "the grant is %s, and should be %v", got.State, states)
	}
}

// quarantinedWhileMade: what a target refused is not made when the data turns out to be
// old meanwhile; afterwards it is.
func quarantinedWhileMade(w *world) {
	at := &wire{meets: refuseAll}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.soon(6*time.Second, "witness", func() {
		w.insist(b.Witnessed(context.Background(), 10, 20, "root", "w1", true))
		at.meet(nil)
	})
	w.in(40*time.Second, "look", "", func() {
		if _, sent := at.count(); sent > 0 || w.usable() > 0 {
			w.fail("quarantine", "something is made although the data looks old")
		}
		if why := w.said(broker.QuarantineBegan, "why"); why == "" || !strings.Contains(string(w.quarantine()), string(broker.LooksOld)) {
			w.fail("I-15", "a quarantine has begun, and the log says why: %q, and the store: %s", why, w.quarantine())
		}
	})
	w.soon(60*time.Second, "witness", func() { // who says it again says nothing new
		if !w.logged(broker.QuarantineAccepted) || !w.logged(broker.QuarantineLifted) {
			w.fail("I-15", "two administrators ended a quarantine, and the log does not say so")
		}
		w.insist(b.Witnessed(context.Background(), 10, 20, "root", "w1", true))
		if len(w.quarantine()) > 0 {
			w.fail("quarantine", "what was accepted is in doubt again")
		}
	})
	w.soon(41*time.Second, "accept", func() { w.insist(w.acceptBothWays(&replica{Broker: b})) })
	w.in(85*time.Second, "look", "", func() { w.expect("quarantine", g, access.Active) })
}

// doubtBeforeMade: what a target refused is not even tried while nobody knows what time
// it is, and goes on as soon as it is known.
func doubtBeforeMade(w *world) {
	at := &wire{meets: refuseAll}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	tries := 0
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.in(5050*time.Millisecond, "doubt", "", func() {
		tries, _ = at.count()
		w.store.Unsure(unavailable("the clock is in doubt"))
		at.meet(nil)
	})
	w.in(8200*time.Millisecond, "look", "", func() {
		if n, _ := at.count(); n > tries {
			w.fail("clock", "something is made although nobody knows what time it is")
		}
		if w.row().LastError == "not now" {
			w.fail("clock", "nobody is told that it waits for the clock")
		}
		w.store.Unsure(nil)
	})
	w.in(12500*time.Millisecond, "look", "", func() { w.expect("clock", g, access.Active) })
}

// doubtWhileJoined: one who shares an account does not begin to while nobody knows what
// time it is, although the account goes on.
func doubtWhileJoined(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { w.submit(b, "noor", "shared", 10*time.Minute) })
	w.in(9*time.Second, "hang", "", func() { at.hang() })
	w.soon(10*time.Second, "ask", func() { g = w.submit(b, "mira", "shared", 10*time.Minute) })
	w.in(11*time.Second, "doubt", "", func() {
		w.store.Unsure(unavailable("the clock is in doubt"))
		at.goOn()
	})
	w.in(25*time.Second, "look", "", func() {
		if w.is(g, access.Active) {
			w.fail("clock", "one joins although nobody knows what time it is")
		}
		if w.usable() != 1 {
			w.fail("promise", "who was there before has lost it")
		}
		w.store.Unsure(nil)
	})
}

// revokedWhileLooked: the target is slow to say how it is, and meanwhile nobody wants it
// any more. Nothing is made then; nor if others have taken the work over.
func (w *world) revokedWhileLooked(until time.Duration) {
	at, open := &wire{}, make(chan struct{})
	at.meet(func(call string, _ connector.Order) error {
		if call == "observe" {
			<-open
		}
		return nil
	})
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "paul", "owner", 10*time.Minute) })
	w.soon(6*time.Second, "revoke", func() { w.revokes(b, g) })
	w.in(5*time.Second+until, "go on", "", func() { close(open) })
	w.in(5*time.Second+until+2*time.Second, "look", "", func() {
		if tried, _ := at.count(); tried > 0 {
			w.fail("I-02", "what was revoked is made all the same")
		}
		if until < 2*time.Second {
			w.expect("L-01", g, access.Ended)
		}
	})
	w.in(20*time.Second, "look", "", func() { w.expect("L-01", g, access.Ended) })
}

// revokedWhileMade: the call comes back after the revocation and before anybody has taken
// the removal up. Nothing of it can land any more, and it is removed at once, pinned by
// what the target called it.
func revokedWhileMade(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.in(4*time.Second, "hang", "", func() { at.hang() })
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.soon(6*time.Second, "revoke", func() { w.revokes(b, g) })
	w.in(6500*time.Millisecond, "go on", "", func() { at.goOn() })
	w.in(8*time.Second, "look", "", func() {
		w.expect("L-01", g, access.Ended)
		if w.row().Creation == "" || w.row().Account == "" {
			w.fail("I-23", "what is removed is known by its name alone, and the target had said which it is")
		}
	})
}

// revokedJustMade: a revocation just after the beginning waits for nobody.
func revokedJustMade(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.soon(6*time.Second, "revoke", func() {
		w.expect("story", g, access.Active)
		w.revokes(b, g)
	})
	w.in(6500*time.Millisecond, "look", "", func() {
		if w.usable() > 0 {
			w.fail("I-02", "half a second after a revocation the access can be used")
		}
		w.expect("L-01", g, access.Ended)
	})
}

// refusedThenRevoked: a call that the target refused cannot land, and holds no end up.
// If it is refused only after others have taken the work over, its word counts no more.
func (w *world) refusedThenRevoked(lost bool) {
	at := &wire{meets: refuseAll}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	if lost {
		w.in(4*time.Second, "hang", "", func() { at.hang() })
	}
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.soon(5500*time.Millisecond, "revoke", func() { w.revokes(b, g) })
	if lost {
		w.in(7*time.Second, "go on", "", func() { at.goOn() })
		w.in(20*time.Second, "look", "", func() { w.expect("L-01", g, access.Ended, access.Failed) })
		return
	}
	w.in(7*time.Second, "look", "", func() { w.expect("L-01", g, access.Ended, access.Failed) })
}

// hadBefore: nothing is made, marked or taken away where somebody had it before.
func hadBefore(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "noor", "owner", 20*time.Second) })
	w.in(10*time.Second, "look", "", func() { w.expect("promise", g, access.Active) })
	w.in(40*time.Second, "look", "", func() {
		p, _ := w.targets.Account(w.places[0].Place(), "noor")
		if tried, _ := at.count(); tried > 0 || len(p.Marks) > 0 || !slices.Contains(p.Groups, "app_owner") {
			w.fail("I-23", "noor had app_owner before, and after %d calls she has %v with the marks %v", tried, p.Groups, p.Marks)
		}
		w.expect("L-01", g, access.Ended)
	})
}

// swapped: somebody puts another account in the place of one that was just made, before
// it is read back. It is not taken for the one that was made.
func swapped(w *world) {
	at := &wire{}
	place, swaps := w.places[0].Place(), 0
	at.after = func(_ connector.Order, made connector.Receipt) {
		if swaps++; swaps == 1 {
			_, err := w.targets.Replace(place, made.Account, "theirs")
			w.insist(err)
			w.insist(w.targets.Join(place, made.Account, "app_read"))
		}
	}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.in(5040*time.Millisecond, "look", "", func() {
		if swaps != 1 {
			w.fail("story", "it was made %d times", swaps)
		}
		if w.is(g, access.Active) {
			w.fail("promise", "an account that somebody else made is taken for ours")
		}
	})
}

// passwordStays: who is given more time keeps the password that they have.
func passwordStays(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", time.Minute) })
	var l struct{ Username, Password string }
	w.soon(10*time.Second, "extend", func() {
		l = at.login()
		_, err := b.Extend(context.Background(), caller1("mira"), string(g), broker.Ask{Duration: 20 * time.Minute, Reason: "r", Key: "k", Body: access.Digest{7}})
		w.insist(err)
	})
	w.in(15*time.Second, "sign in", "", func() {
		if _, err := w.targets.SignIn(w.places[0].Place(), l.Username, l.Password); err != nil {
			w.fail("promise", "an extension has changed the password: %v", err)
		}
		if p, _ := w.targets.Account(w.places[0].Place(), l.Username); p.Ends.Before(w.now().Add(20 * time.Minute)) {
			w.fail("promise", "the target ends at %s what was extended", w.at(p.Ends))
		}
	})
}

// leavesShared: who leaves a shared account is told that it is over as soon as their
// password does not work any more, and not when the last one leaves.
func leavesShared(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g, h access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "shared", 20*time.Second) })
	w.soon(6*time.Second, "ask", func() { h = w.submit(b, "noor", "shared", 5*time.Minute) })
	var old struct{ Username, Password string }
	w.in(20*time.Second, "look", "", func() { old = at.login() })
	w.in(30*time.Second, "look", "", func() {
		w.expect("L-01", g, access.Ended)
		w.expect("promise", h, access.Active)
		if _, err := w.targets.SignIn(w.places[0].Place(), old.Username, old.Password); err == nil {
			w.fail("I-22", "who has left has a password that works")
		}
		if _, err := w.targets.SignIn(w.places[0].Place(), at.login().Username, at.login().Password); err != nil {
			w.fail("promise", "who stays has none that works: %v", err)
		}
	})
	w.soon(31*time.Second, "fetch", func() {
		c, err := b.Credential(context.Background(), caller1("noor"), string(h))
		if w.insist(err); err == nil && (len(c.Sealed) != 1 || !slices.Contains([]string{at.login().Password}, passwordOf(c.Sealed[0].Blob))) {
			w.fail("promise", "who stays is not given the new password")
		}
		if _, err := b.Credential(context.Background(), caller1("mira"), string(g)); err == nil {
			w.fail("I-16", "who has left is shown a credential")
		}
	})
}

// halfMade: a grant of two rights does not begin with one.
func halfMade(w *world) {
	at := &wire{}
	at.meet(func(call string, o connector.Order) error {
		if call == "provision" && slices.Contains(o.Rights, "app_write") {
			return refusal
		}
		return nil
	})
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "both", 10*time.Minute) })
	w.in(8*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("story", "%d rights are there, and one should", w.usable())
		}
		w.expect("promise", g, access.Provisioning)
		at.meet(nil)
	})
	w.in(30*time.Second, "look", "", func() { w.expect("promise", g, access.Active) })
}

// unsealable: what nobody can be shown is taken away again at once, and who shares an
// account with such a device keeps it.
func unsealable(w *world) {
	var bad atomic.Bool
	at := &wire{seal: func(public []byte, info string, plain []byte) ([]byte, error) {
		if bad.Load() && len(public) == 0 {
			return nil, errors.New("sim: that is no key")
		}
		return sealInClear(public, info, plain)
	}}
	b := w.process("a", w.store, nil, at)
	ask := func(role access.RoleName) (g access.GrantID) {
		c := caller1("mira")
		c.SealKey = nil // good enough when she asks
		v, err := b.Submit(context.Background(), c, broker.Ask{Resource: "db0", Role: role, Duration: time.Minute, Reason: string(role), Key: string(role), Body: access.Digest{1}})
		if w.insist(err); err == nil {
			g = v.Grant.ID
		}
		return g
	}
	goOn := func() { bad.Store(true); at.goOn() }
	var alone, first, second access.GrantID
	w.in(4*time.Second, "hang", "", func() { at.hang() })
	w.soon(5*time.Second, "ask", func() { alone = ask("reader") })
	w.in(6*time.Second, "go on", "", goOn)
	w.in(8*time.Second, "look", "", func() {
		if w.expect("L-01", alone, access.Ending, access.Failed); w.usable() > 0 {
			w.fail("I-01", "what nobody can be shown can be used")
		}
		bad.Store(false)
	})
	w.soon(25*time.Second, "ask", func() { first = w.submit(b, "noor", "shared", 10*time.Minute) })
	w.in(29*time.Second, "hang", "", func() { at.hang() })
	w.soon(30*time.Second, "ask", func() { second = ask("shared") })
	w.in(31*time.Second, "go on", "", goOn)
	w.in(50*time.Second, "look", "", func() {
		w.expect("L-01", alone, access.Failed)
		w.expect("L-01", second, access.Failed)
		w.expect("promise", first, access.Active)
		if w.usable() != 1 {
			w.fail("promise", "who shares an account with a bad device has lost it")
		}
	})
}

// unsealableTwo: where all who share an account leave at once, it is taken away.
func unsealableTwo(w *world) {
	var bad atomic.Bool
	at := &wire{seal: func(public []byte, info string, plain []byte) ([]byte, error) {
		if bad.Load() {
			return nil, errors.New("sim: that is no key")
		}
		return sealInClear(public, info, plain)
	}}
	b := w.process("a", w.store, nil, at)
	w.in(4*time.Second, "hang", "", func() { at.hang() })
	w.soon(5*time.Second, "ask", func() { w.submit(b, "noor", "shared", 10*time.Minute) })
	w.in(11*time.Second, "go on", "", func() { at.goOn() })
	w.soon(20*time.Second, "ask", func() { at.hang(); w.submit(b, "mira", "shared", 10*time.Minute) })
	w.in(21*time.Second, "go on", "", func() { bad.Store(true); at.goOn() })
	w.in(40*time.Second, "look", "", func() {
		if n := len(w.store.Grants(true)); n > 0 || w.usable() > 0 {
			w.fail("I-02", "%d grants are live and %d privileges can be used, and nobody has a password", n, w.usable())
		}
	})
}

// addsUp looks at the end of a story that no oracle follows: every row is in the log with
// all its versions, also what is gone, nothing is in the log that is of nothing, and what
// has ended keeps no credential.
func (w *world) addsUp() {
	versions := map[string]int64{}
	for _, ev := range w.store.Log() {
		was := versions[ev.Entity]
		if kind, _, is := strings.Cut(ev.Entity, ":"); is && slices.Contains([]string{"user", "service", "agent"}, kind) && was == 0 {
			was = 1 // they were there before
		}
		if ev.Entity == "" || ev.Type == "" || ev.Version != was+1 {
			w.fail("I-15", "%q of %q is version %d, after %d", ev.Type, ev.Entity, ev.Version, was)
		}
		versions[ev.Entity] = ev.Version
	}
	for _, e := range w.store.Entitlements(false) {
		if versions[string(e.ID)] != e.Version {
			w.fail("I-15", "%s is version %d and %s, and the log says %d", e.ID, e.Version, e.State, versions[string(e.ID)])
		}
	}
	for _, r := range w.store.Requests() {
		if versions[string(r.ID)] != r.Version {
			w.fail("I-15", "%s is version %d and %s, and the log says %d", r.ID, r.Version, r.State, versions[string(r.ID)])
		}
	}
	for _, g := range w.store.Grants(false) {
		if versions[string(g.ID)] != g.Version {
			w.fail("I-15", "%s is version %d and %s, and the log says %d", g.ID, g.Version, g.State, versions[string(g.ID)])
		}
		if g.Live() {
			continue
		}
		w.insist(w.store.View(context.Background(), func(tx broker.Tx) error {
			kept, err := tx.Sealed(g.ID)
			if len(kept) > 0 {
				w.fail("I-19", "%s is %s, and its credential is kept", g.ID, g.State)
			}
			return err
		}))
	}
	if broken := w.store.Broken(); len(broken) > 0 {
		w.fail("rule", "the store had to refuse a change that breaks a rule: %s", broken[0])
	}
}

// afterwards is a store that does something once, after a change and before the one who
// made it hears of it.
type afterwards struct {
	broker.Store
	armed atomic.Bool
	do    func()
}

func (s *afterwards) Update(ctx context.Context, fn func(broker.Tx) error) error {
	err := s.Store.Update(ctx, fn)
	if s.armed.Swap(false) {
		s.do()
	}
	return err
}

// fencedAtOnce: a replica is taken for dead between the word that something is to be made
// and the call. It makes nothing in its old life, and notes that, so that its new life or
// another replica need not wait for the lease.
func fencedAtOnce(w *world) {
	s, at := &afterwards{Store: w.store}, &wire{}
	b := w.process("a", s, nil, at)
	s.do = func() { b.Fence() }
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() {
		s.armed.Store(true)
		g = w.submit(b, "mira", "reader", 10*time.Minute)
	})
	w.in(6*time.Second, "look", "", func() { w.expect("L-03", g, access.Active) })
}

// observedLost: a failover takes back what is on record about the state before, while
// the call that changes it is out. It is on record again before anybody has the access,
// and so the end of it is none that believes that nothing was ever done.
func observedLost(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.in(4*time.Second, "hang", "", func() { at.hang() })
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "admin", 10*time.Minute) })
	w.in(5500*time.Millisecond, "failover", "", func() {
		if !w.row().Observed {
			w.fail("story", "nothing was read before")
		}
		for w.row().Observed {
			w.store.Lose(1)
		}
		if w.row().ID == "" {
			w.fail("story", "everything is lost")
		}
		at.goOn()
	})
	w.in(9*time.Second, "look", "", func() {
		w.expect("story", g, access.Active)
		if e := w.row(); !e.Observed || e.Before == "" {
			w.fail("I-04", "it is made, and how it was before is not on record")
		}
	})
	w.soon(10*time.Second, "revoke", func() { w.revokes(b, g) })
	w.in(30*time.Second, "look", "", func() {
		w.expect("L-01", g, access.Ended)
		if w.usable() > 0 {
			w.fail("I-02", "what was enabled stays")
		}
		if harm := w.targets.Harm(); len(harm) > 0 {
			w.fail("I-23", "%v", harm)
		}
		seen := 0
		for _, ev := range w.store.Log() {
			if ev.Type == access.EntitlementObserved {
				seen++
			}
		}
		if seen != 1 {
			w.fail("I-15", "%d records say how it was before", seen)
		}
	})
}

// flapping: the store takes one change and refuses the next, as a disk does that is full.
// While that is so nothing is granted, whatever the store says just then.
func flapping(w *world) {
	s := &mortal{Store: w.store}
	b := w.process("a", s, nil, &wire{})
	w.soon(3*time.Second, "ask", func() { w.submit(b, "mira", "reader", 17*time.Second) })
	w.in(15*time.Second, "away", "", func() { s.leave(true) }) // its end comes meanwhile
	w.in(25*time.Second, "back", "", func() {
		if w.usable() != 0 {
			w.fail("I-01", "it should have ended without the store")
		}
		if b.Outage().Since.IsZero() {
			w.fail("story", "nobody has noticed")
		}
		s.leave(false)
	})
	w.soon(25010*time.Millisecond, "ask", func() {
		if _, err := w.attempt(b, "paul", "reader", 10*time.Minute); err == nil {
			w.fail("nothing new", "something is granted while the store comes and goes")
		}
	})
	w.soon(45*time.Second, "ask", func() { w.submit(b, "paul", "reader", 10*time.Minute) })
}
