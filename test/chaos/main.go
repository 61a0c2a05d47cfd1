// Chaos kills stintd at random moments under load, again and again, and looks
// for what an outside observer must never find:
//
//	go run ./test/chaos -bin bin -store sqlite|postgres [-trials N] [-seed N]
//
// In each trial people and services ask for short grants of every mechanism, open
// sessions, give back, vote and revoke, when a stintd gets a SIGKILL, now and then
// after having been frozen, or again while it starts, or together with the target.
// On PostgreSQL there are three behind a load balancer, and one of them gets it, or
// all. Then the load stops, everything is left to expire, and is compared with what
// was promised (package trial).
//
// With -checkout, accounts of the vault are lent, given back and rotated, and each kill is
// in the middle of rotations.
//
// A violation ends it with exit code 1 and leaves the state where it says.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"stint/test/evidence"
	"stint/test/stage"
	"stint/test/trial"
)

func main() {
	bin := flag.String("bin", "bin", "folder of stint and stintd")
	store := flag.String("store", "sqlite", "where stintd keeps its state: sqlite or postgres")
	trials := flag.Int("trials", 50, "how many times to kill it")
	seed := flag.Uint64("seed", 0, "of the random moments and choices; 0 for another one each time")
	worlds := flag.Int("worlds", 0, "how many installations are killed side by side; 0 for three on sqlite, and one on postgres,\nwhich is three stintd and two database servers: more of them wait for processors, and not for Stint")
	within := flag.Duration("within", 0, "5s if not given, and 2m with -checkout, where nothing ends: how soon after its end everything must be gone and recorded; a machine that others\nkeep busy needs more for what is no leak")
	results := flag.String("evidence", "", "folder for the result, for the assurance report")
	keep := flag.Bool("keep", false, "leave the state also when nothing is wrong")
	checkout := flag.Bool("checkout", false, "rotate accounts of the vault, and kill in mid-rotation")
	flag.Parse()
	if *within == 0 {
		if *within = 5 * time.Second; *checkout {
			*within = 2 * time.Minute
		}
	}
	if flag.NArg() > 0 || *trials < 1 || *worlds < 0 || *within <= 0 {
		fmt.Fprintln(os.Stderr, "chaos: usage: chaos -bin DIR -store sqlite|postgres -trials N -seed N")
		os.Exit(2)
	}
	if *worlds == 0 {
		*worlds = 3
		if *store == "postgres" && !*checkout {
			*worlds = 1
		}
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	what := run
	if *checkout {
		what = runCheckout
	}
	err := what(ctx, plan{bin: *bin, store: *store, trials: *trials, worlds: *worlds, within: *within, seed: *seed, keep: *keep, evidence: *results})
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "chaos: interrupted")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "chaos: error:", err)
		os.Exit(1)
	}
}

// plan is what to do.
type plan struct {
	bin, store string
	trials     int
	worlds     int
	within     time.Duration
	seed       uint64
	keep       bool
	evidence   string
}

// run spreads the trials over a few worlds side by side: most of a trial is
// waiting for ends to come.
func run(ctx context.Context, p plan) error {
	began := time.Now()
	fmt.Printf("chaos: stintd on %s, %d trials, seed %d\n", p.store, p.trials, p.seed)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		group sync.WaitGroup
		mu    sync.Mutex // guards what follows, and the output
		next  int
		all   trial.Tally
		errs  []error
	)
	for i := range min(p.worlds, p.trials) {
		group.Go(func() {
			err := inhabit(ctx, p, uint64(i), func() (int, bool) {
				mu.Lock()
				defer mu.Unlock()
				next++
				return next, next <= p.trials && ctx.Err() == nil
			}, func(t *trial.Trial) {
				mu.Lock()
				defer mu.Unlock()
				fmt.Println(t)
				all.Add(t)
			})
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
				cancel() // the others need not go on
			}
		})
	}
	group.Wait()
	if next <= p.trials && len(errs) == 0 { // interrupted
		return ctx.Err()
	}
	fmt.Print("chaos: ", all.Summary(time.Since(began)))
	result := evidence.New("chaos-"+p.store, "kill", fmt.Sprintf("make chaos TRIALS=%d WITHIN=%s STORE=%s", p.trials, p.within, p.store))
	result.Seconds = time.Since(began).Seconds()
	all.Result(&result)
	if err := errors.Join(append(errs, result.Write(p.evidence))...); err != nil {
		return err
	}
	return all.Enough()
}

// inhabit opens a world and has trials in it, one after the other.
func inhabit(ctx context.Context, p plan, stream uint64, next func() (int, bool), done func(*trial.Trial)) (err error) {
	opt := stage.Options{Bin: p.bin, Store: p.store}
	if p.store == "postgres" {
		opt.Replicas = 3
		opt.Config = "accept_unprotected_commits: true\n" // one database server, which nothing happens to
	}
	w, err := trial.Open(ctx, opt, rand.New(rand.NewPCG(p.seed, stream)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if w.Stage.Keep = p.keep; p.keep {
		fmt.Println("chaos: state stays in", w.Stage.Dir)
	}
	for n, more := next(); more; n, more = next() {
		blow := choose(w)
		blow.Within = p.within
		t := w.Trial(ctx, n, blow)
		if ctx.Err() != nil {
			return nil
		}
		done(t)
		if len(t.Violations) > 0 {
			return errors.Join(fmt.Errorf("trial %d of seed %d has %d violations; the state is in %s", n, p.seed, len(t.Violations), w.Stage.Dir), w.Keep(t))
		}
	}
	return nil
}
