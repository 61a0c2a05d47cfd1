package simstore

import (
	"maps"
	"slices"

	"stint/internal/access"
)

// What the store keeps and what it gives are copies, and empty lists and maps
// come back as nil, as from the bodies of the real store.

func list[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return slices.Clone(s)
}

func dict[K comparable, V any](m map[K]V) map[K]V {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}

func cloneTarget(t access.Target) access.Target {
	t.Connection.Options = dict(t.Connection.Options)
	return t
}

func cloneTargets(ts []access.Target) []access.Target {
	all := make([]access.Target, len(ts))
	for i, t := range ts {
		all[i] = cloneTarget(t)
	}
	return all
}

func clonePermissions(p access.Permissions) access.Permissions {
	p.Rights, p.Options = list(p.Rights), dict(p.Options)
	return p
}

// cloneRequest copies a request without its votes.
func cloneRequest(r access.Request) access.Request {
	r.SealKey, r.Targets, r.Permissions = list(r.SealKey), cloneTargets(r.Targets), clonePermissions(r.Permissions)
	r.Start, r.CreatedAt, r.ExpiresAt, r.DecidedAt = instant(r.Start), instant(r.CreatedAt), instant(r.ExpiresAt), instant(r.DecidedAt)
	r.Decision.Reasons, r.Decision.Approvals = list(r.Decision.Reasons), list(r.Decision.Approvals)
	for i := range r.Decision.Approvals {
		q := &r.Decision.Approvals[i]
		q.From, q.EscalateTo = list(q.From), list(q.EscalateTo)
	}
	r.Escalated, r.RemindedAt, r.Remarks = list(r.Escalated), instant(r.RemindedAt), list(r.Remarks)
	for i := range r.Remarks {
		r.Remarks[i].At = instant(r.Remarks[i].At)
	}
	r.Approvals = nil
	return r
}

func cloneVote(a access.Approval) access.Approval {
	a.Rights, a.Meets, a.At, a.Assertion = list(a.Rights), list(a.Meets), instant(a.At), cloneAssertion(a.Assertion)
	return a
}

func cloneAssertion(a access.Assertion) access.Assertion {
	a.ClientData, a.AuthenticatorData, a.Signature = list(a.ClientData), list(a.AuthenticatorData), list(a.Signature)
	return a
}

func clonePasskey(p access.Passkey) access.Passkey {
	p.Credential, p.Key, p.Vouchers, p.CreatedAt, p.ExpiresAt = list(p.Credential), list(p.Key), list(p.Vouchers), instant(p.CreatedAt), instant(p.ExpiresAt)
	for i, v := range p.Vouchers {
		p.Vouchers[i].Assertion, p.Vouchers[i].At = cloneAssertion(v.Assertion), instant(v.At)
	}
	return p
}

func cloneVotes(as []access.Approval) []access.Approval {
	if len(as) == 0 {
		return nil
	}
	all := make([]access.Approval, len(as))
	for i, a := range as {
		all[i] = cloneVote(a)
	}
	return all
}

func cloneGrant(g access.Grant) access.Grant {
	g.SealKey, g.Targets, g.Permissions = list(g.SealKey), cloneTargets(g.Targets), clonePermissions(g.Permissions)
	g.CreatedAt, g.StartsAt, g.SetupBy, g.ExpiresAt = instant(g.CreatedAt), instant(g.StartsAt), instant(g.SetupBy), instant(g.ExpiresAt)
	g.ActiveAt, g.EndingAt, g.EndedAt = instant(g.ActiveAt), instant(g.EndingAt), instant(g.EndedAt)
	g.VerifiedGoneAt, g.SeenAt = instant(g.VerifiedGoneAt), instant(g.SeenAt)
	return g
}

func cloneEntitlement(e access.Entitlement) access.Entitlement {
	e.Target, e.Rights, e.Options = cloneTarget(e.Target), list(e.Rights), dict(e.Options)
	e.ExpiresAt, e.CallUntil, e.LostUntil, e.NextAt = instant(e.ExpiresAt), instant(e.CallUntil), instant(e.LostUntil), instant(e.NextAt)
	e.CreatedAt, e.RemovingAt, e.GoneAt = instant(e.CreatedAt), instant(e.RemovingAt), instant(e.GoneAt)
	return e
}

func clonePrincipal(p access.Principal) access.Principal {
	p.Groups, p.Attributes, p.Identities = list(p.Groups), dict(p.Attributes), list(p.Identities)
	if p.Provided != nil {
		all := make(map[string][]access.Group, len(p.Provided))
		for source, gs := range p.Provided {
			all[source] = list(gs)
		}
		p.Provided = all
	}
	p.Until, p.CreatedAt = instant(p.Until), instant(p.CreatedAt)
	return p
}

func cloneEvent(ev access.Event) access.Event {
	ev.At, ev.Facts = instant(ev.At), dict(ev.Facts)
	return ev
}
