package policy

import (
	"strings"
	"testing"
	"time"

	"stint/internal/access"
)

// TestApprovals checks whom a decision asks, and in which words.
func TestApprovals(t *testing.T) {
	for name, tt := range map[string]struct {
		require string
		bend    func(*Ask)
		want    string // of the decision's text, after "after "
	}{
		"any of":            {`[{from: [group:dba, user:noor]}]`, nil, "1 approval from group:dba or user:noor"},
		"all of":            {`[{from: [user:noor, user:omar], all: true}]`, nil, "1 approval from user:noor and 1 from user:omar"},
		"all of the owners": {`[{from: [owner], all: true}]`, nil, "1 approval from group:dba and 1 from user:olga"},
		"the same twice":    {`[{from: [manager, user:max], all: true}]`, nil, "1 approval from user:max"},
		"in stages":         {`[{from: [user:omar], stage: 2}, {from: [group:dba], count: 2}]`, nil, "2 approvals from group:dba, then 1 from user:omar"},
		"one stage, said":   {`[{from: [group:a], stage: 1}, {from: [group:b]}]`, nil, "1 approval from group:a and 1 from group:b"},
		"managers":          {`[{from: [manager]}, {from: [manager.manager], stage: 2}]`, nil, "1 approval from user:max, then 1 from user:ceo"},
		"escalating":        {`[{from: [manager], escalate: {after: 30m, to: [manager.manager, group:leads]}}]`, nil, "1 approval from user:max (after 30m also user:ceo or group:leads)"},
		"to nobody":         {`[{from: [manager], escalate: {after: 30m, to: [manager.manager]}}]`, func(a *Ask) { a.Above = "" }, "1 approval from user:max"},
		"no manager":        {`[{from: [manager]}]`, func(a *Ask) { a.Principal.Manager = "" }, "nobody can approve: user:mira has no manager"},
		"none above":        {`[{from: [manager.manager]}]`, func(a *Ask) { a.Above = "" }, "nobody can approve: user:max has no manager"},
		"none at all":       {`[{from: [manager.manager]}]`, func(a *Ask) { a.Above, a.Principal.Manager = "", "" }, "nobody can approve: user:mira has no manager.manager"},
		"any of those left": {`[{from: [manager.manager, user:noor]}]`, func(a *Ask) { a.Above = "" }, "1 approval from user:noor"},
		"all, one missing":  {`[{from: [manager.manager, user:noor], all: true}]`, func(a *Ask) { a.Above = "" }, "nobody can approve: user:max has no manager"},
		"no owner":          {`[{from: [owner], all: true}]`, func(a *Ask) { a.Resource, a.Role = "payments-db", "any" }, "nobody can approve: payments-db has no owner"},
	} {
		s := compile(t, shop+rule("p", "{subjects: ['*'], roles: ['*'], require: {approvals: "+tt.require+"}}"))
		a := ask()
		a.Above = "user:ceo"
		if tt.bend != nil {
			tt.bend(&a)
		}
		d := s.Decide(a, AtRequest, noon)
		text := d.Reasons[0].Text
		if d.Effect == access.Approve {
			_, text, _ = strings.Cut(text, ", after ")
		}
		if text != tt.want || (d.Effect == access.Approve) == strings.HasPrefix(tt.want, "nobody") {
			t.Errorf("%s: got %q, want %q", name, text, tt.want)
		}
	}
}

// TestAllCounts: what all-of comes to counts when paths are compared, and at most
// twenty.
func TestAllCounts(t *testing.T) {
	s := compile(t, shop+
		rule("owners", "{subjects: ['*'], roles: [reader], require: {approvals: [{from: [owner, user:noor], all: true}]}}")+
		rule("two", "{subjects: ['*'], roles: [reader], require: {approvals: [{from: [group:x], count: 2}]}}"))
	if d := s.Decide(ask(), AtRequest, noon); d.Policy != "two" {
		t.Error(said(d))
	}
	owners := make([]string, 21)
	for i := range owners {
		owners[i] = "user:o" + string(rune('a'+i))
	}
	s = compile(t, strings.Replace(shop, "[group:dba, user:olga]", "["+strings.Join(owners, ", ")+"]", 1)+
		rule("owners", "{subjects: ['*'], roles: [reader], require: {approvals: [{from: [owner], all: true}]}}"))
	if d := s.Decide(ask(), AtRequest, noon); d.Effect != access.Deny || !strings.Contains(said(d), "21 approvals are asked for, and a request can have 20") {
		t.Error(said(d))
	}
}

func TestWaiting(t *testing.T) {
	s := compile(t, shop+rule("p", "{subjects: ['*'], roles: [reader], require: {answerWithin: 4h, remindAfter: 30m, approvals: [{from: [group:dba]}]}}"))
	if d := s.Decide(ask(), AtRequest, noon); d.AnswerWithin != 4*time.Hour || d.RemindAfter != 30*time.Minute {
		t.Errorf("waits %s, reminds after %s", d.AnswerWithin, d.RemindAfter)
	}
}

