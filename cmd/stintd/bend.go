//go:build !stintclock

package main

import "time"

// bend is nothing: the time is what the database or the host says. Only a
// program built for tests with the tag stintclock has another one.
func bend() func(time.Time) time.Time { return nil }
