package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"stint/internal/api"
)

// delegations answers as the server does, for whoever asks.
func (f *fake) delegations(mux *http.ServeMux) {
	var all []api.Delegation
	f.route(mux, "POST /v1/delegations", func(who fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.DelegateAsk
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		span, err := api.ParseDuration(in.For)
		if err != nil {
			return nil, err
		}
		if span > 14*24*time.Hour {
			return nil, &api.Error{Kind: api.Invalid, Code: "long-delegation", Message: "no delegation lasts longer than 14d here"}
		}
		to := in.To
		if !strings.Contains(to, ":") {
			to = "user:" + to
		}
		now := time.Now()
		d := api.Delegation{ID: fmt.Sprintf("dlg_%026d", len(all)+1), Principal: who.principal, To: to, Why: in.Why, StartsAt: api.At(now), EndsAt: api.At(now.Add(span)), Holds: in.Start == ""}
		all = append(all, d)
		return d, nil
	})
	f.route(mux, "GET /v1/delegations", func(fakeLogin, *http.Request, []byte) (any, error) {
		return api.Page[api.Delegation]{Items: all}, nil
	})
	f.route(mux, "POST /v1/delegations/{id}/end", func(who fakeLogin, r *http.Request, _ []byte) (any, error) {
		for i := range all {
			if d := &all[i]; strings.HasPrefix(d.ID, r.PathValue("id")) {
				d.Holds, d.EndedAt, d.EndedBy = false, api.At(time.Now()), who.principal
				return *d, nil
			}
		}
		return nil, &api.Error{Kind: api.NotFound, Code: "no-such-delegation", Message: "there is no such delegation"}
	})
}
