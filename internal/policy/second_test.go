package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stint/internal/access"
)

// changesOf is what a merge or a removal would report.
func changesOf(before, after *Set) (out []Change) {
	old := map[string]string{}
	for _, d := range before.Documents() {
		old[key(d)] = d.Text
	}
	kept := map[string]bool{}
	for _, d := range after.Documents() {
		kept[key(d)] = true
		switch text, there := old[key(d)]; {
		case !there:
			out = append(out, Change{Created, d.Kind, d.Name})
		case text != d.Text:
			out = append(out, Change{Updated, d.Kind, d.Name})
		}
	}
	for _, d := range before.Documents() {
		if !kept[key(d)] {
			out = append(out, Change{Deleted, d.Kind, d.Name})
		}
	}
	return out
}

func TestSecondPerson(t *testing.T) {
	read := "kind: Policy\nname: read\nsubjects: [group:platform, group:dba]\nroles: [reader]\nrequire: {approvals: [{from: [group:dba], count: 1}], maxDuration: 2h}\n---\n"
	freeze := "kind: Policy\nname: freeze\neffect: deny\nsubjects: [group:guests]\nroles: [reader]\n---\n"
	pay := "kind: Policy\nname: pay\nsubjects: [group:platform]\nroles: [any]\nresources: {names: [payments-db]}\n---\n"
	lonely := "kind: Role\nname: lonely\nresources: {names: [orders-db]}\nmechanism: account\npostgres: {memberOf: [orders_read]}\nmaxDuration: 1h\n---\n"
	base := shop + read + freeze + pay + lonely
	resource := func(name, address, criticality string) string {
		return "kind: Resource\nname: " + name + "\ntype: postgres\ncriticality: " + criticality + "\nconnection: {address: '" + address + "', database: x, credential: c1}\n---\n"
	}
	for _, tt := range []struct {
		name string
		edit []string
		want bool
	}{
		{"a comment", []string{"name: read\n", "name: read # who reads\n"}, false},
		{"one subject more", []string{"[group:platform, group:dba]\nroles: [reader]", "[group:platform, group:dba, group:sre]\nroles: [reader]"}, true},
		{"one subject less", []string{"[group:platform, group:dba]\nroles: [reader]", "[group:platform]\nroles: [reader]"}, false},
		{"another subject", []string{"[group:platform, group:dba]\nroles: [reader]", "[group:platform, group:sre]\nroles: [reader]"}, true},
		{"everybody", []string{"[group:platform, group:dba]\nroles: [reader]", "[\"*\"]\nroles: [reader]"}, true},
		{"fewer approvals", []string{"approvals: [{from: [group:dba], count: 1}], ", ""}, true},
		{"more approvals", []string{"count: 1", "count: 2"}, true}, // probably less, and nothing proves it
		{"other approvers", []string{"from: [group:dba]", "from: [group:sre]"}, true},
		{"longer", []string{"maxDuration: 2h}\n---", "maxDuration: 3h}\n---"}, true},
		{"as long as the role", []string{", maxDuration: 2h}\n---", "}\n---"}, true},
		{"shorter", []string{"maxDuration: 2h}\n---", "maxDuration: 1h}\n---"}, false},
		{"a condition", []string{"name: read\n", "name: read\nwhen: 'now.hour > 8'\n"}, true},
		{"gone", []string{read, ""}, false},
		{"denies from now on", []string{read, "kind: Policy\nname: read\neffect: deny\nsubjects: [group:platform]\nroles: [reader]\n---\n"}, false},
		{"a new policy", []string{read, read + rule("p", `{subjects: [group:x], roles: [reader]}`)}, true},
		{"a way for emergencies", []string{read, read + rule("p", `{effect: breakGlass, subjects: [group:x], roles: [reader], require: {maxDuration: 30m}}`)}, true},
		{"a denial that yields to them", []string{"effect: deny\n", "effect: deny\nunless: breakGlass\n"}, true},
		{"an integration", []string{read, read + "kind: Integration\nname: sso\ntype: bare\naddress: https://idp.example.com\n---\n"}, true},
		{"a new denial", []string{read, read + rule("p", `{effect: deny, subjects: [group:x], roles: [reader]}`)}, false},
		{"a denial gone", []string{freeze, ""}, true},
		{"a denial for more", []string{"subjects: [group:guests]", "subjects: [group:guests, group:platform]"}, false},
		{"a denial for all", []string{"subjects: [group:guests]", "subjects: [\"*\"]"}, false},
		{"a denial for others", []string{"subjects: [group:guests]", "subjects: [group:platform]"}, true},
		{"a denial with a condition", []string{"name: freeze\n", "name: freeze\nwhen: 'now.hour > 8'\n"}, true},
		{"a denial that allows", []string{"effect: deny\n", ""}, true},
		{"a role more powerful", []string{"postgres: {memberOf: [orders_read]}\nmaxDuration: 4h", "postgres: {memberOf: [orders_read, orders_owner]}\nmaxDuration: 4h"}, true},
		{"a role for longer", []string{"maxDuration: 4h", "maxDuration: 8h"}, true},
		{"a role for shorter", []string{"maxDuration: 4h", "maxDuration: 2h"}, false},
		{"a role gone", []string{lonely, ""}, false},
		{"a new role", []string{lonely, lonely + edit(t, lonely, "lonely", "lonelier")}, true},
		{"lower criticality", []string{"criticality: high", "criticality: low"}, true},
		{"higher criticality", []string{"criticality: high", "criticality: critical"}, true},
		{"other owners", []string{"owners: [group:dba, user:olga]", "owners: [group:platform]"}, true},
		{"a ceiling raised", []string{"maxDuration: 3h}", "maxDuration: 8h}"}, true},
		{"a label", []string{"env: prod, team: orders", "env: test, team: orders"}, true},

		{"what reaches no such resource", []string{"subjects: [group:platform]\nroles: [any]", "subjects: [\"*\"]\nroles: [any]"}, false},
		{"what comes to reach one", []string{"resources: {names: [payments-db]}\n---", "resources: {names: [payments-db, orders-db]}\n---"}, true},
		{"a resource of low criticality", []string{"labels: {team: payments}", "labels: {team: pay}"}, false},
		{"which becomes one of high", []string{"criticality: low", "criticality: high"}, false},
		{"a new resource of high criticality", []string{read, read + resource("new", "db9:5432", "critical")}, false},
		{"a second name for the same server", []string{read, read + resource("new", "db1:5432", "low")}, true},
		{"moved to the same server", []string{"db2:5432", "db1:5432"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, after := compile(t, base), compile(t, edit(t, base, tt.edit...))
			got := SecondPerson(before, after, changesOf(before, after))
			if (len(got) > 0) != tt.want {
				t.Errorf("got %v, want a second person: %v", got, tt.want)
			}
		})
	}
}

