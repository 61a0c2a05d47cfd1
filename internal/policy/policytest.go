package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/oncall"
)

// TestSuffix ends the names of files that hold tests of policies. They live
// beside the documents and are none.
const TestSuffix = ".test.yaml"

// IsTestFile reports whether a file holds tests of policies.
func IsTestFile(name string) bool { return strings.HasSuffix(name, TestSuffix) }

// TestResults is the outcome of all tests, in the order of the files.
type TestResults []TestResult

// Failed counts the tests that did not hold.
func (rs TestResults) Failed() int {
	n := 0
	for _, r := range rs {
		if !r.OK {
			n++
		}
	}
	return n
}

// TestResult is the outcome of one test.
type TestResult struct {
	Name     string
	Source   string // "orders.test.yaml:12"
	OK       bool
	Why      []string // what differs; empty when OK
	Decision access.Decision
}

// testCase is one test as written.
type testCase struct {
	name   string
	source string
	ask    Ask
	at     time.Time
	onCall []string // schedules that are kept elsewhere, in which who asks is on call
	expect string
	policy string
	reason string
}

// RunTests decides each case in the files and compares. Cases that do not say
// when they are take place at now. The error is Problems: a file that cannot be
// understood. Cases that fail are results.
func RunTests(s *Set, files []File, now time.Time) (TestResults, error) {
	var problems Problems
	var cases []testCase
	for _, f := range files {
		r := &report{file: f.Name}
		for _, d := range split(r, f) {
			cases = append(cases, readTests(r, d, now)...)
		}
		problems = append(problems, r.problems...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	results := make(TestResults, len(cases))
	for i, c := range cases {
		results[i] = c.run(s)
	}
	return results, nil
}

func (c testCase) run(s *Set) TestResult {
	d := s.shift(c).Decide(c.ask, AtRequest, c.at)
	r := TestResult{Name: c.name, Source: c.source, Decision: d}
	if got := d.Effect.String(); got != c.expect {
		r.Why = append(r.Why, fmt.Sprintf("got %s, want %s", got, c.expect))
	}
	if c.policy != "" && string(d.Policy) != c.policy {
		r.Why = append(r.Why, fmt.Sprintf("decided by policy %q, want %q", d.Policy, c.policy))
	}
	has := func(reason access.Reason) bool { return strings.Contains(reason.Text, c.reason) }
	if !slices.ContainsFunc(d.Reasons, has) && c.reason != "" {
		r.Why = append(r.Why, fmt.Sprintf("no reason says %q", c.reason))
	}
	if r.OK = len(r.Why) == 0; !r.OK {
		for _, reason := range d.Reasons {
			r.Why = append(r.Why, "reason: "+sentence(reason))
		}
	}
	return r
}

// shift is the documents where who asks is on call in the schedules that the test names.
// Of those that are kept elsewhere a test knows nothing else.
func (s *Set) shift(c testCase) *Set {
	known := map[string]Duty{}
	for _, name := range c.onCall {
		x := s.schedule[name]
		if x == nil {
			continue
		}
		for there, who := range x.Kept.People {
			if who == c.ask.Principal.ID {
				known[name] = Duty{Shifts: []oncall.Shift{{Member: there, From: c.at.Add(-time.Hour), Until: c.at.Add(time.Hour)}}}
			}
		}
	}
	return s.With(known)
}

func readTests(r *report, d Document, now time.Time) (cases []testCase) {
	n, ok := parseYAML(r, d.Text, d.Line)
	if !ok {
		return nil
	}
	f := newForm(r, "a file of tests", n.Line, n)
	if !f.has("tests") {
		r.add(f.line, "begin with: tests:", "a file of tests has no tests")
	}
	for _, t := range f.subs("tests") {
		cases = append(cases, readTest(t, now))
	}
	f.close()
	return cases
}

func readTest(f *form, now time.Time) testCase {
	f.what = "a test"
	c := testCase{source: source(f.r.file, f.line), at: now}
	name, _ := f.must("name")
	c.name = name.text
	if p := f.sub("principal"); p != nil {
		c.ask.Principal, c.ask.Above, c.ask.Answers = readPrincipal(p)
	} else if !f.has("principal") {
		f.r.add(f.line, "", "the test has no principal")
	}
	resource, _ := f.must("resource")
	role, _ := f.must("role")
	c.ask.Resource, c.ask.Role = access.ResourceName(resource.text), access.RoleName(role.text)
	// Durations of any size: that a test may ask for too much is the point.
	c.ask.Duration = f.span("for", 100*365*24*time.Hour)
	if !f.has("for") {
		f.r.add(f.line, "add for: 1h", "the test has no for")
	}
	for _, h := range f.subs("holds") {
		c.ask.Holds = append(c.ask.Holds, Held{"grt_test", access.ResourceName(h.text("resource", 63)), access.RoleName(h.text("role", 63))})
		h.close()
	}
	roles, counts := f.pairs("pending")
	for i, role := range roles {
		n, err := strconv.Atoi(counts[i].text)
		if err != nil || n < 1 || n > 1000 {
			f.r.add(role.line, "", "pending: %q is not a whole number from 1 to 1000", counts[i].text)
			continue
		}
		for range n {
			c.ask.Pending = append(c.ask.Pending, access.RoleName(role.text))
		}
	}
	for _, it := range f.texts("onCall") {
		c.onCall = append(c.onCall, it.text)
	}
	c.ask.SinceSame = f.span("sameAgo", never)
	c.ask.Reason = f.text("why", 4096)
	c.ask.Task = access.TaskID(f.text("task", access.MaxTaskID))
	readTicketTest(f, &c.ask)
	if n := f.whole("extended", 0, maxExtensions, -1); n >= 0 || f.has("by") {
		c.ask.Extension = &Extension{Count: max(n, 0), By: f.span("by", 100*365*24*time.Hour)}
	}
	if it, ok := f.scalar("at"); ok {
		c.at = readTime(f, it)
	}
	if it, ok := f.scalar("start"); ok {
		c.ask.Start = readTime(f, it)
	}
	if it, ok := f.scalar("ip"); ok {
		ip, err := netip.ParseAddr(it.text)
		if err != nil {
			f.r.add(it.line, `write it as "10.0.0.1"`, "%q is not an address", it.text)
		}
		c.ask.Source.IP = ip
	}
	if a := f.sub("auth"); a != nil {
		c.ask.Source.Auth = readAuth(a)
	}
	if it, ok := f.must("expect"); ok {
		c.expect = oneOf(f.r, "expect", it, "", []string{"allow", "deny", "approve"})
	}
	c.ask.Emergency = f.flag("breakGlass")
	c.policy = f.text("policy", 63)
	c.reason = f.text("reason", 1024)
	f.close()
	return c
}

// readAuth reads how the person is to have signed in.
func readAuth(f *form) access.Auth {
	a := access.Auth{Provider: f.text("provider", 63), Class: f.text("acr", access.MaxLabel), MFA: f.flag("mfa")}
	for _, it := range f.texts("amr") {
		a.Methods = append(a.Methods, it.text)
	}
	slices.Sort(a.Methods)
	if it, ok := f.scalar("time"); ok {
		a.At = readTime(f, it)
	}
	f.close()
	return a
}

func readTime(f *form, it item) time.Time {
	t, err := time.Parse(time.RFC3339, it.text)
	if err != nil {
		f.r.add(it.line, `write it as "2026-11-21T18:05:00+01:00"`, "%q is not a time", it.text)
	}
	return t
}

// readPrincipal reads who asks, the manager of their manager, and who answers for them.
func readPrincipal(f *form) (access.Principal, access.PrincipalID, *access.Principal) {
	name := f.name("name")
	kind := choice(f, "kind", access.User, []access.PrincipalKind{access.User, access.Service, access.Agent})
	p := access.Principal{ID: access.NewPrincipalID(kind, name), Person: access.Person(name)}
	if it, ok := f.scalar("person"); ok {
		p.Person = access.Person(it.text)
	}
	for _, g := range f.texts("groups") {
		p.Groups = append(p.Groups, access.Group(strings.TrimPrefix(g.text, "group:")))
	}
	slices.Sort(p.Groups)
	keys, values := f.pairs("attributes")
	p.Attributes = make(map[string]string, len(keys))
	for i, k := range keys {
		p.Attributes[k.text] = values[i].text
	}
	p.Manager = readUser(f, string(manager))
	top := readUser(f, string(above))
	p.Admin = f.flag("admin")
	by := readAnswers(f, &p)
	f.close()
	return p, top, by
}

func readUser(f *form, field string) access.PrincipalID {
	it, ok := f.scalar(field)
	if !ok {
		return ""
	}
	if !strings.Contains(it.text, ":") {
		return access.NewPrincipalID(access.User, it.text)
	}
	return access.PrincipalID(it.text)
}

// sentence is a reason with its place: "reason text (orders-read, policy.yaml:31)".
func sentence(r access.Reason) string {
	switch {
	case r.Policy != "":
		return fmt.Sprintf("%s (%s, %s)", r.Text, r.Policy, r.Source)
	case r.Source != "":
		return fmt.Sprintf("%s (%s)", r.Text, r.Source)
	}
	return r.Text
}
