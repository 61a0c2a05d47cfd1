package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stint/internal/api"
)

// expiry measures how long access lives on after its end.
func (b *bench) expiry(ctx context.Context, s *scene) error {
	if err := b.oneByOne(ctx, s); err != nil {
		return err
	}
	for _, n := range b.many {
		e, err := b.together(ctx, s, n, false)
		if err != nil {
			return fmt.Errorf("%d together: %w", n, err)
		}
		r := row{name: fmt.Sprintf("%s expire at once: account gone p50 / p99 / last", group(n)), n: group(n),
			stint: fmt.Sprintf("%s / %s", pair(e.gone), ms(e.gone.max()))}
		if within, ok := map[int]time.Duration{1000: 500 * time.Millisecond, 10000: 4 * time.Second}[n]; ok {
			r.goal, r.met = "p99 ≤ "+within.String(), reached(e.gone.p99() <= within)
		}
		b.add(r)
		b.say("   verified, as Stint says: p50 / p99 %s", pair(e.verified))
	}
	for _, n := range b.open {
		if err := b.withSessions(ctx, s, n); err != nil {
			return fmt.Errorf("%d together, with sessions: %w", n, err)
		}
	}
	return nil
}

// withSessions compares with one statement that ends the same number of
// sessions, before and after.
func (b *bench) withSessions(ctx context.Context, s *scene, n int) error {
	before, err := b.terminate(ctx, s, n)
	if err != nil {
		return err
	}
	e, err := b.together(ctx, s, n, true)
	if err != nil {
		return err
	}
	after, err := b.terminate(ctx, s, n)
	if err != nil {
		return err
	}
	bare := (before.max() + after.max()) / 2
	name := fmt.Sprintf("%s expire at once, a session each: ", group(n))
	b.add(row{name: name + "session cut p50 / p99", n: group(n), bare: fmt.Sprintf("last %s, %s", ms(before.max()), ms(after.max())),
		stint: pair(e.cut), ratio: times(e.cut.p99(), bare)})
	last := max(e.cut.p99(), e.gone.p99(), e.verified.p99())
	r := row{name: name + "gone / gone and verified p99", n: group(n), bare: fmt.Sprintf("last %s, %s", ms(before.max()), ms(after.max())),
		stint: ms(e.gone.p99()) + " / " + ms(e.verified.p99()), ratio: times(last, bare)}
	if n == 1000 {
		r.goal, r.met = "≤ 1.5 × bare", reached(float64(last) <= 1.5*float64(bare))
	}
	b.add(r)
	return nil
}

// ended is how long after the promised end each thing was over.
type ended struct {
	cut      sample // as the client sees it
	gone     sample // as pg_authid shows it
	verified sample // as Stint says
}

// together lets n grants end at the very same moment.
func (b *bench) together(ctx context.Context, s *scene, n int, connect bool) (ended, error) {
	var e ended
	set, err := b.prepare(ctx, s, n, connect)
	if err != nil {
		return e, err
	}
	open := &sessions{}
	defer open.close()
	if connect {
		if err := b.connectAll(ctx, s, set, open); err != nil {
			return e, err
		}
	}
	if left := time.Until(set.end); left < time.Second {
		return e, fmt.Errorf("setting up took %s too long; raise -slack", time.Second-left)
	}
	limit, cancel := context.WithTimeout(ctx, time.Until(set.end)+2*time.Minute)
	defer cancel()
	if e.gone, err = s.watchGone(limit, n, set.end, poll(n)); err != nil {
		return e, err
	}
	if e.cut, err = open.wait(limit, set.end); err != nil {
		return e, err
	}
	e.verified, err = set.verified(limit, s)
	return e, err
}

// poll is how often the target is asked for n accounts: often, and not so that
// asking becomes the load.
func poll(n int) time.Duration {
	switch {
	case n <= 100:
		return 2 * time.Millisecond
	case n <= 1000:
		return 10 * time.Millisecond
	}
	return 25 * time.Millisecond
}

// bells are grants that end together.
type bells struct {
	end      time.Time
	requests []string // of caller i % people
}

