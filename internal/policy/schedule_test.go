package policy

import (
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/oncall"
)

const payments = `
kind: Schedule
name: payments
zone: Europe/Berlin
layers:
- {members: [user:mira, user:ben], start: "2026-11-20 13:00", shift: 1d}
---
`

// TestOnCall: a policy for who is on call is for one after the other, and what they
// hold lasts no longer than their shift.
func TestOnCall(t *testing.T) {
	s := compile(t, shop+payments+rule("shift", "{subjects: ['oncall:payments'], roles: [reader]}")+
		rule("named", "{subjects: ['*'], roles: [owner], while: '\"payments\" in principal.onCall'}"))
	for at, on := range map[time.Time]bool{
		noon.Add(-time.Millisecond):      true, // Mira's shift ends at 13:00 in Berlin
		noon:                             false,
		noon.Add(24 * time.Hour):         true,
		noon.Add(48 * time.Hour):         false,
		noon.Add(-48 * time.Hour):        false, // before the first
		noon.Add(48*time.Hour - 1):       true,
		noon.Add(48*time.Hour - 1 + 1e6): false,
	} {
		for _, role := range []access.RoleName{"reader", "owner"} {
			a := ask()
			a.Role = role
			for _, p := range []Phase{AtRequest, AtActivation, Alive} {
				d := s.Decide(a, p, at)
				if got := d.Effect == access.Allow; got != on {
					t.Errorf("%s at %s, phase %d: %s", role, at, p, said(d))
				}
				if on && !d.Conditional {
					t.Errorf("%s in phase %d outlasts the shift", role, p)
				}
			}
			if x := s.Explain(a, at); (x.Decision.Effect == access.Allow) != on || (x.Trials[0].Outcome == Matched) != (on && role == "reader") {
				t.Errorf("explained: %+v", x)
			}
		}
	}
	claims := ask() // what a caller says of themselves is not asked
	claims.Principal.OnCall = []string{"payments"}
	if d := s.Decide(claims, AtRequest, noon); d.Effect != access.Deny {
		t.Error(said(d))
	}
	if _, err := Remove(s.Documents(), KindSchedule, "payments"); access.KindOf(err) != access.Conflict {
		t.Errorf("a schedule that a policy names is removed: %v", err)
	}
	if err := s.MayWrite(access.Principal{ID: "user:olga", Person: "olga"}, Document{Kind: KindSchedule, Name: "payments"}); access.KindOf(err) != access.Denied {
		t.Errorf("an owner writes schedules: %v", err)
	}
}

// TestOnCallApproves: whoever is on call when they vote is asked.
func TestOnCallApproves(t *testing.T) {
	s := compile(t, shop+payments+rule("p", "{subjects: ['*'], roles: [reader], require: {approvals: [{from: ['oncall:payments']}]}}"))
	d := s.Decide(ask(), AtRequest, noon)
	if d.Effect != access.Approve || d.Approvals[0].From[0] != "oncall:payments" {
		t.Fatal(said(d))
	}
	ben := access.Principal{ID: "user:ben", Person: "ben"}
	for at, want := range map[time.Time]bool{noon.Add(-1): false, noon: true, noon.Add(24 * time.Hour): false} {
		if got := s.Knows(ben, at).In("oncall:payments"); got != want {
			t.Errorf("at %s ben is on call: %v", at, got)
		}
	}
	x, ok := s.Schedule("payments")
	if on := x.Between(noon, noon.Add(time.Hour)); !ok || len(on) != 1 || on[0] != "user:ben" {
		t.Errorf("between: %v", on)
	}
	if on := x.OnCall(noon); len(on) != 1 || len(s.Schedules()) != 1 {
		t.Errorf("on call: %v", on)
	}
}

const elsewhere = `
kind: Integration
name: pager
type: pagerduty-oncall
address: https://api.pagerduty.com
credential: pager
---
kind: Schedule
name: payments
integration: pager
calendar: PI7DH85
people: {PXPGF42: user:mira, PAM4FGS: user:ben}
maxAge: 30m
---
`

