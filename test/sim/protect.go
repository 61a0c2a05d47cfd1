package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/policy"
	"stint/test/sim/simstore"
)

// protection is a story about one mitigation, in a situation that the days of the
// seeds do not meet: a clock in doubt, a restored backup, a copy of the installation,
// a replica that was taken for dead.
type protection struct {
	name  string
	until time.Duration // the story is over then
	// bare stories start no replica, and are judged by what they look at themselves:
	// the rules for what people were told do not know of copies and restored data.
	bare bool
	play func(w *world)
}

var protections = []protection{
	{"clock in doubt", 90 * time.Second, false, func(w *world) {
		w.nothingNew([]access.EventType{access.GrantActive, access.CredentialShown},
			func() { w.skew = time.Hour }, func() { w.skew = 0 })
	}},
	{"held", 90 * time.Second, false, func(w *world) {
		w.nothingNew([]access.EventType{access.CredentialShown},
			func() {
				w.everywhere(func(r *replica) { r.SetHold("log", broker.Hold{Why: "the log is full", Next: "make room"}) })
			},
			func() { w.everywhere(func(r *replica) { r.SetHold("log", broker.Hold{}) }) })
	}},
	{"log in doubt", 90 * time.Second, false, func(w *world) {
		w.nothingNew([]access.EventType{access.CredentialShown}, func() {
			w.everywhere(func(r *replica) {
				r.SetHold("log-damaged", broker.Hold{Why: "the log does not add up"})
				r.SetHold("log", broker.Hold{}) // what is over elsewhere ends no other doubt
			})
		}, nil)
	}},
	{"stopped", 90 * time.Second, false, func(w *world) {
		set := func(stopped bool) func() {
			return func() {
				w.people.Go(func() {
					w.one(func(r *replica) error {
						return r.SetStop(context.Background(), caller1("root"), stopped, "an exercise")
					})
				})
			}
		}
		w.nothingNew(nil, set(true), set(false))
	}},
	{"data that looks old", 90 * time.Second, false, func(w *world) {
		w.nothingNew([]access.EventType{access.CredentialShown}, func() {
			w.people.Go(func() {
				w.one(func(r *replica) error { return r.Witnessed(context.Background(), 10, 20, "root", "w1", true) })
				for _, r := range w.alive() { // they look each second; nobody is to see the time between
					_, _, err := r.QuarantineState(context.Background())
					w.insist(err)
				}
			})
		}, func() {
			w.people.Go(func() { w.one(w.acceptBothWays) })
		})
	}},
	{"held by another while the store is away", 150 * time.Second, false, shareWithoutStore},
	{"a foreign claim", 150 * time.Second, true, foreignClaim},
	{"a few leftovers", 150 * time.Second, true, func(w *world) { w.leftovers(5) }},
	{"more leftovers than a sweep may remove", 400 * time.Second, true, func(w *world) { w.leftovers(broker.SweepBudget + 5) }},
	{"a clock in doubt while a call is out", 60 * time.Second, true, doubtWhileMade},
	{"restored", 200 * time.Second, true, restored},
	{"a copy on the same target", 500 * time.Second, true, meetCopy},
	{"a replica that was taken for dead", 60 * time.Second, true, fenced},
	{"a target that says removed and is not", 90 * time.Second, true, func(w *world) { w.liar("revoke", "terminate", "remove") }},
	{"a target that says sessions ended and they have not", 90 * time.Second, true, func(w *world) { w.liar("terminate") }},
	{"shared, exclusive, and there before", 100 * time.Second, true, sharing},
	{"who decides", 60 * time.Second, true, deciding},
	{"policy and people change", 90 * time.Second, true, changing},
	{"asked twice", 60 * time.Second, true, askedTwice},
	{"a target that says made and is not", 60 * time.Second, true, notMade},
	{"one of two rights cannot be removed", 60 * time.Second, true, twoRights},
	{"a call that was lost before one that succeeded", 60 * time.Second, true, lostCall},
	{"a takeover from one that lives", 60 * time.Second, true, func(w *world) { w.takeover(false, false) }},
	{"a takeover from one that died", 60 * time.Second, true, func(w *world) { w.takeover(true, false) }},
	{"a takeover of what is revoked", 60 * time.Second, true, func(w *world) { w.takeover(true, true) }},
	{"a restart while a call is out", 60 * time.Second, true, restarted},
	{"revoked without the store", 120 * time.Second, true, revokedAway},
	{"a failover takes the state before back", 250 * time.Second, true, unrecorded},
	{"a target that says extended and is not", 200 * time.Second, true, notExtended},
	{"a shared credential is made useless by half", 90 * time.Second, true, halfSpoilt},
	{"a membership is taken from who shares it since", 90 * time.Second, true, takenFromAnother},
	{"a failover takes documents back", 20 * time.Second, true, anotherEdition},
	{"a failover takes records back, and somebody asks", 150 * time.Second, true, nextInLine},
	{"a failover takes an end back, and somebody asks", 20 * time.Second, true, takenBack},
}

