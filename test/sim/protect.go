package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
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
		w.nothingNew([]access.EventType{access.CredentialShown}, func() { w.everywhere(func(r *replica) { r.Doubt("the log does not add up") }) }, nil)
	}},
	{"stopped", 90 * time.Second, false, func(w *world) {
		set := func(stopped bool) func() {
			return func() {
				w.people.Go(func() { w.insist(w.alive()[0].SetStop(context.Background(), caller1("root"), stopped, "an exercise")) })
			}
		}
		w.nothingNew(nil, set(true), set(false))
	}},
	{"data that looks old", 90 * time.Second, false, func(w *world) {
		w.nothingNew([]access.EventType{access.CredentialShown}, func() {
			w.people.Go(func() {
				w.insist(w.alive()[0].Witnessed(context.Background(), 10, 20, "root", "w1", true))
				for _, r := range w.alive()[1:] { // they look each second; nobody is to see the time between
					_, _, err := r.QuarantineState(context.Background())
					w.insist(err)
				}
			})
		}, func() {
			w.people.Go(func() {
				over, err := w.alive()[0].AcceptQuarantine(context.Background(), caller1("root"), "it is the right one", true)
				w.insist(err)
				if over {
					w.fail("quarantine", "it ended by the word of one administrator of two")
				}
				if _, err = w.alive()[0].AcceptQuarantine(context.Background(), caller1("root"), "I say so again", true); err == nil && len(w.quarantine()) == 0 {
					w.fail("quarantine", "it ended by one administrator who said so twice")
				}
				_, err = w.alive()[0].AcceptQuarantine(context.Background(), caller1("rita"), "it is the right one", true)
				w.insist(err)
			})
		})
	}},
	{"held by another while the store is away", 150 * time.Second, false, shareWithoutStore},
	{"a foreign claim", 150 * time.Second, true, foreignClaim},
	{"a few leftovers", 150 * time.Second, true, func(w *world) { w.leftovers(5) }},
	{"more leftovers than a sweep may remove", 400 * time.Second, true, func(w *world) { w.leftovers(broker.SweepBudget + 5) }},
	{"restored", 200 * time.Second, true, restored},
	{"a copy on the same target", 500 * time.Second, true, meetCopy},
	{"a replica that was taken for dead", 60 * time.Second, true, fenced},
	{"a target that says removed and is not", 90 * time.Second, true, func(w *world) { w.liar("revoke", "terminate", "remove") }},
	{"a target that says sessions ended and they have not", 90 * time.Second, true, func(w *world) { w.liar("terminate") }},
	{"a call that was lost before one that succeeded", 60 * time.Second, true, lostCall},
	{"a takeover from one that lives", 60 * time.Second, true, func(w *world) { w.takeover(false) }},
	{"a takeover from one that died", 60 * time.Second, true, func(w *world) { w.takeover(true) }},
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
	w.in(20100*time.Millisecond, "no", "", func() { from = len(w.store.Log()) })
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

