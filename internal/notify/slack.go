package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"stint/internal/access"
)

// Slack is the type of channels in Slack: one message for each subject, edited in
// place, with buttons whose clicks come back signed.
const Slack = "slack"

func slackSchema(with func(map[string]access.Option) map[string]access.Option) access.Schema {
	return access.Schema{Type: Slack, NeedsCredential: true, Integration: with(map[string]access.Option{
		"channel": {Doc: "the id of the channel, as its details show it", Required: true, Pattern: `[CGD][A-Z0-9]{2,20}`, Form: "write the id, like C0123ABCD, and not the name"},
		"signing": {Doc: "the name of the credential that holds the app's signing secret; without it there are no buttons that act", Credential: true},

		"socket": {Doc: "the name of the credential that holds an app-level token: clicks and commands come over a socket that Stint opens, and Slack need not reach it", Credential: true},

		ofRequesters: requestersOption,
	})}
}

type slack struct {
	service *Service
	at      Integration
	base    string
	opening sync.WaitGroup // envelopes that are being carried out

	mu     sync.Mutex
	unsure map[string]bool // subjects of which nobody knows whether they were posted
}

func newSlack(s *Service, i Integration) (Channel, Stream, error) {
	if i.Options["channel"] == "" {
		return nil, nil, errors.New("channel is needed")
	}
	return &slack{service: s, at: i, base: strings.TrimSuffix(i.Address, "/") + "/api/", unsure: map[string]bool{}}, nil, nil
}

