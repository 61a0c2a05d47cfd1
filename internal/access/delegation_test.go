package access

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// eve is asked for nothing; she votes for whoever handed their approvals to her.
func eveFor(ps ...Principal) Principal {
	p := Principal{ID: "user:eve", Person: "eve"}
	for _, x := range ps {
		p.Delegators = append(p.Delegators, DelegatorOf(x))
	}
	return p
}

// A delegation is bounded, between two people who are there, and one at a time.
func TestDelegate(t *testing.T) {
	const day = 24 * time.Hour
	make := func(from, to Principal, bend func(*Delegation), has ...Delegation) (Delegation, Event, error) {
		d := Delegation{ID: "dlg_1", Why: "on leave", EndsAt: t0.Add(5 * day)}
		if bend != nil {
			bend(&d)
		}
		return Delegate(d, from, to, has, 7*day, actorOf(from), t0)
	}
	d, ev, err := make(ben, zoe, nil)
	if err != nil || !d.StartsAt.Equal(t0) || d.Principal != ben.ID || d.Person != "ben" || d.To != zoe.ID || d.ToPerson != "zoe" || d.Version != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	if ev.Type != DelegationMade || ev.Entity != "dlg_1" || ev.Facts["to"] != "user:zoe" || ev.Facts["ends_at"] == "" || ev.Facts["why"] != "on leave" || ev.Facts["person"] != "ben" {
		t.Errorf("event %+v", ev)
	}
	for at, want := range map[time.Duration]bool{-1: false, 0: true, 5*day - 1: true, 5 * day: false} {
		if d.Holds(t0.Add(at)) != want {
			t.Errorf("after %s it holds: %v", at, !want)
		}
	}
	ended, ev, err := d.End(zoe, actorOf(zoe), t0.Add(day))
	if err != nil || ended.Holds(t0.Add(day)) || ended.EndedBy != zoe.ID || ev.Type != DelegationEnded || ev.Facts["by"] != "user:zoe" {
		t.Errorf("%+v, %v, %v", ended, ev, err)
	}
	_, _, err = ended.End(ben, actorOf(ben), t0.Add(2*day))
	wantCode(t, err, Conflict, "over-already")
	_, _, err = d.End(ben, actorOf(ben), t0.Add(5*day))
	wantCode(t, err, Conflict, "over-already")
	_, _, err = d.End(mira, actorOf(mira), t0)
	wantCode(t, err, Denied, "not-yours")
	admin := Principal{ID: "user:root", Person: "root", Admin: true}
	if _, _, err := d.End(admin, actorOf(admin), t0); err != nil {
		t.Error(err)
	}

	gone := zoe
	gone.Disabled = true
	agent := Principal{ID: "agent:fixer", Person: "zoe"}
	other := Delegation{ID: "dlg_0", Principal: ben.ID, Person: "ben", To: "user:ada", ToPerson: "ada", StartsAt: t0.Add(4 * day), EndsAt: t0.Add(9 * day)}
	away := other
	away.Principal, away.Person = zoe.ID, "zoe"
	past := away
	past.EndedAt = t0
	for _, c := range []struct {
		code     string
		from, to Principal
		bend     func(*Delegation)
		has      []Delegation
	}{
		{"not-a-person", robot, ben, nil, nil},
		{"not-a-person", ben, agent, nil, nil},
		{"own-delegation", mira, miraAdm, nil, nil},
		{"unusable-delegate", ben, gone, nil, nil},
		{"principal-disabled", gone, ben, nil, nil},
		{"long-delegation", ben, zoe, func(d *Delegation) { d.EndsAt = t0.Add(7*day + time.Millisecond) }, nil},
		{"bad-end", ben, zoe, func(d *Delegation) { d.EndsAt = t0 }, nil},
		{"bad-end", ben, zoe, func(d *Delegation) { d.EndsAt = time.Time{} }, nil},
		{"bad-start", ben, zoe, func(d *Delegation) { d.StartsAt = t0.Add(-2 * time.Minute) }, nil},
		{"bad-start", ben, zoe, func(d *Delegation) { d.StartsAt, d.EndsAt = t0.Add(MaxAhead+time.Hour), t0.Add(MaxAhead+2*time.Hour) }, nil},
		{"no-why", ben, zoe, func(d *Delegation) { d.Why = " " }, nil},
		{"delegated-already", ben, zoe, nil, []Delegation{other}},
		{"delegate-away", ben, zoe, nil, []Delegation{away}},
	} {
		_, _, err := make(c.from, c.to, c.bend, c.has...)
		if code := codeOf(err); code != c.code {
			t.Errorf("%s to %s: %v, want %s", c.from.ID, c.to.ID, err, c.code)
		}
	}
	if _, _, err := make(ben, zoe, func(d *Delegation) { d.EndsAt = t0.Add(4 * day) }, other, away, past); err != nil {
		t.Errorf("until the other one begins: %v", err)
	}
	if _, _, err := Delegate(Delegation{ID: "dlg_1", Why: "x", EndsAt: t0.Add(time.Hour)}, ben, zoe, nil, -1, actorOf(ben), t0); codeOf(err) != "no-delegations" {
		t.Errorf("where nobody delegates: %v", err)
	}
}

