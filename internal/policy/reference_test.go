package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"stint/internal/access"
)

// The reference is a second implementation of matching and combining, written
// from docs/reference/documents.md as plainly as possible: no index, no early
// exit, no shared code. It does not read the documents but the model they are
// written from, and its conditions are Go functions.

type refCondition struct {
	text string
	mean func(Ask, *refResource, time.Time) (bool, error)
}

var errRef = errors.New("cannot be evaluated")

var refConditions = []refCondition{
	{"", nil},
	{`true`, func(Ask, *refResource, time.Time) (bool, error) { return true, nil }},
	{`request.duration <= duration("1h")`, func(a Ask, _ *refResource, _ time.Time) (bool, error) { return a.Duration <= time.Hour, nil }},
	{`resource.labels.env == "prod"`, func(_ Ask, r *refResource, _ time.Time) (bool, error) {
		if r.env == "" {
			return false, errRef
		}
		return r.env == "prod", nil
	}},
	{`has(resource.labels.env) && resource.labels.env != "prod"`, func(_ Ask, r *refResource, _ time.Time) (bool, error) {
		return r.env != "" && r.env != "prod", nil
	}},
	{`"g1" in principal.groups`, func(a Ask, _ *refResource, _ time.Time) (bool, error) {
		return slices.Contains(a.Principal.Groups, "g1"), nil
	}},
	{`source.ip.isLoopback()`, func(a Ask, _ *refResource, _ time.Time) (bool, error) {
		if !a.Source.IP.IsValid() {
			return false, errRef
		}
		return a.Source.IP.IsLoopback(), nil
	}},
	{`now.hour >= 8 && now.hour < 18`, func(_ Ask, _ *refResource, now time.Time) (bool, error) {
		return now.Hour() >= 8 && now.Hour() < 18, nil
	}},
	{`resource.criticalityRank >= 3`, func(_ Ask, r *refResource, _ time.Time) (bool, error) {
		return r.criticality == "high" || r.criticality == "critical", nil
	}},
}

type refResource struct {
	name, env, criticality string
	owners                 []string
	ceilingMax             time.Duration // 0: none
	ceilingMembers         []string      // nil: not bounded
}

type refRole struct {
	name    string
	names   []string // nil: by env
	env     string   // "": any
	members []string
	max     time.Duration
}

type refRule struct {
	name        string
	deny        bool
	subjects    []string
	roles       []string
	resources   []string // nil: no selector
	zone        string
	when, while refCondition
	minReason   int
	ticket      bool // ^T-
	max         time.Duration
	mfa         bool
	approvals   []refApproval
}

type refApproval struct {
	from  []string
	count int
	all   bool
	stage int      // 0: not said
	then  []string // escalated to
}

type model struct {
	resources []*refResource
	roles     []*refRole
	rules     []*refRule
}

