package store

import (
	"context"
	"slices"
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	var l line[string]
	for _, v := range []string{"a1", "a2", "a3", "b1", "c1", "b2"} {
		l.push(v[:1], v)
	}
	var got []string
	for !l.empty() {
		first := l.first()
		if v := l.pop(); v != first {
			t.Errorf("first is %s and pop gives %s", first, v)
		} else {
			got = append(got, v)
		}
		if len(got) == 4 {
			l.push("d", "d1") // comes last, and before the third of another
		}
	}
	if want := []string{"a1", "b1", "c1", "a2", "b2", "a3", "d1"}; !slices.Equal(got, want) {
		t.Errorf("the order is %q, not %q", got, want)
	}
	if len(l.of) != 0 || len(l.next) != 0 {
		t.Errorf("an empty line keeps %v", l)
	}
}

// Who gives up waiting takes nobody's turn and loses none.
func TestTurnstile(t *testing.T) {
	ts := newTurnstile(1)
	ctx := context.Background()
	if err := ts.enter(ctx); err != nil {
		t.Fatal(err)
	}
	impatient, giveUp := context.WithCancel(ctx)
	left := make(chan error)
	go func() { left <- ts.enter(impatient) }()
	in := make(chan error)
	for range 2 {
		go func() { in <- ts.enter(OnBehalf(ctx, "other")) }()
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		ts.mu.Lock()
		n := len(ts.waiting.of[""]) + len(ts.waiting.of["other"])
		ts.mu.Unlock()
		if n == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, not 3", n)
		}
	}
	giveUp()
	if err := <-left; err != context.Canceled {
		t.Errorf("who gives up gets %v", err)
	}
	for range 2 {
		ts.leave()
		if err := <-in; err != nil {
			t.Error(err)
		}
	}
	select {
	case err := <-in:
		t.Errorf("one too many came through: %v", err)
	default:
	}
	ts.leave()
	if ts.free != 1 || !ts.waiting.empty() {
		t.Errorf("%d of 1 are free at the end", ts.free)
	}
}
