package trial

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"stint/internal/api"
)

// Blow is one thing that goes wrong under load.
type Blow struct {
	Name string
	// Strike does it, and returns when it is done.
	Strike func(ctx context.Context, w *World, r *rand.Rand) error
	// Mend puts right what does not mend itself, and returns when it is.
	Mend func(ctx context.Context, w *World, r *rand.Rand) error
	// After, if set, gets ready for the next trial.
	After func(ctx context.Context) error
	// Spared says that others go on serving all the while, so that no end may come
	// late because of it.
	Spared bool
	// Smooth says that who waits two seconds notices nothing: no call that takes
	// access away may fail.
	Smooth bool
	// Within is how soon after its end everything must be gone and recorded; 0 is
	// five seconds.
	Within time.Duration
}

// Trial is one blow, and what was found afterwards.
type Trial struct {
	Violations []string

	n        int
	within   time.Duration // everything must be gone and recorded
	blow     string
	loaded   time.Duration // under load before the blow
	down     time.Duration // from the blow until it was mended
	took     time.Duration // without what comes after
	asked    int           // questions
	granted  int           // grants that were active
	sessions int
	lost     int             // calls without an answer
	ended    int             // calls that took access away
	unended  int             // of these, those that failed
	refused  map[string]int  // refusals by their code
	due      []time.Duration // accounts due while it was down: gone so long after it was mended
	late     []time.Duration // the others: gone so long after their end
	quiet    time.Duration   // from the end of the last grant until everything was gone, and recorded
}

func (t *Trial) wrong(format string, args ...any) {
	t.Violations = append(t.Violations, fmt.Sprintf(format, args...))
}

// Trial runs one. What goes wrong on the way is a violation too.
func (w *World) Trial(ctx context.Context, n int, b Blow) *Trial {
	began := time.Now()
	t := &Trial{n: n, blow: b.Name, within: cmp.Or(b.Within, quiet)}
	eye := begin(ctx, w.oracle)
	load := w.begin(ctx, n)
	t.loaded = time.Duration(w.Rand.Int64N(int64(1500 * time.Millisecond)))
	Rest(ctx, t.loaded)
	dead := time.Now()
	err := b.Strike(ctx, w, w.Rand)
	if err == nil {
		err = b.Mend(ctx, w, w.Rand)
	}
	ready := time.Now()
	t.down = ready.Sub(dead)
	if b.Spared {
		ready = dead
	}
	Rest(ctx, 300*time.Millisecond) // what is found on starting is dealt with under load
	load.end()
	t.lost, t.refused, t.ended = int(load.lost.Load()), load.refused, int(load.ended.Load())
	if t.unended = len(load.unended); b.Smooth {
		for _, why := range load.unended {
			t.wrong("a call that takes access away failed: %s", why)
		}
	}
	if err != nil {
		t.wrong("%v", err)
	} else {
		w.settle(ctx, t)
	}
	seen := eye.end()
	if len(t.Violations) == 0 && ctx.Err() == nil {
		w.compare(ctx, t, seen, dead, ready)
	}
	t.took = time.Since(began)
	if b.After != nil && len(t.Violations) == 0 && ctx.Err() == nil {
		if err := b.After(ctx); err != nil {
			t.wrong("%v", err)
		}
	}
	if ctx.Err() != nil {
		t.Violations = nil // interrupted; what was seen says nothing
	}
	return t
}

// settle lets everything expire: while a grant is on its way or has time left,
// everything may still be there; from the last end on, the target has to be clean
// and the records have to say so in time.
func (w *World) settle(ctx context.Context, t *Trial) {
	stopped := time.Now()
	last := stopped
	for ctx.Err() == nil {
		left, err := w.oracle.Left(ctx)
		var running, ending []string
		if err == nil {
			running, ending, err = w.live(ctx)
		}
		now := time.Now()
		switch {
		case err == nil && left == "" && len(running)+len(ending) == 0:
			t.quiet = now.Sub(last)
			return
		case len(running) > 0 && now.Sub(stopped) < patience:
			last = now
		case now.Sub(last) < t.within:
		case err != nil:
			t.wrong("cannot look after it: %v", err)
			return
		default:
			t.wrong("%s after the load has stopped, and %s after the last end, there is still: on the target %s; grants %s",
				seconds(now.Sub(stopped)), seconds(now.Sub(last)), left, strings.Join(append(running, ending...), "; "))
			return
		}
		Rest(ctx, 20*time.Millisecond)
	}
}

// patience is how long grants may be on their way when the load has stopped: what
// was being set up at the death is taken up again when that call cannot be in
// flight any more, and has its whole time then.
const patience = 15 * time.Second

// live says which grants are on their way or have time left, and which should be
// over.
func (w *World) live(ctx context.Context) (running, ending []string, err error) {
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
func (t *Trial) String() string {
	verdict := "ok"
	if len(t.Violations) > 0 {
		verdict = "VIOLATED\n  " + strings.Join(t.Violations, "\n  ")
	}
	gone := "-"
	if len(t.due) > 0 {
		gone = seconds(worst(t.due))
	}
	return fmt.Sprintf("%3d  %-22s after %s  down %s  asked %3d  grants %3d  sessions %3d  lost calls %3d  due meanwhile %2d, gone %s after ready  quiet %s  %s  %s",
		t.n, t.blow, seconds(t.loaded), seconds(t.down), t.asked, t.granted, t.sessions, t.lost, len(t.due), gone, seconds(t.quiet), seconds(t.took), verdict)
}
