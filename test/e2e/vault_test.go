//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"stint/internal/api"
	"stint/test/stage"
)

const vaultDocuments = `
kind: Resource
name: vault-db
type: postgres
criticality: high
owners: [group:dba]
connection: {address: "ADDRESS", database: orders, credential: orders-connector, sslmode: verify-full, ca: CA}
ceiling: {mechanisms: [checkout], accounts: [vault_dba], maxDuration: 8h}
---
kind: Role
name: borrow-dba
description: Borrow the database's administrator
resources: {names: [vault-db]}
mechanism: checkout
postgres: {account: vault_dba}
exclusive: true
maxDuration: 1h
---
kind: Policy
name: borrow-at-once
subjects: [group:platform]
roles: [borrow-dba]
require:
  reason: {minLength: 10}
  maxDuration: 1h
`

const vaultGlass = `
kind: Policy
name: vault-glass
effect: breakGlass
subjects: [group:support]
roles: [borrow-dba]
require: {reason: {minLength: 10}, maxDuration: 30m}
`

// opensAs reports whether a password opens an account of the target. That it does not is
// proven by a refusal of the password, or of the account, and by nothing else (RFD 43).
func opensAs(t *testing.T, account, password string) bool {
	t.Helper()
	ctx, done := context.WithTimeout(t.Context(), 20*time.Second)
	defer done()
	c, err := pgx.Connect(ctx, set.Target.DSN(account, password, stage.Database))
	var refused *pgconn.PgError
	switch {
	case err == nil:
		_ = c.Close(ctx)
		return true
	case !errors.As(err, &refused) || refused.Code != "28P01" && refused.Code != "28000":
		t.Fatalf("whether the password opens %s is not known: %v", account, err)
	}
	return false
}

// standsIn looks for texts in every file below a folder. It gives the files that hold
// each of them, and how many were read.
func standsIn(t *testing.T, root string, texts ...string) (holding map[string][]string, read int) {
	t.Helper()
	holding = map[string][]string{}
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != root:
			return nil // files come and go
		case err != nil || !d.Type().IsRegular():
			return err
		}
		kept, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		read++
		for _, x := range texts {
			if bytes.Contains(kept, []byte(x)) {
				holding[x] = append(holding[x], filepath.Base(path))
			}
		}
		return err
	}))
	return holding, read
}

