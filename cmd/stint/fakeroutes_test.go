package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"stint/internal/api"
)

// routes are the calls that the program makes.
func (f *fake) routes(mux *http.ServeMux) {
	f.route(mux, "GET /v1/log/key", func(fakeLogin, *http.Request, []byte) (any, error) { return f.log.key(), nil })
	f.route(mux, "POST /v1/enroll", f.enroll)
	f.signIn(mux)
	f.sessions(mux)
	f.route(mux, "POST /v1/logout", func(fakeLogin, *http.Request, []byte) (any, error) { return struct{}{}, nil })
	f.route(mux, "GET /v1/whoami", func(who fakeLogin, _ *http.Request, _ []byte) (any, error) {
		return api.Whoami{Principal: who.principal, Person: strings.TrimPrefix(who.principal, "user:"), Groups: []string{"platform"},
			Device: who.thumbprint, ServerVersion: "v0", ServerTime: api.At(time.Now()), ExpiresAt: api.At(time.Now().Add(time.Hour))}, nil
	})

	f.route(mux, "POST /v1/requests", f.submit)
	f.route(mux, "GET /v1/requests/{id}", f.hold)
	f.route(mux, "GET /v1/requests", f.list(func(r *http.Request, x *api.Request) bool {
		s := r.URL.Query().Get("state")
		return s == "" || s == string(x.State)
	}))
	f.route(mux, "GET /v1/grants", f.list(func(r *http.Request, x *api.Request) bool {
		s := r.URL.Query().Get("state")
		return x.Grant != nil && (s == "" || strings.Contains(s, string(x.Grant.State)))
	}))
	f.route(mux, "GET /v1/approvals", f.list(func(_ *http.Request, x *api.Request) bool { return x.State == api.RequestPending }))
	f.route(mux, "POST /v1/requests/{id}/approve", f.vote(true))
	f.route(mux, "POST /v1/requests/{id}/deny", f.vote(false))
	f.route(mux, "POST /v1/requests/{id}/cancel", f.onRequest(func(_ fakeLogin, r *api.Request, _ []byte) error {
		if r.State != api.RequestPending {
			return &api.Error{Kind: api.Conflict, Code: "already-decided", Message: "the request is already " + string(r.State)}
		}
		r.State = api.RequestCancelled
		return nil
	}))
	for verb, answer := range map[string]bool{"question": false, "answer": true} {
		f.route(mux, "POST /v1/requests/{id}/"+verb, f.onRequest(func(who fakeLogin, r *api.Request, body []byte) error {
			var in api.RemarkAsk
			if err := json.Unmarshal(body, &in); err != nil {
				return err
			}
			if answer && len(r.Remarks) == 0 {
				return &api.Error{Kind: api.Conflict, Code: "nothing-asked", Message: "nobody has a question"}
			}
			_, person, _ := strings.Cut(who.principal, ":")
			r.Remarks = append(r.Remarks, api.Remark{Principal: who.principal, Person: person, Answer: answer, Text: in.Text, At: api.At(time.Now())})
			return nil
		}))
	}
	f.route(mux, "POST /v1/requests/{id}/end", f.onRequest(func(_ fakeLogin, r *api.Request, _ []byte) error {
		end(r, api.EndReturned)
		return nil
	}))
	f.route(mux, "POST /v1/requests/{id}/extend", f.extend)
	f.route(mux, "POST /v1/requests/{id}/credential", f.credential)
	f.route(mux, "POST /v1/grants/{id}/certificate", f.certificate)
	mux.HandleFunc("GET /v1/ssh/krl", f.revokedCertificates)
	mux.HandleFunc("GET /v1/ssh/ca", f.authorities)
	f.route(mux, "POST /v1/revoke", f.revoke)
	f.route(mux, "POST /v1/stop", func(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.stop, json.Unmarshal(body, &f.stop)
	})
	f.delegations(mux)
	f.glass(mux)
	f.documents(mux)
	f.bundles(mux)
	f.administration(mux)
	f.proposals(mux)
	f.log.routes(f, mux)
}

