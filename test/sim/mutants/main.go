// Mutants plants one bug at a time in the product and has simulations find it: an
// oracle that lets a known bug pass is no oracle.
//
// Each mutant of list.go re-creates an incident that other products had, or takes
// one mitigation away. It is an edit of the source by which the simulation is
// built, never of the tree; weave.go puts most of them into one program, of which
// each run wakes one. The seeds of a mutant are run until one is red; how many that
// took is its score. After the first come the stories of the simulation, without
// faults; after all of them, the stories with every single fault at each step. Only seeds and stories that
// are green without a mutant count, and so a crash or a hanging process counts, too.
// The program fails when a mutant is not caught, does not compile, or has gone stale,
// and when the product itself is red.
//
// With -delete it takes single statements away instead, and says which nobody misses.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"stint/test/evidence"
)

// score is what became of one mutant.
type score struct {
	Name   string
	From   string
	Caught bool
	Seeds  int    // how many were run until one was red, this one included
	Seed   uint64 // the red one; 0: none was
	Single string // the story, and where in it the fault was, when no seed was red
	// By is the invariant that did not hold, or how else it showed.
	By      string
	Said    string
	Seconds float64
	ByTests bool   // not the simulation caught it, but the tests of its own package
	Failed  string // why it could not be run
}

// report is what became of all.
type report struct {
	root     string
	Hours    int
	Baseline baseline
	Seconds  float64
	Scores   []score
}

func main() {
	var o options
	flag.IntVar(&o.seeds, "seeds", 12, "the most seeds for one mutant")
	flag.Uint64Var(&o.first, "first", 1, "the first of the seeds")
	flag.IntVar(&o.hours, "hours", 6, "simulated hours of each seed")
	flag.IntVar(&o.jobs, "jobs", 2, "how many mutants at a time")
	flag.DurationVar(&o.within, "within", 90*time.Second, "how long one seed may take; the stories with single faults six times as long")
	flag.BoolVar(&o.singles, "singles", true, "where nothing else is red, try single faults in the stories, which takes the longest")
	flag.StringVar(&o.only, "only", "", "only mutants whose name contains one of these, apart by commas")
	flag.StringVar(&o.evidence, "evidence", "", "put results for the assurance report into this folder")
	flag.StringVar(&o.page, "record", "", "write the scores of all mutants into this page")
	flag.StringVar(&o.remove, "delete", "", "take single statements of these files away, apart by commas, and not the listed mutants: names in internal/broker, `package/name`, or `protective` for all that count")
	flag.IntVar(&o.sample, "sample", 1, "with -delete: only every so-manieth statement")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sim-mutants:", err)
		os.Exit(1)
	}
}

type options struct {
	seeds, hours, jobs, sample   int
	first                        uint64
	within                       time.Duration
	only, evidence, page, remove string
	singles                      bool
}

