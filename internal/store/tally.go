package store

import (
	"encoding/json"
	"time"

	"stint/internal/access"
)

// Three months of requests and grants are read by lines, in one query each. The columns
// of a request come before its body, which is not read.

const requestLines = `SELECT r.id, r.principal, r.resource, r.role, r.state, r.extends, r.needed, r.created_at, COALESCE(g.state, ''),
		(SELECT MAX(v.at) FROM votes v WHERE v.request_id = r.id)
	FROM requests r LEFT JOIN grants g ON g.request_id = r.id WHERE r.id >= $1 ORDER BY r.id DESC LIMIT $2`

// RequestLines are the newest requests made since a time, the newest first.
func (tx *Tx) RequestLines(q access.TallyQuery) ([]access.RequestLine, error) {
	return list(tx, func(row row) (l access.RequestLine, err error) {
		var created int64
		var voted *int64
		err = row.Scan(&l.ID, &l.Principal, &l.Resource, &l.Role, &l.State, &l.Extends, &l.Needed, &created, &l.Setup, &voted)
		l.CreatedAt, l.Voted = instant(created), instantOf(voted)
		return l, err
	}, requestLines, string(q.Requests()), int64(limited(q.Limit, 1000, 100_000)))
}

// grantLineBody is what a line needs of a grant's body: decoding all of it for each of
// many thousands takes several times as long.
type grantLineBody struct {
	Targets []struct {
		Resource string `json:"resource"`
		Type     string `json:"type"`
	} `json:"targets"`
	ActiveAt       stamp  `json:"active_at"`
	EndingAt       stamp  `json:"ending_at"`
	VerifiedGoneAt stamp  `json:"verified_gone_at"`
	EndReason      string `json:"end_reason"`
}

// GrantLines are the newest grants that gave access since a time, or that are not over,
// the newest first.
func (tx *Tx) GrantLines(q access.TallyQuery) ([]access.GrantLine, error) {
	return list(tx, func(row row) (access.GrantLine, error) {
		var g access.Grant
		var expires int64
		var text string
		if err := row.Scan(&g.ID, &g.Request, &g.Principal, &g.Role, &g.State, &expires, &text); err != nil {
			return access.GrantLine{}, err
		}
		var b grantLineBody
		if err := json.Unmarshal([]byte(text), &b); err != nil { // of fields that it leaves out; Grant reads them all
			return access.GrantLine{}, unreadable("grant", string(g.ID), err)
		}
		for _, t := range b.Targets {
			g.Targets = append(g.Targets, access.Target{Resource: access.ResourceName(t.Resource), Connection: access.Connection{Type: t.Type}})
		}
		g.ExpiresAt, g.ActiveAt, g.EndingAt, g.VerifiedGoneAt = instant(expires), b.ActiveAt.time(), b.EndingAt.time(), b.VerifiedGoneAt.time()
		g.EndReason = access.EndReason(b.EndReason)
		return g.Line(), nil
	}, `SELECT id, request_id, principal, role, state, expires_at, body FROM grants
		WHERE id >= $1 AND (expires_at >= $2 OR state NOT IN ('ended', 'failed')) ORDER BY id DESC LIMIT $3`,
		string(q.Grants()), millis(q.Since), int64(limited(q.Limit, 1000, 100_000)))
}

// VoteCounts are the approvals of requests made since a time, by who gave them and the day.
func (tx *Tx) VoteCounts(q access.TallyQuery) ([]access.VoteCount, error) {
	return list(tx, func(row row) (c access.VoteCount, err error) {
		err = row.Scan(&c.By, &c.Day, &c.Yes, &c.Quick)
		return c, err
	}, `SELECT v.voter, v.at / 86400000, COUNT(*), CAST(SUM(CASE WHEN v.at - r.created_at < $2 THEN 1 ELSE 0 END) AS BIGINT)
		FROM votes v JOIN requests r ON r.id = v.request_id WHERE v.request_id >= $1 AND v.approve
		GROUP BY v.voter, v.at / 86400000 ORDER BY v.voter, v.at / 86400000`,
		string(q.Requests()), int64(access.QuickVote/time.Millisecond))
}
