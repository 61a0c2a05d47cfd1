package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/a-h/templ"

	"stint/internal/api"
	"stint/internal/web/assets"
	"stint/internal/web/ui"
	"stint/internal/web/views"
)

// nasty is what somebody wrote in every field; TestAttacks tries other texts.
var nasty = `<img src=x onerror=alert(1)><div hx-post="/logout" hx-trigger="load" hx-nonce="x">"'` + "`\u2028\r\nevent: x"

const nonceX = "AAAAAAAAAAAAAAAAAAAAAA"

// stand is a control plane in which everything that somebody wrote is an attack.
type stand struct {
	Doors
	mu      sync.Mutex
	person  Person
	reason  string
	mark    int64
	changed chan struct{}
	ended   bool
}

func newStand() *stand {
	return &stand{person: Person{Principal: "user:mira", Groups: []string{"dba", nasty}, Admin: true, Fresh: true, Until: api.At(time.Now().Add(time.Hour)), Mail: nasty},
		reason: nasty, changed: make(chan struct{})}
}

// change changes what the pages show.
func (s *stand) change(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = reason
	s.mark++
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stand) Visit(r *http.Request) (*url.URL, netip.Addr) {
	return &url.URL{Scheme: "http", Host: "127.0.0.1"}, netip.MustParseAddr("127.0.0.1")
}
func (s *stand) Admit(netip.Addr, bool) error { return nil }
func (s *stand) Refusal(_ context.Context, err error) *api.Error {
	if e, ok := err.(*api.Error); ok {
		e.Status = http.StatusForbidden
		return e
	}
	return &api.Error{Kind: api.Internal, Code: "internal", Status: 500, Message: err.Error(), Why: nasty, Next: nasty, Trace: nasty}
}
func (s *stand) Person(context.Context, Visitor) (Person, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return Person{}, &api.Error{Kind: api.Unauthenticated, Message: "nobody"}
	}
	return s.person, nil
}
func (s *stand) Ways(context.Context) ([]Way, bool, error) {
	return []Way{{Name: nasty, Title: nasty}}, true, nil
}
func (s *stand) SignIns(context.Context, Visitor) ([]api.Login, error) {
	return []api.Login{{ID: nasty, Kind: nasty, Client: nasty, Provider: nasty, Address: nasty, This: true}}, nil
}
func (s *stand) Passkeys(context.Context, Visitor) (Keyring, error) {
	k := api.Passkey{ID: nasty, Name: nasty, Principal: nasty, State: "proposed"}
	return Keyring{Own: []api.Passkey{k}, Waiting: []api.Passkey{k}, Last: true}, nil
}
func (s *stand) Passkey(context.Context, Visitor, string) (Key, error) {
	return Key{Passkey: api.Passkey{ID: nasty, Name: nasty, Principal: nasty, Person: nasty, State: "proposed", Origin: nasty, Anchor: "recovery", Digest: nasty}, Mine: true, Vouch: true}, nil
}
func (s *stand) request() api.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := api.Request{ID: "req_1", Principal: nasty, Person: nasty, Role: nasty, Resource: nasty, Reason: s.reason, Duration: "30m", State: api.RequestPending, Digest: nasty,
		Task: nasty, Bundle: nasty, Ticket: nasty, Extends: nasty, Emergency: nasty}
	r.Votes = []api.Vote{{Principal: nasty, Note: nasty, For: nasty, Rights: []string{nasty}}}
	r.Remarks = []api.Remark{{Principal: nasty, Text: nasty}}
	return r
}
func (s *stand) Own(context.Context, Visitor, string) ([]api.Request, string, error) {
	return []api.Request{{ID: "req_2", Role: nasty, Resource: nasty, State: api.RequestDenied}}, nasty, nil
}
func (s *stand) Waiting(_ context.Context, _ Visitor, after string) (views.Inbox, error) {
	return views.Inbox{View: views.ForMe, Items: []api.Request{s.request()}, Waits: 120, After: after, Next: nasty}, nil
}
func (s *stand) Request(context.Context, Visitor, string) (Case, error) {
	return Case{Request: s.request(), Where: nasty, Rights: []string{nasty, "b"}, Grade: nasty, Decide: true, Level: "passkey", Keys: 1, End: "revoke", Known: &views.Known{Times: 1, OnCall: []string{nasty}, Ticket: nasty, Env: nasty, Grade: nasty}}, nil
}
func (s *stand) Access(ctx context.Context, _ Visitor, _ string) (views.Access, error) {
	r, now := s.request(), time.Now()
	held := views.Held{Request: r, Type: nasty, Env: nasty, Grade: nasty, More: views.Extension{By: "30m", No: nasty}}
	live := held
	live.State, live.Grant = api.RequestApproved, &api.Grant{ID: "grt_1", State: api.GrantActive, Account: nasty, ActiveAt: api.At(now.Add(-time.Minute)), ExpiresAt: api.At(now.Add(time.Hour))}
	over := held
	over.State, over.Grant = api.RequestApproved, &api.Grant{ID: "grt_2", State: api.GrantEnded, ActiveAt: api.At(now.Add(-time.Hour)), ExpiresAt: api.At(now), EndedAt: api.At(now), VerifiedGoneAt: api.At(now)}
	wish := views.Wish{Resource: nasty, Role: nasty, For: "30m", Bundle: nasty}
	return views.Access{Holds: 500, After: nasty, Next: nasty, MoreComing: 2, MoreGoing: 1, Active: []views.Held{live}, Coming: []views.Held{held}, Going: []views.Held{over}, Ended: []views.Held{over}, Again: []views.Wish{wish},
		Favourites: []views.Favourite{{Name: nasty, Wish: wish}}, Stopped: nasty}, nil
}
func (s *stand) Favourites(context.Context, Visitor) ([]views.Favourite, error) {
	return []views.Favourite{{Name: nasty, Wish: views.Wish{Resource: nasty, Role: nasty, For: "30m"}}}, nil
}
func (s *stand) People(context.Context, Visitor, views.PeopleTab, string, int) (views.People, error) {
	return views.People{Tab: views.TabPeople, Query: nasty, Items: []api.User{s.user()}, Total: 200, From: 50, Size: 50, All: true, Now: time.Now()}, nil
}
func (s *stand) user() api.User {
	return api.User{ID: nasty, Name: nasty, Kind: "user", Person: nasty, Groups: []string{nasty}, Manager: nasty, Disabled: true, DisabledBy: nasty, Lock: &api.Lock{With: nasty, By: nasty, Why: nasty}, Sponsor: nasty, Company: nasty, Responsible: nasty,
		Identities: []api.Identity{{Provider: nasty, Subject: nasty}}, Provided: map[string][]string{nasty: {nasty}}, Live: 3}
}
func (s *stand) Dossier(ctx context.Context, v Visitor, _, after string, _ int, _ bool) (views.Dossier, error) {
	a, err := s.Access(ctx, v, "")
	all, _, _ := s.Catalogue(ctx, v)
	logins, _ := s.SignIns(ctx, v)
	going := a.Going[0]
	going.Grant = &api.Grant{ID: "grt_3", State: api.GrantEnding, Detail: nasty, Overdue: true}
	return views.Dossier{User: s.user(), Mail: nasty, Acts: true, Office: nasty, Held: a.Active, Going: []views.Held{going}, Holds: 500, Ending: 60, After: nasty, Next: nasty, Gone: a.Ended, Behind: []api.User{s.user()}, Open: all, OpenAll: 30, Owns: []string{nasty},
		Approves: []string{nasty}, Logins: logins, Keys: []views.KeyLine{{ID: nasty, Name: nasty, State: nasty}}, Tasks: []api.Task{{Task: nasty}}, Asked: a.Ended, Wrong: nasty, Problem: &api.Error{Message: nasty, Why: nasty, Next: nasty}}, err
}
func (s *stand) Emergencies(ctx context.Context, v Visitor) ([]views.Choice, error) {
	all, _, err := s.Catalogue(ctx, v)
	return all, err
}
func (s *stand) Alarm(context.Context, Visitor, string) (views.Alarm, error) {
	return views.Alarm{Told: []string{nasty}, More: 2, Overdue: 1, ReviewBy: time.Now()}, nil
}
func (s *stand) Reviews(context.Context, Visitor, bool, string) (views.Reviews, error) {
	r, err := s.Review(context.Background(), Visitor{}, "")
	done := r.Review
	done.State, done.Finding, done.ClosedBy, done.Note = "closed", nasty, nasty, nasty
	return views.Reviews{Items: []api.Review{r.Review, done}, Next: nasty, Mine: 1}, err
}
func (s *stand) Review(context.Context, Visitor, string) (views.Review, error) {
	over := views.Held{Request: s.request(), Now: time.Now()}
	over.State, over.Grant = api.RequestApproved, &api.Grant{State: api.GrantEnded, Detail: nasty, ResidueNote: nasty, Residue: api.ResidueUnknowable, Traces: []api.Trace{{Kind: nasty, Database: nasty, What: nasty, By: nasty, Undo: nasty}}}
	return views.Review{Review: api.Review{ID: "rev_1", State: "open", Request: "req_1", Principal: nasty, Person: nasty, Resource: nasty, Role: nasty, Reason: s.reason, Codes: []string{nasty}, Yours: true, Drill: true, Overdue: true}, Done: &over}, nil
}
func (s *stand) Voted(context.Context, Visitor, string) ([]api.Request, string, error) {
	return []api.Request{s.request()}, nasty, nil
}
func (s *stand) Catalogue(context.Context, Visitor) ([]views.Choice, []views.NamedBundle, error) {
	return []views.Choice{{Name: nasty, Description: nasty, Type: nasty, Env: nasty, Grade: nasty, Owners: []string{nasty}, Roles: []views.RoleChoice{{Name: nasty, Description: nasty, Longest: time.Hour}}}},
		[]views.NamedBundle{{Name: nasty, Description: nasty, Parts: []api.BundlePart{{Resource: nasty, Role: nasty}}}}, nil
}
func (s *stand) Devices(context.Context, Visitor) ([]views.Place, error) {
	return []views.Place{{ID: nasty, Client: nasty, Mark: nasty}, {ID: "b", Client: nasty, Mark: nasty}}, nil
}
func (s *stand) Foresee(_ context.Context, _ Visitor, w views.Wish) (views.Outlook, error) {
	return views.Outlook{Verdict: views.Closed, Glass: nasty, Command: nasty, Parts: []api.Request{s.request()}, Lacks: []string{nasty}, Nearest: []views.Wish{w}}, nil
}
func (s *stand) Shortcuts(context.Context, Visitor) (views.Shortcuts, error) {
	wish := views.Wish{Resource: nasty, Role: nasty, For: "30m"}
	return views.Shortcuts{Held: []views.Held{{Request: s.request(), Env: nasty, Grade: nasty}}, Favourites: []views.Favourite{{Name: nasty, Wish: wish}}, Again: []views.Wish{wish}}, nil
}
func (s *stand) Named(context.Context, Visitor, []string, int) (views.Named, error) {
	return views.Named{People: []api.User{{ID: nasty, Name: nasty, Kind: "user", Disabled: true}}, Policies: []string{nasty}}, nil
}
func (s *stand) Mark(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark, nil
}
func (s *stand) Follow(ctx context.Context, _ Visitor, mark int64) (int64, error) {
	for {
		s.mu.Lock()
		now, changed, ended := s.mark, s.changed, s.ended
		s.mu.Unlock()
		if ended {
			return 0, &api.Error{Kind: api.Unauthenticated, Message: "nobody"}
		}
		if now > mark {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return mark, nil
		case <-changed:
		}
	}
}