// enroll knows the codes "code-NAME", and "bootstrap" for the first
// administrator.
func (f *fake) enroll(who fakeLogin, _ *http.Request, body []byte) (any, error) {
	var in api.Enroll
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	name, ok := strings.CutPrefix(in.Code.Reveal(), "code-")
	if in.Bootstrap {
		name, ok = in.Name, in.Code.Reveal() == "bootstrap"
	}
	if thumb, err := in.Device.Thumbprint(); !ok || err != nil || thumb != who.thumbprint {
		return nil, &api.Error{Kind: api.Unauthenticated, Code: "bad-code", Message: "the code is not valid, or was used before"}
	}
	token := "stint_" + name
	f.change(func() {
		f.logins[token] = fakeLogin{principal: "user:" + name, thumbprint: who.thumbprint, sealKey: in.SealKey}
	})
	key := f.log.key()
	return api.LoginResult{Token: api.Secret(token), Principal: "user:" + name, Person: name, Admin: in.Bootstrap, ExpiresAt: api.At(time.Now().Add(time.Hour)),
		LogOrigin: key.Origin, LogKey: key.Key, ServerTime: api.At(time.Now())}, nil
}

func (f *fake) list(keep func(*http.Request, *api.Request) bool) handler {
	return func(who fakeLogin, r *http.Request, _ []byte) (any, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		page := api.Page[api.Request]{Items: []api.Request{}}
		for _, x := range f.requests {
			if keep(r, x) && (r.URL.Query().Get("mine") == "" || x.Principal == who.principal) {
				page.Items = append(page.Items, *x)
			}
		}
		return page, nil
	}
}

func (f *fake) extend(who fakeLogin, hr *http.Request, body []byte) (any, error) {
	var in api.ExtendAsk
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	f.mu.Lock()
	r, err := f.find(hr.PathValue("id"))
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	more := *r
	more.ID, more.Duration, more.Granted, more.Reason, more.Extends, more.Grant = "req_0extension", in.For, in.For, in.Why, r.Grant.ID, nil
	if in.Why == "somebody decides" {
		more.State, more.Granted = api.RequestPending, ""
		more.Decision = api.Decision{Outcome: api.OutcomeApprove, Approvals: []api.Approval{{From: []string{"group:dba"}, Count: 1, Have: 1, Stage: 1}, {From: []string{"group:leads"}, Count: 1, Stage: 2}}}
	}
	if in.DryRun {
		more.ID, more.DryRun, more.Grant = "", true, r.Grant
		return more, nil
	}
	f.change(func() { f.requests = append(f.requests, &more) })
	return more, nil
}

func (f *fake) revoke(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
	var in api.RevokeAsk
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	out := api.Revoked{Grants: []string{}}
	f.change(func() {
		for _, r := range f.requests {
			if r.Grant != nil && !over(*r) && (in.All || in.User == r.Principal || in.Role == r.Role || in.Resource == r.Resource || in.Grant == r.Grant.ID) {
				end(r, api.EndRevoked)
				out.Grants = append(out.Grants, r.Grant.ID)
			}
		}
	})
	return out, nil
}

