package sim

import (
	"context"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
)

// sweeps are stories about what a sweep finds: what is ours and of no use goes, what is of
// use or not ours stays, and each is on record, once.
var sweeps = []protection{
	{"what comes back after it was gone", 150 * time.Second, true, cameBack},
	{"what no mark explains, and what is not what was made", 100 * time.Second, true, unexplained},
	{"what ends while it is listed", 100 * time.Second, true, endedWhileListed},
	{"what an earlier epoch left, and a copy may have", 270 * time.Second, true, earlierEpoch},
	{"a target that cannot be listed", 100 * time.Second, true, unlistable},
	{"two of one account come back", 210 * time.Second, true, twoCameBack},
	{"what lands after it was given up", 100 * time.Second, true, landedAfterwards},
	{"a thousand things that are not ours", 70 * time.Second, true, thousandForeign},
	{"another's claim, twice", 260 * time.Second, true, claimedTwice},
}

func init() { protections = append(protections, sweeps...) }

// Inventory lists what is there, and may be held up between listing and telling.
func (x *wire) Inventory(ctx context.Context, t connector.Target) iter.Seq2[connector.Artefact, error] {
	return func(yield func(connector.Artefact, error) bool) {
		type found struct {
			a   connector.Artefact
			err error
		}
		var all []found
		for a, err := range x.Connector.Inventory(ctx, t) {
			all = append(all, found{a, err})
		}
		if err := x.met("inventory", connector.Order{}); err != nil {
			yield(connector.Artefact{}, err)
			return
		}
		for _, f := range all {
			if !yield(f.a, f.err) {
				return
			}
		}
	}
}

func (w *world) times(t access.EventType) (n int) {
	for _, ev := range w.store.Log() {
		if ev.Type == t {
			n++
		}
	}
	return n
}

// cameBack: calls land long after what they made was gone, and the store knows that it
// was. What they made goes again, and what is there under another identity is locked; what
// is wanted stays.
func cameBack(w *world) {
	at := &wire{}
	var orders []connector.Order
	at.after = func(o connector.Order, _ connector.Receipt) { orders = append(orders, o) }
	b := w.process("a", w.store, nil, at)
	var live access.GrantID
	w.soon(3*time.Second, "ask", func() {
		w.submit(b, "mira", "reader", 7*time.Second)
		w.submit(b, "paul", "owner", 7*time.Second)
		w.submit(b, "pia", "owner", 7*time.Second)
		live = w.submit(b, "noor", "reader", 10*time.Minute)
	})
	w.in(30*time.Second, "land", "", func() {
		if n := w.usable(); n != 1 || len(orders) != 4 {
			w.fail("story", "%d privileges can be used, of %d that were made", n, len(orders))
		}
		at.after = nil
		for _, o := range orders {
			if o.Person == "noor" {
				continue
			}
			_, err := w.targets.Connector().Provision(context.Background(), w.target(), o)
			w.insist(err)
		}
	})
	// Somebody asks for what one of them holds; until that is out of the way, it is not
	// removed, and does not hold up the others.
	w.soon(31*time.Second, "ask", func() { w.submit(b, "pia", "owner", 10*time.Minute) })
	w.in(90*time.Second, "look", "", func() {
		if p, ok := w.targets.Account(w.places[0].Place(), "paul"); !ok || slices.Contains(p.Groups, "app_owner") {
			w.fail("L-06", "a membership came back after it was gone, and a sweep has not removed it")
		}
		for _, p := range w.targets.Privileges() {
			if p.Usable && p.Mechanism == access.Account && p.Tag != w.tagOf(live) {
				w.fail("L-06", "an account came back after it was gone, and a sweep has not locked it")
			}
		}
		w.expect("promise", live, access.Active)
		if w.times(broker.SweepFound) < 2 {
			w.fail("I-15", "sweeps removed two things, and the log says so of %d", w.times(broker.SweepFound))
		}
	})
}

func (w *world) tagOf(g access.GrantID) (tag access.Tag) {
	for _, h := range w.store.Holds(false) {
		if e, ok := w.store.Entitlement(h.Entitlement); ok && h.Grant == g {
			tag = e.Tag
		}
	}
	return tag
}

