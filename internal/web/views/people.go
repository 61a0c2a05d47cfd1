package views

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/shell"
	"stint/internal/web/ui"
	"stint/internal/web/words"
)

// PeopleTab is a kind of those whom there are.
type PeopleTab string

// The tabs. The first is what anything else is taken for.
const (
	TabPeople   PeopleTab = "people"
	TabVendors  PeopleTab = "vendors"
	TabServices PeopleTab = "services"
	TabAgents   PeopleTab = "agents"
)

// People is one page of them.
type People struct {
	Tab   PeopleTab
	Query string
	Items []api.User
	From  int  // how many come before these
	Total int  // that match
	All   bool // the reader sees all there are, and not only those whom they answer for
	Many  bool // that grants are counted among so many alone
	Size  int  // of a page
	Now   time.Time
}

func (m People) tabs() (out []ui.Tab) {
	tabs := []PeopleTab{TabPeople, TabVendors, TabServices, TabAgents}
	if !m.All {
		tabs = []PeopleTab{TabVendors, TabAgents}
	}
	labels := map[PeopleTab]string{TabPeople: words.PeopleUsers, TabVendors: words.PeopleVendors, TabServices: words.PeopleServices, TabAgents: words.PeopleAgents}
	for _, t := range tabs {
		n := -1
		if t == m.Tab {
			n = m.Total
		}
		out = append(out, ui.Tab{Href: People{Tab: t}.link(0), Label: labels[t], Current: t == m.Tab, Count: n})
	}
	return out
}

func (m People) link(from int) string {
	q := url.Values{"tab": {string(m.Tab)}}
	if m.Query != "" {
		q.Set("q", m.Query)
	}
	if from > 0 {
		q.Set("from", strconv.Itoa(from))
	}
	return "/people?" + q.Encode()
}

// PersonLink is the page of somebody.
func PersonLink(id string) string { return "/people/" + url.PathEscape(id) }

func kindIcon(id string) string {
	switch kind, _, _ := strings.Cut(id, ":"); kind {
	case "service":
		return "terminal"
	case "agent":
		return "bot"
	}
	return "user"
}

// note is what stands below a name in the list.
func (m People) note(u api.User) string {
	parts := []string{words.PeopleNoGroups}
	if len(u.Groups) > 0 {
		parts = []string{strings.Join(u.Groups, ", ")}
	}
	switch {
	case u.Sponsor != "":
		parts = append(parts, u.Company, words.PersonSponsor+" "+u.Sponsor)
	case u.Responsible != "":
		parts = append(parts, words.PersonHuman+" "+u.Responsible)
	case u.Kind == "service":
		parts = append(parts, words.PersonOwner+" "+u.Person)
	}
	if u.Live > 0 && m.Many {
		parts = append(parts, words.PeopleAtLeast(u.Live))
	} else if u.Live > 0 {
		parts = append(parts, words.PeopleHolds(u.Live))
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " · ")
}

type mark struct {
	Tone ui.Tone
	Text string
}

// marks are what to know of somebody at first sight.
func marks(u api.User, now time.Time) (out []mark) {
	add := func(is bool, tone ui.Tone, text string) {
		if is {
			out = append(out, mark{tone, text})
		}
	}
	add(u.Disabled, ui.Bad, words.PeopleDisabled)
	add(u.Lock != nil, ui.Bad, words.PeopleLocked)
	add(!u.Disabled && !u.Until.IsZero() && !now.Before(u.Until.Time), ui.Bad, words.PeopleEnded)
	add(u.Admin, ui.Accent, words.PeopleAdmin)
	add(u.Auditor, ui.Accent, words.PeopleAuditor)
	add(u.Author, ui.Accent, words.PeopleAuthor)
	return out
}

// Dossier is all that there is to know of somebody.
type Dossier struct {
	api.User
	Mail string
	Now  time.Time

	Acts   bool   // the reader administers
	Self   bool   // the reader is it
	Office string // of a proposal that waits for another administrator: its id

	Going []Held // being taken away, the newest of Ending
	Held  []Held // live: a window of the Holds, what ends first first, and what is being set up
	Gone  []Held // ended in the last hour, the newest first
	// The window begins after After, and the next one after Next; either may be empty.
	After, Next   string
	Holds, Ending int
	// MoreComing are scheduled or being set up, and not among Held.
	MoreComing int

	Behind   []api.User // for whom it answers
	Open     []Choice   // one page of what it may ask for
	OpenFrom int
	OpenAll  int
	Owns     []string
	Approves []string
	Logins   []api.Login
	Keys     []KeyLine
	Tasks    []api.Task
	Asked    []Held // of the last 90 days, the newest first
	More     bool   // there were more

	Wrong   string     // with the name that was typed
	Problem *api.Error // why an act was not done
	Why     string     // what was typed
	Tried   string     // the act: end, lock, unlock
}

// At is the same at another moment.
func (d Dossier) At(now time.Time) Dossier {
	d.Now = now
	for _, hs := range [][]Held{d.Going, d.Held, d.Gone, d.Asked} {
		for i := range hs {
			hs[i].Now = now
		}
	}
	return d
}

