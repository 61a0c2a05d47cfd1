//go:build stintclock

package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// bend lets a test set the clock that the store takes for the authority: the file
// that STINT_TEST_CLOCK names says by how much it is ahead, like 1h or -90s. A
// program built with this tag is for tests alone and says so when it starts.
func bend() func(time.Time) time.Time {
	path := os.Getenv("STINT_TEST_CLOCK")
	if path == "" {
		return nil
	}
	fmt.Fprintln(os.Stderr, "stintd: built with stintclock: the clock is that of "+path+", for tests only")
	return func(wall time.Time) time.Time {
		text, err := os.ReadFile(path)
		if err != nil {
			return wall
		}
		d, err := time.ParseDuration(strings.TrimSpace(string(text)))
		if err != nil {
			return wall
		}
		return wall.Add(d)
	}
}
