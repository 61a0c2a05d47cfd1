package recording

import (
	"context"
	"iter"
	"strconv"
	"strings"
	"time"

	"stint/internal/recording/vt"
)

// Shot is what stood on a channel's screen at a time.
type Shot struct {
	At    time.Duration
	Frame vt.Frame
}

// Frames plays a channel: what stood on its screen whenever that changed, at most once in every
// step, from a time on. Channel 0 is the first that has a terminal or shows something; of a session with a database or a
// web application it is all its statements or requests, a line each, and how they went. No byte of the session gets out, but for printable characters.
func Frames(ctx context.Context, d *Reader, channel uint32, from, step time.Duration) iter.Seq2[Shot, error] {
	return func(yield func(Shot, error) bool) {
		screen := vt.New(80, 24)
		screen.Newline(true)   // until a terminal is there, whose own lines these are
		var last time.Duration // of the last change
		var shown time.Duration
		changed, spoken := false, false
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
			said, is := r.Event.(saying)
			if channel == 0 && !spoken {
				if spoken = is; shows(r.Event) {
					channel = r.Channel
				}
			}
			if is != spoken || !is && (r.Channel != channel || !shows(r.Event)) {
				continue
			}
			if changed && r.At > from && (last <= from || r.At-shown >= step && r.At-last > 0) && !show() {
				return
			}
			switch e := r.Event.(type) {
			case saying:
				_, _ = screen.Write([]byte(said.line() + "\n")) // never fails
			case Terminal:
				screen.Newline(false)
				resize(screen, e.Columns, e.Rows)
			case Resize:
				resize(screen, e.Columns, e.Rows)
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

// resize gives the screen its size, if that is one: a terminal that knows none says 0 (RFC 4254, section 6.2).
func resize(screen *vt.Terminal, columns, rows uint32) {
	if columns > 0 && rows > 0 {
		screen.Resize(int(min(columns, vt.MaxColumns)), int(min(rows, vt.MaxRows)))
	}
}

// saying is an event that is played as one line.
type saying interface{ line() string }

// line is a statement as one line: what its words say that it does and its text, or how it went.
func (e Statement) line() string {
	how, _, _ := strings.Cut(e.Class, " ")
	parts := []string{e.does(), e.Text}
	switch how {
	case "outcome":
		parts = []string{"→", e.Text + e.Outcome}
	case "rejected":
		parts = append(parts, "→ "+e.Outcome)
	}
	return inOneLine(parts)
}

// line is a request as one line, or how it went: answers come in another order than requests.
func (e Request) line() string {
	parts := []string{e.Method, e.Target}
	switch {
	case e.Status > 0:
		parts = append([]string{"→", strconv.FormatUint(uint64(e.Status), 10)}, parts...)
		if e.Outcome != "" {
			parts = append(parts, "("+e.Outcome+")")
		}
	case e.Outcome != "" && e.Outcome != "sent":
		parts = append(parts, "→ "+e.Outcome)
	}
	return inOneLine(parts)
}

func inOneLine(parts []string) string {
	for i := range parts {
		if len(parts[i]) > mostLine {
			parts[i] = parts[i][:mostLine] + "…"
		}
		parts[i] = plain(parts[i])
	}
	return strings.Join(parts, " ")
}

const mostLine = 1000 // bytes of a statement or of a request, on a screen

func shows(e Event) bool {
	switch e.(type) {
	case Terminal, Resize, Output, Problem:
		return true
	}
	return false
}
