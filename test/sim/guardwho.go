package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
)

// whoMay are stories about who may ask, decide, and take away, and about what the record
// says of it.
var whoMay = []protection{
	{"who may revoke what", 60 * time.Second, true, mayRevoke},
	{"who may stop grants", 30 * time.Second, true, mayStop},
	{"disabled with all they stand behind", 60 * time.Second, true, disabledWithAll},
	{"one vote of the two", 20 * time.Second, true, oneVoteOfTheTwo},
	{"two are asked for", 20 * time.Second, true, twoAskedFor},
	{"ends with who answers for them", 70 * time.Second, true, endsWithWhoAnswers},
	{"disabled with a thousand grants to come", 40 * time.Second, true, disabledWithMany},
	{"what may be asked", 60 * time.Second, true, mayAsk},
	{"what may be extended", 60 * time.Second, true, mayExtend},
	{"asked too often", 30 * time.Second, true, tooMany},
	{"who may vote, and when", 60 * time.Second, true, mayVote},
	{"nobody decides, or who asked takes it back", 24*time.Hour + 20*time.Second, true, undecided},
}

func init() { protections = append(protections, whoMay...) }

// pending lets gus ask for what somebody has to approve.
func (w *world) pending(b *broker.Broker, key string, d time.Duration) access.Request {
	v, err := b.Submit(context.Background(), caller1("gus"), broker.Ask{Resource: "db0", Role: "reader", Duration: d, Reason: key, Key: key, Body: access.Digest{1}})
	w.insist(err)
	return v.Request
}

// approve has olga, or others, say yes to a request.
func (w *world) approve(b *broker.Broker, id access.RequestID, who ...string) (v broker.View) {
	for _, name := range who {
		r, _ := w.store.Request(id)
		var err error
		v, err = b.Vote(context.Background(), caller1(name), string(id), access.Vote{Approve: true, Seen: r.Digest})
		w.insist(err)
	}
	return v
}

