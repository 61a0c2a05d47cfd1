package apiserver

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/audit"
)

type recordsIn struct {
	After    int64     `query:"after" minimum:"-1" default:"-1" doc:"Only records with a greater number; the next of the page before"`
	Limit    int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Actor    string    `query:"actor" maxLength:"80" doc:"Only what this principal did" example:"user:mira"`
	Type     string    `query:"type" maxLength:"64" doc:"Only events of this type, or of a whole noun" example:"grant.ended"`
	Entity   string    `query:"entity" maxLength:"256" doc:"Only what happened to this" example:"grt_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	Resource string    `query:"resource" maxLength:"63" doc:"Only what concerns this resource"`
	Since    time.Time `query:"since" doc:"Only from this time on"`
	Until    time.Time `query:"until" doc:"Only before this time"`
}

// scanAtMost bounds the records that one call looks at for a few that match.
const scanAtMost = 10_000

func (s *Server) auditRecords(ctx context.Context, c call, in *recordsIn) (*reply[api.Page[api.AuditRecord]], error) {
	q := LogQuery{After: in.After, Limit: in.Limit, Entity: in.Entity, Resource: access.ResourceName(in.Resource), Since: in.Since, Until: in.Until}
	want := match{actor: principalID(in.Actor)}
	if strings.Contains(in.Type, ".") {
		q.Type = access.EventType(in.Type)
	} else if in.Type != "" {
		want.noun = in.Type + "."
	}
	c.onlyOwn(&q)
	page := api.Page[api.AuditRecord]{Items: []api.AuditRecord{}}
	for scanned := 0; scanned < scanAtMost; {
		recs, err := s.audit.Records(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range recs {
			q.After = r.Seq
			ok, err := want.holds(r)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			page.Items = append(page.Items, api.AuditRecord{Seq: r.Seq, Record: r.Encoded})
			if len(page.Items) == in.Limit {
				page.Next = strconv.FormatInt(q.After, 10)
				return answer(page), nil
			}
		}
		if len(recs) < q.Limit {
			return answer(page), nil
		}
		scanned += len(recs)
	}
	page.Next = strconv.FormatInt(q.After, 10)
	return answer(page), nil
}

// onlyOwn keeps those who do not audit to the records about their own person.
func (c call) onlyOwn(q *LogQuery) {
	if !c.Principal.Auditor && !c.Principal.Admin {
		q.Person = c.Principal.Person
	}
}

// match is what the store cannot select.
type match struct {
	actor access.PrincipalID
	noun  string // the first part of a type, with its dot
}

func (m match) holds(r LogRecord) (bool, error) {
	if m == (match{}) {
		return true, nil
	}
	rec, err := audit.Decode(r.Encoded)
	if err != nil {
		return false, err
	}
	return (m.actor == "" || rec.Event.Actor.Principal == m.actor) && strings.HasPrefix(string(rec.Event.Type), m.noun), nil
}

type tailIn struct {
	After int64 `query:"after" minimum:"-2" default:"-2" doc:"Only records with a greater number; -1 begins with the first, -2 with the next to come"`
}

const fromNow = -2

// lines is an answer that is written bit by bit.
type lines struct {
	ContentType string `header:"Content-Type"`
	Body        func(huma.Context)
}

// auditTail follows the log until the client goes, its sign-in ends, or the
// server stops.
func (s *Server) auditTail(ctx context.Context, c call, in *tailIn) (*lines, error) {
	q := LogQuery{After: in.After, Limit: 500}
	c.onlyOwn(&q)
	if in.After == fromNow {
		size, _, err := s.audit.Head(ctx)
		if err != nil {
			return nil, err
		}
		q.After = size - 1
	}
	return &lines{ContentType: linesType, Body: func(hc huma.Context) {
		out := newStream(hc)
		held, release := s.hold(hc.Context(), streamLife)
		defer release()
		if err := s.tail(held, c, q, out); err != nil {
			s.log.Debug("a stream ended", "trace", c.trace, "error", err)
		}
	}}, nil
}

func (s *Server) tail(ctx context.Context, c call, q LogQuery, out *stream) error {
	seen := q.After // of all records, also those of others that are not shown
	for {
		recs, err := s.audit.Records(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range recs {
			q.After = r.Seq
			if err := out.line([]byte(`{"seq":`), strconv.AppendInt(nil, r.Seq, 10), []byte(`,"record":`), r.Encoded, []byte("}")); err != nil {
				return err
			}
		}
		if err := out.flush(); err != nil {
			return err
		}
		if len(recs) == q.Limit {
			continue
		}
		seen = max(seen, q.After)
		wait, cancel := context.WithTimeout(ctx, s.pulse)
		err = s.audit.Wait(wait, seen)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			size, _, err := s.audit.Head(ctx)
			if err != nil {
				return err
			}
			seen = max(seen, size-1)
			continue
		case access.KindOf(err) == access.Unavailable:
			return err
		}
		// All is quiet. Whoever has lost their sign-in meanwhile is let go.
		if err := s.ident.Still(ctx, c.Caller); err != nil {
			return err
		}
		if err := out.line(); err != nil {
			return err
		}
	}
}

// auditExport streams the whole log. What breaks it off in the middle shows:
// an export without its last checkpoint does not verify.
func (s *Server) auditExport(context.Context, call, *empty) (*lines, error) {
	return &lines{ContentType: linesType, Body: func(hc huma.Context) {
		out := newStream(hc)
		held, release := s.hold(hc.Context(), streamLife)
		defer release()
		if err := s.audit.Export(held, out); err != nil {
			s.log.Error("an export broke off", "trace", callOf(hc.Context()).trace, "error", err)
		}
	}}, nil
}

var _ io.Writer = (*stream)(nil)

func (s *Server) auditCheckpoint(ctx context.Context, _ call, _ *empty) (*reply[api.Checkpoint], error) {
	_, text, err := s.audit.Head(ctx)
	if err != nil {
		return nil, err
	}
	return answer(api.Checkpoint{Checkpoint: string(text)}), nil
}
