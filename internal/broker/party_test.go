package broker_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/store"
)

// The vendor bo is sponsored by olga, the agents fixer and helper act for mira.
const (
	bo     = access.PrincipalID("user:bo")
	fixer  = access.PrincipalID("agent:fixer")
	helper = access.PrincipalID("agent:helper")
)

const partyDocuments = `
kind: Policy
name: vendors
subjects: [group:acme]
roles: [reader]
when: principal.kind == "vendor" && principal.company == "Acme"
require: {approvals: [{from: [sponsor]}], maxDuration: 2h}
---
kind: Policy
name: agents
subjects: [group:agents]
roles: [reader]
when: principal.kind == "agent" && request.task != ""
require: {maxDuration: 4h}
`

// house is an installation with a vendor and two agents.
type house struct{ *installation }

func newHouse(t *testing.T, contract time.Duration) house {
	t.Helper()
	h := house{newInstallation(t)}
	now := time.Now().UTC().Truncate(time.Millisecond)
	agent := func(id access.PrincipalID) access.Principal {
		return access.Principal{ID: id, Person: "mira", Responsible: "user:mira", Groups: []access.Group{"agents"}, Version: 1, CreatedAt: now, Until: now.Add(24 * time.Hour)}
	}
	must(t, h.store.Update(t.Context(), func(tx *store.Tx) error {
		return tx.SavePrincipals(agent(fixer), agent(helper), access.Principal{ID: bo, Person: "bo", Sponsor: "user:olga", Company: "Acme",
			Groups: []access.Group{"acme"}, Version: 1, CreatedAt: now, Until: now.Add(contract)})
	}))
	h.PeopleChanged()
	h.apply(partyDocuments)
	return h
}

// by is somebody as they are now.
func (h house) by(id access.PrincipalID) broker.Caller {
	h.t.Helper()
	p := h.principal(id)
	src := access.Source{Device: access.DeviceID("device-of-" + p.ID.Name())}
	return broker.Caller{Principal: p, Source: src, Actor: access.Actor{Principal: p.ID, Person: p.Person, Device: src.Device}, SealKey: h.device[:]}
}

func (h house) principal(id access.PrincipalID) (p access.Principal) {
	h.t.Helper()
	must(h.t, h.store.View(h.t.Context(), func(tx *store.Tx) (err error) { p, err = tx.Principal(id); return err }))
	return p
}

// task is an agent's question.
func task(id string, d time.Duration) broker.Ask {
	a := ask("reader", d)
	a.Task = access.TaskID(id)
	return a
}

// wait waits for the grant of somebody's request.
func (h house) wait(id access.PrincipalID, v broker.View, states ...access.GrantState) broker.View {
	h.t.Helper()
	v, err := h.Wait(h.t.Context(), h.by(id), string(v.Request.ID), func(v broker.View) bool {
		for _, s := range states {
			if v.Grant != nil && v.Grant.State == s {
				return true
			}
		}
		return false
	})
	must(h.t, err)
	return v
}

func (h house) held(id access.PrincipalID, a broker.Ask) broker.View {
	h.t.Helper()
	v, err := h.Submit(h.t.Context(), h.by(id), a)
	must(h.t, err)
	return h.wait(id, v, access.Active)
}

func why(v broker.View) string {
	var all []string
	for _, r := range v.Request.Decision.Reasons {
		all = append(all, r.Text)
	}
	return strings.Join(all, "; ")
}

func (h house) denied(id access.PrincipalID, a broker.Ask, because string) {
	h.t.Helper()
	v, err := h.Submit(h.t.Context(), h.by(id), a)
	must(h.t, err)
	if v.Request.State != access.RequestIsDenied || !strings.Contains(why(v), because) {
		h.t.Errorf("%s: it is %s: %s; want one that says %q", id, v.Request.State, why(v), because)
	}
}

