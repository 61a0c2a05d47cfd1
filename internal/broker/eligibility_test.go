package broker_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/store"
)

// TestPolicyEditReachesEveryReplica: whoever works on grants decides them again
// under new documents, also when another replica took the edit and told nobody.
func TestPolicyEditReachesEveryReplica(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Minute)
	door, err := in.shared(memory{in.store}, "door", slog.New(slog.DiscardHandler)) // never runs
	must(t, err)
	edited := strings.Replace(documents, "subjects: [group:platform]", "subjects: [group:others]", 1)
	_, err = door.Apply(t.Context(), in.as("root"), []policy.File{{Name: "policy.yaml", Text: edited}}, false)
	must(t, err)
	if v = in.until("mira", string(v.Request.ID), access.Ended); v.Grant.EndReason != access.ByPolicy {
		t.Errorf("ended as %s", v.Grant.EndReason)
	}
	in.clean()
}

// deafMemory cannot be read until it has refused left times; then it closes heard.
type deafMemory struct {
	memory
	left  atomic.Int64
	heard chan struct{}
}

func (m *deafMemory) View(ctx context.Context, fn func(broker.Tx) error) error {
	switch n := m.left.Add(-1); {
	case n >= 0:
		return access.Fail(access.Unavailable, "store", "injected")
	case n == -1 && m.heard != nil:
		close(m.heard)
	}
	return m.memory.View(ctx, fn)
}

// TestPolicyEditOutlivesStoreTrouble: a store that cannot be read at the moment
// of an edit delays its effect on live grants and does not lose it.
func TestPolicyEditOutlivesStoreTrouble(t *testing.T) {
	t.Parallel() // it waits
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Minute)
	in.stop()
	s, err := store.Open(t.Context(), store.Config{Path: in.path})
	must(t, err)
	m := &deafMemory{memory: memory{s}, heard: make(chan struct{})}
	m.left.Store(-1) // hears everything, until it is told to be deaf
	b, err := in.broker(m, slog.New(slog.DiscardHandler))
	must(t, err)
	edited := strings.Replace(documents, "subjects: [group:platform]", "subjects: [group:others]", 1)
	_, err = b.Apply(t.Context(), in.as("root"), []policy.File{{Name: "policy.yaml", Text: edited}}, false)
	must(t, err)
	m.left.Store(8) // the loops of the broker begin with a look each
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- b.Run(ctx) }()
	<-m.heard
	in.Broker = b
	in.until("mira", string(v.Request.ID), access.Ended)
	cancel()
	must(t, <-over)
	in.clean()
	must(t, s.Close())
}

// TestLaterConditionsLastToo: a grant comes to depend on conditions that were
// written after it was made, from then on and not only at the edit.
func TestLaterConditionsLastToo(t *testing.T) {
	t.Parallel() // it waits
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Minute)
	_, err := in.Apply(t.Context(), in.as("root"), []policy.File{{Name: "freeze.yaml", Text: `
kind: Policy
name: frozen
effect: deny
subjects: ["*"]
roles: ["*"]
while: '"frozen" in principal.groups'
`}}, false)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	v, err = in.Wait(ctx, in.as("mira"), string(v.Request.ID), func(v broker.View) bool { return v.Grant.Conditional })
	must(t, err)
	if !v.Grant.Conditional || v.Grant.State != access.Active {
		t.Fatalf("the grant is %s, conditional %v", v.Grant.State, v.Grant.Conditional)
	}
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error {
		p, err := tx.Principal("user:mira")
		if err != nil {
			return err
		}
		p.Groups, p.Version = append(p.Groups, "frozen"), p.Version+1
		return tx.SavePrincipals(p)
	}))
	if v = in.until("mira", string(v.Request.ID), access.Ended); v.Grant.EndReason != access.ByPolicy {
		t.Errorf("ended as %s", v.Grant.EndReason)
	}
	in.clean()
}
