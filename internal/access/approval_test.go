package access

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// enough is Quorum by trying everything: each place in turn is given to each
// person who has said yes, can fill it, and has no place yet.
func enough(reqs []Requirement, as []Approval) bool {
	var places []int
	for i, q := range reqs {
		for range q.Count {
			places = append(places, i)
		}
	}
	meets := map[Person][]int{}
	for _, a := range as {
		if _, known := meets[a.Person]; a.Approve && !known {
			meets[a.Person] = a.Meets
		}
	}
	var try func(n int, used map[Person]bool) bool
	try = func(n int, used map[Person]bool) bool {
		if n == len(places) {
			return true
		}
		for p, can := range meets {
			if used[p] || !slices.Contains(can, places[n]) {
				continue
			}
			used[p] = true
			if try(n+1, used) {
				return true
			}
			delete(used, p)
		}
		return false
	}
	return try(0, map[Person]bool{})
}

func TestQuorumIsTheBruteForceMatching(t *testing.T) {
	yes, no := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var reqs []Requirement
		for range rapid.IntRange(1, 3).Draw(t, "requirements") {
			reqs = append(reqs, Requirement{From: []Subject{"*"}, Count: rapid.IntRange(1, 3).Draw(t, "count")})
		}
		var as []Approval
		for range rapid.IntRange(0, 7).Draw(t, "votes") {
			as = append(as, Approval{
				Person: Person(fmt.Sprint("p", rapid.IntRange(0, 6).Draw(t, "person"))), Approve: rapid.IntRange(0, 5).Draw(t, "yes") > 0,
				Meets: rapid.SliceOfNDistinct(rapid.IntRange(0, len(reqs)-1), 1, len(reqs), rapid.ID).Draw(t, "meets"),
			})
		}
		want := enough(reqs, as)
		if got := Quorum(reqs, as); got != want {
			t.Fatalf("Quorum(%v, %v) = %v, want %v", reqs, as, got, want)
		}
		if want {
			yes++
		} else {
			no++
		}
	})
	if yes == 0 || no == 0 {
		t.Errorf("the generator made %d that suffice and %d that do not", yes, no)
	}
}

func TestQuorumBounds(t *testing.T) {
	many := func(n int) (as []Approval) {
		for i := range n {
			as = append(as, Approval{Person: Person(fmt.Sprint("p", i)), Approve: true, Meets: []int{0, 1}})
		}
		return as
	}
	count := func(ns ...int) (reqs []Requirement) {
		for _, n := range ns {
			reqs = append(reqs, Requirement{From: []Subject{"*"}, Count: n})
		}
		return reqs
	}
	const huge = int(^uint(0) >> 1)
	for _, tt := range []struct {
		reqs []Requirement
		n    int
		want bool
	}{
		{count(1), 0, false}, {count(1), 1, true}, {count(2), 1, false}, {count(1, 1), 1, false}, {count(1, 1), 2, true},
		{count(20), 20, true}, {count(20), 19, false}, {count(21), 40, false}, {count(10, 11), 40, false}, {count(10, 10), 20, true},
		{count(huge), 40, false}, {count(huge, huge), 40, false}, {count(huge, huge, 3), 40, false},
	} {
		if got := Quorum(tt.reqs, many(tt.n)); got != tt.want {
			t.Errorf("Quorum(%v) of %d = %v", tt.reqs, tt.n, got)
		}
	}
	for name, reqs := range map[string][]Requirement{
		"none": nil, "count 0": count(0), "negative": count(-1), "too many": count(21), "too many in all": count(10, 11),
		"overflow": count(huge, huge, 3), "from nobody": {{Count: 1}},
	} {
		if r := submit(t, needs(reqs...)); r.State != RequestIsDenied {
			t.Errorf("approvals that cannot be (%s) lead to %s", name, r.State)
		}
	}
	for _, reqs := range [][]Requirement{count(20), count(10, 10), count(1)} {
		if r := submit(t, needs(reqs...)); r.State != RequestPending {
			t.Errorf("approvals %v lead to %s", reqs, r.State)
		}
	}
}

