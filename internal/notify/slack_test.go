package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"stint/internal/access"
)

const (
	slackToken   = "xoxb-test-token"
	slackSigning = "8f742231b10e8888abcd99yyyzzz85a5"
)

// slackServer is as much of Slack's Web API as Stint uses, with the limits that
// Slack documents: it refuses what Slack would refuse.
type slackServer struct {
	t  *testing.T
	mu sync.Mutex

	messages  map[string]slackPost // by ts
	order     []string
	posts     int
	edits     int
	whispers  []string
	views     []map[string]any
	limited   int  // calls to answer with 429
	lose      bool // the answer of the next post
	noHistory bool
	problems  []string
}

func newSlackServer(t *testing.T) *slackServer {
	return &slackServer{t: t, messages: map[string]slackPost{}}
}

func (s *slackServer) wrong(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

func (s *slackServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	say := func(v map[string]any) { _ = json.NewEncoder(w).Encode(v) }
	if s.limited > 0 {
		s.limited--
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+slackToken {
		say(map[string]any{"ok": false, "error": "invalid_auth"})
		return
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		s.wrong("%s with %s", r.Method, r.Header.Get("Content-Type"))
	}
	var buf bytes.Buffer
	_, _ = buf.ReadFrom(r.Body)
	method := strings.TrimPrefix(r.URL.Path, "/api/")
	switch method {
	case "chat.postMessage", "chat.update":
		var p slackPost
		err := json.Unmarshal(buf.Bytes(), &p)
		if user, ok := strings.CutPrefix(p.Channel, "U"); ok && method == "chat.postMessage" {
			p.Channel = "D" + user // a user's id opens the direct messages with them, which have one of their own
		}
		if err != nil || p.Channel != "C0123ABCD" && !strings.HasPrefix(p.Channel, "D") {
			say(map[string]any{"ok": false, "error": "channel_not_found"})
			return
		}
		if bad := badBlocks(p.Blocks); bad != "" {
			s.wrong("%s", bad)
			say(map[string]any{"ok": false, "error": "invalid_blocks"})
			return
		}
		if strings.ContainsAny(strings.NewReplacer("&amp;", "", "&lt;", "", "&gt;", "").Replace(p.Text), "<>&") || p.Markdown || p.Parse != "none" {
			s.wrong("the text would be read as markup: %s", p.Text)
		}
		if method == "chat.update" {
			if _, ok := s.messages[p.Stamp]; !ok {
				say(map[string]any{"ok": false, "error": "message_not_found"})
				return
			}
			s.edits++
			s.messages[p.Stamp] = p
			say(map[string]any{"ok": true, "channel": p.Channel, "ts": p.Stamp})
			return
		}
		s.posts++
		ts := fmt.Sprintf("17000000%02d.000100", s.posts)
		s.messages[ts] = p
		s.order = append(s.order, ts)
		if s.lose {
			s.lose = false
			w.WriteHeader(http.StatusBadGateway) // some proxy's, after Slack has taken it
			return
		}
		say(map[string]any{"ok": true, "channel": p.Channel, "ts": ts})
	case "chat.postEphemeral":
		var p struct{ Channel, User, Text string }
		_ = json.Unmarshal(buf.Bytes(), &p)
		s.whispers = append(s.whispers, p.Channel+" "+p.User+" "+p.Text)
		say(map[string]any{"ok": true})
	case "views.open":
		var p struct {
			Trigger string         `json:"trigger_id"`
			View    map[string]any `json:"view"`
		}
		_ = json.Unmarshal(buf.Bytes(), &p)
		s.views = append(s.views, p.View)
		say(map[string]any{"ok": p.Trigger != ""})
	case "conversations.history":
		if s.noHistory {
			say(map[string]any{"ok": false, "error": "missing_scope"})
			return
		}
		var all []map[string]any
		for _, ts := range s.order {
			all = append(all, map[string]any{"ts": ts, "metadata": s.messages[ts].Metadata})
		}
		say(map[string]any{"ok": true, "messages": all})
	default:
		say(map[string]any{"ok": false, "error": "unknown_method"})
	}
}

// badBlocks says which documented limit of Block Kit is not kept.
func badBlocks(blocks []map[string]any) string {
	if len(blocks) == 0 || len(blocks) > 50 {
		return fmt.Sprintf("%d blocks", len(blocks))
	}
	text := func(v any, most int) string {
		m, ok := v.(map[string]any)
		s, _ := m["text"].(string)
		switch {
		case !ok || m["type"] != "plain_text":
			return fmt.Sprintf("not plain text: %v", v)
		case s == "" || utf8.RuneCountInString(s) > most:
			return fmt.Sprintf("a text of %d characters, at most %d", utf8.RuneCountInString(s), most)
		case m["emoji"] != false:
			return "emoji are read"
		}
		return ""
	}
	for _, b := range blocks {
		var found []string
		switch b["type"] {
		case "section":
			if b["text"] != nil {
				found = append(found, text(b["text"], 3000))
			}
			fs, _ := b["fields"].([]any)
			if len(fs) > 10 || b["text"] == nil && len(fs) == 0 {
				found = append(found, fmt.Sprintf("%d fields", len(fs)))
			}
			for _, f := range fs {
				found = append(found, text(f, 2000))
			}
		case "context":
			es, _ := b["elements"].([]any)
			if len(es) == 0 || len(es) > 10 {
				found = append(found, fmt.Sprintf("%d elements", len(es)))
			}
			for _, e := range es {
				found = append(found, text(e, 2000))
			}
		case "actions":
			es, _ := b["elements"].([]any)
			if len(es) == 0 || len(es) > 25 {
				found = append(found, fmt.Sprintf("%d buttons", len(es)))
			}
			for _, e := range es {
				m, _ := e.(map[string]any)
				found = append(found, text(m["text"], 30))
				if v, _ := m["value"].(string); len(v) > 2000 || m["type"] != "button" {
					found = append(found, "a button's value is too long")
				}
			}
		default:
			return fmt.Sprintf("a block of type %v", b["type"])
		}
		for _, f := range found {
			if f != "" {
				return f
			}
		}
	}
	return ""
}

func (h *house) slackTo(w *wire, s *slackServer) Integration {
	w.hosts["slack.example"] = s
	i := Integration{Name: "ops-chat", Type: Slack, Address: "https://slack.example", Credential: "bot", Options: map[string]string{"channel": "C0123ABCD", "signing": "signing", "events": "requests,grants,troubles"}}
	h.integrations = append(h.integrations, i)
	h.logins["bot"], h.logins["signing"] = Login{Secret: access.NewSecret([]byte(slackToken + "\n"))}, Login{Secret: access.NewSecret([]byte(slackSigning + "\n"))}
	return i
}

// TestSlackHourDown: one message for each request, edited in place; an hour without
// Slack loses nothing, repeats nothing and floods nobody.
func TestSlackHourDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w, srv := newHouse(t), newWire(), newSlackServer(t)
		h.slackTo(w, srv)
		h.log(access.Event{Type: "documents.applied", Entity: "documents"})
		stop := start(h.service(w, "a"))
		pass(2 * time.Second)
		first := h.ask(1)
		pass(time.Second)
		h.change(first, access.RequestApproved, approved)
		pass(time.Second)
		if srv.posts != 1 || srv.edits != 1 {
			t.Fatalf("%d posts, %d edits", srv.posts, srv.edits)
		}
		w.set("slack.example", true)
		g := grantOf(h.requests[first])
		h.grants[first] = g
		h.log(access.Event{Type: access.GrantActive, Entity: string(g.ID), Facts: map[string]string{"request": string(first), "resource": "orders-db"}})
		var ids []access.RequestID
		for i := range 20 {
			ids = append(ids, h.ask(10+i))
			pass(time.Minute)
			h.change(ids[i], access.RequestVoted, func(r *access.Request) {})
			pass(time.Minute)
			h.change(ids[i], access.RequestDenied, denied)
			pass(time.Minute)
		}
		h.grants[first] = over(g)
		h.log(access.Event{Type: access.GrantEnded, Entity: string(g.ID), Facts: map[string]string{"request": string(first), "resource": "orders-db"}})
		if n := w.calls["slack.example"]; n > 40 {
			t.Errorf("%d calls in an hour", n)
		}
		w.set("slack.example", false)
		srv.mu.Lock()
		srv.limited = 2
		srv.mu.Unlock()
		pass(mostWait + 2*time.Minute)
		stop()
		if srv.posts != 21 || srv.edits != 2 || len(srv.problems) != 0 {
			t.Errorf("%d posts, %d edits, %v", srv.posts, srv.edits, srv.problems)
		}
		contains(t, srv.messages[srv.order[0]].Text, "Ended: mira, reader on orders-db")
		for _, ts := range srv.order[1:] {
			contains(t, srv.messages[ts].Text, "Denied: mira, reader on orders-db")
			for _, b := range srv.messages[ts].Blocks {
				if b["block_id"] == "decide" && strings.Contains(fmt.Sprint(b), slackDeny) {
					t.Error("what is decided has buttons to decide it")
				}
			}
		}
	})
}

