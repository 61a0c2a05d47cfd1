//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

const gatewayRole = `
---
kind: Role
name: recorded
resources: {type: linux}
mechanism: token
linux: {account: deploy, through: gateway, record: strict, denyCommands: ["rm *"]}
maxDuration: 1h
---
kind: Policy
name: recorders
subjects: [group:platform]
roles: [recorded]
require: {maxDuration: 1h}
`

// lockedText is written by a process and read by a test.
type lockedText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// runGateway runs a gateway that is enrolled, until kill is called or the test ends.
func runGateway(t *testing.T, state, listen, status string, more ...string) (said *lockedText, kill func()) {
	t.Helper()
	said = &lockedText{}
	cmd := exec.Command("../../bin/stint-gateway", "run", "--state", state, "--listen", listen, "--status", status)
	cmd.Args = append(cmd.Args, more...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = said, said, 3*time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	var once sync.Once
	kill = func() { once.Do(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) }
	t.Cleanup(kill)
	return said, kill
}

// TestGateway goes from an enrolment to a recorded session by real programs, and ends
// sessions by everything that ends them.
func TestGateway(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
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
	must(t, s.Enrol(ctx, "lars", "--group", "platform"))
	address := freeAddress(t)
	must(t, s.Documents(ctx, strings.ReplaceAll(hostDocuments, "ADDRESS", address)+gatewayRole))
	m := newMachine(t)
	m.serve(address)
	var code api.HostEnrolment
	must(t, s.As("root").JSON(ctx, &code, "admin", "host", "enroll", "web1"))
	m.run(code.Code.Reveal(), "stint-agent", "enroll", "--server", s.URL, "--code-file", "-")
	m.start()

	if r := s.As("root").Run(ctx, "admin", "doctor"); !strings.Contains(r.Out, "none is enrolled, and sessions of the role recorded go through one") {
		t.Errorf("the doctor does not say that there is no gateway:\n%s%s", r.Out, r.Err)
	}
	listen, status := freeAddress(t), freeAddress(t)
	state := filepath.Join(t.TempDir(), "gateway")
	var invite api.GatewayEnrolment
	must(t, s.As("root").JSON(ctx, &invite, "admin", "gateway", "enroll", "edge", "--address", listen))
	enroll := exec.CommandContext(ctx, "../../bin/stint-gateway", "enroll", "--state", state, "--server", s.URL, "--code-file", "-")
	enroll.Stdin = strings.NewReader(invite.Code.Reveal())
	if out, err := enroll.CombinedOutput(); err != nil || !strings.Contains(string(out), "enrolled as edge") {
		t.Fatalf("enroll: %v %s", err, out)
	}
	said, kill := runGateway(t, state, listen, status)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the gateway said:\n" + said.String() + "\nsshd said:\n" + m.sshd.String())
		}
	})
	running := func() error {
		out, err := exec.CommandContext(ctx, "../../bin/stint-gateway", "status", "--state", state, "--status", status).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "yes, ready") {
			return errors.New(string(out))
		}
		return nil
	}
	must(t, eventually(ctx, running))
	nils := s.As("nils")

	// Plain OpenSSH, told by stint ssh: nobody is asked about a fingerprint.
	var r stage.Result
	must(t, eventually(ctx, func() error {
		r = nils.Run(ctx, "ssh", "web1", "--as", "recorded", "--for", "10m", "--why", "look at the disk", "--", "id", "-un")
		return r.Failed()
	}))
	if strings.TrimSpace(r.Out) != "deploy" {
		t.Errorf("stint ssh says %q %q", r.Out, r.Err)
	}
	if r := nils.Run(ctx, "ssh", "web1", "--", "rm -rf /srv"); r.Code == 0 || !strings.Contains(r.Err+r.Out, "denied by the rule rm *") {
		t.Errorf("a command that is denied: %d %s %s", r.Code, r.Out, r.Err)
	}
	sent := filepath.Join(t.TempDir(), "sent")
	must(t, os.WriteFile(sent, []byte("through a gateway\n"), 0o600))
	must(t, nils.Run(ctx, "scp", sent, "web1:/home/deploy/got").Failed())
	if got, err := os.ReadFile(m.path("/home/deploy/got")); err != nil || string(got) != "through a gateway\n" {
		t.Errorf("scp: %q %v", got, err)
	}
	admin, err := s.Client(ctx, "olga", "--admin")
	must(t, err)
	sessions := func(live bool) []api.Session {
		t.Helper()
		page, err := admin.Sessions(ctx, api.SessionList{Live: live})
		must(t, err)
		return page.Items
	}
	must(t, eventually(ctx, func() error {
		if n := len(sessions(true)); n > 0 {
			return errors.New("sessions are live that are over")
		}
		return nil
	}))
	if all := sessions(false); len(all) != 3 || all[0].Person != "nils" || all[0].Account != "deploy" || all[0].Gateway != "edge" || all[0].Reason != "client-gone" {
		t.Errorf("sessions: %+v", all)
	}

	must(t, eventually(ctx, func() error {
		for _, x := range sessions(false) {
			if x.Recording.State != "kept" {
				return errors.New("the recording of " + x.ID + " is " + x.Recording.State)
			}
		}
		return nil
	}))

	if r := s.As("root").Run(ctx, "admin", "doctor"); !strings.Contains(r.Out, "1, each heard of within") || !strings.Contains(r.Out, "all of closed sessions have come") || !strings.Contains(r.Out, "the newest 3 are where they are kept") {
		t.Errorf("the doctor says of the gateway:\n%s%s", r.Out, r.Err)
	}
	if out, err := numbersAt(ctx, status); err != nil || !strings.Contains(out, "stint_gateway_recordings_stuck 0\n") || !strings.Contains(out, "stint_gateway_trust_age_seconds ") {
		t.Errorf("the gateway's numbers: %v\n%s", err, out)
	}

	// What was recorded is kept by Stint, gone from the gateway, and seen by whom a policy
	// lets: not by who had the session, and not by an office.
	must(t, eventually(ctx, func() error {
		for _, x := range sessions(false) {
			if x.Recording.State != "kept" {
				return errors.New(x.ID + " is " + x.Recording.State)
			}
			if _, err := os.Stat(filepath.Join(state, "recordings", x.ID+".rec")); err == nil {
				return errors.New(x.ID + " is still at the gateway")
			}
		}
		return nil
	}))
	first := sessions(false)[2].ID
	if r := nils.Run(ctx, "session", "play", first); r.Code != 3 {
		t.Errorf("nils sees the recording: %d %s %s", r.Code, r.Out, r.Err)
	}
	must(t, s.Enrol(ctx, "rosa", "--group", "reviewers"))
	must(t, s.Documents(ctx, "kind: Policy\nname: session-review\neffect: watch\nsubjects: [group:reviewers]\nroles: ['*']\n"))
	rosa := s.As("rosa")
	if r := rosa.Run(ctx, "session", "play", first); r.Code != 0 || !strings.Contains(r.Out, "deploy") || !strings.Contains(r.Out, "id -un") {
		t.Errorf("rosa sees: %d %s %s", r.Code, r.Out, r.Err)
	}
	if r := rosa.Run(ctx, "session", "verify", first); r.Code != 0 || !strings.Contains(r.Out, "holds: ") {
		t.Errorf("verified: %d %s %s", r.Code, r.Out, r.Err)
	}
	var verdict api.RecordingVerdict
	must(t, rosa.JSON(ctx, &verdict, "session", "verify", first))
	raw := filepath.Join(t.TempDir(), "session.rec")
	must(t, rosa.Run(ctx, "session", "export", first, "--form", "raw", "--out", raw).Failed())
	if r := rosa.Run(ctx, "session", "verify", "--file", raw, "--key", verdict.Recording.Keys[0], "--root", verdict.Recording.Root); r.Code != 0 {
		t.Errorf("verified without a server: %d %s %s", r.Code, r.Out, r.Err)
	}
	if b, err := os.ReadFile(raw); err == nil && len(b) > 300 {
		b[len(b)-250] ^= 1
		must(t, os.WriteFile(raw, b, 0o600))
	}
	if r := rosa.Run(ctx, "session", "verify", "--file", raw, "--key", verdict.Recording.Keys[0]); r.Code == 0 || !strings.Contains(r.Out, "DAMAGED") {
		t.Errorf("one that was changed: %d %s %s", r.Code, r.Out, r.Err)
	}
	if r := rosa.Run(ctx, "session", "search", "rm -rf"); r.Code != 0 || !strings.Contains(r.Out, "rm -rf /srv") {
		t.Errorf("found: %d %s %s", r.Code, r.Out, r.Err)
	}

	// The host itself takes nobody who did not come through the gateway: the person's
	// certificate names no principal that any line has.
	var held []api.Request
	must(t, nils.JSON(ctx, &held, "get", "requests"))
	grant := held[0].Grant.ID
	host, port, _ := strings.Cut(address, ":")
	direct := exec.CommandContext(ctx, "ssh", "-F", "none", "-i", filepath.Join(nils.Home, "ssh", "id_ed25519"), "-o", "CertificateFile="+filepath.Join(nils.Home, "ssh", grant+"-cert.pub"),
		"-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", "-p", port, "deploy@"+host, "true")
	if out, err := direct.CombinedOutput(); err == nil || !strings.Contains(string(out), "Permission denied") {
		t.Errorf("around the gateway: %v %s", err, out)
	}

	// open has a session in which something runs.
	type running2 struct {
		out  *lockedText
		done chan time.Time
	}
	open := func(by *stage.Person, args ...string) running2 {
		t.Helper()
		x := running2{&lockedText{}, make(chan time.Time, 1)}
		cmd := by.Command(ctx, append(append([]string{"ssh", "web1"}, args...), "--", "echo in; exec sleep 300")...)
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = x.out, x.out, 3*time.Second
		must(t, cmd.Start())
		go func() { _ = cmd.Wait(); x.done <- time.Now() }()
		must(t, eventually(ctx, func() error {
			if !strings.Contains(x.out.String(), "in\n") {
				return errors.New("it is not open: " + x.out.String())
			}
			return nil
		}))
		return x
	}
	// One that goes on, by the words that are for all sessions.
	long := nils.Command(ctx, "ssh", "web1", "--", "while sleep 0.3; do echo sounding; done")
	must(t, long.Start())
	t.Cleanup(func() { _ = long.Process.Kill(); _ = long.Wait() })
	must(t, eventually(ctx, func() error {
		if n := len(sessions(true)); n != 1 {
			return errors.New(strconv.Itoa(n) + " sessions are live")
		}
		return nil
	}))
	sameWords(t, ctx, s, sessions(true)[0].ID, "ssh", "sounding", func() error { return nil })

	// ends waits for its end, which takes milliseconds beside what the machine takes for
	// everything else; internal/gateway holds the seconds to the letter.
	ends := func(name string, x running2, from time.Time, within time.Duration) {
		t.Helper()
		select {
		case at := <-x.done:
			if took := at.Sub(from); took > within {
				t.Errorf("%s: ended after %s", name, took)
			} else {
				t.Logf("%s: ended after %s", name, took.Round(time.Millisecond))
			}
		case <-time.After(within + 60*time.Second):
			t.Fatalf("%s: it goes on: %s", name, x.out.String())
		}
	}
	asked := []string{"--as", "recorded", "--for", "10m", "--why", "watch it"}

	// closed says why the newest session closed, once it has: for one of these reasons.
	closed := func(name string, reasons ...string) {
		t.Helper()
		var x api.Session
		must(t, eventually(ctx, func() error {
			if x = sessions(false)[0]; x.State != "closed" {
				return errors.New(name + ": the newest session is " + x.State)
			}
			return nil
		}))
		if !slices.Contains(reasons, x.Reason) {
			t.Errorf("%s: closed as %s (%s), not %v", name, x.Reason, x.Text, reasons)
		}
	}

	x := open(nils)
	began := time.Now()
	_, err = admin.Revoke(ctx, api.RevokeAsk{Grant: grant, Why: "a doubt"})
	must(t, err)
	ends("revoked", x, began, 20*time.Second)
	closed("revoked", "revoked", "target-gone") // the host's agent ends it, too, and may be first

	x = open(nils, "--as", "recorded", "--for", "15s", "--why", "watch it")
	must(t, nils.JSON(ctx, &held, "get", "requests"))
	ends("expired", x, held[0].Grant.ExpiresAt.Time, 20*time.Second)
	closed("expired", "expired", "target-gone")

	// What is said last has a third of a second, and is not waited for longer.
	for n := 1; ; n++ {
		x = open(nils, asked...)
		live := sessions(true)
		if len(live) != 1 {
			t.Fatalf("live: %+v", live)
		}
		began = time.Now()
		_, err = admin.EndSession(ctx, live[0].ID, "that is enough")
		must(t, err)
		ends("this session ended", x, began, 20*time.Second)
		closed("this session ended", "killed")
		if strings.Contains(x.out.String(), "that is enough") {
			break
		}
		if n == 3 {
			t.Fatalf("the person is not told why: %q", x.out.String())
		}
	}

	x = open(s.As("lars"), asked...)
	began = time.Now()
	_, err = admin.LockUser(ctx, "lars", "lost laptop")
	must(t, err)
	ends("locked", x, began, 20*time.Second)
	closed("locked", "policy", "target-gone")

	// Cut off from the control plane it ends within its lease; by then nothing was opened.
	x = open(nils)
	began = time.Now()
	must(t, s.Stop())
	ends("the control plane gone", x, began, 60*time.Second)
	if !strings.Contains(x.out.String(), "could not be reached") {
		t.Logf("the control plane gone: says %q", x.out.String())
	}
	must(t, s.Start(ctx))
	must(t, eventually(ctx, running))

	// A gateway that dies takes its connections with it, and its sessions are known to be lost.
	x = open(nils)
	began = time.Now()
	kill()
	ends("the gateway killed", x, began, 20*time.Second)
	_, _ = runGateway(t, state, listen, status)
	must(t, eventually(ctx, func() error {
		for _, x := range sessions(true) {
			return errors.New("still live: " + x.ID)
		}
		return nil
	}))
	must(t, nils.Run(ctx, "ssh", "web1", "--", "true").Failed())
	m.kill()
	m.run("", "stint-agent", "uninstall")
}
