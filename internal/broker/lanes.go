package broker

import (
	"context"
	"sync"
	"time"

	"stint/internal/access"
)

// lanes keep the work of places apart: each place has one lane for what is to
// be made and one for what is to be removed, so that neither a silent target
// nor a flood of requests delays a removal elsewhere. A lane exists while it
// has work. Over all lanes the number of calls in flight is bounded, and lanes
// whose last call got no answer share half of it at most.
type lanes struct {
	b        *Broker
	making   bulkhead
	removing bulkhead

	mu   sync.Mutex
	ctx  context.Context // nil until Run; work before that waits for the due loop
	busy map[access.Work]*lane
	wg   sync.WaitGroup
}

// lane is the work of one kind at one place. again is guarded by lanes.mu.
type lane struct {
	again bool // kicked while running
	slots chan struct{}
}

// perPlace bounds the creating calls in flight at one place.
const perPlace = 24

func newLanes(b *Broker) *lanes {
	return &lanes{b: b, making: newBulkhead(256), removing: newBulkhead(256), busy: map[access.Work]*lane{}}
}

func (l *lanes) open(ctx context.Context) {
	l.mu.Lock()
	l.ctx = ctx
	l.mu.Unlock()
	l.b.alarm.set(time.Unix(0, 1)) // look at once at what was left to do
}

func (l *lanes) wait() { l.wg.Wait() }

// kick makes sure that the lane of w looks for work after this call.
func (l *lanes) kick(w access.Work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil || l.ctx.Err() != nil {
		return
	}
	if x := l.busy[w]; x != nil {
		x.again = true
		return
	}
	x := &lane{slots: make(chan struct{}, perPlace)}
	l.busy[w] = x
	l.wg.Go(func() { l.run(l.ctx, w, x) })
}

// run works until a look finds nothing and no kick came meanwhile.
func (l *lanes) run(ctx context.Context, w access.Work, x *lane) {
	for {
		l.mu.Lock()
		x.again = false
		l.mu.Unlock()
		var found bool
		if w.Removals {
			found = l.b.removeDue(ctx, w)
		} else {
			found = l.b.provisionDue(ctx, w, x)
		}
		l.mu.Lock()
		if !found && !x.again || ctx.Err() != nil {
			delete(l.busy, w)
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
	}
}

// take starts at once what this replica has just leased to itself, without a
// look at the store.
func (l *lanes) take(fx effects) {
	if len(fx.mine) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil || l.ctx.Err() != nil {
		return // the lease lapses, and whoever runs then takes it up
	}
	for _, id := range fx.mine {
		e, _ := fx.ents.get(id)
		var holders []access.Grant
		for _, h := range fx.holds.newest() {
			if h.Entitlement == id {
				g, _ := fx.grants.get(h.Grant)
				holders = append(holders, g)
			}
		}
		l.wg.Go(func() { l.b.provision(l.ctx, fx.owner, e, holders) })
	}
}

// bulkhead bounds calls in flight; those to silent targets get half of it.
type bulkhead struct {
	all, silent chan struct{}
	mu          *sync.Mutex
	quiet       map[access.Place]bool // whose last call got no answer
}

func newBulkhead(n int) bulkhead {
	return bulkhead{all: make(chan struct{}, n), silent: make(chan struct{}, n/2), mu: &sync.Mutex{}, quiet: map[access.Place]bool{}}
}

// enter waits for room and returns the function that leaves, to be called with
// whether the target answered. It reports false when ctx ended first.
func (k bulkhead) enter(ctx context.Context, p access.Place) (leave func(answered bool), ok bool) {
	k.mu.Lock()
	quiet := k.quiet[p]
	k.mu.Unlock()
	if quiet {
		select {
		case k.silent <- struct{}{}:
		case <-ctx.Done():
			return nil, false
		}
	}
	select {
	case k.all <- struct{}{}:
	case <-ctx.Done():
		if quiet {
			<-k.silent
		}
		return nil, false
	}
	return func(answered bool) {
		<-k.all
		if quiet {
			<-k.silent
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if answered {
			delete(k.quiet, p)
		} else {
			k.quiet[p] = true
		}
	}, true
}