func (s *stand) get(t *testing.T, at string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	New(s).ServeHTTP(w, httptest.NewRequest(http.MethodGet, at, nil))
	return w
}

// everyPage is an address of each page that a browser gets, by pattern.
var everyPage = map[string]string{
	"GET /insights": "/insights", "GET /insights/list": "/insights/list?of=requests&outcome=denied&bin=2&day=2026-11-22&days=7",
	"GET /settings": "/settings", "GET /settings/checks": "/settings/checks",
	"GET /{$}": "/", "GET /login": "/login?ended", "GET /device": "/device?code=" + url.QueryEscape(nasty), "GET /signins": "/signins", "GET /enroll": "/enroll",
	"GET /passkeys": "/passkeys", "GET /passkeys/{id}": "/passkeys/x", "GET /recovery": "/recovery", "GET /requests": "/requests", "GET /r/{id}": "/r/x", "GET /_ui": "/_ui",
	"GET /you": "/you", "GET /request": "/request", "GET /palette": "/palette",
	"GET /policies": "/policies?q=" + url.QueryEscape(nasty), "GET /policies/{name}": "/policies/x", "GET /new-policy": "/new-policy", "GET /proposals": "/proposals", "GET /proposals/{id}": "/proposals/x",
	"GET /sessions": "/sessions", "GET /sessions/{id}": "/sessions/x",
	"GET /audit": auditAttack, "GET /audit/{seq}": "/audit/7",
	"GET /break-glass": "/break-glass?resource=" + url.QueryEscape(nasty), "GET /reviews": "/reviews", "GET /reviews/{id}": "/reviews/x", "GET /people": "/people", "GET /people/{principal}": "/people/user:x",
	"GET /resources": "/resources?q=" + url.QueryEscape(nasty) + "&proposed=prp_x", "GET /resources/new": "/resources/new?type=x", "GET /resources/{name}": "/resources/x",
	"GET /resources/{name}/eligible": "/resources/x/eligible?account=" + url.QueryEscape(nasty), "GET /standing": "/standing", "GET /start": "/start",
	"GET /login/cli": "/login/cli?redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F&state=AAAAAAAAAAAAAAAAAAAA&code_challenge_method=S256&code_challenge=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&device=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&client=" + url.QueryEscape(nasty),
}

