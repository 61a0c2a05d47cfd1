package apiserver

import (
	"context"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/insight"
	"stint/internal/web"
	"stint/internal/web/views"
)

const (
	// shownDots is how many removals are drawn, the newest, and shownLooks how many of a
	// kind are named that are worth a look.
	shownDots, shownLooks = 400, 5
	// shownListed is one page of what a number is made of.
	shownListed = 100
)

// Insight is what so many days add up to, for auditors and administrators.
func (d doors) Insight(ctx context.Context, v web.Visitor, days int) (views.Insight, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return views.Insight{}, err
	}
	who := callBy(c).asked(nil)
	lines, err := d.broker.Tally(ctx, who)
	if err != nil {
		return views.Insight{}, err
	}
	r := lines.Window(days, false)
	x := views.Insight{At: lines.At, Days: days, Began: lines.Began(), Cut: lines.Cut, Drills: r.Drills, Bins: r.Bins, Waited: r.Waited, P50: r.P50, P90: r.P90,
		Slowest: string(r.Slowest), SlowestP50: r.SlowestP50, Removed: len(r.Removals), Overdue: r.Overdue, Going: r.Going, P95: r.P95, Target: insight.Target,
		Active: r.Active, Holders: r.Holders}
	if 2*days <= insight.Most {
		x.Before = lines.Window(days, true).P50
	}
	for _, o := range insight.Outcomes {
		x.Outcomes = append(x.Outcomes, string(o))
	}
	for _, day := range r.Days {
		is := views.InsightDay{At: day.At, JIT: day.JIT}
		for _, o := range insight.Outcomes {
			is.Counts = append(is.Counts, day.Count[o])
		}
		x.Day = append(x.Day, is)
	}
	for i, m := range r.Removals {
		if i < shownDots {
			x.Removals = append(x.Removals, toRemovalRow(m))
		}
		if m.Over() && !slices.Contains(x.OverTypes, m.Type) && len(x.OverTypes) < 3 {
			x.OverTypes = append(x.OverTypes, m.Type)
		}
	}
	slices.Sort(x.OverTypes)
	for _, a := range r.Quick[:min(len(r.Quick), shownLooks)] {
		x.Quick = append(x.Quick, views.InsightQuick{Who: string(a.By), Quick: int(a.Quick), Yes: int(a.Yes)})
	}
	for _, g := range lines.Glass {
		switch {
		case g.State != access.ReviewOpen || g.Drill && !g.Overdue(lines.At):
		case len(x.Glass) == shownLooks:
			x.MoreGlass++
		default:
			x.Glass = append(x.Glass, views.InsightGlass{Request: string(g.Request), Who: string(g.Principal), Resource: string(g.Resource), Overdue: g.Overdue(lines.At)})
		}
	}
	if err := d.standingOf(ctx, who, &x); err != nil {
		return x, err
	}
	tight, err := d.broker.OneApprovers(ctx, who)
	for i, t := range tight {
		if i == shownLooks {
			x.MoreTight = len(tight) - i
			break
		}
		x.Tight = append(x.Tight, views.InsightTight{Resource: string(t.Resource), Role: string(t.Role), Who: string(t.Person)})
	}
	return x, err
}

func toRemovalRow(m insight.Removal) views.InsightRow {
	return views.InsightRow{Request: string(m.Request), Who: string(m.Principal), Resource: string(m.Resource), Role: string(m.Role), At: m.DueGone,
		Took: m.Lag, Confirmed: m.Confirmed, Over: m.Over()}
}

// InsightList is what one of those numbers is made of.
func (d doors) InsightList(ctx context.Context, v web.Visitor, q views.InsightQuery) (views.InsightList, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return views.InsightList{}, err
	}
	lines, err := d.broker.Tally(ctx, callBy(c).asked(nil))
	if err != nil {
		return views.InsightList{}, err
	}
	out := views.InsightList{Query: q, At: lines.At}
	add := func(row views.InsightRow) {
		if q.Day != "" && row.At.UTC().Format("2006-01-02") != q.Day {
			return
		}
		if out.All++; out.All > q.From && len(out.Rows) < shownListed {
			out.Rows = append(out.Rows, row)
		}
	}
	r := lines.Window(q.Days, false)
	if q.Of == "removals" {
		for _, m := range r.Removals {
			if (!q.Over || m.Over()) && (!q.Open || !m.Confirmed) {
				add(toRemovalRow(m))
			}
		}
		return out, nil
	}
	for _, a := range r.Asked {
		if q.Outcome == "" && a.Outcome == insight.Waiting || q.Outcome != "" && string(a.Outcome) != q.Outcome || q.Bin >= 0 && (a.Wait == 0 || insight.Bin(a.Wait) != q.Bin) {
			continue
		}
		add(views.InsightRow{Request: string(a.ID), Who: string(a.Principal), Resource: string(a.Resource), Role: string(a.Role), At: a.CreatedAt,
			Outcome: string(a.Outcome), Drill: a.Drill, Took: a.Wait})
	}
	return out, nil
}

// standingOf adds what surveys found: now, and on each day on which something was surveyed.
func (d doors) standingOf(ctx context.Context, who broker.Caller, x *views.Insight) error {
	states, err := d.broker.ResourceStates(ctx, who)
	if err != nil {
		return err
	}
	for _, s := range states {
		if s.Surveyable {
			x.Surveyable++
		}
		if !s.Survey.At.IsZero() {
			x.Surveyed++
			x.Standing += s.Survey.Edges
			x.StandingKnown = true
		}
	}
	found, err := d.broker.StandingDays(ctx, who, "", x.Day[0].At, x.At)
	if err != nil {
		return err
	}
	of := map[string]int{}
	for _, f := range found {
		of[f.Day.UTC().Format(time.DateOnly)] = f.Edges
	}
	for i := range x.Day {
		n, ok := of[x.Day[i].At.Format(time.DateOnly)]
		x.Day[i].Standing, x.Day[i].Known = n, ok
	}
	return nil
}
