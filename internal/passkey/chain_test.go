package passkey_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/passkey"
	"stint/internal/passkey/passkeytest"
)

// story is a small Stint without a store: people, passkeys, requests, and the log of
// all that happened.
type story struct {
	t      testing.TB
	now    time.Time
	log    []access.Event
	people map[string]access.Principal
	keys   map[access.PasskeyID]access.Passkey
	device map[access.PasskeyID]*passkeytest.Device
}

func newStory(t testing.TB) *story {
	return &story{t: t, now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), people: map[string]access.Principal{}, keys: map[access.PasskeyID]access.Passkey{},
		device: map[access.PasskeyID]*passkeytest.Device{}}
}

func (s *story) person(name string, admin bool) {
	p := access.Principal{ID: access.NewPrincipalID(access.User, name), Person: access.Person(name), Groups: []access.Group{"dba"}, Admin: admin, Version: 1}
	s.people[name] = p
	facts := map[string]string{"person": name, "name": name}
	if admin {
		facts["admin"] = "true"
	}
	s.log = append(s.log, access.Event{Type: "principal.created", At: s.now, Entity: string(p.ID), Version: 1, Actor: s.actor(name), Facts: facts})
}

func (s *story) actor(name string) access.Actor {
	return access.Actor{Principal: s.people[name].ID, Person: s.people[name].Person}
}

func (s *story) others(of string) (o passkey.Others) {
	for _, k := range s.keys {
		o.Any = o.Any || k.Anchor != ""
		if k.State != access.PasskeyActive {
			continue
		}
		if k.Person == access.Person(of) {
			o.Own = append(o.Own, k)
		} else if s.people[string(k.Person)].Admin {
			o.Admins = append(o.Admins, k)
		}
	}
	return o
}

func (s *story) roster(of string) *passkey.Roster {
	var ps []access.Passkey
	for _, k := range s.keys {
		if k.Person == access.Person(of) {
			ps = append(ps, k)
		}
	}
	return passkey.NewRoster(ps...)
}

func (s *story) keep(r *passkey.Roster, ps ...access.Passkey) {
	for _, p := range append(r.Used(), ps...) {
		s.keys[p.ID] = p
	}
}

// propose makes a passkey; own names an older one that signs for it.
func (s *story) propose(name string, own access.PasskeyID, recovered bool) (access.PasskeyID, error) {
	s.now = s.now.Add(time.Second)
	d := passkeytest.Client()
	p := d.Passkey(s.people[name].ID, access.Person(name), fmt.Sprintf("key %d", len(s.keys)))
	draft := passkey.Draft{Passkey: p, Admin: s.people[name].Admin, Recovered: recovered}
	if own != "" {
		digest := access.VoucherDigest(p.Digest(), p.Principal, p.Person)
		draft.Own = s.device[own].Sign(own, digest[:])
	}
	r := s.roster(name)
	p, ev, err := passkey.Propose(draft, s.others(name), r, s.actor(name), s.now)
	if err != nil {
		return "", err
	}
	s.device[p.ID] = d
	s.keep(r, p)
	s.log = append(s.log, ev)
	return p.ID, nil
}

func (s *story) vouch(admin string, with, id access.PasskeyID) error {
	s.now = s.now.Add(time.Second)
	who := s.people[admin]
	digest := access.VoucherDigest(s.keys[id].Digest(), who.ID, who.Person)
	r := s.roster(admin)
	p, ev, err := passkey.Vouch(s.keys[id], who, s.device[with].Sign(with, digest[:]), s.others(string(s.keys[id].Person)), r, s.actor(admin), s.now)
	if err != nil {
		return err
	}
	s.keep(r, p)
	s.log = append(s.log, ev)
	return nil
}

