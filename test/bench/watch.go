package main

import (
	"context"
	"fmt"
	"time"
)

// wait returns when the target has n accounts.
func (s *scene) wait(ctx context.Context, n int, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		have, err := s.oracle.Count(ctx)
		if err != nil {
			return fmt.Errorf("%d of %d accounts were there in time; raise -slack: %w", have, n, err)
		}
		if have >= n {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d accounts were there in time; raise -slack", have, n)
		}
	}
}

// watchGone looks at the target until none of n accounts is left, and gives
// how long after end each was first found missing. All end at the same moment,
// so it does not matter which they are.
func (s *scene) watchGone(ctx context.Context, n int, end time.Time, every time.Duration) (sample, error) {
	if err := pause(ctx, time.Until(end)-20*time.Millisecond); err != nil {
		return nil, err
	}
	var gone sample
	for len(gone) < n {
		have, err := s.oracle.Count(ctx)
		if err != nil {
			return nil, fmt.Errorf("%d of %d accounts are gone: %w", len(gone), n, err)
		}
		late := time.Since(end)
		if have < n && late < 0 {
			return nil, fmt.Errorf("an account was gone %s before its end", -late)
		}
		for len(gone) < n-have {
			gone = append(gone, late)
		}
		if err := pause(ctx, every); err != nil {
			return nil, fmt.Errorf("%d of %d accounts are gone: %w", len(gone), n, err)
		}
	}
	return gone, nil
}

// goneAt is when each account was first found missing.
type goneAt struct {
	at  map[string]time.Time
	err error
}

// watchEach watches accounts whose names come one by one, n in all.
func (s *scene) watchEach(ctx context.Context, n int, names <-chan string) goneAt {
	found := goneAt{at: map[string]time.Time{}}
	watched := map[string]bool{}
	for len(found.at) < n {
		for more := true; more; {
			select {
			case name := <-names:
				watched[name] = true
			default:
				more = false
			}
		}
		have, err := s.oracle.Accounts(ctx)
		if err != nil {
			found.err = err
			return found
		}
		now, there := time.Now(), map[string]bool{}
		for _, name := range have {
			there[name] = true
		}
		for name := range watched {
			if !there[name] {
				found.at[name] = now
				delete(watched, name)
			}
		}
		if err := pause(ctx, 3*time.Millisecond); err != nil {
			found.err = err
			return found
		}
	}
	return found
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
