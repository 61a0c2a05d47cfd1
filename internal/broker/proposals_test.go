package broker_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/store"
)

// governed is an installation with two administrators, ada and bea, one more login of
// ada's, a policy author and a resource with a ceiling, so that owners count too.
type governed struct {
	*installation
	who map[string]broker.Caller
}

func newGoverned(t *testing.T) *governed {
	in := newInstallation(t)
	_, err := in.Apply(t.Context(), in.as("root"), []policy.File{{Name: "safe.yaml", Text: `
kind: Resource
name: safe
type: fake
criticality: critical
owners: [user:omar, user:olga]
connection: {address: "127.0.0.1:1", credential: login}
ceiling: {mechanisms: [account], memberOf: [app_read], maxDuration: 4h}
---
kind: Role
name: look
resources: {names: [safe]}
mechanism: account
fake: {memberOf: [app_read]}
maxDuration: 4h
---
kind: Policy
name: lookers
subjects: [group:platform]
roles: [look]
require: {approvals: [{from: [owner], count: 1}]}
`}}, false)
	must(t, err)
	g := &governed{in, map[string]broker.Caller{}}
	for _, p := range []access.Principal{
		{ID: "user:ada", Person: "ada", Admin: true}, {ID: "user:bea", Person: "bea", Admin: true},
		{ID: "user:ada-at-home", Person: "ada", Admin: true}, {ID: "user:pia", Person: "pia", Author: true},
		{ID: "user:axel", Person: "axel", Auditor: true}, {ID: "service:bot", Person: "bea", Admin: true, Until: time.Now().Add(time.Hour)},
	} {
		p.Version, p.CreatedAt = 1, time.Unix(1, 0).UTC()
		must(t, in.store.Update(t.Context(), func(tx *store.Tx) error { return tx.SavePrincipals(p) }))
		g.who[p.ID.Name()] = broker.Caller{Principal: p, Actor: access.Actor{Principal: p.ID, Person: p.Person}}
	}
	for _, name := range []string{"root", "mira", "omar", "olga"} {
		g.who[name] = in.as(name)
	}
	return g
}

// wider lets everybody look, without asking anybody.
const wider = "kind: Policy\nname: lookers\nsubjects: [\"*\"]\nroles: [look]\n"

func (g *governed) apply(who, text string) (broker.Applied, error) {
	return g.Apply(g.t.Context(), g.who[who], []policy.File{{Name: "edit.yaml", Text: text}}, false)
}

// propose applies what has to wait, and gives the proposal.
func (g *governed) propose(who, text string) access.Proposal {
	g.t.Helper()
	done, err := g.apply(who, text)
	must(g.t, err)
	if done.Proposal == nil {
		g.t.Fatalf("%s changed the documents alone: %+v", who, done)
	}
	return *done.Proposal
}

func (g *governed) version() int64 {
	g.t.Helper()
	set, err := g.Documents(g.t.Context())
	must(g.t, err)
	return set.Version()
}

