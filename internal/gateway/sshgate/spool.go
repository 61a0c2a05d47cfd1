package sshgate

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"stint/internal/gateway"
	"stint/internal/gateway/reel"
	"stint/internal/recording"
)

// Spooled is a Recorder that writes recordings, each named after its session.
func Spooled(s *recording.Spool) Recorder { return spooled{s} }

type spooled struct{ spool *recording.Spool }

// taped is a Tape in a recording.
type taped struct {
	w    *recording.Writer
	omit bool // what is typed at a terminal
	last atomic.Uint32
}

// Begin starts a recording.
func (r spooled) Begin(s *gateway.Session, from Client) (Tape, error) {
	w, err := reel.Begin(r.spool, s, "ssh", from.Source.String(), recording.Fact{Name: "program", Value: from.Version})
	if err != nil {
		return nil, err
	}
	return &taped{w: w, omit: s.Recording.OmitTyped}, nil
}

func (t *taped) add(channel uint32, events ...recording.Event) error {
	return t.w.Append(context.Background(), channel, events...)
}

// Channel writes what the channel is for, all at once, so that in strict mode a command
// waits for the disk once before it starts.
func (t *taped) Channel(c Channel) (Track, error) {
	s := &strand{t: t, number: t.last.Add(1), typed: c.Terminal != nil && t.omit}
	var es []recording.Event
	switch c.Kind {
	case "shell", "exec", "sftp":
		es = append(es, recording.Open{Type: "session"})
		if c.Terminal != nil {
			es = append(es, recording.Terminal{Term: c.Terminal.Term, Columns: c.Terminal.Columns, Rows: c.Terminal.Rows})
		}
		for _, v := range c.Env {
			es = append(es, recording.Environment{Name: v[0], Value: v[1]})
		}
		e := recording.Exec{Type: c.Kind, Command: c.Command}
		if c.Kind == "sftp" {
			e = recording.Exec{Type: "subsystem", Command: c.Kind}
		}
		es = append(es, e)
	default:
		es = append(es, recording.Open{Type: c.Kind, From: c.Origin, To: c.Address})
	}
	return s, t.add(s.number, es...)
}

// Note keeps what belongs to no channel.
func (t *taped) Note(e Event) error {
	out := written(e)
	if out == nil {
		return fmt.Errorf("an event %T has no place in a recording", e)
	}
	return t.add(0, out)
}

// Close seals the recording, with why the session ended.
func (t *taped) Close(why *gateway.Ended) error { return reel.Close(t.w, why) }

// strand is a Track in a recording.
type strand struct {
	t      *taped
	number uint32
	typed  bool // what comes from the person is left out

	sent, received atomic.Uint64
	once           sync.Once
}

// Data takes what is about to pass.
func (s *strand) Data(stream Stream, p []byte) (Mark, error) {
	var e recording.Event
	switch stream {
	case In:
		s.sent.Add(uint64(len(p)))
		if s.typed {
			return 0, nil
		}
		e = recording.Input{Data: p}
	case Err:
		s.received.Add(uint64(len(p)))
		e = recording.Problem{Data: p}
	default:
		s.received.Add(uint64(len(p)))
		e = recording.Output{Data: p}
	}
	m, err := s.t.w.Add(context.Background(), s.number, e)
	return Mark(m), err
}

// Wait waits until it is kept.
func (s *strand) Wait(m Mark) error { return s.t.w.Wait(context.Background(), recording.Mark(m)) }

// Event keeps what happens.
func (s *strand) Event(e Event) error {
	switch e := e.(type) {
	case Transferred:
		var es []recording.Event
		for _, m := range []struct {
			op     string
			bytes  uint64
			digest string
		}{{"read", e.Read, e.ReadSHA256}, {"write", e.Written, e.WrittenSHA256}} {
			if m.bytes > 0 {
				to := ""
				if m.digest != "" {
					to = "sha256:" + m.digest
				}
				es = append(es, recording.File{Op: m.op, Path: e.Path, To: to, Bytes: m.bytes})
			}
		}
		return s.t.add(s.number, append(es, recording.File{Op: "close", Path: e.Path})...)
	default:
		out := written(e)
		if out == nil {
			return fmt.Errorf("an event %T has no place in a recording", e)
		}
		return s.t.add(s.number, out)
	}
}

// Close says that the channel is closed, once. Nothing waits for that to be kept: what comes after it does.
func (s *strand) Close() (err error) {
	s.once.Do(func() {
		_, err = s.t.w.Add(context.Background(), s.number, recording.Close{Sent: s.sent.Load(), Received: s.received.Load()})
	})
	return err
}

// written is an event as a recording has it; nil for one that it has not.
func written(e Event) recording.Event {
	switch e := e.(type) {
	case Resize:
		return recording.Resize{Columns: e.Columns, Rows: e.Rows}
	case Signal:
		return recording.Signal{Name: e.Name}
	case Exit:
		return recording.Exit{Status: e.Status, Signal: e.Signal}
	case File:
		op := e.Operation
		if e.Flags != "" {
			op += " " + e.Flags
		}
		return recording.File{Op: op, Path: e.Path, To: e.To}
	case Failed:
		return recording.File{Op: e.Operation, Path: e.Path, Outcome: fmt.Sprintf("status %d", e.Status)}
	case Refused:
		return recording.Note{What: recording.NoteRefused, Text: e.What + ": " + e.Why}
	case Matched:
		return recording.Note{What: recording.NoteAlarm, Text: e.Pattern + ": " + plain(e.Text)}
	case Listening:
		return recording.Note{What: "listening", Text: e.Address}
	case Paused:
		return recording.Note{What: recording.NotePaused, Text: e.Text}
	case Resumed:
		return recording.Note{What: recording.NoteResumed, Text: e.Text}
	case Told:
		return recording.Note{What: recording.NoteWarning, Text: e.Text}
	}
	return nil
}