// TestVaultLendsAndRotates: an account goes into the vault, is lent, used and given back;
// what was lent opens nothing then, the next holder gets another password that opens, and
// no password is anywhere but with who was lent it (T-52, T-55).
func TestVaultLendsAndRotates(t *testing.T) {
	ctx := t.Context()
	must(t, set.Target.Exec(ctx, stage.Database, `CREATE ROLE vault_dba LOGIN PASSWORD 'known-to-too-many' IN ROLE orders_owner`))
	if !opensAs(t, "vault_dba", "known-to-too-many") {
		t.Fatal("the account does not open before it is in the vault")
	}
	must(t, set.Documents(ctx, vaultDocuments))
	admin := set.As("root")

	if r := set.As("mira").Run(ctx, "request", "vault-db", "--as", "borrow-dba", "--for", "5m", "--why", "look at the stuck orders"); r.Code == 0 || !strings.Contains(r.Err, "not in the vault") {
		t.Errorf("what is not in the vault was lent: %d\n%s", r.Code, r.Err)
	}
	export := filepath.Join(t.TempDir(), "kv.json")
	write := func(password string) {
		must(t, os.WriteFile(export, []byte(`{"data":{"data":{"username":"vault_dba","password":"`+password+`"},"metadata":{"version":1}}}`), 0o600))
	}
	write("wrong-canary-password")
	if r := admin.Run(ctx, "admin", "vault", "import", "dba", export, "--resource", "vault-db"); r.Code != 2 || strings.Contains(r.Err, "canary") {
		t.Errorf("a password that does not open was taken: %d\n%s", r.Code, r.Err)
	}
	write("known-to-too-many")
	must(t, admin.Run(ctx, "admin", "vault", "import", "dba", export, "--resource", "vault-db").Failed())
	must(t, admin.Run(ctx, "admin", "vault", "rotate", "dba", "--why", "it was in a file").Failed())
	if opensAs(t, "vault_dba", "known-to-too-many") {
		t.Error("the password of before opens still")
	}

	seen := map[string]bool{}
	var last api.VaultEntry
	for _, who := range []string{"mira", "noor"} {
		var r api.Request
		must(t, set.As(who).JSON(ctx, &r, "request", "vault-db", "--as", "borrow-dba", "--for", "5m", "--why", "look at the stuck orders"))
		var c api.Credential
		must(t, set.As(who).JSON(ctx, &c, "checkout", "vault-db"))
		password := c.Password.Reveal()
		if c.Username != "vault_dba" || seen[password] || len(password) < 40 {
			t.Fatalf("%s was lent %s", who, c.Username)
		}
		seen[password] = true
		if text, err := numbersAt(ctx, strings.TrimPrefix(set.URL, "http://")); err != nil || !strings.Contains(text, "stint_") || strings.Contains(text, password) {
			t.Errorf("the metrics: a password %t, %v", strings.Contains(text, password), err)
		}
		live := open(t, c.URI.Reveal()+"&sslrootcert="+set.Target.CAFile)
		// A borrower can set a password of their own, and it helps nothing.
		if _, err := live.ExecContext(ctx, "ALTER ROLE vault_dba PASSWORD 'mine-now'"); err != nil {
			t.Fatal(err)
		}
		other := map[string]string{"mira": "noor", "noor": "mira"}[who]
		if x := set.As(other).Run(ctx, "request", "vault-db", "--as", "borrow-dba", "--for", "5m", "--why", "look at the stuck orders"); x.Code == 0 || !strings.Contains(x.Err, "in use") {
			t.Errorf("two have it at a time: %d\n%s", x.Code, x.Err)
		}
		must(t, set.As(who).Run(ctx, "end", r.ID, "--wait").Failed())
		cut(t, live, 20*time.Second)
		if r = status(t, who, r.ID); r.Grant.State != api.GrantEnded || r.Grant.VerifiedGoneAt.IsZero() {
			t.Errorf("%+v", r.Grant)
		}
		for p := range seen {
			if opensAs(t, "vault_dba", p) {
				t.Errorf("what %s was lent opens after it was given back", who)
			}
		}
		if opensAs(t, "vault_dba", "mine-now") {
			t.Error("what the borrower set opens after it was given back")
		}
		must(t, admin.JSON(ctx, &last, "admin", "vault", "show", "dba"))
		if last.State != "ready" {
			t.Errorf("after it was given back it is %s", last.State)
		}
	}
	if last.Number < 4 {
		t.Errorf("%d secrets in all", last.Number)
	}

	// Who used it, when, and from where. The log has a number for each a moment after it was.
	var used struct {
		Secrets []api.VaultVersion
		Uses    []struct {
			At                       api.Time
			Principal, From, Request string
		}
	}
	until(t, "the log tells who used it", func() (bool, error) {
		err := admin.JSON(ctx, &used, "admin", "vault", "history", "dba")
		return len(used.Uses) >= 2, err
	})
	if n := len(used.Uses); used.Uses[0].Principal != "user:noor" || used.Uses[n-1].Principal != "user:mira" || len(used.Secrets) != int(last.Number) {
		t.Fatalf("who used it: %+v", used)
	}
	for _, u := range used.Uses {
		if a, err := netip.ParseAddr(u.From); err != nil || !a.IsLoopback() || u.At.IsZero() || !strings.HasPrefix(u.Request, "req_") {
			t.Errorf("%+v", u)
		}
	}

	// Somebody changes it by hand while nobody has it: it is found, and healed.
	must(t, set.Target.Exec(ctx, stage.Database, `ALTER ROLE vault_dba PASSWORD 'by-hand'`))
	var c api.Credential
	must(t, set.As("mira").JSON(ctx, &c, "checkout", "vault-db", "--as", "borrow-dba", "--for", "5m", "--why", "look at the stuck orders"))
	open(t, c.URI.Reveal()+"&sslrootcert="+set.Target.CAFile)
	if opensAs(t, "vault_dba", "by-hand") {
		t.Error("what somebody set by hand opens still")
	}
	seen[c.Password.Reveal()] = true
	until(t, "the log tells of it", func() (bool, error) {
		r := admin.Run(ctx, "audit", "search", "--type", "vault.drifted", "-o", "json")
		return strings.Contains(r.Out, "vault_dba"), r.Failed()
	})
	if r := admin.Run(ctx, "admin", "vault", "rm", "dba"); r.Code != 6 {
		t.Errorf("what is lent was removed: %d", r.Code)
	}
	must(t, admin.Run(ctx, "revoke", "--resource", "vault-db", "--why", "the test is over").Failed())
	o := oracle(t)
	must(t, o.Clean(ctx, 30*time.Second))
	if opensAs(t, "vault_dba", c.Password.Reveal()) {
		t.Error("what was lent opens after it was revoked")
	}

	// The same account as the last resort: a drill goes the whole way, the password is
	// another one after it, and another person reviews it.
	must(t, admin.Run(ctx, "apply", "-f", file(t, "vault-glass.yaml", vaultGlass)).Failed())
	for end := time.Now().Add(30 * time.Second); last.State != "ready" || last.Number < 6; { // what was revoked is given back
		must(t, admin.JSON(ctx, &last, "admin", "vault", "show", "dba"))
		if time.Now().After(end) {
			t.Fatalf("it does not come back: %+v", last)
		}
	}
	var rep struct {
		OK     bool
		Review string
	}
	must(t, set.As("sam").JSON(ctx, &rep, "break-glass", "vault-db", "--drill", "--why", "quarterly drill"))
	if !rep.OK {
		t.Errorf("the drill: %+v", rep)
	}
	before := last.Number
	must(t, admin.JSON(ctx, &last, "admin", "vault", "show", "dba"))
	if last.Number != before+1 || last.State != "ready" {
		t.Errorf("after the drill: %+v", last)
	}
	must(t, set.As("omar").Run(ctx, "review", rep.Review, "--finding", "drill", "--note", "it works").Failed())
	must(t, admin.Run(ctx, "delete", "policy", "vault-glass").Failed())
	must(t, admin.Run(ctx, "admin", "vault", "rm", "dba").Failed())

	// No password that was lent, or imported, is in what the server keeps or says.
	for _, more := range []string{"known-to-too-many", "wrong-canary-password"} {
		seen[more] = true
	}
	never := slices.Collect(maps.Keys(seen))
	planted := t.TempDir()
	must(t, os.WriteFile(filepath.Join(planted, "control"), []byte("x=\x00"+c.Password.Reveal()+","), 0o600))
	if holding, _ := standsIn(t, planted, never...); len(holding) != 1 {
		t.Fatalf("the search finds %d passwords where one is", len(holding))
	}
	holding, read := standsIn(t, set.DataDir(), append(never, "vault_dba")...)
	if read == 0 || set.Memory == nil && len(holding["vault_dba"]) == 0 { // else the account's name is in a database
		t.Errorf("%d files were read, and not what the server keeps: the account's name is in none", read)
	}
	for _, p := range never {
		if len(holding[p]) > 0 {
			t.Errorf("a password is in %s", holding[p])
		}
	}
	for p := range seen {
		if strings.Contains(set.ServerLog(), p) {
			t.Error("a password is in the server's log")
		}
	}
}
