package api

import (
	"context"
	"net/http"
	"net/url"
)

// What documents would change, and changes that wait for a second person.

// PolicyAsk asks what documents would change.
type PolicyAsk struct {
	Files []File `json:"files" minItems:"1" maxItems:"1000" nullable:"false"`
	Since string `json:"since,omitempty" maxLength:"32" doc:"Replay: how far back, at most 30 days; 30 days if absent" example:"7d"`
}

// PolicyDiff is what documents would change, in words.
type PolicyDiff struct {
	Version    int64            `json:"version" doc:"The version of the documents that it is compared with"`
	Documents  []DocumentChange `json:"documents" nullable:"false"`
	Can        []CanChange      `json:"can" nullable:"false" doc:"Who gains or loses a way to a role, or has another one. Owners see what is about resources of theirs"`
	LeftOut    int              `json:"left_out,omitempty" doc:"Names beyond ten thousand"`
	Ends       []Lapse          `json:"ends" nullable:"false" doc:"Live grants that would end"`
	Partial    bool             `json:"partial,omitempty" doc:"There are more live grants than were looked at"`
	Second     []Grave          `json:"second_person" nullable:"false" doc:"What one person alone may not do where two are asked for"`
	TwoPersons bool             `json:"two_persons" doc:"Two are asked for now"`
	Warnings   []Problem        `json:"warnings" nullable:"false"`
}

// Empty reports whether nothing would change.
func (d PolicyDiff) Empty() bool {
	return len(d.Documents) == 0 && len(d.Can) == 0 && len(d.Ends) == 0 && d.LeftOut == 0
}

// DocumentChange is one document that says something else.
type DocumentChange struct {
	Kind   string        `json:"kind"`
	Name   string        `json:"name"`
	Action string        `json:"action" enum:"created,updated,deleted"`
	Source string        `json:"source"`
	Fields []FieldChange `json:"fields" nullable:"false"`
}

// FieldChange is one field of it. Of a list of plain values it says what came and what went.
type FieldChange struct {
	Field   string   `json:"field" example:"require.approvals[0].count"`
	Before  string   `json:"before,omitempty"`
	After   string   `json:"after,omitempty"`
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// CanChange says for whom the way to a role on a resource is another.
type CanChange struct {
	What     string   `json:"what" enum:"gains,loses,changes"`
	Resource string   `json:"resource" example:"orders-db"`
	Role     string   `json:"role" example:"reader"`
	Who      []string `json:"who" nullable:"false" doc:"Principals; a subject of which nobody is known by its own name" example:"user:mira"`
	Before   string   `json:"before,omitempty" doc:"Absent: no way"`
	After    string   `json:"after,omitempty" example:"account with orders_read: after 1 approval from group:dba, up to 2h"`
}

// Lapse is a live grant that would end.
type Lapse struct {
	Grant     string `json:"grant"`
	Request   string `json:"request"`
	Principal string `json:"principal"`
	Resource  string `json:"resource"`
	Role      string `json:"role"`
	Why       string `json:"why"`
}

// Grave is a change that takes a second person.
type Grave struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Why  string `json:"why"`
}

// PolicyReplay is what the requests of the past would have come to.
type PolicyReplay struct {
	Version    int64      `json:"version" doc:"The version of the documents that it is compared with"`
	Since      Time       `json:"since" format:"date-time"`
	Asked      int        `json:"asked" doc:"Requests that were decided again"`
	Extensions int        `json:"extensions" doc:"Requests for more time, which were not"`
	Unknown    int        `json:"unknown" doc:"Requests of principals that are gone, which were not"`
	Partial    bool       `json:"partial,omitempty" doc:"There were more than ten thousand; the newest were taken"`
	Recorded   []string   `json:"recorded" nullable:"false" doc:"What of each request is as it was recorded"`
	AsOfNow    []string   `json:"as_of_now" nullable:"false" doc:"What is not, and was taken as it is now"`
	Differ     []Replayed `json:"differ" nullable:"false"`
}

// Replayed is one request that would have ended differently.
type Replayed struct {
	Request   string   `json:"request"`
	Principal string   `json:"principal"`
	Resource  string   `json:"resource"`
	Role      string   `json:"role"`
	Duration  string   `json:"duration"`
	At        Time     `json:"at" format:"date-time"`
	Was       Outcome  `json:"was" enum:"allow,approve,deny" doc:"What was decided then, under the documents of then"`
	Before    Decision `json:"before" doc:"Under the documents of now"`
	After     Decision `json:"after" doc:"Under those that are asked about"`
}

