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
)

// beginnings are stories about what is decided again: when a grant begins, when it gets
// longer, and as long as it lives.
var beginnings = []protection{
	{"asked for what is just being removed", 90 * time.Second, true, askedWhileRemoved},
	{"asked for what is just being removed, by who has a contract", 60 * time.Second, true, vendorAskedWhileRemoved},
	{"begins later", 100 * time.Second, true, beginsLater},
	{"extended when others may approve", 60 * time.Second, true, extendedLater},
	{"what lasts only as long as conditions do", 150 * time.Second, true, lasting},
	{"groups change", 90 * time.Second, true, groupsChange},
	{"the target or the role is not what was approved", 40 * time.Second, true, narrowed},
	{"a principal that ends", 110 * time.Second, true, principalEnds},
	{"somebody cannot be read", 150 * time.Second, true, unreadablePerson},
	{"a thousand others have been granted something since", 40 * time.Second, true, decidedByThePage},
}

func init() { protections = append(protections, beginnings...) }

// askedWhileRemoved: what is just being removed is made again when it is gone, and not
// before; until then who asked is told that it waits. What shares nothing waits for nothing.
func askedWhileRemoved(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g, ahead, free access.GrantID
	w.soon(3*time.Second, "ask", func() {
		w.submit(b, "paul", "owner", 10*time.Second)
		v, err := b.Submit(context.Background(), caller1("paul"), broker.Ask{Resource: "db0", Role: "owner", Duration: 10 * time.Minute, Start: w.store.Now().Add(13 * time.Second), Reason: "r", Key: "k", Body: access.Digest{1}})
		w.insist(err)
		ahead = v.Grant.ID
	})
	w.in(9*time.Second, "stick", "", func() { at.stick("app_owner") })
	w.soon(20*time.Second, "ask", func() {
		free = w.submit(b, "paul", "reader", 10*time.Minute)
		g = w.submit(b, "paul", "owner", 10*time.Minute)
		if w.said(access.GrantCreated, "state") != string(access.Scheduled) {
			w.fail("I-15", "what waits is on record as %q", w.said(access.GrantCreated, "state"))
		}
	})
	w.in(25*time.Second, "look", "", func() {
		w.expect("L-01", g, access.Scheduled)
		w.expect("L-01", ahead, access.Scheduled)
		w.expect("promise", free, access.Active)
		at.stick("")
	})
	w.in(75*time.Second, "look", "", func() {
		w.expect("promise", g, access.Active)
		w.expect("promise", ahead, access.Active)
	})
}

// vendorAskedWhileRemoved: what waits for a removal and is shortened, because the contract
// may end first, waits like any other.
func vendorAskedWhileRemoved(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { w.submit(b, "vera", "owner", 10*time.Second) })
	w.in(9*time.Second, "stick", "", func() { at.stick("app_owner") })
	w.soon(20*time.Second, "ask", func() {
		end := w.store.Now().Add(10*time.Minute + 20*time.Second)
		_, err := b.SetContract(context.Background(), caller1("root"), "vera", broker.Contract{Until: &end, Why: "done early"})
		w.insist(err)
		g = w.submit(b, "vera", "owner", 10*time.Minute)
		if now, _ := w.store.Grant(g); now.State != access.Scheduled || now.ExpiresAt.After(end) {
			w.fail("Q-07", "what waits is %s until %s, and the contract ends at %s", now.State, now.ExpiresAt, end)
		}
	})
	w.in(25*time.Second, "look", "", func() { at.stick("") })
	w.in(50*time.Second, "look", "", func() { w.expect("promise", g, access.Active) })
}

