package insight

import (
	"math"
	"testing"
	"time"

	"stint/internal/access"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// TestOutcomes: every request is in one number or, while it waits, in none, and on the day
// on which it was made.
func TestOutcomes(t *testing.T) {
	line := func(id string, at time.Duration, s access.RequestState, bend func(*access.RequestLine)) access.RequestLine {
		l := access.RequestLine{ID: access.RequestID(id), State: s, CreatedAt: ago(at), Resource: "db"}
		if bend != nil {
			bend(&l)
		}
		return l
	}
	person := func(wait time.Duration) func(*access.RequestLine) {
		return func(l *access.RequestLine) { l.Needed, l.Voted = 1, l.CreatedAt.Add(wait) }
	}
	l := Lines{At: noon, Requests: []access.RequestLine{
		line("auto", time.Hour, access.RequestIsGranted, nil),
		line("yes", 2*time.Hour, access.RequestIsGranted, person(90*time.Second)),
		line("no", 13*time.Hour, access.RequestIsDenied, person(5*time.Second)), // yesterday
		line("late", 14*time.Hour, access.RequestTimedOut, nil),
		line("back", 15*time.Hour, access.RequestWithdrawn, nil),
		line("broken", 16*time.Hour, access.RequestIsGranted, func(l *access.RequestLine) { person(time.Minute)(l); l.Setup = access.Failed }),
		line("glass", 17*time.Hour, access.RequestIsGranted, nil),
		line("drill", 17*time.Hour, access.RequestIsGranted, nil),
		line("open", 18*time.Hour, access.RequestPending, nil),
		line("old", 7*24*time.Hour, access.RequestIsGranted, nil),
	}, Glass: []access.Review{{Request: "glass"}, {Request: "drill", Drill: true}}}
	r := l.Window(7, false)
	want := map[Outcome]int{Automatic: 1, Approved: 1, Denied: 1, Expired: 1, Withdrawn: 1, Failed: 1, Glass: 2}
	for _, o := range append(Outcomes, Waiting) {
		if r.Total[o] != want[o] {
			t.Errorf("%s: %d, want %d", o, r.Total[o], want[o])
		}
	}
	if len(r.Days) != 7 || r.Days[6].Count[Automatic] != 1 || r.Days[5].Count[Denied] != 1 || r.Days[6].Open != 0.5 || r.Days[5].Open != 1 {
		t.Errorf("days: %+v", r.Days)
	}
	if r.Drills != 1 || r.Waited != 2 || r.Bins[1] != 2 || r.P50 != time.Minute || r.P90 != 90*time.Second {
		t.Errorf("drills %d, waited %d %v, %s %s", r.Drills, r.Waited, r.Bins, r.P50, r.P90)
	}
	if back := l.Window(7, true); back.Total[Automatic] != 1 || len(back.Asked) != 1 || back.Asked[0].ID != "old" {
		t.Errorf("the week before: %+v", back.Asked)
	}
	if r.Slowest != "" {
		t.Errorf("%s is the slowest of two", r.Slowest)
	}
	if !l.Began().Equal(ago(7*24*time.Hour)) || !(Lines{}).Began().IsZero() {
		t.Errorf("it began at %s", l.Began())
	}
}

// TestBins: what is exactly an edge is above it.
func TestBins(t *testing.T) {
	for d, want := range map[time.Duration]int{0: 0, 59 * time.Second: 0, time.Minute: 1, 119 * time.Second: 1, 2 * time.Minute: 2, 5 * time.Minute: 3,
		10 * time.Minute: 4, 20 * time.Minute: 5, time.Hour: 6, 4 * time.Hour: 7, 24 * time.Hour: 7} {
		if got := Bin(d); got != want {
			t.Errorf("%s is in bin %d, want %d", d, got, want)
		}
	}
}

// TestHeld: hours are those until access was read back as gone, on each target; what is
// not confirmed goes on and is nobody's success.
func TestHeld(t *testing.T) {
	l := Lines{At: noon, Grants: []access.GrantLine{
		{ID: "live", State: access.Active, Targets: 2, ActiveAt: ago(14 * time.Hour), DueGone: noon.Add(time.Hour), Principal: "user:a"}, // since 22 h of yesterday
		{ID: "gone", State: access.Ended, Targets: 1, ActiveAt: ago(3 * time.Hour), DueGone: ago(2 * time.Hour), GoneAt: ago(2*time.Hour - 2*time.Second)},
		{ID: "slow", State: access.Ended, Targets: 1, ActiveAt: ago(3 * time.Hour), DueGone: ago(2 * time.Hour), GoneAt: ago(2*time.Hour - 20*time.Second)},
		{ID: "stuck", State: access.Ending, Targets: 1, ActiveAt: ago(2 * time.Hour), DueGone: ago(time.Hour), Type: "postgres"},
		{ID: "overdue", State: access.Active, Targets: 1, ActiveAt: ago(time.Minute), DueGone: ago(5 * time.Second), Principal: "user:a"},
		{ID: "never", State: access.Failed, Targets: 1, DueGone: ago(time.Hour), GoneAt: ago(time.Hour)},
		{ID: "old", State: access.Ended, Targets: 1, ActiveAt: ago(300 * time.Hour), DueGone: ago(200 * time.Hour), GoneAt: ago(200 * time.Hour)},
	}}
	r := l.Window(7, false)
	if got := r.Days[5].JIT; got != 4 { // two hours on two targets
		t.Errorf("yesterday: %v hours", got)
	}
	want := 24 + 2*(1.0) + (2+20.0)/3600 + 2 + 1.0/60
	if got := r.Days[6].JIT; math.Abs(got-want) > 1e-9 {
		t.Errorf("today: %v hours, want %v", got, want)
	}
	lag := map[access.GrantID]time.Duration{}
	for _, m := range r.Removals {
		lag[m.ID] = m.Lag
	}
	if len(lag) != 4 || lag["gone"] != 2*time.Second || lag["slow"] != 20*time.Second || lag["stuck"] != time.Hour || lag["overdue"] != 5*time.Second {
		t.Errorf("lags: %v", lag)
	}
	if r.Overdue != 2 || r.Going != 2 || r.P95 != time.Hour || r.Active != 2 || r.Holders != 1 {
		t.Errorf("%d over the target, %d not confirmed, p95 %s, %d active of %d", r.Overdue, r.Going, r.P95, r.Active, r.Holders)
	}
	l.At = noon.Add(time.Minute)
	if again := l.Window(7, false); again.P95 != time.Hour+time.Minute {
		t.Errorf("a minute later the longest is %s", again.P95)
	}
}

// TestQuick: somebody is named who says yes to nearly all of many at once, in this window.
func TestQuick(t *testing.T) {
	today := noon.Unix() / 86400
	l := Lines{At: noon, Votes: []access.VoteCount{
		{By: "user:stamp", Day: today, Yes: 3, Quick: 3}, {By: "user:stamp", Day: today - 1, Yes: 3, Quick: 2},
		{By: "user:most", Day: today, Yes: 10, Quick: 8}, // 80 %, and not above
		{By: "user:few", Day: today, Yes: 4, Quick: 4},
		{By: "user:before", Day: today - 7, Yes: 10, Quick: 10},
	}}
	got := l.Window(7, false).Quick
	if len(got) != 1 || got[0] != (Approver{"user:stamp", 6, 5}) {
		t.Errorf("named: %+v", got)
	}
	if got := l.Window(30, false).Quick; len(got) != 2 {
		t.Errorf("in a month: %+v", got)
	}
}

// TestQuantile.
func TestQuantile(t *testing.T) {
	ds := []time.Duration{4, 1, 3, 2}
	for q, want := range map[float64]time.Duration{0.5: 2, 0.75: 3, 0.9: 4, 1: 4} {
		if got := quantile(ds, q); got != want {
			t.Errorf("%v: %d, want %d", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 || ds[0] != 4 {
		t.Error("of none, or it sorted what it was given")
	}
}
