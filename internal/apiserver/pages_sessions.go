package apiserver

import (
	"context"
	"strings"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/ident"
	"stint/internal/policy"
	"stint/internal/web"
	"stint/internal/web/views"
)

// shownOpen is how many active grants are on one page.
const shownOpen = 50

// Sessions are active grants that the visitor may see, with what is open under them.
func (d doors) Sessions(ctx context.Context, v web.Visitor, before string) (views.OpenSessions, error) {
	out := views.OpenSessions{Before: before}
	c, err := d.caller(ctx, v)
	if err != nil {
		return out, err
	}
	if before != "" && (!strings.HasPrefix(before, "grt_") || len(before) > 64) {
		return out, access.Fail(access.Invalid, "bad-cursor", "that is no page of this list").Try("begin with the newest: /sessions")
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	l, err := d.broker.OpenSessions(ctx, callBy(c).asked(nil), access.GrantID(before), shownOpen)
	for _, x := range l.Open {
		out.Items = append(out.Items, d.openSession(set, c, x))
	}
	out.Next, out.Cut = string(l.Next), l.Cut
	return out, err
}

func (d doors) openSession(set *policy.Set, c ident.Caller, x broker.Open) views.OpenSession {
	s := views.OpenSession{Held: toHeld(set, x.View, d.now()), Open: x.Sessions, LastActive: x.LastActive, Read: x.At, OnLogout: x.Grant.Endings.OnLogout, Mine: x.Grant.Principal == c.Principal.ID}
	if x.Grant.Endings.OnIdle > 0 {
		s.OnIdle = api.FormatDuration(x.Grant.Endings.OnIdle)
	}
	return s
}

// Session is one of them.
func (d doors) Session(ctx context.Context, v web.Visitor, id string) (views.OpenSession, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return views.OpenSession{}, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return views.OpenSession{}, err
	}
	x, err := d.broker.OpenSession(ctx, callBy(c).asked(nil), access.RequestID(id))
	if access.KindOf(err) != access.NotFound {
		if err != nil {
			return views.OpenSession{}, err
		}
		return d.openSession(set, c, x), nil
	}
	return views.OpenSession{}, access.Fail(access.NotFound, "no-such-session", "nothing is active under that name that you may see").Try("see what is at /sessions, and what was at /r/" + id)
}
