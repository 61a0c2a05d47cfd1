package simstore

import (
	"cmp"
	"slices"
	"strings"

	"stint/internal/access"
)

func cloneProposal(p access.Proposal) access.Proposal {
	p.Content, p.Why = list(p.Content), list(p.Why)
	p.CreatedAt, p.ExpiresAt, p.DecidedAt = instant(p.CreatedAt), instant(p.ExpiresAt), instant(p.DecidedAt)
	return p
}

// Proposal reads one proposal.
func (tx *Tx) Proposal(id access.ProposalID) (access.Proposal, error) {
	if tx.err != nil {
		return access.Proposal{}, tx.err
	}
	p, there := tx.s.proposals[id]
	if !there {
		return access.Proposal{}, missing("proposal")
	}
	return cloneProposal(p), nil
}

// SaveProposals writes proposals.
func (tx *Tx) SaveProposals(ps ...access.Proposal) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, p := range ps {
		old, there := tx.s.proposals[p.ID]
		if !there && p.Version != 1 || there && !follows(p.Version, old.Version) {
			return tx.fail(changed("proposal", p.ID, p.Version))
		}
		if err := proposalRules(old, there, p); err != nil {
			return tx.fail(err)
		}
		putKey(tx, tx.s.proposals, p.ID, cloneProposal(p))
	}
	return nil
}

// proposalRules are the checks and triggers of the real store.
func proposalRules(old access.Proposal, there bool, p access.Proposal) error {
	decided := p.DecidedPerson != ""
	yes := p.State == access.ProposalApproved || p.State == access.ProposalApplied
	switch {
	case decided != (p.State != access.ProposalPending), yes && p.DecidedPerson == p.Person, !there && p.State != access.ProposalPending:
	case there && (p.Principal != old.Principal || p.Person != old.Person || p.Base != old.Base || !slices.Equal(p.Content, old.Content) || p.Digest != old.Digest):
	case there && p.State != old.State && old.State != access.ProposalPending &&
		(old.State != access.ProposalApproved || p.State != access.ProposalApplied || p.DecidedPerson != old.DecidedPerson):
	case there && p.State == access.ProposalApplied && old.State == access.ProposalPending:
	default:
		return nil
	}
	return access.Fail(access.Internal, "rule", "rule: a proposal takes two persons and never changes")
}

// Proposals lists proposals, newest first.
func (tx *Tx) Proposals(q access.ProposalQuery) (found []access.Proposal, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, p := range tx.s.proposals {
		if strings.HasPrefix(string(p.ID), q.Prefix) && (q.Person == "" || p.Person == q.Person) && (q.Before == "" || p.ID < q.Before) && (len(q.States) == 0 || slices.Contains(q.States, p.State)) {
			found = append(found, cloneProposal(p))
		}
	}
	slices.SortFunc(found, func(a, b access.Proposal) int { return cmp.Compare(b.ID, a.ID) })
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	return found[:min(len(found), limit, 1000)], nil
}
