//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

const corpScim = `
kind: Integration
name: corp-scim
type: scim
address: https://corp.example.com
`

// rounds is how often each way to leave is measured.
const rounds = 25

// leavesWithin is what Stint promises of somebody who left, at the 99th percentile.
const leavesWithin = 10 * time.Second

// client is a provisioning service.
type client struct {
	t    *testing.T
	base string
	key  string
}

func provisioning(t *testing.T) client {
	t.Helper()
	must(t, set.Documents(t.Context(), corpScim))
	var token struct {
		Token string `json:"token"`
	}
	must(t, set.As("root").JSON(t.Context(), &token, "admin", "integration", "token", "corp-scim", "--for", "24h"))
	return client{t, set.URL + "/scim/v2/corp-scim", token.Token}
}

func (c client) call(method, path, body string, want int) map[string]any {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	must(c.t, err)
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Content-Type", "application/scim+json")
	res, err := http.DefaultClient.Do(r)
	must(c.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(c.t, err)
	if res.StatusCode != want {
		c.t.Fatalf("%s %s: %d, want %d: %s", method, path, res.StatusCode, want, text)
	}
	var out map[string]any
	if len(text) > 0 {
		must(c.t, json.Unmarshal(text, &out))
	}
	return out
}

func (c client) patch(path, op string) {
	c.t.Helper()
	c.call("PATCH", path, `{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [`+op+`]}`, 200)
}

// signIn signs in somebody who was made by SCIM, on their device.
func signIn(t *testing.T, name string) {
	t.Helper()
	var added struct {
		Token string `json:"enroll_token"`
	}
	must(t, set.As("root").JSON(t.Context(), &added, "admin", "user", "enroll", name))
	f := filepath.Join(t.TempDir(), "code")
	must(t, os.WriteFile(f, []byte(added.Token), 0o600))
	until(t, "signing in", func() (bool, error) {
		r := set.As(name).Run(t.Context(), "login", "--enroll-token-file", f)
		if strings.Contains(r.Err, "too-many-calls") { // from one address, codes are redeemed once a second
			return false, nil
		}
		return true, r.Failed()
	})
}

// TestWhoLeavesIsCut: a PATCH in Entra's dialect that somebody is not active ends a
// session in which they work, and their account, measured on the target from the
// moment the PATCH is sent; and so does one that takes them out of the group.
func TestWhoLeavesIsCut(t *testing.T) {
	c, o := provisioning(t), oracle(t)
	must(t, o.Clean(t.Context(), 30*time.Second))
	c.call("POST", "/Users", `{"userName": "Petra@corp.example", "externalId": "p1", "active": true}`, 201)
	group := c.call("POST", "/Groups", `{"displayName": "Platform", "members": [{"value": "petra"}]}`, 201)["id"].(string)
	signIn(t, "petra")

	// Somebody at work with the psql of this machine.
	psql := set.As("petra").Command(t.Context(), "db", "orders-db", "--as", "reader", "--for", "10m", "--why", "look at the stuck orders", "--", "-c", "SELECT pg_sleep(600)")
	psql.Env = append(psql.Env, "PGSSLROOTCERT="+set.Target.CAFile)
	var said strings.Builder
	psql.Stdout, psql.Stderr = &said, &said
	must(t, psql.Start())
	until(t, "psql works", func() (bool, error) { s, err := o.Sessions(t.Context()); return len(s) == 1, err })
	began := time.Now()
	c.patch("/Users/petra", `{"op": "Replace", "path": "active", "value": "False"}`)
	if err := psql.Wait(); err == nil {
		t.Errorf("psql ended well:\n%s", said.String())
	}
	must(t, o.Clean(t.Context(), leavesWithin))
	t.Logf("psql was cut, and the account gone, %s after the PATCH was sent", time.Since(began).Round(time.Millisecond))
	if r := set.As("petra").Run(t.Context(), "whoami"); r.Code != 4 {
		t.Errorf("who left is still signed in: exit %d", r.Code)
	}

	measure := func(what string, leave, back func()) {
		t.Helper()
		var took []time.Duration
		for range rounds {
			back()
			r := request(t, "petra", "reader", 10*time.Minute)
			s := session(t, "petra", r.ID)
			began := time.Now()
			leave()
			cut(t, s, leavesWithin)
			must(t, o.Clean(t.Context(), leavesWithin))
			took = append(took, time.Since(began))
			if end := status(t, "root", r.ID); end.Grant.EndReason != api.EndPolicy {
				t.Errorf("ended by %s", end.Grant.EndReason)
			}
			_ = s.Close()
		}
		slices.Sort(took)
		at := func(q float64) time.Duration {
			return took[min(len(took)-1, int(q*float64(len(took))))].Round(time.Millisecond)
		}
		t.Logf("%s: session cut and account gone after p50 %s, p99 %s, at most %s, of %d", what, at(.5), at(.99), at(1), len(took))
		if at(.99) > leavesWithin {
			t.Errorf("%s: p99 is %s, more than %s", what, at(.99), leavesWithin)
		}
	}
	measure("active=False", func() { c.patch("/Users/petra", `{"op": "Replace", "path": "active", "value": "False"}`) },
		func() {
			c.patch("/Users/petra", `{"op": "Replace", "path": "active", "value": "True"}`)
			signIn(t, "petra")
		})
	c.patch("/Users/petra", `{"op": "Replace", "path": "active", "value": "True"}`)
	signIn(t, "petra")
	measure("gone from the group", func() {
		c.patch("/Groups/"+group, `{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "petra"}]}`)
	}, func() { c.patch("/Groups/"+group, `{"op": "Add", "path": "members", "value": [{"value": "petra"}]}`) })
	c.call("DELETE", "/Users/petra", "", 204)
	c.call("DELETE", "/Groups/"+group, "", 204)
}

// until waits for a condition, generously.
func until(t *testing.T, what string, ok func() (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		done, err := ok()
		must(t, err)
		if done {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(fmt.Sprint("not in a minute: ", what))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
