//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

const appDocuments = `
kind: Resource
name: shop-db
type: postgres
criticality: medium
owners: [group:dba]
connection: {address: "ADDRESS", database: orders, credential: orders-connector, sslmode: verify-full, ca: CA}
ceiling: {mechanisms: [account, checkout], memberOf: [orders_read], accounts: [shop_app], maxDuration: 8h}
---
kind: Role
name: shop
description: What the shop needs
resources: {names: [shop-db]}
mechanism: account
postgres: {memberOf: [orders_read]}
maxDuration: 1h
---
kind: Role
name: shop-lent
description: The shop's own account
resources: {names: [shop-db]}
mechanism: checkout
postgres: {account: shop_app}
maxDuration: 1h
---
kind: Policy
name: the-shop
subjects: ["service:shop"]
roles: [shop, shop-lent]
require: {reason: {minLength: 5}, maxDuration: 1h}
`

// serviceFile is how libpq is told of a database without a word in the environment.
const serviceFile = `[shop]
host={{.host}}
port={{.port}}
user={{.username}}
password={{.password}}
dbname={{.database}}
sslmode=verify-full
sslrootcert={{.files}}/ca.pem
# {{.expires_at}}
`

// shop is an application: it reads where to connect from a file, and again when it is told.
const shop = `#!/bin/sh
out=$1
works() { PGSERVICEFILE=$1 psql -Atc 'select current_user' service=shop >>"$out/users" 2>>"$out/errors"; }
told=
trap 'told=1' USR1
cp "$STINT_FILES/db.conf" "$out/before.conf"
cp "$STINT_FILES/ca.pem" "$out/ca.pem"
works "$out/before.conf" || exit 11
: >"$out/up"
n=0
while [ -z "$told" ]; do
	n=$((n + 1))
	[ $n -lt 900 ] || exit 12
	sleep 0.1
done
cp "$STINT_FILES/db.conf" "$out/after.conf"
! cmp -s "$out/before.conf" "$out/after.conf" || exit 13
works "$out/after.conf" || exit 14
case $2 in
renewed) # both are good for a while, unless that is over on a slow machine
	ends=$(date -d "$(sed -n 's/^# //p' "$out/before.conf")" +%s)
	[ "$(date +%s)" -ge $((ends - 2)) ] || works "$out/before.conf" || exit 15 ;;
rotated) ! works "$out/before.conf" || exit 16 ;;
esac
`

// TestApplicationChangesOver: an application with an identity of its own gets its credential
// in a file. A new grant takes the place of one that ends, and both are good meanwhile; when
// an account that it was lent is rotated, the file has the new password. At the end the files
// and the accounts are gone, and who saw what is in the log (T-52).
func TestApplicationChangesOver(t *testing.T) {
	ctx, done := context.WithTimeout(t.Context(), 4*time.Minute)
	defer done()
	admin := set.As("root")
	must(t, set.Target.Exec(ctx, stage.Database, `CREATE ROLE shop_app LOGIN PASSWORD 'known-to-too-many' IN ROLE orders_read`))
	must(t, set.Documents(ctx, appDocuments))
	must(t, admin.Run(ctx, "admin", "vault", "add", "shop", "--resource", "shop-db", "--account", "shop_app").Failed())
	service, err := set.Service(ctx, "shop", "--owner", "root", "--for", "30d")
	must(t, err)
	dir := t.TempDir()
	program, memory, conf := filepath.Join(dir, "shop"), filepath.Join(dir, "run"), filepath.Join(dir, "db.tmpl")
	must(t, os.Mkdir(memory, 0o700))
	must(t, os.WriteFile(program, []byte(shop), 0o700))
	must(t, os.WriteFile(conf, []byte(serviceFile), 0o600))

	type running struct {
		out  string
		said bytes.Buffer
		code chan int
	}
	start := func(name string, flags ...string) *running {
		r := &running{out: filepath.Join(dir, name), code: make(chan int, 1)}
		must(t, os.Mkdir(r.out, 0o700))
		args := append([]string{"run", "shop-db", "--why", "the shop is open", "--file", "ca.pem=ca", "--template", conf + ":db.conf", "--reload", "USR1"}, flags...)
		cmd := service.Command(ctx, append(args, "--", program, r.out, name)...)
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+memory)
		cmd.Stderr = &r.said
		must(t, cmd.Start())
		go func() { _ = cmd.Wait(); r.code <- cmd.ProcessState.ExitCode() }()
		return r
	}
	ended := func(name string, r *running) {
		t.Helper()
		if code := <-r.code; code != 0 {
			errors, _ := os.ReadFile(filepath.Join(r.out, "errors"))
			t.Errorf("%s: exit %d\n%s\n%s", name, code, r.said.String(), errors)
		}
	}
	renewed := start("renewed", "--as", "shop", "--for", "24s", "--renew", "--overlap", "20s")
	rotated := start("rotated", "--as", "shop-lent", "--for", "10m")
	until(t, "the shop has the account that it is lent", func() (bool, error) {
		_, err := os.Stat(filepath.Join(rotated.out, "up"))
		return err == nil || len(rotated.code) > 0, nil
	})
	must(t, admin.Run(ctx, "admin", "vault", "rotate", "shop", "--why", "it was on a screen").Failed())

	var value bytes.Buffer
	read := service.Command(ctx, "secret", "read", "shop-db", "--field", "username", "--as", "shop", "--for", "5m", "--why", "a script", "--renew")
	read.Stdout = &value
	must(t, read.Run())
	if name := value.String(); !strings.HasSuffix(name, "\n") || strings.Count(name, "\n") != 1 || len(name) < 10 {
		t.Errorf("one field is %q", name)
	}
	ended("rotated", rotated)
	ended("renewed", renewed)

	if left, err := os.ReadDir(memory); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
	must(t, admin.Run(ctx, "revoke", "--resource", "shop-db", "--why", "the test is over").Failed())
	must(t, oracle(t).Clean(ctx, 60*time.Second))
	var last api.VaultEntry
	until(t, "the account is back", func() (bool, error) {
		err := admin.JSON(ctx, &last, "admin", "vault", "show", "shop")
		return err == nil && last.State == "ready", err
	})
	var passwords []string
	for _, r := range []*running{renewed, rotated} {
		for _, name := range []string{"before.conf", "after.conf"} {
			text, err := os.ReadFile(filepath.Join(r.out, name))
			must(t, err)
			_, rest, _ := strings.Cut(string(text), "password=")
			password, _, ok := strings.Cut(rest, "\n")
			if !ok || len(password) < 40 {
				t.Fatalf("%s has no password", name)
			}
			passwords = append(passwords, password)
			if strings.Contains(r.said.String(), password) || strings.Contains(set.ServerLog(), password) {
				t.Error("a password was said")
			}
		}
	}
	for _, p := range passwords[2:] {
		if opensAs(t, "shop_app", p) {
			t.Error("what the shop was lent opens after the end")
		}
	}
	until(t, "the log tells who saw it, and from where", func() (bool, error) {
		r := admin.Run(ctx, "audit", "search", "--type", "credential.shown", "--resource", "shop-db", "-o", "json")
		return strings.Count(r.Out, `"service:shop"`) >= 4 && strings.Contains(r.Out, "127.0.0.1"), r.Failed()
	})
	must(t, admin.Run(ctx, "admin", "vault", "rm", "shop").Failed())
}
