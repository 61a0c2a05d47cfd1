package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// ends lets very many grants end at one instant, on targets that all answer.
func (s *storm) ends(ctx context.Context) error {
	sizes := slices.DeleteFunc(slices.Clone(s.smaller), func(n int) bool { return n >= s.most })
	for _, n := range append(sizes, s.most) {
		x, err := s.endTogether(ctx, n, min(s.places, n), 0)
		if err != nil {
			return err
		}
		x.report(s, fmt.Sprintf("%s end at one instant on %d places: ", group(n), min(s.places, n)))
	}
	return nil
}

// withDead is the same storm with and without places that are dead.
func (s *storm) withDead(ctx context.Context) error {
	n := s.most / 10
	before, err := s.endTogether(ctx, n, s.places, 0)
	if err != nil {
		return err
	}
	dead, err := s.endTogether(ctx, n, s.places, s.dead)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s end on %d places, %d of them dead: ", group(n), s.places, s.dead)
	s.figure(name+"without the dead, last at a healthy place", before.last.Seconds(), "s", "", false)
	s.figure(name+"last at a healthy place", dead.last.Seconds(), "s", "", false)
	ratio := dead.last.Seconds() / before.last.Seconds()
	s.figure(name+"ratio", ratio, "x", "<= 1.1", ratio <= 1.1)
	s.figure(name+"the dead places' own, once they answer again", dead.revived.Seconds(), "s", "", false)
	return nil
}

// ended is how long after the instant things were over.
type ended struct {
	gone           []time.Duration // accounts at places that answer
	last           time.Duration
	recorded       time.Duration // until the store knows that all are gone
	revived        time.Duration // from the dead places' return to their last account gone
	rested, most   float64       // MB, before and during
	cpu            time.Duration
	load           load // of the database server, until all was recorded
	places, grants int
}

func (x ended) report(s *storm, name string) {
	s.figure(name+"account gone p50", quantile(x.gone, 0.5).Seconds(), "s", "", false)
	goal, met := "", false
	if x.grants >= 100_000 {
		goal, met = "<= 120 s", x.last <= 120*time.Second
	}
	s.figure(name+"account gone p99", quantile(x.gone, 0.99).Seconds(), "s", "", false)
	s.figure(name+"last account gone", x.last.Seconds(), "s", goal, met)
	s.figure(name+"all recorded", x.recorded.Seconds(), "s", "", false)
	s.figure(name+"processor time for each", float64(x.cpu.Microseconds())/1000/float64(x.grants), "ms", "", false)
	if x.load.commits > 0 {
		s.figure(name+"processor time of the database server for each", float64(x.load.cpu.Microseconds())/1000/float64(x.grants), "ms", "", false)
		s.figure(name+"transactions for each", float64(x.load.commits+x.load.rollbacks)/float64(x.grants), "", "", false)
		s.figure(name+"transactions taken back for each", float64(x.load.rollbacks)/float64(x.grants), "", "", false)
	}
	s.figure(name+"memory before", x.rested, "MB", "", false)
	s.figure(name+"most memory", x.most, "MB", "", false)
}

func (s *storm) endTogether(ctx context.Context, n, places, dead int) (x ended, err error) {
	h, err := newHouse(ctx, s.store, places, s.delay, s.costs != "")
	if err != nil {
		return x, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	x.places, x.grants = places, n
	// The filling takes a third of this on a machine that does nothing else.
	end := time.Now().Add(5*time.Second + time.Duration(s.slack*float64(n))*s.fillTime()).Truncate(time.Second)
	s.say("filling %s grants that end at %s", group(n), end.Format(time.TimeOnly))
	if err := h.fill(ctx, n, 0, places-1, end, true); err != nil {
		return x, err
	}
	for i := range dead {
		h.world.places[address(i)].dead.Store(true)
	}
	if left := time.Until(end); left < time.Second {
		return x, fmt.Errorf("filling took %s too long; raise -slack", time.Second-left)
	}
	s.say("filled %s before the end", time.Until(end).Round(time.Millisecond))
	if err := h.start(ctx); err != nil {
		return x, err
	}
	time.Sleep(time.Until(end) / 2) // the first sweep, and the log's numbers, as far as they get
	debug.FreeOSMemory()
	x.rested = resident()
	most := watchMemory()
	time.Sleep(time.Until(end))
	stop, err := s.profiled()
	if err != nil {
		return x, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	before, err := h.load(ctx)
	if err == nil && s.costs != "" {
		err = h.server.Exec(ctx, "postgres", "SELECT pg_stat_statements_reset()")
	}
	if err != nil {
		return x, err
	}
	used := cpuTime()
	if err := h.gone(ctx, &x, end, dead); err != nil {
		return x, err
	}
	x.cpu = cpuTime() - used
	if dead > 0 {
		now := time.Now()
		for i := range dead {
			h.world.places[address(i)].dead.Store(false)
		}
		if err := until(ctx, "the dead places", 5*time.Millisecond, 2*time.Minute, func() bool { return h.world.left.Load() == 0 }); err != nil {
			return x, err
		}
		x.revived = time.Since(now)
	}
	if x.recorded, err = h.recorded(ctx, end); err != nil {
		return x, err
	}
	x.most = most()
	if s.costs != "" {
		if err := h.writeStatements(ctx, s.costs); err != nil {
			return x, err
		}
	}
	after, err := h.load(ctx)
	x.load = after.since(before)
	return x, err
}

func (s *storm) fillTime() time.Duration {
	if s.store == "postgres" {
		return 2 * time.Millisecond
	}
	return 1500 * time.Microsecond
}

// gone waits until nothing is left at the places that answer.
func (h *house) gone(ctx context.Context, x *ended, end time.Time, dead int) error {
	for i := range x.places {
		if i < dead {
			continue
		}
		p := h.world.places[address(i)]
		if err := until(ctx, "a healthy place", 20*time.Millisecond, 5*time.Minute, func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.accounts) == 0
		}); err != nil {
			return err
		}
	}
	for i := range x.places {
		if i < dead {
			continue
		}
		for _, at := range h.world.places[address(i)].went() {
			x.gone = append(x.gone, at.Sub(end))
			x.last = max(x.last, at.Sub(end))
		}
	}
	return nil
}

// recorded waits until nothing is due any more.
func (h *house) recorded(ctx context.Context, end time.Time) (time.Duration, error) {
	var failed error
	err := until(ctx, "recording", 100*time.Millisecond, 5*time.Minute, func() bool {
		open, err := h.unfinished(ctx)
		failed = err
		return open == 0 || err != nil
	})
	return time.Since(end), errors.Join(err, failed)
}
