package broker_test

import (
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
)

// company vouches for the process while told to.
type company struct {
	vouched atomic.Bool
	told    atomic.Int64
}

func (c *company) Tell(access.Notice) { c.told.Add(1) }
func (c *company) Vouched() bool      { return c.vouched.Load() }

// inCompany is an installation whose broker has others beside it.
func inCompany(t *testing.T) (*installation, *company) {
	t.Helper()
	in, err := prepare(t, t.TempDir())
	must(t, err)
	must(t, in.store.Close())
	c := &company{}
	in.t, in.peers = t, c
	in.start()
	return in, c
}

// TestNothingIsMadeUnvouched: a process that the others may have taken for dead
// sends no call that creates; it removes all the same.
func TestNothingIsMadeUnvouched(t *testing.T) {
	in, others := inCompany(t)
	held := in.hold("mira", "reader", time.Hour) // nobody knows the name yet: nobody can bury it
	in.Join()
	var made atomic.Int64
	in.target.setFault(func(call string, now when, o connector.Order) error {
		if call == "provision" && now == before {
			made.Add(1)
		}
		return nil
	})
	v, err := in.Submit(t.Context(), in.as("noor"), ask("reader", time.Hour))
	must(t, err)
	_, err = in.End(t.Context(), in.as("mira"), string(held.Request.ID), "")
	must(t, err)
	in.until("mira", string(held.Request.ID), access.Ended)
	if n := made.Load(); n > 0 {
		t.Fatalf("%d calls were made by a process that nobody vouches for", n)
	}
	others.vouched.Store(true)
	in.until("noor", string(v.Request.ID), access.Active)
	if others.told.Load() == 0 {
		t.Error("the others were told nothing")
	}
}

// TestFence: the end of a life cuts its calls off at once, and what they were
// about is done in the next.
func TestFence(t *testing.T) {
	in, others := inCompany(t)
	others.vouched.Store(true)
	first := in.Join()
	var calls atomic.Int64
	stuck, goOn := make(chan struct{}), make(chan struct{})
	in.target.setFault(func(call string, now when, o connector.Order) error {
		if call != "provision" || now != before || calls.Add(1) > 1 {
			return nil
		}
		close(stuck)
		<-goOn
		return &connector.Error{Outcome: connector.Unknown, Message: "it was cut off"}
	})
	v, err := in.Submit(t.Context(), in.as("mira"), ask("reader", time.Hour))
	must(t, err)
	<-stuck
	in.Fence()
	close(goOn)
	if second := in.Join(); second == first {
		t.Fatal("the name is the same after the fence")
	}
	in.until("mira", string(v.Request.ID), access.Active)
}

// TestUnknownOutcomeEndsSoon: an outcome that is not known keeps "absent" from
// being believed for as long as the call can land, and not until the deadline of
// the whole call. A call of a process that died, alone on its store, lands sooner
// still.
func TestUnknownOutcomeEndsSoon(t *testing.T) {
	t.Parallel() // it waits
	in := newInstallation(t)
	in.target.setFault(func(call string, now when, o connector.Order) error {
		if call == "provision" && now == before {
			return &connector.Error{Outcome: connector.Unknown, Permanent: true, Message: "nobody knows"}
		}
		return nil
	})
	began := time.Now()
	v, err := in.Submit(t.Context(), in.as("mira"), ask("reader", time.Hour))
	must(t, err)
	in.until("mira", string(v.Request.ID), access.Failed, access.Ended)
	took, least := time.Since(began), connector.Late+broker.FencedWithin
	if took < least || took > least+10*time.Second {
		t.Errorf("it was believed gone after %v; a call can land for %v", took, least)
	}
}
