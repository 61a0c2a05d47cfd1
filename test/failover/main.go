// Failover takes the database server away from under stintd, again and again:
//
//	go run ./test/failover -bin bin [-trials N] [-replicas N] [-seed N]
//
// Two PostgreSQL clusters, one of them a synchronous standby of the other, hold the
// state of two stintd behind a load balancer. Under load the primary is killed, or
// shut down at once, or frozen as behind a network that carries nothing, or killed
// while commits wait for the standby. The standby is promoted, the old primary
// fenced; stintd has to find the new one by itself. Then the load stops, everything
// is left to expire, and is compared with what was promised (package trial): no
// decision that was acknowledged is lost, nothing leaks, the log is whole.
//
// The old primary then comes back as a copy of the new one. That is a rebuilt
// standby; how a cluster's manager rewinds one is its own affair.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"stint/internal/pgtest"
	"stint/test/evidence"
	"stint/test/stage"
	"stint/test/trial"
)

func main() {
	bin := flag.String("bin", "bin", "folder of stint and stintd")
	trials := flag.Int("trials", 10, "how many failovers")
	replicas := flag.Int("replicas", 2, "how many stintd")
	seed := flag.Uint64("seed", 0, "of the random moments and choices; 0 for another one each time")
	results := flag.String("evidence", "", "folder for the result, for the assurance report")
	flag.Parse()
	if flag.NArg() > 0 || *trials < 1 || *replicas < 1 {
		fmt.Fprintln(os.Stderr, "failover: usage: failover -bin DIR -trials N -replicas N -seed N")
		os.Exit(2)
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, *bin, *trials, *replicas, *seed, *results)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "failover: interrupted")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "failover: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, trials, replicas int, seed uint64, results string) (err error) {
	fmt.Printf("failover: %d stintd, %d failovers, seed %d\n", replicas, trials, seed)
	pair, err := pgtest.LaunchPair(ctx, pgtest.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pair.Close()) }()
	if err := pair.Primary.CreateDatabase(ctx, "stint"); err != nil {
		return err
	}
	opt := stage.Options{Bin: bin, Store: "postgres", Replicas: replicas, Database: pair.DSN("stint"), Config: "high_availability: true\n"}
	w, err := trial.Open(ctx, opt, rand.New(rand.NewPCG(seed, 0)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	began := time.Now()
	var all trial.Tally
	var failed error
	for n := 1; n <= trials && failed == nil; n++ {
		t := w.Trial(ctx, n, choose(w.Rand, pair))
		if ctx.Err() != nil {
			return nil
		}
		fmt.Println(t)
		all.Add(t)
		if len(t.Violations) > 0 {
			failed = errors.Join(fmt.Errorf("trial %d of seed %d has %d violations; the state is in %s", n, seed, len(t.Violations), w.Stage.Dir), w.Keep(t))
		}
	}
	fmt.Print("failover: ", all.Summary(time.Since(began)))
	result := evidence.New("failover", "failover", fmt.Sprintf("make failover TRIALS=%d", trials))
	result.Seconds = time.Since(began).Seconds()
	all.Result(&result)
	if err := errors.Join(failed, result.Write(results)); err != nil {
		return err
	}
	return all.Enough()
}

// choose takes a way to lose the primary.
func choose(r *rand.Rand, pair *pgtest.Pair) trial.Blow {
	type act = func(context.Context, *trial.World, *rand.Rand) error
	ways := []struct {
		weight int
		name   string
		strike act
	}{
		{4, "kill the primary", func(context.Context, *trial.World, *rand.Rand) error { return pair.Primary.Kill() }},
		{2, "shut it down at once", func(context.Context, *trial.World, *rand.Rand) error { return pair.Primary.Quit() }},
		{3, "freeze it", func(ctx context.Context, _ *trial.World, r *rand.Rand) error {
			err := pair.Primary.Pause() // it stays so until it is fenced: after the standby was promoted
			trial.Rest(ctx, time.Duration(r.Int64N(int64(1500*time.Millisecond))))
			return err
		}},
		{3, "kill it in commits", func(ctx context.Context, _ *trial.World, r *rand.Rand) error {
			// Every commit waits for the standby, which is frozen: whoever commits now
			// never gets an answer, and some of the commits have arrived over there.
			err := pair.Standby.Pause()
			trial.Rest(ctx, 50*time.Millisecond+time.Duration(r.Int64N(int64(400*time.Millisecond))))
			return errors.Join(err, pair.Primary.Kill(), pair.Standby.Resume())
		}},
	}
	sum := 0
	for _, x := range ways {
		sum += x.weight
	}
	n := r.IntN(sum)
	for _, x := range ways {
		if n -= x.weight; n < 0 {
			return trial.Blow{Name: x.name, Strike: x.strike,
				Mend: func(ctx context.Context, w *trial.World, _ *rand.Rand) error {
					return errors.Join(pair.Promote(ctx), w.Stage.Serving(ctx))
				},
				After: pair.Rebuild}
		}
	}
	panic("unreachable")
}
