package access

import "time"

// RequestQuery selects requests, newest first. Zero fields do not select.
type RequestQuery struct {
	Principal PrincipalID
	Person    Person
	States    []RequestState
	Resource  ResourceName
	Role      RoleName
	Extends   GrantID     // only extensions of this grant
	Voter     PrincipalID // only those with a vote of this principal's
	Before    RequestID   // cursor: only those with a smaller id
	Oldest    bool        // the oldest first, and only those with a greater id than After
	After     RequestID
	Limit     int // 1 to 1000; 0 means 100
}

// GrantQuery selects grants, newest first. Zero fields do not select.
type GrantQuery struct {
	Principal   PrincipalID
	Person      Person
	Resource    ResourceName
	Role        RoleName
	States      []GrantState
	Conditional bool // only those decided again meanwhile
	Watched     bool // only active ones that end on logout or idle
	Before      GrantID
	Limit       int // 1 to 1000; 0 means 100
}

// EntitlementQuery selects entitlements, oldest first. Zero fields do not select.
type EntitlementQuery struct {
	Place    Place
	Resource ResourceName
	States   []EntitlementState
	After    EntitlementID
	Limit    int // 1 to 10000; 0 means 1000
}

// ResidueQuery selects the residues of a place that have no answer yet, the longest due
// first.
type ResidueQuery struct {
	Place Place
	Limit int // 1 to 1000
}

// Work is a place that has entitlements due, and of which kind.
type Work struct {
	Place    Place
	Removals bool // removing; else intended or refreshing
}

// Edition is one version of the documents among all that there ever were. A failover
// can take version 7 back, and what is applied next is another version 7.
type Edition struct {
	Version int64 // 0: there are none
	MadeMS  int64 // when it was made, by the store's clock, in milliseconds since 1970
}

// Sealed is the credential of a live grant, encrypted to the holder's device.
type Sealed struct {
	Grant       GrantID
	Entitlement EntitlementID
	Resource    ResourceName
	Rev         int64
	Blob        []byte
	At          time.Time
}

// Remembered is the answer to an idempotent call, kept for a day.
type Remembered struct {
	Principal PrincipalID
	Key       string
	Body      Digest // of the call's body; another body with the same key is refused
	Result    string // the id that the call made
	At        time.Time
}
