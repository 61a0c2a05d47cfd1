package apiserver

import (
	"context"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/audit"
	"stint/internal/broker"
)

type submitIn struct {
	Waiting
	Key  string `header:"Idempotency-Key" maxLength:"128" doc:"The same for all attempts of one call"`
	Body api.Ask
}

func (s *Server) submit(ctx context.Context, c call, in *submitIn) (*reply[api.Request], error) {
	ask, err := c.ask(in.Body)
	if err != nil {
		return nil, err
	}
	who := c.asked(in.Body.SealKey)
	if in.Body.DryRun {
		x, err := s.broker.Preview(ctx, who, ask, "")
		if err != nil {
			return nil, err
		}
		out := answer(preview(c, ask, x))
		s.offerGlass(ctx, who, access.Request{Principal: c.Principal.ID, Role: ask.Role, Targets: []access.Target{{Resource: ask.Resource}}}, &out.Body)
		return out, nil
	}
	if len(who.SealKey) != 32 {
		return nil, errNoSealKey
	}
	v, err := s.broker.Submit(ctx, who, ask)
	if err != nil {
		return nil, err
	}
	return s.await(ctx, who, v, in.Waiting)
}

func (c call) ask(a api.Ask) (broker.Ask, error) {
	d, err := api.ParseDuration(a.Duration)
	if err != nil {
		return broker.Ask{}, err
	}
	out := broker.Ask{Resource: access.ResourceName(a.Resource), Role: access.RoleName(a.Role), Duration: d, Reason: a.Reason, Ticket: a.Ticket, Task: access.TaskID(a.Task), Key: c.key, Body: c.body}
	out.Start, err = startOf(a.Start)
	return out, err
}

type requestIn struct {
	ByID
	Waiting
}

func (s *Server) getRequest(ctx context.Context, c call, in *requestIn) (*reply[api.Request], error) {
	who := c.asked(nil)
	v, err := s.broker.View(ctx, who, in.ID)
	if err != nil {
		return nil, err
	}
	out, err := s.await(ctx, who, v, in.Waiting)
	if err == nil {
		out.Body.Ask = access.EncodeAsk(v.Request)
	}
	if err == nil && out.Body.Grant != nil && out.Body.Grant.EndReason == api.EndRevoked {
		out.Body.Grant.EndedBy = s.endedBy(ctx, c, out.Body.Grant.ID)
	}
	return out, err
}

// endedBy is who ended a grant, as the log has it; empty where it does not say, or not
// yet: a record has its number within a second. Only those are told who may read the
// record itself.
func (s *Server) endedBy(ctx context.Context, c call, grant string) string {
	q := LogQuery{After: -1, Limit: 1, Type: access.GrantEnding, Entity: grant}
	c.onlyOwn(&q)
	recs, err := s.audit.Records(ctx, q)
	if err != nil || len(recs) == 0 {
		return ""
	}
	r, err := audit.Decode(recs[0].Encoded)
	if err != nil || r.Event.Actor.Principal == access.System.Principal {
		return ""
	}
	return string(r.Event.Actor.Principal)
}

// await holds an answer until what the caller waits for is there, at most as
// long as asked, and gives the newest state then.
func (s *Server) await(ctx context.Context, who broker.Caller, v broker.View, w Waiting) (*reply[api.Request], error) {
	d, err := w.duration()
	if err != nil {
		return nil, err
	}
	enough := enoughFor[w.For]
	if d > 0 && !enough(v) {
		held, release := s.hold(ctx, d)
		defer release()
		switch next, err := s.broker.Wait(held, who, string(v.Request.ID), enough); {
		case err == nil:
			v = next
		case held.Err() == nil: // else the wait was over before there was another look
			return nil, err
		}
	}
	out := answer(toRequest(v))
	s.offerGlass(ctx, who, v.Request, &out.Body)
	return out, nil
}

// enoughFor says when there is nothing left to wait for.
var enoughFor = map[string]func(broker.View) bool{
	"decided": decided,
	"ready": func(v broker.View) bool {
		return refused(v) || v.Request.Extends != "" && decided(v) ||
			v.Grant != nil && v.Grant.State != access.Scheduled && v.Grant.State != access.Provisioning
	},
	"ended": func(v broker.View) bool { return refused(v) || v.Grant != nil && v.Grant.Over() },
}

func decided(v broker.View) bool { return v.Request.State != access.RequestPending }
func refused(v broker.View) bool {
	return decided(v) && v.Request.State != access.RequestIsGranted
}

type listRequestsIn struct {
	Paging
	State    []string `query:"state" enum:"pending,approved,denied,cancelled,expired" doc:"Only in these states"`
	Mine     bool     `query:"mine" doc:"Only the caller's own"`
	Resource string   `query:"resource" maxLength:"63"`
	Role     string   `query:"role" maxLength:"63"`
	User     string   `query:"user" maxLength:"80" doc:"Only of this principal" example:"user:mira"`
}

