package apiserver

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/store"
)

// rightsPage is what every kind of caller is answered on every route. It is made
// by go test -update and read in diffs: a change of a line is a change of rights.
const rightsPage = "testdata/rights.txt"

// roles are the columns of the matrix, in the order of the page. The requester
// asked for what the probes are about, the approver is asked to decide it, the
// owner owns the resource that it is on.
var roles = []string{"unsigned", "device-only", "disabled", "member", "service", "agent", "vendor", "requester", "approver", "owner", "policy-author", "auditor", "administrator"}

// objects are the probes that need something to be there: {req} is an open request
// of the requester, {grant} the request of an active grant of theirs, {user} a
// user made for the probe, {new} a name that nobody has. All others are samples
// of the test of the gate. A route may have several probes.
var objects = map[string][]sampleOf{
	"submit": {{path: "/v1/requests", body: `{"resource":"db","role":"reader","duration":"5m","reason":"look at it","seal_key":"{key}"}`}},
	"get-request": {{what: "an open request", path: "/v1/requests/{req}"},
		{what: "an active grant", path: "/v1/requests/{grant}"}},
	"approve":  {{path: "/v1/requests/{req}/approve", body: `{}`}},
	"deny":     {{path: "/v1/requests/{req}/deny", body: `{"note":"no"}`}},
	"cancel":   {{path: "/v1/requests/{req}/cancel"}},
	"question": {{path: "/v1/requests/{req}/question", body: `{"text":"which customer?"}`}},
	"answer":   {{path: "/v1/requests/{asked}/answer", body: `{"text":"4711"}`}},
	"explain": {{what: "for oneself", path: "/v1/explain", body: `{"ask":{"resource":"db","role":"reader","duration":"5m","reason":"look at it"}}`},
		{what: "for another", path: "/v1/explain", body: `{"principal":"user:olga","ask":{"resource":"db","role":"reader","duration":"5m","reason":"look at it"}}`}},
	"delegate":       {{path: "/v1/delegations", body: `{"to":"{user}","for":"1h","why":"on leave"}`}},
	"end-delegation": {{path: "/v1/delegations/{delegation}/end"}},
	"credential":     {{path: "/v1/requests/{grant}/credential"}},
	"extend":         {{path: "/v1/requests/{grant}/extend", body: `{"for":"5m","why":"more of it"}`}},
	"end":            {{path: "/v1/requests/{grant}/end"}},
	"revoke": {{what: "a grant", path: "/v1/revoke", body: `{"grant":"{grant}","why":"test"}`},
		{what: "a resource", path: "/v1/revoke", body: `{"resource":"db","why":"test"}`},
		{what: "a user", path: "/v1/revoke", body: `{"user":"gus","why":"test"}`},
		{what: "everything", path: "/v1/revoke", body: `{"all":true,"why":"test"}`}},
	"apply": {{what: "a policy within a ceiling", path: "/v1/apply", body: apply("kind: Policy\nname: p\nsubjects: [group:x]\nroles: [lab]\nresources: {names: [lab]}\n")},
		{what: "a policy beyond it", path: "/v1/apply", body: apply("kind: Policy\nname: p\nsubjects: [group:x]\nroles: [reader]\nresources: {names: [db]}\n")},
		{what: "a role within a ceiling", path: "/v1/apply", body: apply("kind: Role\nname: r\nresources: {names: [lab]}\nmechanism: account\nfake: {memberOf: [app_read]}\nmaxDuration: 1h\n")},
		{what: "a role beyond it", path: "/v1/apply", body: apply("kind: Role\nname: r\nresources: {names: [lab]}\nmechanism: account\nfake: {memberOf: [root]}\nmaxDuration: 1h\n")},
		{what: "a resource", path: "/v1/apply", body: apply("kind: Resource\nname: r\ntype: fake\ncriticality: low\nconnection: {address: \"127.0.0.1:9\", credential: none}\n")}},
	"policy-diff":   {{path: "/v1/policy/diff", body: apply("kind: Policy\nname: p\nsubjects: [group:x]\nroles: [reader]\nresources: {names: [db]}\n")}},
	"policy-replay": {{path: "/v1/policy/replay", body: apply("kind: Policy\nname: p\nsubjects: [group:x]\nroles: [reader]\nresources: {names: [db]}\n")}},
	"get-proposal": {{what: "by an administrator", path: "/v1/proposals/{proposal}"},
		{what: "by the owner", path: "/v1/proposals/{owned}"}},
	"approve-proposal": {{what: "by an administrator", path: "/v1/proposals/{proposal}/approve", body: `{"digest":"{digest}"}`},
		{what: "by the owner", path: "/v1/proposals/{owned}/approve", body: `{"digest":"{digest}"}`}},
	"deny-proposal": {{what: "by an administrator", path: "/v1/proposals/{proposal}/deny", body: `{"note":"no"}`},
		{what: "by the owner", path: "/v1/proposals/{owned}/deny", body: `{"note":"no"}`}},
	"break-glass":        {{path: "/v1/break-glass", body: `{"resource":"db","role":"reader","why":"checkout is down"}`}},
	"get-review":         {{path: "/v1/reviews/{review}"}},
	"close-review":       {{path: "/v1/reviews/{review}/close", body: `{"finding":"justified","note":"checkout was down"}`}},
	"make-glass-codes":   {{path: "/v1/admin/break-glass/codes", body: `{"user":"gus","count":1}`}},
	"revoke-glass-code":  {{path: "/v1/admin/break-glass/codes/{code}"}},
	"end-login":          {{path: "/v1/logins/{session}"}},
	"link-user":          {{path: "/v1/admin/users/{user}/link", body: `{"provider":"people","subject":"{new}"}`}},
	"unlink-user":        {{path: "/v1/admin/users/{linked}/unlink", body: `{"provider":"people","subject":"{linked}"}`}},
	"submit-bundle":      {{path: "/v1/requests/bundle", body: `{"parts":[{"resource":"db","role":"reader","duration":"5m"},{"resource":"lab","role":"lab","duration":"5m"}],"reason":"look at it","possible":true,"seal_key":"{key}"}`}},
	"save-favourite":     {{path: "/v1/favourites/mine", body: `{"resource":"db","role":"reader","duration":"5m"}`}},
	"delete-favourite":   {{path: "/v1/favourites/mine"}},
	"get-bundle":         {{path: "/v1/bundles/both"}},
	"delete-bundle":      {{path: "/v1/bundles/both"}},
	"get-schedule":       {{path: "/v1/schedules/night"}},
	"delete-schedule":    {{path: "/v1/schedules/night"}},
	"get-workload":       {{path: "/v1/workloads/batch"}},
	"delete-workload":    {{path: "/v1/workloads/batch"}},
	"get-integration":    {{path: "/v1/integrations/people"}},
	"delete-integration": {{path: "/v1/integrations/people"}},
	"add-token":          {{path: "/v1/admin/integrations/people/tokens", body: `{"for":"1h"}`}},
	"list-tokens":        {{path: "/v1/admin/integrations/people/tokens"}},
	"end-tokens":         {{path: "/v1/admin/integrations/people/tokens/end"}},
	"set-two-persons": {{what: "more often", path: "/v1/two-persons", body: `{"mode":"on","why":"test"}`},
		{what: "never", path: "/v1/two-persons", body: `{"mode":"off","why":"test"}`}},
	"get-resource":     {{path: "/v1/resources/db"}},
	"check-resource":   {{path: "/v1/resources/db/check"}},
	"sweep-resource":   {{what: "look", path: "/v1/resources/db/sweep", body: `{}`}, {what: "remove", path: "/v1/resources/db/sweep", body: `{"remove":1,"why":"test"}`}},
	"list-standing":    {{what: "of all", path: "/v1/standing"}, {what: "of one", path: "/v1/standing?resource=db"}},
	"delete-resource":  {{path: "/v1/resources/spare"}},
	"get-role":         {{path: "/v1/roles/reader"}},
	"delete-role":      {{path: "/v1/roles/spare"}},
	"get-policy":       {{path: "/v1/policies/at-once"}},
	"delete-policy":    {{path: "/v1/policies/spare"}},
	"who-can":          {{path: "/v1/who-can?resource=db"}},
	"who-has":          {{path: "/v1/who-has?resource=db"}},
	"get-user":         {{path: "/v1/users/olga"}},
	"list-user-logins": {{path: "/v1/users/olga/logins"}},
	"add-user": {{what: "a member", path: "/v1/admin/users", body: `{"name":"{new}"}`},
		{what: "an administrator", path: "/v1/admin/users", body: `{"name":"{new}","admin":true}`}},
	"set-user": {{what: "groups", path: "/v1/admin/users/{user}", body: `{"groups":["x"]}`},
		{what: "to audit", path: "/v1/admin/users/{user}", body: `{"auditor":true}`},
		{what: "to administer", path: "/v1/admin/users/{user}", body: `{"admin":true}`}},
	"enroll-user":   {{path: "/v1/admin/users/{user}/enroll"}},
	"disable-user":  {{path: "/v1/admin/users/{user}/disable"}},
	"lock-user":     {{path: "/v1/admin/users/{user}/lock", body: `{"why":"a doubt"}`}},
	"unlock-user":   {{path: "/v1/admin/users/{locked}/unlock", body: `{"why":"no doubt"}`}},
	"add-service":   {{path: "/v1/admin/services", body: `{"name":"{new}","owner":"olga","for":"1h"}`}},
	"add-agent":     {{path: "/v1/admin/agents", body: `{"name":"{new}","responsible":"olga","for":"1h"}`}},
	"invite-vendor": {{path: "/v1/admin/vendors", body: `{"name":"{new}","sponsor":"olga","company":"Acme","until":"{tomorrow}"}`}},
	"set-vendor": {{what: "the contract's end", path: "/v1/admin/vendors/bo", body: `{"until":"{tomorrow}"}`},
		{what: "the sponsor", path: "/v1/admin/vendors/bo", body: `{"sponsor":"omar"}`}},
	"end-task":          {{path: "/v1/tasks/end", body: `{"agent":"fixer","task":"{new}"}`}},
	"enroll-gateway":    {{path: "/v1/admin/gateways/{new}/enroll", body: `{"address":"gw.example:2022"}`}},
	"set-credential":    {{path: "/v1/admin/credentials/{new}", body: `{"type":"fake","address":"127.0.0.1:9","username":"u","password":"p"}`}},
	"delete-credential": {{path: "/v1/admin/credentials/{cred}"}},
}

