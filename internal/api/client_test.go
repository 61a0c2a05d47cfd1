package api_test

import (
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/api"
)

func TestParseServer(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:7420": "http://127.0.0.1:7420", "http://localhost:7420/": "http://localhost:7420", "http://[::1]:7420": "http://[::1]:7420",
		"https://stint.example": "https://stint.example", "https://10.0.0.7:8443/": "https://10.0.0.7:8443", "http://127.8.9.1": "http://127.8.9.1",
	} {
		if u, err := api.ParseServer(in); err != nil || u.String() != want {
			t.Errorf("ParseServer(%q) = %v, %v; want %s", in, u, err, want)
		}
	}
	for _, in := range []string{
		"", "stint.example", "stint.example:7420", "http://stint.example", "http://10.0.0.7:7420", "http://localhost.evil.example",
		"http://127.0.0.1.evil.example", "ftp://127.0.0.1", "https://mira:pw@stint.example", "https://stint.example/v1",
		"https://stint.example?x=1", "https://stint.example#x", "https://", "https://:7420", "http://[::ffff:10.0.0.7]", "mailto:x", "\x00", "https://a b",
	} {
		u, err := api.ParseServer(in)
		var e *api.Error
		if u != nil || !errors.As(err, &e) || e.Kind != api.Invalid || e.Next == "" {
			t.Errorf("ParseServer(%q) = %v, %v; want an Invalid error with a next step", in, u, err)
		}
		if err != nil && strings.Contains(err.Error()+e.Next, "pw") {
			t.Errorf("ParseServer(%q) shows the password: %v", in, err)
		}
	}
}

func TestClientNeedsSafeServerAndDevice(t *testing.T) {
	sent := false
	c := trip(func(*http.Request) (*http.Response, error) { sent = true; return answering(api.Whoami{}), nil }).client(t)
	c.Server = parse(t, "http://stint.example")
	if _, err := c.Whoami(background); !errors.Is(err, api.Invalid) {
		t.Errorf("plain http: %v", err)
	}
	c.Server, c.Device = parse(t, "https://stint.example"), nil
	if _, err := c.Whoami(background); err == nil {
		t.Error("a client without a device called")
	}
	if _, err := c.Enroll(background, "code", false, ""); err == nil {
		t.Error("a client without a device enrolled")
	}
	if sent {
		t.Error("something was sent")
	}
}

