package policy

import (
	"testing"
	"time"

	"stint/internal/access"
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
