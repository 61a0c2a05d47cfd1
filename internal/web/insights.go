package web

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Adder is what the pages of insights need of the control plane.
type Adder interface {
	// Insight is what so many days add up to.
	Insight(ctx context.Context, v Visitor, days int) (views.Insight, error)
	// InsightList is what one of its numbers is made of.
	InsightList(ctx context.Context, v Visitor, q views.InsightQuery) (views.InsightList, error)
}

// insightDays are the ranges that there are; the first is for who asks for none.
var insightDays = []int{30, 7, 90}

// daysOf is a range that somebody asked for.
func daysOf(q url.Values) int {
	n, err := strconv.Atoi(q.Get("days"))
	if err != nil || !slices.Contains(insightDays, n) {
		return insightDays[0]
	}
	return n
}

func (s *Site) insights(v *visit) error {
	x, err := s.doors.Insight(v.r.Context(), v.Visitor, daysOf(v.r.URL.Query()))
	if err != nil {
		return err
	}
	return s.show(v, sheet{title: words.Insights, lede: words.InsightsLede, nav: "insights"}, views.InsightsPage(x))
}

func (s *Site) insightList(v *visit) error {
	q, ok := insightQuery(v.r.URL.Query())
	if !ok {
		return &api.Error{Kind: api.Invalid, Code: "no-such-list", Message: words.InsightsBadList, Next: words.InsightsBadListNext}
	}
	l, err := s.doors.InsightList(v.r.Context(), v.Visitor, q)
	if err != nil {
		return err
	}
	title := words.InsightsListRequests
	if q.Of == "removals" {
		title = words.InsightsListRemovals
	}
	up := []ui.Crumb{{Href: "/insights?days=" + strconv.Itoa(q.Days), Label: words.Insights}}
	return s.show(v, sheet{title: title, lede: l.Lede(), nav: "insights", up: up}, views.InsightListPage(l))
}

// maxFrom bounds how far into a list one can ask.
const maxFrom = 1_000_000

// insightQuery reads which list is asked for; false where there is none such.
func insightQuery(v url.Values) (q views.InsightQuery, ok bool) {
	q = views.InsightQuery{Of: v.Get("of"), Days: daysOf(v), Day: v.Get("day"), Outcome: v.Get("outcome"), Bin: -1, Over: v.Get("over") == "1", Open: v.Get("open") == "1"}
	ok = q.Of == "requests" || q.Of == "removals"
	if q.Day != "" {
		t, err := time.Parse(time.DateOnly, q.Day)
		ok = ok && err == nil && t.Format(time.DateOnly) == q.Day
	}
	if q.Outcome != "" {
		_, known := words.InsightsOutcomeNames[q.Outcome]
		ok = ok && known
	}
	number := func(name string, most int, to *int) {
		if text := v.Get(name); text != "" {
			n, err := strconv.Atoi(text)
			ok = ok && err == nil && n >= 0 && n <= most
			*to = n
		}
	}
	number("bin", len(words.InsightsBins)-1, &q.Bin)
	number("from", maxFrom, &q.From)
	return q, ok
}