// prepare asks for n grants that all begin, and all end, at one moment. It
// returns when all accounts are there.
func (b *bench) prepare(ctx context.Context, s *scene, n int, connect bool) (*bells, error) {
	seconds := func(x float64) time.Duration { return time.Duration(b.slack * x * float64(time.Second)) }
	asked, begun, busy := 250.0, 100.0, 1.0 // how many a second there is time for, and how long what was before goes on
	if b.store == "postgres" {
		asked, begun, busy = 75, 40, 8
	}
	start := time.Now().Add(seconds(busy + float64(n)/asked)).Truncate(time.Second).Add(time.Second)
	lasts := seconds(4 + float64(n)/begun)
	if connect {
		lasts += seconds(1 + float64(n)/60)
	}
	lasts = lasts.Round(time.Second)
	set := &bells{end: start.Add(lasts), requests: make([]string, n)}
	err := share(ctx, people, n, func(ctx context.Context, _, i int) error {
		r, err := s.callers[i%people].Submit(ctx, api.Ask{Resource: resource, Role: bell, Duration: api.FormatDuration(lasts),
			Reason: "measure", Start: api.At(start).String()}, api.Wait{})
		if err == nil && r.Grant == nil {
			err = fmt.Errorf("%s was not granted: %s %v", r.ID, r.State, r.Decision.Reasons)
		}
		set.requests[i] = r.ID
		return err
	})
	if err != nil {
		return nil, err
	}
	b.say("   %d asked, %s before they begin", n, time.Until(start).Round(time.Millisecond))
	if err := s.wait(ctx, n, set.end); err != nil {
		return nil, err
	}
	b.say("   %d accounts %s after they were to begin, %s before they end", n, time.Since(start).Round(time.Millisecond), time.Until(set.end).Round(time.Millisecond))
	return set, nil
}

// connectAll opens a session with the credential of each grant.
func (b *bench) connectAll(ctx context.Context, s *scene, set *bells, open *sessions) error {
	return share(ctx, 8, len(set.requests), func(ctx context.Context, _, i int) error {
		c := s.callers[i%people]
		r, err := c.WaitFor(ctx, set.requests[i], api.Ready, nil)
		if err != nil {
			return err
		}
		g, err := show(ctx, c, r)
		if err != nil {
			return err
		}
		if !g.end.Equal(set.end) {
			return fmt.Errorf("%s ends at %s, not at %s", r.ID, g.end, set.end)
		}
		x, err := s.connect(ctx, g.credential.Username, g.credential.Password.Reveal())
		if err != nil {
			return err
		}
		open.add(x)
		return nil
	})
}

// verified collects what Stint says of the end of each grant.
func (set *bells) verified(ctx context.Context, s *scene) (sample, error) {
	all := make(sample, len(set.requests))
	return all, share(ctx, people, len(set.requests), func(ctx context.Context, _, i int) error {
		r, err := s.callers[i%people].WaitFor(ctx, set.requests[i], api.Ended, nil)
		if err != nil {
			return err
		}
		if r.Grant.State != api.GrantEnded || r.Grant.VerifiedGoneAt.IsZero() {
			return fmt.Errorf("%s is %s", r.ID, r.Grant.State)
		}
		all[i] = r.Grant.VerifiedGoneAt.Sub(r.Grant.ExpiresAt.Time)
		return nil
	})
}

// terminate is the bare way: one statement that ends n sessions. It gives the
// time from sending it to the end of each session, as its client sees it.
func (b *bench) terminate(ctx context.Context, s *scene, n int) (cut sample, err error) {
	side, err := s.bare(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, side.close()) }()
	names, passwords := make([]string, n), make([]string, n)
	for i := range n {
		names[i] = fmt.Sprintf("bare_session_%d", i)
		if passwords[i], err = side.create(ctx, 0, names[i], 1); err != nil {
			return nil, err
		}
	}
	open := &sessions{}
	defer open.close()
	err = share(ctx, 8, n, func(ctx context.Context, _, i int) error {
		x, err := s.connect(ctx, names[i], passwords[i])
		if err == nil {
			open.add(x)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	begin := time.Now()
	if _, err := side.conns[0].PgConn().Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'bare\_session\_%'`).ReadAll(); err != nil {
		return nil, err
	}
	if cut, err = open.wait(limit, begin); err != nil {
		return cut, err
	}
	return cut, side.drop(ctx, names)
}
