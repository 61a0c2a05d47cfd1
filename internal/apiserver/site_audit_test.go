package apiserver

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"stint/internal/api"
)

// TestAuditPages: whoever audits finds everything, everybody else themselves, by the same
// search as the API; what is found is proven, and taken along exactly.
func TestAuditPages(t *testing.T) {
	w, admin := openHouse(t)
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	w.as(admin, api.UserAdd{Name: "axel", Auditor: true})
	mira, axel := w.guest("mira"), w.guest("axel")
	form := mira.askForm(resourceOf, "=HYPERLINK(1) for INC-2207")
	form.Set("act", "send")
	id := strings.TrimPrefix(mira.post("/request", form).want(t, http.StatusSeeOther).header.Get("Location"), "/r/")
	mira.until("/", "stint db "+resourceOf)
	axel.until("/audit?request="+id, "mira asked for reader on "+resourceOf)

	page := axel.get("/audit?type=request").want(t, http.StatusOK, "verified to", "mira asked for reader on "+resourceOf, "stint audit search --newest --since 24h --type request", "Audit")
	if strings.Contains(page.text, "grant.active") {
		t.Error("a filter does not filter")
	}
	for at, want := range map[string]string{
		"/audit?request=" + id:                           "mira has reader on " + resourceOf,
		"/audit?actor=mira&type=request":                 "mira asked for",
		"/audit?text=INC-2207":                           "mira asked for",
		"/audit?outcome=done&resource=" + resourceOf:     "mira asked for",
		"/audit?outcome=denied&type=request":             "if you drop “How it came out: denied”",
		"/audit?text=" + url.QueryEscape(`' OR 1=1; --`): "No record matches.",
		"/audit?since=2026-01-01&until=2026-01-02":       "No record matches.",
		"/audit?range=banana":                            "that is not a time",
		"/audit?since=9999-12-31":                        "begins after its end",
		"/audit?since=0001-01-01":                        "begins after its end",
		"/audit?before=banana":                           "that is no page of this search",
		"/audit?before=-1":                               "that is no page of this search",
		"/audit?before=999999999999":                     "mira asked for",
		"/audit?address=banana":                          "that is not an address",
		"/audit?outcome=banana":                          "there is no such outcome",
		"/audit?text=" + strings.Repeat("x", 201):        "is too long",
	} {
		axel.get(at).want(t, http.StatusOK, want)
	}

	// One record, whole and proven; and none that there is not.
	m := regexp.MustCompile(`data-item="(/audit/\d+)"`).FindStringSubmatch(page.text)
	axel.get(m[1]).want(t, http.StatusOK, "is in the log of", "&#34;v&#34;:1", "The signed checkpoint")
	for _, at := range []string{"/audit/99999999", "/audit/-1", "/audit/x", "/audit/99999999999999999999"} {
		axel.get(at).want(t, http.StatusNotFound)
	}

	// What is taken along is what the API finds, the newest first.
	who := w.as(admin, api.UserAdd{Name: "vera", Auditor: true})
	found, err := who.AuditRecords(t.Context(), api.AuditList{List: api.List{Limit: 1000}, Type: "request"})
	check(t, err)
	lines := strings.Split(strings.TrimSpace(axel.get("/audit/export?format=jsonl&type=request").want(t, http.StatusOK).text), "\n")
	if len(lines) != len(found.Items) || len(lines) == 0 {
		t.Fatalf("%d lines, and %d records", len(lines), len(found.Items))
	}
	for i, r := range found.Items {
		if want := fmt.Sprintf(`{"seq":%d,"record":%s}`, r.Seq, r.Record); lines[len(lines)-1-i] != want {
			t.Errorf("line %d is %s, want %s", i, lines[len(lines)-1-i], want)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(axel.get("/audit/export?format=csv&text=HYPERLINK").want(t, http.StatusOK).text)).ReadAll()
	if check(t, err); len(rows) < 2 {
		t.Errorf("%d rows", len(rows))
	}
	for _, row := range rows {
		for _, c := range row {
			if c != "" && strings.ContainsRune("=+-@\t\r", rune(c[0])) {
				t.Errorf("a formula: %q", c)
			}
		}
	}
	if text := axel.get("/audit/export?format=csv&text=nothing-has-this").want(t, http.StatusOK).text; strings.Count(text, "\n") != 1 {
		t.Errorf("an empty file is %q", text)
	}

	// Others see themselves, by page, by number, and by file.
	w.as(admin, api.UserAdd{Name: "gus"})
	gus := w.guest("gus")
	own := gus.get("/audit").want(t, http.StatusOK, "Your records", "What the log says of you")
	for what, text := range map[string]string{"the page": own.text, "the file": gus.get("/audit/export?format=jsonl").want(t, http.StatusOK).text, "a search": gus.get("/audit?request=" + id).text} {
		if strings.Contains(text, "user:mira") || strings.Contains(text, "mira asked") {
			t.Errorf("%s shows what is about others", what)
		}
	}
	gus.get(m[1]).want(t, http.StatusNotFound)

	// Searches are kept for oneself.
	axel.post("/audit/searches", url.Values{"name": {"tickets"}, "query": {"text=INC-&nonsense=1"}}).want(t, http.StatusSeeOther)
	axel.get("/audit").want(t, http.StatusOK, ">tickets</a>", "/audit?range=24h&amp;text=INC-")
	if strings.Contains(gus.get("/audit").text, "tickets") {
		t.Error("a search is shown to others")
	}
	axel.post("/audit/searches", url.Values{"name": {"../x"}, "query": {"text=1"}}).want(t, http.StatusUnprocessableEntity)
	axel.post("/audit/searches", url.Values{"name": {"x"}, "query": {"%zz"}}).want(t, http.StatusUnprocessableEntity)
	axel.origin = "https://evil.example"
	axel.post("/audit/searches", url.Values{"name": {"y"}, "query": {"text=1"}}).want(t, http.StatusForbidden)
	axel.origin = ""
	axel.post("/audit/searches", url.Values{"name": {"tickets"}, "act": {"forget"}}).want(t, http.StatusSeeOther)
	if strings.Contains(axel.get("/audit").text, ">tickets</a>") {
		t.Error("a search that was forgotten is still there")
	}
	axel.get("/audit?type=search").want(t, http.StatusOK)

	// The page's search by the API: the newest first, page by page, to the end.
	var seqs []int64
	q := url.Values{"newest": {"true"}, "limit": {"3"}, "type": {"request"}}
	for {
		var got api.Page[api.AuditRecord]
		check(t, who.Do(t.Context(), http.MethodGet, "/audit/records?"+q.Encode(), nil, &got))
		for _, r := range got.Items {
			seqs = append(seqs, r.Seq)
		}
		if got.Next == "" {
			break
		}
		q.Set("before", got.Next)
	}
	if len(seqs) != len(found.Items) || len(seqs) > 1 && seqs[0] < seqs[1] {
		t.Errorf("by pages %v, of %d", seqs, len(found.Items))
	}
}

// TestSessionsPages: everybody sees what is open under grants of theirs, whoever audits all,
// and a target that does not count says so.
func TestSessionsPages(t *testing.T) {
	w, admin := openHouse(t)
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	w.as(admin, api.UserAdd{Name: "axel", Auditor: true})
	w.as(admin, api.UserAdd{Name: "gus"})
	mira, axel, gus := w.guest("mira"), w.guest("axel"), w.guest("gus")
	mira.get("/sessions").want(t, http.StatusOK, "Nothing is active.", "No recordings yet.")
	form := mira.askForm(resourceOf, "check order 4711")
	form.Set("act", "send")
	id := strings.TrimPrefix(mira.post("/request", form).want(t, http.StatusSeeOther).header.Get("Location"), "/r/")
	mira.until("/", "stint db "+resourceOf)
	mira.get("/sessions").want(t, http.StatusOK, "on "+resourceOf, "End the grant", "/sessions/"+id)
	mira.get("/sessions/"+id).want(t, http.StatusOK, "What ends it", "check order 4711")
	if text := axel.get("/sessions").want(t, http.StatusOK, "/sessions/"+id).text; strings.Contains(text, "End the grant") {
		t.Error("an auditor may end a grant")
	}
	if strings.Contains(gus.get("/sessions").text, id) {
		t.Error("others see it")
	}
	gus.get("/sessions/"+id).want(t, http.StatusNotFound)
	mira.post("/r/"+id+"/end", nil).want(t, http.StatusSeeOther)
	mira.until("/sessions", "Nothing is active.")
}
