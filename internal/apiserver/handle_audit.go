package apiserver

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/audit"
)

type recordsIn struct {
	After    int64     `query:"after" minimum:"-1" default:"-1" doc:"Only records with a greater number"`
	Limit    int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor   string    `query:"cursor" maxLength:"20" doc:"The next of the page before; instead of after"`
	Actor    string    `query:"actor" maxLength:"80" doc:"Only what this principal did" example:"user:mira"`
	Type     string    `query:"type" maxLength:"64" doc:"Only events of this type" example:"grant.ended"`
	Entity   string    `query:"entity" maxLength:"256" doc:"Only what happened to this" example:"grt_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	Resource string    `query:"resource" maxLength:"63" doc:"Only what concerns this resource"`
	Since    time.Time `query:"since" doc:"Only from this time on"`
	Until    time.Time `query:"until" doc:"Only before this time"`
}

// scanAtMost bounds the records that one call looks at for a few that match.
const scanAtMost = 10_000

func (s *Server) auditRecords(ctx context.Context, c call, in *recordsIn) (*reply[api.Page[api.AuditRecord]], error) {
	q := LogQuery{After: in.After, Limit: in.Limit, Type: in.Type, Entity: in.Entity, Resource: in.Resource, Since: in.Since, Until: in.Until}
	if in.Cursor != "" {
		n, err := strconv.ParseInt(in.Cursor, 10, 64)
		if err != nil || n < -1 {
			return nil, access.Fail(access.Invalid, "bad-cursor", "the cursor is not one of this list").Try("use the next of the page before")
		}
		q.After = n
	}
	c.onlyOwn(&q)
	actor := principalID(in.Actor)
	page := api.Page[api.AuditRecord]{Items: []api.AuditRecord{}}
	for scanned := 0; scanned < scanAtMost; {
		recs, err := s.audit.Records(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range recs {
			q.After = r.Seq
			ok, err := by(actor, r)
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
		q.Person = string(c.Principal.Person)
	}
}

func by(actor access.PrincipalID, r LogRecord) (bool, error) {
	if actor == "" {
		return true, nil
	}
	rec, err := audit.Decode(r.Encoded)
	if err != nil {
		return false, err
	}
	return rec.Event.Actor.Principal == actor, nil
}

type tailIn struct {
	After int64 `query:"after" minimum:"-1" default:"-1" doc:"Only records with a greater number"`
	Last  int64 `query:"last" minimum:"0" maximum:"1000" doc:"Begin so many records before the newest; instead of after"`
}

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
	if in.Last > 0 {
		size, _, err := s.audit.Head(ctx)
		if err != nil {
			return nil, err
		}
		q.After = max(q.After, size-in.Last-1)
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
		wait, cancel := context.WithTimeout(ctx, heartbeat)
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
