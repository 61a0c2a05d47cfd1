package simtarget_test

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/agent"
	"stint/internal/api"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
	"stint/internal/connector/linux"
	"stint/internal/envelope"
)

// signer is a key of one end of the wire.
type signer struct{ ed25519.PrivateKey }

func newSigner(t *testing.T) signer {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}
}

func (s signer) Sign(m []byte) []byte      { return ed25519.Sign(s.PrivateKey, m) }
func (s signer) Public() ed25519.PublicKey { return s.PrivateKey.Public().(ed25519.PublicKey) }

// wire is both ends of the line to one agent, without a network between.
type wire struct {
	agent   ed25519.PublicKey
	calls   chan api.HostCall
	mu      sync.Mutex
	waiting map[string]chan envelope.Sealed
}

// Carry is the end of the control plane.
func (w *wire) Carry(ctx context.Context, p linux.Parcel) (envelope.Sealed, ed25519.PublicKey, error) {
	answer := make(chan envelope.Sealed, 1)
	w.mu.Lock()
	w.waiting[p.ID] = answer
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.waiting, p.ID)
	}()
	select {
	case w.calls <- api.HostCall{Call: string(p.Call), LeftMillis: time.Until(p.Due).Milliseconds()}:
	case <-ctx.Done():
		return "", nil, envelope.ErrNotSent
	}
	select {
	case text := <-answer:
		return text, w.agent, nil
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
}

// PollHost is the end of the agent.
func (w *wire) PollHost(ctx context.Context, p api.HostPoll) (got api.HostCalls, err error) {
	for _, text := range p.Answers {
		id, err := envelope.AnswerID(envelope.Sealed(text))
		if err != nil {
			return got, err
		}
		w.mu.Lock()
		answer := w.waiting[id]
		w.mu.Unlock()
		if answer != nil {
			answer <- envelope.Sealed(text)
		}
	}
	if p.Room == 0 && p.RoomToEnd == 0 {
		return got, nil
	}
	select {
	case c := <-w.calls:
		got.Calls = append(got.Calls, c)
	case <-ctx.Done():
		return got, ctx.Err()
	case <-time.After(time.Duration(p.WaitMillis) * time.Millisecond):
		return got, nil
	}
	for len(got.Calls) < min(p.Room, p.RoomToEnd) {
		select {
		case c := <-w.calls:
			got.Calls = append(got.Calls, c)
		default:
			return got, nil
		}
	}
	return got, nil
}

// remote is the suite's target with the wire in between.
type remote struct {
	*suite
	through connector.Connector
}

func (r remote) Connector() connector.Connector { return r.through }

func newRemote(t *testing.T) connectortest.World {
	s := newSuite(t).(*suite)
	orders, own := newSigner(t), newSigner(t)
	clock := agent.SystemClock()
	ledger, err := agent.OpenLedger(filepath.Join(t.TempDir(), "ledger"), clock)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{agent: own.Public(), calls: make(chan api.HostCall), waiting: map[string]chan envelope.Sealed{}}
	a, err := agent.New(agent.Config{
		Connector: s.c, Line: w, Signer: own, Ledger: ledger, Clock: clock, Log: slog.New(slog.DiscardHandler), Username: s.Target().Username,
		Pins:     agent.Pins{Host: s.Target().Connection.Address, Installation: "suite", Orders: orders.Public()},
		SavePins: func(agent.Pins) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the agent does not stop")
		}
		if err := ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	r, err := linux.NewFor(linux.Config{Courier: w, Signer: orders, Installation: "suite", Epoch: 1,
		Distrust: func(host string, err error) { t.Errorf("%s is not believed: %v", host, err) }}, s.c)
	if err != nil {
		t.Fatal(err)
	}
	return remote{s, linux.Surveyor{Remote: r}}
}

// Whatever passes the suite at the host passes it through the wire.
func TestConformanceThroughTheWire(t *testing.T) { connectortest.Run(t, newRemote) }

// A batch larger than one call is cut, and each order gets its own answer.
func TestLargeBatchThroughTheWire(t *testing.T) {
	w := newRemote(t)
	os := make([]connector.Order, 3*envelope.MaxOrders+7)
	for i := range os {
		os[i] = connector.Order{Tag: connectortest.NewTag(), Mechanism: access.Account, ExpiresAt: time.Now().Add(time.Hour)}
	}
	os[300].Account = "\xff"
	rs := w.Connector().Revoke(t.Context(), w.Target(), os)
	for i, r := range rs {
		if want := i != 300; (r.Outcome == connector.Done) != want || (r.Err == nil) != want {
			t.Errorf("order %d: %+v", i, r)
		}
	}
	if len(rs) != len(os) {
		t.Errorf("%d results for %d orders", len(rs), len(os))
	}
}
