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
	waiting map[access.RequestID]map[chan news]bool
	stirred map[chan struct{}]bool // of those that look at all of something
}

// news is what a transaction that was committed left of a request's grant; the
// grant is nil where it changed something else.
type news struct {
	grant *access.Grant
	now   time.Time // the transaction's
}

// lookAgain is how often a waiter looks for changes by other replicas, and
// lookSeldom how often while they tell of them.
const (
	lookAgain  = 500 * time.Millisecond
	lookSeldom = 2 * time.Second
)

// wholeID is the length of an id that is no abbreviation.
const wholeID = len("req_") + 26

func newWatch() *watch {
	return &watch{waiting: map[access.RequestID]map[chan news]bool{}, stirred: map[chan struct{}]bool{}}
}

// stirs gives what is sent to whenever anything changed, until leave is called.
func (w *watch) stirs() (ch <-chan struct{}, leave func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stirred[c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.stirred, c)
	}
}

func (w *watch) join(id access.RequestID) chan news {
	ch := make(chan news, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting[id] == nil {
		w.waiting[id] = map[chan news]bool{}
	}
	w.waiting[id][ch] = true
	return ch
}

func (w *watch) leave(id access.RequestID, ch chan news) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delete(w.waiting[id], ch); len(w.waiting[id]) == 0 {
		delete(w.waiting, id)
	}
}

// changed wakes those who wait for what a committed transaction changed, and hands
// them what it left of the grant, which they need not read again.
func (w *watch) changed(fx *effects) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(fx.changed) > 0 {
		for ch := range w.stirred {
			select {
			case ch <- struct{}{}:
			default: // it looks soon
			}
		}
	}
	if len(w.waiting) == 0 {
		return
	}
	left := map[access.RequestID]news{}
	for _, g := range fx.grants.newest() {
		left[g.Request] = news{&g, fx.now}
	}
	for _, id := range fx.changed {
		said := left[id]
		for ch := range w.waiting[id] {
			select {
			case <-ch: // older news
			default:
			}
			ch <- said // there is room: only this function sends, under the lock
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
		case said := <-ch:
			if next, ok := v.with(said); ok && enough(next) {
				return next, nil
			}
		case <-t.C:
		}
	}
}

// with is the view after news of an active grant, of which nothing else shows. It
// is for whoever was allowed to see v; what has another shape is read anew.
func (v View) with(said news) (View, bool) {
	g := said.grant
	if g == nil || g.State != access.Active || v.Grant == nil || v.Grant.ID != g.ID || g.Version <= v.Grant.Version {
		return v, false
	}
	v.Grant, v.Problem, v.Now = g, g.SetupError, said.now
	return v, true
}
