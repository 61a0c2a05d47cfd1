package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/keys"
	"stint/internal/policy"
	"stint/internal/store"
	"stint/internal/ticket"
)

// installation is a broker on a real SQLite store and a simulated target, with
// people who ask it for things.
type installation struct {
	*broker.Broker
	t      *testing.T
	store  *store.Store
	target *target
	keys   *keys.Keys
	tagger *keys.Tagger
	path   string
	stop   func()
	device [32]byte
	clock  *fakeClock
	wrap   func(memory) broker.Store // what the broker sees of the store; nil: the store
	peers  broker.Peers

	reviewWithin time.Duration
	tickets      broker.Tickets
}

// memory adapts the store to the broker's interface.
type memory struct{ s *store.Store }

func (m memory) Update(ctx context.Context, fn func(broker.Tx) error) error {
	return m.s.Update(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (m memory) View(ctx context.Context, fn func(broker.Tx) error) error {
	return m.s.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

const documents = `
kind: Resource
name: db
type: fake
labels: {env: prod}
criticality: high
owners: [user:omar]
connection: {address: "127.0.0.1:1", credential: login}
persons: {omar: omar_db}
---
kind: Role
name: reader
resources: {type: fake}
mechanism: account
fake: {memberOf: [app_read]}
maxDuration: 4h
---
kind: Role
name: owner
resources: {names: [db]}
mechanism: group
fake: {account: "{{ .person }}", memberOf: [app_owner]}
maxDuration: 1h
---
kind: Role
name: admin
resources: {names: [db]}
mechanism: enable
fake: {account: dba}
exclusive: true
maxDuration: 30m
---
kind: Role
name: shared
resources: {names: [db]}
mechanism: enable
fake: {account: dba}
maxDuration: 30m
---
kind: Policy
name: at-once
subjects: [group:platform]
roles: [reader, owner, admin, shared]
require: {maxDuration: 2h}
---
kind: Policy
name: with-approval
subjects: [group:guests]
roles: [reader]
require: {approvals: [{from: [group:dba], count: 1}], maxDuration: 1h}
`

func people() []access.Principal {
	p := func(name string, admin bool, groups ...access.Group) access.Principal {
		return access.Principal{ID: access.NewPrincipalID(access.User, name), Person: access.Person(name), Groups: groups, Admin: admin, Version: 1, CreatedAt: time.Unix(1, 0).UTC()}
	}
	return []access.Principal{p("root", true), p("mira", false, "platform"), p("noor", false, "platform"), p("gus", false, "guests"), p("omar", false, "dba"), p("olga", false, "dba")}
}

// prepare makes an installation at path with people, documents and a target,
// and runs nothing yet.
func prepare(t testing.TB, path string) (*installation, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	in := &installation{target: newTarget(), path: filepath.Join(path, "stint.db")}
	k, err := keys.Create(filepath.Join(path, "seal.key"))
	if err != nil {
		return nil, err
	}
	blob, err := k.NewTagKey()
	if err != nil {
		return nil, err
	}
	in.keys = k
	if in.tagger, err = k.Tagger(blob); err != nil {
		return nil, err
	}
	in.target.accounts["mira"] = &account{oid: "1000", login: true}
	in.target.accounts["noor"] = &account{oid: "1001", login: true}
	in.target.accounts["dba"] = &account{oid: "1002", dormant: true}
	ctx := context.Background()
	if in.store, err = store.Open(ctx, store.Config{Path: in.path}); err != nil {
		return nil, err
	}
	if err := in.store.Update(ctx, func(tx *store.Tx) error { return tx.SavePrincipals(people()...) }); err != nil {
		return nil, err
	}
	b, err := in.broker(memory{in.store}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	root := in.as("root")
	if err := b.SetCredential(ctx, root, access.Credential{Name: "login", Type: "fake", Address: "127.0.0.1:1", Username: "stint"}, access.NewSecret([]byte("pw"))); err != nil {
		return nil, err
	}
	_, err = b.Apply(ctx, root, []policy.File{{Name: "policy.yaml", Text: documents}}, false)
	return in, err
}

// broker makes a broker that has the installation's store for itself.
func (in *installation) broker(s broker.Store, log *slog.Logger) (*broker.Broker, error) {
	c := broker.Config{Store: s, Replica: "one", Alone: true, Peers: in.peers, Log: log}
	if in.clock != nil {
		c.Clock = in.clock
	}
	return in.configured(c)
}

// shared makes one of several brokers on a store.
func (in *installation) shared(s broker.Store, name string, log *slog.Logger) (*broker.Broker, error) {
	return in.configured(broker.Config{Store: s, Replica: name, Log: log})
}

func (in *installation) configured(c broker.Config) (*broker.Broker, error) {
	return broker.New(broker.Config{
		Store: c.Store, Connectors: map[string]connector.Connector{"fake": in.target}, Tagger: in.tagger, Vault: in.keys,
		SealTo: func(_ []byte, info string, plain []byte) ([]byte, error) {
			return []byte(info + "|" + string(plain)), nil
		},
		Installation: "test", Epoch: 1, Replica: c.Replica, Alone: c.Alone, Peers: c.Peers, Journal: c.Journal, Log: c.Log, Clock: c.Clock, ReviewWithin: in.reviewWithin,
		Integrations: append(ticket.Schemas(), access.Schema{Type: "rota", OnCall: true, Integration: map[string]access.Option{}}), Tickets: in.tickets,
	})
}

// checkpointKey makes a key to sign the log with.
func (in *installation) checkpointKey() (note.Signer, string, error) {
	blob, err := in.keys.NewCheckpointKey(audit.Origin("test"))
	if err != nil {
		return nil, "", err
	}
	return in.keys.CheckpointSigner(audit.Origin("test"), blob)
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	return newInstallationOn(t, nil)
}

// newInstallationOn makes one whose broker sees the store through wrap.
func newInstallationOn(t *testing.T, wrap func(memory) broker.Store) *installation {
	t.Helper()
	in, err := prepare(t, t.TempDir())
	must(t, err)
	must(t, in.store.Close())
	in.t, in.wrap = t, wrap
	in.start()
	return in
}

// start opens the store and runs a broker on it; a second start is a restart.
func (in *installation) start() {
	t := in.t
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Path: in.path})
	must(t, err)
	in.store = s
	seen := broker.Store(memory{s})
	if in.wrap != nil {
		seen = in.wrap(memory{s})
	}
	b, err := in.broker(seen, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var g errgroup.Group
	g.Go(func() error { return b.Run(ctx) })
	in.Broker = b
	in.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(g.Wait(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(in.stop)
}

func (in *installation) as(name string) broker.Caller {
	for _, p := range people() {
		if p.ID.Name() == name {
			src := access.Source{Device: access.DeviceID("device-of-" + name)}
			return broker.Caller{Principal: p, Source: src, Actor: access.Actor{Principal: p.ID, Person: p.Person, Device: src.Device}, SealKey: in.device[:]}
		}
	}
	panic("nobody is called " + name)
}

func ask(role string, d time.Duration) broker.Ask {
	return broker.Ask{Resource: "db", Role: access.RoleName(role), Duration: d, Reason: "look at stuck orders"}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for a request's grant to be in one of the states.
func (in *installation) until(name, id string, states ...access.GrantState) broker.View {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), 60*time.Second)
	defer cancel()
	v, err := in.Wait(ctx, in.as(name), id, func(v broker.View) bool { return v.Grant != nil && slices.Contains(states, v.Grant.State) })
	must(in.t, err)
	if v.Grant == nil || !slices.Contains(states, v.Grant.State) {
		in.t.Fatalf("%s is %s (%q, %q), not %v", id, v.Grant.State, v.Problem, v.Grant.EndNote, states)
	}
	return v
}

// hold asks for a role and waits until it is held.
func (in *installation) hold(name, role string, d time.Duration) broker.View {
	in.t.Helper()
	v, err := in.Submit(in.t.Context(), in.as(name), ask(role, d))
	must(in.t, err)
	return in.until(name, string(v.Request.ID), access.Active)
}

func (in *installation) clean() {
	in.t.Helper()
	if left := in.target.left(); len(left) > 0 {
		in.t.Errorf("left on the target: %s", strings.Join(left, ", "))
	}
}

func TestGrantLivesAndEnds(t *testing.T) {
	in := newInstallation(t)
	for _, role := range []string{"reader", "owner", "admin"} {
		t.Run(role, func(t *testing.T) {
			v := in.hold("mira", role, time.Minute)
			if len(in.target.left()) != 1 {
				t.Fatalf("on the target: %v", in.target.left())
			}
			if got, want := v.Grant.ExpiresAt.Sub(v.Grant.ActiveAt), time.Minute; got != want {
				t.Errorf("lasts %s, want %s", got, want)
			}
			_, err := in.End(t.Context(), in.as("mira"), string(v.Request.ID), "done")
			must(t, err)
			v = in.until("mira", string(v.Request.ID), access.Ended)
			if v.Grant.EndReason != access.ByHolder || v.Grant.VerifiedGoneAt.IsZero() {
				t.Errorf("ended as %s, verified gone at %s", v.Grant.EndReason, v.Grant.VerifiedGoneAt)
			}
			in.clean()
		})
	}
}

func TestExpiryEndsSessions(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", 300*time.Millisecond)
	in.target.mu.Lock()
	for _, a := range in.target.accounts {
		if a.tag != "" {
			a.sessions = 3
		}
	}
	in.target.mu.Unlock()
	v = in.until("mira", string(v.Request.ID), access.Ended)
	if v.Grant.EndReason != access.ByTime {
		t.Errorf("ended as %s", v.Grant.EndReason)
	}
	if lag := v.Grant.VerifiedGoneAt.Sub(v.Grant.ExpiresAt); lag > 10*time.Second {
		t.Errorf("gone %s after its end", lag)
	}
	in.clean()
}

func TestApprovalByAnotherPerson(t *testing.T) {
	in := newInstallation(t)
	v, err := in.Submit(t.Context(), in.as("gus"), ask("reader", time.Hour))
	must(t, err)
	id := string(v.Request.ID)
	if v.Request.State != access.RequestPending || v.Grant != nil {
		t.Fatalf("state %s", v.Request.State)
	}
	yes := access.Vote{Approve: true, Duration: 10 * time.Minute, Seen: v.Request.Digest}
	if _, err := in.Vote(t.Context(), in.as("gus"), id, yes); !errors.Is(err, access.Denied) {
		t.Errorf("own request: %v", err)
	}
	if _, err := in.Vote(t.Context(), in.as("mira"), id, yes); !errors.Is(err, access.NotFound) {
		t.Errorf("somebody not asked: %v", err)
	}
	forged := yes
	forged.Seen[0] ^= 1
	if _, err := in.Vote(t.Context(), in.as("omar"), id, forged); !errors.Is(err, access.Conflict) {
		t.Errorf("another digest: %v", err)
	}
	inbox, err := in.Inbox(t.Context(), in.as("omar"), broker.InboxQuery{Limit: 10})
	must(t, err)
	if len(inbox.Views) != 1 || inbox.Views[0].Request.ID != v.Request.ID {
		t.Errorf("inbox %v", inbox)
	}
	if _, err := in.Vote(t.Context(), in.as("omar"), id, yes); err != nil {
		t.Fatal(err)
	}
	v = in.until("gus", id, access.Active)
	if v.Grant.Duration != 10*time.Minute {
		t.Errorf("granted %s", v.Grant.Duration)
	}
	if _, err := in.Vote(t.Context(), in.as("olga"), id, yes); !errors.Is(err, access.Conflict) {
		t.Errorf("a vote too late: %v", err)
	}
}

func TestOverlapsAreCounted(t *testing.T) {
	in := newInstallation(t)
	a := in.hold("mira", "owner", time.Minute)
	b := in.hold("mira", "owner", 2*time.Minute)
	_, err := in.End(t.Context(), in.as("mira"), string(a.Request.ID), "")
	must(t, err)
	in.until("mira", string(a.Request.ID), access.Ended)
	if left := in.target.left(); len(left) != 1 {
		t.Fatalf("the second grant lost its membership: %v", left)
	}
	_, err = in.End(t.Context(), in.as("mira"), string(b.Request.ID), "")
	must(t, err)
	in.until("mira", string(b.Request.ID), access.Ended)
	in.clean()
}

func TestPrivilegeFromBeforeStays(t *testing.T) {
	in := newInstallation(t)
	in.target.members["mira in app_owner"] = "somebody"
	v := in.hold("mira", "owner", time.Minute)
	_, err := in.End(t.Context(), in.as("mira"), string(v.Request.ID), "")
	must(t, err)
	in.until("mira", string(v.Request.ID), access.Ended)
	if in.target.members["mira in app_owner"] != "somebody" {
		t.Error("a membership that was there before is gone")
	}
}

func TestSharedAccountRotatesAtEachLeave(t *testing.T) {
	in := newInstallation(t)
	a := in.hold("mira", "shared", time.Minute)
	b := in.hold("noor", "shared", time.Minute)
	passwords := func() int {
		in.target.mu.Lock()
		defer in.target.mu.Unlock()
		return in.target.accounts["dba"].password
	}
	in.target.mu.Lock()
	in.target.accounts["dba"].sessions = 2
	in.target.mu.Unlock()
	had := passwords()
	_, err := in.End(t.Context(), in.as("mira"), string(a.Request.ID), "")
	must(t, err)
	in.until("mira", string(a.Request.ID), access.Ended)
	if passwords() == had || in.target.accounts["dba"].sessions != 0 {
		t.Errorf("after a leave: %d passwords before and %d now, %d sessions", had, passwords(), in.target.accounts["dba"].sessions)
	}
	c, err := in.Credential(t.Context(), in.as("noor"), string(b.Request.ID))
	must(t, err)
	if want := fmt.Sprintf(`"password":"p%d"`, passwords()); !strings.Contains(string(c.Sealed[0].Blob), want) {
		t.Errorf("who stays is shown %s, want %s", c.Sealed[0].Blob, want)
	}
}

func TestExclusiveAccountIsLentOnce(t *testing.T) {
	in := newInstallation(t)
	in.hold("mira", "admin", time.Minute)
	_, err := in.Submit(t.Context(), in.as("noor"), ask("admin", time.Minute))
	if !errors.Is(err, access.Conflict) {
		t.Fatalf("a second holder: %v", err)
	}
	if rs, err := in.Requests(t.Context(), in.as("noor"), access.RequestQuery{}); err != nil || len(rs) != 0 {
		t.Errorf("the refused call left %v, %v", rs, err)
	}
}

func TestUnknownOutcomesAreRemoved(t *testing.T) {
	t.Parallel() // it waits
	in := newInstallation(t)
	in.target.setFault(func(call string, w when, _ connector.Order) error {
		if call == "provision" && w == after {
			return errSilent // it was done, and nobody hears of it
		}
		return nil
	})
	v, err := in.Submit(t.Context(), in.as("mira"), ask("reader", 500*time.Millisecond))
	must(t, err)
	if _, err := in.Revoke(t.Context(), in.as("root"), broker.Selector{All: true}, "drill"); err != nil {
		t.Fatal(err)
	}
	in.until("mira", string(v.Request.ID), access.Ended, access.Failed)
	in.clean()
}

func TestPermanentFailureFailsTheGrantClean(t *testing.T) {
	in := newInstallation(t)
	in.target.setFault(func(call string, w when, _ connector.Order) error {
		if call == "provision" && w == before {
			return &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: "permission denied to create role"}
		}
		return nil
	})
	v, err := in.Submit(t.Context(), in.as("mira"), ask("reader", time.Minute))
	must(t, err)
	v = in.until("mira", string(v.Request.ID), access.Failed)
	if !strings.Contains(v.Problem, "permission denied") {
		t.Errorf("problem %q", v.Problem)
	}
	in.clean()
}

func TestRemovalNeverGivesUp(t *testing.T) {
	t.Parallel() // it waits
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Minute)
	var tries int
	in.target.setFault(func(call string, w when, _ connector.Order) error {
		if call == "remove" && w == before {
			if tries++; tries < 7 { // past the sixth, at which others give up
				return errors.New("the target is in recovery")
			}
		}
		return nil
	})
	_, err := in.End(t.Context(), in.as("mira"), string(v.Request.ID), "")
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	v, err = in.Wait(ctx, in.as("mira"), string(v.Request.ID), func(v broker.View) bool { return v.Grant.Over() || v.Grant.Overdue(v.Now) })
	must(t, err)
	if v.Grant.Over() || !strings.Contains(v.Problem, "in recovery") {
		t.Errorf("overdue: %v, problem %q", v.Grant.Overdue(v.Now), v.Problem)
	}
	in.until("mira", string(v.Request.ID), access.Ended)
	in.clean()
}

func TestRestartCleansUp(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", 400*time.Millisecond)
	in.stop()
	for time.Now().Before(v.Grant.ExpiresAt) {
		time.Sleep(time.Until(v.Grant.ExpiresAt))
	}
	if len(in.target.left()) != 1 {
		t.Fatal("nothing is left to clean up")
	}
	in.start()
	in.until("mira", string(v.Request.ID), access.Ended)
	in.clean()
}

func TestSweepRemovesOursAndNothingElse(t *testing.T) {
	in := newInstallation(t)
	in.stop()
	lost := access.NewEntitlementID(time.Now().UnixMilli(), access.Entropy{1})
	tag := access.Tag(in.tagger.Tag("test", "fake://127.0.0.1:1", 1, string(lost)))
	forged := access.Tag(strings.Repeat("0", len(tag)))
	in.target.accounts["stint_"+string(tag)] = &account{oid: "7", tag: tag, login: true}       // the store lost its row
	in.target.accounts["stint_"+string(forged)] = &account{oid: "8", tag: forged, login: true} // planted
	in.target.members["mira in app_owner"] = "us"                                              // ours, and nobody holds it
	in.target.members["noor in app_owner"] = "somebody"
	in.start()
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := in.target.left()
		if len(left) == 1 && left[0] == "stint_"+string(forged) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %v", left)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if in.target.members["noor in app_owner"] != "somebody" {
		t.Error("the sweep took a membership that is not ours")
	}
}

func TestSweepHasABudget(t *testing.T) {
	in := newInstallation(t)
	in.stop()
	for i := range broker.SweepBudget + 1 {
		id := access.NewEntitlementID(time.Now().UnixMilli(), access.Entropy{byte(i + 1)})
		tag := access.Tag(in.tagger.Tag("test", "fake://127.0.0.1:1", 1, string(id)))
		in.target.accounts["stint_"+string(tag)] = &account{oid: fmt.Sprint("x", i), tag: tag}
	}
	in.start()
	deadline := time.Now().Add(10 * time.Second)
	for in.Stats().Events[broker.SweepStopped] == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the sweep did not stop")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if n := len(in.target.left()); n != broker.SweepBudget+1 {
		t.Errorf("%d left: it removed some all the same", n)
	}
}