type sampleOf struct{ what, path, body string }

func apply(text string) string {
	return `{"files":[{"name":"a.yaml","text":` + fmt.Sprintf("%q", text) + `}]}`
}

// barren are the routes on which nobody of the matrix is answered well, and why
// that proves something all the same. The test of the gate says who gets in.
var barren = map[string]string{
	"enroll-as-host":        "a code of a host is good once; TestHostDoors has one",
	"tell-of-commands":      "for the agents of hosts; TestHostDoors has one",
	"trust-of-host":         "for the agents of hosts; TestTrustOfHost has one",
	"poll-host":             "for the agents of hosts; TestHostDoors has one",
	"enroll-as-gateway":     "a code of a gateway is good once; TestGatewayDoors has one",
	"trust-of-gateway":      "for gateways; TestGatewayDoors has one",
	"open-session":          "for gateways; TestGatewaySessions has one",
	"sign-session":          "for gateways; TestGatewaySessions has one",
	"session-login":         "for gateways; TestDatabaseSessions has one",
	"gateway-doors":         "for gateways; TestDatabaseDoors has one",
	"renew-sessions":        "for gateways; TestGatewaySessions has one",
	"follow-cuts":           "for gateways; TestGatewaySessions has one",
	"certify-gateway":       "for gateways; TestGatewaySessions has one",
	"carry-by-gateway":      "there is none; TestDatabaseDoors has one",
	"revoke-gateway":        "there is none; TestGatewayDoors has one",
	"get-session":           "there is none; TestGatewayDoors has one",
	"end-session":           "there is none; TestGatewayDoors has one",
	"bring-frames":          "for gateways; TestRecordingDoors has one",
	"have-frames":           "for gateways; TestRecordingDoors has one",
	"bring-host-frames":     "for hosts; TestCommandsAreSessions has one",
	"have-host-frames":      "for hosts; TestCommandsAreSessions has one",
	"follow-host-cuts":      "for hosts; TestCommandsAreSessions has one",
	"hold-recording":        "this server keeps none; TestHolding has one",
	"release-recording":     "this server keeps none; TestHolding has one",
	"get-recording":         "this server keeps none; TestRecordingsComeAndAreSeen has one",
	"play-recording":        "this server keeps none; TestRecordingsComeAndAreSeen has one",
	"index-recording":       "this server keeps none; TestRecordingsComeAndAreSeen has one",
	"export-recording":      "this server keeps none; TestRecordingsComeAndAreSeen has one",
	"verify-recording":      "this server keeps none; TestRecordingsComeAndAreSeen has one",
	"search-recordings":     "this server keeps none; TestRecordingsComeAndAreSeen has one",
	"pause-session":         "there is none; TestPausing has one",
	"resume-session":        "there is none; TestPausing has one",
	"enroll-host":           "for resources that are served by an agent; TestHostDoors has one",
	"revoke-host":           "for resources that are served by an agent; TestHostDoors has one",
	"web-access":            "for grants on web applications; TestWebSessions has one",
	"register-web-key":      "for grants on web applications; TestWebSessions has one",
	"register-tcp-key":      "for grants on ports; TestTCPSessions has one",
	"register-database-key": "for grants on databases; TestDatabaseSessions has one",
	"certificate":           "for grants on hosts; TestCertificate has one",
	"enroll":                "the code is no code",
	"end-task":              "there is none; TestTaskEnds says who may",
	"accept-clock":          "the clock is in no doubt",
	"accept-quarantine":     "there is none",
	"backup":                "this server keeps no backups",
	"doctor":                "this server has no doctor",
	"glass-login":           "the code is no code",
	"redeem-terminal":       "the code is no code",
	"redeem-device":         "the code is no code",
	"ask-device":            "devices sign in by providers, and there is none to sign in with",
	"show-directory":        "there is none that is read", "sync-directory": "there is none that is read", "try-directory": "there is none that is read",
	"add-vaulted":      "the connector of these tests lends no accounts; the broker's TestVaultDoors has one that does",
	"get-vaulted":      "see add-vaulted",
	"remove-vaulted":   "see add-vaulted",
	"rotate-vaulted":   "see add-vaulted",
	"test-integration": "there is none that messages go to",
	"delete-favourite": "nobody keeps any",
	"link-chat":        "the code is no code",
	// Passkeys take an authenticator; tests of their own hold who may do what with whose.
	"add-passkey":    "the ceremony is none",
	"get-passkey":    "there is none",
	"remove-passkey": "there is none",
	"vouch-passkey":  "there is none",
	"recovery-codes": "they are for who has a passkey",
}

