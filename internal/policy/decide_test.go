package policy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
)

// TestDecide holds the rules of combination and the phases, one row each. The
// rows of a test add policies to the shop; want is what is said.
func TestDecide(t *testing.T) {
	for _, tt := range []struct {
		name     string
		policies string
		ask      func(*Ask)
		phase    Phase
		now      time.Time
		want     string // effect and policy, then parts of reasons
	}{
		{name: "nothing allows", want: "deny | no policy lets user:mira have reader on orders-db"},
		{name: "allowed at once",
			policies: rule("p", `{subjects: [group:platform], roles: [reader]}`),
			want:     "allow p | lets user:mira have reader on orders-db for up to 3h (p, policy.yaml:41)"},
		{name: "everybody, every role",
			policies: rule("p", `{subjects: ["*"], roles: ["*"]}`),
			want:     "allow p"},
		{name: "another group",
			policies: rule("p", `{subjects: [group:dba], roles: [reader]}`),
			want:     "deny | no policy lets"},
		{name: "another resource",
			policies: rule("p", `{subjects: ["*"], roles: [reader], resources: {names: [payments-db]}}`),
			want:     "deny | no policy lets"},
		{name: "fewest approvals wins over order",
			policies: rule("two", `{subjects: ["*"], roles: [reader], require: {approvals: [{from: [group:dba], count: 2}]}}`) +
				rule("one", `{subjects: ["*"], roles: [reader], require: {approvals: [{from: [group:sec]}]}}`),
			want: "approve one | after 1 approval from group:sec"},
		{name: "sums count, not entries",
			policies: rule("split", `{subjects: ["*"], roles: [reader], require: {approvals: [{from: [group:a]}, {from: [group:b]}]}}`) +
				rule("three", `{subjects: ["*"], roles: [reader], require: {approvals: [{from: [group:dba], count: 3}]}}`),
			want: "approve split | after 1 approval from group:a and 1 from group:b"},
		{name: "equal: document order",
			policies: rule("b", `{subjects: ["*"], roles: [reader]}`) + rule("a", `{subjects: ["*"], roles: ["*"]}`),
			want:     "allow b"},
		{name: "equal: document order, wildcard first",
			policies: rule("b", `{subjects: ["*"], roles: ["*"]}`) + rule("a", `{subjects: ["*"], roles: [reader]}`),
			want:     "allow b"},
		{name: "paths are not mixed",
			policies: rule("short", `{subjects: ["*"], roles: [reader], require: {maxDuration: 30m}}`) +
				rule("ticketed", `{subjects: ["*"], roles: [reader], require: {ticket: {pattern: "^CHG-"}}}`),
			want: "deny short | 1h is over the maxDuration of 30m (short, policy.yaml:41) | the ticket must match ^CHG- (ticketed, policy.yaml:43)"},
		{name: "the nearest path first",
			policies: rule("far", `{subjects: ["*"], roles: [reader], require: {maxDuration: 30m, mfa: true}}`) +
				rule("near", `{subjects: ["*"], roles: [reader], require: {reason: {minLength: 40}}}`),
			want: "deny near | the reason must have at least 40 characters, it has 15 (near"},
		{name: "an unmet path does not hide a met one",
			policies: rule("none", `{subjects: ["*"], roles: [reader], require: {mfa: true}}`) +
				rule("two", `{subjects: ["*"], roles: [reader], require: {approvals: [{from: [group:dba], count: 2}]}}`),
			want: "approve two"},
		{name: "a reason of spaces",
			policies: rule("p", `{subjects: ["*"], roles: [reader], require: {reason: {minLength: 3}}}`),
			ask:      func(a *Ask) { a.Reason = "  x     " },
			want:     "deny p | it has 1"},
		{name: "letters count, not bytes",
			policies: rule("p", `{subjects: ["*"], roles: [reader], require: {reason: {minLength: 3}}}`),
			ask:      func(a *Ask) { a.Reason = "äöü" },
			want:     "allow p"},
		{name: "mfa",
			policies: rule("p", `{subjects: ["*"], roles: [reader], require: {mfa: true}}`),
			want:     "deny p | the sign-in proved none"},
		{name: "mfa that was proven",
			policies: rule("p", `{subjects: ["*"], roles: [reader], require: {mfa: true}}`),
			ask:      func(a *Ask) { a.Source.Auth.MFA = true },
			want:     "allow p"},
		{name: "a sign-in of the last hour",
			policies: rule("p", `{subjects: ["*"], roles: [reader], when: now.timestamp - auth.time < duration("1h")}`),
			ask:      func(a *Ask) { a.Source.Auth.At = noon.Add(-59 * time.Minute) },
			want:     "allow p"},
		{name: "a sign-in of before",
			policies: rule("p", `{subjects: ["*"], roles: [reader], when: now.timestamp - auth.time < duration("1h")}`),
			ask:      func(a *Ask) { a.Source.Auth.At = noon.Add(-time.Hour) },
			want:     "deny"},
		{name: "a sign-in of nobody knows when",
			policies: rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("old", `{effect: deny, subjects: ["*"], roles: ["*"], when: now.timestamp - auth.time > duration("1h")}`),
			want:     "deny old | is not known"},
		{name: "deny overrides",
			policies: rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("no", `{effect: deny, subjects: [user:mira], roles: [reader]}`),
			want:     "deny no | denies (no, policy.yaml:43)"},
		{name: "a deny that does not hold",
			policies: rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("no", `{effect: deny, subjects: ["*"], roles: ["*"], when: now.weekday == "Sunday"}`),
			want:     "allow p"},
		{name: "a deny that errs denies",
			policies: rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("no", `{effect: deny, subjects: ["*"], roles: ["*"], when: resource.labels.tier == "1"}`),
			want:     `deny no | denies, because its condition could not be evaluated: resource.labels.tier == "1" (no such key: tier) (no, policy.yaml:43)`},
		{name: "an allow that errs is no path",
			policies: rule("p", `{subjects: ["*"], roles: [reader], when: 'resource.labels.tier == "1"'}`),
			want:     "deny | no policy lets | its condition could not be evaluated: resource.labels.tier == \"1\" (no such key: tier) (p, policy.yaml:41)"},
		{name: "a missing label asked for politely",
			policies: rule("p", `{subjects: ["*"], roles: [reader], when: '!has(resource.labels.tier)'}`),
			want:     "allow p"},
		{name: "an address that is not known, allow",
			policies: rule("p", `{subjects: ["*"], roles: [reader], when: '!source.ip.inCIDR("10.0.0.0/8")'}`),
			ask:      func(a *Ask) { a.Source.IP = netip.Addr{} },
			want:     "deny | the source address is not known"},
		{name: "an address that is not known, deny",
			policies: rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("no", `{effect: deny, subjects: ["*"], roles: ["*"], when: 'source.ip.inCIDR("10.0.0.0/8")'}`),
			ask:      func(a *Ask) { a.Source.IP = netip.Addr{} },
			want:     "deny no | the source address is not known"},
		{name: "an IPv4 address in IPv6 form",
			policies: rule("p", `{subjects: ["*"], roles: [reader], when: 'source.ip.inCIDR("127.0.0.0/8") && source.ip.isLoopback()'}`),
			ask:      func(a *Ask) { a.Source.IP = netip.MustParseAddr("::ffff:127.0.0.1") },
			want:     "allow p"},
		{name: "cost limit, allow",
			policies: rule("p", `{subjects: ["*"], roles: [reader], when: 'principal.groups.all(a, principal.groups.all(b, a == b || a != b))'}`),
			ask:      func(a *Ask) { a.Principal.Groups = manyGroups(500) },
			want:     "deny | cost limit"},
		{name: "cost limit, deny",
			policies: rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("no", `{effect: deny, subjects: ["*"], roles: ["*"], when: 'principal.groups.exists(a, principal.groups.exists(b, a + "x" == b))'}`),
			ask:      func(a *Ask) { a.Principal.Groups = manyGroups(500) },
			want:     "deny no | cost limit"},

		{name: "over the role's cap",
			policies: rule("p", `{subjects: ["*"], roles: [any]}`),
			ask:      func(a *Ask) { a.Role, a.Duration = "any", 2*time.Hour+time.Millisecond },
			want:     "deny | 2h0m0.001s is over the maxDuration of 2h of role any (policy.yaml:39)"},
		{name: "exactly the cap",
			policies: rule("p", `{subjects: ["*"], roles: [any]}`),
			ask:      func(a *Ask) { a.Role, a.Duration = "any", 2*time.Hour },
			want:     "allow p"},
		{name: "over the ceiling's cap",
			policies: rule("p", `{subjects: ["*"], roles: [reader]}`),
			ask:      func(a *Ask) { a.Duration = 4 * time.Hour },
			want:     "deny | 4h is over the maxDuration of 3h in the ceiling of orders-db (policy.yaml:10)"},
		{name: "zero duration", policies: rule("p", `{subjects: ["*"], roles: [reader]}`),
			ask: func(a *Ask) { a.Duration = 0 }, want: "deny | the duration must be longer than zero"},
		{name: "negative duration", policies: rule("p", `{subjects: ["*"], roles: [reader]}`),
			ask: func(a *Ask) { a.Duration = -1 }, want: "deny | the duration must be longer than zero"},
		{name: "ceiling: group", policies: rule("p", `{subjects: ["*"], roles: ["*"]}`) +
			"kind: Role\nname: r2\nresources: {names: [orders-db]}\nmechanism: account\npostgres: {memberOf: [superpowers]}\nmaxDuration: 1h\n",
			ask: func(a *Ask) { a.Role = "r2" }, want: "deny | the ceiling of orders-db does not allow memberOf superpowers"},
		{name: "ceiling: account", policies: rule("p", `{subjects: ["*"], roles: ["*"]}`) +
			"kind: Role\nname: r2\nresources: {names: [orders-db]}\nmechanism: enable\npostgres: {account: root}\nmaxDuration: 1h\n",
			ask: func(a *Ask) { a.Role = "r2" }, want: "deny | the ceiling of orders-db does not allow account root"},

		{name: "no such role", ask: func(a *Ask) { a.Role = "raeder" }, want: `deny | there is no role "raeder"`},
		{name: "no such resource", ask: func(a *Ask) { a.Resource = "x" }, want: `deny | there is no resource "x"`},
		{name: "not covered", ask: func(a *Ask) { a.Resource = "payments-db" }, want: "deny | role reader does not cover payments-db: it covers orders-db"},
		{name: "disabled", policies: rule("p", `{subjects: ["*"], roles: ["*"]}`),
			ask: func(a *Ask) { a.Principal.Disabled = true }, want: "deny | user:mira is disabled"},
		{name: "ended", policies: rule("p", `{subjects: ["*"], roles: ["*"]}`),
			ask: func(a *Ask) { a.Principal.Until = noon }, want: "deny | user:mira ended"},
		{name: "a service on a person's account", policies: rule("p", `{subjects: ["*"], roles: ["*"]}`),
			ask:  func(a *Ask) { a.Role, a.Principal.ID = "owner", "service:ci" },
			want: "deny | role owner acts on the person's own account, and service:ci is not a person"},
		{name: "administrators have no access by being one",
			ask: func(a *Ask) { a.Principal.Admin = true }, want: "deny | no policy lets"},

		{name: "owner approves", policies: rule("p", `{subjects: ["*"], roles: ["*"], require: {approvals: [{from: [owner]}]}}`),
			want: "approve p | from group:dba or user:olga"},
		{name: "manager approves", policies: rule("p", `{subjects: ["*"], roles: ["*"], require: {approvals: [{from: [manager, user:max]}]}}`),
			want: "approve p | from user:max"},
		{name: "no manager", policies: rule("p", `{subjects: ["*"], roles: ["*"], require: {approvals: [{from: [manager]}]}}`),
			ask:  func(a *Ask) { a.Principal.Manager = "" },
			want: "deny p | nobody can approve: user:mira has no manager"},
		{name: "no owner", policies: rule("p", `{subjects: ["*"], roles: ["*"], require: {approvals: [{from: [owner]}]}}`),
			ask:  func(a *Ask) { a.Resource, a.Role = "payments-db", "any" },
			want: "deny p | nobody can approve: payments-db has no owner"},

		{name: "zone of the policy", policies: rule("p", `{subjects: ["*"], roles: [reader], zone: Pacific/Auckland, when: now.weekday == "Sunday" && now.hour == 1 && now.minute == 0 && now.date == "2026-11-22" && now.time == "01:00"}`),
			want: "allow p"},
		{name: "zones do not leak into each other", policies: rule("a", `{subjects: ["*"], roles: [reader], zone: Pacific/Auckland, when: now.weekday == "Monday"}`) +
			rule("b", `{subjects: ["*"], roles: [reader], when: now.weekday == "Saturday"}`),
			want: "allow b"},
		{name: "a start in the future", policies: rule("p", `{subjects: ["*"], roles: [reader], zone: Europe/Berlin, when: 'now.hour == 13 && start.hour == 2 && start.date == "2026-11-22" && request.start > now.timestamp'}`),
			ask:  func(a *Ask) { a.Start = noon.Add(13 * time.Hour) },
			want: "allow p"},
		{name: "no start means now", policies: rule("p", `{subjects: ["*"], roles: [reader], when: request.start == now.timestamp && start.time == "12:00"}`),
			want: "allow p"},

		{name: "when counts at activation", phase: AtActivation,
			policies: rule("p", `{subjects: ["*"], roles: [reader], when: now.weekday == "Sunday"}`),
			want:     "deny | its condition does not hold: now.weekday"},
		{name: "when does not count alive", phase: Alive,
			policies: rule("p", `{subjects: ["*"], roles: [reader], when: now.weekday == "Sunday"}`),
			want:     "allow p | still lets"},
		{name: "while counts at request",
			policies: rule("p", `{subjects: ["*"], roles: [reader], while: now.weekday == "Sunday"}`),
			want:     "deny | its condition does not hold"},
		{name: "while counts alive", phase: Alive,
			policies: rule("p", `{subjects: ["*"], roles: [reader], while: now.weekday == "Sunday"}`),
			want:     "deny | its condition does not hold"},
		{name: "caps and requirements do not count alive", phase: Alive,
			policies: rule("p", `{subjects: ["*"], roles: [reader], require: {mfa: true, maxDuration: 1m, reason: {minLength: 99}, approvals: [{from: [group:x]}]}}`),
			ask:      func(a *Ask) { a.Duration = 99 * time.Hour },
			want:     "allow p"},
		{name: "subjects count alive", phase: Alive,
			policies: rule("p", `{subjects: [group:platform], roles: [reader]}`),
			ask:      func(a *Ask) { a.Principal.Groups = nil },
			want:     "deny | no policy lets"},
		{name: "a deny with when stops requests only", phase: Alive,
			policies: rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("no", `{effect: deny, subjects: ["*"], roles: ["*"], when: now.weekday == "Saturday"}`),
			want:     "allow p"},
		{name: "a deny with while ends grants", phase: Alive,
			policies: rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("no", `{effect: deny, subjects: ["*"], roles: ["*"], while: now.weekday == "Saturday"}`),
			want:     "deny no"},
		{name: "a deny with both: while alone counts alive", phase: Alive,
			policies: rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("no", `{effect: deny, subjects: ["*"], roles: ["*"], when: now.hour == 3, while: now.weekday == "Saturday"}`),
			want:     "deny no"},
		{name: "a deny with both at request",
			policies: rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("no", `{effect: deny, subjects: ["*"], roles: ["*"], when: now.hour == 3, while: now.weekday == "Saturday"}`),
			want:     "allow p"},
		{name: "a deny without conditions ends grants", phase: Alive,
			policies: rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("no", `{effect: deny, subjects: ["*"], roles: ["*"]}`),
			want:     "deny no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, now := ask(), noon
			if tt.ask != nil {
				tt.ask(&a)
			}
			if !tt.now.IsZero() {
				now = tt.now
			}
			d := compile(t, shop+tt.policies).Decide(a, tt.phase, now)
			got := said(d)
			parts := strings.Split(tt.want, " | ")
			if first, _, _ := strings.Cut(got, "\n"); strings.TrimSpace(first) != parts[0] {
				t.Fatalf("got %s\nwant %s", got, tt.want)
			}
			rest := got
			for _, p := range parts[1:] {
				_, after, ok := strings.Cut(rest, p)
				if !ok {
					t.Fatalf("got %s\nwant it to say, in this order, %q", got, p)
				}
				rest = after
			}
			if d.Documents != 7 {
				t.Errorf("got version %d, want 7", d.Documents)
			}
			if d.Effect == access.Deny && (d.MaxDuration != 0 || d.Approvals != nil) {
				t.Errorf("a denial carries %v, %v", d.MaxDuration, d.Approvals)
			}
		})
	}
}

