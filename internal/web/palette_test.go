package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
)

// TestAskLines: names that begin with what is typed come first, the least role is offered
// unless another is named, and there are never more than a few, of however many.
func TestAskLines(t *testing.T) {
	var all []views.Choice
	for i := range 1000 {
		all = append(all, views.Choice{Name: fmt.Sprintf("db-%04d", i), Type: "postgres", Roles: []views.RoleChoice{{Name: "reader"}, {Name: "owner"}}})
	}
	all = append(all, views.Choice{Name: "stage-db-0007", Roles: []views.RoleChoice{{Name: "reader"}}})
	titles := func(query string) (out []string) {
		for _, x := range askLines(all, nil, query)[0].Items {
			out = append(out, x.Title)
		}
		return out
	}
	if got := titles(""); len(got) != mostLines {
		t.Errorf("%d lines", len(got))
	}
	if got := strings.Join(titles("db-0007"), "|"); got != "Request reader on db-0007|Request reader on stage-db-0007" {
		t.Errorf("a name: %s", got)
	}
	if got := strings.Join(titles("owner 0007"), "|"); got != "Request owner on db-0007" {
		t.Errorf("a role: %s", got)
	}
	if got := titles("nothing of this"); len(got) != 0 {
		t.Errorf("nothing: %s", got)
	}
}

// BenchmarkPalette is one keystroke, with 1,000 resources.
func BenchmarkPalette(b *testing.B) {
	var all []views.Choice
	for i := range 1000 {
		all = append(all, views.Choice{Name: fmt.Sprintf("db-%04d", i), Type: "postgres", Roles: []views.RoleChoice{{Name: "reader"}, {Name: "owner"}}})
	}
	for b.Loop() {
		askLines(all, nil, "owner 999")
	}
}

// TestPalette: a part of a page for the script, a page of its own for whoever has none,
// and nothing longer than it should be is looked for.
func TestPalette(t *testing.T) {
	s := newStand()
	r := httptest.NewRequest(http.MethodGet, "/palette?q="+url.QueryEscape(strings.Repeat("é", 200)), nil)
	r.Header.Set("HX-Request-Type", "partial")
	w := httptest.NewRecorder()
	New(s).ServeHTTP(w, r)
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "<h1") || !strings.Contains(w.Body.String(), `data-q="`+strings.Repeat("é", mostQuery/2)+`"`) {
		t.Errorf("a part: %d %s", w.Code, w.Body)
	}
	s.person.Enrols = true
	if body := s.get(t, "/palette").Body.String(); strings.Contains(body, "/request?") || !strings.Contains(body, "/passkeys") {
		t.Errorf("who makes a passkey is offered more: %s", body)
	}
	rail := []ui.Group{{Links: []ui.Link{{Key: "people", Href: "/people", Label: "People", Icon: "users"}, {Key: "home", Href: "/", Label: "My access", Icon: "key-round"}}}}
	if got := pageLines(rail, "omar")[1].Items; len(got) != 1 || got[0].Href != "/people?q=omar" {
		t.Errorf("search on other pages: %+v", got)
	}
}

// TestKeysOff: the choice is a cookie, and the first answer has it.
func TestKeysOff(t *testing.T) {
	s := New(newStand())
	for _, c := range []struct {
		keys string
		off  bool
	}{{"off", true}, {"on", false}, {"x", false}} {
		r := httptest.NewRequest(http.MethodPost, "/keys", strings.NewReader(url.Values{"keys": {c.keys}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		next := httptest.NewRequest(http.MethodGet, "/you", nil)
		for _, k := range w.Result().Cookies() {
			if k.MaxAge >= 0 {
				next.AddCookie(k)
			}
		}
		page := httptest.NewRecorder()
		s.ServeHTTP(page, next)
		if has := strings.Contains(page.Body.String(), `data-keys="off"`); has != c.off || w.Code != http.StatusSeeOther {
			t.Errorf("%q: %d, off %v", c.keys, w.Code, has)
		}
	}
}

// TestShorter: the button for less is a yes for that long, and no other field makes it more.
func TestShorter(t *testing.T) {
	v := &visit{r: &http.Request{PostForm: url.Values{"answer": {"shorter"}, "shorter": {"15m"}, "for": {"8h"}}}}
	if b, err := ballotOf(v); err != nil || !b.Approve || b.For != "15m" {
		t.Errorf("shorter: %+v, %v", b, err)
	}
	v.r.PostForm.Set("answer", "deny")
	if b, err := ballotOf(v); err != nil || b.Approve || b.For != "" {
		t.Errorf("denied: %+v, %v", b, err)
	}
}

// TestManyItems: 500 grants and 500 requests are a page, quickly, and one is one.
func TestManyItems(t *testing.T) {
	now := time.Now()
	for _, n := range []int{0, 1, 500} {
		var a views.Access
		var m views.Inbox
		m.View = views.ForMe
		for i := range n {
			r := api.Request{ID: fmt.Sprintf("req_%d", i), Principal: "user:a", Person: "a", Role: "reader", Resource: "db", Duration: "30m", State: api.RequestPending, Reason: "x"}
			m.Items = append(m.Items, r)
			h := views.Held{Request: r}
			h.State, h.Grant = api.RequestApproved, &api.Grant{ID: "g", State: api.GrantActive, ActiveAt: api.At(now), ExpiresAt: api.At(now.Add(time.Hour))}
			a.Active = append(a.Active, h)
		}
		var access, inbox strings.Builder
		began := time.Now()
		if err := views.AccessPage(a.At(now)).Render(t.Context(), &access); err != nil {
			t.Fatal(err)
		}
		m.Waits = n
		if err := views.InboxPage(m).Render(t.Context(), &inbox); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%d items take %s", n, took)
		}
		if got := strings.Count(access.String(), "data-ends="); got != n {
			t.Errorf("%d of %d grants", got, n)
		}
		if got := strings.Count(inbox.String(), "data-decide="); got != n {
			t.Errorf("%d of %d requests", got, n)
		}
	}
}