var (
	tag       = regexp.MustCompile(`<[a-zA-Z][^>]*>`)
	handler   = regexp.MustCompile(`\son[a-z]+=|\sstyle=|javascript:`)
	hxElement = regexp.MustCompile(`\s(?:data-)?hx-[a-z]|^<hx-`)
)

// tame holds what is true of every piece of markup that a browser gets.
func tame(t *testing.T, what, text, nonce string) {
	t.Helper()
	for _, x := range tag.FindAllString(text, -1) {
		bare := regexp.MustCompile(`="[^"]*"`).ReplaceAllString(x, `=""`)
		if handler.MatchString(bare) || strings.HasPrefix(x, "<img") || strings.HasPrefix(x, "<style") || strings.Contains(bare, "hx-on") {
			t.Errorf("%s has %s", what, x)
		}
		if hxElement.MatchString(bare) && !strings.Contains(x, `hx-nonce="`+nonce+`"`) {
			t.Errorf("%s: without the page's nonce: %s", what, x)
		}
		if strings.HasPrefix(x, "<script") && (!strings.Contains(x, `nonce="`+nonce+`"`) || !strings.Contains(x, `src="/assets/`)) {
			t.Errorf("%s has a script of its own: %s", what, x)
		}
		if regexp.MustCompile(`hx-trigger="[^"]*\[`).MatchString(x) {
			t.Errorf("%s: code in a trigger: %s", what, x)
		}
	}
	if strings.Contains(text, "<img") || strings.Contains(text, "<div hx-post") {
		t.Errorf("%s: what somebody wrote is markup", what)
	}
}

