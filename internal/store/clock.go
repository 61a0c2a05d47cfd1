package store

import (
	"sync"
	"time"
)

// clock turns readings of a clock that may be set back into a time that never
// goes back. While it is ahead of its source it runs at half speed: standing
// still would keep grants alive, and going back would revive them.
type clock struct {
	mu   sync.Mutex
	last time.Time // the latest time given
	rest time.Duration
	host time.Time // the host's clock at that moment, with its monotonic reading
}

// at gives the time for a reading. host is the host's clock, which measures how
// much time passed since the last reading even when the source was set back.
func (c *clock) at(reading, host time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	reading = reading.UTC().Truncate(time.Millisecond)
	if c.last.IsZero() || !reading.Before(c.last) {
		c.last, c.rest = reading, 0
	} else if passed := host.Sub(c.host); passed > 0 {
		c.rest += passed / 2
		whole := c.rest.Truncate(time.Millisecond)
		c.last, c.rest = c.last.Add(whole), c.rest-whole
	}
	c.host = host
	return c.last
}

// notBefore sets a time known from before the start.
func (c *clock) notBefore(mark, host time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if mark.After(c.last) {
		c.last, c.host = mark, host
	}
}

// mark is the latest time given.
func (c *clock) mark() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}
