package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Desk is what the pages of requests need of the control plane.
type Desk interface {
	// Own are the visitor's own, the newest first: those before one. It gives where older ones
	// begin; empty after the last. Waiting are those that wait for the visitor, the oldest
	// first: a window of them after one.
	Own(ctx context.Context, v Visitor, before string) (all []api.Request, next string, err error)
	Waiting(ctx context.Context, v Visitor, after string) (views.Inbox, error)
	Request(ctx context.Context, v Visitor, id string) (Case, error)
	// AskVote says what a passkey must sign for a vote; nothing where none has to.
	AskVote(ctx context.Context, v Visitor, id string, b Ballot) (Step, error)
	Vote(ctx context.Context, v Visitor, id string, b Ballot) (api.Request, error)
	// Remark asks who wants access a question, or answers one.
	Remark(ctx context.Context, v Visitor, id, text string, answer bool) error
	Withdraw(ctx context.Context, v Visitor, id string) error
	// End gives a grant back, or revokes it.
	End(ctx context.Context, v Visitor, id, note string) error
}

// Case is a request as somebody who may see it sees it.
type Case struct {
	api.Request
	Where  string   // the targets are: their types and addresses
	Rights []string // of the role, as they were when it was asked for
	Grade  string   // the highest criticality of the targets
	Mine   bool     // the visitor asked
	Decide bool     // a vote of the visitor's would count now
	Level  string   // that a yes of theirs takes: chat, console, passkey, client
	Keys   int      // passkeys of theirs for these pages
	Known  *views.Known
	End    string // what the visitor can do with the grant: "end", "revoke", or nothing
}

// Ballot is a vote as the page has it.
type Ballot struct {
	Approve bool
	Digest  string // of the request that was shown
	For     string
	Rights  []string
	Note    string
	Used    []Used
	Signed  string // when a passkey was asked for, as the step said
}

// Approves reports whether a yes can be given on this page.
func (c Case) Approves() bool {
	return c.Decide && (c.Level == "chat" || c.Level == "console" || c.Level == "passkey" && c.Keys > 0)
}

// Signs reports whether a yes takes a passkey.
func (c Case) Signs() bool { return c.Level == "passkey" || c.Level == "client" }

// Pending reports whether nobody has decided yet.
func (c Case) Pending() bool { return c.State == api.RequestPending }

// Live reports whether there is a grant that has not ended.
func (c Case) Live() bool {
	return c.Grant != nil && (c.Grant.State == api.GrantActive || c.Grant.State == api.GrantScheduled || c.Grant.State == api.GrantProvisioning)
}

// Asked reports whether a question waits for its answer.
func (c Case) Asked() bool {
	n := len(c.Remarks)
	return n > 0 && !c.Remarks[n-1].Answer
}

// standing says in a few words how a request is.
func standing(r api.Request) string { return views.Standing(r) }

// toneOf is the colour of how a request is.
func toneOf(r api.Request) ui.Tone {
	g := r.Grant
	switch {
	case g != nil && (g.Overdue || g.State == api.GrantFailed) || r.State == api.RequestDenied:
		return ui.Bad
	case r.State == api.RequestPending:
		return ui.Warn
	case g != nil && g.State == api.GrantActive:
		return ui.Good
	case r.State == api.RequestApproved && (g == nil || g.State == api.GrantProvisioning || g.State == api.GrantScheduled || g.State == api.GrantEnding):
		return ui.Accent
	}
	return ui.Plain
}

