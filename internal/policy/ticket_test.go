package policy

import (
	"strings"
	"testing"
	"time"

	"stint/internal/access"
)

const jira = `
kind: Integration
name: corp-jira
type: jira
address: https://tickets.example.com
credential: corp-jira
projects: [OPS]
---
`

const byOthers = `ticket.reporter != principal.person && ticket.editedBy != principal.person`

// theirs is a ticket that suits ask.
func theirs() Ticket {
	return Ticket{Open: true, Text: "please look at orders-db.", Assignee: "mira", Reporter: "noor", Editors: []access.Person{"noor", "omar"}}
}

func TestTicket(t *testing.T) {
	for name, tt := range map[string]struct {
		ticket string // of the policy
		bend   func(*Ask, *Ticket)
		want   string // the first reason; empty: it is allowed
	}{
		"all of it":                         {`{from: corp-jira, pattern: "^INC-[0-9]+$", assigned: requester, names: resource}`, nil, ""},
		"closed":                            {`{from: corp-jira}`, func(_ *Ask, k *Ticket) { k.Open = false }, "ticket INC-12 is closed; name one that is open"},
		"closed will do":                    {`{from: corp-jira, state: any}`, func(_ *Ask, k *Ticket) { k.Open = false }, ""},
		"another's":                         {`{from: corp-jira, assigned: requester}`, func(_ *Ask, k *Ticket) { k.Assignee = "noor" }, "ticket INC-12 is not assigned to mira"},
		"another's, shut":                   {`{from: corp-jira, assigned: requester}`, func(_ *Ask, k *Ticket) { k.Assignee, k.Open = "noor", false }, "ticket INC-12 is not assigned to mira"},
		"nobody's":                          {`{from: corp-jira, assigned: requester}`, func(_ *Ask, k *Ticket) { k.Assignee = "" }, "ticket INC-12 is not assigned to mira"},
		"nobody's, by one who is no person": {`{from: corp-jira, assigned: requester}`, func(a *Ask, k *Ticket) { k.Assignee, a.Principal.Person = "", "" }, "ticket INC-12 is not assigned"},
		"another resource":                  {`{from: corp-jira, names: resource}`, func(_ *Ask, k *Ticket) { k.Text = "payments-db" }, "ticket INC-12 does not name orders-db"},
		"none":                              {`{from: corp-jira}`, func(a *Ask, _ *Ticket) { a.Ticket = "" }, "it asks for a ticket of corp-jira (a key like OPS-12); name it with --ticket"},
		"none of a form":                    {`{from: corp-jira, pattern: "^OPS-"}`, func(a *Ask, _ *Ticket) { a.Ticket = "" }, "the ticket must match ^OPS- of corp-jira (a key like OPS-12); name it with --ticket"},
		"not looked up":                     {`{from: corp-jira}`, func(a *Ask, _ *Ticket) { a.Tickets = nil }, "ticket INC-12 was not looked up in corp-jira; ask again"},
		"elsewhere":                         {`{from: corp-jira}`, func(a *Ask, _ *Ticket) { a.Tickets = map[string]Ticket{"other": theirs()} }, "ticket INC-12 was not looked up"},
		"unknown":                           {`{from: corp-jira}`, func(_ *Ask, k *Ticket) { *k = Ticket{Problem: "no such ticket"} }, "no such ticket"},
		"another form":                      {`{from: corp-jira, pattern: "^OPS-"}`, nil, "the ticket must match ^OPS-"},
	} {
		s := compile(t, shop+jira+rule("p", "{subjects: ['*'], roles: [reader], require: {ticket: "+tt.ticket+", approvals: [{from: [group:dba]}]}}"))
		a, k := ask(), theirs()
		a.Tickets = map[string]Ticket{"corp-jira": k}
		if tt.bend != nil {
			tt.bend(&a, &k)
			if a.Tickets != nil && a.Tickets["other"].Text == "" {
				a.Tickets["corp-jira"] = k
			}
		}
		d := s.Decide(a, AtRequest, noon)
		switch {
		case tt.want == "" && d.Effect != access.Approve:
			t.Errorf("%s: %s", name, said(d))
		case tt.want != "" && (d.Effect != access.Deny || !strings.HasPrefix(d.Reasons[0].Text, tt.want)):
			t.Errorf("%s: got %s, want %s", name, said(d), tt.want)
		}
		if tt.want == "" && s.Decide(a, AtActivation, noon).Effect == access.Deny {
			t.Errorf("%s: it does not start", name)
		}
	}
}

