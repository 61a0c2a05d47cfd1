package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"stint/internal/api"
	"stint/test/evidence"
)

// A soak keeps stintd under an even load for a long time and looks for what grows.
const (
	soakClients = 6
	soakLasts   = 5 * time.Second // each grant
	soakEvery   = 2 * time.Second // between samples
)

// level is one sample of what must not grow.
type level struct {
	at                           time.Duration
	goroutines, descriptors, rss float64
}

// watched are the levels, each with how much of it may come and go.
var watched = []struct {
	name, unit string
	of         func(level) float64
	slack      float64
}{
	{"goroutines", "", func(l level) float64 { return l.goroutines }, 20},
	{"file descriptors", "", func(l level) float64 { return l.descriptors }, 10},
	{"resident memory", "MB", func(l level) float64 { return l.rss }, 8},
}

// soak fails when the last third of the time has more of something than the
// first third after the beginning, by a tenth and by more than comes and goes.
func (b *bench) soak(ctx context.Context, s *scene) error {
	result := evidence.New("soak", "soak", fmt.Sprintf("make soak MINUTES=%.0f STORE=%s", b.soakFor.Minutes(), b.store))
	result.Invariants = []string{"I-36", "I-03"}
	idle, err := sampleLevel(ctx, s, 0)
	if err != nil {
		return err
	}
	b.say("soak for %s: %d clients, grants of %s", b.soakFor, soakClients, soakLasts)
	var granted atomic.Int64
	load, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, soakClients)
	for c := range soakClients {
		go func() { failed <- s.keepAsking(load, c, &granted) }()
	}
	var all []level
	began := time.Now()
	for time.Since(began) < b.soakFor {
		if err := pause(ctx, soakEvery); err != nil {
			return err
		}
		l, err := sampleLevel(ctx, s, time.Since(began))
		if err != nil {
			return err
		}
		if all = append(all, l); len(all)%15 == 0 {
			b.say("   %s: %d grants, %.0f goroutines, %.0f descriptors, %.1f MB", l.at.Round(time.Second), granted.Load(), l.goroutines, l.descriptors, l.rss)
		}
	}
	stop()
	for range soakClients {
		if err := <-failed; err != nil {
			return err
		}
	}
	if err := s.oracle.Clean(ctx, soakLasts+30*time.Second); err != nil {
		return err
	}
	if err := rest(ctx, s.Pid()); err != nil {
		return err
	}
	after, err := sampleLevel(ctx, s, time.Since(began))
	if err != nil {
		return err
	}
	result.Count("grants made and ended", float64(granted.Load()), "")
	result.Count("minutes", b.soakFor.Minutes(), "")
	for _, w := range watched {
		first, last := thirds(all, w.of)
		slope := perHour(all, w.of)
		may := max(w.slack, first/10)
		result.Goal(w.name+", growth from the first to the last third", last-first, w.unit, fmt.Sprintf("<= %.0f", may), last-first <= may,
			fmt.Sprintf("%.1f to %.1f, %+.1f per hour; idle %.1f before, %.1f after", first, last, slope, w.of(idle), w.of(after)))
		b.add(row{name: "soak, " + w.name + ": first third → last third", n: group(len(all)), bare: fmt.Sprintf("idle %.0f before, %.0f after", w.of(idle), w.of(after)),
			stint: fmt.Sprintf("%.1f → %.1f %s, %+.1f an hour", first, last, w.unit, slope), goal: fmt.Sprintf("growth ≤ %.0f", may), met: reached(last-first <= may)})
		if last-first > may {
			result.Violated = append(result.Violated, fmt.Sprintf("%s grew from %.1f to %.1f", w.name, first, last))
		}
	}
	if extra := after.goroutines - idle.goroutines; extra > 20 {
		result.Violated = append(result.Violated, fmt.Sprintf("%.0f goroutines more after the load than before", extra))
	}
	result.Passed = len(result.Violated) == 0
	if err := result.Write(b.evidence); err != nil {
		return err
	}
	if !result.Passed {
		return errors.New("something grows: " + strings.Join(result.Violated, "; "))
	}
	return nil
}

// keepAsking is one client of the load: short grants, some of which are given back,
// and a look at the own requests now and then.
func (s *scene) keepAsking(ctx context.Context, c int, granted *atomic.Int64) error {
	caller := s.callers[c%people]
	for n := 0; ctx.Err() == nil; n++ {
		r, err := caller.Submit(ctx, api.Ask{Resource: resource, Role: quick, Duration: api.FormatDuration(soakLasts), Reason: "soak"},
			api.Wait{For: api.Ready, Time: 25 * time.Second})
		if err == nil {
			_, err = show(ctx, caller, r)
		}
		if err == nil && n%3 == 0 {
			_, err = caller.End(ctx, r.ID)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		granted.Add(1)
		if pause(ctx, 100*time.Millisecond) != nil {
			return nil
		}
	}
	return nil
}

func sampleLevel(ctx context.Context, s *scene, at time.Duration) (l level, err error) {
	l.at = at
	if l.goroutines, err = metric(ctx, s.URL, "stint_goroutines"); err != nil {
		return l, err
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Pid()))
	if err != nil {
		return l, err
	}
	l.descriptors = float64(len(open))
	l.rss, _ = resident(s.Pid())
	return l, nil
}

// thirds are the medians of the first and the last third, after a sixth of the
// time in which caches fill.
func thirds(all []level, of func(level) float64) (first, last float64) {
	all = all[len(all)/6:]
	n := max(len(all)/3, 1)
	return median(all[:n], of), median(all[len(all)-n:], of)
}

func median(all []level, of func(level) float64) float64 {
	values := make([]float64, len(all))
	for i, l := range all {
		values[i] = of(l)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// perHour is the slope of the line through the samples, by least squares.
func perHour(all []level, of func(level) float64) float64 {
	all = all[len(all)/6:]
	var sx, sy, sxx, sxy float64
	for _, l := range all {
		x, y := l.at.Hours(), of(l)
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	n := float64(len(all))
	if d := n*sxx - sx*sx; d > 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}
