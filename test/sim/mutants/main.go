// Mutants plants one bug at a time in the product and has simulations find it: an
// oracle that lets a known bug pass is no oracle.
//
// Each mutant of list.go re-creates an incident that other products had, or takes
// one mitigation away. It is an edit of the source by which the simulation is
// built, never of the tree. The seeds of a mutant are run until one is red; how
// many that took is its score. Where no seed is red, every single fault at each
// step of the scenarios is tried. The program fails when a mutant is not caught,
// does not compile, or has gone stale, and when the product itself is red.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// score is what became of one mutant; the file of all of them is what the
// assurance report reads.
type score struct {
	Name   string `json:"name"`
	From   string `json:"from"`
	Caught bool   `json:"caught"`
	// Seeds is how many were run until one was red, this one included.
	Seeds int    `json:"seeds"`
	Seed  uint64 `json:"seed,omitempty"` // the red one
	// By is the invariant that did not hold, or how else it showed.
	By      string  `json:"by,omitempty"`
	Said    string  `json:"said,omitempty"`
	Seconds float64 `json:"seconds"`
	Failed  string  `json:"failed,omitempty"` // why it could not be run
}

type report struct {
	Mutants int `json:"mutants"`
	Caught  int `json:"caught"`
	Budget  int `json:"seedBudget"`
	// Red are seeds that are red without a mutant too; they count for none.
	Red     []uint64 `json:"red,omitempty"`
	Seconds float64  `json:"seconds"`
	Scores  []score  `json:"scores"`
}

