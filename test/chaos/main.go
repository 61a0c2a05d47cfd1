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
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "folder of stint and stintd")
	store := flag.String("store", "sqlite", "where stintd keeps its state: sqlite or postgres")
	trials := flag.Int("trials", 50, "how many times to kill it")
	seed := flag.Uint64("seed", 0, "of the random moments and choices; 0 for another one each time")
	keep := flag.Bool("keep", false, "leave the state also when nothing is wrong")
	flag.Parse()
	if flag.NArg() > 0 || *trials < 1 {
		fmt.Fprintln(os.Stderr, "chaos: usage: chaos -bin DIR -store sqlite|postgres -trials N -seed N")
		os.Exit(2)
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, *bin, *store, *trials, *seed, *keep)
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

func run(ctx context.Context, bin, store string, trials int, seed uint64, keep bool) (err error) {
	began := time.Now()
	w, err := open(ctx, bin, store, seed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if w.stage.Keep = keep; keep {
		fmt.Println("chaos: the state stays in", w.stage.Dir)
	}
	fmt.Printf("chaos: stintd on %s, %d trials, seed %d\n", store, trials, seed)
	var all tally
	for n := range trials {
		t := w.trial(ctx, n+1)
		fmt.Println(t)
		all.add(t)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(t.violations) > 0 {
			w.stage.Keep = true
			return errors.Join(fmt.Errorf("trial %d of seed %d has %d violations; the state is in %s", n+1, seed, len(t.violations), w.stage.Dir), w.keep(t))
		}
	}
	fmt.Print(all.summary(time.Since(began)))
	return all.enough()
}