// beginsLater: a grant that begins later is decided again then, and waits for a short time
// in which nothing can begin.
func beginsLater(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	ctx := context.Background()
	ask := func(who string, role access.RoleName, after time.Duration) (r access.Request) {
		v, err := b.Submit(ctx, caller1(who), broker.Ask{Resource: "db0", Role: role, Duration: 10 * time.Minute, Start: w.store.Now().Add(after), Reason: "r", Key: who + string(role), Body: access.Digest{1}})
		w.insist(err)
		return v.Request
	}
	var doubtful, approved, lapsed, denied access.Request
	w.soon(3*time.Second, "ask", func() {
		doubtful, denied = ask("mira", "reader", 10*time.Second), ask("pia", "owner", 20*time.Second)
		approved, lapsed = ask("gus", "reader", 20*time.Second), ask("gil", "reader", 20*time.Second)
		w.approve(b, approved.ID, "olga")
		w.approve(b, lapsed.ID, "otto")
	})
	w.in(12*time.Second, "doubt", "", func() { w.store.Unsure(unavailable("the clock is in doubt")) })
	w.soon(16*time.Second, "change", func() {
		w.store.Unsure(nil)
		w.insist(b.Disable(ctx, caller1("root"), caller1("otto").Principal.ID, "gone"))
		w.insist(w.apply(b, "kind: Policy\nname: freeze\neffect: deny\nsubjects: [group:platform]\nroles: [owner]\n"))
	})
	w.in(40*time.Second, "look", "", func() {
		for want, rs := range map[access.GrantState][]access.Request{access.Active: {doubtful, approved}, access.Ended: {denied, lapsed}} {
			for _, r := range rs {
				r, _ = w.store.Request(r.ID)
				if !w.is(r.Grant, want) {
					g, _ := w.store.Grant(r.Grant)
					w.fail("T-09", "what %s asked for is %s (%s), and should be %s", r.Person, g.State, g.EndNote, want)
				}
			}
		}
	})
}

// extendedLater: an extension that others approve is decided again when they do, by those
// who approved it, and over the whole time.
func extendedLater(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	var g access.Grant
	longer := func(key string, d time.Duration) access.Request {
		v, err := b.Extend(ctx, caller1("gus"), string(g.ID), broker.Ask{Duration: d, Reason: "longer", Key: key, Body: access.Digest{7}})
		w.insist(err)
		return v.Request
	}
	w.soon(3*time.Second, "ask", func() {
		g = *w.approve(b, w.pending(b, "first", 30*time.Minute).ID, "olga").Grant
	})
	w.soon(10*time.Second, "extend", func() {
		w.insist(b.Disable(ctx, caller1("root"), caller1("olga").Principal.ID, "gone"))
		w.approve(b, longer("a", 10*time.Minute).ID, "otto")
		got, _ := w.store.Grant(g.ID)
		if got.Duration != 40*time.Minute {
			w.fail("promise", "an extension was approved, and the grant lasts %s", got.Duration)
		}
		r := longer("b", 10*time.Minute)
		w.insist(w.apply(b, "kind: Policy\nname: short\neffect: deny\nsubjects: [group:guests]\nroles: [reader]\nwhen: request.duration > duration(\"45m\")\n"))
		if _, err := b.Vote(ctx, caller1("otto"), string(r.ID), access.Vote{Approve: true, Seen: r.Digest}); !errors.Is(err, access.Denied) {
			w.fail("T-27", "policy denies so long a grant by now, and its extension is approved: %v", err)
		}
		if r := longer("c", 10*time.Minute); r.State != access.RequestIsDenied {
			w.fail("T-27", "policy denies so long a grant, and who asks for it is %s", r.State)
		}
		if after, _ := w.store.Grant(g.ID); !after.ExpiresAt.Equal(got.ExpiresAt) {
			w.fail("I-13", "an end has moved without an approved extension")
		}
	})
}

// sets changes a principal in the store, as a directory does.
func (w *world) sets(who string, do func(*access.Principal)) {
	w.insist(w.store.Update(context.Background(), func(tx broker.Tx) error {
		p, err := tx.Principal(access.NewPrincipalID(access.User, who))
		if err != nil {
			return err
		}
		do(&p)
		p.Version++
		return tx.SavePrincipals(p)
	}))
}

func suspend(p *access.Principal) { p.Attributes = map[string]string{"suspended": "yes"} }

