package views

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"stint/internal/api"
	"stint/internal/shell"
	"stint/internal/web/chart"
	"stint/internal/web/ui"
	"stint/internal/web/words"
)

// AuditFields are what the log can be searched by besides time, in the order of the form
// and of the API's names.
var AuditFields = []string{"actor", "type", "resource", "request", "outcome", "agent", "address", "text"}

// AuditQuery is a search as an address holds it. It is text: the control plane reads it.
type AuditQuery struct {
	Range        string // back from now, such as 24h; or
	Since, Until string // times
	Before       string // the number of a record: only what is older
	Fields       map[string]string
}

// Page is the address's query of this search, from a record on.
func (q AuditQuery) Page(before string) url.Values {
	out := url.Values{}
	for name, v := range q.Fields {
		out.Set(name, v)
	}
	for name, v := range map[string]string{"range": q.Range, "since": q.Since, "until": q.Until, "before": before} {
		if v != "" {
			out.Set(name, v)
		}
	}
	return out
}

// Href is the page of it.
func (q AuditQuery) Href() string { return "/audit?" + q.Page("").Encode() }

// Without is the same search without a field.
func (q AuditQuery) Without(field string) AuditQuery {
	out := q
	out.Before, out.Fields = "", map[string]string{}
	for name, v := range q.Fields {
		if name != field {
			out.Fields[name] = v
		}
	}
	return out
}

func (q AuditQuery) over(span string) string {
	q.Range, q.Since, q.Until, q.Before = span, "", "", ""
	return q.Href()
}

func (q AuditQuery) export(format string) string {
	v := q.Page("")
	v.Set("format", format)
	return "/audit/export?" + v.Encode()
}

// names are the fields that the search has.
func (q AuditQuery) names() (out []string) {
	for _, name := range AuditFields {
		if q.Fields[name] != "" {
			out = append(out, name)
		}
	}
	return out
}

// Command is the same at the command line.
func (q AuditQuery) Command() string {
	args := []string{"stint", "audit", "search", "--newest"}
	if q.Range != "" {
		args = append(args, "--since", q.Range)
	}
	for name, v := range map[string]string{"--since": q.Since, "--until": q.Until} {
		if v != "" {
			args = append(args, name, v)
		}
	}
	for _, name := range q.names() {
		args = append(args, "--"+name, q.Fields[name])
	}
	return shell.Line(args...)
}

// AuditFound is what a search came to.
type AuditFound struct {
	Records      []api.AuditRecord
	Results      []string // of each: denied, trouble, done
	Next         string   // the Before of what is older; empty where there is nothing
	Since, Until time.Time
	Counts       []int64 // by time, in equal steps
	Total        int64
	Looked, Of   int64
	Oldest       time.Time    // that was counted; zero where all were
	Nearest      []AuditNear  // where nothing was found: what would find something
	Check        AuditCheck   // how far the log is proven
	Saved        []AuditSaved // the visitor's own
	Keeps        bool         // they may keep one
}

// AuditNear is a search with one condition less.
type AuditNear struct {
	Field string
	Found int64
	More  bool // there may be more: not all was looked at
}

// AuditSaved is a search that is kept.
type AuditSaved struct{ Name, Query string }

// AuditCheck is how far the server has proven the log.
type AuditCheck struct {
	Signed, Size int64     // records that a checkpoint proves, of those that there are
	At           time.Time // of the newest of them
	Bad          string
}

// Audit is the page of the log.
type Audit struct {
	Query AuditQuery
	Found AuditFound
	Wrong string // with what was typed
	Now   time.Time
	All   bool // the visitor sees everybody's records
}

// AuditEvent is what people see of a record.
type AuditEvent struct {
	ID      string    `json:"id"`
	Type    string    `json:"type"`
	At      time.Time `json:"at"`
	Entity  string    `json:"entity"`
	Version int64     `json:"version"`
	Actor   struct {
		Principal string `json:"principal"`
		Person    string `json:"person"`
		Device    string `json:"device"`
		Address   string `json:"address"`
	} `json:"actor"`
	Facts map[string]string `json:"facts"`
}

// ReadRecord reads one.
func ReadRecord(r api.AuditRecord) (e AuditEvent, err error) {
	if err = json.Unmarshal(r.Record, &e); err != nil {
		err = fmt.Errorf("read record %d: %w", r.Seq, err)
	}
	return e, err
}

// Sentence says it in words.
func (e AuditEvent) Sentence() string {
	return words.AuditEvent(e.Type, e.Actor.Principal, e.Entity, e.Facts)
}

// event is one of the rows; what cannot be read says so.
func (a Audit) event(i int) AuditEvent {
	e, err := ReadRecord(a.Found.Records[i])
	if err != nil {
		e.Type, e.Entity = "?", words.AuditUnreadable
	}
	return e
}

