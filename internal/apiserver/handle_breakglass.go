package apiserver

import (
	"context"
	"net/http"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/ident"
	"stint/internal/policy"
)

func (s *Server) addGlassRoutes() {
	register(s, route{name: "break-glass", method: post, path: "/v1/break-glass", who: anyone, urgent: true, held: true, glass: true, tag: "Break-glass",
		summary: "Ask for break-glass access", detail: "Whom a policy with effect breakGlass names; people only. At once, loud, an hour at most, and reviewed by another person."}, s.breakGlass)
	register(s, route{name: "glass-login", method: post, path: "/v1/break-glass/login", who: device, urgent: true, body: maxCode, tag: "Break-glass",
		summary: "Exchange break-glass codes for a login that is good for break-glass access alone",
		detail:  "For when sign-in is down. The proof must be by the device_jwk in the body, without a token."}, s.glassLogin)
	register(s, route{name: "list-reviews", method: get, path: "/v1/reviews", who: anyone, glass: true, tag: "Break-glass",
		summary: "Reviews of break-glass access, newest first", detail: "Administrators and auditors see all, owners those on what they own, everybody those of what they did."}, s.listReviews)
	register(s, route{name: "get-review", method: get, path: "/v1/reviews/{id}", who: anyone, tag: "Break-glass",
		summary: "One review of break-glass access"}, s.getReview)
	register(s, route{name: "close-review", method: post, path: "/v1/reviews/{id}/close", who: anyone, tag: "Break-glass",
		summary: "Close a review with a finding", detail: "Owners of the resource, auditors, administrators; never the person who broke the glass, nor one whose code was used."}, s.closeReview)
	register(s, route{name: "make-glass-codes", method: post, path: "/v1/admin/break-glass/codes", who: admins, tag: "Break-glass",
		summary: "Make one-time codes for break-glass access when sign-in is down", detail: "They are shown this once."}, s.makeGlassCodes)
	register(s, route{name: "list-glass-codes", method: get, path: "/v1/admin/break-glass/codes", who: auditors, tag: "Break-glass",
		summary: "The break-glass codes there are, without what is secret"}, s.listGlassCodes)
	register(s, route{name: "revoke-glass-code", method: del, path: "/v1/admin/break-glass/codes/{name}", who: admins, urgent: true, status: http.StatusNoContent, tag: "Break-glass",
		summary: "Make a break-glass code worthless"}, s.revokeGlassCode)
}

type breakGlassIn struct {
	Waiting
	Key  string `header:"Idempotency-Key" maxLength:"128" doc:"The same for all attempts of one call"`
	Body api.GlassAsk
}

func (s *Server) breakGlass(ctx context.Context, c call, in *breakGlassIn) (*reply[api.Request], error) {
	a := in.Body
	g := broker.Glass{Resource: access.ResourceName(a.Resource), Role: access.RoleName(a.Role), Reason: a.Why, Drill: a.Drill, Key: c.key, Body: c.body}
	if a.Duration != "" {
		var err error
		if g.Duration, err = api.ParseDuration(a.Duration); err != nil {
			return nil, err
		}
	}
	who := c.asked(nil)
	if a.DryRun {
		ask, x, err := s.broker.PreviewGlass(ctx, who, g)
		if err != nil {
			return nil, err
		}
		out := preview(c, ask, x)
		out.Emergency = string(ask.Emergency)
		return answer(out), nil
	}
	v, err := s.broker.BreakGlass(ctx, who, g)
	if err != nil {
		return nil, err
	}
	if v.Request.State == access.RequestIsGranted {
		s.log.Warn("the glass is broken", "trace", c.trace, "principal", c.Principal.ID, "resource", a.Resource, "request", v.Request.ID, "drill", a.Drill)
	}
	return s.await(ctx, who, v, in.Waiting)
}

// offerGlass says on a refusal what its requester could break glass for instead. That
// nothing can be said costs them the hint, and nothing else.
func (s *Server) offerGlass(ctx context.Context, who broker.Caller, r access.Request, out *api.Request) {
	if out.State != api.RequestDenied && out.State != api.RequestExpired {
		return
	}
	open, err := s.broker.GlassFor(ctx, who, r)
	if err == nil && len(open) > 0 {
		out.BreakGlass = string(open[0].Role)
	}
}

func (s *Server) glassLogin(ctx context.Context, c call, in *struct{ Body api.GlassEnroll }) (*reply[api.GlassLogin], error) {
	id, err := in.Body.Device.Thumbprint()
	if err != nil {
		return nil, err
	}
	if access.DeviceID(id) != c.source.Device {
		return nil, &api.Error{Kind: api.Unauthenticated, Code: api.CodeBadProof, Message: "the proof of the call is not by the device it brings"}
	}
	sign := ident.GlassSign{Device: c.source.Device, SealKey: in.Body.SealKey, From: c.source.IP}
	for _, code := range in.Body.Codes {
		sign.Codes = append(sign.Codes, access.NewSecret([]byte(code.Reveal())))
	}
	l, g, err := s.ident.GlassEnrol(ctx, sign)
	if err != nil {
		if access.KindOf(err) == access.Unauthenticated {
			s.metrics.signInFailures.WithLabelValues(problemOf(err, "").Code).Inc()
			s.log.Warn("a break-glass code was refused", "trace", c.trace, "code", problemOf(err, "").Code, "from", c.source.IP)
		}
		return nil, err
	}
	s.log.Warn("break-glass codes were used", "trace", c.trace, "principal", l.Principal.ID, "codes", g.Codes, "from", c.source.IP)
	return answer(api.GlassLogin{LoginResult: s.loginResult(l), Resource: string(g.Resource), Codes: texts(g.Codes)}), nil
}

