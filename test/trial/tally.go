package trial

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"stint/test/evidence"
)

// Tally sums trials up.
type Tally struct {
	trials, asked, granted, sessions, lost int
	ended, unended                         int
	due, late                              []time.Duration
	down, quiet                            []time.Duration
	refused                                map[string]int
	violated                               []string
}

// Add counts a trial in.
func (a *Tally) Add(t *Trial) {
	a.trials++
	a.asked += t.asked
	a.granted += t.granted
	a.sessions += t.sessions
	a.lost += t.lost
	a.ended += t.ended
	a.unended += t.unended
	a.due = append(a.due, t.due...)
	a.late = append(a.late, t.late...)
	a.down = append(a.down, t.down)
	a.quiet = append(a.quiet, t.quiet)
	a.violated = append(a.violated, t.Violations...)
	if a.refused == nil {
		a.refused = map[string]int{}
	}
	for code, n := range t.refused {
		a.refused[code] += n
	}
}

// Summary is what a person reads at the end.
func (a *Tally) Summary(took time.Duration) string {
	return fmt.Sprintf(`%d trials in %.0f s, %d violations
  questions %d, grants %d, sessions %d, calls without an answer %d, calls that end access %d (%d failed)
  refusals                                  %s
  from the blow until it was mended         %s
  due while it was down, gone after ready   %s
  the other accounts, gone after their end  %s
  all gone and recorded after the last end  %s
`, a.trials, took.Seconds(), len(a.violated), a.asked, a.granted, a.sessions, a.lost, a.ended, a.unended, counts(a.refused), spread(a.down), spread(a.due), spread(a.late), spread(a.quiet))
}

// Enough refuses a run in which so little went on that it proves nothing.
func (a *Tally) Enough() error {
	if a.granted < a.trials || a.sessions < a.trials || a.lost == 0 {
		return errors.New("there was too little load to prove anything")
	}
	return nil
}

// Result puts the figures into a result.
func (a *Tally) Result(r *evidence.Result) {
	r.Passed, r.Violated = len(a.violated) == 0 && a.Enough() == nil, a.violated
	r.Invariants = []string{"I-01", "I-02", "I-03", "I-04", "I-05", "I-06", "I-14", "I-15", "I-17", "I-28", "L-01", "L-02", "L-03"}
	r.Count("trials", float64(a.trials), "")
	r.Goal("violations", float64(len(a.violated)), "", "0", len(a.violated) == 0, "")
	r.Count("grants", float64(a.granted), "")
	r.Count("sessions", float64(a.sessions), "")
	r.Count("calls without an answer", float64(a.lost), "")
	r.Count("calls that end access", float64(a.ended), "")
	r.Count("of these, failed", float64(a.unended), "")
	for _, f := range []struct {
		name string
		of   []time.Duration
	}{{"from the blow until it was mended", a.down}, {"due meanwhile, gone after that", a.due}, {"other accounts, gone after their end", a.late}} {
		if len(f.of) > 0 {
			r.Count(f.name+", p50", ms(at(f.of, 50)), "ms")
			r.Count(f.name+", worst", ms(worst(f.of)), "ms")
		}
	}
	if len(a.quiet) > 0 {
		r.Goal("everything gone and recorded after the last end, worst", ms(worst(a.quiet)), "ms", "<= 5000 ms", worst(a.quiet) <= quiet, "")
	}
}

func ms(d time.Duration) float64 { return float64(d.Milliseconds()) }

func at(ds []time.Duration, percent int) time.Duration {
	ds = slices.Sorted(slices.Values(ds))
	return ds[min(len(ds)*percent/100, len(ds)-1)]
}

func worst(ds []time.Duration) time.Duration { return slices.Max(ds) }

// spread writes how many there are and how they are distributed.
func spread(ds []time.Duration) string {
	if len(ds) == 0 {
		return "none"
	}
	return fmt.Sprintf("n %4d   p50 %4d ms   p90 %4d ms   p99 %4d ms   max %4d ms", len(ds),
		at(ds, 50).Milliseconds(), at(ds, 90).Milliseconds(), at(ds, 99).Milliseconds(), worst(ds).Milliseconds())
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
