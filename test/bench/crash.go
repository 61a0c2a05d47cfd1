package main

import (
	"context"
	"fmt"
	"time"
)

// afterCrash kills stintd while grants are live, lets them expire, and measures
// how long after the start of the next process the last account is gone.
func (b *bench) afterCrash(ctx context.Context, s *scene) error {
	set, err := b.prepare(ctx, s, b.crash, false)
	if err != nil {
		return err
	}
	if err := s.Kill(); err != nil {
		return err
	}
	if err := pause(ctx, time.Until(set.end)+500*time.Millisecond); err != nil {
		return err
	}
	if have, err := s.oracle.Count(ctx); err != nil || have != b.crash {
		return fmt.Errorf("%d of %d accounts were there while stintd was down: %w", have, b.crash, err)
	}
	began := time.Now()
	ready := make(chan error, 1)
	var took time.Duration
	go func() {
		err := s.Start(ctx)
		took = time.Since(began)
		ready <- err
	}()
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	gone, err := s.watchGone(limit, b.crash, began, 5*time.Millisecond)
	if err != nil {
		return err
	}
	if err := <-ready; err != nil {
		return err
	}
	b.add(row{name: fmt.Sprintf("after a crash, %s expired meanwhile: all gone after the start", group(b.crash)), n: group(b.crash),
		stint: fmt.Sprintf("%s (ready %s)", ms(gone.max()), ms(took)), goal: "≤ 1 s", met: reached(gone.max() <= time.Second)})
	return nil
}
