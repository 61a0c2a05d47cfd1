package clock

import (
	"fmt"
	"time"

	"stint/internal/moment"
)

// Bounds. They are constants because a site that could widen them would, on the
// day on which they protect it.
const (
	// Uncertainty is U, by how much the wall may differ from the line and be
	// trusted.
	Uncertainty = 500 * time.Millisecond
	// Near is by how much the wall may differ and still draw the line to it.
	Near = 5 * time.Second
	// Slew is the most that the line is drawn to the wall: one part in so many of
	// the time that passed. It is ten times what oscillators drift (500 ppm is the
	// limit of NTP's discipline, RFC 5905 section 11), and sets right a step of a
	// second in under two minutes; who pushes a clock ahead for ever shortens a
	// grant of two hours by 36 s.
	Slew = 200
	// LongestGap is how long the service may have been down, after a restart
	// of the host, for the wall to be believed at once. Nothing is granted for longer
	// (access.MaxDuration), so that a longer gap is needed to end nothing.
	LongestGap = 30 * 24 * time.Hour
	// Settling is for how long after its boot a host whose first start nothing
	// bounds believes steps forward within LongestGap: a machine that boots with a
	// wrong clock is set right by then.
	Settling = 10 * time.Minute
	// Parted is how long a host's own clock may differ from the authority's by more
	// than U before that is a reason for doubt.
	Parted = 5 * time.Second
	// Stale is the age of the newest narrow sample at which a drift could
	// have used up all of U.
	Stale = Slew * Uncertainty
)

// Sample is one reading of all clocks.
type Sample struct {
	// Wall is what the authority said, at some moment between Mono-Width and Mono.
	Wall  time.Time
	Mono  time.Duration // the monotonic clock of this host, since its boot
	Width time.Duration // how long the question took
	// Host is this host's own clock at Mono; zero where that is the authority.
	Host time.Time
}

// Reading is what is believed. Its zero value is not trusted.
type Reading struct {
	Now     time.Time // UTC, whole milliseconds; never goes back
	Trusted bool
	Why     string // not to be trusted, for people
}

// Mark is what is remembered of a line over a restart.
type Mark struct {
	Now time.Time // that was given; zero: nothing is remembered
	// Boot names the boot of the host on whose monotonic clock the line was at Line
	// when it said Mono. Empty: not known.
	Boot string
	Mono time.Duration
	Line time.Time
	// Suspect is what a wall said that was far ahead and not believed; zero: none.
	Suspect time.Time
}

// State describes a Keeper for people and for metrics.
type State struct {
	Reading
	Wall time.Time // of the newest sample, carried on to this moment
	// Ahead is by how much the wall is ahead of the line; negative: behind.
	Ahead time.Duration
	// Skew is by how much this host's own clock is ahead of the authority's.
	Skew time.Duration
	// Far says that the wall is too far away to be believed without being accepted.
	Far bool
	// Slowed says that the line runs at half speed until the wall has caught up.
	Slowed bool
}

// Keeper keeps one line. It is made by New.
type Keeper struct {
	line   time.Time // at mono
	mono   time.Duration
	latest time.Time // Now as given last

	begun bool // the line has begun: by a mark or a sample
	// unbound says that monotonic time does not reach back to the mark: the line
	// is the earliest that it can be, and the wall may be LongestGap ahead of it.
	unbound bool
	settled time.Duration // mono from which on a bound, once found, holds
	suspect time.Time     // of before the start, by an unbound mark
	waiting time.Duration // until then an unbound wall beyond Near is not believed yet
	slowed  bool

	offset  time.Duration // wall - line of the newest sample
	dev     time.Duration // of it, what is certain: 0 if the width may explain it
	skew    time.Duration
	slewed  time.Duration // mono when the line was drawn last
	narrow  time.Duration // mono of the last sample that was narrow
	parted  time.Duration // mono since which the host differs
	isApart bool
}

// New makes a keeper that goes on from what is remembered. boot and mono are of
// this host, now. settle says whether Settling is for this host; it is not where
// the authority's clock is that of another one.
func New(m Mark, boot string, mono time.Duration, settle bool) *Keeper {
	k := &Keeper{mono: mono, slewed: mono, narrow: mono, latest: m.Now}
	if settle {
		k.settled = Settling
	}
	switch {
	case m.Now.IsZero():
		k.unbound = true
	case boot != "" && m.Boot == boot && mono >= m.Mono:
		k.begun, k.line, k.slewed = true, m.Line.Add(mono-m.Mono), m.Mono
	default:
		k.begun, k.line, k.unbound, k.suspect = true, m.Now, true, m.Suspect
	}
	return k
}