func (f *fake) documents(mux *http.ServeMux) {
	orders := api.Resource{Name: "orders-db", Type: "postgres", Criticality: "high", Labels: map[string]string{"team": "orders", "env": "prod"},
		Owners: []string{"group:dba"}, Address: "db1:5432", Connection: map[string]string{"database": "orders", "ca": fakeAuthority}, Source: "resources.yaml:1"}
	host := api.Resource{Name: hostResource, Type: "linux", Labels: map[string]string{}, Criticality: "low", Owners: []string{}, Address: "web1.example.com:2222", Connection: map[string]string{}, Source: "resources.yaml:9"}
	reader := api.Role{Name: "reader", Description: "Read the orders tables", Mechanism: "account", Rights: []string{"orders_read"},
		Resources: api.Selector{Type: "postgres"}, MaxDuration: "4h", Source: "roles.yaml:1"}
	lent := reader
	lent.Name, lent.Mechanism, lent.Options = "lent", "group", map[string]string{"account": "{{ .person }}"}
	read := api.Policy{Name: "orders-read", Effect: "allow", Subjects: []string{"group:platform"}, Roles: []string{"reader"}, Source: "policy.yaml:31"}
	serve(f, mux, "resources", func(r api.Resource) string { return r.Name }, orders, host)
	serve(f, mux, "roles", func(r api.Role) string { return r.Name }, reader, lent)
	serve(f, mux, "policies", func(p api.Policy) string { return p.Name }, read)
	serve(f, mux, "users", func(u api.User) string { return u.Name }, api.User{ID: "user:mira", Name: "mira", Kind: "user", Person: "mira", Groups: []string{"platform"}})
	serve(f, mux, "integrations", func(i api.Integration) string { return i.Name }, api.Integration{Name: "corp-sso", Type: "oidc", Address: "https://idp.example.com",
		Credential: "corp-sso", Options: map[string]string{"groupsClaim": "groups"}, Source: "integrations.yaml:1"},
		api.Integration{Name: "ops-hook", Type: "webhook", Address: "https://hooks.example.com", Credential: "ops-hook", Trouble: "the receiver answers 502"})
	f.route(mux, "POST /v1/admin/integrations/{name}/test", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		if r.PathValue("name") != "ops-hook" {
			return nil, &api.Error{Kind: api.Unavailable, Code: "channel-failed", Message: "the message was not taken", Why: "the receiver answers 502"}
		}
		return api.IntegrationTested{Name: "ops-hook"}, nil
	})
	f.route(mux, "DELETE /v1/{plural}/{name}", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		if r.URL.Query().Get("revoke") == "" {
			return nil, &api.Error{Kind: api.Conflict, Code: "in-use", Message: r.PathValue("name") + " is held by 1 live grant", Next: "wait for its end, or delete with --revoke"}
		}
		return api.Deleted{Version: 8, Change: api.Change{Kind: "Role", Name: r.PathValue("name"), Action: "deleted"}, Grants: []string{"grt_1"}}, nil
	})
	f.route(mux, "POST /v1/apply", f.apply)
	f.route(mux, "POST /v1/explain", func(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.ExplainAsk
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		r := api.Request{Role: in.Ask.Role, Duration: in.Ask.Duration, Decision: api.Decision{Outcome: api.OutcomeAllow,
			Reasons: []api.Reason{{Policy: "orders-read", Source: "policy.yaml:31", Text: "platform may read orders"}}}}
		f.decide(&r)
		var offers []api.Offer
		if r.Decision.Outcome == api.OutcomeDeny {
			offers = []api.Offer{{Role: "reader", Duration: "2h"}}
		}
		return api.Explanation{Decision: r.Decision, Documents: 7, MaxDuration: "2h", Nearest: "reader on orders-db for 2h", Offers: offers,
			Policies: []api.RuleSaid{{Policy: "orders-read", Source: "policy.yaml:31", Effect: "allow", Text: "role is " + in.Ask.Role + ", not reader"}}}, nil
	})
	f.route(mux, "GET /v1/who-can", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		return api.Page[api.CanRow]{Items: []api.CanRow{{Principal: "group:platform", Resource: r.URL.Query().Get("resource"), Role: "writer",
			Outcome: api.OutcomeApprove, Policy: "orders-read", Source: "policy.yaml:31", Approvals: []api.Approval{{From: []string{"group:dba"}, Count: 2}}},
			{Principal: "user:noor", Role: "writer", Outcome: api.OutcomeAllow, Policy: "on-call", Source: "policy.yaml:9"},
			{Principal: "group:sre", Role: "writer", Outcome: api.OutcomeAllow, Policy: "fire", Source: "policy.yaml:50", BreakGlass: true},
			{Principal: "*", Role: "writer", Outcome: api.OutcomeDeny, Policy: "freeze", Source: "policy.yaml:44", Condition: "now.hour < 6"}}}, nil
	})
	f.route(mux, "GET /v1/who-has", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		return api.Page[api.HasRow]{Items: []api.HasRow{
			{Principal: "user:mira", Resource: r.URL.Query().Get("resource"), Role: "reader", Rights: []string{"orders_read"}, Grant: "grt_1", State: api.GrantScheduled},
			{Principal: "user:noor", Resource: r.URL.Query().Get("resource"), Role: "lent", Account: "noor_dba", Rights: []string{"orders_owner"}, Grant: "grt_2", State: api.GrantEnding}}}, nil
	})
}