// Whatever logins people have: nobody decides for the person they are, nobody
// counts twice, and what was approved was approved by as many as policy asks.
func TestSeparationOfDuties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groups := []Group{"dba", "security", "owners"}
		persons := []Person{"mira", "ben", "zoe", "ada", ""}
		var logins []Principal
		for i := range rapid.IntRange(2, 9).Draw(t, "logins") {
			p := Principal{
				ID:     NewPrincipalID(rapid.SampledFrom([]PrincipalKind{User, User, User, Service, Agent}).Draw(t, "kind"), fmt.Sprint("login", i)),
				Person: rapid.SampledFrom(persons).Draw(t, "person"),
				Groups: slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.SampledFrom(groups), 1, 3, rapid.ID).Draw(t, "groups"))),
			}
			p.Disabled = rapid.IntRange(0, 9).Draw(t, "disabled") == 0
			if rapid.IntRange(0, 9).Draw(t, "ended") == 0 {
				p.Until = t0
			}
			logins = append(logins, p)
		}
		var reqs []Requirement
		for _, g := range rapid.SliceOfNDistinct(rapid.SampledFrom(groups), 1, 2, rapid.ID).Draw(t, "from") {
			reqs = append(reqs, Requirement{From: []Subject{Subject("group:" + g)}, Count: rapid.IntRange(1, 2).Draw(t, "count")})
		}
		r, _, err := Submit(draft(), actorOf(mira), needs(reqs...), t0)
		if err != nil {
			t.Fatal(err)
		}
		voted := map[Person]bool{}
		byID := map[PrincipalID]Principal{}
		for range rapid.IntRange(1, 12).Draw(t, "votes") {
			p := rapid.SampledFrom(logins).Draw(t, "voter")
			byID[p.ID] = p
			may := p.ID.Kind() == User && p.Person != "" && p.Person != "mira" && !voted[p.Person] && !p.Disabled && p.Until.IsZero() &&
				slices.ContainsFunc(reqs, func(q Requirement) bool { return p.In(q.From[0]) }) && r.State == RequestPending
			next, ev, err := r.Vote(p, actorOf(p), Vote{Approve: true, Seen: r.Digest}, t0)
			if (err == nil) != may {
				t.Fatalf("vote of %+v on %s: %v, want allowed: %v", p, r.State, err, may)
			}
			if r.MayDecide(p) != may && !p.Disabled && p.Until.IsZero() {
				t.Fatalf("MayDecide(%+v) = %v", p, !may)
			}
			if err != nil {
				if !reflect.DeepEqual(next, r) || ev.Type != "" {
					t.Fatalf("a refused vote changed the request")
				}
				continue
			}
			voted[p.Person] = true
			r = next
			if ev.Version != r.Version || ev.Facts["approver_person"] != string(p.Person) {
				t.Fatalf("event %+v", ev)
			}
		}
		if got := r.State == RequestIsGranted; got != enough(reqs, r.Approvals) {
			t.Fatalf("%s with %v of %v", r.State, r.Approvals, reqs)
		}
		if err := r.Recount(reqs, byID, nil, t0); (err == nil) != (r.State == RequestIsGranted) {
			t.Fatalf("recounted at once, %s: %v", r.State, err)
		}
	})
}