// mayRevoke: administrators revoke anything, owners what reaches their own, each what they
// named and nothing else; who names nothing that is there is told so.
func mayRevoke(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	has := map[string]access.GrantID{}
	var open access.Request
	var hers access.GrantID
	w.soon(3*time.Second, "ask", func() {
		has["mira"], has["noor"], has["pia"] = w.submit(b, "mira", "reader", 10*time.Minute), w.submit(b, "noor", "reader", 10*time.Minute), w.submit(b, "pia", "reader", 10*time.Minute)
		has["paul"], has["pia too"], has["pia three"] = w.submit(b, "paul", "owner", 10*time.Minute), w.submit(b, "pia", "owner", 10*time.Minute), w.submit(b, "pia", "shared", 10*time.Minute)
		hers, open = has["mira"], w.pending(b, "open", time.Minute)
	})
	w.soon(8*time.Second, "revoke", func() {
		type no struct {
			who  string
			s    broker.Selector
			why  string
			kind error
		}
		for _, x := range []no{
			{"root", broker.Selector{}, "x", access.Invalid}, {"root", broker.Selector{User: "mira", Role: "reader"}, "x", access.Invalid},
			{"root", broker.Selector{User: "mira"}, " ", access.Invalid},
			{"root", broker.Selector{User: "mria"}, "x", access.NotFound}, {"root", broker.Selector{User: "user:mria"}, "x", access.NotFound},
			{"root", broker.Selector{Role: "raeder"}, "x", access.NotFound}, {"root", broker.Selector{Resource: "db9"}, "x", access.NotFound},
			{"root", broker.Selector{Grant: "req_nothing"}, "x", access.NotFound}, {"root", broker.Selector{Grant: string(open.ID)}, "x", access.Conflict},
			{"mira", broker.Selector{Grant: string(has["mira"])}, "x", access.Denied}, {"paul", broker.Selector{Grant: string(has["mira"])}, "x", access.NotFound},
			{"mira", broker.Selector{User: "paul"}, "x", access.Denied}, {"mira", broker.Selector{Resource: "db0"}, "x", access.Denied},
			{"mira", broker.Selector{Role: "reader"}, "x", access.Denied}, {"mira", broker.Selector{All: true}, "x", access.Denied},
			{"omar", broker.Selector{User: "mira"}, "x", access.Denied}, {"omar", broker.Selector{All: true}, "x", access.Denied},
		} {
			if _, err := b.Revoke(ctx, caller1(x.who), x.s, x.why); !errors.Is(err, x.kind) {
				w.fail("I-19", "%s revokes %s because of %q, and is told: %v", x.who, x.s, x.why, err)
			}
		}
		if w.logged(broker.AccessRevoked) {
			w.fail("I-15", "a revocation is on record that nobody may make")
		}
	})
	w.soon(12*time.Second, "revoke", func() {
		for _, x := range []struct {
			who  string
			s    broker.Selector
			what string
			ends []string
		}{
			{"root", broker.Selector{User: "gil"}, "user gil", nil}, // who has nothing
			{"root", broker.Selector{Grant: string(has["mira"])}, "grant " + string(has["mira"]), []string{"mira"}},
			{"omar", broker.Selector{Grant: string(has["noor"])}, "grant " + string(has["noor"]), []string{"noor"}},
			{"root", broker.Selector{User: "user:paul"}, "user user:paul", []string{"paul"}},
			{"root", broker.Selector{Role: "owner"}, "role owner", []string{"pia too"}},
			{"root", broker.Selector{User: "pia"}, "user pia", []string{"pia", "pia three"}},
		} {
			got, err := b.Revoke(ctx, caller1(x.who), x.s, "an exercise")
			w.insist(err)
			w.ended(x.what, got, has, x.ends)
			if said := w.said(broker.AccessRevoked, "what"); said != x.what {
				w.fail("I-15", "the log says that %q is revoked, and it was %q", said, x.what)
			}
		}
		has["noor"], has["paul"] = w.submit(b, "noor", "reader", 10*time.Minute), w.submit(b, "paul", "owner", 10*time.Minute)
		got, err := b.Revoke(ctx, caller1("omar"), broker.Selector{Resource: "db0"}, "it is mine")
		w.insist(err)
		w.ended("db0", got, has, []string{"noor", "paul"})
		if said := w.said(broker.AccessRevoked, "what"); said != "resource db0" {
			w.fail("I-15", "the log says that %q is revoked, and it was db0", said)
		}
	})
	w.soon(20*time.Second, "look", func() {
		if n := w.usable(); n > 0 {
			w.fail("I-02", "%d privileges can be used after all was revoked", n)
		}
		if _, err := b.Revoke(ctx, caller1("root"), broker.Selector{Grant: string(hers)}, "again"); !errors.Is(err, access.Conflict) {
			w.fail("I-19", "who revokes what has ended is told: %v", err)
		}
	})
}

// ended fails the run unless the grants of some, of all who have one, were just ended.
func (w *world) ended(what string, got []access.GrantID, has map[string]access.GrantID, ends []string) {
	var want []access.GrantID
	for _, name := range ends {
		want = append(want, has[name])
		if w.is(has[name], access.Active) {
			w.fail("I-02", "revoking %s does not end the grant of %s", what, name)
		}
		delete(has, name)
	}
	slices.Sort(want)
	if slices.Sort(got); !slices.Equal(got, want) {
		w.fail("I-02", "revoking %s is said to end %v, and should end %v", what, got, want)
	}
	for name, g := range has {
		if !w.is(g, access.Active) {
			w.fail("promise", "revoking %s ends the grant of %s", what, name)
		}
	}
}

// mayStop: administrators stop grants, with a reason, and that is on record.
func mayStop(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	w.soon(3*time.Second, "stop", func() {
		for who, why := range map[string]string{"mira": "x", "omar": "x", "root": " "} {
			if err := b.SetStop(ctx, caller1(who), true, why); err == nil {
				w.fail("I-19", "%s stops grants because of %q", who, why)
			}
		}
		w.submit(b, "mira", "reader", time.Minute)
		w.insist(b.SetStop(ctx, caller1("root"), true, "an exercise"))
		if stopped, why, err := b.Stopped(ctx); err != nil || !stopped || why != "an exercise" || w.said(broker.GrantsStopped, "why") != why {
			w.fail("I-15", "grants are stopped: %t, because of %q, and the log says %q", stopped, why, w.said(broker.GrantsStopped, "why"))
		}
		w.insist(b.SetStop(ctx, caller1("root"), false, "it is over"))
		if !w.logged(broker.GrantsResumed) {
			w.fail("I-15", "grants go on, and the log does not say so")
		}
	})
}