// TestTicketAlone: a ticket opens the door by itself only where the policy says that
// others wrote it, in so many words.
func TestTicketAlone(t *testing.T) {
	policyWith := func(when, require string) string {
		text := "kind: Policy\nname: p\nsubjects: ['*']\nroles: [reader]\n"
		if when != "" {
			text += "when: '" + strings.ReplaceAll(when, "'", "''") + "'\n"
		}
		return text + "require: " + require + "\n"
	}
	const alone = "{ticket: {from: corp-jira}}"
	for when, fine := range map[string]bool{
		"":                                    false,
		"ticket.reporter != principal.person": false,
		"ticket.editedBy != principal.person": false,
		byOthers:                              true,
		"principal.person != ticket.editedBy && ticket.namesResource && principal.person != ticket.reporter": true,
		byOthers + " && resource.criticalityRank < 3":                                                        true,
		byOthers + " || ticket.open":                                                                         false,
		"!(ticket.reporter == principal.person) && ticket.editedBy != principal.person":                      false,
		"(" + byOthers + ") || true":                                                                         false,
		"ticket.reporter != principal.name && ticket.editedBy != principal.name":                             false,
		"ticket.reporter != 'mira' && ticket.editedBy != 'mira'":                                             false,
		"ticket.reporter != ticket.editedBy && principal.person != 'x'":                                      false,
		"ticket.reporter != principal.person && ticket.assignee != principal.person":                         false,
		"[1].exists(x, " + byOthers + ")":                                                                    false,
	} {
		_, err := Compile(parse(t, shop+jira+policyWith(when, alone)), schemas, 1)
		if fine != (err == nil) {
			t.Errorf("%q: %v", when, err)
		}
		if !fine && err != nil && !strings.Contains(err.Error(), "lets people in by a ticket alone") {
			t.Errorf("%q: %v", when, err)
		}
	}
	for _, fine := range []string{
		policyWith("", `{ticket: {pattern: "^INC-"}}`), // looked up nowhere, it is a note
		policyWith("", "{ticket: {from: corp-jira}, approvals: [{from: [group:dba]}]}"),
	} {
		if _, err := Compile(parse(t, shop+jira+fine), schemas, 1); err != nil {
			t.Error(err)
		}
	}
	for text, want := range map[string]string{
		policyWith("ticket.open", "{approvals: [{from: [group:dba]}]}"):                                                                                                 "no ticket is asked for",
		"kind: Policy\nname: p\neffect: deny\nsubjects: ['*']\nroles: ['*']\nwhen: '!ticket.open'\n":                                                                    "whoever asks chooses which one",
		"kind: Policy\nname: p\nsubjects: ['*']\nroles: [reader]\nwhile: ticket.open\nrequire: {ticket: {from: corp-jira}, approvals: [{from: [group:dba]}]}\n":         "cannot be a while",
		policyWith("", "{ticket: {from: corp-jria}, approvals: [{from: [group:dba]}]}"):                                                                                 `there is no integration "corp-jria"; did you mean "corp-jira"?`,
		policyWith("", "{ticket: {assigned: requester}, approvals: [{from: [group:dba]}]}"):                                                                             "says neither where it is looked up",
		policyWith("", `{ticket: {pattern: "x", assigned: requester}, approvals: [{from: [group:dba]}]}`):                                                               "assigned needs a ticket that is looked up",
		policyWith("", "{ticket: {from: corp-jira, unknownFor: 1h}, approvals: [{from: [group:dba]}]}"):                                                                 "unknownFor is for tickets that are watched",
		"kind: Policy\nname: p\neffect: breakGlass\nsubjects: [group:x]\nroles: [reader]\nrequire: {ticket: {from: corp-jira}}\n":                                       "must not depend on a ticket",
		"kind: Integration\nname: sso\ntype: oidc\naddress: https://sso.example.com\n---\n" + policyWith("", "{ticket: {from: sso}, approvals: [{from: [group:dba]}]}"): "of type oidc, which keeps no tickets",
	} {
		docs, err := Parse([]File{{"policy.yaml", shop + jira + text}})
		if err == nil {
			_, err = Compile(docs, schemas, 1)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot %v, want %s", text, err, want)
		}
	}
}

