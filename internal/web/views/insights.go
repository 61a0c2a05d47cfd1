package views

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"stint/internal/web/chart"
	"stint/internal/web/ui"
	"stint/internal/web/words"
)

// Insight is what so many days add up to.
type Insight struct {
	At    time.Time // of the numbers
	Days  int
	Began time.Time // of the oldest that is known; zero: there is nothing
	Cut   bool

	Day      []InsightDay // the oldest first; the last is today
	Outcomes []string     // keys, in order
	Drills   int

	Bins                    []int
	Waited                  int
	P50, P90, Before        time.Duration // Before: the median of the days before; 0: not known
	Slowest                 string
	SlowestP50              time.Duration
	Removals                []InsightRow // the newest first
	Removed, Overdue, Going int
	P95, Target             time.Duration
	OverTypes               []string // kinds of targets that took too long
	Active, Holders         int
	Glass                   []InsightGlass
	Tight                   []InsightTight
	Quick                   []InsightQuick
	MoreGlass, MoreTight    int
	Standing                int // edges at the last survey
	Surveyed, Surveyable    int // resources with an answer, those that can give one
	StandingKnown           bool
}

// InsightDay is one day.
type InsightDay struct {
	At       time.Time
	Counts   []int // in the order of Outcomes
	JIT      float64
	Standing int  // edges
	Known    bool // they were surveyed by then
}

// InsightGlass is break-glass access without its review.
type InsightGlass struct {
	Request, Who, Resource string
	Overdue                bool
}

// InsightTight is a role that one person can approve, or none.
type InsightTight struct{ Resource, Role, Who string }

// InsightQuick is who says yes faster than anybody can read.
type InsightQuick struct {
	Who        string
	Quick, Yes int
}

// InsightRow is one request or one removal behind a number.
type InsightRow struct {
	Request, Who, Resource, Role string
	At                           time.Time // asked, or when it should have been gone
	Outcome                      string
	Drill                        bool
	Took                         time.Duration // to approve, or to remove
	Confirmed, Over              bool
}

// InsightQuery says which list is shown.
type InsightQuery struct {
	Of         string // requests or removals
	Days       int
	Day        string // 2006-01-02; empty: all
	Outcome    string
	Bin        int // -1: any
	Over, Open bool
	From       int // how many come before
}

// Address is where the list stands.
func (q InsightQuery) Address() string {
	v := url.Values{"of": {q.Of}, "days": {strconv.Itoa(q.Days)}}
	set := func(name, value string, is bool) {
		if is {
			v.Set(name, value)
		}
	}
	set("day", q.Day, q.Day != "")
	set("outcome", q.Outcome, q.Outcome != "")
	set("bin", strconv.Itoa(q.Bin), q.Bin >= 0)
	set("over", "1", q.Over)
	set("open", "1", q.Open)
	set("from", strconv.Itoa(q.From), q.From > 0)
	return "/insights/list?" + v.Encode()
}

// InsightList is a page of one.
type InsightList struct {
	Query InsightQuery
	Rows  []InsightRow
	All   int
	At    time.Time
}

// Cell is one of a table whose numbers lead to what they are made of.
type Cell struct {
	Text, Href string
	Number     bool
}

// requests and removals are the addresses of lists of the same days.
func (x Insight) requests(day, outcome string, bin int) string {
	return InsightQuery{Of: "requests", Days: x.Days, Day: day, Outcome: outcome, Bin: bin}.Address()
}

func (x Insight) removals(day string, over, open bool) string {
	return InsightQuery{Of: "removals", Days: x.Days, Day: day, Bin: -1, Over: over, Open: open}.Address()
}

// dayLog is the log of one day, of one kind of record.
func dayLog(day time.Time, kind string) string {
	from := day.UTC().Truncate(24 * time.Hour)
	return AuditQuery{Since: from.Format(time.RFC3339), Until: from.AddDate(0, 0, 1).Format(time.RFC3339), Fields: map[string]string{"type": kind}}.Href()
}

// logTypes are the records of an outcome, where there is one kind of them. What was granted
// or denied at once is no kind of its own, nor is what could not be set up or still waits.
var logTypes = map[string]string{"": "request.submitted", "approved": "request.approved", "expired": "request.expired", "withdrawn": "request.cancelled", "break-glass": "breakglass.opened"}

