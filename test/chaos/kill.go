package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"

	"stint/test/stage"
	"stint/test/trial"
)

// weighted is a blow and how often it comes.
type weighted struct {
	weight int
	make   func(victim *stage.Server) trial.Blow
}

// alone are the blows against a stintd that has no others: while it is down,
// nothing of Stint's works.
var alone = []weighted{
	{8, func(v *stage.Server) trial.Blow { return trial.Blow{Name: "kill", Strike: kill(v), Mend: start(v)} }},
	{3, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "freeze, kill", Strike: both(freeze(v), kill(v)), Mend: start(v)}
	}},
	{2, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "freeze, thaw, kill", Strike: both(freeze(v), thaw(v), kill(v)), Mend: start(v)}
	}},
	{2, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "freeze, thaw", Strike: freeze(v), Mend: thaw(v)}
	}},
	{4, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "kill, kill in start", Strike: kill(v), Mend: both(startAndKill(v), start(v))}
	}},
	{3, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "kill with target", Strike: killWithTarget(v), Mend: startWithTarget(v)}
	}},
}

// among are those against one of several: the others take over at once, and no
// end may come later because of it than it would have come anyway.
var among = []weighted{
	{6, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "kill one", Strike: kill(v), Mend: start(v), Spared: true}
	}},
	{3, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "freeze one, kill", Strike: both(freeze(v), kill(v)), Mend: start(v), Spared: true}
	}},
	{3, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "freeze one, thaw", Strike: freeze(v), Mend: thaw(v), Spared: true}
	}},
	{3, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "freeze, thaw, kill one", Strike: both(freeze(v), thaw(v), kill(v)), Mend: start(v), Spared: true}
	}},
	{3, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "kill one with target", Strike: killWithTarget(v), Mend: startWithTarget(v)}
	}},
	{3, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "kill all", Strike: onAll(kill), Mend: onAll(start)}
	}},
	{2, func(v *stage.Server) trial.Blow {
		return trial.Blow{Name: "freeze all, thaw", Strike: onAll(freeze), Mend: onAll(thaw)}
	}},
}

// choose takes a blow by its weight, and a stintd to deal it to.
func choose(w *trial.World) trial.Blow {
	blows := alone
	if len(w.Stage.Servers) > 1 {
		blows = among
	}
	sum := 0
	for _, b := range blows {
		sum += b.weight
	}
	n, victim := w.Rand.IntN(sum), w.Stage.Servers[w.Rand.IntN(len(w.Stage.Servers))]
	for _, b := range blows {
		if n -= b.weight; n < 0 {
			return b.make(victim)
		}
	}
	panic("unreachable")
}

// act is what a blow is made of.
type act = func(context.Context, *trial.World, *rand.Rand) error

func both(acts ...act) act {
	return func(ctx context.Context, w *trial.World, r *rand.Rand) error {
		for _, a := range acts {
			if err := a(ctx, w, r); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
}

// onAll does something to every stintd at the same time.
func onAll(of func(*stage.Server) act) act {
	return func(ctx context.Context, w *trial.World, r *rand.Rand) error {
		errs := make(chan error, len(w.Stage.Servers))
		for _, v := range w.Stage.Servers {
			mine := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
			go func() { errs <- of(v)(ctx, w, mine) }()
		}
		var all error
		for range w.Stage.Servers {
			all = errors.Join(all, <-errs)
		}
		return all
	}
}

func kill(v *stage.Server) act {
	return func(context.Context, *trial.World, *rand.Rand) error { return v.Kill() }
}

func start(v *stage.Server) act {
	return func(ctx context.Context, _ *trial.World, _ *rand.Rand) error { return v.Start(ctx) }
}

// freeze stops every thread of stintd where it is: calls of its stay open at the
// target, timers run late, and it knows nothing of the time that has passed.
func freeze(v *stage.Server) act {
	return func(ctx context.Context, _ *trial.World, r *rand.Rand) error {
		if err := v.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		trial.Rest(ctx, 500*time.Millisecond+time.Duration(r.Int64N(int64(2500*time.Millisecond))))
		return nil // also when interrupted: what follows ends it
	}
}

// thaw lets it go on, and goes on a moment later.
func thaw(v *stage.Server) act {
	return func(ctx context.Context, _ *trial.World, r *rand.Rand) error {
		if err := v.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		trial.Rest(ctx, time.Duration(r.Int64N(int64(300*time.Millisecond))))
		return nil
	}
}

// startAndKill kills stintd somewhere on its way up.
func startAndKill(v *stage.Server) act {
	return func(ctx context.Context, _ *trial.World, r *rand.Rand) error {
		began := make(chan error, 1)
		go func() { began <- v.Start(ctx) }()
		trial.Rest(ctx, time.Duration(r.Int64N(int64(150*time.Millisecond))))
		err := v.Kill()
		<-began // its error is our doing; or it was faster than we
		if err != nil {
			return err
		}
		return v.Kill() // the first may have come before the start
	}
}

func killWithTarget(v *stage.Server) act {
	return func(_ context.Context, w *trial.World, r *rand.Rand) error {
		if r.IntN(2) == 0 {
			return errors.Join(w.Stage.Target.Kill(), v.Kill())
		}
		return errors.Join(v.Kill(), w.Stage.Target.Kill())
	}
}

// startWithTarget starts both again, in either order.
func startWithTarget(v *stage.Server) act {
	return func(ctx context.Context, w *trial.World, r *rand.Rand) error {
		if r.IntN(2) == 0 {
			return errors.Join(w.Stage.Target.Restart(), v.Start(ctx))
		}
		return errors.Join(v.Start(ctx), w.Stage.Target.Restart())
	}
}
