package apiserver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/audit"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/connector/linux"
	"stint/internal/credential"
	"stint/internal/envelope"
	"stint/internal/hosts"
	"stint/internal/ident"
	"stint/internal/keys"
	"stint/internal/oidc"
	"stint/internal/provision"
	"stint/internal/store"
)

const documents = `
kind: Resource
name: db
type: fake
labels: {env: prod}
criticality: high
owners: [user:omar]
connection: {address: "127.0.0.1:1", credential: login}
---
kind: Role
name: reader
resources: {type: fake}
mechanism: account
fake: {memberOf: [app_read]}
maxDuration: 4h
---
kind: Policy
name: at-once
subjects: [group:platform]
roles: [reader]
require: {maxDuration: 2h}
---
kind: Policy
name: with-approval
subjects: [group:guests, "service:ci"]
roles: [reader]
require: {approvals: [{from: [group:dba], count: 1}], maxDuration: 1h}
`

// world is a server with a real broker on a real store and a simulated target.
type world struct {
	t      testing.TB
	server *Server
	http   *httptest.Server
	store  *store.Store
	ident  *ident.Ident
	orders *keys.OrdersSigner
	desk   *hosts.Desk
	log    *lockedBuffer
	path   string        // of the database
	skew   time.Duration // of the clients' clocks; ahead, because a server that just began wants new proofs
}

// begin makes a world; bend changes the configuration in one line.
func begin(t testing.TB, bend ...func(*Config)) *world {
	t.Helper()
	ctx := t.Context()
	dir := t.TempDir()
	w := &world{t: t, log: &lockedBuffer{}, skew: 2 * time.Second, path: filepath.Join(dir, "stint.db")}
	st, err := store.Open(ctx, kept(t, w.path))
	check(t, err)
	w.store = st
	vault, err := keys.Create(filepath.Join(dir, "seal.key"))
	check(t, err)
	origin := audit.Origin("test")
	sealed, err := vault.NewCheckpointKey(origin)
	check(t, err)
	signer, verifier, err := vault.CheckpointSigner(origin, sealed)
	check(t, err)
	tagKey, err := vault.NewTagKey()
	check(t, err)
	tagger, err := vault.Tagger(tagKey)
	check(t, err)
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sealedOrders, err := vault.NewOrdersKey("test")
	check(t, err)
	orders, err := vault.OrdersSigner("test", sealedOrders)
	check(t, err)
	register := hosts.NewRegister(hostStore{st}, orders.Public())
	w.orders, w.desk = orders, hosts.NewDesk(register, hostStore{st}, nil, log)
	remote, err := linux.NewFor(linux.Config{Courier: courier{w.desk}, Signer: orders, Installation: "test", Epoch: 1, Distrust: w.desk.Distrust}, hosted{})
	check(t, err)
	b, err := broker.New(broker.Config{
		Store: brokerStore{st}, Connectors: map[string]connector.Connector{"fake": &target{accounts: map[string]string{}}, "linux": &sshHosts{target{accounts: map[string]string{}}}, "hosted": remote, "postgres": &databases{target{accounts: map[string]string{}}}, "http": &applications{target{accounts: map[string]string{}}}, "tcp": &ports{target{accounts: map[string]string{}}}}, Tagger: tagger, Vault: vault, SealTo: keys.SealTo,
		Installation: "test", Epoch: 1, Replica: "one", Alone: true, Log: log, Clock: st, Integrations: []access.Schema{provision.Schema(), provision.SignalsSchema(), oidc.Schema(), oidc.MachineSchema(), oidc.SPIFFESchema()},
	})
	check(t, err)
	w.ident = ident.New(identStore{st})
	w.ident.TakesTwo = func(tx ident.Tx) (bool, error) { return broker.OfficesTakeTwo(tx) }
	c := Config{
		Broker: b, Logins: credential.New(loginStore{st}), Ident: w.ident, Replays: ident.NewMemory(proofWindow, time.Now), Audit: testLog{st}, LogKey: api.LogKey{Origin: origin, Key: verifier},
		Ready: st.Ready, Version: "test", Log: log, Provisioned: provisionStore{st}, Outside: &http.Client{}, SSH: authorities(t, vault),
	}
	c.Hosts = Hosts{Register: register, Desk: w.desk, Installation: "test", Orders: orders}
	for _, f := range bend {
		f(&c)
	}
	w.server, err = New(c)
	check(t, err)
	w.http = httptest.NewServer(w.server.Handler())
	run, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Run(run); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := st.RunSequencer(run, signer, origin, time.Second); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		w.server.stopHolding()
		w.http.Close()
		stop()
		wg.Wait()
		check(t, st.Close())
	})
	return w
}