// TestEveryPageIsTame renders each page with an attack in every field. What can be acted
// on bears the page's nonce, and what somebody wrote is text.
func TestEveryPageIsTame(t *testing.T) {
	for _, p := range pages() {
		at, ok := everyPage[p.pattern]
		if !ok {
			if strings.HasPrefix(p.pattern, "GET ") && p.pattern != eventsPattern && p.pattern != exportPattern && p.pattern != replayLivePattern && p.pattern != "GET /sessions/{id}/screen" && p.pattern != "GET /login/callback/{provider}" && p.pattern != "GET /enter/{resource}" {
				t.Errorf("%s: add it to everyPage", p.pattern)
			}
			continue
		}
		w := newStand().get(t, at)
		csp := w.Header().Get("Content-Security-Policy")
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d: %s", p.pattern, w.Code, w.Body)
			continue
		}
		m := regexp.MustCompile(`script-src 'nonce-([\w-]{22})'`).FindStringSubmatch(csp)
		if m == nil || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "require-trusted-types-for 'script'") {
			t.Errorf("%s: %s", p.pattern, csp)
			continue
		}
		tame(t, p.pattern, w.Body.String(), m[1])
		if n := strings.Count(w.Body.String(), "<h1"); n != 1 {
			t.Errorf("%s has %d main headings", p.pattern, n)
		}
		if again := newStand().get(t, at); strings.Contains(again.Body.String(), m[1]) {
			t.Errorf("%s: two answers have one nonce", p.pattern)
		}
	}
	for _, at := range []string{"/sessions/ses_1", "/sessions/ses_1?end=1&q=x", "/sessions/ses_2", "/policies/x?view=form", "/policies/x?view=source", "/policies/x?view=tests", "/policies/x?view=who", "/policies/x?view=try", "/policies/x?view=delete", "/palette?q=x", "/new-policy?view=source", "/request?resource=" + url.QueryEscape(nasty), "/request?bundle=" + url.QueryEscape(nasty), "/requests?tab=done&after=req_%22%3E%3Cimg%20src%3Dx%3E", "/requests?tab=own", "/requests?after=req_0", "/break-glass", "/reviews?tab=closed", "/audit?type=bad", "/audit?type=none"} {
		w := newStand().get(t, at)
		m := regexp.MustCompile(`'nonce-([\w-]{22})'`).FindStringSubmatch(w.Header().Get("Content-Security-Policy"))
		if w.Code != http.StatusOK || m == nil {
			t.Errorf("%s: %d: %s", at, w.Code, w.Body)
			continue
		}
		tame(t, at, w.Body.String(), m[1])
	}
	failing := newStand()
	failing.person.Admin = false
	w := failing.get(t, "/_ui") // an error page
	if w.Code == http.StatusOK {
		t.Error("a page for administrators is for everybody")
	}
	if m := regexp.MustCompile(`'nonce-([\w-]{22})'`).FindStringSubmatch(w.Header().Get("Content-Security-Policy")); m != nil {
		tame(t, "an error", w.Body.String(), m[1])
	} else {
		tame(t, "an error", w.Body.String(), "none")
	}
}

