package simstore

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"stint/internal/access"
)

func cloneReview(v access.Review) access.Review {
	v.Openers, v.Codes = list(v.Openers), list(v.Codes)
	v.OpenedAt, v.DueAt, v.RemindAt, v.ClosedAt = instant(v.OpenedAt), instant(v.DueAt), instant(v.RemindAt), instant(v.ClosedAt)
	return v
}

// SaveReviews writes reviews.
func (tx *Tx) SaveReviews(vs ...access.Review) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, v := range vs {
		old, there := tx.s.reviews[v.ID]
		switch {
		case !there && v.Version != 1 || there && !follows(v.Version, old.Version):
			return tx.fail(changed("review", v.ID, v.Version))
		case there && (v.Request != old.Request || v.Grant != old.Grant || v.Person != old.Person || v.Resource != old.Resource || !v.OpenedAt.Equal(old.OpenedAt)):
			return tx.fail(changed("review", v.ID, v.Version))
		}
		if err := reviewRule(tx.s, v, old, there); err != nil {
			return tx.fail(err)
		}
		putKey(tx, tx.s.reviews, v.ID, cloneReview(v))
	}
	return nil
}

func reviewRule(s *Store, v, old access.Review, there bool) error {
	closed := v.State == access.ReviewClosed
	return hold(
		rule{!there && v.State != access.ReviewOpen, "a review begins open"},
		rule{there && old.State == access.ReviewClosed, "a closed review stays as it is"},
		rule{s.requests.rows[v.Request] == nil || s.grants.rows[v.Grant] == nil, "a review is of a request and its grant"},
		rule{closed != (v.CloserPerson != "") || closed != (v.Finding != "") || closed != v.RemindAt.IsZero(), "a review is closed by somebody, with a finding"},
		rule{v.CloserPerson == v.Person, "nobody reviews what they did themselves"},
	)
}

// reviewsWhere lists copies of those that ok takes, the newest first.
func (tx *Tx) reviewsWhere(ok func(access.Review) bool) (found []access.Review, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for v := range maps.Values(tx.s.reviews) {
		if ok(v) {
			found = append(found, cloneReview(v))
		}
	}
	slices.SortFunc(found, func(a, b access.Review) int { return cmp.Compare(b.ID, a.ID) })
	return found, nil
}

// Reviews lists reviews, newest first.
func (tx *Tx) Reviews(q access.ReviewQuery) ([]access.Review, error) {
	found, err := tx.reviewsWhere(func(v access.Review) bool {
		return (q.State == "" || v.State == q.State) && (q.Person == "" || v.Person == q.Person) &&
			(q.Resource == "" || v.Resource == q.Resource) && (q.Before == "" || v.ID < q.Before)
	})
	return found[:min(len(found), limited(q.Limit, 100, 1000))], err
}

// DueReviews are open ones whose RemindAt has come, the longest due first.
func (tx *Tx) DueReviews(limit int) ([]access.Review, error) {
	found, err := tx.reviewsWhere(func(v access.Review) bool { return !v.RemindAt.IsZero() && !v.RemindAt.After(tx.now) })
	slices.SortFunc(found, func(a, b access.Review) int {
		return cmp.Or(a.RemindAt.Compare(b.RemindAt), cmp.Compare(a.ID, b.ID))
	})
	return found[:min(len(found), limit)], err
}

// FindReview resolves a full or partial id.
func (tx *Tx) FindReview(prefix string) (access.Review, error) {
	id := strings.TrimPrefix(strings.ToUpper(prefix), "REV_")
	if id == "" || len(id) > 26 || strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return access.Review{}, missing("review")
	}
	found, err := tx.reviewsWhere(func(v access.Review) bool { return strings.HasPrefix(string(v.ID), "rev_"+id) })
	switch {
	case err != nil:
		return access.Review{}, err
	case len(found) == 0:
		return access.Review{}, missing("review")
	case len(found) > 1:
		return access.Review{}, access.Fail(access.Conflict, "ambiguous-id", "more than one review begins like this").Try("give more of the id")
	}
	return found[0], nil
}
