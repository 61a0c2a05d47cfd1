package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/test/evidence"
)

// TestSingles tries every single fault at each step of the six scenarios.
func TestSingles(t *testing.T) {
	if *shardFlag != "" || *seedFlag != 0 || *pairsFlag != 0 {
		t.Skip("only in an ordinary run of the tests")
	}
	e := evidence.New("sim-singles", "simulation", "make sim")
	e.Invariants = oracles
	total := 0
	did := make([]single, len(scenarios))
	next := make(chan int)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := range next {
				if err := process("^TestSingle$", scenarios[i].name, &did[i]); err != nil {
					did[i].Failures = append(did[i].Failures, err.Error())
				}
			}
		})
	}
	for i := range scenarios {
		next <- i
	}
	close(next)
	wg.Wait()
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			d := did[i]
			for _, f := range d.Failures {
				t.Error(f)
			}
			if d.Runs == 0 {
				t.Error("nothing was tried")
			}
			total += d.Runs
			e.Count(s.name+": steps", float64(d.Steps), "")
			e.Count(s.name+": runs with one fault", float64(d.Runs), "")
			t.Logf("%s: %d steps, %d single faults", s.name, d.Steps, d.Runs)
		})
	}
	t.Logf("%d runs", total)
	e.Passed = !t.Failed()
	keep(t, e)
}

// single is what one scenario came to.
type single struct {
	Steps, Runs int
	Failures    []string
}

// TestSingle is one process of TestSingles, for one scenario.
func TestSingle(t *testing.T) {
	at := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == *shardFlag })
	if at < 0 {
		t.Skip("only as a child of TestSingles")
	}
	s := scenarios[at]
	var d single
	if r, ops := story(t, s, nil); r.Failure != "" {
		d.Failures = append(d.Failures, failed(s, nil, r))
	} else {
		d.Steps = len(ops)
		for i, op := range ops {
			if testing.Short() && i%9 != 4 {
				continue
			}
			for _, f := range trials(op) {
				d.Runs++
				faults := map[int64]fault{int64(i + 1): f}
				if r, _ := story(t, s, faults); r.Failure != "" {
					d.Failures = append(d.Failures, failed(s, faults, r))
				}
			}
		}
	}
	report(t, d)
}

// TestPairs is `make sim-pairs`: two faults at two steps of the short scenarios, in
// an order that spreads over all pairs, until the time is up.
func TestPairs(t *testing.T) {
	if *pairsFlag == 0 {
		t.Skip("say for how long with -sim.pairs")
	}
	began := time.Now()
	type trial struct {
		s      scenario
		faults map[int64]fault
	}
	var all []trial
	for _, s := range scenarios {
		if !s.short {
			continue
		}
		ops := plain(t, s)
		for i := range ops {
			for j := i + 1; j < len(ops); j++ {
				for _, f := range trials(ops[i]) {
					for _, g := range trials(ops[j]) {
						all = append(all, trial{s, map[int64]fault{int64(i + 1): f, int64(j + 1): g}})
					}
				}
			}
		}
	}
	// A step that has no divisor in common with the number visits each pair once.
	stride := len(all)*5/8 | 1
	for gcd(stride, len(all)) != 1 {
		stride += 2
	}
	n := 0
	for k := 0; n < len(all) && time.Since(began) < *pairsFlag; k = (k + stride) % len(all) {
		try(t, all[k].s, all[k].faults)
		n++
	}
	e := evidence.New("sim-pairs", "simulation", "make sim-pairs")
	e.Passed, e.Invariants = !t.Failed(), oracles
	e.Count("pairs tried", float64(n), "")
	e.Count("pairs there are", float64(len(all)), "")
	e.Seconds = time.Since(began).Seconds()
	keep(t, e)
	t.Logf("%d of %d pairs in %.0f s", n, len(all), time.Since(began).Seconds())
}

func keep(t *testing.T, r evidence.Result) {
	if err := r.Write(*keepFlag); err != nil {
		t.Error(err)
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// plain plays a scenario without faults, and gives the operations up to the end of
// the story: what comes after are idle sweeps.
func plain(t *testing.T, s scenario) []string {
	t.Helper()
	r, ops := story(t, s, nil)
	if r.Failure != "" {
		t.Fatal(failed(s, nil, r))
	}
	return ops
}

// story plays a scenario with these faults.
func story(t *testing.T, s scenario, faults map[int64]fault) (r Result, ops []string) {
	bubble(t, func() Result { r, ops = enact(s, faults, tracing{}); return r })
	return r, ops
}

func failed(s scenario, faults map[int64]fault, r Result) string {
	return fmt.Sprintf("%s with %v at commit %s: %s\n%s", s.name, faults, commit(), r.Failure, strings.Join(last(r.Tail, 60), "\n"))
}

func try(t *testing.T, s scenario, faults map[int64]fault) {
	t.Helper()
	if r, _ := story(t, s, faults); r.Failure != "" {
		t.Error(failed(s, faults, r))
	}
}
