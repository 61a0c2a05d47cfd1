package policy

import (
	"strconv"
	"strings"
	"time"

	"stint/internal/moment"
)

// parseSpan reads a positive duration: Go's notation ("90s", "1h30m"), and days
// in front ("7d", "1d12h").
func parseSpan(s string) (time.Duration, bool) {
	var days time.Duration
	rest := s
	if d, r, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(d, 10, 16)
		if err != nil {
			return 0, false
		}
		days, rest = time.Duration(n)*24*time.Hour, r
		if rest == "" {
			return days, days > 0
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d <= 0 || strings.ContainsAny(rest, "+-") {
		return 0, false
	}
	return days + d, days+d > 0
}

// span writes a duration so that parseSpan reads it.
func span(d time.Duration) string { return moment.Span(d) }