// first makes the first letter of a sentence a capital one.
func first(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (s *Site) listRequests(v *visit) error {
	m, err := s.inboxOf(v)
	if err != nil {
		return err
	}
	live := "requests&tab=" + string(m.View)
	if m.After != "" {
		live += "&after=" + url.QueryEscape(m.After)
	}
	return s.show(v, sheet{title: words.TitleApprovals, lede: words.LedeApprovals, nav: "requests", live: live}, views.InboxPage(m))
}

// requestsLive is what changes on that page.
func (s *Site) requestsLive(v *visit) (templ.Component, error) {
	m, err := s.inboxOf(v)
	return views.InboxLive(m), err
}

// inboxOf is the list that the visitor looks at.
func (s *Site) inboxOf(v *visit) (m views.Inbox, err error) {
	m.View, m.After = views.ForMe, v.r.URL.Query().Get("after")
	if m.After != "" && (!strings.HasPrefix(m.After, "req_") || len(m.After) > 64) {
		return m, &api.Error{Kind: api.Invalid, Code: "bad-cursor", Message: words.InboxNoPage, Next: words.InboxNoPageNext}
	}
	switch t := views.InboxView(v.r.URL.Query().Get("tab")); t {
	case views.Decided:
		m.View = t
		m.Items, m.Next, err = s.doors.Voted(v.r.Context(), v.Visitor, m.After)
	case views.Own:
		m.View = t
		m.Items, m.Next, err = s.doors.Own(v.r.Context(), v.Visitor, m.After)
	default:
		m, err = s.doors.Waiting(v.r.Context(), v.Visitor, m.After)
	}
	return m, err
}

func (s *Site) showRequest(v *visit) error {
	c, err := s.doors.Request(v.r.Context(), v.Visitor, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	title := words.TitleRequest(name(c.Principal), c.Role, c.Resource)
	return s.show(v, sheet{title: title, nav: "requests", up: []ui.Crumb{{Href: "/requests", Label: words.TitleApprovals}}, signing: true,
		live: "request&id=" + url.QueryEscape(c.ID) + "&do=" + prepared(v)}, views.RequestPage(requestOf(c, prepared(v))))
}

// requestLive is what changes on the page of one request.
func (s *Site) requestLive(v *visit) (templ.Component, error) {
	c, err := s.doors.Request(v.r.Context(), v.Visitor, v.r.URL.Query().Get("id"))
	if err != nil {
		return nil, err
	}
	return views.RequestLive(requestOf(c, prepared(v))), nil
}

// prepared is the choice that the visitor came with: it is shown, and nothing is decided.
func prepared(v *visit) string {
	switch do := v.r.URL.Query().Get("do"); do {
	case "approve", "shorter", "deny", "ask":
		return do
	}
	return ""
}

// requestOf is a request for its page.
func requestOf(c Case, do string) views.Request {
	m := views.Request{ID: c.ID, Digest: c.Digest, Standing: first(standing(c.Request)), Tone: toneOf(c.Request), Reason: c.Reason,
		Principal: c.Principal, Person: c.Person, Other: c.Principal != "user:"+c.Person, Role: c.Role, Resource: c.Resource, Where: c.Where, Grade: c.Grade,
		Duration: api.Span(c.Duration), Granted: api.Span(c.Granted), Task: c.Task, Bundle: c.Bundle, Ticket: c.Ticket, Extends: c.Extends, Emergency: c.Emergency,
		Glass: c.BreakGlass, Start: c.Start.Time, AnswerBy: c.ExpiresAt.Time, Rights: c.Rights, Pending: c.Pending(), Mine: c.Mine, Asked: c.Asked(),
		Decide: c.Decide, Approves: c.Approves(), Signs: c.Signs(), NeedsKey: c.Signs() && c.Keys == 0, Client: c.Level == "client", End: c.End, Known: c.Known, Do: do, CreatedAt: c.CreatedAt.Time}
	for _, n := range c.Decision.Approvals {
		x := views.Need{Have: n.Have, Count: n.Count, From: n.From, Passkey: n.Level == "passkey" || n.Level == "client", Later: n.Later}
		if n.Escalated {
			x.Escalated = n.EscalateTo
		}
		m.Needs = append(m.Needs, x)
	}
	for _, r := range c.Decision.Reasons {
		m.Reasons = append(m.Reasons, views.Reason{Text: r.Text, Policy: r.Policy})
	}
	for _, x := range c.Votes {
		m.Votes = append(m.Votes, views.Vote{Principal: x.Principal, For: api.Span(x.For), Note: x.Note, Approve: x.Approve, Signed: x.Passkey != "", Rights: x.Rights, At: x.At.Time})
	}
	for _, x := range c.Remarks {
		m.Remarks = append(m.Remarks, views.Remark{Principal: x.Principal, Text: x.Text, Answer: x.Answer, At: x.At.Time})
	}
	if g := c.Grant; g != nil {
		m.Overdue, m.Detail, m.Gone = g.Overdue, g.Detail, g.VerifiedGoneAt.Time
	}
	return m
}

// name is a principal without its kind, where that is a user.
func name(principal string) string { return strings.TrimPrefix(principal, "user:") }

func ballotOf(v *visit) (Ballot, error) {
	f := v.r.PostForm
	used, err := usedOf(f)
	shorter := f.Get("answer") == "shorter"
	b := Ballot{Approve: shorter || f.Get("answer") == "approve", Digest: f.Get("digest"), Note: f.Get("note"), Used: used, Signed: f.Get("nonce")}
	if b.Approve { // the fields that narrow are those of a yes
		b.For, b.Rights = strings.TrimSpace(f.Get("for")), f["right"]
		if shorter {
			b.For = strings.TrimSpace(f.Get("shorter"))
		}
		if f.Has("rights") && len(b.Rights) == 0 {
			err = &api.Error{Kind: api.Invalid, Code: "no-rights", Message: "no right is chosen", Next: "choose what you approve, or deny the request"}
		}
	}
	return b, err
}

func (s *Site) askVote(v *visit) error {
	b, err := ballotOf(v)
	if err != nil {
		return err
	}
	step, err := s.doors.AskVote(v.r.Context(), v.Visitor, v.r.PathValue("id"), b)
	if err != nil {
		return err
	}
	return v.answer(http.StatusOK, step)
}

func (s *Site) decide(v *visit) error {
	b, err := ballotOf(v)
	if err != nil {
		return err
	}
	if answer := v.r.PostForm.Get("answer"); answer != "approve" && answer != "shorter" && answer != "deny" {
		return &api.Error{Kind: api.Invalid, Code: "bad-form", Message: "the form says neither yes nor no", Next: "load the page again"}
	}
	r, err := s.doors.Vote(v.r.Context(), v.Visitor, v.r.PathValue("id"), b)
	if err != nil {
		return err
	}
	v.redirect("/r/" + r.ID)
	return nil
}

// remark asks or answers. Neither is part of what is approved.
func (s *Site) remark(v *visit) error {
	id := v.r.PathValue("id")
	if err := s.doors.Remark(v.r.Context(), v.Visitor, id, strings.TrimSpace(v.r.PostForm.Get("text")), v.r.PostForm.Get("kind") == "answer"); err != nil {
		return err
	}
	v.redirect("/r/" + id)
	return nil
}

func (s *Site) withdraw(v *visit) error {
	id := v.r.PathValue("id")
	if err := s.doors.Withdraw(v.r.Context(), v.Visitor, id); err != nil {
		return err
	}
	return s.back(v, id)
}

func (s *Site) endGrant(v *visit) error {
	id := v.r.PathValue("id")
	if err := s.doors.End(v.r.Context(), v.Visitor, id, v.r.PostForm.Get("note")); err != nil {
		return err
	}
	return s.back(v, id)
}
