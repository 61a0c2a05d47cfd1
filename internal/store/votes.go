package store

import (
	"cmp"
	"slices"
	"time"

	"stint/internal/access"
)

// Votes have a table of their own, insert-only, so that the schema can hold
// that nobody decides their own request and that approvals suffice.
var voteTable = table{
	name: "votes", noun: "vote", keys: 2,
	columns: []column{{"request_id", text}, {"n", integer}, {"voter", text}, {"person", text}, {"approve", boolean},
		{"duration", integer}, {"at", integer}, {"request", binary}, {"digest", binary}, {"body", text}, {"for_person", text}},
	newer: "FALSE", // a vote never changes; saving it again does nothing
}.build()

type voteBody struct {
	Rights []string `json:"rights,omitempty"`
	Note   string   `json:"note,omitempty"`
	Meets  []int    `json:"meets,omitempty"`
	// Level is absent in votes at the level console.
	Level     access.Level   `json:"level,omitempty"`
	For       string         `json:"for,omitempty"`
	Assertion *assertionBody `json:"assertion,omitempty"`
	Signed    int64          `json:"signed,omitempty"` // milliseconds
}

// appendVotes appends the rows of the votes that may be new. A request gains at
// most one vote with each version, and saves replace the version before.
func appendVotes(rows []write, r access.Request) ([]write, error) {
	for i, a := range r.Approvals {
		if i < len(r.Approvals)-1 && r.Version > 1 {
			continue
		}
		b := voteBody{Rights: a.Rights, Note: a.Note, Meets: a.Meets, Level: a.Level, For: string(a.For)}
		if !a.Assertion.IsZero() {
			signed := assertionOf(a.Assertion)
			b.Assertion = &signed
			if !a.Signed.IsZero() {
				b.Signed = a.Signed.UnixMilli()
			}
		}
		body, err := encode(b)
		if err != nil {
			return nil, err
		}
		rows = append(rows, write{string(r.ID), int64(i), string(a.By), string(a.Person), a.Approve, int64(a.Duration),
			millis(a.At), a.Request[:], a.Digest[:], body, string(a.ForPerson)})
	}
	return rows, nil
}

type storedVote struct {
	request access.RequestID
	n       int
	access.Approval
}

var votesOf = byIDs("SELECT request_id, n, voter, person, approve, duration, at, request, digest, body, for_person FROM votes WHERE request_id {ids} ORDER BY request_id, n")

func scanVote(row row) (storedVote, error) {
	var v storedVote
	var duration, at int64
	var request, digest []byte
	var text string
	if err := row.Scan(&v.request, &v.n, &v.By, &v.Person, &v.Approve, &duration, &at, &request, &digest, &text, &v.ForPerson); err != nil {
		return v, err
	}
	var b voteBody
	if err := decode(text, "vote", string(v.request), &b); err != nil {
		return v, err
	}
	v.Duration, v.At, v.Request, v.Digest = time.Duration(duration), instant(at), digestOf(request), digestOf(digest)
	v.Rights, v.Note, v.Meets, v.Level, v.For = b.Rights, b.Note, b.Meets, b.Level, access.PrincipalID(b.For)
	if b.Assertion != nil {
		v.Assertion = b.Assertion.assertion()
	}
	if b.Signed != 0 {
		v.Signed = instant(b.Signed)
	}
	return v, nil
}

// withVotes completes requests.
func (tx *Tx) withVotes(rs []storedRequest) ([]access.Request, error) {
	var voted []access.RequestID
	for _, r := range rs {
		if r.votes > 0 {
			voted = append(voted, r.ID)
		}
	}
	votes, err := listByIDs(tx, scanVote, votesOf, voted)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(votes, func(a, b storedVote) int {
		return cmp.Or(cmp.Compare(a.request, b.request), cmp.Compare(a.n, b.n))
	})
	byRequest := map[access.RequestID][]access.Approval{}
	for _, v := range votes {
		byRequest[v.request] = append(byRequest[v.request], v.Approval)
	}
	all := make([]access.Request, len(rs))
	for i, r := range rs {
		r.Approvals = byRequest[r.ID]
		if len(r.Approvals) != r.votes {
			return nil, tx.fail(access.Fail(access.Internal, "votes-missing", "votes of a request are missing").Because(string(r.ID)))
		}
		all[i] = r.Request
	}
	return all, nil
}