// protect plays one such story.
func protect(p protection) Result {
	w := newWorld(11)
	w.swarm = swarm{replicas: 2, places: 1}
	w.script = map[int64]fault{}
	if err := w.build(); err != nil {
		w.fail("build", "%v", err)
		return w.result()
	}
	if p.bare {
		w.sched.after = nil
	} else {
		for id := range w.replicas {
			w.in(time.Duration(1+id*700)*time.Millisecond, "start", fmt.Sprint("r", id), func() { w.start(id) })
		}
	}
	p.play(w)
	w.run(w.began.Add(p.until))
	if p.bare {
		w.addsUp()
		w.close()
	} else {
		w.converge()
	}
	return w.result()
}

func (w *world) everywhere(do func(*replica)) {
	for _, r := range w.alive() {
		do(r)
	}
}

// insist fails the run where a person cannot do what the story needs.
func (w *world) insist(err error) {
	if err != nil && !w.closed {
		w.fail("story", "%v", err)
	}
}

// one lets a person do something at one of the replicas.
func (w *world) one(do func(*replica) error) {
	if rs := w.alive(); len(rs) > 0 { // none when the run is over
		w.insist(do(rs[0]))
	}
}

// acceptBothWays ends a quarantine as it may not be ended, and as it may.
func (w *world) acceptBothWays(r *replica) error {
	ctx := context.Background()
	over, err := r.AcceptQuarantine(ctx, caller1("root"), "it is the right one", true)
	if over {
		w.fail("quarantine", "it ended by the word of one administrator of two")
	}
	if err != nil {
		return err
	}
	if _, err = r.AcceptQuarantine(ctx, caller1("root"), "I say so again", true); err == nil && len(w.quarantine()) == 0 {
		w.fail("quarantine", "it ended by one administrator who said so twice")
	}
	_, err = r.AcceptQuarantine(ctx, caller1("rita"), "it is the right one", true)
	return err
}

func (w *world) quarantine() (v []byte) {
	_ = w.store.View(context.Background(), func(tx broker.Tx) (err error) { v, err = tx.Setting(broker.QuarantineSetting); return err })
	return v
}

// soon lets a person do something so long after the beginning.
func (w *world) soon(d time.Duration, what string, do func()) {
	w.in(d, what, "", func() { w.people.Go(do) })
}

