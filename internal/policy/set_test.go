package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
)

func TestAccessors(t *testing.T) {
	s := compile(t, shop+rule("b", `{subjects: ["*"], roles: [any]}`)+rule("a", `{subjects: ["*"], roles: ["*"]}`))
	var names []string
	for _, r := range s.Resources() {
		names = append(names, string(r.Name))
	}
	for _, r := range s.Roles() {
		names = append(names, string(r.Name))
	}
	for _, r := range s.Policies() {
		names = append(names, string(r.Name))
	}
	want := "orders-db payments-db reader owner any b a"
	if got := strings.Join(names, " "); got != want || s.Version() != 7 || len(s.Documents()) != 7 {
		t.Errorf("got %s, version %d, %d documents; want %s, in document order", got, s.Version(), len(s.Documents()), want)
	}
	r, ok := s.Resource("payments-db")
	if !ok || r.Criticality != access.Low || r.Source != "policy.yaml:13" {
		t.Errorf("got %+v, %v", r, ok)
	}
	role, ok := s.Role("owner")
	if !ok || role.Mechanism != access.Member || role.Source != "policy.yaml:27" {
		t.Errorf("got %+v, %v", role, ok)
	}
	if _, ok := s.Role("nobody"); ok {
		t.Error("found a role that is not there")
	}
}

func TestCompileKeepsAuthors(t *testing.T) {
	docs := parse(t, shop)
	docs[2].Author = "user:olga"
	s, err := Compile(docs, schemas, 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.Documents(), docs); diff != "" {
		t.Errorf("got -, want +:\n%s", diff)
	}
	_, err = Compile(append(docs, docs[0]), schemas, 1)
	if err == nil || err.Error() != "policy.yaml:2: Resource orders-db is defined twice, first at policy.yaml:2" {
		t.Errorf("got %v for a document given twice", err)
	}
}

