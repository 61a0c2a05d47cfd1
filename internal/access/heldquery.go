package access

import "time"

// EndQuery selects grants of one principal in one state that is not over, what ends first
// first.
type EndQuery struct {
	Principal PrincipalID
	State     GrantState
	After     EndMark
	Limit     int // 1 to 1000; 0 means 100
}

// EndMark is where a page of an EndQuery begins: after the grant with this end and id.
// The zero value is the beginning.
type EndMark struct {
	ExpiresAt time.Time
	Grant     GrantID
}

// LiveCount is how many grants of somebody are in a state that is not over.
type LiveCount struct {
	Principal PrincipalID
	State     GrantState
	N         int
}

// LiveQuery selects what is counted: of one principal, or of all.
type LiveQuery struct {
	Principal PrincipalID
	Limit     int // grants, 1 to 100,000; 0 means 1,000
}