// nothingNew plays a time in which nothing new may be granted, from 20 s to 70 s, and
// everything must end: people ask, approve, extend, fetch a credential and have
// grants that begin or are set up just then. never are what must not be in the log of
// that time, beside what makes and lengthens grants. end is nil where it lasts.
func (w *world) nothingNew(never []access.EventType, begin, end func()) {
	never = append(never, access.GrantCreated, access.GrantStarted, access.GrantExtended)
	ending := &ask{who: "mira", role: "reader", d: 40 * time.Second}
	revoked := &ask{who: "noor", role: "reader", d: 10 * time.Minute}
	w.scripted(0, ending)
	w.scripted(0, &ask{who: "pia", role: "owner", d: 20 * time.Second, ahead: 25 * time.Second})
	w.scripted(time.Second, revoked)
	w.in(18500*time.Millisecond, "ask", "", func() { w.ask(&ask{who: "paul", role: "reader", d: 3 * time.Minute, extends: true, scripted: true}) })
	w.in(19*time.Second, "ask", "", func() { w.ask(&ask{who: "gus", role: "reader", d: time.Minute, scripted: true}) }) // omar approves in two seconds
	w.in(19990*time.Millisecond, "ask", "", func() { w.ask(&ask{who: "mira", role: "owner", d: time.Minute, scripted: true}) })
	from := 0
	w.in(20*time.Second, "no", "", func() {
		w.disturb("", w.now())
		w.expects(access.ByPolicy, func(*ask) bool { return true })
		begin()
	})
	w.in(20020*time.Millisecond, "no", "", func() { from = len(w.store.Log()) })
	w.in(25*time.Second, "ask", "", func() { w.ask(&ask{who: "noor", role: "owner", d: time.Minute, scripted: true}) })
	w.in(60*time.Second, "revoke", "", func() {
		w.people.Go(func() { w.revoke(1, broker.Selector{User: "noor"}, func(a *ask) bool { return a.who == "noor" }) })
	})
	w.in(55*time.Second, "look", "", func() { w.mustBeOver(ending) })
	w.in(68*time.Second, "look", "", func() { w.mustBeOver(revoked) })
	w.in(70*time.Second, "yes", "", func() {
		for _, ev := range w.store.Log()[from:] {
			if slices.Contains(never, ev.Type) {
				w.fail("nothing new", "%s of %s is in the log of a time in which nothing new is granted", ev.Type, ev.Entity)
			}
		}
		if end != nil {
			w.disturb("", w.now())
			end()
		}
	})
	if end == nil {
		return
	}
	after := &ask{who: "paul", role: "owner", d: time.Minute, scripted: true}
	w.in(80*time.Second, "ask", "", func() { w.ask(after) })
	w.in(88*time.Second, "look", "", func() {
		if g, ok := w.store.Grant(after.grant); !ok || g.State != access.Active {
			w.fail("nothing new", "grants do not go on afterwards: %s", g.State)
		}
	})
}

func (w *world) mustBeOver(a *ask) {
	if g, ok := w.store.Grant(a.grant); !ok || g.State != access.Ended {
		w.fail("L-01", "%s of %s is %q, and it should have ended", a.name(), a.who, g.State)
	}
}

// shareWithoutStore: what one grant leaves while the store is away, another one still
// holds.
func shareWithoutStore(w *world) {
	for after, a := range map[time.Duration]*ask{
		0: {who: "paul", role: "owner", d: 30 * time.Second}, 2 * time.Second: {who: "paul", role: "owner", d: 100 * time.Second},
		time.Second: {who: "mira", role: "reader", d: 30 * time.Second},
	} {
		w.scripted(after, a)
	}
	w.in(20*time.Second, "store away", "", func() {
		w.storeBack = w.now().Add(50 * time.Second)
		w.disturb("", w.storeBack)
	})
	w.in(60*time.Second, "look", "", func() {
		if p, ok := w.targets.Account(w.places[0].Place(), "paul"); !ok || !slices.Contains(p.Groups, "app_owner") {
			w.fail("promise", "paul still holds app_owner by a second grant, and it was taken from him without the store")
		}
		if n := w.usable(); n != 1 {
			w.fail("I-01", "%d privileges can be used, and one should have ended without the store", n)
		}
	})
}

// usable counts the privileges that work.
func (w *world) usable() (n int) {
	for _, p := range w.targets.Privileges() {
		if p.Usable {
			n++
		}
	}
	return n
}

// target is the place as a connector is told of it, by somebody with our keys.
func (w *world) target() connector.Target {
	return connector.Target{Connection: w.places[0], Username: "stint", Password: access.NewSecret([]byte("pw")), Claim: w.targets.Claimed(w.places[0].Place()),
		Genuine: func(connector.Claim) bool { return true }}
}