// Proposal is a change of Stint's own configuration that waits, or waited, for a
// second person.
type Proposal struct {
	ID        string   `json:"id" example:"prp_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	State     string   `json:"state" enum:"pending,approved,applied,denied,withdrawn,expired"`
	Kind      string   `json:"kind" enum:"documents,deletion,setting,office"`
	Principal string   `json:"principal" doc:"Who proposes it" example:"user:mira"`
	Person    string   `json:"person" example:"mira"`
	Summary   string   `json:"summary" example:"updated Policy orders-read"`
	Why       []string `json:"why" nullable:"false" doc:"Why it takes a second person"`
	Base      int64    `json:"base" doc:"The version of what it changes"`
	Stale     bool     `json:"stale,omitempty" doc:"That has changed since, so that it cannot be applied any more"`
	Mine      bool     `json:"mine,omitempty" doc:"The caller may decide it"`
	Digest    string   `json:"digest" doc:"Over exactly what is proposed; a vote names it" example:"sha256:…"`
	CreatedAt Time     `json:"created_at" format:"date-time"`
	ExpiresAt Time     `json:"expires_at" format:"date-time"`
	DecidedBy string   `json:"decided_by,omitempty"`
	DecidedAt Time     `json:"decided_at,omitzero" nullable:"true" format:"date-time"`
	Note      string   `json:"note,omitempty"`
	Applied   int64    `json:"applied,omitempty" doc:"The version of the documents that it became"`

	Diff    *PolicyDiff `json:"diff,omitempty" doc:"Of one that is open: what it would change"`
	Content string      `json:"content,omitempty" doc:"Of one alone: exactly what is proposed, as JSON"`
}

// ProposalVote decides a proposal.
type ProposalVote struct {
	Digest string `json:"digest,omitempty" maxLength:"80" doc:"Of the proposal as it was shown; needed to approve"`
	Note   string `json:"note,omitempty" maxLength:"2000" doc:"Needed to deny another's"`
}

// TwoPersons is when grave changes take two persons.
type TwoPersons struct {
	Mode    string `json:"mode" enum:"auto,on,off"`
	Why     string `json:"why,omitempty" maxLength:"2000"`
	InForce bool   `json:"in_force,omitempty"`
	Persons int    `json:"persons,omitempty" doc:"How many persons administer or write policies"`

	Proposal *Proposal `json:"proposal,omitempty" doc:"The change waits for a second person"`
}

// PolicyDiff asks what documents would change.
func (c *Client) PolicyDiff(ctx context.Context, a PolicyAsk) (PolicyDiff, error) {
	return get[PolicyDiff](ctx, c, call{method: http.MethodPost, path: []string{"policy", "diff"}, in: a})
}

// PolicyReplay asks what the requests of the past would have come to.
func (c *Client) PolicyReplay(ctx context.Context, a PolicyAsk) (PolicyReplay, error) {
	return get[PolicyReplay](ctx, c, call{method: http.MethodPost, path: []string{"policy", "replay"}, in: a})
}

// Proposals lists proposals, newest first; of one state or, if that is empty, all.
func (c *Client) Proposals(ctx context.Context, state string, l List) (Page[Proposal], error) {
	q := l.query()
	set(q, "state", state)
	return get[Page[Proposal]](ctx, c, call{method: http.MethodGet, path: []string{"proposals"}, query: q})
}

// Proposal reads one proposal, with what it would change.
func (c *Client) Proposal(ctx context.Context, id string) (Proposal, error) {
	return get[Proposal](ctx, c, call{method: http.MethodGet, path: []string{"proposals", id}})
}

// DecideProposal approves or denies a proposal.
func (c *Client) DecideProposal(ctx context.Context, id string, approve bool, v ProposalVote) (Proposal, error) {
	verb := "deny"
	if approve {
		verb = "approve"
	}
	return get[Proposal](ctx, c, call{method: http.MethodPost, path: []string{"proposals", id, verb}, in: v})
}

// TwoPersons reads when grave changes take two persons.
func (c *Client) TwoPersons(ctx context.Context) (TwoPersons, error) {
	return get[TwoPersons](ctx, c, call{method: http.MethodGet, path: []string{"two-persons"}, query: url.Values{}})
}

// SetTwoPersons changes it; a reason is needed.
func (c *Client) SetTwoPersons(ctx context.Context, t TwoPersons) (TwoPersons, error) {
	return get[TwoPersons](ctx, c, call{method: http.MethodPost, path: []string{"two-persons"}, in: t})
}
