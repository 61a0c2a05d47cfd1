// Package moment writes points in time, and the spans between them, as people read
// them: in tables, pages, messages and errors. What programs read has formats of its
// own, RFC 3339 and api.FormatDuration, and never comes from here. Nothing here reads
// a clock.
package moment

import (
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Span writes a length of time so that it can be typed in again: "20s", "1h30m",
// "36h", "14d", "9d12h". It is exact, so that what is over a bound reads as over it; a
// measured time is rounded by who measured it.
func Span(d time.Duration) string {
	if n := d / day; d > day && d%day == 0 || d > 2*day {
		text := strconv.FormatInt(int64(n), 10) + "d"
		if rest := d % day; rest > 0 {
			text += short(rest)
		}
		return text
	}
	return short(d)
}

// short is Go's form without the units that are zero.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Rough says a length of time as people do, to the nearest of its unit: "20 s",
// "45 min", "2 h", "14 days".
func Rough(d time.Duration) string {
	d = d.Abs()
	for _, unit := range []struct {
		below, size time.Duration
		word        string
	}{
		{91 * time.Second, time.Second, " s"}, {91 * time.Minute, time.Minute, " min"}, {2 * day, time.Hour, " h"},
	} {
		if round := d.Round(unit.size); round < unit.below {
			return strconv.FormatInt(int64(round/unit.size), 10) + unit.word
		}
	}
	return strconv.FormatInt(int64(d.Round(day)/day), 10) + " days"
}

// Ago says when t is, seen from now: "3 min ago", "in 2 h". The zero time is "–".
func Ago(t, now time.Time) string {
	switch {
	case t.IsZero():
		return "–"
	case t.After(now):
		return "in " + Rough(t.Sub(now))
	}
	return Rough(now.Sub(t)) + " ago"
}

// At writes a point in time that readers in several zones share, to the minute.
func At(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