// text writes the model as documents.
func (m *model) text() string {
	var b strings.Builder
	quoted := func(ss []string) string {
		q := make([]string, len(ss))
		for i, s := range ss {
			q[i] = fmt.Sprintf("%q", s)
		}
		return "[" + strings.Join(q, ", ") + "]"
	}
	for _, r := range m.resources {
		fmt.Fprintf(&b, "kind: Resource\nname: %s\ntype: postgres\ncriticality: %s\nconnection: {address: 'a:1', database: d, credential: c}\n", r.name, r.criticality)
		if r.env != "" {
			fmt.Fprintf(&b, "labels: {env: %s}\n", r.env)
		}
		if r.owners != nil {
			fmt.Fprintf(&b, "owners: %s\n", quoted(r.owners))
		}
		if r.ceilingMax > 0 || r.ceilingMembers != nil {
			b.WriteString("ceiling:\n  mechanisms: [account]\n")
			if r.ceilingMax > 0 {
				fmt.Fprintf(&b, "  maxDuration: %s\n", r.ceilingMax)
			}
			if r.ceilingMembers != nil {
				fmt.Fprintf(&b, "  memberOf: %s\n", quoted(r.ceilingMembers))
			}
		}
		b.WriteString("---\n")
	}
	for _, r := range m.roles {
		fmt.Fprintf(&b, "kind: Role\nname: %s\nmechanism: account\nmaxDuration: %s\npostgres: {memberOf: %s}\nresources:\n  type: postgres\n", r.name, r.max, quoted(r.members))
		if r.names != nil {
			fmt.Fprintf(&b, "  names: %s\n", quoted(r.names))
		}
		if r.env != "" {
			fmt.Fprintf(&b, "  labels: {env: %s}\n", r.env)
		}
		b.WriteString("---\n")
	}
	for _, r := range m.rules {
		fmt.Fprintf(&b, "kind: Policy\nname: %s\nsubjects: %s\nroles: %s\nzone: %s\n", r.name, quoted(r.subjects), quoted(r.roles), r.zone)
		if r.deny {
			b.WriteString("effect: deny\n")
		}
		if r.resources != nil {
			fmt.Fprintf(&b, "resources: {names: %s}\n", quoted(r.resources))
		}
		if r.when.text != "" {
			fmt.Fprintf(&b, "when: '%s'\n", r.when.text)
		}
		if r.while.text != "" {
			fmt.Fprintf(&b, "while: '%s'\n", r.while.text)
		}
		if !r.deny {
			fmt.Fprintf(&b, "require:\n  mfa: %v\n", r.mfa)
			if r.minReason > 0 {
				fmt.Fprintf(&b, "  reason: {minLength: %d}\n", r.minReason)
			}
			if r.ticket {
				b.WriteString("  ticket: {pattern: '^T-'}\n")
			}
			if r.max > 0 {
				fmt.Fprintf(&b, "  maxDuration: %s\n", r.max)
			}
			if r.approvals != nil {
				b.WriteString("  approvals:\n")
				for _, a := range r.approvals {
					fmt.Fprintf(&b, "  - {from: %s", quoted(a.from))
					if a.all {
						b.WriteString(", all: true")
					} else {
						fmt.Fprintf(&b, ", count: %d", a.count)
					}
					if a.stage > 0 {
						fmt.Fprintf(&b, ", stage: %d", a.stage)
					}
					if a.then != nil {
						fmt.Fprintf(&b, ", escalate: {after: 30m, to: %s}", quoted(a.then))
					}
					b.WriteString("}\n")
				}
			}
		}
		b.WriteString("---\n")
	}
	return b.String()
}

// answer is what is compared.
type answer struct {
	Effect    string
	Policy    string
	Max       time.Duration
	Approvals []string
}

func (m *model) decide(a Ask, p Phase, now time.Time) answer {
	no := answer{Effect: "deny"}
	var res *refResource
	var role *refRole
	for _, r := range m.resources {
		if r.name == string(a.Resource) {
			res = r
		}
	}
	for _, r := range m.roles {
		if r.name == string(a.Role) {
			role = r
		}
	}
	if res == nil || role == nil || a.Principal.Disabled ||
		role.names != nil && !slices.Contains(role.names, res.name) || role.env != "" && role.env != res.env {
		return no
	}

	limit := role.max
	if res.ceilingMax > 0 && res.ceilingMax < limit {
		limit = res.ceilingMax
	}
	capped := p != Alive && (a.Duration <= 0 || a.Duration > limit)
	if p != Alive && res.ceilingMembers != nil {
		for _, g := range role.members {
			capped = capped || !slices.Contains(res.ceilingMembers, g)
		}
	}

	type candidate struct {
		rule   *refRule
		unmet  int
		count  int
		answer answer
	}
	var allowing []candidate
	for _, r := range m.rules {
		subject := false
		for _, s := range r.subjects {
			subject = subject || s == "*" || s == string(a.Principal.ID) || strings.HasPrefix(s, "group:") && slices.Contains(a.Principal.Groups, access.Group(s[6:]))
		}
		if !subject || !slices.Contains(r.roles, "*") && !slices.Contains(r.roles, role.name) || r.resources != nil && !slices.Contains(r.resources, res.name) {
			continue
		}
		location, err := time.LoadLocation(r.zone)
		if err != nil {
			panic(err)
		}
		truth := func(c refCondition) (bool, error) {
			if c.mean == nil {
				return true, nil
			}
			return c.mean(a, res, now.In(location))
		}
		when, whenErr := truth(r.when)
		while, whileErr := truth(r.while)
		if p == Alive {
			when, whenErr = true, nil
		}
		if r.deny {
			stopsOnlyRequests := p == Alive && r.when.mean != nil && r.while.mean == nil
			if (when || whenErr != nil) && (while || whileErr != nil) && !stopsOnlyRequests {
				return answer{Effect: "deny", Policy: r.name}
			}
			continue
		}
		if !when || !while || whenErr != nil || whileErr != nil {
			continue
		}
		c := candidate{rule: r, answer: answer{Effect: "allow", Policy: r.name, Max: limit}}
		if r.max > 0 && r.max < limit {
			c.answer.Max = r.max
		}
		if p == Alive {
			allowing = append(allowing, c)
			continue
		}
		if len([]rune(strings.TrimSpace(a.Reason))) < r.minReason {
			c.unmet++
		}
		if r.ticket && !strings.HasPrefix(a.Ticket, "T-") {
			c.unmet++
		}
		if r.max > 0 && a.Duration > r.max {
			c.unmet++
		}
		if r.mfa && !a.Source.Auth.MFA {
			c.unmet++
		}
		for _, ap := range r.approvals {
			unfilled := false
			mean := func(words []string) (unique []string) {
				for _, f := range words {
					var who []string
					switch {
					case f == "owner":
						who = res.owners
					case f == "manager" && a.Principal.Manager != "":
						who = []string{string(a.Principal.Manager)}
					case f == "manager.manager" && a.Above != "":
						who = []string{string(a.Above)}
					case f != "manager" && f != "manager.manager":
						who = []string{f}
					}
					unfilled = unfilled || len(who) == 0
					for _, x := range who {
						if !slices.Contains(unique, x) {
							unique = append(unique, x)
						}
					}
				}
				return unique
			}
			from := mean(ap.from)
			lacking := ap.all && unfilled || len(from) == 0
			if lacking {
				c.unmet++
			}
			then := mean(ap.then)
			c.answer.Effect = "approve"
			if !ap.all {
				c.count += ap.count
				c.answer.Approvals = append(c.answer.Approvals, fmt.Sprint(ap.count, from, ap.stage, then))
			} else {
				for _, x := range from {
					c.count++
					c.answer.Approvals = append(c.answer.Approvals, fmt.Sprint(1, []string{x}, ap.stage, then))
				}
			}
		}
		allowing = append(allowing, c)
	}

	var best, nearest *candidate
	for i := range allowing {
		c := &allowing[i]
		if c.unmet == 0 && (best == nil || c.count < best.count) {
			best = c
		}
		if c.unmet > 0 && (nearest == nil || c.unmet < nearest.unmet) {
			nearest = c
		}
	}
	switch {
	case best != nil && !capped:
		return best.answer
	case best == nil && nearest != nil:
		no.Policy = nearest.rule.name
	}
	return no
}

