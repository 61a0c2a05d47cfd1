//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/api"
	"stint/internal/pgtest"
	"stint/test/stage"
)

const certifiedDocuments = `
kind: Resource
name: ledger-db
type: hook
criticality: high
owners: [group:dba]
connection: {address: "ADDRESS", hook: postgres-certificate, credential: ledger-hook, secret: certificate}
ceiling: {mechanisms: [checkout], accounts: [ledger], maxDuration: 8h}
---
kind: Resource
name: ledger-of-the-auditors
type: hook
criticality: high
owners: [group:dba]
connection: {address: "ADDRESS", hook: postgres-certificate, credential: ledger-hook, secret: certificate}
---
kind: Role
name: borrow-ledger
description: Borrow the account of the ledger
resources: {names: [ledger-db]}
mechanism: checkout
hook: {account: ledger}
exclusive: true
maxDuration: 1h
---
kind: Policy
name: ledger-at-once
subjects: ["user:mira"]
roles: [borrow-ledger]
require: {reason: {minLength: 5}, maxDuration: 1h}
`

// certified is a PostgreSQL that is set up as the head of the hook of the examples says.
func certified(ctx context.Context, t *testing.T) *pgtest.Server {
	t.Helper()
	db, err := pgtest.Launch(ctx, pgtest.Options{Conf: map[string]string{"authentication_timeout": "1s"},
		HBA: []string{"hostssl all stint all scram-sha-256", "hostssl all +stint_certificate all cert", "host all +stint_certificate all reject"}})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	must(t, db.Exec(ctx, "postgres",
		"CREATE ROLE stint LOGIN CREATEROLE PASSWORD 'canary-of-the-hook'", "CREATE ROLE stint_certificate NOLOGIN",
		"GRANT pg_signal_backend, pg_read_all_stats, pg_execute_server_program TO stint", "GRANT EXECUTE ON FUNCTION pg_reload_conf() TO stint",
		"CREATE SCHEMA stint", "CREATE TABLE stint.notes (name text PRIMARY KEY, value text NOT NULL)",
		"GRANT USAGE ON SCHEMA stint TO stint", "GRANT SELECT, INSERT, UPDATE, DELETE ON stint.notes TO stint",
		// What is done on the host of the server, and in its configuration file.
		`COPY (SELECT) TO PROGRAM 'f=clients.pem; { echo "# stint nobody"; openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=nobody -addext basicConstraints=critical,CA:FALSE -days 36500 2>/dev/null; } >$f; chmod 600 $f'`,
		"ALTER SYSTEM SET ssl_ca_file = 'clients.pem'", "SELECT pg_reload_conf()",
		"CREATE ROLE ledger LOGIN PASSWORD 'known-to-too-many' IN ROLE stint_certificate"))
	return db
}

