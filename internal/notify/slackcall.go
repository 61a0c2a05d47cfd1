package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// Click is what somebody did in a chat, as the chat has signed it.
type Click struct {
	Integration string
	Subject     string // who, as the chat knows them: "T0123/U0456"
	Request     access.RequestID
	Seen        access.Digest // of the request that they were shown
	Approve     bool
	Note        string
}

// People are behind those who click in a chat.
type People interface {
	// Vote votes for the user who is linked to the chat's; access.NotFound with code
	// "not-linked" where nobody is.
	Vote(ctx context.Context, c Click) error
	// Order asks for access, lists or ends it for that user, and says what became of it.
	// An error is as with Vote.
	Order(ctx context.Context, o Order) (said string, err error)
	// Offer makes a code by which somebody who is signed in links themselves to the
	// chat's user, once and within minutes. shows is what the chat calls them.
	Offer(ctx context.Context, integration, subject, shows string) (code string, err error)
	// Fresh reports whether a call is seen for the first time, on whichever replica.
	Fresh(ctx context.Context, call string, until time.Time) (bool, error)
}

const (
	clicksAtOnce = 16
	clickSize    = 256 << 10
	clickAge     = 5 * time.Minute
	clickWithin  = 20 * time.Second
	ackWithin    = 2500 * time.Millisecond // Slack waits 3 s
)

// ServeHTTP takes clicks and commands at /chat/slack/{integration}: the signature first.
// Clicks are acknowledged before the rest; a command's answer is its acknowledgement.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	name, ok := strings.CutPrefix(r.URL.Path, "/chat/slack/")
	if !ok || s.People == nil || !access.ValidName(name) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), ackWithin)
	defer cancel()
	c, code := s.slackAt(ctx, name)
	if c == nil {
		w.WriteHeader(code)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, clickSize))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if code := c.genuine(ctx, r.Header, body); code != http.StatusOK {
		w.WriteHeader(code)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err == nil && form.Get("command") != "" && !form.Has("payload") {
		c.ordered(ctx, w, form)
		return
	}
	var p slackPayload
	if err != nil || json.Unmarshal([]byte(form.Get("payload")), &p) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	select {
	case s.clicks <- struct{}{}:
	default:
		w.WriteHeader(http.StatusServiceUnavailable) // which Slack shows who clicked
		return
	}
	later := context.WithoutCancel(ctx)
	go func() {
		defer func() { <-s.clicks }()
		ctx, cancel := context.WithTimeout(later, clickWithin)
		defer cancel()
		c.carryOut(ctx, p)
	}()
	w.WriteHeader(http.StatusOK)
}

// slackAt finds the integration, or says what to answer.
func (s *Service) slackAt(ctx context.Context, name string) (*slack, int) {
	all, err := s.Outside.Integrations(ctx)
	if err != nil {
		return nil, http.StatusServiceUnavailable
	}
	at := slices.IndexFunc(all, func(i Integration) bool { return i.Name == name && i.Type == Slack && i.Options["signing"] != "" })
	if at < 0 {
		return nil, http.StatusNotFound
	}
	ch, _, err := newSlack(s, all[at])
	if err != nil {
		return nil, http.StatusNotFound
	}
	return ch.(*slack), http.StatusOK
}

// genuine checks that Slack has signed the call, just now, and that it was not seen
// before (Slack's "Verifying requests", version v0).
func (c *slack) genuine(ctx context.Context, h http.Header, body []byte) int {
	stamp := h.Get("X-Slack-Request-Timestamp")
	at, err := strconv.ParseInt(stamp, 10, 64)
	if age := time.Since(time.Unix(at, 0)); err != nil || age > clickAge || age < -clickAge {
		return http.StatusUnauthorized
	}
	login, err := c.service.secret(ctx, c.at, c.at.Options["signing"])
	if err != nil {
		return http.StatusServiceUnavailable
	}
	key := []byte(strings.TrimSpace(string(login.Secret.Reveal())))
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "v0:%s:%s", stamp, body)
	want := "v0=" + hex.EncodeToString(mac.Sum(nil))
	if len(key) == 0 || !hmac.Equal([]byte(want), []byte(h.Get("X-Slack-Signature"))) {
		return http.StatusUnauthorized
	}
	fresh, err := c.service.People.Fresh(ctx, "slack "+c.at.Name+" "+want, time.Unix(at, 0).Add(2*clickAge))
	switch {
	case err != nil:
		return http.StatusServiceUnavailable
	case !fresh:
		return http.StatusConflict
	}
	return http.StatusOK
}

