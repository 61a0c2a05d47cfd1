package oncall

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of a calendar that is read. One that is larger is refused whole: half of a
// calendar is another calendar.
const (
	maxCalendar = 2 << 20 // bytes
	maxEvents   = 5000
	maxShifts   = 5000 // that are in the time that is asked about
)

// ReadCalendar reads an iCalendar (RFC 5545) in which every event is a shift, and gives
// those that reach into the time from from until until. Who has the shift is the event's
// SUMMARY, as it is. What it does not know it refuses: a rule of repetition that was
// skipped would have the wrong person on call.
func ReadCalendar(text string, from, until time.Time) ([]Shift, error) {
	if len(text) > maxCalendar {
		return nil, fmt.Errorf("the calendar is larger than %d MiB", maxCalendar>>20)
	}
	lines := unfold(text)
	if len(lines) == 0 || !strings.EqualFold(lines[0].text, "BEGIN:VCALENDAR") {
		return nil, errors.New("it is no iCalendar: it does not begin with BEGIN:VCALENDAR")
	}
	events, err := readEvents(lines)
	if err != nil {
		return nil, err
	}
	var out []Shift
	for _, e := range events {
		shifts, err := e.shifts(events, from, until)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", e.line, err)
		}
		if out = append(out, shifts...); len(out) > maxShifts {
			return nil, fmt.Errorf("it has more than %d shifts", maxShifts)
		}
	}
	slices.SortStableFunc(out, func(a, b Shift) int { return a.From.Compare(b.From) })
	return out, nil
}

// calLine is a line whose continuations were joined, and where it began.
type calLine struct {
	text string
	n    int
}

// unfold joins what was folded (section 3.1), in time that grows as the text does.
func unfold(text string) (lines []calLine) {
	n := 0
	var folded []string // what the last line consists of
	join := func() {
		if len(folded) > 1 {
			lines[len(lines)-1].text = strings.Join(folded, "")
		}
	}
	defer func() { join() }()
	for l := range strings.SplitSeq(strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n"), "\n") {
		n++
		switch {
		case l == "":
		case (l[0] == ' ' || l[0] == '\t') && len(lines) > 0:
			folded = append(folded, l[1:])
		default:
			join()
			lines, folded = append(lines, calLine{l, n}), append(folded[:0], l)
		}
	}
	return lines
}

// property is a name with its parameters and value.
type property struct {
	name, value string
	params      map[string]string
}

func readProperty(text string) (p property, err error) {
	quoted := false
	end := strings.IndexFunc(text, func(c rune) bool {
		if c == '"' {
			quoted = !quoted
		}
		return c == ':' && !quoted
	})
	if end < 0 {
		return p, errors.New("it has no value")
	}
	p.value, p.params = text[end+1:], map[string]string{}
	parts := strings.Split(text[:end], ";")
	p.name = strings.ToUpper(parts[0])
	for _, x := range parts[1:] {
		k, v, _ := strings.Cut(x, "=")
		p.params[strings.ToUpper(k)] = strings.Trim(v, `"`)
	}
	return p, nil
}

// event is a VEVENT, as far as it matters.
type event struct {
	uid, who   string
	start, end calTime
	length     time.Duration // of DURATION; 0: until end
	rule       *rule
	except     []time.Time // EXDATE
	replaces   time.Time   // RECURRENCE-ID; zero: it stands for itself
	cancelled  bool
	line       int
}

func readEvents(lines []calLine) (events []event, err error) {
	var open []string
	var e *event
	for _, l := range lines {
		p, err := readProperty(l.text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", l.n, err)
		}
		switch {
		case p.name == "BEGIN":
			open = append(open, strings.ToUpper(p.value))
			if p.value = open[len(open)-1]; p.value == "VEVENT" {
				if len(events) == maxEvents {
					return nil, fmt.Errorf("it has more than %d events", maxEvents)
				}
				e = &event{line: l.n}
			}
		case p.name == "END":
			if len(open) == 0 || open[len(open)-1] != strings.ToUpper(p.value) {
				return nil, fmt.Errorf("line %d: END:%s ends nothing", l.n, p.value)
			}
			if open = open[:len(open)-1]; strings.EqualFold(p.value, "VEVENT") {
				events, e = append(events, *e), nil
			}
		case e != nil && open[len(open)-1] == "VEVENT":
			if err := e.take(p); err != nil {
				return nil, fmt.Errorf("line %d: %s: %w", l.n, p.name, err)
			}
		}
	}
	if len(open) > 0 {
		return nil, errors.New("it is cut off: END:" + open[len(open)-1] + " is missing")
	}
	return events, nil
}

func (e *event) take(p property) (err error) {
	switch p.name {
	case "UID":
		e.uid = p.value
	case "SUMMARY":
		e.who = strings.TrimSpace(unescape.Replace(p.value))
	case "STATUS":
		e.cancelled = strings.EqualFold(p.value, "CANCELLED")
	case "DTSTART":
		e.start, err = readTime(p)
	case "DTEND":
		e.end, err = readTime(p)
	case "DURATION":
		e.length, err = readSpan(p.value)
	case "RRULE":
		if e.rule != nil {
			return errors.New("there are two")
		}
		e.rule, err = readRule(p.value)
	case "RDATE", "EXRULE":
		return errors.New("it is not read here")
	case "EXDATE":
		for v := range strings.SplitSeq(p.value, ",") {
			t, err := readTime(property{value: v, params: p.params})
			if err != nil {
				return err
			}
			e.except = append(e.except, t.at)
		}
	case "RECURRENCE-ID":
		var t calTime
		if p.params["RANGE"] != "" {
			return errors.New("its RANGE is not read here")
		}
		t, err = readTime(p)
		e.replaces = t.at
	}
	return err
}