func main() {
	var (
		seeds = flag.Int("seeds", 12, "the most seeds for one mutant")
		first = flag.Uint64("first", 1, "the first of the seeds")
		jobs  = flag.Int("jobs", 2, "how many mutants at a time")
		only  = flag.String("only", "", "only mutants whose name contains this")
		out   = flag.String("out", "", "write the scores here, as JSON")
		into  = flag.String("record", "", "write the scores of all mutants into this page")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *seeds, *first, *jobs, *only, *out, *into); err != nil {
		fmt.Fprintln(os.Stderr, "sim-mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, seeds int, first uint64, jobs int, only, out, page string) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "stint-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	r := runner{root: root, folder: folder}
	for i := range seeds {
		r.seeds = append(r.seeds, first+uint64(i))
	}
	began := time.Now()

	var todo []mutant
	for _, m := range mutants {
		if _, err := m.sources(root); err != nil {
			return err // before anything runs: a stale list proves nothing
		}
		if strings.Contains(m.name, only) {
			todo = append(todo, m)
		}
	}
	red, err := r.baseline(ctx)
	if err != nil {
		return err
	}

	rep := report{Mutants: len(todo), Budget: seeds, Red: red}
	next := make(chan mutant)
	go func() {
		defer close(next)
		for _, m := range todo {
			next <- m
		}
	}()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range jobs {
		wg.Go(func() {
			for m := range next {
				s := r.try(ctx, m)
				mu.Lock()
				rep.Scores = append(rep.Scores, s)
				fmt.Println(s)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	slices.SortFunc(rep.Scores, func(a, b score) int { return cmp.Compare(place(a.Name), place(b.Name)) })
	var missed []string
	for _, s := range rep.Scores {
		if s.Caught {
			rep.Caught++
		} else {
			missed = append(missed, s.Name)
		}
	}
	rep.Seconds = time.Since(began).Seconds()
	fmt.Printf("%d of %d mutants caught, in %.0f s\n", rep.Caught, rep.Mutants, rep.Seconds)
	if out != "" {
		b, err := json.MarshalIndent(rep, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(out, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	if page != "" && only == "" {
		if err := rep.record(page); err != nil {
			return err
		}
	}
	if len(red) > 0 {
		return fmt.Errorf("the product itself is red for the seeds %v; see make sim SEED=%d", red, red[0])
	}
	if len(missed) > 0 {
		return fmt.Errorf("not caught: %s", strings.Join(missed, ", "))
	}
	return nil
}

func place(name string) int {
	return slices.IndexFunc(mutants, func(m mutant) bool { return m.name == name })
}

func (s score) String() string {
	switch {
	case s.Failed != "":
		return fmt.Sprintf("FAILED  %-28s %s", s.Name, s.Failed)
	case !s.Caught:
		return fmt.Sprintf("MISSED  %-28s %d seeds, %.0f s; %s", s.Name, s.Seeds, s.Seconds, s.From)
	}
	return fmt.Sprintf("caught  %-28s after %2d, by %-10s %.0f s", s.Name, s.Seeds, s.By, s.Seconds)
}

// runner builds and runs simulations.
type runner struct {
	root, folder string
	seeds        []uint64
	singles      bool // they are green without a mutant
}

// baseline runs the seeds without a mutant. Only those that are green then can say
// anything about one.
func (r *runner) baseline(ctx context.Context) (red []uint64, err error) {
	binary, err := r.build(ctx, mutant{name: "none"})
	if err != nil {
		return nil, err
	}
	defer os.Remove(binary)
	var green []uint64
	for _, seed := range r.seeds {
		if said := r.seed(ctx, binary, seed); said != "" {
			fmt.Printf("seed %d is red without a mutant: %s\n", seed, said)
			red = append(red, seed)
		} else {
			green = append(green, seed)
		}
	}
	if r.seeds = green; len(green) == 0 {
		return red, errors.New("no seed is green without a mutant, so nothing can be said of one")
	}
	_, failed := r.test(ctx, binary, "^TestSingles$", "-test.failfast")
	r.singles = failed == nil
	fmt.Printf("%d seeds are green without a mutant; single faults: %t\n", len(green), r.singles)
	return red, ctx.Err()
}

// try runs one mutant until a seed is red, or the budget is used up.
func (r runner) try(ctx context.Context, m mutant) (s score) {
	s = score{Name: m.name, From: m.from}
	began := time.Now()
	defer func() { s.Seconds = time.Since(began).Seconds() }()
	binary, err := r.build(ctx, m)
	if err != nil {
		s.Failed = err.Error()
		return s
	}
	defer os.Remove(binary)
	for i, seed := range r.seeds {
		s.Seeds = i + 1
		if said := r.seed(ctx, binary, seed); said != "" {
			s.Caught, s.Seed, s.Said = ctx.Err() == nil, seed, said
			s.By, _, _ = strings.Cut(said, ":")
			return s
		}
	}
	if !r.singles {
		return s
	}
	if out, err := r.test(ctx, binary, "^TestSingles$", "-test.failfast"); err != nil && ctx.Err() == nil {
		s.Caught, s.By, s.Said = true, "singles", tail(out)
	}
	return s
}

// build builds the simulation with a mutant in it.
func (r runner) build(ctx context.Context, m mutant) (binary string, err error) {
	folder := filepath.Join(r.folder, m.name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	overlay, err := m.overlay(r.root, folder)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(folder, "sim.test")
	c := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "-overlay", overlay, "./test/sim")
	c.Dir = r.root
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not build: %v\n%s", err, out)
	}
	return binary, nil
}

// seed runs one seed and says what was wrong; empty when nothing was.
func (r runner) seed(ctx context.Context, binary string, seed uint64) string {
	out, err := r.test(ctx, binary, "^TestShard$", fmt.Sprint("-sim.shard=", seed))
	for line := range strings.Lines(out) {
		text, ok := strings.CutPrefix(line, "sim result: ")
		if !ok {
			continue
		}
		var result struct {
			Failure string `json:"failure"`
		}
		if err := json.Unmarshal([]byte(text), &result); err != nil {
			return "result: " + err.Error()
		}
		return result.Failure
	}
	if err == nil {
		err = errors.New("the simulation gave no result")
	}
	return "crash: " + err.Error() + ": " + tail(out)
}

func (r runner) test(ctx context.Context, binary, test string, more ...string) (string, error) {
	c := exec.CommandContext(ctx, binary, append([]string{"-test.run", test, "-test.timeout", "3m"}, more...)...)
	c.Dir = filepath.Join(r.root, "test/sim")
	out, err := c.CombinedOutput()
	return string(out), err
}

func tail(s string) string {
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-600):]
}
