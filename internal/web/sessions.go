package web

import (
	"context"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Counter is what the pages of open sessions need of the control plane.
type Counter interface {
	// Sessions are active grants that the visitor may see, the newest first, with what is
	// open under them: a page of them, of those before one.
	Sessions(ctx context.Context, v Visitor, before string) (views.OpenSessions, error)
	// Session is one of them.
	Session(ctx context.Context, v Visitor, id string) (views.OpenSession, error)
}

func (s *Site) showSessions(v *visit) error {
	all, err := s.doors.Sessions(v.r.Context(), v.Visitor, v.r.URL.Query().Get("before"))
	if err != nil {
		return err
	}
	taped, err := s.doors.Taped(v.r.Context(), v.Visitor, "")
	if err != nil {
		return err
	}
	live := "sessions"
	if all.Before != "" {
		live += "&before=" + url.QueryEscape(all.Before)
	}
	return s.show(v, sheet{title: words.SessionsTitle, lede: words.SessionsLede, nav: "sessions", live: live}, views.SessionsPage(all, taped))
}

func (s *Site) sessionsLive(v *visit) (templ.Component, error) {
	all, err := s.doors.Sessions(v.r.Context(), v.Visitor, v.r.URL.Query().Get("before"))
	if err != nil {
		return nil, err
	}
	taped, err := s.doors.Taped(v.r.Context(), v.Visitor, "")
	if err != nil {
		return nil, err
	}
	return views.SessionsLive(all, taped), nil
}

// showSession is an active grant with what is open under it, or, by the id of a session
// through a gateway, that session with its recording.
func (s *Site) showSession(v *visit) error {
	if strings.HasPrefix(v.r.PathValue("id"), "ses_") {
		return s.showReplay(v)
	}
	x, err := s.doors.Session(v.r.Context(), v.Visitor, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	taped, err := s.doors.Taped(v.r.Context(), v.Visitor, x.Grant.ID)
	if err != nil {
		return err
	}
	return s.show(v, sheet{title: words.SessionOf(x.Principal, x.Resource), nav: "sessions", up: []ui.Crumb{{Href: "/sessions", Label: words.SessionsTitle}}, live: "session&id=" + x.ID}, views.SessionPage(x, taped))
}

func (s *Site) sessionLive(v *visit) (templ.Component, error) {
	x, err := s.doors.Session(v.r.Context(), v.Visitor, v.r.URL.Query().Get("id"))
	if err != nil {
		return nil, err
	}
	return views.SessionLive(x), nil
}