// scene is a world with everybody of the matrix in it.
type scene struct {
	*world
	root  *api.Client // makes what probes need, and is no column
	cast  map[string]*api.Client
	docs  []byte // as they are at the beginning of each probe
	made  int
	grant string // an active one of the requester, or one that was
}

func newScene(t *testing.T) *scene {
	w, root := populated(t, func(c *Config) {
		c.Limits = Limits{ReadsPerSecond: 1e6, WritesPerSecond: 1e6, Burst: 1e6}
	})
	w.server.codes = newRates(1e6, 1e6, time.Now)
	ctx := t.Context()
	_, err := root.Apply(ctx, api.Apply{Files: []api.File{{Name: "more.yaml", Text: `
kind: Resource
name: lab
type: fake
criticality: low
owners: [user:omar]
connection: {address: "127.0.0.1:4", credential: login}
ceiling: {mechanisms: [account], memberOf: [app_read], maxDuration: 4h}
---
kind: Schedule
name: night
layers: [{members: [user:olga], start: "2026-01-05 09:00", shift: 7d}]
---
kind: Bundle
name: both
parts: [{resource: db, role: reader}, {resource: lab, role: lab}]
---
kind: Integration
name: people
type: scim
address: https://people.example.com
---
kind: Workload
name: batch
service: ci
certificate: {uri: spiffe://corp.example/batch}
---
kind: Policy
name: emergency
effect: breakGlass
subjects: [group:guests]
roles: [reader]
resources: {names: [db]}
---
kind: Resource
name: safe
type: fake
criticality: high
labels: {kept: "yes"}
owners: [user:omar]
connection: {address: "127.0.0.1:3", credential: login}
ceiling: {mechanisms: [account], memberOf: [app_read], maxDuration: 4h}
---
kind: Resource
name: spare
type: fake
criticality: low
owners: [user:omar]
connection: {address: "127.0.0.1:2", credential: login}
ceiling: {mechanisms: [account], memberOf: [app_read], maxDuration: 4h}
---
kind: Role
name: lab
resources: {names: [lab, safe]}
mechanism: account
fake: {memberOf: [app_read]}
maxDuration: 4h
---
kind: Role
name: spare
resources: {type: fake, labels: {spare: "yes"}}
mechanism: account
fake: {memberOf: [app_read]}
maxDuration: 4h
---
kind: Policy
name: spare
subjects: [group:x]
roles: [lab]
resources: {names: [lab]}
`}}})
	check(t, err)
	s := &scene{world: w, root: root, cast: map[string]*api.Client{
		"unsigned":      {Server: root.Server},
		"device-only":   w.client(),
		"disabled":      w.as(root, api.UserAdd{Name: "dora", Admin: true, Auditor: true, Author: true}),
		"member":        w.as(root, api.UserAdd{Name: "mira", Groups: []string{"platform"}}),
		"requester":     w.as(root, api.UserAdd{Name: "gus", Groups: []string{"guests"}}),
		"approver":      w.as(root, api.UserAdd{Name: "olga", Groups: []string{"dba"}}),
		"owner":         w.as(root, api.UserAdd{Name: "omar"}),
		"auditor":       w.as(root, api.UserAdd{Name: "axel", Auditor: true}),
		"policy-author": w.as(root, api.UserAdd{Name: "pia", Author: true}),
		"administrator": w.as(root, api.UserAdd{Name: "ada", Admin: true}),
	}}
	_, err = root.DisableUser(ctx, "dora")
	check(t, err)
	svc, err := root.AddService(ctx, api.ServiceAdd{Name: "ci", Owner: "mira", For: "1h"})
	check(t, err)
	s.cast["service"] = w.client()
	s.cast["service"].Token, s.cast["service"].Service = svc.Token, true
	s.cast["agent"], s.cast["vendor"] = w.agent(root, "fixer", "mira"), w.vendor(root, "bo", "omar")
	check(t, w.store.View(ctx, func(tx *store.Tx) (err error) { _, s.docs, err = tx.Documents(); return err }))
	return s
}

