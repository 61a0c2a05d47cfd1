// Upgrade replaces three stintd one by one under load:
//
//	go run ./test/upgrade -bin bin [-trials N] [-seed N]
//
// Each trial begins with the release before, built from the commit that the file
// previous names. One after the other is stopped as an administrator would, and
// started again as this tree's, so that both work on one database for a while.
// Then the same is done once more, from this release to itself. Who asks with a
// little patience must notice nothing: no call that takes access away may fail.
// What was promised before, by either release, holds (package trial).
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"stint/test/evidence"
	"stint/test/stage"
	"stint/test/trial"
)

//go:embed previous
var previous string

func main() {
	bin := flag.String("bin", "bin", "folder of stint and stintd")
	trials := flag.Int("trials", 1, "how many upgrades")
	seed := flag.Uint64("seed", 0, "of the random moments and choices; 0 for another one each time")
	results := flag.String("evidence", "", "folder for the result, for the assurance report")
	flag.Parse()
	if flag.NArg() > 0 || *trials < 1 {
		fmt.Fprintln(os.Stderr, "upgrade: usage: upgrade -bin DIR -trials N -seed N")
		os.Exit(2)
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, *bin, *trials, *seed, *results)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "upgrade: interrupted")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "upgrade: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, trials int, seed uint64, results string) (err error) {
	dir, err := os.MkdirTemp("", "stint-upgrade-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := build(ctx, dir); err != nil {
		return err
	}
	fmt.Printf("upgrade: three stintd from %.12s to this tree, %d times, seed %d\n", previous, trials, seed)
	began := time.Now()
	var all trial.Tally
	var stops []time.Duration
	for n := 0; n < trials && err == nil && ctx.Err() == nil; n++ {
		err = one(ctx, stage.Options{Bin: bin, Store: "postgres", Replicas: 3, Before: func(v *stage.Server) { v.Bin = dir }},
			rand.New(rand.NewPCG(seed, uint64(n))), 2*n, &all, &stops)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	fmt.Print("upgrade: ", all.Summary(time.Since(began)))
	worst := slices.Max(append(stops, 0))
	fmt.Printf("  %d stops of this release, the longest %d ms\n", len(stops), worst.Milliseconds())
	result := evidence.New("upgrade", "upgrade", fmt.Sprintf("make upgrade TRIALS=%d", trials))
	result.Seconds = time.Since(began).Seconds()
	all.Result(&result)
	result.Invariants = append(result.Invariants, "I-34")
	result.Goal("stop of a stintd under load, longest", float64(worst.Milliseconds()), "ms", "<= 5000 ms", worst <= stopWithin, "")
	if werr := result.Write(results); err != nil || werr != nil {
		return errors.Join(err, werr)
	}
	return all.Enough()
}

// stopWithin is how long a stintd may take to stop under load: what it has begun
// it ends, within the bounds of a call to a target.
const stopWithin = 5 * time.Second

// build makes the release before, from the repository.
func build(ctx context.Context, dir string) error {
	source := filepath.Join(dir, "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		return err
	}
	archive := filepath.Join(dir, "source.tar")
	for _, args := range [][]string{
		{"git", "archive", "--output=" + archive, strings.TrimSpace(previous)},
		{"tar", "--extract", "--file=" + archive, "--directory=" + source},
		{"go", "build", "-C", source, "-trimpath", "-ldflags", "-X main.version=previous", "-o", filepath.Join(dir, "stintd"), "./cmd/stintd"},
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("build the release before: %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// one upgrades one installation, and rolls it once more.
func one(ctx context.Context, opt stage.Options, r *rand.Rand, n int, all *trial.Tally, stops *[]time.Duration) (err error) {
	w, err := trial.Open(ctx, opt, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	nothing := func(context.Context, *trial.World, *rand.Rand) error { return nil }
	for i, name := range []string{"upgrade", "rolling restart"} {
		within := time.Duration(0)
		if i == 0 { // the release before lets a stream of small changes delay its ends, and ours beside it
			within = 15 * time.Second
		}
		b := trial.Blow{Name: name, Spared: true, Smooth: true, Within: within, Strike: nothing, Mend: func(ctx context.Context, w *trial.World, r *rand.Rand) error {
			for _, v := range w.Stage.Servers {
				began := time.Now()
				if err := v.Stop(); err != nil {
					return err
				}
				if took := time.Since(began); i > 0 { // the release before stops as it did
					if *stops = append(*stops, took); took > stopWithin {
						return fmt.Errorf("a stintd took %v to stop", took)
					}
				}
				v.Bin, v.Args = opt.Bin, []string{"--accept-unprotected-commits"} // one database server, which nothing happens to
				if err := v.Start(ctx); err != nil {
					return err
				}
				trial.Rest(ctx, 200*time.Millisecond+time.Duration(r.Int64N(int64(600*time.Millisecond)))) // side by side
			}
			return nil
		}}
		t := w.Trial(ctx, n+i+1, b)
		if ctx.Err() != nil {
			return nil
		}
		fmt.Println(t)
		all.Add(t)
		if len(t.Violations) > 0 {
			return errors.Join(fmt.Errorf("%s: %d violations; the state is in %s", name, len(t.Violations), w.Stage.Dir), w.Keep(t))
		}
	}
	return nil
}
