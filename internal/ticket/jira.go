package ticket

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"stint/internal/access"
)

// jiraIssue is what Jira Cloud's REST API 3 answers for GET /rest/api/3/issue/KEY with
// the changelog, as far as it is of use. People are their accountId, which never
// changes; there are no names to mistake for one.
type jiraIssue struct {
	Key    string `json:"key"`
	Fields *struct {
		Summary     string          `json:"summary"`
		Description json.RawMessage `json:"description"` // Atlassian Document Format, or null
		Labels      []string        `json:"labels"`
		Components  []struct {
			Name string `json:"name"`
		} `json:"components"`
		Status struct {
			Category struct {
				Key string `json:"key"` // new, indeterminate or done
			} `json:"statusCategory"`
		} `json:"status"`
		Assignee *jiraUser `json:"assignee"`
		Reporter *jiraUser `json:"reporter"`
		Creator  *jiraUser `json:"creator"`
	} `json:"fields"`
	Changelog *struct {
		Total     int `json:"total"`
		Histories []struct {
			Author *jiraUser `json:"author"`
			Items  []struct {
				Field string  `json:"field"`
				To    *string `json:"to"`
			} `json:"items"`
		} `json:"histories"` // the newest first
	} `json:"changelog"`
}

type jiraUser struct {
	AccountID string `json:"accountId"`
}

func (u *jiraUser) id() string {
	if u == nil {
		return ""
	}
	return u.AccountID
}

func (s Site) jira(ctx context.Context, c *http.Client, key string) (t access.Ticket, err error) {
	var got jiraIssue
	q := url.Values{"fields": {"summary,description,labels,components,status,assignee,reporter,creator"}, "expand": {"changelog"}}
	if err := s.get(ctx, c, "/rest/api/3/issue/"+url.PathEscape(key), q, s.bearer, &got); err != nil {
		return t, err
	}
	f := got.Fields
	switch {
	case got.Key != key && got.Key != "": // it was moved, perhaps to where nobody is to look
		return t, s.unknown()
	case got.Key == "" || f == nil || f.Status.Category.Key == "":
		return t, s.strange()
	}
	text := []string{f.Summary, adfText(f.Description)}
	text = append(text, f.Labels...)
	for _, x := range f.Components {
		text = append(text, x.Name)
	}
	t = access.Ticket{ID: key, Open: f.Status.Category.Key != "done", Text: strings.Join(text, "\n"), Assignee: f.Assignee.id(), Reporter: f.Reporter.id()}
	if l := got.Changelog; l != nil {
		// Who created it wrote it, whomever the reporter field names since.
		t.Editors, t.EditorsKnown = []string{f.Creator.id()}, f.Creator.id() != "" && l.Total <= len(l.Histories)
		closings := 0
		for i := len(l.Histories) - 1; i >= 0; i-- {
			h := l.Histories[i]
			t.Editors = append(t.Editors, h.Author.id()) // without a name: an app, or somebody deleted
			for _, x := range h.Items {
				if x.Field == "resolution" && x.To != nil && *x.To != "" {
					closings++
				}
			}
		}
		if l.Total <= len(l.Histories) {
			t.Closings = strconv.Itoa(closings)
		}
	}
	return t, nil
}

// adfText is the plain text of a document in Atlassian Document Format: what its text
// nodes say, with a space where one ends, so that no two words become one. A document
// is at most as deep as its decoder allows.
func adfText(raw json.RawMessage) string {
	var node any
	if len(raw) == 0 || json.Unmarshal(raw, &node) != nil {
		return ""
	}
	var b strings.Builder
	var walk func(any)
	walk = func(n any) {
		switch x := n.(type) {
		case string: // of API 2, and of fields that hold plain text
			b.WriteString(x)
		case []any:
			for _, y := range x {
				walk(y)
			}
		case map[string]any:
			if text, ok := x["text"].(string); ok {
				b.WriteString(text)
			}
			if content, ok := x["content"].([]any); ok {
				walk(content)
				b.WriteByte('\n')
			}
		}
	}
	walk(node)
	return b.String()
}
