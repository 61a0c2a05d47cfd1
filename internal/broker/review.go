package broker

import (
	"context"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// DefaultReviewWithin is how soon after it was opened break-glass access should be
// reviewed, where the configuration does not say.
const DefaultReviewWithin = 72 * time.Hour

const (
	// reviewEvery is how often overdue reviews are looked for, and reviewBatch how many of
	// them are called to mind in one transaction.
	reviewEvery = time.Minute
	reviewBatch = 100
	// reviewsCounted is how many open reviews are counted at most.
	reviewsCounted = 1000
)

var errNoReview = access.Fail(access.NotFound, "not-found", "there is no such review, or it is not yours to see").
	Try("stint reviews lists those that wait, and with --all the others")

// ReviewView is a review, and what the caller may do with it.
type ReviewView struct {
	access.Review
	Mine bool // theirs to close, as far as rights go
	Now  time.Time
}

// reviewsLooked is how many reviews are looked at for one page: whose they are to see is
// worked out from what their readers own now.
const reviewsLooked = 1000

// Reviews lists reviews of break-glass access, newest first. Administrators and auditors
// see all, owners those of what they own, everybody those of what they did themselves. It
// gives where those begin that it has not looked at; empty after the last.
func (b *Broker) Reviews(ctx context.Context, c Caller, q access.ReviewQuery) (vs []ReviewView, next access.ReviewID, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		vs, next = nil, ""
		set := b.documentsOrNone(tx)
		page := q
		page.Limit = min(q.Limit+1, 1000)
		for looked := 0; ; {
			rs, err := tx.Reviews(page)
			if err != nil {
				return err
			}
			for _, v := range rs {
				if !c.seesReview(set, v) {
					continue
				}
				if len(vs) == q.Limit {
					next = vs[q.Limit-1].ID
					return nil
				}
				vs = append(vs, ReviewView{v, c.closes(set, v), tx.Now()})
			}
			if len(rs) < page.Limit {
				return nil
			}
			page.Before = rs[len(rs)-1].ID
			if looked += len(rs); looked >= reviewsLooked {
				next = page.Before
				return nil
			}
		}
	})
	return vs, next, err
}

// Review shows one review, by its id or an unambiguous beginning of it.
func (b *Broker) Review(ctx context.Context, c Caller, id string) (v ReviewView, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		set := b.documentsOrNone(tx)
		r, err := findReview(tx, c, set, id)
		v = ReviewView{r, c.closes(set, r), tx.Now()}
		return err
	})
	return v, err
}

// CloseReview records what another person than those who broke the glass found: an owner
// of the resource, an auditor or an administrator. It needs no target and no certainty
// about time, and is open while grants are stopped.
func (b *Broker) CloseReview(ctx context.Context, c Caller, id string, f access.Finding, note string) (v ReviewView, err error) {
	if c.Glass != nil {
		return v, errGlassOnly
	}
	err = b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		closer, err := tx.Principal(c.Principal.ID) // as they are now, not as they were at the door
		if err != nil {
			return err
		}
		c.Principal = closer
		set := b.documentsOrNone(tx)
		r, err := findReview(tx, c, set, id)
		if err != nil {
			return err
		}
		if r.Person != closer.Person && !c.reviews(set, r) {
			return access.Fail(access.Denied, "not-yours", "reviews are for owners of the resource, auditors and administrators")
		}
		closed, ev, err := r.Close(closer, c.Actor, f, note, tx.Now())
		if err != nil {
			return err
		}
		fx.reviews = append(fx.reviews, closed)
		fx.event(ev)
		v = ReviewView{closed, false, tx.Now()}
		return nil
	})
	return v, err
}

func findReview(tx Tx, c Caller, set *policy.Set, id string) (access.Review, error) {
	r, err := tx.FindReview(id)
	if missing(err) || err == nil && !c.seesReview(set, r) {
		err = errNoReview // in the same words as for what is not theirs
	}
	return r, err
}

func (c Caller) seesReview(set *policy.Set, v access.Review) bool {
	if c.Glass != nil { // what it opened itself
		return len(v.Codes) > 0 && slices.Equal(v.Codes, c.Glass.Codes)
	}
	return v.Person == c.Principal.Person || c.reviews(set, v)
}

// reviews reports whether it is for the likes of the caller to review.
func (c Caller) reviews(set *policy.Set, v access.Review) bool {
	return c.Principal.Admin || c.Principal.Auditor || c.owns(set, v.Resource)
}

// closes reports whether the caller could close the review, were it done.
func (c Caller) closes(set *policy.Set, v access.Review) bool {
	_, _, err := v.Close(c.Principal, c.Actor, access.Unjustified, "-", v.OpenedAt)
	return err == nil && c.reviews(set, v)
}

// ReviewCounts says how many reviews are open, and how many of these nobody closed in
// time; a thousand are counted at most.
func (b *Broker) ReviewCounts(ctx context.Context) (open, overdue int, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		open, overdue = 0, 0
		rs, err := tx.Reviews(access.ReviewQuery{State: access.ReviewOpen, Limit: reviewsCounted})
		for _, v := range rs {
			open++
			if v.Overdue(tx.Now()) {
				overdue++
			}
		}
		return err
	})
	return open, overdue, err
}

// watchReviews calls overdue reviews to mind, each once a day whichever replica does.
func (b *Broker) watchReviews(ctx context.Context) {
	every(ctx, reviewEvery, func() {
		for ctx.Err() == nil {
			n, err := b.remindReviews(ctx)
			if err != nil {
				b.storeTrouble(ctx, "looking for overdue reviews", err)
			}
			if n < reviewBatch {
				return
			}
		}
	})
}

func (b *Broker) remindReviews(ctx context.Context) (n int, err error) {
	var due []access.Review
	err = b.Store.View(ctx, func(tx Tx) (err error) { due, err = tx.DueReviews(reviewBatch); return err })
	if err != nil || len(due) == 0 {
		return 0, err
	}
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		n = 0
		due, err := tx.DueReviews(reviewBatch)
		if err != nil {
			return err
		}
		for _, v := range due {
			v, ev, err := v.Remind(tx.Now())
			if err != nil {
				return err
			}
			fx.reviews = append(fx.reviews, v)
			fx.event(ev)
			n++
		}
		return nil
	})
	if access.KindOf(err) == access.Conflict {
		return 0, nil // another replica was faster
	}
	if err == nil && n > 0 {
		b.Log.Warn("break-glass access waits for its review", "overdue", n)
	}
	return n, err
}
