package insight

import (
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// Most is how far back lines go, in days.
const Most = 90

// Lines are what is added up, each kind the newest first. They are shared: nobody changes them.
type Lines struct {
	At       time.Time // when they were read, by the store's clock
	Requests []access.RequestLine
	Grants   []access.GrantLine
	Votes    []access.VoteCount
	// Glass are the reviews of break-glass access in that time.
	Glass []access.Review
	// Cut says that there were more than were read: the oldest are missing.
	Cut bool
}

// Outcome is what became of a request.
type Outcome string

// The outcomes, in the order in which they are shown.
const (
	Automatic Outcome = "automatic"
	Approved  Outcome = "approved"
	Denied    Outcome = "denied"
	Expired   Outcome = "expired"
	Withdrawn Outcome = "withdrawn"
	Failed    Outcome = "failed" // could not be set up
	Glass     Outcome = "break-glass"
	Waiting   Outcome = "waiting" // no outcome yet, and in no number
)

// Outcomes are those that are counted.
var Outcomes = []Outcome{Automatic, Approved, Denied, Expired, Withdrawn, Failed, Glass}

// Asked is a request with what became of it.
type Asked struct {
	access.RequestLine
	Outcome Outcome
	Drill   bool // break-glass to try it out
	// Wait is how long a person took for the last yes that was needed; 0 where none was.
	Wait time.Duration
}

// outcome of a request; glass is its review, if it broke glass.
func outcome(l access.RequestLine, glass *access.Review) Asked {
	a := Asked{RequestLine: l}
	switch {
	case glass != nil:
		a.Outcome, a.Drill = Glass, glass.Drill
	case l.State == access.RequestIsGranted && l.Setup == access.Failed:
		a.Outcome = Failed
	case l.State == access.RequestIsGranted && l.Needed == 0:
		a.Outcome = Automatic
	case l.State == access.RequestIsGranted:
		a.Outcome = Approved
	case l.State == access.RequestIsDenied:
		a.Outcome = Denied
	case l.State == access.RequestTimedOut:
		a.Outcome = Expired
	case l.State == access.RequestWithdrawn:
		a.Outcome = Withdrawn
	default:
		a.Outcome = Waiting
	}
	if glass == nil && l.State == access.RequestIsGranted && l.Needed > 0 && !l.Voted.IsZero() {
		a.Wait = max(l.Voted.Sub(l.CreatedAt), time.Millisecond)
	}
	return a
}

// Removal is one access that was to be taken away.
type Removal struct {
	access.GrantLine
	// Lag is from when it should have been gone to when it was read back as gone, or to
	// now where that is not confirmed.
	Lag       time.Duration
	Confirmed bool
}

// Over reports whether it took longer than the target.
func (r Removal) Over() bool { return r.Lag > Target }

// Target is within what access should be gone after its end.
const Target = 10 * time.Second

// Day is one day of a window.
type Day struct {
	At    time.Time // its midnight, UTC
	Count map[Outcome]int
	// JIT are hours of access that was asked for, on each resource by itself.
	JIT float64
	// Open is how much of the day has passed, 0 to 1; less than 1 for today.
	Open float64
}

// Bins are the upper edges of the histogram of waits; the last is open.
var Bins = []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, time.Hour, 4 * time.Hour, 0}

// Bin is which one a wait falls in.
func Bin(d time.Duration) int {
	for i, edge := range Bins[:len(Bins)-1] {
		if d < edge {
			return i
		}
	}
	return len(Bins) - 1
}

// Report is a window of days.
type Report struct {
	From, To time.Time // To is now, or the end of an earlier window
	Days     []Day
	Asked    []Asked // made in the window, the newest first
	Total    map[Outcome]int
	Drills   int // of the break-glass ones

	Waited   int // requests that needed a person and got their yes
	Bins     []int
	P50, P90 time.Duration
	// Slowest is the resource with the longest median of those with at least fewest waits.
	Slowest    access.ResourceName
	SlowestP50 time.Duration

	Removals       []Removal // the newest first
	Overdue, Going int       // over the target; not confirmed
	P95            time.Duration

	Active, Holders int // grants and persons at the end of the window, where that is now
	Quick           []Approver
}

// Approver is somebody who says yes faster than anybody can read.
type Approver struct {
	By         access.PrincipalID
	Yes, Quick int64
}

const (
	// fewest are how many there must be before a share or a median says anything.
	fewest = 5
	// tooQuick is the share of quick yeses from which somebody is named.
	tooQuick = 0.8
)

