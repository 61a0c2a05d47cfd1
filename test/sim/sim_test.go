package sim

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stint/test/evidence"
)

var (
	seedsFlag = flag.Int("sim.seeds", 0, "run this many seeds, of 24 simulated hours each")
	firstFlag = flag.Uint64("sim.first", 1, "the first of the seeds")
	seedFlag  = flag.Uint64("sim.seed", 0, "replay this seed and print its trace")
	quietFlag = flag.Bool("sim.quiet", false, "with -sim.seed: no trace, only the result")
	logsFlag  = flag.Bool("sim.logs", false, "with -sim.seed: what the brokers log, too")
	shardFlag = flag.String("sim.shard", "", "for the driver: run the seeds that it sends")
	outFlag   = flag.String("sim.out", "", "write the result of all seeds here, as JSON")
	keepFlag  = flag.String("sim.evidence", "", "put results for the assurance report into this folder")
	pairsFlag = flag.Duration("sim.pairs", 0, "try pairs of faults in the short scenarios for so long")
)

func TestMain(m *testing.M) {
	// One processor, and no collection of garbage but where a run asks for it: what
	// runs between two steps then runs in one order.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(2 << 30)
	if flag.Parse(); flag.Lookup("test.memprofile").Value.String() == "" {
		runtime.MemProfileRate = 0 // nobody asks who allocated
	}
	os.Exit(m.Run())
}

// bubble runs something in a bubble of its own.
func bubble(t *testing.T, do func() Result) (r Result) {
	synctest.Test(t, func(*testing.T) { r = do() })
	return r
}