// TestSlackLostAnswer: a post of which the answer was lost is found again and not
// repeated; where the app may not read the channel, it is.
func TestSlackLostAnswer(t *testing.T) {
	for _, blind := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h, w, srv := newHouse(t), newWire(), newSlackServer(t)
			srv.lose, srv.noHistory = true, blind
			h.slackTo(w, srv)
			stop := start(h.service(w, "a"))
			time.Sleep(2 * time.Second)
			h.ask(1)
			time.Sleep(time.Minute)
			stop()
			if want := map[bool]int{false: 1, true: 2}[blind]; srv.posts != want {
				t.Errorf("%d posts", srv.posts)
			}
		})
	}
}

// TestSlackInjection: what people write is text, whatever it says.
func TestSlackInjection(t *testing.T) {
	h, w, srv := newHouse(t), newWire(), newSlackServer(t)
	i := h.slackTo(w, srv)
	ch, _, err := newSlack(h.service(w, "a"), i)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range nasty {
		r := sample(1)
		r.Reason, r.Ticket, r.Role = text, text, access.RoleName(text)
		m := OfRequest(Site{Requests: "https://stint.example.com/requests/"}, r, nil)
		m.Chat = true
		if _, err := ch.Send(t.Context(), m, Sent{}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	if len(srv.problems) != 0 {
		t.Error(srv.problems)
	}
	for ts, p := range srv.messages {
		links := 0
		for _, b := range p.Blocks {
			links += strings.Count(fmt.Sprint(b), "url:")
		}
		if links != 1 {
			t.Errorf("%s has %d links", ts, links)
		}
	}
}

// TestApproveButton: it is there where a yes in a chat counts, and nowhere else; from
// criticality high up there is no button at all.
func TestApproveButton(t *testing.T) {
	for _, c := range []struct {
		level       access.Level
		criticality access.Criticality
		given       bool
		want        bool
	}{
		{access.LevelChat, access.Low, false, true}, {access.LevelChat, access.Medium, false, true}, {access.LevelChat, access.High, false, false}, {access.LevelChat, access.Critical, false, false},
		{access.LevelConsole, access.Low, false, false}, {access.LevelPasskey, access.Low, false, false}, {access.LevelChat, access.Low, true, false},
	} {
		r := sample(1)
		r.Targets[0].Criticality, r.Decision.Approvals[0].Level = c.criticality, c.level
		r.Decision.Approvals = append(r.Decision.Approvals, access.Requirement{From: []access.Subject{"group:sec"}, Count: 1, Level: access.LevelPasskey})
		if c.given {
			r.Approvals = []access.Approval{{By: "user:omar", Person: "omar", Approve: true, Meets: []int{0}}}
		}
		body := slackBody(OfRequest(Site{}, r, nil), true)
		acts := fmt.Sprint(body.Blocks[len(body.Blocks)-1])
		if strings.Contains(acts, "action_id:approve") != c.want || strings.Contains(acts, "action_id:deny") == (c.criticality == access.High || c.criticality == access.Critical) {
			t.Errorf("%+v: %s", c, acts)
		}
		if strings.Contains(fmt.Sprint(slackBody(OfRequest(Site{}, r, nil), false).Blocks), "action_id:deny") {
			t.Error("buttons where no click is taken")
		}
	}
}

// crowd is the people behind the clicks.
type crowd struct {
	mu     sync.Mutex
	linked map[string]bool
	votes  []Click
	orders []Order
	offers []string
	seen   map[string]bool
	refuse error
}

func (c *crowd) Vote(_ context.Context, k Click) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.linked[k.Subject] {
		return access.Fail(access.NotFound, "not-linked", "nobody is linked")
	}
	if c.refuse != nil {
		return c.refuse
	}
	c.votes = append(c.votes, k)
	return nil
}

func (c *crowd) Order(_ context.Context, o Order) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.linked[o.Subject] {
		return "", access.Fail(access.NotFound, "not-linked", "nobody is linked")
	}
	if c.refuse != nil {
		return "", c.refuse
	}
	c.orders = append(c.orders, o)
	return "done <" + o.Verb + ">", nil
}

