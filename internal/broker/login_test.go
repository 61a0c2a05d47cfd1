package broker_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/credential"
	"stint/internal/policy"
	"stint/internal/store"
)

// logins is the store as the register of credentials sees it.
type logins struct{ *store.Store }

func (s logins) Update(ctx context.Context, fn func(credential.Tx) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (s logins) View(ctx context.Context, fn func(credential.Tx) error) error {
	return s.Store.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

// deleteLogin deletes a login as if no Resource named any.
func (in *installation) deleteLogin(name string) error {
	in.t.Helper()
	set, err := in.Documents(in.t.Context())
	must(in.t, err)
	none, err := policy.Compile(nil, nil, set.Version())
	must(in.t, err)
	_, err = credential.New(logins{in.store}).Delete(in.t.Context(), access.System, true, none, name)
	return err
}

// bind registers a login for an address.
func (in *installation) bind(name, address string) error {
	return in.SetCredential(in.t.Context(), in.as("root"), access.Credential{Name: name, Type: "fake", Address: address, Username: "stint"}, access.NewSecret([]byte("pw")))
}

// left says what is known of what a grant left behind.
func (in *installation) left(v broker.View, s access.ResidueState) {
	in.t.Helper()
	r := access.Residue{Grant: v.Request.Grant, Place: access.Connection{Type: "fake", Address: "127.0.0.1:1"}.Place(), State: s}
	if s == access.ResiduePending {
		r.DueAt = time.Now().Add(time.Hour)
	}
	must(in.t, in.store.Update(in.t.Context(), func(tx *store.Tx) error { return tx.SaveResidues(r) }))
}

func (in *installation) over(name string, v broker.View) {
	in.t.Helper()
	_, err := in.End(in.t.Context(), in.as(name), string(v.Request.ID), "done")
	must(in.t, err)
	in.until(name, string(v.Request.ID), access.Ended)
}

// TestMovedLogin: what may not be deleted may not be bound elsewhere either, which would
// be a way around: the secret goes with both.
func TestMovedLogin(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Hour)
	refusedAs(t, in.bind("login", "elsewhere:1"), "in-use")
	in.over("mira", v)
	in.left(v, access.ResiduePending)
	refusedAs(t, in.bind("login", "elsewhere:1"), "in-use")
	refusedAs(t, in.deleteLogin("login"), "in-use")
	must(t, in.bind("login", "127.0.0.1:1"))
	in.left(v, access.ResidueNone)
	must(t, in.store.Update(t.Context(), setQuarantine(broker.Quarantine{Kind: broker.LooksOld, Why: "a test"})))
	refusedAs(t, in.bind("login", "elsewhere:1"), "quarantined")
	refusedAs(t, in.deleteLogin("login"), "quarantined")
	must(t, in.bind("login", "127.0.0.1:1"))
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error { return tx.SaveSetting(broker.QuarantineSetting, nil) }))
	must(t, in.bind("login", "elsewhere:1"))
	must(t, in.deleteLogin("login"))
}

// TestLoginOfWhatIsShared: a grant that shares what another login made is examined with
// that one, whatever its own targets name.
func TestLoginOfWhatIsShared(t *testing.T) {
	in := newInstallation(t)
	first := in.hold("mira", "owner", time.Hour)
	// Another resource of the same server, reached with another login, and another way
	// to the same membership.
	must(t, in.bind("login2", "127.0.0.1:1"))
	_, err := in.Apply(t.Context(), in.as("root"), []policy.File{{Name: "again.yaml", Text: `
kind: Resource
name: again
type: fake
criticality: high
connection: {address: "127.0.0.1:1", credential: login2}
---
kind: Role
name: again-owner
resources: {names: [again]}
mechanism: group
fake: {account: "{{ .person }}", memberOf: [app_owner]}
maxDuration: 1h
---
kind: Policy
name: again
subjects: [group:platform]
roles: [again-owner]
require: {maxDuration: 1h}
`}}, false)
	must(t, err)
	a := ask("again-owner", time.Hour)
	a.Resource = "again"
	second, err := in.Submit(t.Context(), in.as("mira"), a)
	must(t, err)
	second = in.until("mira", string(second.Request.ID), access.Active)
	if at := second.Grant.Targets[0].Connection.Credential; at != "login2" {
		t.Fatalf("the second grant's targets name %s", at)
	}
	must(t, in.store.View(t.Context(), func(tx *store.Tx) error {
		hs, err := tx.HoldsBy(first.Request.Grant, second.Request.Grant)
		if err == nil && (len(hs) != 2 || hs[0].Entitlement != hs[1].Entitlement) {
			t.Fatalf("they share nothing: %+v", hs)
		}
		return err
	}))
	in.over("mira", first)
	in.over("mira", second)
	in.left(first, access.ResidueNone)
	in.left(second, access.ResiduePending)
	refusedAs(t, in.deleteLogin("login"), "in-use")
	refusedAs(t, in.bind("login", "elsewhere:1"), "in-use")
	must(t, in.bind("login2", "elsewhere:1"))
	must(t, in.deleteLogin("login2"))
	in.left(second, access.ResidueNone)
	must(t, in.deleteLogin("login"))
}

// oblivious is a target that notes what it is told to forget.
type oblivious struct {
	*target
	mu  sync.Mutex
	was []access.Connection
}

func (f *oblivious) Forget(at access.Connection) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.was = append(f.was, at)
}

// TestMovedLoginIsForgotten: what is open with a login where it is bound no more is
// closed, as what is open where it is bound now.
func TestMovedLoginIsForgotten(t *testing.T) {
	in, err := prepare(t, t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, in.store.Close()) })
	f := &oblivious{target: in.target}
	in.t = t
	in.Broker, err = broker.New(broker.Config{
		Store: memory{in.store}, Connectors: map[string]connector.Connector{"fake": f}, Tagger: in.tagger, Vault: in.keys,
		SealTo:       func(_ []byte, _ string, plain []byte) ([]byte, error) { return plain, nil },
		Installation: "test", Epoch: 1, Replica: "one", Alone: true, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	at := func(address string) access.Connection {
		return access.Connection{Type: "fake", Address: address, Credential: "login"}
	}
	must(t, in.bind("login", "127.0.0.1:1"))
	must(t, in.bind("login", "elsewhere:1"))
	if want := []access.Connection{at("127.0.0.1:1"), at("127.0.0.1:1"), at("elsewhere:1")}; !slices.EqualFunc(f.was, want, access.Connection.Equal) {
		t.Errorf("forgotten: %+v, want %+v", f.was, want)
	}
}
