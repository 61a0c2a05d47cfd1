package store

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is the time since the host's boot, suspended time included: Go's own
// monotonic clock stops while the host sleeps, and a grant does not. Nobody can
// set it; clock_settime(2) refuses.
func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("store: no monotonic clock: " + err.Error()) // Linux has it since 2.6.39
	}
	return time.Duration(ts.Nano())
}

// bootID names this boot of the host; containers of one host share it, as they
// do its clocks. Empty where it cannot be read: a restart then has no bound.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
