package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"stint/test/evidence"
	"stint/test/stage"
	"stint/test/trial"
)

// runCheckout kills stintd while vaulted accounts are being rotated: lendings come back,
// and others are ordered. Only a kill counts that hit a rotation. After each of them
//
//   - no account is locked out: every one is lent anew, and opens with what the vault
//     gives for it;
//   - no secret is unknown: the target has the verifier of that one, and of no other;
//   - whatever came back is dead: no secret that was ever given to somebody, and none that
//     a borrower set, is the one of the target any more, and the last of them is refused.
func runCheckout(ctx context.Context, p plan) error {
	began := time.Now()
	fmt.Printf("chaos: accounts in the vault, stintd on %s, %d kills in mid-rotation, seed %d\n", p.store, p.trials, p.seed)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		group sync.WaitGroup
		mu    sync.Mutex // guards what follows, and the output
		all   turns
		errs  []error
	)
	more := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return all.hit < p.trials && ctx.Err() == nil
	}
	for i := range min(p.worlds, p.trials) {
		group.Go(func() {
			err := turnInWorld(ctx, p, uint64(i), more, func(t *turn) {
				mu.Lock()
				defer mu.Unlock()
				all.add(t)
				fmt.Printf("%3d  %s\n", all.trials, t)
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
	if all.hit < p.trials && len(errs) == 0 { // interrupted
		return ctx.Err()
	}
	fmt.Print("chaos: ", all.summary(time.Since(began)))
	r := evidence.New("chaos-checkout-"+p.store, "kill", fmt.Sprintf("make chaos-checkout TRIALS=%d STORE=%s", p.trials, p.store))
	r.Seconds = time.Since(began).Seconds()
	all.result(&r)
	return errors.Join(append(errs, r.Write(p.evidence))...)
}

func turnInWorld(ctx context.Context, p plan, stream uint64, more func() bool, done func(*turn)) (err error) {
	w, err := openVault(ctx, stage.Options{Bin: p.bin, Store: p.store}, rand.New(rand.NewPCG(p.seed, stream)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	w.Keep = p.keep
	for more() {
		t := w.trial(ctx, p.within)
		if ctx.Err() != nil {
			return nil
		}
		done(t)
		if len(t.violations) > 0 {
			w.Keep = true
			return errors.Join(fmt.Errorf("seed %d: %d violations; the state is in %s", p.seed, len(t.violations), w.Dir),
				w.As("root").Run(ctx, "audit", "export", "--out", "violated.jsonl").Failed(),
				os.WriteFile(filepath.Join(w.Dir, "violations.txt"), []byte(strings.Join(t.violations, "\n")+"\n"), 0o600),
				os.WriteFile(filepath.Join(w.Dir, "target.log"), []byte(w.Target.Log()), 0o600))
		}
	}
	return nil
}

// turnBlows are what happens to stintd in mid-rotation.
var turnBlows = []struct {
	weight int
	make   func(v *stage.Server) trial.Blow
}{
	{8, func(v *stage.Server) trial.Blow { return trial.Blow{Name: "kill", Strike: kill(v), Mend: start(v)} }},
	{3, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "kill, kill in start", Strike: kill(v), Mend: both(startAndKill(v), start(v))}
	}},
	{1, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "kill with target", Strike: killWithTarget(v), Mend: startWithTarget(v)}
	}},
}

func chooseTurn(r *rand.Rand, v *stage.Server) trial.Blow {
	sum := 0
	for _, b := range turnBlows {
		sum += b.weight
	}
	n := r.IntN(sum)
	for _, b := range turnBlows {
		if n -= b.weight; n < 0 {
			return b.make(v)
		}
	}
	panic("unreachable")
}

// turn is one kill, and what was found afterwards.
type turn struct {
	violations []string
	blow       string
	loaded     time.Duration // under load before the kill
	rotating   int           // accounts that were being rotated
	shut       int           // of them, those that the target had without a login
	lent       int           // secrets given to somebody so far in this trial
	tried      int           // dead secrets that were compared
	whole      time.Duration // from the mending until every account was ready
	took       time.Duration
}

func (t *turn) wrong(format string, args ...any) {
	t.violations = append(t.violations, fmt.Sprintf(format, args...))
}

func (t *turn) String() string {
	verdict := "ok"
	switch {
	case len(t.violations) > 0:
		verdict = "VIOLATED\n  " + strings.Join(t.violations, "\n  ")
	case t.rotating == 0:
		verdict = "ok, but nothing was being rotated: it does not count"
	}
	return fmt.Sprintf("%-20s after %4d ms  rotating %2d  without login %2d  lent %3d  dead %4d  ready again after %.2f s  %.2f s  %s",
		t.blow, t.loaded.Milliseconds(), t.rotating, t.shut, t.lent, t.tried, t.whole.Seconds(), t.took.Seconds(), verdict)
}

// turns are all of them.
type turns struct {
	trials, hit, rotating, shut, lent, tried int
	whole                                    []time.Duration
	violated                                 []string
}

func (a *turns) add(t *turn) {
	a.trials++
	if t.rotating > 0 {
		a.hit++
	}
	a.rotating, a.shut, a.lent, a.tried = a.rotating+t.rotating, a.shut+t.shut, a.lent+t.lent, a.tried+t.tried
	a.whole = append(a.whole, t.whole)
	a.violated = append(a.violated, t.violations...)
}

func (a *turns) at(percent int) time.Duration {
	if len(a.whole) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(a.whole))
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}

func (a *turns) summary(took time.Duration) string {
	return fmt.Sprintf("%d kills, %d in mid-rotation, of %d accounts, %d of them without a login at that moment; %d secrets lent, dead ones compared %d times; ready again p50 %d ms, worst %d ms; %d violations; %s\n",
		a.trials, a.hit, a.rotating, a.shut, a.lent, a.tried, a.at(50).Milliseconds(), a.at(100).Milliseconds(), len(a.violated), took.Round(time.Second))
}

func (a *turns) result(r *evidence.Result) {
	r.Passed, r.Violated = len(a.violated) == 0 && a.hit > 0, a.violated
	r.Invariants = []string{"I-02", "I-04", "L-01"}
	r.Count("kills in mid-rotation", float64(a.hit), "")
	r.Goal("accounts locked out, secrets unknown, returned secrets alive", float64(len(a.violated)), "", "0", len(a.violated) == 0, "")
	r.Count("rotations that were hit", float64(a.rotating), "")
	r.Count("of these, accounts without a login at that moment", float64(a.shut), "")
	r.Count("secrets lent", float64(a.lent), "")
	r.Count("comparisons of dead secrets with the target", float64(a.tried), "")
	if len(a.whole) > 0 {
		r.Count("from the mending until every account was ready, p50", float64(a.at(50).Milliseconds()), "ms")
		r.Count("from the mending until every account was ready, worst", float64(a.at(100).Milliseconds()), "ms")
	}
}
