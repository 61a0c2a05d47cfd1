package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"stint/internal/access"
	"stint/internal/moment"
)

// Stage is how far the subject of a message has come, for channels that cannot
// change what they sent and say each stage once.
type Stage string

// The stages. Open and Closed are those of a trouble, the others of a request.
const (
	Asked    Stage = "asked"
	Answered Stage = "answered" // decided, either way
	Live     Stage = "live"
	Over     Stage = "over"
	Open     Stage = "open"
	Closed   Stage = "closed"
	Trial    Stage = "trial" // somebody tries the channel out
)

// Fact is one line of a message.
type Fact struct{ Name, Value string }

// Message is what a channel tells of one subject: the same facts in the same order
// everywhere. Everything in it is plain text. Reason and Said may be in anybody's
// words; the rest is made of names and numbers that Stint has checked.
type Message struct {
	Subject string // "req_…", "ent_…", "note_…"
	Stage   Stage
	Topic   string // what it is about, the same from first to last
	Title   string // one line that says it all, for a phone
	Reason  string // of who asks; whole
	Facts   []Fact
	Said    []string // what became of it, oldest first, one line each
	Command string   // what to type
	Link    string   // a page that shows it; empty without one
	Vote    string   // the digest that a vote is for; empty when there is nothing to decide
	Chat    bool     // a yes that is given in a chat would count
	// Nudge counts how often a request has asked anew while nobody decided: its next
	// stage, others besides, the same once more.
	Nudge  int
	Urgent bool
	Drill  bool
	At     time.Time // of the last change
	// To is whom alone it is for, as the channel knows them; empty: the channel's own
	// readers.
	To string `json:",omitempty"`
}

