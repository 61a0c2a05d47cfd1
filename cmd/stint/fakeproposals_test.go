package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"stint/internal/api"
)

// grave is a proposal as the fake makes them of documents that say "grave".
func grave(state string) api.Proposal {
	return api.Proposal{ID: "prp_01J8ZQ5T3M8W6Y2X4V9N7K1B5C", State: state, Kind: "documents", Principal: "user:root", Person: "root",
		Summary: "updated Policy orders-read", Why: []string{"Policy orders-read: it reaches orders-db, which is of high criticality"}, Base: 7,
		Digest: "sha256:" + strings.Repeat("ab", 32), CreatedAt: api.At(time.Now()), ExpiresAt: api.At(time.Now().Add(time.Hour)), Mine: true}
}

func graveDiff() api.PolicyDiff {
	return api.PolicyDiff{Version: 7, TwoPersons: true,
		Documents: []api.DocumentChange{{Kind: "Policy", Name: "orders-read", Action: "updated", Source: "policy.yaml:3", Fields: []api.FieldChange{
			{Field: "subjects", Before: "[group:platform]", After: "[group:platform, group:dba]", Added: []string{"group:dba"}},
			{Field: "require.maxDuration", Before: "1h", After: "2h"}}}},
		Can: []api.CanChange{
			{What: "gains", Resource: "orders-db", Role: "reader", Who: []string{"user:olga"}, After: "account with orders_read: at once, up to 2h"},
			{What: "changes", Resource: "orders-db", Role: "reader", Who: []string{"user:mira"}, Before: "account with orders_read: at once, up to 1h", After: "account with orders_read: at once, up to 2h"}},
		Ends:   []api.Lapse{{Grant: "grt_1", Request: "req_1", Principal: "user:noor", Resource: "orders-db", Role: "reader", Why: "no policy lets her"}},
		Second: []api.Grave{{Kind: "Policy", Name: "orders-read", Why: "it reaches orders-db, which is of high criticality"}}, Warnings: []api.Problem{}}
}

// proposals are the calls about edits and the second person.
func (f *fake) proposals(mux *http.ServeMux) {
	state := "pending"
	f.route(mux, "POST /v1/policy/diff", func(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
		if strings.Contains(string(body), "same") {
			return api.PolicyDiff{Documents: []api.DocumentChange{}, Can: []api.CanChange{}, Ends: []api.Lapse{}, Second: []api.Grave{}, Warnings: []api.Problem{}}, nil
		}
		return graveDiff(), nil
	})
	f.route(mux, "POST /v1/policy/replay", func(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
		return api.PolicyReplay{Version: 7, Since: api.At(time.Now()), Asked: 12, Extensions: 1, Unknown: 2, Recorded: []string{"duration"}, AsOfNow: []string{"groups"},
			Differ: []api.Replayed{{Request: "req_1", Principal: "user:mira", Resource: "orders-db", Role: "reader", Duration: "2h", At: api.At(time.Now()), Was: api.OutcomeAllow,
				Before: api.Decision{Outcome: api.OutcomeAllow}, After: api.Decision{Outcome: api.OutcomeDeny, Reasons: []api.Reason{{Text: "too long"}}}}}}, nil
	})
	f.route(mux, "GET /v1/proposals", func(fakeLogin, *http.Request, []byte) (any, error) {
		return api.Page[api.Proposal]{Items: []api.Proposal{grave(state)}}, nil
	})
	f.route(mux, "GET /v1/proposals/{id}", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		if !strings.HasPrefix(grave("").ID, r.PathValue("id")) {
			return nil, &api.Error{Kind: api.NotFound, Code: "no-such-proposal", Message: "there is no such proposal, or it is not yours to see"}
		}
		p, d := grave(state), graveDiff()
		p.Diff = &d
		return p, nil
	})
	decide := func(next string) handler {
		return func(who fakeLogin, _ *http.Request, body []byte) (any, error) {
			var v api.ProposalVote
			if err := json.Unmarshal(body, &v); err != nil {
				return nil, err
			}
			switch {
			case who.principal == "user:root" && next == "applied":
				return nil, &api.Error{Kind: api.Denied, Code: "own-proposal", Message: "nobody approves their own proposal"}
			case v.Digest != grave("").Digest:
				return nil, &api.Error{Kind: api.Conflict, Code: "other-proposal", Message: "the proposal is not the one you were shown"}
			}
			f.change(func() { state = next })
			return grave(next), nil
		}
	}
	f.route(mux, "POST /v1/proposals/{id}/approve", decide("applied"))
	f.route(mux, "POST /v1/proposals/{id}/deny", decide("denied"))
	f.route(mux, "GET /v1/two-persons", func(fakeLogin, *http.Request, []byte) (any, error) {
		return api.TwoPersons{Mode: "auto", InForce: true, Persons: 2}, nil
	})
	f.route(mux, "POST /v1/two-persons", func(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
		var t api.TwoPersons
		err := json.Unmarshal(body, &t)
		if t.Mode == "off" {
			p := grave("pending")
			t = api.TwoPersons{Mode: "auto", InForce: true, Persons: 2, Proposal: &p}
		}
		return t, err
	})
}
