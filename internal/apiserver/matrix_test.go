package apiserver

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/store"
)

// callers are the kinds of principal there are, each signed in on a device of
// its own; nobody has neither token nor device.
func (w *world) callers(admin *api.Client) map[string]*api.Client {
	w.t.Helper()
	ctx := w.t.Context()
	cs := map[string]*api.Client{
		"nobody":    {Server: admin.Server},
		"admin":     admin,
		"member":    w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}}),
		"guest":     w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}}),
		"owner":     w.as(admin, api.UserAdd{Name: "omar"}),
		"approver":  w.as(admin, api.UserAdd{Name: "olga", Groups: []string{"dba"}}),
		"auditor":   w.as(admin, api.UserAdd{Name: "axel", Auditor: true}),
		"disabled":  w.as(admin, api.UserAdd{Name: "dora", Admin: true, Auditor: true}),
		"expired":   w.as(admin, api.UserAdd{Name: "emil", Admin: true, Auditor: true}),
		"loggedout": w.as(admin, api.UserAdd{Name: "lena", Admin: true, Auditor: true}),
	}
	_, err := admin.DisableUser(ctx, "dora")
	check(w.t, err)
	check(w.t, cs["loggedout"].Logout(ctx))
	svc, err := admin.AddService(ctx, api.ServiceAdd{Name: "ci", Owner: "mira", For: "1h"})
	check(w.t, err)
	cs["service"] = w.client()
	cs["service"].Token, cs["service"].Service = svc.Token, true
	cs["agent"], cs["vendor"] = w.agent(admin, "fixer", "mira"), w.vendor(admin, "bo", "omar")
	// Time does not pass faster for tests.
	check(w.t, w.store.Update(ctx, func(tx *store.Tx) error {
		l, err := tx.Login(hashOf(cs["expired"].Token.Reveal()))
		if err != nil {
			return err
		}
		l.CreatedAt, l.ExpiresAt = tx.Now().Add(-2*time.Hour), tx.Now().Add(-time.Hour)
		return tx.SaveLogin(access.Login{Token: hashOf("stint_expired"), Principal: l.Principal, Device: l.Device, SealKey: l.SealKey, CreatedAt: l.CreatedAt, ExpiresAt: l.ExpiresAt})
	}))
	cs["expired"].Token = "stint_expired"
	return cs
}

// mayPass says which kinds of caller a route's who lets in. Written down here a
// second time, on purpose.
var mayPass = map[who][]string{
	public:   {"nobody", "admin", "member", "guest", "owner", "approver", "auditor", "service", "agent", "vendor", "disabled", "expired", "loggedout"},
	device:   {"admin", "member", "guest", "owner", "approver", "auditor", "service", "agent", "vendor", "disabled", "expired", "loggedout"},
	host:     {}, // none of them is the agent of a host; TestHostDoors has one
	gateway:  {}, // nor a gateway; TestGatewayDoors has one
	anyone:   {"admin", "member", "guest", "owner", "approver", "auditor", "service", "agent", "vendor"},
	auditors: {"admin", "auditor"},
	admins:   {"admin"},
}