// foreignClaim: somebody else claims the target while a grant is live. Nothing new is
// made there; what is there ends.
func foreignClaim(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	w.soon(3*time.Second, "ask", func() { w.submit(b, "mira", "reader", 90*time.Second) })
	w.in(10*time.Second, "claim", "", func() {
		if w.usable() != 1 {
			w.fail("story", "nothing was made")
		}
		w.targets.Forge(w.places[0].Place(), connector.Claim{Installation: "another", Epoch: 9})
	})
	w.soon(80*time.Second, "ask", func() { w.submit(b, "paul", "reader", 10*time.Minute) }) // a minute later nobody believes what was known
	w.in(90*time.Second, "look", "", func() {
		if n := w.usable(); n != 1 {
			w.fail("claim", "%d privileges can be used at a target that somebody else claims, and one is left", n)
		}
	})
	w.in(105*time.Second, "look", "", func() {
		if n := w.usable(); n != 0 {
			w.fail("I-01", "%d privileges can be used after their end, at a target that somebody else claims", n)
		}
	})
}

// restored: what was live in a backup ends when it is put back, and nothing is granted
// until every target was compared and every witness asked.
func restored(w *world) {
	var stop func()
	var b *broker.Broker
	w.in(time.Second, "start", "", func() { b, stop = w.life("a", w.store, nil, &wire{}) })
	w.soon(3*time.Second, "ask", func() { w.submit(b, "mira", "reader", time.Hour) })
	w.in(20*time.Second, "restore", "", func() {
		if w.usable() != 1 {
			w.fail("story", "nothing was made")
		}
		stop()
		w.insist(w.store.Update(context.Background(), func(tx broker.Tx) error {
			return broker.BeginRestored(tx, 1, 2, broker.Quarantine{Why: "it was restored", Kept: 5}, "root")
		}))
	})
	w.in(30*time.Second, "start", "", func() { b, _ = w.life("b", w.store, nil, &wire{}) })
	w.in(50*time.Second, "look", "", func() {
		if live := w.store.Grants(true); len(live) > 0 || w.usable() > 0 {
			w.fail("restored", "%d grants of a restored backup live on, and %d privileges can be used", len(live), w.usable())
		}
	})
	refused := func() {
		before := len(w.store.Grants(false))
		if _, err := w.attempt(b, "paul", "reader", time.Minute); err == nil || len(w.store.Grants(false)) != before {
			w.fail("restored", "something was granted before all was compared")
		}
	}
	w.soon(60*time.Second, "ask", refused)
	w.soon(70*time.Second, "witness", func() {
		w.insist(b.Witnessed(context.Background(), 5, 9, "root", "w1", false)) // four records are lost
		w.insist(b.Witnessed(context.Background(), 5, 0, "", "w1", true))
	})
	w.soon(90*time.Second, "ask", refused)
	w.soon(100*time.Second, "accept", func() {
		for _, admin := range []string{"root", "rita"} {
			if over, err := b.AcceptQuarantine(context.Background(), caller1(admin), "the gap is known", false); over || err != nil {
				w.insist(err)
				break
			}
		}
	})
	w.soon(150*time.Second, "ask", func() { w.submit(b, "paul", "owner", 10*time.Minute) })
	w.in(160*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("restored", "nothing is granted although it was accepted")
		}
	})
}

// meetCopy: a staging copy, with our name, epoch and keys, is pointed at the target.
// It takes nothing of ours away and makes nothing there.
func meetCopy(w *world) {
	theirs := simstore.New(time.Now)
	w.insist(w.settle(theirs))
	at := &wire{beats: &beats{}}
	b, _ := w.life("a", w.store, nil, at)
	w.soon(5*time.Second, "ask", func() { w.submit(b, "mira", "reader", time.Hour) })
	var c *broker.Broker
	w.in(200*time.Second, "start", "", func() { c, _ = w.life("copy", theirs, nil, &wire{beats: at.beats}) })
	w.soon(290*time.Second, "ask", func() {
		_, err := w.attempt(c, "paul", "reader", time.Hour)
		_ = err // it is taken, perhaps, and not made
	})
	w.in(495*time.Second, "look", "", func() {
		switch n := w.usable(); {
		case n == 0:
			w.fail("I-23", "a copy of the installation removed what it did not know")
		case n > 1:
			w.fail("copy", "a copy of the installation makes something where the original works")
		}
	})
}

