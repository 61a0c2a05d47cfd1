package apiserver

import (
	"context"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/web"
	"stint/internal/web/views"
)

// Sessions are the active grants that the visitor may see, with what is open under them.
func (d doors) Sessions(ctx context.Context, v web.Visitor) ([]views.OpenSession, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return nil, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	all, err := d.broker.OpenSessions(ctx, callBy(c).asked(nil))
	out := make([]views.OpenSession, 0, len(all))
	for _, x := range all {
		s := views.OpenSession{Held: toHeld(set, x.View, d.now()), Open: x.Sessions, LastActive: x.LastActive, Read: x.At, OnLogout: x.Grant.Endings.OnLogout, Mine: x.Grant.Principal == c.Principal.ID}
		if x.Grant.Endings.OnIdle > 0 {
			s.OnIdle = api.FormatDuration(x.Grant.Endings.OnIdle)
		}
		out = append(out, s)
	}
	return out, err
}

// Session is one of them.
func (d doors) Session(ctx context.Context, v web.Visitor, id string) (views.OpenSession, error) {
	all, err := d.Sessions(ctx, v)
	if err != nil {
		return views.OpenSession{}, err
	}
	for _, x := range all {
		if x.ID == id {
			return x, nil
		}
	}
	return views.OpenSession{}, access.Fail(access.NotFound, "no-such-session", "nothing is active under that name that you may see").Try("see what is at /sessions, and what was at /r/" + id)
}
