package oncall

import (
	"slices"
	"time"
)

// day is what shifts of whole days are counted in.
const day = 24 * time.Hour

// Schedule says who is on call when. The zero value has nobody on call, ever.
type Schedule struct {
	Zone      *time.Location // of the layers' beginnings; nil: UTC
	Layers    []Layer
	Overrides []Shift
}

// Layer is a rotation: its members take turns in their order, from Start on. Several
// layers have one on call each.
type Layer struct {
	Members []string
	Start   time.Time     // of the first member's first shift
	Shift   time.Duration // of each; above zero
}

// Shift is a time in which somebody is on call: from From until, not at, Until.
type Shift struct {
	Member      string
	From, Until time.Time
}

func (s Shift) covers(t time.Time) bool { return !t.Before(s.From) && t.Before(s.Until) }

// At lists who is on call at a time, each once. While any override covers the time,
// those of overrides are on call instead of the layers'.
func (s Schedule) At(t time.Time) []string {
	on, _ := s.at(t)
	return on
}

// at also says until when that is so at most: before it, nothing changes.
func (s Schedule) at(t time.Time) (on []string, until time.Time) {
	sooner := func(at time.Time) {
		if at.After(t) && (until.IsZero() || at.Before(until)) {
			until = at
		}
	}
	add := func(member string) {
		if !slices.Contains(on, member) {
			on = append(on, member)
		}
	}
	for _, o := range s.Overrides {
		sooner(o.From)
		sooner(o.Until)
		if o.covers(t) {
			add(o.Member)
		}
	}
	overridden := len(on) > 0
	for _, l := range s.Layers {
		if len(l.Members) == 0 || l.Shift <= 0 {
			continue
		}
		n := l.turn(t, s.zone())
		sooner(l.begins(n+1, s.zone()))
		if n >= 0 && !overridden {
			add(l.Members[n%len(l.Members)])
		}
	}
	return on, until
}

// maxSteps bounds how many changes Between looks at.
const maxSteps = 2000

// Between lists who is on call at some time from from until until, each once, in the
// order of their first shift in it.
func (s Schedule) Between(from, until time.Time) (on []string) {
	for range maxSteps {
		now, next := s.at(from)
		for _, m := range now {
			if !slices.Contains(on, m) {
				on = append(on, m)
			}
		}
		if next.IsZero() || !next.Before(until) {
			break
		}
		from = next
	}
	return on
}

func (s Schedule) zone() *time.Location {
	if s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}

// begins is when the n-th turn of a layer begins, counted from 0.
func (l Layer) begins(n int, zone *time.Location) time.Time {
	if l.Shift%day == 0 {
		return l.Start.In(zone).AddDate(0, 0, n*int(l.Shift/day))
	}
	return l.Start.Add(time.Duration(n) * l.Shift)
}

// turn is the number of the turn that a time is in; -1 before the first.
func (l Layer) turn(t time.Time, zone *time.Location) int {
	if t.Before(l.Start) {
		return -1
	}
	n := int(t.Sub(l.Start) / l.Shift)
	// A day is up to some hours shorter or longer than 24: it is one of these.
	for l.begins(n+1, zone).Compare(t) <= 0 {
		n++
	}
	for n > 0 && l.begins(n, zone).After(t) {
		n--
	}
	return n
}
