package web

import (
	"context"
	"net/http"
	"strings"

	"stint/internal/api"
)

// Desk is what the pages of requests need of the control plane.
type Desk interface {
	// Requests are the visitor's own, the newest first, and those that wait for them.
	Requests(ctx context.Context, v Visitor) (own, waiting []api.Request, err error)
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
	End    string   // what the visitor can do with the grant: "end", "revoke", or nothing
}

// Ballot is a vote as the page has it.
type Ballot struct {
	Approve bool
	Digest  string // of the request that was shown
	For     string
	Rights  []string
	Note    string
	Used    []Used
}

// Approves reports whether a yes can be given on this page.
func (c Case) Approves() bool {
	return c.Decide && (c.Level == "chat" || c.Level == "console" || c.Level == "passkey" && c.Keys > 0)
}

// Signs reports whether a yes takes a passkey.
func (c Case) Signs() bool { return c.Level == "passkey" || c.Level == "client" }

// Many reports whether there are rights to choose from.
func (c Case) Many() bool { return len(c.Rights) > 1 }

// When is a time for people.
func (c Case) When(t api.Time) string { return when(t) }

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

// Standing says in a few words how things are.
func (c Case) Standing() string {
	s := standing(c.Request)
	return strings.ToUpper(s[:1]) + s[1:]
}

func standing(r api.Request) string {
	g := r.Grant
	switch {
	case r.State == api.RequestPending:
		return "waits for a decision"
	case r.State == api.RequestDenied:
		return "denied"
	case r.State == api.RequestCancelled:
		return "withdrawn"
	case r.State == api.RequestExpired:
		return "not answered in time"
	case g == nil || g.State == api.GrantProvisioning:
		return "approved, being set up"
	case g.State == api.GrantScheduled:
		return "approved, not begun yet"
	case g.State == api.GrantActive:
		return "active until " + when(g.ExpiresAt)
	case g.State == api.GrantEnding:
		return "ending"
	case g.State == api.GrantFailed:
		return "not set up"
	}
	return "ended"
}

type requestsPage struct{ Own, Waiting []api.Request }

// When is a time for people.
func (requestsPage) When(t api.Time) string { return when(t) }

// Standing says in a few words how a request is.
func (requestsPage) Standing(r api.Request) string { return standing(r) }

func (s *Site) listRequests(v *visit) error {
	own, waiting, err := s.doors.Requests(v.r.Context(), v.Visitor)
	if err != nil {
		return err
	}
	return s.render(v, http.StatusOK, "requests", "Requests", requestsPage{own, waiting})
}

func (s *Site) showRequest(v *visit) error {
	c, err := s.doors.Request(v.r.Context(), v.Visitor, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	title := name(c.Principal) + " asks for " + c.Role + " on " + c.Resource
	return s.renderSigning(v, "request", title, c)
}

// name is a principal without its kind, where that is a user.
func name(principal string) string { return strings.TrimPrefix(principal, "user:") }

func ballotOf(v *visit) (Ballot, error) {
	f := v.r.PostForm
	used, err := usedOf(f)
	b := Ballot{Approve: f.Get("answer") == "approve", Digest: f.Get("digest"), Note: f.Get("note"), Used: used}
	if b.Approve { // the fields that narrow are those of a yes
		b.For, b.Rights = strings.TrimSpace(f.Get("for")), f["right"]
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
	if answer := v.r.PostForm.Get("answer"); answer != "approve" && answer != "deny" {
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
	v.redirect("/r/" + id)
	return nil
}

func (s *Site) endGrant(v *visit) error {
	id := v.r.PathValue("id")
	if err := s.doors.End(v.r.Context(), v.Visitor, id, v.r.PostForm.Get("note")); err != nil {
		return err
	}
	v.redirect("/r/" + id)
	return nil
}