// TestSeeds is `make sim SEEDS=n`; without a number it runs a few.
func TestSeeds(t *testing.T) {
	switch {
	case *shardFlag != "":
		t.Skip("this is a shard")
	case *seedFlag != 0:
		t.Skip("one seed is replayed")
	}
	n := *seedsFlag
	if n == 0 {
		n = 4
	}
	if testing.Short() {
		n = 2
	}
	began := time.Now()
	sum := summary{Seeds: n, First: *firstFlag, Commit: commit(), Counters: map[string]int64{}}
	for _, r := range shards(t, *firstFlag, n) {
		sum.add(r)
		if r.Failure != "" {
			t.Errorf("seed %d at commit %s: %s\n\n%s\n\nreplay: make sim SEED=%d", r.Seed, sum.Commit, r.Failure, strings.Join(last(r.Tail, 60), "\n"), r.Seed)
		}
	}
	sum.Seconds = time.Since(began).Seconds()
	for _, s := range situations {
		if sum.Counters[s] == 0 {
			sum.Never = append(sum.Never, s)
		}
	}
	t.Log(sum.table())
	if n >= 200 && len(sum.Never) > 0 {
		t.Errorf("never occurred in %d seeds: %s", n, strings.Join(sum.Never, ", "))
	}
	if err := sum.evidence(t).Write(*keepFlag); err != nil {
		t.Error(err)
	}
	if *outFlag != "" {
		b, err := json.MarshalIndent(sum, "", "  ")
		if err == nil {
			err = os.WriteFile(*outFlag, append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// summary is what many seeds come to.
type summary struct {
	Seeds     int              `json:"seeds"`
	First     uint64           `json:"first"`
	Commit    string           `json:"commit"`
	Steps     int64            `json:"steps"`
	Hours     float64          `json:"simulatedHours"`
	Requests  int              `json:"requests"`
	Grants    int              `json:"grants"`
	Seconds   float64          `json:"seconds"`
	Failures  []Result         `json:"failures"`
	Counters  map[string]int64 `json:"counters"`
	SeedsWith map[string]int   `json:"seedsWith"`
	Never     []string         `json:"never"`
}

func (s *summary) add(r Result) {
	s.Steps, s.Hours, s.Requests, s.Grants = s.Steps+r.Steps, s.Hours+r.Hours, s.Requests+r.Requests, s.Grants+r.Grants
	if s.SeedsWith == nil {
		s.SeedsWith = map[string]int{}
	}
	for k, n := range r.Counters {
		s.Counters[k] += n
		s.SeedsWith[k]++
	}
	if r.Failure != "" {
		s.Failures = append(s.Failures, r)
	}
}

func (s *summary) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds, %.1f simulated days, %d steps, %d requests, %d grants, %d failures, %.0f s\n",
		s.Seeds, s.Hours/24, s.Steps, s.Requests, s.Grants, len(s.Failures), s.Seconds)
	for _, x := range situations {
		fmt.Fprintf(&b, "  %-50s %7d times in %4d seeds\n", x, s.Counters[x], s.SeedsWith[x])
	}
	return b.String()
}

// oracles are the invariants that runs are held against.
var oracles = []string{"I-01", "I-02", "I-03", "I-04", "I-05", "I-06", "I-07", "I-08", "I-09", "I-10", "I-11", "I-12", "I-13", "I-14", "I-15", "I-16",
	"I-21", "I-23", "I-26", "I-28", "I-35", "L-01", "L-02", "L-03", "L-06"}

// evidence is the summary as the assurance report reads it.
func (s *summary) evidence(t *testing.T) evidence.Result {
	name := "sim"
	if s.Seeds >= 1000 {
		name = "sim-night"
	}
	r := evidence.New(name, "simulation", fmt.Sprint("make sim SEEDS=", s.Seeds))
	r.Seconds, r.Passed, r.Invariants = s.Seconds, !t.Failed(), oracles
	r.Count("seeds", float64(s.Seeds), "")
	r.Count("simulated days", s.Hours/24, "days")
	r.Count("steps of I/O", float64(s.Steps), "")
	r.Count("requests", float64(s.Requests), "")
	r.Count("grants", float64(s.Grants), "")
	r.Goal("violations", float64(len(s.Failures)), "", "0", len(s.Failures) == 0, "")
	r.Goal("situations that never occurred", float64(len(s.Never)), "", "0", len(s.Never) == 0, "")
	for _, f := range s.Failures {
		r.Violated = append(r.Violated, fmt.Sprintf("seed %d: %s", f.Seed, f.Failure))
	}
	table := evidence.Table{Title: "Situations", Columns: []string{"Situation", "times", "in seeds"}}
	for _, x := range situations {
		table.Rows = append(table.Rows, []string{x, fmt.Sprint(s.Counters[x]), fmt.Sprint(s.SeedsWith[x])})
	}
	r.Tables = append(r.Tables, table)
	return r
}

func last(lines []string, n int) []string { return lines[max(0, len(lines)-n):] }

func commit() string {
	b, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

// shards runs seeds in two processes of this test, each of which takes the next one
// when it is done with the last.
func shards(t *testing.T, first uint64, n int) (rs []Result) {
	next := make(chan uint64)
	go func() {
		for i := range n {
			next <- first + uint64(i)
		}
		close(next)
	}()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range min(n, 2) {
		wg.Go(func() {
			for seed := range next {
				r, err := child(seed)
				if err != nil {
					r = Result{Seed: seed, Failure: err.Error()}
				}
				mu.Lock()
				rs = append(rs, r)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(rs, func(a, b Result) int { return cmp.Compare(a.Seed, b.Seed) })
	return rs
}

// child runs one seed in a process of its own: nothing of one run reaches the next.
func child(seed uint64) (r Result, err error) {
	return r, process("^TestShard$", fmt.Sprint(seed), &r)
}

// process runs one test in a process of its own, tells it what, and reads its result.
func process(test, what string, result any) error {
	c := exec.Command(os.Args[0], "-test.run="+test, "-test.timeout=10m", fmt.Sprint("-test.short=", testing.Short()), "-sim.shard="+what)
	c.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1") // a busy machine must not change who runs first
	out, err := c.CombinedOutput()
	in := bufio.NewScanner(strings.NewReader(string(out)))
	in.Buffer(nil, 1<<24)
	for in.Scan() {
		if line, ok := strings.CutPrefix(in.Text(), resultMark); ok {
			return json.Unmarshal([]byte(line), result)
		}
	}
	return fmt.Errorf("the process of %s gave no result: %v\n%s", what, err, tailOf(string(out), 4000))
}

// report is what the process of a test says to who started it.
func report(t *testing.T, result any) {
	b, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\n%s%s\n", resultMark, b)
}

func tailOf(s string, n int) string { return s[max(0, len(s)-n):] }

const resultMark = "sim result: "

// TestShard is one process of TestSeeds.
func TestShard(t *testing.T) {
	if *shardFlag == "" {
		t.Skip("only as a child of TestSeeds")
	}
	var seed uint64
	if _, err := fmt.Sscan(*shardFlag, &seed); err != nil {
		t.Fatal(err)
	}
	report(t, bubble(t, func() Result { return simulate(seed, tracing{}) }))
}

// TestSeed is `make sim SEED=x`: it replays one seed and prints its trace.
func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("say which with -sim.seed")
	}
	var to tracing
	if !*quietFlag {
		to.trace = func(line string) { fmt.Println(line) }
	}
	if *logsFlag {
		to.logs = os.Stdout
	}
	r := bubble(t, func() Result { return simulate(*seedFlag, to) })
	fmt.Printf("seed %d at commit %s: %d steps, %.1f hours, %d requests, %d grants, trace %s\n", r.Seed, commit(), r.Steps, r.Hours, r.Requests, r.Grants, r.Trace)
	if r.Failure != "" {
		t.Error(r.Failure)
	}
}

// TestReplay runs seeds twice: the same seed is the same run, byte for byte. A machine
// so busy that the process stands still for 10 ms in the middle of a step lets the
// runtime put another goroutine first, which nothing can forbid it. So a run that
// differs is asked again: it must be the only one of four.
func TestReplay(t *testing.T) {
	if *shardFlag != "" || *seedFlag != 0 {
		t.Skip("only in an ordinary run of the tests")
	}
	seeds := []uint64{101, 102, 103}
	if testing.Short() {
		seeds = seeds[:1]
	}
	for _, seed := range seeds {
		runs := map[string]int{}
		for n, want := 0, 2; n < want; n += 2 {
			var rs [2]Result
			var errs [2]error
			var wg sync.WaitGroup
			for i := range rs {
				wg.Go(func() { rs[i], errs[i] = child(seed) })
			}
			wg.Wait()
			for i, r := range rs {
				if errs[i] != nil {
					t.Fatal(errs[i])
				}
				runs[r.Trace]++
			}
			if len(runs) > 1 {
				want = 4
			}
		}
		most := 0
		for _, n := range runs {
			most = max(most, n)
		}
		switch {
		case len(runs) > 1 && most < 3:
			t.Errorf("seed %d is not one run: %v", seed, runs)
		case len(runs) > 1:
			t.Logf("seed %d: one run of four was another, on a busy machine: %v", seed, runs)
		}
	}
}
