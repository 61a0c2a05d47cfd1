package views

import (
	"net/url"
	"strconv"
	"strings"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/words"
)

// PolicyCard is a policy in words.
type PolicyCard struct {
	Name, Effect, Description string
	Sentence                  string
	Lines                     []string
	File, Source              string
}

// Link is its page, in one of its views.
func (c PolicyCard) Link(view string) string {
	at := "/policies/" + url.PathEscape(c.Name)
	if view != "" {
		at += "?view=" + view
	}
	return at
}

func (c PolicyCard) tone() ui.Tone {
	switch c.Effect {
	case "deny":
		return ui.Bad
	case "breakGlass":
		return ui.Warn
	}
	return ui.Good
}

func (c PolicyCard) effect() string {
	switch c.Effect {
	case "deny":
		return words.PoliciesEffectDeny
	case "breakGlass":
		return words.PoliciesEffectGlass
	case "watch":
		return words.PoliciesEffectWatch
	}
	return words.PoliciesEffectAllow
}

// PolicyFile are the policies of one file.
type PolicyFile struct {
	Name     string
	Policies []PolicyCard
}

// Policies is the page of all of them.
type Policies struct {
	Query    string
	Files    []PolicyFile
	Total    int
	Next     int // where to go on; 0: that was all
	Edits    bool
	Empty    bool // there is none at all
	Starters []PolicyStart
}

func (p Policies) next() string {
	return "/policies?" + url.Values{"q": {p.Query}, "after": {strconv.Itoa(p.Next)}}.Encode()
}

// PolicyStart is a policy to begin with.
type PolicyStart struct{ Key, Name, Why string }

// PolicyForm is a policy of a common shape as it is typed.
type PolicyForm struct {
	Kind, Name, Description, Subjects, Roles, Names, Labels, Approvers, Count, Reason, Max string
	MFA, Yields                                                                            bool
}

// PolicyPage is one policy in one of its views.
type PolicyPage struct {
	Card      PolicyCard
	View      string
	Reads     bool // its text, its tests, and what changes would do
	Author    string
	Reach     []string
	ReachMore int
	Schedules []string
	Edit      PolicyEdit
	Tests     PolicyTests
	Who       PolicyWho
	Try       PolicyTry
}

func (p PolicyPage) tabs() (out []ui.Tab) {
	add := func(view, label string) {
		out = append(out, ui.Tab{Href: p.Card.Link(view), Label: label, Current: p.View == view, Count: -1})
	}
	add("", words.PolicyWords)
	if p.Reads {
		add("form", words.PolicyForm)
		add("source", words.PolicySource)
		add("tests", words.PolicyTests)
	}
	add("who", words.PolicyWho)
	add("try", words.PolicyTry)
	return out
}

// PolicyDeletes is the mode of an edit that deletes the policy.
const PolicyDeletes = "delete"

// PolicyEdit is a policy as it is being changed, in a form or as source.
type PolicyEdit struct {
	New    bool
	Name   string // of the policy that is changed
	Mode   string // form, source or PolicyDeletes
	Form   PolicyForm
	Lacks  []string // what the form has no place for; then there is none
	Text   string
	File   string
	First  int    // number of the first line
	Base   int64  // the documents that what would change was worked out on
	Was    string // hash of the text that was there when it was opened
	Anyway bool   // go on although tests fail

	Problem *api.Error
	Notice  string
	Current string // what is in force now, where that is another than was opened
	Changes *PolicyChanges
}

func (e PolicyEdit) action() string {
	if e.New {
		return "/new-policy"
	}
	return "/policies/" + url.PathEscape(e.Name)
}

// deletes reports whether the change is that it goes.
func (e PolicyEdit) deletes() bool { return e.Mode == PolicyDeletes }

// does is the button that makes the change.
func (e PolicyEdit) does() string {
	second := len(e.Changes.Diff.Second) > 0 && e.Changes.Diff.TwoPersons
	switch {
	case e.deletes() && second:
		return words.PolicyProposeDeletion
	case e.deletes():
		return words.PolicyDelete
	case second:
		return words.PolicyPropose
	}
	return words.PolicyApply
}

// lines are the numbers beside the text, as many as it may come to have.
func (e PolicyEdit) lines() int { return max(strings.Count(e.Text, "\n")+4, 14) }

// lineOf is the line of a source such as "orders.yaml:31"; 0: of another file.
func (e PolicyEdit) lineOf(source string) int {
	rest, ok := strings.CutPrefix(source, e.File+":")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(rest)
	if err != nil {
		return 0
	}
	return n
}

func (e PolicyEdit) bad(line int) bool {
	for _, f := range e.faults() {
		if e.lineOf(f.Source) == line {
			return true
		}
	}
	return false
}

// faults are what is wrong, each with its line.
func (e PolicyEdit) faults() []api.Problem {
	if e.Problem == nil {
		return nil
	}
	return e.Problem.Faults
}

// said is a line of the text.
func (e PolicyEdit) said(line int) string {
	all := strings.Split(e.Text, "\n")
	if i := line - e.First; i >= 0 && i < len(all) {
		return all[i]
	}
	return ""
}

// PolicyChanges is what a change would do.
type PolicyChanges struct {
	Diff    api.PolicyDiff
	Replay  api.PolicyReplay
	Tests   []PolicyTest
	Checked string // hash of the text and the documents that this was worked out of
	Alone   bool
	MayNot  *api.Error // the visitor may look and not do it
}