// approve votes, and holds that the documents changed if and only if that succeeded.
func (g *governed) approve(who string, p access.Proposal, seen access.Digest) error {
	g.t.Helper()
	was := g.version()
	got, err := g.Approve(g.t.Context(), g.who[who], string(p.ID), seen, "")
	is := g.version()
	switch {
	case err == nil && (is != was+1 || got.State != access.ProposalApplied || got.Applied != is):
		g.t.Errorf("%s approved, and it is %s, the documents at %d after %d", who, got.State, is, was)
	case err != nil && is != was:
		g.t.Errorf("%s was refused (%v), and the documents changed", who, err)
	}
	return err
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var e *access.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func TestGraveChangeTakesTwo(t *testing.T) {
	g := newGoverned(t)
	was := g.version()
	p := g.propose("ada", wider)
	if g.version() != was || p.State != access.ProposalPending || len(p.Why) != 1 || !strings.Contains(p.Why[0], "safe") {
		t.Fatalf("documents at %d after %d, proposal %+v", g.version(), was, p)
	}
	if again := g.propose("ada", wider); again.ID != p.ID {
		t.Errorf("the same proposed again is another proposal")
	}
	v, err := g.Proposal(t.Context(), g.who["bea"], string(p.ID)[:14])
	must(t, err)
	if !v.Mine || v.Stale || !v.Compared || len(v.Diff.Documents) != 1 || len(v.Diff.Can) == 0 {
		t.Errorf("shown to bea: %+v", v)
	}
	must(t, g.approve("bea", p, p.Digest))
	set, err := g.Documents(t.Context())
	must(t, err)
	for _, d := range set.Documents() {
		if d.Name == "lookers" && (d.Text != wider || d.Author != "user:ada") {
			t.Errorf("applied is %+v", d)
		}
	}
	evs := map[access.EventType]access.Event{}
	for _, e := range g.logged(t) {
		evs[e.Type] = e
	}
	for _, want := range []access.EventType{access.ProposalMade, access.ProposalWasYes, access.ProposalWasDone} {
		if evs[want].Entity != string(p.ID) || evs[want].Facts["person"] != "ada" {
			t.Errorf("the log has no %s of it: %+v", want, evs[want])
		}
	}
	if e := evs[broker.DocumentsApplied]; e.Facts["proposal"] != string(p.ID) || e.Facts["proposer"] != "user:ada" || e.Actor.Principal != "user:bea" {
		t.Errorf("documents.applied is %+v", e)
	}
}

// raw is the store's file, past the store.
func (g *governed) raw() *sql.DB {
	g.t.Helper()
	db, err := sql.Open("sqlite", g.path)
	must(g.t, err)
	g.t.Cleanup(func() { must(g.t, db.Close()) })
	return db
}

// logged are the events of the log, also those without a number yet.
func (g *governed) logged(t *testing.T) (out []access.Event) {
	t.Helper()
	rows, err := g.raw().QueryContext(t.Context(), "SELECT body FROM audit_records ORDER BY id")
	must(t, err)
	defer func() { must(t, rows.Close()) }()
	for rows.Next() {
		var body []byte
		must(t, rows.Scan(&body))
		r, err := audit.Decode(body)
		must(t, err)
		out = append(out, r.Event)
	}
	must(t, rows.Err())
	return out
}

// TestApprovalAttacks tries to make a change with one person's will.
func TestApprovalAttacks(t *testing.T) {
	g := newGoverned(t)
	p := g.propose("ada", wider)
	for _, tt := range []struct{ who, code string }{
		{"ada", "own-proposal"}, {"ada-at-home", "own-proposal"}, // another login of the same person
		{"mira", "no-such-proposal"}, {"omar", ""}, // an owner has the right: last
	} {
		if tt.code == "" {
			continue
		}
		wantCode(t, g.approve(tt.who, p, p.Digest), tt.code)
	}
	wantCode(t, g.approve("axel", p, p.Digest), "not-yours-to-write")
	wantCode(t, g.approve("bot", p, p.Digest), "not-a-person")
	wantCode(t, g.approve("bea", p, access.Digest{1}), "other-proposal")
	wantCode(t, g.approve("bea", p, access.Digest{}), "other-proposal")

	// A login of the approver's that lost the right, or the person, since it signed in.
	stale := g.who["bea"]
	must(t, g.store.Update(t.Context(), func(tx *store.Tx) error {
		b := stale.Principal
		b.Admin, b.Version = false, 2
		return tx.SavePrincipals(b)
	}))
	wantCode(t, g.approve("bea", p, p.Digest), "not-yours-to-write")
	must(t, g.store.Update(t.Context(), func(tx *store.Tx) error {
		b := stale.Principal
		b.Person, b.Version = "ada", 3
		return tx.SavePrincipals(b)
	}))
	wantCode(t, g.approve("bea", p, p.Digest), "own-proposal")
	must(t, g.store.Update(t.Context(), func(tx *store.Tx) error {
		b := stale.Principal
		b.Version = 4
		return tx.SavePrincipals(b)
	}))

	// The proposer lost the right meanwhile: their will counts no more.
	must(t, g.store.Update(t.Context(), func(tx *store.Tx) error {
		a := g.who["ada"].Principal
		a.Admin, a.Version = false, 2
		return tx.SavePrincipals(a)
	}))
	wantCode(t, g.approve("bea", p, p.Digest), "not-yours-to-write")
	must(t, g.store.Update(t.Context(), func(tx *store.Tx) error {
		a := g.who["ada"].Principal
		a.Version = 3
		return tx.SavePrincipals(a)
	}))
	must(t, g.approve("omar", p, p.Digest)) // who owns what it reaches
	wantCode(t, g.approve("bea", p, p.Digest), "already-decided")
}

// TestApprovalOfWhatMoved: what was approved is what was shown, or nothing.
func TestApprovalOfWhatMoved(t *testing.T) {
	g := newGoverned(t)
	p := g.propose("ada", wider)
	freeze := "kind: Policy\nname: freeze\neffect: deny\nsubjects: [group:guests]\nroles: [\"*\"]\n"
	done, err := g.apply("bea", freeze) // only takes away
	must(t, err)
	if done.Proposal != nil {
		t.Fatal("a denial waits for a second person")
	}
	wantCode(t, g.approve("bea", p, p.Digest), "base-moved")
	v, err := g.Proposal(t.Context(), g.who["bea"], string(p.ID))
	must(t, err)
	if !v.Stale || v.Compared {
		t.Errorf("shown: %+v", v)
	}
	next := g.propose("ada", wider)
	if next.ID == p.ID || next.Base != g.version() {
		t.Errorf("proposed again: %+v", next)
	}
	wantCode(t, g.approve("bea", p, p.Digest), "already-decided") // the new one took its place
	wantCode(t, g.approve("bea", next, p.Digest), "other-proposal")
	must(t, g.approve("bea", next, next.Digest))
}

// TestEditedProposal: a row that somebody wrote into is not carried out, and the store
// lets no program write it.
func TestEditedProposal(t *testing.T) {
	g := newGoverned(t)
	p := g.propose("ada", wider)
	edited := p
	edited.Content = []byte(strings.Replace(string(p.Content), `\"*\"`, `group:guests`, 1))
	if string(edited.Content) == string(p.Content) {
		t.Fatal("nothing was edited")
	}
	edited.Version++
	if err := g.store.Update(t.Context(), func(tx *store.Tx) error { return tx.SaveProposals(edited) }); err == nil {
		t.Error("the store takes other content")
	}
	// Past the store's rules, as somebody with the file could.
	raw := g.raw()
	for _, q := range []string{"DROP TRIGGER proposals_fixed", "UPDATE proposals SET content = CAST(replace(CAST(content AS TEXT), '*', 'group:guests') AS BLOB)"} {
		_, err := raw.ExecContext(t.Context(), q)
		must(t, err)
	}
	wantCode(t, g.approve("bea", p, p.Digest), "digest-mismatch")
}

func TestApprovalRace(t *testing.T) {
	g := newGoverned(t)
	p := g.propose("pia", "kind: Policy\nname: lookers\nsubjects: [group:platform]\nroles: [look]\nrequire: {maxDuration: 1h}\n")
	was := g.version()
	var wg sync.WaitGroup
	var mu sync.Mutex
	yes, late := 0, 0
	for i := range 24 {
		who := []string{"ada", "bea", "root", "omar"}[i%4]
		wg.Go(func() {
			_, err := g.Approve(t.Context(), g.who[who], string(p.ID), p.Digest, "")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				yes++
			case access.KindOf(err) == access.Conflict || who == "omar" && access.KindOf(err) == access.NotFound: // what is over is for others to see
				late++
			default:
				t.Errorf("%s: %v", who, err)
			}
		})
	}
	wg.Wait()
	if yes != 1 || late != 23 || g.version() != was+1 {
		t.Errorf("%d approved it, %d came late, documents went from %d to %d", yes, late, was, g.version())
	}
}

