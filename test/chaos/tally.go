package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// tally sums the trials up.
type tally struct {
	trials, asked, granted, sessions, lost int
	due, late                              []time.Duration
	down                                   []time.Duration
	refused                                map[string]int
}

func (a *tally) add(t *trial) {
	a.trials++
	a.asked += t.asked
	a.granted += t.granted
	a.sessions += t.sessions
	a.lost += t.lost
	a.due = append(a.due, t.due...)
	a.late = append(a.late, t.late...)
	a.down = append(a.down, t.down)
	if a.refused == nil {
		a.refused = map[string]int{}
	}
	for code, n := range t.refused {
		a.refused[code] += n
	}
}

func (a *tally) summary(took time.Duration) string {
	return fmt.Sprintf(`chaos: %d trials in %.0f s, no violation
  questions %d, grants %d, sessions %d, calls without an answer %d
  refusals                                  %s
  stintd down                               %s
  due while it was down, gone after ready   %s
  the other accounts, gone after their end  %s
`, a.trials, took.Seconds(), a.asked, a.granted, a.sessions, a.lost, counts(a.refused), spread(a.down), spread(a.due), spread(a.late))
}

// enough refuses a run in which so little went on that it proves nothing.
func (a *tally) enough() error {
	if a.granted < a.trials || a.sessions < a.trials || a.lost == 0 {
		return errors.New("there was too little load to prove anything")
	}
	return nil
}

func worst(ds []time.Duration) time.Duration { return slices.Max(ds) }

// spread writes how many there are and how they are distributed.
func spread(ds []time.Duration) string {
	if len(ds) == 0 {
		return "none"
	}
	ds = slices.Sorted(slices.Values(ds))
	at := func(p int) time.Duration { return ds[min(len(ds)*p/100, len(ds)-1)] }
	return fmt.Sprintf("n %4d   p50 %4d ms   p90 %4d ms   p99 %4d ms   max %4d ms", len(ds),
		at(50).Milliseconds(), at(90).Milliseconds(), at(99).Milliseconds(), ds[len(ds)-1].Milliseconds())
}

// counts writes what there was how often, the most frequent first.
func counts(of map[string]int) string {
	names := slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, of[name])
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