// slackPayload is a click, or a form that was filled in (block_actions and
// view_submission).
type slackPayload struct {
	Type string `json:"type"`
	Team struct {
		ID string `json:"id"`
	} `json:"team"`
	User struct {
		ID       string `json:"id"`
		Username string `json:"username"`
		Name     string `json:"name"`
		Team     string `json:"team_id"`
	} `json:"user"`
	Trigger string `json:"trigger_id"`
	Channel struct {
		ID string `json:"id"`
	} `json:"channel"`
	Actions []struct {
		ID    string `json:"action_id"`
		Value string `json:"value"`
	} `json:"actions"`
	View struct {
		Callback string `json:"callback_id"`
		Private  string `json:"private_metadata"`
		State    struct {
			Values map[string]map[string]struct {
				Value string `json:"value"`
			} `json:"values"`
		} `json:"state"`
	} `json:"view"`
}

// subject is the user in all of Slack; empty where it is not said.
func (p slackPayload) subject() string {
	team := p.User.Team
	if team == "" {
		team = p.Team.ID
	}
	if team == "" || p.User.ID == "" || !word(team) || !word(p.User.ID) {
		return ""
	}
	return team + "/" + p.User.ID
}

func word(s string) bool {
	return len(s) <= 40 && !strings.ContainsFunc(s, func(c rune) bool { return (c < 'A' || c > 'Z') && (c < '0' || c > '9') })
}

// carryOut does what a click asks for, and tells who clicked where it cannot be done.
// What was done shows in the message itself.
func (c *slack) carryOut(ctx context.Context, p slackPayload) {
	channel := p.Channel.ID
	err := func() error {
		subject := p.subject()
		if subject == "" {
			return errors.New("who clicked is not said")
		}
		click := Click{Integration: c.at.Name, Subject: subject}
		value := ""
		switch {
		case p.Type == "block_actions" && len(p.Actions) == 1 && p.Actions[0].ID == slackDeny:
			return c.askWhy(ctx, p)
		case p.Type == "block_actions" && len(p.Actions) == 1 && p.Actions[0].ID == slackApprove:
			value, click.Approve = p.Actions[0].Value, true
		case p.Type == "view_submission" && p.View.Callback == slackDeny:
			channel, value, _ = strings.Cut(p.View.Private, " ")
			click.Note = p.View.State.Values["note"]["note"].Value
		default: // a link that was opened, or a form of somebody else's
			return nil
		}
		var err error
		if click.Request, click.Seen, err = clicked(value); err != nil {
			return err
		}
		err = c.service.People.Vote(ctx, click)
		var ours *access.Error
		if errors.As(err, &ours) && ours.Code == "not-linked" {
			return c.offer(ctx, p, channel)
		}
		return err
	}()
	if err == nil {
		return
	}
	c.service.Log.Info("a click was not carried out", "integration", c.at.Name, "subject", p.subject(), "error", cut(err.Error(), 300))
	c.whisper(ctx, channel, p.User.ID, notDone(err))
}

// askWhy opens the form for the note that a no needs.
func (c *slack) askWhy(ctx context.Context, p slackPayload) error {
	if _, _, err := clicked(p.Actions[0].Value); err != nil {
		return err
	}
	text := func(s string) map[string]any {
		return map[string]any{"type": "plain_text", "text": s, "emoji": false}
	}
	return c.call(ctx, "views.open", map[string]any{"trigger_id": p.Trigger, "view": map[string]any{
		"type": "modal", "callback_id": slackDeny, "private_metadata": p.Channel.ID + " " + p.Actions[0].Value,
		"title": text("Deny the request"), "submit": text("Deny"), "close": text("Back"),
		"blocks": []map[string]any{{"type": "input", "block_id": "note", "label": text("Why? Who asked will read it."),
			"element": map[string]any{"type": "plain_text_input", "action_id": "note", "multiline": true, "max_length": 1000}}},
	}}, &struct{}{})
}

// offer tells somebody whom nobody knows how they link themselves.
func (c *slack) offer(ctx context.Context, p slackPayload, channel string) error {
	text, err := c.offered(ctx, p)
	if err != nil {
		return err
	}
	c.whisper(ctx, channel, p.User.ID, text)
	return nil
}

// whisper shows a text to one person in the channel. It is a courtesy.
func (c *slack) whisper(ctx context.Context, channel, user, text string) {
	err := c.call(ctx, "chat.postEphemeral", map[string]any{"channel": channel, "user": user, "text": slackEscape.Replace(text), "mrkdwn": false, "parse": "none",
		"blocks": []map[string]any{{"type": "section", "text": map[string]any{"type": "plain_text", "text": cut(text, slackText), "emoji": false}}}}, &struct{}{})
	if err != nil {
		c.service.Log.Warn("who clicked was not told", "integration", c.at.Name, "error", cut(err.Error(), 300))
	}
}