// fenced: who cannot be sure that the others know it alive sends nothing that creates,
// and calls that are out are cut off when it was taken for dead.
func fenced(w *world) {
	p, at := &peers{vouched: true}, &wire{}
	b := w.process("a", w.store, p, at)
	b.Join()
	w.soon(3*time.Second, "ask", func() { w.submit(b, "mira", "reader", time.Minute) })
	w.in(10*time.Second, "look", "", func() {
		if at.sent != 1 {
			w.fail("story", "%d calls made something, and one should", at.sent)
		}
		p.set(false)
	})
	w.soon(11*time.Second, "ask", func() { w.submit(b, "paul", "reader", time.Minute) })
	w.in(15*time.Second, "look", "", func() {
		if at.sent != 1 {
			w.fail("fence", "a replica that the others may have taken for dead makes something")
		}
	})
	w.in(16*time.Second, "back", "", func() { p.set(true) })
	w.in(30*time.Second, "hang", "", func() { at.hang() })
	w.soon(31*time.Second, "ask", func() { w.submit(b, "noor", "reader", time.Minute) })
	w.in(32*time.Second, "fence", "", func() {
		if at.waits() != 1 {
			w.fail("story", "%d calls wait for the target, and one should", at.waits())
		}
		b.Fence()
	})
	w.in(32100*time.Millisecond, "look", "", func() {
		if at.cutOff() != 1 { // it is made again at once, in another life
			w.fail("fence", "a call that creates goes on although its sender was taken for dead")
		}
		at.goOn()
	})
}

// liar: three times the target says that it has done what takes access away, and has
// not. Nobody is told that it is over before it is.
func (w *world) liar(lies ...string) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	var session int64
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 20*time.Second) })
	w.in(10*time.Second, "sign in", "", func() {
		var err error
		l := at.login()
		session, err = w.targets.SignIn(w.places[0].Place(), l.Username, l.Password)
		w.insist(err)
		at.lie(3, lies)
	})
	over := func() bool { got, _ := w.store.Grant(g); return got.State == access.Ended }
	for after := 10 * time.Second; after < 85*time.Second; after += 50 * time.Millisecond {
		w.in(after+time.Millisecond, "look", "", func() {
			if over() && (w.usable() > 0 || w.targets.Alive(session)) {
				w.fail("I-02", "it is said to be over, and %d privileges can be used, its session is alive: %t", w.usable(), w.targets.Alive(session))
			}
		})
	}
	w.in(85*time.Second, "look", "", func() {
		if !over() {
			w.fail("L-01", "it is not over")
		}
	})
}

// sharing: who leaves takes nothing from those who stay, what is lent to one person is
// lent to one, and what was there before stays.
func sharing(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	owner := func(who string) bool {
		p, ok := w.targets.Account(w.places[0].Place(), who)
		return ok && slices.Contains(p.Groups, "app_owner")
	}
	w.soon(3*time.Second, "ask", func() { w.submit(b, "paul", "owner", 20*time.Second) })
	w.soon(4*time.Second, "ask", func() { w.submit(b, "paul", "owner", time.Minute) })
	w.soon(4*time.Second, "ask", func() { w.submit(b, "noor", "owner", 20*time.Second) })
	w.soon(5*time.Second, "ask", func() { w.submit(b, "mira", "admin", time.Minute) })
	w.soon(8*time.Second, "ask", func() {
		if _, err := w.attempt(b, "pia", "admin", time.Minute); err == nil {
			w.fail("exclusive", "an account that one person has at a time is lent to two")
		}
	})
	w.in(40*time.Second, "look", "", func() {
		if !owner("paul") {
			w.fail("promise", "paul still holds app_owner by a second grant, and it was taken from him with the first")
		}
	})
	w.in(90*time.Second, "look", "", func() {
		if owner("paul") {
			w.fail("I-01", "paul has app_owner after the last of his grants")
		}
		if !owner("noor") {
			w.fail("I-23", "noor had app_owner before, and it was taken from her")
		}
	})
}