// An agent has no more than its human could ask for: not longer, not other roles, and
// nothing that would take the human an approval without that approval.
func TestAgentNeverMoreThanItsHuman(t *testing.T) {
	h := newHouse(t, time.Hour)
	ctx := t.Context()
	h.denied(fixer, task("OPS-1", 3*time.Hour), "to them it would be denied") // its own policy says 4h, mira's 2h
	v := h.held(fixer, task("OPS-1", time.Minute))
	if v.Grant.Person != "mira" || v.Request.Task != "OPS-1" {
		t.Errorf("held by %s for %q", v.Grant.Person, v.Request.Task)
	}
	_, err := h.Submit(ctx, h.by(fixer), ask("reader", time.Minute))
	wantCode(t, err, "no-task")
	_, err = h.Submit(ctx, h.as("mira"), task("OPS-1", time.Minute))
	wantCode(t, err, "not-an-agent")
	_, err = h.BreakGlass(ctx, h.by(fixer), broker.Glass{Resource: "db", Role: "reader", Reason: "down"})
	wantCode(t, err, "not-a-person")

	// gus is allowed only what two of the house know of; so is what acts for him.
	h.change(func(p *access.Principal) { p.Groups = []access.Group{"guests"} }, "mira")
	v, err = h.Submit(ctx, h.by(fixer), task("OPS-1", time.Minute))
	must(t, err)
	if v.Request.State != access.RequestPending || !strings.Contains(why(v), "asks besides for what user:mira would need: 1 approval from group:dba") {
		t.Fatalf("%s: %s", v.Request.State, why(v))
	}
	for _, who := range []access.PrincipalID{fixer, helper, "user:mira", bo} {
		if _, err := h.Vote(ctx, h.by(who), string(v.Request.ID), access.Vote{Approve: true, Seen: v.Request.Digest}); err == nil {
			t.Errorf("%s approved it", who)
		}
	}
	v, err = h.yes("omar", v)
	must(t, err)
	h.wait(fixer, v, access.Active)
}

// Two agents of one human, in the very group that approves, count as that human: neither
// decides for the other, nor the human for either.
func TestAgentsOfOneHumanDoNotApproveEachOther(t *testing.T) {
	h := newHouse(t, time.Hour)
	h.apply("kind: Policy\nname: agents\nsubjects: [group:agents]\nroles: [reader]\nrequire: {approvals: [{from: [group:agents, user:mira, user:noor]}]}\n")
	v, err := h.Submit(t.Context(), h.by(fixer), task("OPS-1", time.Minute))
	must(t, err)
	for who, code := range map[access.PrincipalID]string{fixer: "not-a-person", helper: "not-found", "user:mira": "own-request"} {
		_, err := h.Vote(t.Context(), h.by(who), string(v.Request.ID), access.Vote{Approve: true, Seen: v.Request.Digest})
		var e *access.Error
		if !errors.As(err, &e) || e.Code != code && e.Code != "not-found" {
			t.Errorf("%s: %v, want %s", who, err, code)
		}
	}
	if v, err = h.yes("noor", v); err != nil || v.Request.State != access.RequestIsGranted {
		t.Errorf("noor: %s, %v", v.Request.State, err)
	}
}

// The human is disabled between the approval and the beginning, and later while it runs.
func TestHumanGoesAndTheAgentWithThem(t *testing.T) {
	h := newHouse(t, time.Hour)
	ctx, root := t.Context(), h.as("root")
	live := h.held(fixer, task("OPS-1", time.Hour))
	later := task("OPS-1", time.Minute)
	later.Start = time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	ahead, err := h.Submit(ctx, h.by(fixer), later)
	must(t, err)
	who := h.by(fixer)
	must(t, h.Disable(ctx, root, "user:mira", "left"))
	if p := h.principal(fixer); !p.Disabled {
		t.Error("the agent can still sign in")
	}
	for _, v := range []broker.View{live, ahead} {
		v, err := h.Wait(ctx, who, string(v.Request.ID), func(v broker.View) bool { return v.Grant.Over() })
		must(t, err)
		if v.Grant.EndReason != access.ByPolicy || !v.Grant.Over() {
			t.Errorf("%s ended as %s", v.Grant.ID, v.Grant.EndReason)
		}
	}
	h.clean()
	if _, err := h.Submit(ctx, who, task("OPS-2", time.Minute)); err == nil {
		t.Error("it may ask on")
	}
}

// What the human may not any more ends for the agent too, by the same look at all grants.
func TestHumanLosesTheGroup(t *testing.T) {
	h := newHouse(t, time.Hour)
	v := h.held(fixer, task("OPS-1", time.Hour))
	h.change(func(p *access.Principal) { p.Groups = nil }, "mira")
	h.Reconsider()
	v = h.wait(fixer, v, access.Ended)
	if v.Grant.EndReason != access.ByPolicy || !strings.Contains(v.Grant.EndNote, "user:mira") {
		t.Errorf("ended as %s: %s", v.Grant.EndReason, v.Grant.EndNote)
	}
	h.clean()
}

