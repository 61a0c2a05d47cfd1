package agent

import "time"

// Clock tells the time by two clocks that fail in different ways.
type Clock struct {
	// Wall is the clock that people and servers agree on, and that somebody may set.
	Wall func() time.Time
	// Boot is how long the host has been up, sleep included, and which of its lives
	// this is. Nobody can set it; it tells nothing about other lives.
	Boot func() (life string, up time.Duration)
}

// deadline is a moment by both clocks.
type deadline struct {
	At   time.Time     `json:"at"`
	Life string        `json:"life,omitempty"`
	Up   time.Duration `json:"up,omitempty"`
}

// deadline is a moment of the wall clock as it is told now.
func (c Clock) deadline(at, now time.Time) deadline {
	life, up := c.Boot()
	return deadline{At: at.UTC(), Life: life, Up: up + at.Sub(now)}
}

// left is how long there is until then, by whichever clock is further on. floor is a
// time that it certainly is: the wall clock of a host that was down may have lost it.
func (c Clock) left(d deadline, floor time.Time) time.Duration {
	now := c.Wall()
	if floor.After(now) {
		now = floor
	}
	left := d.At.Sub(now)
	if life, up := c.Boot(); life == d.Life && life != "" {
		left = min(left, d.Up-up)
	}
	return left
}