// midnight of a time's day, UTC.
func midnight(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// Window is a report of so many days, the last of which is today, or, with back, of as
// many days before these.
func (l Lines) Window(days int, back bool) Report {
	to := l.At
	first := midnight(l.At).AddDate(0, 0, 1-days)
	if back {
		to, first = first, first.AddDate(0, 0, -days)
	}
	r := Report{From: first, To: to, Total: map[Outcome]int{}, Bins: make([]int, len(Bins))}
	for i := range days {
		at := first.AddDate(0, 0, i)
		r.Days = append(r.Days, Day{At: at, Count: map[Outcome]int{}, Open: min(1, to.Sub(at).Hours()/24)})
	}
	l.asked(&r)
	l.held(&r)
	l.voted(&r)
	return r
}

// day is the number of a time's day in the window; false if it is outside.
func (r *Report) day(t time.Time) (int, bool) {
	if t.Before(r.From) || !t.Before(r.To) && !t.Equal(r.To) {
		return 0, false
	}
	i := int(t.Sub(r.From) / (24 * time.Hour))
	return i, i < len(r.Days)
}

func (l Lines) asked(r *Report) {
	glass := map[access.RequestID]*access.Review{}
	for i, v := range l.Glass {
		glass[v.Request] = &l.Glass[i]
	}
	var waits []time.Duration
	at := map[access.ResourceName][]time.Duration{}
	many := 0
	for _, q := range l.Requests {
		if _, in := r.day(q.CreatedAt); in {
			many++
		}
	}
	r.Asked = make([]Asked, 0, many)
	for _, q := range l.Requests {
		i, in := r.day(q.CreatedAt)
		if !in {
			continue
		}
		a := outcome(q, glass[q.ID])
		r.Asked = append(r.Asked, a)
		if a.Outcome == Waiting {
			continue
		}
		r.Days[i].Count[a.Outcome]++
		r.Total[a.Outcome]++
		if a.Drill {
			r.Drills++
		}
		if a.Wait > 0 {
			waits = append(waits, a.Wait)
			r.Bins[Bin(a.Wait)]++
			at[q.Resource] = append(at[q.Resource], a.Wait)
		}
	}
	r.Waited, r.P50, r.P90 = len(waits), quantile(waits, 0.5), quantile(waits, 0.9)
	for name, ds := range at {
		if p := quantile(ds, 0.5); len(ds) >= fewest && (p > r.SlowestP50 || p == r.SlowestP50 && name < r.Slowest) {
			r.Slowest, r.SlowestP50 = name, p
		}
	}
}

func (l Lines) held(r *Report) {
	holders := map[access.PrincipalID]bool{}
	var lags []time.Duration
	for _, g := range l.Grants {
		if g.ActiveAt.IsZero() {
			continue
		}
		end := g.GoneAt // until then it can be used, as far as anybody knows
		if end.IsZero() || end.After(r.To) {
			end = r.To
		}
		r.spread(g.ActiveAt, end, float64(g.Targets))
		if g.State == access.Active && !r.To.Before(l.At) {
			r.Active++
			holders[g.Principal] = true
		}
		if g.State != access.Ending && g.State != access.Ended && !(g.State == access.Active && l.At.Sub(g.DueGone) > access.OverdueAfter) {
			continue
		}
		if _, in := r.day(g.DueGone); !in {
			continue
		}
		m := Removal{GrantLine: g, Confirmed: !g.GoneAt.IsZero(), Lag: l.At.Sub(g.DueGone)}
		if m.Confirmed {
			m.Lag = g.GoneAt.Sub(g.DueGone)
		} else {
			r.Going++
		}
		m.Lag = max(0, m.Lag)
		if m.Over() {
			r.Overdue++
		}
		lags = append(lags, m.Lag)
		r.Removals = append(r.Removals, m)
	}
	slices.SortStableFunc(r.Removals, func(a, b Removal) int { return b.DueGone.Compare(a.DueGone) })
	r.P95, r.Holders = quantile(lags, 0.95), len(holders)
}

// spread adds the hours of a span to the days that it is on, each times n.
func (r *Report) spread(from, to time.Time, n float64) {
	for i := range r.Days {
		day := r.Days[i].At
		if span := earlier(to, day.AddDate(0, 0, 1)).Sub(later(from, day)); span > 0 {
			r.Days[i].JIT += span.Hours() * n
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (l Lines) voted(r *Report) {
	first, last := r.From.Unix()/86400, r.To.Unix()/86400
	by := map[access.PrincipalID]Approver{}
	for _, c := range l.Votes {
		if c.Day >= first && c.Day <= last {
			a := by[c.By]
			by[c.By] = Approver{c.By, a.Yes + c.Yes, a.Quick + c.Quick}
		}
	}
	for _, a := range by {
		if a.Yes >= fewest && float64(a.Quick) > tooQuick*float64(a.Yes) {
			r.Quick = append(r.Quick, a)
		}
	}
	slices.SortFunc(r.Quick, func(a, b Approver) int { return strings.Compare(string(a.By), string(b.By)) })
}

// quantile is the least value that a share q of the values is not above; 0 of none.
func quantile(ds []time.Duration, q float64) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	ds = slices.Sorted(slices.Values(ds))
	i := int(q*float64(len(ds))+0.999999) - 1
	return ds[max(0, min(i, len(ds)-1))]
}

// Began is when the oldest of what is known happened; zero where nothing did.
func (l Lines) Began() (at time.Time) {
	if n := len(l.Requests); n > 0 {
		at = l.Requests[n-1].CreatedAt
	}
	return at
}