// A task ends with all that is held for it, and its name is used up; other tasks go on.
func TestTaskEnds(t *testing.T) {
	h := newHouse(t, time.Hour)
	ctx := t.Context()
	one, two := h.held(fixer, task("OPS-1", time.Hour)), h.held(fixer, task("OPS-2", time.Hour))
	for _, who := range []access.PrincipalID{"user:noor", helper, bo} {
		_, _, err := h.EndTask(ctx, h.by(who), fixer, "OPS-1", "")
		wantCode(t, err, "no-such-task")
	}
	_, ended, err := h.EndTask(ctx, h.by("user:mira"), fixer, "OPS-1", "wrong table")
	must(t, err)
	if len(ended) != 1 || ended[0] != one.Grant.ID {
		t.Errorf("ended %v, want %s", ended, one.Grant.ID)
	}
	h.wait(fixer, one, access.Ended)
	if v := h.wait(fixer, two, access.Active); v.Grant.State != access.Active {
		t.Errorf("the other task's grant is %s", v.Grant.State)
	}
	h.denied(fixer, task("OPS-1", time.Minute), "the task OPS-1 has ended")
	_, _, err = h.EndTask(ctx, h.by(fixer), "", "OPS-1", "")
	wantCode(t, err, "task-ended")
	h.denied(fixer, task("OPS-3", 25*time.Hour), "")
}

// A vendor is asked for by their sponsor, and by nobody else; never decides; and has
// nothing beyond the contract.
func TestVendor(t *testing.T) {
	h := newHouse(t, time.Hour)
	ctx := t.Context()
	v, err := h.Submit(ctx, h.by(bo), ask("reader", 10*time.Minute))
	must(t, err)
	if _, err := h.yes("omar", v); err == nil {
		t.Error("omar approved it, who is not the sponsor")
	}
	v, err = h.yes("olga", v)
	must(t, err)
	v = h.wait(bo, v, access.Active)
	end := h.principal(bo).Until
	if v.Grant.ExpiresAt.After(end) {
		t.Errorf("it ends at %s, the contract at %s", v.Grant.ExpiresAt, end)
	}
	h.denied(bo, ask("reader", 2*time.Hour), "the contract of user:bo ends at")
	h.change(func(p *access.Principal) { p.Groups = []access.Group{"acme", "dba"} }, "bo")
	w, err := h.Submit(ctx, h.as("gus"), ask("reader", time.Minute))
	must(t, err)
	if _, err := h.Vote(ctx, h.by(bo), string(w.Request.ID), access.Vote{Approve: true, Seen: w.Request.Digest}); err == nil {
		t.Error("a vendor approved it")
	}
	g, err := h.BreakGlass(ctx, h.by(bo), broker.Glass{Resource: "db", Role: "reader", Reason: "down"})
	must(t, err)
	if g.Request.State != access.RequestIsDenied || !strings.Contains(why(g), "only people of the house") {
		t.Errorf("a vendor broke the glass: %s: %s", g.Request.State, why(g))
	}
}

// granted is a grant of the vendor, as their sponsor lets them have it.
func (h house) granted(d time.Duration) broker.View {
	h.t.Helper()
	v, err := h.Submit(h.t.Context(), h.by(bo), ask("reader", d))
	must(h.t, err)
	v, err = h.yes("olga", v)
	must(h.t, err)
	return h.wait(bo, v, access.Active)
}