func (s *story) remove(id access.PasskeyID) {
	s.now = s.now.Add(time.Second)
	p, ev, err := passkey.Remove(s.keys[id], "lost", s.actor(string(s.keys[id].Person)), s.now)
	s.must(err)
	s.keys[id] = p
	s.log = append(s.log, ev)
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) ask(name string, n byte, q access.Requirement) access.Request {
	s.now = s.now.Add(time.Second)
	r, ev, err := access.Submit(access.Request{
		ID: access.NewRequestID(s.now.UnixMilli(), access.Entropy{n}), Principal: s.people[name].ID, Person: access.Person(name),
		Targets: []access.Target{{Resource: "orders", Criticality: access.High, Connection: access.Connection{Type: "postgres", Address: "db:5432"}}}, Role: "writer",
		Permissions: access.Permissions{Mechanism: access.Account, Rights: []string{"a", "b"}}, Duration: time.Hour, Reason: "because", Nonce: [16]byte{n},
	}, s.actor(name), access.Decision{Effect: access.Approve, MaxDuration: 2 * time.Hour, Approvals: []access.Requirement{q}}, s.now)
	s.must(err)
	s.log = append(s.log, ev)
	return r
}

func (s *story) vote(r access.Request, name string, with access.PasskeyID, v access.Vote) (access.Request, error) {
	s.now = s.now.Add(time.Second)
	v.Seen = r.Digest
	roster := s.roster(name)
	if with != "" {
		st, err := r.Says(s.people[name], v)
		s.must(err)
		d := st.Digest()
		v.Assertion, v.Passkeys = s.device[with].Sign(with, d[:]), roster
	}
	r, ev, err := r.Vote(s.people[name], s.actor(name), v, s.now)
	if err == nil {
		s.keep(roster)
		s.log = append(s.log, ev)
	}
	return r, err
}

func (s *story) grant(r access.Request) {
	s.now = s.now.Add(time.Second)
	_, _, ev, err := r.NewGrant(access.GrantID("grt_"+string(r.ID)[4:]), s.now)
	s.must(err)
	s.log = append(s.log, ev)
}

func verify(log []access.Event, roots ...access.Digest) passkey.Report {
	c := passkey.NewChain(roots...)
	for i, e := range log {
		c.Record(int64(i), fmt.Sprint("rec_", i), e)
	}
	return c.Report()
}

// full is a story in which every kind of anchor and vote occurs.
func full(t testing.TB) (s *story, root, noor access.PasskeyID) {
	s = newStory(t)
	for name, admin := range map[string]bool{"root": true, "ada": true, "eve": true, "noor": false, "mira": false} {
		s.person(name, admin)
	}
	root, err := s.propose("root", "", false)
	s.must(err)
	_, err = s.propose("root", root, false) // own
	s.must(err)
	ada, err := s.propose("ada", "", false)
	s.must(err)
	s.must(s.vouch("root", root, ada)) // one admin
	noor, err = s.propose("noor", "", false)
	s.must(err)
	s.must(s.vouch("root", root, noor))
	s.must(s.vouch("ada", ada, noor)) // two
	two := access.Requirement{From: []access.Subject{"group:dba"}, Count: 2, Level: access.LevelPasskey}
	r := s.ask("mira", 1, two)
	r, err = s.vote(r, "noor", noor, access.Vote{Approve: true, Duration: 30 * time.Minute, Rights: []string{"a"}, Note: "until noon"})
	s.must(err)
	r, err = s.vote(r, "ada", ada, access.Vote{Approve: true})
	s.must(err)
	s.grant(r)
	r = s.ask("mira", 2, two)
	_, err = s.vote(r, "noor", noor, access.Vote{Note: "no"})
	s.must(err)
	return s, root, noor
}

func TestChain(t *testing.T) {
	s, root, noor := full(t)
	r := verify(s.log)
	if len(r.Problems) > 0 {
		t.Fatalf("problems: %v", r.Problems)
	}
	if r.Enrolled != 4 || r.Alone != 1 || r.Votes != 3 || r.Genesis != s.keys[root].Digest() || len(r.Roots) != 1 || r.Roots[0].Pinned {
		t.Errorf("found %+v", r)
	}
	if r := verify(s.log, s.keys[root].Digest()); len(r.Problems) > 0 || !r.Roots[0].Pinned {
		t.Errorf("with the right pin: %+v", r)
	}
	if r := verify(s.log, s.keys[noor].Digest()); len(r.Problems) < 2 {
		t.Errorf("with a wrong pin: %+v", r)
	}
	// What an older version wrote, and what nobody was asked about, is no problem.
	old := append([]access.Event{{Type: access.RequestApproved, Entity: "req_0", Version: 2, Facts: map[string]string{"approver": "user:noor", "approver_person": "noor"}}}, s.log...)
	if r := verify(old); len(r.Problems) > 0 {
		t.Errorf("an older record: %v", r.Problems)
	}
}