// log is where the log has what the list is about; empty where no search finds just that.
func (q InsightQuery) log() string {
	kind := logTypes[q.Outcome]
	if q.Of == "removals" {
		kind = "grant.ended"
	}
	if kind == "" || q.Bin >= 0 || q.Over || q.Open {
		return ""
	}
	if day, err := time.Parse(time.DateOnly, q.Day); err == nil {
		return dayLog(day, kind)
	}
	return AuditQuery{Range: strconv.Itoa(q.Days) + "d", Fields: map[string]string{"type": kind}}.Href()
}

func isoDay(t time.Time) string   { return t.UTC().Format("2006-01-02") }
func shortDay(t time.Time) string { return t.UTC().Format("2 Jan") }

// young is what to say of less than a week of data; empty for more.
func (x Insight) young() string {
	switch age := x.At.Sub(x.Began); {
	case x.Began.IsZero():
		return words.InsightsNoData
	case age < 7*24*time.Hour:
		return words.InsightsYoung(int(age / (24 * time.Hour)))
	}
	return ""
}

// tile is a number with what it means.
type tile struct {
	label, value, note, href string
	tone                     ui.Tone
}

func (x Insight) tiles() []tile {
	standing := tile{label: words.InsightsStanding, value: words.InsightsNotSurveyed, note: words.InsightsNotSurveyedBy}
	if x.StandingKnown {
		standing = tile{label: words.InsightsStanding, value: itoa(x.Standing), note: words.InsightsStandingNote(x.Surveyed, x.Surveyable), href: "/resources"}
	}
	wait := tile{label: words.InsightsMedian, value: words.InsightsNone, note: words.InsightsNoneYet}
	if x.Waited > 0 {
		wait = tile{label: words.InsightsMedian, value: words.Lasted(x.P50), note: words.InsightsChange(x.P50, x.Before, x.Days), href: x.requests("", "approved", -1)}
		switch {
		case x.Before > 0 && x.P50 < x.Before:
			wait.tone = ui.Good
		case x.Before > 0 && x.P50 > x.Before+x.Before/4:
			wait.tone = ui.Warn
		}
	}
	slow := tile{label: words.InsightsSlowest, value: words.InsightsNone, note: words.InsightsNoRemoval}
	if x.Removed > 0 {
		slow = tile{label: words.InsightsSlowest, value: words.Lasted(x.P95), note: words.InsightsTarget(x.Target), href: x.removals("", false, false), tone: ui.Good}
		if x.P95 > x.Target {
			slow.tone = ui.Bad
		}
	}
	return []tile{standing, {label: words.InsightsActive, value: itoa(x.Active), note: words.InsightsHolders(x.Holders)}, wait, slow}
}

// hours is the chart of standing against just-in-time hours.
func (x Insight) hours() (c chart.Bars, caption string, columns []ui.Column, rows [][]Cell) {
	c = chart.Bars{Label: words.InsightsHours + ", " + words.InsightsHoursUnit, Series: []string{words.InsightsSeriesStand, words.InsightsSeriesJIT}, Tones: []int{4, 1}}
	total, known, then, since, last := 0.0, false, 0, "", 0.0
	for _, d := range x.Day {
		stand, text := 0.0, words.InsightsUnknown
		if d.Known {
			hours := 24.0
			if d.At.Equal(x.At.UTC().Truncate(24 * time.Hour)) { // so much of today as has passed
				hours = x.At.Sub(d.At).Hours()
			}
			stand = float64(d.Standing) * hours
			text = words.Hours(stand)
			if !known {
				then, since = d.Standing, shortDay(d.At)
			}
			known, last = true, float64(d.Standing)*24
		}
		total += d.JIT
		c.Bars = append(c.Bars, chart.Bar{Label: shortDay(d.At), Title: words.InsightsHoursTitle(shortDay(d.At), d.JIT, stand, d.Known), Values: []float64{stand, d.JIT}})
		day := Cell{Text: isoDay(d.At)}
		if d.JIT > 0 { // what came and went on that day
			day.Href = dayLog(d.At, "grant")
			c.Bars[len(c.Bars)-1].Href = day.Href
		}
		rows = append(rows, []Cell{day, {Text: text, Number: true}, {Text: words.Hours(d.JIT), Number: true}})
	}
	if then == x.Standing {
		since = ""
	}
	slices.Reverse(rows)
	columns = []ui.Column{{Label: words.InsightsDay}, {Label: words.InsightsSeriesStand, Number: true}, {Label: words.InsightsSeriesJIT, Number: true}}
	return c, words.InsightsHoursCaption(total, x.Days, last, known, x.Standing, then, since), columns, rows
}

