package access

// Proof shows that a request was approved, to somebody who believes the signatures of
// people and no server: what was asked, word for word, and what passkeys signed of it.
type Proof struct {
	// Grant is the grant that came of it. Nobody has signed that; it ties extensions to
	// what they extend.
	Grant GrantID
	Ask   string // EncodeAsk
	Votes []SignedVote
}

// SignedVote is a yes and what a passkey signed to make it its person's.
type SignedVote struct {
	Vote      string // EncodeStatement
	Assertion string // EncodeAssertion
}

// Bounds of a proof, in bytes and numbers: what of Stint's own is within them, and so is
// the most that a host reads of what it is sent.
const (
	MaxProofs    = 16
	MaxVotes     = maxSlots
	MaxAskText   = 32 << 10
	MaxVoteText  = 8 << 10
	MaxProofText = 24 << 10 // of an assertion
)

// ProofOf is what there is to show of a request. It is false where no passkey signed a
// yes.
func ProofOf(r Request, g GrantID) (Proof, bool) {
	p := Proof{Grant: g, Ask: EncodeAsk(r)}
	for _, a := range r.Approvals {
		if a.Approve && !a.Assertion.IsZero() {
			p.Votes = append(p.Votes, SignedVote{EncodeStatement(a.Statement()), EncodeAssertion(a.Assertion)})
		}
	}
	return p, len(p.Votes) > 0
}
