package web

import (
	"context"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/web/views"
)

func (s *stand) Sessions(context.Context, Visitor, string) (views.OpenSessions, error) {
	x, err := s.Session(context.Background(), Visitor{}, "x")
	y := x
	y.Open, y.Mine, y.LastActive = 2, true, time.Now()
	z, g := y, *y.Grant
	g.State = api.GrantEnding
	z.Grant, z.Open = &g, -1
	return views.OpenSessions{Items: []views.OpenSession{x, y, z}, Before: nasty, Next: nasty}, err
}

func (s *stand) Session(context.Context, Visitor, string) (views.OpenSession, error) {
	r := s.request()
	r.Grant = &api.Grant{ID: nasty, State: api.GrantActive, Account: nasty, ActiveAt: api.At(time.Now()), ExpiresAt: api.At(time.Now().Add(time.Hour))}
	return views.OpenSession{Held: views.Held{Request: r, Type: nasty, Env: nasty, Grade: nasty}, Open: -1, OnIdle: nasty}, nil
}

// taped is a session whose every text is an attack; ses_2 goes on.
func taped(id string) views.Taped {
	x := views.Taped{MayWatch: true, MayPause: true, MayEnd: true}
	x.Session = api.Session{ID: id, State: "closed", Gateway: nasty, Principal: nasty, Person: nasty, Role: nasty, Resource: nasty, Account: nasty, Source: nasty, Request: nasty, Reason: nasty, EndedBy: nasty, EndNote: nasty,
		OpenedAt: api.At(time.Now().Add(-time.Minute)), ClosedAt: api.At(time.Now()), Alarms: 2, Recording: api.SessionRecording{State: "kept"}}
	if id == "ses_2" {
		x.State, x.ClosedAt, x.Recording.State, x.PausedAt = "live", api.Time{}, "running", api.At(time.Now())
	}
	return x
}

func (s *stand) Taped(context.Context, Visitor, string) (views.TapedSessions, error) {
	return views.TapedSessions{Items: []views.Taped{taped("ses_1"), taped("ses_2")}, More: true}, nil
}

func (s *stand) Replay(_ context.Context, _ Visitor, id, text string, _ uint32) (views.Replay, error) {
	return views.Replay{Taped: taped(id), Length: 60_000, Times: []int64{0, 500, 60_000}, Entries: []api.RecordingEntry{{Millis: 500, Kind: nasty, Text: nasty}}, More: true, Damage: nasty, Query: text}, nil
}

func (s *stand) Screen(context.Context, Visitor, string, uint32, time.Duration, bool) (api.Screen, error) {
	return api.Screen{Columns: 80, Rows: 24, Lines: [][]api.ScreenRun{{{Text: nasty, Cells: 3, Fore: nasty, Back: "#ff0000", Attrs: nasty}, {Text: "plain", Fore: "12", Attrs: "bu"}}, {}}}, nil
}

func (s *stand) Grown(context.Context, Visitor, string) (bool, error)    { return true, nil }
func (s *stand) PauseTaped(context.Context, Visitor, string, bool) error { return nil }
func (s *stand) EndTaped(context.Context, Visitor, string, string) error { return nil }

// TestScreenIsText: what a session wrote is text in its frame, in which nothing runs, loads
// or is asked for, and that only a page of ours may show.
func TestScreenIsText(t *testing.T) {
	w := newStand().get(t, "/sessions/ses_1/screen?at=500")
	text, csp := w.Body.String(), w.Header().Get("Content-Security-Policy")
	for _, no := range []string{"<script", "<img", "<div hx", "style=", "<a ", "<form"} {
		if strings.Contains(text, no) {
			t.Errorf("the screen has %s:\n%s", no, text)
		}
	}
	for _, want := range []string{"&lt;img src=x", `<span class="f12 ab au">plain</span>`, `class="b196`} {
		if !strings.Contains(text, want) {
			t.Errorf("the screen lacks %s:\n%s", want, text)
		}
	}
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'self'", "sandbox allow-same-origin;", "form-action 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("its policy lacks %s: %s", want, csp)
		}
	}
	if strings.Contains(csp, "script-src") || strings.Contains(csp, "allow-scripts") {
		t.Errorf("scripts may run in it: %s", csp)
	}
	for _, at := range []string{"", "-1", "x", "99999999999999"} {
		if w := newStand().get(t, "/sessions/ses_1/screen?at="+at); w.Code == 200 {
			t.Errorf("at=%s: %d", at, w.Code)
		}
	}
	page := newStand().get(t, "/sessions/ses_1")
	if !strings.Contains(page.Body.String(), `sandbox="allow-same-origin"`) || !strings.Contains(page.Header().Get("Content-Security-Policy"), "frame-src 'self'") {
		t.Error("the page does not have its frame")
	}
	if other := newStand().get(t, "/sessions"); strings.Contains(other.Header().Get("Content-Security-Policy"), "frame-src") {
		t.Error("a page without a player may have frames")
	}
}

// TestSessions: what no target said is not taken for nothing.
func TestSessions(t *testing.T) {
	text := newStand().get(t, "/sessions").Body.String()
	for _, want := range []string{"not known", "2 open", "Replay", "Watch"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Count(text, "End the grant") != 1 || strings.Count(text, ">ending<") != 1 {
		t.Error("what was ended is not said to be ending, or can be ended again")
	}
	if strings.Contains(text, "none open") || strings.Contains(text, "disabled") {
		t.Error("the page says what nobody knows, or has a dead button")
	}
}
