package access

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// prover believes a signature that is the challenge itself, after the level's name.
type prover map[PasskeyID]Passkey

func (p prover) Prove(by Person, challenge Digest, a Assertion, _ bool) (Level, error) {
	k, ok := p[a.Passkey]
	if !ok || k.Person != by || string(a.Signature) != string(challenge[:]) {
		return LevelChat, Fail(Denied, "bad-signature", "no")
	}
	return k.Level(), nil
}

func passkeys(ps ...Principal) prover {
	keys := prover{}
	for _, p := range ps {
		keys[PasskeyID("pky_"+p.ID.Name())] = Passkey{ID: PasskeyID("pky_" + p.ID.Name()), Person: p.Person, Origin: "https://stint.example"}
		keys[PasskeyID("pky_"+p.ID.Name()+"_client")] = Passkey{ID: PasskeyID("pky_" + p.ID.Name() + "_client"), Person: p.Person, Origin: ClientOrigin}
	}
	return keys
}

// signed is the vote with the signature of the voter's passkey.
func signed(t *testing.T, r Request, voter Principal, key PasskeyID, v Vote) Vote {
	t.Helper()
	s, err := r.Says(voter, v)
	if err != nil {
		t.Fatal(err)
	}
	d := s.Digest()
	v.Assertion = Assertion{Passkey: key, ClientData: []byte("{}"), AuthenticatorData: []byte("data"), Signature: d[:]}
	v.Passkeys = passkeys(ben, zoe, miraAdm)
	return v
}

func of(l Level) Requirement {
	return Requirement{From: []Subject{"group:dba"}, Count: 1, Level: l}
}

func at(c Criticality) func(*Request) {
	return func(r *Request) {
		r.Targets = slices.Clone(r.Targets)
		r.Targets[0].Criticality = c
	}
}

// What kind of vote fills which requirement, on which resources: the whole table.
func TestLevels(t *testing.T) {
	order := []Level{LevelChat, LevelConsole, LevelPasskey, LevelClient}
	for _, c := range Criticalities {
		for _, asked := range order {
			for _, cast := range order {
				r := submit(t, needs(of(asked)), at(c))
				v := Vote{Approve: true, Seen: r.Digest, Level: cast}
				switch cast {
				case LevelPasskey:
					v.Level = LevelConsole
					v = signed(t, r, ben, "pky_ben", v)
				case LevelClient:
					v.Level = LevelConsole
					v = signed(t, r, ben, "pky_ben_client", v)
				}
				want := cast >= asked
				if c == High || c == Critical {
					want = want && cast != LevelChat
				}
				if c == Critical && asked == LevelPasskey {
					want = cast == LevelClient
				}
				after, ev, err := r.Vote(ben, actorOf(ben), v, t0)
				if got := err == nil && after.State == RequestIsGranted; got != want {
					t.Errorf("%s resource, %s asked, %s cast: approved is %v, want %v (%v)", c, asked, cast, got, want, err)
				}
				if err == nil && cast != LevelConsole && ev.Facts["level"] != cast.String() {
					t.Errorf("the record says level %q of a vote by %s", ev.Facts["level"], cast)
				}
				if err == nil {
					people := map[PrincipalID]Principal{ben.ID: ben}
					if err := after.Recount([]Requirement{of(asked)}, people, passkeys(ben), t0); err != nil {
						t.Errorf("%s, %s, %s: recounted: %v", c, asked, cast, err)
					}
					gone := after.Recount([]Requirement{of(asked)}, people, prover{}, t0)
					if (gone == nil) != (cast <= LevelConsole) {
						t.Errorf("%s, %s, %s: recounted without the passkey: %v", c, asked, cast, gone)
					}
				}
			}
		}
	}
}