func (s *Server) listRequests(ctx context.Context, c call, in *listRequestsIn) (*reply[api.Page[api.Request]], error) {
	q := access.RequestQuery{Principal: principalID(in.User), Resource: access.ResourceName(in.Resource), Role: access.RoleName(in.Role),
		Before: access.RequestID(in.Cursor), Limit: in.Limit}
	if in.Mine {
		q.Principal = c.Principal.ID
	}
	for _, st := range in.State {
		q.States = append(q.States, access.RequestState(st))
	}
	vs, err := s.broker.Requests(ctx, c.asked(nil), q)
	if err != nil {
		return nil, err
	}
	return answer(toPage(vs, in.Limit, func(v broker.View) string { return string(v.Request.ID) })), nil
}

type listGrantsIn struct {
	Paging
	State    []string `query:"state" enum:"scheduled,provisioning,active,ending,ended,failed" doc:"Only in these states; live ones if absent"`
	Mine     bool     `query:"mine" doc:"Only the caller's own"`
	Resource string   `query:"resource" maxLength:"63"`
	Role     string   `query:"role" maxLength:"63"`
	User     string   `query:"user" maxLength:"80" doc:"Only of this principal" example:"user:mira"`
}

func (s *Server) listGrants(ctx context.Context, c call, in *listGrantsIn) (*reply[api.Page[api.Request]], error) {
	q := access.GrantQuery{Principal: principalID(in.User), Resource: access.ResourceName(in.Resource), Role: access.RoleName(in.Role),
		Before: access.GrantID(in.Cursor), Limit: in.Limit}
	if in.Mine {
		q.Principal = c.Principal.ID
	}
	for _, st := range in.State {
		q.States = append(q.States, access.GrantState(st))
	}
	if len(q.States) == 0 {
		q.States = liveStates
	}
	vs, err := s.broker.Grants(ctx, c.asked(nil), q)
	if err != nil {
		return nil, err
	}
	return answer(toPage(vs, in.Limit, func(v broker.View) string { return string(v.Grant.ID) })), nil
}

type voteIn struct {
	ByID
	Body api.VoteAsk
}

func (s *Server) approve(ctx context.Context, c call, in *voteIn) (*reply[api.Request], error) {
	return s.vote(ctx, c, in, true)
}

func (s *Server) deny(ctx context.Context, c call, in *voteIn) (*reply[api.Request], error) {
	return s.vote(ctx, c, in, false)
}

func (s *Server) vote(ctx context.Context, c call, in *voteIn, approve bool) (*reply[api.Request], error) {
	v := access.Vote{Approve: approve, Note: in.Body.Note, Rights: in.Body.Rights, Assertion: assertionOf(in.Body.Assertion)}
	if in.Body.Signed != nil {
		v.Signed = in.Body.Signed.Time
	}
	var err error
	if in.Body.For != "" {
		if v.Duration, err = api.ParseDuration(in.Body.For); err != nil {
			return nil, err
		}
	}
	if in.Body.Digest != "" {
		if v.Seen, err = access.ParseDigest(in.Body.Digest); err != nil {
			return nil, err
		}
	}
	out, err := s.broker.Vote(ctx, c.asked(nil), in.ID, v)
	if err != nil {
		return nil, err
	}
	return answer(toRequest(out)), nil
}

func (s *Server) cancel(ctx context.Context, c call, in *ByID) (*reply[api.Request], error) {
	v, err := s.broker.Cancel(ctx, c.asked(nil), in.ID)
	if err != nil {
		return nil, err
	}
	return answer(toRequest(v)), nil
}

type remarkIn struct {
	ByID
	Body api.RemarkAsk
}

func (s *Server) question(ctx context.Context, c call, in *remarkIn) (*reply[api.Request], error) {
	v, err := s.broker.Question(ctx, c.asked(nil), in.ID, in.Body.Text)
	if err != nil {
		return nil, err
	}
	return answer(toRequest(v)), nil
}

func (s *Server) answerQuestion(ctx context.Context, c call, in *remarkIn) (*reply[api.Request], error) {
	v, err := s.broker.Answer(ctx, c.asked(nil), in.ID, in.Body.Text)
	if err != nil {
		return nil, err
	}
	return answer(toRequest(v)), nil
}

func (s *Server) approvals(ctx context.Context, c call, in *Paging) (*reply[api.Page[api.Request]], error) {
	found, err := s.broker.Inbox(ctx, c.asked(nil), broker.InboxQuery{From: access.RequestID(in.Cursor), Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	page := api.Page[api.Request]{Items: []api.Request{}, Next: string(found.Next)}
	for _, x := range found.Views {
		page.Items = append(page.Items, toRequest(x))
	}
	return answer(page), nil
}

func (s *Server) explain(ctx context.Context, c call, in *struct{ Body api.ExplainAsk }) (*reply[api.Explanation], error) {
	ask, err := c.ask(in.Body.Ask)
	if err != nil {
		return nil, err
	}
	x, err := s.broker.Preview(ctx, c.asked(nil), ask, principalID(in.Body.Principal))
	if err != nil {
		return nil, err
	}
	return answer(toExplanation(x)), nil
}
