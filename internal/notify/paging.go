package notify

import (
	"context"
	"net/http"
	"strings"

	"stint/internal/access"
)

// Paging is the type of channels that page somebody: PagerDuty's Events API v2, which
// others speak too. What Stint can tell to be over resolves its own page.
const Paging = "pagerduty"

func pagingSchema(with func(map[string]access.Option) map[string]access.Option) access.Schema {
	return access.Schema{Type: Paging, NeedsCredential: true, Integration: with(map[string]access.Option{
		"events": {Doc: "what pages: troubles", Many: true, Values: []string{ofTroubles}, Default: ofTroubles},
	})}
}

type paging struct {
	service *Service
	at      Integration
}

func newPaging(s *Service, i Integration) (Channel, Stream, error) { return &paging{s, i}, nil, nil }

// Send triggers an alert, or resolves it. Its key is that of the subject, so that one
// which is sent twice is one.
func (c *paging) Send(ctx context.Context, m Message, before Sent) (Sent, error) {
	login, err := c.service.secret(ctx, c.at, c.at.Credential)
	if err != nil {
		return before, err
	}
	body, err := encode(pageBody(c.service.Site, m, strings.TrimSpace(string(login.Secret.Reveal()))))
	if err != nil {
		return before, err
	}
	if _, err := post(ctx, c.service.HTTP, strings.TrimSuffix(c.at.Address, "/")+"/v2/enqueue", http.Header{}, body); err != nil {
		return before, err
	}
	before.Parts++
	return before, nil
}

// pageEvent is what the Events API v2 takes.
type pageEvent struct {
	Key     string       `json:"routing_key"`
	Action  string       `json:"event_action"` // trigger, acknowledge or resolve
	Dedup   string       `json:"dedup_key"`
	Client  string       `json:"client"`
	Payload *pagePayload `json:"payload,omitempty"`
	Links   []pageLink   `json:"links,omitempty"`
}

type pagePayload struct {
	Summary  string            `json:"summary"` // at most 1024 characters
	Source   string            `json:"source"`
	Severity string            `json:"severity"`
	Time     string            `json:"timestamp"`
	Class    string            `json:"class"`
	Details  map[string]string `json:"custom_details"`
}

type pageLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

func pageBody(site Site, m Message, key string) pageEvent {
	e := pageEvent{Key: key, Dedup: "stint/" + site.Installation + "/" + m.Subject, Client: "Stint", Action: "trigger"}
	if m.Stage == Closed {
		e.Action = "resolve"
		return e
	}
	severity := "critical"
	if m.Stage == Trial || m.Drill {
		severity = "info"
	}
	details := map[string]string{"next": m.Command}
	for _, f := range m.Facts {
		details[f.Name] = f.Value
	}
	e.Payload = &pagePayload{Summary: m.Title, Source: "stint/" + site.Installation, Severity: severity, Time: m.At.UTC().Format(access.Stamp), Class: string(m.Stage), Details: details}
	if m.Link != "" {
		e.Links = []pageLink{{m.Link, "Open in Stint"}}
	}
	return e
}