// open is an undecided request of the requester.
func (s *scene) open() string {
	s.t.Helper()
	r, err := s.cast["requester"].Submit(s.t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: "look at it"}, api.Wait{})
	check(s.t, err)
	return r.ID
}

// active is the request of an active grant of the requester.
func (s *scene) active() string {
	s.t.Helper()
	ctx, gus := s.t.Context(), s.cast["requester"]
	if s.grant != "" {
		r, err := gus.Request(ctx, s.grant, api.Wait{})
		check(s.t, err)
		if r.Grant.State == api.GrantActive {
			return s.grant
		}
	}
	s.grant = s.open()
	_, err := s.cast["approver"].Approve(ctx, s.grant, api.VoteAsk{})
	check(s.t, err)
	r, err := gus.Request(ctx, s.grant, api.Wait{For: api.Ready, Time: 30 * time.Second})
	check(s.t, err)
	if r.Grant == nil || r.Grant.State != api.GrantActive {
		s.t.Fatalf("the grant of the probes is %+v", r.Grant)
	}
	return s.grant
}

// review is an open one, of an emergency of the requester.
func (s *scene) review() string {
	s.t.Helper()
	ctx := s.t.Context()
	_, err := s.cast["requester"].BreakGlass(ctx, api.GlassAsk{Resource: "db", Role: "reader", Why: "checkout is down"}, api.Wait{})
	check(s.t, err)
	page, err := s.root.Reviews(ctx, api.ReviewList{})
	check(s.t, err)
	return page.Items[0].ID
}

