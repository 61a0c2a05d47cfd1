package duty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
	"stint/internal/oncall"
)

var (
	from  = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	until = from.AddDate(0, 0, 40)
)

const secretText = "k3y-of-the-house"

func place(typ, address, calendar string) Place {
	return Place{Type: typ, Address: address, Calendar: calendar, Secret: access.NewSecret([]byte(secretText + "\n"))}
}

func said(ss []oncall.Shift) string {
	var out []string
	for _, s := range ss {
		out = append(out, s.Member+" "+s.From.UTC().Format("01-02T15")+"-"+s.Until.UTC().Format("01-02T15"))
	}
	return strings.Join(out, " ")
}

// pagerDuty answers GET /oncalls as the REST API v2 documents it: pages of at most a
// hundred, which say whether there are more; 401 without a token, 429 with the seconds
// until the limit is reset.
type pagerDuty struct {
	mu      sync.Mutex
	oncalls []map[string]any
	limited int
	calls   []string
	bend    func(page map[string]any)
}

func (p *pagerDuty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := r.URL.Query()
	p.calls = append(p.calls, q.Get("offset"))
	switch {
	case r.Header.Get("Authorization") != "Token token="+secretText:
		http.Error(w, `{"error":{"message":"Requires Authentication","code":2006}}`, http.StatusUnauthorized)
		return
	case p.limited > 0:
		p.limited--
		w.Header().Set("ratelimit-limit", "960")
		w.Header().Set("ratelimit-remaining", "0")
		w.Header().Set("ratelimit-reset", "7")
		http.Error(w, `{"error":{"message":"Rate Limit Exceeded","code":2020}}`, http.StatusTooManyRequests)
		return
	case r.Method != http.MethodGet || r.URL.Path != "/oncalls" || r.Header.Get("Accept") != "application/vnd.pagerduty+json;version=2" || q.Get("schedule_ids[]") == "":
		http.Error(w, `{"error":{"message":"Invalid Input Provided","code":2001}}`, http.StatusBadRequest)
		return
	}
	since, err1 := time.Parse(time.RFC3339, q.Get("since"))
	to, err2 := time.Parse(time.RFC3339, q.Get("until"))
	limit, err3 := strconv.Atoi(q.Get("limit"))
	offset, err4 := strconv.Atoi(q.Get("offset"))
	if errors.Join(err1, err2, err3, err4) != nil || to.Sub(since) > 92*24*time.Hour || limit > 100 {
		http.Error(w, `{"error":{"message":"Invalid Input Provided","code":2001}}`, http.StatusBadRequest)
		return
	}
	end := min(offset+limit, len(p.oncalls))
	page := map[string]any{"oncalls": p.oncalls[min(offset, end):end], "limit": limit, "offset": offset, "more": end < len(p.oncalls), "total": nil}
	if p.bend != nil {
		p.bend(page)
	}
	_ = json.NewEncoder(w).Encode(page)
}

func pdEntry(user, schedule string, start, end any) map[string]any {
	x := map[string]any{"user": map[string]any{"id": user, "type": "user_reference", "summary": "Somebody"}, "escalation_level": 1,
		"escalation_policy": map[string]any{"id": "PT20YPA", "type": "escalation_policy_reference"}, "schedule": nil, "start": start, "end": end}
	if schedule != "" {
		x["schedule"] = map[string]any{"id": schedule, "type": "schedule_reference", "summary": "Daily"}
	}
	return x
}