// unexplained: a membership that our login granted, and that no mark explains, goes, if
// nobody holds it. What has our tag and is not what we made is told, once, and stays.
func unexplained(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	place := w.places[0].Place()
	var owner, reader access.GrantID
	w.soon(3*time.Second, "ask", func() {
		owner, reader = w.submit(b, "paul", "owner", 10*time.Minute), w.submit(b, "mira", "reader", 10*time.Minute)
	})
	w.in(20*time.Second, "meddle", "", func() {
		w.insist(w.targets.Unmark(place, "paul"))
		w.insist(w.targets.JoinAs(place, "stint", "pia", "app_owner"))
		e := w.row()
		for _, x := range w.store.Entitlements(true) {
			if x.Mechanism == access.Account {
				e = x
			}
		}
		_, err := w.targets.Replace(place, e.Account, "theirs")
		w.insist(err)
	})
	w.soon(70*time.Second, "sweep", func() {
		found, err := b.Sweep(context.Background(), caller1("root"), "db0", 0, "")
		w.insist(err)
		if len(found.Foreign) != 1 || len(found.Standing) == 0 {
			w.fail("I-23", "who sweeps is told of %d things that are not ours, and %d standing ones", len(found.Foreign), len(found.Standing))
		}
	})
	w.in(90*time.Second, "look", "", func() {
		groups := func(who string) []string { p, _ := w.targets.Account(place, who); return p.Groups }
		if slices.Contains(groups("pia"), "app_owner") {
			w.fail("L-06", "pia is in app_owner by our login, and nobody knows of it, and it stays")
		}
		if !slices.Contains(groups("paul"), "app_owner") {
			w.fail("promise", "paul holds app_owner, and a sweep took it away")
		}
		if n := w.times(broker.ForeignFound); n != 1 {
			w.fail("I-15", "a foreign account has our name, and the log says so %d times", n)
		}
		for _, e := range w.store.Entitlements(false) {
			if e.Tag == "" || e.Mechanism == access.Member && (len(e.Rights) != 1 || e.Key == "") {
				w.fail("I-04", "what was swept has no tag, right or key on record: %+v", e)
			}
		}
		w.expect("promise", owner, access.Active)
		w.expect("promise", reader, access.Active)
	})
}

// endedWhileListed: what ends while a target is being listed is in the list, and is no
// leftover.
func endedWhileListed(w *world) {
	at, open := &wire{}, make(chan struct{})
	b := w.process("a", w.store, nil, at)
	place := w.places[0].Place()
	w.soon(40*time.Second, "ask", func() {
		w.submit(b, "mira", "reader", 22*time.Second)
		w.submit(b, "paul", "owner", 22*time.Second)
	})
	listed := false
	w.in(50*time.Second, "unmark", "", func() {
		w.insist(w.targets.Unmark(place, "paul"))
		at.meet(func(call string, _ connector.Order) error {
			if call == "inventory" {
				listed = true
				<-open
			}
			return nil
		})
	})
	w.in(75*time.Second, "go on", "", func() {
		if n := len(w.store.Entitlements(true)); n > 0 || !listed {
			w.fail("story", "%d things are live, and the target was being listed: %t", n, listed)
		}
		close(open)
	})
	w.in(90*time.Second, "look", "", func() {
		if w.logged(broker.SweepFound) {
			w.fail("I-23", "what ended while a target was being listed is taken for a leftover")
		}
	})
}

// earlierEpoch: what an earlier epoch of ours left goes at once, because its copies have
// lost the target. What has our own epoch and no record may be a copy's, and stays until
// none has shown up for a while.
func earlierEpoch(w *world) {
	at := &wire{beats: &beats{}, epoch: 2}
	place := w.places[0].Place()
	b := w.process("a", w.store, nil, at)
	left := map[int64]access.EntitlementID{}
	w.in(10*time.Second, "leftovers", "", func() {
		for epoch := range int64(2) {
			id := access.NewEntitlementID(w.now().UnixMilli(), access.Entropy{byte(epoch), 78})
			left[epoch+1] = id
			o := connector.Order{Entitlement: id, Tag: access.Tag(w.tagger.Tag("sim", string(place), epoch+1, string(id))), Mechanism: access.Account, Person: "mira",
				Rights: []string{"app_read"}, ExpiresAt: w.now().Add(24 * time.Hour)}
			_, err := w.targets.Connector().Provision(context.Background(), w.target(), o)
			w.insist(err)
		}
	})
	w.soon(70*time.Second, "sweep", func() {
		found, err := b.Sweep(context.Background(), caller1("root"), "db0", 0, "")
		if w.insist(err); len(found.Unsure) != 1 {
			w.fail("I-23", "who sweeps is told of %d things that may be a copy's", len(found.Unsure))
		}
	})
	w.in(100*time.Second, "look", "", func() {
		if n := w.usable(); n != 1 {
			w.fail("I-23", "%d things can be used; that of an earlier epoch should be gone, and one that may be a copy's should not", n)
		}
	})
	w.in(265*time.Second, "look", "", func() {
		if n := w.usable(); n != 0 {
			w.fail("L-06", "%d things are left that nobody knows of, and no copy has shown up", n)
		}
	})
}

