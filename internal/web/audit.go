package web

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Recorder is what the pages of the log need of the control plane. Whoever is no auditor
// finds what is about themselves.
type Recorder interface {
	// Look searches the log, the newest first.
	Look(ctx context.Context, v Visitor, q views.AuditQuery) (views.AuditFound, error)
	// Each hands on all of it, a page at a time.
	Each(ctx context.Context, v Visitor, q views.AuditQuery, each func([]api.AuditRecord) error) error
	// Record is one record, with what proves it.
	Record(ctx context.Context, v Visitor, seq int64) (views.AuditProof, error)
	// KeepSearch keeps a search of the visitor's under a name; without a query it forgets it.
	KeepSearch(ctx context.Context, v Visitor, name, query string) error
}

const exportPattern = "GET /audit/export"

// auditQuery is what an address asks for. What it does not say is the last day.
func auditQuery(q url.Values) views.AuditQuery {
	field := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	out := views.AuditQuery{Range: field("range"), Since: moment(field("since")), Until: moment(field("until")), Before: field("before"), Fields: map[string]string{}}
	for _, name := range views.AuditFields {
		if v := field(name); v != "" {
			out.Fields[name] = v
		}
	}
	if out.Since != "" || out.Until != "" {
		out.Range = ""
	} else if out.Range == "" {
		out.Range = "24h"
	}
	return out
}

// moment is a time of day in UTC as the control plane and the command line read it; what is
// none stays, for them to say so.
func moment(text string) string {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Format(time.RFC3339)
		}
	}
	return text
}

func (s *Site) showAudit(v *visit) error {
	body, err := s.auditBody(v, auditQuery(v.r.URL.Query()), "")
	if err != nil {
		return err
	}
	sh := sheet{title: words.AuditTitle, lede: words.AuditLede, nav: "audit"}
	if !v.person.Auditor && !v.person.Admin {
		sh.title, sh.lede = words.AuditOwnTitle, words.AuditOwnLede
	}
	return s.show(v, sh, body)
}

// auditBody is the page of a search. One that cannot be made shows what is wrong with it
// beside what was typed.
func (s *Site) auditBody(v *visit, q views.AuditQuery, wrong string) (templ.Component, error) {
	found, err := s.doors.Look(v.r.Context(), v.Visitor, q)
	if err != nil {
		e := s.doors.Refusal(v.r.Context(), err)
		if e.Kind != api.Invalid {
			return nil, err
		}
		wrong = e.Message
		if e.Next != "" {
			wrong += ": " + e.Next
		}
	}
	return views.AuditPage(views.Audit{Query: q, Found: found, Wrong: wrong, Now: v.at, All: v.person.Auditor || v.person.Admin}), nil
}

func (s *Site) showRecord(v *visit) error {
	seq, err := strconv.ParseInt(v.r.PathValue("seq"), 10, 64)
	if err != nil || seq < 0 {
		return &api.Error{Kind: api.NotFound, Code: "no-such-record", Message: words.AuditNoRecord, Next: words.AuditNoRecordNext}
	}
	p, err := s.doors.Record(v.r.Context(), v.Visitor, seq)
	if err != nil {
		return err
	}
	return s.show(v, sheet{title: words.AuditRecord(seq), nav: "audit", up: []ui.Crumb{{Href: "/audit", Label: words.AuditTitle}}}, views.AuditRecordPage(p))
}

func (s *Site) keepSearch(v *visit) error {
	f := v.r.PostForm
	query := ""
	if f.Get("act") != "forget" {
		q, err := url.ParseQuery(f.Get("query"))
		if err != nil {
			return &api.Error{Kind: api.Invalid, Code: "bad-form", Message: words.AuditBadSearch, Next: words.AuditBadSearchNext}
		}
		query = auditQuery(q).Page("").Encode()
	}
	if err := s.doors.KeepSearch(v.r.Context(), v.Visitor, strings.TrimSpace(f.Get("name")), query); err != nil {
		return err
	}
	v.redirect("/audit?" + query)
	return nil
}

// exportAudit answers with all that a search finds. What breaks off in the middle is a
// broken answer, and not a shorter one.
func (s *Site) exportAudit(v *visit) error {
	query := auditQuery(v.r.URL.Query())
	query.Before = ""
	var write func([]api.AuditRecord) error
	h, control, begun := v.w.Header(), http.NewResponseController(v.w), false
	out := io.Writer(v.w)
	kind, name := "text/csv; charset=utf-8", "csv"
	switch v.r.URL.Query().Get("format") {
	case "csv":
		write = func(rs []api.AuditRecord) error { return auditCSV(out, rs, !begun) }
	case "jsonl":
		kind, name = "application/x-ndjson", "jsonl"
		write = func(rs []api.AuditRecord) error { return auditLines(out, rs) }
	default:
		return &api.Error{Kind: api.Invalid, Code: "bad-format", Message: words.AuditBadFormat, Next: words.AuditBadFormatNext}
	}
	begin := func() {
		h.Set("Content-Type", kind)
		h.Set("Content-Disposition", `attachment; filename="stint-audit-`+v.at.UTC().Format("20060102-150405")+"."+name+`"`)
		h.Set("Cache-Control", "no-store")
	}
	err := s.doors.Each(v.r.Context(), v.Visitor, query, func(rs []api.AuditRecord) error {
		if err := control.SetWriteDeadline(time.Now().Add(writeFor)); err != nil {
			return err
		}
		if !begun {
			begin()
		}
		err := write(rs)
		begun = true
		return err
	})
	switch {
	case err != nil && begun:
		panic(http.ErrAbortHandler)
	case err != nil:
		return err
	case !begun:
		begin()
		if err := write(nil); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	return nil
}

func auditLines(out io.Writer, rs []api.AuditRecord) error {
	for _, r := range rs {
		if _, err := fmt.Fprintf(out, "{\"seq\":%d,\"record\":%s}\n", r.Seq, r.Record); err != nil {
			return err
		}
	}
	return nil
}

func auditCSV(out io.Writer, rs []api.AuditRecord, head bool) error {
	w := csv.NewWriter(out)
	w.UseCRLF = true // RFC 4180
	if head {
		_ = w.Write([]string{"seq", "at", "type", "what", "actor", "person", "address", "device", "entity", "version", "facts", "id"})
	}
	for _, r := range rs {
		e, err := views.ReadRecord(r)
		if err != nil {
			return err
		}
		facts, err := json.Marshal(e.Facts)
		if err != nil {
			return err
		}
		row := []string{strconv.FormatInt(r.Seq, 10), e.At.UTC().Format("2006-01-02T15:04:05.000Z"), e.Type, e.Sentence(), e.Actor.Principal, e.Actor.Person, e.Actor.Address, e.Actor.Device, e.Entity, strconv.FormatInt(e.Version, 10), string(facts), e.ID}
		for i := range row {
			row[i] = cell(row[i])
		}
		_ = w.Write(row)
	}
	w.Flush()
	return w.Error()
}

// cell keeps a spreadsheet from taking what somebody wrote for a formula: it goes behind an
// apostrophe.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n|", rune(s[0])) {
		return "'" + s
	}
	return s
}