// populated has people, documents and a credential for the target.
func populated(t testing.TB, bend ...func(*Config)) (w *world, admin *api.Client) {
	t.Helper()
	w = begin(t, bend...)
	admin = w.first()
	_, err := admin.SetCredential(t.Context(), "login", api.CredentialSet{Type: "fake", Address: "127.0.0.1:1", Username: "stint", Password: "hunter2"})
	check(t, err)
	_, err = admin.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "all.yaml", Text: documents}}})
	check(t, err)
	return w, admin
}

func (w *world) client() *api.Client {
	w.t.Helper()
	d, err := api.NewDevice()
	check(w.t, err)
	u, err := url.Parse(w.http.URL)
	check(w.t, err)
	return &api.Client{Server: u, Device: d, Patience: -1, Now: func() time.Time { return time.Now().Add(w.skew) }}
}

// first signs root in, the first administrator.
func (w *world) first() *api.Client {
	w.t.Helper()
	e, _, err := w.ident.OpenBootstrap(w.t.Context())
	check(w.t, err)
	return w.enroll(string(e.Code.Reveal()), "root")
}

func (w *world) enroll(code, first string) *api.Client {
	w.t.Helper()
	c := w.client()
	l, err := c.Enroll(w.t.Context(), api.Secret(code), first != "", first)
	check(w.t, err)
	c.Token = l.Token
	return c
}

// as adds a user and signs them in.
func (w *world) as(admin *api.Client, u api.UserAdd) *api.Client {
	w.t.Helper()
	offices := u // given by one, where the product asks two
	u.Admin, u.Auditor, u.Author = false, false, false
	added, err := admin.AddUser(w.t.Context(), u)
	check(w.t, err)
	check(w.t, w.store.Update(w.t.Context(), func(tx *store.Tx) error {
		p, err := tx.Principal(access.PrincipalID(added.Principal))
		if err != nil || !offices.Admin && !offices.Auditor && !offices.Author {
			return err
		}
		p.Admin, p.Auditor, p.Author, p.Version = offices.Admin, offices.Auditor, offices.Author, p.Version+1
		if err := tx.Append(access.Event{Type: broker.OfficeGiven, At: tx.Now(), Entity: string(p.ID), Version: p.Version, Actor: access.System,
			Facts: map[string]string{"person": string(p.Person), "admin": strconv.FormatBool(p.Admin)}}); err != nil {
			return err
		}
		return tx.SavePrincipals(p)
	}))
	return w.enroll(added.EnrollToken.Reveal(), "")
}

// agent is a new agent of somebody, signed in with its token.
func (w *world) agent(admin *api.Client, name, human string) *api.Client {
	w.t.Helper()
	made, err := admin.AddAgent(w.t.Context(), api.AgentAdd{Name: name, Responsible: human, For: "1h", Groups: []string{"dba"}})
	check(w.t, err)
	c := w.client()
	c.Token, c.Service = made.Token, true
	return c
}