func (c *crowd) Offer(_ context.Context, integration, subject, shows string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offers = append(c.offers, integration+" "+subject+" "+shows)
	return "CODE-1", nil
}

func (c *crowd) Fresh(_ context.Context, call string, _ time.Time) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := !c.seen[call]
	c.seen[call] = true
	return fresh, nil
}

// clickOf is a call as Slack signs it.
func clickOf(payload, signing string, at time.Time) *http.Request {
	body := url.Values{"payload": {payload}}.Encode()
	r := httptest.NewRequest(http.MethodPost, "/chat/slack/ops-chat", strings.NewReader(body))
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(signing))
	mac.Write([]byte("v0:" + stamp + ":" + body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Slack-Request-Timestamp", stamp)
	r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	return r
}

// commandOf is a slash command as Slack signs it.
func commandOf(user, text, signing string, at time.Time) *http.Request {
	body := url.Values{"command": {"/stint"}, "text": {text}, "team_id": {"T01"}, "user_id": {user}, "user_name": {"omar.h"}, "channel_id": {"C0123ABCD"},
		"trigger_id": {"13345.7"}, "response_url": {"https://evil.example/answer"}}.Encode()
	r := httptest.NewRequest(http.MethodPost, "/chat/slack/ops-chat", strings.NewReader(body))
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(signing))
	mac.Write([]byte("v0:" + stamp + ":" + body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Slack-Request-Timestamp", stamp)
	r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	return r
}

// TestCommands: what is typed after /stint is carried out for who linked themselves, and
// answered to them alone; what is not signed, or seen before, does nothing.
func TestCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w, srv := newHouse(t), newWire(), newSlackServer(t)
		h.slackTo(w, srv)
		people := &crowd{linked: map[string]bool{"T01/U01": true}, seen: map[string]bool{}}
		s := h.service(w, "a")
		s.People = people
		n := 0
		say := func(user, text, signing string) (int, string) {
			n++
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, commandOf(user, text, signing, time.Now().Add(time.Duration(n)*time.Second)))
			var a struct {
				Type string `json:"response_type"`
				Text string
			}
			_ = json.Unmarshal(rec.Body.Bytes(), &a)
			if rec.Code == 200 && a.Type != "ephemeral" {
				t.Errorf("%q is answered to all: %s", text, rec.Body)
			}
			return rec.Code, a.Text
		}
		for text, want := range map[string]Order{
			"list":        {Verb: "list"},
			"end req_01J": {Verb: "end", ID: "req_01J"},
			"ask orders-db as reader for 30m because look at order 4711 because of <b>": {Verb: "ask", Resource: "orders-db", Role: "reader", For: "30m", Why: "look at order 4711 because of <b>"},
		} {
			people.orders = nil
			want.Integration, want.Subject = "ops-chat", "T01/U01"
			if code, got := say("U01", text, slackSigning); code != 200 || len(people.orders) != 1 || people.orders[0] != want || !strings.Contains(got, "done &lt;") {
				t.Errorf("%q: %d %q, %+v", text, code, got, people.orders)
			}
		}
		people.orders = nil
		for _, text := range []string{"", "help", "ask", "ask orders-db as reader for 30m", "ask orders-db reader 30m because x", "ask a as b for c because ", "list all", "end", "approve req_1"} {
			if code, got := say("U01", text, slackSigning); code != 200 || !strings.Contains(got, "/stint list") || len(people.orders) > 0 {
				t.Errorf("%q: %d %q", text, code, got)
			}
		}
		if code, got := say("U02", "list", slackSigning); code != 200 || !strings.Contains(got, "stint chat link CODE-1") {
			t.Errorf("somebody unknown: %d %q", code, got)
		}
		if code, got := say("U01/../U02", "list", slackSigning); code != 200 || !strings.Contains(got, "not said") {
			t.Errorf("a strange id: %d %q", code, got)
		}
		people.refuse = access.Fail(access.Denied, "no", "the <resource> is not for you")
		if _, got := say("U01", "list", slackSigning); !strings.Contains(got, "the &lt;resource&gt; is not for you") {
			t.Errorf("refused: %q", got)
		}
		people.refuse = nil
		if code, _ := say("U01", "list", "other"); code != 401 || len(people.orders) > 0 {
			t.Errorf("unsigned: %d", code)
		}
		twice := func() int {
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, commandOf("U01", "end req_2", slackSigning, time.Now()))
			return rec.Code
		}
		if a, b := twice(), twice(); a != 200 || b != http.StatusConflict || len(people.orders) != 1 {
			t.Errorf("twice: %d, %d, %d orders", a, b, len(people.orders))
		}
		if w.calls["evil.example"] > 0 {
			t.Error("an address in the call was called")
		}
	})
}