// outcomes is the chart of what became of requests.
func (x Insight) outcomes() (c chart.Bars, caption string, columns []ui.Column, rows [][]Cell) {
	c = chart.Bars{Label: words.InsightsOutcomes, Tones: []int{1, 2, 3, 5, 6, 4, 7}}
	columns = []ui.Column{{Label: words.InsightsDay}}
	total := map[string]int{}
	for _, o := range x.Outcomes {
		c.Series = append(c.Series, words.InsightsOutcomeNames[o])
		columns = append(columns, ui.Column{Label: words.InsightsOutcomeNames[o], Number: true})
	}
	all := 0
	for _, d := range x.Day {
		b := chart.Bar{Label: shortDay(d.At)}
		row := []Cell{{Text: isoDay(d.At)}}
		var parts []string
		for i, o := range x.Outcomes {
			n := d.Counts[i]
			b.Values = append(b.Values, float64(n))
			cell := Cell{Text: itoa(n), Number: true}
			if n > 0 {
				cell.Href = x.requests(isoDay(d.At), o, -1)
				parts = append(parts, words.InsightsPart(n, words.InsightsOutcomeNames[o]))
			}
			row = append(row, cell)
			total[o] += n
			all += n
		}
		if len(parts) > 0 {
			b.Href = x.requests(isoDay(d.At), "", -1)
			rows = append(rows, row)
		}
		b.Title = words.InsightsBar(shortDay(d.At), parts)
		c.Bars = append(c.Bars, b)
	}
	slices.Reverse(rows)
	caption = words.InsightsOutcomesCaption(all, total["automatic"]+total["approved"]+total["break-glass"], total["expired"], total["break-glass"], x.Drills)
	return c, caption, columns, rows
}

// waits is the histogram of how long people waited.
func (x Insight) waits() (c chart.Bars, caption string, columns []ui.Column, rows [][]Cell) {
	c = chart.Bars{Label: words.InsightsWaits, Series: []string{words.InsightsRequests}, Tones: []int{2}}
	within5 := 0
	for i, n := range x.Bins {
		b := chart.Bar{Label: words.InsightsBins[i], Title: words.InsightsWaitTitle(words.InsightsBins[i], n), Values: []float64{float64(n)}}
		cell := Cell{Text: itoa(n), Number: true}
		if n > 0 {
			b.Href = x.requests("", "", i)
			cell.Href = b.Href
		}
		if i < 3 {
			within5 += n
		}
		c.Bars = append(c.Bars, b)
		rows = append(rows, []Cell{{Text: words.InsightsBins[i]}, cell})
	}
	alone := slices.ContainsFunc(x.Tight, func(t InsightTight) bool { return t.Resource == x.Slowest && t.Who != "" })
	columns = []ui.Column{{Label: words.InsightsWaitBin}, {Label: words.InsightsRequests, Number: true}}
	return c, words.InsightsWaitsCaption(x.Waited, within5, x.P50, x.P90, x.Slowest, x.SlowestP50, alone), columns, rows
}

// lagTicks are the heights that are named beside the dots.
var lagTicks = func() (out []chart.DotMark) {
	const day = 24 * time.Hour
	for _, d := range []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, day, 30 * day, 300 * day} {
		out = append(out, chart.DotMark{At: d.Seconds(), Text: words.InsightsTick(d)})
	}
	return out
}()

// lagRows is how many removals stand in the table below the picture.
const lagRows = 50

// lags is the chart of removals, one dot each.
func (x Insight) lags() (c chart.Dots, caption string, columns []ui.Column, rows [][]Cell) {
	from := x.Day[0].At
	c = chart.Dots{Label: words.InsightsLags, From: float64(from.Unix()), To: float64(x.At.Unix()), Ticks: lagTicks,
		Target:  chart.DotMark{At: x.Target.Seconds(), Text: words.InsightsTarget(x.Target)},
		Legends: [3]string{words.InsightsWithin, words.InsightsOver, words.InsightsGrowing}}
	every := max(1, (len(x.Day)+6)/7)
	for i := every / 2; i < len(x.Day); i += every {
		c.Days = append(c.Days, chart.DotMark{At: float64(x.Day[i].At.Unix()), Text: shortDay(x.Day[i].At)})
	}
	for i, r := range x.Removals {
		d := chart.Dot{X: float64(r.At.Unix()), Y: r.Took.Seconds(), Over: r.Over, Open: !r.Confirmed, Title: words.InsightsDot(bare(r.Who), r.Role, r.Resource, r.Took, r.Confirmed)}
		if d.Open {
			d.X = c.To
		}
		c.Dots = append(c.Dots, d)
		if i < lagRows {
			rows = append(rows, removalCells(r))
		}
	}
	return c, words.InsightsLagsCaption(x.Removed, x.Overdue, x.Going, x.Target, x.OverTypes), removalColumns(), rows
}