// TestLimits: what a person has of a policy's roles closes that path, and no other.
func TestLimits(t *testing.T) {
	s := compile(t, shop+
		rule("few", "{subjects: ['*'], roles: [reader], require: {limits: {live: 2, pending: 1}}}")+
		rule("asked", "{subjects: ['*'], roles: [reader], when: 'request.duration > duration(\"1h\")', require: {approvals: [{from: [group:dba]}]}}"))
	held := func(roles ...access.RoleName) (hs []Held) {
		for _, r := range roles {
			hs = append(hs, Held{"grt_1", "orders-db", r})
		}
		return hs
	}
	for name, tt := range map[string]struct {
		phase Phase
		bend  func(*Ask)
		want  string
	}{
		"nothing":             {AtRequest, func(*Ask) {}, "allow few"},
		"one":                 {AtRequest, func(a *Ask) { a.Holds = held("reader") }, "allow few"},
		"two":                 {AtRequest, func(a *Ask) { a.Holds = held("reader", "reader") }, "deny few mira holds 2 of its roles already, and it allows 2 at a time"},
		"two when it starts":  {AtActivation, func(a *Ask) { a.Holds = held("reader", "reader") }, "deny few mira holds 2 of its roles already, and it allows 2 at a time"},
		"two while it lives":  {Alive, func(a *Ask) { a.Holds = held("reader", "reader") }, "allow few"},
		"two of other roles":  {AtRequest, func(a *Ask) { a.Holds = held("any", "any") }, "allow few"},
		"one pending":         {AtRequest, func(a *Ask) { a.Pending = []access.RoleName{"reader"} }, "deny few mira has 1 undecided requests for its roles already, and it allows 1"},
		"pending when starts": {AtActivation, func(a *Ask) { a.Pending = []access.RoleName{"reader"} }, "allow few"},
		"another path":        {AtRequest, func(a *Ask) { a.Holds, a.Duration = held("reader", "reader"), 2*time.Hour }, "approve asked"},
	} {
		a := ask()
		tt.bend(&a)
		d := s.Decide(a, tt.phase, noon)
		got := d.Effect.String() + " " + string(d.Policy)
		if d.Effect == access.Deny {
			got += " " + d.Reasons[0].Text
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
	if w := s.Wants(AtRequest); !w.Holds || !w.Pending || w.Same || w.Above {
		t.Errorf("wants %+v", w)
	}
	if w := s.Wants(Alive); w != (Wants{}) {
		t.Errorf("of what lives it wants %+v", w)
	}
}

// TestExcludes: either of two roles keeps from the other, whichever says so.
func TestExcludes(t *testing.T) {
	s := compile(t, strings.Replace(shop, "name: owner\n", "name: owner\nexcludes: [reader]\n", 1)+rule("p", "{subjects: ['*'], roles: ['*']}"))
	for _, pair := range [][2]access.RoleName{{"owner", "reader"}, {"reader", "owner"}} {
		a := ask()
		a.Role = pair[0]
		for _, p := range []Phase{AtRequest, AtActivation, Alive} {
			a.Holds = []Held{{"grt_7", "orders-db", "any"}}
			if d := s.Decide(a, p, noon); d.Effect != access.Allow {
				t.Error(said(d))
			}
			a.Holds = append(a.Holds, Held{"grt_9", "payments-db", pair[1]})
			d := s.Decide(a, p, noon)
			if p == Alive { // what runs goes on
				if d.Effect != access.Allow {
					t.Error(said(d))
				}
				continue
			}
			want := "mira holds " + string(pair[1]) + " on payments-db (grt_9), and nobody has that and " + string(pair[0]) + " at a time"
			if d.Effect != access.Deny || d.Reasons[0].Text != want || !strings.HasPrefix(d.Reasons[0].Source, "policy.yaml:2") {
				t.Error(said(d))
			}
		}
	}
	if _, err := Remove(s.Documents(), KindRole, "reader"); access.KindOf(err) != access.Conflict {
		t.Errorf("a role that another excludes is removed: %v", err)
	}
	// An owner who excludes a role of others would keep its holders from it.
	olga := access.Principal{ID: "user:olga", Person: "olga"}
	wide := compile(t, strings.Replace(shop, "name: owner\n", "name: owner\nexcludes: [any]\n", 1)+rule("p", "{subjects: ['*'], roles: ['*']}"))
	if err := wide.MayWrite(olga, Document{Kind: KindRole, Name: "owner"}); access.KindOf(err) != access.Denied {
		t.Errorf("an owner may exclude a role that reaches others' resources: %v", err)
	}
	own := compile(t, strings.Replace(shop, "name: owner\n", "name: owner\nexcludes: [reader]\n", 1)+rule("p", "{subjects: ['*'], roles: ['*']}"))
	own.role["owner"].MaxDuration = time.Hour
	if err := own.MayWrite(olga, Document{Kind: KindRole, Name: "owner"}); err != nil {
		t.Errorf("an owner may not exclude a role of their own resource: %v", err)
	}
}

// TestHistory: a yes of lately opens a path that needs none.
func TestHistory(t *testing.T) {
	s := compile(t, shop+
		rule("again", "{subjects: ['*'], roles: [reader], when: 'history.sinceSame <= duration(\"24h\")'}")+
		rule("first", "{subjects: ['*'], roles: [reader], require: {approvals: [{from: [group:dba]}]}}"))
	for since, want := range map[time.Duration]access.PolicyName{0: "first", time.Millisecond: "again", 24 * time.Hour: "again", 24*time.Hour + 1: "first"} {
		a := ask()
		a.SinceSame = since
		if d := s.Decide(a, AtRequest, noon); d.Policy != want || d.Effect == access.Deny {
			t.Errorf("after %s: %s", since, said(d))
		}
	}
	if !s.Wants(AtRequest).Same || s.Wants(Alive).Same {
		t.Error("it does not want to know what was before")
	}
}