func drawModel(t *rapid.T) *model {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	some := func(label string, of ...string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 1, 2, rapid.ID[string]).Draw(t, label)
	}
	maybe := func(label string) bool { return rapid.IntRange(0, 3).Draw(t, label) == 0 }
	durations := []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}
	m := &model{}
	for i := range 2 {
		r := &refResource{name: fmt.Sprint("db", i), env: pick("env", "", "prod", "test"), criticality: pick("criticality", "low", "high", "critical")}
		if maybe("owned") {
			r.owners = some("owners", "group:g1", "user:u2", "user:u3")
		}
		if maybe("ceiling") {
			r.ceilingMax = rapid.SampledFrom(durations).Draw(t, "ceilingMax")
		}
		if maybe("members") {
			r.ceilingMembers = some("ceilingMembers", "read", "write")
		}
		m.resources = append(m.resources, r)
	}
	for i := range 3 {
		r := &refRole{name: fmt.Sprint("role", i), members: some("members", "read", "write"), max: rapid.SampledFrom(durations).Draw(t, "max")}
		if maybe("byName") {
			r.names = some("names", "db0", "db1")
		}
		if maybe("byEnv") {
			r.env = pick("roleEnv", "prod", "test")
		}
		m.roles = append(m.roles, r)
	}
	for i := range rapid.IntRange(0, 8).Draw(t, "rules") {
		r := &refRule{
			name: fmt.Sprint("p", i), deny: maybe("deny") && maybe("deny2"), zone: pick("zone", "UTC", "Europe/Berlin", "Pacific/Auckland"),
			subjects: some("subjects", "*", "group:g1", "group:g2", "user:u1"), roles: some("roles", "*", "role0", "role1", "role2"),
			when: rapid.SampledFrom(refConditions).Draw(t, "when"), mfa: maybe("mfa"), ticket: maybe("ticket"),
		}
		if maybe("while?") {
			r.while = rapid.SampledFrom(refConditions).Draw(t, "while")
		}
		if maybe("narrow") {
			r.resources = some("resources", "db0", "db1")
		}
		if maybe("reason") {
			r.minReason = rapid.IntRange(1, 6).Draw(t, "minReason")
		}
		if maybe("cap") {
			r.max = rapid.SampledFrom(durations).Draw(t, "ruleMax")
		}
		for range rapid.IntRange(0, 2).Draw(t, "approvals") {
			ap := refApproval{from: some("from", "owner", "manager", "manager.manager", "group:g9", "user:u2"), count: rapid.IntRange(1, 3).Draw(t, "count")}
			if ap.all = maybe("all") && !slices.Contains(ap.from, "group:g9"); !ap.all && maybe("escalates") {
				ap.then = some("then", "manager.manager", "user:u5", "group:g8")
			}
			if len(r.approvals) == 1 && maybe("second") { // there is no second stage without a first
				r.approvals[0].stage, ap.stage = rapid.IntRange(0, 1).Draw(t, "stage"), rapid.IntRange(1, 2).Draw(t, "stage")
			}
			r.approvals = append(r.approvals, ap)
		}
		m.rules = append(m.rules, r)
	}
	return m
}

