package passkey_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stint/internal/access"
	"stint/internal/passkey"
	"stint/internal/passkey/passkeytest"
)

// said is what persons have really signed: everything that an attacker can do is to use
// that, as it is or bent, where it does not belong.
type said struct {
	statement access.Statement
	assertion access.Assertion
}

// siege is a story under attack.
type siege struct {
	*story
	requests []access.Request
	said     []said
	removed  map[access.PasskeyID]bool
	nonce    byte
}

// beginning is made once: people, and a passkey for each, with its chain in the log.
var beginning = sync.OnceValue(func() *story {
	s := newStory(failing{})
	for _, p := range []struct {
		name  string
		admin bool
	}{{"root", true}, {"ada", true}, {"omar", false}, {"olga", false}, {"mira", false}} {
		s.person(p.name, p.admin)
	}
	keys := map[string]access.PasskeyID{}
	for _, name := range []string{"root", "ada", "omar", "olga", "mira"} {
		id, err := s.propose(name, "", false)
		s.must(err)
		keys[name] = id
		if name != "root" {
			s.must(s.vouch("root", keys["root"], id))
		}
		if name != "root" && name != "ada" {
			s.must(s.vouch("ada", keys["ada"], id))
		}
	}
	alias := s.people["mira"]
	alias.ID = "user:mira-adm"
	s.people["mira-adm"] = alias
	robot := s.people["omar"]
	robot.ID = "service:robot"
	s.people["robot"] = robot
	return s
})

// failing is a testing.TB of no test.
type failing struct{ testing.TB }

func (failing) Helper()           {}
func (failing) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func newSiege() *siege {
	b := beginning()
	s := &siege{story: &story{t: b.t, now: b.now, log: slices.Clone(b.log), people: b.people, keys: maps.Clone(b.keys), device: map[access.PasskeyID]*passkeytest.Device{}},
		removed: map[access.PasskeyID]bool{}}
	for id, d := range b.device {
		own := *d
		s.device[id] = &own
	}
	return s
}

func (s *siege) keyOf(person access.Person) access.PasskeyID {
	for id, k := range s.keys {
		if k.Person == person {
			return id
		}
	}
	return ""
}

// drawVote is a yes or a no of some length, width and word.
func drawVote(t *rapid.T) access.Vote {
	v := access.Vote{Approve: rapid.IntRange(0, 4).Draw(t, "approve") > 0}
	v.Duration = rapid.SampledFrom([]time.Duration{0, 0, 10 * time.Minute, time.Hour, 2 * time.Hour}).Draw(t, "duration")
	v.Rights = rapid.SampledFrom([][]string{nil, nil, {"a"}, {"b", "a"}}).Draw(t, "rights")
	if !v.Approve {
		v.Duration, v.Rights, v.Note = 0, nil, "no"
	}
	return v
}

// means is a person who means it: they sign exactly this vote.
func (s *siege) means(r access.Request, name string, v access.Vote) (access.Assertion, bool) {
	st, err := r.Says(s.people[name], v)
	id := s.keyOf(s.people[name].Person)
	if err != nil || id == "" {
		return access.Assertion{}, false
	}
	d := st.Digest()
	a := s.device[id].Sign(id, d[:])
	s.said = append(s.said, said{st, a})
	return a, true
}

// allowed reports whether enough persons have really said yes to as much as this.
func (s *siege) allowed(r access.Request, reqs []access.Requirement, d time.Duration, rights []string) bool {
	persons := map[access.Person]bool{}
	for _, x := range s.said {
		st := x.statement
		if st.Request != r.Digest || !st.Approve || st.Person == r.Person || st.Duration < d || slices.ContainsFunc(rights, func(x string) bool { return !slices.Contains(st.Rights, x) }) {
			continue
		}
		persons[st.Person] = true
	}
	return len(persons) >= reqs[0].Count
}

