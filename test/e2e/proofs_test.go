//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"stint/internal/api"
	"stint/test/stage"
)

const proofDocuments = elevateDocuments + `
---
kind: Role
name: keeper
resources: {type: linux}
mechanism: elevate
linux: {account: deploy, commands: [/usr/bin/id -u]}
maxDuration: 1h
---
kind: Policy
name: keepers
subjects: [group:platform]
roles: [keeper]
require:
  approvals: [{from: [group:dba], count: 1, level: console}]
  maxDuration: 1h
`

// TestProofs has a host believe its own roster: what a passkey of somebody in it has signed
// is done, and a signed order without that is not.
func TestProofs(t *testing.T) {
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatal("this takes a browser: run make setup")
	}
	ctx := t.Context()
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
	must(t, s.Enrol(ctx, "omar", "--group", "dba"))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := ln.Addr().String()
	must(t, ln.Close())
	documents := strings.ReplaceAll(proofDocuments, "ADDRESS", address)
	documents = strings.Replace(documents, "require: {maxDuration: 1h}", "require: {maxDuration: 1h, approvals: [{from: [group:dba], count: 1, level: passkey}]}", 1)
	must(t, s.Documents(ctx, strings.Replace(documents, "criticality: low", "criticality: critical", 1)))

	// People make passkeys, with a real browser.
	at := seatsOf(t, s, "root", "omar")
	at["root"].passkey(t, "add", "--name", "first")
	theirs := at["omar"].passkey(t, "add", "--name", "laptop")
	at["root"].passkey(t, "vouch", theirs.ID, "--digest", theirs.Digest)

	e := &elevation{machine: newMachine(t), url: s.URL}
	stint, err := filepath.Abs("../../bin/stint")
	must(t, err)
	e.run("", "sh", "-ec", elevatePrograms, "sh", stint, s.As("mira").Home)
	var code struct{ Code string }
	must(t, s.As("root").JSON(ctx, &code, "admin", "host", "enroll", "web1"))
	e.run(code.Code, e.bin, "enroll", "--server", s.URL, "--code-file", "-", "--no-sshd")
	e.start()
	e.startRunner()
	t.Cleanup(func() {
		e.killRunner()
		if t.Failed() {
			t.Log("the agent said:\n" + e.said.String())
		}
	})

	// Asked for while the host believed its control plane alone.
	var before api.Request
	must(t, s.As("mira").JSON(ctx, &before, "request", "web1", "--as", "keeper", "--for", "5m", "--why", "before", "--no-wait"))

	// Its administrator installs a roster.
	var made struct{ Roster string }
	must(t, s.As("root").JSON(ctx, &made, "admin", "host", "roster", "--user", "omar", "--host", address))
	if !strings.Contains(made.Roster, theirs.Digest) || !strings.Contains(made.Roster, "COMPARE IT") {
		t.Fatalf("the roster to compare:\n%s", made.Roster)
	}
	e.run(made.Roster, "sh", "-ec", "mkdir -p /etc/stint; cat > /etc/stint/roster.yaml; chmod 0644 /etc/stint/roster.yaml")
	if said := e.run("", e.bin, "roster", "check"); !strings.Contains(said, "good: 1 passkeys, 1 rules") || strings.Contains(said, "asks for no approval") || !strings.Contains(said, "asks for one approval") {
		t.Fatalf("roster check: %s", said)
	}
	if said := e.run("", e.bin, "roster", "show"); !strings.Contains(said, theirs.Digest) || !strings.Contains(said, "1 approvals by passkey, asked for by stint approve") {
		t.Fatalf("roster show: %s", said)
	}

	// Who asks hears at once what will not do. The agent tells Stint of a roster within half a
	// minute, and when it starts.
	e.kill()
	e.start()
	must(t, eventually(ctx, func() error {
		r := s.As("mira").Run(ctx, "request", "web1", "--as", "keeper", "--for", "5m", "--why", "too late", "--no-wait")
		if r.Code == 0 {
			id := regexp.MustCompile(`req_\w+`).FindString(r.Out)
			_ = s.As("mira").Run(ctx, "cancel", id) // it may be said in another way
			return fmt.Errorf("it was taken: %s", r.Out)
		}
		if !strings.Contains(r.Err, "host-wants-passkeys") && !strings.Contains(r.Err, "approvals by passkey") {
			t.Fatalf("refused with %d: %s", r.Code, r.Err)
		}
		return nil
	}))

	// The order is signed by the control plane, approved by its own word, and for this host.
	rules := func() string {
		return e.run("", "sh", "-c", "ls /etc/sudoers.d | grep stint || true") + e.run("", "sh", "-c", "grep -c stint- /etc/group || true")
	}
	unchanged := rules()
	must(t, s.As("omar").Run(ctx, "approve", before.ID, "--yes").Failed())
	var after api.Request
	must(t, eventually(ctx, func() error {
		must(t, s.As("mira").JSON(ctx, &after, "status", before.ID))
		if after.Grant == nil || after.Grant.State != api.GrantFailed && after.Grant.State != api.GrantEnded {
			return fmt.Errorf("the grant is %+v", after.Grant)
		}
		return nil
	}))
	if why := fmt.Sprintf("%+v", *after.Grant); !strings.Contains(why, "approvals by passkey") {
		t.Errorf("it does not say why: %s", why)
	}
	if now := rules(); now != unchanged {
		t.Errorf("the host was changed: %q, before %q", now, unchanged)
	}
	const mira = "20001"
	if out, said, code := e.run1(mira, "", "--as", "keeper", "--", "/usr/bin/id", "-u"); out != "" || code != 125 {
		t.Errorf("without proof: %q %q %d", out, said, code)
	}

	// With a passkey of the roster it is done.
	var r api.Request
	must(t, s.As("mira").JSON(ctx, &r, "request", "web1", "--as", "operator", "--for", "5m", "--why", "look", "--no-wait"))
	got, _ := at["omar"].signs(t, "approve", r.ID, "--yes")
	must(t, got.Failed())
	must(t, eventually(ctx, func() error {
		must(t, s.As("mira").JSON(ctx, &r, "status", r.ID))
		if r.Grant == nil || r.Grant.State != api.GrantActive {
			return fmt.Errorf("the grant is %+v", r.Grant)
		}
		return nil
	}))
	if out, said, code := e.run1(mira, "", "--as", "operator", "--", "/usr/bin/id", "-u"); out != "0\n" || code != 0 {
		t.Errorf("with a proof: %q %q %d", out, said, code)
	}
	// What takes away needs none, whatever became of the roster.
	e.run("", "rm", "/etc/stint/roster.yaml")
	must(t, s.As("mira").Run(ctx, "end", r.Grant.ID).Failed())
	must(t, eventually(ctx, func() error {
		if now := rules(); now != unchanged {
			return fmt.Errorf("it is there yet: %q", now)
		}
		return nil
	}))
	e.kill() // nothing writes what it said any more
	if !strings.Contains(e.said.String(), "ALARM: an order to make something is refused by this host's roster") {
		t.Error("the agent's log has no alarm")
	}
}
