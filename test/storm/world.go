package main

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// world is all simulated targets, with the connector to them. A call takes its
// delay, for a batch as for one order: what a target does with a statement is not
// what is measured here. One that is dead answers nothing until the caller gives up.
type world struct {
	delay  time.Duration
	places map[string]*place // by address; fixed before the first call
	left   atomic.Int64      // accounts, over all places
}

type place struct {
	dead atomic.Bool

	mu       sync.Mutex
	accounts map[string]bool // by name: whether it can log in
	removed  []time.Time     // when accounts went
}

func newWorld(delay time.Duration, addresses []string) *world {
	w := &world{delay: delay, places: map[string]*place{}}
	for _, a := range addresses {
		w.places[a] = &place{accounts: map[string]bool{}}
	}
	return w
}

// add puts an account there that a filled store knows of.
func (w *world) add(address, name string) {
	p := w.places[address]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accounts[name] = true
	w.left.Add(1)
}

// call is one call: its time, and then its effect.
func (w *world) call(ctx context.Context, t connector.Target, effect func(p *place)) error {
	p := w.places[t.Connection.Address]
	if p == nil {
		return errors.New("there is nothing at " + t.Connection.Address)
	}
	if p.dead.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	timer := time.NewTimer(w.delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	effect(p)
	return nil
}

func (w *world) Type() string { return "simulated" }

func (w *world) Schema() access.Schema {
	return access.Schema{Type: w.Type(), Mechanisms: []access.Mechanism{access.Account}}
}

func (w *world) Capabilities() connector.Capabilities {
	return connector.Capabilities{Mechanisms: w.Schema().Mechanisms, Sweepable: true, SessionKill: true}
}

func (w *world) Check(context.Context, connector.Target) connector.Report {
	return connector.Report{Steps: []connector.Step{{Name: "is there", OK: true}}}
}

func (w *world) Forget(access.Connection) {}

func (w *world) Claim(ctx context.Context, t connector.Target, _ connector.Claim) error {
	return w.call(ctx, t, func(*place) {})
}

func (w *world) Observe(context.Context, connector.Target, connector.Order) (connector.Before, error) {
	return connector.Before{}, nil
}

// name is that of an order's account.
func name(o connector.Order) string { return account(string(o.Tag)) }

func account(tag string) string { return "stint_" + tag }

func (w *world) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	err := w.call(ctx, t, func(p *place) {
		if _, there := p.accounts[name(o)]; !there {
			w.left.Add(1)
		}
		p.accounts[name(o)] = true
	})
	return connector.Receipt{Account: name(o), Creation: name(o), Credential: access.NewSecret([]byte(`{"username":"u","password":"p"}`))}, err
}

func (w *world) each(ctx context.Context, t connector.Target, os []connector.Order, effect func(p *place, name string)) []connector.Result {
	rs := make([]connector.Result, len(os))
	err := w.call(ctx, t, func(p *place) {
		for _, o := range os {
			effect(p, name(o))
		}
	})
	for i := range rs {
		if rs[i].Err = err; err == nil {
			rs[i].Outcome = connector.Done
		}
	}
	return rs
}

func (w *world) Revoke(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return w.each(ctx, t, os, func(p *place, name string) {
		if _, there := p.accounts[name]; there {
			p.accounts[name] = false
		}
	})
}

func (w *world) TerminateSessions(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return w.each(ctx, t, os, func(*place, string) {})
}

func (w *world) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return w.each(ctx, t, os, func(p *place, name string) {
		if _, there := p.accounts[name]; there {
			delete(p.accounts, name)
			p.removed = append(p.removed, time.Now())
			w.left.Add(-1)
		}
	})
}

func (w *world) Verify(ctx context.Context, t connector.Target, os []connector.Order) []connector.Observation {
	seen := make([]connector.Observation, len(os))
	err := w.call(ctx, t, func(p *place) {
		for i, o := range os {
			seen[i].Presence = connector.Absent
			if _, there := p.accounts[name(o)]; there {
				seen[i].Presence = connector.Present
			}
		}
	})
	if err != nil {
		for i := range seen {
			seen[i].Err = err
		}
	}
	return seen
}

func (w *world) Inventory(ctx context.Context, t connector.Target) iter.Seq2[connector.Artefact, error] {
	return func(yield func(connector.Artefact, error) bool) {
		var names []string
		if err := w.call(ctx, t, func(p *place) {
			names = make([]string, 0, len(p.accounts))
			for n := range p.accounts {
				names = append(names, n)
			}
		}); err != nil {
			yield(connector.Artefact{}, err)
			return
		}
		for _, n := range names {
			if !yield(connector.Artefact{Mechanism: access.Account, Account: n, Tag: access.Tag(n[len("stint_"):]), Creation: n, Ours: true}, nil) {
				return
			}
		}
	}
}

// went lists when accounts were removed at a place, and forgets it.
func (p *place) went() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.removed
	p.removed = nil
	return at
}

var _ connector.Connector = (*world)(nil)
