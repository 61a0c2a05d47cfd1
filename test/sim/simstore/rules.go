package simstore

import (
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// The rules of the schema, the CHECKs and triggers that a save can break. Their
// text is that of internal/store/migrations.

// rule is one of them, and whether a change breaks it.
type rule struct {
	bad  bool
	says string
}

func hold(rules ...rule) error {
	for _, r := range rules {
		if r.bad {
			return broken(r.says)
		}
	}
	return nil
}

const longestGrant = 60 * 24 * time.Hour // with its extensions

func newRequestRule(r *requestRow) error {
	begins := r.State == access.RequestPending || r.State == access.RequestIsGranted || r.State == access.RequestIsDenied
	return hold(rule{!begins || r.State == access.RequestIsGranted && r.needed > 0, "a request begins pending, or decided by policy alone"})
}

// fixed reports whether what was asked is as it was, which a save never changes.
func (r *requestRow) fixed(old *requestRow) bool {
	return r.Principal == old.Principal && r.Person == old.Person && first(r.Targets) == first(old.Targets) && r.Role == old.Role &&
		r.Duration == old.Duration && r.Extends == old.Extends && r.Digest == old.Digest && r.needed == old.needed &&
		r.CreatedAt.Equal(old.CreatedAt) && r.ExpiresAt.Equal(old.ExpiresAt)
}

// fixed reports whether whose grant it is, and of what, is as it was.
func (g *grantRow) fixed(old *grantRow) bool {
	return g.Request == old.Request && g.Principal == old.Principal && g.Person == old.Person && first(g.Targets) == first(old.Targets) &&
		g.Role == old.Role && g.CreatedAt.Equal(old.CreatedAt)
}

// fixed reports whether what and where an entitlement is are as they were.
func (e *entitlementRow) fixed(old *entitlementRow) bool {
	return e.Target.Connection.Place() == old.Target.Connection.Place() && e.Key == old.Key && e.Target.Resource == old.Target.Resource &&
		e.CreatedAt.Equal(old.CreatedAt)
}

// first is the resource that stands in the row itself.
func first(ts []access.Target) access.ResourceName {
	if len(ts) == 0 {
		return ""
	}
	return ts[0].Resource
}

func requestRule(old, r *requestRow, votes []access.Approval) error {
	yes := 0
	for _, v := range votes {
		if v.Approve {
			yes++
		}
	}
	used := old.State == access.RequestIsGranted && r.State == access.RequestIsGranted && old.Grant == "" && r.Grant != ""
	return hold(
		rule{old.State != access.RequestPending && !used, "a decided request stays as it is"},
		rule{old.State == access.RequestPending && r.State == access.RequestIsGranted && r.needed > yes, "a request needs its approvals"},
	)
}

func requestChecks(r *requestRow) error {
	states := []access.RequestState{access.RequestPending, access.RequestIsGranted, access.RequestIsDenied, access.RequestWithdrawn, access.RequestTimedOut}
	return hold(
		rule{!slices.Contains(states, r.State), "the state of a request"},
		rule{r.Principal == "" || r.Person == "", "a request is somebody's"},
		rule{r.Duration <= 0 || r.Duration > access.MaxDuration, "the duration of a request"},
		rule{r.CreatedAt.IsZero() || !r.ExpiresAt.After(r.CreatedAt) || r.ExpiresAt.After(r.CreatedAt.Add(access.MaxDuration)), "the end of a request"},
	)
}

func voteRule(r *requestRow, a access.Approval) error {
	return hold(rule{r == nil || r.State != access.RequestPending || r.Person == a.Person || r.Digest != a.Request || r.Duration < a.Duration,
		"a vote is by another person, on exactly what was asked, while it is pending"},
		rule{a.Person == "" || a.At.IsZero(), "a vote is somebody's"})
}

func newGrantRule(g *grantRow, r *requestRow) error {
	late := g.SetupBy.UnixMilli() > g.CreatedAt.UnixMilli()+(91*24*time.Hour).Milliseconds()
	return hold(rule{g.State != access.Scheduled && g.State != access.Provisioning || late ||
		r == nil || r.State != access.RequestIsGranted || r.Extends != "" || r.Grant != g.ID || r.Person != g.Person ||
		r.Principal != g.Principal || r.Duration < g.Duration,
		"a grant comes from an approved request and is not longer than it"})
}

var grantSteps = map[access.GrantState][]access.GrantState{
	access.Scheduled:    {access.Provisioning, access.Ended},
	access.Provisioning: {access.Active, access.Ending},
	access.Active:       {access.Ending},
	access.Ending:       {access.Ended, access.Failed},
}

func (tx *Tx) grantRule(old, g *grantRow) error {
	longer := g.ExpiresAt.Sub(old.ExpiresAt)
	extended := old.State == access.Active && g.State == access.Active && longer.Milliseconds() <= (g.Duration-old.Duration).Milliseconds()
	return hold(
		rule{old.Over(), "an ended grant stays as it is"},
		rule{g.State != old.State && !slices.Contains(grantSteps[old.State], g.State), "a grant has no such transition"},
		rule{old.State != access.Scheduled && longer > 0 && !extended, "the end of a grant is raised only by an extension"},
		rule{g.Duration > old.Duration && g.Duration > tx.approvedFor(g), "a grant is not longer than its request and its approved extensions"},
		rule{g.State != old.State && g.Over() && slices.ContainsFunc(tx.s.holds.byGrant[g.ID], func(h access.Hold) bool { return !h.Settled }),
			"a grant ends when all it held is settled"},
	)
}

// approvedFor is the duration of a grant's request and its used extensions.
func (tx *Tx) approvedFor(g *grantRow) (sum time.Duration) {
	t := &tx.s.requests
	if r := t.rows[g.Request]; r != nil {
		sum = r.Duration
	}
	for _, id := range t.extending[g.ID] {
		if r := t.rows[id]; id != g.Request && r.State == access.RequestIsGranted && r.Grant == g.ID {
			sum += r.Duration
		}
	}
	return sum
}

func grantChecks(g *grantRow) error {
	due := g.due() != never
	return hold(
		rule{!slices.Contains([]access.GrantState{access.Scheduled, access.Provisioning, access.Active, access.Ending, access.Ended, access.Failed}, g.State), "the state of a grant"},
		rule{g.Principal == "" || g.Person == "", "a grant is somebody's"},
		rule{g.Duration <= 0 || g.Duration > longestGrant, "the duration of a grant"},
		rule{g.CreatedAt.IsZero() || g.SetupBy.IsZero() || !g.ExpiresAt.After(g.CreatedAt) ||
			g.ExpiresAt.UnixMilli() > g.SetupBy.UnixMilli()+g.Duration.Milliseconds(), "the end of a grant"},
		rule{due != (g.State == access.Scheduled || g.State == access.Provisioning || g.State == access.Active), "a live grant is due some time"},
	)
}

func newEntitlementRule(e *entitlementRow) error {
	return hold(rule{e.State != access.Intended && e.State != access.Removing, "an entitlement begins intended, or found and being removed"})
}

var entitlementSteps = map[access.EntitlementState][]access.EntitlementState{
	access.Intended:   {access.Present, access.Refreshing, access.Removing},
	access.Present:    {access.Refreshing, access.Removing},
	access.Refreshing: {access.Present, access.Removing},
	access.Removing:   {access.Gone},
	access.Gone:       {access.Removing},
}

func entitlementRule(old, e *entitlementRow) error {
	return hold(
		rule{e.State != old.State && !slices.Contains(entitlementSteps[old.State], e.State), "an entitlement has no such transition"},
	)
}

func entitlementChecks(e *entitlementRow) error {
	leaving := e.State == access.Removing || e.State == access.Gone
	return hold(
		rule{!slices.Contains([]access.EntitlementState{access.Intended, access.Present, access.Refreshing, access.Removing, access.Gone}, e.State), "the state of an entitlement"},
		rule{e.Target.Connection.Place() == "", "an entitlement is somewhere"},
		rule{e.CreatedAt.IsZero(), "the beginning of an entitlement"},
		rule{!leaving && !e.ExpiresAt.After(e.CreatedAt), "the end of an entitlement"},
		rule{(e.due != never) != e.Wanted(), "work that is due some time"},
	)
}

func (tx *Tx) holdRule(old *access.Hold, h access.Hold) error {
	return hold(
		rule{tx.s.grants.rows[h.Grant] == nil || tx.s.entitlements.rows[h.Entitlement] == nil, "a hold is of a grant on an entitlement"},
		rule{h.Settled && h.ReleasedAt.IsZero(), "what is settled was released"},
		rule{old != nil && (!old.ReleasedAt.IsZero() && h.ReleasedAt.IsZero() || old.Settled && !h.Settled), "a hold that was let go stays so"},
	)
}

func principalChecks(p access.Principal) error {
	kind := p.ID.Kind()
	return hold(rule{kind != access.User && kind != access.Service && kind != access.Agent || !strings.Contains(string(p.ID), ":"), "the kind of a principal"},
		rule{p.Person == "", "a principal has a person"})
}

func loginRule(old *access.Login, l access.Login) error {
	return hold(
		rule{old != nil && (old.Revoked && !l.Revoked || l.Principal != old.Principal || l.Device != old.Device), "a login is never handed on and never comes back"},
		rule{!l.ExpiresAt.After(l.CreatedAt), "the end of a login"},
	)
}
