package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stint/internal/api"
)

// trial is one kill, and what was found afterwards.
type trial struct {
	n          int
	blow       blow
	loaded     time.Duration // under load before the blow
	down       time.Duration // from the death to ready
	took       time.Duration
	asked      int // questions
	granted    int // grants that were active
	sessions   int
	lost       int             // calls without an answer
	refused    map[string]int  // refusals by their code
	due        []time.Duration // accounts due while it was down: gone so long after ready
	late       []time.Duration // the others: gone so long after their end
	violations []string
}

func (t *trial) wrong(format string, args ...any) {
	t.violations = append(t.violations, fmt.Sprintf(format, args...))
}

// trial runs one. What goes wrong on the way is a violation too.
func (w *world) trial(ctx context.Context, n int) *trial {
	began := time.Now()
	t := &trial{n: n, blow: chooseBlow(w.rand)}
	eye := begin(ctx, w.oracle)
	load := w.begin(ctx, n)
	t.loaded = time.Duration(w.rand.Int64N(int64(1500 * time.Millisecond)))
	rest(ctx, t.loaded)
	err := t.blow.strike(ctx, w, w.rand)
	dead := time.Now()
	if err == nil {
		err = w.revive(ctx, t.blow, w.rand)
	}
	ready := time.Now()
	t.down = ready.Sub(dead)
	rest(ctx, 300*time.Millisecond) // what is found on starting is dealt with under load
	load.end()
	t.lost, t.refused = int(load.lost.Load()), load.refused
	if err != nil {
		t.wrong("%v", err)
	} else {
		w.settle(ctx, t)
	}
	seen := eye.end()
	if len(t.violations) == 0 && ctx.Err() == nil {
		w.compare(ctx, t, seen, dead, ready)
	}
	if ctx.Err() != nil {
		t.violations = nil // interrupted; what was seen says nothing
	}
	t.took = time.Since(began)
	return t
}

// settle lets everything expire: while a grant is on its way or has time left,
// everything may still be there; from the last end on the target has to be clean
// within `quiet`, and the records have to say so `inFlight` later at the latest.
func (w *world) settle(ctx context.Context, t *trial) {
	stopped := time.Now()
	quietBy := stopped.Add(quiet)
	for ctx.Err() == nil {
		left, err := w.oracle.Left(ctx)
		var running, ending []string
		if err == nil {
			running, ending, err = w.live(ctx)
		}
		now := time.Now()
		switch {
		case err == nil && left == "" && len(running)+len(ending) == 0:
			return
		case len(running) > 0 && now.Sub(stopped) < patience:
			quietBy = now.Add(quiet)
		case now.Before(quietBy):
		case err == nil && left == "" && len(running) == 0 && now.Before(quietBy.Add(inFlight)):
		case err != nil:
			t.wrong("cannot look after it: %v", err)
			return
		default:
			t.wrong("%s after the load has stopped there is still: on the target %s; grants %s", seconds(now.Sub(stopped)), left, strings.Join(append(running, ending...), "; "))
			return
		}
		rest(ctx, 20*time.Millisecond)
	}
}

// patience is how long grants may be on their way when the load has stopped: what
// was being set up at the death is taken up again when that call cannot be in
// flight any more, and has its whole time then.
const patience = 15 * time.Second

// live says which grants are on their way or have time left, and which should be
// over.
func (w *world) live(ctx context.Context) (running, ending []string, err error) {
	for r, err := range api.Each(func(cursor string) (api.Page[api.Request], error) {
		return w.boss.Grants(ctx, api.List{Cursor: cursor})
	}) {
		if err != nil {
			return nil, nil, err
		}
		g := r.Grant
		if g == nil || g.State == api.GrantEnded || g.State == api.GrantFailed {
			continue
		}
		line := fmt.Sprintf("%s, %s, until %s", g.ID, g.State, g.ExpiresAt)
		if g.State == api.GrantEnding || g.State == api.GrantActive && time.Now().After(g.ExpiresAt.Time) {
			ending = append(ending, line)
		} else {
			running = append(running, line)
		}
	}
	return running, ending, nil
}

// String is the trial's line.
func (t *trial) String() string {
	verdict := "ok"
	if len(t.violations) > 0 {
		verdict = "VIOLATED\n  " + strings.Join(t.violations, "\n  ")
	}
	gone := "-"
	if len(t.due) > 0 {
		gone = seconds(worst(t.due))
	}
	return fmt.Sprintf("%3d  %-19s after %s  down %s  asked %3d  grants %3d  sessions %3d  lost calls %3d  due meanwhile %2d, gone %s after ready  %s  %s",
		t.n, t.blow.name, seconds(t.loaded), seconds(t.down), t.asked, t.granted, t.sessions, t.lost, len(t.due), gone, seconds(t.took), verdict)
}