func codeOf(err error) string {
	if e, ok := err.(*Error); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}

// A vote for somebody is theirs and the voter's: one vote of the two.
func TestVoteForSomebody(t *testing.T) {
	two := Requirement{From: []Subject{"group:dba"}, Count: 2}
	eve := eveFor(ben)
	r := submit(t, needs(two))
	if !r.MayDecide(eve) || !r.Asks(eve) || r.MayDecide(eveFor(mira)) || r.MayDecide(eveFor(Principal{ID: "user:tom", Person: "tom"})) {
		t.Error("who may decide is not who stands in for one who is asked")
	}
	for_, ev, err := r.Vote(eve, actorOf(eve), Vote{Approve: true, Seen: r.Digest}, t0)
	if err != nil {
		t.Fatal(err)
	}
	a := for_.Approvals[0]
	if a.By != eve.ID || a.For != ben.ID || a.ForPerson != "ben" || ev.Facts["for"] != "user:ben" || ev.Facts["approver"] != "user:eve" || a.Digest != approvalDigest(a, r.Permissions) {
		t.Errorf("%+v, %+v", a, ev)
	}
	bare := a
	bare.For, bare.ForPerson = "", ""
	if approvalDigest(bare, r.Permissions) == a.Digest {
		t.Error("for whom a vote is is not in its digest")
	}
	_, _, err = for_.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: r.Digest}, t0)
	wantCode(t, err, Conflict, "already-voted")
	eve2 := eveFor(zoe)
	_, _, err = for_.Vote(eve2, actorOf(eve2), Vote{Approve: true, Seen: r.Digest}, t0)
	wantCode(t, err, Conflict, "already-voted")
	tom := Principal{ID: "user:tom", Person: "tom", Delegators: []Delegator{DelegatorOf(ben)}}
	_, _, err = for_.Vote(tom, actorOf(tom), Vote{Approve: true, Seen: r.Digest}, t0)
	wantCode(t, err, Denied, "not-an-approver")
	if for_.MayDecide(ben) || for_.MayDecide(tom) || !for_.MayDecide(zoe) {
		t.Error("who has a vote left is wrong")
	}
	done, _, err := for_.Vote(zoe, actorOf(zoe), Vote{Approve: true, Seen: r.Digest}, t0)
	if err != nil || done.State != RequestIsGranted {
		t.Fatalf("%s, %v", done.State, err)
	}

	// At the start both must still be who they were.
	voters := func(ps ...Principal) map[PrincipalID]Principal {
		m := map[PrincipalID]Principal{}
		for _, p := range ps {
			m[p.ID] = p
		}
		return m
	}
	if err := done.Recount([]Requirement{two}, voters(eve, ben, zoe), nil, t0); err != nil {
		t.Error(err)
	}
	left, out := ben, ben
	left.Groups, out.Disabled = nil, true
	off := eve
	off.Disabled = true
	for name, m := range map[string]map[PrincipalID]Principal{"who it was for left the group": voters(eve, left, zoe), "who it was for is disabled": voters(eve, out, zoe),
		"who it was for is gone": voters(eve, zoe), "who gave it is disabled": voters(off, ben, zoe)} {
		if err := done.Recount([]Requirement{two}, m, nil, t0); err == nil {
			t.Errorf("%s: it counts", name)
		}
	}

	// Never on what they ask for themselves, and never where a passkey is asked for.
	own := submit(t, needs(oneDBA), func(r *Request) { r.Principal, r.Person = ben.ID, ben.Person })
	_, _, err = own.Vote(eve, actorOf(eve), Vote{Approve: true, Seen: own.Digest}, t0)
	wantCode(t, err, Denied, "not-an-approver")
	byKey := submit(t, needs(Requirement{From: []Subject{"group:dba"}, Count: 1, Level: LevelPasskey}))
	_, _, err = byKey.Vote(eve, actorOf(eve), Vote{Approve: true, Seen: byKey.Digest}, t0)
	wantCode(t, err, Denied, "not-delegable")
	asked := Principal{ID: "user:eve", Person: "eve", Groups: []Group{"dba"}, Delegators: []Delegator{DelegatorOf(ben)}}
	own1, _, err := r.Vote(asked, actorOf(asked), Vote{Approve: true, Seen: r.Digest}, t0)
	if err != nil || own1.Approvals[0].For != "" {
		t.Errorf("who is asked votes for somebody else: %+v, %v", own1.Approvals, err)
	}
}

