package broker_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/store"
)

// apply puts documents over those of the installation.
func (in *installation) apply(text string) {
	in.t.Helper()
	_, err := in.Apply(in.t.Context(), in.as("root"), []policy.File{{Name: "more.yaml", Text: text}}, false)
	must(in.t, err)
}

// change edits principals in the store, as sign-in does.
func (in *installation) change(edit func(*access.Principal), names ...string) {
	in.t.Helper()
	must(in.t, in.store.Update(in.t.Context(), func(tx *store.Tx) error {
		for _, name := range names {
			p, err := tx.Principal(access.NewPrincipalID(access.User, name))
			if err != nil {
				return err
			}
			edit(&p)
			p.Version++
			if err := tx.SavePrincipals(p); err != nil {
				return err
			}
		}
		return nil
	}))
	in.PeopleChanged()
}

func (in *installation) yes(name string, v broker.View) (broker.View, error) {
	return in.Vote(in.t.Context(), in.as(name), string(v.Request.ID), access.Vote{Approve: true, Seen: v.Request.Digest})
}

func (in *installation) waiting(name string) int {
	in.t.Helper()
	found, err := in.Inbox(in.t.Context(), in.as(name), broker.InboxQuery{Limit: 100})
	must(in.t, err)
	if found.Waits != len(found.Views) || found.Next != "" {
		in.t.Errorf("%d wait for %s, of which there are %d, and then %q", found.Waits, name, len(found.Views), found.Next)
	}
	return found.Waits
}

// guests is a policy for gus, with approvals.
func guests(require string) string {
	return "kind: Policy\nname: with-approval\nsubjects: [group:guests]\nroles: [reader]\nrequire: " + require + "\n"
}

// A request goes from stage to stage: who is of a later one neither sees it nor has a
// say, and it becomes a grant with the last yes.
func TestStagesOneByOne(t *testing.T) {
	in := newInstallation(t)
	in.apply(guests("{approvals: [{from: [group:dba]}, {from: [user:noor], stage: 2}]}"))
	v, err := in.Submit(t.Context(), in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	if n, m := in.waiting("omar"), in.waiting("noor"); n != 1 || m != 0 {
		t.Errorf("it waits for omar %d times, for noor %d", n, m)
	}
	_, err = in.yes("noor", v)
	wantCode(t, err, "not-found")
	v, err = in.yes("omar", v)
	must(t, err)
	if n, m := in.waiting("olga"), in.waiting("noor"); n != 0 || m != 1 || v.Request.State != access.RequestPending {
		t.Errorf("after the first stage it waits for olga %d times, for noor %d", n, m)
	}
	_, err = in.yes("olga", v)
	wantCode(t, err, "not-an-approver")
	v, err = in.yes("noor", v)
	must(t, err)
	in.until("gus", string(v.Request.ID), access.Active)
}

// What nobody could approve is not sent, and says who is missing; it is once there is
// somebody.
func TestNobodyToApprove(t *testing.T) {
	in := newInstallation(t)
	ctx, gus := t.Context(), in.as("gus")
	refused := func(require, why string) {
		t.Helper()
		in.apply(guests(require))
		for range 2 { // from a copy that is fresh, and from one that is there
			_, err := in.Submit(ctx, gus, ask("reader", time.Minute))
			wantCode(t, err, "nobody-to-approve")
			if err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %v does not say %q", require, err, why)
			}
		}
		_, err := in.Preview(ctx, gus, ask("reader", time.Minute), "")
		wantCode(t, err, "nobody-to-approve")
		if rs, err := in.Requests(ctx, gus, access.RequestQuery{States: []access.RequestState{access.RequestPending}}); err != nil || len(rs) != 0 {
			t.Errorf("%s: there are %d requests, %v", require, len(rs), err)
		}
	}
	allowed := func(require string) {
		t.Helper()
		in.apply(guests(require))
		_, err := in.Preview(ctx, gus, ask("reader", time.Minute), "")
		must(t, err)
		v, err := in.Submit(ctx, gus, ask("reader", time.Minute))
		must(t, err)
		_, err = in.Cancel(ctx, gus, string(v.Request.ID))
		must(t, err)
	}
	refused("{approvals: [{from: [group:nobody]}]}", "1 from group:nobody, and nobody could give one")
	refused("{approvals: [{from: [group:guests]}]}", "1 from group:guests, and nobody") // gus alone
	refused("{approvals: [{from: [group:dba], count: 3}]}", "3 from group:dba, and only olga, omar")
	refused("{approvals: [{from: [user:olga]}, {from: [user:olga], stage: 2}]}", "together its approvals need more people than there are")
	refused("{approvals: [{from: [user:omar, user:ghost], all: true}]}", "1 from user:ghost, and nobody")
	refused("{approvals: [{from: [service:ci]}]}", "nobody could give one")

	in.change(func(p *access.Principal) { p.Person = "gus" }, "noor") // another login of his
	refused("{approvals: [{from: [user:noor]}]}", "1 from user:noor, and nobody")
	in.change(func(p *access.Principal) { p.Person = "olga" }, "noor") // and of hers
	refused("{approvals: [{from: [user:noor]}, {from: [user:olga]}]}", "together")
	in.change(func(p *access.Principal) { p.Person = "noor" }, "noor")
	in.change(func(p *access.Principal) { p.Disabled = true }, "olga")
	refused("{approvals: [{from: [group:dba], count: 2}]}", "2 from group:dba, and only omar")
	in.change(func(p *access.Principal) { p.Disabled, p.Until = false, time.Now().Add(-time.Hour) }, "olga")
	refused("{approvals: [{from: [group:dba], count: 2}]}", "2 from group:dba, and only omar")
	in.change(func(p *access.Principal) { p.Until = time.Time{} }, "olga")

	in.stop() // a process that read nothing yet
	in.start()
	allowed("{approvals: [{from: [group:dba], count: 2}]}")
	allowed("{approvals: [{from: [group:dba]}, {from: [user:omar], stage: 2}]}")
	allowed(`{approvals: [{from: ["*"], count: 5}]}`)
	refused(`{approvals: [{from: ["*"], count: 6}]}`, "6 from *, and")
	allowed("{approvals: [{from: [group:nobody], escalate: {after: 1h, to: [group:dba]}}]}")
}

