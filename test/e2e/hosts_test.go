//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

const hostDocuments = `
kind: Resource
name: web1
type: linux
criticality: low
owners: [group:dba]
connection: {address: "ADDRESS"}
---
kind: Role
name: deploy
resources: {type: linux}
mechanism: token
linux: {account: deploy}
maxDuration: 1h
---
kind: Policy
name: deployers
subjects: [group:platform]
roles: [deploy]
require: {maxDuration: 1h}
`

// hostSetup makes a host of a mount namespace: /etc is a copy, and so nothing of the
// machine is touched. $1 is the cgroup that is the root of cgroups there.
const hostSetup = `
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs /mnt
cp -a /etc /mnt/etc
mount --bind /mnt/etc /etc
mkdir -m 0755 /mnt/run /mnt/run/sshd /mnt/home /mnt/home/deploy && mkdir -m 0700 /mnt/state
mount --bind /mnt/run /run
mount --bind /mnt/home /home
mount --bind "$1" "$(dirname "$1")"
grep -q ^deploy: /etc/passwd || { echo 'deploy:x:20001:20001::/home/deploy:/bin/sh' >> /etc/passwd; echo 'deploy:x:20001:' >> /etc/group; echo 'deploy:*:20000:0:99999:7:::' >> /etc/shadow; }
chown 20001:20001 /home/deploy
echo ready
exec sleep infinity
`

// machine is a host in namespaces of its own.
type machine struct {
	t     *testing.T
	holds *exec.Cmd
	agent *exec.Cmd
	said  bytes.Buffer // by the agent
	bin   string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a host for tests needs root: it is made of namespaces")
	}
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/unified/cgroup.procs"); err == nil {
		root += "/unified"
	}
	cgroup := filepath.Join(root, "stint-e2e-"+strconv.Itoa(os.Getpid()))
	must(t, os.Mkdir(cgroup, 0o755))
	t.Cleanup(func() { removeCgroup(t, cgroup) })
	bin, err := filepath.Abs("../../bin/stint-agent")
	must(t, err)
	m := &machine{t: t, bin: bin, holds: exec.Command("unshare", "--mount", "sh", "-ec", hostSetup, "sh", cgroup)}
	m.holds.Stderr = os.Stderr
	m.holds.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := m.holds.StdoutPipe()
	must(t, err)
	must(t, m.holds.Start())
	t.Cleanup(func() {
		_ = m.holds.Process.Kill() // it sleeps, and ends no other way
		_ = m.holds.Wait()
	})
	ready := make([]byte, 6)
	if _, err := out.Read(ready); err != nil || string(ready) != "ready\n" {
		t.Fatalf("the host is not made: %q %v", ready, err)
	}
	t.Cleanup(m.kill)
	return m
}

// removeCgroup removes a cgroup with those below it, in which nothing runs any more.
func removeCgroup(t *testing.T, top string) {
	var all []string
	_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	for i := len(all) - 1; i >= 0; i-- {
		if err := os.Remove(all[i]); err != nil {
			t.Error(err)
		}
	}
}

// command is one that runs on the host.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(m.holds.Process.Pid), "-m", "--"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (m *machine) run(stdin string, args ...string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	cmd := m.command(ctx, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", args, err, out)
	}
	return string(out)
}

func (m *machine) start() {
	m.t.Helper()
	m.agent = m.command(context.Background(), m.bin, "run", "--state", "/mnt/state")
	m.agent.Stdout, m.agent.Stderr = &m.said, &m.said
	must(m.t, m.agent.Start())
}

// kill ends the agent as a lost machine would.
func (m *machine) kill() {
	if m.agent == nil {
		return
	}
	_ = m.agent.Process.Kill() // it may have ended
	_ = m.agent.Wait()
	m.agent = nil
}

// lines are those by which certificates open sessions of the account.
func (m *machine) lines() int {
	m.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/etc/ssh/stint/principals/deploy", m.holds.Process.Pid))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	must(m.t, err)
	return strings.Count(string(text), "stint-01")
}

