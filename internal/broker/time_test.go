package broker_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	timekeeping "stint/internal/clock"
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
	t.Parallel() // it waits
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
	t.Parallel() // it waits
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

// fakeClock is a store's clock in whatever state a test puts it.
type fakeClock struct {
	mu       sync.Mutex
	st       timekeeping.State
	accepted []time.Duration
	looks    int
}

func (f *fakeClock) Clock() timekeeping.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	return f.st
}

func (f *fakeClock) looked() int { f.mu.Lock(); defer f.mu.Unlock(); return f.looks }

func (f *fakeClock) set(st timekeeping.State) { f.mu.Lock(); defer f.mu.Unlock(); f.st = st }

func (f *fakeClock) AcceptClock(ahead time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.st.Far { // the look of the broker that runs may have been faster, and it counts once
		return false
	}
	f.accepted = append(f.accepted, ahead)
	f.st = timekeeping.State{Reading: timekeeping.Reading{Trusted: true}}
	return true
}

func (f *fakeClock) took() int { f.mu.Lock(); defer f.mu.Unlock(); return len(f.accepted) }

func farAhead(by time.Duration) timekeeping.State {
	return timekeeping.State{Reading: timekeeping.Reading{Why: "it jumped"}, Ahead: by, Far: true}
}

// withClock starts an installation anew, with a second administrator and a
// clock to move.
func withClock(t *testing.T) (*installation, *fakeClock) {
	f := &fakeClock{st: timekeeping.State{Reading: timekeeping.Reading{Trusted: true}}}
	in := newInstallation(t)
	in.stop()
	in.clock = f
	in.start()
	return in, f
}

func second(in *installation) broker.Caller {
	c := in.as("olga")
	c.Principal.Admin = true
	return c
}

// TestTwoPersonsAcceptAClock: one is not enough, the same one twice is not, and
// what two said is about one difference, for a while.
func TestTwoPersonsAcceptAClock(t *testing.T) {
	t.Parallel() // it waits
	in, f := withClock(t)
	ctx, root := t.Context(), in.as("root")
	code := func(what, want string, err error) {
		t.Helper()
		var e *access.Error
		if !errors.As(err, &e) || e.Code != want {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	_, err := in.AcceptClock(ctx, root, "it is right")
	code("a trusted clock", "clock-trusted", err)
	f.set(timekeeping.State{Reading: timekeeping.Reading{Why: "a second off"}, Ahead: time.Second})
	_, err = in.AcceptClock(ctx, root, "it is right")
	code("a near one", "clock-near", err)
	f.set(farAhead(time.Hour))
	_, err = in.AcceptClock(ctx, in.as("mira"), "it is right")
	if !errors.Is(err, access.Denied) {
		t.Errorf("who is no administrator: %v", err)
	}
	_, err = in.AcceptClock(ctx, root, " ")
	code("without a reason", "no-reason", err)
	v, err := in.AcceptClock(ctx, root, "it is right")
	must(t, err)
	if len(v.Accepted) != 1 || v.Trusted || f.took() != 0 {
		t.Errorf("after the first: %+v", v)
	}
	_, err = in.AcceptClock(ctx, root, "it is right")
	code("the same person", "own-word", err)
	f.set(farAhead(2 * time.Hour))
	v, err = in.AcceptClock(ctx, second(in), "it is right")
	must(t, err)
	if len(v.Accepted) != 1 || v.Trusted || f.took() != 0 {
		t.Errorf("the second is about another difference: %+v", v)
	}
	v, err = in.AcceptClock(ctx, root, "it is right")
	must(t, err)
	if !v.Trusted || f.took() != 1 {
		t.Errorf("after both: %+v", v)
	}
	if n := in.Stats().Events[broker.ClockAccepted]; n != 1 {
		t.Errorf("%d records of it", n)
	}
	// Another replica with the same difference takes it from the rows.
	f.set(farAhead(2*time.Hour + time.Second))
	for f.took() < 2 {
		time.Sleep(10 * time.Millisecond)
	}
	f.set(farAhead(-2 * time.Hour))
	time.Sleep(1500 * time.Millisecond) // a look and a half
	if f.took() != 2 {
		t.Error("what was said of one direction was taken for the other")
	}
}

// TestDoubtsAboutTimeAreToldOnce: the log learns of a doubt and of its end, and
// not of each time a clock comes and goes.
func TestDoubtsAboutTimeAreToldOnce(t *testing.T) {
	t.Parallel() // it waits
	in, f := withClock(t)
	f.set(farAhead(time.Hour))
	for in.Stats().Events[broker.ClockDoubted] == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	f.set(timekeeping.State{Reading: timekeeping.Reading{Trusted: true}})
	time.Sleep(2500 * time.Millisecond) // two looks
	if n := in.Stats().Events[broker.ClockTrusted]; n != 0 {
		t.Errorf("%d reports within a minute", n)
	}
	v, err := in.ClockState(t.Context(), in.as("root"))
	must(t, err)
	if !v.Trusted || v.Replica == "" {
		t.Errorf("%+v", v)
	}
	if _, err := in.ClockState(t.Context(), in.as("mira")); !errors.Is(err, access.Denied) {
		t.Errorf("a member sees it: %v", err)
	}
}

// TestAcceptedClockProlongsNothing: two administrators who set a clock behind and
// accept it do not let live access last longer: it is refused while there is any, also
// where it was decided before that began. Persons who end it first may go on.
func TestAcceptedClockProlongsNothing(t *testing.T) {
	t.Parallel() // it waits
	in, f := withClock(t)
	ctx, root := t.Context(), in.as("root")
	held := in.hold("mira", "reader", time.Minute)
	f.set(farAhead(-time.Hour))
	refused := func(c broker.Caller) {
		t.Helper()
		var e *access.Error
		if _, err := in.AcceptClock(ctx, c, "it is right"); !errors.As(err, &e) || e.Code != "clock-prolongs" {
			t.Errorf("accepted while somebody has access: %v", err)
		}
	}
	refused(root)
	refused(second(in))
	_, err := in.End(ctx, in.as("mira"), string(held.Request.ID), "")
	must(t, err)
	in.until("mira", string(held.Request.ID), access.Ended)
	for _, c := range []broker.Caller{root, second(in)} {
		_, err = in.AcceptClock(ctx, c, "it is right")
		must(t, err)
	}
	if f.took() != 1 {
		t.Fatal("not accepted with nothing live")
	}

	// The fake clock is trusted now: grants go on. What was said stays good for ten
	// minutes, and a step back by as much falls under it.
	held = in.hold("mira", "reader", time.Minute)
	f.set(farAhead(-time.Hour))
	looks := f.looked()
	for f.looked() < looks+3 {
		time.Sleep(10 * time.Millisecond)
	}
	if f.took() != 1 {
		t.Error("a step back was followed while somebody has access")
	}
	_, err = in.End(ctx, in.as("mira"), string(held.Request.ID), "")
	must(t, err)
	in.until("mira", string(held.Request.ID), access.Ended)
	for f.took() < 2 {
		time.Sleep(10 * time.Millisecond)
	}
}
