package policy

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
)

// schemas are those of a connector like PostgreSQL's.
var schemas = map[string]access.Schema{
	"postgres": {
		Type:       "postgres",
		Mechanisms: []access.Mechanism{access.Account, access.Member, access.Enable, access.Checkout},
		Role: map[string]access.Option{
			"sessions":        {Values: []string{"end", "keep"}, Default: "end"},
			"scramIterations": {Min: 1, Max: 1_000_000, Default: "4096"},
		},
		Connection: map[string]access.Option{
			"database": {Required: true},
			"sslmode":  {Values: []string{"verify-full", "verify-ca", "disable"}, Default: "verify-full"},
			"ca":       {},
		},
	},
	"ldap":     {Type: "ldap", Mechanisms: []access.Mechanism{access.Member}},
	"workload": {Type: "workload", Integration: map[string]access.Option{"audiences": {Required: true, Many: true}, "keys": {}, "reuse": {Values: []string{"yes", "no"}, Default: "no"}}},
	"spiffe":   {Type: "spiffe", Integration: map[string]access.Option{"audiences": {Required: true, Many: true}, "trustDomain": {Required: true}}},
	"oidc": {Type: "oidc", Integration: map[string]access.Option{
		"groupsClaim": {},
		"create":      {Values: []string{"yes", "no"}, Default: "no"},
	}},
	"webhook": {Type: "webhook", NeedsCredential: true, Integration: map[string]access.Option{
		"events":    {Many: true, Values: []string{"requests", "grants"}, Default: "requests"},
		"secondKey": {Credential: true},
		"path":      {Pattern: "/[a-z]+", Form: "write it as /word"},
	}},
	"jira":             {Type: "jira", Tickets: true, TicketForm: "a key like OPS-12", NeedsCredential: true, Integration: map[string]access.Option{"projects": {Required: true, Many: true}}},
	"bare":             {Type: "bare", Integration: map[string]access.Option{}},
	"mail":             {Type: "mail", Schemes: []string{"smtp", "smtps"}, Integration: map[string]access.Option{"from": {Required: true}}},
	"icalendar":        {Type: "icalendar", OnCall: true, Integration: map[string]access.Option{}},
	"pagerduty-oncall": {Type: "pagerduty-oncall", OnCall: true, NeedsCredential: true, Integration: map[string]access.Option{}},
}

// noon is a Saturday.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func readFile(t testing.TB, name string) File {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return File{Name: name, Text: string(b)}
}

func parse(t testing.TB, text string) []Document {
	t.Helper()
	docs, err := Parse([]File{{Name: "policy.yaml", Text: text}})
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return docs
}

func compile(t testing.TB, text string) *Set {
	t.Helper()
	s, err := Compile(parse(t, text), schemas, 7)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	return s
}

// shop is two databases and three roles; tests add the policies.
const shop = `
kind: Resource
name: orders-db
type: postgres
labels: {env: prod, team: orders}
criticality: high
owners: [group:dba, user:olga]
location: berlin
connection: {address: "db1:5432", database: orders, credential: c1}
ceiling: {mechanisms: [account, group, enable], memberOf: [orders_read, orders_owner], accounts: [dba_admin], maxDuration: 3h}
persons: {mira: m_ruiz}
---
kind: Resource
name: payments-db
type: postgres
labels: {team: payments}
criticality: low
connection: {address: "db2:5432", database: pay, credential: c2}
---
kind: Role
name: reader
resources: {type: postgres, labels: {team: orders}}
mechanism: account
postgres: {memberOf: [orders_read]}
maxDuration: 4h
---
kind: Role
name: owner
resources: {names: [orders-db]}
mechanism: group
postgres: {account: "{{ .person }}", memberOf: [orders_owner], sessions: keep}
maxDuration: 1h
---
kind: Role
name: any
resources: {type: postgres}
mechanism: account
postgres: {memberOf: [orders_read]}
maxDuration: 2h
---
`

// rule is a policy in one line, for tables: rest is "{subjects: …}".
func rule(name, rest string) string {
	return "{kind: Policy, name: " + name + ", " + strings.TrimPrefix(rest, "{") + "\n---\n"
}

func mira() access.Principal {
	return access.Principal{ID: "user:mira", Person: "mira", Groups: []access.Group{"platform"}, Manager: "user:max",
		Attributes: map[string]string{"site": "berlin"}}
}

func ask() Ask {
	return Ask{Principal: mira(), Resource: "orders-db", Role: "reader", Duration: time.Hour,
		Reason: "read the orders", Ticket: "INC-12", Source: access.Source{IP: netip.MustParseAddr("127.0.0.1"), Device: "dev1"}}
}

// texts of a decision, one line each.
func said(d access.Decision) string {
	var b strings.Builder
	b.WriteString(d.Effect.String() + " " + string(d.Policy) + "\n")
	for _, r := range d.Reasons {
		b.WriteString("  " + sentence(r) + "\n")
	}
	return b.String()
}
