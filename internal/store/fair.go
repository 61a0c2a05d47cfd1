package store

import (
	"context"
	"sync"
)

// OnBehalf marks what is done under a context as done for somebody. Of those who
// wait for the store, each has its turn after one of every other's: a thousand
// calls of one person cost another person's one call one of them. "" is the system,
// and has its turn like a person.
func OnBehalf(ctx context.Context, who string) context.Context {
	if who == behalfOf(ctx) {
		return ctx
	}
	return context.WithValue(ctx, behalfKey{}, who)
}

type behalfKey struct{}

func behalfOf(ctx context.Context) string { who, _ := ctx.Value(behalfKey{}).(string); return who }

// line is what waits, in the order in which it is to be had: those who wait take
// turns, and what one of them has there keeps its order. The zero line is empty.
type line[T any] struct {
	of   map[string][]T // never with an empty list
	next []string       // whose turn it is, in order; each once
}

func (l *line[T]) empty() bool { return len(l.next) == 0 }

func (l *line[T]) push(who string, v T) {
	if l.of == nil {
		l.of = map[string][]T{}
	}
	if len(l.of[who]) == 0 {
		l.next = append(l.next, who)
	}
	l.of[who] = append(l.of[who], v)
}

// first is what pop would give. The line must not be empty.
func (l *line[T]) first() T { return l.of[l.next[0]][0] }

// pop takes the first out; whose it was stands last now. The line must not be empty.
func (l *line[T]) pop() T {
	who := l.next[0]
	l.next = l.next[1:]
	vs := l.of[who]
	v := vs[0]
	var none T
	vs[0] = none
	if vs = vs[1:]; len(vs) > 0 {
		l.of[who] = vs
		l.next = append(l.next, who)
	} else {
		delete(l.of, who)
	}
	return v
}

// turnstile lets so many through at a time, those who wait by turns.
type turnstile struct {
	mu      sync.Mutex
	free    int
	waiting line[*waiter]
}

// waiter is closed when it is let through; gone when it no longer wants to be.
type waiter struct {
	through chan struct{}
	gone    bool
}

func newTurnstile(n int) *turnstile { return &turnstile{free: n} }

// enter waits for its turn; who got through must leave. The error is the context's.
func (t *turnstile) enter(ctx context.Context) error {
	t.mu.Lock()
	if t.free > 0 { // then nobody waits
		t.free--
		t.mu.Unlock()
		return nil
	}
	w := &waiter{through: make(chan struct{})}
	t.waiting.push(behalfOf(ctx), w)
	t.mu.Unlock()
	select {
	case <-w.through:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-w.through: // just now; it is for the next
		t.pass()
	default:
		w.gone = true
	}
	return ctx.Err()
}

func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass()
}

// pass lets the next one through, under the lock.
func (t *turnstile) pass() {
	for !t.waiting.empty() {
		if w := t.waiting.pop(); !w.gone {
			close(w.through)
			return
		}
	}
	t.free++
}
