//go:build e2e

package e2e

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/api"
	"stint/test/stage"
)

const vaultHostDocuments = `
kind: Resource
name: web1
type: linux
criticality: high
owners: [group:dba]
connection: {address: "ADDRESS"}
ceiling: {mechanisms: [checkout], accounts: [console], maxDuration: 8h}
---
kind: Role
name: borrow-console
description: Borrow the account for the console
resources: {names: [web1]}
mechanism: checkout
linux: {account: console}
exclusive: true
maxDuration: 1h
---
kind: Policy
name: borrow-console-at-once
subjects: [group:platform]
roles: [borrow-console]
require:
  reason: {minLength: 10}
  maxDuration: 1h
`

// logIn opens a connection by a password; nil where sshd refuses the password.
func logIn(t *testing.T, address, account, password string) *ssh.Client {
	t.Helper()
	var c *ssh.Client
	must(t, eventually(t.Context(), func() (err error) {
		c, err = ssh.Dial("tcp", address, &ssh.ClientConfig{User: account, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 30 * time.Second})
		if err != nil && strings.Contains(err.Error(), "unable to authenticate") {
			return nil
		}
		return err
	}))
	return c
}

func letsIn(t *testing.T, address, account, password string) bool {
	t.Helper()
	c := logIn(t, address, account, password)
	if c == nil {
		return false
	}
	_ = c.Close()
	return true
}

