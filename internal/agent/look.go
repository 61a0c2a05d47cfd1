package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/envelope"
)

// fresh tells which ids were not seen before, and remembers them until then. With an
// error they are fresh as far as memory knows, and the disk may forget them.
func (l *Ledger) fresh(ids []string, until time.Time) ([]string, error) {
	l.mu.Lock()
	if len(l.seen)+len(ids) > maxSeen {
		l.forget()
	}
	var out []string
	full := len(l.seen)+len(ids) > maxSeen
	for _, id := range ids {
		if _, twice := l.seen[id]; !twice && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	l.mu.Unlock()
	switch {
	case full:
		return out, fmt.Errorf("%d calls are remembered, and no more can be", maxSeen)
	case len(out) == 0:
		return nil, nil
	}
	return out, l.put(line{Seen: out, Until: until.UTC()})
}

// get is what is known of a tag.
func (l *Ledger) get(tag access.Tag) (entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[tag]
	if ok && !e.live() && l.clock.Wall().After(e.Keep) {
		return entry{}, false
	}
	return e, ok
}

// settle lets go of a mark of time that is ahead of the clock, when nothing is there
// that it protects: a clock that was wrong once must not end everything for ever.
func (l *Ledger) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.live() {
			return
		}
	}
	_, l.markUp = l.clock.Boot()
	l.mark = l.clock.Wall().UTC()
}

// room reports whether another entry may be made.
func (l *Ledger) room() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) >= maxEntries {
		l.forget()
	}
	return len(l.entries) < maxEntries
}

// bury makes entries tombstones.
func (l *Ledger) bury(tags ...access.Tag) error {
	var xs []line
	now := l.clock.Wall()
	for _, tag := range tags {
		e, ok := l.get(tag)
		if !ok || !e.live() {
			continue
		}
		e.State, e.Keep = removed, now
		if e.End.At.After(now) {
			e.Keep = e.End.At
		}
		e.Keep = e.Keep.Add(tombstoneMargin).UTC()
		e.Order = envelope.Order{Tag: e.Order.Tag, Mechanism: e.Order.Mechanism} // nothing else is needed of it
		xs = append(xs, line{Entry: &e})
	}
	if len(xs) == 0 {
		return nil
	}
	return l.put(xs...)
}

// drop forgets an entry of which it is known that nothing was made.
func (l *Ledger) drop(e entry) error {
	e.State, e.Keep = removed, time.Unix(0, 0).UTC()
	err := l.put(line{Entry: &e})
	l.mu.Lock()
	delete(l.entries, e.Tag)
	l.mu.Unlock()
	return err
}

// floor is a time that it certainly is: what the clock said once, and what has passed
// since by the clock that nobody can set. A host that was down is not credited with it.
func (l *Ledger) floor() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.least()
}

func (l *Ledger) least() time.Time {
	if l.mark.IsZero() {
		return l.mark
	}
	_, up := l.clock.Boot()
	return l.mark.Add(max(0, up-l.markUp))
}

// live lists what is there, and how long each has left, the soonest first.
// alone says that nobody else is there to end it.
func (l *Ledger) live(alone bool) []Held {
	l.mu.Lock()
	var all []entry
	for _, e := range l.entries {
		if e.live() {
			all = append(all, e)
		}
	}
	mark := l.least()
	l.mu.Unlock()
	out := make([]Held, len(all))
	for i, e := range all {
		out[i] = Held{Tag: e.Tag, Mechanism: access.Mechanism(e.Order.Mechanism), Person: access.Person(e.Order.Person), Account: e.Order.Account, Until: e.End.At, Left: l.clock.left(e.End, mark)}
		if e.Sooner != nil && alone {
			out[i].Until, out[i].Left = e.Sooner.At, min(out[i].Left, l.clock.left(*e.Sooner, mark))
		}
	}
	slices.SortFunc(out, func(a, b Held) int {
		if a.Left != b.Left {
			return int(max(min(a.Left-b.Left, 1), -1))
		}
		return strings.Compare(string(a.Tag), string(b.Tag))
	})
	return out
}

// Held is a privilege that is there, or may be.
type Held struct {
	Tag       access.Tag
	Mechanism access.Mechanism
	Person    access.Person
	Account   string
	Until     time.Time
	Left      time.Duration
}

// Held lists what is there, the soonest to end first.
func (l *Ledger) Held() []Held { return l.live(true) }

// fix notes when something ends, no later than was ordered, if this was said of the order
// that is there: one that was ordered anew meanwhile is not what was spoken of. Whoever
// calls it has the tag.
func (l *Ledger) fix(tag access.Tag, told, end time.Time) error {
	e, ok := l.get(tag)
	if !ok || !e.live() || !e.Order.ExpiresAt.Equal(told) || end.After(told) || e.Sooner != nil && e.Sooner.At.Equal(end) {
		return nil
	}
	d := l.clock.deadline(end, l.clock.Wall())
	e.Sooner = &d
	return l.put(line{Entry: &e})
}

// endedAlone notes what the agent ended by itself, untold says of which nobody has heard,
// and told that somebody has.
func (l *Ledger) endedAlone(tags ...access.Tag) error {
	var xs []line
	now := l.clock.Wall().UTC()
	for _, tag := range tags {
		if e, ok := l.get(tag); ok && !e.live() {
			e.Alone = now
			xs = append(xs, line{Entry: &e})
		}
	}
	if len(xs) == 0 {
		return nil
	}
	return l.put(xs...)
}

func (l *Ledger) untold(most int) (out []entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if !e.Alone.IsZero() {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b entry) int { return strings.Compare(string(a.Tag), string(b.Tag)) })
	return out[:min(most, len(out))]
}

func (l *Ledger) told(es []entry) error {
	var xs []line
	l.mu.Lock()
	for _, was := range es {
		if e, ok := l.entries[was.Tag]; ok && !e.live() && !e.Alone.IsZero() {
			e.Alone = time.Time{}
			xs = append(xs, line{Entry: &e})
		}
	}
	l.mu.Unlock()
	if len(xs) == 0 {
		return nil
	}
	return l.put(xs...)
}

// Trouble is what is wrong with the ledger; empty when nothing is.
func (l *Ledger) Trouble() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.failed != nil:
		return "it cannot be written, and nothing new is made: " + l.failed.Error()
	case len(l.damage) > 0:
		return "it was damaged, and what was there is kept beside it: " + strings.Join(l.damage[:min(len(l.damage), 5)], ", ")
	}
	return ""
}

// epochSeen remembers the greatest epoch of calls, and reports whether this is it.
func (l *Ledger) epochSeen(epoch int64) (newest bool, err error) {
	l.mu.Lock()
	known := l.epoch
	l.mu.Unlock()
	if epoch > known {
		return true, l.put(line{Epoch: epoch})
	}
	return epoch == known, nil
}

// claimed reports whether the installation made this claim here.
func (l *Ledger) claimed(c envelope.Claim) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.claims, c)
}
