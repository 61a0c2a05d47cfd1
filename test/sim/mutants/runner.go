package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// runner builds and runs simulations.
type runner struct {
	root, folder string
	hours        int
	seeds        []uint64
	kinds        []string      // of stories
	within       time.Duration // of one process
	// storiesFirst: the seeds come last, because they take longer.
	storiesFirst bool
	programs     map[string]string
	// packages are programs with the tests of a package, by its folder, for deletions that
	// these judge, too.
	packages map[string]string
	// witnessed are the deletions that one test judges, by their name.
	witnessed map[string]witness
	patience  map[string]time.Duration // for how long they may take, by folder and tests
	base      baseline
}

// baseline is what the simulation says of the product without a mutant.
type baseline struct {
	Green []uint64          `json:"green"`
	Red   []uint64          `json:"red"`
	Said  map[uint64]string `json:"said,omitempty"` // of the red ones
	// Stories is what was wrong with the stories, and with those with single faults;
	// none is there when they are green.
	Stories map[string]string `json:"stories,omitempty"`
	// Took is how long the stories of a kind take, in seconds.
	Took map[string]float64 `json:"took,omitempty"`
}

// prepare builds what is to run: one program for all mutants that can be woven
// into one, and programs for the others when their turn comes.
func (r *runner) prepare(ctx context.Context, ms []mutant) error {
	began := time.Now()
	ms = slices.DeleteFunc(slices.Clone(ms), mutant.ofClock)
	w, err := weave(r.root, ms)
	if err != nil {
		return err
	}
	together, err := r.build(ctx, "together", w.files)
	if err != nil {
		return err
	}
	r.programs = map[string]string{"": together}
	for _, m := range ms {
		r.programs[m.name] = together
	}
	for _, m := range w.alone {
		delete(r.programs, m.name)
	}
	fmt.Printf("%d mutants are in one program, %d need one each; built in %.0f s\n", len(ms)-len(w.alone), len(w.alone), time.Since(began).Seconds())
	return nil
}

