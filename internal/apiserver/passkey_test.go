package apiserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/audit"
	"stint/internal/passkey"
	"stint/internal/passkey/passkeytest"
	"stint/internal/store"
)

// guarded are documents in which a role is approved with a passkey.
const guarded = `kind: Resource
name: vault
type: fake
connection: {address: "127.0.0.1:1", credential: login}
criticality: %s
---
kind: Role
name: opener
resources: {names: [vault]}
mechanism: account
maxDuration: 2h
fake: {memberOf: [vault_read, vault_write]}
---
kind: Policy
name: open-vault
subjects: ["*"]
roles: [opener]
require:
  approvals: [{from: [group:dba], count: 1, level: %s}]
`

// signer is a person with a passkey, as their own client would be.
type signer struct {
	*api.Client
	t      testing.TB
	who    api.Whoami
	device *passkeytest.Device
	id     string
}

func newSigner(t testing.TB, c *api.Client) *signer {
	t.Helper()
	who, err := c.Whoami(t.Context())
	check(t, err)
	return &signer{Client: c, t: t, who: who, device: passkeytest.Client()}
}

func (s *signer) registration(name string) api.PasskeyAdd {
	nonce := make([]byte, 32)
	rand.Read(nonce)
	challenge := access.RegisterDigest(access.PrincipalID(s.who.Principal), access.Person(s.who.Person), nonce)
	made := s.device.Register(challenge[:])
	return api.PasskeyAdd{Name: name, Client: true, Nonce: nonce, ClientData: made.ClientData, Attestation: made.Attestation}
}

// add enrols or proposes the device's passkey.
func (s *signer) add(name string) (api.Passkey, error) {
	p, err := s.AddPasskey(s.t.Context(), s.registration(name))
	if err == nil {
		s.id = p.ID
	}
	return p, err
}

func (s *signer) sign(challenge access.Digest) api.Assertion {
	a := s.device.Sign(access.PasskeyID(s.id), challenge[:])
	return api.Assertion{Passkey: s.id, ClientData: a.ClientData, AuthenticatorData: a.AuthenticatorData, Signature: a.Signature}
}

func (s *signer) vouch(id string) (api.Passkey, error) {
	p, err := s.Passkey(s.t.Context(), id)
	check(s.t, err)
	d, err := access.ParseDigest(p.Digest)
	check(s.t, err)
	return s.VouchPasskey(s.t.Context(), id, s.sign(access.VoucherDigest(d, access.PrincipalID(s.who.Principal), access.Person(s.who.Person))))
}

// signed works out what a vote says, from what was asked alone, and signs it.
func (s *signer) signed(r api.Request, approve bool, v api.VoteAsk) api.VoteAsk {
	s.t.Helper()
	asked, err := access.DecodeAsk(r.Ask)
	check(s.t, err)
	vote := access.Vote{Approve: approve, Note: v.Note, Rights: v.Rights}
	if v.For != "" {
		vote.Duration, err = api.ParseDuration(v.For)
		check(s.t, err)
	}
	if approve { // clients of before say no time, and a no of a passkey says none either
		vote.Signed = time.Now()
		at := api.At(vote.Signed)
		v.Signed = &at
	}
	st, err := asked.Says(access.Principal{ID: access.PrincipalID(s.who.Principal), Person: access.Person(s.who.Person)}, vote)
	check(s.t, err)
	a := s.sign(st.Digest())
	v.Digest, v.Assertion = asked.Digest.String(), &a
	return v
}

// chained is a world in which root, ada, omar and olga have passkeys.
func chained(t testing.TB, criticality, level string) (w *world, root *signer, people map[string]*signer) {
	t.Helper()
	w, admin := populated(t)
	_, err := admin.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "guarded.yaml", Text: fmt.Sprintf(guarded, criticality, level)}}})
	if e := (*api.Error)(nil); errors.As(err, &e) {
		t.Fatalf("%s: %+v", e, *e)
	}
	root = newSigner(t, admin)
	if p, err := root.add("first"); err != nil || p.Anchor != "genesis" {
		t.Fatalf("the first passkey: %+v, %v", p, err)
	}
	people = map[string]*signer{}
	for _, u := range []api.UserAdd{{Name: "ada", Admin: true}, {Name: "omar", Groups: []string{"dba"}}, {Name: "olga", Groups: []string{"dba"}}, {Name: "gus"}} {
		s := newSigner(t, w.as(admin, u))
		people[u.Name] = s
		p, err := s.add("laptop")
		if err != nil || p.State != "proposed" {
			t.Fatalf("%s: %+v, %v", u.Name, p, err)
		}
		p, err = root.vouch(s.id)
		check(t, err)
		if u.Name != "ada" {
			p, err = people["ada"].vouch(s.id)
			check(t, err)
		}
		if p.State != "active" {
			t.Fatalf("%s: %+v", u.Name, p)
		}
	}
	return w, root, people
}