// deciding: only who may decide does, what they saw, and no longer than they said.
func deciding(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	w.soon(3*time.Second, "ask", func() {
		ctx := context.Background()
		v, err := b.Submit(ctx, caller1("gus"), broker.Ask{Resource: "db0", Role: "reader", Duration: time.Minute, Reason: "r", Key: "k", Body: access.Digest{1}})
		w.insist(err)
		id, seen := string(v.Request.ID), v.Request.Digest
		for _, who := range []string{"noor", "gus", "root"} {
			if _, err := b.Vote(ctx, caller1(who), id, access.Vote{Approve: true, Seen: seen}); err == nil {
				w.fail("I-10", "%s decides a request of gus", who)
			}
		}
		if _, err := b.Vote(ctx, caller1("omar"), id, access.Vote{Approve: true, Seen: access.Digest{9}}); err == nil {
			w.fail("I-12", "omar approves what he has not seen")
		}
		v, err = b.Vote(ctx, caller1("omar"), id, access.Vote{Approve: true, Seen: seen, Duration: 20 * time.Second})
		w.insist(err)
		if v.Grant == nil || v.Grant.Duration > 20*time.Second {
			w.fail("I-11", "20 s were approved, and it is %+v", v.Grant)
		}
	})
}

// changing: who is disabled loses what they have, and what policy denies from now on
// ends, and does not begin.
func changing(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	ctx := context.Background()
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.soon(3*time.Second, "ask", func() { w.submit(b, "paul", "owner", 10*time.Minute) })
	w.soon(8*time.Second, "fetch", func() {
		if c, err := b.Credential(ctx, caller1("mira"), string(g)); err != nil || len(c.Sealed) != 1 {
			w.fail("credential", "mira has access and gets no credential: %v", err)
		}
	})
	w.soon(4*time.Second, "ask", func() {
		_, err := b.Submit(ctx, caller1("pia"), broker.Ask{Resource: "db0", Role: "owner", Duration: time.Minute, Start: w.store.Now().Add(40 * time.Second), Reason: "r", Key: "k", Body: access.Digest{1}})
		w.insist(err)
	})
	w.soon(10*time.Second, "disable", func() { w.insist(b.Disable(ctx, caller1("root"), caller1("mira").Principal.ID, "gone")) })
	w.soon(12*time.Second, "ask", func() {
		if _, err := w.attempt(b, "mira", "owner", time.Minute); err == nil {
			w.fail("Q-07", "somebody who was disabled is granted something")
		}
	})
	w.in(16*time.Second, "look", "", func() {
		if n := w.usable(); n != 1 {
			w.fail("Q-07", "%d privileges can be used after one of two people was disabled", n)
		}
	})
	w.soon(20*time.Second, "edit", func() {
		text := "kind: Policy\nname: freeze\neffect: deny\nsubjects: [group:platform]\nroles: [owner]\n"
		_, err := b.Apply(ctx, caller1("root"), []policy.File{{Name: "freeze.yaml", Text: text}}, false)
		w.insist(err)
	})
	w.in(60*time.Second, "look", "", func() {
		for _, g := range w.store.Grants(true) {
			w.fail("T-33", "what policy denies now is still %s", g.State)
		}
	})
	for _, at := range []time.Duration{30, 60} { // before the one that was to begin, and after
		w.in(at*time.Second, "look", "", func() {
			if n := w.usable(); n != 0 {
				w.fail("T-33", "%d privileges can be used that policy denies now", n)
			}
		})
	}
}