// TestDeletedResource: a resource of high criticality is not deleted by one alone, or it
// could come back as one of low.
func TestDeletedResource(t *testing.T) {
	before := compile(t, shop)
	docs := slices.DeleteFunc(before.Documents(), func(d Document) bool { return d.Name == "owner" || d.Name == "orders-db" })
	after, err := Compile(docs, schemas, 2)
	if err != nil {
		t.Fatal(err)
	}
	got := SecondPerson(before, after, changesOf(before, after))
	if len(got) != 1 || got[0].Name != "orders-db" {
		t.Errorf("got %v", got)
	}
}

// TestRemovedPathUncovers: taking a path away can bring another one into force, which
// asks other people. That is no narrowing.
func TestRemovedPathUncovers(t *testing.T) {
	strict := rule("strict", `{subjects: [group:platform], roles: [reader], require: {approvals: [{from: [group:dba]}]}}`)
	for _, tt := range []struct {
		name, other string
		want        bool
	}{
		{"friends approve", `{subjects: ["*"], roles: ["*"], require: {approvals: [{from: [group:friends]}]}}`, true},
		{"two friends approve", `{subjects: ["*"], roles: ["*"], require: {approvals: [{from: [group:friends], count: 2}]}}`, true},
		{"a friend and a dba", `{subjects: ["*"], roles: ["*"], require: {approvals: [{from: [group:friends]}, {from: [group:dba]}]}}`, false},
		{"two of dba", `{subjects: ["*"], roles: ["*"], require: {approvals: [{from: [group:dba], count: 2}]}}`, false},
		{"on another resource", `{subjects: ["*"], roles: ["*"], resources: {names: [payments-db]}, require: {approvals: [{from: [group:friends]}]}}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, after := compile(t, shop+strict+rule("other", tt.other)), compile(t, shop+rule("other", tt.other))
			if got := SecondPerson(before, after, changesOf(before, after)); (len(got) > 0) != tt.want {
				t.Errorf("got %v, want a second person: %v", got, tt.want)
			}
		})
	}
}

// TestNarrowingWidensNothing draws documents and changes that one person may make alone,
// and asks: nobody gets what they did not get before, and nobody gets it with less.
func TestNarrowingWidensNothing(t *testing.T) {
	narrow, less := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		for _, r := range m.resources {
			r.criticality = "high"
		}
		next := &model{slices.Clone(m.resources), slices.Clone(m.roles), slices.Clone(m.rules)}
		for range rapid.IntRange(1, 2).Draw(t, "changes") {
			mutate(t, next)
		}
		before, after := compiled(t, m), compiled(t, next)
		if len(SecondPerson(before, after, changesOf(before, after))) > 0 {
			return
		}
		narrow++
		for range 20 {
			a, now := drawAsk(t)
			for _, p := range []Phase{AtRequest, AtActivation, Alive} {
				x, y := before.Decide(a, p, now), after.Decide(a, p, now)
				switch {
				case y.Effect == access.Deny:
					if x.Effect != access.Deny {
						less++
					}
				case x.Effect == access.Deny, y.MaxDuration > x.MaxDuration && x.Policy == y.Policy, !asksAsMuch(y.Approvals, x.Approvals):
					t.Fatalf("phase %d, %+v at %s: one person alone may make this change, and it lets in\nbefore %s\nafter %s\n%s\n---\n%s",
						p, a, now, said(x), said(y), m.text(), next.text())
				}
			}
		}
	})
	if narrow < 20 || less < 5 {
		t.Errorf("%d changes only took, %d decisions became no: too few to prove anything", narrow, less)
	}
}

// mutate changes something: mostly in a way that should take away, at times in any.
func mutate(t *rapid.T, m *model) {
	n := len(m.rules)
	pick := func() *refRule {
		i := rapid.IntRange(0, n-1).Draw(t, "rule")
		c := *m.rules[i]
		m.rules[i] = &c
		return &c
	}
	what := rapid.IntRange(0, 9).Draw(t, "mutation")
	switch {
	case what == 0 || n == 0:
		m.rules = append(m.rules, &refRule{name: fmt.Sprint("n", n), deny: true, subjects: []string{"*"}, roles: []string{"role0"}, zone: "UTC"})
	case what == 1:
		i := rapid.IntRange(0, n-1).Draw(t, "rule")
		m.rules = slices.Delete(m.rules, i, i+1)
	case what == 2:
		r := pick()
		r.subjects = r.subjects[:1]
	case what == 3:
		r := pick()
		r.roles = r.roles[len(r.roles)-1:]
	case what == 4:
		pick().max = 30 * time.Minute
	case what == 5:
		r := pick()
		r.subjects = appendNew(slices.Clone(r.subjects), "user:u2")
	case what == 6:
		r := pick()
		r.deny, r.approvals, r.minReason, r.ticket, r.max, r.mfa = true, nil, 0, false, 0, false
	case what == 7:
		c := *m.roles[0]
		c.max = 30 * time.Minute
		m.roles[0] = &c
	case what == 8:
		r := pick()
		r.approvals = append(slices.Clone(r.approvals), refApproval{from: []string{"group:g9"}, count: 1})
	case what == 9:
		r := pick()
		r.approvals = nil
	}
}