func TestPagerDuty(t *testing.T) {
	pd := &pagerDuty{oncalls: []map[string]any{pdEntry("PXPGF42", "PI7DH85", "2026-03-02T09:00:00+01:00", "2026-03-09T09:00:00+01:00"), pdEntry("PAM4FGS", "PI7DH85", nil, nil)}}
	srv := httptest.NewServer(pd)
	defer srv.Close()
	at := place(PagerDuty, srv.URL, "PI7DH85")
	got, err := Read(t.Context(), srv.Client(), at, from, until)
	if err != nil || said(got) != "PXPGF42 03-02T08-03-09T08 PAM4FGS 03-01T00-04-10T00" {
		t.Errorf("%s, %v", said(got), err)
	}

	// Pages: all of them, or none.
	pd.oncalls = nil
	for i := range 250 {
		begin := from.Add(time.Duration(i) * time.Hour)
		pd.oncalls = append(pd.oncalls, pdEntry(fmt.Sprint("P", i), "PI7DH85", begin.Format(time.RFC3339), begin.Add(time.Hour).Format(time.RFC3339)))
	}
	pd.calls = nil
	if got, err := Read(t.Context(), srv.Client(), at, from, until); err != nil || len(got) != 250 || fmt.Sprint(pd.calls) != "[0 100 200]" {
		t.Errorf("%d shifts in pages %v, %v", len(got), pd.calls, err)
	}
	for why, bend := range map[string]func(map[string]any){
		"nothing on this one":                 func(p map[string]any) { p["oncalls"], p["more"] = []any{}, true },
		"does not say whether there is more":  func(p map[string]any) { delete(p, "more") },
		"more than 5000 shifts":               func(p map[string]any) { p["more"] = true; p["oncalls"] = pd.oncalls[:200] },
		"more than 50 pages":                  func(p map[string]any) { p["more"] = true; p["oncalls"] = pd.oncalls[:1] },
		"about another schedule, or":          func(p map[string]any) { p["oncalls"], p["more"] = []any{pdEntry("P1", "POTHER", nil, nil)}, false },
		"another schedule, or about nobody":   func(p map[string]any) { p["oncalls"], p["more"] = []any{pdEntry("", "PI7DH85", nil, nil)}, false },
		"is about another schedule, or about": func(p map[string]any) { p["oncalls"], p["more"] = []any{pdEntry("P1", "", nil, nil)}, false }, // always on call, by no schedule
		"JSON":                                func(p map[string]any) { p["oncalls"] = "none" },
	} {
		pd.bend = bend
		if got, err := Read(t.Context(), srv.Client(), at, from, until); err == nil || !strings.Contains(err.Error(), why) || got != nil {
			t.Errorf("%d shifts, %v; want %q", len(got), err, why)
		}
	}
	pd.bend = nil

	pd.limited = 1
	_, err = Read(t.Context(), srv.Client(), at, from, until)
	var later *Later
	if !errors.As(err, &later) || later.After != 7*time.Second {
		t.Errorf("the limit: %v", err)
	}
	at.Secret = access.NewSecret([]byte("stolen"))
	if _, err = Read(t.Context(), srv.Client(), at, from, until); err == nil || !strings.Contains(err.Error(), "does not take the credential") || strings.Contains(err.Error(), "stolen") {
		t.Errorf("a wrong token: %v", err)
	}
	if _, err = Read(t.Context(), srv.Client(), place(PagerDuty, srv.URL, ""), from, until); err == nil {
		t.Error("no schedule is one")
	}
}

// opsgenie answers GET /v2/schedules/ID/timeline as its Schedule API documents it.
type opsgenie struct {
	status int
	bend   func(data map[string]any)
}

