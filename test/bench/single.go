package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"stint/internal/api"
)

// apart is the time between two single expiries: long enough that one is over
// before the next.
const apart = 120 * time.Millisecond

// oneByOne lets grants with an open session end, each by itself.
func (b *bench) oneByOne(ctx context.Context, s *scene) error {
	const lasts = 4 * time.Second
	ctx, cancel := context.WithTimeout(ctx, time.Duration(b.single)*apart*20+time.Minute)
	defer cancel()
	var mu sync.Mutex
	var cut, verified sample
	at := map[string]time.Time{} // when the accounts end
	names := make(chan string, b.single)
	gone := make(chan goneAt, 1)
	go func() { gone <- s.watchEach(ctx, b.single, names) }()

	tick := time.NewTicker(apart)
	defer tick.Stop()
	err := share(ctx, 2*people, b.single, func(ctx context.Context, client, i int) error {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		c := s.callers[client%people]
		r, err := c.Submit(ctx, api.Ask{Resource: resource, Role: quick, Duration: api.FormatDuration(lasts), Reason: "measure"},
			api.Wait{For: api.Ready, Time: 25 * time.Second})
		if err != nil {
			return err
		}
		g, err := show(ctx, c, r)
		if err != nil {
			return err
		}
		x, err := s.connect(ctx, g.credential.Username, g.credential.Password.Reveal())
		if err != nil {
			return err
		}
		defer func() { _ = x.conn.Close() }() // cut by then
		mu.Lock()
		at[g.credential.Username] = g.end
		mu.Unlock()
		names <- g.credential.Username
		var when time.Time
		select {
		case when = <-x.cut:
		case <-ctx.Done():
			return ctx.Err()
		}
		if when.Before(g.end) {
			return fmt.Errorf("the session of %s was cut %s before its end", r.ID, g.end.Sub(when))
		}
		r, err = c.WaitFor(ctx, r.ID, api.Ended, nil)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		cut = append(cut, when.Sub(g.end))
		verified = append(verified, r.Grant.VerifiedGoneAt.Sub(r.Grant.ExpiresAt.Time))
		return nil
	})
	if err != nil {
		return err
	}
	seen := <-gone
	if seen.err != nil {
		return seen.err
	}
	var left sample
	for name, when := range seen.at {
		left = append(left, when.Sub(at[name]))
	}
	bare, err := b.terminateOne(ctx, s)
	if err != nil {
		return err
	}
	const goal = 100 * time.Millisecond
	for _, x := range []struct {
		what string
		s    sample
		bare string
	}{{"session cut", cut, pair(bare)}, {"account gone", left, ""}, {"verified, as Stint says", verified, ""}} {
		b.add(row{name: "a single expiry: " + x.what + " p50 / p99", n: group(len(x.s)), bare: x.bare, stint: pair(x.s), goal: "p99 ≤ 100 ms", met: reached(x.s.p99() <= goal)})
	}
	return nil
}

// terminateOne ends single sessions by the bare statement.
func (b *bench) terminateOne(ctx context.Context, s *scene) (sample, error) {
	var all sample
	for range b.single {
		one, err := b.terminate(ctx, s, 1)
		if err != nil {
			return nil, err
		}
		all = append(all, one...)
	}
	return all, nil
}
