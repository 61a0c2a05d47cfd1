package broker

import (
	"sync"
	"time"

	"stint/internal/access"
)

// Stats is what the broker counts, for metrics. Counters start at zero with the
// process.
type Stats struct {
	Events          map[access.EventType]int64
	ProvisionErrors map[string]int64 // by type of target
	Lags            []time.Duration  // from due to verified gone, since the last call
	SweptAt         time.Time
}

type stats struct {
	mu     sync.Mutex
	events map[access.EventType]int64
	errors map[string]int64
	lags   []time.Duration
}

// maxLags bounds what is kept between two calls of Stats.
const maxLags = 10_000

func (s *stats) count(evs []access.Event) {
	if len(evs) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.events == nil {
		s.events = map[access.EventType]int64{}
	}
	for _, e := range evs {
		s.events[e.Type]++
		if lag, err := time.ParseDuration(e.Facts["lag"]); e.Type == access.GrantEnded && err == nil && len(s.lags) < maxLags {
			s.lags = append(s.lags, lag)
		}
	}
}

func (s *stats) provisionError(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.errors == nil {
		s.errors = map[string]int64{}
	}
	s.errors[kind]++
}

// Stats returns the counters, and the removal lags since the last call.
func (b *Broker) Stats() Stats {
	b.seen.mu.Lock()
	defer b.seen.mu.Unlock()
	out := Stats{Events: map[access.EventType]int64{}, ProvisionErrors: map[string]int64{}, Lags: b.seen.lags}
	for k, n := range b.seen.events {
		out.Events[k] = n
	}
	for k, n := range b.seen.errors {
		out.ProvisionErrors[k] = n
	}
	b.seen.lags = nil
	b.sweeps.mu.Lock()
	out.SweptAt = b.sweeps.at
	b.sweeps.mu.Unlock()
	return out
}