// serve lists the things of a kind, and knows them by name.
func serve[T any](f *fake, mux *http.ServeMux, plural string, name func(T) string, items ...T) {
	f.route(mux, "GET /v1/"+plural, func(fakeLogin, *http.Request, []byte) (any, error) { return api.Page[T]{Items: items}, nil })
	f.route(mux, "GET /v1/"+plural+"/{name}", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		for _, item := range items {
			if name(item) == r.PathValue("name") {
				return item, nil
			}
		}
		return nil, &api.Error{Kind: api.NotFound, Code: "not-found", Message: "there is no " + r.PathValue("name") + " among the " + plural}
	})
}

// apply refuses what holds the word wrong.
func (f *fake) apply(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
	var in api.Apply
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	out := api.Applied{Version: 7, DryRun: in.DryRun, Changes: []api.Change{}, Warnings: []api.Problem{}}
	for _, file := range in.Files {
		if strings.Contains(file.Text, "wrong") {
			return nil, &api.Error{Kind: api.Invalid, Code: "bad-documents", Message: "the documents are not right", Why: "1 problem",
				Next:   "nothing was changed; mend them and apply again",
				Faults: []api.Problem{{Source: file.Name + ":1", Text: `unknown field "wrong"`, Next: `did you mean "when"?`}}}
		}
		if strings.Contains(file.Text, "grave") {
			p := grave("pending")
			out.Proposal, out.Second = &p, graveDiff().Second
		}
		if strings.Contains(file.Text, "alone") {
			out.Alone, out.Second = true, graveDiff().Second
		}
		out.Changes = append(out.Changes, api.Change{Kind: "Role", Name: strings.TrimSpace(file.Text), Action: "created", Source: file.Name + ":1"})
	}
	return out, nil
}