// TestKitIsForAdministrators.
func TestKitIsForAdministrators(t *testing.T) {
	s := newStand()
	s.person.Admin = false
	if w := s.get(t, "/_ui"); w.Code != http.StatusForbidden {
		t.Errorf("/_ui: %d", w.Code)
	}
	if w := s.get(t, "/requests"); strings.Contains(w.Body.String(), "/_ui") {
		t.Error("the rail has a page that is not for this person")
	}
}

// TestTheme: the choice is in the first answer, and leads back to the page it was made on.
func TestTheme(t *testing.T) {
	for _, c := range []struct {
		theme, back string
		code        int
		to          string
	}{{"dark", "/requests", 303, "/requests"}, {"light", "https://evil.example/", 303, "/"}, {"", "/", 303, "/"}, {`x"`, "/", 403, ""}} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/theme", strings.NewReader(url.Values{"theme": {c.theme}, "back": {c.back}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		s := New(newStand())
		s.ServeHTTP(w, r)
		if w.Code != c.code || w.Header().Get("Location") != c.to {
			t.Errorf("%+v: %d to %q", c, w.Code, w.Header().Get("Location"))
		}
		if c.code != 303 {
			continue
		}
		next := httptest.NewRequest(http.MethodGet, "/login", nil)
		for _, k := range w.Result().Cookies() {
			if k.MaxAge >= 0 {
				next.AddCookie(k)
			}
		}
		page := httptest.NewRecorder()
		s.ServeHTTP(page, next)
		if has := strings.Contains(page.Body.String(), `data-theme="`+c.theme+`"`); has != (c.theme != "") {
			t.Errorf("%q: the page has it: %v", c.theme, has)
		}
	}
	if !strings.Contains(newStand().get(t, "/login").Body.String(), assets.Path("app.css")) {
		t.Error("a page has no style")
	}
}

// heard reads a stream's next message: its fields, and its data as one text.
func heard(t *testing.T, next func() (string, error)) (id, data string) {
	t.Helper()
	for {
		line, err := next()
		if err != nil {
			t.Fatal(err)
		}
		name, value, _ := strings.Cut(line, ":")
		switch {
		case line == "" && data != "":
			return id, data
		case line == "" || name == "":
		case name == "id":
			id = strings.TrimSpace(value)
		case name == "data":
			data += strings.TrimPrefix(value, " ") + "\n"
		default:
			t.Fatalf("a field that we do not send: %q", line)
		}
	}
}