// TestRequesterWroteIt: whoever writes the ticket, or any of it, is let in by nobody but
// those who approve.
func TestRequesterWroteIt(t *testing.T) {
	s := compile(t, shop+jira+"kind: Policy\nname: p\nsubjects: ['*']\nroles: [reader]\nwhen: "+byOthers+" && ticket.namesResource\nrequire: {ticket: {from: corp-jira, assigned: requester}}\n")
	for name, tt := range map[string]struct {
		bend func(*Ticket)
		want access.Effect
	}{
		"others did":                 {func(*Ticket) {}, access.Allow},
		"they reported it":           {func(k *Ticket) { k.Reporter = "mira" }, access.Deny},
		"they edited it last":        {func(k *Ticket) { k.Editors = []access.Person{"noor", "mira"} }, access.Deny},
		"they edited it once":        {func(k *Ticket) { k.Editors = []access.Person{"mira", "noor", "omar"} }, access.Deny},
		"nobody knows who reported":  {func(k *Ticket) { k.Reporter = "" }, access.Deny},
		"nobody knows who edited":    {func(k *Ticket) { k.Editors = nil }, access.Deny},
		"one editor is a stranger":   {func(k *Ticket) { k.Editors = []access.Person{"noor", "", "omar"} }, access.Deny},
		"the last is a stranger":     {func(k *Ticket) { k.Editors = []access.Person{"noor", ""} }, access.Deny},
		"it names another":           {func(k *Ticket) { k.Text = "orders-db2" }, access.Deny},
		"it is another's to work on": {func(k *Ticket) { k.Assignee = "noor" }, access.Deny},
		"it is closed":               {func(k *Ticket) { k.Open = false }, access.Deny},
		"nobody answers":             {func(k *Ticket) { *k = Ticket{Problem: "down"} }, access.Deny},
	} {
		a, k := ask(), theirs()
		tt.bend(&k)
		a.Tickets = map[string]Ticket{"corp-jira": k}
		for _, p := range []Phase{AtRequest, AtActivation} {
			if d := s.Decide(a, p, noon); d.Effect != tt.want {
				t.Errorf("%s: %s", name, said(d))
			}
		}
		if d := s.Decide(a, Alive, noon); d.Effect == access.Deny { // a grant that lives is the watch's
			t.Errorf("%s: %s", name, said(d))
		}
	}
}

