package policy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
)

const parties = `
kind: Policy
name: people
subjects: [group:platform]
roles: [reader]
require: {approvals: [{from: [manager]}], maxDuration: 1h, answerWithin: 2h}
---
kind: Policy
name: agents
subjects: [group:agents]
roles: [reader]
require: {approvals: [{from: [group:dba], count: 2}], maxDuration: 2h}
---
kind: Policy
name: vendors
subjects: [group:acme]
roles: [reader]
require: {approvals: [{from: [sponsor]}]}
---
kind: Policy
name: vendors-from-their-office
effect: deny
subjects: ["*"]
roles: ["*"]
when: principal.kind == "vendor" && !source.ip.inCIDR("203.0.113.0/24")
`

func agentAsk(d time.Duration) Ask {
	a := ask()
	a.Duration, a.Task = d, "OPS-1"
	a.Principal = access.Principal{ID: "agent:fixer", Person: "ana", Responsible: "user:ana", Groups: []access.Group{"agents"}, Until: noon.Add(30 * 24 * time.Hour)}
	a.Answers = &access.Principal{ID: "user:ana", Person: "ana", Groups: []access.Group{"platform"}, Manager: "user:noor"}
	return a
}

// What an agent is allowed is never more than what its human is, for drawn asks and in
// every phase: not where they are not, not longer, not with fewer approvals of anybody.
func TestAgentIsWithinItsHuman(t *testing.T) {
	s := compile(t, shop+"---"+parties)
	for _, d := range []time.Duration{time.Minute, time.Hour, 90 * time.Minute, 3 * time.Hour} {
		for _, p := range []Phase{AtRequest, AtActivation, Alive} {
			for _, bend := range []func(*Ask){
				func(*Ask) {}, func(a *Ask) { a.Answers.Groups = nil }, func(a *Ask) { a.Answers.Disabled = true }, func(a *Ask) { a.Answers = nil },
				func(a *Ask) { a.Answers.Manager = "" }, func(a *Ask) { a.Principal.Groups = nil }, func(a *Ask) { a.Answers.ID = "user:other" },
				func(a *Ask) { a.EndsBy = noon }, func(a *Ask) { a.Answers.Sponsor = "user:x" },
			} {
				a := agentAsk(d)
				bend(&a)
				got := s.Decide(a, p, noon)
				if got.Effect == access.Deny {
					continue
				}
				if a.Answers == nil || a.Answers.Disabled || a.Answers.ID != "user:ana" || a.Answers.Sponsor != "" || !a.EndsBy.IsZero() {
					t.Fatalf("allowed without anybody who answers: %s", said(got))
				}
				h := a
				h.Principal, h.Answers = *a.Answers, nil
				human := s.Decide(h, p, noon)
				if human.Effect == access.Deny || got.MaxDuration > human.MaxDuration || human.Effect == access.Approve && got.Effect != access.Approve {
					t.Errorf("%s in phase %d: the agent has %s, its human %s", d, p, said(got), said(human))
				}
				for _, q := range human.Approvals {
					found := false
					for _, have := range got.Approvals {
						found = found || asMuch(have, q)
					}
					if !found {
						t.Errorf("nobody of %v is asked: %s", q.From, said(got))
					}
				}
			}
		}
	}
	d := s.Decide(agentAsk(time.Hour), AtRequest, noon)
	if d.Effect != access.Approve || len(d.Approvals) != 2 || d.AnswerWithin != 2*time.Hour || d.MaxDuration != time.Hour {
		t.Errorf("%s, %d requirements, within %s, up to %s", said(d), len(d.Approvals), d.AnswerWithin, d.MaxDuration)
	}
	x := s.Explain(agentAsk(90*time.Minute), noon)
	if x.Decision.Effect != access.Deny || !strings.Contains(said(x.Decision), "may have no more than user:ana") || len(x.Offers) == 0 || x.Offers[0].Duration != time.Hour {
		t.Errorf("%s; offers %v", said(x.Decision), x.Offers)
	}
}

