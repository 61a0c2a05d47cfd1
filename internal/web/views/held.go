package views

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/moment"
	"stint/internal/shell"
	"stint/internal/web/ui"
	"stint/internal/web/words"
)

// Access is what somebody holds at a moment: the page they come home to.
type Access struct {
	Now    time.Time
	Active []Held // what ends first comes first: a window of them
	Coming []Held // asked for or approved, and not there yet; the oldest first
	Going  []Held // ended, and not read back as gone
	// Holds is how many are active in all. The window begins after After, and the next one
	// after Next; either may be empty.
	Holds       int
	After, Next string
	// MoreComing and MoreGoing are how many of those are not shown.
	MoreComing, MoreGoing int
	Ended                 []Held // the last few that are over, the newest first

	Again      []Wish // what was asked for before, each once, the newest first
	Favourites []Favourite
	Stopped    string // why nothing new is granted now; empty where it is
}

// At is the same at another moment: what is left is counted from there.
func (a Access) At(now time.Time) Access {
	a.Now = now
	for _, hs := range [][]Held{a.Active, a.Coming, a.Going, a.Ended} {
		for i := range hs {
			hs[i].Now = now
		}
	}
	return a
}

// Here is the address of the window that is shown, and Further that of the next.
func (a Access) Here() string    { return windowFrom(a.After) }
func (a Access) Further() string { return windowFrom(a.Next) }

func windowFrom(after string) string {
	if after == "" {
		return "/"
	}
	return "/?after=" + url.QueryEscape(after)
}

// Favourite is what somebody keeps under a name.
type Favourite struct {
	Name string
	Wish
}

// Held is one request of somebody's own, with its grant where it has one.
type Held struct {
	api.Request
	Type  string // of the target
	Env   string // what the resource is labelled with; may be empty
	Grade string // its criticality
	Now   time.Time
	More  Extension
}

// Extension is what became of the question whether a grant can last longer.
type Extension struct {
	By   string // by how much, as api.ParseDuration reads it; empty: it cannot
	Asks bool   // somebody has to approve it
	No   string // why it cannot be; empty where nobody looked
}

// Command is what to type to use it, for a person to copy.
func (h Held) Command() string {
	words := []string{"stint", "db", h.Resource}
	if h.Task != "" {
		words = append(words, "--task", h.Task)
	}
	return shell.Line(words...)
}

// By says who allowed it: people, or a rule.
func (h Held) By() string {
	var by []string
	for _, v := range h.Votes {
		if v.Approve {
			by = append(by, v.Person)
		}
	}
	switch {
	case h.Emergency != "":
		return h.Emergency
	case len(by) > 0:
		return words.HeldApprovedBy + strings.Join(by, ", ")
	}
	return "automatic" + under(h.Decision.Reasons)
}

// under names the rule that a decision rests on.
func under(rs []api.Reason) string {
	for _, r := range rs {
		if r.Policy != "" {
			return words.HeldBy + r.Policy
		}
	}
	return ""
}

// Soon reports whether it ends within five minutes.
func (h Held) Soon() bool { return h.Grant != nil && h.Grant.ExpiresAt.Sub(h.Now) < 5*time.Minute }

// Share is how much of its time is left, of 100.
func (h Held) Share() int {
	if h.Grant == nil || h.Grant.ActiveAt.IsZero() {
		return 100
	}
	whole, left := h.Grant.ExpiresAt.Sub(h.Grant.ActiveAt.Time), h.Grant.ExpiresAt.Sub(h.Now)
	if whole <= 0 || left <= 0 {
		return 0
	}
	return min(int(left*100/whole), 100)
}

// Lag is how long its removal took, from the end of the right to the target's word that
// nothing is left; empty where that word is not there.
func (h Held) Lag() string {
	g := h.Grant
	if g == nil || g.VerifiedGoneAt.IsZero() || g.EndedAt.IsZero() {
		return ""
	}
	d := g.VerifiedGoneAt.Sub(g.EndedAt.Time)
	if d < 10*time.Second {
		return strconv.FormatFloat(max(d, 0).Seconds(), 'f', 2, 64) + words.HeldS
	}
	return moment.Rough(d)
}

// Outcome says how it came to its end.
func (h Held) Outcome() string {
	switch h.State {
	case api.RequestDenied:
		return words.HeldDenied
	case api.RequestCancelled:
		return words.HeldWithdrawn
	case api.RequestExpired:
		return words.HeldNotAnsweredInTime
	}
	if h.Grant == nil {
		return ""
	}
	if h.Grant.State == api.GrantFailed {
		return words.HeldCouldNotBeSetUp
	}
	switch h.Grant.EndReason {
	case api.EndReturned:
		return words.HeldGivenBack
	case api.EndRevoked:
		return words.HeldTakenAway
	case api.EndPolicy:
		return words.HeldNoLongerAllowed
	case api.EndFailed:
		return words.HeldCouldNotBeSetUp
	}
	return words.HeldItsTimeWasOver
}

// Over is when it came to its end.
func (h Held) Over() api.Time {
	switch {
	case h.Grant != nil && !h.Grant.EndedAt.IsZero():
		return h.Grant.EndedAt
	case !h.DecidedAt.IsZero():
		return h.DecidedAt
	}
	return h.CreatedAt
}

// Wish is the same again, without its reason.
func (h Held) Wish() Wish { return Wish{Resource: h.Resource, Role: h.Role, For: h.Duration} }

// Steps are sent, approval, set-up, ready: where the request is. Nothing is said to be
// done that was not confirmed.
func (h Held) Steps() []ui.Step {
	all := []ui.Step{{Name: words.HeldSent, State: "done", At: h.CreatedAt.Time}, {Name: words.HeldApproval, State: "todo"}, {Name: words.HeldSetUp, State: "todo"}, {Name: words.HeldReady, State: "todo"}}
	approval, setup, ready := &all[1], &all[2], &all[3]
	if h.State == api.RequestPending {
		approval.State, approval.Note = "now", words.HeldAsked+askedText(h.Decision.Approvals)
		return all
	}
	approval.State, approval.Note, approval.At = "done", h.By()+", ", h.DecidedAt.Time
	setup.State = "now"
	switch g := h.Grant; {
	case g == nil:
		setup.Note = words.HeldBeginsInAMoment
	case g.State == api.GrantScheduled:
		setup.Note = words.HeldBegins + moment.Ago(h.Start.Time, h.Now)
	case g.State == api.GrantActive:
		setup.State, ready.State, ready.At = "done", "done", g.ActiveAt.Time
	case g.Detail != "":
		setup.Note = g.Detail
	default:
		setup.Note = words.HeldTheTargetIsBeingTold
	}
	return all
}

// askedText is whom approvals wait for: "1 of group:dba".
func askedText(as []api.Approval) string {
	var parts []string
	for _, a := range as {
		if a.Have >= a.Count || a.Later {
			continue
		}
		parts = append(parts, itoa(a.Count-a.Have)+words.HeldOf+strings.Join(plainSubjects(a.From), words.HeldOr))
	}
	return strings.Join(parts, words.HeldAnd)
}

// plainSubjects are subjects in the words of people.
func plainSubjects(from []string) []string {
	out := make([]string, len(from))
	for i, s := range from {
		switch kind, name, ok := strings.Cut(s, ":"); {
		case s == "*":
			out[i] = words.HeldEverybody
		case ok && kind == "user":
			out[i] = name
		case ok:
			out[i] = kind + " " + name
		default:
			out[i] = s
		}
	}
	return out
}
