package gateway

import "time"

// Clock reads both clocks of this process.
type Clock interface{ Now() Instant }

// SystemClock is the clock of this machine. Make it with NewSystemClock.
type SystemClock struct{ start time.Time }

// NewSystemClock starts to count.
func NewSystemClock() SystemClock { return SystemClock{time.Now()} }

// Now reads it.
func (c SystemClock) Now() Instant {
	t := time.Now()
	return Instant{Wall: t.Round(0), Mono: t.Sub(c.start)}
}