// lasting: what is granted as long as a condition holds ends within seconds after it does
// not, however it came to be, and whether or not the condition was there when it began.
func lasting(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	var now, later, begun, before access.GrantID
	condition := "while: '!(\"suspended\" in principal.attributes)'\n"
	w.soon(3*time.Second, "ask", func() {
		before = w.submit(b, "noor", "reader", 10*time.Minute)
		open := w.pending(b, "r", 10*time.Minute)
		v, err := b.Submit(context.Background(), caller1("pia"), broker.Ask{Resource: "db0", Role: "reader", Duration: 10 * time.Minute, Start: w.store.Now().Add(10 * time.Second), Reason: "r", Key: "k", Body: access.Digest{1}})
		w.insist(err)
		w.insist(w.apply(b, "kind: Policy\nname: at-once\nsubjects: [group:platform]\nroles: [reader, owner, both, shared, admin, watched]\nrequire: {maxDuration: 2h}\n"+condition+
			"---\n"+needs("guests-ask", "guests", "reader, owner", 1)+condition))
		now = w.submit(b, "mira", "reader", 10*time.Minute)
		g := w.approve(b, open.ID, "olga").Grant
		if !g.Conditional {
			w.fail("T-36", "what gus is granted rests on a condition, and the record does not say so")
		}
		later = g.ID
		begun = v.Grant.ID
	})
	w.soon(20*time.Second, "suspend", func() {
		for _, g := range []access.GrantID{now, later, begun, before} {
			got, _ := w.store.Grant(g)
			if w.expect("story", g, access.Active); !got.Conditional {
				w.fail("T-36", "what %s has rests on a condition, and nobody looks at it again and again", got.Person)
			}
		}
		for _, who := range []string{"mira", "gus", "pia", "noor"} {
			w.sets(who, suspend)
		}
	})
	w.in(26*time.Second, "look", "", func() {
		for _, g := range []access.GrantID{now, later, begun, before} {
			w.expect("T-36", g, access.Ended)
		}
	})
}

// groupsChange: who leaves the group by which they hold something loses it: at once where
// somebody says so, and within a minute else.
func groupsChange(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	var mira, noor, paul access.GrantID
	leave := func(p *access.Principal) { p.Groups = nil }
	w.soon(3*time.Second, "ask", func() {
		mira, noor, paul = w.submit(b, "mira", "reader", 10*time.Minute), w.submit(b, "noor", "reader", 10*time.Minute), w.submit(b, "paul", "reader", 10*time.Minute)
	})
	w.soon(10*time.Second, "change", func() {
		w.sets("mira", leave)
		w.sets("noor", leave)
	})
	w.in(13*time.Second, "say", "", func() { b.Reconsider() })
	w.in(17*time.Second, "look", "", func() {
		w.expect("T-36", mira, access.Ended)
		w.expect("T-36", noor, access.Ended)
	})
	w.soon(18*time.Second, "change", func() { w.sets("paul", leave) })
	w.in(85*time.Second, "look", "", func() { w.expect("T-36", paul, access.Ended) })
}

// narrowed: what was approved ends when the resource or the role is another thing by now.
func narrowed(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	var mira, noor access.GrantID
	w.soon(3*time.Second, "ask", func() {
		mira, noor = w.submit(b, "mira", "reader", 10*time.Minute), w.submit(b, "noor", "shared", 10*time.Minute)
	})
	w.soon(10*time.Second, "narrow", func() {
		w.insist(w.apply(b, "kind: Role\nresources: {type: "+kind+"}\nname: reader\nmechanism: account\n"+kind+": {memberOf: [app_write]}\nmaxDuration: 2h\n"))
	})
	w.in(16*time.Second, "look", "", func() {
		w.expect("T-33", mira, access.Ended)
		w.expect("promise", noor, access.Active)
	})
	w.soon(17*time.Second, "move", func() {
		w.insist(w.apply(b, "kind: Role\nresources: {type: "+kind+"}\nname: shared\nmechanism: enable\n"+kind+": {account: chief}\nmaxDuration: 30m\n"))
	})
	w.in(24*time.Second, "look", "", func() { w.expect("T-33", noor, access.Ended) })
}