func drawAsk(t *rapid.T) (Ask, time.Time) {
	a := ask()
	a.Principal = access.Principal{ID: access.PrincipalID(rapid.SampledFrom([]string{"user:u1", "user:u2", "service:u1"}).Draw(t, "who")), Person: "u1",
		Groups:   rapid.SliceOfNDistinct(rapid.SampledFrom([]access.Group{"g1", "g2"}), 0, 2, rapid.ID[access.Group]).Draw(t, "groups"),
		Manager:  access.PrincipalID(rapid.SampledFrom([]string{"", "user:u7", "user:u7"}).Draw(t, "manager")),
		Disabled: rapid.IntRange(0, 19).Draw(t, "disabled") == 0}
	if a.Principal.Manager != "" {
		a.Above = access.PrincipalID(rapid.SampledFrom([]string{"", "user:u8"}).Draw(t, "above"))
	}
	a.Resource = access.ResourceName(rapid.SampledFrom([]string{"db0", "db1"}).Draw(t, "resource"))
	a.Role = access.RoleName(rapid.SampledFrom([]string{"role0", "role1", "role2"}).Draw(t, "role"))
	a.Duration = rapid.SampledFrom([]time.Duration{0, time.Minute, 30 * time.Minute, time.Hour, time.Hour + 1, 3 * time.Hour}).Draw(t, "duration")
	a.Reason = rapid.SampledFrom([]string{"", " ab ", "äöüß", "a good reason"}).Draw(t, "reason")
	a.Ticket = rapid.SampledFrom([]string{"", "T-1", "X"}).Draw(t, "ticket")
	if rapid.Bool().Draw(t, "nowhere") {
		a.Source = access.Source{}
	}
	if a.Source.Auth.MFA = rapid.Bool().Draw(t, "mfa"); a.Source.Auth.MFA {
		a.Source.Auth.Provider = "corp-sso"
	}
	return a, noon.Add(time.Duration(rapid.IntRange(0, 47).Draw(t, "hours")) * time.Hour)
}

// TestAgainstReference decides at random and compares. Its own check is the
// count of outcomes: a run that saw only denials proves nothing.
func TestAgainstReference(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		docs, err := Parse([]File{{"m.yaml", m.text()}})
		if err != nil {
			t.Fatalf("parse: %v\n%s", err, m.text())
		}
		s, err := Compile(docs, schemas, 3)
		if err != nil {
			t.Fatalf("compile: %v\n%s", err, m.text())
		}
		for range 10 {
			a, now := drawAsk(t)
			for _, p := range []Phase{AtRequest, AtActivation, Alive} {
				d := s.Decide(a, p, now)
				got := answer{Effect: d.Effect.String(), Policy: string(d.Policy), Max: d.MaxDuration}
				for _, q := range d.Approvals {
					got.Approvals = append(got.Approvals, fmt.Sprint(q.Count, q.From, q.Stage, q.EscalateTo))
					if (q.EscalateAfter == 30*time.Minute) != (len(q.EscalateTo) > 0) {
						t.Fatalf("escalates to %v after %s", q.EscalateTo, q.EscalateAfter)
					}
				}
				want := m.decide(a, p, now)
				if diff := cmp.Diff(got, want); diff != "" {
					t.Fatalf("phase %d, %+v at %s, got -, want +:\n%s\n%s\n%s", p, a, now, diff, said(d), m.text())
				}
				if len(d.Reasons) == 0 || d.Documents != 3 {
					t.Fatalf("a decision without reasons or version: %+v", d)
				}
				seen[got.Effect+fmt.Sprint(got.Policy != "")]++
			}
			if diff := cmp.Diff(s.Explain(a, now).Decision, s.Decide(a, AtRequest, now)); diff != "" {
				t.Fatalf("Explain and Decide differ:\n%s", diff)
			}
		}
	})
	for _, outcome := range []string{"allowtrue", "approvetrue", "denytrue", "denyfalse"} {
		if seen[outcome] < 10 {
			t.Errorf("the runs saw %v: too few of %s to prove anything", seen, outcome)
		}
	}
}