// TestVaultLinux: the account of a host goes into the vault, is lent and used by a real
// log-in with its password, and comes back: what was lent is refused then, its session and
// what it started are gone, and the next one opens. What somebody changed by hand is found;
// with the agent away nothing is lost, and with the control plane away the host ends by
// itself. No password reaches the host but by who logs in.
func TestVaultLinux(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: "sqlite"}, "mira")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Enrol(ctx, "mira", "--group", "platform"))
	must(t, s.Enrol(ctx, "noor", "--group", "platform"))
	address := freeAddress(t)
	must(t, s.Documents(ctx, strings.ReplaceAll(vaultHostDocuments, "ADDRESS", address)))
	m := newMachine(t)
	m.run("", "useradd", "--create-home", "--shell", "/bin/sh", "console")
	set := func(password string, args ...string) {
		m.run("console:"+password+"\n", append([]string{"chpasswd"}, args...)...)
	}
	set("known-to-too-many", "--crypt-method", "SHA512")
	m.serve(address)
	var code api.HostEnrolment
	admin := s.As("root")
	must(t, admin.JSON(ctx, &code, "admin", "host", "enroll", "web1"))
	m.run(code.Code.Reveal(), m.bin, "enroll", "--server", s.URL, "--code-file", "-")
	m.start()
	must(t, eventually(ctx, func() error { return admin.Run(ctx, "resource", "check", "web1").Failed() }))
	opens := func(password string) bool { return letsIn(t, address, "console", password) }
	if !opens("known-to-too-many") {
		t.Fatal("the account does not open before it is in the vault")
	}

	// Into the vault, with the password that it has.
	dir := t.TempDir()
	add := func(password string) stage.Result {
		must(t, os.WriteFile(dir+"/pw", []byte(password), 0o600))
		return admin.Run(ctx, "admin", "vault", "add", "console", "--resource", "web1", "--account", "console", "--secret-file", dir+"/pw")
	}
	if r := add("wrong-canary-password"); r.Code != 2 || strings.Contains(r.Err, "canary") {
		t.Errorf("a password that does not open was taken: %d\n%s", r.Code, r.Err)
	}
	for _, account := range []string{"root", "daemon", "nobody"} {
		if r := admin.Run(ctx, "admin", "vault", "add", "theirs", "--resource", "web1", "--account", account); r.Code == 0 {
			t.Errorf("%s was taken", account)
		}
	}
	must(t, add("known-to-too-many").Failed())
	entry := func() (v api.VaultEntry) {
		t.Helper()
		must(t, admin.JSON(ctx, &v, "admin", "vault", "show", "console"))
		return v
	}
	ready := func(number int64) {
		t.Helper()
		must(t, eventually(ctx, func() error {
			if v := entry(); v.State != "ready" || v.Number < number {
				return errors.New("it is " + v.State + " " + v.Trouble)
			}
			return nil
		}))
	}
	must(t, admin.Run(ctx, "admin", "vault", "rotate", "console", "--why", "it was in a file").Failed())
	ready(2)
	never := []string{"known-to-too-many", "wrong-canary-password"}
	if opens("known-to-too-many") {
		t.Error("the password of before opens still")
	}

	// Lent, used, given back.
	borrow := func(who, d string) (api.Request, string) {
		t.Helper()
		var r api.Request
		must(t, s.As(who).JSON(ctx, &r, "request", "web1", "--as", "borrow-console", "--for", d, "--why", "the console is wanted"))
		var c api.Credential
		must(t, s.As(who).JSON(ctx, &c, "checkout", "web1"))
		password := c.Password.Reveal()
		if c.Username != "console" || c.Host+":"+strconv.Itoa(c.Port) != address || len(password) < 40 || slices.Contains(never, password) {
			t.Fatalf("%s was lent %s at %s:%d", who, c.Username, c.Host, c.Port)
		}
		never = append(never, password)
		must(t, s.As(who).JSON(ctx, &r, "status", r.ID))
		return r, password
	}
	left := func() string { return m.run("", "sh", "-c", "ps -o stat= -u console | grep -vc ^Z || true") }
	for _, who := range []string{"mira", "noor"} {
		r, password := borrow(who, "5m")
		live := logIn(t, address, "console", password)
		if live == nil {
			t.Fatalf("what %s was lent does not open", who)
		}
		session, err := live.NewSession()
		must(t, err)
		out, err := session.StdoutPipe()
		must(t, err)
		must(t, session.Start("setsid sleep 1000 & echo here; exec cat"))
		if _, err := io.ReadFull(out, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		must(t, s.As(who).Run(ctx, "end", r.ID, "--wait").Failed())
		cut := make(chan error, 1)
		go func() { cut <- live.Wait() }()
		select {
		case <-cut:
		case <-time.After(time.Minute):
			t.Error("the session outlived its lending")
		}
		if n := strings.TrimSpace(left()); n != "0" {
			t.Errorf("%s processes of the account are left", n)
		}
		if opens(password) {
			t.Errorf("what %s was lent opens after it was given back", who)
		}
		if v := entry(); v.State != "ready" {
			t.Errorf("after it was given back it is %s", v.State)
		}
	}

	// Somebody changes it by hand, in another form even: it is found, and healed.
	set("by-hand")
	r, password := borrow("mira", "5m")
	if !opens(password) || opens("by-hand") {
		t.Error("what was changed by hand is not healed")
	}
	if x := admin.Run(ctx, "audit", "search", "--type", "vault.drifted", "-o", "json"); x.Code != 0 || !strings.Contains(x.Out, "console") {
		t.Errorf("nobody is told of it: %d\n%s%s", x.Code, x.Out, x.Err)
	}

	// The agent is away when it comes back: it is known not to be gone, and ends later.
	m.kill()
	must(t, s.As("mira").Run(ctx, "end", r.ID).Failed())
	if !opens(password) {
		t.Error("without an agent the account is locked")
	}
	m.start()
	must(t, eventually(ctx, func() error {
		if opens(password) {
			return errors.New("what was lent opens still")
		}
		return nil
	}))
	ready(5)

	// The control plane is away at the end: the host ends it by its own clock.
	// It is told the end that the grant has a moment after it was lent.
	r, password = borrow("noor", "20s")
	must(t, eventually(ctx, func() error {
		if out := m.run("", m.bin, "status"); !strings.Contains(out, r.Grant.ExpiresAt.UTC().Format(time.RFC3339)) {
			return errors.New("the agent does not know the end: " + out)
		}
		return nil
	}))
	must(t, s.Stop())
	must(t, eventually(ctx, func() error {
		if opens(password) {
			return errors.New("what was lent opens still")
		}
		return nil
	}))
	must(t, s.Start(ctx))
	ready(6)
	r, password = borrow("mira", "5m")
	if !opens(password) {
		t.Error("after an end by the host alone the account does not open with what the vault has")
	}
	must(t, s.As("mira").Run(ctx, "end", r.ID, "--wait").Failed())

	// Neither a password nor a hash of one is in what the agent keeps and says, or the server.
	must(t, os.WriteFile(filepath.Join(dir, "control"), []byte("x="+password+" $6$"), 0o600))
	if holding, _ := standsIn(t, dir, password, "$6$"); len(holding) != 2 {
		t.Fatalf("the search finds %v", holding)
	}
	for _, root := range []string{m.path("/var/lib/stint-agent"), s.DataDir()} {
		holding, read := standsIn(t, root, append(slices.Clone(never), "$6$")...)
		if read == 0 || len(holding) > 0 {
			t.Errorf("%d files below %s were read, and what is secret is in %v", read, root, holding)
		}
	}
	for _, p := range append(slices.Clone(never), "$6$") {
		if strings.Contains(s.ServerLog(), p) || strings.Contains(m.said.String(), p) {
			t.Error("a password is in a log")
		}
	}
	must(t, admin.Run(ctx, "admin", "vault", "rm", "console").Failed())
	m.kill()
	m.run("", m.bin, "uninstall")
}