func removalColumns() []ui.Column {
	return []ui.Column{{Label: words.InsightsEnded}, {Label: words.InsightsWho}, {Label: words.InsightsWhat}, {Label: words.InsightsLag, Number: true}, {Label: words.InsightsConfirmed}, {Label: words.InsightsRequest}}
}

func removalCells(r InsightRow) []Cell {
	confirmed := words.InsightsYes
	if !r.Confirmed {
		confirmed = words.InsightsNotYet
	}
	took := words.Lasted(r.Took)
	if r.Over {
		took += " !"
	}
	return []Cell{{Text: stampDay(r.At)}, {Text: bare(r.Who)}, {Text: r.Role + " · " + r.Resource}, {Text: took, Number: true}, {Text: confirmed}, {Text: words.InsightsShow, Href: "/r/" + r.Request}}
}

// rowsOf are the columns and cells of a list.
func (l InsightList) table() (columns []ui.Column, rows [][]Cell) {
	if l.Query.Of == "removals" {
		for _, r := range l.Rows {
			rows = append(rows, removalCells(r))
		}
		return removalColumns(), rows
	}
	for _, r := range l.Rows {
		outcome, took := words.InsightsOutcomeNames[r.Outcome], ""
		if r.Took > 0 {
			took = words.Lasted(r.Took)
		}
		rows = append(rows, []Cell{{Text: stampDay(r.At)}, {Text: bare(r.Who)}, {Text: r.Role + " · " + r.Resource}, {Text: outcome}, {Text: took, Number: true}, {Text: words.InsightsShow, Href: "/r/" + r.Request}})
	}
	return []ui.Column{{Label: words.InsightsWhen}, {Label: words.InsightsWho}, {Label: words.InsightsWhat}, {Label: words.InsightsOutcome}, {Label: words.InsightsWaitBin, Number: true}, {Label: words.InsightsRequest}}, rows
}

// Lede says what is listed.
func (l InsightList) Lede() string {
	q := l.Query
	bin := ""
	if q.Bin >= 0 && q.Bin < len(words.InsightsBins) {
		bin = words.InsightsBins[q.Bin]
	}
	return words.InsightsListLede(q.Days, q.Day, words.InsightsOutcomeNames[q.Outcome], bin, q.Over, q.Open)
}

func (l InsightList) older() string {
	if l.Query.From+len(l.Rows) >= l.All {
		return ""
	}
	q := l.Query
	q.From += len(l.Rows)
	return q.Address()
}

func stampDay(t time.Time) string { return t.UTC().Format("2 Jan 15:04") + " UTC" }

// bare is a user without "user:".
func bare(principal string) string {
	if len(principal) > 5 && principal[:5] == "user:" {
		return principal[5:]
	}
	return principal
}

// look is something that stands out.
type look struct {
	icon, text, verdict, href, link string
	tone                            ui.Tone
}

func (x Insight) looks() (out []look) {
	for _, g := range x.Glass {
		l := look{icon: "siren", text: words.InsightsGlass(bare(g.Who), g.Resource), verdict: words.InsightsOpen, tone: ui.Warn, href: "/r/" + g.Request, link: words.InsightsShow}
		if g.Overdue {
			l.verdict, l.tone = words.InsightsOverdue, ui.Bad
		}
		out = append(out, l)
	}
	if x.MoreGlass > 0 {
		out = append(out, look{icon: "siren", text: words.InsightsMore(x.MoreGlass), verdict: words.InsightsOpen, tone: ui.Warn})
	}
	for _, q := range x.Quick {
		out = append(out, look{icon: "clock", text: words.InsightsQuick(bare(q.Who), q.Quick, q.Yes), verdict: words.InsightsRubber, tone: ui.Warn, href: x.requests("", "approved", 0), link: words.InsightsShow})
	}
	for _, t := range x.Tight {
		l := look{icon: "user", text: words.InsightsTight(t.Resource, t.Role, bare(t.Who)), verdict: words.InsightsOneApprover, tone: ui.Warn}
		if t.Who == "" {
			l.verdict, l.tone = words.InsightsNoApprover, ui.Bad
		}
		out = append(out, l)
	}
	if x.MoreTight > 0 {
		out = append(out, look{icon: "user", text: words.InsightsMore(x.MoreTight), verdict: words.InsightsOneApprover, tone: ui.Warn})
	}
	return out
}
