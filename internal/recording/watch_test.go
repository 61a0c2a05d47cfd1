package recording

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	k := newKeyring(t)
	s, _ := k.open(t, t.TempDir())
	w := begin(t, s, "a", Strict)
	put(t, w, 1, Note{"before", ""})
	x, from := w.Watch()
	slow, _ := w.Watch()
	left, _ := w.Watch()
	left.Stop()
	if from != 1 {
		t.Errorf("from %d", from)
	}
	data := []byte("hello")
	put(t, w, 7, Output{data})
	data[0] = 'x' // the caller's buffer is the caller's
	put(t, w, 0, Note{"then", ""})
	for i, want := range []Event{Output{[]byte("hello")}, Note{"then", ""}} {
		r, err := x.Next(quick(t))
		if err != nil || r.Number != uint64(1+i) {
			t.Fatalf("%+v, %v", r, err)
		}
		if got, ok := r.Event.(Output); ok && (string(got.Data) != "hello" || r.Channel != 7) || !ok && r.Event != want {
			t.Errorf("%+v, want %+v", r, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := x.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing happened, and %v", err)
	}
	for range 40 { // more than fits: the session does not wait
		put(t, w, 1, Output{make([]byte, piece)})
		if _, err := x.Next(quick(t)); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	var err error
	for err == nil {
		if _, err = slow.Next(quick(t)); err == nil {
			n++
		}
	}
	if !errors.Is(err, ErrBehind) || n < 5 || n > 42 {
		t.Errorf("after %d: %v", n, err)
	}
	done(t, w, "")
	for _, y := range []*Watch{x, left} {
		if _, err := y.Next(quick(t)); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	}
	late, _ := w.Watch()
	if _, err := late.Next(quick(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("begun after the end: %v", err)
	}
	if len(w.watches) != 0 {
		t.Error("somebody still watches")
	}
}
