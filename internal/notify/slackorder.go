package notify

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"stint/internal/access"
)

// Order is what somebody typed in a chat after /stint.
type Order struct {
	Integration string
	Subject     string // who, as the chat knows them: "T0123/U0456"
	Verb        string // ask, list, end
	ID          string // of what is ended
	Resource    string
	Role        string
	For         string // as typed
	Why         string
}

const orderHelp = "/stint ask RESOURCE as ROLE for 30m because TEXT\n/stint list\n/stint end ID"

// orderOf reads what was typed; false where it is nothing that we know.
func orderOf(text string) (o Order, ok bool) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return o, false
	}
	switch o.Verb = strings.ToLower(words[0]); {
	case o.Verb == "list" && len(words) == 1:
		return o, true
	case o.Verb == "end" && len(words) == 2:
		o.ID = words[1]
		return o, true
	case o.Verb == "ask":
		head, why, said := strings.Cut(text, " because ")
		w := strings.Fields(head)
		if !said || len(w) != 6 || w[2] != "as" || w[4] != "for" || strings.TrimSpace(why) == "" {
			return o, false
		}
		o.Resource, o.Role, o.For, o.Why = w[1], w[3], w[5], strings.TrimSpace(why)
		return o, true
	}
	return o, false
}

// ordered carries out a slash command that Slack has signed. The answer is seen by who
// typed it, and by nobody else.
func (c *slack) ordered(ctx context.Context, w http.ResponseWriter, form url.Values) {
	p := slackPayload{}
	p.User.ID, p.User.Username, p.User.Team = form.Get("user_id"), form.Get("user_name"), form.Get("team_id")
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(orderAnswer(c.order(ctx, p, form.Get("text")))) // Slack may be gone
}

// orderAnswer is what Slack shows to who typed, and to nobody else.
func orderAnswer(text string) map[string]any {
	return map[string]any{"response_type": "ephemeral", "text": slackEscape.Replace(cut(text, slackText)), "mrkdwn": false, "parse": "none",
		"blocks": []map[string]any{{"type": "section", "text": map[string]any{"type": "plain_text", "text": cut(text, slackText), "emoji": false}}}}
}

// order says what became of it.
func (c *slack) order(ctx context.Context, p slackPayload, typed string) string {
	o, known := orderOf(typed)
	if !known {
		return orderHelp
	}
	if o.Integration, o.Subject = c.at.Name, p.subject(); o.Subject == "" {
		return "That was not done: who typed it is not said."
	}
	said, err := c.service.People.Order(ctx, o)
	var ours *access.Error
	switch {
	case err == nil:
		return said
	case errors.As(err, &ours) && ours.Code == "not-linked":
		text, err := c.offered(ctx, p)
		if err != nil {
			return "That was not done. Try again."
		}
		return text
	}
	c.service.Log.Info("a command was not carried out", "integration", c.at.Name, "subject", o.Subject, "error", cut(err.Error(), 300))
	return notDone(err)
}

// notDone says why something was not done, as far as it is ours to say.
func notDone(err error) string {
	var ours *access.Error
	if !errors.As(err, &ours) {
		return "That was not done."
	}
	text := "That was not done: " + ours.Message
	if ours.Why != "" {
		text += " (" + ours.Why + ")"
	}
	if ours.Next != "" {
		text += ". " + ours.Next
	}
	return text
}

// offered makes a code for somebody whom nobody knows, and says what to do with it.
func (c *slack) offered(ctx context.Context, p slackPayload) (string, error) {
	shows := p.User.Username
	if shows == "" {
		shows = p.User.Name
	}
	code, err := c.service.People.Offer(ctx, c.at.Name, p.subject(), oneLine(shows, 80))
	if err != nil {
		return "", err
	}
	return "Stint does not know yet who you are. Link yourself once, where you are signed in to Stint, within 10 minutes:\n" +
		"stint chat link " + code + "\nThen do it again. Give the code to nobody: whoever uses it lets you decide in their name.", nil
}
