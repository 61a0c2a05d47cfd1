package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"stint/internal/access"
)

// edit replaces parts of a text, and fails where there is nothing to replace.
func edit(t testing.TB, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("there is no %q to edit", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// inWords writes a difference as a person would read it.
func inWords(d Difference) string {
	var b strings.Builder
	for _, c := range d.Documents {
		fmt.Fprintf(&b, "%s %s %s\n", c.Op, c.Kind, c.Name)
		for _, f := range c.Fields {
			switch {
			case len(f.Added)+len(f.Removed) > 0:
				fmt.Fprintf(&b, "  %s: +%v -%v\n", f.Field, f.Added, f.Removed)
			default:
				fmt.Fprintf(&b, "  %s: %q -> %q\n", f.Field, f.Before, f.After)
			}
		}
	}
	for _, c := range d.Can {
		fmt.Fprintf(&b, "%s %s on %s: %s (%q -> %q)\n", c.Op, c.Role, c.Resource, strings.Join(c.Who, " "), c.Before, c.After)
	}
	if d.LeftOut > 0 {
		fmt.Fprintf(&b, "and %d more\n", d.LeftOut)
	}
	return b.String()
}

var crowd = []access.Principal{
	{ID: "user:mira", Person: "mira", Groups: []access.Group{"platform"}, Manager: "user:max"},
	{ID: "user:olga", Person: "olga", Groups: []access.Group{"dba"}},
	{ID: "user:max", Person: "max"},
	{ID: "service:ci", Person: "mira", Groups: []access.Group{"platform"}},
}

func TestDiff(t *testing.T) {
	read := "kind: Policy\nname: read\nsubjects: [group:platform]\nroles: [reader]\nrequire: {approvals: [{from: [group:dba], count: 1}], maxDuration: 2h}\n---\n"
	base := shop + read
	for _, tt := range []struct {
		name string
		edit []string
		want string
	}{
		{"nothing", nil, ""},
		{"a comment", []string{"kind: Policy\n", "kind: Policy # who reads\n"}, ""},
		{"the layout", []string{"[group:platform]", "\n- group:platform"}, ""},
		{"a description", []string{"name: read\n", "name: read\ndescription: who reads\n"}, `updated Policy read
  description: "" -> "who reads"
`},
		{"a subject more", []string{"[group:platform]", "[group:platform, group:dba]"}, `updated Policy read
  subjects: +[group:dba] -[]
gains reader on orders-db: user:olga ("" -> "account with orders_read: after 1 approval from group:dba, up to 2h")
`},
		{"a subject that nobody is", []string{"[group:platform]", "[group:platform, group:sre]"}, `updated Policy read
  subjects: +[group:sre] -[]
gains reader on orders-db: group:sre ("" -> "account with orders_read: after 1 approval from group:dba, up to 2h")
`},
		{"an approval less", []string{"{approvals: [{from: [group:dba], count: 1}], maxDuration: 2h}", "{maxDuration: 2h}"}, `updated Policy read
  require.approvals[0].from: +[] -[group:dba]
  require.approvals[0].count: "1" -> ""
changes reader on orders-db: user:mira service:ci ("account with orders_read: after 1 approval from group:dba, up to 2h" -> "account with orders_read: at once, up to 2h")
`},
		{"a right more for a role", []string{"resources: {type: postgres, labels: {team: orders}}\nmechanism: account\npostgres: {memberOf: [orders_read]}", "resources: {type: postgres, labels: {team: orders}}\nmechanism: account\npostgres: {memberOf: [orders_read, orders_owner]}"}, `updated Role reader
  postgres.memberOf: +[orders_owner] -[]
changes reader on orders-db: user:mira service:ci ("account with orders_read: after 1 approval from group:dba, up to 2h" -> "account with orders_owner, orders_read: after 1 approval from group:dba, up to 2h")
`},
		{"a right that the ceiling does not allow", []string{"resources: {type: postgres, labels: {team: orders}}\nmechanism: account\npostgres: {memberOf: [orders_read]}", "resources: {type: postgres, labels: {team: orders}}\nmechanism: account\npostgres: {memberOf: [orders_read, root]}"}, `updated Role reader
  postgres.memberOf: +[root] -[]
loses reader on orders-db: user:mira service:ci ("account with orders_read: after 1 approval from group:dba, up to 2h" -> "")
`},
		{"a denial", []string{read, read + rule("freeze", `{effect: deny, subjects: [user:mira], roles: ["*"]}`)}, `created Policy freeze
  kind: "" -> "Policy"
  name: "" -> "freeze"
  effect: "" -> "deny"
  subjects: +[user:mira] -[]
  roles: +[*] -[]
loses reader on orders-db: user:mira ("account with orders_read: after 1 approval from group:dba, up to 2h" -> "")
`},
		{"an emergency", []string{read, read + rule("glass", `{effect: breakGlass, subjects: [group:sre, group:platform], roles: [reader], require: {reason: {minLength: 5}, maxDuration: 30m}}`)}, `created Policy glass
  kind: "" -> "Policy"
  name: "" -> "glass"
  effect: "" -> "breakGlass"
  subjects: +[group:sre group:platform] -[]
  roles: +[reader] -[]
  require.reason.minLength: "" -> "5"
  require.maxDuration: "" -> "30m"
gains reader on orders-db: group:sre ("" -> "account with orders_read: in an emergency at once, up to 30m")
changes reader on orders-db: user:mira ("account with orders_read: after 1 approval from group:dba, up to 2h" -> "account with orders_read: after 1 approval from group:dba, up to 2h; in an emergency at once, up to 30m")
`},
		{"gone", []string{read, ""}, `deleted Policy read
  kind: "Policy" -> ""
  name: "read" -> ""
  subjects: +[] -[group:platform]
  roles: +[] -[reader]
  require.approvals[0].from: +[] -[group:dba]
  require.approvals[0].count: "1" -> ""
  require.maxDuration: "2h" -> ""
loses reader on orders-db: user:mira service:ci ("account with orders_read: after 1 approval from group:dba, up to 2h" -> "")
`},
		{"another name", []string{"name: read\n", "name: reads\n"}, `created Policy reads
  kind: "" -> "Policy"
  name: "" -> "reads"
  subjects: +[group:platform] -[]
  roles: +[reader] -[]
  require.approvals[0].from: +[group:dba] -[]
  require.approvals[0].count: "" -> "1"
  require.maxDuration: "" -> "2h"
deleted Policy read
  kind: "Policy" -> ""
  name: "read" -> ""
  subjects: +[] -[group:platform]
  roles: +[] -[reader]
  require.approvals[0].from: +[] -[group:dba]
  require.approvals[0].count: "1" -> ""
  require.maxDuration: "2h" -> ""
`},
		{"another resource comes under a role", []string{"labels: {team: payments}", "labels: {team: orders}"}, `updated Resource payments-db
  labels.team: "payments" -> "orders"
gains reader on payments-db: user:mira service:ci ("" -> "account with orders_read: after 1 approval from group:dba, up to 2h")
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := inWords(Diff(compile(t, base), compile(t, edit(t, base, tt.edit...)), crowd))
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("got -, want +:\n%s", diff)
			}
		})
	}
}

// A condition that looks at a label is another one when the label is.
func TestDiffSeesWhatConditionsLookAt(t *testing.T) {
	base := shop + rule("p", `{subjects: [group:platform], roles: [any], when: 'resource.labels.team == "payments"'}`)
	d := Diff(compile(t, base), compile(t, edit(t, base, "labels: {team: payments}", "labels: {team: stock}")), crowd)
	if len(d.Can) != 1 || d.Can[0].Op != Differs || d.Can[0].Resource != "payments-db" {
		t.Errorf("got %s", inWords(d))
	}
}

func TestDiffIsBounded(t *testing.T) {
	var people []access.Principal
	for i := range maxNames + 7 {
		people = append(people, access.Principal{ID: access.NewPrincipalID(access.User, fmt.Sprint("u", i)), Person: access.Person(fmt.Sprint("u", i))})
	}
	after := shop + rule("p", `{subjects: ["*"], roles: [owner]}`)
	d := Diff(compile(t, shop), compile(t, after), people)
	n := 0
	for _, c := range d.Can {
		n += len(c.Who)
	}
	if n != maxNames || d.LeftOut != 7 {
		t.Errorf("%d names and %d left out", n, d.LeftOut)
	}
}

// TestDiffTellsEveryDecision draws two sets of documents and asks both the same: who is
// decided differently is in the difference, with the role and the resource. A set
// differs from itself by nothing.
func TestDiffTellsEveryDecision(t *testing.T) {
	told := 0
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		other := drawModel(t)
		// Near neighbours, mostly: with all drawn anew everything would differ.
		next := &model{slices.Clone(m.resources), slices.Clone(m.roles), slices.Clone(m.rules)}
		switch rapid.IntRange(0, 4).Draw(t, "what changes") {
		case 0:
			next.resources[rapid.IntRange(0, 1).Draw(t, "which")] = other.resources[rapid.IntRange(0, 1).Draw(t, "by")]
			next.resources[0], next.resources[1] = named(next.resources[0], "db0"), named(next.resources[1], "db1")
		case 1:
			i := rapid.IntRange(0, 2).Draw(t, "which")
			next.roles[i] = other.roles[i]
		case 2:
			next.rules = other.rules
		case 3:
			if n := len(next.rules); n > 1 { // order alone
				next.rules[0], next.rules[n-1] = next.rules[n-1], next.rules[0]
			}
		case 4:
			next.rules = append(next.rules, other.rules...)
			for i, r := range next.rules {
				c := *r
				c.name = fmt.Sprint("p", i)
				next.rules[i] = &c
			}
		}
		before, after := compiled(t, m), compiled(t, next)
		var asks []Ask
		var at []time.Time
		var people []access.Principal
		for range 30 {
			a, now := drawAsk(t)
			a.Principal.Disabled = false
			i := slices.IndexFunc(people, func(p access.Principal) bool { return p.ID == a.Principal.ID })
			if i < 0 {
				people = append(people, a.Principal)
			} else {
				a.Principal = people[i]
			}
			asks, at = append(asks, a), append(at, now)
		}
		d := Diff(before, after, people)
		if e := Diff(before, before, people); !e.Empty() {
			t.Fatalf("a set differs from itself:\n%s", inWords(e))
		}
		if !slices.Equal(eligibles(before), eligibles(after)) && d.Empty() {
			t.Fatalf("who may ask differs, and the difference is empty\n%s\n---\n%s", m.text(), next.text())
		}
		for i, a := range asks {
			x, y := before.Decide(a, AtRequest, at[i]), after.Decide(a, AtRequest, at[i])
			if sameEnd(x, y) && x.MaxDuration == y.MaxDuration {
				continue
			}
			told++
			is := func(c CanChange) bool {
				return c.Resource == a.Resource && c.Role == a.Role && slices.Contains(c.Who, string(a.Principal.ID))
			}
			if !slices.ContainsFunc(d.Can, is) {
				t.Fatalf("%s for %s on %s is decided %s, then %s, and the difference says nothing of it:\n%s\n%s\n---\n%s",
					a.Principal.ID, a.Role, a.Resource, said(x), said(y), inWords(d), m.text(), next.text())
			}
		}
	})
	if told < 50 {
		t.Errorf("only %d decisions differed: too few to prove anything", told)
	}
}

func named(r *refResource, name string) *refResource {
	c := *r
	c.name = name
	return &c
}

func compiled(t *rapid.T, m *model) *Set {
	docs, err := Parse([]File{{"m.yaml", m.text()}})
	if err != nil {
		t.Fatalf("parse: %v\n%s", err, m.text())
	}
	s, err := Compile(docs, schemas, 3)
	if err != nil {
		t.Fatalf("compile: %v\n%s", err, m.text())
	}
	return s
}

// eligibles is who may ask, in no order: where that decides, decisions differ.
func eligibles(s *Set) (all []string) {
	for _, r := range s.resources {
		for _, e := range s.WhoCan(r.Name, "") {
			e.Source = ""
			all = append(all, fmt.Sprint(r.Name, e))
		}
	}
	slices.Sort(all)
	return all
}

func TestReplay(t *testing.T) {
	before := compile(t, shop+rule("p", `{subjects: [group:platform], roles: [reader], require: {approvals: [{from: [group:dba]}]}}`))
	after := compile(t, shop+rule("p", `{subjects: [group:platform], roles: [reader], require: {approvals: [{from: [group:dba]}], maxDuration: 30m}}`))
	long, short := ask(), ask()
	short.Duration = 10 * time.Minute
	got := Replay(before, after, []Past{{Request: "req_1", Ask: long, At: noon, Was: access.Approve}, {Request: "req_2", Ask: short, At: noon, Was: access.Approve}})
	if len(got) != 1 || got[0].Request != "req_1" || got[0].Before.Effect != access.Approve || got[0].After.Effect != access.Deny {
		t.Errorf("got %+v", got)
	}
	if same := Replay(before, before, []Past{{Ask: long, At: noon}}); len(same) != 0 {
		t.Errorf("a set ends otherwise than itself: %+v", same)
	}
}
