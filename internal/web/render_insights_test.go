package web

import (
	"context"
	"time"

	"stint/internal/web/views"
)

func (s *stand) Insight(context.Context, Visitor, int) (views.Insight, error) {
	now := time.Now()
	row := views.InsightRow{Request: "req_1", Who: nasty, Resource: nasty, Role: nasty, At: now.Add(-time.Minute), Outcome: "approved", Took: time.Minute, Over: true}
	return views.Insight{At: now, Days: 7, Began: now, Cut: true, Day: []views.InsightDay{{At: now.Truncate(24 * time.Hour), Counts: []int{1, 2}, JIT: 1.5}}, Outcomes: []string{"automatic", "break-glass"},
		Bins: []int{1, 0, 2}, Waited: 3, P50: time.Minute, Slowest: nasty, Removals: []views.InsightRow{row}, Removed: 2, Overdue: 1, Going: 1, Target: time.Second, OverTypes: []string{nasty},
		Glass: []views.InsightGlass{{Request: nasty, Who: nasty, Resource: nasty, Overdue: true}}, Tight: []views.InsightTight{{Resource: nasty, Role: nasty, Who: nasty}, {Resource: nasty}},
		Quick: []views.InsightQuick{{Who: nasty, Quick: 5, Yes: 5}}, MoreGlass: 1, MoreTight: 1}, nil
}
func (s *stand) InsightList(_ context.Context, _ Visitor, q views.InsightQuery) (views.InsightList, error) {
	row := views.InsightRow{Request: nasty, Who: nasty, Resource: nasty, Role: nasty, At: time.Now(), Outcome: "approved", Took: time.Minute}
	return views.InsightList{Query: q, Rows: []views.InsightRow{row}, All: 300, At: time.Now()}, nil
}