func TestNames(t *testing.T) {
	for text, want := range map[string]bool{
		"orders-db": true, "look at orders-db.": true, "orders-db, please": true, "(orders-db)": true, "ORDERS-DB": true, "`orders-db`": true, "orders-db.\nnow": true,
		"orders-db: slow": true, "x/orders-db/y": true, "orders-db2 orders-db": true,
		"": false, "orders": false, "pre-orders-db": false, "orders-db2": false, "orders-db-test": false, "orders-db.test": false, "orders_orders-db": false, "xorders-db": false,
		"test.orders-db": false, "orders-dbé": false, "orders\u2010db": false,
	} {
		if got := (Ticket{Text: text}).names("orders-db"); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestTicketSystems(t *testing.T) {
	s := compile(t, shop+jira+rule("p", `{subjects: [group:platform], roles: [reader], require: {ticket: {from: corp-jira, pattern: "^INC-"}, approvals: [{from: [group:dba]}]}}`))
	for name, tt := range map[string]struct {
		bend func(*Ask)
		want int
	}{
		"of theirs":           {func(*Ask) {}, 1},
		"none is named":       {func(a *Ask) { a.Ticket = "" }, 0},
		"of another form":     {func(a *Ask) { a.Ticket = "../x" }, 0},
		"nobody is concerned": {func(a *Ask) { a.Principal.Groups = nil }, 0},
		"another role":        {func(a *Ask) { a.Role = "owner" }, 0},
		"no such resource":    {func(a *Ask) { a.Resource = "x" }, 0},
		"an emergency":        {func(a *Ask) { a.Emergency = true }, 0},
	} {
		a := ask()
		tt.bend(&a)
		if got := s.TicketSystems(a); len(got) != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestExtensions(t *testing.T) {
	s := compile(t, shop+
		rule("p", "{subjects: ['*'], roles: [reader], require: {approvals: [{from: [group:dba], count: 2}], maxDuration: 3h, extensions: {max: 2, by: 1h, approvals: [{from: [user:noor]}]}}}")+
		rule("q", "{subjects: ['*'], roles: [owner], require: {approvals: [{from: [group:dba]}], extensions: {max: 0}}}")+
		rule("r", "{subjects: ['*'], roles: [any], require: {approvals: [{from: [group:dba]}], extensions: {max: 1, approvals: []}}}"))
	for name, tt := range map[string]struct {
		role access.RoleName
		ext  *Extension
		span time.Duration
		want string
	}{
		"the first":          {"reader", nil, time.Hour, "approve: 2 approvals from group:dba"},
		"an extension":       {"reader", &Extension{Count: 1, By: time.Hour}, 2 * time.Hour, "approve: 1 approval from user:noor"},
		"one too many":       {"reader", &Extension{Count: 2, By: time.Hour}, 2 * time.Hour, "deny: the grant was extended twice already"},
		"too long":           {"reader", &Extension{By: 2 * time.Hour}, 3 * time.Hour, "deny: 2h more is over the 1h"},
		"too long in all":    {"reader", &Extension{Count: 1, By: time.Hour}, 4 * time.Hour, "deny: 4h is over the maxDuration of 3h"},
		"none":               {"owner", &Extension{By: time.Minute}, time.Hour, "deny: it allows no extension"},
		"asking nobody":      {"any", &Extension{By: time.Minute}, time.Hour, "allow: "},
		"asking nobody more": {"any", &Extension{Count: 1, By: time.Minute}, time.Hour, "deny: the grant was extended once already"},
	} {
		a := ask()
		a.Role, a.Extension, a.Duration = tt.role, tt.ext, tt.span
		d := s.Decide(a, AtRequest, noon)
		text := d.Reasons[0].Text
		if _, after, ok := strings.Cut(text, ", after "); ok {
			text = after
		}
		if got := d.Effect.String() + ": " + text; !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
	for text, want := range map[string]string{
		"{max: 0, by: 1h}":                  "allows none, and says how they go",
		"{by: 1h}":                          "does not say how many",
		"{max: 101}":                        "not a whole number from 0 to 100",
		"{max: 1, approvals: [{count: 1}]}": "does not say from whom",
		"{max: 1, approvals: [{from: [\"oncall:x\"]}]}": "there is no schedule",
	} {
		docs, err := Parse([]File{{"policy.yaml", shop + rule("p", "{subjects: ['*'], roles: [reader], require: {extensions: "+text+"}}")}})
		if err == nil {
			_, err = Compile(docs, schemas, 1)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestMaxAhead(t *testing.T) {
	s := compile(t, shop+rule("p", "{subjects: ['*'], roles: [reader], require: {maxAhead: 2d}}"))
	a := ask()
	a.Start = noon.Add(48 * time.Hour)
	if d := s.Decide(a, AtRequest, noon); d.Effect != access.Allow {
		t.Error(said(d))
	}
	a.Start = noon.Add(48*time.Hour + time.Minute)
	if d := s.Decide(a, AtRequest, noon); d.Effect != access.Deny || d.Reasons[0].Text != "the start is more than 2d ahead" {
		t.Error(said(d))
	}
	if d := s.Decide(a, AtActivation, a.Start); d.Effect != access.Allow {
		t.Error(said(d))
	}
}

func TestBundles(t *testing.T) {
	s := compile(t, shop+"kind: Bundle\nname: incident\nparts:\n- {resource: orders-db, role: reader, for: 1h}\n- {resource: payments-db, role: any}\n")
	b, ok := s.Bundle("incident")
	if !ok || len(s.Bundles()) != 1 || len(b.Parts) != 2 || b.Parts[0] != (Part{"orders-db", "reader", time.Hour}) || b.Parts[1].For != 0 {
		t.Errorf("%+v", b)
	}
	if _, err := Remove(s.Documents(), KindRole, "any"); access.KindOf(err) != access.Conflict {
		t.Errorf("a role that a bundle names was removed: %v", err)
	}
	for parts, want := range map[string]string{
		"[{resource: orders-db, role: reader}]":                                               "1 parts; a bundle has 2 to 20",
		"[{resource: orders-db, role: reader}, {resource: orders-db, role: reader}]":          "twice",
		"[{resource: orders-db, role: reader}, {resource: payments-db, role: reader}]":        "role reader does not cover payments-db",
		"[{resource: orders-db, role: raeder}, {resource: payments-db, role: any}]":           `there is no role "raeder"`,
		"[{resource: orders-db, role: reader}, {resource: paymants-db, role: any}]":           `there is no resource "paymants-db"`,
		"[{resource: orders-db, role: reader, hours: 1}, {resource: payments-db, role: any}]": `no field "hours"`,
	} {
		docs, err := Parse([]File{{"b.yaml", shop + "kind: Bundle\nname: b\nparts: " + parts + "\n"}})
		if err == nil {
			_, err = Compile(docs, schemas, 1)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", parts, err, want)
		}
	}
}
