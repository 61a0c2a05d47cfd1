package broker

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestLoopsSleepWhileGlancesSaySo: a loop sleeps while glances say that there is
// nothing for it, looks at the moments at which it would have looked once one says
// that there is, and looks for itself when none comes.
func TestLoopsSleepWhileGlancesSaySo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := glances{each: time.Second}
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var looked []int // in seconds
		var asked atomic.Int64
		over := make(chan struct{})
		go func() {
			defer close(over)
			idle := func(g *glance) bool { asked.Add(1); return !g.watched }
			s.unless(ctx, time.Second, idle, func() {
				if since := time.Since(began); since%time.Second != 0 {
					t.Errorf("it looked after %s", since)
				}
				looked = append(looked, int(time.Since(began)/time.Second))
			})
		}()
		glanceFor := func(seconds int, watched bool) {
			for until := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(until); {
				time.Sleep(500 * time.Millisecond)
				s.keep(&glance{at: time.Now(), watched: watched})
			}
		}
		time.Sleep(2300 * time.Millisecond) // no glance yet
		glanceFor(5, false)                 // until 7.3
		glanceFor(3, true)                  // until 10.3
		glanceFor(100, false)               // until 110.3
		if n := asked.Load(); n > 20 {
			t.Errorf("it asked %d times whether there is nothing, want 20 at most", n)
		}
		time.Sleep(3 * time.Second) // the last was good until 111.4
		cancel()
		<-over
		if want := []int{0, 1, 2, 8, 9, 10, 112, 113}; !slices.Equal(looked, want) {
			t.Errorf("it looked at %v, want %v", looked, want)
		}
	})
}

// TestWhatIsGlancedMeanwhileIsNotMissed: a glance that comes between a loop's question
// and its sleep ends the sleep.
func TestWhatIsGlancedMeanwhileIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := glances{each: time.Second}
		s.keep(&glance{at: time.Now()})
		time.Sleep(10 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		asked, looked := 0, 0
		idle := func(g *glance) bool {
			if asked++; asked == 2 { // the loop is about to sleep
				s.keep(&glance{at: time.Now(), watched: true})
				time.Sleep(10 * time.Millisecond)
			}
			return !g.watched
		}
		s.unless(ctx, time.Second, idle, func() { looked++ })
		if looked == 0 {
			t.Error("it slept on")
		}
	})
}
