package apiserver

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/agent"
	"stint/internal/api"
	"stint/internal/connector"
	"stint/internal/envelope"
	"stint/internal/hosts"
)

const agentDocuments = `
kind: Resource
name: web1
type: hosted
criticality: low
connection: {address: "web1:22"}
---
kind: Role
name: deploy
resources: {type: hosted}
mechanism: account
hosted: {memberOf: [ops]}
maxDuration: 1h
---
kind: Policy
name: deployers
subjects: [group:platform]
roles: [deploy]
require: {maxDuration: 1h}
`

// hosted is what an agent runs here in the place of a host's connector.
type hosted struct{ *target }

func (hosted) Type() string { return "hosted" }
func (h hosted) Capabilities() connector.Capabilities {
	c := h.target.Capabilities()
	c.Proofs = true
	return c
}
func (hosted) Schema() access.Schema {
	return access.Schema{Type: "hosted", Mechanisms: []access.Mechanism{access.Account}, NoCredential: true}
}

// TestHostDoors goes the whole way of a host: a code, an agent that enrols, a grant that
// is made and ended there, the agent revoked.
func TestHostDoors(t *testing.T) {
	w, admin := populated(t)
	ctx := t.Context()
	_, err := admin.Apply(ctx, api.Apply{Files: []api.File{{Name: "host.yaml", Text: agentDocuments}}})
	check(t, err)
	if _, err := admin.EnrollHost(ctx, "db"); problemOf(err, "").Code != "not-a-host" {
		t.Errorf("a database gets an agent: %v", err)
	}
	if _, err := admin.EnrollHost(ctx, "web9"); problemOf(err, "").Kind != api.NotFound {
		t.Errorf("a host that is none: %v", err)
	}
	code, err := admin.EnrollHost(ctx, "web1")
	check(t, err)
	if code.Host != "web1:22" || !strings.HasSuffix(code.Code.Reveal(), "."+envelope.Pin(w.orders.Public())) {
		t.Errorf("the code is for %s, and does not name the key", code.Host)
	}
	own, stranger := w.client(), w.client()
	if _, err := stranger.PollHost(ctx, api.HostPoll{Room: 1}); problemOf(err, "").Code != "not-enrolled" {
		t.Errorf("a stranger asks for calls: %v", err)
	}
	if _, err := stranger.EnrollAsHost(ctx, api.HostEnroll{Code: code.Code, DeviceJWK: own.Device.JWK()}); problemOf(err, "").Code != api.CodeBadProof {
		t.Errorf("with the key of another: %v", err)
	}
	pins, err := own.EnrollAsHost(ctx, api.HostEnroll{Code: code.Code, DeviceJWK: own.Device.JWK(), Version: "v1"})
	check(t, err)
	if pins.Host != "web1:22" || pins.Installation != "test" || string(pins.OrdersKey) != string(w.orders.Public()) {
		t.Errorf("%+v", pins)
	}
	if _, err := stranger.EnrollAsHost(ctx, api.HostEnroll{Code: code.Code, DeviceJWK: stranger.Device.JWK()}); problemOf(err, "").Code != "bad-code" {
		t.Errorf("a code twice: %v", err)
	}

	clock := agent.SystemClock()
	ledger, err := agent.OpenLedger(filepath.Join(t.TempDir(), "ledger"), clock)
	check(t, err)
	there := hosted{&target{accounts: map[string]string{}}}
	a, err := agent.New(agent.Config{Connector: there, Line: own, Signer: own.Device, Ledger: ledger, Clock: clock, Log: slog.New(slog.DiscardHandler),
		Pins:     agent.Pins{Host: pins.Host, Installation: pins.Installation, Orders: pins.OrdersKey},
		SavePins: func(agent.Pins) error { return nil }})
	check(t, err)
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- a.Run(run) }()
	defer func() { stop(); check(t, <-done); check(t, ledger.Close()) }()

	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	r, err := mira.Submit(ctx, api.Ask{Resource: "web1", Role: "deploy", Duration: "10m", Reason: "look at it"}, api.Wait{For: api.Ready, Time: 20 * time.Second})
	check(t, err)
	if r.Grant == nil || r.Grant.State != api.GrantActive {
		t.Fatalf("the request is %s: %+v", r.State, r.Grant)
	}
	if n := len(ledger.Held()); n != 1 {
		t.Errorf("the agent holds %d", n)
	}
	// The agent is told when it ends, which is sooner than the order says.
	nonce := envelope.NewID()
	got, err := own.TrustOfHost(ctx, api.HostAsk{Nonce: nonce})
	check(t, err)
	told, err := a.OpenTrust(got, nonce)
	check(t, err)
	if len(told.Ends) != 1 || !told.Ends[0].End.Equal(r.Grant.ExpiresAt.Time) || told.Ends[0].Told.Sub(told.Ends[0].End) > access.SetupWithin {
		t.Errorf("the ends are %+v, of a grant that ends at %s", told.Ends, r.Grant.ExpiresAt)
	}
	check(t, a.Heed(told))
	if h := ledger.Held(); len(h) != 1 || !h[0].Until.Equal(r.Grant.ExpiresAt.Time) {
		t.Errorf("the ledger has %+v", h)
	}
	if _, err := a.OpenTrust(got, envelope.NewID()); err == nil {
		t.Error("an answer to another question is taken")
	}
	ended := []api.HostEnded{{Tag: told.Ends[0].Tag, At: api.At(time.Now())}, {Tag: "forged", At: api.At(time.Now())}}
	for range 2 { // the answer was lost
		_, err = own.TrustOfHost(ctx, api.HostAsk{Nonce: nonce, Ended: ended})
		check(t, err)
	}
	if evs := w.events(hosts.HostEnded); len(evs) != 1 || evs[0].Facts["person"] != "mira" {
		t.Errorf("what ended alone is in the log as %+v", evs)
	}
	_, err = mira.End(ctx, r.ID)
	check(t, err)
	for began := time.Now(); len(ledger.Held()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatal("it is not taken away")
		}
	}
	page, err := admin.Hosts(ctx)
	check(t, err)
	if len(page.Items) != 1 || page.Items[0].State != "enrolled" || page.Items[0].Silent || page.Items[0].Version != "v1" || page.Items[0].SeenAt.IsZero() {
		t.Errorf("%+v", page.Items)
	}
	// A person's login is no agent's key, and an agent's key no login.
	g := w.send(w.raw(&api.Client{Server: own.Server, Device: own.Device}, http.MethodGet, "/v1/whoami", ""))
	if g.status != http.StatusUnauthorized {
		t.Errorf("an agent is somebody: %d", g.status)
	}
	_, err = admin.RevokeHost(ctx, "web1")
	check(t, err)
	if _, err := own.PollHost(ctx, api.HostPoll{Room: 1}); problemOf(err, "").Code != "not-enrolled" {
		t.Errorf("revoked, it asks for calls: %v", err)
	}
}
