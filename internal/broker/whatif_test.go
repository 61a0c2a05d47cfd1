package broker_test

import (
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
)

func files(text string) []policy.File { return []policy.File{{Name: "edit.yaml", Text: text}} }

// TestWhatIf: what an edit would change is said before it is made, and is what happens.
func TestWhatIf(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	v, err := g.Submit(ctx, g.who["mira"], broker.Ask{Resource: "safe", Role: "look", Duration: time.Hour, Reason: "look at it"})
	must(t, err)
	_, err = g.Vote(ctx, g.who["olga"], string(v.Request.ID), access.Vote{Approve: true})
	must(t, err)
	v = g.until("mira", string(v.Request.ID), access.Active)
	other := g.hold("mira", "reader", time.Hour) // on another resource, by another policy
	edit := "kind: Policy\nname: lookers\nsubjects: [group:dba]\nroles: [look]\nrequire: {approvals: [{from: [owner], count: 1}]}\n"
	w, err := g.WhatIf(ctx, g.who["pia"], files(edit))
	must(t, err)
	if len(w.Ends) != 1 || w.Ends[0].Grant != v.Grant.ID || w.Ends[0].Resource != "safe" || w.Ends[0].Why == "" {
		t.Errorf("would end: %+v", w.Ends)
	}
	gains, loses := "", ""
	for _, c := range w.Diff.Can {
		for _, who := range c.Who {
			switch c.Op {
			case policy.Gains:
				gains += who + " "
			case policy.Loses:
				loses += who + " "
			}
		}
	}
	if gains != "user:olga user:omar " || loses != "user:mira user:noor " || !w.InForce || len(w.Grave) != 1 {
		t.Errorf("%q gain, %q lose, %+v", gains, loses, w.Grave)
	}
	if got, err := g.View(ctx, g.who["mira"], string(v.Request.ID)); err != nil || got.Grant.State != access.Active {
		t.Fatalf("the question changed something: %+v, %v", got.Grant, err)
	}
	p := g.propose("ada", edit)
	shown, err := g.Proposal(ctx, g.who["omar"], string(p.ID))
	must(t, err)
	if len(shown.Ends) != 1 || shown.Ends[0].Grant != v.Grant.ID {
		t.Errorf("the proposal would end: %+v", shown.Ends)
	}
	must(t, g.approve("omar", p, p.Digest))
	g.until("mira", string(v.Request.ID), access.Ended)
	if got, err := g.View(ctx, g.who["mira"], string(other.Request.ID)); err != nil || got.Grant.State != access.Active {
		t.Errorf("another grant is %+v, %v", got.Grant, err)
	}
}

// TestWhatIfIsForSome: members learn nothing by it, owners of what is theirs only.
func TestWhatIfIsForSome(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	both := wider + "---\nkind: Policy\nname: at-large\nsubjects: [\"*\"]\nroles: [reader]\n"
	for who, want := range map[string][]access.ResourceName{"ada": {"db", "safe"}, "pia": {"db", "safe"}, "axel": {"db", "safe"}, "olga": {"safe"}} {
		w, err := g.WhatIf(ctx, g.who[who], files(both))
		must(t, err)
		seen := map[access.ResourceName]bool{}
		for _, c := range w.Diff.Can {
			seen[c.Resource] = true
		}
		for _, r := range want {
			if !seen[r] {
				t.Errorf("%s does not see %s", who, r)
			}
			delete(seen, r)
		}
		if len(seen) > 0 {
			t.Errorf("%s sees besides: %v", who, seen)
		}
	}
	_, err := g.WhatIf(ctx, g.who["mira"], files(both))
	wantCode(t, err, "not-yours-to-write")
	_, err = g.Replay(ctx, g.who["mira"], files(both), time.Hour)
	wantCode(t, err, "not-yours-to-write")
}

// TestReplayOfRequests: past requests are decided again as they were asked.
func TestReplayOfRequests(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	submit := func(d time.Duration) access.RequestID {
		v, err := g.Submit(ctx, g.who["mira"], broker.Ask{Resource: "safe", Role: "look", Duration: d, Reason: "look at it"})
		must(t, err)
		return v.Request.ID
	}
	long, short := submit(2*time.Hour), submit(10*time.Minute)
	edit := "kind: Policy\nname: lookers\nsubjects: [group:platform]\nroles: [look]\nrequire: {maxDuration: 1h, approvals: [{from: [owner], count: 1}]}\n"
	r, err := g.Replay(ctx, g.who["axel"], files(edit), broker.MostReplayed)
	must(t, err)
	if len(r.Differ) != 1 || r.Differ[0].Request != long || r.Differ[0].Was != access.Approve || r.Differ[0].After.Effect != access.Deny || r.Asked != 2 {
		t.Errorf("got %+v; short is %s", r, short)
	}
	// Who was disabled since is decided as if they were not: the documents are in question.
	must(t, g.Disable(ctx, g.who["ada"], "user:mira", "gone"))
	if r, err = g.Replay(ctx, g.who["olga"], files(edit), time.Hour); err != nil || len(r.Differ) != 1 {
		t.Errorf("after mira was disabled: %+v, %v", r, err)
	}
	_, err = g.Replay(ctx, g.who["ada"], files(edit), 31*24*time.Hour)
	wantCode(t, err, "bad-since")
	if same, err := g.Replay(ctx, g.who["ada"], files("kind: Policy\nname: lookers\nsubjects: [group:platform]\nroles: [look]\nrequire: {approvals: [{from: [owner], count: 1}]}\n"), time.Hour); err != nil || len(same.Differ) != 0 {
		t.Errorf("the same documents: %+v, %v", same, err)
	}
}