func (a Audit) result(i int) (ui.Tone, string) {
	if i >= len(a.Found.Results) {
		return ui.Plain, ""
	}
	switch a.Found.Results[i] {
	case "denied":
		return ui.Warn, words.AuditDenied
	case "trouble":
		return ui.Bad, words.AuditTrouble
	}
	return ui.Plain, ""
}

// chart is how many there are by time.
func (a Audit) chart() chart.Bars {
	f := a.Found
	c := chart.Bars{Label: words.AuditChart, Series: []string{words.AuditRecords}}
	if len(f.Counts) == 0 {
		return c
	}
	step := f.Until.Sub(f.Since) / time.Duration(len(f.Counts))
	form := "15:04"
	if f.Until.Sub(f.Since) > 48*time.Hour {
		form = "2 Jan"
	}
	for i, n := range f.Counts {
		from := f.Since.Add(time.Duration(i) * step)
		to := from.Add(step)
		b := chart.Bar{Label: from.UTC().Format(form), Title: words.AuditBar(n, from, to), Values: []float64{float64(n)}}
		if n > 0 {
			q := a.Query
			q.Range, q.Since, q.Until = "", from.UTC().Format(time.RFC3339), to.Add(time.Second).UTC().Format(time.RFC3339)
			b.Href = q.Href()
		}
		c.Bars = append(c.Bars, b)
	}
	return c
}

func (a Audit) rows() [][]string {
	rows := a.chart().Rows(true)
	for i := range rows {
		if i < 200 {
			continue
		}
		return rows[:i]
	}
	return rows
}

// caption is the sentence below the picture.
func (a Audit) caption() string {
	f := a.Found
	most, at := int64(0), 0
	for i, n := range f.Counts {
		if n > most {
			most, at = n, i
		}
	}
	text := words.AuditCount(f.Total)
	if most > 0 && f.Total > most {
		step := f.Until.Sub(f.Since) / time.Duration(len(f.Counts))
		text += " " + words.AuditMost(most, f.Since.Add(time.Duration(at)*step))
	}
	if f.Looked < f.Of {
		text += " " + words.AuditOnly(f.Looked, f.Oldest)
	}
	return text
}

func (a Audit) badge() (ui.Tone, string) {
	c := a.Found.Check
	switch {
	case c.Bad != "":
		return ui.Bad, words.AuditDamaged(c.Bad)
	case c.Signed == 0:
		return ui.Plain, words.AuditUnchecked
	case c.Signed < c.Size:
		return ui.Warn, words.AuditPartly(c.Signed, c.Size)
	}
	return ui.Good, words.AuditVerified(c.At, c.Signed-1)
}

// ranges are the spans to choose from.
func (a Audit) ranges() (out []ui.Tab) {
	for _, r := range []string{"1h", "24h", "7d", "30d"} {
		out = append(out, ui.Tab{Href: a.Query.over(r), Label: words.AuditRange(r), Current: a.Query.Range == r, Count: -1})
	}
	return out
}

func outcomes(chosen string) (out []ui.Option) {
	for _, o := range []string{"", "denied", "trouble", "done"} {
		out = append(out, ui.Option{Value: o, Label: words.AuditOutcome(o), Chosen: o == chosen})
	}
	return out
}

func (a Audit) saved() bool {
	q := a.Query.Page("").Encode()
	return slices.ContainsFunc(a.Found.Saved, func(s AuditSaved) bool { return s.Query == q })
}

// AuditProof is one record and what shows that it is in the log.
type AuditProof struct {
	Record     api.AuditRecord
	Leaf       string
	Path       []string // the hashes that lead from it to the root
	Checkpoint string   // the signed note
	Size       int64    // of the log at that checkpoint
	Holds      bool     // the proof was checked, with the log's key
	Why        string   // it does not
	Check      AuditCheck
}

func (p AuditProof) event() AuditEvent {
	e, err := ReadRecord(p.Record)
	if err != nil {
		e.Type, e.Entity = "?", words.AuditUnreadable
	}
	return e
}

// facts are what it says, in a fixed order.
func (p AuditProof) facts() [][2]string {
	e := p.event()
	out := [][2]string{}
	for k, v := range e.Facts {
		out = append(out, [2]string{k, v})
	}
	slices.SortFunc(out, func(a, b [2]string) int {
		if a[0] < b[0] {
			return -1
		}
		return 1
	})
	return out
}

func (p AuditProof) href(of int64) string { return "/audit/" + strconv.FormatInt(of, 10) }

// about leads to everything of one request, grant or other thing.
func aboutHref(entity string) string {
	return AuditQuery{Range: "30d", Fields: map[string]string{"request": entity}}.Href()
}

// more reports whether the conditions that are folded away are used.
func (a Audit) more() bool {
	for _, name := range []string{"outcome", "agent", "address", "text"} {
		if a.Query.Fields[name] != "" {
			return true
		}
	}
	return a.Query.Since != "" || a.Query.Until != ""
}
