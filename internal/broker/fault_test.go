package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/broker"
	"stint/internal/connector"
)

// faultyMemory fails the nth Update: before it, so that nothing was committed,
// or after, so that everything was and nobody hears of it.
type faultyMemory struct {
	memory
	nth  int64 // 0: never
	when when
	n    atomic.Int64
}

func (m *faultyMemory) Update(ctx context.Context, fn func(broker.Tx) error) error {
	hit := m.n.Add(1) == m.nth
	if hit && m.when == before {
		return access.Fail(access.Unavailable, "store", "injected, before")
	}
	err := m.memory.Update(ctx, fn)
	if hit && err == nil {
		return access.Fail(access.Unavailable, "commit-unknown", "injected, after")
	}
	return err
}

// TestEverySingleFault runs one scenario, counts its calls to the store and to
// the target, and then runs it again with a fault at each of them: before it,
// and after it with the outcome unknown. Whatever happens, access ends, nothing
// is left on the target, and the log is whole. (I-01, I-03 to I-07, I-15, T-17)
func TestEverySingleFault(t *testing.T) {
	roles, each := []string{"reader", "owner", "shared"}, 1
	if testing.Short() {
		roles, each = roles[:1], 4
	}
	for _, role := range roles {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			updates, calls, err := scenario(t, filepath.Join(dir, "plain"), role, 0, 0, before)
			if err != nil || updates < 5 || calls < 5 {
				t.Fatalf("without faults: %d updates, %d calls, %v", updates, calls, err)
			}
			var g errgroup.Group
			g.SetLimit(48) // they mostly wait
			for _, w := range []when{before, after} {
				for n := 1; n <= updates; n += each {
					g.Go(func() error {
						_, _, err := scenario(t, filepath.Join(dir, fmt.Sprintf("u%d-%d", w, n)), role, n, 0, w)
						return wrap(err, "update %d, %s", n, w)
					})
				}
				for n := 1; n <= calls; n += each {
					g.Go(func() error {
						_, _, err := scenario(t, filepath.Join(dir, fmt.Sprintf("c%d-%d", w, n)), role, 0, n, w)
						return wrap(err, "call %d, %s", n, w)
					})
				}
			}
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

func (w when) String() string { return [...]string{"before", "after"}[w] }

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("fault at "+format+": %w", append(args, err)...)
}

// scenario asks for a role for a moment and waits until everything is over.
func scenario(t *testing.T, path, role string, failUpdate, failCall int, w when) (updates, calls int, err error) {
	in, err := prepare(t, path)
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		if e := in.store.Close(); err == nil {
			err = e
		}
	}()
	var n atomic.Int64
	in.target.setFault(func(call string, now when, _ connector.Order) error {
		if call == "inventory" || now == before && n.Add(1) < 0 {
			return nil
		}
		if now == w && n.Load() == int64(failCall) && failCall > 0 {
			return context.DeadlineExceeded
		}
		return nil
	})
	store := &faultyMemory{memory: memory{in.store}, nth: int64(failUpdate), when: w}
	b, err := in.broker(store, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var g errgroup.Group
	defer func() { cancel(); _ = g.Wait() }()
	g.Go(func() error { // a failed start is started again, as a supervisor would
		for ctx.Err() == nil {
			if err := b.Run(ctx); err == nil {
				return nil
			}
		}
		return nil
	})
	a := ask(role, 300*time.Millisecond)
	a.Key, a.Body = "the-same", access.Digest{1}
	v, err := b.Submit(ctx, in.as("mira"), a)
	if err != nil { // whoever calls asks again with the same key
		if v, err = b.Submit(ctx, in.as("mira"), a); err != nil {
			return 0, 0, err
		}
	}
	wait, done := context.WithTimeout(ctx, 30*time.Second)
	defer done()
	v, err = b.Wait(wait, in.as("mira"), string(v.Request.ID), func(v broker.View) bool { return v.Grant != nil && v.Grant.Over() })
	switch {
	case err != nil:
		return 0, 0, err
	case v.Grant == nil || !v.Grant.Over():
		return 0, 0, fmt.Errorf("the grant is %+v (%s)", v.Grant, v.Problem)
	case len(in.target.left()) > 0:
		return 0, 0, fmt.Errorf("left on the target: %v", in.target.left())
	}
	all, err := b.Requests(ctx, in.as("root"), access.RequestQuery{})
	if err != nil || len(all) != 1 {
		return 0, 0, fmt.Errorf("%d requests came of one: %w", len(all), err)
	}
	updates, calls = int(store.n.Load()), int(n.Load())
	cancel()
	if err := g.Wait(); err != nil {
		return 0, 0, err
	}
	return updates, calls, in.verifyLog()
}

// verifyLog numbers the records and checks the whole log as an auditor would.
func (in *installation) verifyLog() error {
	signer, verifier, err := in.checkpointKey()
	if err != nil {
		return err
	}
	for {
		_, n, err := in.store.Sequence(context.Background(), signer, audit.Origin("test"), 1000)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	var log bytes.Buffer
	if err := in.store.Export(context.Background(), &log); err != nil {
		return err
	}
	_, err = audit.Verify(&log, verifier, nil)
	return err
}