func TestRefusals(t *testing.T) {
	g := newGoverned(t)
	p := g.propose("omar", "kind: Policy\nname: lookers\nsubjects: [\"*\"]\nroles: [look]\nrequire: {maxDuration: 1h}\n")
	_, err := g.Refuse(t.Context(), g.who["bea"], string(p.ID), "")
	wantCode(t, err, "no-note")
	_, err = g.Refuse(t.Context(), g.who["axel"], string(p.ID), "no")
	wantCode(t, err, "not-yours")
	_, err = g.Refuse(t.Context(), g.who["mira"], string(p.ID), "no")
	wantCode(t, err, "no-such-proposal")
	got, err := g.Refuse(t.Context(), g.who["olga"], string(p.ID), "the owner says no") // the other owner
	must(t, err)
	if got.State != access.ProposalDenied {
		t.Errorf("it is %s", got.State)
	}
	wantCode(t, g.approve("bea", p, p.Digest), "already-decided")
	own := g.propose("omar", "kind: Policy\nname: lookers\nsubjects: [\"*\"]\nroles: [look]\nrequire: {maxDuration: 2h}\n")
	got, err = g.Refuse(t.Context(), g.who["omar"], string(own.ID), "")
	must(t, err)
	if got.State != access.ProposalWithdrawn {
		t.Errorf("it is %s", got.State)
	}
	for i := range broker.MaxProposals {
		g.propose("ada", fmt.Sprintf("kind: Policy\nname: p%d\nsubjects: [group:x]\nroles: [look]\n", i))
	}
	_, err = g.apply("ada", "kind: Policy\nname: p99\nsubjects: [group:x]\nroles: [look]\n")
	wantCode(t, err, "too-many-proposals")
}

