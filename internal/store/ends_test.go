//go:build unix

package store_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"stint/internal/store"
)

// What ends access is done though every other way into the store is taken, and
// nobody lets go.
func TestEndsHaveMeansOfTheirOwn(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := d.open(t)
		hold := make(chan struct{})
		var held sync.WaitGroup
		release := sync.OnceFunc(func() { close(hold); held.Wait() })
		defer release()
		const many = 40 // more than there are connections, readers and turns
		inside := make(chan struct{}, many)
		for range many {
			held.Go(func() {
				_ = s.View(context.Background(), func(*store.Tx) error {
					inside <- struct{}{}
					<-hold
					return nil
				})
			})
		}
		<-inside // the others come as far as they get
		time.Sleep(50 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		if err := s.ViewEnds(ctx, func(*store.Tx) error { return nil }); err != nil {
			t.Errorf("a look for what is due waits behind other readers: %v", err)
		}
		if err := s.UpdateEnds(ctx, 1, func(tx *store.Tx) error { return tx.SaveSetting("over", []byte("yes")) }); err != nil {
			t.Errorf("an end waits behind readers: %v", err)
		}
	})
}

// The one writer of SQLite takes what ends access before what came earlier, and
// lets the others have their turn after a large one of these.
func TestEndsGoFirst(t *testing.T) {
	s := sqliteDatabase(t).open(t)
	begun, hold := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	var order []string
	var all sync.WaitGroup
	all.Go(func() {
		if err := s.Update(context.Background(), func(*store.Tx) error { close(begun); <-hold; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-begun
	// An end that is too large to share a commit leads one; it is not run twice.
	note := func(what string) func(*store.Tx) error {
		return func(*store.Tx) error {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, what)
			return nil
		}
	}
	queue := func(what string, do func(func(*store.Tx) error) error) {
		all.Go(func() {
			if err := do(note(what)); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(50 * time.Millisecond) // so that they wait in this order
	}
	ask := func(fn func(*store.Tx) error) error { return s.Update(context.Background(), fn) }
	end := func(things int) func(func(*store.Tx) error) error {
		return func(fn func(*store.Tx) error) error { return s.UpdateEnds(context.Background(), things, fn) }
	}
	queue("asked", ask)
	queue("asked", ask)
	queue("end", end(1))
	queue("large end", end(1000))
	queue("large end", end(1000))
	close(hold)
	all.Wait()
	want := []string{"end", "large end", "asked", "asked", "large end"}
	if !slices.Equal(order, want) {
		t.Errorf("done in the order %q, not %q", order, want)
	}
}

// One person's calls wait behind one of another's, however many those are.
func TestPersonsTakeTurns(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := d.open(t)
		hold := make(chan struct{})
		var all sync.WaitGroup
		defer all.Wait()
		release := sync.OnceFunc(func() { close(hold) })
		defer release()
		begun := make(chan struct{}, 100)
		for range 8 { // more than write at a time
			all.Go(func() {
				_ = s.Update(store.OnBehalf(context.Background(), "greedy"), func(*store.Tx) error { begun <- struct{}{}; <-hold; return nil })
			})
		}
		<-begun
		time.Sleep(50 * time.Millisecond)
		var mu sync.Mutex
		var order []string
		ask := func(who string) {
			all.Go(func() {
				if err := s.Update(store.OnBehalf(context.Background(), who), func(*store.Tx) error {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, who)
					return nil
				}); err != nil {
					t.Error(err)
				}
			})
		}
		waits := func(who string, n int) { // until so many stand in the line
			for end := time.Now().Add(time.Minute); s.Waiting(who) < n; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d of %s wait, not %d", s.Waiting(who), who, n)
				}
			}
		}
		for range 50 {
			ask("greedy")
		}
		waits("greedy", 50)
		ask("modest")
		waits("modest", 1)
		release()
		all.Wait()
		// Its turn is the second; TestLine holds that to the letter. Those whose turns
		// come next may overtake it where several write at a time and the machine is
		// busy. Who has no turn of its own comes at the place it asked at, the last.
		if at := slices.Index(order, "modest"); at < 0 || at > 25 {
			t.Errorf("the modest one's only call came at place %d of %d", at, len(order))
		}
	})
}
