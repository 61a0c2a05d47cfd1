//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/freeport"
	"stint/test/stage"
)

const hookDocuments = `
kind: Resource
name: shop-maria
type: hook
criticality: high
owners: [group:dba]
connection: {address: "ADDRESS", hook: mariadb, credential: maria}
ceiling: {mechanisms: [checkout], accounts: [shop], maxDuration: 8h}
---
kind: Role
name: borrow-shop
description: Borrow the account of the shop
resources: {names: [shop-maria]}
mechanism: checkout
hook: {account: shop}
exclusive: true
maxDuration: 1h
---
kind: Policy
name: shop-at-once
subjects: ["user:mira"]
roles: [borrow-shop]
require: {reason: {minLength: 5}, maxDuration: 1h}
`

// maria is a real MariaDB with nobody but its root.
type maria struct {
	socket, address string
}

func startMaria(t *testing.T) maria {
	t.Helper()
	dir, err := os.MkdirTemp("", "stint-maria-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data, m := filepath.Join(dir, "data"), maria{socket: filepath.Join(dir, "s")}
	out, err := exec.Command("mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+data, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=4M").CombinedOutput()
	if err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	for range 5 {
		port, err := freeport.Find()
		must(t, err)
		m.address = freeport.Address(port)
		cmd := exec.Command("/usr/sbin/mariadbd", "--no-defaults", "--user=root", "--datadir="+data, "--socket="+m.socket, "--pid-file="+filepath.Join(dir, "pid"), "--bind-address=127.0.0.1",
			fmt.Sprint("--port=", port), "--skip-name-resolve", "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M", "--innodb-flush-method=nosync", "--performance-schema=off", "--skip-log-bin")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		must(t, cmd.Start())
		gone := make(chan struct{})
		go func() { _ = cmd.Wait(); close(gone) }()
		t.Cleanup(func() { _ = cmd.Process.Kill(); <-gone })
		for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if _, err := m.try("SELECT 1"); err == nil {
				return m
			}
			select {
			case <-gone: // somebody else took the port
				end = time.Time{}
			default:
			}
		}
	}
	t.Fatal("no MariaDB could be started")
	return m
}

func (m maria) try(statements string) (string, error) {
	cmd := exec.Command("mariadb", "--no-defaults", "-uroot", "-S", m.socket, "--batch", "--skip-column-names")
	cmd.Stdin = strings.NewReader(statements)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// opens reports whether a password opens an account. That it does not is said by the server.
func (m maria) opens(t *testing.T, account, password string) bool {
	t.Helper()
	host, port, _ := strings.Cut(m.address, ":")
	conf := file(t, "client.cnf", fmt.Sprintf("[client]\nhost=%s\nport=%s\nprotocol=tcp\nuser=%s\npassword=%q\n", host, port, account, password))
	out, err := exec.Command("mariadb", "--defaults-file="+conf, "--batch", "-e", "SELECT 1").CombinedOutput()
	if err != nil && !strings.Contains(string(out), "ERROR 1045") && !strings.Contains(string(out), "ERROR 4151") {
		t.Fatalf("whether the password opens %s is not known: %v %s", account, err, out)
	}
	return err == nil
}

// TestHookLendsAndRotates: an account of a real MariaDB, behind the hook of the examples, goes
// into the vault, is lent, and comes back with another password; what was lent is dead, its
// session is gone, and no password is in what the server says (T-52, T-55).
func TestHookLendsAndRotates(t *testing.T) {
	ctx, done := context.WithTimeout(t.Context(), 4*time.Minute)
	defer done()
	m := startMaria(t)
	out, err := m.try(`CREATE DATABASE stint; CREATE TABLE stint.notes (name VARCHAR(190) PRIMARY KEY, value TEXT NOT NULL) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
		CREATE USER stint@'%' IDENTIFIED BY 'canary-of-the-hook'; GRANT CREATE USER, CONNECTION ADMIN, PROCESS ON *.* TO stint@'%'; GRANT SELECT ON mysql.global_priv TO stint@'%';
		GRANT SELECT, INSERT, UPDATE, DELETE ON stint.notes TO stint@'%'; CREATE USER shop@'%' IDENTIFIED BY 'known-to-too-many'`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	hooks := t.TempDir()
	text, err := os.ReadFile("../../examples/vault/hooks/mariadb")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(hooks, "mariadb"), text, 0o755))
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
	must(t, admin.Run(ctx, "admin", "credential", "set", "maria", "--type", "hook", "--address", m.address, "--username", "stint", "--password-file", file(t, "maria.pw", "canary-of-the-hook")).Failed())
	must(t, admin.Run(ctx, "apply", "-f", file(t, "hook.yaml", strings.ReplaceAll(hookDocuments, "ADDRESS", m.address))).Failed())
	must(t, admin.Run(ctx, "resource", "check", "shop-maria").Failed())
	must(t, admin.Run(ctx, "admin", "vault", "add", "shop", "--resource", "shop-maria", "--account", "shop").Failed())
	if m.opens(t, "shop", "known-to-too-many") {
		t.Error("the password of before opens still")
	}
	var r api.Request
	must(t, mira.JSON(ctx, &r, "request", "shop-maria", "--as", "borrow-shop", "--for", "10m", "--why", "stuck orders"))
	var c api.Credential
	must(t, mira.JSON(ctx, &c, "checkout", "shop-maria"))
	password := c.Password.Reveal()
	if c.Username != "shop" || len(password) < 40 || !m.opens(t, "shop", password) {
		t.Fatalf("lent was %s, %d characters", c.Username, len(password))
	}
	must(t, mira.Run(ctx, "end", r.ID, "--wait").Failed())
	if m.opens(t, "shop", password) {
		t.Error("what was lent opens after it was given back")
	}
	must(t, mira.JSON(ctx, &r, "status", r.ID))
	if r.Grant.State != api.GrantEnded || r.Grant.VerifiedGoneAt.IsZero() {
		t.Errorf("%+v", r.Grant)
	}
	var v api.VaultEntry
	until(t, "the account is back", func() (bool, error) {
		err := admin.JSON(ctx, &v, "admin", "vault", "show", "shop")
		return err == nil && v.State == "ready", err
	})
	must(t, admin.Run(ctx, "admin", "vault", "rotate", "shop", "--why", "it was on a screen").Failed())
	before := v.Number
	must(t, admin.JSON(ctx, &v, "admin", "vault", "show", "shop"))
	if v.Number <= before || v.State != "ready" {
		t.Errorf("rotated: %+v", v)
	}
	for _, p := range []string{password, "canary-of-the-hook"} {
		if strings.Contains(s.ServerLog(), p) {
			t.Error("a password is in the server's log")
		}
	}
}
