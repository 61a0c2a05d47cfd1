package apiserver

import (
	"context"
	"encoding/json"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/web"
	"stint/internal/web/views"
)

// shownProposals is how many are looked at for a page.
const shownProposals = 50

// Proposals are changes that wait for a second person, or waited, as far as the visitor
// may see them.
func (d doors) Proposals(ctx context.Context, v web.Visitor, done bool, before string) (views.Proposals, error) {
	out := views.Proposals{Done: done}
	who, err := d.governing(ctx, v)
	if err != nil {
		return out, err
	}
	q := access.ProposalQuery{States: []access.ProposalState{access.ProposalPending}, Limit: shownProposals, Before: access.ProposalID(before)}
	if done {
		q.States = nil
	}
	all, next, err := d.broker.Proposals(ctx, who, q)
	for _, p := range all {
		if waits := p.State == access.ProposalPending; waits != done {
			out.All = append(out.All, *toProposal(p))
		}
	}
	out.Next = string(next)
	return out, err
}

// Proposal is one of them, with what it would change in words and as text.
func (d doors) Proposal(ctx context.Context, v web.Visitor, id string) (out views.ProposalPage, err error) {
	who, err := d.governing(ctx, v)
	if err != nil {
		return out, err
	}
	p, err := d.broker.Proposal(ctx, who, id)
	if err != nil {
		return out, err
	}
	out = views.ProposalPage{Proposal: *toProposal(p), Own: p.Person == who.Principal.Person}
	if p.Compared {
		out.Diff = toDiff(p.Base, p.Diff, p.Ends)
	}
	if p.Kind != access.ProposesDocuments || p.State != access.ProposalPending || v.Watches { // a page that is open has them already
		return out, nil
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	var files []policy.File
	if err := json.Unmarshal(p.Content, &files); err != nil {
		return out, nil // what it says above is all that can be said
	}
	docs, err := policy.Parse(files)
	if err != nil {
		return out, nil
	}
	for _, x := range docs {
		was, _ := set.Document(x.Kind, x.Name)
		if was.Text != x.Text {
			out.Texts = append(out.Texts, views.TextDiff{Title: x.Kind + " " + x.Name, Lines: views.Diff(was.Text, x.Text)})
		}
	}
	if !p.Stale && d.broker.MayDocument(ctx, who) == nil {
		r, err := d.broker.Replay(ctx, who, files, broker.MostReplayed)
		if err != nil {
			return out, err
		}
		again := toReplay(r)
		out.Replay = &again
	}
	return out, nil
}

// DecideProposal approves exactly what was shown, or denies or withdraws it.
func (d doors) DecideProposal(ctx context.Context, v web.Visitor, id, digest, note string, yes bool) error {
	who, err := d.governing(ctx, v)
	if err == nil {
		err = d.writes.take(string(who.Principal.ID))
	}
	if err != nil {
		return err
	}
	if !yes {
		_, err = d.broker.Refuse(ctx, who, id, note)
		return err
	}
	seen, err := access.ParseDigest(digest)
	if err != nil {
		return err
	}
	_, err = d.broker.Approve(ctx, who, id, seen, note)
	return err
}