// samples are a call of each route that gets as far as a handler would let it.
// Ids name nothing, so that nothing happens: what is tested is who gets in.
var samples = map[string]struct{ path, body string }{
	"health": {"/healthz", ""}, "ready": {"/readyz", ""}, "metrics": {"/metrics", ""}, "openapi": {"/openapi.json", ""}, "log-key": {"/v1/log/key", ""},
	"enroll":  {"/v1/enroll", `{"code":"x","device_jwk":{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"seal_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`},
	"whoami":  {"/v1/whoami", ""},
	"sign-in": {"/v1/sign-in", ""}, "list-logins": {"/v1/logins", ""}, "end-login": {"/v1/logins/none", ""},
	"redeem-terminal": {"/v1/login/terminal", `{"code":"x","code_verifier":"vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv","seal_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`},
	"ask-device":      {"/v1/login/device", `{}`},
	"redeem-device":   {"/v1/login/device/token", `{"device_code":"x","seal_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`},
	"submit":          {"/v1/requests", `{"resource":"none","role":"none","duration":"5m","reason":"none at all"}`},
	"list-requests":   {"/v1/requests", ""}, "get-request": {"/v1/requests/req_0", ""},
	"list-passkeys": {"/v1/passkeys", ""}, "get-passkey": {"/v1/passkeys/none", ""}, "remove-passkey": {"/v1/passkeys/none/remove", "{}"},
	"add-passkey":    {"/v1/passkeys", `{"name":"laptop","client":true,"nonce":"AAAA","client_data":"AAAA","attestation":"AAAA"}`},
	"vouch-passkey":  {"/v1/passkeys/none/vouch", `{"assertion":{"passkey":"none","client_data":"","authenticator_data":"","signature":""}}`},
	"recovery-codes": {"/v1/recovery-codes", `{"nonce":"AAAA"}`},
	"approve":        {"/v1/requests/req_0/approve", `{}`}, "deny": {"/v1/requests/req_0/deny", `{"note":"no"}`}, "cancel": {"/v1/requests/req_0/cancel", ""},
	"question": {"/v1/requests/req_0/question", `{"text":"why?"}`}, "answer": {"/v1/requests/req_0/answer", `{"text":"so"}`},
	"delegate": {"/v1/delegations", `{"to":"none","for":"1h","why":"test"}`}, "list-delegations": {"/v1/delegations", ""}, "end-delegation": {"/v1/delegations/dlg_0/end", ""},
	"approvals": {"/v1/approvals", ""}, "explain": {"/v1/explain", `{"ask":{"resource":"none","role":"none","duration":"5m","reason":"none"}}`},
	"list-grants": {"/v1/grants", ""}, "credential": {"/v1/requests/req_0/credential", ""}, "extend": {"/v1/requests/req_0/extend", `{"for":"5m","why":"more"}`},
	"certificate":     {"/v1/grants/req_0/certificate", `{"public_key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`},
	"ssh-authorities": {"/v1/ssh/ca", ""}, "ssh-revoked": {"/v1/ssh/krl", ""},
	"end": {"/v1/requests/req_0/end", ""}, "revoke": {"/v1/revoke", `{"grant":"grt_0","why":"test"}`}, "get-stop": {"/v1/stop", ""},
	"set-stop":       {"/v1/stop", `{"stopped":false,"why":"test"}`},
	"apply":          {"/v1/apply", `{"files":[{"name":"none.yaml","text":"kind: Nothing"}]}`},
	"list-resources": {"/v1/resources", ""}, "get-resource": {"/v1/resources/none", ""}, "delete-resource": {"/v1/resources/none", ""},
	"check-resource": {"/v1/resources/none/check", ""}, "sweep-resource": {"/v1/resources/none/sweep", `{}`}, "list-roles": {"/v1/roles", ""}, "get-role": {"/v1/roles/none", ""}, "delete-role": {"/v1/roles/none", ""},
	"list-standing": {"/v1/standing", ""},
	"list-policies": {"/v1/policies", ""}, "get-policy": {"/v1/policies/none", ""}, "delete-policy": {"/v1/policies/none", ""},
	"list-schedules": {"/v1/schedules", ""}, "get-schedule": {"/v1/schedules/none", ""}, "delete-schedule": {"/v1/schedules/none", ""},
	"list-workloads": {"/v1/workloads", ""}, "get-workload": {"/v1/workloads/none", ""}, "delete-workload": {"/v1/workloads/none", ""}, "list-services": {"/v1/admin/services", ""},
	"list-integrations": {"/v1/integrations", ""}, "get-integration": {"/v1/integrations/none", ""}, "delete-integration": {"/v1/integrations/none", ""},
	"link-chat":      {"/v1/chat/link", `{"code":"none"}`},
	"show-directory": {"/v1/admin/integrations/none/directory", ""}, "sync-directory": {"/v1/admin/integrations/none/directory/sync", `{}`},
	"try-directory":    {"/v1/admin/integrations/none/directory/test", `{}`},
	"test-integration": {"/v1/admin/integrations/none/test", ""},
	"who-can":          {"/v1/who-can?resource=none", ""}, "who-has": {"/v1/who-has?resource=none", ""},
	"list-users": {"/v1/users", ""}, "get-user": {"/v1/users/none", ""}, "list-user-logins": {"/v1/users/none/logins", ""}, "add-user": {"/v1/admin/users", `{"name":"Not A Name"}`},
	"set-user": {"/v1/admin/users/none", `{"auditor":true}`}, "enroll-user": {"/v1/admin/users/none/enroll", ""}, "disable-user": {"/v1/admin/users/none/disable", ""},
	"lock-user": {"/v1/admin/users/none/lock", `{"why":"test"}`}, "unlock-user": {"/v1/admin/users/none/unlock", `{"why":"test"}`},
	"add-token": {"/v1/admin/integrations/none/tokens", `{"for":"1h"}`}, "list-tokens": {"/v1/admin/integrations/none/tokens", ""}, "end-tokens": {"/v1/admin/integrations/none/tokens/end", ""},
	"link-user": {"/v1/admin/users/none/link", `{"provider":"corp","subject":"1"}`}, "unlink-user": {"/v1/admin/users/none/unlink", `{"provider":"corp","subject":"1"}`},
	"add-service":      {"/v1/admin/services", `{"name":"x","owner":"none","for":"1h"}`},
	"add-agent":        {"/v1/admin/agents", `{"name":"x","responsible":"none","for":"1h"}`},
	"invite-vendor":    {"/v1/admin/vendors", `{"name":"x","sponsor":"none","company":"Acme","until":"2126-01-01T00:00:00Z"}`},
	"set-vendor":       {"/v1/admin/vendors/none", `{"company":"Acme"}`},
	"list-vendors":     {"/v1/admin/vendors", ""},
	"list-agents":      {"/v1/admin/agents", ""},
	"list-tasks":       {"/v1/tasks", ""},
	"end-task":         {"/v1/tasks/end", `{"agent":"none","task":"OPS-1"}`},
	"set-credential":   {"/v1/admin/credentials/none", `{"type":"none","address":"a:1","username":"u","password":"p"}`},
	"list-credentials": {"/v1/admin/credentials", ""}, "delete-credential": {"/v1/admin/credentials/none", ""},
	"add-vaulted": {"/v1/admin/vault/none", `{"resource":"none","account":"dba"}`}, "list-vault": {"/v1/admin/vault", ""}, "get-vaulted": {"/v1/admin/vault/none", ""},
	"remove-vaulted": {"/v1/admin/vault/none", ""}, "rotate-vaulted": {"/v1/admin/vault/none/rotate", `{"why":"test"}`},
	"audit-records": {"/v1/audit/records", ""}, "audit-tail": {"/v1/audit/tail", ""}, "audit-export": {"/v1/audit/export", ""}, "audit-checkpoint": {"/v1/audit/checkpoint", ""},
	"get-clock": {"/v1/clock", ""}, "accept-clock": {"/v1/clock/accept", `{"why":"test"}`},
	"backup": {"/v1/admin/backup", ""}, "quarantine": {"/v1/admin/quarantine", ""}, "doctor": {"/v1/admin/doctor", ""}, "audit-witnessed": {"/v1/audit/witnessed", ""},
	"accept-quarantine": {"/v1/admin/quarantine/accept", `{"why":"test"}`},
	"break-glass":       {"/v1/break-glass", `{"resource":"none","why":"none at all"}`},
	"glass-login":       {"/v1/break-glass/login", `{"codes":["x"],"device_jwk":{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"seal_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`},
	"list-reviews":      {"/v1/reviews", ""}, "get-review": {"/v1/reviews/rev_7", ""}, "close-review": {"/v1/reviews/rev_7/close", `{"finding":"justified","note":"none"}`},
	"make-glass-codes": {"/v1/admin/break-glass/codes", `{"user":"none","count":1}`},
	"list-glass-codes": {"/v1/admin/break-glass/codes", ""}, "revoke-glass-code": {"/v1/admin/break-glass/codes/code_7", ""},
	"logout":         {"/v1/logout", ""},
	"enroll-as-host": {"/v1/host/enroll", `{"code":"x","device_jwk":{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"version":"v1"}`},
	"poll-host":      {"/v1/host/poll", `{"room":1}`}, "list-hosts": {"/v1/admin/hosts", ""},
	"enroll-as-gateway": {"/v1/gateway/enroll", `{"code":"x","device_jwk":{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"version":"v1"}`},
	"trust-of-gateway":  {"/v1/gateway/trust", `{"nonce":"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"}`}, "list-gateways": {"/v1/admin/gateways", ""}, "revoke-gateway": {"/v1/admin/gateways/none/revoke", ""},
	"carry-by-gateway": {"/v1/admin/gateways/none/carries", `{"carries":["ssh"]}`},
	"enroll-gateway":   {"/v1/admin/gateways/Not/enroll", `{"address":"gw:1"}`},
	"list-sessions":    {"/v1/sessions", ""}, "get-session": {"/v1/sessions/none", ""}, "end-session": {"/v1/sessions/none/end", `{"why":"test"}`},
	"pause-session": {"/v1/sessions/none/pause", `{"why":"test"}`}, "resume-session": {"/v1/sessions/none/resume", `{}`},
	"bring-frames": {"/v1/gateway/recordings/none/frames", `{"frames":""}`}, "have-frames": {"/v1/gateway/recordings/none", ""},
	"bring-host-frames": {"/v1/host/recordings/none/frames", `{"frames":""}`}, "have-host-frames": {"/v1/host/recordings/none", ""}, "follow-host-cuts": {"/v1/host/cuts", ""},
	"hold-recording": {"/v1/sessions/none/recording/hold", `{"why":"test"}`}, "release-recording": {"/v1/sessions/none/recording/release", `{"why":"test"}`},
	"get-recording": {"/v1/sessions/none/recording", ""}, "play-recording": {"/v1/sessions/none/recording/screens", ""}, "index-recording": {"/v1/sessions/none/recording/index", ""},
	"export-recording": {"/v1/sessions/none/recording/export", ""}, "verify-recording": {"/v1/sessions/none/recording/verify", ""}, "search-recordings": {"/v1/recordings/search?text=none", ""},
	"tell-of-commands": {"/v1/host/commands", `{"commands":[{"id":"cmd_00000000000000000000000000000000","entitlement":"ent_x","tag":"x","account":"a","run_as":"root","command":"/bin/true","began_at":"2026-01-01T00:00:00Z"}]}`},
	"enroll-host":      {"/v1/admin/hosts/none/enroll", ""}, "revoke-host": {"/v1/admin/hosts/none/revoke", ""},
	"trust-of-host":         {"/v1/host/trust", `{"nonce":"00000000000000000000000000000000"}`},
	"open-session":          {"/v1/gateway/open", `{"protocol":"ssh","key":"","certificate":"","resource":"none","source":"10.0.0.7:1"}`},
	"sign-session":          {"/v1/gateway/sign", `{"session":"ses_0","key":""}`},
	"session-login":         {"/v1/gateway/login", `{"session":"ses_0","key":"","nonce":"00000000000000000000000000000000"}`},
	"gateway-doors":         {"/v1/gateway/doors", `{"doors":[]}`},
	"web-access":            {"/v1/grants/req_0/web", ""},
	"register-web-key":      {"/v1/grants/req_0/web-key", `{"public_key":"MCowBQYDK2VwAyEAuyW7nOkv7zUbHcr+ZEq+AU+IzFutdFuHNMY8NTh38SE="}`},
	"register-tcp-key":      {"/v1/grants/req_0/tcp-key", `{"public_key":"MCowBQYDK2VwAyEAuyW7nOkv7zUbHcr+ZEq+AU+IzFutdFuHNMY8NTh38SE="}`},
	"register-database-key": {"/v1/grants/req_0/database-key", `{"public_key":"MCowBQYDK2VwAyEAuyW7nOkv7zUbHcr+ZEq+AU+IzFutdFuHNMY8NTh38SE="}`},
	"renew-sessions":        {"/v1/gateway/renew", `{"live":[],"ended":[],"alarms":[]}`},
	"certify-gateway":       {"/v1/gateway/host-certificate", `{"key":""}`}, "follow-cuts": {"/v1/gateway/cuts", ""},
	"policy-diff":    {"/v1/policy/diff", `{"files":[{"name":"none.yaml","text":"kind: Nothing"}]}`},
	"policy-replay":  {"/v1/policy/replay", `{"files":[{"name":"none.yaml","text":"kind: Nothing"}]}`},
	"list-proposals": {"/v1/proposals", ""}, "get-proposal": {"/v1/proposals/prp_00000", ""},
	"approve-proposal": {"/v1/proposals/prp_00000/approve", `{"digest":"sha256:` + strings.Repeat("0", 64) + `"}`}, "deny-proposal": {"/v1/proposals/prp_00000/deny", `{"note":"no"}`},
	"list-bundles": {"/v1/bundles", ""}, "get-bundle": {"/v1/bundles/none", ""}, "delete-bundle": {"/v1/bundles/none", ""},
	"submit-bundle":   {"/v1/requests/bundle", `{"parts":[{"resource":"none","role":"none","duration":"5m"},{"resource":"lab","role":"none","duration":"5m"}],"reason":"none at all"}`},
	"list-favourites": {"/v1/favourites", ""}, "save-favourite": {"/v1/favourites/none", `{"resource":"none","role":"none","duration":"5m"}`}, "delete-favourite": {"/v1/favourites/none", ""},
	"get-two-persons": {"/v1/two-persons", ""}, "set-two-persons": {"/v1/two-persons", `{"mode":"auto","why":"test"}`},
}

