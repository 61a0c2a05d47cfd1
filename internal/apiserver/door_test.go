package apiserver

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/policy"
)

func TestBadCalls(t *testing.T) {
	w, admin := populated(t)
	huge := `{"resource":"` + strings.Repeat("x", maxBody) + `"}`
	for _, c := range []struct {
		name         string
		method, path string
		body         string
		bend         func(*raw)
		status       int
		code         string
	}{
		{"no such address", "GET", "/v1/nothing", "", nil, 404, "no-such-route"},
		{"no such address, signed out", "GET", "/admin", "", func(r *raw) { r.token, r.device = "", nil }, 404, "no-such-route"},
		{"a method that is not known", "PUT", "/v1/requests", "", nil, 405, "wrong-method"},
		{"a body that is too large", "POST", "/v1/requests", huge, nil, 413, "body-too-large"},
		{"no JSON", "POST", "/v1/requests", "{", nil, 400, "bad-call"},
		{"another type", "POST", "/v1/requests", "resource=db", func(r *raw) {
			r.bend = func(q *http.Request) { q.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
		}, 415, "not-json"},
		{"no body", "POST", "/v1/requests", "", nil, 400, "bad-call"},
		{"a member nobody knows", "POST", "/v1/requests", `{"resource":"db","role":"reader","duration":"5m","reason":"x","until":"never"}`, nil, 422, "bad-call"},
		{"a member missing", "POST", "/v1/requests", `{"resource":"db"}`, nil, 422, "bad-call"},
		{"a wrong type", "POST", "/v1/requests", `{"resource":7,"role":"reader","duration":"5m","reason":"x"}`, nil, 422, "bad-call"},
		{"no time", "POST", "/v1/requests", `{"resource":"db","role":"reader","duration":"0s","reason":"x"}`, nil, 422, "bad-duration"},
		{"less than no time", "POST", "/v1/requests", `{"resource":"db","role":"reader","duration":"-5m","reason":"x"}`, nil, 422, "bad-duration"},
		{"more than all time", "POST", "/v1/requests", `{"resource":"db","role":"reader","duration":"99999999999999999h","reason":"x"}`, nil, 422, "duration-too-long"},
		{"no such resource", "POST", "/v1/requests", `{"resource":"dbb","role":"reader","duration":"5m","reason":"look at it"}`, nil, 404, "no-such-resource"},
		{"a query nobody knows", "GET", "/v1/requests?everything=1", "", nil, 422, "bad-call"},
		{"a limit that is none", "GET", "/v1/requests?limit=0", "", nil, 422, "bad-call"},
		{"a limit below zero", "GET", "/v1/grants?limit=-1", "", nil, 422, "bad-call"},
		{"a limit over the most", "GET", "/v1/audit/records?limit=1001", "", nil, 422, "bad-call"},
		{"a log limit that is none", "GET", "/v1/audit/records?limit=0", "", nil, 422, "bad-call"},
		{"a record before the first", "GET", "/v1/audit/records?after=-2", "", nil, 422, "bad-call"},
		{"less than no removals", "POST", "/v1/resources/db/sweep", `{"remove":-1,"why":"x"}`, nil, 422, "bad-call"},
		{"a cursor of nothing", "GET", "/v1/resources?cursor=x", "", nil, 422, "bad-cursor"},
		{"a wait that is none", "GET", "/v1/requests/req_0?wait=x", "", nil, 404, ""},
		{"an id that is too long", "GET", "/v1/requests/" + strings.Repeat("x", 99), "", nil, 422, "bad-call"},
		{"a hostile name", "POST", "/v1/admin/users", `{"name":"mira\u001b[2J"}`, nil, 422, "bad-name"},
		{"documents that are wrong", "POST", "/v1/apply", `{"files":[{"name":"a.yaml","text":"kind: Role\nname: x\nmaxDuratoin: 5m"}]}`, nil, 422, "bad-documents"},
		{"a key that is too long", "POST", "/v1/requests", `{"resource":"db","role":"reader","duration":"5m","reason":"x"}`, func(r *raw) {
			r.bend = func(q *http.Request) { q.Header.Set(api.HeaderIdempotency, strings.Repeat("k", 129)) }
		}, 422, "bad-idempotency-key"},
		{"two selectors", "POST", "/v1/revoke", `{"user":"mira","all":true,"why":"test"}`, nil, 422, "bad-selector"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.raw(admin, c.method, c.path, c.body)
			if c.bend != nil {
				c.bend(&r)
			}
			g := w.send(r)
			if c.code == "" {
				c.code = g.error.Code
			}
			g.want(t, c.status, c.code)
			e := g.error
			if g.header.Get("Content-Type") != "application/problem+json" || e.Trace == "" || e.Trace != g.header.Get(api.HeaderTrace) || e.Status != g.status || e.Message == "" || e.Kind == "" {
				t.Errorf("the answer has not the one shape: %s", g.body)
			}
		})
	}
	after, err := admin.Requests(t.Context(), api.RequestList{})
	check(t, err)
	if len(after.Items) != 0 {
		t.Errorf("refused calls made %d requests", len(after.Items))
	}
}

