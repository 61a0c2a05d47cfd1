package trial

import (
	"context"
	"sync"
	"time"

	"stint/test/stage"
)

// watch looks at the target all the time, and remembers which accounts were
// there, as which object, and until when.
type watch struct {
	stop context.CancelFunc
	done chan struct{}

	mu   sync.Mutex
	seen map[string]*sighting // by account name
}

type sighting struct {
	oids  map[string]bool
	last  time.Time // of the last look that saw it
	after time.Time // of the first look after that, which did not
}

func begin(ctx context.Context, o *stage.Oracle) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{stop: cancel, done: make(chan struct{}), seen: map[string]*sighting{}}
	go func() {
		defer close(w.done)
		for more := true; more; {
			more = Rest(ctx, 5*time.Millisecond)                               // and one last look after the end
			if now, err := o.Objects(context.WithoutCancel(ctx)); err == nil { // else the target is away
				w.look(now)
			}
		}
	}()
	return w
}

func (w *watch) look(now map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := time.Now()
	for name, oid := range now {
		s := w.seen[name]
		if s == nil {
			s = &sighting{oids: map[string]bool{}}
			w.seen[name] = s
		}
		s.oids[oid], s.last, s.after = true, at, time.Time{}
	}
	for name, s := range w.seen {
		if _, there := now[name]; !there && s.after.IsZero() {
			s.after = at
		}
	}
}

// end stops watching and gives what was seen.
func (w *watch) end() map[string]*sighting {
	w.stop()
	<-w.done
	return w.seen
}
