package apiserver

import (
	"context"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/agent"
	"stint/internal/api"
	"stint/internal/envelope"
	"stint/internal/hosts"
	"stint/internal/roster"
)

const provenDocuments = `
kind: Resource
name: web1
type: hosted
criticality: critical
connection: {address: "web1:22"}
---
kind: Role
name: deploy
resources: {type: hosted}
mechanism: account
hosted: {memberOf: [ops]}
maxDuration: 1h
---
kind: Role
name: loose
resources: {type: hosted}
mechanism: account
hosted: {memberOf: [ops]}
maxDuration: 1h
---
kind: Policy
name: deployers
subjects: ["user:gus"]
roles: [deploy]
require: {maxDuration: 1h, approvals: [{from: [group:dba], count: 2, level: passkey}]}
---
kind: Policy
name: all
subjects: ["user:gus"]
roles: [loose]
require: {maxDuration: 1h, approvals: [{from: [group:dba], count: 1, level: console}]}
`

// pinned is a roster that its host's administrator can change.
type pinned struct {
	mu  sync.Mutex
	r   roster.Roster
	err error
}

func (p *pinned) Roster() (roster.Roster, error) { p.mu.Lock(); defer p.mu.Unlock(); return p.r, p.err }

func (p *pinned) set(r roster.Roster, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.r, p.err = r, err
}

// TestHostProofs goes all the way through the API: what two passkeys of the host's roster
// have signed is made there, what was approved without is not, and who asks hears early.
func TestHostProofs(t *testing.T) {
	w, root, people := chained(t, "critical", "passkey")
	ctx := t.Context()
	_, err := root.Apply(ctx, api.Apply{Files: []api.File{{Name: "host.yaml", Text: provenDocuments}}})
	check(t, err)
	code, err := root.EnrollHost(ctx, "web1")
	check(t, err)
	own := w.client()
	pins, err := own.EnrollAsHost(ctx, api.HostEnroll{Code: code.Code, DeviceJWK: own.Device.JWK()})
	check(t, err)
	clock := agent.SystemClock()
	ledger, err := agent.OpenLedger(filepath.Join(t.TempDir(), "ledger"), clock)
	check(t, err)
	there := hosted{&target{accounts: map[string]string{}}}
	file := &pinned{err: fs.ErrNotExist}
	a, err := agent.New(agent.Config{Connector: there, Line: own, Signer: own.Device, Ledger: ledger, Clock: clock, Log: slog.New(slog.DiscardHandler), Rosters: file,
		Pins: agent.Pins{Host: pins.Host, Installation: pins.Installation, Orders: pins.OrdersKey}, SavePins: func(agent.Pins) error { return nil }})
	check(t, err)
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- a.Run(run) }()
	defer func() { stop(); check(t, <-done); check(t, ledger.Close()) }()
	gus, omar, olga := people["gus"], people["omar"], people["olga"]
	ask := func(role string) (api.Request, error) {
		return gus.Submit(ctx, api.Ask{Resource: "web1", Role: role, Duration: "10m", Reason: "look at it"}, api.Wait{})
	}
	settled := func(id string) api.Request {
		t.Helper()
		r, err := gus.Request(ctx, id, api.Wait{For: api.Ready, Time: 30 * time.Second})
		check(t, err)
		return r
	}
	before, err := ask("loose")
	check(t, err)

	// The host's administrator pins two passkeys.
	keys, err := root.Passkeys(ctx, "", true, api.List{})
	check(t, err)
	var pin roster.Roster
	for _, p := range keys.Items {
		if p.Person == "omar" || p.Person == "olga" {
			k := access.Passkey{State: access.PasskeyActive, Principal: access.PrincipalID(p.Principal), Person: access.Person(p.Person), Name: p.Name, RPID: p.RPID, Origin: p.Origin, Credential: p.Credential, Key: p.Key}
			k.ID = access.IDOf(k.Digest())
			pin.Passkeys = append(pin.Passkeys, k)
		}
	}
	pin.Ceiling.Rules = []access.CeilingRule{{Mechanisms: []access.Mechanism{access.Account}, Longest: time.Hour, Approvals: 2, Level: access.LevelClient, Fresh: time.Hour}}
	file.set(pin, nil)

	// The control plane orders what it was told to by its own word alone.
	_, err = omar.Approve(ctx, before.ID, api.VoteAsk{Digest: before.Digest})
	check(t, err)
	if r := settled(before.ID); r.Grant == nil || r.Grant.EndReason != "failed" || !strings.Contains(r.Grant.Detail, "2 approvals by passkey") || len(ledger.Held()) != 0 {
		t.Errorf("without proof: %+v, held %v", r.Grant, ledger.Held())
	}
	// Told of it, it refuses such a thing at once, and what is approved otherwise is made.
	rule := api.HostRule{Mechanisms: []string{"account"}, Longest: "1h", Approvals: 2, Level: "client", Fresh: "1h"}
	for range 2 { // and notes it once
		_, err = own.TrustOfHost(ctx, api.HostAsk{Nonce: envelope.NewID(), Ceiling: &api.HostCeiling{Rules: []api.HostRule{rule}}})
		check(t, err)
	}
	if evs := w.events(hosts.HostCeiling); len(evs) != 1 || !strings.Contains(evs[0].Facts["ceiling"], "2 approvals by passkey") {
		t.Errorf("in the log: %+v", evs)
	}
	if _, err := ask("loose"); problemOf(err, "").Code != "host-wants-passkeys" {
		t.Errorf("asked for what the host refuses: %v", err)
	}
	if _, err := gus.Explain(ctx, api.ExplainAsk{Ask: api.Ask{Resource: "web1", Role: "loose", Duration: "10m", Reason: "look at it"}}); problemOf(err, "").Code != "host-wants-passkeys" {
		t.Errorf("foreseen: %v", err)
	}
	r, err := ask("deploy")
	check(t, err)
	r, err = gus.Request(ctx, r.ID, api.Wait{})
	check(t, err)
	for _, who := range []*signer{omar, olga} {
		_, err = who.Approve(ctx, r.ID, who.signed(r, true, api.VoteAsk{}))
		check(t, err)
	}
	if r = settled(r.ID); r.Grant == nil || r.Grant.State != api.GrantActive || len(ledger.Held()) != 1 {
		t.Fatalf("with two signatures: %+v, held %v", r.Grant, ledger.Held())
	}
	// A ceiling that is long, or cannot be kept, holds up nothing of what the host is told.
	long, odd := rule, rule
	for n := range 900 {
		long.Accounts = append(long.Accounts, strings.Repeat("x", 200)+strconv.Itoa(n))
	}
	odd.Longest = "soon"
	for name, c := range map[string]api.HostCeiling{"long": {Rules: []api.HostRule{long}}, "odd": {Rules: []api.HostRule{odd}}, "untold": {Untold: true}} {
		got, err := own.TrustOfHost(ctx, api.HostAsk{Nonce: envelope.NewID(), Ceiling: &c})
		if err != nil || got.Trust == "" || len(got.Revoked) == 0 {
			t.Errorf("with a ceiling that is %s: %v", name, err)
		}
	}
	// Somebody leaves the roster, and it is gone: what is there ends all the same.
	file.set(roster.Roster{}, access.Fail(access.Denied, "roster-missing", "it is gone"))
	_, err = gus.End(ctx, r.ID)
	check(t, err)
	for began := time.Now(); len(ledger.Held()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatal("it is there yet")
		}
	}
}
