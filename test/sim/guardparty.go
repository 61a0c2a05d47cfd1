package sim

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// endsWithWhoAnswers: what a vendor has ends with the contract, also when that is moved
// closer, and with their sponsor; what an agent has ends with its task and its human.
func endsWithWhoAnswers(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	as := func(p access.Principal) broker.Caller {
		c := caller1("mira")
		c.Principal, c.Actor.Principal, c.Actor.Person = p, p.ID, p.Person
		c.Source.Device = access.DeviceID("device-of-" + p.ID.Name())
		return c
	}
	groups := []access.Group{"platform"}
	made := time.Unix(1, 0).UTC()
	agent := access.Principal{ID: "agent:fixer", Person: "mira", Responsible: "user:mira", Groups: groups, Version: 1, CreatedAt: made}
	vendor := func(name string) access.Principal {
		return access.Principal{ID: access.NewPrincipalID(access.User, name), Person: access.Person(name), Sponsor: "user:pia", Company: "Acme", Groups: groups, Version: 1, CreatedAt: made}
	}
	bo, cy := vendor("bo"), vendor("cy")
	var ends time.Time
	var his, hers, one, two, moved access.GrantID
	n := 0
	ask := func(p access.Principal, task access.TaskID, d time.Duration) (access.GrantID, access.RequestState) {
		n++
		v, err := b.Submit(ctx, as(p), broker.Ask{Resource: "db0", Role: "reader", Duration: d, Reason: "r", Task: task, Key: string(rune('a' + n)), Body: access.Digest{1}})
		w.insist(err)
		if v.Grant == nil {
			return "", v.Request.State
		}
		return v.Grant.ID, v.Request.State
	}
	w.soon(2*time.Second, "settle", func() {
		w.insist(w.store.Update(ctx, func(tx broker.Tx) error {
			ends = tx.Now().Add(60 * time.Second)
			bo.Until, cy.Until, agent.Until = ends, tx.Now().Add(time.Hour), tx.Now().Add(time.Hour)
			return tx.SavePrincipals(agent, bo, cy)
		}))
	})
	w.soon(4*time.Second, "ask", func() {
		if g, s := ask(bo, "", 2*time.Minute); g != "" || s != access.RequestIsDenied {
			w.fail("Q-07", "a request beyond the contract is %s", s)
		}
		his, _ = ask(bo, "", 50*time.Second)
		hers, _ = ask(cy, "", 10*time.Minute)
		one, _ = ask(agent, "OPS-1", 10*time.Minute)
		two, _ = ask(agent, "OPS-2", 10*time.Minute)
	})
	w.soon(12*time.Second, "move", func() {
		sooner := w.store.Now().Add(20 * time.Second)
		_, err := b.SetContract(ctx, caller1("pia"), "bo", broker.Contract{Until: &sooner, Why: "done early"})
		w.insist(err)
		ends = sooner
		if g, _ := w.store.Grant(his); g.ExpiresAt.After(sooner) {
			w.fail("Q-07", "the contract ends at %s, and the grant at %s", sooner, g.ExpiresAt)
		}
		moved = hers
		_, ended, err := b.EndTask(ctx, caller1("mira"), agent.ID, "OPS-1", "done")
		if w.insist(err); len(ended) != 1 || ended[0] != one {
			w.fail("I-02", "the end of a task ended %v, and not %s", ended, one)
		}
	})
	w.in(25*time.Second, "between", "", func() {
		w.expect("promise", his, access.Active)
		w.expect("promise", hers, access.Active)
		w.expect("promise", two, access.Active)
		w.expect("I-02", one, access.Ended)
	})
	w.soon(40*time.Second, "who answers goes", func() {
		w.expect("I-02", his, access.Ended)
		for _, id := range []access.PrincipalID{"user:mira", "user:pia"} {
			w.insist(b.Disable(ctx, caller1("root"), id, "gone"))
		}
		for _, g := range w.store.Grants(true) {
			if (g.Principal == agent.ID || g.Principal == cy.ID) && g.State != access.Ending {
				w.fail("Q-07", "%s lives on without anybody who answers for %s", g.ID, g.Principal)
			}
		}
		if g, _ := ask(cy, "", time.Minute); g != "" {
			w.fail("Q-07", "a vendor without a sponsor is granted something")
		}
	})
	w.in(60*time.Second, "look", "", func() {
		w.expect("Q-07", moved, access.Ended)
		w.expect("Q-07", two, access.Ended)
		p, err := principalOf(w, bo.ID)
		if w.insist(err); !p.Disabled || p.DisabledBy != access.DisabledByContract {
			w.fail("Q-07", "the contract is over, and the account open")
		}
	})
}

func principalOf(w *world, id access.PrincipalID) (p access.Principal, err error) {
	err = w.store.View(context.Background(), func(tx broker.Tx) (err error) { p, err = tx.Principal(id); return err })
	return p, err
}

// oneVoteOfTheTwo: who stands in for another votes for them, and of the two that is one
// vote: neither counts besides. It is the second stage that asks for another person.
func oneVoteOfTheTwo(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	var r access.Request
	vote := func(name string) (access.Request, error) {
		v, err := b.Vote(ctx, caller1(name), string(r.ID), access.Vote{Approve: true, Note: "yes", Seen: r.Digest})
		return v.Request, err
	}
	w.soon(4*time.Second, "ask", func() {
		_, err := b.Delegate(ctx, caller1("olga"), broker.Delegation{To: "user:pia", For: time.Minute, Why: "away"})
		w.insist(err)
		v, err := b.Submit(ctx, caller1("mira"), broker.Ask{Resource: "db0", Role: "writer", Duration: time.Minute, Reason: "r", Key: "k", Body: access.Digest{1}})
		w.insist(err)
		r = v.Request
		_, err = vote("pia")
		w.insist(err)
		for _, name := range []string{"olga", "pia"} {
			if is, err := vote(name); err == nil {
				w.fail("I-10", "%s counts besides the vote that was given for olga, and the request is %s", name, is.State)
			}
		}
		is, err := vote("otto")
		if w.insist(err); is.State != access.RequestIsGranted {
			w.fail("I-10", "two persons have said yes, and the request is %s", is.State)
		}
	})
}

// twoAskedFor: where two of a group are asked for, one is not enough.
func twoAskedFor(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	w.soon(4*time.Second, "ask", func() {
		w.insist(w.apply(b, needs("guests-ask", "guests", "reader, owner", 2)))
		v, err := b.Submit(context.Background(), caller1("gus"), broker.Ask{Resource: "db0", Role: "reader", Duration: time.Minute, Reason: "r", Key: "k", Body: access.Digest{1}})
		w.insist(err)
		for _, x := range []struct {
			who  string
			want access.RequestState
		}{{"olga", access.RequestPending}, {"otto", access.RequestIsGranted}} {
			if got := w.approve(b, v.Request.ID, x.who); got.Request.State != x.want {
				w.fail("T-03", "after the yes of %s a request that needs two is %s", x.who, got.Request.State)
			}
		}
	})
}
