package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"
)

// blow is one way to hit stintd. It returns when stintd is dead.
type blow struct {
	name   string
	weight int
	strike func(ctx context.Context, w *world, r *rand.Rand) error
	// again, if set, kills it also while it starts.
	again bool
	// target is set where the target dies with it.
	target bool
}

var blows = []blow{
	{name: "kill", weight: 8, strike: kill},
	{name: "freeze, kill", weight: 3, strike: freezeAndKill},
	{name: "freeze, thaw, kill", weight: 2, strike: freezeThawAndKill},
	{name: "kill, kill in start", weight: 4, strike: kill, again: true},
	{name: "kill with target", weight: 3, strike: killWithTarget, target: true},
}

func chooseBlow(r *rand.Rand) blow {
	sum := 0
	for _, b := range blows {
		sum += b.weight
	}
	n := r.IntN(sum)
	for _, b := range blows {
		if n -= b.weight; n < 0 {
			return b
		}
	}
	panic("unreachable")
}

func kill(_ context.Context, w *world, _ *rand.Rand) error { return w.stage.Kill() }

// freeze stops every thread of stintd where it is: calls of its stay open at the
// target, timers run late, and it knows nothing of the time that has passed.
func freeze(ctx context.Context, w *world, r *rand.Rand) error {
	if err := w.stage.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if !rest(ctx, 500*time.Millisecond+time.Duration(r.Int64N(int64(1500*time.Millisecond)))) {
		return ctx.Err()
	}
	return nil
}

func freezeAndKill(ctx context.Context, w *world, r *rand.Rand) error {
	return errors.Join(freeze(ctx, w, r), w.stage.Kill())
}

func freezeThawAndKill(ctx context.Context, w *world, r *rand.Rand) error {
	if err := freeze(ctx, w, r); err != nil {
		return err
	}
	if err := w.stage.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	rest(ctx, time.Duration(r.Int64N(int64(300*time.Millisecond))))
	return w.stage.Kill()
}

func killWithTarget(_ context.Context, w *world, r *rand.Rand) error {
	if r.IntN(2) == 0 {
		return errors.Join(w.stage.Target.Kill(), w.stage.Kill())
	}
	return errors.Join(w.stage.Kill(), w.stage.Target.Kill())
}

// revive starts stintd again, and the target where it was killed too, in either
// order. It returns when stintd serves.
func (w *world) revive(ctx context.Context, b blow, r *rand.Rand) error {
	if b.target && r.IntN(2) == 0 {
		if err := w.stage.Target.Restart(); err != nil {
			return err
		}
		b.target = false
	}
	if b.again {
		began := make(chan error, 1)
		go func() { began <- w.stage.Start(ctx) }()
		rest(ctx, time.Duration(r.Int64N(int64(150*time.Millisecond))))
		err := w.stage.Kill()
		<-began // its error is our doing; or it was faster than we
		if err != nil {
			return err
		}
		// The kill may have come before the start.
		if err := w.stage.Kill(); err != nil {
			return err
		}
	}
	if err := w.stage.Start(ctx); err != nil {
		return err
	}
	if b.target {
		return w.stage.Target.Restart()
	}
	return nil
}
