package gateway

import "time"

// Bounds. They are constants because a site that could widen them would be cut off
// and not notice.
const (
	// Freshness is how long what the control plane said last is believed.
	Freshness = 30 * time.Second
	// RenewEvery is how often it is asked.
	RenewEvery = 10 * time.Second
)

// WarnAt is when the person is told that the end is near.
var WarnAt = [...]time.Duration{5 * time.Minute, time.Minute}

// Instant is one reading of both clocks of this process.
type Instant struct {
	Wall time.Time
	Mono time.Duration // since some moment that does not change
}

// Since is the time that passed from then to now: the later clock counts. The
// monotonic one does not run while a machine sleeps, and the wall can be set back;
// neither makes this smaller.
func (now Instant) Since(then Instant) time.Duration {
	return max(now.Mono-then.Mono, now.Wall.Round(0).Sub(then.Wall.Round(0)))
}

// State is what a lease says at some moment. The zero State is Over.
type State uint8

// The states.
const (
	Over State = iota
	Live
	Kept // not renewed in time; what runs goes on, nothing new starts
)

func (s State) String() string {
	return [...]string{"over", "live", "kept"}[min(int(s), 2)]
}

// Lease is the right to go on, as far as this process knows. It is a value: what
// happens to it makes a new one. The zero Lease is over.
type Lease struct {
	keep      bool          // what runs goes on without the control plane
	asked     Instant       // when the question was sent that was answered last
	remaining time.Duration // what the grant had left then, at most
	over      Reason        // why, once it is; never unset
}

// NewLease is the lease of a permit for which the control plane was asked at asked.
func NewLease(p Permit, asked Instant) Lease {
	return Lease{keep: p.OnPartition == PartitionKeep, asked: asked, remaining: p.Remaining}
}

// Renewed is the lease after an answer to a question that was sent at asked. An answer
// to an earlier question than the last one changes nothing.
func (l Lease) Renewed(asked Instant, remaining time.Duration) Lease {
	if l.over != "" || asked.Mono < l.asked.Mono {
		return l
	}
	l.asked, l.remaining = asked, remaining
	return l
}

// Cut is the lease after somebody ended it. The first reason stays.
func (l Lease) Cut(r Reason) Lease {
	if l.over == "" {
		l.over = r
	}
	return l
}

// At is the lease at a moment, and its state. Once it is over it stays so, whatever the
// clocks do.
func (l Lease) At(now Instant) (Lease, State) {
	switch passed := now.Since(l.asked); {
	case l.over != "":
		return l, Over
	case passed >= l.remaining:
		return l.Cut(Expired), Over
	case passed < Freshness:
		return l, Live
	case l.keep:
		return l, Kept
	}
	return l.Cut(Partitioned), Over
}

// Remaining is what the grant has left at a moment.
func (l Lease) Remaining(now Instant) time.Duration {
	if l.over != "" {
		return 0
	}
	return max(0, l.remaining-now.Since(l.asked))
}

// Next is how long it is, at most, until At answers otherwise than now.
func (l Lease) Next(now Instant) time.Duration {
	passed := now.Since(l.asked)
	next := l.remaining - passed
	if fresh := Freshness - passed; fresh > 0 {
		next = min(next, fresh)
	}
	return max(0, next)
}