// Who alone can fill a later stage is not used up in an earlier one.
func TestNeededLater(t *testing.T) {
	in := newInstallation(t)
	in.apply(guests("{approvals: [{from: [group:dba]}, {from: [user:omar], stage: 2}]}"))
	v, err := in.Submit(t.Context(), in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	_, err = in.yes("omar", v)
	wantCode(t, err, "needed-later")
	v, err = in.yes("olga", v)
	must(t, err)
	v, err = in.yes("omar", v)
	must(t, err)
	in.until("gus", string(v.Request.ID), access.Active)

	v, err = in.Submit(t.Context(), in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	v, err = in.Vote(t.Context(), in.as("omar"), string(v.Request.ID), access.Vote{Note: "not today"}) // a no uses nobody up
	must(t, err)
	if v.Request.State != access.RequestIsDenied {
		t.Errorf("it is %s", v.Request.State)
	}
}

// The manager's manager is found in the store, and asked.
func TestManagersManager(t *testing.T) {
	in := newInstallation(t)
	in.apply(guests("{approvals: [{from: [manager.manager]}]}"))
	_, err := in.Preview(t.Context(), in.as("gus"), ask("reader", time.Minute), "")
	must(t, err) // an explanation, with a no
	in.change(func(p *access.Principal) { p.Manager = "user:mira" }, "gus")
	in.change(func(p *access.Principal) { p.Manager = "user:noor" }, "mira")
	v, err := in.Submit(t.Context(), in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	_, err = in.yes("mira", v)
	wantCode(t, err, "not-found")
	v, err = in.yes("noor", v)
	must(t, err)
	in.until("gus", string(v.Request.ID), access.Active)
}

// Time asks others when nobody answers, and ends what nobody answered in time.
func TestEscalatesAndLapses(t *testing.T) {
	in := newInstallation(t)
	in.apply(guests("{answerWithin: 3s, approvals: [{from: [group:dba], escalate: {after: 1s, to: [user:noor]}}]}"))
	v, err := in.Submit(t.Context(), in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	lapses, err := in.Submit(t.Context(), in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	id := string(v.Request.ID)
	_, err = in.yes("noor", v)
	wantCode(t, err, "not-found")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	v, err = in.Wait(ctx, in.as("gus"), id, func(v broker.View) bool { return len(v.Request.Escalated) > 0 })
	must(t, err)
	if since := v.Now.Sub(v.Request.CreatedAt); since < time.Second || v.Request.Version != 2 {
		t.Errorf("escalated after %s, version %d", since, v.Request.Version)
	}
	v, err = in.yes("noor", v)
	must(t, err)
	in.until("gus", id, access.Active)
	lapses, err = in.Wait(ctx, in.as("gus"), string(lapses.Request.ID), func(v broker.View) bool { return v.Request.State != access.RequestPending })
	must(t, err)
	if r := lapses.Request; r.State != access.RequestTimedOut || !r.ExpiresAt.Equal(r.CreatedAt.Add(3*time.Second)) || r.DecidedAt.Before(r.ExpiresAt) || len(r.Escalated) != 1 {
		t.Errorf("%s at %s, until %s", r.State, r.DecidedAt, r.ExpiresAt)
	}
}

// Roles that exclude each other are refused to one person, by whichever login, also
// when they are asked for at the same moment.
func TestExcludedRoles(t *testing.T) {
	in := newInstallation(t)
	in.apply("kind: Role\nname: owner\nresources: {names: [db]}\nmechanism: group\nfake: {account: mira, memberOf: [app_owner]}\nmaxDuration: 1h\nexcludes: [reader]\n")
	in.change(func(p *access.Principal) { p.Person = "mira" }, "noor")
	noor := in.as("noor")
	noor.Principal.Person, noor.Actor.Person = "mira", "mira"
	v := in.hold("mira", "reader", time.Minute)
	denied := func(c broker.Caller, role string) {
		t.Helper()
		v, err := in.Submit(t.Context(), c, ask(role, time.Minute))
		must(t, err)
		if v.Request.State != access.RequestIsDenied || !strings.Contains(v.Request.Decision.Reasons[0].Text, "and nobody has that and "+role+" at a time") {
			t.Errorf("%s: %+v", v.Request.State, v.Request.Decision)
		}
	}
	denied(in.as("mira"), "owner")
	denied(noor, "owner")
	_, err := in.End(t.Context(), in.as("mira"), string(v.Request.ID), "")
	must(t, err)
	in.until("mira", string(v.Request.ID), access.Ended)

	// Both at once: one is granted.
	for range 5 {
		var wg sync.WaitGroup
		var got [2]broker.View
		for i, c := range []broker.Caller{in.as("mira"), noor} {
			wg.Go(func() {
				var err error
				if got[i], err = in.Submit(t.Context(), c, ask([]string{"reader", "owner"}[i], time.Minute)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if (got[0].Grant == nil) == (got[1].Grant == nil) {
			t.Fatalf("of two that exclude each other: %s and %s", got[0].Request.State, got[1].Request.State)
		}
		for i, c := range []broker.Caller{in.as("mira"), noor} {
			if got[i].Grant != nil {
				_, err := in.End(t.Context(), c, string(got[i].Request.ID), "")
				must(t, err)
				in.until("root", string(got[i].Request.ID), access.Ended, access.Failed)
			}
		}
	}

	// Two that were approved for the same time: the second does not start.
	in.apply(guests("{approvals: [{from: [group:dba]}]}") + "---\nkind: Policy\nname: owners\nsubjects: [group:guests]\nroles: [owner]\nrequire: {approvals: [{from: [group:dba]}]}\n")
	var asked [2]broker.View
	for i, role := range []string{"reader", "owner"} {
		if asked[i], err = in.Submit(t.Context(), in.as("gus"), ask(role, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	first, err := in.yes("omar", asked[0])
	must(t, err)
	in.until("gus", string(first.Request.ID), access.Active)
	second, err := in.yes("omar", asked[1])
	must(t, err)
	if g := second.Grant; g == nil || g.EndReason != access.ByPolicy || !g.Over() {
		t.Errorf("the second one is %+v", g)
	}
}

// One person has no more than a policy lets them have at a time.
func TestLimitsOfAPerson(t *testing.T) {
	in := newInstallation(t)
	in.apply(guests("{limits: {live: 1, pending: 1}, approvals: [{from: [group:dba]}]}"))
	in.apply("kind: Policy\nname: at-once\nsubjects: [group:platform]\nroles: [reader, shared]\nrequire: {limits: {live: 2}}\n")
	state := func(name, role string, want access.RequestState) broker.View {
		t.Helper()
		v, err := in.Submit(t.Context(), in.as(name), ask(role, time.Minute))
		must(t, err)
		if v.Request.State != want {
			t.Errorf("%s for %s is %s, want %s: %v", role, name, v.Request.State, want, v.Request.Decision.Reasons)
		}
		return v
	}
	in.hold("mira", "reader", time.Minute)
	in.hold("mira", "shared", time.Minute)
	state("mira", "reader", access.RequestIsDenied)
	state("noor", "reader", access.RequestIsGranted)

	v := state("gus", "reader", access.RequestPending)
	state("gus", "reader", access.RequestIsDenied)
	v, err := in.yes("omar", v)
	must(t, err)
	in.until("gus", string(v.Request.ID), access.Active)
	state("gus", "reader", access.RequestIsDenied)
	x, err := in.Extend(t.Context(), in.as("gus"), string(v.Request.ID), ask("", time.Minute)) // the same one, for longer
	must(t, err)
	if x.Request.State != access.RequestPending {
		t.Errorf("the extension is %s: %v", x.Request.State, x.Request.Decision.Reasons)
	}
}

// What somebody said yes to lately needs no second yes; what they took away again does.
func TestSameAgain(t *testing.T) {
	in := newInstallation(t)
	in.apply(guests("{approvals: [{from: [group:dba]}]}") +
		"---\nkind: Policy\nname: again\nsubjects: [group:guests]\nroles: [reader]\nwhen: history.sinceSame <= duration(\"1h\")\n")
	ctx, gus := t.Context(), in.as("gus")
	again := func(d time.Duration, want access.RequestState) broker.View {
		t.Helper()
		v, err := in.Submit(ctx, gus, ask("reader", d))
		must(t, err)
		if v.Request.State != want {
			t.Fatalf("for %s it is %s, want %s", d, v.Request.State, want)
		}
		return v
	}
	v := again(time.Minute, access.RequestPending)
	v, err := in.Vote(ctx, in.as("omar"), string(v.Request.ID), access.Vote{Approve: true, Duration: 30 * time.Second})
	must(t, err)
	in.until("gus", string(v.Request.ID), access.Active)
	longer := again(time.Minute, access.RequestPending) // than what was approved
	v = again(30*time.Second, access.RequestIsGranted)
	in.until("gus", string(v.Request.ID), access.Active)
	again(20*time.Second, access.RequestIsGranted)

	// The last word was a no.
	_, err = in.Vote(ctx, in.as("olga"), string(longer.Request.ID), access.Vote{Note: "enough for today"})
	must(t, err)
	v = again(20*time.Second, access.RequestPending)
	v, err = in.yes("olga", v)
	must(t, err)
	again(20*time.Second, access.RequestIsGranted)
	// And here it was taken away.
	_, err = in.Revoke(ctx, in.as("root"), broker.Selector{Grant: string(v.Request.ID)}, "not like this")
	must(t, err)
	again(20*time.Second, access.RequestPending)
}

// A question and its answer are seen by both, and change nothing.
func TestQuestions(t *testing.T) {
	in := newInstallation(t)
	v, err := in.Submit(t.Context(), in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	id := string(v.Request.ID)
	_, err = in.Question(t.Context(), in.as("mira"), id, "what for?")
	wantCode(t, err, "not-found")
	_, err = in.Answer(t.Context(), in.as("gus"), id, "for this")
	wantCode(t, err, "nothing-asked")
	_, err = in.Question(t.Context(), in.as("omar"), id, "which customer?")
	must(t, err)
	_, err = in.Answer(t.Context(), in.as("omar"), id, "any")
	wantCode(t, err, "not-yours")
	v, err = in.Answer(t.Context(), in.as("gus"), id, "4711")
	must(t, err)
	seen, err := in.View(t.Context(), in.as("olga"), id)
	must(t, err)
	if rs := seen.Request.Remarks; len(rs) != 2 || rs[0].Text != "which customer?" || rs[0].Person != "omar" || rs[1].Text != "4711" || !rs[1].Answer {
		t.Errorf("remarks %+v", rs)
	}
	v, err = in.yes("omar", v)
	must(t, err)
	in.until("gus", id, access.Active)
}

// Whoever is on call is asked, and after the handover the next one; a yes that was
// given on call still counts when the access starts after it.
func TestOnCallIsAsked(t *testing.T) {
	t.Parallel() // it waits
	in := newInstallation(t)
	shift := func(until time.Time, who string) {
		t.Helper()
		in.apply("kind: Schedule\nname: night\nlayers: [{members: [" + who + "], start: \"" + until.AddDate(0, 0, -1).UTC().Format(time.RFC3339Nano) + "\", shift: 1d}]\n---\n" +
			guests("{approvals: [{from: ['oncall:night']}]}"))
	}
	long := time.Now().AddDate(0, 0, 1)
	shift(long, "user:gus") // himself, and nobody after him
	_, err := in.Submit(t.Context(), in.as("gus"), ask("reader", time.Minute))
	wantCode(t, err, "nobody-to-approve")

	handover := time.Now().Add(4 * time.Second)
	shift(handover, "user:noor, user:mira")
	soon := ask("reader", time.Minute)
	soon.Start = handover.Add(time.Second)
	later, err := in.Submit(t.Context(), in.as("gus"), soon)
	must(t, err)
	v, err := in.Submit(t.Context(), in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	if n, m := in.waiting("noor"), in.waiting("mira"); n != 2 || m != 0 {
		t.Errorf("for who is on call %d wait, for who is not %d", n, m)
	}
	_, err = in.View(t.Context(), in.as("noor"), string(v.Request.ID))
	must(t, err)
	_, err = in.yes("mira", v)
	wantCode(t, err, "not-found")
	later, err = in.yes("noor", later)
	must(t, err)

	in.until("gus", string(later.Request.ID), access.Active) // after the handover
	if n, m := in.waiting("noor"), in.waiting("mira"); n != 0 || m != 1 {
		t.Errorf("after the handover %d wait for who is off call, %d for who is on", n, m)
	}
	_, err = in.yes("noor", v)
	wantCode(t, err, "not-found")
	v, err = in.yes("mira", v)
	must(t, err)
	in.until("gus", string(v.Request.ID), access.Active)
}