// An earlier end of the contract cuts what is live; at the end everything ends: access,
// what was asked, and the account, which comes back with an extension.
func TestContractEnds(t *testing.T) {
	h := newHouse(t, time.Hour)
	ctx, olga := t.Context(), h.as("olga")
	v := h.granted(30 * time.Minute)
	asked, err := h.Submit(ctx, h.by(bo), ask("reader", 20*time.Minute))
	must(t, err)
	who := h.by(bo)

	far, near := time.Now().Add(200*24*time.Hour), time.Now().Add(time.Minute)
	_, err = h.SetContract(ctx, olga, "bo", broker.Contract{Until: &far})
	wantCode(t, err, "contract-too-long")
	sponsor := access.PrincipalID("user:omar")
	_, err = h.SetContract(ctx, olga, "bo", broker.Contract{Sponsor: &sponsor})
	wantCode(t, err, "not-yours")
	_, err = h.SetContract(ctx, h.as("omar"), "bo", broker.Contract{Until: &near})
	wantCode(t, err, "no-such-vendor")
	_, err = h.SetContract(ctx, olga, "mira", broker.Contract{Until: &near})
	wantCode(t, err, "no-such-vendor")

	near = time.Now().Add(2500 * time.Millisecond) // however long all that took
	p, err := h.SetContract(ctx, olga, "bo", broker.Contract{Until: &near, Why: "done early"})
	must(t, err)
	v, err = h.View(ctx, who, string(v.Request.ID))
	must(t, err)
	if v.Grant.ExpiresAt.After(p.Until) {
		t.Errorf("it ends at %s, the contract at %s", v.Grant.ExpiresAt, p.Until)
	}
	v, err = h.Wait(ctx, who, string(v.Request.ID), func(v broker.View) bool { return v.Grant.Over() })
	must(t, err)
	if late := v.Grant.VerifiedGoneAt.Sub(p.Until); late > 20*time.Second {
		t.Errorf("gone %s after the contract's end", late)
	}
	asked, err = h.Wait(ctx, who, string(asked.Request.ID), func(v broker.View) bool { return v.Request.State != access.RequestPending })
	must(t, err)
	h.clean()
	if p := h.principal(bo); !p.Disabled || p.DisabledBy != access.DisabledByContract {
		t.Errorf("disabled %t by %q", p.Disabled, p.DisabledBy)
	}
	if _, err := h.Submit(ctx, who, ask("reader", time.Minute)); err == nil {
		t.Error("a vendor without a contract asked")
	}

	again := time.Now().Add(time.Hour)
	if p, err = h.SetContract(ctx, h.as("root"), "bo", broker.Contract{Until: &again}); err != nil || p.Disabled {
		t.Errorf("extended: disabled %t, %v", p.Disabled, err)
	}
}

// What would begin after the contract's new end is over as soon as that is known, and what
// begins before it is only shortened.
func TestContractEndsBeforeAStart(t *testing.T) {
	h := newHouse(t, time.Hour)
	ctx := t.Context()
	ahead := func(role string, d time.Duration) broker.View {
		a := ask(role, 30*time.Minute)
		a.Start = time.Now().Add(d)
		v, err := h.Submit(ctx, h.by(bo), a)
		must(t, err)
		if v.Request.State != access.RequestPending {
			t.Fatalf("the request is %s: %s", v.Request.State, why(v))
		}
		v, err = h.yes("olga", v)
		must(t, err)
		if v.Grant.State != access.Scheduled {
			t.Fatalf("the grant is %s", v.Grant.State)
		}
		return v
	}
	before, after := ahead("reader", 5*time.Minute), ahead("reader", 25*time.Minute)
	end := time.Now().Add(20 * time.Minute)
	_, err := h.SetContract(ctx, h.as("olga"), "bo", broker.Contract{Until: &end})
	must(t, err)
	after, err = h.View(ctx, h.by(bo), string(after.Request.ID))
	must(t, err)
	if g := after.Grant; !g.Over() || g.EndReason != access.ByPolicy || g.EndNote != access.EndsBeforeStart {
		t.Errorf("what begins after the contract is %s (%s: %s)", g.State, g.EndReason, g.EndNote)
	}
	before, err = h.View(ctx, h.by(bo), string(before.Request.ID))
	must(t, err)
	if g := before.Grant; g.State != access.Scheduled || g.ExpiresAt.After(end) {
		t.Errorf("what begins before it is %s and ends at %s, the contract at %s", g.State, g.ExpiresAt, end)
	}
}

// The contract ends while the approval is waited for, and while set-up waits: what is
// given later ends with the contract all the same.
func TestApprovedLateEndsWithTheContract(t *testing.T) {
	h := newHouse(t, time.Hour)
	v, err := h.Submit(t.Context(), h.by(bo), ask("reader", 50*time.Minute))
	must(t, err)
	soon := time.Now().Add(10 * time.Minute).UTC().Truncate(time.Millisecond)
	_, err = h.SetContract(t.Context(), h.as("root"), "bo", broker.Contract{Until: &soon})
	must(t, err)
	v, err = h.yes("olga", v)
	must(t, err)
	v = h.wait(bo, v, access.Active)
	if !v.Grant.ExpiresAt.Equal(soon) {
		t.Errorf("it ends at %s, the contract at %s", v.Grant.ExpiresAt, soon)
	}
}

