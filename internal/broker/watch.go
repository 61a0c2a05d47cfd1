package broker

import (
	"context"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
)

// watch tells waiters in this process that a request or its grant changed.
// Other replicas tell of their changes; what they did not is found by looking
// again.
type watch struct {
	mu      sync.Mutex
	waiting map[access.RequestID]map[chan struct{}]bool
}

// lookAgain is how often a waiter looks for changes by other replicas, and
// lookSeldom how often while they tell of them.
const (
	lookAgain  = 500 * time.Millisecond
	lookSeldom = 2 * time.Second
)

// wholeID is the length of an id that is no abbreviation.
const wholeID = len("req_") + 26

func newWatch() *watch { return &watch{waiting: map[access.RequestID]map[chan struct{}]bool{}} }

func (w *watch) join(id access.RequestID) chan struct{} {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting[id] == nil {
		w.waiting[id] = map[chan struct{}]bool{}
	}
	w.waiting[id][ch] = true
	return ch
}

func (w *watch) leave(id access.RequestID, ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delete(w.waiting[id], ch); len(w.waiting[id]) == 0 {
		delete(w.waiting, id)
	}
}

// changed wakes the waiters of the ids.
func (w *watch) changed(ids ...access.RequestID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		for ch := range w.waiting[id] {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
}

// Wait returns the view of a request once enough says so, or the newest view
// when ctx is done.
func (b *Broker) Wait(ctx context.Context, c Caller, id string, enough func(View) bool) (View, error) {
	// It watches first and looks then: what changes in between is not missed, and
	// the one look that most waits need is not made twice.
	rid := access.RequestID(id)
	if !strings.HasPrefix(id, "req_") || len(id) != wholeID {
		v, err := b.View(ctx, c, id)
		if err != nil || enough(v) {
			return v, err
		}
		rid = v.Request.ID
	}
	var v View
	ch := b.watch.join(rid)
	defer b.watch.leave(rid, ch)
	t := time.NewTimer(b.lookAgain())
	defer t.Stop()
	for {
		next, err := b.View(ctx, c, string(rid))
		switch {
		case err != nil && ctx.Err() != nil && v.Request.ID != "":
			return v, nil
		case err != nil || enough(next):
			return next, err
		}
		v = next
		t.Reset(b.lookAgain())
		select {
		case <-ctx.Done():
			return v, nil
		case <-ch:
		case <-t.C:
		}
	}
}