func (s *signer) ask(t testing.TB, bend ...func(*api.Ask)) api.Request {
	t.Helper()
	a := api.Ask{Resource: "vault", Role: "opener", Duration: "30m", Reason: "check the seals"}
	for _, f := range bend {
		f(&a)
	}
	r, err := s.Submit(t.Context(), a, api.Wait{})
	check(t, err)
	r, err = s.Request(t.Context(), r.ID, api.Wait{})
	check(t, err)
	if r.State != api.RequestPending {
		t.Fatalf("submitted: %+v", r)
	}
	return r
}

// verified exports the log when it has everything, and walks the chain in it.
func (w *world) verified(t testing.TB, admin *api.Client) passkey.Report {
	t.Helper()
	for n := int64(1); n > 0; time.Sleep(20 * time.Millisecond) {
		var err error
		n, _, err = w.store.Unsequenced(t.Context())
		check(t, err)
	}
	var log bytes.Buffer
	check(t, admin.AuditExport(t.Context(), &log))
	key, err := admin.LogKey(t.Context())
	check(t, err)
	chain := passkey.NewChain()
	_, err = audit.VerifyEach(&log, key.Key, func(seq int64, r audit.Record) { chain.Record(seq, r.ID, r.Event) })
	check(t, err)
	return chain.Report()
}

// A vote by passkey, from enrolment to the check of the exported log.
func TestApprovalByPasskey(t *testing.T) {
	w, root, people := chained(t, "high", "passkey")
	gus, omar := people["gus"], people["omar"]
	r := gus.ask(t)
	if r.Decision.Approvals[0].Level != "passkey" {
		t.Errorf("asked: %+v", r.Decision.Approvals)
	}
	_, err := omar.Approve(t.Context(), r.ID, api.VoteAsk{Digest: r.Digest})
	if e := (*api.Error)(nil); !errors.As(err, &e) || e.Kind != api.PasskeyNeeded {
		t.Fatalf("without a passkey: %v", err)
	}
	r, err = omar.Approve(t.Context(), r.ID, omar.signed(r, true, api.VoteAsk{For: "10m", Note: "seals only"}))
	check(t, err)
	if r.State != api.RequestApproved || r.Votes[0].Level != "client" || r.Votes[0].Passkey != omar.id {
		t.Errorf("approved: %+v", r)
	}
	r, err = gus.Request(t.Context(), r.ID, api.Wait{For: api.Ready, Time: 20 * time.Second})
	check(t, err)
	if r.Grant == nil || r.Grant.State != api.GrantActive || r.Granted != "10m" {
		t.Fatalf("ready: %+v", r)
	}
	no := gus.ask(t)
	if no, err = omar.Deny(t.Context(), no.ID, omar.signed(no, false, api.VoteAsk{Note: "not today"})); err != nil || no.State != api.RequestDenied {
		t.Errorf("denied: %+v, %v", no, err)
	}
	report := w.verified(t, root.Client)
	if len(report.Problems) > 0 || report.Votes != 2 || report.Enrolled != 5 || report.Alone != 1 {
		t.Errorf("the log: %+v", report)
	}
}

// On a critical resource only a signature that the approver's own client asked for
// counts: a page of the server could have shown something else.
func TestCriticalWantsTheOwnClient(t *testing.T) {
	_, _, people := chained(t, "critical", "passkey")
	gus, omar := people["gus"], people["omar"]
	r := gus.ask(t)
	if r.Decision.Approvals[0].Level != "client" {
		t.Errorf("asked: %+v", r.Decision.Approvals)
	}
	if _, err := omar.Approve(t.Context(), r.ID, omar.signed(r, true, api.VoteAsk{})); err != nil {
		t.Error(err)
	}
}