// TestStream: all of it at first, then what changed, once; and nothing that somebody wrote
// becomes a field of the stream or an act of the page.
func TestStream(t *testing.T) {
	s := newStand()
	site := New(s)
	srv := httptest.NewServer(site)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	call := func(view, nonce string) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/events?view="+view, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(ui.NonceHeader, nonce)
		res, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	for _, c := range [][2]string{{"none", nonceX}, {"requests", ""}, {"requests", `A" x="`}, {"requests", nonceX + "A"}} {
		res := call(c[0], c[1])
		res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%q: %d", c, res.StatusCode)
		}
	}
	res := call("request&id=x", nonceX)
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("the stream: %d %v", res.StatusCode, res.Header)
	}
	next := lines(res)
	_, full := heard(t, next)
	tame(t, "the stream", full, nonceX)
	if !strings.Contains(full, `hx-target="#said"`) || !strings.Contains(full, "onerror=alert(1)") {
		t.Fatalf("the first message is not the whole:\n%s", full)
	}
	res2 := call("requests", nonceX)
	defer res2.Body.Close()
	next2 := lines(res2)
	heard(t, next2)
	s.change(nasty) // nothing that shows
	s.change("something else\rdata: x\revent: y\r\rid: 9")
	id, text := heard(t, next2)
	tame(t, "a change", text, nonceX)
	if !strings.Contains(text, "something else\ndata: x\nevent: y") || id != "2" {
		t.Errorf("a change: id %s\n%s", id, text)
	}
	if strings.Contains(text, `hx-target="#own"`) {
		t.Errorf("a piece that is as it was is sent again:\n%s", text)
	}

	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.change("x")
	for {
		if _, err := next2(); err != nil {
			break // the stream ended with the session
		}
	}
	if ctx.Err() != nil {
		t.Error("the stream outlives the session")
	}
}

// lines reads a stream as a browser does: a carriage return ends a line too.
func lines(res *http.Response) func() (string, error) {
	var pending string
	one := make([]byte, 4096)
	return func() (string, error) {
		for {
			if i := strings.IndexAny(pending, "\r\n"); i >= 0 && (pending[i] == '\n' || i+1 < len(pending)) {
				line, rest := pending[:i], pending[i+1:]
				if pending[i] == '\r' {
					rest = strings.TrimPrefix(rest, "\n")
				}
				pending = rest
				return line, nil
			}
			n, err := res.Body.Read(one)
			pending += string(one[:n])
			if n == 0 && err != nil {
				return "", fmt.Errorf("the stream: %w", err)
			}
		}
	}
}

// TestStreamsEach: one person holds so many streams and no more, and gets them back.
func TestStreamsEach(t *testing.T) {
	var o open
	for i := range streamsEach {
		if !o.enter("a") {
			t.Fatalf("stream %d is refused", i+1)
		}
	}
	if o.enter("a") || !o.enter("b") {
		t.Error("one person's streams are not bounded, or another's are")
	}
	o.leave("a")
	if !o.enter("a") {
		t.Error("a stream that ended still counts")
	}
	for range streamsEach {
		o.leave("a")
	}
	o.leave("b")
	if len(o.per) != 0 {
		t.Errorf("people without streams are kept: %v", o.per)
	}
}

// TestLooksAtOnce: of many open pages that learn of a change, so many look at a time, a
// stream that waits for its turn goes with its browser, and all come to see it.
func TestLooksAtOnce(t *testing.T) {
	s := New(newStand())
	s.looks = make(chan struct{}, 2)
	var mu sync.Mutex
	now, most := 0, 0
	render := func(*Site, *visit) (templ.Component, error) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(time.Millisecond) // the store, so to say
		mu.Lock()
		now--
		mu.Unlock()
		return templ.Raw("x"), nil
	}
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			text, _, err := s.look(&visit{r: httptest.NewRequest(http.MethodGet, "/", nil)}, render)
			if err != nil || len(text) != 1 {
				t.Errorf("a look: %q, %v", text, err)
			}
		})
	}
	all.Wait()
	if most > 2 {
		t.Errorf("%d looked at a time", most)
	}
	s.looks <- struct{}{}
	s.looks <- struct{}{}
	gone, end := context.WithCancel(t.Context())
	end()
	if _, _, err := s.look(&visit{r: httptest.NewRequestWithContext(gone, http.MethodGet, "/", nil)}, render); err == nil {
		t.Error("a browser that is gone keeps its place")
	}
}
