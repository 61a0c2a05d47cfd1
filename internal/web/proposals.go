package web

import (
	"context"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Seconder is what the pages of proposals need of the control plane.
type Seconder interface {
	// Proposals are those that wait or, with done, those that were decided.
	Proposals(ctx context.Context, v Visitor, done bool, before string) (views.Proposals, error)
	Proposal(ctx context.Context, v Visitor, id string) (views.ProposalPage, error)
	// DecideProposal approves exactly what was shown, which applies it, or denies it; the
	// visitor's own is withdrawn.
	DecideProposal(ctx context.Context, v Visitor, id, digest, note string, yes bool) error
}

func (s *Site) listProposals(v *visit) error {
	q := v.r.URL.Query()
	p, err := s.doors.Proposals(v.r.Context(), v.Visitor, q.Get("tab") == "done", q.Get("before"))
	if err != nil {
		return err
	}
	live := "proposals&" + url.Values{"tab": {q.Get("tab")}, "before": {q.Get("before")}}.Encode()
	return s.show(v, sheet{title: words.Proposals, lede: words.ProposalsLede, nav: "proposals", live: live}, views.ProposalsPage(p))
}

// proposalsLive is what changes on that page.
func (s *Site) proposalsLive(v *visit) (templ.Component, error) {
	q := v.r.URL.Query()
	p, err := s.doors.Proposals(v.r.Context(), v.Visitor, q.Get("tab") == "done", q.Get("before"))
	if err != nil {
		return nil, err
	}
	return views.ProposalsLive(p), nil
}

func (s *Site) showProposal(v *visit) error {
	p, err := s.doors.Proposal(v.r.Context(), v.Visitor, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.show(v, sheet{title: words.ProposalTitle + name(p.Principal), nav: "proposals", up: []ui.Crumb{{Href: "/proposals", Label: words.Proposals}},
		live: "proposal&id=" + url.QueryEscape(p.ID)}, views.ProposalOne(p))
}

// proposalLive is what changes on the page of one proposal.
func (s *Site) proposalLive(v *visit) (templ.Component, error) {
	p, err := s.doors.Proposal(v.r.Context(), v.Visitor, v.r.URL.Query().Get("id"))
	if err != nil {
		return nil, err
	}
	return views.ProposalLive(p), nil
}

func (s *Site) decideProposal(v *visit) error {
	f, id := v.r.PostForm, v.r.PathValue("id")
	answer := f.Get("answer")
	if answer != "approve" && answer != "deny" {
		return &api.Error{Kind: api.Invalid, Code: "bad-form", Message: words.ProposalAnswerNeeded, Next: words.ProposalReload}
	}
	if err := s.doors.DecideProposal(v.r.Context(), v.Visitor, id, f.Get("digest"), strings.TrimSpace(f.Get("note")), answer == "approve"); err != nil {
		return err
	}
	v.redirect("/proposals/" + url.PathEscape(id))
	return nil
}