// TestProposalExpires: what nobody decided for a week is as if it had not been.
func TestProposalExpires(t *testing.T) {
	g := newGoverned(t)
	p := g.propose("ada", wider)
	later := p
	if _, _, err := later.Approve(g.who["bea"].Principal, access.System, p.Digest, "", p.ExpiresAt); access.KindOf(err) != access.Expired {
		t.Errorf("approved at its end: %v", err)
	}
	if later.At(p.ExpiresAt.Add(-time.Millisecond)) != access.ProposalPending || later.At(p.ExpiresAt) != access.ProposalExpired {
		t.Error("it ends at another time than it says")
	}
}

// TestDeletionTakesTwo: a resource of high criticality, and what is on it.
func TestDeletionTakesTwo(t *testing.T) {
	g := newGoverned(t)
	must(t, second2(g.apply("ada", "kind: Policy\nname: freeze\neffect: deny\nsubjects: [group:guests]\nroles: [look]\n")))
	done, err := g.Delete(t.Context(), g.who["ada"], "Policy", "freeze", false) // lifts a denial
	must(t, err)
	if done.Proposal == nil || done.Proposal.Kind != access.ProposesDeletion {
		t.Fatalf("deleted alone: %+v", done)
	}
	must(t, g.approve("bea", *done.Proposal, done.Proposal.Digest))
	done, err = g.Delete(t.Context(), g.who["ada"], "Policy", "lookers", false) // only takes away
	must(t, err)
	if done.Proposal != nil {
		t.Error("taking away waits for a second person")
	}
}

// TestDeletionWithGrants: nothing of it happens before the second person says yes.
func TestDeletionWithGrants(t *testing.T) {
	g := newGoverned(t)
	must(t, second2(g.apply("ada", "kind: Policy\nname: lookers\nsubjects: [group:guests]\nroles: [look]\n"))) // proposed: see below
	v, err := g.Submit(t.Context(), g.who["mira"], broker.Ask{Resource: "safe", Role: "look", Duration: time.Hour, Reason: "look at it"})
	must(t, err)
	_, err = g.Vote(t.Context(), g.who["olga"], string(v.Request.ID), access.Vote{Approve: true})
	must(t, err)
	g.until("mira", string(v.Request.ID), access.Active)
	// The role is named by a policy; the policy goes first, alone.
	must(t, second2(g.Delete(t.Context(), g.who["ada"], "Policy", "lookers", false)))
	g.until("mira", string(v.Request.ID), access.Ended) // by policy
	done, err := g.Delete(t.Context(), g.who["ada"], "Role", "look", true)
	must(t, err)
	if done.Proposal != nil {
		t.Errorf("removing a role waits: %+v", done)
	}
	res, err := g.Delete(t.Context(), g.who["ada"], "Resource", "safe", true)
	must(t, err)
	if res.Proposal == nil {
		t.Fatal("a resource of critical criticality was deleted by one person")
	}
	must(t, g.approve("bea", *res.Proposal, res.Proposal.Digest))
}