// Wait makes the keeper wait until the given reading before it believes a wall
// that nothing bounds: meanwhile other replicas, if there are any, can be heard.
func (k *Keeper) Wait(until time.Duration) {
	if k.unbound && k.begun {
		k.waiting = until
	}
}

// Waiting reports whether the keeper waits, and there is something to wait for.
func (k *Keeper) Waiting(mono time.Duration) bool { return k.unbound && mono < k.waiting }

// Bind says that the line, as raised, is what others follow who live: the wall
// must now keep to it.
func (k *Keeper) Bind() {
	if k.begun {
		k.unbound, k.waiting = false, 0
	}
}

// advance lets the line run on to mono. Samples of concurrent callers come out
// of order; the line does not go back for them.
func (k *Keeper) advance(mono time.Duration) {
	passed := mono - k.mono
	if passed <= 0 {
		return
	}
	k.mono = mono
	if !k.begun {
		return
	}
	if k.slowed {
		passed -= passed / 2
	}
	k.line = k.line.Add(passed)
}

// at is the line at a moment that may be a little past.
func (k *Keeper) at(mono time.Duration) time.Time { return k.line.Add(mono - k.mono) }

// Take takes a sample and says what is believed at its moment.
func (k *Keeper) Take(s Sample) Reading {
	k.advance(s.Mono)
	if !k.begun {
		k.begun, k.line = true, s.Wall.Add(k.mono-s.Mono)
	}
	k.compare(s)
	if k.unbound {
		k.bind(s)
	} else {
		k.draw(s)
	}
	if k.slowed && k.offset >= -Uncertainty {
		k.slowed = false
	}
	k.hear(s)
	if s.Width <= Uncertainty {
		k.narrow = max(k.narrow, s.Mono)
	}
	now := k.at(s.Mono)
	if k.dev.Abs() <= Uncertainty && s.Wall.After(now) {
		now = s.Wall // both are believed, and the later one counts
	}
	return k.give(now)
}

// Read says what is believed at mono without asking the wall.
func (k *Keeper) Read(mono time.Duration) Reading {
	k.advance(mono)
	return k.give(k.at(mono))
}

func (k *Keeper) give(now time.Time) Reading {
	now = now.UTC().Truncate(time.Millisecond)
	if now.After(k.latest) {
		k.latest = now
	}
	why := k.why()
	return Reading{Now: k.latest, Trusted: why == "", Why: why}
}

// compare finds by how much the wall is off for certain: it was read at a moment
// within the width, and what that explains is no difference.
func (k *Keeper) compare(s Sample) {
	k.offset = s.Wall.Sub(k.at(s.Mono))
	switch {
	case k.offset > 0:
		k.dev = k.offset
	case k.offset+s.Width < 0:
		k.dev = k.offset + s.Width
	default:
		k.dev = 0
	}
}

// bind sets an unbound line to the wall, if that is no earlier and not too late.
func (k *Keeper) bind(s Sample) {
	switch {
	case k.dev < -Uncertainty: // the mark is later than the wall
		return
	case k.dev > LongestGap, k.dev > Near && !k.suspect.IsZero() && !s.Wall.Before(k.suspect.Add(-Near)):
		return // it was hardly down for so long, or the wall was not believed already
	case k.dev > Near && s.Mono < k.waiting:
		return
	}
	k.move(s)
	k.suspect, k.waiting = time.Time{}, 0
	k.unbound = s.Mono < k.settled || s.Width > Uncertainty
}

// draw lets a wall that is near draw the line to it, as far as drift explains.
func (k *Keeper) draw(s Sample) {
	passed := s.Mono - k.slewed
	if passed <= 0 {
		return
	}
	k.slewed = s.Mono
	most := passed / Slew
	if k.dev == 0 || k.dev.Abs() > Near+most || k.slowed {
		return
	}
	by := min(max(k.dev, -most), most)
	k.line = k.line.Add(by)
	k.offset -= by
	k.dev -= by
}