func TestVoteRefusals(t *testing.T) {
	seen := func(bend func(*Vote)) func(Request) Vote {
		return func(r Request) Vote {
			v := Vote{Approve: true, Seen: r.Digest}
			bend(&v)
			return v
		}
	}
	plain := seen(func(*Vote) {})
	for name, tt := range map[string]struct {
		voter Principal
		vote  func(Request) Vote
		kind  Kind
		code  string
	}{
		"own":            {mira, plain, Denied, "own-request"},
		"own, aliased":   {miraAdm, plain, Denied, "own-request"},
		"no person":      {Principal{ID: "user:x", Groups: []Group{"dba"}}, plain, Denied, "own-request"},
		"service":        {robot, plain, Denied, "not-a-person"},
		"not asked":      {Principal{ID: "user:eve", Person: "eve", Groups: []Group{"dev"}}, plain, Denied, "not-an-approver"},
		"disabled":       {Principal{ID: "user:ben", Person: "ben", Groups: []Group{"dba"}, Disabled: true}, plain, Unauthenticated, "principal-disabled"},
		"ended":          {Principal{ID: "user:ben", Person: "ben", Groups: []Group{"dba"}, Until: t0}, plain, Unauthenticated, "principal-ended"},
		"other digest":   {ben, seen(func(v *Vote) { v.Seen[31]++ }), Conflict, "other-request"},
		"no digest":      {ben, seen(func(v *Vote) { v.Seen = Digest{} }), Conflict, "other-request"},
		"longer":         {ben, seen(func(v *Vote) { v.Duration = time.Hour + time.Millisecond }), Invalid, "not-narrower"},
		"negative":       {ben, seen(func(v *Vote) { v.Duration = -time.Hour }), Invalid, "not-narrower"},
		"a nanosecond":   {ben, seen(func(v *Vote) { v.Duration = 1 }), Invalid, "not-narrower"},
		"huge":           {ben, seen(func(v *Vote) { v.Duration = 1<<63 - 1 }), Invalid, "not-narrower"},
		"wider":          {ben, seen(func(v *Vote) { v.Rights = []string{"orders_read", "superuser"} }), Invalid, "not-narrower"},
		"no right left":  {ben, seen(func(v *Vote) { v.Rights = []string{} }), Invalid, "no-rights-left"},
		"misleading":     {ben, seen(func(v *Vote) { v.Note = "ok\u202e" }), Invalid, "bad-note"},
		"no without why": {ben, seen(func(v *Vote) { v.Approve = false }), Invalid, "no-note"},
	} {
		r := submit(t, needs(oneDBA))
		after, ev, err := r.Vote(tt.voter, actorOf(tt.voter), tt.vote(r), t0)
		if t.Run(name, func(t *testing.T) { wantCode(t, err, tt.kind, tt.code) }); !reflect.DeepEqual(after, r) || ev.Type != "" {
			t.Errorf("%s: the request changed", name)
		}
	}
	r := submit(t, needs(Requirement{From: []Subject{"group:dba"}, Count: 2}))
	r, _, err := r.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: r.Digest, Rights: []string{"orders_read"}}, t0)
	if err != nil || r.State != RequestPending {
		t.Fatalf("%s, %v", r.State, err)
	}
	_, _, err = r.Vote(Principal{ID: "user:ben2", Person: "ben", Groups: []Group{"dba"}}, Actor{}, Vote{Approve: true, Seen: r.Digest}, t0)
	wantCode(t, err, Conflict, "already-voted")
	after, ev, err := r.Vote(zoe, actorOf(zoe), Vote{Approve: true, Seen: r.Digest, Rights: []string{"orders_write"}}, t0)
	wantCode(t, err, Conflict, "nothing-left")
	if !reflect.DeepEqual(after, r) || ev.Type != "" {
		t.Error("a refused vote changed the request")
	}
}

func TestMayDecide(t *testing.T) {
	r := submit(t, needs(oneDBA))
	for _, tt := range []struct {
		p    Principal
		want bool
	}{{ben, true}, {zoe, true}, {mira, false}, {miraAdm, false}, {robot, false}, {Principal{ID: "user:x", Groups: []Group{"dba"}}, false}} {
		if got := r.MayDecide(tt.p); got != tt.want {
			t.Errorf("MayDecide(%s) = %v", tt.p.ID, got)
		}
		if got := requestIn(t, RequestIsDenied).Asks(tt.p); got != tt.want {
			t.Errorf("Asks(%s) = %v of a request that is decided", tt.p.ID, got)
		}
	}
	if requestIn(t, RequestIsGranted).MayDecide(zoe) {
		t.Error("a decided request is still to decide")
	}
}