// Every typed call, by method, path, query and body. The door checks proof and
// token of each.
func TestCalls(t *testing.T) {
	d, c := newDoor(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, struct{}{}) })
	at := api.At(time.Unix(1772386200, 0))
	for want, do := range map[string]func() error{
		"GET /v1/whoami":  func() error { _, err := c.Whoami(background); return err },
		"POST /v1/logout": func() error { return c.Logout(background) },
		"GET /v1/log/key": func() error { _, err := c.LogKey(background); return err },
		`POST /v1/revoke {"all":true,"why":"fire"}`: func() error { _, err := c.Revoke(background, api.RevokeAsk{All: true, Why: "fire"}); return err },
		`POST /v1/requests?for=ready&wait=30s {"resource":"orders-db","role":"reader","duration":"20s","reason":"look"}`: func() error {
			_, err := c.Submit(background, api.Ask{Resource: "orders-db", Role: "reader", Duration: "20s", Reason: "look"}, api.Wait{For: api.Ready, Time: 30 * time.Second})
			return err
		},
		"GET /v1/requests/req_01?for=ended&wait=1m": func() error {
			_, err := c.Request(background, "req_01", api.Wait{For: api.Ended, Time: time.Minute})
			return err
		},
		"GET /v1/requests/req_01": func() error { _, err := c.Request(background, "req_01", api.Wait{}); return err },
		"GET /v1/requests?cursor=c&limit=5&mine=true&state=pending": func() error {
			_, err := c.Requests(background, api.RequestList{List: api.List{Cursor: "c", Limit: 5}, State: api.RequestPending, Mine: true})
			return err
		},
		"GET /v1/approvals": func() error { _, err := c.Approvals(background, api.List{}); return err },
		"GET /v1/grants":    func() error { _, err := c.Grants(background, api.List{}); return err },
		`POST /v1/requests/req_01/approve {"digest":"sha256:00","for":"15s"}`: func() error {
			_, err := c.Approve(background, "req_01", api.VoteAsk{Digest: "sha256:00", For: "15s"})
			return err
		},
		`POST /v1/requests/req_01/deny {"note":"no"}`: func() error { _, err := c.Deny(background, "req_01", api.VoteAsk{Note: "no"}); return err },
		"POST /v1/requests/req_01/cancel":             func() error { _, err := c.Cancel(background, "req_01"); return err },
		"POST /v1/requests/req_01/end":                func() error { _, err := c.End(background, "req_01"); return err },
		`POST /v1/requests/req_01/extend {"for":"1h","why":"more"}`: func() error {
			_, err := c.Extend(background, "req_01", api.ExtendAsk{For: "1h", Why: "more"})
			return err
		},
		`POST /v1/apply {"files":[{"name":"a.yaml","text":"x"}],"dry_run":true}`: func() error {
			_, err := c.Apply(background, api.Apply{Files: []api.File{{Name: "a.yaml", Text: "x"}}, DryRun: true})
			return err
		},
		"DELETE /v1/roles/reader?revoke=true": func() error { _, err := c.Delete(background, api.Roles, "reader", true); return err },
		"DELETE /v1/policies/p":               func() error { _, err := c.Delete(background, api.Policies, "p", false); return err },
		"GET /v1/resources":                   func() error { _, err := c.ListResources(background, api.List{}); return err },
		"GET /v1/resources/db":                func() error { _, err := c.Resource(background, "db"); return err },
		"GET /v1/roles":                       func() error { _, err := c.ListRoles(background, api.List{}); return err },
		"GET /v1/roles/r":                     func() error { _, err := c.Role(background, "r"); return err },
		"GET /v1/policies":                    func() error { _, err := c.ListPolicies(background, api.List{}); return err },
		"GET /v1/schedules":                   func() error { _, err := c.ListSchedules(background, api.List{}); return err },
		"GET /v1/schedules/payments":          func() error { _, err := c.Schedule(background, "payments"); return err },
		"POST /v1/requests/req_1/question {\"text\":\"why?\"}": func() error { _, err := c.Question(background, "req_1", "why?"); return err },
		"POST /v1/requests/req_1/answer {\"text\":\"so\"}":     func() error { _, err := c.Answer(background, "req_1", "so"); return err },
		"GET /v1/integrations":                                 func() error { _, err := c.ListIntegrations(background, api.List{}); return err },
		"POST /v1/admin/integrations/i/test":                   func() error { _, err := c.TestIntegration(background, "i"); return err },
		"GET /v1/integrations/i":                               func() error { _, err := c.Integration(background, "i"); return err },
		"GET /v1/policies/p":                                   func() error { _, err := c.Policy(background, "p"); return err },
		"GET /v1/users?limit=2":                                func() error { _, err := c.ListUsers(background, api.List{Limit: 2}); return err },
		"GET /v1/users/user:mira":                              func() error { _, err := c.User(background, "user:mira"); return err },
		`POST /v1/explain {"ask":{"resource":"","role":"","duration":"","reason":""}}`: func() error { _, err := c.Explain(background, api.ExplainAsk{}); return err },
		"GET /v1/who-can?resource=db&role=r":                                           func() error { _, err := c.WhoCan(background, "db", "r", api.List{}); return err },
		"GET /v1/who-can?resource=db":                                                  func() error { _, err := c.WhoCan(background, "db", "", api.List{}); return err },
		"GET /v1/who-has?resource=a%26b":                                               func() error { _, err := c.WhoHas(background, "a&b", api.List{}); return err },
		`POST /v1/admin/users {"name":"mira"}`:                                         func() error { _, err := c.AddUser(background, api.UserAdd{Name: "mira"}); return err },
		"POST /v1/admin/users/mira/disable":                                            func() error { _, err := c.DisableUser(background, "mira"); return err },
		`POST /v1/admin/users/mira/lock {"why":"w"}`:                                   func() error { _, err := c.LockUser(background, "mira", "w"); return err },
		`POST /v1/admin/users/service:ci/unlock {"why":"w"}`:                           func() error { _, err := c.UnlockUser(background, "service:ci", "w"); return err },
		`POST /v1/admin/services {"name":"ci","owner":"mira","for":"2d"}`: func() error {
			_, err := c.AddService(background, api.ServiceAdd{Name: "ci", Owner: "mira", For: "2d"})
			return err
		},
		`POST /v1/admin/vendors {"name":"bo","sponsor":"omar","company":"Acme","until":null}`: func() error {
			_, err := c.InviteVendor(background, api.VendorInvite{Name: "bo", Sponsor: "omar", Company: "Acme"})
			return err
		},
		`PUT /v1/admin/vendors/bo {"why":"done"}`: func() error {
			_, err := c.SetVendor(background, "bo", api.VendorSet{Why: "done"})
			return err
		},
		`POST /v1/admin/agents {"name":"fixer","responsible":"ana","for":"2d"}`: func() error {
			_, err := c.AddAgent(background, api.AgentAdd{Name: "fixer", Responsible: "ana", For: "2d"})
			return err
		},
		"GET /v1/admin/vendors?limit=2&sponsor=omar": func() error { _, err := c.Vendors(background, "omar", api.List{Limit: 2}); return err },
		"GET /v1/admin/agents":                       func() error { _, err := c.Agents(background, "", api.List{}); return err },
		"GET /v1/tasks?agent=fixer&ended=true": func() error {
			_, err := c.Tasks(background, api.TaskList{Agent: "fixer", Ended: true})
			return err
		},
		`POST /v1/tasks/end {"task":"OPS-1"}`: func() error {
			_, err := c.EndTask(background, api.TaskEnd{Task: "OPS-1"})
			return err
		},
		`PUT /v1/admin/credentials/k {"type":"postgres","address":"db:1","username":"u","password":"p"}`: func() error {
			_, err := c.SetCredential(background, "k", api.CredentialSet{Type: "postgres", Address: "db:1", Username: "u", Password: "p"})
			return err
		},
		"POST /v1/resources/db/check":              func() error { _, err := c.CheckResource(background, "db"); return err },
		"GET /v1/stop":                             func() error { _, err := c.Stopped(background); return err },
		`POST /v1/stop {"stopped":true,"why":"x"}`: func() error { _, err := c.SetStop(background, api.Stop{Stopped: true, Why: "x"}); return err },
		"GET /v1/audit/checkpoint":                 func() error { _, err := c.AuditCheckpoint(background); return err },
		"GET /v1/audit/records?after=7&limit=9&since=2026-03-01T17%3A30%3A00.000Z&type=grant": func() error {
			_, err := c.AuditRecords(background, api.AuditList{List: api.List{Cursor: "7", Limit: 9}, Type: "grant", Since: at})
			return err
		},
		"GET /v1/x/a%2Fb%20c?q=1": func() error { return c.Do(background, "GET", "/x/a%2Fb%20c?q=1", nil, nil) },
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		all := d.calls()
		s := all[len(all)-1]
		got := s.method + " " + s.path
		if s.query != "" {
			got += "?" + s.query
		}
		if s.body != "" {
			got += " " + s.body
		}
		if got != want {
			t.Errorf("called\n  %s, want\n  %s", got, want)
		}
		if s.auth != "DPoP stl_mira" || s.device != c.Device.ID() {
			t.Errorf("%s: as %q by %s", want, s.auth, s.device)
		}
		if hasKey := len(s.key) == 32; hasKey != (s.method != "GET") {
			t.Errorf("%s: Idempotency-Key %q", want, s.key)
		}
	}
}