// What does not fit the schema is not echoed: it may be a secret in the wrong place.
func TestRefusalsDoNotEcho(t *testing.T) {
	w := begin(t)
	c := w.client()
	g := w.send(w.raw(c, "POST", "/v1/enroll", `{"code":{"hunter2":"hunter2"},"name":["hunter2"]}`))
	if g.status != 422 || bytes.Contains(g.body, []byte("hunter2")) || strings.Contains(w.log.String(), "hunter2") {
		t.Errorf("got %d %s", g.status, g.body)
	}
}

func TestProblemOf(t *testing.T) {
	secret := errors.New("pq: password=hunter2 at /var/lib/stint")
	for kind, status := range map[access.Kind]int{
		access.Internal: 500, access.Invalid: 422, access.Denied: 403, access.Unauthenticated: 401, access.NotFound: 404, access.Conflict: 409,
		access.SetupFailed: 424, access.Pending: 409, access.Expired: 410, access.PasskeyNeeded: 403, access.Unavailable: 503, access.TooMany: 429,
	} {
		err := access.Fail(kind, "some-code", "what happened").Because("the rule").Try("do this").Wrap(secret)
		for _, err := range []error{err, fmt.Errorf("while doing it: %w", err)} {
			p := problemOf(err, "t1")
			b, jerr := json.Marshal(p)
			check(t, jerr)
			if p.Status != status || p.Trace != "t1" || string(p.Kind) != kind.String() || bytes.Contains(b, []byte("hunter2")) || bytes.Contains(b, []byte("while doing")) {
				t.Errorf("%v: %s, want status %d", kind, b, status)
			}
			if kind != access.Internal && (p.Code != "some-code" || p.Why != "the rule" || p.Next != "do this") {
				t.Errorf("%v: %s", kind, b)
			}
			if kind == access.Internal && (p.Code != "internal" || strings.Contains(p.Message, "happened")) {
				t.Errorf("a fault of ours shows: %s", b)
			}
		}
		if p := problemOf(kind, ""); p.Status != status {
			t.Errorf("a bare %v has status %d", kind, p.Status)
		}
	}
	for _, err := range []error{secret, fmt.Errorf("x: %w", secret), io.ErrUnexpectedEOF} {
		if p := problemOf(err, ""); p.Status != 500 || strings.Contains(p.Message+p.Why, "hunter2") {
			t.Errorf("%v became %+v", err, p)
		}
	}
	if p := problemOf(context.DeadlineExceeded, ""); p.Status != 503 {
		t.Errorf("a deadline became %d", p.Status)
	}
	p := problemOf(policy.Problems{{File: "a.yaml", Line: 3, Message: "unknown field", Hint: "did you mean x?"}, {File: "b.yaml", Line: 1, Message: "no name"}}, "")
	if p.Status != 422 || len(p.Faults) != 2 || p.Faults[0].Source != "a.yaml:3" || p.Faults[0].Next != "did you mean x?" {
		t.Errorf("documents: %+v", p)
	}
}

