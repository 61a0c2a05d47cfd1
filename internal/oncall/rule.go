package oncall

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rule is a rule of repetition (RFC 5545, section 3.3.10), as far as rotations are made
// of it: daily or weekly, each so many, on days of the week.
type rule struct {
	weekly   bool
	interval int
	count    int       // 0: no end by number
	until    time.Time // zero: none by time
	untilDay bool      // until is a whole day
	days     []time.Weekday
	first    time.Weekday // of a week
}

var weekdays = map[string]time.Weekday{"SU": time.Sunday, "MO": time.Monday, "TU": time.Tuesday, "WE": time.Wednesday,
	"TH": time.Thursday, "FR": time.Friday, "SA": time.Saturday}

func readRule(s string) (*rule, error) {
	r := &rule{interval: 1, first: time.Monday}
	freq := false
	for part := range strings.SplitSeq(s, ";") {
		k, v, _ := strings.Cut(part, "=")
		number := func() (int, error) {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 || n > 10000 {
				return 0, fmt.Errorf("%.40q is not a number from 1 to 10000", v)
			}
			return n, nil
		}
		var err error
		switch strings.ToUpper(k) {
		case "FREQ":
			switch freq = true; strings.ToUpper(v) {
			case "DAILY":
			case "WEEKLY":
				r.weekly = true
			default:
				return nil, fmt.Errorf("only shifts that repeat DAILY or WEEKLY are read, and not %.20q", v)
			}
		case "INTERVAL":
			r.interval, err = number()
		case "COUNT":
			r.count, err = number()
		case "UNTIL":
			var t calTime
			t, err = readTime(property{value: v})
			r.until, r.untilDay = t.at, t.date
		case "BYDAY":
			for d := range strings.SplitSeq(v, ",") {
				w, ok := weekdays[strings.ToUpper(d)]
				if !ok {
					return nil, fmt.Errorf("only days of the week are read, and not %.20q", d)
				}
				r.days = append(r.days, w)
			}
		case "WKST":
			w, ok := weekdays[strings.ToUpper(v)]
			if !ok {
				return nil, fmt.Errorf("%.20q is not a day of the week", v)
			}
			r.first = w
		default:
			return nil, fmt.Errorf("%.20q is not read here", k)
		}
		if err != nil {
			return nil, err
		}
	}
	if !freq {
		return nil, errors.New("it does not say how often")
	}
	return r, nil
}

// maxTurns bounds how many days of a rule are looked at: a hundred years.
const maxTurns = 36600

// times are the beginnings before last, the first one included. They are at the same
// time of day on the clock of the first one's zone.
func (r *rule) times(start, last time.Time) (out []time.Time, err error) {
	// The first day of the week of the first one; weeks are counted from there.
	back := (int(start.Weekday()) - int(r.first) + 7) % 7
	n := 0
	for i := 0; ; i++ {
		at := start.AddDate(0, 0, i)
		switch {
		case !at.Before(last) || r.over(at) || r.count > 0 && n >= r.count:
			return out, nil
		case i > maxTurns:
			return nil, errors.New("it repeats for more than a hundred years")
		case !r.on(at, i, back, start):
			continue
		}
		n++
		out = append(out, at)
	}
}

// on reports whether the i-th day after the first is one of the rule.
func (r *rule) on(at time.Time, i, back int, start time.Time) bool {
	if !r.weekly {
		return i%r.interval == 0 && (len(r.days) == 0 || slices.Contains(r.days, at.Weekday()))
	}
	days := r.days
	if len(days) == 0 {
		days = []time.Weekday{start.Weekday()}
	}
	return (i+back)/7%r.interval == 0 && slices.Contains(days, at.Weekday())
}

func (r *rule) over(at time.Time) bool {
	switch {
	case r.until.IsZero():
		return false
	case r.untilDay:
		return at.Format("20060102") > r.until.Format("20060102")
	}
	return at.After(r.until)
}