// However people stand in for each other, what is approved was approved by so many of
// those who are asked that no two of the votes are of one person.
func TestDelegatesAddNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, _, err := Submit(draft(), actorOf(mira), needs(Requirement{From: []Subject{"group:dba"}, Count: rapid.IntRange(1, 3).Draw(t, "count")}), t0)
		if err != nil {
			t.Fatal(err)
		}
		name := func(what string) Person {
			return Person(rapid.SampledFrom([]string{"mira", "a", "b", "c", "d", "e"}).Draw(t, what))
		}
		asked := []Person{"a", "b", "c"} // are in the group, and mira
		who := func(p Person) Principal {
			x := Principal{ID: PrincipalID("user:" + string(p)), Person: p}
			if p == "mira" || slices.Contains(asked, p) {
				x.Groups = []Group{"dba"}
			}
			return x
		}
		for range rapid.IntRange(1, 8).Draw(t, "votes") {
			voter := who(name("voter"))
			for range rapid.IntRange(0, 3).Draw(t, "delegators") {
				voter.Delegators = append(voter.Delegators, DelegatorOf(who(name("for"))))
			}
			may := r.MayDecide(voter)
			next, _, err := r.Vote(voter, actorOf(voter), Vote{Approve: true, Seen: r.Digest}, t0)
			if may != (err == nil) {
				t.Fatalf("may decide: %v, and the vote: %v", may, err)
			}
			r = next
		}
		used := map[Person]int{}
		authority := 0
		for _, a := range r.Approvals {
			whose := a.Person
			used[a.Person]++
			if a.ForPerson != "" {
				whose = a.ForPerson
				used[a.ForPerson]++
			}
			if !slices.Contains(asked, whose) {
				t.Fatalf("a vote of %s counts", whose)
			}
			authority++
		}
		for p, n := range used {
			if n > 1 || p == "mira" {
				t.Fatalf("%s has %d votes", p, n)
			}
		}
		if (r.State == RequestIsGranted) != (authority >= r.Decision.Approvals[0].Count) {
			t.Fatalf("%s after %d of %d", r.State, authority, r.Decision.Approvals[0].Count)
		}
	})
}