// Send posts a message, or edits the one that was posted.
func (c *slack) Send(ctx context.Context, m Message, before Sent) (Sent, error) {
	if before.Remote == "" && m.To == "" && c.doubts(m.Subject) {
		found, err := c.find(ctx, m.Subject)
		if err != nil {
			return before, err
		}
		before.Remote = found
	}
	body := slackBody(m, c.at.Options["signing"] != "" || c.at.Options["socket"] != "")
	method := "chat.postMessage"
	if body.Channel = c.at.Options["channel"]; m.To != "" {
		body.Channel = m.To // a user's id opens the direct messages with them
	}
	if at, stamp, ok := strings.Cut(before.Remote, "/"); ok {
		method, body.Channel, body.Stamp = "chat.update", at, stamp
	}
	var got struct {
		Channel string `json:"channel"`
		Stamp   string `json:"ts"`
	}
	err := c.call(ctx, method, body, &got)
	var said *slackError
	switch {
	case errors.As(err, &said) && method == "chat.update" && slices.Contains([]string{"message_not_found", "cant_update_message", "edit_window_closed"}, said.code):
		return before, nil // somebody took it away, or froze it: that is theirs to do
	case errors.As(err, &said) && slices.Contains([]string{"invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "metadata_too_large"}, said.code):
		return before, &Refused{said.Error()}
	case err != nil:
		var later *Later
		c.doubt(m.Subject, said == nil && !errors.As(err, &later))
		return before, err
	}
	c.doubt(m.Subject, false)
	if method == "chat.postMessage" {
		if got.Stamp == "" {
			return before, errors.New("a message was taken by Slack, which did not say where it is")
		}
		before.Remote = got.Channel + "/" + got.Stamp
	}
	before.Parts++
	return before, nil
}

func (c *slack) doubts(subject string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unsure[subject]
}

func (c *slack) doubt(subject string, unsure bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if unsure {
		c.unsure[subject] = true
	} else {
		delete(c.unsure, subject)
	}
}

// slackMark is how we know our messages again.
const slackMark = "stint_message"

// find looks for the message of a subject among the newest of the channel, where a
// call ended without an answer: it may be there. An app that may not read the channel
// posts again.
func (c *slack) find(ctx context.Context, subject string) (remote string, err error) {
	var got struct {
		Messages []struct {
			Stamp    string `json:"ts"`
			Metadata struct {
				Type    string            `json:"event_type"`
				Payload map[string]string `json:"event_payload"`
			} `json:"metadata"`
		} `json:"messages"`
	}
	q := url.Values{"channel": {c.at.Options["channel"]}, "limit": {"200"}, "include_all_metadata": {"true"}}
	err = c.call(ctx, "conversations.history?"+q.Encode(), struct{}{}, &got)
	var said *slackError
	if errors.As(err, &said) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, m := range got.Messages {
		if m.Metadata.Type == slackMark && m.Metadata.Payload["subject"] == subject {
			return c.at.Options["channel"] + "/" + m.Stamp, nil
		}
	}
	return "", nil
}

// slackError is an answer in which Slack says no.
type slackError struct{ code string }

func (e *slackError) Error() string { return "Slack answers " + e.code }

// slackPost is what chat.postMessage and chat.update take.
type slackPost struct {
	Channel     string           `json:"channel"`
	Stamp       string           `json:"ts,omitempty"`
	Text        string           `json:"text"` // for notifications
	Blocks      []map[string]any `json:"blocks"`
	Metadata    map[string]any   `json:"metadata,omitempty"`
	Markdown    bool             `json:"mrkdwn"`
	Parse       string           `json:"parse"`
	LinkNames   bool             `json:"link_names"`
	UnfurlLinks bool             `json:"unfurl_links"`
	UnfurlMedia bool             `json:"unfurl_media"`
}

// call calls a method of Slack's Web API.
func (c *slack) call(ctx context.Context, method string, body, into any) error {
	login, err := c.service.secret(ctx, c.at, c.at.Credential)
	if err != nil {
		return err
	}
	b, err := encode(body)
	if err != nil {
		return err
	}
	h := http.Header{}
	h.Set("Authorization", "Bearer "+strings.TrimSpace(string(login.Secret.Reveal())))
	a, err := post(ctx, c.service.HTTP, c.base+method, h, b)
	if err != nil {
		return err
	}
	var ok struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(a.body, &ok); err != nil {
		return errors.New("the answer of Slack is not JSON")
	}
	if !ok.OK {
		return &slackError{oneLine(ok.Error, 60)}
	}
	return json.Unmarshal(a.body, into)
}

// Limits of Block Kit that concern us.
const (
	slackText   = 2900 // of 3000, of a section
	slackFields = 10
	slackValue  = 1900 // of 2000, of a field
)

// slackBody is the message in Block Kit. Everything is plain_text, in which Slack
// reads no markup, no mention and no emoji; of the text for notifications, where it
// reads some, the three characters that begin them are escaped.
func slackBody(m Message, buttons bool) slackPost {
	text := func(s string) map[string]any {
		return map[string]any{"type": "plain_text", "text": s, "emoji": false}
	}
	section := func(s string) map[string]any {
		return map[string]any{"type": "section", "text": text(cut(s, slackText))}
	}
	blocks := []map[string]any{{"type": "section", "block_id": "title", "text": text(cut(m.Title, slackText))}}
	if r := reason(m); r != "" {
		blocks = append(blocks, section("“"+r+"”"))
	}
	for facts := range slices.Chunk(m.Facts, slackFields) {
		var fields []map[string]any
		for _, f := range facts {
			fields = append(fields, text(cut(f.Name+": "+f.Value, slackValue)))
		}
		blocks = append(blocks, map[string]any{"type": "section", "fields": fields})
	}
	for said := range slices.Chunk(m.Said, 10) {
		var elements []map[string]any
		for _, s := range said {
			elements = append(elements, text(s))
		}
		blocks = append(blocks, map[string]any{"type": "context", "elements": elements})
	}
	if m.Command != "" {
		blocks = append(blocks, map[string]any{"type": "context", "elements": []map[string]any{text(m.Command)}})
	}
	if acts := slackButtons(m, buttons, text); len(acts) > 0 {
		blocks = append(blocks, map[string]any{"type": "actions", "block_id": "decide", "elements": acts})
	}
	return slackPost{Text: slackEscape.Replace(m.Title), Blocks: blocks, Parse: "none",
		Metadata: map[string]any{"event_type": slackMark, "event_payload": map[string]any{"subject": m.Subject}}}
}

var slackEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// slackButtons are what can be done. What a click says is what was shown: the request
// and its digest.
func slackButtons(m Message, act bool, text func(string) map[string]any) (all []map[string]any) {
	button := func(id, label, style string) map[string]any {
		b := map[string]any{"type": "button", "action_id": id, "text": text(label), "value": m.Subject + " " + m.Vote}
		if style != "" {
			b["style"] = style
		}
		return b
	}
	if act && m.Vote != "" {
		if m.Chat {
			all = append(all, button(slackApprove, "Approve", "primary"))
		}
		all = append(all, button(slackDeny, "Deny", "danger"))
	}
	if m.Link != "" {
		open := map[string]any{"type": "button", "action_id": "open", "text": text("Open in Stint"), "url": m.Link}
		all = append(all, open)
	}
	return all
}

// The actions of buttons.
const (
	slackApprove = "approve"
	slackDeny    = "deny"
)

// clicked reads the value of a button.
func clicked(value string) (access.RequestID, access.Digest, error) {
	id, hex, ok := strings.Cut(value, " ")
	d, err := access.ParseDigest(hex)
	if !ok || err != nil || !strings.HasPrefix(id, "req_") || len(id) > 40 {
		return "", d, fmt.Errorf("the button says %.40q", value)
	}
	return access.RequestID(id), d, nil
}