// TestMatrix calls every route as every kind of caller.
func TestMatrix(t *testing.T) {
	w, admin := populated(t)
	cs := w.callers(admin)
	names := slices.Sorted(maps.Keys(w.server.routes))
	names = append(slices.DeleteFunc(names, func(n string) bool { return n == "logout" }), "logout") // the last one, for it ends the login
	for _, name := range names {
		rt := w.server.routes[name]
		sample, ok := samples[name]
		if !ok {
			t.Errorf("the matrix has no call of route %s", name)
			continue
		}
		for kind, c := range cs {
			r := w.raw(c, rt.method, sample.path, sample.body)
			if rt.who == device || rt.who == host || rt.who == gateway {
				r.token = ""
			}
			if c.Service {
				r.scheme = "Bearer"
			}
			g := w.send(r)
			code := g.error.Code
			in := g.status != http.StatusUnauthorized && code != "not-yours"
			if rt.who == device {
				in = code != "no-token" && kind != "nobody"
			}
			want := slices.Contains(mayPass[rt.who], kind)
			// Behind the door the broker may still say that it is not theirs.
			if want && !in && code == "not-yours" && strings.Contains(g.error.Message, "this is for "+rt.who.String()) {
				t.Errorf("%s as %s: turned away: %d %s", name, kind, g.status, code)
			} else if want != in && !(want && code == "not-yours") {
				t.Errorf("%s as %s: %d %s, want in: %v", name, kind, g.status, code, want)
			}
			if g.status >= http.StatusInternalServerError {
				t.Errorf("%s as %s: %d %s", name, kind, g.status, g.body)
			}
		}
	}
}