// TestKeptElsewhere: who is on call is what was found out, by the names that the document
// gives; what was not found out is nobody.
func TestKeptElsewhere(t *testing.T) {
	base := compile(t, shop+elsewhere+rule("shift", "{subjects: ['oncall:payments'], roles: [reader]}"))
	k := base.Elsewhere()
	if len(k) != 1 || k[0].Kept.Calendar != "PI7DH85" || k[0].Kept.MaxAge != 30*time.Minute || k[0].Kept.Integration != "pager" || k[0].Kept.People["PAM4FGS"] != "user:ben" {
		t.Fatalf("%+v", k)
	}
	shift := func(who string) Duty {
		return Duty{Shifts: []oncall.Shift{{Member: who, From: noon.Add(-time.Hour), Until: noon.Add(time.Hour)}}}
	}
	good := base.With(map[string]Duty{"payments": shift("PXPGF42")})
	for name, c := range map[string]struct {
		set  *Set
		at   time.Time
		want bool
	}{
		"never asked":         {base, noon, false},
		"known of nothing":    {base.With(nil), noon, false},
		"on call":             {good, noon, true},
		"after the shift":     {good, noon.Add(time.Hour), false},
		"somebody else":       {base.With(map[string]Duty{"payments": shift("PAM4FGS")}), noon, false},
		"nobody here":         {base.With(map[string]Duty{"payments": shift("mira")}), noon, false},
		"of another schedule": {base.With(map[string]Duty{"other": shift("PXPGF42")}), noon, false},
		"too old":             {base.With(map[string]Duty{"payments": {Shifts: shift("PXPGF42").Shifts, Trouble: "it is old"}}), noon, false},
	} {
		for _, p := range []Phase{AtRequest, AtActivation, Alive} {
			if d := c.set.Decide(ask(), p, c.at); (d.Effect == access.Allow) != c.want || c.want && !d.Conditional {
				t.Errorf("%s, phase %d: %s", name, p, said(d))
			}
		}
	}
	x := base.With(map[string]Duty{"payments": {Trouble: "who is on call in payments was last found out 2h ago"}}).Explain(ask(), noon)
	if x.Trials[0].Outcome != NearMiss || !strings.Contains(x.Trials[0].Misses[0].Text, "last found out 2h ago") {
		t.Errorf("explained: %+v", x.Trials[0])
	}
	if got, _ := good.Schedule("payments"); len(got.OnCall(noon)) != 1 || got.OnCall(noon)[0] != "user:mira" {
		t.Errorf("on call: %v", got.OnCall(noon))
	}
	if d := base.Decide(ask(), AtRequest, noon); d.Effect != access.Deny {
		t.Error("what is known was written into the documents")
	}
	if _, err := Remove(base.Documents(), KindIntegration, "pager"); access.KindOf(err) != access.Conflict {
		t.Errorf("an integration that a schedule names is removed: %v", err)
	}
	for why, doc := range map[string]string{
		"has nobody on call, ever":     "kind: Schedule\nname: x\n",
		"no integration that keeps it": "kind: Schedule\nname: x\ncalendar: P1\npeople: {P1: user:a}\nmaxAge: 1h\n",
		"does not say who is who":      "kind: Schedule\nname: x\nintegration: pager\n",
		"and has layers besides":       "kind: Schedule\nname: x\nintegration: pager\npeople: {P1: user:a}\nlayers: [{members: [user:a], start: \"2026-01-05 09:00\", shift: 1d}]\n",
		"is not a user":                "kind: Schedule\nname: x\nintegration: pager\npeople: {P1: group:a}\n",
		"maxAge 1m is shorter than 5m": "kind: Schedule\nname: x\nintegration: pager\npeople: {P1: user:a}\nmaxAge: 1m\n",
		"cannot be asked who is on":    "kind: Integration\nname: hr\ntype: bare\naddress: https://hr.example.com\n---\nkind: Schedule\nname: x\nintegration: hr\npeople: {P1: user:a}\n",
		"there is no integration":      "kind: Schedule\nname: x\nintegration: pagre\npeople: {P1: user:a}\n",
	} {
		docs, err := Parse([]File{{"x.yaml", shop + elsewhere + doc}})
		if err == nil {
			_, err = Compile(docs, schemas, 1)
		}
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v; want %q", doc, err, why)
		}
	}
}

// TestDenyInDoubt: where it is not known who is on call, a policy that denies those who are
// denies whoever may be; nobody else, and nothing that lives.
func TestDenyInDoubt(t *testing.T) {
	base := compile(t, shop+elsewhere+rule("all", "{subjects: ['*'], roles: [reader]}")+rule("not-on-call", "{effect: deny, subjects: ['oncall:payments'], roles: [reader]}"))
	lost := base.With(map[string]Duty{"payments": {Trouble: "who is on call in payments was last found out 2h ago"}})
	ben := Duty{Shifts: []oncall.Shift{{Member: "PAM4FGS", From: noon.Add(-time.Hour), Until: noon.Add(time.Hour)}}}
	other := ask()
	other.Principal.ID, other.Principal.Person = "user:omar", "omar"
	for name, c := range map[string]struct {
		set   *Set
		a     Ask
		p     Phase
		allow bool
	}{
		"known, and another's shift": {base.With(map[string]Duty{"payments": ben}), ask(), AtRequest, true},
		"not known":                  {lost, ask(), AtRequest, false},
		"not known at the start":     {lost, ask(), AtActivation, false},
		"not known while it lives":   {lost, ask(), Alive, true},
		"who takes no shifts there":  {lost, other, AtRequest, true},
	} {
		d := c.set.Decide(c.a, c.p, noon)
		if (d.Effect == access.Allow) != c.allow || !c.allow && !strings.Contains(d.Reasons[0].Text, "last found out 2h ago") {
			t.Errorf("%s: %s", name, said(d))
		}
	}
}