// TestTwoPersonsSetting: one person alone cannot turn it off, and can turn it up.
func TestTwoPersonsSetting(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	p, err := g.SetTwoPersons(ctx, g.who["ada"], broker.TwoOff, "in my way")
	must(t, err)
	if p == nil {
		t.Fatal("one administrator turned two persons off")
	}
	_, err = g.Approve(ctx, g.who["ada-at-home"], string(p.ID), p.Digest, "")
	wantCode(t, err, "own-proposal")
	_, err = g.Approve(ctx, g.who["pia"], string(p.ID), p.Digest, "") // sees it, and may not
	wantCode(t, err, "not-yours")
	_, err = g.SetTwoPersons(ctx, g.who["pia"], broker.TwoOn, "x")
	wantCode(t, err, "not-yours")
	up, err := g.SetTwoPersons(ctx, g.who["ada"], broker.TwoOn, "always")
	must(t, err)
	if up != nil {
		t.Error("asking more often waits for a second person")
	}
	_, err = g.Approve(ctx, g.who["bea"], string(p.ID), p.Digest, "")
	wantCode(t, err, "base-moved") // it was proposed when it was auto
	down, err := g.SetTwoPersons(ctx, g.who["ada"], broker.TwoOff, "in my way")
	must(t, err)
	_, err = g.Approve(ctx, g.who["bea"], string(down.ID), down.Digest, "in mine too")
	must(t, err)
	st, err := g.TwoPersonsState(ctx)
	must(t, err)
	if st.Mode != broker.TwoOff || st.InForce {
		t.Errorf("it is %+v", st)
	}
	done, err := g.apply("ada", wider)
	must(t, err)
	if done.Proposal != nil || !done.Alone {
		t.Errorf("off: %+v", done)
	}
}

// TestOneAdministrator: a site where nobody else could say yes goes on, and hears of it.
func TestOneAdministrator(t *testing.T) {
	in := newInstallation(t)
	done, err := in.Apply(t.Context(), in.as("root"), []policy.File{{Name: "e.yaml", Text: "kind: Policy\nname: more\nsubjects: [group:x]\nroles: [reader]\n"}}, false)
	must(t, err)
	if done.Proposal != nil || !done.Alone || len(done.Grave) != 1 {
		t.Errorf("applied: %+v", done)
	}
	// With "on" even the only one waits.
	_, err = in.SetTwoPersons(t.Context(), in.as("root"), broker.TwoOn, "strict")
	must(t, err)
	done, err = in.Apply(t.Context(), in.as("root"), []policy.File{{Name: "e.yaml", Text: "kind: Policy\nname: yet-more\nsubjects: [group:x]\nroles: [reader]\n"}}, false)
	must(t, err)
	if done.Proposal == nil {
		t.Error("on, and one person changes it alone")
	}
}

// TestDryRunProposesNothing, and says that it would.
func TestDryRunProposesNothing(t *testing.T) {
	g := newGoverned(t)
	done, err := g.Apply(t.Context(), g.who["ada"], []policy.File{{Name: "e.yaml", Text: wider}}, true)
	must(t, err)
	vs, _, err := g.Proposals(t.Context(), g.who["ada"], access.ProposalQuery{Limit: 10})
	must(t, err)
	if done.Proposal != nil || len(done.Grave) != 1 || done.Alone || len(vs) != 0 {
		t.Errorf("%+v, %d proposals", done, len(vs))
	}
}

func second2(_ broker.Applied, err error) error { return err }
