//go:build e2e

package e2e

import (
	"context"
	"errors"

	"os/exec"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// TestHostAuthority replaces the authority of hosts' certificates under a grant that goes on:
// before, while both count, and after, the host is known and nobody is asked. One whose agent
// slept through it is not, the doctor says so, and it mends itself when the agent is back.
func TestHostAuthority(t *testing.T) {
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
	m.serve(address)
	var code api.HostEnrolment
	must(t, s.As("root").JSON(ctx, &code, "admin", "host", "enroll", "web1"))
	m.run(code.Code.Reveal(), "stint-agent", "enroll", "--server", s.URL, "--code-file", "-")
	m.start()
	nils := s.As("nils")
	in := func() error { return nils.Run(ctx, "ssh", "web1", "--", "true").Failed() }
	must(t, eventually(ctx, func() error {
		return nils.Run(ctx, "ssh", "web1", "--as", "deploy", "--for", "30m", "--why", "look at the disk", "--", "true").Failed()
	}))

	// shown is the authority of the certificate that sshd has.
	shown := func() string {
		out := m.run("", "sh", "-c", "ssh-keygen -L -f /etc/ssh/stint/ssh_host_ed25519_key-cert.pub")
		_, rest, _ := strings.Cut(out, "Signing CA: ED25519 ")
		key, _, _ := strings.Cut(rest, " ")
		return key
	}
	change := func(words ...string) {
		t.Helper()
		must(t, s.Stop())
		for _, w := range words {
			out, err := exec.CommandContext(ctx, "../../bin/stintd", w, "ssh-hosts", "--data", s.DataDir(), "--seal-key-file", s.DataDir()+".key").CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v %s", w, err, out)
			}
		}
		must(t, s.Start(ctx))
	}
	first := shown()
	change("rotate-key")
	must(t, eventually(ctx, in)) // with whichever certificate the host has at this moment
	m.kill()                     // an agent asks when it starts, and else every 20 s
	m.start()
	must(t, eventually(ctx, func() error {
		if first == "" || shown() == first {
			return errors.New("the host still shows a certificate by " + first)
		}
		return nil
	}))
	must(t, eventually(ctx, in)) // sshd reads it a moment after it is there
	change("retire-key")
	must(t, eventually(ctx, in))

	// The agent is away while the authority is replaced and the one before given up.
	m.kill()
	second := shown()
	change("rotate-key", "retire-key")
	if r := nils.Run(ctx, "ssh", "web1", "--", "true"); r.Code != 255 || !strings.Contains(r.Err+r.Out, "ost key verification failed") {
		t.Errorf("by an authority that was given up: %d %s %s", r.Code, r.Out, r.Err)
	}
	if r := s.As("root").Run(ctx, "admin", "doctor"); !strings.Contains(r.Out, "its certificate is by an authority that was given up") || !strings.Contains(r.Out, "stint-agent status") {
		t.Errorf("the doctor says\n%s%s", r.Out, r.Err)
	}
	m.start()
	must(t, eventually(ctx, in))
	if now := shown(); now == second {
		t.Error("the host still shows the certificate from before")
	}
	m.kill()
	m.run("", "stint-agent", "uninstall")
}