// A console that lies: it shows one request and its client signs another. The client
// works out what it signs from what it shows, so that the signature is of no use.
func TestAServerThatLies(t *testing.T) {
	_, _, people := chained(t, "critical", "passkey")
	gus, omar := people["gus"], people["omar"]
	shown, meant := gus.ask(t), gus.ask(t, func(a *api.Ask) { a.Reason = "take everything" })
	lie := shown
	lie.ID, lie.Digest = meant.ID, meant.Digest // what the digest covers is still what is shown
	vote := omar.signed(lie, true, api.VoteAsk{})
	vote.Digest = meant.Digest
	_, err := omar.Approve(t.Context(), meant.ID, vote)
	if e := (*api.Error)(nil); !errors.As(err, &e) || e.Code != "wrong-challenge" {
		t.Errorf("what was signed for %q counts for %q: %v", shown.Reason, "take everything", err)
	}
}

// attacks are ways to a yes that nobody who is asked has given. Each gets a fresh request
// and omar's good vote on it, and must not get it approved.
var attacks = map[string]func(t *testing.T, w *world, root *signer, people map[string]*signer, r api.Request) error{
	"a stolen session without the passkey": func(t *testing.T, _ *world, _ *signer, people map[string]*signer, r api.Request) error {
		_, err := people["omar"].Approve(t.Context(), r.ID, api.VoteAsk{Digest: r.Digest})
		return err
	},
	"the assertion of another request": func(t *testing.T, _ *world, _ *signer, people map[string]*signer, r api.Request) error {
		other := people["gus"].ask(t)
		v := people["omar"].signed(other, true, api.VoteAsk{})
		_, err := people["omar"].Approve(t.Context(), r.ID, api.VoteAsk{Digest: r.Digest, Assertion: v.Assertion})
		return err
	},
	"the assertion of another person": func(t *testing.T, _ *world, _ *signer, people map[string]*signer, r api.Request) error {
		v := people["olga"].signed(r, true, api.VoteAsk{})
		_, err := people["omar"].Approve(t.Context(), r.ID, v)
		return err
	},
	"a no sent as a yes": func(t *testing.T, _ *world, _ *signer, people map[string]*signer, r api.Request) error {
		v := people["omar"].signed(r, false, api.VoteAsk{Note: "no"})
		_, err := people["omar"].Approve(t.Context(), r.ID, v)
		return err
	},
	"the duration stretched": func(t *testing.T, _ *world, _ *signer, people map[string]*signer, r api.Request) error {
		v := people["omar"].signed(r, true, api.VoteAsk{For: "5m"})
		v.For = "25m"
		_, err := people["omar"].Approve(t.Context(), r.ID, v)
		return err
	},
	"the duration left out": func(t *testing.T, _ *world, _ *signer, people map[string]*signer, r api.Request) error {
		v := people["omar"].signed(r, true, api.VoteAsk{For: "5m"})
		v.For = ""
		_, err := people["omar"].Approve(t.Context(), r.ID, v)
		return err
	},
	"the rights widened": func(t *testing.T, _ *world, _ *signer, people map[string]*signer, r api.Request) error {
		v := people["omar"].signed(r, true, api.VoteAsk{Rights: []string{"vault_read"}})
		v.Rights = nil
		_, err := people["omar"].Approve(t.Context(), r.ID, v)
		return err
	},
	"a word put into the note": func(t *testing.T, _ *world, _ *signer, people map[string]*signer, r api.Request) error {
		v := people["omar"].signed(r, true, api.VoteAsk{})
		v.Note = "agreed with security"
		_, err := people["omar"].Approve(t.Context(), r.ID, v)
		return err
	},
	"the requester's own passkey": func(t *testing.T, _ *world, _ *signer, people map[string]*signer, r api.Request) error {
		_, err := people["gus"].Approve(t.Context(), r.ID, people["gus"].signed(r, true, api.VoteAsk{}))
		return err
	},
	"another login of the requester": func(t *testing.T, w *world, root *signer, people map[string]*signer, r api.Request) error {
		alias := newSigner(t, w.as(root.Client, api.UserAdd{Name: "gus-adm", Groups: []string{"dba"}}))
		check(t, w.store.Update(t.Context(), func(tx *store.Tx) error { // as a link of identities makes it
			p, err := tx.Principal("user:gus-adm")
			if err != nil {
				return err
			}
			p.Person, p.Version = "gus", p.Version+1
			return tx.SavePrincipals(p)
		}))
		alias.who.Person, alias.device, alias.id = "gus", people["gus"].device, people["gus"].id
		_, err := alias.Approve(t.Context(), r.ID, alias.signed(r, true, api.VoteAsk{}))
		return err
	},
	"a bot of the approver": func(t *testing.T, w *world, root *signer, people map[string]*signer, r api.Request) error {
		svc, err := root.AddService(t.Context(), api.ServiceAdd{Name: "bot", Owner: "omar", Groups: []string{"dba"}, For: "1h"})
		check(t, err)
		bot := w.client()
		bot.Token, bot.Service = svc.Token, true
		v := people["omar"].signed(r, true, api.VoteAsk{})
		_, err = bot.Approve(t.Context(), r.ID, v)
		return err
	},
	"the counter goes back": func(t *testing.T, w *world, _ *signer, people map[string]*signer, r api.Request) error {
		omar := people["omar"]
		first := people["gus"].ask(t)
		_, err := omar.Approve(t.Context(), first.ID, omar.signed(first, true, api.VoteAsk{}))
		check(t, err)
		omar.device.Counter--
		_, err = omar.Approve(t.Context(), r.ID, omar.signed(r, true, api.VoteAsk{}))
		found := false
		check(t, w.store.View(t.Context(), func(tx *store.Tx) error {
			p, err := tx.Passkey(access.PasskeyID(omar.id))
			found = p.Version > 3 // proposed, vouched, enrolled
			return err
		}))
		if !found {
			t.Error("a passkey with a copy left no record")
		}
		return err
	},
	"a passkey that nobody vouched for": func(t *testing.T, _ *world, _ *signer, people map[string]*signer, r api.Request) error {
		omar := *people["omar"]
		omar.device = passkeytest.Client()
		_, err := omar.add("mine, they say")
		check(t, err)
		_, err = omar.Approve(t.Context(), r.ID, omar.signed(r, true, api.VoteAsk{}))
		return err
	},
	"a passkey that was removed": func(t *testing.T, _ *world, root *signer, people map[string]*signer, r api.Request) error {
		_, err := root.RemovePasskey(t.Context(), people["omar"].id, "lost")
		check(t, err)
		_, err = people["omar"].Approve(t.Context(), r.ID, people["omar"].signed(r, true, api.VoteAsk{}))
		return err
	},
	"a key in the place of the passkey's": func(t *testing.T, _ *world, _ *signer, people map[string]*signer, r api.Request) error {
		omar := *people["omar"]
		omar.device = passkeytest.Client()
		_, err := omar.Approve(t.Context(), r.ID, omar.signed(r, true, api.VoteAsk{}))
		return err
	},
}

