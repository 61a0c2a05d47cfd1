package notify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
)

// teamsServer takes cards as a workflow's webhook does: 202, at most 28 KB, and only
// with the secret of its URL.
type teamsServer struct {
	mu       sync.Mutex
	cards    []map[string]any
	limited  int
	problems []string
}

func (s *teamsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limited > 0 {
		s.limited--
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	if r.URL.Path != "/workflows/w1/triggers/manual/paths/invoke" || r.URL.Query().Get("sig") != "s3cret" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var m struct {
		Type        string `json:"type"`
		Attachments []struct {
			ContentType string         `json:"contentType"`
			Content     map[string]any `json:"content"`
		} `json:"attachments"`
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 28<<10)).Decode(&m)
	if err != nil || m.Type != "message" || len(m.Attachments) != 1 || m.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" || m.Attachments[0].Content["version"] != "1.5" {
		s.problems = append(s.problems, fmt.Sprintf("%v %+v", err, m))
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, b := range m.Attachments[0].Content["body"].([]any) {
		block := b.(map[string]any)
		if block["type"] != "RichTextBlock" {
			s.problems = append(s.problems, fmt.Sprintf("%v reads Markdown", block["type"]))
		}
		for _, i := range block["inlines"].([]any) {
			if i.(map[string]any)["type"] != "TextRun" || i.(map[string]any)["selectAction"] != nil {
				s.problems = append(s.problems, fmt.Sprintf("not plain: %v", i))
			}
		}
	}
	s.cards = append(s.cards, m.Attachments[0].Content)
	w.WriteHeader(http.StatusAccepted)
}

func teamsAt() Integration {
	return Integration{Name: "ops-teams", Type: Teams, Address: "https://teams.example", Credential: "ops-teams", Options: map[string]string{"events": "requests,troubles"}}
}

const teamsSecret = "/workflows/w1/triggers/manual/paths/invoke?api-version=2016-06-01&sig=s3cret\n"

// TestTeamsHourDown: a card for each stage; what came to its end while Teams was away
// has one.
func TestTeamsHourDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w, srv := newHouse(t), newWire(), &teamsServer{}
		w.hosts["teams.example"] = srv
		h.integrations = []Integration{teamsAt()}
		h.logins["ops-teams"] = Login{Secret: access.NewSecret([]byte(teamsSecret))}
		stop := start(h.service(w, "a"))
		time.Sleep(2 * time.Second)
		first := h.ask(1)
		time.Sleep(time.Second)
		w.set("teams.example", true)
		h.change(first, access.RequestApproved, approved)
		for i := range 20 {
			id := h.ask(10 + i)
			time.Sleep(3 * time.Minute)
			h.change(id, access.RequestDenied, denied)
		}
		w.set("teams.example", false)
		srv.mu.Lock()
		srv.limited = 1
		srv.mu.Unlock()
		time.Sleep(mostWait + 2*time.Minute)
		stop()
		if len(srv.cards) != 22 || len(srv.problems) != 0 || w.calls["teams.example"] > 60 {
			t.Errorf("%d cards, %d calls, %v", len(srv.cards), w.calls["teams.example"], srv.problems)
		}
	})
}

// TestTeamsInjection: what people write is in text runs, and the webhook's secret is
// in no error.
func TestTeamsInjection(t *testing.T) {
	h, w, srv := newHouse(t), newWire(), &teamsServer{}
	w.hosts["teams.example"] = srv
	h.logins["ops-teams"] = Login{Secret: access.NewSecret([]byte(teamsSecret))}
	ch, _, _ := newTeams(h.service(w, "a"), teamsAt())
	for _, text := range nasty {
		r := sample(1)
		r.Reason, r.Ticket, r.Role = text, text, access.RoleName(text)
		if _, err := ch.Send(t.Context(), OfRequest(Site{Requests: "https://stint.example.com/requests/"}, r, nil), Sent{}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	if len(srv.problems) != 0 || len(srv.cards) != len(nasty) {
		t.Errorf("%d cards, %v", len(srv.cards), srv.problems)
	}
	w.set("teams.example", true)
	if _, err := ch.Send(t.Context(), OfRequest(Site{}, sample(1), nil), Sent{}); err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "workflows") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"", "https://evil.example/", "//evil.example/", "@evil.example/", ".evil.example/"} {
		h.logins["ops-teams"] = Login{Secret: access.NewSecret([]byte(bad))}
		if _, err := ch.Send(t.Context(), OfRequest(Site{}, sample(1), nil), Sent{}); err == nil {
			t.Errorf("the secret %q is used", bad)
		}
	}
}

// pager is an Events API v2: 202, and one incident for each key.
type pager struct {
	mu       sync.Mutex
	open     map[string]pageEvent
	opened   int
	calls    int
	resolved []string
}

