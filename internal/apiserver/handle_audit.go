package apiserver

import (
	"context"
	"io"
	"net/netip"
	"slices"
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
	Before   int64     `query:"before" minimum:"0" default:"0" doc:"Only records with a smaller number, the newest first; the next of the page before"`
	Newest   bool      `query:"newest" doc:"The newest first; what is more goes on with before"`
	Limit    int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Actor    string    `query:"actor" maxLength:"80" doc:"Only what this principal did" example:"user:mira"`
	Type     string    `query:"type" maxLength:"64" doc:"Only events of this type, or of a whole noun" example:"grant.ended"`
	Entity   string    `query:"entity" maxLength:"256" doc:"Only what happened to this" example:"grt_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	Request  string    `query:"request" maxLength:"64" doc:"Only what happened to this request or its grant, or because of them"`
	Resource string    `query:"resource" maxLength:"63" doc:"Only what concerns this resource"`
	Agent    string    `query:"agent" maxLength:"64" doc:"Only what this agent did or what was done to it; * is any agent"`
	Outcome  string    `query:"outcome" enum:"denied,trouble,done" doc:"Only what was refused, what did not go as it should, or all else"`
	Address  string    `query:"address" maxLength:"64" doc:"Only what was done from this address"`
	Text     string    `query:"text" maxLength:"200" doc:"Only records with this text in them, as it is written"`
	Since    time.Time `query:"since" doc:"Only from this time on"`
	Until    time.Time `query:"until" doc:"Only before this time"`
	Settled  bool      `query:"settled" doc:"Waits, for 5 seconds at most, until what was done before the call has its number and can be found"`
}

// settleFor bounds how long a search waits for what was just done: where the log cannot be
// continued, what has numbers is still found.
const settleFor = 5 * time.Second

// scanAtMost bounds the records that one call looks at for a few that match.
const scanAtMost = 50_000

// logQuery is what a search is for, as far as the caller may see.
func (s *Server) logQuery(ctx context.Context, c call, in *recordsIn) (LogQuery, error) {
	q := LogQuery{After: in.After, Before: in.Before, Limit: in.Limit, Entity: in.Entity, Resource: access.ResourceName(in.Resource), Since: in.Since, Until: in.Until,
		Where: audit.Filter{Actor: principalID(in.Actor), Agent: strings.TrimPrefix(in.Agent, "agent:"), Result: audit.Result(in.Outcome), Text: in.Text}}
	if strings.Contains(in.Type, ".") {
		q.Type = access.EventType(in.Type)
	} else {
		q.Where.Noun = in.Type
	}
	if in.Outcome != "" && !slices.Contains(audit.Results, q.Where.Result) {
		return q, access.Fail(access.Invalid, "bad-outcome", "there is no such outcome").Try("it is denied, trouble or done")
	}
	if in.Address != "" {
		a, err := netip.ParseAddr(in.Address)
		if err != nil {
			return q, access.Fail(access.Invalid, "bad-address", "that is not an address").Try("write it like 192.0.2.7 or 2001:db8::1")
		}
		q.Where.Address = a
	}
	if in.Request != "" {
		q.Where.About = []string{in.Request}
		// A grant is named by its own id in what happens to it. Whoever may not see the
		// request finds what the log says of the one id.
		if v, err := s.broker.View(ctx, c.asked(nil), in.Request); err == nil {
			q.Where.About = []string{string(v.Request.ID)}
			if v.Grant != nil {
				q.Where.About = append(q.Where.About, string(v.Grant.ID))
			}
		}
	}
	c.onlyOwn(&q)
	return q, nil
}

func (s *Server) auditRecords(ctx context.Context, c call, in *recordsIn) (*reply[api.Page[api.AuditRecord]], error) {
	q, err := s.logQuery(ctx, c, in)
	if err != nil {
		return nil, err
	}
	if in.Settled {
		within, done := context.WithTimeout(ctx, settleFor)
		err := s.audit.Settle(within)
		done()
		if err != nil && (ctx.Err() != nil || within.Err() == nil) {
			return nil, err
		}
	}
	page := api.Page[api.AuditRecord]{Items: []api.AuditRecord{}}
	if in.Newest || in.Before > 0 {
		q.Look = scanAtMost
		recs, next, err := s.audit.Search(ctx, q)
		if err != nil {
			return nil, err
		}
		if next > 0 {
			page.Next = strconv.FormatInt(next, 10)
		}
		page.Items = toRecords(recs)
		return answer(page), nil
	}
	if !q.Where.Cuts() { // what is left has indexes
		recs, err := s.audit.Records(ctx, q)
		if err != nil {
			return nil, err
		}
		if page.Items = toRecords(recs); len(recs) == q.Limit {
			page.Next = strconv.FormatInt(recs[len(recs)-1].Seq, 10)
		}
		return answer(page), nil
	}
	size, _, err := s.audit.Head(ctx)
	if err != nil {
		return nil, err
	}
	q.Before = min(size, max(q.After, -1)+1+scanAtMost)
	if q.Before > q.After+1 {
		recs, err := s.audit.Records(ctx, q)
		if err != nil {
			return nil, err
		}
		page.Items = toRecords(recs)
	}
	switch n := len(page.Items); {
	case n == q.Limit:
		page.Next = strconv.FormatInt(page.Items[n-1].Seq, 10)
	case q.Before > 0 && q.Before < size:
		page.Next = strconv.FormatInt(q.Before-1, 10)
	}
	return answer(page), nil
}

func toRecords(recs []LogRecord) []api.AuditRecord {
	out := make([]api.AuditRecord, len(recs))
	for i, r := range recs {
		out[i] = api.AuditRecord{Seq: r.Seq, Record: r.Encoded}
	}
	return out
}

// onlyOwn keeps those who do not audit to the records about their own person.
func (c call) onlyOwn(q *LogQuery) {
	if !c.Principal.Auditor && !c.Principal.Admin {
		q.Person = c.Principal.Person
	}
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
