package simstore

import (
	"cmp"
	"slices"
	"strings"

	"stint/internal/access"
)

// GrantsByEnd lists grants of one principal in one state that is not over, what ends first first.
func (tx *Tx) GrantsByEnd(q access.EndQuery) (found []access.Grant, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	past := func(g access.Grant) bool {
		if g.State == access.Ended || g.State == access.Failed {
			return false
		}
		ends := cmp.Compare(g.ExpiresAt.UnixMilli(), q.After.ExpiresAt.UnixMilli())
		return q.After.ExpiresAt.IsZero() || ends > 0 || ends == 0 && g.ID > q.After.Grant
	}
	for _, r := range tx.s.grants.rows {
		if r.Principal == q.Principal && r.State == q.State && past(r.Grant) {
			found = append(found, cloneGrant(r.Grant))
		}
	}
	slices.SortFunc(found, func(a, b access.Grant) int {
		return cmp.Or(cmp.Compare(a.ExpiresAt.UnixMilli(), b.ExpiresAt.UnixMilli()), cmp.Compare(a.ID, b.ID))
	})
	return found[:min(len(found), limited(q.Limit, 100, 1000))], nil
}

// LiveCounts counts the grants that are not over.
func (tx *Tx) LiveCounts(q access.LiveQuery) (out []access.LiveCount, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	counts, left := map[access.LiveCount]int{}, limited(q.Limit, 1000, 100_000)
	for _, r := range tx.s.grants.rows {
		if !r.Over() && (q.Principal == "" || r.Principal == q.Principal) && left > 0 {
			counts[access.LiveCount{Principal: r.Principal, State: r.State}]++
			left--
		}
	}
	for c, n := range counts {
		c.N = n
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b access.LiveCount) int {
		return cmp.Or(strings.Compare(string(a.Principal), string(b.Principal)), strings.Compare(string(a.State), string(b.State)))
	})
	return out, nil
}
