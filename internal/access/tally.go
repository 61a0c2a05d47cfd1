package access

import "time"

// What is counted of requests, grants and votes is read by lines: a few columns of each,
// so that three months of them can be added up in one go.

// RequestLine is what counting needs of a request.
type RequestLine struct {
	ID        RequestID
	Principal PrincipalID
	Resource  ResourceName // the first
	Role      RoleName
	State     RequestState
	Extends   GrantID
	// Needed is how many approvals policy asked for at least; 0: none.
	Needed int64
	// Voted is when the last vote was given; zero: none was.
	Voted     time.Time
	CreatedAt time.Time
	// Setup is the state of the grant that was made of it; empty: none was.
	Setup GrantState
}

// GrantLine is what counting needs of a grant.
type GrantLine struct {
	ID        GrantID
	Request   RequestID
	Principal PrincipalID
	Resource  ResourceName // the first
	Role      RoleName
	Type      string // of the first target
	Targets   int64
	State     GrantState
	ActiveAt  time.Time // zero: it never was
	// DueGone is when the access should have been gone: of one that is active, its end.
	DueGone time.Time
	GoneAt  time.Time // when it was read back as gone; zero: that is not so yet
}

// Line is the grant as it is counted.
func (g Grant) Line() GrantLine {
	l := GrantLine{ID: g.ID, Request: g.Request, Principal: g.Principal, Role: g.Role, Targets: int64(len(g.Targets)), State: g.State,
		ActiveAt: g.ActiveAt, DueGone: g.ExpiresAt, GoneAt: g.VerifiedGoneAt}
	if !g.EndingAt.IsZero() {
		l.DueGone = g.endedBy()
	}
	if len(g.Targets) > 0 {
		l.Resource, l.Type = g.Targets[0].Resource, g.Targets[0].Connection.Type
	}
	return l
}

// VoteCount is how many requests somebody approved on a day.
type VoteCount struct {
	By  PrincipalID
	Day int64 // since 1 January 1970, UTC
	Yes int64
	// Quick are those of them that were given within QuickVote of the request.
	Quick int64
}

// QuickVote is how soon after a request a yes comes that nobody can have thought about.
const QuickVote = 5 * time.Second

// TallyQuery says what is counted.
type TallyQuery struct {
	Since time.Time
	Limit int // of lines, the newest; 1 to 100000
}

// Requests is the least id that a request made since then has.
func (q TallyQuery) Requests() RequestID { return NewRequestID(q.Since.UnixMilli(), Entropy{}) }

// Grants is the least id of grants that can have given access since then: none lasts
// longer, or begins later.
func (q TallyQuery) Grants() GrantID {
	return NewGrantID(max(0, q.Since.Add(-MaxDuration-MaxAhead).UnixMilli()), Entropy{})
}