func TestOrigin(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
	for _, c := range []struct {
		name, remote string
		header       http.Header
		client, url  string
	}{
		{"straight", "192.0.2.7:999", nil, "192.0.2.7", "http://stint.test/v1/whoami?a=b"},
		{"straight, and lying", "192.0.2.7:999", http.Header{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil"}},
			"192.0.2.7", "http://stint.test/v1/whoami?a=b"},
		{"by a proxy", "10.0.0.1:999", http.Header{"X-Forwarded-For": {"198.51.100.9"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"stint.example.org"}},
			"198.51.100.9", "https://stint.example.org/v1/whoami?a=b"},
		{"by a proxy, and lying", "10.0.0.1:999", http.Header{"X-Forwarded-For": {"127.0.0.1, 198.51.100.9"}}, "198.51.100.9", "http://stint.test/v1/whoami?a=b"},
		{"by two proxies", "10.0.0.1:999", http.Header{"X-Forwarded-For": {"127.0.0.1, 198.51.100.9, 10.0.0.2"}}, "198.51.100.9", "http://stint.test/v1/whoami?a=b"},
		{"by two headers", "10.0.0.1:999", http.Header{"X-Forwarded-For": {"127.0.0.1", "198.51.100.9"}}, "198.51.100.9", "http://stint.test/v1/whoami?a=b"},
		{"by a proxy that says nonsense", "10.0.0.1:999", http.Header{"X-Forwarded-For": {"localhost"}, "X-Forwarded-Proto": {"gopher"}}, "10.0.0.1", "http://stint.test/v1/whoami?a=b"},
		{"IPv6, and mapped", "[::ffff:192.0.2.7]:999", nil, "192.0.2.7", "http://stint.test/v1/whoami?a=b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Server{proxies: proxies}
			r := httptest.NewRequest("GET", "http://stint.test/v1/whoami?a=b", nil)
			r.URL.Scheme, r.URL.Host = "", ""
			r.RemoteAddr = c.remote
			if c.header != nil {
				r.Header = c.header
			}
			if got := s.client(r).String(); got != c.client {
				t.Errorf("the client is %s, want %s", got, c.client)
			}
			if got := s.seen(r).String(); got != c.url {
				t.Errorf("the URL is %s, want %s", got, c.url)
			}
			s.public = &url.URL{Scheme: "https", Host: "public.example"}
			if got := s.seen(r).String(); got != "https://public.example/v1/whoami?a=b" {
				t.Errorf("with a public URL: %s", got)
			}
		})
	}
}

// The address that policy sees is the one that the audit log shows.
func TestSourceIsTheClient(t *testing.T) {
	w, admin := populated(t, func(c *Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	r := w.raw(mira, "POST", "/v1/requests", `{"resource":"db","role":"reader","duration":"5m","reason":"look at it"}`)
	r.bend = func(q *http.Request) { q.Header.Set("X-Forwarded-For", "198.51.100.9") }
	if g := w.send(r); g.status != 200 {
		t.Fatalf("%d %s", g.status, g.body)
	}
	recs := w.records(admin, api.AuditList{Actor: "user:mira", Type: "request.submitted"}, 1)
	if !bytes.Contains(recs[0].Record, []byte(`"address":"198.51.100.9"`)) {
		t.Errorf("the log says %s", recs[0].Record)
	}
}

func TestHeaders(t *testing.T) {
	w := begin(t)
	g := w.send(raw{method: "GET", path: "/healthz"})
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "application/json",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", api.HeaderVersion: "test"} {
		if got := g.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if g.header.Get(api.HeaderTrace) == "" {
		t.Error("no trace")
	}
	cross := w.send(raw{method: "POST", path: "/v1/logout", bend: func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }})
	cross.want(t, 403, "cross-origin")
}

func TestPanicIsAnAnswer(t *testing.T) {
	w := begin(t)
	h := w.server.framed(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("hunter2") }))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "hunter2") || !strings.Contains(w.log.String(), "hunter2") {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
}

