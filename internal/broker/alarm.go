package broker

import (
	"context"
	"sync"
	"time"
)

// alarm wakes one loop at the next moment at which something is due. Setting it
// can only move it earlier: a wake that moved it later would let a stream of
// far-off grants starve a near one. It is a hint; rows decide what is due.
type alarm struct {
	mu   sync.Mutex
	at   time.Time // zero: not set
	ring chan struct{}
	t    *time.Timer // of the one loop that waits; nil before it does
}

func newAlarm() *alarm { return &alarm{ring: make(chan struct{}, 1)} }

// set moves the alarm to t if that is earlier than what it is set to.
func (a *alarm) set(t time.Time) {
	if t.IsZero() {
		return
	}
	a.mu.Lock()
	earlier := a.at.IsZero() || t.Before(a.at)
	if earlier {
		a.at = t
	}
	a.mu.Unlock()
	if earlier {
		select {
		case a.ring <- struct{}{}:
		default:
		}
	}
}

// clear unsets the alarm; the loop does so before it looks at the rows, so that
// a set which comes while it looks is not lost.
func (a *alarm) clear() {
	a.mu.Lock()
	a.at = time.Time{}
	a.mu.Unlock()
}

// wait sleeps until the alarm's time, or for backstop, or until ctx ends. now is
// what the store's clock said at the host's moment looked.
func (a *alarm) wait(ctx context.Context, now, looked time.Time, backstop time.Duration) {
	for {
		a.mu.Lock()
		at := a.at
		a.mu.Unlock()
		left := backstop
		if !at.IsZero() {
			left = min(left, at.Sub(now))
		}
		left -= time.Since(looked)
		if left <= 0 {
			return
		}
		if a.t == nil {
			a.t = time.NewTimer(left)
		} else {
			a.t.Reset(left)
		}
		select {
		case <-ctx.Done():
			return
		case <-a.t.C:
			return
		case <-a.ring:
		}
	}
}
