//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// TestNewcomerUntilTheyLeave: a newcomer connects a real dex by docs/identity/oidc.md and
// signs in from browser and command line; mira has a live psql; and when the service
// that provisions says that she left, all of it ends.
func TestNewcomerUntilTheyLeave(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: set.Store, Config: "egress: {allow: [127.0.0.1/32]}\n"}, "mira")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Credential(ctx, "orders-connector"))
	must(t, s.Documents(ctx, documents))

	p := readPage(t, "../../docs/identity/oidc.md", map[string]string{"127.0.0.1:5556": freeAddress(t), "127.0.0.1:7420": strings.TrimPrefix(s.URL, "http://")})
	for name, text := range p.files {
		must(t, os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o600))
	}
	startDex(t, filepath.Join(s.Dir, "dex.yaml"), p.files["dex.yaml"])
	for _, line := range p.commands {
		if echo, ok := strings.CutPrefix(line, "echo "); ok {
			text, file, _ := strings.Cut(echo, " > ")
			must(t, os.WriteFile(filepath.Join(s.Dir, file), []byte(text+"\n"), 0o600))
		}
		if args := strings.Fields(line); strings.HasPrefix(line, "stint admin credential") || strings.HasPrefix(line, "stint apply") {
			must(t, s.As("root").Run(ctx, args[1:]...).Failed())
		}
	}
	b := newVisitor(t, s.URL)
	b.signIn(ctx, s.URL+"/")
	mira := s.As("mira")
	said := cliLogin(ctx, t, mira, func(line string) {
		if at, ok := strings.CutPrefix(line, "sign in at "); ok {
			b := newVisitor(t, s.URL)
			b.signIn(ctx, at)
			b.confirm(ctx)
			b.follow(ctx)
		}
	}, "login", "--no-browser")
	if !strings.Contains(said, "as user:mira") {
		t.Fatalf("stint login: %s", said)
	}

	// docs/identity/scim.md: the same person, by the subject that dex knows her by.
	must(t, s.Documents(ctx, strings.Replace(corpScim, "address:", "signIn: corp-sso\naddress:", 1)))
	var token struct {
		Token string `json:"token"`
	}
	must(t, s.As("root").JSON(ctx, &token, "admin", "integration", "token", "corp-scim", "--for", "24h"))
	var user struct {
		Identities []struct{ Provider, Subject string }
	}
	must(t, s.As("root").JSON(ctx, &user, "get", "user", "mira"))
	if len(user.Identities) != 1 || user.Identities[0].Provider != "corp-sso" {
		t.Fatalf("mira is known as %+v", user)
	}
	c := client{t, s.URL + "/scim/v2/corp-scim", token.Token}
	body, err := json.Marshal(map[string]any{"userName": "mira@corp.example", "externalId": user.Identities[0].Subject, "active": true})
	must(t, err)
	if id := c.call("POST", "/Users", string(body), 201)["id"]; id != "mira" {
		t.Fatalf("SCIM made %v", id)
	}

	o, err := s.Oracle()
	must(t, err)
	t.Cleanup(func() { _ = o.Close() })
	psql := mira.Command(ctx, "db", "orders-db", "--as", "reader", "--for", "10m", "--why", "count what came in today", "--", "-c", "SELECT pg_sleep(600)")
	psql.Env = append(psql.Env, "PGSSLROOTCERT="+s.Target.CAFile)
	var out strings.Builder
	psql.Stdout, psql.Stderr = &out, &out
	must(t, psql.Start())
	until(t, "psql works", func() (bool, error) { all, err := o.Sessions(ctx); return len(all) == 1, err })

	began := time.Now()
	c.patch("/Users/mira", `{"op": "replace", "value": {"active": false}}`)
	answered := time.Since(began)
	if err := psql.Wait(); err == nil {
		t.Errorf("psql ended well:\n%s", out.String())
	}
	cut := time.Since(began)
	must(t, o.Clean(ctx, leavesWithin))
	gone := time.Since(began)
	t.Logf("disabled by SCIM: answered after %s, psql cut after %s, the account gone after %s", answered.Round(time.Millisecond), cut.Round(time.Millisecond), gone.Round(time.Millisecond))
	if gone > leavesWithin {
		t.Errorf("it took %s, more than %s", gone, leavesWithin)
	}
	if r := mira.Run(ctx, "whoami"); r.Code != 4 {
		t.Errorf("the command line is still signed in: %d %s", r.Code, r.Err)
	}
	if page := b.get(ctx, s.URL+"/"); strings.Contains(page, "user:mira") {
		t.Error("the browser is still signed in")
	}
	var all []api.Grant
	must(t, s.As("root").JSON(ctx, &all, "get", "grants"))
	for _, g := range all {
		if g.State == api.GrantActive {
			t.Errorf("a grant is active: %+v", g)
		}
	}
}