func TestClientRefusesHostilePaths(t *testing.T) {
	d, c := newDoor(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, struct{}{}) })
	for _, id := range []string{"", ".", ".."} {
		if _, err := c.Request(background, id, api.Wait{}); !errors.Is(err, api.Invalid) {
			t.Errorf("Request(%q) = %v, want an Invalid error", id, err)
		}
	}
	for _, path := range []string{"", "x", "https://evil.example/v1/x", "//evil.example/x", "/x//y", "/../x", "/x/%2e%2e", "/x?%zz", "/%zz", "/"} {
		if err := c.Do(background, "GET", path, nil, nil); !errors.Is(err, api.Invalid) {
			t.Errorf("Do(%q) = %v, want an Invalid error", path, err)
		}
	}
	if n := len(d.calls()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
	for id, want := range map[string]string{"../stop": "/v1/requests/..%2Fstop", "a?b#c": "/v1/requests/a%3Fb%23c", "é\n%2f": "/v1/requests/%C3%A9%0A%252f"} {
		if _, err := c.Request(background, id, api.Wait{}); err != nil {
			t.Errorf("Request(%q) = %v", id, err)
			continue
		}
		all := d.calls()
		if got := all[len(all)-1].path; got != want {
			t.Errorf("Request(%q) called %s, want %s", id, got, want)
		}
	}
}