// askedTwice: a call that is repeated with its key is one request.
func askedTwice(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	w.soon(3*time.Second, "ask", func() {
		for range 2 {
			_, err := b.Submit(context.Background(), caller1("mira"), broker.Ask{Resource: "db0", Role: "reader", Duration: time.Minute, Reason: "r", Key: "k", Body: access.Digest{1}})
			w.insist(err)
		}
		if n := len(w.store.Requests()); n != 1 {
			w.fail("I-28", "a call and its repetition made %d requests", n)
		}
	})
}

// notMade: the target says that it has made something, and has not. Nobody is told to
// have it.
func notMade(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	at.lie(1, []string{"provision"})
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	for after := 3 * time.Second; after < 50*time.Second; after += 50 * time.Millisecond {
		w.in(after+time.Millisecond, "look", "", func() {
			if got, _ := w.store.Grant(g); got.State == access.Active && w.usable() != 1 {
				w.fail("promise", "it is said to be active, and nothing was made")
			}
		})
	}
	w.in(55*time.Second, "look", "", func() {
		if got, _ := w.store.Grant(g); got.State != access.Active {
			w.fail("story", "it is %s, and should have been made at the second try", got.State)
		}
	})
}

// twoRights: a grant of two rights has not ended while one of them is left.
func twoRights(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "both", 10*time.Second) })
	w.in(10*time.Second, "stuck", "", func() {
		if w.usable() != 2 {
			w.fail("story", "%d rights are there, and should be two", w.usable())
		}
		at.stick("app_write")
	})
	w.in(25*time.Second, "look", "", func() {
		if got, _ := w.store.Grant(g); got.State != access.Ending || w.usable() != 1 {
			w.fail("I-02", "the grant is %s, and %d rights are left", got.State, w.usable())
		}
		at.stick("")
	})
	w.in(58*time.Second, "look", "", func() {
		if got, _ := w.store.Grant(g); got.State != access.Ended || w.usable() != 0 {
			w.fail("L-01", "the grant is %s, and %d rights are left", got.State, w.usable())
		}
	})
}

// lostCall: the first call gets no answer, and the second one succeeds. The first may
// land for a while all the same, and until then no absence is believed.
func lostCall(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.in(4*time.Second, "hang", "", func() { at.hang() })
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "owner", time.Minute) }) // which has no credential, and waits for none
	w.in(8*time.Second, "go on", "", func() { at.next() })
	var lost time.Time
	w.soon(10*time.Second, "revoke", func() {
		if got, _ := w.store.Grant(g); got.State != access.Active || at.cutOff() != 1 {
			w.fail("story", "the grant is %s after %d calls without an answer", got.State, at.cutOff())
		}
		lost = at.cutAt()
		_, err := b.Revoke(context.Background(), caller1("root"), broker.Selector{Grant: string(g)}, "an exercise")
		w.insist(err)
	})
	w.in(50*time.Second, "look", "", func() {
		switch got, _ := w.store.Grant(g); {
		case got.State != access.Ended:
			w.fail("L-01", "the grant is still %s", got.State)
		case got.EndedAt.Before(lost.Add(connector.Late)):
			w.fail("quarantine", "it is said to be gone %s after a call without an answer, which may land until %s", got.EndedAt.Sub(lost), connector.Late)
		}
	})
}

// doubtWhileMade: the clock goes wrong while the target is making something. Nobody is
// told to have it before the time is certain again.
func doubtWhileMade(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	w.in(4*time.Second, "hang", "", func() { at.hang() })
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.in(6*time.Second, "doubt", "", func() { w.store.Unsure(unavailable("the clock is in doubt")) })
	w.in(7*time.Second, "go on", "", func() { at.goOn() })
	w.in(12*time.Second, "look", "", func() {
		if got, _ := w.store.Grant(g); got.State == access.Active {
			w.fail("clock", "a grant begins although nobody knows what time it is")
		}
		w.store.Unsure(nil)
	})
	w.in(50*time.Second, "look", "", func() {
		if got, _ := w.store.Grant(g); got.State != access.Active {
			w.fail("clock", "the time is certain again, and the grant is %s", got.State)
		}
	})
}
