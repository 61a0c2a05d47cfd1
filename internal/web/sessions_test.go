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

// TestSessions: what no target said is not taken for nothing, and nothing offers a recording.
func TestSessions(t *testing.T) {
	text := newStand().get(t, "/sessions").Body.String()
	for _, want := range []string{"not known", "2 open", "No recordings."} {
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
