package apiserver

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"stint/internal/access"
)

// maxBuckets bounds the memory of rates. When it is full, those that have
// filled up again are forgotten, which changes nothing for anybody.
const maxBuckets = 10_000

// rates holds one token bucket for each name: a principal, an address.
type rates struct {
	perSecond rate.Limit
	burst     int
	now       func() time.Time

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

func newRates(perSecond float64, burst int, now func() time.Time) *rates {
	return &rates{perSecond: rate.Limit(perSecond), burst: burst, now: now, buckets: map[string]*rate.Limiter{}}
}

// take uses up one call of name's.
func (r *rates) take(name string) error {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.buckets[name]
	if b == nil {
		if len(r.buckets) >= maxBuckets {
			r.forget(now)
		}
		b = rate.NewLimiter(r.perSecond, r.burst)
		r.buckets[name] = b
	}
	if b.AllowN(now, 1) {
		return nil
	}
	return tooMany()
}

func (r *rates) forget(now time.Time) {
	for name, b := range r.buckets {
		if b.TokensAt(now) >= float64(r.burst) {
			delete(r.buckets, name)
		}
	}
	if len(r.buckets) >= maxBuckets { // so many at once is an attack; begin anew
		clear(r.buckets)
	}
}

// room counts what is going on at a time.
type room struct {
	most int64
	used atomic.Int64
}

// enter takes a place, if there is one; whoever got one must leave.
func (r *room) enter() bool {
	if r.used.Add(1) > r.most {
		r.used.Add(-1)
		return false
	}
	return true
}

func (r *room) leave() { r.used.Add(-1) }

// shares counts what is going on at a time for each name, so that one cannot
// take all the room there is.
type shares struct {
	most int64

	mu   sync.Mutex
	used map[string]int64
}

// enter takes a place of name's, if there is one; whoever got one must leave.
func (s *shares) enter(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[name] >= s.most {
		return false
	}
	if s.used == nil {
		s.used = map[string]int64{}
	}
	s.used[name]++
	return true
}

func (s *shares) leave(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[name]--; s.used[name] <= 0 {
		delete(s.used, name)
	}
}

func busy() error {
	return access.Fail(access.Unavailable, "busy", "the server has too much to do just now").Try("try again in a moment")
}