// print is the digest of what a channel shows, so that nothing is sent twice.
func (m Message) print() string {
	b, err := json.Marshal(m)
	if err != nil {
		panic("notify: a message does not encode: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Site is what messages say of where Stint is.
type Site struct {
	URL          string // as people reach it, without a slash at the end; may be empty
	Requests     string // what the page of a request has before its id; empty: there are no such pages
	Installation string
}

// Limits of what people wrote, in characters.
const (
	maxReason = 300
	maxLine   = 200
)

// OfRequest renders a request and what became of it; g is nil until there is a grant.
func OfRequest(site Site, r access.Request, g *access.Grant) Message {
	d, p := r.Granted()
	if g != nil {
		d, p = g.Duration, g.Permissions
	}
	what := string(r.Role) + " on " + resources(r.Targets)
	who := name(r.Principal)
	m := Message{Subject: string(r.ID), Reason: r.Reason, At: changedAt(r, g),
		Topic: oneLine(who+": "+what+" for "+moment.Span(r.Duration), maxLine-40) + " (" + string(r.ID) + ")"}
	add := func(name, value string) {
		if value != "" {
			m.Facts = append(m.Facts, Fact{name, oneLine(value, maxLine)})
		}
	}
	add("who", string(r.Principal))
	add("role", string(r.Role))
	add("on", resources(r.Targets))
	add("criticality", string(criticality(r.Targets)))
	add("rights", strings.Join(p.Rights, ", "))
	add("for", moment.Span(d))
	if !r.Start.IsZero() {
		add("starts", instant(r.Start))
	}
	add("ticket", r.Ticket)
	add("task", string(r.Task))
	add("extends", string(r.Extends))
	add("part of bundle", r.BundleText())
	add("policy", string(r.Decision.Policy))
	if r.State == access.RequestPending {
		add("needs", needs(r))
		add("answer by", instant(r.ExpiresAt))
	}
	add("request", string(r.ID))
	m.Said = conversation(r)
	switch {
	case r.State == access.RequestPending:
		m.Nudge = nudges(r)
		m.Stage, m.Title = Asked, who+" asks for "+what+" for "+moment.Span(r.Duration)
		m.Command = "stint approve " + string(r.ID)
		if r.VotesByChat() { // else no button does anything
			m.Vote, m.Chat = r.Digest.String(), byChat(r)
		}
	case r.State == access.RequestIsDenied:
		m.Stage, m.Title = Answered, "Denied: "+who+", "+what
		if n := len(r.Decision.Reasons); n > 0 && (len(r.Approvals) == 0 || r.Approvals[len(r.Approvals)-1].Approve) {
			m.Said = append(m.Said, "denied by Stint "+instant(r.DecidedAt)+": "+r.Decision.Reasons[n-1].Text)
		}
	case r.State == access.RequestWithdrawn:
		m.Stage, m.Title = Answered, "Withdrawn: "+who+", "+what
	case r.State == access.RequestTimedOut:
		m.Stage, m.Title = Answered, "Not answered in time: "+who+", "+what
	case g == nil:
		m.Stage, m.Title = Answered, "Approved: "+who+", "+what+", "+moment.Span(d)
	default:
		m.ofGrant(who, what, g)
	}
	for i, s := range m.Said {
		m.Said[i] = oneLine(s, maxLine)
	}
	m.Title = oneLine(m.Title, maxLine)
	if m.Command == "" {
		m.Command = "stint status " + string(r.ID)
	}
	if site.Requests != "" {
		m.Link = site.Requests + string(r.ID)
	}
	return m
}

func (m *Message) ofGrant(who, what string, g *access.Grant) {
	m.Stage = Live
	line := who + ", " + what
	switch g.State {
	case access.Scheduled:
		m.Stage, m.Title = Answered, "Approved, begins "+instant(g.StartsAt)+": "+line
	case access.Provisioning:
		m.Stage, m.Title = Answered, "Approved, being set up: "+line
	case access.Active:
		m.Title = "Active until " + instant(g.ExpiresAt) + ": " + line
		m.Said = append(m.Said, "active "+instant(g.ActiveAt))
	case access.Ending:
		m.Title = "Ending: " + line
		m.Said = append(m.Said, ended(g))
	case access.Ended:
		m.Stage, m.Title = Over, "Ended: "+line
		m.Said = append(m.Said, ended(g))
		if !g.VerifiedGoneAt.IsZero() {
			m.Said = append(m.Said, "read back as gone "+instant(g.VerifiedGoneAt))
		}
	default: // failed
		m.Stage, m.Title = Over, "Not set up: "+line
		if g.SetupError != "" {
			m.Said = append(m.Said, "the target said: "+g.SetupError)
		}
	}
}

var endWords = map[access.EndReason]string{access.ByTime: "its time was over", access.ByHolder: "given back", access.ByPerson: "revoked",
	access.ByPolicy: "policy allows it no more", access.BySetup: "it could not be set up"}

func ended(g *access.Grant) string {
	s := "ended " + instant(g.EndingAt)
	if w := endWords[g.EndReason]; w != "" {
		s += ": " + w
	}
	if g.EndNote != "" {
		s += ": " + g.EndNote
	}
	return s
}

// changedAt is when what a message tells of last changed.
func changedAt(r access.Request, g *access.Grant) time.Time {
	at := []time.Time{r.CreatedAt, r.DecidedAt, r.RemindedAt}
	for _, a := range r.Approvals {
		at = append(at, a.At)
	}
	for _, x := range r.Remarks {
		at = append(at, x.At)
	}
	if g != nil {
		at = append(at, g.CreatedAt, g.ActiveAt, g.EndingAt, g.EndedAt, g.VerifiedGoneAt)
	}
	return slices.MaxFunc(at, time.Time.Compare)
}

func said(a access.Approval) string {
	verb := "approved"
	if !a.Approve {
		verb = "denied"
	}
	s := verb + " by " + name(a.By)
	if a.For != "" {
		s += " for " + name(a.For)
	}
	s += " " + instant(a.At)
	if a.Note != "" {
		s += ": " + a.Note
	}
	return s
}

// conversation is what people said to a request, oldest first: votes, questions and
// their answers.
func conversation(r access.Request) []string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	for _, a := range r.Approvals {
		lines = append(lines, line{a.At, said(a)})
	}
	for _, x := range r.Remarks {
		verb := " asks "
		if x.Answer {
			verb = " answers "
		}
		lines = append(lines, line{x.At, name(x.By) + verb + instant(x.At) + ": " + x.Text})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var out []string
	for _, l := range lines {
		out = append(out, l.text)
	}
	return out
}

// nudges counts how often a pending request has asked anew.
func nudges(r access.Request) int {
	passed := map[int]bool{} // stages
	for _, q := range r.Asked() {
		if s := max(q.Stage, 1); s < r.OpenStage() {
			passed[s] = true
		}
	}
	return len(passed) + len(r.Escalated) + r.Reminders
}

// byChat reports whether a yes that is given in a chat would count now.
func byChat(r access.Request) bool {
	have := r.Have()
	for i, q := range r.Asked() {
		if have[i] < q.Count && max(q.Stage, 1) == r.OpenStage() && r.Wants(q) <= access.LevelChat {
			return true
		}
	}
	return false
}

// needs says whose approval is asked for, stage after stage, and how many have given it.
func needs(r access.Request) string {
	have := r.Have()
	stages := map[int][]string{}
	for i, q := range r.Asked() {
		from := make([]string, len(q.From))
		for j, s := range q.From {
			from[j] = string(s)
		}
		by := ""
		if l := r.Wants(q); l >= access.LevelPasskey {
			by = " by passkey"
		}
		s := max(q.Stage, 1)
		stages[s] = append(stages[s], fmt.Sprintf("%d of %d from %s%s", have[i], q.Count, strings.Join(from, " or "), by))
	}
	var all []string
	for _, s := range slices.Sorted(maps.Keys(stages)) {
		all = append(all, strings.Join(stages[s], "; "))
	}
	return strings.Join(all, ", then ")
}

func resources(ts []access.Target) string {
	names := make([]string, len(ts))
	for i, t := range ts {
		names[i] = string(t.Resource)
	}
	if len(names) > 3 {
		names = append(names[:3], fmt.Sprintf("%d more", len(ts)-3))
	}
	return strings.Join(names, ", ")
}

// criticality is the highest of the targets.
func criticality(ts []access.Target) (most access.Criticality) {
	for _, t := range ts {
		if slices.Index(access.Criticalities, t.Criticality) > slices.Index(access.Criticalities, most) {
			most = t.Criticality
		}
	}
	return most
}

// name is a principal without its kind, where that is a user.
func name(p access.PrincipalID) string {
	if p.Kind() == access.User {
		return p.Name()
	}
	return string(p)
}

func instant(t time.Time) string { return moment.At(t) }

// oneLine makes one printable line of at most so many characters.
func oneLine(s string, most int) string {
	return cut(strings.Join(strings.FieldsFunc(s, unicode.IsSpace), " "), most)
}

// cut shortens a text to so many characters, and drops those that do not print:
// they can turn text around on a screen.
func cut(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if c == '\n' || unicode.IsPrint(c) {
			return c
		}
		if c == '\t' {
			return ' '
		}
		return -1
	}, s)
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}