func manyGroups(n int) []access.Group {
	out := make([]access.Group, n)
	for i := range out {
		out[i] = access.Group("g" + strings.Repeat("x", i%7) + string(rune('a'+i%26)))
	}
	return out
}

func TestEmptySetDenies(t *testing.T) {
	empty, err := Compile(nil, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Set{empty, {}} {
		for _, p := range []Phase{AtRequest, AtActivation, Alive, Phase(99)} {
			if d := s.Decide(ask(), p, noon); d.Effect != access.Deny || len(d.Reasons) == 0 {
				t.Errorf("got %+v, want a denial with a reason", d)
			}
		}
	}
}

// TestFaultDenies injects a fault: a rule that cannot be evaluated at all.
func TestFaultDenies(t *testing.T) {
	for _, p := range []Phase{AtRequest, AtActivation, Alive} {
		s := compile(t, shop+rule("p", `{subjects: ["*"], roles: [reader]}`))
		s.rules[0].while = &condition{text: "broken"}
		d := s.Decide(ask(), p, noon)
		if d.Effect != access.Deny || d.Policy != "" || d.Documents != 7 || !strings.HasPrefix(d.Reasons[0].Text, "the policy engine failed, so nothing is granted: ") {
			t.Errorf("phase %d: got %s, want a denial that says so", p, said(d))
		}
	}
}

func TestConditional(t *testing.T) {
	for _, tt := range []struct {
		policies string
		want     bool
	}{
		{rule("p", `{subjects: ["*"], roles: [reader], when: now.hour < 24}`), false},
		{rule("p", `{subjects: ["*"], roles: [reader], while: now.hour < 24}`), true},
		{rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("no", `{effect: deny, subjects: ["*"], roles: ["*"], while: now.hour == 3}`), true},
		{rule("p", `{subjects: ["*"], roles: [reader]}`) + rule("no", `{effect: deny, subjects: [group:dba], roles: ["*"], while: now.hour == 3}`), false},
	} {
		s := compile(t, shop+tt.policies)
		d := s.Decide(ask(), AtRequest, noon)
		if d.Effect != access.Allow || d.Conditional != tt.want {
			t.Errorf("%s: got %v, conditional %v; want %v", tt.policies, d.Effect, d.Conditional, tt.want)
		}
		a := ask()
		a.Principal.Until = noon.Add(time.Hour)
		if d := s.Decide(a, AtRequest, noon); !d.Conditional {
			t.Errorf("%s: a principal with an end of its own is not decided again", tt.policies)
		}
	}
}

func TestResolve(t *testing.T) {
	s := compile(t, shop)
	a := ask()
	a.Role = "owner"
	got, err := s.Resolve(a)
	if err != nil {
		t.Fatal(err)
	}
	want := Resolved{
		Target: access.Target{Resource: "orders-db", Criticality: access.High, Account: "m_ruiz", Connection: access.Connection{
			Type: "postgres", Address: "db1:5432", Credential: "c1", Options: map[string]string{"database": "orders", "sslmode": "verify-full"}}},
		Permissions: access.Permissions{Mechanism: access.Member, Rights: []string{"orders_owner"},
			Options: map[string]string{"sessions": "keep", "scramIterations": "4096"}},
		Clock:       access.FromEffective,
		MaxDuration: time.Hour,
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("got -, want +:\n%s", diff)
	}

	a.Principal.ID, a.Principal.Person = "user:bo", "bo"
	if got, err = s.Resolve(a); err != nil || got.Target.Account != "bo" {
		t.Errorf("got %q, %v; want the person's name where no mapping is", got.Target.Account, err)
	}
	a.Principal.Person = "bo; DROP ROLE x"
	if _, err = s.Resolve(a); access.KindOf(err) != access.Denied {
		t.Errorf("got %v for a hostile name, want denied", err)
	}
	a.Role = "reader"
	if got, _ = s.Resolve(a); got.MaxDuration != 3*time.Hour || got.Target.Account != "" {
		t.Errorf("got %+v, want the ceiling's cap and no account", got)
	}

	for _, tt := range []struct {
		resource access.ResourceName
		role     access.RoleName
		text     string
		next     string
	}{
		{"order-db", "reader", `there is no resource "order-db"`, `did you mean "orders-db"?`},
		{"orders-db", "raeder", `there is no role "raeder"`, `did you mean "reader"?`},
		{"orders-db", "zzzzzz", `there is no role "zzzzzz"`, `stint get roles lists what there is`},
		{"payments-db", "reader", `role reader does not cover payments-db: it covers orders-db`, `roles on payments-db: any`},
	} {
		a := ask()
		a.Resource, a.Role = tt.resource, tt.role
		_, err := s.Resolve(a)
		e, ok := err.(*access.Error)
		if !ok || e.Kind != access.NotFound || e.Error() != tt.text || e.Next != tt.next {
			t.Errorf("%s/%s: got %v, want %s; %s", tt.resource, tt.role, err, tt.text, tt.next)
		}
	}
}
