//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// TestSSH goes from an enrolment to a session by real programs: the host is known by its
// certificate alone, the session is cut at the end and the log-in refused; and what ended
// early is refused by the list of that too, by itself.
func TestSSH(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
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
	must(t, s.Enrol(ctx, "nils", "--group", "platform"))
	address := freeAddress(t)
	must(t, s.Documents(ctx, strings.ReplaceAll(hostDocuments, "ADDRESS", address)))
	m := newMachine(t)
	m.serve(address) // as it is before anybody enrols it
	var code api.HostEnrolment
	must(t, s.As("root").JSON(ctx, &code, "admin", "host", "enroll", "web1"))
	if r := s.As("root").Run(ctx, "admin", "doctor"); !strings.Contains(r.Out, "host "+address+": no agent is enrolled") {
		t.Errorf("the doctor does not say that the host has no agent:\n%s%s", r.Out, r.Err)
	}
	// What cannot be set up leaves everything as it was, and the code good.
	state := func() string {
		return m.run("", "sh", "-c", "cat /etc/pam.d/sshd; find /etc/ssh -newer /mnt/bin/stint-agent -type f | sort; ls /etc/ssh/sshd_config.d")
	}
	refused := func(why, with string) {
		t.Helper()
		was := state()
		cmd := m.command(ctx, "stint-agent", "enroll", "--server", s.URL, "--code-file", "-")
		cmd.Stdin = strings.NewReader(with)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), why) {
			t.Errorf("want %q: %v %s", why, err, out)
		}
		if now := state(); now != was {
			t.Errorf("%s: left behind\n%s\nwhere it was\n%s", why, now, was)
		}
	}
	theirs := "/etc/ssh/sshd_config.d/50-theirs.conf"
	for text, why := range map[string]string{"Nonsense yes\n": "does not accept", "RevokedKeys /etc/ssh/theirs\n": "is set to RevokedKeys", "HostCertificate /etc/ssh/theirs-cert.pub\n": "is set to HostCertificate"} {
		must(t, os.WriteFile(m.path(theirs), []byte(text), 0o644))
		refused(why, code.Code.Reveal())
		must(t, os.Remove(m.path(theirs)))
	}
	refused("the code is not valid", strings.Replace(code.Code.Reveal(), "stint-host-", "stint-host-x", 1))
	m.run(code.Code.Reveal(), "stint-agent", "enroll", "--server", s.URL, "--code-file", "-")
	m.start()
	nils := s.As("nils")

	// The agent reloads sshd by itself: the settings count, and the certificate is shown.
	var r stage.Result
	must(t, eventually(ctx, func() error {
		r = nils.Run(ctx, "ssh", "web1", "--as", "deploy", "--for", "5m", "--why", "look at the disk", "--", "id", "-un")
		return r.Failed()
	}))
	if strings.TrimSpace(r.Out) != "deploy" {
		t.Errorf("stint ssh says %q %q", r.Out, r.Err)
	}
	var held []api.Request
	must(t, nils.JSON(ctx, &held, "get", "requests"))
	grant := held[0].Grant.ID

	// What ended early is on the list within a poll. The line of the order is put back by
	// hand: what refuses now is the list alone.
	line, err := os.ReadFile(m.path("/etc/ssh/stint/principals/deploy"))
	must(t, err)
	cert := filepath.Join(nils.Home, "ssh", grant+"-cert.pub")
	text, err := os.ReadFile(cert)
	must(t, err)
	must(t, nils.Run(ctx, "end", grant).Failed())
	m.gone(time.Now().Add(60 * time.Second))
	began := time.Now()
	must(t, eventually(ctx, func() error {
		check := m.command(ctx, "ssh-keygen", "-Q", "-f", "/etc/ssh/stint/revoked_keys", "/dev/stdin")
		check.Stdin = bytes.NewReader(text)
		if out, err := check.CombinedOutput(); err == nil || !strings.Contains(string(out), "REVOKED") {
			return errors.New("not revoked: " + string(out))
		}
		return nil
	}))
	t.Logf("on the host's list of revoked ones after %s", time.Since(began).Round(time.Millisecond))
	must(t, os.WriteFile(m.path("/etc/ssh/stint/principals/deploy"), line, 0o644))
	_, port, _ := strings.Cut(address, ":")
	plain := func() (string, error) {
		out, err := exec.CommandContext(ctx, "ssh", "-F", "none", "-i", filepath.Join(nils.Home, "ssh", "id_ed25519"), "-o", "CertificateFile="+cert, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
			"-o", "UserKnownHostsFile="+filepath.Join(nils.Home, "ssh", grant+"-hosts"), "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes", "-o", "PreferredAuthentications=publickey", "-p", port, "deploy@127.0.0.1", "true").CombinedOutput()
		return string(out), err
	}
	if out, err := plain(); err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("a revoked certificate: %v %s", err, out)
	}
	if !strings.Contains(m.sshd.String(), "revoked") {
		t.Errorf("sshd does not refuse it as revoked:\n%s", m.sshd.String())
	}
	must(t, os.Remove(m.path("/etc/ssh/stint/principals/deploy")))

	// A session that is open at the end is cut, and nobody logs in after it.
	var out bytes.Buffer
	open := nils.Command(ctx, "ssh", "web1", "--as", "deploy", "--for", "15s", "--why", "watch it for a while", "--", "echo in; sleep 300")
	open.Stdout, open.Stderr, open.WaitDelay = &out, &out, 3*time.Second
	must(t, open.Start())
	done := make(chan error, 1)
	go func() { done <- open.Wait() }()
	var live api.Request
	must(t, eventually(ctx, func() error {
		var all []api.Request
		if err := nils.JSON(ctx, &all, "get", "requests"); err != nil {
			return err
		}
		for _, r := range all {
			if r.Grant != nil && r.Grant.State == api.GrantActive {
				live = r
				return nil
			}
		}
		return errors.New("none is active")
	}))
	select {
	case <-done:
		late := time.Since(live.Grant.ExpiresAt.Time)
		if late < -time.Second || late > 20*time.Second || !strings.Contains(out.String(), "in\n") {
			t.Errorf("the session ended %s after its time: %s", late, out.String())
		}
	case <-ctx.Done():
		t.Fatalf("the session is not cut: %s", out.String())
	}
	grant = live.Grant.ID
	cert = filepath.Join(nils.Home, "ssh", grant+"-cert.pub")
	if out, err := plain(); err == nil {
		t.Errorf("after the end: %s", out)
	}
	if r := nils.Run(ctx, "ssh", "web1", "--", "true"); r.Code != 125 {
		t.Errorf("without a grant: %d %s", r.Code, r.Err)
	}

	// What the agent set up, it takes away, and sshd is as it was.
	m.kill()
	m.run("", "stint-agent", "uninstall")
	if _, err := os.Stat(m.path("/etc/ssh/stint")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if out := m.run("", "/usr/sbin/sshd", "-T"); strings.Contains(out, "/etc/ssh/stint") {
		t.Errorf("sshd has settings of ours:\n%s", out)
	}
}
