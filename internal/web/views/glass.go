package views

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/shell"
	"stint/internal/web/ui"
	"stint/internal/web/words"
)

// GlassWish is what somebody is about to take.
type GlassWish struct {
	Resource, Role, For, Reason, Device, Key string
	Typed                                    string // the resource's name, once more
	Drill                                    bool
}

// GlassLink is the page for a resource and a role; the role may be empty.
func GlassLink(resource, role string) string {
	q := url.Values{"resource": {resource}}
	if role != "" {
		q.Set("role", role)
	}
	return "/break-glass?" + q.Encode()
}

// Command is the same at the command line.
func (w GlassWish) Command() string {
	line := []string{"stint", "break-glass", w.Resource, "--as", w.Role}
	if w.For != "" {
		line = append(line, "--for", w.For)
	}
	if w.Drill {
		line = append(line, "--drill")
	}
	return shell.Line(append(line, "--why", strings.TrimSpace(w.Reason))...)
}

// Alarm is what breaking the glass would set off.
type Alarm struct {
	Told     []string
	More     int
	Overdue  int
	ReviewBy time.Time
}

// Glass is the page on which one breaks it.
type Glass struct {
	Query   string
	Found   []Choice // that match; of the page that looks for one
	More    int
	None    bool // nothing is open to them at all
	Chosen  *Choice
	Wish    GlassWish
	Alarm   Alarm
	Devices []Place
	Presets []string
	Wrong   string     // with the name that was typed
	Problem *api.Error // why it was not done
}

func (g Glass) longest() string {
	for _, r := range g.Chosen.Roles {
		if r.Name == g.Wish.Role {
			return spoken(api.FormatDuration(r.Longest))
		}
	}
	return ""
}

func (g Glass) presets() (out []ui.Option) {
	for _, d := range g.Presets {
		out = append(out, ui.Option{Value: d, Label: spoken(d), Chosen: d == g.Wish.For})
	}
	return out
}

func (g Glass) other() string {
	if slices.Contains(g.Presets, g.Wish.For) {
		return ""
	}
	return g.Wish.For
}

func (g Glass) told() string {
	if len(g.Alarm.Told) == 0 {
		return words.GlassToldNone
	}
	return words.GlassTold(strings.Join(plainSubjects(g.Alarm.Told), ", "), g.Alarm.More)
}

// Reviews is one view of reviews.
type Reviews struct {
	Closed bool // those that are closed, and not the open ones
	Items  []api.Review
	Next   string // cursor; empty at the end
	Later  bool   // this is not the first page
	Mine   int    // that the reader may close, of Items
}

func (m Reviews) tabs() []ui.Tab {
	n := -1
	if !m.Closed && m.Next == "" && !m.Later {
		n = len(m.Items)
	}
	return []ui.Tab{{Href: "/reviews", Label: words.ReviewsOpen, Current: !m.Closed, Count: n}, {Href: "/reviews?tab=closed", Label: words.ReviewsClosed, Current: m.Closed, Count: -1}}
}

func (m Reviews) older() string {
	q := url.Values{"after": {m.Next}}
	if m.Closed {
		q.Set("tab", "closed")
	}
	return "/reviews?" + q.Encode()
}

func (m Reviews) first() string {
	if m.Closed {
		return "/reviews?tab=closed"
	}
	return "/reviews"
}

// Review is one, with what was done.
type Review struct {
	api.Review
	Done *Held // the request and its grant; nil where the reader may not see them

	Typed   string     // the note of a finding that was refused
	Problem *api.Error // why
}

// ReviewTitle says who broke which glass.
func ReviewTitle(r api.Review) string {
	return words.ReviewBy(plainSubjects([]string{r.Principal})[0], r.Role, r.Resource, r.Drill)
}

// act is one thing that happened.
type act struct {
	Text, Note string
	At         time.Time
	Open       bool // it goes on
	Bad        bool
}

// acts are what happened, the oldest first.
func (r Review) acts() (out []act) {
	out = append(out, act{Text: words.ReviewEvOpened, At: r.OpenedAt.Time, Note: plainSubjects([]string{r.Principal})[0]})
	if h := r.Done; h != nil && h.Grant != nil {
		g := h.Grant
		if !g.ActiveAt.IsZero() {
			out = append(out, act{Text: words.ReviewEvReady, At: g.ActiveAt.Time})
		}
		switch g.State {
		case api.GrantActive:
			out = append(out, act{Text: words.ReviewEvUntil, At: g.ExpiresAt.Time, Open: true})
		case api.GrantProvisioning, api.GrantScheduled:
			out = append(out, act{Text: words.ReviewEvPending, Note: g.Detail, Open: true})
		case api.GrantFailed:
			out = append(out, act{Text: words.ReviewEvFailed, Note: g.Detail, At: g.EndedAt.Time, Bad: true})
		case api.GrantEnding:
			out = append(out, act{Text: words.ReviewEvEnded(h.Outcome()), At: g.EndedAt.Time}, act{Text: words.ReviewEvEnding, Note: g.Detail, Open: true, Bad: g.Overdue})
		default:
			out = append(out, act{Text: words.ReviewEvEnded(h.Outcome()), At: g.EndedAt.Time, Note: g.Detail})
		}
		if !g.VerifiedGoneAt.IsZero() {
			out = append(out, act{Text: words.ReviewEvGone, At: g.VerifiedGoneAt.Time, Note: words.ReviewLag(h.Lag())})
		}
	}
	if r.Overdue {
		out = append(out, act{Text: words.ReviewEvReminded, At: r.DueAt.Time, Open: true, Bad: true})
	}
	if !r.ClosedAt.IsZero() {
		out = append(out, act{Text: words.ReviewFoundBy(plainSubjects([]string{r.ClosedBy})[0], findingText(r.Finding)), Note: r.Note, At: r.ClosedAt.Time})
	}
	return out
}

func findingText(f string) string {
	switch f {
	case "justified":
		return strings.ToLower(words.ReviewJustified)
	case "unjustified":
		return strings.ToLower(words.ReviewUnjust)
	case "drill":
		return strings.ToLower(words.ReviewWasDrill)
	}
	return f
}

func findings(r Review) []ui.Option {
	out := []ui.Option{{Value: "justified", Label: words.ReviewJustified}, {Value: "unjustified", Label: words.ReviewUnjust}}
	if r.Drill {
		out = append([]ui.Option{{Value: "drill", Label: words.ReviewWasDrill, Chosen: true}}, out...)
	}
	return out
}

// left says what is known of what was left behind.
func (r Review) left() string {
	if r.Done == nil || r.Done.Grant == nil {
		return words.ReviewNoAccess
	}
	g := r.Done.Grant
	switch g.Residue {
	case api.ResiduePending:
		return words.ReviewResPending
	case api.ResidueNone:
		return words.ReviewResNone
	case api.ResidueFound:
		return words.ReviewResFound(len(g.Traces))
	case api.ResidueUnknowable:
		if g.ResidueNote != "" {
			return words.ReviewResUnknown + " " + g.ResidueNote
		}
		return words.ReviewResUnknown
	}
	if g.State != api.GrantEnded && g.State != api.GrantFailed {
		return words.ReviewResNotYet
	}
	return words.ReviewResNo
}

func (r Review) live() bool {
	if r.Done == nil || r.Done.Grant == nil {
		return false
	}
	s := r.Done.Grant.State
	return s == api.GrantActive || s == api.GrantProvisioning || s == api.GrantScheduled || s == api.GrantEnding
}

func (r Review) codes() string { return strings.Join(r.Codes, ", ") }