func TestTooManyCalls(t *testing.T) {
	w, admin := populated(t, func(c *Config) { c.Limits = Limits{WritesPerSecond: 0.001, ReadsPerSecond: 0.001, Burst: 4} })
	ctx := t.Context()
	var err error
	for range 10 {
		if _, err = admin.Whoami(ctx); err != nil {
			break
		}
	}
	wantError(t, err, api.TooMany, "too-many-calls")
	g := w.send(w.raw(admin, "GET", "/v1/whoami", ""))
	if g.status != 429 || g.header.Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q", g.status, g.header.Get("Retry-After"))
	}
	for range 30 { // taking away has a measure of its own, ten times as large
		if _, err := admin.Revoke(ctx, api.RevokeAsk{All: true, Why: "test"}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBucketsAreBounded(t *testing.T) {
	now := time.Unix(0, 0)
	r := newRates(1, 2, func() time.Time { return now })
	for i := range 3 * maxBuckets {
		check(t, r.take(fmt.Sprint(i)))
		now = now.Add(time.Millisecond)
		if len(r.buckets) > maxBuckets {
			t.Fatalf("%d buckets", len(r.buckets))
		}
	}
	check(t, r.take("x"))
	check(t, r.take("x"))
	if r.take("x") == nil {
		t.Error("a third call at once passed a burst of two")
	}
	now = now.Add(time.Second)
	check(t, r.take("x"))
}

// With no room for another call, only what takes access away gets through.
func TestSheds(t *testing.T) {
	w, admin := populated(t)
	for w.server.work.enter() {
	}
	for w.server.waits.enter() {
	}
	for path, want := range map[string]int{"/v1/whoami": 503, "/v1/requests/req_0": 503, "/v1/audit/tail": 503, "/v1/stop": 200, "/healthz": 200, "/readyz": 200, "/metrics": 200} {
		g := w.send(w.raw(admin, "GET", path, ""))
		if g.status != want {
			t.Errorf("%s: %d, want %d", path, g.status, want)
		}
		if want == 503 && g.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	for _, call := range []struct{ path, body string }{{"/v1/revoke", `{"user":"mira","why":"test"}`}, {"/v1/requests/req_0/end", ""}, {"/v1/admin/users/none/disable", ""}} {
		if g := w.send(w.raw(admin, "POST", call.path, call.body)); g.status == 503 {
			t.Errorf("%s was shed", call.path)
		}
	}
}

// One principal who waits for as much as possible leaves room for the others.
func TestOneCannotTakeAllWaits(t *testing.T) {
	w, admin := populated(t, func(c *Config) { c.Limits.Waits = 8 })
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	for range 2 {
		next := w.openTail(mira, "?after=-1")
		next(func([]byte) bool { return false }) // it has begun
	}
	w.send(w.raw(mira, "GET", "/v1/audit/tail", "")).want(t, 429, "too-many-waits")
	if g := w.send(w.raw(admin, "GET", "/v1/audit/tail", "")); g.status != 200 {
		t.Errorf("somebody else's wait: %d", g.status)
	}
}

func (w *world) records(c *api.Client, l api.AuditList, atLeast int) []api.AuditRecord {
	w.t.Helper()
	for after := int64(-1); ; {
		page, err := c.AuditRecords(w.t.Context(), l)
		check(w.t, err)
		if len(page.Items) >= atLeast {
			return page.Items
		}
		wait, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
		h, err := w.store.Wait(wait, after)
		cancel()
		check(w.t, err)
		after = h.Size - 1
	}
}

func TestMetrics(t *testing.T) {
	w, admin := populated(t, func(c *Config) { c.Keep = examined{} })
	_ = w.send(raw{method: "GET", path: "/v1/whoami"})
	_, err := admin.Whoami(t.Context())
	check(t, err)
	g := w.send(raw{method: "GET", path: "/metrics"})
	body := string(g.body)
	for _, want := range []string{`stint_http_requests_total{route="whoami",status="200"} 1`, `stint_sign_in_failures_total{code="no-token"} 1`,
		"stint_audit_unsequenced_records", `stint_events_total{type="documents.applied"} 1`, "stint_grants_overdue 0", "stint_agents_silent 1", "stint_gateways 2", "stint_gateways_silent 1", "stint_recordings_behind 3", "stint_recordings_behind_seconds 90", "stint_revocation_lag_seconds_count"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, never := range []string{"user:root", "127.0.0.1", "mira"} {
		if strings.Contains(body, never) {
			t.Errorf("the numbers hold %s", never)
		}
	}
}

func TestReadiness(t *testing.T) {
	down := access.Fail(access.Unavailable, "store-down", "the store does not answer").Wrap(errors.New("hunter2"))
	for _, c := range []struct {
		err    error
		status int
		detail string
	}{{nil, 200, ""}, {down, 503, "the store does not answer"}} {
		w := begin(t, func(cfg *Config) { cfg.Ready = func(context.Context) error { return c.err } })
		resp, err := http.Get(w.http.URL + "/readyz")
		check(t, err)
		var h api.Health
		err = json.NewDecoder(resp.Body).Decode(&h)
		_ = resp.Body.Close()
		check(t, err)
		if resp.StatusCode != c.status || h.OK != (c.err == nil) || h.Detail != c.detail {
			t.Errorf("got %d %+v", resp.StatusCode, h)
		}
	}
}

func TestIdempotency(t *testing.T) {
	w, admin := populated(t)
	w.as(admin, api.UserAdd{Name: "anna", Groups: []string{"dba"}}) // who could approve
	gus := w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
	ask := func(key, reason string) got {
		r := w.raw(gus, "POST", "/v1/requests", fmt.Sprintf(`{"resource":"db","role":"reader","duration":"5m","reason":%q}`, reason))
		r.bend = func(q *http.Request) { q.Header.Set(api.HeaderIdempotency, key) }
		return w.send(r)
	}
	first, again, other := ask("k1", "look at it"), ask("k1", "look at it"), ask("k2", "look at it")
	id := func(g got) string {
		var r api.Request
		check(t, json.Unmarshal(g.body, &r))
		return r.ID
	}
	if id(first) != id(again) || id(first) == id(other) {
		t.Errorf("ids %s, %s, %s", id(first), id(again), id(other))
	}
	changed := ask("k1", "something else")
	changed.want(t, 409, "key-reused")
}

// The grant that is extended stands in the address, and belongs to what a key
// was used for.
func TestIdempotencyKeyIsForOneGrant(t *testing.T) {
	w, admin := populated(t)
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	var ids []string
	for range 2 {
		r, err := mira.Submit(t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: "look at order 4711"}, api.Wait{For: api.Ready, Time: 10 * time.Second})
		check(t, err)
		ids = append(ids, r.ID)
	}
	extend := func(id string) got {
		r := w.raw(mira, "POST", "/v1/requests/"+id+"/extend", `{"for":"1m","why":"it takes longer"}`)
		r.bend = func(q *http.Request) { q.Header.Set(api.HeaderIdempotency, "k") }
		return w.send(r)
	}
	for range 2 {
		extend(ids[0]).want(t, 200, "")
	}
	extend(ids[1]).want(t, 409, "key-reused")
}

// A key to which nothing can be sealed is refused before anything is granted: with
// a shared account it would keep the others from their credentials.
func TestKeyThatSealsNothing(t *testing.T) {
	w, admin := populated(t)
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	svc, err := admin.AddService(t.Context(), api.ServiceAdd{Name: "ci", Owner: "mira", For: "1h", Groups: []string{"platform"}})
	check(t, err)
	c := w.client()
	c.Token = svc.Token
	ask := func(key []byte) got {
		r := w.raw(c, "POST", "/v1/requests", fmt.Sprintf(`{"resource":"db","role":"reader","duration":"5m","reason":"look at order 4711","seal_key":%q}`,
			base64.StdEncoding.EncodeToString(key)))
		r.scheme = "Bearer"
		return w.send(r)
	}
	ask(c.Device.SealKey()).want(t, 200, "")
	ask(make([]byte, 32)).want(t, 422, "bad-seal-key")
}

func TestOwnRecordsOnly(t *testing.T) {
	w, admin := populated(t)
	w.as(admin, api.UserAdd{Name: "anna", Groups: []string{"dba"}}) // who could approve
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	gus := w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
	_, err := gus.Submit(t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: "look at it"}, api.Wait{})
	check(t, err)
	w.records(admin, api.AuditList{Actor: "user:gus", Type: "request"}, 1)
	own := w.records(mira, api.AuditList{}, 1)
	for _, r := range own {
		if !bytes.Contains(r.Record, []byte(`mira`)) {
			t.Errorf("mira reads %s", r.Record)
		}
	}
	if slices.ContainsFunc(own, func(r api.AuditRecord) bool { return bytes.Contains(r.Record, []byte("gus")) }) {
		t.Error("mira reads about gus")
	}
	if err := mira.AuditExport(t.Context(), io.Discard); !errors.Is(err, api.Denied) {
		t.Errorf("mira exports the log: %v", err)
	}
}

// TestSlowedDown: a login that asked too fast is refused before its proof is looked at, for
// a moment, and then has its whole rate; another is not, what takes away is not, and whoever
// has only the token slows nobody down.
func TestSlowedDown(t *testing.T) {
	w, admin := populated(t, func(c *Config) { c.Limits = Limits{WritesPerSecond: 1e6, ReadsPerSecond: 0.001, Burst: 50} })
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	began, skew := w.server.now(), new(atomic.Int64)
	w.server.now = func() time.Time { return began.Add(time.Duration(skew.Load())) } // it stands still
	stolen := func() int {                                                           // the token, and the proof of another device
		r := w.raw(mira, "GET", "/v1/whoami", "")
		r.device = admin.Device
		return w.send(r).status
	}
	for range 200 {
		if status := stolen(); status != 401 {
			t.Fatalf("a token alone: %d", status)
		}
	}
	var err error
	for range 60 {
		if _, err = mira.Whoami(t.Context()); err != nil {
			break
		}
	}
	wantError(t, err, api.TooMany, "too-many-calls")
	if status := stolen(); status != 429 {
		t.Errorf("who asked too fast has the next proof looked at: %d", status)
	}
	if _, err := admin.Whoami(t.Context()); err != nil {
		t.Errorf("another: %v", err)
	}
	if _, err := mira.Submit(t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: "look at it"}, api.Wait{}); err != nil {
		t.Errorf("what has another measure: %v", err)
	}
	skew.Store(int64(slowedFor))
	if status := stolen(); status != 401 {
		t.Errorf("after a moment: %d", status)
	}
}
