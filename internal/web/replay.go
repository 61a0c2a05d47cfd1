package web

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/a-h/templ"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Projector is what the pages of sessions through gateways need of the control plane.
type Projector interface {
	// Taped are the newest sessions that the visitor may see, or those of one grant.
	Taped(ctx context.Context, v Visitor, grant string) (views.TapedSessions, error)
	// Replay is one of them; where the visitor may see its recording, with what is in it that
	// has a text. Of its channels one is shown; 0 is the first. That they look is in the log.
	Replay(ctx context.Context, v Visitor, id, text string, channel uint32) (views.Replay, error)
	// Screen is what stood on a channel's screen at a time, or stands there now.
	Screen(ctx context.Context, v Visitor, id string, channel uint32, at time.Duration, newest bool) (api.Screen, error)
	// Grown returns when there may be more of a recording; over: it has ended.
	Grown(ctx context.Context, v Visitor, id string) (over bool, err error)
	PauseTaped(ctx context.Context, v Visitor, id string, pause bool) error
	EndTaped(ctx context.Context, v Visitor, id, why string) error
}

const replayLivePattern = "GET /sessions/{id}/live"

func (s *Site) showReplay(v *visit) error {
	q := v.r.URL.Query()
	channel, err := channelOf(q.Get("c"))
	if err != nil {
		return err
	}
	m, err := s.doors.Replay(v.r.Context(), v.Visitor, v.r.PathValue("id"), q.Get("q"), channel)
	if err != nil {
		return err
	}
	m.Channel = channel
	if at, err := strconv.ParseInt(q.Get("at"), 10, 64); err == nil {
		m.At = max(0, min(at, m.Length))
	}
	m.Query, m.Sure = q.Get("q"), q.Has("end") && m.MayEnd
	return s.show(v, sheet{title: words.SessionOf(m.Principal, m.Resource), nav: "sessions", replay: true,
		up: []ui.Crumb{{Href: "/sessions", Label: words.SessionsTitle}}}, views.ReplayPage(m))
}

// channelOf reads which channel is meant; none is the first that shows something.
func channelOf(text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, &api.Error{Kind: api.Invalid, Code: "bad-channel", Message: "that is no channel of a session", Next: "load the page of the session again"}
	}
	return uint32(n), nil
}

// showScreen is the page in the frame: no script, no form, no address but that of its
// style sheet, and only our own page may frame it.
func (s *Site) showScreen(v *visit) error {
	text := v.r.URL.Query().Get("at")
	at, err := strconv.ParseInt(text, 10, 64)
	if text != "end" && (err != nil || at < 0 || at > int64(1000*time.Hour/time.Millisecond)) {
		return &api.Error{Kind: api.Invalid, Code: "bad-time", Message: "that is no moment of a recording", Next: "load the page of the session again"}
	}
	channel, err := channelOf(v.r.URL.Query().Get("c"))
	if err != nil {
		return err
	}
	x, err := s.doors.Screen(v.r.Context(), v.Visitor, v.r.PathValue("id"), channel, time.Duration(at)*time.Millisecond, text == "end")
	none := ""
	if err != nil {
		e := s.doors.Refusal(v.r.Context(), err)
		none = e.Message
	} else if len(x.Lines) == 0 {
		none = words.ReplayEmpty
	}
	h := v.w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-same-origin; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("Referrer-Policy", "no-referrer")
	return v.write(http.StatusOK, func(out *bytes.Buffer) error {
		return views.ScreenPage(x, none).Render(templ.WithNonce(v.r.Context(), v.nonce), out)
	})
}

// watchLive tells an open page that there is more to see.
func (s *Site) watchLive(v *visit) error {
	if !s.open.enter(v.person.Principal) {
		return &api.Error{Kind: api.TooMany, Code: "too-many-streams", Message: "you have too many pages open", Next: "close some of them"}
	}
	defer s.open.leave(v.person.Principal)
	id := v.r.PathValue("id")
	ctx, cancel := context.WithTimeout(v.r.Context(), streamLife)
	defer cancel()
	over, err := s.doors.Grown(ctx, v.Visitor, id)
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	out := &eventStream{w: v.w, control: http.NewResponseController(v.w)}
	_ = out.control.SetReadDeadline(time.Time{}) // the call is read; a deadline left would cut the stream short
	for n := int64(1); ; n++ {
		text := "more"
		if over {
			text = "over"
		}
		if out.send(n, []byte(text)) != nil || over {
			return nil // the browser is gone, or there is nothing more to tell
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
		if over, err = s.doors.Grown(ctx, v.Visitor, id); err != nil {
			return nil // the stream ends, and the browser comes again and is told why
		}
	}
}

func (s *Site) pauseTaped(v *visit) error  { return s.setPaused(v, true) }
func (s *Site) resumeTaped(v *visit) error { return s.setPaused(v, false) }

func (s *Site) setPaused(v *visit, pause bool) error {
	id := v.r.PathValue("id")
	if err := s.doors.PauseTaped(v.r.Context(), v.Visitor, id, pause); err != nil {
		return err
	}
	v.redirect("/sessions/" + id)
	return nil
}

func (s *Site) endTaped(v *visit) error {
	id, why := v.r.PathValue("id"), v.r.PostForm.Get("why")
	if why == "" {
		v.redirect("/sessions/" + id + "?end=1")
		return nil
	}
	if err := s.doors.EndTaped(v.r.Context(), v.Visitor, id, why); err != nil {
		return err
	}
	v.redirect("/sessions/" + id)
	return nil
}