// disabledWithAll: who is disabled loses logins, requests and grants, and so does what
// they stand behind; nobody else does, and only another administrator does it, once.
func disabledWithAll(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	robot := caller1("mira")
	robot.Principal.ID = access.NewPrincipalID(access.Service, "robot")
	robot.Principal.Groups, robot.Actor.Principal = []access.Group{"platform", "guests"}, robot.Principal.ID
	other := robot.Principal
	other.ID, other.Person = access.NewPrincipalID(access.Agent, "fixer"), "noor"
	logins := map[access.Digest]access.PrincipalID{{1}: caller1("mira").Principal.ID, {2}: robot.Principal.ID, {3}: other.ID}
	var hers, its, noors access.GrantID
	var open access.Request
	w.soon(2*time.Second, "settle", func() {
		w.insist(w.store.Update(ctx, func(tx broker.Tx) error {
			for token, id := range logins {
				if err := tx.SaveLogin(access.Login{Token: token, Principal: id, Device: "d", SealKey: make([]byte, 32), CreatedAt: tx.Now(), ExpiresAt: tx.Now().Add(time.Hour)}); err != nil {
					return err
				}
			}
			off := robot.Principal
			off.ID, off.Disabled = access.NewPrincipalID(access.Agent, "off"), true
			return tx.SavePrincipals(robot.Principal, other, off)
		}))
	})
	w.soon(3*time.Second, "ask", func() {
		hers, noors = w.submit(b, "mira", "reader", 10*time.Minute), w.submit(b, "noor", "reader", 10*time.Minute)
		v, err := b.Submit(ctx, robot, broker.Ask{Resource: "db0", Role: "shared", Duration: 10 * time.Minute, Reason: "r", Key: "k1", Body: access.Digest{1}})
		w.insist(err)
		its = v.Grant.ID
		v, err = b.Submit(ctx, robot, broker.Ask{Resource: "db0", Role: "writer", Duration: time.Minute, Reason: "r", Key: "k2", Body: access.Digest{1}})
		w.insist(err)
		open = v.Request
	})
	w.soon(8*time.Second, "disable", func() {
		id := caller1("mira").Principal.ID
		for _, who := range []string{"omar", "mira"} {
			if err := b.Disable(ctx, caller1(who), id, "x"); err == nil {
				w.fail("I-19", "%s disables mira", who)
			}
		}
		if err := b.Disable(ctx, caller1("root"), caller1("root").Principal.ID, "x"); err == nil {
			w.fail("I-19", "an administrator disables themselves")
		}
		w.insist(b.Disable(ctx, caller1("root"), id, "gone"))
		if err := b.Disable(ctx, caller1("root"), id, "again"); !errors.Is(err, access.Conflict) {
			w.fail("I-15", "who is disabled already is disabled: %v", err)
		}
		if _, err := b.Principals(ctx, caller1("noor"), access.User); err == nil {
			w.fail("I-19", "noor lists who there is")
		}
		ps, err := b.Principals(ctx, caller1("root"), access.Service)
		if w.insist(err); len(ps) != 1 || !ps[0].Disabled {
			w.fail("Q-07", "who stands behind a service is disabled, and it is not: %v", ps)
		}
		if r, _ := w.store.Request(open.ID); r.State != access.RequestIsDenied {
			w.fail("Q-07", "what the service of a disabled person asked for is %s", r.State)
		}
		w.insist(w.store.View(ctx, func(tx broker.Tx) error {
			for token, of := range logins {
				l, err := tx.(interface {
					Login(access.Digest) (access.Login, error)
				}).Login(token)
				if err != nil {
					return err
				}
				if l.Revoked != (of != other.ID) {
					w.fail("Q-07", "the login of %s is revoked: %t", of, l.Revoked)
				}
			}
			return nil
		}))
		n := 0
		for _, ev := range w.store.Log() {
			if ev.Type == broker.PrincipalDisabled {
				n++
			}
		}
		if n != 2 {
			w.fail("I-15", "two were disabled, and the log says so of %d", n)
		}
	})
	w.in(20*time.Second, "look", "", func() {
		w.expect("Q-07", hers, access.Ended)
		w.expect("Q-07", its, access.Ended)
		w.expect("promise", noors, access.Active)
	})
}

