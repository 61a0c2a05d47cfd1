// Chaos kills stintd at random moments under load, again and again, and looks
// for what an outside observer must never find:
//
//	go run ./test/chaos -bin bin -store sqlite|postgres [-trials N] [-seed N]
//
// In each trial people and services ask for short grants of every mechanism, open
// sessions, give back, vote and revoke, when stintd gets a SIGKILL, now and then
// after having been frozen, or again while it starts, or together with the target.
// It starts again, the load stops, everything is left to expire, and then:
//
//   - nothing is left on the target, by an oracle that reads the target itself: no
//     account, no membership, no enabled login; and every session that was opened
//     under a grant is dead;
//   - no promise is lost: what any call was ever told, kept here outside of the
//     product, still holds;
//   - nothing was done twice: one request for each question however often it was
//     sent, one account for each grant;
//   - the audit log is whole, by `stint audit verify` against the server and on an
//     export, and holds what was promised to be in it.
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
)

func main() {
	bin := flag.String("bin", "bin", "folder of stint and stintd")
	store := flag.String("store", "sqlite", "where stintd keeps its state: sqlite or postgres")
	trials := flag.Int("trials", 50, "how many times to kill it")
	seed := flag.Uint64("seed", 0, "of the random moments and choices; 0 for another one each time")
	worlds := flag.Int("worlds", 3, "how many installations are killed side by side")
	keep := flag.Bool("keep", false, "leave the state also when nothing is wrong")
	flag.Parse()
	if flag.NArg() > 0 || *trials < 1 || *worlds < 1 {
		fmt.Fprintln(os.Stderr, "chaos: usage: chaos -bin DIR -store sqlite|postgres -trials N -seed N")
		os.Exit(2)
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, plan{bin: *bin, store: *store, trials: *trials, worlds: *worlds, seed: *seed, keep: *keep})
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
	seed       uint64
	keep       bool
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
		all   tally
		errs  []error
	)
	for i := range min(p.worlds, p.trials) {
		group.Go(func() {
			err := inhabit(ctx, p, uint64(i), func() (int, bool) {
				mu.Lock()
				defer mu.Unlock()
				next++
				return next, next <= p.trials && ctx.Err() == nil
			}, func(t *trial) {
				mu.Lock()
				defer mu.Unlock()
				fmt.Println(t)
				all.add(t)
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
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if next <= p.trials { // interrupted
		return ctx.Err()
	}
	fmt.Print(all.summary(time.Since(began)))
	return all.enough()
}

// inhabit opens a world and has trials in it, one after the other.
func inhabit(ctx context.Context, p plan, stream uint64, next func() (int, bool), done func(*trial)) (err error) {
	w, err := open(ctx, p.bin, p.store, rand.New(rand.NewPCG(p.seed, stream)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if w.stage.Keep = p.keep; p.keep {
		fmt.Println("chaos: state stays in", w.stage.Dir)
	}
	for n, more := next(); more; n, more = next() {
		t := w.trial(ctx, n)
		if ctx.Err() != nil {
			return nil
		}
		done(t)
		if len(t.violations) > 0 {
			w.stage.Keep = true
			return errors.Join(fmt.Errorf("trial %d of seed %d has %d violations; the state is in %s", n, p.seed, len(t.violations), w.stage.Dir), w.keep(t))
		}
	}
	return nil
}
