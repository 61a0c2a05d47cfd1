package simstore

import (
	"cmp"
	"slices"
	"strings"

	"stint/internal/access"
)

// RequestLines are the newest requests made since a time, the newest first.
func (tx *Tx) RequestLines(q access.TallyQuery) (out []access.RequestLine, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for id := range tx.s.requests.ids.down() {
		if id < string(q.Requests()) || len(out) == limited(q.Limit, 1000, 100_000) {
			break
		}
		r := tx.s.requests.rows[access.RequestID(id)]
		l := access.RequestLine{ID: r.ID, Principal: r.Principal, Role: r.Role, State: r.State, Extends: r.Extends, Needed: int64(r.needed), CreatedAt: r.CreatedAt}
		if len(r.Targets) > 0 {
			l.Resource = r.Targets[0].Resource
		}
		for _, v := range tx.s.requests.votes[r.ID] {
			if v.At.After(l.Voted) {
				l.Voted = v.At
			}
		}
		if g, ok := tx.s.grants.byRequest[r.ID]; ok {
			l.Setup = tx.s.grants.rows[g].State
		}
		out = append(out, l)
	}
	return out, nil
}

// GrantLines are the newest grants that gave access since a time, or that are not over.
func (tx *Tx) GrantLines(q access.TallyQuery) (out []access.GrantLine, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for id := range tx.s.grants.ids.down() {
		if id < string(q.Grants()) || len(out) == limited(q.Limit, 1000, 100_000) {
			break
		}
		if g := tx.s.grants.rows[access.GrantID(id)]; !g.Over() || g.ExpiresAt.UnixMilli() >= q.Since.UnixMilli() {
			out = append(out, g.Line())
		}
	}
	return out, nil
}

// VoteCounts are the approvals of requests made since a time, by who gave them and the day.
func (tx *Tx) VoteCounts(q access.TallyQuery) ([]access.VoteCount, error) {
	if tx.err != nil {
		return nil, tx.err
	}
	found := map[access.VoteCount]*access.VoteCount{}
	for id, votes := range tx.s.requests.votes {
		for _, v := range votes {
			if id < q.Requests() || !v.Approve {
				continue
			}
			k := access.VoteCount{By: v.By, Day: v.At.UnixMilli() / 86_400_000}
			if found[k] == nil {
				found[k] = &access.VoteCount{By: k.By, Day: k.Day}
			}
			found[k].Yes++
			if v.At.Sub(tx.s.requests.rows[id].CreatedAt) < access.QuickVote {
				found[k].Quick++
			}
		}
	}
	var out []access.VoteCount
	for _, c := range found {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b access.VoteCount) int {
		return cmp.Or(strings.Compare(string(a.By), string(b.By)), cmp.Compare(a.Day, b.Day))
	})
	return out, nil
}
