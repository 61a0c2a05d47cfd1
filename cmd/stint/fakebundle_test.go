package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"stint/internal/api"
)

// bundles are the calls about more than one thing, and about what was asked before.
func (f *fake) bundles(mux *http.ServeMux) {
	serve(f, mux, "bundles", func(b api.Bundle) string { return b.Name }, api.Bundle{Name: "incident", Source: "bundles.yaml:1",
		Parts: []api.BundlePart{{Resource: "orders-db", Role: "reader", Duration: "1h"}, {Resource: "billing-db", Role: "writer"}}})
	f.route(mux, "POST /v1/requests/bundle", f.submitBundle)
	f.route(mux, "GET /v1/favourites", func(fakeLogin, *http.Request, []byte) (any, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return api.Page[api.Favourite]{Items: slices.Clone(f.favourites)}, nil
	})
	f.route(mux, "PUT /v1/favourites/{name}", func(_ fakeLogin, r *http.Request, body []byte) (any, error) {
		var in api.FavouriteSet
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		x := api.Favourite{Name: r.PathValue("name"), Resource: in.Resource, Role: in.Role, Duration: in.Duration}
		f.change(func() { f.favourites = append(f.favourites, x) })
		return x, nil
	})
	f.route(mux, "DELETE /v1/favourites/{name}", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		had := false
		f.change(func() {
			n := len(f.favourites)
			f.favourites = slices.DeleteFunc(f.favourites, func(x api.Favourite) bool { return x.Name == r.PathValue("name") })
			had = n > len(f.favourites)
		})
		if !had {
			return nil, &api.Error{Kind: api.NotFound, Code: "no-such-favourite", Message: "you have no favourite " + r.PathValue("name")}
		}
		return struct{}{}, nil
	})
}

func (f *fake) submitBundle(who fakeLogin, _ *http.Request, body []byte) (any, error) {
	var in api.BundleAsk
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	out := api.Bundled{Requests: []api.Request{}, Refused: []api.Request{}, DryRun: in.DryRun, Bundle: "sha256:" + strings.Repeat("b", 64)}
	f.mu.Lock()
	n := len(f.requests)
	f.mu.Unlock()
	for i, p := range in.Parts {
		r := &api.Request{ID: fmt.Sprintf("req_%026d", n+i+1), State: api.RequestApproved, Principal: who.principal, Resource: p.Resource, Role: p.Role, Duration: p.Duration,
			Granted: p.Duration, Reason: in.Reason, Bundle: out.Bundle, CreatedAt: api.At(time.Now()), Votes: []api.Vote{},
			Decision: api.Decision{Outcome: api.OutcomeAllow, Approvals: []api.Approval{}, Reasons: []api.Reason{}}}
		f.decide(r)
		switch {
		case in.DryRun:
			r.ID, r.Grant = "", nil
			for i := range r.Decision.Approvals {
				r.Decision.Approvals[i].Asks = &api.Asks{People: []string{"user:omar"}, Delegates: []string{"user:olga for user:omar"}, Usual: "12m", Answers: 9}
			}
		case r.Decision.Outcome == api.OutcomeDeny:
			out.Refused = append(out.Refused, *r)
			continue
		default:
			f.change(func() { f.requests = append(f.requests, r) })
		}
		out.Requests = append(out.Requests, *r)
	}
	return out, nil
}
