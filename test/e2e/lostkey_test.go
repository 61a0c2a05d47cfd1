//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"stint/internal/api"
	"stint/test/stage"
)

// statements are those of a section of a page, that are for psql.
func statements(t *testing.T, page, title string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/tasks/" + page)
	must(t, err)
	_, section, found := strings.Cut(string(text), "\n## "+title+"\n")
	if !found {
		t.Fatalf("%s has no section %s", page, title)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var all []string
	for _, m := range regexp.MustCompile("(?s)\n```\n(.*?)\n```").FindAllStringSubmatch(section, -1) {
		if strings.Contains(m[1], "SELECT") {
			all = append(all, m[1])
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no statements in %s", page, title)
	}
	return strings.Join(all, "\n")
}

// TestLosingTheSealKey: what the page says to do when the seal key is lost while an account of
// the vault is lent: what was lent opens nothing, and a new installation takes the account over.
func TestLosingTheSealKey(t *testing.T) {
	ctx, done := context.WithTimeout(t.Context(), 5*time.Minute)
	defer done()
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: "sqlite"})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ca, err := os.ReadFile(s.Target.CAFile)
	must(t, err)
	quoted, err := json.Marshal(string(ca))
	must(t, err)
	documents := strings.NewReplacer("ADDRESS", s.Target.Addr(), "ca: CA", "ca: "+string(quoted)).Replace(vaultDocuments)
	must(t, s.Target.Exec(ctx, stage.Database, "CREATE ROLE vault_dba LOGIN PASSWORD 'known-to-too-many' IN ROLE orders_owner"))
	take := func(who string) {
		t.Helper()
		root := s.As(who)
		must(t, root.Run(ctx, "admin", "credential", "set", "orders-connector", "--type", "postgres", "--address", s.Target.Addr(), "--username", stage.Connector,
			"--password-file", filepath.Join(s.Dir, "connector-password")).Failed())
		must(t, root.Run(ctx, "apply", "-f", file(t, "vault.yaml", documents)).Failed())
		must(t, root.Run(ctx, "admin", "vault", "add", "dba", "--resource", "vault-db", "--account", "vault_dba").Failed())
	}
	opens := func(password string) (*pgx.Conn, bool) {
		t.Helper()
		c, err := pgx.Connect(ctx, s.Target.DSN("vault_dba", password, stage.Database))
		var refused *pgconn.PgError
		if err != nil && (!errors.As(err, &refused) || refused.Code != "28P01" && refused.Code != "28000") {
			t.Fatalf("whether the password opens it is not known: %v", err)
		}
		return c, err == nil
	}
	take("root")
	must(t, s.Enrol(ctx, "mira", "--group", "platform"))
	must(t, s.As("mira").Run(ctx, "request", "vault-db", "--as", "borrow-dba", "--for", "5m", "--why", "look at the stuck orders").Failed())
	var lent api.Credential
	must(t, s.As("mira").JSON(ctx, &lent, "checkout", "vault-db"))
	live, ok := opens(lent.Password.Reveal())
	if !ok {
		t.Fatal("what was lent does not open")
	}
	defer live.Close(ctx)

	must(t, s.Stop())
	key := filepath.Join(s.Dir, "data.key")
	must(t, os.Remove(key))
	if err := s.Start(ctx); err == nil {
		t.Error("stintd starts without its seal key")
	}
	_ = s.Kill() // of what has ended by itself
	psql := func(text string) {
		t.Helper()
		cmd := exec.CommandContext(ctx, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", s.Target.SuperuserDSN(stage.Database))
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	psql(strings.ReplaceAll(statements(t, "approve-revoke-stop.md", "When the end does not come"), "stint_connector", stage.Connector))
	if err := live.Ping(ctx); err == nil {
		t.Error("the session goes on")
	}
	if _, ok := opens(lent.Password.Reveal()); ok {
		t.Error("what was lent opens still")
	}
	psql(statements(t, "upgrade-backup-restore.md", "Losing the seal key"))
	psql("ALTER ROLE vault_dba LOGIN")

	must(t, os.Rename(s.DataDir(), s.DataDir()+"-lost"))
	must(t, os.Mkdir(s.DataDir(), 0o700))
	must(t, s.Start(ctx))
	must(t, s.As("anew").Run(ctx, "login", "--bootstrap-token-file", filepath.Join(s.DataDir(), "bootstrap-token"), "--name", "anew").Failed())
	take("anew")
	var v api.VaultEntry
	must(t, s.As("anew").JSON(ctx, &v, "admin", "vault", "show", "dba"))
	if v.State != "ready" || v.Number == 0 {
		t.Errorf("%+v", v)
	}
	if _, ok := opens(lent.Password.Reveal()); ok {
		t.Error("what was lent opens again")
	}
}