// TestNotTheirs holds the rights of objects, which the broker decides, at the door.
func TestNotTheirs(t *testing.T) {
	w, admin := populated(t)
	cs := w.callers(admin)
	ctx := t.Context()
	r, err := cs["guest"].Submit(ctx, api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: "look at it"}, api.Wait{})
	check(t, err)
	for kind, sees := range map[string]bool{"guest": true, "admin": true, "auditor": true, "owner": true, "approver": true, "member": false, "service": false, "agent": false, "vendor": false} {
		_, err := cs[kind].Request(ctx, r.ID, api.Wait{})
		_, none := cs[kind].Request(ctx, "req_01AAAAAAAAAAAAAAAAAAAAAAAA", api.Wait{})
		switch {
		case sees && err != nil:
			t.Errorf("%s does not see the request: %v", kind, err)
		case !sees && (err == nil || problemOf(err, "").Code != problemOf(none, "").Code || problemOf(err, "").Message != problemOf(none, "").Message):
			t.Errorf("%s learns of the request: %v, instead of %v", kind, err, none)
		}
	}
	for _, kind := range []string{"guest", "member", "owner", "auditor", "admin", "service", "agent", "vendor"} {
		if _, err := cs[kind].Approve(ctx, r.ID, api.VoteAsk{}); err == nil {
			t.Errorf("%s approves", kind)
		}
	}
	for _, kind := range []string{"member", "approver", "owner", "auditor", "admin"} {
		if _, err := cs[kind].Cancel(ctx, r.ID); err == nil {
			t.Errorf("%s withdraws the guest's request", kind)
		}
	}
	page, err := cs["member"].Requests(ctx, api.RequestList{})
	check(t, err)
	if len(page.Items) != 0 {
		t.Errorf("a member lists %d requests of others", len(page.Items))
	}
}
