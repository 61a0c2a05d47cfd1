package apiserver

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/archive"
	"stint/internal/recording"
	"stint/internal/recording/vt"
)

const (
	// maxFrames bounds what a gateway sends of a recording at once: a chunk of any size
	// that one may have and some before it, as base64 in JSON.
	maxFrames = 4 << 20

	exportType = "application/x-tar" // what clients take as bytes of any kind

	searchBytes = 256 << 20 // that one search reads, of all recordings
	searchHits  = 100
	searchAmong = 1000 // sessions

	sealsListed = 1000
	leastStep   = 50 * time.Millisecond
	usualStep   = 100 * time.Millisecond
)

func (s *Server) addRecordingRoutes() {
	register(s, route{name: "bring-frames", method: post, path: "/v1/gateway/recordings/{id}/frames", who: gateway, urgent: true, body: maxFrames, tag: "Gateways",
		summary: "Take frames of a session's recording", detail: "Whole frames, in their order, of the gateway's own sessions. Those that are here are passed over; what does not follow is refused."}, s.bringFrames)
	register(s, route{name: "have-frames", method: get, path: "/v1/gateway/recordings/{id}", who: gateway, urgent: true, tag: "Gateways",
		summary: "How far a recording of the gateway's is kept"}, s.haveFrames)
	register(s, route{name: "recordings-key", method: get, path: "/v1/gateway/recordings", who: gateway, urgent: true, tag: "Gateways",
		summary: "The key to which recordings are sealed"}, s.recordingsKey)

	const watchers = "Whom a policy with effect watch names, and nobody else."
	register(s, route{name: "get-recording", method: get, path: "/v1/sessions/{id}/recording", who: anyone, tag: "Sessions",
		summary: "What is known of a session's recording", detail: watchers}, s.getRecording)
	register(s, route{name: "play-recording", method: get, path: "/v1/sessions/{id}/recording/screens", who: anyone, held: true, tag: "Sessions",
		summary: "What stood on a session's screen, as JSON lines", detail: watchers + " With follow also what comes, until the session ends. That they look, and what they saw, is in the log."}, s.playRecording)
	register(s, route{name: "index-recording", method: get, path: "/v1/sessions/{id}/recording/index", who: anyone, tag: "Sessions",
		summary: "What was run in a session, and when", detail: watchers}, s.indexRecording)
	register(s, route{name: "export-recording", method: get, path: "/v1/sessions/{id}/recording/export", who: anyone, held: true, tag: "Sessions",
		summary: "A recording as asciicast, text or JSON lines, or as it is kept", detail: watchers}, s.exportRecording)
	register(s, route{name: "verify-recording", method: get, path: "/v1/sessions/{id}/recording/verify", who: anyone, held: true, tag: "Sessions",
		summary: "Read a recording to its end, and say what of it holds", detail: watchers}, s.verifyRecording)
	register(s, route{name: "search-recordings", method: get, path: "/v1/recordings/search", who: anyone, tag: "Sessions",
		summary: "Look for a text in what was run, and shown", detail: watchers + " Each recording that is looked through is in the log."}, s.searchRecordings)
	register(s, route{name: "pause-session", method: post, path: "/v1/sessions/{id}/pause", who: anyone, urgent: true, body: maxCode, tag: "Sessions",
		summary: "Stop what passes in a live session", detail: "Owners of the resource, administrators, and who may watch it. It goes on with resume, and ends with its grant all the same."}, s.pauseSession)
	register(s, route{name: "resume-session", method: post, path: "/v1/sessions/{id}/resume", who: anyone, tag: "Sessions",
		summary: "Let a session go on that was paused", detail: "Who may pause it."}, s.resumeSession)
}

func (s *Server) archived() (*archive.Archive, error) {
	if s.archive == nil {
		return nil, access.Fail(access.NotFound, "no-recordings", "this server keeps no recordings").Try("an administrator looks at how it was started")
	}
	return s.archive, nil
}

func writer(c call) archive.Writer {
	return archive.Writer{Gateway: c.gateway, Key: ed25519.PublicKey(c.host.Key)}
}

