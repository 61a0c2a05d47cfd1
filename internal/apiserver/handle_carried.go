package apiserver

import (
	"context"

	"stint/internal/access"
	"stint/internal/api"
)

// addCarriedRoutes has the sessions that gateways carry, and the commands that hosts run. Where
// somebody is signed in is another thing: logins.
func (s *Server) addCarriedRoutes() {
	register(s, route{name: "list-sessions", method: get, path: "/v1/sessions", who: anyone, tag: "Sessions",
		summary: "Sessions through gateways, and commands run with more privilege, newest first", detail: "Administrators and auditors see all, owners those on a resource of theirs that they name, everybody else their own."}, s.listSessions)
	register(s, route{name: "get-session", method: get, path: "/v1/sessions/{id}", who: anyone, tag: "Sessions",
		summary: "One session", detail: "Whose it is, owners of the resource, administrators, auditors."}, s.getSession)
	register(s, route{name: "end-session", method: post, path: "/v1/sessions/{id}/end", who: anyone, urgent: true, body: maxCode, tag: "Sessions",
		summary: "End one session now", detail: "Whose it is, owners of the resource, administrators. Its grant goes on. A command is killed by its host."}, s.endSession)
	register(s, route{name: "pause-session", method: post, path: "/v1/sessions/{id}/pause", who: anyone, urgent: true, body: maxCode, tag: "Sessions",
		summary: "Stop what passes in a live session", detail: "Owners of the resource, administrators, and who may watch it. It goes on with resume, and ends with its grant all the same."}, s.pauseSession)
	register(s, route{name: "resume-session", method: post, path: "/v1/sessions/{id}/resume", who: anyone, tag: "Sessions",
		summary: "Let a session go on that was paused", detail: "Who may pause it."}, s.resumeSession)
}

type sessionsIn struct {
	Paging
	Live     bool   `query:"live" doc:"Only those that are not closed"`
	Person   string `query:"person" maxLength:"64"`
	Resource string `query:"resource" maxLength:"80"`
	Grant    string `query:"grant" maxLength:"64" doc:"A whole id"`
	Since    string `query:"since" maxLength:"40" doc:"Only those opened since: a time" example:"2026-03-01T17:30:00Z"`
}

func (s *Server) listSessions(ctx context.Context, c call, in *sessionsIn) (*reply[api.Page[api.Session]], error) {
	var since api.Time
	if err := since.UnmarshalText([]byte(in.Since)); err != nil {
		return nil, err
	}
	q := access.SessionQuery{Live: in.Live, Person: access.Person(in.Person), Resource: access.ResourceName(in.Resource), Grant: access.GrantID(in.Grant), Since: since.Time,
		Before: access.SessionID(in.Cursor), Limit: min(in.Limit, 999) + 1}
	found, err := s.broker.Sessions(ctx, c.asked(nil), q)
	if err != nil {
		return nil, err
	}
	page := api.Page[api.Session]{Items: []api.Session{}}
	for i, x := range found {
		if i == q.Limit-1 { // there is more
			page.Next = page.Items[i-1].ID
			break
		}
		page.Items = append(page.Items, s.toSession(x))
	}
	return answer(page), nil
}

func (s *Server) getSession(ctx context.Context, c call, in *bySession) (*reply[api.Session], error) {
	x, err := s.broker.Session(ctx, c.asked(nil), in.ID)
	if err != nil {
		return nil, err
	}
	return answer(s.toSession(x)), nil
}

type bySession struct {
	ID string `path:"id" maxLength:"64" doc:"The id of a session, or an unambiguous beginning" example:"ses_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
}

type endSessionIn struct {
	ID   string `path:"id" maxLength:"64" doc:"The id of a session, or an unambiguous beginning" example:"ses_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	Body api.SessionEnd
}

func (s *Server) endSession(ctx context.Context, c call, in *endSessionIn) (*reply[api.Session], error) {
	x, err := s.broker.EndSession(ctx, c.asked(nil), in.ID, in.Body.Why)
	if err != nil {
		return nil, err
	}
	return answer(s.toSession(x)), nil
}

func (s *Server) toSession(x access.LiveSession) api.Session {
	out := api.Session{ID: string(x.ID), State: "live", Protocol: string(x.Protocol), Grant: string(x.Grant), Request: string(x.Request), Principal: string(x.Principal),
		Person: string(x.Person), Role: string(x.Role), Resource: string(x.Resource), Address: x.Address, Account: x.Account, Key: x.Key, Strict: x.Strict,
		OpenedAt: api.At(x.OpenedAt), OverAt: api.At(x.ExpiresAt), ClosedAt: api.At(x.ClosedAt), Reason: x.Reason, Text: x.Text, EndedBy: string(x.EndingBy), EndNote: x.EndNote, PausedAt: api.At(x.PausedAt), PausedBy: string(x.PausedBy), Alarms: x.Alarms,
		Recording: api.SessionRecording{ID: x.Recording.ID, State: string(x.Recording.State), Bytes: x.Recording.Bytes, Commands: x.Recording.Commands}}
	if host, is := x.Host(); is {
		out.Host = host
	} else {
		out.Gateway, out.Source = x.Gateway, x.Source.String()
	}
	if x.Protocol == access.Elevation {
		out.Command = &api.SessionCommand{Line: x.Command.Line, RunAs: x.Command.RunAs, Terminal: x.Command.Terminal, AfterEnd: x.Command.AfterEnd, Signal: x.Command.Signal}
		if !x.ClosedAt.IsZero() && x.Reason != access.SessionLost {
			out.Command.Status = &x.Command.Status
		}
	}
	if out.Recording.State == "" {
		out.Recording.State = "none"
	}
	switch {
	case !x.ClosedAt.IsZero():
		out.State = "closed"
	case x.Over(s.now()):
		out.State = "ending"
	}
	return out
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
