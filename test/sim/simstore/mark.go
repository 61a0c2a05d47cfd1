package simstore

import (
	"maps"
	"slices"

	"stint/internal/access"
)

// Mark is what the requests, grants and entitlements were at one moment, and who held
// what, for who asks later which of them are others. A row is never changed but
// replaced, so that a mark costs a list of rows and no copy of any.
type Mark struct {
	requests     map[access.RequestID]*requestRow
	votes        map[access.RequestID][]access.Approval
	grants       map[access.GrantID]*grantRow
	entitlements map[access.EntitlementID]*entitlementRow
	holders      map[access.EntitlementID][]access.GrantID
}

// Mark marks this moment.
func (s *Store) Mark() Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Mark{maps.Clone(s.requests.rows), maps.Clone(s.requests.votes), maps.Clone(s.grants.rows), maps.Clone(s.entitlements.rows), maps.Clone(s.holds.byEntitlement)}
}

// Replaced lists, as they were at the mark and in no order, what is not there any more
// and what has been written since; that may be what stood there before.
func (s *Store) Replaced(m Mark) (rs []access.Request, gs []access.Grant, es []access.Entitlement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, row := range m.requests {
		if s.requests.rows[id] != row || !sameVotes(s.requests.votes[id], m.votes[id]) {
			r, _ := m.Request(id)
			rs = append(rs, r)
		}
	}
	for id, row := range m.grants {
		if s.grants.rows[id] != row {
			gs = append(gs, row.Grant)
		}
	}
	for id, row := range m.entitlements {
		if s.entitlements.rows[id] != row {
			es = append(es, row.Entitlement)
		}
	}
	return rs, gs, es
}

// sameVotes reports whether two lists of votes are one: a vote is added to a copy.
func sameVotes(a, b []access.Approval) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Request is one request as it was, with its votes.
func (m Mark) Request(id access.RequestID) (r access.Request, ok bool) {
	row := m.requests[id]
	if row == nil {
		return r, false
	}
	r = row.Request
	r.Approvals = slices.Clip(m.votes[id])
	return r, true
}

// Grant is one grant as it was.
func (m Mark) Grant(id access.GrantID) (g access.Grant, ok bool) {
	row := m.grants[id]
	if row == nil {
		return g, false
	}
	return row.Grant, true
}

// Holders are the grants that had a hold on an entitlement.
func (m Mark) Holders(id access.EntitlementID) []access.GrantID { return m.holders[id] }
