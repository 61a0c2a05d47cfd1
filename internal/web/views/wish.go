package views

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/shell"
	"stint/internal/web/words"
)

// Wish is what somebody is about to ask for, as the form has it. Either a resource with
// a role is wished for, or a bundle.
type Wish struct {
	Resource, Role, Bundle string
	For                    string // as api.ParseDuration reads it
	Reason, Ticket         string
	Start                  string // of a datetime-local field, UTC; empty: at once
	Device                 string // where it is to be used; empty: the one signed in on last
	Key                    string // the same for all attempts to send one form
}

// Link is the page on which it is asked for. A reason is never part of an address: those
// stand in logs and histories, and others can write them.
func (w Wish) Link() string {
	q := url.Values{}
	for name, value := range map[string]string{"resource": w.Resource, "role": w.Role, "for": w.For, "bundle": w.Bundle} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return "/request?" + q.Encode()
}

// Command is the same as a command line.
func (w Wish) Command() string {
	words := []string{"stint", "request"}
	if w.Bundle != "" {
		words = append(words, "--bundle", w.Bundle)
	} else {
		words = append(words, w.Resource, "--as", w.Role)
	}
	for _, f := range [][2]string{{"--for", w.For}, {"--why", w.Reason}, {"--ticket", w.Ticket}, {"--at", w.begins()}} {
		if f[1] != "" {
			words = append(words, f[0], f[1])
		}
	}
	return shell.Line(words...)
}

// begins is the start as the command line and the API take it, RFC 3339; empty where there
// is none that can be read.
func (w Wish) begins() string {
	t, err := w.Begins()
	if err != nil || t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// Begins is when it is to begin; zero: at once.
func (w Wish) Begins() (time.Time, error) {
	if w.Start == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(form, w.Start, time.UTC); err == nil {
			return t, nil
		}
	}
	return time.Time{}, &api.Error{Kind: api.Invalid, Code: "bad-start", Message: words.AskTheStartIsNotATime, Next: words.AskWriteItLike20260301}
}

// Choice is a resource on which there is something to ask for.
type Choice struct {
	Name, Description, Type, Env, Grade string
	Owners                              []string
	Roles                               []RoleChoice // the least first
}

// RoleChoice is one of its roles.
type RoleChoice struct {
	Name, Description string
	Votes             int // that it takes at least; 0: none
	Longest           time.Duration
}

// NamedBundle is several things that are asked for together.
type NamedBundle struct {
	Name, Description string
	Parts             []api.BundlePart
}

// Place is where what is asked for can be used: one on which the person is signed in.
type Place struct {
	ID     string
	Client string // what it calls itself
	Mark   string // to tell it from others
	Since  api.Time
}

// Ask is the page on which one asks.
type Ask struct {
	Query string
	Found []Choice // that match the query; of a page that looks for one
	More  int      // how many more match
	Kits  []NamedBundle
	None  bool // nothing at all is open to the person
	Kept  []Favourite

	Chosen  *Choice
	Kit     *NamedBundle
	Wish    Wish
	Presets []string
	Devices []Place
	Outlook *Outlook
	Problem *api.Error // of what was sent
}

// KeptAs is the name under which the person keeps a role on what is chosen; empty: they do not.
func (p Ask) KeptAs(role string) string {
	for _, f := range p.Kept {
		if p.Chosen != nil && f.Resource == p.Chosen.Name && f.Role == role {
			return f.Name
		}
	}
	return ""
}

// Presets are durations to choose from, up to the longest that there is.
func Presets(longest time.Duration) []string {
	var out []string
	for _, d := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 4 * time.Hour, 8 * time.Hour} {
		if d <= longest && len(out) < 4 {
			out = append(out, api.FormatDuration(d))
		}
	}
	if len(out) == 0 && longest > 0 {
		out = append(out, api.FormatDuration(longest))
	}
	return out
}

// Outlook is what would become of a wish: the dry run of exactly that.
type Outlook struct {
	Verdict Verdict
	Parts   []api.Request // one, or those of the bundle
	Lacks   []string      // what is still to be said before it can be decided
	Nearest []Wish        // that would be allowed instead
	Glass   string        // the command that breaks the glass, where that is open to them
	Command string        // the same as a command line
	Problem *api.Error    // why it cannot be told
}

// Verdict is an outlook in a word.
type Verdict string

// The verdicts.
const (
	AtOnce  Verdict = "yes"
	Asks    Verdict = "asks"  // somebody has to approve
	Closed  Verdict = "no"    // not open to them
	Lacking Verdict = "lacks" // a reason, a ticket
	Unclear Verdict = "unclear"
)

// Title says it in words.
func (o Outlook) Title() string {
	switch o.Verdict {
	case AtOnce:
		return words.AskYouGetThisAtOnce
	case Asks:
		if n := o.people(); n == 1 {
			return words.AskOnePersonHasToApprove
		} else if n > 1 {
			return itoa(n) + words.AskPeopleHaveToApprove
		}
		return words.AskSomebodyHasToApprove
	case Closed:
		return words.AskThisIsNotOpenToYou
	case Lacking:
		return words.AskSayALittleMore
	}
	return words.AskThisCannotBeAskedForAs
}

// Verb is what the button says that sends it.
func (o Outlook) Verb() string {
	switch o.Verdict {
	case AtOnce:
		return words.AskGetAccessNow
	case Asks:
		return words.AskAskForApproval
	}
	return words.AskSendIt
}

func (o Outlook) people() (n int) {
	for _, p := range o.Parts {
		for _, a := range p.Decision.Approvals {
			n += a.Count
		}
	}
	if len(o.Parts) > 1 {
		return 0 // one person may well answer for several parts
	}
	return n
}

// Who says whom an approval would ask: by name where they are few.
func Who(a api.Approval) string {
	from := strings.Join(plainSubjects(a.From), words.AskOr)
	any := words.AskAnyOneOf
	if a.Count > 1 {
		any = itoa(a.Count) + words.AskOf
	}
	if a.Asks == nil || len(a.Asks.People) == 0 {
		return any + from
	}
	names := plainSubjects(a.Asks.People)
	const few = 4
	more := a.Asks.More + max(len(names)-few, 0)
	text := strings.Join(names[:min(len(names), few)], ", ")
	if more > 0 {
		text += words.AskAnd + itoa(more) + words.AskMore
	}
	return any + from + ": " + text
}

// Usually says how long those who are asked take; empty where too little is known.
func Usually(a api.Approval) string {
	if a.Asks == nil {
		return ""
	}
	return a.Asks.Usual
}

func itoa(n int) string { return strconv.Itoa(n) }

// UntilHour makes of a time of day, such as "until 18:00", how long that is from now, in
// whole minutes, by a clock that is so many minutes ahead of UTC. Any other text stays.
func UntilHour(text string, zone int, now time.Time) string {
	const farthest = 14 * 60 // no place is further from UTC
	clock, ok := strings.CutPrefix(strings.ToLower(text), words.AskUntilWord)
	if !ok || zone > farthest || zone < -farthest {
		return text
	}
	at, err := time.Parse("15:04", strings.TrimSpace(clock))
	if err != nil {
		return text
	}
	local := now.UTC().Add(time.Duration(zone) * time.Minute)
	end := time.Date(local.Year(), local.Month(), local.Day(), at.Hour(), at.Minute(), 0, 0, time.UTC)
	if !end.After(local) {
		end = end.AddDate(0, 0, 1)
	}
	if d := end.Sub(local).Truncate(time.Minute); d > 0 {
		return api.FormatDuration(d)
	}
	return text
}