func TestHave(t *testing.T) {
	r := submit(t, needs(Requirement{From: []Subject{"group:dba"}, Count: 1}, Requirement{From: []Subject{"group:security", "user:ada"}, Count: 2}))
	if got := r.Have(); !slices.Equal(got, []int{0, 0}) {
		t.Errorf("Have() = %v", got)
	}
	for _, step := range []struct {
		by   Principal
		have []int
	}{{zoe, []int{1, 1}}, {ben, []int{1, 1}}} {
		var err error
		if r, _, err = r.Vote(step.by, actorOf(step.by), Vote{Approve: true, Seen: r.Digest}, t0); err != nil {
			t.Fatal(err)
		}
		if got := r.Have(); !slices.Equal(got, step.have) {
			t.Errorf("after %s: Have() = %v, want %v", step.by.ID, got, step.have)
		}
	}
	if r.State != RequestPending {
		t.Errorf("%s with one of two from security", r.State)
	}
}

// Recount looks at the voters as they are now, and at every digest.
func TestRecount(t *testing.T) {
	approved := requestIn(t, RequestIsGranted) // by ben
	all := map[PrincipalID]Principal{ben.ID: ben, zoe.ID: zoe}
	with := func(bend func(*Principal)) map[PrincipalID]Principal {
		m := maps.Clone(all)
		p := ben
		bend(&p)
		m[ben.ID] = p
		return m
	}
	reqs := []Requirement{oneDBA}
	for name, tt := range map[string]struct {
		reqs   []Requirement
		voters map[PrincipalID]Principal
		bend   func(*Request)
		kind   Kind
		code   string
	}{
		"as it was":                {reqs, all, nil, 0, ""},
		"nothing asked for now":    {nil, all, nil, 0, ""},
		"more asked for now":       {[]Requirement{{From: []Subject{"group:dba"}, Count: 2}}, all, nil, Denied, "approvals-lapsed"},
		"others asked now":         {[]Requirement{{From: []Subject{"group:security"}, Count: 1}}, all, nil, Denied, "approvals-lapsed"},
		"voter gone":               {reqs, nil, nil, Denied, "approvals-lapsed"},
		"voter disabled":           {reqs, with(func(p *Principal) { p.Disabled = true }), nil, Denied, "approvals-lapsed"},
		"voter ended":              {reqs, with(func(p *Principal) { p.Until = t0 }), nil, Denied, "approvals-lapsed"},
		"voter left the group":     {reqs, with(func(p *Principal) { p.Groups = nil }), nil, Denied, "approvals-lapsed"},
		"voter is the asker":       {reqs, with(func(p *Principal) { p.Person = "mira" }), nil, Denied, "approvals-lapsed"},
		"voter is another":         {reqs, with(func(p *Principal) { p.Person = "ada" }), nil, Denied, "approvals-lapsed"},
		"asked for something else": {reqs, all, func(r *Request) { r.Duration++; r.Duration += time.Millisecond }, Conflict, "digest-mismatch"},
		"vote on something else":   {reqs, all, func(r *Request) { r.Approvals[0].Request[0]++ }, Conflict, "digest-mismatch"},
		"vote changed":             {reqs, all, func(r *Request) { r.Approvals[0].Duration += time.Millisecond }, Conflict, "digest-mismatch"},
		"no made yes":              {reqs, all, func(r *Request) { r.Approvals[0].Approve = false }, Denied, "approvals-lapsed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := approved
			r.Approvals = slices.Clone(r.Approvals)
			if tt.bend != nil {
				tt.bend(&r)
			}
			err := r.Recount(tt.reqs, tt.voters, nil, t0)
			if tt.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, err, tt.kind, tt.code)
		})
	}
}