func (o opsgenie) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	date, err := time.Parse(time.RFC3339, q.Get("date"))
	days, err2 := strconv.Atoi(q.Get("interval"))
	switch {
	case r.Header.Get("Authorization") != "GenieKey "+secretText:
		http.Error(w, `{"message":"Key format is not valid!","took":0.001,"requestId":"1"}`, http.StatusUnauthorized)
		return
	case o.status != 0:
		w.Header().Set("X-RateLimit-State", "THROTTLED")
		w.Header().Set("X-RateLimit-Period-In-Sec", "60")
		http.Error(w, `{"message":"You are making too many requests!","took":1.0,"requestId":"1"}`, o.status)
		return
	case r.URL.Path != "/v2/schedules/d875e654-9b4e-4219-a803-0c26936d18de/timeline" || q.Get("identifierType") != "id":
		http.Error(w, `{"message":"Schedule is not found","took":0.1,"requestId":"1"}`, http.StatusNotFound)
		return
	case err != nil || err2 != nil || q.Get("intervalUnit") != "days":
		http.Error(w, `{"message":"Interval unit should be one of these: days, weeks, months"}`, http.StatusUnprocessableEntity)
		return
	}
	period := func(user, kind string, start, end string) map[string]any {
		return map[string]any{"startDate": start, "endDate": end, "type": "historical", "recipient": map[string]any{"id": user, "type": kind, "name": user + "@example.com"}}
	}
	team := period("t1", "team", "2026-03-16T09:00:00Z", "2026-03-17T09:00:00Z")
	team["flattenedRecipients"] = []any{map[string]any{"id": "u3", "type": "user"}, map[string]any{"id": "u4", "type": "user"}}
	data := map[string]any{"_parent": map[string]any{"id": "d875e654", "enabled": true}, "startDate": date.Format(time.RFC3339), "endDate": date.AddDate(0, 0, days).Format(time.RFC3339),
		"finalTimeline": map[string]any{"rotations": []any{map[string]any{"id": "r1", "name": "First", "order": 1.0, "periods": []any{
			period("u1", "user", "2026-03-02T09:00:00Z", "2026-03-09T09:00:00Z"), period("u2", "user", "2026-03-09T09:00:00Z", "2026-03-16T09:00:00Z"), team,
			period("", "none", "2026-03-17T09:00:00Z", "2026-03-18T09:00:00Z"), map[string]any{"startDate": "2026-03-18T09:00:00Z", "endDate": "2026-03-19T09:00:00Z", "type": "default"}}}}}}
	if o.bend != nil {
		o.bend(data)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data, "took": 0.05, "requestId": "9ae63dd7"})
}

func TestOpsgenie(t *testing.T) {
	read := func(o opsgenie, id string) (string, error) {
		srv := httptest.NewServer(o)
		defer srv.Close()
		got, err := Read(t.Context(), srv.Client(), place(Opsgenie, srv.URL+"/", id), from, until)
		return said(got), err
	}
	const id = "d875e654-9b4e-4219-a803-0c26936d18de"
	if got, err := read(opsgenie{}, id); err != nil || got != "u1 03-02T09-03-09T09 u2 03-09T09-03-16T09 u3 03-16T09-03-17T09 u4 03-16T09-03-17T09" {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := read(opsgenie{}, "../../accounts"); err == nil || !strings.Contains(err.Error(), "no such schedule") {
		t.Errorf("a schedule that is none: %v", err)
	}
	if _, err := read(opsgenie{bend: func(d map[string]any) { d["endDate"] = "2026-03-05T00:00:00Z" }}, id); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("a shorter time: %v", err)
	}
	if _, err := read(opsgenie{bend: func(d map[string]any) { delete(d, "finalTimeline") }}, id); err == nil || !strings.Contains(err.Error(), "no timeline") {
		t.Errorf("no timeline: %v", err)
	}
	var later *Later
	if _, err := read(opsgenie{status: http.StatusTooManyRequests}, id); !errors.As(err, &later) || later.After != time.Minute {
		t.Errorf("the limit: %v", err)
	}
}

func TestCalendarFeed(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/private-abc/feed.ics" || r.URL.Query().Get("k") != "1" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/calendar; charset=utf-8")
		_, _ = w.Write([]byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Ada\r\nDTSTART:20260302T080000Z\r\nDTEND:20260309T080000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"))
	}))
	defer srv.Close()
	at := Place{Type: Calendar, Address: srv.URL, Secret: access.NewSecret([]byte("/private-abc/feed.ics?k=1\n"))}
	if got, err := Read(t.Context(), srv.Client(), at, from, until); err != nil || said(got) != "Ada 03-02T08-03-09T08" {
		t.Errorf("%s, %v", said(got), err)
	}
	at.Address, at.Secret = srv.URL+"/private-abc/feed.ics", access.Secret{} // without its key
	if _, err := Read(t.Context(), srv.Client(), at, from, until); err == nil || strings.Contains(err.Error(), "private-abc") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"//evil.example/x", "evil.example", "@evil.example/"} {
		at.Address, at.Secret = srv.URL, access.NewSecret([]byte(bad))
		if _, err := Read(t.Context(), srv.Client(), at, from, until); err == nil {
			t.Errorf("the secret %q is used", bad)
		}
	}
	srv.Close()
	at.Secret = access.NewSecret([]byte("/private-abc/feed.ics?k=1"))
	if _, err := Read(t.Context(), srv.Client(), at, from, until); err == nil || strings.Contains(err.Error(), "private-abc") {
		t.Errorf("a server that is away: %v", err)
	}
	if _, err := Read(t.Context(), srv.Client(), Place{Type: "slack"}, from, until); err == nil {
		t.Error("a chat keeps schedules")
	}
}

