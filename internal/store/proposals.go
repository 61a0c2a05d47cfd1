package store

import "stint/internal/access"

var proposalTable = table{
	name: "proposals", noun: "proposal", keys: 1, versioned: true,
	columns: []column{{"id", text}, {"version", integer}, {"state", text}, {"principal", text}, {"person", text}, {"base", integer},
		{"content", binary}, {"digest", binary}, {"created_at", integer}, {"expires_at", integer}, {"decided_person", text}, {"body", text}},
	fixed: []string{"principal", "person", "base", "content", "digest", "created_at", "expires_at"},
}.build()

type proposalBody struct {
	Kind      string   `json:"kind"`
	Summary   string   `json:"summary,omitempty"`
	Why       []string `json:"why,omitempty"`
	DecidedBy string   `json:"decided_by,omitempty"`
	Note      string   `json:"note,omitempty"`
	DecidedAt stamp    `json:"decided_at,omitempty"`
	Applied   int64    `json:"applied,omitempty"`
}

func proposalRow(p access.Proposal) (write, error) {
	body, err := encode(proposalBody{string(p.Kind), p.Summary, p.Why, string(p.DecidedBy), p.Note, stampOf(p.DecidedAt), p.Applied})
	return write{string(p.ID), p.Version, string(p.State), string(p.Principal), string(p.Person), p.Base, p.Content, p.Digest[:],
		p.CreatedAt.UnixMilli(), p.ExpiresAt.UnixMilli(), string(p.DecidedPerson), body}, err
}

const proposalColumns = "SELECT id, version, state, principal, person, base, content, digest, created_at, expires_at, decided_person, body FROM proposals"

func scanProposal(row row) (access.Proposal, error) {
	var p access.Proposal
	var digest []byte
	var created, expires int64
	var text string
	if err := row.Scan(&p.ID, &p.Version, &p.State, &p.Principal, &p.Person, &p.Base, &p.Content, &digest, &created, &expires, &p.DecidedPerson, &text); err != nil {
		return p, err
	}
	var b proposalBody
	if err := decode(text, "proposal", string(p.ID), &b); err != nil {
		return p, err
	}
	p.Kind, p.Summary, p.Why, p.DecidedBy = access.ProposalKind(b.Kind), b.Summary, b.Why, access.PrincipalID(b.DecidedBy)
	p.Note, p.DecidedAt, p.Applied = b.Note, b.DecidedAt.time(), b.Applied
	p.Digest, p.CreatedAt, p.ExpiresAt = digestOf(digest), instant(created), instant(expires)
	return p, nil
}

// Proposal reads one proposal.
func (tx *Tx) Proposal(id access.ProposalID) (access.Proposal, error) {
	return one(tx, "proposal", scanProposal, proposalColumns+" WHERE id = $1", string(id))
}

// SaveProposals writes proposals.
func (tx *Tx) SaveProposals(ps ...access.Proposal) error {
	rows := make([]write, 0, len(ps))
	for _, p := range ps {
		w, err := proposalRow(p)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
	}
	return tx.save(proposalTable, rows)
}

// Proposals lists proposals, newest first.
func (tx *Tx) Proposals(q access.ProposalQuery) ([]access.Proposal, error) {
	p := plan{columns: proposalColumns, down: true, cursor: string(q.Before), limit: limited(q.Limit, 100, 1000)}
	for _, s := range q.States {
		p.states = append(p.states, string(s))
	}
	p.equal("person", string(q.Person))
	if q.Prefix != "" {
		p.where("id >= $%d", q.Prefix)
		p.where("id < $%d", q.Prefix+"~") // sorts after all letters
	}
	return page(tx, p, scanProposal, func(x access.Proposal) string { return string(x.ID) })
}
