package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// sample is a number of measured times.
type sample []time.Duration

// at is the p-th quantile, the nearest rank: of 100 values, at(0.99) is the 99th.
func (s sample) at(p float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := int(p*float64(len(sorted)) + 0.999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func (s sample) p50() time.Duration { return s.at(0.5) }
func (s sample) p99() time.Duration { return s.at(0.99) }
func (s sample) max() time.Duration { return s.at(1) }

// work is what some clients did in some time.
type work struct {
	times sample
	took  time.Duration
	cpu   time.Duration // of stintd, or of the bench for the bare statement
}

func (w *work) join(o work) {
	w.times = append(w.times, o.times...)
	w.took += o.took
	w.cpu += o.cpu
}

// rate is how many were done in a second.
func (w work) rate() float64 { return float64(len(w.times)) / w.took.Seconds() }

// repeat lets clients do op over and over for as long as d.
func repeat(ctx context.Context, clients int, d time.Duration, op func(ctx context.Context, client, n int) error) (work, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var all work
	var failed error
	begin := time.Now()
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			var mine sample
			for n := 0; time.Since(begin) < d && ctx.Err() == nil; n++ {
				at := time.Now()
				if err := op(ctx, c, n); err != nil {
					mu.Lock()
					if failed == nil {
						failed = err
					}
					mu.Unlock()
					cancel()
					return
				}
				mine = append(mine, time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			all.times = append(all.times, mine...)
		})
	}
	wg.Wait()
	all.took = time.Since(begin)
	return all, failed
}

// share lets clients do op for each of 0 … n-1, once.
func share(ctx context.Context, clients, n int, op func(ctx context.Context, client, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan int)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range jobs {
				if err := op(ctx, c, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	for i := range n {
		select {
		case jobs <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(jobs)
	wg.Wait()
	return context.Cause(ctx)
}

// ms writes a time in milliseconds, with as many digits as mean something.
func ms(d time.Duration) string {
	switch v := float64(d) / 1e6; {
	case v < 10:
		return fmt.Sprintf("%.2f ms", v)
	case v < 100:
		return fmt.Sprintf("%.1f ms", v)
	default:
		return fmt.Sprintf("%.0f ms", v)
	}
}

func pair(s sample) string { return ms(s.p50()) + " / " + ms(s.p99()) }

func times(a, b time.Duration) string {
	if b <= 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}

// group writes a number with its thousands apart.
func group(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