// vendor is a new vendor, signed in by invitation.
func (w *world) vendor(admin *api.Client, name, sponsor string) *api.Client {
	w.t.Helper()
	made, err := admin.InviteVendor(w.t.Context(), api.VendorInvite{Name: name, Sponsor: sponsor, Company: "Acme", Until: api.At(time.Now().Add(time.Hour)), Groups: []string{"dba"}})
	check(w.t, err)
	return w.enroll(made.EnrollToken.Reveal(), "")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type brokerStore struct{ *store.Store }

func (s brokerStore) Update(ctx context.Context, fn func(broker.Tx) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (s brokerStore) View(ctx context.Context, fn func(broker.Tx) error) error {
	return s.Store.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

type identStore struct{ *store.Store }

func (s identStore) Update(ctx context.Context, fn func(ident.Tx) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (s identStore) View(ctx context.Context, fn func(ident.Tx) error) error {
	return s.Store.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

type loginStore struct{ *store.Store }

func (s loginStore) Update(ctx context.Context, fn func(credential.Tx) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (s loginStore) View(ctx context.Context, fn func(credential.Tx) error) error {
	return s.Store.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

type hostStore struct{ *store.Store }

func (s hostStore) Update(ctx context.Context, fn func(hosts.Tx) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (s hostStore) View(ctx context.Context, fn func(hosts.Tx) error) error {
	return s.Store.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

// courier carries calls to hosts, as stintd's does.
type courier struct{ desk *hosts.Desk }

func (c courier) Carry(ctx context.Context, p linux.Parcel) (envelope.Sealed, ed25519.PublicKey, error) {
	text, key, err := c.desk.Carry(ctx, access.HostCall{ID: p.ID, Host: p.Host, Call: string(p.Call), Ends: p.Ends, DueAt: p.Due})
	return envelope.Sealed(text), key, err
}

type testLog struct{ store *store.Store }

func (l testLog) Records(ctx context.Context, q LogQuery) ([]LogRecord, error) {
	recs, err := l.store.Records(ctx, logQuery(q))
	var out []LogRecord
	for _, r := range recs {
		out = append(out, LogRecord{Seq: r.Seq, Encoded: r.Body})
	}
	return out, err
}

// logQuery is a query as the store has it.
func logQuery(q LogQuery) store.LogQuery {
	return store.LogQuery{After: q.After, Limit: q.Limit, Type: q.Type, Entity: q.Entity, Kind: q.Kind, Person: q.Person, Resource: q.Resource, Since: q.Since, Until: q.Until,
		Before: q.Before, Look: q.Look, Where: q.Where}
}

func (l testLog) Search(ctx context.Context, q LogQuery) ([]LogRecord, int64, error) {
	f, err := l.store.Search(ctx, logQuery(q))
	out := make([]LogRecord, len(f.Records))
	for i, x := range f.Records {
		out[i] = LogRecord{Seq: x.Seq, Encoded: x.Body}
	}
	return out, f.Next, err
}

func (l testLog) Tally(ctx context.Context, q LogQuery, steps int) (LogTally, error) {
	t, err := l.store.Tally(ctx, logQuery(q), steps)
	return LogTally(t), err
}

func (l testLog) Prove(ctx context.Context, seq int64) (LogProof, error) {
	p, err := l.store.Prove(ctx, seq)
	return LogProof{Record: LogRecord{Seq: p.Record.Seq, Encoded: p.Record.Body}, Proof: p.Proof, Checkpoint: p.Head.Checkpoint}, err
}

func (l testLog) Wait(ctx context.Context, after int64) error {
	_, err := l.store.Wait(ctx, after)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (l testLog) Settle(ctx context.Context) error { return l.store.Settle(ctx) }

func (l testLog) Head(ctx context.Context) (int64, []byte, error) {
	h, err := l.store.Head(ctx)
	return h.Size, h.Checkpoint, err
}

func (l testLog) Export(ctx context.Context, w io.Writer) error { return l.store.Export(ctx, w) }

func (l testLog) Lag(ctx context.Context) (int64, time.Duration, error) {
	n, _, err := l.store.Unsequenced(ctx)
	return n, 0, err
}

// target is a simulated target: accounts by tag.
type target struct {
	stands   []connector.Stand // standing privileges; of one address
	mu       sync.Mutex
	accounts map[string]string // name -> creation
}

func (*target) Type() string { return "fake" }
func (*target) Schema() access.Schema {
	return access.Schema{Type: "fake", Mechanisms: []access.Mechanism{access.Account}}
}
func (*target) Capabilities() connector.Capabilities {
	return connector.Capabilities{Mechanisms: []access.Mechanism{access.Account}, Sweepable: true, SessionKill: true}
}
func (*target) Check(context.Context, connector.Target) connector.Report {
	return connector.Report{Steps: []connector.Step{{Name: "is there", OK: true}}}
}
func (*target) Forget(access.Connection)                                       {}
func (*target) Claim(context.Context, connector.Target, connector.Claim) error { return nil }
func (*target) Observe(context.Context, connector.Target, connector.Order) (connector.Before, error) {
	return connector.Before{}, nil
}

func (f *target) Survey(_ context.Context, t connector.Target, _ []string, most int) ([]connector.Stand, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stands[:min(most, len(f.stands))], false, nil
}

func (f *target) Provision(_ context.Context, _ connector.Target, o connector.Order) (connector.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := "stint_" + string(o.Tag)
	f.accounts[name] = "oid-" + string(o.Tag)
	return connector.Receipt{Account: name, Creation: f.accounts[name],
		Credential: access.NewSecret(fmt.Appendf(nil, `{"type":"fake","username":%q,"password":"s3cret"}`, name))}, nil
}

func (f *target) done(os []connector.Order, effect func(name string)) []connector.Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	rs := make([]connector.Result, len(os))
	for i, o := range os {
		effect("stint_" + string(o.Tag))
		rs[i].Outcome = connector.Done
	}
	return rs
}

func (f *target) Revoke(_ context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return f.done(os, func(string) {})
}
func (f *target) TerminateSessions(_ context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return f.done(os, func(string) {})
}
func (f *target) Remove(_ context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return f.done(os, func(name string) { delete(f.accounts, name) })
}

func (f *target) Verify(_ context.Context, _ connector.Target, os []connector.Order) []connector.Observation {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := make([]connector.Observation, len(os))
	for i, o := range os {
		seen[i].Presence = connector.Absent
		if f.accounts["stint_"+string(o.Tag)] != "" {
			seen[i].Presence = connector.Present
		}
	}
	return seen
}

func (*target) Inventory(context.Context, connector.Target) iter.Seq2[connector.Artefact, error] {
	return func(func(connector.Artefact, error) bool) {}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func hashOf(token string) access.Digest { return sha256.Sum256([]byte(token)) }

var emptyBody = sha256.Sum256(nil)
