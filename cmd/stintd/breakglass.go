package main

import (
	"context"
	"fmt"
	"time"

	"stint/internal/api"
	"stint/internal/broker"
)

// mostReviewWithin bounds how long break-glass access may wait for its review: later,
// nobody remembers.
const mostReviewWithin = 30 * 24 * time.Hour

func checkGlass(c config, s *settings) error {
	s.reviewWithin = broker.DefaultReviewWithin
	if c.BreakGlass.ReviewWithin == "" {
		return nil
	}
	d, err := api.ParseDuration(c.BreakGlass.ReviewWithin)
	if err != nil || d < time.Hour || d > mostReviewWithin {
		return refuse("bad-review-within", "break_glass.review_within "+c.BreakGlass.ReviewWithin+" is not a duration from 1h to 30d",
			"it is how soon break-glass access should be reviewed", "write it like 24h or 72h, or leave it out")
	}
	s.reviewWithin = d
	return nil
}

// reviewsOf looks whether break-glass access waits for somebody to look at it.
func (p *process) reviewsOf(ctx context.Context, x *examination) {
	open, overdue, err := p.broker.ReviewCounts(ctx)
	switch {
	case err != nil:
		x.broken("reviews", err, "whether break-glass access was looked at is not known")
	case overdue > 0:
		x.warn("reviews", fmt.Sprintf("%d reviews of break-glass access are overdue, %d are open", overdue, open),
			"nobody has said whether that access was justified", "another person than who broke the glass runs stint reviews, then stint review ID --finding … --note …")
	default:
		x.ok("reviews", fmt.Sprintf("%d reviews of break-glass access are open, none is overdue", open))
	}
}