// Failed counts the tests that do not hold.
func (c *PolicyChanges) Failed() (n int) {
	for _, t := range c.Tests {
		if !t.OK {
			n++
		}
	}
	return n
}

// PolicyTest is how one test came out.
type PolicyTest struct {
	Policy, Name, Source string
	OK                   bool
	Outcome              string // allow, approve, deny
	Why                  []string
	Reasons              []api.Reason
}

// PolicyTests are those that are kept with one.
type PolicyTests struct {
	Text    string
	Results []PolicyTest
	Ran     bool
	Problem *api.Error
}

// PolicyWho is who can have what on a resource.
type PolicyWho struct {
	Resource string
	Rows     []PolicyCan
	Next     int
	Problem  *api.Error
}

// PolicyCan is one way of somebody to a role.
type PolicyCan struct{ Who, Role, How, Policy, Source string }

func (w PolicyWho) rows() [][]string {
	out := make([][]string, len(w.Rows))
	for i, r := range w.Rows {
		out[i] = []string{r.Who, r.Role, r.How, r.Policy + " · " + r.Source}
	}
	return out
}

func (w PolicyWho) next(c PolicyCard) string {
	return "/policies/" + url.PathEscape(c.Name) + "?" + url.Values{"view": {"who"}, "resource": {w.Resource}, "after": {strconv.Itoa(w.Next)}}.Encode()
}

// PolicyTry is a question of what would be decided, and the answer.
type PolicyTry struct {
	Who, OnCall, Resource, Role, For, Reason, Ticket string
	Answer                                           *api.Explanation
	Problem                                          *api.Error
}

func (t PolicyTry) title() string {
	switch t.Answer.Decision.Outcome {
	case "allow":
		return words.PolicyTryAllow
	case "approve":
		return words.PolicyTryApprove
	}
	return words.PolicyTryDeny
}

func (t PolicyTry) tone() ui.Tone {
	switch t.Answer.Decision.Outcome {
	case "allow":
		return ui.Good
	case "approve":
		return ui.Accent
	}
	return ui.Bad
}

// Proposals is the page of changes that take a second person.
type Proposals struct {
	Done bool
	All  []api.Proposal
	Next string
}

func proposalTone(p api.Proposal) ui.Tone {
	switch {
	case p.State == "applied":
		return ui.Good
	case p.State == "pending" && !p.Stale:
		return ui.Warn
	case p.State == "denied":
		return ui.Bad
	}
	return ui.Plain
}

// ProposalPage is one of them.
type ProposalPage struct {
	api.Proposal
	Own    bool
	Texts  []TextDiff
	Replay *api.PolicyReplay
}

func (p ProposalPage) open() bool { return p.State == "pending" }

// TextDiff is a text before and after, line by line.
type TextDiff struct {
	Title string
	Lines []DiffLine
}

// DiffLine is one line: with + it comes, with - it goes.
type DiffLine struct{ Mark, Text string }

// mostDiffed bounds what is compared line by line.
const mostDiffed = 1500

// Diff compares two texts line by line; none where they are too long.
func Diff(before, after string) []DiffLine {
	split := func(s string) []string {
		if s = strings.TrimSuffix(s, "\n"); s == "" {
			return nil
		}
		return strings.Split(s, "\n")
	}
	a, b := split(before), split(after)
	if len(a) > mostDiffed || len(b) > mostDiffed {
		return nil
	}
	// longest[i][j] is the length of what a[i:] and b[j:] have in common.
	longest := make([][]int, len(a)+1)
	for i := range longest {
		longest[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	var out []DiffLine
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, DiffLine{" ", a[i]})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || longest[i+1][j] >= longest[i][j+1]):
			out = append(out, DiffLine{"-", a[i]})
			i++
		default:
			out = append(out, DiffLine{"+", b[j]})
			j++
		}
	}
	return out
}

func (p Proposals) older() string {
	q := url.Values{"before": {p.Next}}
	if p.Done {
		q.Set("tab", "done")
	}
	return "/proposals?" + q.Encode()
}

func canTone(what string) ui.Tone {
	switch what {
	case "gains":
		return ui.Warn
	case "loses":
		return ui.Bad
	}
	return ui.Accent
}

// fieldInWords is what became of one field.
func fieldInWords(f api.FieldChange) string {
	if len(f.Added)+len(f.Removed) > 0 {
		var parts []string
		for _, x := range f.Added {
			parts = append(parts, "+ "+x)
		}
		for _, x := range f.Removed {
			parts = append(parts, "− "+x)
		}
		return strings.Join(parts, ", ")
	}
	switch {
	case f.Before == "":
		return "+ " + f.After
	case f.After == "":
		return "− " + f.Before
	}
	return f.Before + " → " + f.After
}

// place says where something is wrong: in which line here, or in another file.
func (e PolicyEdit) place(source string) string {
	if n := e.lineOf(source); n > 0 {
		return words.PolicyLine + strconv.Itoa(n)
	}
	return words.PolicyElsewhere + source
}

// faultText is what is wrong, and what would be right.
func faultText(f api.Problem) string {
	if f.Next == "" {
		return f.Text
	}
	return f.Text + "; " + f.Next
}
