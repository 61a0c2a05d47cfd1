package broker_test

import (
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// Somebody to whom an approver handed their approvals sees what waits, votes for them,
// and is one vote with them; when it is over they see it no more.
func TestDelegation(t *testing.T) {
	in := newInstallation(t)
	ctx := t.Context()
	in.apply(guests("{approvals: [{from: [user:omar]}]}"))
	hand := func(from, to string, span time.Duration) (access.Delegation, error) {
		return in.Delegate(ctx, in.as(from), broker.Delegation{To: access.NewPrincipalID(access.User, to), For: span, Why: "on leave"})
	}
	v, err := in.Submit(ctx, in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	if n := in.waiting("noor"); n != 0 {
		t.Fatalf("%d wait for noor", n)
	}
	d, err := hand("omar", "noor", time.Hour)
	must(t, err)
	if n, m := in.waiting("noor"), in.waiting("omar"); n != 1 || m != 1 {
		t.Errorf("it waits for noor %d times, for omar %d", n, m)
	}
	_, err = in.View(ctx, in.as("noor"), string(v.Request.ID))
	must(t, err)
	_, err = in.Question(ctx, in.as("noor"), string(v.Request.ID), "which customer?")
	must(t, err)
	v, err = in.yes("noor", v)
	must(t, err)
	if a := v.Request.Approvals; len(a) != 1 || a[0].By != "user:noor" || a[0].For != "user:omar" {
		t.Errorf("approved by %+v", a)
	}
	in.until("gus", string(v.Request.ID), access.Active)

	// It passes on no further, and reaches nothing that either of them asks for.
	_, err = hand("mira", "omar", time.Hour)
	wantCode(t, err, "delegate-away")
	_, err = hand("noor", "mira", time.Hour)
	must(t, err)
	v, err = in.Submit(ctx, in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	if n := in.waiting("mira"); n != 0 {
		t.Errorf("%d wait for who stands in for who stands in", n)
	}
	_, err = in.yes("mira", v)
	wantCode(t, err, "not-found")

	// Whoever it is for must be somebody at the time of the vote.
	in.change(func(p *access.Principal) { p.Disabled = true }, "omar")
	if n := in.waiting("noor"); n != 0 {
		t.Errorf("%d wait for who stands in for nobody", n)
	}
	in.change(func(p *access.Principal) { p.Disabled = false }, "omar")

	// Others learn nothing of it, and cannot end it.
	for _, who := range []string{"gus", "mira"} {
		_, err = in.EndDelegation(ctx, in.as(who), string(d.ID))
		wantCode(t, err, "no-such-delegation")
	}
	if ds, err := in.Delegations(ctx, in.as("gus")); err != nil || len(ds) != 0 {
		t.Errorf("gus sees %v, %v", ds, err)
	}
	if ds, err := in.Delegations(ctx, in.as("noor")); err != nil || len(ds) != 2 {
		t.Errorf("noor sees %v, %v", ds, err)
	}
	_, err = in.EndDelegation(ctx, in.as("omar"), string(d.ID)[:16])
	must(t, err)
	if n := in.waiting("noor"); n != 0 {
		t.Errorf("%d wait for noor after it was ended", n)
	}
	_, err = in.yes("noor", v)
	wantCode(t, err, "not-found")
	_, err = hand("omar", "ghost", time.Hour)
	wantCode(t, err, "no-such-user")
	_, err = hand("omar", "olga", broker.DefaultDelegation+time.Second)
	wantCode(t, err, "long-delegation")
}

// A vote that was given for somebody still counts when the access starts later, also
// after the delegation is over; not if whoever it was for is asked no more.
func TestDelegatedVoteAtTheStart(t *testing.T) {
	in := newInstallation(t)
	ctx := t.Context()
	in.apply(guests("{approvals: [{from: [group:dba]}]}"))
	_, err := in.Delegate(ctx, in.as("omar"), broker.Delegation{To: "user:noor", For: 2 * time.Second, Why: "at lunch"})
	must(t, err)
	begins := time.Now().Add(4 * time.Second)
	soon := ask("reader", time.Minute)
	soon.Start = begins
	good, err := in.Submit(ctx, in.as("gus"), soon)
	must(t, err)
	bad, err := in.Submit(ctx, in.as("gus"), soon)
	must(t, err)
	good, err = in.yes("noor", good)
	must(t, err)
	// The other one is approved by olga herself, who then leaves.
	bad, err = in.yes("olga", bad)
	must(t, err)
	in.change(func(p *access.Principal) { p.Groups = nil }, "olga")
	in.until("gus", string(good.Request.ID), access.Active)
	g := in.until("gus", string(bad.Request.ID), access.Ended).Grant
	if g.EndReason != access.ByPolicy {
		t.Errorf("it ended %s", g.EndReason)
	}
}

// Whoever approves nothing themselves hands nothing on: neither a vendor whom a policy's
// group holds, nor one who became so after they delegated.
func TestVendorsDelegateNothing(t *testing.T) {
	h := newHouse(t, time.Hour)
	h.apply(partyDocuments + "---\n" + guests("{approvals: [{from: [user:bo, user:omar]}]}"))
	_, err := h.Delegate(t.Context(), h.by(bo), broker.Delegation{To: "user:noor", For: time.Hour, Why: "away"})
	wantCode(t, err, "not-of-the-house")
	_, err = h.Delegate(t.Context(), h.as("omar"), broker.Delegation{To: bo, For: time.Hour, Why: "away"})
	wantCode(t, err, "not-of-the-house")
	_, err = h.Delegate(t.Context(), h.as("omar"), broker.Delegation{To: "user:noor", For: time.Hour, Why: "away"})
	must(t, err)
	h.change(func(p *access.Principal) {
		p.Sponsor, p.Company, p.Until = "user:olga", "Acme", time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	}, "omar")
	v, err := h.Submit(t.Context(), h.as("gus"), ask("reader", time.Minute))
	if err == nil {
		_, err = h.yes("noor", v)
		wantCode(t, err, "not-found")
	}
}