// done holds that a call which prepares a probe went well.
func (s *scene) done(g got) {
	s.t.Helper()
	if g.status != http.StatusOK {
		s.t.Fatalf("%d %s", g.status, g.body)
	}
}

// session is one more of the requester.
func (s *scene) session() string {
	s.t.Helper()
	g := s.send(s.raw(s.root, post, "/v1/admin/users/gus/enroll", ""))
	s.done(g)
	var added api.UserAdded
	check(s.t, json.Unmarshal(g.body, &added))
	page, err := s.enroll(added.EnrollToken.Reveal(), "").Logins(s.t.Context())
	check(s.t, err)
	i := slices.IndexFunc(page.Items, func(x api.Login) bool { return x.This })
	return page.Items[i].ID
}

// fill makes what a probe needs.
func (s *scene) fill(text string) string {
	s.t.Helper()
	ctx := s.t.Context()
	put := func(what string, make func(name string) string) {
		if strings.Contains(text, what) {
			s.made++
			made := make(fmt.Sprint("made", s.made)) // which may put something in itself
			text = strings.ReplaceAll(text, what, made)
		}
	}
	put("{req}", func(string) string { return s.open() })
	put("{asked}", func(string) string {
		id := s.open()
		_, err := s.cast["approver"].Question(ctx, id, "which customer?")
		check(s.t, err)
		return id
	})
	put("{delegation}", func(name string) string { // of the approver, who has one at a time
		ds, err := s.root.Delegations(ctx)
		check(s.t, err)
		for _, d := range ds.Items {
			_, err := s.root.EndDelegation(ctx, d.ID)
			check(s.t, err)
		}
		d, err := s.cast["approver"].Delegate(ctx, api.DelegateAsk{To: "omar", For: "1h", Why: "on leave"})
		check(s.t, err)
		return d.ID
	})
	put("{grant}", func(string) string { return s.active() })
	put("{new}", func(name string) string { return name })
	put("{key}", func(string) string { return base64.StdEncoding.EncodeToString(s.cast["service"].Device.SealKey()) })
	put("{locked}", func(name string) string {
		_, err := s.root.AddUser(ctx, api.UserAdd{Name: name})
		check(s.t, err)
		_, err = s.root.LockUser(ctx, name, "a doubt")
		check(s.t, err)
		return name
	})
	put("{user}", func(name string) string {
		_, err := s.root.AddUser(ctx, api.UserAdd{Name: name})
		check(s.t, err)
		return name
	})
	for _, by := range []struct {
		what string
		who  *api.Client
		text string
	}{
		{"{proposal}", s.root, "kind: Policy\nname: p%d\nsubjects: [group:x]\nroles: [reader]\nresources: {names: [db]}\n"},
		{"{owned}", s.cast["owner"], "kind: Policy\nname: p%d\nsubjects: [group:x]\nroles: [lab]\nresources: {names: [safe]}\n"},
	} {
		put(by.what, func(string) string {
			done, err := by.who.Apply(ctx, api.Apply{Files: []api.File{{Name: "p.yaml", Text: fmt.Sprintf(by.text, s.made)}}})
			check(s.t, err)
			if done.Proposal == nil {
				s.t.Fatalf("applied without a second person: %+v", done)
			}
			text = strings.ReplaceAll(text, "{digest}", done.Proposal.Digest)
			return done.Proposal.ID
		})
	}
	put("{review}", func(string) string { return s.review() })
	put("{code}", func(string) string {
		made, err := s.root.MakeGlassCodes(ctx, api.GlassCodesAsk{User: "gus", Count: 1})
		check(s.t, err)
		return made.Codes[0].ID
	})
	put("{session}", func(string) string { return s.session() })
	put("{linked}", func(name string) string {
		_, err := s.root.AddUser(ctx, api.UserAdd{Name: name})
		check(s.t, err)
		g := s.send(s.raw(s.root, post, "/v1/admin/users/"+name+"/link", `{"provider":"people","subject":"`+name+`"}`))
		s.done(g)
		return name
	})
	text = strings.ReplaceAll(text, "{tomorrow}", time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339))
	put("{cred}", func(name string) string {
		_, err := s.root.SetCredential(ctx, name, api.CredentialSet{Type: "fake", Address: "127.0.0.1:9", Username: "u", Password: "p"})
		check(s.t, err)
		return name
	})
	return text
}