const pressed = `{"type":"block_actions","team":{"id":"T01"},"user":{"id":"%s","username":"omar.h","team_id":"T01"},"trigger_id":"13345.7","channel":{"id":"C0123ABCD"},"actions":[{"action_id":"%s","value":"%s"}]}`

func TestClicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w, srv := newHouse(t), newWire(), newSlackServer(t)
		h.slackTo(w, srv)
		people := &crowd{linked: map[string]bool{"T01/U01": true}, seen: map[string]bool{}}
		s := h.service(w, "a")
		s.People = people
		value := string(sample(1).ID) + " " + access.Digest{1, 2, 3}.String()
		send := func(r *http.Request) int {
			began := time.Now()
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, r)
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("the answer took %s", took)
			}
			synctest.Wait()
			return rec.Code
		}
		// Approve, from somebody who is linked.
		yes := clickOf(fmt.Sprintf(pressed, "U01", "approve", value), slackSigning, time.Now())
		again := clickOf(fmt.Sprintf(pressed, "U01", "approve", value), slackSigning, time.Now())
		if code := send(yes); code != 200 || len(people.votes) != 1 {
			t.Fatalf("%d, %d votes", code, len(people.votes))
		}
		if v := people.votes[0]; !v.Approve || v.Request != sample(1).ID || v.Seen != (access.Digest{1, 2, 3}) || v.Subject != "T01/U01" || v.Integration != "ops-chat" {
			t.Errorf("got %+v", v)
		}
		if code := send(again); code != http.StatusConflict || len(people.votes) != 1 {
			t.Errorf("a replay: %d, %d votes", code, len(people.votes))
		}
		// Deny asks why, and says it.
		if code := send(clickOf(fmt.Sprintf(pressed, "U01", "deny", value), slackSigning, time.Now())); code != 200 || len(srv.views) != 1 || len(people.votes) != 1 {
			t.Fatalf("%d, %d views, %d votes", code, len(srv.views), len(people.votes))
		}
		private := srv.views[0]["private_metadata"].(string)
		form := fmt.Sprintf(`{"type":"view_submission","team":{"id":"T01"},"user":{"id":"U01","team_id":"T01"},"view":{"callback_id":"deny","private_metadata":%q,"state":{"values":{"note":{"note":{"value":"use the replica"}}}}}}`, private)
		if code := send(clickOf(form, slackSigning, time.Now())); code != 200 || len(people.votes) != 2 {
			t.Fatalf("%d, %d votes", code, len(people.votes))
		}
		if v := people.votes[1]; v.Approve || v.Note != "use the replica" || v.Request != sample(1).ID {
			t.Errorf("got %+v", v)
		}
		// Somebody whom nobody knows gets a code, and no vote.
		if send(clickOf(fmt.Sprintf(pressed, "U02", "approve", value), slackSigning, time.Now())); len(people.votes) != 2 || !slices.Equal(people.offers, []string{"ops-chat T01/U02 omar.h"}) {
			t.Errorf("%d votes, offers %v", len(people.votes), people.offers)
		}
		contains(t, srv.whispers[0], "C0123ABCD U02", "stint chat link CODE-1")
		// A no of Stint's is told to who clicked, as text.
		people.refuse = access.Fail(access.Denied, "own-request", "nobody decides their own <request>").Try("ask omar")
		send(clickOf(fmt.Sprintf(pressed, "U01", "approve", value), slackSigning, time.Now().Add(time.Second)))
		contains(t, srv.whispers[1], "nobody decides their own &lt;request&gt;", "ask omar")
		people.refuse = nil
		if len(people.votes) != 2 {
			t.Errorf("%d votes", len(people.votes))
		}

		// What is not genuine does nothing.
		for name, c := range map[string]struct {
			bend func(*http.Request)
			call *http.Request
			want int
		}{
			"another key":     {nil, clickOf(fmt.Sprintf(pressed, "U01", "approve", value), "other", time.Now()), 401},
			"an empty key":    {nil, clickOf(fmt.Sprintf(pressed, "U01", "approve", value), "", time.Now()), 401},
			"six minutes old": {nil, clickOf(fmt.Sprintf(pressed, "U01", "approve", value), slackSigning, time.Now().Add(-6*time.Minute)), 401},
			"from the future": {nil, clickOf(fmt.Sprintf(pressed, "U01", "approve", value), slackSigning, time.Now().Add(6*time.Minute)), 401},
			"no time":         {func(r *http.Request) { r.Header.Del("X-Slack-Request-Timestamp") }, nil, 401},
			"no signature":    {func(r *http.Request) { r.Header.Del("X-Slack-Signature") }, nil, 401},
			"another time": {func(r *http.Request) {
				r.Header.Set("X-Slack-Request-Timestamp", strconv.FormatInt(time.Now().Unix()-1, 10))
			}, nil, 401},
			"another body":    {func(r *http.Request) { r.Body = http.NoBody }, nil, 401},
			"by GET":          {func(r *http.Request) { r.Method = http.MethodGet }, nil, 405},
			"another name":    {func(r *http.Request) { r.URL.Path = "/chat/slack/other" }, nil, 404},
			"no name":         {func(r *http.Request) { r.URL.Path = "/chat/slack/../ops-chat" }, nil, 404},
			"a changed value": {nil, clickOf(fmt.Sprintf(pressed, "U01", "approve", "req_1 sha256:00"), slackSigning, time.Now()), 200},
			"nobody":          {nil, clickOf(fmt.Sprintf(pressed, "", "approve", value), slackSigning, time.Now()), 200},
			"a strange id":    {nil, clickOf(fmt.Sprintf(pressed, "U01/../U02", "approve", value), slackSigning, time.Now()), 200},
			"another action":  {nil, clickOf(fmt.Sprintf(pressed, "U01", "open", value), slackSigning, time.Now()), 200},
			"no JSON":         {nil, clickOf("{", slackSigning, time.Now()), 400},
			"too long":        {nil, clickOf(`"`+strings.Repeat("a", clickSize)+`"`, slackSigning, time.Now()), 413},
		} {
			r := c.call
			if r == nil {
				r = clickOf(fmt.Sprintf(pressed, "U01", "approve", value), slackSigning, time.Now().Add(time.Duration(len(name))*time.Second))
			}
			if c.bend != nil {
				c.bend(r)
			}
			if code := send(r); code != c.want {
				t.Errorf("%s: %d, want %d", name, code, c.want)
			}
			if len(people.votes) != 2 {
				t.Fatalf("%s: it counted", name)
			}
		}
		// A store that is away, and a chat that is: an answer in time, and no vote.
		w.set("slack.example", true)
		send(clickOf(fmt.Sprintf(pressed, "U09", "approve", value), slackSigning, time.Now().Add(2*time.Second)))
		people.refuse = errors.New("boom")
		send(clickOf(fmt.Sprintf(pressed, "U01", "approve", value), slackSigning, time.Now().Add(3*time.Second)))
		if len(people.votes) != 2 || len(srv.problems) != 0 {
			t.Errorf("%d votes, %v", len(people.votes), srv.problems)
		}
	})
}