var unescape = strings.NewReplacer(`\\`, `\`, `\,`, `,`, `\;`, `;`, `\n`, " ", `\N`, " ")

// calTime is a time as a calendar writes it: on a clock of some zone.
type calTime struct {
	at   time.Time // in its zone
	date bool      // a whole day
}

// readTime reads a date or a time. One without a zone is in UTC: a floating time is
// another one for each reader.
func readTime(p property) (t calTime, err error) {
	zone := time.UTC
	if id := p.params["TZID"]; id != "" {
		if zone, err = time.LoadLocation(strings.TrimPrefix(id, "/")); err != nil || id == "Local" {
			return t, fmt.Errorf("the time zone %.60q is none of the IANA list", id)
		}
	}
	switch n := len(p.value); {
	case n == 8:
		t.date = true
		t.at, err = time.ParseInLocation("20060102", p.value, zone)
	case n == 16 && p.value[15] == 'Z':
		t.at, err = time.Parse("20060102T150405Z", p.value)
	case n == 15:
		t.at, err = time.ParseInLocation("20060102T150405", p.value, zone)
	default:
		err = errors.New("not a time")
	}
	if err != nil {
		return t, fmt.Errorf("%.40q is not a time", p.value)
	}
	return t, nil
}

// readSpan reads a duration (section 3.3.6). One below zero is refused.
func readSpan(s string) (d time.Duration, err error) {
	bad := fmt.Errorf("%.40q is not a duration", s)
	rest, ok := strings.CutPrefix(strings.TrimPrefix(s, "+"), "P")
	if !ok || rest == "" {
		return 0, bad
	}
	units := map[byte]time.Duration{'W': 7 * day, 'D': day}
	for rest != "" {
		if rest[0] == 'T' {
			units, rest = map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second}, rest[1:]
			continue
		}
		i := strings.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' })
		if i <= 0 || i > 6 || units[rest[i]] == 0 {
			return 0, bad
		}
		n, _ := strconv.Atoi(rest[:i]) // are digits
		d, rest = d+time.Duration(n)*units[rest[i]], rest[i+1:]
	}
	if d <= 0 {
		return 0, bad
	}
	return d, nil
}

// until is when a shift ends that begins at a time.
func (e event) until(begin time.Time) time.Time {
	switch {
	case e.length > 0 && e.length%day == 0:
		return begin.AddDate(0, 0, int(e.length/day))
	case e.length > 0:
		return begin.Add(e.length)
	case e.end.at.IsZero() && e.start.date:
		return begin.AddDate(0, 0, 1)
	case e.end.at.IsZero():
		return begin // no time at all
	case e.start.date:
		return begin.AddDate(0, 0, int(e.end.at.Sub(e.start.at).Round(day)/day))
	}
	// On the clock: a shift from nine to nine stays one when clocks change.
	a, b := e.start.at, e.end.at.In(e.start.at.Location())
	wall := func(t time.Time) time.Time {
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	}
	if e.rule == nil {
		return e.end.at
	}
	length := wall(b).Sub(wall(a))
	end := wall(begin).Add(length)
	return time.Date(end.Year(), end.Month(), end.Day(), end.Hour(), end.Minute(), end.Second(), 0, begin.Location())
}

// shifts are those of one event that reach into the time, without what other events of
// the same UID replace.
func (e event) shifts(all []event, from, until time.Time) (out []Shift, err error) {
	switch {
	case e.start.at.IsZero():
		return nil, errors.New("an event has no DTSTART")
	case e.end.at.Before(e.start.at) && !e.end.at.IsZero():
		return nil, errors.New("an event ends before it begins")
	case e.cancelled:
		return nil, nil
	case e.who == "":
		return nil, errors.New("an event has no SUMMARY, so it is not known who has the shift")
	}
	begins := []time.Time{e.start.at}
	if e.rule != nil {
		if begins, err = e.rule.times(e.start.at, until); err != nil {
			return nil, err
		}
	}
	for _, b := range begins {
		end := e.until(b)
		if !b.Before(until) || !end.After(from) || !end.After(b) || e.replaces.IsZero() && e.skipped(all, b) {
			continue
		}
		out = append(out, Shift{e.who, b.UTC(), end.UTC()})
	}
	return out, nil
}

// skipped reports whether an occurrence does not happen, or as another event says.
func (e event) skipped(all []event, b time.Time) bool {
	same := func(t time.Time) bool { return t.Equal(b) }
	return slices.ContainsFunc(e.except, same) || slices.ContainsFunc(all, func(x event) bool {
		return e.uid != "" && x.uid == e.uid && !x.replaces.IsZero() && same(x.replaces)
	})
}