// A no in a chat counts where a yes would, and from high up nowhere.
func TestNoInAChat(t *testing.T) {
	for _, c := range Criticalities {
		r := submit(t, needs(of(LevelPasskey)), at(c))
		after, _, err := r.Vote(ben, actorOf(ben), Vote{Note: "no", Seen: r.Digest, Level: LevelChat}, t0)
		if c == High || c == Critical {
			wantCode(t, err, Denied, "chat-too-weak")
		} else if err != nil || after.State != RequestIsDenied {
			t.Errorf("%s: %s, %v", c, after.State, err)
		}
		if after, _, err := r.Vote(ben, actorOf(ben), Vote{Note: "no", Seen: r.Digest}, t0); err != nil || after.State != RequestIsDenied {
			t.Errorf("%s, by console: %s, %v", c, after.State, err)
		}
	}
}

// Nobody can say that a vote was signed; and what was signed is this vote, by this
// person, and no other.
func TestPasskeyVotesAreProved(t *testing.T) {
	r := submit(t, needs(of(LevelPasskey)), at(High))
	yes := Vote{Approve: true, Seen: r.Digest}
	_, _, err := r.Vote(ben, actorOf(ben), yes, t0)
	wantCode(t, err, PasskeyNeeded, "passkey-needed")
	claimed := yes
	claimed.Level = LevelClient
	_, _, err = r.Vote(ben, actorOf(ben), claimed, t0)
	wantCode(t, err, Internal, "unproved-level")
	unchecked := signed(t, r, ben, "pky_ben", yes)
	unchecked.Passkeys = nil
	_, _, err = r.Vote(ben, actorOf(ben), unchecked, t0)
	wantCode(t, err, Internal, "no-prover")

	other := submit(t, needs(of(LevelPasskey)), at(High), func(r *Request) { r.Nonce[0]++ })
	shorter := yes
	shorter.Duration = time.Minute
	no := Vote{Seen: r.Digest, Note: "no"}
	for name, v := range map[string]Vote{
		"of another request":           signed(t, other, ben, "pky_ben", Vote{Approve: true, Seen: other.Digest}),
		"of another person":            signed(t, r, ben, "pky_zoe", yes),
		"of the other's statement":     signed(t, r, zoe, "pky_ben", yes),
		"of a shorter vote, stretched": signed(t, r, ben, "pky_ben", shorter),
		"of a narrower vote, widened":  signed(t, r, ben, "pky_ben", Vote{Approve: true, Seen: r.Digest, Rights: []string{"orders_read"}}),
		"of a no":                      signed(t, r, ben, "pky_ben", no),
		"of a vote with another note":  signed(t, r, ben, "pky_ben", Vote{Approve: true, Seen: r.Digest, Note: "fine"}),
	} {
		v.Approve, v.Seen, v.Duration, v.Rights, v.Note = true, r.Digest, 0, nil, ""
		if _, _, err := r.Vote(ben, actorOf(ben), v, t0); KindOf(err) != Denied {
			t.Errorf("a signature %s was taken: %v", name, err)
		}
	}
	after, ev, err := r.Vote(ben, actorOf(ben), signed(t, r, ben, "pky_ben", shorter), t0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := DecodeStatement(ev.Facts["vote"])
	if err != nil || s.Digest() != after.Approvals[0].Statement().Digest() || s.Duration != time.Minute {
		t.Errorf("the record's vote is %+v, %v", s, err)
	}

	// What stands in the row is recounted, not believed.
	people := map[PrincipalID]Principal{ben.ID: ben}
	for name, bend := range map[string]func(*Approval){
		"the signature":         func(a *Approval) { a.Assertion.Signature = []byte("x") },
		"no signature":          func(a *Approval) { a.Assertion = Assertion{} },
		"a higher level":        func(a *Approval) { a.Level = LevelClient },
		"the duration":          func(a *Approval) { a.Duration = time.Hour },
		"the rights":            func(a *Approval) { a.Rights = nil },
		"the note":              func(a *Approval) { a.Note = "!" },
		"somebody else's votes": func(a *Approval) { a.Person = "ada" },
	} {
		bent := after
		bent.Approvals = slices.Clone(after.Approvals)
		bend(&bent.Approvals[0])
		if bent.Recount([]Requirement{of(LevelPasskey)}, people, passkeys(ben), t0) == nil {
			t.Errorf("%s changed in the row, and it counts", name)
		}
		bent.Approvals[0].Digest = approvalDigest(bent.Approvals[0], bent.Permissions) // whoever writes rows can do that too
		if bent.Recount([]Requirement{of(LevelPasskey)}, people, passkeys(ben), t0) == nil {
			t.Errorf("%s changed in the row with its digest, and it counts", name)
		}
	}
}

// The canonical texts come back whole, and no other text stands for the same.
func TestCanonicalTexts(t *testing.T) {
	r := full()
	r.Reason = "Größe <prüfen> & \"so\" \u2028"
	got, err := DecodeAsk(EncodeAsk(r))
	if err != nil || got.Digest != requestDigest(r) {
		t.Fatalf("ask: %v", err)
	}
	s := Statement{r.Digest, "user:ben", "ben", true, time.Hour, []string{"a", "b"}, "note", time.Time{}}
	if got, err := DecodeStatement(EncodeStatement(s)); err != nil || got.Digest() != s.Digest() {
		t.Errorf("statement: %+v, %v", got, err)
	}
	p := Passkey{Principal: "user:ben", Person: "ben", Name: "laptop", RPID: "localhost", Origin: ClientOrigin, Credential: []byte{1}, Key: []byte{2}}
	if got, err := DecodePasskey(EncodePasskey(p)); err != nil || got.Digest() != p.Digest() || got.ID != IDOf(p.Digest()) {
		t.Errorf("passkey: %+v, %v", got, err)
	}
	a := Assertion{"pky_1", []byte("c"), []byte("d"), []byte("s")}
	if got, err := DecodeAssertion(EncodeAssertion(a)); err != nil || string(got.Signature) != "s" {
		t.Errorf("assertion: %+v, %v", got, err)
	}
	for _, text := range []string{EncodeAsk(r), EncodeStatement(s), EncodePasskey(p), EncodeAssertion(a)} {
		var m map[string]any
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		for _, bent := range []string{"", text + " ", text + "{}", " " + text, text[:len(text)-1] + `,"more":1}`, text[:1] + `"Person":"x",` + text[1:]} {
			_, e1 := DecodeAsk(bent)
			_, e2 := DecodeStatement(bent)
			_, e3 := DecodePasskey(bent)
			_, e4 := DecodeAssertion(bent)
			if e1 == nil || e2 == nil || e3 == nil || e4 == nil {
				t.Errorf("%q was read", bent)
			}
		}
	}
}

func TestGoldenPasskeyDigests(t *testing.T) {
	r := full()
	r.Digest = requestDigest(r)
	s := Statement{r.Digest, ben.ID, ben.Person, true, 30 * time.Minute, []string{"orders_read"}, "fine", time.Time{}}
	dated := s
	dated.At = t0
	p := Passkey{Principal: ben.ID, Person: ben.Person, Name: "laptop", RPID: ClientRPID, Origin: ClientOrigin, Credential: []byte("credential"), Key: []byte("key")}
	a := Approval{By: ben.ID, Person: ben.Person, Approve: true, Duration: 30 * time.Minute, Rights: []string{"orders_read"}, Note: "fine", At: t0, Request: r.Digest,
		Level: LevelClient, Assertion: Assertion{p.ID, []byte("client"), []byte("data"), []byte("signature")}}
	chat := a
	chat.Level, chat.Assertion = LevelChat, Assertion{}
	golden(t, "passkeys.json", map[string]string{
		"vote": s.Digest().String(), "dated vote": dated.Digest().String(), "dated statement": EncodeStatement(dated), "no": Statement{Request: r.Digest, By: ben.ID, Person: ben.Person, Note: "no"}.Digest().String(),
		"passkey": p.Digest().String(), "passkey id": string(IDOf(p.Digest())), "voucher": VoucherDigest(p.Digest(), zoe.ID, zoe.Person).String(),
		"register": RegisterDigest(ben.ID, ben.Person, []byte("nonce")).String(), "act": ActDigest("what", ben.ID, ben.Person, []byte("nonce")).String(),
		"approval by passkey": approvalDigest(a, r.Permissions).String(), "approval in a chat": approvalDigest(chat, r.Permissions).String(), "ask": EncodeAsk(r),
	})
}
