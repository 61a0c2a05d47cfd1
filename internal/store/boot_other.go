//go:build !linux

package store

import "time"

var started = time.Now()

// monotonic is the time since the process began, by Go's monotonic clock.
func monotonic() time.Duration { return time.Since(started) }

// bootID is not known here: a restart has no bound.
func bootID() string { return "" }