func (d Dossier) progress() string {
	if d.Holds+d.Ending+len(d.Gone) == 0 {
		switch {
		case d.Disabled:
			return words.PersonAllGone
		case d.Lock != nil:
			return words.PersonAllLocked
		}
		return ""
	}
	return words.PersonProgress(d.Holds, d.Ending, len(d.Gone))
}

// given are its groups by who gave them.
type given struct{ Source, Groups string }

func (d Dossier) given() (out []given) {
	from := map[string]bool{}
	for _, source := range slices.Sorted(maps.Keys(d.Provided)) {
		out = append(out, given{words.PersonGiven(source), strings.Join(d.Provided[source], ", ")})
		for _, g := range d.Provided[source] {
			from[g] = true
		}
	}
	own := slices.DeleteFunc(slices.Clone(d.Groups), func(g string) bool { return from[g] })
	if len(own) > 0 {
		out = append([]given{{words.PersonGiven(""), strings.Join(own, ", ")}}, out...)
	}
	return out
}

func (d Dossier) offices() string {
	var all []string
	for _, x := range []struct {
		is   bool
		text string
	}{{d.User.Admin, words.PeopleAdmin}, {d.Auditor, words.PeopleAuditor}, {d.Author, words.PeopleAuthor}} {
		if x.is {
			all = append(all, x.text)
		}
	}
	return cmp.Or(strings.Join(all, ", "), words.PersonNoOffice)
}

func (d Dossier) identities() string {
	var all []string
	for _, i := range d.Identities {
		all = append(all, i.Provider+" "+i.Subject)
	}
	return strings.Join(all, ", ")
}

func (d Dossier) untilLabel() string {
	if d.Sponsor != "" {
		return words.PersonContract
	}
	return words.PersonEnds
}

// others says whose grant it is, where it is not the person's own.
func (d Dossier) others(h Held) string {
	if h.Principal == d.ID {
		return ""
	}
	return h.Principal
}

func (d Dossier) outcomes() string {
	var once, people, denied, other, pending int
	for _, h := range d.Asked {
		switch h.State {
		case api.RequestPending:
			pending++
		case api.RequestDenied:
			denied++
		case api.RequestApproved:
			if slices.ContainsFunc(h.Votes, func(v api.Vote) bool { return v.Approve }) {
				people++
			} else {
				once++
			}
		default:
			other++
		}
	}
	return words.PersonOutcomes(once, people, denied, other, pending)
}

// enables says how it comes back: by the button here, or by a command.
func (d Dossier) enables() (command, why string) {
	switch {
	case d.Kind == "service":
		return shell.Line("stint", "admin", "service", "add", "NAME", "--owner", d.Person), words.PersonOnRenew
	case d.Kind == "agent":
		return shell.Line("stint", "admin", "agent", "add", "NAME", "--responsible", d.Responsible), words.PersonOnRenew
	case d.Sponsor != "" && !d.Until.IsZero() && !d.Now.Before(d.Until.Time):
		return shell.Line("stint", "admin", "vendor", "set", d.Name, "--until", "DATE"), words.PersonOnContract
	case d.DisabledBy != "":
		return "", words.PersonOnBy + " " + d.DisabledBy
	}
	return "", ""
}

// typed is the reason that was typed for an act that was refused.
func (d Dossier) typed(act string) string {
	if d.Tried != act {
		return ""
	}
	return d.Why
}

// locked says who locked it, and why.
func (d Dossier) locked() string {
	by := plainSubjects([]string{d.Lock.By})[0]
	if d.Lock.With != d.ID {
		return words.PersonLockedWith(plainSubjects([]string{d.Lock.With})[0], by, d.Lock.Why)
	}
	return words.PersonLockedBy(by, d.Lock.Why)
}

// unlocks reports whether it is let in by itself, and not with who answers for it.
func (d Dossier) unlocks() bool { return d.Lock != nil && d.Lock.With == d.ID }

func (d Dossier) command(act string) string {
	switch act {
	case "end":
		return shell.Line("stint", "revoke", "--user", d.Name, "--why", d.typed(act))
	case "lock", "unlock":
		return shell.Line("stint", "admin", "user", act, d.ref(), "--why", d.typed(act))
	case "enable":
		return shell.Line("stint", "admin", "user", "set", d.Name, "--enable")
	}
	return shell.Line("stint", "admin", "user", "disable", d.ref())
}

// ref is how commands name it: a user by name, others with their kind.
func (d Dossier) ref() string {
	if d.Kind == "user" {
		return d.Name
	}
	return d.ID
}

// rest is how many are being taken away that are not on the page.
func (d Dossier) rest() int { return d.Ending - len(d.Going) }

func (d Dossier) heldLink(after string) string {
	return PersonLink(d.ID) + "?after=" + url.QueryEscape(after) + "#person-holds"
}

func (d Dossier) openLink(from int) string {
	return PersonLink(d.ID) + "?open=" + strconv.Itoa(from) + "#person-open"
}

func loginKind(s api.Login) string {
	if s.Kind == "service" {
		return words.PersonToken
	}
	return s.Kind
}