func TestStopSwitch(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Minute)
	must(t, in.SetStop(t.Context(), in.as("root"), true, "incident"))
	if _, err := in.Submit(t.Context(), in.as("mira"), ask("reader", time.Minute)); !errors.Is(err, access.Denied) {
		t.Errorf("while stopped: %v", err)
	}
	_, err := in.End(t.Context(), in.as("mira"), string(v.Request.ID), "")
	must(t, err)
	in.until("mira", string(v.Request.ID), access.Ended)
}

func TestDisablingEndsEverything(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Minute)
	must(t, in.Disable(t.Context(), in.as("root"), "user:mira", "left the company"))
	v = in.until("root", string(v.Request.ID), access.Ended)
	if v.Grant.EndReason != access.ByPolicy {
		t.Errorf("ended as %s", v.Grant.EndReason)
	}
	in.clean()
	if _, err := in.Submit(t.Context(), in.as("mira"), ask("reader", time.Minute)); !errors.Is(err, access.Unauthenticated) {
		t.Errorf("a disabled user asks: %v", err)
	}
}

func TestPolicyEditEndsWhatItNoLongerAllows(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Minute)
	edited := strings.Replace(documents, "subjects: [group:platform]", "subjects: [group:others]", 1)
	_, err := in.Apply(t.Context(), in.as("root"), []policy.File{{Name: "policy.yaml", Text: edited}}, false)
	must(t, err)
	v = in.until("mira", string(v.Request.ID), access.Ended)
	if v.Grant.EndReason != access.ByPolicy {
		t.Errorf("ended as %s", v.Grant.EndReason)
	}
	in.clean()
}