func TestServiceCalls(t *testing.T) {
	d, c := newDoor(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, api.Request{}) })
	c.Service, c.Token = true, "sts_ci"
	if _, err := c.Submit(background, api.Ask{Resource: "db"}, api.Wait{}); err != nil {
		t.Fatal(err)
	}
	s := d.calls()[0]
	var ask api.Ask
	if err := json.Unmarshal([]byte(s.body), &ask); err != nil {
		t.Fatal(err)
	}
	if s.auth != "Bearer sts_ci" || string(ask.SealKey) != string(c.Device.SealKey()) {
		t.Errorf("called as %q with seal key %x", s.auth, ask.SealKey)
	}
}

func TestEnroll(t *testing.T) {
	want := api.LoginResult{Token: "stl_new", Principal: "user:mira", Person: "mira", Admin: true, LogKey: "stint+1+key"}
	d, c := newDoor(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, want) })
	got, err := c.Enroll(background, "code-1", true, "mira")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	s := d.calls()[0]
	var in api.Enroll
	if err := json.Unmarshal([]byte(s.body), &in); err != nil {
		t.Fatal(err)
	}
	id, err := in.Device.Thumbprint()
	if s.auth != "" || in.Code.Reveal() != "code-1" || !in.Bootstrap || in.Name != "mira" || err != nil || id != s.device || len(in.SealKey) != 32 {
		t.Errorf("sent %q as %q (%v)", s.body, s.auth, err)
	}
}

func TestCredential(t *testing.T) {
	const grant = "grt_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"
	want := api.Credential{Type: "postgres", Username: "ent_x", Password: "pw", Host: "db1", Port: 5432, ExpiresAt: api.At(time.Unix(1772386200, 0))}
	var key []byte
	_, c := newDoor(t, func(w http.ResponseWriter, r *http.Request) {
		plain, _ := json.Marshal(want)
		public, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(key)
		if err != nil {
			t.Error(err)
			return
		}
		sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(api.CredentialInfo(grant)), plain)
		if err != nil {
			t.Error(err)
		}
		reply(w, api.SealedCredential{Grant: grant, Sealed: sealed})
	})
	key = c.Device.SealKey()
	got, err := c.Credential(background, grant)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	key = newDevice(t).SealKey()
	if got, err := c.Credential(background, grant); err == nil {
		t.Errorf("opened another device's credential: %v", got)
	}
}