func (f *fake) administration(mux *http.ServeMux) {
	added := func(name string) (any, error) {
		return api.UserAdded{Name: name, Principal: "user:" + name, EnrollToken: api.Secret("code-" + name), ExpiresAt: api.At(time.Now().Add(24 * time.Hour))}, nil
	}
	f.route(mux, "POST /v1/admin/users", func(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.UserAdd
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		if in.Name == "root" {
			return nil, &api.Error{Kind: api.Conflict, Code: "exists", Message: "there is a user root already"}
		}
		return added(in.Name)
	})
	f.route(mux, "PUT /v1/admin/users/{name}", func(_ fakeLogin, r *http.Request, body []byte) (any, error) {
		var in api.UserSet
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		name := r.PathValue("name")
		u := api.User{ID: "user:" + name, Name: name, Kind: "user", Person: name, Groups: []string{"as-before"}, Manager: "as-before", Disabled: !in.Enable}
		if in.Groups != nil {
			u.Groups = in.Groups
		}
		if in.Manager != nil {
			u.Manager = *in.Manager
		}
		if in.Admin != nil {
			u.Admin = *in.Admin
		}
		u.Auditor = in.Auditor == nil || *in.Auditor
		return u, nil
	})
	f.route(mux, "POST /v1/admin/integrations/{name}/tokens", func(_ fakeLogin, r *http.Request, body []byte) (any, error) {
		var in api.TokenAdd
		err := json.Unmarshal(body, &in)
		return api.TokenAdded{Integration: r.PathValue("name"), Name: "9f86d0 " + in.For + " " + in.Overlap, Token: "stint-provider-x", ExpiresAt: api.At(time.Now().Add(time.Hour))}, err
	})
	f.route(mux, "GET /v1/admin/integrations/{name}/tokens", func(fakeLogin, *http.Request, []byte) (any, error) {
		return api.Page[api.Token]{Items: []api.Token{{Name: "9f86d0", CreatedAt: api.At(time.Now()), ExpiresAt: api.At(time.Now().Add(time.Hour))}}}, nil
	})
	f.route(mux, "POST /v1/admin/integrations/{name}/tokens/end", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		return api.TokensEnded{Integration: r.PathValue("name"), Ended: 2}, nil
	})
	for _, verb := range []string{"link", "unlink"} {
		f.route(mux, "POST /v1/admin/users/{name}/"+verb, func(_ fakeLogin, r *http.Request, body []byte) (any, error) {
			var id api.Identity
			err := json.Unmarshal(body, &id)
			u := api.User{ID: "user:" + r.PathValue("name"), Name: r.PathValue("name"), Kind: "user"}
			if verb == "link" {
				u.Identities = []api.Identity{id}
			}
			return u, err
		})
	}
	f.route(mux, "POST /v1/admin/users/{name}/enroll", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) { return added(r.PathValue("name")) })
	f.route(mux, "POST /v1/admin/users/{name}/disable", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		return api.Disabled{Principal: "user:" + r.PathValue("name"), Grants: []string{"grt_1"}}, nil
	})
	f.route(mux, "POST /v1/admin/users/{name}/lock", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		return api.Disabled{Principal: "user:" + r.PathValue("name"), Grants: []string{"grt_1"}}, nil
	})
	f.route(mux, "POST /v1/admin/users/{name}/unlock", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		u := api.User{ID: "user:" + r.PathValue("name"), Name: r.PathValue("name"), Kind: "user", Groups: []string{}}
		if u.Name == "ada" { // who holds an office
			u.Proposal = &api.Proposal{ID: "prp_7", Kind: "office", Why: []string{"two"}}
		}
		return u, nil
	})
	f.route(mux, "POST /v1/admin/services", func(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.ServiceAdd
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		return api.ServiceAdded{Name: in.Name, Principal: "service:" + in.Name, Token: "stint_service", ExpiresAt: api.At(time.Now().Add(time.Hour))}, nil
	})
	f.route(mux, "POST /v1/admin/vendors", func(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.VendorInvite
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		return added(in.Name)
	})
	f.route(mux, "GET /v1/admin/vendors", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		out := api.Page[api.Vendor]{Items: []api.Vendor{}}
		if s := r.URL.Query().Get("sponsor"); s == "" || s == "omar" {
			out.Items = append(out.Items, api.Vendor{Principal: "user:bo", Name: "bo", Sponsor: "omar", Company: "Acme Ltd", Groups: []string{"acme"},
				Until: api.At(time.Date(2126, 3, 31, 12, 0, 0, 0, time.UTC))})
		}
		return out, nil
	})
	f.route(mux, "GET /v1/admin/agents", func(fakeLogin, *http.Request, []byte) (any, error) {
		return api.Page[api.Agent]{Items: []api.Agent{{Principal: "agent:fixer", Name: "fixer", Responsible: "ana", Groups: []string{"agents"},
			CreatedAt: api.At(time.Now()), Until: api.At(time.Now().Add(30 * 24 * time.Hour))}}}, nil
	})
	f.route(mux, "GET /v1/tasks", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		now := api.At(time.Now())
		out := api.Page[api.Task]{Items: []api.Task{}}
		if r.URL.Query().Get("ended") == "true" {
			out.Items = append(out.Items, api.Task{Agent: "agent:fixer", Task: "OPS-11", OpenedAt: now, EndsAt: now, EndedAt: now, Why: "wrong table"})
		}
		out.Items = append(out.Items, api.Task{Agent: "agent:fixer", Task: "OPS-12", Open: true, OpenedAt: now, EndsAt: api.At(now.Add(time.Hour))})
		return out, nil
	})
	f.route(mux, "PUT /v1/admin/vendors/{name}", func(_ fakeLogin, r *http.Request, body []byte) (any, error) {
		var in api.VendorSet
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		out := api.Vendor{Principal: "user:" + r.PathValue("name"), Name: r.PathValue("name"), Sponsor: "omar", Company: "Acme Ltd", Groups: []string{}, Until: in.Until}
		if in.Sponsor != nil {
			out.Sponsor = *in.Sponsor
		}
		out.Disabled = !in.Until.IsZero() && !in.Until.After(time.Now().Add(time.Minute))
		return out, nil
	})
	f.route(mux, "POST /v1/admin/agents", func(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.AgentAdd
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		return api.ServiceAdded{Name: in.Name, Principal: "agent:" + in.Name, Token: "stint_agent", ExpiresAt: api.At(time.Now().Add(time.Hour))}, nil
	})
	f.route(mux, "POST /v1/tasks/end", func(_ fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.TaskEnd
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		return api.TaskEnded{Agent: "agent:" + in.Agent, Task: in.Task, EndedAt: api.At(time.Now()), Grants: []string{"grt_1"}}, nil
	})
	f.route(mux, "PUT /v1/admin/credentials/{name}", func(_ fakeLogin, r *http.Request, body []byte) (any, error) {
		var in api.CredentialSet
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		if !in.Password.Equal("s3cret from a file") {
			return nil, &api.Error{Kind: api.Invalid, Code: "wrong-password", Message: "the password is not the one of the test"}
		}
		if in.Type == "postgres" && in.Username == "" {
			return nil, &api.Error{Kind: api.Invalid, Code: "incomplete-credential", Message: "a credential needs a user name"}
		}
		out := api.ConnectorCredential{Name: r.PathValue("name"), Type: in.Type, Address: in.Address, Username: in.Username, UpdatedAt: api.At(time.Now())}
		if out.Name == "orders-connector" {
			out.Resources = []string{"orders-db"}
		}
		if in.Address != "db1:5432" {
			out.Warnings = []api.Problem{{Text: "nothing bears out " + in.Address, Next: "check the address"}}
		}
		return out, nil
	})
	f.route(mux, "GET /v1/admin/credentials", func(fakeLogin, *http.Request, []byte) (any, error) {
		return api.Page[api.ConnectorCredential]{Items: []api.ConnectorCredential{
			{Name: "old", Type: "postgres", Address: "db9:5432", Username: "stint", Resources: []string{}, Warnings: []api.Problem{{Text: "no resource names it"}}},
			{Name: "orders-connector", Type: "postgres", Address: "db1:5432", Username: "stint", Resources: []string{"orders-db", "orders-ro"}}}}, nil
	})
	f.route(mux, "DELETE /v1/admin/credentials/{name}", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		if r.PathValue("name") == "orders-connector" {
			return nil, &api.Error{Kind: api.Conflict, Code: "in-use", Message: "the credential orders-connector is used by orders-db"}
		}
		return api.ConnectorCredential{Name: r.PathValue("name"), Type: "postgres", Address: "db9:5432", Username: "stint"}, nil
	})
	f.route(mux, "POST /v1/resources/{name}/check", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		ok := r.PathValue("name") == "orders-db"
		return api.CheckReport{Resource: r.PathValue("name"), OK: ok, Steps: []api.CheckStep{{Name: "creates the canary", OK: true},
			{Name: "drops the canary", OK: ok, Fix: "GRANT stint_admin TO stint",
				Detail: "the server says that must be able to SET ROLE stint_canary_0123456789abcdef, and the connector's account cannot; it is a member of it without the option SET"}}}, nil
	})
	f.route(mux, "POST /v1/resources/{name}/sweep", func(_ fakeLogin, r *http.Request, body []byte) (any, error) {
		var in api.SweepAsk
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		return api.SweepReport{Resource: r.PathValue("name"), Unwanted: []string{"stint_mira_a", "stint_mira_b"}, Standing: []string{"old_admin: SUPERUSER"},
			Ordered: min(in.Remove, 2)}, nil
	})
}
