package broker_test

import (
	"testing"

	"stint/internal/access"
	"stint/internal/broker"
)

// One administrator makes the second alone; from then on an office takes both, and not
// the one who gains by it. To take one away takes nobody.
func TestOfficesTakeTwo(t *testing.T) {
	in := newInstallation(t)
	ctx, root := t.Context(), in.as("root")
	noor := broker.Office{User: "user:noor", Admin: true, Author: true}
	give := func(o broker.Office) *access.Proposal {
		t.Helper()
		p, err := in.GiveOffice(ctx, root, o)
		must(t, err)
		return p
	}
	if p := give(noor); p != nil {
		t.Fatalf("alone: %+v", p)
	}
	if _, err := in.GiveOffice(ctx, in.as("mira"), noor); access.KindOf(err) != access.Denied {
		t.Errorf("by nobody: %v", err)
	}
	in.change(func(p *access.Principal) { p.Admin = true }, "olga")
	in.change(func(p *access.Principal) { p.Author = true }, "mira")
	if p := give(broker.Office{User: "user:olga", Admin: true}); p != nil {
		t.Errorf("what she has: %+v", p)
	}
	p := give(noor)
	if p == nil || p.Kind != access.ProposesOffice || p.Summary != "user:noor administers Stint, writes policies" {
		t.Fatalf("%+v", p)
	}
	olga, mira := second(in), in.as("mira")
	mira.Principal.Author = true
	for who, c := range map[string]broker.Caller{"who proposed it": root, "a policy author": mira, "nobody": in.as("gus")} {
		if _, err := in.Approve(ctx, c, string(p.ID), p.Digest, ""); err == nil {
			t.Errorf("%s approved it", who)
		}
	}
	_, err := in.Approve(ctx, olga, string(p.ID), access.Digest{1}, "")
	wantCode(t, err, "other-proposal")
	done, err := in.Approve(ctx, olga, string(p.ID), p.Digest, "")
	must(t, err)
	ps, err := in.Principals(ctx, root, access.User)
	must(t, err)
	for _, u := range ps {
		if u.ID == "user:noor" && (!u.Admin || !u.Author || u.Auditor) || done.State != access.ProposalApplied {
			t.Errorf("%+v, the proposal is %s", u, done.State)
		}
	}
	// An administrator approves nothing for themselves.
	p = give(broker.Office{User: "user:olga", Auditor: true})
	_, err = in.Approve(ctx, olga, string(p.ID), p.Digest, "")
	wantCode(t, err, "own-office")
	// Who lost the right meanwhile gives nothing.
	p = give(broker.Office{User: "user:gus", Admin: true})
	in.change(func(p *access.Principal) { p.Admin = false }, "olga")
	_, err = in.Approve(ctx, olga, string(p.ID), p.Digest, "")
	wantCode(t, err, "not-yours")
	// Disabled, an administrator comes back by two.
	in.change(func(p *access.Principal) { p.Admin = true }, "olga")
	in.change(func(p *access.Principal) { p.Disabled = true }, "noor")
	if p = give(broker.Office{User: "user:noor", Enable: true}); p == nil {
		t.Error("an administrator is enabled by one")
	}
	in.change(func(p *access.Principal) { p.Disabled = true }, "gus")
	if p = give(broker.Office{User: "user:gus", Enable: true}); p != nil {
		t.Error("a member takes two to be enabled")
	}
}
