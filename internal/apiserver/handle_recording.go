package apiserver

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/archive"
	"stint/internal/recording"
)

const sealsListed = 1000

// watchers are those for whom recordings are.
const watchers = "Whom a policy with effect watch names, and nobody else."

func (s *Server) addRecordingRoutes() {
	s.addFrameRoutes()
	register(s, route{name: "get-recording", method: get, path: "/v1/sessions/{id}/recording", who: anyone, tag: "Sessions",
		summary: "What is known of a session's recording", detail: watchers}, s.getRecording)
	register(s, route{name: "index-recording", method: get, path: "/v1/sessions/{id}/recording/index", who: anyone, tag: "Sessions",
		summary: "What was run in a session, and when", detail: watchers}, s.indexRecording)
	register(s, route{name: "verify-recording", method: get, path: "/v1/sessions/{id}/recording/verify", who: anyone, held: true, tag: "Sessions",
		summary: "Read a recording to its end, and say what of it holds", detail: watchers}, s.verifyRecording)
	register(s, route{name: "play-recording", method: get, path: "/v1/sessions/{id}/recording/screens", who: anyone, held: true, tag: "Sessions",
		summary: "What stood on a session's screen, as JSON lines", detail: watchers + " With follow also what comes, until the session ends. That they look, and what they saw, is in the log."}, s.playRecording)
	register(s, route{name: "export-recording", method: get, path: "/v1/sessions/{id}/recording/export", who: anyone, held: true, tag: "Sessions",
		summary: "A recording as asciicast, text or JSON lines, or as it is kept", detail: watchers}, s.exportRecording)
	register(s, route{name: "search-recordings", method: get, path: "/v1/recordings/search", who: anyone, tag: "Sessions",
		summary: "Look for a text in what was run, and shown", detail: watchers + " Each recording that is looked through is in the log."}, s.searchRecordings)
	register(s, route{name: "hold-recording", method: post, path: "/v1/sessions/{id}/recording/hold", who: anyone, body: maxCode, tag: "Sessions",
		summary: "Keep a recording, whatever its age", detail: "Administrators, auditors, and who may watch it. It stays until it is let go."}, s.holdRecording)
	register(s, route{name: "release-recording", method: post, path: "/v1/sessions/{id}/recording/release", who: anyone, body: maxCode, tag: "Sessions",
		summary: "Let the age of a held recording count again", detail: "Administrators, and not of a session of their own."}, s.releaseRecording)
}

func (s *Server) holdRecording(ctx context.Context, c call, in *endSessionIn) (*reply[api.Recording], error) {
	return s.held(ctx, c, in, false, (*archive.Archive).Hold)
}

func (s *Server) releaseRecording(ctx context.Context, c call, in *endSessionIn) (*reply[api.Recording], error) {
	return s.held(ctx, c, in, true, (*archive.Archive).Free)
}

func (s *Server) held(ctx context.Context, c call, in *endSessionIn, free bool, act func(*archive.Archive, context.Context, access.Actor, string, string) (access.Recording, error)) (*reply[api.Recording], error) {
	a, err := s.archived()
	if err != nil {
		return nil, err
	}
	x, err := s.broker.Hold(ctx, c.asked(nil), in.ID, free)
	if err != nil {
		return nil, err
	}
	r, err := act(a, ctx, c.asked(nil).Actor, string(x.ID), in.Body.Why)
	if err != nil {
		return nil, err
	}
	return answer(toRecording(r)), nil
}

func (s *Server) archived() (*archive.Archive, error) {
	if s.archive == nil {
		return nil, access.Fail(access.NotFound, "no-recordings", "this server keeps no recordings").Try("an administrator looks at how it was started")
	}
	return s.archive, nil
}

// OneSession names a session. It is exported for huma; see ByID.
type OneSession struct {
	ID string `path:"id" maxLength:"64" doc:"The id of a session, or an unambiguous beginning" example:"ses_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
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
	out := api.Recording{Session: r.Session, State: string(r.State), Keys: []string{}, BeganAt: api.At(r.BeganAt), KeptAt: api.At(r.EndedAt), RemovedAt: api.At(r.GoneAt),
		Frames: r.Frames, Bytes: r.Bytes, Reason: r.Reason}
	if host, is := access.CarriedByHost(r.Gateway); is {
		out.Host = host
	} else {
		out.Gateway = r.Gateway
	}
	if !r.HeldAt.IsZero() {
		out.HeldAt, out.HeldBy, out.HeldWhy = api.At(r.HeldAt), string(r.HeldBy), r.HeldWhy
	}
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
