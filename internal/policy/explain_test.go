package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
)

// show writes an explanation as people could read it.
func show(x Explanation) string {
	var b strings.Builder
	b.WriteString(said(x.Decision))
	for _, tr := range x.Trials {
		fmt.Fprintf(&b, "%s (%s): %s\n", tr.Policy, tr.Source, tr.Outcome)
		for _, m := range tr.Misses {
			fmt.Fprintf(&b, "  %s: %s (%s)\n", m.What, m.Text, m.Source)
		}
	}
	for _, s := range x.Suggestions {
		b.WriteString("suggestion: " + s + "\n")
	}
	return b.String()
}

func TestExplain(t *testing.T) {
	docs, err := Parse([]File{readFile(t, "explain.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(docs, schemas, 1)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, tt := range []struct {
		title string
		edit  func(*Ask)
		now   time.Time
	}{
		{"one hour", func(*Ask) {}, noon},
		{"two hours", func(a *Ask) { a.Duration = 2 * time.Hour }, noon},
		{"ten hours, without a ticket", func(a *Ask) { a.Duration, a.Ticket = 10*time.Hour, "" }, noon},
		{"on Sunday", func(*Ask) {}, noon.Add(24 * time.Hour)},
		{"a stranger", func(a *Ask) { a.Principal = access.Principal{ID: "user:zoe", Person: "zoe"} }, noon},
		{"as owner", func(a *Ask) { a.Role = "owner" }, noon},
		{"no such role", func(a *Ask) { a.Role = "ower" }, noon},
	} {
		a := ask()
		tt.edit(&a)
		x := s.Explain(a, tt.now)
		fmt.Fprintf(&b, "# %s\n%s\n", tt.title, show(x))
		if diff := cmp.Diff(x.Decision, s.Decide(a, AtRequest, tt.now)); diff != "" {
			t.Errorf("%s: Explain and Decide differ:\n%s", tt.title, diff)
		}
	}
	golden(t, "explain.golden", b.String())
}

func TestWhoCan(t *testing.T) {
	docs, err := Parse([]File{readFile(t, "explain.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(docs, schemas, 1)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, role := range []access.RoleName{"", "owner"} {
		fmt.Fprintf(&b, "# orders-db as %q\n", role)
		for _, e := range s.WhoCan("orders-db", role) {
			fmt.Fprintf(&b, "%s %s: %s by %s (%s) up to %s", e.Subject, e.Role, e.Effect, e.Policy, e.Source, e.MaxDuration)
			for _, q := range e.Approvals {
				fmt.Fprintf(&b, ", %d from %v", q.Count, q.From)
			}
			fmt.Fprintf(&b, " when %q while %q\n", e.When, e.While)
		}
	}
	golden(t, "whocan.golden", b.String())
	if got := s.WhoCan("nothing", ""); got != nil {
		t.Errorf("got %v for an unknown resource", got)
	}
}

func TestRunTests(t *testing.T) {
	docs, err := Parse([]File{readFile(t, "explain.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(docs, schemas, 1)
	if err != nil {
		t.Fatal(err)
	}
	results, err := RunTests(s, []File{readFile(t, "explain.test.yaml")}, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.OK {
			t.Errorf("%s: %s: %s", r.Source, r.Name, strings.Join(r.Why, "\n  "))
		}
	}
	if len(results) != 7 || results.Failed() != 0 {
		t.Errorf("got %d results, %d failed; want 7, 0", len(results), results.Failed())
	}

	failing := File{"f.test.yaml", `tests:
- name: wrong in every way
  principal: {name: mira, groups: [platform]}
  resource: orders-db
  role: reader
  for: 1h
  why: read the orders
  expect: allow
  policy: freeze
  reason: because
`}
	results, err = RunTests(s, []File{failing}, noon.Add(24*time.Hour))
	if err != nil || len(results) != 1 || results.Failed() != 1 {
		t.Fatalf("got %v, %v; want one failure", results, err)
	}
	got := strings.Join(results[0].Why, "\n")
	if !strings.Contains(got, "got deny, want allow") || !strings.Contains(got, `no reason says "because"`) || results[0].Source != "f.test.yaml:2" {
		t.Errorf("got %s at %s", got, results[0].Source)
	}

	broken := File{"f.test.yaml", "tests:\n- {name: x, principal: {name: mira, group: [a]}, resource: db, role: r, for: 1 h, at: noon, ip: here, expect: alow}\n---\nother: 1\n"}
	_, err = RunTests(s, []File{broken}, noon)
	want := `f.test.yaml:2: principal has no field "group"; did you mean "groups"?
f.test.yaml:2: for "1 h" is not a duration above zero; write it as "30m", "4h" or "7d"
f.test.yaml:2: "noon" is not a time; write it as "2026-11-21T18:05:00+01:00"
f.test.yaml:2: "here" is not an address; write it as "10.0.0.1"
f.test.yaml:2: unknown expect "alow"; did you mean "allow"?
f.test.yaml:4: a file of tests has no tests; begin with: tests:
f.test.yaml:4: a file of tests has no field "other"; known are tests`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