// Whoever can write the whole log anew, checkpoints and all, and has no passkey, cannot
// change what passkeys signed: every change of every fact that matters is named, at the
// record in which it is or at one that rests on it.
func TestChainNamesEveryChange(t *testing.T) {
	s, root, _ := full(t)
	pin := s.keys[root].Digest()
	// Facts that nothing signed rests on: what they say is said by the log alone.
	free := map[access.EventType][]string{
		access.RequestSubmitted: {"state", "effect", "policy", "rule", "explanation", "start", "documents"},
		access.RequestVoted:     {"principal", "person"}, access.RequestApproved: {"principal", "person"}, access.RequestDenied: {"principal", "person", "level"},
		access.GrantCreated: {"state", "starts_at", "expires_at", "documents", "policy", "principal", "person", "resource", "role"},
		passkey.Proposed:    {"expires_at"}, passkey.Vouched: {"name", "person", "principal", "vouchers"}, "principal.created": {"name"},
	}
	changed := 0
	for i, e := range s.log {
		for name, value := range e.Facts {
			if slices.Contains(free[e.Type], name) || e.Type == "principal.created" && name == "person" && e.Entity != "user:root" {
				continue
			}
			for what, bent := range map[string]string{"one more": value + "x", "emptied": "", "first letter": flip(value, 0), "middle letter": flip(value, len(value)/2), "last letter": flip(value, len(value)-2)} {
				if e.Type == access.GrantCreated && name == "duration" && bent == "0m0s" || bent == value {
					continue
				}
				log := slices.Clone(s.log)
				log[i].Facts = map[string]string{}
				for k, v := range e.Facts {
					log[i].Facts[k] = v
				}
				if log[i].Facts[name] = bent; bent == "" {
					delete(log[i].Facts, name)
				}
				if narrower(e, name, bent) {
					continue
				}
				changed++
				r := verify(log, pin)
				if len(r.Problems) == 0 {
					t.Errorf("record %d, %s: %s of %s (%s -> %s) is not noticed", i, e.Type, what, name, short(value), short(bent))
				} else if first := r.Problems[0].Seq; first != int64(i) && !rests(s.log, i, int(first)) {
					t.Errorf("record %d, %s: %s of %s is blamed on %v", i, e.Type, what, name, r.Problems[0])
				}
			}
		}
	}
	if changed < 150 {
		t.Errorf("only %d changes were tried", changed)
	}
	t.Logf("%d changes, each named", changed)
}

// rests reports whether a later record can be blamed for a change of an earlier one.
func rests(log []access.Event, changed, blamed int) bool { return blamed < 0 || blamed > changed }

// narrower are changes by which a grant, or what is asked for it, becomes less.
func narrower(e access.Event, name, bent string) bool {
	if name == "passkeys" {
		return bent == "" || bent == "1" || bent == "0"
	}
	if e.Type == access.GrantCreated || e.Type == access.RequestApproved {
		switch name {
		case "rights":
			return bent == "" || bent == "a"
		case "duration":
			d, err := time.ParseDuration(bent)
			return err == nil && d <= 30*time.Minute && d > 0
		}
	}
	return e.Type == "principal.created" && name == "admin" && e.Entity == "user:eve"
}