// restore puts back what a probe has changed for the next one: the documents, and
// the requests that would use up how many one may have.
func (s *scene) restore() {
	s.t.Helper()
	ctx := s.t.Context()
	check(s.t, s.store.Update(ctx, func(tx *store.Tx) error {
		v, body, err := tx.Documents()
		if err == nil && string(body) != string(s.docs) {
			err = tx.SaveDocuments(v+1, s.docs)
		}
		open, listing := tx.Proposals(access.ProposalQuery{States: []access.ProposalState{access.ProposalPending}, Limit: 1000})
		for _, p := range open { // nobody may have more than twenty
			p.State, p.DecidedBy, p.DecidedPerson, p.DecidedAt = access.ProposalWithdrawn, p.Principal, p.Person, tx.Now()
			p.Version++
			listing = errors.Join(listing, tx.SaveProposals(p))
		}
		return errors.Join(err, listing, tx.SaveSetting("two-persons", nil))
	}))
	for _, who := range []string{"requester", "service"} {
		c := s.cast[who]
		page, err := c.Requests(ctx, api.RequestList{State: api.RequestPending, Mine: true})
		check(s.t, err)
		for _, r := range page.Items {
			_, err := c.Cancel(ctx, r.ID)
			check(s.t, err)
		}
	}
}

