package broker_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// unsureMemory is a store whose clock a test doubts.
type unsureMemory struct {
	memory
	doubt atomic.Bool
}

type unsureTx struct {
	broker.Tx
	doubt bool
}

var errUnsure = access.Fail(access.Unavailable, "clock-unsure", "nothing new is granted while the clock is in doubt").Because("a test says so")

func (tx unsureTx) Certain() error {
	if tx.doubt {
		return errUnsure
	}
	return tx.Tx.Certain()
}

func (m *unsureMemory) Update(ctx context.Context, fn func(broker.Tx) error) error {
	return m.memory.Update(ctx, func(tx broker.Tx) error { return fn(unsureTx{tx, m.doubt.Load()}) })
}

func (m *unsureMemory) View(ctx context.Context, fn func(broker.Tx) error) error {
	return m.memory.View(ctx, func(tx broker.Tx) error { return fn(unsureTx{tx, m.doubt.Load()}) })
}

// TestUnsureClockStopsGrantsAndNoRevocation is the row "clock unsure" of the
// fail-closed table: no request, approval, activation, extension or credential,
// and every way to end goes on. It is over by itself.
func TestUnsureClockStopsGrantsAndNoRevocation(t *testing.T) {
	m := &unsureMemory{}
	in := newInstallationOn(t, func(s memory) broker.Store { m.memory = s; return m })
	ctx := t.Context()
	held := in.hold("mira", "reader", time.Minute)
	revoked := in.hold("noor", "reader", time.Minute)
	short := in.hold("noor", "reader", time.Second)
	pending, err := in.Submit(ctx, in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	soon := ask("reader", time.Minute)
	soon.Start = time.Now().Add(300 * time.Millisecond)
	scheduled, err := in.Submit(ctx, in.as("mira"), soon)
	must(t, err)

	m.doubt.Store(true)
	refused := func(what string, err error) {
		t.Helper()
		var e *access.Error
		if !errors.As(err, &e) || e.Code != "clock-unsure" {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = in.Submit(ctx, in.as("mira"), ask("reader", time.Minute))
	refused("asking", err)
	_, err = in.Vote(ctx, in.as("omar"), string(pending.Request.ID), access.Vote{Approve: true})
	refused("approving", err)
	_, err = in.Extend(ctx, in.as("mira"), string(held.Request.ID), ask("", time.Minute))
	refused("extending", err)
	_, err = in.Credential(ctx, in.as("mira"), string(held.Request.ID))
	refused("showing a credential", err)

	in.until("noor", string(short.Request.ID), access.Ended) // by time
	_, err = in.Revoke(ctx, in.as("root"), broker.Selector{Grant: string(revoked.Request.ID)}, "while in doubt")
	must(t, err)
	in.until("noor", string(revoked.Request.ID), access.Ended)
	_, err = in.End(ctx, in.as("mira"), string(held.Request.ID), "")
	must(t, err)
	in.until("mira", string(held.Request.ID), access.Ended)
	v, err := in.View(ctx, in.as("mira"), string(scheduled.Request.ID))
	must(t, err)
	if v.Grant.State != access.Scheduled {
		t.Errorf("a scheduled grant began in doubt: %s", v.Grant.State)
	}

	m.doubt.Store(false)
	in.until("mira", string(scheduled.Request.ID), access.Active)
	_, err = in.Vote(ctx, in.as("omar"), string(pending.Request.ID), access.Vote{Approve: true})
	must(t, err)
	in.until("gus", string(pending.Request.ID), access.Active)
	_, err = in.Revoke(ctx, in.as("root"), broker.Selector{All: true}, "the end")
	must(t, err)
	in.until("mira", string(scheduled.Request.ID), access.Ended)
	in.until("gus", string(pending.Request.ID), access.Ended)
	in.clean()
}

// TestUnsureDuringSetUp: what is being set up when the clock comes into doubt is
// not activated; it is once the clock is trusted again.
func TestUnsureDuringSetUp(t *testing.T) {
	m := &unsureMemory{}
	in := newInstallationOn(t, func(s memory) broker.Store { m.memory = s; return m })
	in.target.mu.Lock() // the call to it hangs until the clock is in doubt
	done := make(chan broker.View)
	go func() {
		v, err := in.Submit(context.Background(), in.as("mira"), ask("reader", time.Minute))
		if err != nil {
			t.Error(err)
		}
		done <- v
	}()
	v := <-done
	m.doubt.Store(true)
	in.target.mu.Unlock()
	for {
		now, err := in.View(t.Context(), in.as("mira"), string(v.Request.ID))
		must(t, err)
		if now.Grant.State != access.Provisioning {
			t.Fatalf("%s in doubt", now.Grant.State)
		}
		if now.Problem != "" { // it was tried, and told so
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	m.doubt.Store(false)
	in.until("mira", string(v.Request.ID), access.Active)
	_, err := in.End(t.Context(), in.as("mira"), string(v.Request.ID), "")
	must(t, err)
	in.until("mira", string(v.Request.ID), access.Ended)
	in.clean()
}