// principalEnds: what a service has ends with the service.
func principalEnds(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	robot := caller1("mira")
	robot.Principal.ID = access.NewPrincipalID(access.Service, "robot")
	robot.Principal.Admin, robot.Actor.Principal = false, robot.Principal.ID
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() {
		w.insist(w.store.Update(context.Background(), func(tx broker.Tx) error {
			p := robot.Principal
			p.Until = tx.Now().Add(20 * time.Second)
			return tx.SavePrincipals(p)
		}))
		v, err := b.Submit(context.Background(), robot, broker.Ask{Resource: "db0", Role: "reader", Duration: 10 * time.Minute, Reason: "r", Key: "k", Body: access.Digest{1}})
		w.insist(err)
		g = v.Grant.ID
	})
	w.in(15*time.Second, "look", "", func() { w.expect("promise", g, access.Active) })
	w.soon(40*time.Second, "ask", func() {
		w.expect("Q-07", g, access.Ended)
		if _, err := b.Submit(context.Background(), robot, broker.Ask{Resource: "db0", Role: "reader", Duration: time.Minute, Reason: "r", Key: "k2", Body: access.Digest{1}}); err == nil {
			w.fail("Q-07", "a service that has ended is granted something")
		}
	})
}

// forgetful is a store that cannot read who somebody is while it is ill.
type forgetful struct {
	broker.Store
	ill atomic.Bool
}

func (s *forgetful) Update(ctx context.Context, fn func(broker.Tx) error) error {
	return s.Store.Update(ctx, func(tx broker.Tx) error { return fn(s.tx(tx)) })
}

func (s *forgetful) View(ctx context.Context, fn func(broker.Tx) error) error {
	return s.Store.View(ctx, func(tx broker.Tx) error { return fn(s.tx(tx)) })
}

func (s *forgetful) tx(tx broker.Tx) broker.Tx {
	if s.ill.Load() {
		return forgetfulTx{tx}
	}
	return tx
}

type forgetfulTx struct{ broker.Tx }

func (forgetfulTx) Principal(access.PrincipalID) (access.Principal, error) {
	return access.Principal{}, access.Fail(access.Internal, "bad-row", "a row cannot be read")
}

// unreadablePerson: that a row cannot be read is no verdict. Nothing new is granted, and
// what is there stays; when it can be read again, what is denied ends.
func unreadablePerson(w *world) {
	s := &forgetful{Store: w.store}
	b := w.process("a", s, nil, &wire{})
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.in(10*time.Second, "ill", "", func() { s.ill.Store(true) })
	w.soon(20*time.Second, "ask", func() {
		b.Reconsider()
		if _, err := w.attempt(b, "paul", "reader", time.Minute); err == nil {
			w.fail("nothing new", "somebody is granted something of whom nothing can be read")
		}
	})
	w.soon(80*time.Second, "mend", func() {
		w.expect("promise", g, access.Active)
		s.ill.Store(false)
		w.sets("mira", func(p *access.Principal) {
			p.Groups = slices.DeleteFunc(p.Groups, func(access.Group) bool { return true })
		})
		b.Reconsider()
	})
	w.in(90*time.Second, "look", "", func() { w.expect("T-36", g, access.Ended) })
}

// decidedByThePage: what is decided again is all there is, however much that is.
func decidedByThePage(w *world) {
	at := &wire{}
	at.hang()
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() {
		g = w.submit(b, "mira", "reader", 10*time.Minute)
		for i := range 1000 {
			_, err := b.Submit(context.Background(), caller1("noor"), broker.Ask{Resource: "db0", Role: "reader", Duration: 10 * time.Minute, Reason: "r", Key: fmt.Sprint(i), Body: access.Digest{1}})
			w.insist(err)
		}
		w.sets("mira", func(p *access.Principal) { p.Groups = nil })
		b.Reconsider()
	})
	w.in(9*time.Second, "look", "", func() {
		if got, _ := w.store.Grant(g); got.Live() {
			w.fail("T-36", "the grant of mira is %s, and a thousand of noor's were decided again", got.State)
		}
	})
}