// call makes one call in one role, and gives the answer in a word.
func (s *scene) call(rt route, role, path, body string) (answer string, g got) {
	s.t.Helper()
	r := s.raw(s.cast[role], rt.method, path, body)
	if rt.who == device || rt.who == host || rt.who == gateway {
		r.token = ""
	}
	if s.cast[role].Service {
		r.scheme = "Bearer"
	}
	g = s.send(r)
	if g.status >= 200 && g.status < 300 {
		if strings.Contains(string(g.body), `"proposal":{"id":"prp_`) {
			return fmt.Sprint(g.status, " proposed"), g // and nothing is changed
		}
		if (rt.name == "submit" || rt.name == "break-glass") && strings.Contains(string(g.body), `"state":"denied"`) {
			return fmt.Sprint(g.status, " denied by policy"), g
		}
		return fmt.Sprint(g.status), g
	}
	return fmt.Sprint(g.status, " ", g.error.Code), g
}

// TestRights calls every route in every role, on things that are there, and holds
// the answers against the page.
func TestRights(t *testing.T) {
	s := newScene(t)
	var b strings.Builder
	b.WriteString("# What each kind of caller is answered on each route. Made by: go test ./internal/apiserver -run TestRights -update\n" +
		"# The requester asked for what a call is about, the approver is asked to decide it, the owner owns the\n" +
		"# resource. 404 is also the answer of what is not theirs to see.\n")
	well := map[string]bool{}
	for _, name := range routesInOrder(s.server) {
		rt := s.server.routes[name]
		probes := objects[name]
		if sample, ok := samples[name]; len(probes) == 0 && ok {
			probes = []sampleOf{{path: sample.path, body: sample.body}}
		}
		if len(probes) == 0 {
			t.Errorf("route %s has no row in the matrix of rights: say in objects or samples how it is called", name)
			continue
		}
		for _, p := range probes {
			answers := map[string][]string{}
			for _, role := range roles {
				path, body := s.fill(p.path+"\x00"+p.body), ""
				path, body, _ = strings.Cut(path, "\x00")
				word, g := s.call(rt, role, path, body)
				answers[word] = append(answers[word], role)
				s.hold(rt, role, word, g)
				if g.status < 300 {
					well[name] = true
				}
				if name != "logout" { // after which nobody is signed in
					s.restore()
				}
			}
			title := rt.name
			if p.what != "" {
				title += ": " + p.what
			}
			fmt.Fprintf(&b, "\n%s\n  %s %s, for %s\n", title, rt.method, rt.path, rt.who)
			for _, word := range slices.Sorted(maps.Keys(answers)) {
				fmt.Fprintf(&b, "    %-28s %s\n", word, strings.Join(answers[word], ", "))
			}
		}
		if _, known := barren[name]; !well[name] && !known {
			t.Errorf("route %s answers nobody of the matrix well, so that the row proves nothing", name)
		}
	}
	if *update {
		check(t, os.WriteFile(rightsPage, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(rightsPage)
	check(t, err)
	if b.String() != string(want) {
		t.Errorf("rights are not those of %s; if the change is meant, run go test ./internal/apiserver -run TestRights -update and have the diff reviewed\n%s",
			rightsPage, firstDifference(b.String(), string(want)))
	}
}

// hold checks what must be so whatever the page says.
func (s *scene) hold(rt route, role, word string, g got) {
	s.t.Helper()
	in := g.status < 300
	switch {
	case g.status >= http.StatusInternalServerError:
		s.t.Errorf("%s as %s: %s: %s", rt.name, role, word, g.body)
	case rt.who == public:
	case in && (role == "unsigned" || role == "device-only" || role == "disabled"):
		s.t.Errorf("%s lets in whoever is %s", rt.name, role)
	case in && rt.who == admins && role != "administrator",
		in && rt.who == auditors && role != "administrator" && role != "auditor":
		s.t.Errorf("%s, for %s, lets in the %s", rt.name, rt.who, role)
	}
	secret := strings.Contains(string(g.body), "hunter2") || strings.Contains(string(g.body), "s3cret")
	if secret {
		s.t.Errorf("%s as %s shows a secret", rt.name, role)
	}
}

// routesInOrder lists the routes by name, and the one that ends the login last.
func routesInOrder(s *Server) []string {
	names := slices.Sorted(maps.Keys(s.routes))
	return append(slices.DeleteFunc(names, func(n string) bool { return n == "logout" }), "logout")
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			was := "nothing"
			if i < len(w) {
				was = w[i]
			}
			return fmt.Sprintf("line %d: got\n%s\nwant\n%s", i+1, g[i], was)
		}
	}
	return fmt.Sprintf("%d lines instead of %d", len(g), len(w))
}

// TestIDsOfOthers swaps ids: on every route that takes one, who has nothing to do
// with a request is told the same of it as of one that does not exist.
func TestIDsOfOthers(t *testing.T) {
	s := newScene(t)
	ctx := t.Context()
	grant := s.active()
	r, err := s.cast["requester"].Request(ctx, grant, api.Wait{})
	check(t, err)
	request := s.open()
	nobodys := string(access.NewRequestID(time.Now().UnixMilli(), access.Entropy{1}))
	done, err := s.root.Apply(ctx, api.Apply{Files: []api.File{{Name: "p.yaml", Text: "kind: Policy\nname: p\nsubjects: [group:x]\nroles: [reader]\n"}}})
	check(t, err)
	ids := []string{request, grant, r.Grant.ID}
	probed := 0
	for _, name := range routesInOrder(s.server) {
		rt := s.server.routes[name]
		ids := ids
		switch {
		case strings.Contains(rt.path, "/proposals/{id}"):
			ids = []string{done.Proposal.ID}
		case strings.Contains(rt.path, "/reviews/{id}"):
			ids = []string{s.review()}
		case strings.Contains(rt.path, "/logins/{id}"):
			ids = []string{s.session()}
		case strings.Contains(rt.path, "/delegations/{id}"):
			ids = []string{s.fill("{delegation}")}
		case !strings.Contains(rt.path, "/requests/{id}") && !strings.Contains(rt.path, "/grants/{id}") && name != "revoke":
			if strings.Contains(rt.path, "{id}") && barren[name] == "" {
				t.Errorf("%s takes an id, and this test does not know whose", name)
			}
			continue
		}
		body := samples[name].body
		for _, role := range []string{"member", "service"} {
			for _, id := range ids {
				at := func(id string) (string, api.Error) {
					text := strings.ReplaceAll(body, "grt_0", id)
					word, g := s.call(rt, role, strings.ReplaceAll(rt.path, "{id}", id), text)
					g.error.Trace = ""
					return word, g.error
				}
				got, gotProblem := at(id)
				want, wantProblem := at(strings.Replace(nobodys, "req_", id[:4], 1))
				if got != want || gotProblem.Message != wantProblem.Message || gotProblem.Why != wantProblem.Why || gotProblem.Next != wantProblem.Next {
					t.Errorf("%s as %s on %s of another: %s %+v; of none: %s %+v", name, role, id[:4], got, gotProblem, want, wantProblem)
				}
				if !strings.HasPrefix(got, "404") {
					t.Errorf("%s as %s on %s of another: %s", name, role, id[:4], got)
				}
				probed++
			}
		}
	}
	if probed < 40 {
		t.Errorf("only %d probes", probed)
	}
	if still, err := s.cast["requester"].Request(ctx, grant, api.Wait{}); err != nil || still.Grant.State != api.GrantActive {
		t.Errorf("the grant of another is %+v after it, %v", still.Grant, err)
	}
}

// TestNobodyByOffice: who administers, audits or owns, and whom no policy names, gets
// nothing of a target by any verb.
func TestNobodyByOffice(t *testing.T) {
	s := newScene(t)
	ctx := t.Context()
	grant := s.active()
	for _, role := range []string{"administrator", "auditor", "owner", "approver"} {
		c := s.cast[role]
		for _, ask := range []api.Ask{
			{Resource: "db", Role: "reader", Duration: "5m", Reason: "I run this place"},
			{Resource: "lab", Role: "lab", Duration: "5m", Reason: "I run this place"},
		} {
			r, err := c.Submit(ctx, ask, api.Wait{})
			check(t, err)
			if r.State != api.RequestDenied || r.Grant != nil {
				t.Errorf("%s asks for %s and is %s", role, ask.Resource, r.State)
			}
			for verb, err := range map[string]error{
				"approve one's own":       second(c.Approve(ctx, r.ID, api.VoteAsk{})),
				"take a credential of it": second(c.Credential(ctx, r.ID)),
				"extend it":               second(c.Extend(ctx, r.ID, api.ExtendAsk{For: "5m", Why: "more of it"})),
			} {
				if err == nil {
					t.Errorf("the %s can %s", role, verb)
				}
			}
		}
		if _, err := c.Credential(ctx, grant); err == nil {
			t.Errorf("the %s takes the credential of another's grant", role)
		}
		if _, err := c.Extend(ctx, grant, api.ExtendAsk{For: "5m", Why: "more of it"}); err == nil {
			t.Errorf("the %s extends another's grant", role)
		}
	}
}

func second[T any](_ T, err error) error { return err }