func (o options) run(ctx context.Context) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "stint-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	began := time.Now()
	r := &runner{root: root, folder: folder, hours: o.hours, within: o.within, kinds: []string{"stories"}, storiesFirst: o.remove != ""}
	if o.singles {
		r.kinds = append(r.kinds, "singles")
	}
	for i := range o.seeds {
		r.seeds = append(r.seeds, o.first+uint64(i))
	}
	todo := slices.DeleteFunc(all(), func(m mutant) bool { return !o.wants(m.name) })
	var let []excuse
	if o.remove == "" {
		err = r.prepare(ctx, todo)
	} else {
		todo, let, err = r.prepareDeletions(ctx, filesToDelete(o.remove), o.sample, o.wants)
	}
	if err == nil {
		err = r.establish(ctx, o.jobs)
	}
	if err != nil {
		return err
	}
	rep := report{root: root, Hours: o.hours, Scores: make([]score, len(todo))}
	var mu sync.Mutex
	inTurns(o.jobs, len(todo), func(i int) {
		if ctx.Err() != nil {
			return
		}
		s := r.try(ctx, todo[i])
		mu.Lock()
		defer mu.Unlock()
		rep.Scores[i] = s
		fmt.Println(s)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	rep.Baseline, rep.Seconds = r.base, time.Since(began).Seconds()
	caught, missed := rep.count()
	fmt.Printf("%d of %d caught in %.0f s\n", caught, len(rep.Scores), rep.Seconds)
	if o.remove != "" {
		return o.deletions(rep, let)
	}
	if err := rep.evidence().Write(o.evidence); err != nil {
		return err
	}
	if o.page != "" && o.only == "" {
		if err := rep.record(filepath.Join(root, o.page)); err != nil {
			return err
		}
	}
	return rep.verdict(missed)
}

// wants reports whether a mutant was asked for.
func (o options) wants(name string) bool {
	return slices.ContainsFunc(strings.Split(o.only, ","), func(part string) bool { return strings.Contains(name, part) })
}

func (r report) count() (caught int, missed []string) {
	for _, s := range r.Scores {
		if s.Caught {
			caught++
		} else {
			missed = append(missed, s.Name)
		}
	}
	return caught, missed
}

func (r report) verdict(missed []string) error {
	switch {
	case len(r.Baseline.Red) > 0:
		return fmt.Errorf("the product itself is red for the seeds %v; see make sim SEED=%d", r.Baseline.Red, r.Baseline.Red[0])
	case len(r.Baseline.Stories) > 0:
		return fmt.Errorf("the product itself is red in a story: %v", r.Baseline.Stories)
	case len(missed) > 0:
		return fmt.Errorf("not caught: %s", strings.Join(missed, ", "))
	}
	return nil
}

func (r report) evidence() evidence.Result {
	e := evidence.New("sim-mutants", "mutant", "make sim-mutants")
	caught, missed := r.count()
	e.Seconds, e.Passed = r.Seconds, r.verdict(missed) == nil
	e.Goal("caught", float64(caught), "", fmt.Sprintf("all of %d", len(r.Scores)), len(missed) == 0, "")
	e.Count("seeds that are green without a mutant", float64(len(r.Baseline.Green)), "")
	e.Goal("seeds that are red without a mutant", float64(len(r.Baseline.Red)), "", "0", len(r.Baseline.Red) == 0, "")
	e.Count("simulated hours of a seed", float64(r.Hours), "h")
	t := evidence.Table{Title: "Planted bugs", Columns: []string{"Mutant", "What it re-creates", "Caught after", "Broken"}}
	for _, s := range r.Scores {
		t.Rows = append(t.Rows, []string{s.Name, s.From, s.after(), s.broken()})
	}
	e.Tables = append(e.Tables, t)
	for _, m := range missed {
		e.Violated = append(e.Violated, "the mutant "+m+" is not caught")
	}
	return e
}

// after says what it took to catch a mutant.
func (s score) after() string {
	switch {
	case !s.Caught:
		return fmt.Sprintf("not by %d seeds and all stories", s.Seeds)
	case s.ByTests:
		return "the tests of its own package"
	case s.Single != "":
		return "story " + s.Single
	}
	return fmt.Sprintf("%s (seed %d)", plural(s.Seeds, "seed"), s.Seed)
}

func (s score) broken() string {
	switch {
	case s.Failed != "":
		return "could not be run"
	case !s.Caught:
		return "**not caught**"
	}
	return s.By
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprint(n, " ", what, "s")
}

func (s score) String() string {
	switch {
	case s.Failed != "":
		return fmt.Sprintf("FAILED  %-28s %s", s.Name, s.Failed)
	case !s.Caught:
		return fmt.Sprintf("MISSED  %-28s %d seeds, %.0f s; %s", s.Name, s.Seeds, s.Seconds, s.From)
	}
	return fmt.Sprintf("caught  %-28s %s, by %s, %.0f s", s.Name, s.after(), cmp.Or(s.By, "?"), s.Seconds)
}
