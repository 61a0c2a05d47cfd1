package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/store"
)

// unfinished counts the grants that are not over yet, a page of them at most.
func (h *house) unfinished(ctx context.Context) (n int, err error) {
	err = h.store.View(ctx, func(tx *store.Tx) error {
		gs, err := tx.Grants(access.GrantQuery{States: []access.GrantState{access.Provisioning, access.Active, access.Ending}, Limit: 10})
		n = len(gs)
		return err
	})
	return n, err
}

// flood lets one person ask as fast as they can, without the limits that the
// doors put on a person, while others ask and grants end, each of these at its
// own moment. It compares with the same without the flood.
func (s *storm) flood(ctx context.Context) error {
	calm, err := s.phase(ctx, 0)
	if err != nil {
		return err
	}
	wild, err := s.phase(ctx, s.clients)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("flood of requests by one person, %d at a time (%.0f/s): ", s.clients, wild.flooded)
	for _, p := range []struct {
		what string
		at   float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		before, during := quantile(calm.ends, p.at), quantile(wild.ends, p.at)
		s.figure(name+"an end recorded "+p.what+" without", before.Seconds()*1000, "ms", "", false)
		s.figure(name+"an end recorded "+p.what, during.Seconds()*1000, "ms", "", false)
		if p.what == "p99" {
			ratio := during.Seconds() / before.Seconds()
			s.figure(name+"revocation "+p.what+", ratio", ratio, "x", "<= 2", ratio <= 2)
		}
		s.figure(name+"another person's request "+p.what+" without", quantile(calm.others, p.at).Seconds()*1000, "ms", "", false)
		s.figure(name+"another person's request "+p.what, quantile(wild.others, p.at).Seconds()*1000, "ms", "", false)
	}
	return nil
}

// phase is what was measured in one of the two.
type phase struct {
	ends    []time.Duration // from the grant's end to the record that it is verified gone
	others  []time.Duration // requests of another person, until the credential is there
	flooded float64         // requests of the flood, each second
}

// phase runs for the length of -calls, after as long again in which nothing counts.
func (s *storm) phase(ctx context.Context, flood int) (x phase, err error) {
	const places = 8
	h, err := newHouse(ctx, s.store, places, 10*time.Millisecond, false)
	if err != nil {
		return x, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	// Ends come one by one, twenty a second.
	begin := time.Now().Add(5 * time.Second)
	const apart = 50 * time.Millisecond
	n := int(s.calls / apart)
	for i := range n {
		if err := h.fill(ctx, 1, i%places, i%places, begin.Add(time.Duration(i)*apart).Truncate(time.Millisecond), true); err != nil {
			return x, err
		}
	}
	if err := h.start(ctx); err != nil {
		return x, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var asked atomic.Int64
	var flooding sync.WaitGroup
	time.Sleep(time.Until(begin.Add(-time.Second)))
	for range flood {
		flooding.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := h.broker.Submit(ctx, h.caller(people-1), h.ask(i%places, time.Hour)); err == nil {
					asked.Add(1)
				}
			}
		})
	}
	defer flooding.Wait()
	defer stop()
	time.Sleep(time.Until(begin))
	_ = h.broker.Stats() // forgets lags from before
	was := asked.Load()
	if x.others, err = h.repeat(ctx, 1, s.calls, nil); err != nil {
		return x, err
	}
	x.flooded = float64(asked.Load()-was) / s.calls.Seconds()
	if err := until(ctx, "the last end", 50*time.Millisecond, time.Minute, func() bool {
		x.ends = append(x.ends, h.broker.Stats().Lags...)
		return len(x.ends) >= n-1
	}); err != nil {
		return x, fmt.Errorf("%d of %d: %w", len(x.ends), n, err)
	}
	return x, nil
}
