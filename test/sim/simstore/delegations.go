package simstore

import (
	"cmp"
	"slices"
	"strings"

	"stint/internal/access"
)

func cloneDelegation(d access.Delegation) access.Delegation {
	d.StartsAt, d.EndsAt, d.CreatedAt, d.EndedAt = instant(d.StartsAt), instant(d.EndsAt), instant(d.CreatedAt), instant(d.EndedAt)
	return d
}

// SaveDelegations writes delegations.
func (tx *Tx) SaveDelegations(ds ...access.Delegation) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, d := range ds {
		old, there := tx.s.delegations[d.ID]
		if !there && d.Version != 1 || there && !follows(d.Version, old.Version) {
			return tx.fail(changed("delegation", d.ID, d.Version))
		}
		fixed := d.Principal == old.Principal && d.Person == old.Person && d.To == old.To && d.ToPerson == old.ToPerson && d.StartsAt.Equal(old.StartsAt) && d.EndsAt.Equal(old.EndsAt)
		if there && !fixed {
			return tx.fail(changed("delegation", d.ID, d.Version))
		}
		if err := hold(
			rule{there && !old.EndedAt.IsZero(), "a delegation never changes, and ends once"},
			rule{d.Person == "" || d.ToPerson == "" || d.Person == d.ToPerson, "a delegation is from one person to another"},
			rule{!d.EndsAt.After(d.StartsAt) || d.EndsAt.Sub(d.StartsAt) > access.MaxDelegation, "a delegation has an end"},
		); err != nil {
			return tx.fail(err)
		}
		putKey(tx, tx.s.delegations, d.ID, cloneDelegation(d))
	}
	return nil
}

// Delegations lists delegations, newest first.
func (tx *Tx) Delegations(q access.DelegationQuery) (found []access.Delegation, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, d := range tx.s.delegations {
		if (q.Principal == "" || d.Principal == q.Principal) && (q.To == "" || d.To == q.To) && strings.HasPrefix(string(d.ID), q.Prefix) &&
			(q.Before == "" || d.ID < q.Before) && (!q.Open || d.EndedAt.IsZero() && d.EndsAt.After(tx.now)) {
			found = append(found, cloneDelegation(d))
		}
	}
	slices.SortFunc(found, func(a, b access.Delegation) int { return cmp.Compare(b.ID, a.ID) })
	return found[:min(len(found), limited(q.Limit, 100, 1000))], nil
}

// delegatedRule is what the real store's trigger holds of votes for somebody.
func delegatedRule(r *requestRow, votes []access.Approval, a access.Approval) error {
	return hold(rule{a.ForPerson == a.Person || a.ForPerson != "" && r != nil && a.ForPerson == r.Person ||
		slices.ContainsFunc(votes, func(v access.Approval) bool {
			return v.ForPerson == a.Person || a.ForPerson != "" && (a.ForPerson == v.Person || a.ForPerson == v.ForPerson)
		}), "a person has one vote, whoever gives it"})
}
