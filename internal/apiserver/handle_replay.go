package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/archive"
	"stint/internal/recording"
	"stint/internal/recording/vt"
)

const (
	leastStep = 50 * time.Millisecond
	usualStep = 100 * time.Millisecond
)

type playRecordingIn struct {
	OneSession
	From    int64  `query:"from" minimum:"0" doc:"Milliseconds since the recording began"`
	Step    int64  `query:"step" minimum:"0" maximum:"60000" doc:"At most one screen in so many milliseconds"`
	Channel uint32 `query:"channel" doc:"0: the first that shows something"`
	Follow  bool   `query:"follow" doc:"Go on while the session does"`
}

func (s *Server) playRecording(ctx context.Context, c call, in *playRecordingIn) (*lines, error) {
	what := "replay"
	if in.Follow {
		what = "watch"
	}
	_, v, err := s.view(ctx, c, in.ID, what)
	if err != nil {
		return nil, err
	}
	step := usualStep
	if in.Step > 0 {
		step = max(leastStep, time.Duration(in.Step)*time.Millisecond)
	}
	return &lines{ContentType: linesType, Body: func(hc huma.Context) {
		defer v.Done()
		held, release := s.hold(hc.Context(), streamLife)
		defer release()
		out := newStream(hc)
		from := time.Duration(min(in.From, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
		reason, err := s.play(held, c, v, out, playing{from: from, step: step, channel: in.Channel, follow: in.Follow})
		if err != nil {
			s.log.Debug("a replay broke off", "trace", c.trace, "error", err)
			if held.Err() == nil {
				reason = "it breaks off: " + err.Error()
			}
		}
		if reason != "" {
			_ = writeScreen(out, api.Screen{Lines: [][]api.ScreenRun{}, Cursor: [2]int{-1, -1}, End: reason})
			_ = out.flush()
		}
	}}, nil
}

type playing struct {
	from, step time.Duration
	channel    uint32
	follow     bool
}

// play sends screens, and with follow those that come. It reads a recording that grows
// from its beginning each time there is more: a reader believes only what it has followed
// from the head on. It says why it ended.
func (s *Server) play(ctx context.Context, c call, v *archive.View, out *stream, p playing) (string, error) {
	session := v.Recording().Session
	bell, silence := s.archive.Bell(session)
	defer func() { silence() }() // the last of them
	for first := true; ; first = false {
		if !first {
			silence()
			bell, silence = s.archive.Bell(session)
		}
		r, err := s.archive.Get(ctx, session)
		if err != nil {
			return "", err
		}
		running := r.State == access.RecordingRunning
		d, f, err := v.Reader(ctx)
		if err != nil {
			return "", err
		}
		began, last := time.Now(), p.from
		var late *api.Screen // following, only the newest of what is there at first
		for shot, err := range recording.Frames(ctx, d, p.channel, p.from, p.step) {
			if err != nil {
				_ = f.Close()
				return "", err
			}
			x := toScreen(shot)
			if !first && shot.At <= p.from {
				continue
			}
			last = max(last, shot.At)
			if p.follow && first {
				late = &x
				continue
			}
			v.Saw(p.from, shot.At)
			if err := writeScreen(out, x); err != nil {
				_ = f.Close()
				return "", err
			}
		}
		_ = f.Close() // only read
		if late != nil {
			v.Saw(last, last)
			if err := writeScreen(out, *late); err != nil {
				return "", err
			}
		}
		if err := out.line(); err != nil {
			return "", err
		}
		p.from = last
		if !p.follow || !running {
			if reason := d.Report().Reason; reason != "" {
				return "the session ended: " + reason, nil
			}
			return "the end of what is recorded so far", nil
		}
		// The longer reading takes, the more seldom it is done.
		pause := max(200*time.Millisecond, 5*time.Since(began))
		wait, cancel := context.WithTimeout(ctx, max(pause, time.Second))
		select {
		case <-bell:
		case <-wait.Done(): // it may come to another replica
		}
		cancel()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", ctx.Err()
		}
		// Who may not watch any more, watches no more.
		if _, err := s.broker.Watch(ctx, c.asked(nil), session); err != nil {
			return "", err
		}
		if err := s.ident.Still(ctx, c.Caller); err != nil {
			return "", err
		}
	}
}

func writeScreen(out io.Writer, x api.Screen) error {
	b, err := json.Marshal(x)
	if err != nil {
		return err
	}
	_, err = out.Write(append(b, '\n'))
	return err
}

func toScreen(shot recording.Shot) api.Screen {
	f := shot.Frame
	x := api.Screen{Millis: shot.At.Milliseconds(), Columns: f.Columns, Rows: f.Rows, Cursor: [2]int{-1, -1}, Lines: make([][]api.ScreenRun, len(f.Lines))}
	if f.Cursor {
		x.Cursor = [2]int{f.CursorX, f.CursorY}
	}
	for i, l := range f.Lines {
		x.Lines[i] = []api.ScreenRun{}
		for _, r := range l {
			x.Lines[i] = append(x.Lines[i], api.ScreenRun{Text: r.Text, Cells: r.Cells, Fore: colour(r.Style.Foreground), Back: colour(r.Style.Background), Attrs: attributes(r.Style.Attributes)})
		}
	}
	return x
}

func colour(c vt.Color) string {
	if r, g, b, ok := c.RGB(); ok {
		return fmt.Sprintf("#%02x%02x%02x", r, g, b)
	}
	if n, ok := c.Palette(); ok {
		return fmt.Sprint(n)
	}
	return ""
}

func attributes(a vt.Attributes) (s string) {
	for i, c := range "bfiukrhs" {
		if a&(1<<i) != 0 {
			s += string(c)
		}
	}
	return s
}