// And so does what is lengthened later, whoever approved a longer one.
func TestLengthenedEndsWithTheContract(t *testing.T) {
	h := newHouse(t, time.Hour)
	v := h.granted(10 * time.Minute)
	more, err := h.Extend(t.Context(), h.by(bo), string(v.Request.ID), ask("", 40*time.Minute))
	must(t, err)
	soon := time.Now().Add(20 * time.Minute).UTC().Truncate(time.Millisecond)
	_, err = h.SetContract(t.Context(), h.as("root"), "bo", broker.Contract{Until: &soon})
	must(t, err)
	if more.Request.State == access.RequestPending {
		_, err = h.yes("olga", more)
		must(t, err)
	}
	v, err = h.View(t.Context(), h.by(bo), string(v.Request.ID))
	must(t, err)
	if !v.Grant.ExpiresAt.Equal(soon) {
		t.Errorf("it ends at %s, the contract at %s", v.Grant.ExpiresAt, soon)
	}
}

// Without a sponsor there is nothing: what is live ends in the transaction that disables
// them, what is asked is refused, until another one answers.
func TestSponsorGoes(t *testing.T) {
	h := newHouse(t, time.Hour)
	ctx, root := t.Context(), h.as("root")
	v := h.granted(30 * time.Minute)
	must(t, h.Disable(ctx, root, "user:olga", "left"))
	v, err := h.View(ctx, h.by(bo), string(v.Request.ID))
	must(t, err)
	if v.Grant.Live() || !strings.Contains(v.Grant.EndNote, "user:olga, who sponsors user:bo") {
		t.Errorf("it is %s: %s", v.Grant.State, v.Grant.EndNote)
	}
	h.denied(bo, ask("reader", time.Minute), "nobody answers for user:bo: user:olga is disabled")
	for sponsor, code := range map[access.PrincipalID]string{"user:olga": "cannot-answer", "user:nobody": "no-such-sponsor", bo: "cannot-answer"} {
		_, err := h.SetContract(ctx, root, "bo", broker.Contract{Sponsor: &sponsor})
		wantCode(t, err, code)
	}
	omar := access.PrincipalID("user:omar")
	_, err = h.SetContract(ctx, root, "bo", broker.Contract{Sponsor: &omar})
	must(t, err)
	v, err = h.Submit(ctx, h.by(bo), ask("reader", time.Minute))
	must(t, err)
	v, err = h.yes("omar", v)
	must(t, err)
	h.wait(bo, v, access.Active)
}

// A sponsor is disabled while a hundred requests of the vendor are on their way: none
// of them leaves anything behind.
func TestSponsorGoesInTheMiddle(t *testing.T) {
	h := newHouse(t, time.Hour)
	h.apply("kind: Policy\nname: vendors\nsubjects: [group:acme]\nroles: [reader]\n")
	who, root := h.by(bo), h.as("root")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				_, _ = h.Submit(t.Context(), who, ask("reader", time.Minute))
			}
		})
	}
	wg.Go(func() {
		if err := h.Disable(t.Context(), root, "user:olga", "left"); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	gs, err := h.Requests(t.Context(), who, access.RequestQuery{Principal: bo, Limit: 1000})
	must(t, err)
	for _, v := range gs {
		v, err := h.Wait(t.Context(), who, string(v.Request.ID), func(v broker.View) bool { return v.Grant == nil || v.Grant.Over() })
		if err != nil || v.Grant != nil && !v.Grant.Over() {
			t.Errorf("%s is left, %v", v.Request.ID, err)
		}
	}
	h.clean()
}

// TestSponsorCannotUndo: whom an administrator or a provider disables after the contract
// ended, no sponsor lets in again.
func TestSponsorCannotUndo(t *testing.T) {
	for who, disable := range map[string]func(h house) error{
		"an administrator": func(h house) error { return h.Disable(t.Context(), h.as("root"), bo, "not again") },
		"a provider": func(h house) error {
			return h.Leave(t.Context(), access.System, bo, "corp", "left")
		},
	} {
		h := newHouse(t, time.Hour)
		over, ahead := time.Now().Add(-time.Second), time.Now().Add(24*time.Hour)
		_, err := h.SetContract(t.Context(), h.as("root"), "bo", broker.Contract{Until: &over})
		must(t, err)
		must(t, disable(h))
		_, err = h.SetContract(t.Context(), h.as("olga"), "bo", broker.Contract{Until: &ahead})
		must(t, err)
		if p := h.principal(bo); !p.Disabled {
			t.Errorf("disabled by %s, and let in again by the sponsor", who)
		}
	}
}
