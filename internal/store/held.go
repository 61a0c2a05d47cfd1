package store

import "stint/internal/access"

// notOver is the condition of the index by which both are answered, in its words: the
// databases use an index of part of a table only where the query says what part that is.
const notOver = "state IN ('scheduled', 'provisioning', 'active', 'ending')"

// GrantsByEnd lists grants of one principal in one state that is not over, what ends first
// first. Which they are is found before their bodies are read, by an index alone.
func (tx *Tx) GrantsByEnd(q access.EndQuery) ([]access.Grant, error) {
	ends := int64(-1) // before all
	if !q.After.ExpiresAt.IsZero() {
		ends = q.After.ExpiresAt.UnixMilli()
	}
	p := plan{args: []any{string(q.Principal), string(q.State), ends, string(q.After.Grant)}}
	limit := p.atMost(limited(q.Limit, 100, 1000))
	return list(tx, scanGrant, grantColumns+` WHERE id IN (
		SELECT id FROM grants WHERE `+notOver+` AND principal = $1 AND state = $2 AND (expires_at, id) > ($3, $4) ORDER BY expires_at, id`+limit+`
	) ORDER BY expires_at, id`, p.args...)
}

// LiveCounts counts grants that are not over, by whose they are and their state.
func (tx *Tx) LiveCounts(q access.LiveQuery) ([]access.LiveCount, error) {
	where, args := notOver, []any(nil)
	if q.Principal != "" {
		where, args = where+" AND principal = $1", append(args, string(q.Principal))
	}
	return list(tx, func(row row) (c access.LiveCount, err error) {
		err = row.Scan(&c.Principal, &c.State, &c.N)
		return c, err
	}, "SELECT principal, state, COUNT(*) FROM (SELECT principal, state FROM grants WHERE "+where+first(limited(q.Limit, 1000, 100_000))+") AS live GROUP BY principal, state ORDER BY principal, state", args...)
}