// memory is a Memory of one schedule.
type memory struct {
	mu   sync.Mutex
	at   Place
	age  time.Duration
	kept []string
}

func (m *memory) Schedules(context.Context) ([]Schedule, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []Schedule{{Name: "payments", Place: m.at, MaxAge: time.Hour, Age: m.age, Now: from.Add(Back)}}, nil
}

func (m *memory) Secret(context.Context, string) (access.Secret, error) {
	return access.NewSecret([]byte(secretText)), nil
}

func (m *memory) Keep(_ context.Context, name string, shifts []oncall.Shift, a, b time.Time, problem error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := fmt.Sprint(name, " ", len(shifts), " ", b.Sub(a))
	if problem != nil {
		text = problem.Error()
	} else {
		m.age = 0
	}
	m.kept = append(m.kept, text)
	return nil
}

// A schedule is asked for when its answer gets old, again after a failure, and not before
// the server wants to be asked.
func TestService(t *testing.T) {
	pd := &pagerDuty{oncalls: []map[string]any{pdEntry("PXPGF42", "PI7DH85", nil, nil)}, limited: 1}
	srv := httptest.NewServer(pd)
	defer srv.Close()
	m := &memory{at: Place{Type: PagerDuty, Address: srv.URL, Calendar: "PI7DH85"}, age: -1}
	s := &Service{Memory: m, HTTP: srv.Client(), Log: slog.New(slog.DiscardHandler)}
	s.Look(t.Context())
	s.Look(t.Context()) // too early
	if len(m.kept) != 1 || m.kept[0] != "the server answers 429" {
		t.Fatalf("kept %q", m.kept)
	}
	if wait := time.Until(s.wait["payments"]); wait > 7*time.Second || wait < time.Second {
		t.Errorf("asked again in %s, of 7 s that the server said", wait)
	}
	s.wait["payments"] = time.Now()
	s.Look(t.Context())
	if len(m.kept) != 2 || m.kept[1] != "payments 1 960h0m0s" || len(s.fails) != 0 {
		t.Fatalf("kept %q", m.kept)
	}
	s.Look(t.Context())
	m.age = 4 * time.Minute
	s.Look(t.Context())
	if len(m.kept) != 2 {
		t.Errorf("a fresh answer is asked for again: %q", m.kept)
	}
	m.age = mostEvery
	s.Look(t.Context())
	if len(m.kept) != 3 {
		t.Errorf("an old answer is not: %q", m.kept)
	}
	m.age = mostEvery
	srv.Close()
	for range 3 {
		s.wait["payments"] = time.Time{}
		s.Look(t.Context())
	}
	if wait := time.Until(s.wait["payments"]); len(m.kept) != 6 || wait < 20*time.Second || wait > 4*firstWait {
		t.Errorf("after three failures it waits %s: %q", wait, m.kept)
	}
}

// hanging never answers.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// lasting is a memory that keeps nothing for somebody whose time is up.
type lasting struct{ *memory }

func (m lasting) Keep(ctx context.Context, name string, shifts []oncall.Shift, a, b time.Time, problem error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return m.memory.Keep(ctx, name, shifts, a, b, problem)
}

// That a schedule cannot be read in time is kept like any other failure.
func TestTooSlowIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{at: Place{Type: PagerDuty, Address: "https://pagers.example.com", Calendar: "PI7DH85"}, age: -1}
		s := &Service{Memory: lasting{m}, HTTP: &http.Client{Transport: hanging{}}, Log: slog.New(slog.DiscardHandler)}
		s.Look(t.Context())
		if len(m.kept) != 1 || !strings.Contains(m.kept[0], "deadline") {
			t.Errorf("kept %q", m.kept)
		}
	})
}