// disabledWithMany: who is disabled loses all they have, however much that is, and so does
// who is revoked.
func disabledWithMany(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	ask := func(who string) {
		for i := range 1001 {
			_, err := b.Submit(ctx, caller1(who), broker.Ask{Resource: "db0", Role: "reader", Duration: time.Minute, Start: w.store.Now().Add(time.Hour), Reason: "r", Key: fmt.Sprint(i), Body: access.Digest{1}})
			w.insist(err)
		}
	}
	w.soon(3*time.Second, "ask", func() {
		ask("mira")
		w.insist(b.Disable(ctx, caller1("root"), caller1("mira").Principal.ID, "gone"))
		if n := len(w.store.Grants(true)); n > 0 {
			w.fail("Q-07", "%d grants of somebody who was disabled are live", n)
		}
		ask("noor")
		ended, err := b.Revoke(ctx, caller1("root"), broker.Selector{User: "noor"}, "an exercise")
		if w.insist(err); len(ended) != 1001 || len(w.store.Grants(true)) > 0 {
			w.fail("I-02", "%d grants of 1001 are revoked, and %d are live", len(ended), len(w.store.Grants(true)))
		}
	})
}

// mayAsk: what is asked is granted to who asks, if they may ask, once, and it is on record
// what for.
func mayAsk(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{seal: func(public []byte, info string, plain []byte) ([]byte, error) {
		if len(public) == 0 {
			return nil, errors.New("sim: that is no key")
		}
		return sealInClear(public, info, plain)
	}})
	ask := broker.Ask{Resource: "db0", Role: "reader", Duration: time.Minute, Reason: "because", Ticket: "T-1", Key: "k", Body: access.Digest{1}}
	w.soon(3*time.Second, "ask", func() {
		keyless := caller1("mira")
		keyless.SealKey = nil
		if _, err := b.Submit(ctx, keyless, ask); err == nil {
			w.fail("I-16", "somebody is granted what nobody can show them")
		}
		for _, bad := range []func(*broker.Ask){
			func(a *broker.Ask) { a.Reason = " " }, func(a *broker.Ask) { a.Role = "writer"; a.Resource = "db9" }, func(a *broker.Ask) { a.Role = "none" },
			func(a *broker.Ask) { a.Duration = 0 }, func(a *broker.Ask) { a.Duration = 3 * time.Hour },
		} {
			a := ask
			a.Key = ""
			bad(&a)
			if v, err := b.Submit(ctx, caller1("mira"), a); err == nil && v.Grant != nil {
				w.fail("I-11", "mira is granted %+v", a)
			}
		}
		before := len(w.store.Grants(false))
		v, err := b.Submit(ctx, caller1("mira"), ask)
		w.insist(err)
		r, g := v.Request, v.Grant
		if g == nil || r.Principal != caller1("mira").Principal.ID || r.Person != "mira" || r.Device != "device-of-mira" || r.Source.Device != r.Device || len(r.SealKey) == 0 ||
			r.Reason != "because" || r.Ticket != "T-1" || r.Documents == 0 || r.Nonce == (access.Request{}).Nonce {
			w.fail("I-04", "what was asked is not what is on record: %+v", r)
			return
		}
		again, err := b.Submit(ctx, caller1("mira"), ask)
		w.insist(err)
		if again.Request.ID != r.ID || again.Grant == nil || again.Grant.ID != g.ID || len(w.store.Grants(false)) != before+1 {
			w.fail("I-28", "the answer to a repeated call is another one")
		}
		ask.Body = access.Digest{2}
		if _, err := b.Submit(ctx, caller1("mira"), ask); !errors.Is(err, access.Conflict) {
			w.fail("I-28", "another call with the same key is taken for the first one: %v", err)
		}
		ask.Key, ask.Body = "", access.Digest{1}
		for range 2 {
			_, err := b.Submit(ctx, caller1("mira"), ask)
			w.insist(err)
		}
		if n := len(w.store.Grants(false)); n != before+3 {
			w.fail("I-28", "two calls without a key made %d grants", n-before-1)
		}
	})
	w.soon(10*time.Second, "preview", func() {
		if _, err := b.Preview(ctx, caller1("mira"), ask, caller1("noor").Principal.ID); err == nil {
			w.fail("I-19", "mira asks what noor may")
		}
		for _, who := range []string{"mira", "root"} {
			if _, err := b.Preview(ctx, caller1(who), ask, caller1("mira").Principal.ID); err != nil {
				w.insist(err)
			}
		}
	})
}