func flip(s string, i int) string {
	if i < 0 || i >= len(s) {
		return s + "y"
	}
	b := []byte(s)
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

func short(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// Records that are left out, repeated, or moved to where their signature means
// something else.
func TestChainNoticesWhatIsMissing(t *testing.T) {
	s, root, noor := full(t)
	pin := s.keys[root].Digest()
	index := func(typ access.EventType, n int) int {
		for i, e := range s.log {
			if e.Type == typ {
				if n == 0 {
					return i
				}
				n--
			}
		}
		t.Fatalf("no %s", typ)
		return 0
	}
	without := func(i int) []access.Event { return slices.Delete(slices.Clone(s.log), i, i+1) }
	for what, log := range map[string][]access.Event{
		"the first passkey is missing":      without(index(passkey.Enrolled, 0)),
		"noor's passkey is missing":         without(index(passkey.Enrolled, 3)),
		"a vote is missing":                 without(index(access.RequestVoted, 0)),
		"the approval is missing":           without(index(access.RequestApproved, 0)),
		"the request is missing":            without(index(access.RequestSubmitted, 0)),
		"a vote is repeated":                slices.Insert(slices.Clone(s.log), index(access.RequestVoted, 0), s.log[index(access.RequestVoted, 0)]),
		"noor's passkey was removed":        slices.Insert(slices.Clone(s.log), index(access.RequestVoted, 0), access.Event{Type: passkey.Removed, Entity: string(noor), Version: 3}),
		"the voucher's passkey was removed": slices.Insert(slices.Clone(s.log), index(passkey.Enrolled, 3), access.Event{Type: passkey.Removed, Entity: string(root), Version: 2}),
		"a second first passkey": append(slices.Clone(s.log), func() access.Event {
			x := newStory(t)
			x.person("ada", true)
			_, err := x.propose("ada", "", false)
			x.must(err)
			return x.log[1]
		}()),
		"the requester's other login voted":  moved(s.log, index(access.RequestVoted, 0), "approver_person", "mira"),
		"the log is another's with one name": newLog(t),
	} {
		if r := verify(log, pin); len(r.Problems) == 0 {
			t.Errorf("%s, and that is not noticed", what)
		}
	}
}

func moved(log []access.Event, i int, name, value string) []access.Event {
	log = slices.Clone(log)
	facts := map[string]string{}
	for k, v := range log[i].Facts {
		facts[k] = v
	}
	facts[name] = value
	log[i].Facts = facts
	return log
}

func newLog(t testing.TB) []access.Event {
	s, _, _ := full(t)
	return s.log
}

func TestLife(t *testing.T) {
	s := newStory(t)
	for name, admin := range map[string]bool{"root": true, "ada": true, "eve": true, "noor": false} {
		s.person(name, admin)
	}
	code := func(err error) string {
		if e, ok := err.(*access.Error); ok {
			return e.Code
		}
		return fmt.Sprint(err)
	}
	is := func(what string, err error, want string) {
		t.Helper()
		if got := code(err); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	_, err := s.propose("noor", "", false)
	is("the first of all by a member", err, "no-first-passkey")
	root, err := s.propose("root", "", false)
	s.must(err)
	if s.keys[root].Anchor != access.AnchorGenesis || s.keys[root].State != access.PasskeyActive {
		t.Errorf("the first is %+v", s.keys[root])
	}
	_, err = s.propose("ada", "", true)
	s.must(err)
	ada, err := s.propose("ada", "", false)
	s.must(err)
	if s.keys[ada].State != access.PasskeyProposed {
		t.Errorf("a passkey that nobody vouched for is %s", s.keys[ada].State)
	}
	is("by a passkey that is only proposed", s.vouch("ada", ada, ada), "own-passkey")
	is("with another person's passkey", s.vouch("eve", root, ada), "no-such-passkey")
	s.must(s.vouch("root", root, ada))
	if s.keys[ada].Anchor != access.AnchorOneAdmin {
		t.Errorf("where one could vouch the anchor is %q", s.keys[ada].Anchor)
	}
	is("of one that is active", s.vouch("root", root, ada), "not-proposed")
	noor, err := s.propose("noor", "", false)
	s.must(err)
	is("a member vouches for their first one", s.vouch("noor", noor, noor), "own-passkey")
	s.must(s.vouch("root", root, noor))
	is("the same administrator again", s.vouch("root", root, noor), "vouched-already")
	if s.keys[noor].State != access.PasskeyProposed {
		t.Error("one of two administrators was enough")
	}
	s.must(s.vouch("ada", ada, noor))
	if s.keys[noor].State != access.PasskeyActive || s.keys[noor].Anchor != access.AnchorAdmins {
		t.Errorf("two vouched: %+v", s.keys[noor])
	}
	member, err := s.propose("eve", "", false)
	s.must(err)
	is("a member vouches for another's", s.vouch("noor", noor, member), "not-yours")
	// One for another site is made first, and signed for by an older one afterwards.
	elsewhere, err := s.propose("noor", "", false)
	s.must(err)
	is("with another's, for one's own", s.vouch("noor", root, elsewhere), "no-such-passkey")
	is("with itself", s.vouch("noor", elsewhere, elsewhere), "passkey-not-active")
	s.must(s.vouch("noor", noor, elsewhere))
	if k := s.keys[elsewhere]; k.State != access.PasskeyActive || k.Anchor != access.AnchorOwn || len(k.Vouchers) != 1 {
		t.Errorf("signed for by an older one: %+v", k)
	}
	// An older passkey must be one's own, and not removed.
	_, err = s.propose("noor", root, false)
	is("with another person's as one's own", err, "no-such-passkey")
	second, err := s.propose("noor", noor, false)
	s.must(err)
	s.remove(noor)
	_, err = s.propose("noor", noor, false)
	is("with one that was removed", err, "passkey-not-active")
	if _, err = s.propose("noor", second, false); err != nil {
		t.Error(err)
	}
	late, err := s.propose("eve", "", false)
	s.must(err)
	s.now = s.now.Add(passkey.ProposedFor)
	is("too late", s.vouch("root", root, late), "proposal-expired")
	// The last administrator with no passkey left.
	s.remove(ada)
	s.remove(root)
	again, err := s.propose("root", "", false)
	s.must(err)
	if s.keys[again].State != access.PasskeyProposed {
		t.Error("without a recovery code it is active")
	}
	again, err = s.propose("root", "", true)
	s.must(err)
	if s.keys[again].Anchor != access.AnchorRecovery {
		t.Errorf("recovered: %+v", s.keys[again])
	}
	r := verify(s.log)
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].What, "recovery code") {
		t.Errorf("a recovery that nobody pinned: %v", r.Problems)
	}
	if r := verify(s.log, r.Genesis, s.keys[again].Digest()); len(r.Problems) > 0 || len(r.Roots) != 2 {
		t.Errorf("a recovery that was pinned: %+v", r)
	}
}

func TestCounterGoesUp(t *testing.T) {
	s := newStory(t)
	s.person("root", true)
	s.person("mira", false)
	root, err := s.propose("root", "", false)
	s.must(err)
	q := access.Requirement{From: []access.Subject{"group:dba"}, Count: 1, Level: access.LevelPasskey}
	_, err = s.vote(s.ask("mira", 1, q), "root", root, access.Vote{Approve: true})
	s.must(err)
	for _, back := range []uint32{0, 1} {
		s.device[root].Counter = back - 1
		_, err = s.vote(s.ask("mira", 2, q), "root", root, access.Vote{Approve: true})
		if e, ok := err.(*access.Error); !ok || e.Code != passkey.CodeCounterWentBack {
			t.Errorf("counter %d after 1: %v", back, err)
		}
	}
	s.device[root].Counter = 7
	if _, err = s.vote(s.ask("mira", 3, q), "root", root, access.Vote{Approve: true}); err != nil {
		t.Errorf("a counter that jumped: %v", err)
	}
	// One that does not count stays at zero.
	p := s.keys[root]
	p.Counter = 0
	s.keys[root] = p
	for n := range byte(2) {
		zero := uint32(0)
		r := s.ask("mira", 4+n, q)
		v := access.Vote{Approve: true, Seen: r.Digest, Passkeys: s.roster("root")}
		st, err := r.Says(s.people["root"], v)
		s.must(err)
		d := st.Digest()
		v.Assertion = s.device[root].Sign(root, d[:], passkeytest.Bend{Counter: &zero})
		if _, _, err := r.Vote(s.people["root"], s.actor("root"), v, s.now); err != nil {
			t.Errorf("without a counter: %v", err)
		}
	}
}