func TestRefusals(t *testing.T) {
	full := api.Error{Type: "urn:stint:error:duration-too-long", Title: "Forbidden", Status: 403, Kind: api.Denied, Code: "duration-too-long",
		Message: "8h is longer than reader allows", Why: "maxDuration is 4h (roles.yaml:12)", Next: "ask for 4h", Param: "duration", Trace: "t1"}
	for name, tt := range map[string]struct {
		status    int
		mediaType string
		body      string
		want      api.Kind
		says      string
	}{
		"full":            {403, "application/problem+json", mustJSON(t, full), api.Denied, "roles.yaml:12"},
		"setup":           {424, "application/problem+json", `{"kind":"setup-failed","message":"db1 is down"}`, api.SetupFailed, "db1"},
		"pending":         {409, "application/problem+json; charset=utf-8", `{"kind":"pending","message":"not yet"}`, api.Pending, "not yet"},
		"kind unknown":    {404, "application/problem+json", `{"kind":"odd","message":"gone"}`, api.NotFound, "gone"},
		"other's problem": {409, "application/problem+json", `{"title":"x","detail":"y"}`, api.Conflict, "Conflict"},
		"html 404":        {404, "text/html", "<html>nginx</html>", api.NotFound, "not from a Stint server"},
		"html 401":        {401, "text/html", "", api.Unauthenticated, "not from"},
		"html 413":        {413, "text/html", "", api.Invalid, "Too Large"},
		"html 500":        {500, "text/html", "", api.Internal, "not from"},
		"broken json":     {410, "application/problem+json", `{"kind":`, api.Expired, "Gone"},
		"redirect":        {302, "text/html", "", api.Invalid, "elsewhere"},
		"not json":        {200, "text/html", "<html>hello</html>", api.Internal, "Stint server"},
		"json broken":     {200, "application/json", `{"principal":"stl_secret`, api.Internal, "Stint server"},
		"json wrong type": {200, "application/json", `{"principal":["stl_secret"]}`, api.Internal, "Stint server"},
		"too long":        {200, "application/json", `"` + strings.Repeat("x", 9<<20) + `"`, api.Internal, "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			_, c := newDoor(t, func(w http.ResponseWriter, _ *http.Request) {
				calls++
				w.Header().Set("Content-Type", tt.mediaType)
				w.Header().Set("Location", "http://evil.example/v1/whoami")
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			})
			got, err := c.Whoami(background)
			var e *api.Error
			if !errors.As(err, &e) || !errors.Is(err, tt.want) || e.Status != tt.status || got.Principal != "" {
				t.Fatalf("Whoami = %+v, %#v; want kind %s, status %d", got, err, tt.want, tt.status)
			}
			if !strings.Contains(err.Error()+e.Why, tt.says) || strings.Contains(err.Error(), "stl_secret") {
				t.Errorf("it says %q, want %q", err, tt.says)
			}
			if calls != 1 {
				t.Errorf("%d calls, want 1", calls)
			}
		})
	}
	_, c := newDoor(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, &full) })
	_, err := c.Whoami(background)
	var e *api.Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	if got, want := mustJSON(t, e), mustJSON(t, full); got != want {
		t.Errorf("the refusal came as\n %s, want\n %s", got, want)
	}
}

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRedirectTakesNothingElsewhere(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	_, c := newDoor(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/v1/whoami", http.StatusTemporaryRedirect)
	})
	if _, err := c.Whoami(background); err == nil {
		t.Error("Whoami succeeded")
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	c := &api.Client{Server: parse(t, "http://"+addr), Device: newDevice(t), Token: "stl_secret", Patience: -1}
	defer c.Close()
	_, err = c.Requests(background, api.RequestList{List: api.List{Cursor: "stl_secret"}})
	var u *api.Unreachable
	if !errors.As(err, &u) || u.Server != "http://"+addr || !strings.Contains(err.Error(), "refused") {
		t.Fatalf("err = %v, want Unreachable", err)
	}
	if strings.Contains(err.Error(), "stl_secret") {
		t.Errorf("the error shows the query: %v", err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := c.Whoami(ctx); err != context.Canceled {
		t.Errorf("after cancel: %v, want context.Canceled", err)
	}
}

// A certificate that does not verify is final: trying again would not mend it.
func TestUntrustedCertificate(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the call arrived") }))
	conns := 0
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns++
		}
	}
	srv.Config.ErrorLog = discard()
	srv.StartTLS()
	c := &api.Client{Server: parse(t, srv.URL), Device: newDevice(t), Token: "stl_mira", Patience: time.Minute}
	_, err := c.Whoami(background)
	c.Close()
	srv.Close()
	var u *api.Unreachable
	if !errors.As(err, &u) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("err = %v, want Unreachable for the certificate", err)
	}
	if conns != 1 {
		t.Errorf("%d connections, want 1", conns)
	}
}

func TestEach(t *testing.T) {
	pages := map[string]api.Page[int]{"": {Items: []int{1, 2}, Next: "a"}, "a": {Items: nil, Next: "b"}, "b": {Items: []int{3}}}
	var got []int
	for n, err := range api.Each(func(cursor string) (api.Page[int], error) { return pages[cursor], nil }) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	if diff := cmp.Diff([]int{1, 2, 3}, got); diff != "" {
		t.Error(diff)
	}
	asked := 0
	for range api.Each(func(string) (api.Page[int], error) { asked++; return api.Page[int]{Items: []int{1}, Next: "same"}, nil }) {
		if asked > 5 {
			t.Fatal("a cursor that stands still goes round for ever")
		}
	}
	for _, err := range api.Each(func(string) (api.Page[int], error) { return api.Page[int]{}, api.Denied }) {
		if err != api.Denied {
			t.Errorf("err = %v", err)
		}
	}
}