// mayExtend: only its holder extends a grant, while it lives, and in all not beyond what
// is allowed.
func mayExtend(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	var g, over access.GrantID
	var open access.Request
	extend := func(who string, id string, d time.Duration) (broker.View, error) {
		return b.Extend(ctx, caller1(who), id, broker.Ask{Duration: d, Reason: "longer", Key: fmt.Sprint(who, id, d, time.Now().UnixNano()), Body: access.Digest{7}})
	}
	w.soon(3*time.Second, "ask", func() {
		v, err := b.Submit(ctx, caller1("mira"), broker.Ask{Resource: "db0", Role: "reader", Duration: 10 * time.Minute, Reason: "r", Ticket: "T-1", Key: "k", Body: access.Digest{1}})
		w.insist(err)
		g, over = v.Grant.ID, w.submit(b, "mira", "owner", 10*time.Second)
		open = w.pending(b, "open", time.Minute)
	})
	w.soon(20*time.Second, "extend", func() {
		for _, no := range []struct {
			who, id string
			d       time.Duration
		}{
			{"paul", string(g), time.Minute}, {"root", string(g), time.Minute}, {"omar", string(g), time.Minute}, {"mira", string(g), 0}, {"mira", string(g), -time.Minute},
			{"mira", string(g), 2 * time.Hour}, {"mira", string(g), 115 * time.Minute}, {"mira", string(g), 1000 * time.Hour}, {"mira", string(over), time.Minute}, {"gus", string(open.ID), time.Minute},
		} {
			if v, err := extend(no.who, no.id, no.d); err == nil && v.Request.State == access.RequestIsGranted {
				w.fail("I-13", "%s extends %s by %s", no.who, no.id, no.d)
			}
		}
		before, _ := w.store.Grant(g)
		v, err := extend("mira", string(g), 5*time.Minute)
		w.insist(err)
		after, _ := w.store.Grant(g)
		if after.ExpiresAt.Sub(before.ExpiresAt) != 5*time.Minute || v.Request.Ticket != "T-1" || v.Request.Extends != g || v.Request.Grant != g {
			w.fail("I-13", "five more minutes are %s, for the ticket %q", after.ExpiresAt.Sub(before.ExpiresAt), v.Request.Ticket)
		}
		if v.Grant == nil || !v.Grant.ExpiresAt.Equal(after.ExpiresAt) {
			w.fail("promise", "who extends is not told the end")
		}
	})
}

// tooMany: a person has so many undecided requests and no more, whoever asks in their name.
func tooMany(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	w.soon(3*time.Second, "ask", func() {
		for i := range broker.MaxPending {
			w.pending(b, fmt.Sprint(i), time.Minute)
		}
		_, err := b.Submit(context.Background(), caller1("gus"), broker.Ask{Resource: "db0", Role: "reader", Duration: time.Minute, Reason: "r", Key: "more", Body: access.Digest{1}})
		if !errors.Is(err, access.TooMany) || len(w.store.Requests()) != broker.MaxPending {
			w.fail("I-27", "%d requests of one person are undecided", len(w.store.Requests()))
		}
	})
}

