package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/provision"
	"stint/internal/store"
)

type provisionStore struct{ *store.Store }

func (s provisionStore) Update(ctx context.Context, fn func(provision.Tx) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (s provisionStore) View(ctx context.Context, fn func(provision.Tx) error) error {
	return s.Store.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

const corpScim = `
kind: Integration
name: corp
type: scim
address: https://corp.example.com
signIn: corp-sso
---
kind: Integration
name: other
type: scim
address: https://other.example.com
`

// provisioned is a world with a provisioning service and its token.
func provisioned(t testing.TB) (w *world, admin *api.Client, token string) {
	t.Helper()
	w, admin = populated(t)
	_, err := admin.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "corp.yaml", Text: corpScim}}})
	check(t, err)
	return w, admin, w.token(admin, "corp")
}

func (w *world) token(admin *api.Client, name string) string {
	w.t.Helper()
	var added api.TokenAdded
	check(w.t, admin.Do(w.t.Context(), http.MethodPost, "/admin/integrations/"+name+"/tokens", api.TokenAdd{For: "24h"}, &added))
	return added.Token.Reveal()
}

// scim makes a call as a provisioning service does.
func (w *world) scim(token, method, path, body string) (status int, answer map[string]any) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.http.URL+path, strings.NewReader(body))
	check(w.t, err)
	r.Header.Set("Content-Type", "application/scim+json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := w.http.Client().Do(r)
	check(w.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	check(w.t, err)
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			w.t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, text)
		}
	}
	return res.StatusCode, answer
}

func (w *world) principal(id access.PrincipalID) (p access.Principal) {
	w.t.Helper()
	check(w.t, w.store.View(context.Background(), func(tx *store.Tx) (err error) { p, err = tx.Principal(id); return err }))
	return p
}

// TestProvisioningGate: only the token of this integration lets in, whatever else
// somebody has.
func TestProvisioningGate(t *testing.T) {
	w, admin, token := provisioned(t)
	other := w.token(admin, "other")
	svc, err := admin.AddService(t.Context(), api.ServiceAdd{Name: "ci", Owner: "root", For: "1h"})
	check(t, err)
	for name, c := range map[string]struct {
		token, path string
		want        int
	}{
		"its token":                {token, "/scim/v2/corp/Users", 200},
		"no token":                 {"", "/scim/v2/corp/Users", 401},
		"a guess":                  {"stint-provider-x", "/scim/v2/corp/Users", 401},
		"another's token":          {other, "/scim/v2/corp/Users", 401},
		"an administrator's":       {admin.Token.Reveal(), "/scim/v2/corp/Users", 401},
		"a service's":              {svc.Token.Reveal(), "/scim/v2/corp/Users", 401},
		"no integration":           {token, "/scim/v2/none/Users", 401},
		"no name":                  {token, "/scim/v2/", 401},
		"a way out":                {token, "/scim/v2/corp/../../v1/users", 404},
		"nothing there":            {token, "/scim/v2/corp/Nothing", 404},
		"not even the description": {"", "/scim/v2/corp/ServiceProviderConfig", 401},
	} {
		if status, a := w.scim(c.token, http.MethodGet, c.path, ""); status != c.want {
			t.Errorf("%s: %d %v, want %d", name, status, a, c.want)
		}
	}
	// Its token is nothing anywhere else.
	if status, _ := w.scim(token, http.MethodGet, "/v1/users", ""); status != http.StatusUnauthorized {
		t.Errorf("the token calls the API: %d", status)
	}
	var ended api.TokensEnded
	check(t, admin.Do(t.Context(), http.MethodPost, "/admin/integrations/corp/tokens/end", nil, &ended))
	if status, _ := w.scim(token, http.MethodGet, "/scim/v2/corp/Users", ""); status != 401 || ended.Ended != 1 {
		t.Errorf("after its end: %d; %d ended", status, ended.Ended)
	}
	// A deleted integration lets nobody in, whatever tokens it has.
	token = w.token(admin, "corp")
	_, err = admin.Delete(t.Context(), api.Integrations, "corp", false)
	check(t, err)
	if status, _ := w.scim(token, http.MethodGet, "/scim/v2/corp/Users", ""); status == 200 {
		t.Error("a deleted integration lets in")
	}
	if strings.Contains(w.log.String(), token) {
		t.Error("the log holds a token")
	}
}

