package web

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// TestAuditExport: what is taken along is what was found, and a spreadsheet finds no formula
// in it, whatever somebody wrote.
func TestAuditExport(t *testing.T) {
	srv := httptest.NewServer(New(newStand())) // a stream of bytes needs a real line
	defer srv.Close()
	get := func(at string) (*http.Response, string) {
		res, err := srv.Client().Get(srv.URL + at)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(text)
	}
	res, text := get("/audit/export?format=jsonl&actor=mira")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/x-ndjson" || !strings.HasPrefix(res.Header.Get("Content-Disposition"), `attachment; filename="stint-audit-`) ||
		strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, `{"seq":7,"record":{"v":1`) {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, text)
	}
	res, text = get("/audit/export?format=csv")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 2 || res.Header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Errorf("%v: %v %s", err, res.Header, text)
	}
	for _, at := range []string{"/audit/export", "/audit/export?format=xlsx", "/audit/export?format=csv%0d%0aX:y"} {
		if w := newStand().get(t, at); w.Code == http.StatusOK || w.Header().Get("Content-Disposition") != "" {
			t.Errorf("%s: %d", at, w.Code)
		}
	}
	for in, want := range map[string]string{"": "", "a=1": "a=1", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\t=1": "'\t=1", "\r=1": "'\r=1", "|x": "'|x", "{\"a\":\"=1\"}": "{\"a\":\"=1\"}"} {
		if got := cell(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// TestAuditQuery: an address says all of a search, and what it does not know is left out.
func TestAuditQuery(t *testing.T) {
	q := auditQuery(url.Values{"actor": {" mira "}, "type": {"grant"}, "nonsense": {"x"}, "since": {"2026-03-01T17:30"}, "range": {"7d"}})
	if got := q.Page("").Encode(); got != "actor=mira&since=2026-03-01T17%3A30%3A00Z&type=grant" {
		t.Error(got)
	}
	if got := q.Without("actor").Page("9").Encode(); got != "before=9&since=2026-03-01T17%3A30%3A00Z&type=grant" {
		t.Error(got)
	}
	if got := q.Command(); got != "stint audit search --newest --since 2026-03-01T17:30:00Z --actor mira --type grant" {
		t.Error(got)
	}
	if got := auditQuery(url.Values{"text": {"it's; rm -rf / \x1b[201~"}}).Command(); got != `stint audit search --newest --since 24h --text 'it'\''s; rm -rf /  [201~'` {
		t.Error(got)
	}
}

// TestEventsHaveWords: all but the newest events are said in words, and those that have none
// are called by their names.
func TestEventsHaveWords(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/events.md")
	if err != nil {
		t.Fatal(err)
	}
	n, without := 0, []string{}
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		first, _, _ := strings.Cut(line[1:], "|")
		for _, m := range regexp.MustCompile("`([a-z]+\\.[a-z]+)`").FindAllStringSubmatch(first, -1) {
			n++
			if said := words.AuditEvent(m[1], "user:x", "e", nil); strings.ContainsAny(said, "[]{}") {
				t.Errorf("%s is said as %q", m[1], said)
			} else if strings.Contains(said, m[1]) {
				without = append(without, m[1])
			}
		}
	}
	if n < 90 || len(without) > n/10 {
		t.Errorf("%d events, without words %v", n, without)
	}
	for want, facts := range map[string]map[string]string{
		"mira asked for reader on db for 30m: pending": {"role": "reader", "resource": "db", "duration": "30m", "state": "pending"},
		"mira asked for ? on db":                       {"resource": "db"},
		"mira asked for [{x}] on {entity}":             {"role": "[{x}]", "resource": "{entity}"},
	} {
		if got := words.AuditEvent("request.submitted", "user:mira", "req_1", facts); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := words.AuditEvent("some.thing", "service:stint", "e", map[string]string{"name": "x"}); got != "Stint: some.thing x" {
		t.Error(got)
	}
}

// auditAttack is the address of a search with an attack in every condition.
var auditAttack = "/audit?" + url.Values{"actor": {nasty}, "type": {nasty}, "text": {nasty}, "since": {nasty}, "outcome": {nasty}, "before": {nasty}}.Encode()

func (s *stand) record() api.AuditRecord {
	text, _ := json.Marshal(nasty)
	return api.AuditRecord{Seq: 7, Record: fmt.Appendf(nil, `{"v":1,"id":"rec_1","type":%[1]s,"at":"2026-03-01T17:30:00.000Z","entity":%[1]s,"version":1,"actor":{"principal":%[1]s,"person":%[1]s,"device":%[1]s,"address":%[1]s},"facts":{%[1]s:%[1]s,"role":%[1]s}}`, text)}
}
func (s *stand) Look(_ context.Context, _ Visitor, q views.AuditQuery) (views.AuditFound, error) {
	if q.Fields["type"] == "bad" {
		return views.AuditFound{}, &api.Error{Kind: api.Invalid, Message: nasty, Next: nasty}
	}
	out := views.AuditFound{Since: time.Now().Add(-time.Hour), Until: time.Now(), Counts: []int64{1, 0, 3}, Total: 4, Looked: 3, Of: 9, Check: views.AuditCheck{Bad: nasty}, Keeps: true, Saved: []views.AuditSaved{{Name: nasty, Query: nasty}}}
	if q.Fields["type"] == "none" {
		out.Nearest = []views.AuditNear{{Field: "type", Found: 3}}
		return out, nil
	}
	out.Records, out.Results, out.Next = []api.AuditRecord{s.record(), {Record: []byte("no JSON")}}, []string{"denied", "trouble"}, nasty
	return out, nil
}
func (s *stand) Record(context.Context, Visitor, int64) (views.AuditProof, error) {
	return views.AuditProof{Record: s.record(), Leaf: nasty, Path: []string{nasty}, Checkpoint: nasty, Size: 9, Why: nasty}, nil
}
func (s *stand) Each(_ context.Context, _ Visitor, _ views.AuditQuery, each func([]api.AuditRecord) error) error {
	return each([]api.AuditRecord{s.record()})
}