func TestDefaults(t *testing.T) {
	s := compile(t, `{kind: Resource, name: db, type: postgres, connection: {address: "[::1]:5432", database: d, credential: c, sslmode: disable}}
---
{kind: Role, name: r, resources: {names: [db], criticality: high}, mechanism: enable, postgres: {account: a}, maxDuration: 1d, exclusive: true, clock: request, endOn: {logout: true, idle: 15m}}
---
{kind: Role, name: q, resources: {criticality: [low, high]}, mechanism: account, postgres: {memberOf: [b, a]}, maxDuration: 1h}
`)
	db, _ := s.Resource("db")
	if db.Criticality != access.High {
		t.Errorf("a resource nobody classified is %s, want high", db.Criticality)
	}
	got, err := s.Resolve(Ask{Principal: mira(), Resource: "db", Role: "r"})
	if err != nil || got.Clock != access.FromRequest || got.Endings != (access.Endings{OnLogout: true, OnIdle: 15 * time.Minute}) ||
		!got.Permissions.Exclusive || got.Target.Account != "a" || got.MaxDuration != 24*time.Hour {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = s.Resolve(Ask{Principal: mira(), Resource: "db", Role: "q"})
	if err != nil || got.Clock != access.FromEffective || strings.Join(got.Permissions.Rights, " ") != "a b" {
		t.Errorf("got %+v, %v; want the effective clock and sorted rights", got, err)
	}
}

func TestWarnings(t *testing.T) {
	s := compile(t, shop+
		"{kind: Role, name: strong, resources: {names: [orders-db]}, mechanism: account, postgres: {memberOf: [root]}, maxDuration: 1h}\n---\n"+
		"{kind: Role, name: lost, resources: {type: postgres, labels: {no: where}}, mechanism: account, postgres: {memberOf: [a]}, maxDuration: 1h}\n---\n"+
		rule("all", `{effect: deny, subjects: ["*"], roles: ["*"]}`)+
		rule("far", `{subjects: [group:a], roles: [strong], resources: {names: [payments-db]}}`)+
		rule("long", `{subjects: [group:a], roles: [any], require: {maxDuration: 9h, mfa: true, ticket: {pattern: INC}}}`))
	want := Problems{
		{"policy.yaml", 25, "role reader allows 4h, and the ceiling of orders-db no more than 3h", ""},
		{"policy.yaml", 20, "no policy allows role reader", ""},
		{"policy.yaml", 27, "no policy allows role owner", ""},
		{"policy.yaml", 41, "role strong cannot be used on orders-db: its ceiling (policy.yaml:10) does not allow memberOf root", ""},
		{"policy.yaml", 43, "role lost covers no resource", ""},
		{"policy.yaml", 45, "policy all denies everything to everybody", ""},
		{"policy.yaml", 47, "policy far reaches no resource", ""},
		{"policy.yaml", 49, "the ticket pattern of policy long matches anywhere in the text", "write it as ^…$"},
		{"policy.yaml", 49, "policy long allows 9h, and none of its roles so long", ""},
	}
	if diff := cmp.Diff(Problems(s.Warnings()), want); diff != "" {
		t.Errorf("got -, want +:\n%s", diff)
	}
	if s := compile(t, shop+rule("p", `{subjects: ["*"], roles: ["*"]}`)); len(s.Warnings()) != 1 {
		t.Errorf("got %v, want only that reader is longer than the ceiling", s.Warnings())
	}
}

// TestVocabulary evaluates every variable against what it stands for.
func TestVocabulary(t *testing.T) {
	conditions := map[string]string{
		"request.duration":         `request.duration == duration("1h")`,
		"request.reason":           `request.reason.startsWith("read")`,
		"request.ticket":           `request.ticket.matches("^INC-[0-9]+$")`,
		"request.start":            `request.start == timestamp("2026-11-23T08:30:00Z")`,
		"principal.name":           `principal.name == "mira"`,
		"principal.id":             `principal.id == "user:mira"`,
		"principal.kind":           `principal.kind == "user"`,
		"principal.person":         `principal.person == "mira"`,
		"principal.groups":         `"platform" in principal.groups && principal.groups.exists(g, g.endsWith("form"))`,
		"principal.attributes":     `principal.attributes.site == resource.location && principal.attributes["site"] == "berlin"`,
		"principal.admin":          `!principal.admin`,
		"resource.name":            `resource.name == "orders-db"`,
		"resource.type":            `resource.type == "postgres"`,
		"resource.labels":          `resource.labels.env == "prod" && !has(resource.labels.tier) && size(resource.labels) == 2`,
		"resource.criticality":     `resource.criticality in ["high", "critical"]`,
		"resource.criticalityRank": `resource.criticalityRank == 3`,
		"resource.owners":          `resource.owners == ["group:dba", "user:olga"]`,
		"resource.location":        `resource.location == "berlin"`,
		"role.name":                `role.name == "reader"`,
		"role.mechanism":           `role.mechanism == "account"`,
		"principal.onCall":         `!("payments" in principal.onCall) && size(principal.onCall) == 0`,
		"history.sinceSame":        `history.sinceSame > duration("24h")`,
		"request.task":             `request.task == "OPS-12"`,
		"principal.company":        `principal.company == "Acme"`,
		"principal.sponsor":        `principal.sponsor == "user:omar"`,
		"principal.responsible":    `principal.responsible == ""`,
		"source.ip":                `source.ip == ip("127.0.0.1") && cidr("127.0.0.0/8").containsIP(source.ip) && source.ip.family() == 4`,
		"source.device":            `source.device == "dev1"`,
		"auth.provider":            `auth.provider == "corp-sso"`,
		"auth.mfa":                 `auth.mfa`,
		"auth.amr":                 `"otp" in auth.amr && size(auth.amr) == 2`,
		"auth.acr":                 `auth.acr == "high"`,
		"auth.time":                `now.timestamp - auth.time == duration("10m")`,
		"now.weekday":              `now.weekday == "Saturday"`,
		"now.hour":                 `now.hour == 13`,
		"now.minute":               `now.minute == 0`,
		"now.date":                 `now.date == "2026-11-21"`,
		"now.time":                 `now.time >= "09:00" && now.time < "17:30"`,
		"now.timestamp":            `now.timestamp + duration("30m") < request.start`,
		"start.weekday":            `start.weekday == "Monday"`,
		"start.hour":               `start.hour == 9`,
		"start.minute":             `start.minute == 30`,
		"start.date":               `start.date == "2026-11-23"`,
		"start.time":               `start.time == "09:30"`,
		"ticket.open":              `ticket.open`,
		"ticket.namesResource":     `ticket.namesResource`,
		"ticket.assignee":          `ticket.assignee == principal.person`,
		"ticket.reporter":          `ticket.reporter == "noor"`,
		"ticket.editedBy":          `ticket.editedBy == "omar"`,
	}
	for _, v := range variables {
		name, condition := v.name, conditions[v.name]
		text := shop + "kind: Policy\nname: p\nsubjects: ['*']\nroles: [reader]\nzone: Europe/Berlin\nwhen: |\n  " + condition + "\n"
		if strings.HasPrefix(name, "ticket.") {
			text = jira + strings.TrimSuffix(text, "\n") + " && " + byOthers + "\nrequire: {ticket: {from: corp-jira}}\n"
		}
		s := compile(t, text)
		a := ask()
		a.Start = time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC)
		a.Task = "OPS-12"
		if strings.Contains(condition, "user:omar") || strings.Contains(condition, "Acme") { // of a vendor
			a.Principal.Sponsor, a.Principal.Company = "user:omar", "Acme"
			a.Answers = &access.Principal{ID: "user:omar", Person: "omar"}
		}
		a.Tickets = map[string]Ticket{"corp-jira": theirs()}
		a.Source.Auth = access.Auth{Provider: "corp-sso", At: noon.Add(-10 * time.Minute), Methods: []string{"otp", "pwd"}, Class: "high", MFA: true}
		if d := s.Decide(a, AtRequest, noon); d.Effect != access.Allow {
			t.Errorf("%s: %s", name, said(d))
		}
		if !strings.Contains(condition, name) {
			t.Errorf("%s is not in its condition", name)
		}
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	s := compile(t, many(20))
	done := make(chan Explanation)
	for range 4 {
		go func() { done <- s.Explain(ask(), noon) }()
	}
	for range 4 {
		if x := <-done; x.Decision.Effect != access.Approve {
			t.Error(said(x.Decision))
		}
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string][2]bool{ // valid, loopback
		"db1:5432": {true, false}, "db1.example.com:1": {true, false}, "10.0.0.1:5432": {true, false},
		"127.0.0.1:5432": {true, true}, "127.9.9.9:1": {true, true}, "localhost:5432": {true, true}, "[::1]:5432": {true, true},
		"[2001:db8::1]:5432": {true, false}, "localhost.example.com:1": {true, false},
		"db1": {false, false}, "db1:": {false, false}, ":5432": {false, false}, "db1:0": {false, false}, "db1:05": {false, false},
		"db1:65536": {false, false}, "db1:+1": {false, false}, "a@b:1": {false, false}, "a b:1": {false, false}, "/tmp/s:1": {false, false},
		"-h:1": {false, false}, "db1.:1": {false, false}, "::1:5432": {false, false}, "[fe80::1%eth0]:1": {false, false}, "[::1:1": {false, false}, "[]:1": {false, false},
	} {
		if got := ValidAddress(address); got != want[0] {
			t.Errorf("%s: valid is %v", address, got)
		}
		if want[0] && loopback(address) != want[1] {
			t.Errorf("%s: loopback is %v", address, !want[1])
		}
	}
}

func TestHints(t *testing.T) {
	known := []string{"reader", "orders-owner", "when", "while"}
	for word, want := range map[string]string{"raeder": "reader", "READER": "reader", "whne": "when", "whil": "while", "xyz": "", "": "", "order-owner": "orders-owner", strings.Repeat("r", 99): ""} {
		if got := nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