type listReviewsIn struct {
	Paging
	State    string `query:"state" enum:"open,closed" doc:"Only in this state"`
	Resource string `query:"resource" maxLength:"63"`
}

func (s *Server) listReviews(ctx context.Context, c call, in *listReviewsIn) (*reply[api.Page[api.Review]], error) {
	vs, next, err := s.broker.Reviews(ctx, c.asked(nil), access.ReviewQuery{State: access.ReviewState(in.State), Resource: access.ResourceName(in.Resource),
		Before: access.ReviewID(in.Cursor), Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	page := api.Page[api.Review]{Items: []api.Review{}, Next: string(next)}
	for _, v := range vs {
		page.Items = append(page.Items, toReview(v))
	}
	return answer(page), nil
}

func (s *Server) getReview(ctx context.Context, c call, in *ByID) (*reply[api.Review], error) {
	v, err := s.broker.Review(ctx, c.asked(nil), in.ID)
	if err != nil {
		return nil, err
	}
	return answer(toReview(v)), nil
}

func (s *Server) closeReview(ctx context.Context, c call, in *struct {
	ByID
	Body api.ReviewClose
}) (*reply[api.Review], error) {
	v, err := s.broker.CloseReview(ctx, c.asked(nil), in.ID, access.Finding(in.Body.Finding), in.Body.Note)
	if err != nil {
		return nil, err
	}
	return answer(toReview(v)), nil
}

func toReview(v broker.ReviewView) api.Review {
	return api.Review{
		ID: string(v.ID), State: string(v.State), Request: string(v.Request), Grant: string(v.Grant), Principal: string(v.Principal), Person: string(v.Person),
		Resource: string(v.Resource), Role: string(v.Role), Reason: v.Reason, Drill: v.Drill, Codes: v.Codes, Openers: texts(v.Openers),
		OpenedAt: api.At(v.OpenedAt), DueAt: api.At(v.DueAt), Overdue: v.Overdue(v.Now), Yours: v.Mine, ClosedAt: api.At(v.ClosedAt), ClosedBy: string(v.Closer),
		Finding: string(v.Finding), Note: v.Note, ServerTime: api.At(v.Now),
	}
}

func (s *Server) makeGlassCodes(ctx context.Context, c call, in *struct{ Body api.GlassCodesAsk }) (*reply[api.GlassCodes], error) {
	a := in.Body
	n := ident.NewGlassCodes{User: a.User, Count: a.Count, Sharers: a.Sharers, Need: a.Need, Resource: access.ResourceName(a.Resource)}
	if a.For != "" {
		var err error
		if n.For, err = api.ParseDuration(a.For); err != nil {
			return nil, err
		}
	}
	if a.Resource != "" { // a code for what does not exist would be found out in the emergency
		set, err := s.broker.Documents(ctx)
		if err != nil {
			return nil, err
		}
		if _, ok := set.Resource(n.Resource); !ok {
			return nil, noSuch("resource", a.Resource, namesOf(set.Resources(), func(r policy.Resource) access.ResourceName { return r.Name }))
		}
	}
	made, err := s.ident.MakeGlassCodes(ctx, c.Caller, n)
	if err != nil {
		return nil, err
	}
	out := api.GlassCodes{Codes: []api.GlassCode{}}
	for _, m := range made {
		code := toGlassCode(m.GlassCode, m.CreatedAt)
		code.Code = api.Secret(m.Secret.Reveal())
		out.Codes = append(out.Codes, code)
	}
	return answer(out), nil
}

func (s *Server) listGlassCodes(ctx context.Context, c call, in *Paging) (*reply[api.Page[api.GlassCode]], error) {
	all, now, err := s.ident.GlassCodes(ctx, c.Caller)
	if err != nil {
		return nil, err
	}
	return pageOf(all, *in, func(g access.GlassCode) api.GlassCode { return toGlassCode(g, now) })
}

func (s *Server) revokeGlassCode(ctx context.Context, c call, in *ByName) (*empty, error) {
	return nil, s.ident.RevokeGlassCode(ctx, c.Caller, in.Name)
}

func toGlassCode(g access.GlassCode, now time.Time) api.GlassCode {
	state := "good"
	switch {
	case !g.UsedAt.IsZero():
		state = "used"
	case !g.RevokedAt.IsZero():
		state = "revoked"
	case !now.Before(g.ExpiresAt):
		state = "expired"
	}
	return api.GlassCode{ID: g.ID, Principal: string(g.Principal), State: state, MadeWith: g.MadeWith, Need: g.Need, Resource: string(g.Resource),
		CreatedAt: api.At(g.CreatedAt), ExpiresAt: api.At(g.ExpiresAt), UsedAt: api.At(g.UsedAt)}
}
