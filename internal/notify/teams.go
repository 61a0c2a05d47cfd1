package notify

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"stint/internal/access"
)

// Teams is the type of channels in Microsoft Teams, by the webhook of a workflow
// ("Post to a channel when a webhook request is received"). Such a webhook takes cards
// and cannot change one, so each stage has its card; what changes cards in place is a
// bot registered with Microsoft, which Stint does not need.
const Teams = "teams"

func teamsSchema(with func(map[string]access.Option) map[string]access.Option) access.Schema {
	return access.Schema{Type: Teams, NeedsCredential: true, Integration: with(map[string]access.Option{})}
}

type teams struct {
	service *Service
	at      Integration
}

func newTeams(s *Service, i Integration) (Channel, Stream, error) { return &teams{s, i}, nil, nil }

// Send posts a card for each stage. The credential is the path and query of the
// webhook's URL, which are its secret; the address is the rest of it.
func (c *teams) Send(ctx context.Context, m Message, before Sent) (Sent, error) {
	if !news(m, before) {
		return before, nil
	}
	login, err := c.service.secret(ctx, c.at, c.at.Credential)
	if err != nil {
		return before, err
	}
	path := strings.TrimSpace(string(login.Secret.Reveal()))
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return before, errors.New("the credential is not the path and query of the webhook's URL: it begins with one /")
	}
	body, err := encode(teamsBody(m))
	if err != nil {
		return before, err
	}
	if _, err := post(ctx, c.service.HTTP, strings.TrimSuffix(c.at.Address, "/")+path, http.Header{}, body); err != nil {
		return before, err
	}
	before.Parts++
	return before, nil
}

// teamsBody is the message as an Adaptive Card 1.5. All text is in text runs, in
// which no Markdown is read, unlike in text blocks and fact sets.
func teamsBody(m Message) map[string]any {
	type d = map[string]any
	run := func(text string, more d) d {
		r := d{"type": "TextRun", "text": text}
		for k, v := range more {
			r[k] = v
		}
		return r
	}
	block := func(runs ...d) d { return d{"type": "RichTextBlock", "inlines": runs} }
	body := []d{block(run(m.Title, d{"weight": "Bolder", "size": "Medium"}))}
	if r := reason(m); r != "" {
		body = append(body, block(run("“"+r+"”", d{"italic": true})))
	}
	for _, f := range m.Facts {
		b := block(run(f.Name+"  ", d{"isSubtle": true}), run(f.Value, nil))
		b["spacing"] = "None"
		body = append(body, b)
	}
	for _, s := range m.Said {
		body = append(body, block(run(s, nil)))
	}
	if m.Command != "" {
		body = append(body, block(run(m.Command, d{"fontType": "Monospace"})))
	}
	card := d{"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.5", "fallbackText": m.Title, "body": body,
		"msteams": d{"width": "Full"}}
	if m.Link != "" {
		card["actions"] = []d{{"type": "Action.OpenUrl", "title": "Open in Stint", "url": m.Link}}
	}
	return d{"type": "message", "attachments": []d{{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card}}}
}