// TestSequences lets an attacker do what they can, in any order: with stolen sessions of
// everybody, all that was ever signed, and a pen in the database. Nothing is ever
// approved, and nothing starts, that enough persons have not signed as it is.
func TestSequences(t *testing.T) {
	approved, started := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := newSiege()
		names := []string{"root", "ada", "omar", "olga", "mira", "mira-adm", "robot"}
		for range rapid.IntRange(1, 14).Draw(t, "steps") {
			s.now = s.now.Add(time.Second)
			step := rapid.SampledFrom([]string{"ask", "honest", "honest", "replay", "replay", "bend", "session", "other key", "write", "remove", "again"}).Draw(t, "step")
			if step == "ask" || len(s.requests) == 0 {
				s.nonce++
				s.requests = append(s.requests, s.ask("mira", s.nonce, access.Requirement{From: []access.Subject{"group:dba"},
					Count: rapid.IntRange(1, 2).Draw(t, "count"), Level: access.LevelPasskey}))
				continue
			}
			i := rapid.IntRange(0, len(s.requests)-1).Draw(t, "request")
			r := s.requests[i]
			name := rapid.SampledFrom(names).Draw(t, "who")
			v := drawVote(t)
			v.Seen, v.Passkeys = r.Digest, s.roster(string(s.people[name].Person))
			switch step {
			case "honest":
				a, ok := s.means(r, name, v)
				if !ok {
					continue
				}
				v.Assertion = a
			case "replay", "bend":
				if len(s.said) == 0 {
					continue
				}
				v.Assertion = rapid.SampledFrom(s.said).Draw(t, "what").assertion
				if step == "bend" {
					v.Assertion = bent(t, v.Assertion, s.keyOf(s.people[name].Person))
				}
			case "other key":
				own := passkeytest.New(passkey.EdDSA, access.ClientRPID, access.ClientOrigin)
				st, err := r.Says(s.people[name], v)
				if err != nil {
					continue
				}
				d := st.Digest()
				v.Assertion = own.Sign(s.keyOf(s.people[name].Person), d[:])
			case "session":
				v.Level = rapid.SampledFrom([]access.Level{access.LevelChat, access.LevelConsole, access.LevelPasskey, access.LevelClient}).Draw(t, "level")
			case "remove":
				if id := s.keyOf(s.people[name].Person); s.keys[id].State == access.PasskeyActive {
					s.remove(id)
					s.removed[id] = true
				}
				continue
			case "write":
				s.write(t, r)
				continue
			case "again":
				s.recount(t, r, &started)
				continue
			}
			roster := v.Passkeys.(*passkey.Roster)
			after, ev, err := r.Vote(s.people[name], s.actor(name), v, s.now)
			if err != nil {
				continue
			}
			s.keep(roster)
			s.log, s.requests[i] = append(s.log, ev), after
			if after.State == access.RequestIsGranted {
				approved++
				d, p := after.Granted()
				if !s.allowed(after, after.Decision.Approvals, d, p.Rights) {
					t.Fatalf("%s was approved for %s and %v, and that nobody has signed", after.ID, d, p.Rights)
				}
				s.recount(t, after, &started)
			}
		}
		if report := verify(s.log); len(report.Problems) > 0 {
			t.Fatalf("an honest log: %v", report.Problems)
		}
	})
	if approved == 0 || started == 0 {
		t.Errorf("%d were approved and %d could start: the attacker was never near", approved, started)
	}
}

// recount is the start of a grant: it must not pass but for what was signed, by passkeys
// that are still there.
func (s *siege) recount(t *rapid.T, r access.Request, started *int) {
	people := map[access.PrincipalID]access.Principal{}
	for _, p := range s.people {
		people[p.ID] = p
	}
	var all []access.Passkey
	for _, k := range s.keys {
		all = append(all, k)
	}
	if r.Recount(r.Decision.Approvals, people, passkey.NewRoster(all...), s.now) != nil {
		return
	}
	*started++
	d, p := r.Granted()
	if !s.allowed(r, r.Decision.Approvals, d, p.Rights) {
		t.Fatalf("%s starts for %s and %v, and that nobody has signed: %+v", r.ID, d, p.Rights, r.Approvals)
	}
	live := 0
	for _, a := range r.Approvals {
		if a.Approve && !s.removed[a.Assertion.Passkey] {
			live++
		}
	}
	if live < r.Decision.Approvals[0].Count {
		t.Fatalf("%s starts with votes of passkeys that were removed", r.ID)
	}
}

// write is what somebody does who can write into the database: votes that nobody gave,
// votes of other requests, levels, durations, with all digests made anew. It stays in a
// copy: what comes of it is seen at once.
func (s *siege) write(t *rapid.T, r access.Request) {
	r.Approvals = slices.Clone(r.Approvals)
	r.State = access.RequestIsGranted
	for range rapid.IntRange(1, 3).Draw(t, "votes") {
		who := s.people[rapid.SampledFrom([]string{"root", "ada", "omar", "olga", "mira-adm"}).Draw(t, "voter")]
		a := access.Approval{By: who.ID, Person: who.Person, Approve: true, Duration: r.Duration, Rights: r.Permissions.Rights, At: s.now, Request: r.Digest, Meets: []int{0}}
		a.Level = rapid.SampledFrom([]access.Level{access.LevelConsole, access.LevelPasskey, access.LevelClient, access.LevelClient}).Draw(t, "level")
		if len(s.said) > 0 && rapid.Bool().Draw(t, "with a signature") {
			x := rapid.SampledFrom(s.said).Draw(t, "what")
			a.Assertion = x.assertion
			if rapid.Bool().Draw(t, "with its statement") {
				a.By, a.Person, a.Approve, a.Duration, a.Rights, a.Note = x.statement.By, x.statement.Person, x.statement.Approve, x.statement.Duration, x.statement.Rights, x.statement.Note
			}
			if rapid.IntRange(0, 3).Draw(t, "bent") == 0 {
				a.Assertion = bent(t, a.Assertion, s.keyOf(who.Person))
			}
		}
		a.Digest = access.ApprovalDigest(a, r.Permissions)
		r.Approvals = append(r.Approvals, a)
	}
	n := 0
	s.recount(t, r, &n)
}

// bent is an assertion with one thing about it changed.
func bent(t *rapid.T, a access.Assertion, other access.PasskeyID) access.Assertion {
	flip := func(b []byte) []byte {
		if len(b) == 0 {
			return []byte{1}
		}
		b = slices.Clone(b)
		b[rapid.IntRange(0, len(b)-1).Draw(t, "byte")] ^= byte(1 << rapid.IntRange(0, 7).Draw(t, "bit"))
		return b
	}
	switch rapid.IntRange(0, 4).Draw(t, "how") {
	case 0:
		a.ClientData = flip(a.ClientData)
	case 1:
		a.AuthenticatorData = flip(a.AuthenticatorData)
	case 2:
		a.Signature = flip(a.Signature)
	case 3:
		a.Passkey = other
	case 4:
		a.ClientData, a.AuthenticatorData, a.Signature = nil, nil, nil
	}
	return a
}
