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
// has work. Over all lanes the number of calls in flight is bounded, for one
// place to a share of it, and lanes whose last call got no answer share half of
// it at most.
type lanes struct {
	b        *Broker
	making   *bulkhead
	removing *bulkhead

	mu   sync.Mutex
	ctx  context.Context // nil unless Run runs; work then waits for the next due loop
	busy map[access.Work]*lane
	soon []effects // what was leased before Run, for it to begin with
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
	soon := l.soon
	l.soon = nil
	l.mu.Unlock()
	for _, fx := range soon {
		l.take(fx)
	}
	l.b.alarm.set(time.Unix(0, 1)) // look at once at what was left to do
}

// close lets nothing new begin and waits for what is under way.
func (l *lanes) close() {
	l.mu.Lock()
	l.ctx = nil
	l.mu.Unlock()
	l.wg.Wait()
}

func (l *lanes) isOpen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctx != nil && l.ctx.Err() == nil
}

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
	ctx := l.ctx
	l.wg.Go(func() { l.run(ctx, w, x) })
}

// run works until a look finds nothing and no kick came meanwhile.
func (l *lanes) run(ctx context.Context, w access.Work, x *lane) {
	ctx = withWork(ctx, string(w.Place))
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
	switch {
	case l.ctx == nil:
		l.soon = append(l.soon, fx)
		return
	case l.ctx.Err() != nil:
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
		ctx := l.ctx
		l.wg.Go(func() { l.b.provision(ctx, fx.owner, e, holders) })
	}
}

// bulkhead bounds calls in flight: all of them, those at one place to a share, so
// that a target which has just fallen silent keeps no other from work, and those
// to targets known to be silent together to half.
type bulkhead struct {
	all, silent chan struct{}

	mu     sync.Mutex
	places map[access.Place]*share
	quiet  map[access.Place]bool // whose last call got no answer
}

// share is a place's part of a bulkhead; it exists while somebody is in it or
// waits for it. users is guarded by bulkhead.mu.
type share struct {
	slots chan struct{}
	users int
}

func newBulkhead(n int) *bulkhead {
	return &bulkhead{all: make(chan struct{}, n), silent: make(chan struct{}, n/2), places: map[access.Place]*share{}, quiet: map[access.Place]bool{}}
}

// enter waits for room and returns the function that leaves, to be called with
// whether the target answered. It reports false when ctx ended first.
func (k *bulkhead) enter(ctx context.Context, p access.Place) (leave func(answered bool), ok bool) {
	own := k.join(p)
	var in []chan struct{}
	out := func() {
		for _, room := range in {
			<-room
		}
		k.leave(p, own)
	}
	through := func(room chan struct{}) bool {
		if ctx.Err() != nil {
			return false // also where there is room: a call whose time is over is not begun
		}
		select {
		case room <- struct{}{}:
			in = append(in, room)
			return true
		case <-ctx.Done():
			return false
		}
	}
	if !through(own.slots) || k.isQuiet(p) && !through(k.silent) || !through(k.all) {
		out()
		return nil, false
	}
	return func(answered bool) {
		out()
		k.mu.Lock()
		defer k.mu.Unlock()
		if answered {
			delete(k.quiet, p)
		} else {
			k.quiet[p] = true
		}
	}, true
}

func (k *bulkhead) isQuiet(p access.Place) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.quiet[p]
}

// join gives the share of a place; who joined must leave.
func (k *bulkhead) join(p access.Place) *share {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.places[p]
	if s == nil {
		s = &share{slots: make(chan struct{}, cap(k.all)/8)}
		k.places[p] = s
	}
	s.users++
	return s
}

func (k *bulkhead) leave(p access.Place, s *share) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(k.places, p)
	}
}