// OneSession names a session. It is exported for huma; see ByID.
type OneSession struct {
	ID string `path:"id" maxLength:"64" doc:"The id of a session, or an unambiguous beginning" example:"ses_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
}

type bringFramesIn struct {
	ID   string `path:"id" maxLength:"64"`
	From uint64 `query:"from" doc:"The number of the first frame; 0: the head stands before the first"`
	Body api.RecordingFrames
}

func (s *Server) bringFrames(ctx context.Context, c call, in *bringFramesIn) (*reply[api.RecordingKept], error) {
	a, err := s.archived()
	if err != nil {
		return nil, err
	}
	k, err := a.Bring(ctx, writer(c), in.ID, in.From, in.Body.Frames)
	if err != nil {
		return nil, err
	}
	return answer(toKept(k)), nil
}

func (s *Server) haveFrames(ctx context.Context, c call, in *struct {
	ID string `path:"id" maxLength:"64"`
}) (*reply[api.RecordingKept], error) {
	a, err := s.archived()
	if err != nil {
		return nil, err
	}
	k, err := a.Have(ctx, writer(c), in.ID)
	if err != nil {
		return nil, err
	}
	return answer(toKept(k)), nil
}

func toKept(k recording.Kept) api.RecordingKept {
	out := api.RecordingKept{Began: k.Began, Frames: k.Frames, Done: k.Done}
	if k.Done {
		out.Bytes, out.SHA256 = k.Size, hex.EncodeToString(k.Digest[:])
	}
	return out
}

func (s *Server) recordingsKey(_ context.Context, _ call, _ *empty) (*reply[api.RecordingsKey], error) {
	a, err := s.archived()
	if err != nil {
		return nil, err
	}
	return answer(api.RecordingsKey{Key: a.Recipient().Bytes()}), nil
}

// view begins to read a session's recording, for somebody who may.
func (s *Server) view(ctx context.Context, c call, id, what string) (access.LiveSession, *archive.View, error) {
	a, err := s.archived()
	if err != nil {
		return access.LiveSession{}, nil, err
	}
	x, err := s.broker.Watch(ctx, c.asked(nil), id)
	if err != nil {
		return x, nil, err
	}
	v, err := a.View(ctx, c.asked(nil).Actor, hex.EncodeToString(c.Login.Token[:8]), string(x.ID), what)
	if access.KindOf(err) == access.NotFound && err != nil {
		err = access.Fail(access.NotFound, "no-recording", "nothing of the session's recording is here").Because("its gateway has sent none, or has not yet").
			Try("try again in a moment; stint-gateway status on its gateway says whether it runs")
	}
	return x, v, err
}

func (s *Server) getRecording(ctx context.Context, c call, in *OneSession) (*reply[api.Recording], error) {
	a, err := s.archived()
	if err != nil {
		return nil, err
	}
	x, err := s.broker.Watch(ctx, c.asked(nil), in.ID)
	if err != nil {
		return nil, err
	}
	r, err := a.Get(ctx, string(x.ID))
	if err != nil {
		return nil, err
	}
	return answer(toRecording(r)), nil
}

func toRecording(r access.Recording) api.Recording {
	out := api.Recording{Session: r.Session, Gateway: r.Gateway, State: string(r.State), Keys: []string{}, BeganAt: api.At(r.BeganAt), KeptAt: api.At(r.EndedAt), RemovedAt: api.At(r.GoneAt),
		Frames: r.Frames, Bytes: r.Bytes, Reason: r.Reason}
	for _, k := range r.Keys {
		out.Keys = append(out.Keys, base64.StdEncoding.EncodeToString(k))
	}
	if r.Frames > 0 {
		out.Root, out.SHA256 = hex.EncodeToString(r.Root[:]), hex.EncodeToString(r.Sum[:])
	}
	return out
}

func (s *Server) indexRecording(ctx context.Context, c call, in *OneSession) (*reply[api.RecordingIndex], error) {
	_, v, err := s.view(ctx, c, in.ID, "index")
	if err != nil {
		return nil, err
	}
	defer v.Done()
	out := api.RecordingIndex{Entries: []api.RecordingEntry{}}
	d, f, err := v.Reader(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	entries, more, err := recording.Index(d)
	if err != nil && ctx.Err() != nil {
		return nil, err
	} else if err != nil {
		out.Damage = err.Error()
	}
	for _, e := range entries {
		out.Entries = append(out.Entries, toEntry("", e))
	}
	out.More, out.Millis = more, d.Report().Length.Milliseconds()
	v.Saw(0, d.Report().Length)
	return answer(out), nil
}

func toEntry(session string, e recording.Entry) api.RecordingEntry {
	return api.RecordingEntry{Session: session, Millis: e.At.Milliseconds(), Channel: e.Channel, Kind: e.Kind, Text: e.Text}
}

func (s *Server) verifyRecording(ctx context.Context, c call, in *OneSession) (*reply[api.RecordingVerdict], error) {
	_, v, err := s.view(ctx, c, in.ID, "verify")
	if err != nil {
		return nil, err
	}
	defer v.Done()
	out := api.RecordingVerdict{Recording: toRecording(v.Recording()), Live: v.Recording().State == access.RecordingRunning, Seals: []api.RecordingSeal{}}
	d, f, err := v.Reader(ctx)
	if damage := (*recording.Damage)(nil); errors.As(err, &damage) {
		out.Damage = damage.Error()
		return answer(out), nil
	} else if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	d.EachSeal(func(x recording.Sealed) {
		if len(out.Seals) == sealsListed { // the last is always there
			copy(out.Seals, out.Seals[1:])
			out.Seals = out.Seals[:sealsListed-1]
			out.More++
		}
		out.Seals = append(out.Seals, api.RecordingSeal{Chunk: x.Frame, At: api.At(x.At), State: x.State.String(), By: base64.StdEncoding.EncodeToString(x.By), Reason: x.Reason, Link: x.Link.String()})
	})
	r, err := d.Verify()
	if ctx.Err() != nil {
		return nil, err
	}
	if out.Holds = err == nil; err != nil {
		out.Damage = err.Error()
	}
	out.Chunks, out.Records, out.Millis = r.Anchor.Frames, r.Records, r.Length.Milliseconds()
	return answer(out), nil
}

type exportRecordingIn struct {
	OneSession
	Form    string `query:"form" enum:"asciicast,text,lines,raw" default:"asciicast" doc:"asciicast: version 2, of one channel; text: its output; lines: every record as JSON; raw: as it is kept, encrypted and sealed"`
	Channel uint32 `query:"channel" doc:"0: the first that shows something"`
}

// exportRecording sends what is asked for. Its end is known to have come when the stream
// ends as it should: a recording that is damaged breaks it off.
func (s *Server) exportRecording(ctx context.Context, c call, in *exportRecordingIn) (*lines, error) {
	_, v, err := s.view(ctx, c, in.ID, "export")
	if err != nil {
		return nil, err
	}
	var raw io.Reader
	var trust recording.Trust
	var d *recording.Reader
	var f io.Closer
	if in.Form == "raw" {
		var rc io.ReadCloser
		if rc, trust, err = v.Raw(ctx); err != nil {
			v.Done()
			return nil, err
		}
		raw, f = rc, rc
	} else if d, f, err = v.Reader(ctx); err != nil {
		v.Done()
		return nil, err
	}
	return &lines{ContentType: exportType, Body: func(hc huma.Context) {
		defer v.Done()
		defer func() { _ = f.Close() }() // only read
		out := newStream(hc)
		var err error
		switch in.Form {
		case "raw":
			d, err = s.exportRaw(out, raw, trust)
		case "text":
			err = recording.Text(out, d, in.Channel)
		case "lines":
			err = recording.Lines(out, d)
		default:
			err = recording.Asciicast(out, d, in.Channel)
		}
		if d != nil {
			v.Saw(0, d.Report().Length)
		}
		if err != nil {
			s.log.Warn("an export of a recording broke off", "trace", c.trace, "error", err)
			panic(http.ErrAbortHandler) // the client must not take it for whole
		}
	}}, nil
}

// exportRaw sends a recording as it is kept, and reads it on its way: to know how much of it was
// given away. What cannot be read of it is sent all the same.
func (s *Server) exportRaw(out io.Writer, raw io.Reader, trust recording.Trust) (*recording.Reader, error) {
	through := &tee{from: raw, to: out}
	d, err := recording.NewReader(through, trust, s.archive.Openers...)
	if err == nil {
		_, err = d.Verify()
	}
	if err != nil {
		s.log.Debug("a recording is exported that cannot be read to its end", "error", err)
	}
	_, err = io.Copy(io.Discard, through)
	return d, err
}

// tee is io.TeeReader, and stays broken: what was not written is not passed over.
type tee struct {
	from   io.Reader
	to     io.Writer
	broken error
}

func (t *tee) Read(b []byte) (int, error) {
	if t.broken != nil {
		return 0, t.broken
	}
	n, err := t.from.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		t.broken = err
	}
	if n > 0 {
		if _, failed := t.to.Write(b[:n]); failed != nil {
			t.broken = failed
			return 0, failed
		}
	}
	return n, err
}

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

type searchRecordingsIn struct {
	Text    string `query:"text" minLength:"2" maxLength:"200" required:"true" doc:"In any case of letters"`
	Output  bool   `query:"output" doc:"In what was shown, too, and not only in what was run"`
	Session string `query:"session" maxLength:"64" doc:"Only in this one"`
	Person  string `query:"person" maxLength:"64" doc:"Only in sessions of this person"`
	Since   string `query:"since" maxLength:"40" doc:"Only in sessions opened since"`
}

func (s *Server) searchRecordings(ctx context.Context, c call, in *searchRecordingsIn) (*reply[api.RecordingHits], error) {
	a, err := s.archived()
	if err != nil {
		return nil, err
	}
	var since api.Time
	if err := since.UnmarshalText([]byte(in.Since)); err != nil {
		return nil, err
	}
	var among []access.LiveSession
	if in.Session != "" {
		x, err := s.broker.Watch(ctx, c.asked(nil), in.Session)
		if err != nil {
			return nil, err
		}
		among = append(among, x)
	} else if among, err = s.broker.Watched(ctx, c.asked(nil), access.SessionQuery{Person: access.Person(in.Person), Since: since.Time, Limit: searchAmong}); err != nil {
		return nil, err
	}
	out := api.RecordingHits{Hits: []api.RecordingEntry{}, Skipped: []string{}}
	budget := int64(searchBytes)
	for _, x := range among {
		if x.Recording.State == access.TapeNone || x.Recording.State == access.TapeRemoved {
			continue
		}
		if err := s.searchOne(ctx, a, c, string(x.ID), in, &budget, &out); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			out.Skipped = append(out.Skipped, string(x.ID)+": "+err.Error())
		}
		if out.Enough = budget <= 0 || len(out.Hits) >= searchHits; out.Enough {
			break
		}
	}
	return answer(out), nil
}

func (s *Server) searchOne(ctx context.Context, a *archive.Archive, c call, session string, in *searchRecordingsIn, budget *int64, out *api.RecordingHits) error {
	v, err := a.View(ctx, c.asked(nil).Actor, hex.EncodeToString(c.Login.Token[:8]), session, "search")
	if err != nil {
		return err
	}
	defer v.Done()
	out.Searched++
	d, f, err := v.Reader(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	err = recording.Find(d, in.Text, in.Output, func(e recording.Entry) bool {
		out.Hits = append(out.Hits, toEntry(session, e))
		v.Saw(e.At, e.At)
		return len(out.Hits) < searchHits && d.Report().Bytes < *budget
	})
	*budget -= d.Report().Bytes
	return err
}

func (s *Server) pauseSession(ctx context.Context, c call, in *endSessionIn) (*reply[api.Session], error) {
	x, err := s.broker.PauseSession(ctx, c.asked(nil), in.ID, in.Body.Why, true)
	if err != nil {
		return nil, err
	}
	return answer(s.toSession(x)), nil
}

func (s *Server) resumeSession(ctx context.Context, c call, in *OneSession) (*reply[api.Session], error) {
	x, err := s.broker.PauseSession(ctx, c.asked(nil), in.ID, "", false)
	if err != nil {
		return nil, err
	}
	return answer(s.toSession(x)), nil
}