// mayVote: a yes makes the grant if it still may be made, at its time: after the people,
// the documents or the target have changed it is decided again.
func mayVote(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	vote := func(who string, r access.Request, v access.Vote) (broker.View, error) {
		return b.Vote(ctx, caller1(who), string(r.ID), v)
	}
	w.soon(3*time.Second, "vote", func() {
		r := w.pending(b, "unseen", time.Minute)
		if v, err := vote("olga", r, access.Vote{Approve: true}); err != nil || v.Grant == nil { // from where only one can be meant
			w.fail("story", "a yes makes no grant: %v", err)
		}
		if !w.logged(access.RequestApproved) {
			w.fail("I-15", "the log does not say who approved")
		}
		r = w.pending(b, "no", time.Minute)
		if v, err := vote("olga", r, access.Vote{Note: "no", Seen: r.Digest}); err != nil || v.Grant != nil || v.Request.State != access.RequestIsDenied {
			w.fail("I-10", "a no is %s: %v", v.Request.State, err)
		}
		r = w.pending(b, "stopped", time.Minute)
		w.insist(b.SetStop(ctx, caller1("root"), true, "an exercise"))
		if _, err := vote("olga", r, access.Vote{Approve: true, Seen: r.Digest}); err == nil {
			w.fail("nothing new", "olga approves although grants are stopped")
		}
		w.insist(b.SetStop(ctx, caller1("root"), false, "over"))
		v := w.approve(b, r.ID, "olga")
		if v.Grant == nil || v.Grant.State != access.Provisioning {
			w.fail("story", "it is not granted afterwards")
		}
		r = w.pending(b, "cancelled", time.Minute)
		for _, who := range []string{"olga", "gil", "root"} {
			if _, err := b.Cancel(ctx, caller1(who), string(r.ID)); err == nil {
				w.fail("I-10", "%s takes back what gus asked for", who)
			}
		}
	})
	w.soon(10*time.Second, "change", func() {
		// What is denied meanwhile is not made, and who asked is told.
		v, err := b.Submit(ctx, caller1("gus"), broker.Ask{Resource: "db0", Role: "owner", Duration: time.Minute, Reason: "r", Key: "o", Body: access.Digest{1}})
		w.insist(err)
		w.insist(w.apply(b, "kind: Policy\nname: freeze\neffect: deny\nsubjects: [group:guests]\nroles: [owner]\n"))
		v = w.approve(b, v.Request.ID, "olga")
		if v.Grant == nil || v.Grant.State != access.Ended || v.Grant.EndReason != access.ByPolicy {
			w.fail("T-09", "policy denies what was approved just now, and it is %+v", v.Grant)
		}
		// One of two who approved may not any more.
		v, err = b.Submit(ctx, caller1("mira"), broker.Ask{Resource: "db0", Role: "writer", Duration: time.Minute, Reason: "r", Key: "w", Body: access.Digest{1}})
		w.insist(err)
		w.approve(b, v.Request.ID, "olga")
		w.insist(b.Disable(ctx, caller1("root"), caller1("olga").Principal.ID, "gone"))
		v = w.approve(b, v.Request.ID, "otto")
		if v.Grant == nil || v.Grant.State != access.Ended {
			w.fail("T-09", "one of two who approved was disabled before it began, and it is %+v", v.Grant)
		}
	})
	w.in(50*time.Second, "look", "", func() {
		if n := w.usable(); n != 2 {
			w.fail("T-09", "%d privileges can be used, and two were granted", n)
		}
	})
}

// apply makes documents the newest ones.
func (w *world) apply(b *broker.Broker, text string) error {
	_, err := b.Apply(context.Background(), caller1("root"), []policy.File{{Name: "edit.yaml", Text: text}}, false)
	return err
}

// undecided: what nobody decides ends by itself, and what who asked takes back is not
// granted; both are on record.
func undecided(w *world) {
	ctx := context.Background()
	b, stop := w.life("a", w.store, nil, &wire{})
	var back, left access.Request
	w.soon(3*time.Second, "ask", func() {
		back, left = w.pending(b, "back", time.Minute), w.pending(b, "left", time.Minute)
		_, err := b.Cancel(ctx, caller1("gus"), string(back.ID))
		w.insist(err)
		if _, err := b.Vote(ctx, caller1("olga"), string(back.ID), access.Vote{Approve: true, Seen: back.Digest}); err == nil || !w.logged(access.RequestCancelled) {
			w.fail("I-10", "what gus took back is approved: %v", err)
		}
	})
	w.in(8*time.Second, "stop", "", stop) // nothing is to be done for a day
	w.in(24*time.Hour, "start", "", func() { w.process("b", w.store, nil, &wire{}) })
	w.in(24*time.Hour+10*time.Second, "look", "", func() {
		if r, _ := w.store.Request(left.ID); r.State != access.RequestTimedOut || !w.logged(access.RequestExpired) {
			w.fail("L-02", "what nobody decided in a day is %s", r.State)
		}
	})
}