// leftovers: a number of accounts are ours, and no row knows them, as after a restore.
// A sweep removes a few of its own accord, and asks a person about many.
func (w *world) leftovers(n int) {
	b := w.process("a", w.store, nil, &wire{})
	place := w.places[0].Place()
	w.in(10*time.Second, "leftovers", "", func() {
		for i := range n {
			id := access.NewEntitlementID(w.now().UnixMilli(), access.Entropy{byte(i), 77})
			o := connector.Order{Entitlement: id, Tag: access.Tag(w.tagger.Tag("sim", string(place), 1, string(id))), Mechanism: access.Account, Person: "mira",
				Rights: []string{"app_read"}, ExpiresAt: w.now().Add(24 * time.Hour)}
			if _, err := w.targets.Connector().Provision(context.Background(), w.target(), o); err != nil {
				w.fail("story", "%v", err)
			}
		}
	})
	if n <= broker.SweepBudget {
		w.in(140*time.Second, "look", "", func() {
			if left := w.usable(); left != 0 {
				w.fail("L-06", "%d of %d things that no row knows are left", left, n)
			}
		})
		return
	}
	w.in(200*time.Second, "look", "", func() {
		if left := w.usable(); left != n {
			w.fail("budget", "a sweep removed %d things by itself, and may remove %d", n-left, broker.SweepBudget)
		}
		if !slices.ContainsFunc(w.store.Log(), func(ev access.Event) bool { return ev.Type == broker.SweepStopped }) {
			w.fail("budget", "nobody was told that a sweep has stopped")
		}
	})
	w.soon(210*time.Second, "sweep", func() {
		found, err := b.Sweep(context.Background(), caller1("root"), "db0", n, "I looked at them")
		w.insist(err)
		if found.Ordered != n {
			w.fail("budget", "a person allowed %d removals, and %d were ordered", n, found.Ordered)
		}
	})
	w.in(300*time.Second, "look", "", func() {
		if left := w.usable(); left != 0 {
			w.fail("L-06", "%d things are left that a person wanted to go", left)
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

// lostCall: the first call gets no answer, and the second one succeeds. The first may
// land for a while all the same, and until then no absence is believed.
func lostCall(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.in(4*time.Second, "hang", "", func() { at.hang() })
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", time.Minute) })
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

// takeover: another replica takes the work of one that died over at once, and lets one
// that lives alone. What the dead one sent may still land: until then no absence is
// believed.
func (w *world) takeover(dead bool) {
	here, there := &wire{}, &wire{}
	a, _ := w.life("a", w.store, &peers{vouched: true}, here)
	name := a.Join()
	b, _ := w.life("b", burying{w.store, dead}, &peers{vouched: true}, there)
	w.in(4*time.Second, "hang", "", func() { here.hang() })
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(a, "mira", "reader", time.Minute) })
	var at time.Time
	w.soon(6*time.Second, "bury", func() {
		at = time.Now()
		w.insist(b.Bury(context.Background(), name))
		if dead {
			there.hang() // so that nothing is confirmed
			_, err := b.Revoke(context.Background(), caller1("root"), broker.Selector{Grant: string(g)}, "an exercise")
			w.insist(err)
		}
	})
	w.in(7900*time.Millisecond, "look", "", func() {
		if !dead && there.tried > 0 {
			w.fail("I-05", "a replica takes over what one that lives is just making")
		}
	})
	w.in(7950*time.Millisecond, "go on", "", func() { here.goOn() })
	w.in(50*time.Second, "look", "", func() {
		got, _ := w.store.Grant(g)
		if !dead {
			if got.State != access.Active {
				w.fail("story", "the grant is %s", got.State)
			}
			return
		}
		switch {
		case got.State == access.Active || got.State == access.Provisioning || got.State == access.Ending:
			w.fail("L-01", "a grant of a dead replica is still %s", got.State)
		case got.EndedAt.Before(at.Add(connector.Late)):
			w.fail("quarantine", "it is said to be gone %s after its sender died, and may land until %s", got.EndedAt.Sub(at), connector.Late)
		case got.EndedAt.After(at.Add(7 * time.Second)):
			w.fail("L-01", "it took %s to take over", got.EndedAt.Sub(at))
		}
	})
}

// burying is a store that knows whether the process behind a name is dead.
type burying struct {
	broker.Store
	dead bool
}

func (s burying) Update(ctx context.Context, fn func(broker.Tx) error) error {
	return s.Store.Update(ctx, func(tx broker.Tx) error { return fn(buryingTx{tx, s.dead}) })
}

type buryingTx struct {
	broker.Tx
	dead bool
}

func (tx buryingTx) Bury(string) (bool, error) { return tx.dead, nil }

// peers are other processes that are never heard.
type peers struct {
	mu      sync.Mutex
	vouched bool
}

func (*peers) Tell(access.Notice) {}

func (p *peers) Vouched() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.vouched
}

func (p *peers) set(vouched bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.vouched = vouched
}

// life runs a process that is no replica of the schedule: its calls happen as they come.
func (w *world) life(name string, s broker.Store, p broker.Peers, at *wire) (b *broker.Broker, stop func()) {
	at.Connector = w.targets.Connector()
	var conn connector.Connector = at
	if at.beats != nil {
		conn = beacon{at}
	}
	c := broker.Config{Store: s, Connectors: map[string]connector.Connector{kind: conn},
		Tagger: w.tagger, Vault: clearVault{}, SealTo: sealInClear, Installation: "sim", Epoch: 1,
		Replica: name, Log: discard, Rand: w.randomness(90000 + len(w.overs))}
	if p != nil {
		c.Peers = p
	}
	b, err := broker.New(c)
	if err != nil {
		panic(err) // the configuration is the simulator's own
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	w.overs = append(w.overs, over)
	w.people.Go(func() {
		for !w.closed {
			time.Sleep(time.Second)
		}
		cancel()
	})
	go func() {
		defer close(over)
		_ = b.Run(ctx) // ends when the story does
	}()
	return b, func() { cancel(); <-over }
}

// process is one that lives as long as the story.
func (w *world) process(name string, s broker.Store, p broker.Peers, at *wire) *broker.Broker {
	b, _ := w.life(name, s, p, at)
	return b
}

// attempt lets a person ask one process for something.
func (w *world) attempt(b *broker.Broker, who string, role access.RoleName, d time.Duration) (access.GrantID, error) {
	key := fmt.Sprintf("%s-%s-%d", who, role, time.Now().UnixNano())
	v, err := b.Submit(context.Background(), caller1(who), broker.Ask{Resource: "db0", Role: role, Duration: d, Reason: key, Key: key, Body: access.Digest{1}})
	if err == nil && v.Grant == nil {
		err = errors.New("sim: it is not granted")
	}
	if err != nil {
		return "", err
	}
	return v.Grant.ID, nil
}

func (w *world) submit(b *broker.Broker, who string, role access.RoleName, d time.Duration) access.GrantID {
	id, err := w.attempt(b, who, role, d)
	w.insist(err)
	return id
}

// wire is the way of one process to the targets, which can hang.
type wire struct {
	connector.Connector
	beats *beats

	mu      sync.Mutex
	tried   int
	sent    int
	waiting int
	cut     int // calls whose callers left
	lastCut time.Time
	made    connector.Receipt // the last
	lying   []string          // what says that it is done and is not
	lies    int               // so many times more
	open    chan struct{}     // calls that create wait for it; nil: they need not
}

func (x *wire) hang() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open = make(chan struct{})
}

func (x *wire) goOn() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.open != nil {
		close(x.open)
		x.open = nil
	}
}

// next lets those that come from now on through; who waits, waits on.
func (x *wire) next() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open = nil
}

