package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"stint/internal/api"
)

// glass are the calls about break-glass access. The fake knows the code "glass-NAME", and
// takes two of them together when one is "glass-both".
func (f *fake) glass(mux *http.ServeMux) {
	f.route(mux, "POST /v1/break-glass", func(who fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.GlassAsk
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		role, span := in.Role, in.Duration
		if role == "" {
			role = "reader"
		}
		if span == "" {
			span = "30m"
		}
		text, err := json.Marshal(api.Ask{Resource: in.Resource, Role: role, Duration: span, Reason: in.Why, DryRun: in.DryRun})
		if err != nil {
			return nil, err
		}
		v, err := f.submit(who, nil, text)
		if err != nil || in.DryRun {
			return v, err
		}
		var out api.Request
		f.change(func() {
			r := f.requests[len(f.requests)-1]
			r.Emergency = api.EmergencyBreakGlass
			out = *r
		})
		return out, nil
	})
	f.route(mux, "POST /v1/break-glass/login", func(who fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.GlassEnroll
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		name, ok := strings.CutPrefix(in.Codes[0].Reveal(), "glass-")
		if !ok {
			return nil, &api.Error{Kind: api.Unauthenticated, Code: "bad-code", Message: "the code is not valid"}
		}
		if name == "both" && len(in.Codes) < 2 {
			return nil, &api.Error{Kind: api.Unauthenticated, Code: "more-codes", Message: "it takes 2 of these codes together", Next: "repeat --code-file"}
		}
		token := "stint_glass_" + name
		f.change(func() {
			f.logins[token] = fakeLogin{principal: "user:" + name, thumbprint: who.thumbprint, sealKey: in.SealKey}
		})
		key := f.log.key()
		return api.GlassLogin{LoginResult: api.LoginResult{Token: api.Secret(token), Principal: "user:" + name, Person: name, ExpiresAt: api.At(time.Now().Add(time.Hour)),
			LogOrigin: key.Origin, LogKey: key.Key, ServerTime: api.At(time.Now())}, Codes: []string{"code_1"}}, nil
	})
	open := api.Review{ID: "rev_1", State: "open", Request: "req_1", Grant: "grt_1", Principal: "user:sam", Person: "sam", Resource: "orders-db", Role: "reader",
		Reason: "checkout is down", OpenedAt: api.At(time.Now().Add(-100 * time.Hour)), DueAt: api.At(time.Now().Add(-28 * time.Hour)), Overdue: true, Yours: true, ServerTime: api.At(time.Now())}
	f.route(mux, "GET /v1/reviews", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		page := api.Page[api.Review]{Items: []api.Review{open}}
		if r.URL.Query().Get("state") == "" {
			closed := open
			closed.ID, closed.State, closed.Finding, closed.Overdue, closed.Drill = "rev_0", "closed", "drill", false, true
			page.Items = append(page.Items, closed)
		}
		return page, nil
	})
	f.route(mux, "GET /v1/reviews/{id}", func(fakeLogin, *http.Request, []byte) (any, error) { return open, nil })
	f.route(mux, "POST /v1/reviews/{id}/close", func(who fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.ReviewClose
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		if in.Finding == "drill" {
			return nil, &api.Error{Kind: api.Invalid, Code: "no-drill", Message: "this was no drill"}
		}
		closed := open
		closed.State, closed.Finding, closed.Note, closed.ClosedBy, closed.Overdue = "closed", in.Finding, in.Note, who.principal, false
		return closed, nil
	})
	f.route(mux, "POST /v1/admin/break-glass/codes", func(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.GlassCodesAsk
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		users, need := in.Sharers, in.Need
		if in.User != "" {
			users, need = nil, 1
			for range in.Count {
				users = append(users, in.User)
			}
		}
		out := api.GlassCodes{Codes: []api.GlassCode{}}
		for _, u := range users {
			out.Codes = append(out.Codes, api.GlassCode{ID: "code_" + u, Principal: "user:" + u, State: "good", Need: need, Resource: in.Resource, Code: api.Secret("glass-" + u), ExpiresAt: api.At(time.Now().Add(time.Hour))})
		}
		return out, nil
	})
	f.route(mux, "GET /v1/admin/break-glass/codes", func(fakeLogin, *http.Request, []byte) (any, error) {
		return api.Page[api.GlassCode]{Items: []api.GlassCode{{ID: "code_1", Principal: "user:mira", State: "used", Need: 1, ExpiresAt: api.At(time.Now())}}}, nil
	})
	f.route(mux, "DELETE /v1/admin/break-glass/codes/{name}", func(fakeLogin, *http.Request, []byte) (any, error) { return struct{}{}, nil })
}