// partialList is a target whose list is not to be believed.
type partialList struct{ *wire }

func (x partialList) Capabilities() connector.Capabilities {
	c := x.Connector.Capabilities()
	c.Sweepable = false
	return c
}

// unlistable: what a target cannot list for certain is not swept.
func unlistable(w *world) {
	at := &wire{}
	at.as = partialList{at}
	w.process("a", w.store, nil, at)
	w.in(10*time.Second, "leftover", "", func() {
		id := access.NewEntitlementID(w.now().UnixMilli(), access.Entropy{7, 79})
		_, err := w.targets.Connector().Provision(context.Background(), w.target(), connector.Order{Entitlement: id, Mechanism: access.Account, Person: "mira",
			Tag: access.Tag(w.tagger.Tag("sim", string(w.places[0].Place()), 1, string(id))), Rights: []string{"app_read"}, ExpiresAt: w.now().Add(time.Hour)})
		w.insist(err)
	})
	w.in(90*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("I-23", "a target that cannot be listed for certain was swept")
		}
	})
}

// claimedTwice: somebody else claims the target, takes that back, and does it again. Each
// time a person is told, once.
func claimedTwice(w *world) {
	w.process("a", w.store, nil, &wire{})
	place := w.places[0].Place()
	var ours atomic.Pointer[connector.Claim]
	forge := func() {
		c := w.targets.Claimed(place)
		ours.CompareAndSwap(nil, &c)
		w.targets.Forge(place, connector.Claim{Installation: "another", Epoch: 9})
	}
	w.in(10*time.Second, "claim", "", forge)
	w.in(130*time.Second, "back", "", func() {
		if n := w.times(broker.ClaimRefused); n != 1 {
			w.fail("I-15", "somebody else claims the target, and the log says so %d times", n)
		}
		w.targets.Forge(place, *ours.Load())
	})
	w.in(190*time.Second, "claim", "", forge)
	w.in(250*time.Second, "look", "", func() {
		if n := w.times(broker.ClaimRefused); n != 2 {
			w.fail("I-15", "somebody else claims the target a second time, and the log says so %d times", n)
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
		// One more only looks like ours: its tag was made with another key.
		id := access.NewEntitlementID(w.now().UnixMilli(), access.Entropy{99})
		forged := access.Tag(newTagger("another").Tag("sim", string(place), 1, string(id)))
		if _, err := w.targets.Connector().Provision(context.Background(), w.target(), connector.Order{Entitlement: id, Tag: forged, Mechanism: access.Account, Person: "mira",
			Rights: []string{"app_read"}, ExpiresAt: w.now().Add(24 * time.Hour)}); err != nil {
			w.fail("story", "%v", err)
		}
	})
	if n <= broker.SweepBudget {
		w.in(140*time.Second, "look", "", func() {
			switch left := w.usable(); {
			case left == 0:
				w.fail("I-23", "what only looks like ours was removed")
			case left > 1:
				w.fail("L-06", "%d of %d things that no row knows are left", left-1, n)
			}
			if n := w.times(broker.ForeignFound); n != 1 {
				w.fail("I-15", "something only looks like ours, and the log says so %d times", n)
			}
		})
		return
	}
	w.in(200*time.Second, "look", "", func() {
		if left := w.usable() - 1; left != n {
			w.fail("budget", "a sweep removed %d things by itself, and may remove %d", n-left, broker.SweepBudget)
		}
		if !slices.ContainsFunc(w.store.Log(), func(ev access.Event) bool { return ev.Type == broker.SweepStopped }) {
			w.fail("budget", "nobody was told that a sweep has stopped")
		}
	})
	w.soon(210*time.Second, "sweep", func() {
		found, err := b.Sweep(context.Background(), caller1("root"), "db0", 0, "")
		if w.insist(err); found.Ordered != 0 || len(found.Unwanted) != n || len(found.Foreign) != 1 {
			w.fail("budget", "a sweep found %d things and ordered the removal of %d", len(found.Unwanted), found.Ordered)
		}
		found, err = b.Sweep(context.Background(), caller1("root"), "db0", n, "I looked at them")
		w.insist(err)
		if found.Ordered != n {
			w.fail("budget", "a person allowed %d removals, and %d were ordered", n, found.Ordered)
		}
	})
	w.in(300*time.Second, "look", "", func() {
		if left := w.usable() - 1; left != 0 {
			w.fail("L-06", "%d things are left that a person wanted to go", left)
		}
	})
}

// landedAfterwards: nobody heard what became of a call, it was waited for, and what it was
// for is gone; then it lands. It goes again, pinned by what the target calls it.
func landedAfterwards(w *world) {
	at := &wire{}
	var order connector.Order
	at.meet(func(call string, o connector.Order) error {
		if call == "provision" {
			order = o
			return &connector.Error{Outcome: connector.Unknown, Message: "nobody knows"}
		}
		return nil
	})
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.soon(5*time.Second, "revoke", func() { w.revokes(b, g) })
	w.in(40*time.Second, "land", "", func() {
		if w.row().State != access.Gone || w.row().Creation != "" {
			w.fail("story", "it is %s", w.row().State)
		}
		_, err := w.targets.Connector().Provision(context.Background(), w.target(), order)
		w.insist(err)
	})
	w.in(90*time.Second, "look", "", func() {
		if e := w.row(); e.State != access.Gone || e.Creation == "" || w.usable() > 0 {
			w.fail("L-06", "what landed when nobody waited for it is %s, known as %q", e.State, e.Creation)
		}
	})
}

// thousandForeign: a sweep looks at all there is, and at each thing once.
func thousandForeign(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	forger := newTagger("another")
	w.in(5*time.Second, "forge", "", func() {
		for i := range 1001 {
			id := access.NewEntitlementID(w.now().UnixMilli(), access.Entropy{byte(i), byte(i >> 8), 81})
			_, err := w.targets.Connector().Provision(context.Background(), w.target(), connector.Order{Entitlement: id, Mechanism: access.Account, Person: "mira",
				Tag: access.Tag(forger.Tag("sim", string(w.places[0].Place()), 1, string(id))), Rights: []string{"app_read"}, ExpiresAt: w.now().Add(time.Hour)})
			w.insist(err)
		}
	})
	w.soon(10*time.Second, "sweep", func() {
		found, err := b.Sweep(context.Background(), caller1("root"), "db0", 0, "")
		if w.insist(err); len(found.Foreign) != 1001 || found.Looked != 1001 {
			w.fail("I-23", "a sweep looked at %d things and tells of %d, and there are 1001", found.Looked, len(found.Foreign))
		}
	})
}

// twoCameBack: two calls land late that gave one person the same, at different times. They
// go one after the other: two of one account are never on record as being removed.
func twoCameBack(w *world) {
	at := &wire{}
	var orders []connector.Order
	at.after = func(o connector.Order, _ connector.Receipt) { orders = append(orders, o) }
	b := w.process("a", w.store, nil, at)
	for _, after := range []time.Duration{3 * time.Second, 20 * time.Second} {
		w.soon(after, "ask", func() { w.submit(b, "paul", "owner", 7*time.Second) })
	}
	w.in(40*time.Second, "land", "", func() {
		if len(orders) != 2 || w.usable() != 0 {
			w.fail("story", "%d were made, and %d can be used", len(orders), w.usable())
		}
		at.after = nil
		for _, o := range orders {
			_, err := w.targets.Connector().Provision(context.Background(), w.target(), o)
			w.insist(err)
		}
	})
	w.in(200*time.Second, "look", "", func() {
		p, _ := w.targets.Account(w.places[0].Place(), "paul")
		if slices.Contains(p.Groups, "app_owner") || len(p.Marks) > 0 {
			w.fail("L-06", "two calls landed late, and three sweeps left %v with the marks %v", p.Groups, p.Marks)
		}
	})
}