// establish learns which seeds are green without a mutant, and whether the stories
// are: only those can say anything about one. What it learned is kept for as long
// as the sources are the same.
func (r *runner) establish(ctx context.Context, jobs int) error {
	known, err := r.knownBaseline()
	if err != nil {
		return err
	}
	if b, err := os.ReadFile(known); err == nil && json.Unmarshal(b, &r.base) == nil && slices.Equal(slices.Sorted(slices.Values(slices.Concat(r.base.Green, r.base.Red))), r.seeds) {
		fmt.Printf("%d seeds are green without a mutant, %d red (known from an earlier run on the same sources)\n", len(r.base.Green), len(r.base.Red))
		return r.usable()
	}
	r.base = baseline{Said: map[uint64]string{}, Stories: map[string]string{}, Took: map[string]float64{}}
	var mu sync.Mutex
	inTurns(jobs, len(r.seeds)+len(r.kinds), func(i int) {
		if i < len(r.kinds) {
			kind := r.kinds[len(r.kinds)-1-i] // what takes the longest goes first
			began := time.Now()
			h := r.hunt(ctx, "", kind)
			mu.Lock()
			defer mu.Unlock()
			r.base.Took[kind] = time.Since(began).Seconds()
			if h.Failure != "" {
				r.base.Stories[kind] = h.Failure
				fmt.Printf("the story %q is red without a mutant (step %d, %q): %s\n", h.Story, h.Step, h.Fault, h.Failure)
			}
			return
		}
		seed := r.seeds[i-len(r.kinds)]
		said := r.seed(ctx, "", seed)
		mu.Lock()
		defer mu.Unlock()
		if said == "" {
			r.base.Green = append(r.base.Green, seed)
			return
		}
		fmt.Printf("seed %d is red without a mutant: %s\n", seed, said)
		r.base.Red, r.base.Said[seed] = append(r.base.Red, seed), said
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	slices.Sort(r.base.Green)
	slices.Sort(r.base.Red)
	fmt.Printf("%d seeds of %d hours are green without a mutant, %d red\n", len(r.base.Green), r.hours, len(r.base.Red))
	b, err := json.Marshal(r.base)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(known), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(known, b, 0o644); err != nil {
		return err
	}
	return r.usable()
}

func (r *runner) usable() error {
	if len(r.base.Green) == 0 && len(r.base.Stories) == len(r.kinds) {
		return errors.New("nothing is green without a mutant, so nothing can be said of one")
	}
	return nil
}

// knownBaseline is the file for what is known of these very sources.
func (r *runner) knownBaseline() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, r.hours, r.seeds, r.kinds)
	for _, top := range []string{"go.mod", "go.sum", "internal", "test/sim"} {
		err := filepath.WalkDir(filepath.Join(r.root, top), func(p string, d fs.DirEntry, err error) error {
			name := strings.TrimPrefix(p, r.root+"/")
			if err != nil || d.IsDir() || strings.HasPrefix(name, "test/sim/mutants/") {
				return err
			}
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%q %d\n", name, len(b))
			h.Write(b)
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "stint-sim", hex.EncodeToString(h.Sum(nil)[:16])+".json"), nil
}

// try runs one mutant until something is red, or everything was tried.
func (r *runner) try(ctx context.Context, m mutant) (s score) {
	s = score{Name: m.name, From: m.from}
	began := time.Now()
	defer func() { s.Seconds = time.Since(began).Seconds() }()
	if m.ofClock() {
		r.clock(ctx, m, &s)
		return s
	}
	if _, built := r.programs[m.name]; !built {
		program, err := r.alone(ctx, m)
		if err != nil {
			s.Failed = err.Error()
			return s
		}
		defer os.Remove(program)
		r = r.with(m.name, program)
	}
	caught := func(by string) {
		s.Caught = ctx.Err() == nil
		s.By, _, _ = strings.Cut(by, ":")
		s.Said = by
	}
	seeds := func(some []uint64) bool {
		for _, seed := range some {
			s.Seeds++
			if said := r.seed(ctx, m.name, seed); said != "" {
				s.Seed = seed
				caught(said)
				return true
			}
		}
		return false
	}
	stories := func(kind string) bool {
		if r.base.Stories[kind] != "" || !slices.Contains(r.kinds, kind) {
			return false // they say something of a mutant only where they are green without it
		}
		h := r.hunt(ctx, m.name, kind)
		if h.Failure != "" {
			s.Single = fmt.Sprintf("%q", h.Story)
			if h.Step > 0 {
				s.Single = fmt.Sprintf("%q, %s at step %d (%s)", h.Story, h.Fault, h.Step, h.Op)
			}
			caught(h.Failure)
		}
		return h.Failure != ""
	}
	few := min(fewSeeds, len(r.base.Green))
	if r.storiesFirst {
		few = 0
	}
	_ = r.tests(ctx, m, &s) || seeds(r.base.Green[:few]) || stories("stories") || seeds(r.base.Green[few:]) || stories("singles")
	return s
}

// fewSeeds is how many seeds come before the stories, which take less time and know
// of fewer things.
const fewSeeds = 1

// with is the runner with one more program.
func (r *runner) with(name, program string) *runner {
	one := *r
	one.programs = map[string]string{name: program}
	return &one
}

// ofClock reports whether a mutant is one of the clock.
func (m mutant) ofClock() bool { return len(m.edits) > 0 && strings.HasPrefix(m.edits[0].file, clk) }

// clock lets the simulation of the clock try a mutant, with seeds of its own.
func (r *runner) clock(ctx context.Context, m mutant, s *score) {
	files, err := m.sources(r.root)
	if err != nil {
		s.Failed = err.Error()
		return
	}
	folder := filepath.Join(r.folder, m.name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		s.Failed = err.Error()
		return
	}
	list, err := overlay(r.root, folder, files)
	if err != nil {
		s.Failed = err.Error()
		return
	}
	ctx, done := context.WithTimeout(ctx, r.within)
	defer done()
	for seed := uint64(1); seed <= uint64(len(r.seeds)); seed++ {
		s.Seeds++
		c := exec.CommandContext(ctx, "go", "test", "-count=1", "-overlay", list, "./internal/clock", "-run", "^(TestWhateverTheWallDoes|TestHonestWall)$",
			fmt.Sprint("-rapid.seed=", seed), "-rapid.nofailfile")
		c.Dir = r.root
		out, err := c.CombinedOutput()
		switch {
		case strings.Contains(string(out), "build failed"), strings.Contains(string(out), "no tests to run"):
			s.Failed = tail(string(out))
			return
		case err != nil && ctx.Err() == nil:
			s.Caught, s.Seed, s.By, s.Said = true, seed, "clock", tail(string(out))
			return
		}
	}
}

// alone builds a program with one mutant, which is always awake.
func (r *runner) alone(ctx context.Context, m mutant) (program string, err error) {
	files, err := m.sources(r.root)
	if err != nil {
		return "", err
	}
	return r.build(ctx, m.name, files)
}

// build builds the simulation with other contents for some files.
func (r *runner) build(ctx context.Context, name string, files map[string]string) (program string, err error) {
	return r.buildTests(ctx, name, "test/sim", files)
}

// buildTests builds the tests of a package so.
func (r *runner) buildTests(ctx context.Context, name, pkg string, files map[string]string) (program string, err error) {
	folder := filepath.Join(r.folder, name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	list, err := overlay(r.root, folder, files)
	if err != nil {
		return "", err
	}
	program = filepath.Join(folder, "sim.test")
	c := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-o", program, "-overlay", list, "./"+pkg)
	c.Dir = r.root
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s does not build: %v\n%s", name, err, out)
	}
	return program, nil
}

// seed runs one seed and says what was wrong; empty when nothing was.
func (r *runner) seed(ctx context.Context, mutant string, seed uint64) string {
	var result struct {
		Failure string `json:"failure"`
	}
	if wrong := r.run(ctx, mutant, &result, r.within, "^TestShard$", fmt.Sprint("-sim.shard=", seed), fmt.Sprint("-sim.hours=", r.hours)); wrong != "" {
		return wrong
	}
	return result.Failure
}

// story is what a hunt through the stories found first.
type story struct {
	Runs    int    `json:"runs"`
	Story   string `json:"story"`
	Step    int    `json:"step"`
	Op      string `json:"op"`
	Fault   string `json:"fault"`
	Failure string `json:"failure"`
}

func (r *runner) hunt(ctx context.Context, mutant, kind string) (h story) {
	within := r.within
	if kind == "singles" {
		within *= 6
	}
	if took, known := r.base.Took[kind]; known && mutant != "" { // who goes round in circles is not to do so for long
		within = min(within, max(20*time.Second, time.Duration(20*took*float64(time.Second))))
	}
	if wrong := r.run(ctx, mutant, &h, within, "^TestHunt$", "-sim.hunt="+kind); wrong != "" {
		return story{Story: "one of the " + kind, Failure: wrong}
	}
	return h
}

// run runs one test of the simulation in a process of its own and reads its result.
// Where there is none, it says how the process ended.
func (r *runner) run(ctx context.Context, mutant string, result any, within time.Duration, test string, more ...string) (wrong string) {
	ctx, done := context.WithTimeout(ctx, within)
	defer done()
	// A process that hangs ends by itself soon after, also when nobody is left to kill it.
	c := exec.CommandContext(ctx, r.programs[mutant], append([]string{"-test.run", test, "-test.timeout", (within + 10*time.Second).String()}, more...)...)
	c.Dir = filepath.Join(r.root, "test/sim")
	c.Env = append(os.Environ(), awake+"="+mutant, "GOMAXPROCS=1")
	out, err := c.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if text, ok := strings.CutPrefix(line, "sim result: "); ok {
			if err := json.Unmarshal([]byte(text), result); err != nil {
				return "result: " + err.Error()
			}
			return ""
		}
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Sprintf("hangs: no result after %s", within)
	case strings.Contains(string(out), "deadlock"):
		return "deadlock: " + tail(string(out))
	case err == nil:
		err = errors.New("the simulation gave no result")
	}
	return "crash: " + err.Error() + ": " + tail(string(out))
}

// judges sees to it that tests of a package are green while nothing is deleted, and
// learns how long they take: only then does their being red say anything.
func (r *runner) judges(ctx context.Context, pkg, tests string) error {
	began := time.Now()
	out, err := r.own(ctx, pkg, tests, "", r.within)
	switch {
	case err != nil:
		return fmt.Errorf("the tests of %s (%s) are red without a deletion, so nothing can be said of one: %w\n%s", pkg, tests, err, tail(string(out)))
	case strings.Contains(string(out), "no tests to run"):
		return fmt.Errorf("there is no test %s in %s", tests, pkg)
	}
	r.patience[pkg+tests] = min(r.within, max(20*time.Second, 20*time.Since(began)))
	return nil
}

// own runs tests of a package with one mutant awake.
func (r *runner) own(ctx context.Context, pkg, tests, mutant string, within time.Duration) ([]byte, error) {
	ctx, done := context.WithTimeout(ctx, within)
	defer done()
	c := exec.CommandContext(ctx, r.packages[pkg], "-test.failfast", "-test.run", tests, "-test.timeout", (within + 10*time.Second).String())
	c.Dir = filepath.Join(r.root, pkg)
	c.Env = append(os.Environ(), awake+"="+mutant)
	return c.CombinedOutput()
}

// tests has tests of the mutant's own package judge, if they are to: first, because
// they take a tenth of the time of the stories.
func (r *runner) tests(ctx context.Context, m mutant, s *score) bool {
	pkg, tests := r.judge(m)
	if tests == "" {
		return false
	}
	out, err := r.own(ctx, pkg, tests, m.name, r.patience[pkg+tests])
	if err == nil || ctx.Err() != nil {
		return false
	}
	s.Caught, s.ByTests, s.By, s.Said = true, true, "tests of "+path.Base(pkg), tail(string(out))
	return true
}

// inTurns does n things, a few at a time, in their order.
func inTurns(jobs, n int, do func(int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range max(1, jobs) {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func tail(s string) string {
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-600):]
}