func TestForgedApprovals(t *testing.T) {
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			w, root, people := chained(t, "high", "passkey")
			r := people["gus"].ask(t)
			err := attack(t, w, root, people, r)
			if err == nil {
				t.Error("it was taken")
			}
			after, err := people["gus"].Request(t.Context(), r.ID, api.Wait{})
			check(t, err)
			if after.State != api.RequestPending || len(after.Votes) > 0 {
				t.Errorf("the request is %s with %d votes", after.State, len(after.Votes))
			}
			if report := w.verified(t, root.Client); len(report.Problems) > 0 {
				t.Errorf("the log: %v", report.Problems)
			}
		})
	}
}

// Of a hundred times the same good vote, one counts.
func TestVoteRace(t *testing.T) {
	w, root, people := chained(t, "high", "passkey")
	r := people["gus"].ask(t)
	vote := people["omar"].signed(r, true, api.VoteAsk{})
	var good atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := people["omar"].Approve(context.WithoutCancel(t.Context()), r.ID, vote); err == nil {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 {
		t.Errorf("%d of 100 votes counted", good.Load())
	}
	if report := w.verified(t, root.Client); len(report.Problems) > 0 || report.Votes != 1 {
		t.Errorf("the log: %+v", report)
	}
}

// tamper writes into the database as somebody does who can, past all rules.
func (w *world) tamper(t *testing.T, table, statement string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+w.path+"?_pragma=busy_timeout(20000)")
	check(t, err)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = $1", table)
	check(t, err)
	var rules []string
	for rows.Next() {
		var name string
		check(t, rows.Scan(&name))
		rules = append(rules, name)
	}
	check(t, errors.Join(rows.Err(), rows.Close()))
	for _, name := range rules {
		_, err := db.ExecContext(t.Context(), "DROP TRIGGER "+name)
		check(t, err)
	}
	done, err := db.ExecContext(t.Context(), statement, args...)
	check(t, err)
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s changed %d rows, %v", statement, n, err)
	}
}

