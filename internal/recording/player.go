package recording

import (
	"context"
	"iter"
	"time"

	"stint/internal/recording/vt"
)

// Shot is what stood on a channel's screen at a time.
type Shot struct {
	At    time.Duration
	Frame vt.Frame
}

// Frames plays a channel: what stood on its screen whenever that changed, at most once in every
// step, from a time on. Channel 0 is the first that has a terminal or shows something. No byte of the session gets out, but for printable
// characters.
func Frames(ctx context.Context, d *Reader, channel uint32, from, step time.Duration) iter.Seq2[Shot, error] {
	return func(yield func(Shot, error) bool) {
		screen := vt.New(80, 24)
		var last time.Duration // of the last change
		var shown time.Duration
		changed := false
		show := func() bool {
			if !changed {
				return true
			}
			changed, shown = false, last
			return yield(Shot{max(last, from), screen.Frame()}, nil)
		}
		for r, err := range d.Records() {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Shot{}, err)
				return
			}
			if channel == 0 && shows(r.Event) {
				channel = r.Channel
			}
			if r.Channel != channel || !shows(r.Event) {
				continue
			}
			if changed && r.At > from && (last <= from || r.At-shown >= step && r.At-last > 0) && !show() {
				return
			}
			switch e := r.Event.(type) {
			case Terminal:
				screen.Resize(int(min(e.Columns, vt.MaxColumns)), int(min(e.Rows, vt.MaxRows)))
			case Resize:
				screen.Resize(int(min(e.Columns, vt.MaxColumns)), int(min(e.Rows, vt.MaxRows)))
			case Output:
				_, _ = screen.Write(e.Data) // never fails
			case Problem:
				_, _ = screen.Write(e.Data)
			}
			changed, last = true, r.At
		}
		show()
	}
}

func shows(e Event) bool {
	switch e.(type) {
	case Terminal, Resize, Output, Problem:
		return true
	}
	return false
}
