package access

import (
	"testing"
	"time"
)

var (
	boVendor = Principal{ID: "user:bo", Person: "bo", Sponsor: "user:omar", Company: "Acme", Until: t0.Add(24 * time.Hour)}
	fixerOf  = Principal{ID: "agent:fixer", Person: "mira", Responsible: "user:mira", Until: t0.Add(24 * time.Hour)}
)

func TestKindAsPolicySeesIt(t *testing.T) {
	for p, want := range map[PrincipalID]PrincipalKind{boVendor.ID: Vendor, fixerOf.ID: Agent, zoe.ID: User, "service:ci": Service} {
		got := map[PrincipalID]Principal{boVendor.ID: boVendor, fixerOf.ID: fixerOf, zoe.ID: zoe, "service:ci": {ID: "service:ci"}}[p].Kind()
		if got != want {
			t.Errorf("%s is a %s, want %s", p, got, want)
		}
	}
}

func TestWhoMayApprove(t *testing.T) {
	wantCode(t, boVendor.MayApprove(), Denied, "not-of-the-house")
	wantCode(t, fixerOf.MayApprove(), Denied, "not-a-person")
	if err := zoe.MayApprove(); err != nil {
		t.Error(err)
	}
}

// Whoever answers for another can sign in, is of the house, and is the very one.
func TestAnswered(t *testing.T) {
	omar := Principal{ID: "user:omar", Person: "omar"}
	mira := Principal{ID: "user:mira", Person: "mira"}
	for name, x := range map[string]struct {
		p    Principal
		by   *Principal
		bend func(p, by *Principal)
		ok   bool
	}{
		"a sponsor":                {p: boVendor, by: &omar, ok: true},
		"a human":                  {p: fixerOf, by: &mira, ok: true},
		"a user needs none":        {p: zoe, ok: true},
		"gone":                     {p: boVendor},
		"another":                  {p: boVendor, by: &mira},
		"disabled":                 {p: boVendor, by: &omar, bend: func(_, by *Principal) { by.Disabled = true }},
		"a vendor sponsors":        {p: boVendor, by: &omar, bend: func(_, by *Principal) { by.Sponsor = "user:x" }},
		"here for a time":          {p: boVendor, by: &omar, bend: func(_, by *Principal) { by.Until = t0.Add(time.Hour) }},
		"an agent of nobody":       {p: fixerOf, bend: func(p, _ *Principal) { p.Responsible = "" }},
		"an agent of another":      {p: fixerOf, by: &mira, bend: func(_, by *Principal) { by.Person = "noor" }},
		"an agent of another user": {p: fixerOf, by: &omar},
	} {
		p := x.p
		var by *Principal
		if x.by != nil {
			copied := *x.by
			by = &copied
		}
		if x.bend != nil {
			x.bend(&p, by)
		}
		if err := p.Answered(by, t0); (err == nil) != x.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A grant's end is only ever lowered, in every state in which it lives, and in no other.
func TestWithin(t *testing.T) {
	for _, s := range constants[GrantState](t) {
		g := grantIn(t, GrantState(s))
		for off, lower := range map[time.Duration]bool{-time.Minute: true, -time.Millisecond: true, 0: false, time.Hour: false} {
			after, ev, did := g.Within(g.ExpiresAt.Add(off), "contract", System, t0)
			want := lower && g.Live()
			if did != want || after.ExpiresAt.After(g.ExpiresAt) || did != (after.Version == g.Version+1) || did != (ev.Type == GrantShortened) {
				t.Errorf("%s, %s: lowered %t to %s, version %d to %d", s, off, did, after.ExpiresAt, g.Version, after.Version)
			}
		}
		if _, _, did := g.Within(time.Time{}, "", System, t0); did {
			t.Errorf("%s: lowered to no end", s)
		}
	}
}

func TestTasks(t *testing.T) {
	task, ev := OpenTask("agent:fixer", "OPS-1", System, t0)
	if ev.Type != TaskOpened || ev.Entity != "task:agent:fixer/OPS-1" || task.Open(t0) != nil {
		t.Errorf("%+v, %+v", task, ev)
	}
	wantCode(t, task.Open(t0.Add(MaxTask)), Denied, "task-ended")
	ended, ev, err := task.End("done", System, t0.Add(time.Hour))
	if err != nil || ev.Type != TaskEnded || ended.Version != 2 {
		t.Errorf("%+v, %v", ended, err)
	}
	wantCode(t, ended.Open(t0.Add(time.Hour)), Denied, "task-ended")
	_, _, err = ended.End("again", System, t0.Add(time.Hour))
	wantCode(t, err, Conflict, "task-ended")
	for _, s := range []string{"", "a b", "x\n", "ü", string(make([]byte, 10)), "=x"} {
		_, err := ParseTask(s)
		wantCode(t, err, Invalid, "bad-task")
	}
	for _, s := range []string{"OPS-12", "org/repo#4", "run:7@main"} {
		if id, err := ParseTask(s); err != nil || string(id) != s {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestContractBounds(t *testing.T) {
	for until, code := range map[time.Duration]string{-1: "bad-contract-end", 0: "bad-contract-end", MaxContract + 1: "contract-too-long"} {
		wantCode(t, CheckContract(t0.Add(until), t0, MaxContract), Invalid, code)
	}
	if err := CheckContract(t0.Add(MaxContract), t0, MaxContract); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", " Acme", "Acme\n", "Ac\u202eme"} {
		if CheckCompany(name) == nil {
			t.Errorf("%q is a company", name)
		}
	}
}