func TestVendorDecisions(t *testing.T) {
	s := compile(t, shop+"---"+parties)
	vendor := func(bend func(*Ask)) access.Decision {
		a := ask()
		a.Duration, a.Source.IP = time.Hour, netip.MustParseAddr("203.0.113.7")
		a.Principal = access.Principal{ID: "user:bo", Person: "bo", Sponsor: "user:omar", Company: "Acme", Groups: []access.Group{"acme"}, Until: noon.Add(time.Hour)}
		a.Answers = &access.Principal{ID: "user:omar", Person: "omar"}
		bend(&a)
		return s.Decide(a, AtRequest, noon)
	}
	if d := vendor(func(*Ask) {}); d.Effect != access.Approve || d.Approvals[0].From[0] != "user:omar" || !d.Conditional {
		t.Errorf("%s %v", said(d), d.Approvals)
	}
	for text, bend := range map[string]func(*Ask){
		"the contract of user:bo ends at":            func(a *Ask) { a.Duration += time.Minute },
		"ends at 2026-11-21 13:00 UTC, before":       func(a *Ask) { a.Start = noon.Add(time.Minute) },
		"denies when":                                func(a *Ask) { a.Source.IP = netip.MustParseAddr("198.51.100.1") },
		"its condition could not be evaluated":       func(a *Ask) { a.Source = access.Source{} },
		"user:omar is disabled":                      func(a *Ask) { a.Answers.Disabled = true },
		"nobody answers for user:bo":                 func(a *Ask) { a.Answers = nil },
		"its time was up":                            func(a *Ask) { a.Principal.Until = noon },
		"names another sponsor: stint admin vendor ": func(a *Ask) { a.Principal.Sponsor = "user:else" },
	} {
		if d := vendor(bend); d.Effect != access.Deny || !strings.Contains(said(d), text) {
			t.Errorf("%s: %s", text, said(d))
		}
	}
}

// A policy that asks for a recording lets nobody through where nothing records.
func TestNoRecording(t *testing.T) {
	s := compile(t, shop+"---\nkind: Policy\nname: p\nsubjects: ['*']\nroles: [reader]\nrequire: {recording: true}\n")
	if d := s.Decide(ask(), AtRequest, noon); d.Effect != access.Deny || !strings.Contains(said(d), "sessions of role reader on postgres do not go through one") {
		t.Error(said(d))
	}
}

// A grant rests on the ticket of one system. What an agent and its human would have watched
// in two is refused, rather than watched in one of them.
func TestAgentsTicketInTwoSystems(t *testing.T) {
	other := jira + strings.ReplaceAll(jira, "corp-jira", "other-jira")
	rule := func(name, group, from string) string {
		return "---\nkind: Policy\nname: " + name + "\nsubjects: [" + group + "]\nroles: [reader]\nrequire: {approvals: [{from: [group:dba]}], ticket: {from: " + from + "}}\n"
	}
	for name, tt := range map[string]struct {
		agents, people, want string
	}{
		"one system":       {"corp-jira, endOnClose: true", "corp-jira, endOnClose: true", ""},
		"one is watched":   {"other-jira", "corp-jira, endOnClose: true", ""},
		"both are watched": {"other-jira, endOnClose: true", "corp-jira, endOnClose: true", "watched in other-jira and corp-jira"},
	} {
		s := compile(t, shop+other+strings.TrimPrefix(rule("agents", "group:agents", tt.agents), "---\n")+rule("people", "group:platform", tt.people))
		a := agentAsk(time.Hour)
		a.Ticket, a.Tickets = "OPS-1", map[string]Ticket{"corp-jira": {Open: true}, "other-jira": {Open: true}}
		d := s.Decide(a, AtRequest, noon)
		switch {
		case tt.want != "" && (d.Effect != access.Deny || !strings.Contains(said(d), tt.want)):
			t.Errorf("%s: %s; want %q", name, said(d), tt.want)
		case tt.want == "" && (d.Effect == access.Deny || d.Policy != "agents" || d.Behalf != "people"):
			t.Errorf("%s: %s, by %s and %s", name, said(d), d.Policy, d.Behalf)
		}
	}
}