// TestProvisioningIsNobodysAdministrator: nothing that a service says makes rights in
// Stint, or touches users who are not its own.
func TestProvisioningIsNobodysAdministrator(t *testing.T) {
	w, admin, token := provisioned(t)
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	before := w.principal("user:mira")
	for _, body := range []string{
		`{"userName": "mira@corp.example"}`, `{"userName": "mira", "externalId": "x"}`, `{"userName": "MIRA@elsewhere", "emails": [{"value": "mira@corp.example"}]}`,
		`{"userName": "root"}`, `{"userName": "stint"}`, `{"userName": "service:ci"}`,
	} {
		if status, a := w.scim(token, "POST", "/scim/v2/corp/Users", body); status != 409 && status != 400 {
			t.Errorf("%s: %d %v", body, status, a)
		}
	}
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
		if status, a := w.scim(token, method, "/scim/v2/corp/Users/mira", `{"userName": "mira", "active": false, "Operations": [{"op": "replace", "path": "active", "value": false}]}`); status != 404 {
			t.Errorf("%s of a local user: %d %v", method, status, a)
		}
	}
	if now := w.principal("user:mira"); now.Version != before.Version || now.Disabled {
		t.Errorf("a local user was changed: %+v", now)
	}
	for n, more := range []string{
		`"roles": [{"value": "admin"}], "entitlements": [{"value": "auditor"}]`, `"admin": true, "Admin": true, "auditor": "true"`, `"userType": "admin"`,
	} {
		status, a := w.scim(token, "POST", "/scim/v2/corp/Users", fmt.Sprintf(`{"userName": "eve%d", "externalId": "e%d", %s}`, n, n, more))
		p := w.principal(access.PrincipalID(fmt.Sprintf("user:eve%d", n)))
		if status != 201 || p.Admin || p.Auditor {
			t.Errorf("%s: %d %v makes %+v", more, status, a, p)
		}
	}
	// By its subject it is known where it signs in, and nobody else gets that subject.
	if p := w.principal("user:eve0"); p.Subject("corp-sso") != "e0" || p.Subject("corp") != "e0" {
		t.Errorf("identities are %v", p.Identities)
	}
	// One who was made an administrator here gets no new way to sign in.
	w.scim(token, "POST", "/scim/v2/corp/Users", `{"userName": "boss"}`)
	yes := true
	_, err := admin.SetUser(t.Context(), "boss", api.UserSet{Admin: &yes})
	check(t, err)
	status, a := w.scim(token, "PATCH", "/scim/v2/corp/Users/boss", `{"Operations": [{"op": "add", "path": "externalId", "value": "attacker"}]}`)
	if p := w.principal("user:boss"); status != 403 || p.Subject("corp-sso") != "" {
		t.Errorf("an administrator was linked: %d %v, %v", status, a, p.Identities)
	}
}

// TestLeaving: who is not active any more loses login and grants at once, and a group
// takes along what it gave.
func TestLeaving(t *testing.T) {
	w, admin, token := provisioned(t)
	post := func(path, body string) string {
		t.Helper()
		status, a := w.scim(token, "POST", "/scim/v2/corp"+path, body)
		if status != 201 {
			t.Fatalf("%d %v", status, a)
		}
		return a["id"].(string)
	}
	post("/Users", `{"userName": "mira@corp.example", "externalId": "1"}`)
	platform := post("/Groups", `{"displayName": "Platform", "members": [{"value": "mira"}]}`)
	sign := func() *api.Client { t.Helper(); return w.enroll(w.code(admin, "mira"), "") }
	hold := func(c *api.Client) string {
		t.Helper()
		r, err := c.Submit(t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "30m", Reason: "look at stuck orders"}, api.Wait{For: api.Ready, Time: 20 * time.Second})
		check(t, err)
		if r.Grant == nil || r.Grant.State != api.GrantActive {
			t.Fatalf("not active: %+v", r)
		}
		return r.ID
	}
	ends := func(id, why string) {
		t.Helper()
		r, err := admin.Request(t.Context(), id, api.Wait{For: api.Ended, Time: 20 * time.Second})
		check(t, err)
		if r.Grant.State != api.GrantEnded || r.Grant.EndReason != api.EndPolicy {
			t.Errorf("%s: the grant is %s by %s", why, r.Grant.State, r.Grant.EndReason)
		}
	}
	patch := func(path, ops string) {
		t.Helper()
		if status, a := w.scim(token, "PATCH", "/scim/v2/corp"+path, `{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [`+ops+`]}`); status != 200 {
			t.Fatalf("%d %v", status, a)
		}
	}
	mira := sign()
	id := hold(mira)
	patch("/Groups/"+platform, `{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "mira"}]}`)
	ends(id, "gone from the group")
	if _, err := mira.Whoami(t.Context()); err != nil {
		t.Errorf("who left a group is signed out: %v", err)
	}
	patch("/Groups/"+platform, `{"op": "Add", "path": "members", "value": [{"value": "mira"}]}`)
	id = hold(mira)
	patch("/Users/mira", `{"op": "Replace", "path": "active", "value": "False"}`)
	ends(id, "not active")
	if _, err := mira.Whoami(t.Context()); problemOf(err, "").Kind != api.Unauthenticated {
		t.Errorf("who left is signed in: %v", err)
	}
	patch("/Users/mira", `{"op": "Replace", "path": "active", "value": "True"}`)
	id = hold(sign())
	if status, _ := w.scim(token, "DELETE", "/scim/v2/corp/Groups/"+platform, ""); status != 204 {
		t.Fatal("the group stays")
	}
	ends(id, "the group is gone")
}

// code is a fresh one for somebody who is there.
func (w *world) code(admin *api.Client, name string) string {
	w.t.Helper()
	var added api.UserAdded
	check(w.t, admin.Do(w.t.Context(), http.MethodPost, "/admin/users/"+name+"/enroll", nil, &added))
	return added.EnrollToken.Reveal()
}