func TestExtension(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Hour)
	more := broker.Ask{Duration: 30 * time.Minute, Reason: "not done yet"}
	x, err := in.Extend(t.Context(), in.as("mira"), string(v.Request.ID), more)
	must(t, err)
	if x.Grant == nil || !x.Grant.ExpiresAt.Equal(v.Grant.ExpiresAt.Add(30*time.Minute)) {
		t.Errorf("extended to %+v from %s", x.Grant, v.Grant.ExpiresAt)
	}
	more.Duration = time.Hour // in all 2.5 h, over the policy's 2 h
	x, err = in.Extend(t.Context(), in.as("mira"), string(v.Request.ID), more)
	must(t, err)
	if x.Request.State != access.RequestIsDenied {
		t.Errorf("extensions add up past the cap: %s", x.Request.State)
	}
}

func TestIdempotencyKey(t *testing.T) {
	in := newInstallation(t)
	a := ask("reader", time.Minute)
	a.Key, a.Body = "k1", access.Digest{1}
	first, err := in.Submit(t.Context(), in.as("mira"), a)
	must(t, err)
	again, err := in.Submit(t.Context(), in.as("mira"), a)
	must(t, err)
	if first.Request.ID != again.Request.ID {
		t.Error("the same key made two requests")
	}
	a.Body = access.Digest{2}
	if _, err := in.Submit(t.Context(), in.as("mira"), a); !errors.Is(err, access.Conflict) {
		t.Errorf("the same key for something else: %v", err)
	}
}

func TestScheduledGrantIsDecidedAgain(t *testing.T) {
	t.Parallel() // it waits
	in := newInstallation(t)
	a := ask("reader", time.Minute)
	a.Start = time.Now().Add(700 * time.Millisecond).Truncate(time.Millisecond)
	v, err := in.Submit(t.Context(), in.as("mira"), a)
	must(t, err)
	if v.Grant == nil || v.Grant.State != access.Scheduled || len(in.target.left()) != 0 {
		t.Fatalf("grant %+v, on the target %v", v.Grant, in.target.left())
	}
	edited := strings.Replace(documents, "subjects: [group:platform]", "subjects: [group:others]", 1)
	_, err = in.Apply(t.Context(), in.as("root"), []policy.File{{Name: "policy.yaml", Text: edited}}, false)
	must(t, err)
	v = in.until("mira", string(v.Request.ID), access.Ended)
	if v.Grant.EndReason != access.ByPolicy || !v.Grant.ActiveAt.IsZero() {
		t.Errorf("eligibility was lost before the start; the grant is %+v", v.Grant)
	}
	in.clean()
}
