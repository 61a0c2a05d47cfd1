package policy

import (
	"strconv"
	"strings"
	"time"
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

// span writes a duration without the units that are zero, and several whole days
// as days: "1h", not "1h0m0s"; "30d", not "720h".
func span(d time.Duration) string {
	if day := 24 * time.Hour; d > day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
