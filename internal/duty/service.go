package duty

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/oncall"
)

// Schedule is one that is kept elsewhere.
type Schedule struct {
	Name   string
	Place  Place         // without its secret
	MaxAge time.Duration // how old an answer may be that counts
	Age    time.Duration // of the last good one; below zero: there is none
	Now    time.Time     // by the clock that decides
}

// Memory knows the schedules, opens what their integrations sign in with, and keeps what
// was found out.
type Memory interface {
	Schedules(ctx context.Context) ([]Schedule, error)
	Secret(ctx context.Context, schedule string) (access.Secret, error)
	// Keep takes what was found out, for the time from from until until; or, with a
	// problem, that it could not be.
	Keep(ctx context.Context, schedule string, shifts []oncall.Shift, from, until time.Time, problem error) error
}

// The pace of asking. A schedule is asked four times within what its answers count for.
const (
	lookEvery  = 5 * time.Second
	leastEvery = 30 * time.Second
	mostEvery  = 5 * time.Minute
	readWithin = 30 * time.Second
	firstWait  = 10 * time.Second // after a failure; doubled each time
	mostWait   = 2 * time.Minute
)

// What is asked for: a month back, for votes that were cast then and are counted again at a
// late start, and a week ahead, for as long as requests wait.
const (
	Back  = 32 * 24 * time.Hour
	Ahead = 8 * 24 * time.Hour
)

// Service asks.
type Service struct {
	Memory Memory
	HTTP   *http.Client
	Log    *slog.Logger

	mu    sync.Mutex
	fails map[string]int       // in a row, by schedule
	wait  map[string]time.Time // not asked before, by the host's clock
}

// Run asks until ctx is done.
func (s *Service) Run(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		s.Look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Look asks for every schedule whose time has come, all at once, so that one that does not
// answer makes no other old.
func (s *Service) Look(ctx context.Context) {
	all, err := s.Memory.Schedules(ctx)
	if err != nil {
		return // the store is away, of which others tell
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, x := range all {
		if s.due(x) {
			wg.Go(func() { s.ask(ctx, x) })
		}
	}
}

func (s *Service) due(x Schedule) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	every := min(max(x.MaxAge/4, leastEvery), mostEvery)
	return (x.Age < 0 || x.Age >= every || s.fails[x.Name] > 0) && !time.Now().Before(s.wait[x.Name])
}

func (s *Service) ask(ctx context.Context, x Schedule) {
	reading, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	from, until := x.Now.Add(-Back).Truncate(time.Second), x.Now.Add(Ahead).Truncate(time.Second)
	secret, err := s.Memory.Secret(reading, x.Name)
	var shifts []oncall.Shift
	if err == nil {
		x.Place.Secret = secret
		shifts, err = Read(reading, s.HTTP, x.Place, from, until)
	}
	if ctx.Err() != nil {
		return // we stop
	}
	s.settle(x.Name, err)
	keeping, stop := context.WithTimeout(ctx, readWithin) // its own time: that asking took too long is to be kept, too
	defer stop()
	if keep := s.Memory.Keep(keeping, x.Name, shifts, from, until, err); keep != nil && ctx.Err() == nil {
		s.Log.Warn("who is on call is not kept", "schedule", x.Name, "error", keep)
	}
}

// settle decides when the schedule is asked next.
func (s *Service) settle(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails == nil {
		s.fails, s.wait = map[string]int{}, map[string]time.Time{}
	}
	if err == nil {
		delete(s.fails, name)
		delete(s.wait, name)
		return
	}
	if s.fails[name]++; s.fails[name] == 1 {
		s.Log.Warn("who is on call cannot be found out; it is asked again", "schedule", name, "error", err)
	}
	wait := min(firstWait<<min(s.fails[name]-1, 10), mostWait)
	var later *Later
	if errors.As(err, &later) {
		wait = max(later.After, time.Second)
	}
	s.wait[name] = time.Now().Add(wait)
}