func (x *wire) waits() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.waiting
}

func (x *wire) cutAt() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.lastCut
}

func (x *wire) cutOff() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.cut
}

// Provision waits while the wire hangs, for as long as its caller does.
func (x *wire) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	x.mu.Lock()
	x.tried++
	open := x.open
	x.waiting++
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		x.waiting--
		x.mu.Unlock()
	}()
	if open != nil {
		select {
		case <-open:
		case <-ctx.Done():
			x.mu.Lock()
			x.cut++
			x.lastCut = time.Now()
			x.mu.Unlock()
			return connector.Receipt{}, &connector.Error{Outcome: connector.Unknown, Message: "the target did not answer", Cause: ctx.Err()}
		}
	}
	x.mu.Lock()
	x.sent++
	x.mu.Unlock()
	made, err := x.Connector.Provision(ctx, t, o)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.made = made
	return made, err
}

// login is what was made last.
func (x *wire) login() (l struct{ Username, Password string }) {
	x.mu.Lock()
	defer x.mu.Unlock()
	_ = json.Unmarshal(x.made.Credential.Reveal(), &l) // who signs in with nothing notices
	return l
}

func (x *wire) lie(times int, calls []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lies, x.lying = times, calls
}

func (x *wire) take(call string, os []connector.Order, do func() []connector.Result) []connector.Result {
	x.mu.Lock()
	lies := x.lies > 0 && slices.Contains(x.lying, call)
	if lies && call == x.lying[len(x.lying)-1] {
		x.lies--
	}
	x.mu.Unlock()
	if !lies {
		return do()
	}
	rs := make([]connector.Result, len(os))
	for i := range rs {
		rs[i].Outcome = connector.Done
	}
	return rs
}

func (x *wire) Revoke(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return x.take("revoke", os, func() []connector.Result { return x.Connector.Revoke(ctx, t, os) })
}

func (x *wire) TerminateSessions(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return x.take("terminate", os, func() []connector.Result { return x.Connector.TerminateSessions(ctx, t, os) })
}

func (x *wire) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return x.take("remove", os, func() []connector.Result { return x.Connector.Remove(ctx, t, os) })
}

// beats is what the processes of all who use our name left on the target.
type beats struct {
	mu   sync.Mutex
	last connector.Beat
}

// beacon is a wire to a target that keeps beats.
type beacon struct{ *wire }

func (x beacon) ReadBeat(context.Context, connector.Target) (connector.Beat, error) {
	x.beats.mu.Lock()
	defer x.beats.mu.Unlock()
	return x.beats.last, nil
}

func (x beacon) SwapBeat(_ context.Context, _ connector.Target, old, next connector.Beat) (bool, error) {
	x.beats.mu.Lock()
	defer x.beats.mu.Unlock()
	if x.beats.last != old {
		return false, nil
	}
	x.beats.last = next
	return true, nil
}