func (p *pager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	var e pageEvent
	if r.URL.Path != "/v2/enqueue" || json.NewDecoder(r.Body).Decode(&e) != nil || e.Key != "R0UT1NGKEY" || e.Dedup == "" || len(e.Dedup) > 255 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	switch e.Action {
	case "trigger":
		if e.Payload == nil || e.Payload.Summary == "" || len(e.Payload.Summary) > 1024 || e.Payload.Source == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if _, ok := p.open[e.Dedup]; !ok {
			p.opened++
		}
		p.open[e.Dedup] = e
	case "resolve":
		delete(p.open, e.Dedup)
		p.resolved = append(p.resolved, e.Dedup)
	default:
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// TestPaging: an overdue removal and a break-glass access page somebody once, and
// their end resolves the page, an hour without the pager in between or not.
func TestPaging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w, p := newHouse(t), newWire(), &pager{open: map[string]pageEvent{}}
		w.hosts["pager.example"] = p
		h.integrations = []Integration{{Name: "ops-pager", Type: Paging, Address: "https://pager.example", Credential: "ops-pager", Options: map[string]string{"events": "troubles"}}}
		h.logins["ops-pager"] = Login{Secret: access.NewSecret([]byte("R0UT1NGKEY\n"))}
		stop := start(h.service(w, "a"))
		pass(2 * time.Second)
		trouble := func(n int) {
			h.log(access.Event{Type: "removal.trouble", Entity: fmt.Sprintf("note_%d", h.nextID), Facts: map[string]string{"entitlement": fmt.Sprintf("ent_%d", n), "resource": "orders-db", "said": "connection refused"}})
		}
		gone := func(n int) {
			h.log(access.Event{Type: access.EntitlementGone, Entity: fmt.Sprintf("ent_%d", n), Version: 5, Facts: map[string]string{"resource": "orders-db"}})
		}
		h.ask(1) // which pages nobody
		trouble(1)
		gone(7) // of which nobody was told
		h.log(access.Event{Type: "breakglass.opened", Entity: "rev_1", Facts: map[string]string{"principal": "user:mira", "resource": "orders-db", "reason": "all is down", "owners": "group:dba", "drill": "true"}})
		pass(time.Second)
		if p.opened != 2 || p.calls != 2 {
			t.Fatalf("%d pages, %d calls", p.opened, p.calls)
		}
		first := p.open["stint/test/ent_1"]
		if first.Payload.Severity != "critical" || first.Payload.Summary != "Access is not gone: a removal does not succeed, on orders-db" || first.Payload.Details["said"] != "connection refused" {
			t.Errorf("got %+v", first.Payload)
		}
		if d := p.open["stint/test/rev_1"].Payload; d.Severity != "info" || !strings.HasPrefix(d.Summary, "DRILL: Break-glass") {
			t.Errorf("got %+v", d)
		}
		w.set("pager.example", true)
		for n := 2; n < 22; n++ {
			trouble(n)
			pass(3 * time.Minute)
			if n%2 == 0 {
				gone(n)
			}
		}
		gone(1)
		h.log(access.Event{Type: "review.closed", Entity: "rev_1", Version: 2})
		w.set("pager.example", false)
		pass(mostWait)
		stop()
		if len(p.open) != 10 || p.opened != 12 || len(p.resolved) != 12 {
			t.Errorf("%d open of %d, %d resolved", len(p.open), p.opened, len(p.resolved))
		}
	})
}

// TestTurns: of two processes one serves a channel; the other goes on where it was
// left, and nothing is told twice.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w, srv := newHouse(t), newWire(), &hookReceiver{secret: hookSecret}
		w.hosts["hook.example"] = srv
		h.integrations = []Integration{hook("hook", "hook.example")}
		h.logins["hook"] = Login{Secret: access.NewSecret([]byte(hookSecret))}
		stopA := start(h.service(w, "a"))
		stopB := start(h.service(w, "b"))
		time.Sleep(2 * time.Second)
		for n := range 30 {
			h.ask(n)
			time.Sleep(20 * time.Second)
			if n == 15 {
				stopA()
			}
		}
		time.Sleep(2 * turnLasts)
		stopB()
		if len(srv.got) != 30 || srv.twice != 0 {
			t.Errorf("%d events, %d twice", len(srv.got), srv.twice)
		}
	})
}

// TestFilter: which records a channel is told of.
func TestFilter(t *testing.T) {
	h := newHouse(t)
	h.about["orders-db"] = About{access.High, map[string]string{"team": "orders", "env": "prod"}}
	h.about["test-db"] = About{access.Low, map[string]string{"team": "orders", "env": "test"}}
	for _, c := range []struct {
		criticality, labels, resource string
		want                          bool
	}{
		{"", "", "", true}, {"", "", "orders-db", true}, {"high", "", "orders-db", true}, {"critical", "", "orders-db", false}, {"high", "", "test-db", false}, {"low", "", "test-db", true},
		{"", "team=orders", "test-db", true}, {"", "team=orders,env=prod", "test-db", false}, {"high", "team=orders,env=prod", "orders-db", true}, {"", "team=payments", "orders-db", false},
		{"high", "", "", false}, {"", "team=orders", "", false}, {"critical", "", "gone-db", true}, {"", "team=orders", "gone-db", false}, {"high", "", "test-db,orders-db", true},
	} {
		f, err := filterOf(map[string]string{"events": "requests", "criticality": c.criticality, "labels": c.labels})
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.fits(t.Context(), h, access.Event{Facts: map[string]string{"resource": c.resource}})
		if err != nil || got != c.want {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
	for options, types := range map[string]map[access.EventType]bool{
		"*": {"a.b": true}, "request.*": {"request.submitted": true, "grant.active": false}, "grant.active": {"grant.active": true, "grant.ended": false},
	} {
		f, _ := filterOf(map[string]string{"events": options})
		for typ, want := range types {
			if f.takes(typ) != want {
				t.Errorf("%s takes %s: %v", options, typ, !want)
			}
		}
	}
}
