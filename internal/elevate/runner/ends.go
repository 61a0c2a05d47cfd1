package runner

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"stint/internal/api"
)

// Cutter says which commands somebody wants to end.
type Cutter interface {
	// FollowHostCuts hands them over as it becomes known, until the stream ends, those that
	// are to end already at its beginning.
	FollowHostCuts(ctx context.Context, ready func(), cut func(api.SessionCut)) error
}

// Ends ends commands that somebody wants to end. It takes nothing but ends: who forges one can
// stop a command, and start none. It listens while a command runs, and not else, so that a
// thousand hosts on which nothing happens cost nothing.
type Ends struct {
	from Cutter
	log  *slog.Logger
	bell chan struct{} // what runs has changed

	mu      sync.Mutex
	running map[string]*show
}

const (
	linger     = 10 * time.Second // behind the last command
	cutAgain   = time.Second      // after a stream that failed
	cutAtMost  = 15 * time.Second
	killedText = "killed" // the reason of an end that somebody wanted; others are ends of access
)

// NewEnds makes one; nothing happens until Run.
func NewEnds(from Cutter, log *slog.Logger) *Ends {
	return &Ends{from: from, log: log, bell: make(chan struct{}, 1), running: map[string]*show{}}
}

func (e *Ends) add(x *show) {
	e.mu.Lock()
	e.running[x.id] = x
	e.mu.Unlock()
	e.ring()
}

func (e *Ends) remove(x *show) {
	e.mu.Lock()
	delete(e.running, x.id)
	e.mu.Unlock()
	e.ring()
}

func (e *Ends) ring() {
	select {
	case e.bell <- struct{}{}:
	default:
	}
}

func (e *Ends) any() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.running) > 0
}

// Run listens until ctx ends.
func (e *Ends) Run(ctx context.Context) {
	again := cutAgain
	for ctx.Err() == nil {
		if !e.any() {
			select {
			case <-e.bell:
			case <-ctx.Done():
			}
			continue
		}
		stood, err := e.listen(ctx)
		if stood {
			again = cutAgain
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		e.log.Debug("it is not known which commands are to end; asked again", "again_in", again, "error", err)
		select {
		case <-time.After(again):
		case <-ctx.Done():
		}
		again = min(2*again, cutAtMost)
	}
}

// listen holds one stream while something runs.
func (e *Ends) listen(ctx context.Context) (stood bool, err error) {
	held, stop := context.WithCancel(ctx)
	defer stop()
	var idle sync.WaitGroup
	defer idle.Wait()
	defer stop() // before it is waited for
	idle.Go(func() {
		for {
			var over <-chan time.Time
			if !e.any() {
				over = time.After(linger)
			}
			select {
			case <-over:
				stop()
				return
			case <-e.bell:
			case <-held.Done():
				return
			}
		}
	})
	err = e.from.FollowHostCuts(held, func() { stood = true }, e.cut)
	if held.Err() != nil {
		err = nil
	}
	return stood, err
}

func (e *Ends) cut(c api.SessionCut) {
	e.mu.Lock()
	x := e.running[c.Session]
	e.mu.Unlock()
	switch {
	case x == nil || c.Look:
	case c.Reason == killedText:
		x.endBecause(c.Text)
	default:
		x.cutBecause(cutOver)
	}
}
