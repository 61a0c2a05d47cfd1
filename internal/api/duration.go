package api

import (
	"strconv"
	"strings"
	"time"

	"stint/internal/moment"
)

// MaxDuration is the longest duration that can be written: no right that is
// meant to end lasts longer than a year.
const MaxDuration = 366 * 24 * time.Hour

// units are in the order in which a duration names them.
var units = [...]struct {
	letter byte
	size   time.Duration
}{
	{'d', 24 * time.Hour}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second},
}

// ParseDuration reads a duration of whole seconds: numbers with the units d,
// h, m and s, from large to small, each at most once: "20s", "90m", "1h30m",
// "2d". It refuses zero, signs, fractions, anything over MaxDuration, and
// whatever else there is, with an *Error of kind Invalid.
//
// Go's own parser would take "1e3", "+5s" and "1h1h", which nobody means.
func ParseDuration(s string) (time.Duration, error) {
	if s == "" {
		return 0, badDuration("no duration given", "")
	}
	var sum time.Duration
	next := 0 // units before this index were used, or skipped
	for rest := s; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 {
			return 0, notDuration(s, rest)
		}
		if digits == len(rest) {
			return 0, badDuration(quoted(s)+" has no unit at its end", "write "+clip(s)+"s for seconds, "+clip(s)+"m for minutes")
		}
		at := -1
		for i := next; i < len(units); i++ {
			if units[i].letter == rest[digits] {
				at = i
			}
		}
		if at < 0 || strings.HasPrefix(rest[digits:], "ms") {
			return 0, notDuration(s, rest[digits:])
		}
		// Nine digits hold MaxDuration in seconds and cannot overflow.
		number := strings.TrimLeft(rest[:digits], "0")
		if len(number) > 9 {
			return 0, tooLong(s)
		}
		n, _ := strconv.ParseInt("0"+number, 10, 64)
		if time.Duration(n) > (MaxDuration-sum)/units[at].size {
			return 0, tooLong(s)
		}
		sum += time.Duration(n) * units[at].size
		next, rest = at+1, rest[digits+1:]
	}
	if sum == 0 {
		return 0, badDuration("a duration of zero gives nothing", "")
	}
	return sum, nil
}

// Span is a duration of the wire as people read it: "14d" for "336h". What is none stays
// as it is.
func Span(wire string) string {
	d, err := ParseDuration(wire)
	if err != nil {
		return wire
	}
	return moment.Span(d)
}

// FormatDuration gives the shortest text: "1h", "1h30m", "1m30s". Hours are
// its largest unit, so that Go's parser reads it too.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func badDuration(message, next string) *Error {
	if next == "" {
		next = "write it like 20s, 90m, 1h30m or 2d"
	}
	return &Error{Kind: Invalid, Code: "bad-duration", Message: message, Next: next}
}

func tooLong(s string) *Error {
	return &Error{Kind: Invalid, Code: "duration-too-long", Message: quoted(s) + " is too long",
		Why: "no duration is longer than 366d", Next: "write it like 20s, 90m, 1h30m or 2d"}
}

// notDuration says at which part of s the reading stopped, and why.
func notDuration(s, rest string) *Error {
	e := badDuration(quoted(s)+" is not a duration", "")
	switch c := rest[0]; {
	case c == '-' || c == '+':
		e.Why = "it has a sign"
	case c == '.' || c == ',':
		e.Why = "fractions are not understood; 1.5h is 1h30m"
	case strings.HasPrefix(rest, "ms") || strings.HasPrefix(rest, "us") || strings.HasPrefix(rest, "ns"):
		e.Why = "its smallest unit is the second"
	case strings.IndexByte("dhms", c) >= 0:
		e.Why = "units go from large to small, each at most once, after a number"
	default:
		e.Why = "the units are d, h, m and s"
	}
	return e
}

// clip keeps a number that nobody will read to its end from filling a line.
func clip(s string) string {
	if len(s) > 12 {
		return "…"
	}
	return s
}
