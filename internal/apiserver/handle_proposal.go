package apiserver

import (
	"context"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/policy"
)

func filesOf(in []api.File) (out []policy.File) {
	for _, f := range in {
		out = append(out, policy.File{Name: f.Name, Text: f.Text})
	}
	return out
}

type policyIn struct{ Body api.PolicyAsk }

func (s *Server) policyDiff(ctx context.Context, c call, in *policyIn) (*reply[api.PolicyDiff], error) {
	w, err := s.broker.WhatIf(ctx, c.asked(nil), filesOf(in.Body.Files))
	if err != nil {
		return nil, err
	}
	out := toDiff(w.Version, w.Diff, w.Ends)
	out.Partial, out.TwoPersons, out.Second, out.Warnings = w.Partial, w.InForce, graves(w.Grave), problems(w.Warnings)
	return answer(*out), nil
}

// What of a replayed request is as it was, and what is not: policy looks at nothing else.
var (
	recorded = []string{"principal", "resource", "role", "duration", "start", "reason", "ticket", "source address", "device", "time"}
	asOfNow  = []string{"groups", "manager", "attributes", "right to administer"}
)

func (s *Server) policyReplay(ctx context.Context, c call, in *policyIn) (*reply[api.PolicyReplay], error) {
	since := broker.MostReplayed
	if in.Body.Since != "" {
		var err error
		if since, err = api.ParseDuration(in.Body.Since); err != nil {
			return nil, err
		}
	}
	r, err := s.broker.Replay(ctx, c.asked(nil), filesOf(in.Body.Files), since)
	if err != nil {
		return nil, err
	}
	return answer(toReplay(r)), nil
}

func toDiff(version int64, d policy.Difference, ends []broker.Lapse) *api.PolicyDiff {
	out := &api.PolicyDiff{Version: version, LeftOut: d.LeftOut, Documents: []api.DocumentChange{}, Can: []api.CanChange{}, Ends: []api.Lapse{},
		Second: []api.Grave{}, Warnings: []api.Problem{}}
	for _, c := range d.Documents {
		x := api.DocumentChange{Kind: c.Kind, Name: c.Name, Action: string(c.Op), Source: c.Source, Fields: []api.FieldChange{}}
		for _, f := range c.Fields {
			x.Fields = append(x.Fields, api.FieldChange(f))
		}
		out.Documents = append(out.Documents, x)
	}
	for _, c := range d.Can {
		out.Can = append(out.Can, api.CanChange{What: string(c.Op), Resource: string(c.Resource), Role: string(c.Role), Who: texts(c.Who), Before: c.Before, After: c.After})
	}
	for _, l := range ends {
		out.Ends = append(out.Ends, api.Lapse{Grant: string(l.Grant), Request: string(l.Request), Principal: string(l.Principal),
			Resource: string(l.Resource), Role: string(l.Role), Why: l.Why})
	}
	return out
}

func graves(gs []policy.Grave) []api.Grave {
	out := []api.Grave{}
	for _, g := range gs {
		out = append(out, api.Grave(g))
	}
	return out
}

func toProposal(v broker.ProposalView) *api.Proposal {
	p := v.Proposal
	return &api.Proposal{ID: string(p.ID), State: string(v.State), Kind: string(p.Kind), Principal: string(p.Principal), Person: string(p.Person),
		Summary: p.Summary, Why: texts(p.Why), Base: p.Base, Stale: v.Stale, Mine: v.Mine, Digest: p.Digest.String(), CreatedAt: api.At(p.CreatedAt),
		ExpiresAt: api.At(p.ExpiresAt), DecidedBy: string(p.DecidedBy), DecidedAt: api.At(p.DecidedAt), Note: p.Note, Applied: p.Applied}
}

type listProposalsIn struct {
	Paging
	State string `query:"state" enum:"pending,applied,denied,withdrawn" doc:"Only in this state"`
}

func (s *Server) listProposals(ctx context.Context, c call, in *listProposalsIn) (*reply[api.Page[api.Proposal]], error) {
	q := access.ProposalQuery{Before: access.ProposalID(in.Cursor), Limit: in.Limit}
	if in.State != "" {
		q.States = []access.ProposalState{access.ProposalState(in.State)}
	}
	vs, next, err := s.broker.Proposals(ctx, c.asked(nil), q)
	if err != nil {
		return nil, err
	}
	page := api.Page[api.Proposal]{Items: []api.Proposal{}, Next: string(next)}
	for _, v := range vs {
		page.Items = append(page.Items, *toProposal(v))
	}
	return answer(page), nil
}

func (s *Server) getProposal(ctx context.Context, c call, in *ByID) (*reply[api.Proposal], error) {
	v, err := s.broker.Proposal(ctx, c.asked(nil), in.ID)
	if err != nil {
		return nil, err
	}
	out := toProposal(v)
	out.Content = string(v.Content)
	if v.Compared {
		out.Diff = toDiff(v.Base, v.Diff, v.Ends)
	}
	return answer(*out), nil
}

type proposalVoteIn struct {
	ByID
	Body api.ProposalVote
}

func (s *Server) approveProposal(ctx context.Context, c call, in *proposalVoteIn) (*reply[api.Proposal], error) {
	if in.Body.Digest == "" {
		return nil, access.Fail(access.Invalid, "no-digest", "an approval names the digest of what was shown").Try("look at it first: stint proposal show " + in.ID)
	}
	seen, err := access.ParseDigest(in.Body.Digest)
	if err != nil {
		return nil, err
	}
	p, err := s.broker.Approve(ctx, c.asked(nil), in.ID, seen, in.Body.Note)
	return decidedProposal(p, err)
}

func (s *Server) denyProposal(ctx context.Context, c call, in *proposalVoteIn) (*reply[api.Proposal], error) {
	p, err := s.broker.Refuse(ctx, c.asked(nil), in.ID, in.Body.Note)
	return decidedProposal(p, err)
}

func decidedProposal(p access.Proposal, err error) (*reply[api.Proposal], error) {
	if err != nil {
		return nil, err
	}
	return answer(*toProposal(broker.ProposalView{Proposal: p, State: p.State})), nil
}

func (s *Server) getTwoPersons(ctx context.Context, _ call, _ *empty) (*reply[api.TwoPersons], error) {
	st, err := s.broker.TwoPersonsState(ctx)
	if err != nil {
		return nil, err
	}
	return answer(api.TwoPersons{Mode: string(st.Mode), Why: st.Why, InForce: st.InForce, Persons: st.Keepers}), nil
}

func (s *Server) setTwoPersons(ctx context.Context, c call, in *struct{ Body api.TwoPersons }) (*reply[api.TwoPersons], error) {
	p, err := s.broker.SetTwoPersons(ctx, c.asked(nil), broker.TwoPersons(in.Body.Mode), in.Body.Why)
	if err != nil {
		return nil, err
	}
	out, err := s.getTwoPersons(ctx, c, nil)
	if err == nil && p != nil {
		out.Body.Proposal = toProposal(broker.ProposalView{Proposal: *p, State: p.State})
	}
	return out, err
}
