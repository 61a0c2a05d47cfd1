package broker_test

import (
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
)

const lookTests = "tests:\n- name: platform asks an owner\n  principal: {name: mira, groups: [platform]}\n  resource: safe\n  role: look\n  for: 1h\n  expect: approve\n  policy: lookers\n"

// TestPolicyTestsAreKept: by whoever may write the policy, with an event, and they are run
// under what is to be.
func TestPolicyTestsAreKept(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	for who, code := range map[string]string{"axel": "not-yours", "mira": "not-yours", "ada": "", "pia": "", "omar": ""} {
		err := g.SavePolicyTests(ctx, g.who[who], "lookers", lookTests)
		if code == "" {
			must(t, err)
		} else if err == nil {
			t.Errorf("%s keeps tests", who)
		}
	}
	if _, err := g.PolicyTests(ctx, g.who["mira"]); access.KindOf(err) != access.Denied {
		t.Errorf("mira reads them: %v", err)
	}
	kept, err := g.PolicyTests(ctx, g.who["axel"])
	must(t, err)
	if kept["lookers"].Text != lookTests || len(kept) != 1 {
		t.Errorf("kept is %+v", kept)
	}
	wantCode(t, g.SavePolicyTests(ctx, g.who["ada"], "none", lookTests), "no-such-policy")
	wantCode(t, g.SavePolicyTests(ctx, g.who["ada"], "lookers", "tests:\n- name: x\n"+strings.Repeat("#", 64<<10)), "too-many-tests")
	if err := g.SavePolicyTests(ctx, g.who["ada"], "lookers", "tests: [{nam: x}]\n"); err == nil {
		t.Error("what nobody understands is kept")
	}
	now, err := g.RunPolicyTests(ctx, g.who["axel"], "", nil, nil)
	must(t, err)
	then, err := g.RunPolicyTests(ctx, g.who["ada"], "", nil, []policy.File{{Name: "x.yaml", Text: wider}})
	must(t, err)
	if len(now) != 1 || now[0].Results.Failed() != 0 || len(then) != 1 || then[0].Results.Failed() != 1 {
		t.Errorf("now %+v, then %+v", now, then)
	}
	n := 0
	for _, e := range g.logged(t) {
		if e.Type == broker.PolicyTestsSaved {
			if n++; e.Version != int64(n) || e.Facts["policy"] != "lookers" {
				t.Errorf("logged is %+v", e)
			}
		}
	}
	if n != 3 {
		t.Errorf("%d events, want 3", n)
	}
	must(t, g.SavePolicyTests(ctx, g.who["ada"], "lookers", " \n"))
	if kept, err := g.PolicyTests(ctx, g.who["ada"]); err != nil || len(kept) != 0 {
		t.Errorf("forgotten, and kept is %+v, %v", kept, err)
	}
}

// TestApplyOn: a change is made on the version that it was looked at on, or not at all.
func TestApplyOn(t *testing.T) {
	g := newGoverned(t)
	narrower := []policy.File{{Name: "edit.yaml", Text: "kind: Policy\nname: no\neffect: deny\nsubjects: [user:mira]\nroles: [look]\n"}}
	was := g.version()
	_, err := g.ApplyOn(t.Context(), g.who["ada"], narrower, was-1)
	wantCode(t, err, "base-moved")
	if g.version() != was {
		t.Error("it was made all the same")
	}
	if _, err := g.ApplyOn(t.Context(), g.who["ada"], narrower, was); err != nil || g.version() != was+1 {
		t.Errorf("documents at %d after %d, %v", g.version(), was, err)
	}
}

// TestProposalsWaiting counts what waits for somebody else than who proposed it.
func TestProposalsWaiting(t *testing.T) {
	g := newGoverned(t)
	g.propose("ada", wider)
	for who, want := range map[string]int{"ada": 0, "ada-at-home": 0, "bea": 1, "pia": 1, "axel": 0, "omar": 0, "mira": 0} {
		if n, err := g.ProposalsWaiting(t.Context(), g.who[who]); err != nil || n != want {
			t.Errorf("%d wait for %s, want %d, %v", n, who, want, err)
		}
	}
	_, err := g.apply("bea", "kind: Policy\nname: no\neffect: deny\nsubjects: [user:mira]\nroles: [look]\n")
	must(t, err)
	if n, err := g.ProposalsWaiting(t.Context(), g.who["bea"]); err != nil || n != 0 {
		t.Errorf("%d wait that are stale, %v", n, err)
	}
}

// TestPreviewOnCall: what would be if somebody were on call, which changes nothing.
func TestPreviewOnCall(t *testing.T) {
	g := newGoverned(t)
	p := g.propose("ada", `
kind: Resource
name: low
type: fake
criticality: low
connection: {address: "127.0.0.1:7", credential: login}
---
kind: Role
name: low-look
resources: {names: [low]}
mechanism: account
fake: {memberOf: [app_read]}
maxDuration: 4h
---
kind: Schedule
name: night
layers: [{members: [user:olga], start: "2026-01-05 09:00", shift: 7d}]
---
kind: Policy
name: on-call
subjects: ["oncall:night"]
roles: [low-look]
`)
	must(t, g.approve("bea", p, p.Digest))
	ask := broker.Ask{Resource: "low", Role: "low-look", Duration: 60e9 * 30, Reason: "look at it"}
	for schedule, want := range map[string]access.Effect{"": access.Deny, "night": access.Allow} {
		if x, err := g.PreviewOnCall(t.Context(), g.who["ada"], ask, "user:mira", schedule); err != nil || x.Decision.Effect != want {
			t.Errorf("on call in %q: %s, %v", schedule, x.Decision.Effect, err)
		}
	}
	_, err := g.PreviewOnCall(t.Context(), g.who["ada"], ask, "user:mira", "none")
	wantCode(t, err, "no-such-schedule")
	if _, err := g.PreviewOnCall(t.Context(), g.who["mira"], ask, "user:olga", ""); access.KindOf(err) != access.Denied {
		t.Errorf("mira asks about olga: %v", err)
	}
}