// gone waits until nothing is lent, and says when it was so.
func (m *machine) gone(by time.Time) {
	m.t.Helper()
	for m.lines() > 0 {
		if time.Now().After(by) {
			m.t.Fatalf("it is still there %s after its time\n%s", time.Since(by), m.said.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestHost lends access to a host by real programs: ended by hand, with the agent killed
// in the middle, and with the control plane gone.
func TestHost(t *testing.T) {
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
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := ln.Addr().String()
	must(t, ln.Close())
	must(t, s.Documents(ctx, strings.ReplaceAll(hostDocuments, "ADDRESS", address)))
	mira, err := s.Client(ctx, "nils", "--group", "platform")
	must(t, err)
	lend := func(d string) api.Request {
		t.Helper()
		r, err := mira.Submit(ctx, api.Ask{Resource: "web1", Role: "deploy", Duration: d, Reason: "deploy the release"}, api.Wait{For: api.Ready, Time: 30 * time.Second})
		must(t, err)
		return r
	}
	m := newMachine(t)
	var code api.HostEnrolment
	must(t, s.As("root").JSON(ctx, &code, "admin", "host", "enroll", "web1"))
	said := m.run(code.Code.Reveal(), m.bin, "enroll", "--server", mira.Server.String(), "--code-file", "-", "--state", "/mnt/state", "--no-sshd")
	if !strings.Contains(said, "enrolled as "+address) {
		t.Errorf("enrolled: %s", said)
	}
	m.start()
	must(t, eventually(ctx, func() error {
		if out := m.command(ctx, m.bin, "status", "--state", "/mnt/state"); out.Run() != nil {
			return errors.New("the agent does not run")
		}
		return nil
	}))

	byHand := lend("5m")
	if byHand.Grant == nil || byHand.Grant.State != api.GrantActive || m.lines() != 1 {
		t.Fatalf("lent: %+v, %d lines\n%s", byHand.Grant, m.lines(), m.said.String())
	}
	if out := m.run("", m.bin, "status", "--state", "/mnt/state"); !strings.Contains(out, "lent          1") || !strings.Contains(out, "token deploy") {
		t.Errorf("status says\n%s", out)
	}
	_, err = mira.End(ctx, byHand.ID)
	must(t, err)
	m.gone(time.Now().Add(10 * time.Second))

	killed := lend("15s")
	if m.lines() != 1 {
		t.Fatal("not lent")
	}
	m.kill()
	m.start()
	m.gone(killed.Grant.ExpiresAt.Add(2 * time.Second))
	if early := time.Until(killed.Grant.ExpiresAt.Time); early > time.Second {
		t.Errorf("taken away %s before its end", early)
	}

	alone := lend("15s")
	if m.lines() != 1 {
		t.Fatal("not lent")
	}
	must(t, s.Stop())
	// What a host is told beforehand is the latest end that the grant could have had: its
	// time began to count when access was there, at most setUp after it was asked for.
	const setUp = time.Minute
	m.gone(alone.Grant.ExpiresAt.Add(setUp + 2*time.Second))
	if early := time.Until(alone.Grant.ExpiresAt.Time); early > time.Second {
		t.Errorf("taken away %s before its end", early)
	}
	must(t, s.Start(ctx))
	got, err := mira.Request(ctx, alone.ID, api.Wait{For: api.Ended, Time: 30 * time.Second})
	must(t, err)
	if !got.Reached(api.Ended) {
		t.Errorf("it is not known that it is gone: %+v", got.Grant)
	}
	m.kill()
	m.run("", m.bin, "uninstall", "--state", "/mnt/state", "--no-sshd")
}

// eventually tries until it succeeds, for half a minute.
func eventually(ctx context.Context, try func() error) (err error) {
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for within.Err() == nil {
		if err = try(); err == nil {
			return nil
		}
		select {
		case <-within.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return err
}