// move sets the line to the wall, if that is later.
func (k *Keeper) move(s Sample) {
	if k.offset > 0 {
		k.line = k.line.Add(k.offset)
		k.offset, k.dev = 0, 0
	}
	k.slewed = s.Mono
}

// hear compares the host's own clock with the authority's.
func (k *Keeper) hear(s Sample) {
	if s.Host.IsZero() {
		return
	}
	k.skew = s.Host.Sub(s.Wall)
	sure := k.skew
	if sure > 0 { // the wall was read before
		sure = max(0, sure-s.Width)
	}
	switch {
	case sure.Abs() <= Uncertainty:
		k.isApart = false
	case !k.isApart:
		k.isApart, k.parted = true, s.Mono
	}
}

// Raise lifts the line to a time that another replica trusted.
func (k *Keeper) Raise(mark time.Time, mono time.Duration) {
	k.advance(mono)
	if mark.IsZero() {
		return
	}
	if !k.begun {
		k.begun, k.line = true, mark
		return
	}
	if ahead := mark.Sub(k.line); ahead > 0 {
		k.line = mark
		k.offset -= ahead
		k.dev -= ahead
	}
}

// Accept takes a wall that is far away for the right one, if it still is ahead by
// about as much (negative: behind) as whoever accepts it was told. It reports
// whether it is accepted.
func (k *Keeper) Accept(ahead time.Duration, mono time.Duration) bool {
	k.advance(mono)
	if !k.far() || k.offset < 0 != (ahead < 0) || (k.offset-ahead).Abs() > Near {
		return false
	}
	if k.offset < 0 {
		k.slowed = true
		return true
	}
	k.move(Sample{Mono: mono})
	k.unbound, k.suspect, k.waiting = false, time.Time{}, 0
	return true
}

// Mark is what to remember of the line.
func (k *Keeper) Mark(boot string) Mark {
	m := Mark{Now: k.latest, Boot: boot, Mono: k.mono, Line: k.line, Suspect: k.suspect}
	if k.dev > Near {
		m.Suspect = k.line.Add(k.offset)
	}
	return m
}

// far reports whether the wall is too far away to be believed by itself.
func (k *Keeper) far() bool {
	if k.unbound && k.dev > 0 {
		return k.dev > Uncertainty && k.mono >= k.waiting
	}
	return k.dev.Abs() > Near
}

// State describes the keeper at mono.
func (k *Keeper) State(mono time.Duration) State {
	r := k.Read(mono)
	return State{Reading: r, Wall: k.line.Add(k.offset).UTC().Truncate(time.Millisecond), Ahead: k.offset.Truncate(time.Millisecond),
		Skew: k.skew.Truncate(time.Millisecond), Far: k.far(), Slowed: k.slowed}
}

// why says why the line is in doubt, or nothing.
func (k *Keeper) why() string {
	switch {
	case !k.begun:
		return "no clock was read yet"
	case k.dev > Uncertainty && k.unbound && k.mono < k.waiting:
		return "it has just started after a pause and waits to hear of other replicas"
	case k.dev > Uncertainty && k.unbound:
		return fmt.Sprintf("the clock is %s ahead of the last time that is known from before the start", text(k.dev))
	case k.dev > Uncertainty:
		return fmt.Sprintf("the clock is %s ahead of the time that has passed", text(k.dev))
	case k.slowed: // also where a wide sample would explain the rest: nothing begins that lives by half speed
		return fmt.Sprintf("the clock is %s behind, and time runs at half speed until it has caught up", text(k.offset.Abs()))
	case k.dev < -Uncertainty:
		return fmt.Sprintf("the clock is %s behind the time that it was already", text(k.dev.Abs()))
	case k.isApart && k.mono-k.parted >= Parted:
		return fmt.Sprintf("this host's clock and the database's differ by %s", text(k.skew.Abs()))
	case k.mono-k.narrow > Stale:
		return fmt.Sprintf("the clock was not read for %s, or too slowly", text(k.mono-k.narrow))
	}
	return ""
}

// text writes a difference for people: to the millisecond where it is short.
func text(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return d.Round(time.Millisecond).String()
	case d < 48*time.Hour:
		return moment.Span(d.Round(time.Second))
	}
	return moment.Rough(d)
}