// TestHookLendsACertificate: an account of a real PostgreSQL, behind the hook of the examples,
// gets a certificate that Stint made, is lent with it, and comes back: the certificate opens
// nothing then, its session is gone, and no private key is in what the server says (T-52, T-55).
func TestHookLendsACertificate(t *testing.T) {
	ctx, done := context.WithTimeout(t.Context(), 6*time.Minute)
	defer done()
	db := certified(ctx, t)
	hooks := t.TempDir()
	text, err := os.ReadFile("../../examples/vault/hooks/postgres-certificate")
	must(t, err)
	const authority = "ca=/etc/stint/postgres-certificate/ca.pem"
	if !strings.Contains(string(text), authority) {
		t.Fatal("the hook has the authority of its server elsewhere")
	}
	must(t, os.WriteFile(filepath.Join(hooks, "postgres-certificate"), []byte(strings.Replace(string(text), authority, "ca="+db.CAFile, 1)), 0o755))
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: set.Store, Config: "hooks: " + hooks + "\n"})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Enrol(ctx, "mira"))
	admin, mira := s.As("root"), s.As("mira")
	must(t, admin.Run(ctx, "admin", "credential", "set", "ledger-hook", "--type", "hook", "--address", db.Addr(), "--username", "stint", "--password-file", file(t, "ledger.pw", "canary-of-the-hook")).Failed())
	must(t, admin.Run(ctx, "apply", "-f", file(t, "ledger.yaml", strings.ReplaceAll(certifiedDocuments, "ADDRESS", db.Addr()))).Failed())
	must(t, admin.Run(ctx, "resource", "check", "ledger-db").Failed())
	must(t, admin.Run(ctx, "admin", "vault", "add", "ledger", "--resource", "ledger-db", "--account", "ledger").Failed())
	if conn, err := pgx.Connect(ctx, db.DSN("ledger", "known-to-too-many", "postgres")); err == nil {
		_ = conn.Close(ctx)
		t.Error("the password of before opens still")
	}

	// connect is with a certificate and its key in one file; no is what the server refuses by.
	connect := func(pair string) (conn *pgx.Conn, no error) {
		t.Helper()
		conf, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d user=ledger dbname=postgres sslmode=verify-full sslrootcert=%s", db.Host, db.Port, db.CAFile))
		must(t, err)
		own, err := tls.LoadX509KeyPair(pair, pair)
		must(t, err)
		conf.TLSConfig.Certificates = []tls.Certificate{own}
		conn, err = pgx.ConnectConfig(ctx, conf)
		if err != nil && !strings.Contains(err.Error(), "unknown certificate authority") && !strings.Contains(err.Error(), "not permitted to log in") && !strings.Contains(err.Error(), "connection reset") && !errors.Is(err, context.Canceled) {
			t.Fatalf("whether the certificate opens it is not known: %v", err)
		}
		return conn, err
	}
	lend := func(pair string) api.Request {
		t.Helper()
		var r api.Request
		must(t, mira.JSON(ctx, &r, "request", "ledger-db", "--as", "borrow-ledger", "--for", "10m", "--why", "stuck orders"))
		must(t, mira.Run(ctx, "checkout", "ledger-db", "--file", pair).Failed())
		return r
	}
	pair := filepath.Join(t.TempDir(), "ledger.pem")
	r := lend(pair)
	live, err := connect(pair)
	must(t, err)
	defer live.Close(ctx)
	lent, err := os.ReadFile(pair)
	must(t, err)

	read := mira.Run(ctx, "secret", "read", "ledger-db", "--field", "certificate")
	must(t, read.Failed())
	if !strings.HasPrefix(string(lent), read.Out) || strings.Contains(read.Out, "PRIVATE") {
		t.Error("another certificate is read than is lent")
	}

	must(t, mira.Run(ctx, "end", r.ID, "--wait").Failed())
	if err := live.Ping(ctx); err == nil {
		t.Error("the session outlived its lending")
	}
	if conn, no := connect(pair); no == nil {
		_ = conn.Close(ctx)
		t.Error("what was lent opens after it was given back")
	}
	must(t, mira.JSON(ctx, &r, "status", r.ID))
	if r.Grant.State != api.GrantEnded || r.Grant.VerifiedGoneAt.IsZero() {
		t.Errorf("%+v", r.Grant)
	}
	var v api.VaultEntry
	until(t, "the account is back", func() (bool, error) {
		err := admin.JSON(ctx, &v, "admin", "vault", "show", "ledger")
		return err == nil && v.State == "ready", err
	})
	if now := v.Secrets[len(v.Secrets)-1]; v.Kind != "certificate" || time.Until(now.NotAfter.Time) < 80*24*time.Hour || v.RotateAt.IsZero() || v.RotateAt.After(now.NotAfter.Time) {
		t.Errorf("a %s, good until %s, rotated at %s", v.Kind, now.NotAfter, v.RotateAt)
	}

	// An application gets the two in files that vanish, and gives them back when it is over.
	ran := mira.Run(ctx, "run", "ledger-db", "--as", "borrow-ledger", "--for", "10m", "--why", "stuck orders", "--file", "client.crt=certificate", "--file", "client.key=private_key", "--", "sh", "-c",
		fmt.Sprintf(`psql -X -A -t "host=%s port=%d user=ledger dbname=postgres sslmode=verify-full sslrootcert=%s sslcert=$STINT_FILES/client.crt sslkey=$STINT_FILES/client.key" -c 'SELECT current_user'; echo "$STINT_FILES"`, db.Host, db.Port, db.CAFile))
	must(t, ran.Failed())
	said := strings.Fields(ran.Out)
	if len(said) != 2 || said[0] != "ledger" {
		t.Fatalf("psql said %q", ran.Out)
	}
	if _, err := os.Stat(said[1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the files are there still: %v", err)
	}
	if len(v.Resources) != 2 {
		t.Errorf("the resources of its address are %q", v.Resources)
	}

	// What is dead is not taken into the vault again.
	must(t, os.Remove(pair))
	r = lend(pair)
	brought, err := os.ReadFile(pair)
	must(t, err)
	must(t, mira.Run(ctx, "end", r.ID, "--wait").Failed())
	refused := admin.Run(ctx, "admin", "vault", "add", "ledger-again", "--resource", "ledger-db", "--account", "ledger", "--secret-file", pair)
	if refused.Failed() == nil || !strings.Contains(refused.Err, "does not open") {
		t.Errorf("a certificate that is dead is taken: %s", refused.Err)
	}
	for _, part := range []string{string(lent), string(brought)} {
		for line := range strings.Lines(part[strings.Index(part, "-----BEGIN PRIVATE"):]) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && strings.Contains(s.ServerLog(), line) {
				t.Error("a private key is in the server's log")
			}
		}
	}
	if strings.Contains(s.ServerLog(), "canary-of-the-hook") {
		t.Error("the hook's password is in the server's log")
	}
}