// What was approved and what is carried out later are compared again: the passkey, the
// request's row, the target.
func TestBetweenApprovalAndStart(t *testing.T) {
	tamper := func(table, statement string) func(*testing.T, *world, *signer, map[string]*signer, api.Request) {
		return func(t *testing.T, w *world, _ *signer, _ map[string]*signer, r api.Request) {
			w.tamper(t, table, statement, r.ID)
		}
	}
	for name, meanwhile := range map[string]func(*testing.T, *world, *signer, map[string]*signer, api.Request){
		"nothing happened": func(*testing.T, *world, *signer, map[string]*signer, api.Request) {},
		"the passkey was removed": func(t *testing.T, _ *world, root *signer, people map[string]*signer, _ api.Request) {
			_, err := root.RemovePasskey(t.Context(), people["omar"].id, "stolen")
			check(t, err)
		},
		"the target was re-bound": func(t *testing.T, _ *world, root *signer, people map[string]*signer, _ api.Request) {
			text := strings.Replace(fmt.Sprintf(guarded, "high", "passkey"), "127.0.0.1:1", "127.0.0.1:2", 1)
			_, err := root.SetCredential(t.Context(), "login2", api.CredentialSet{Type: "fake", Address: "127.0.0.1:2", Username: "stint", Password: "hunter2"})
			check(t, err)
			applied, err := root.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "guarded.yaml", Text: strings.Replace(text, "credential: login", "credential: login2", 1)}}})
			check(t, err)
			if applied.Proposal == nil {
				t.Fatal("one administrator alone binds a critical target elsewhere")
			}
			_, err = people["ada"].DecideProposal(t.Context(), applied.Proposal.ID, true, api.ProposalVote{Digest: applied.Proposal.Digest})
			check(t, err)
		},
		"the reason was edited in its row":    tamper("requests", `UPDATE requests SET body = replace(body, 'check the seals', 'take everything') WHERE id = $1`),
		"the signature in its row is another": tamper("votes", `UPDATE votes SET body = replace(body, '"signature":"', '"signature":"AAAA') WHERE request_id = $1`),
		"the level in its row is another":     tamper("votes", `UPDATE votes SET body = replace(body, '"level":"client",', '') WHERE request_id = $1`),
		"the key in its row is another":       tamper("passkeys", `UPDATE passkeys SET body = replace(body, '"key":"pQ', '"key":"pA') WHERE $1 <> ''`),
		"the vote was moved to another":       tamper("votes", `UPDATE votes SET person = 'olga', voter = 'user:olga' WHERE request_id = $1`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for its start
			w, root, people := chained(t, "high", "passkey")
			r := people["gus"].ask(t, func(a *api.Ask) { a.Start = time.Now().Add(15 * time.Second).UTC().Format(time.RFC3339) })
			r, err := people["omar"].Approve(t.Context(), r.ID, people["omar"].signed(r, true, api.VoteAsk{}))
			check(t, err)
			if r.Grant == nil || r.Grant.State != api.GrantScheduled {
				t.Fatalf("not scheduled: %+v", r.Grant)
			}
			meanwhile(t, w, root, people, r)
			r, err = people["gus"].Request(t.Context(), r.ID, api.Wait{For: api.Ready, Time: 60 * time.Second})
			check(t, err)
			switch started := r.Grant.State == api.GrantActive; {
			case r.Grant.State == api.GrantScheduled || r.Grant.State == api.GrantProvisioning:
				t.Errorf("it is still to come: %+v", r.Grant)
			case started != (name == "nothing happened"):
				t.Errorf("started is %v: %+v", started, r.Grant)
			}
		})
	}
}
