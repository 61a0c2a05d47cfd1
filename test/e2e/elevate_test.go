//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

const elevateDocuments = `
kind: Resource
name: web1
type: linux
criticality: low
owners: [group:dba]
connection: {address: "ADDRESS"}
---
kind: Role
name: operator
resources: {type: linux}
mechanism: elevate
linux: {account: deploy, commands: [/usr/bin/id -u, /usr/bin/cat, /etc/stint-e2e/environment, /etc/stint-e2e/seven, /etc/stint-e2e/tree, /etc/stint-e2e/terminal, /etc/stint-e2e/flood]}
maxDuration: 1h
---
kind: Policy
name: operators
subjects: [group:platform]
roles: [operator]
require: {maxDuration: 1h}
---
kind: Policy
name: look
effect: watch
subjects: [group:review]
roles: [operator]
`

// elevatePrograms are what the role names, on the host.
const elevatePrograms = `
mkdir -m 0755 /etc/stint-e2e
cd /etc/stint-e2e
printf '#!/bin/sh\numask\nexec env\n' > environment
printf '#!/bin/sh\necho out; echo problem >&2; exit 7\n' > seven
printf '#!/bin/sh\nsetsid sh -c "sleep 1000 & exec sleep 1001" &\necho started\nexec sleep 1002\n' > tree
printf '#!/bin/sh\ntty; stty size; read line; echo "got $line"\n' > terminal
printf '#!/bin/sh\nexec head -c 3000000 /dev/zero\n' > flood
chmod 0755 *
cp "$1" /mnt/stint && chmod 0755 /mnt/stint
cp -a "$2" /home/deploy/stint && chown -R 20001:20001 /home/deploy/stint
cp -a "$2" /home/other && chown -R 20002:20002 /home/other
`

// elevation is a host with a runner, and mira on it.
type elevation struct {
	*machine
	url    string
	runner *exec.Cmd
	heard  bytes.Buffer // said by the runner
}

func (e *elevation) run1(as, stdin string, args ...string) (out, problems string, code int) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
	defer cancel()
	cmd := e.stint(ctx, as, args...)
	var o, p bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &o, &p
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		e.t.Fatal(err)
	}
	return o.String(), p.String(), cmd.ProcessState.ExitCode()
}

// stint is mira's, run on the host as one of its accounts, with an environment that
// nothing of may reach a command.
func (e *elevation) stint(ctx context.Context, as string, args ...string) *exec.Cmd {
	home := map[string]string{"20001": "/home/deploy/stint", "20002": "/home/other"}[as]
	return e.command(ctx, append([]string{"setpriv", "--reuid=" + as, "--regid=" + as, "--clear-groups", "env", "-i", "PATH=/home/deploy:/usr/bin:/bin", "TERM=xterm",
		"LD_PRELOAD_NOT=/home/deploy/evil.so", "LD_LIBRARY_PATH=/home/deploy", "BASH_ENV=/home/deploy/evil", "IFS=x",
		"STINT_SERVER=" + e.url, "STINT_HOME=" + home, "STINT_NO_INPUT=1", "NO_COLOR=1", "/mnt/stint", "elevate"}, args...)...)
}

func (e *elevation) startRunner() {
	e.t.Helper()
	e.runner = e.command(context.Background(), "sh", "-c", "echo $$ > /mnt/runner.pid; exec "+e.bin+" elevate")
	e.runner.Stdout, e.runner.Stderr = &e.heard, &e.heard
	must(e.t, e.runner.Start())
	must(e.t, eventually(e.t.Context(), func() error {
		return e.command(e.t.Context(), "test", "-S", "/run/stint-elevate/socket").Run()
	}))
}

func (e *elevation) killRunner() {
	if e.runner != nil {
		_ = e.command(context.Background(), "sh", "-c", "kill -KILL $(cat /mnt/runner.pid)").Run() // it may have ended
		_ = e.runner.Wait()
		e.runner = nil
	}
}

// sleeping is how many processes of the tree are there, on this host and no other.
func (e *elevation) sleeping() int {
	out, _ := e.command(context.Background(), "pgrep", "-c", "-f", "^sleep 100[012]$").Output()
	n := 0
	_, _ = fmt.Sscan(string(out), &n)
	return n
}

// TestElevate runs commands with more privilege by real programs: asked for, run,
// recorded, told of, and ended with the access.
func TestElevate(t *testing.T) {
	ctx := t.Context()
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: "sqlite"}, "mira", "rosa")
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
	must(t, s.Enrol(ctx, "rosa", "--group", "review"))
	address := freeAddress(t)
	must(t, s.Documents(ctx, strings.ReplaceAll(elevateDocuments, "ADDRESS", address)))
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
			t.Log("the runner said:\n" + e.heard.String() + "\nthe agent:\n" + e.said.String())
		}
	})

	const mira, other = "20001", "20002"
	if out, said, code := e.run1(mira, "", "--as", "operator", "--for", "5m", "--why", "look", "--", "/usr/bin/id", "-u"); out != "0\n" || code != 0 {
		t.Fatalf("the first command: %q %d\n%s", out, code, said)
	}
	if out, said, code := e.run1(mira, "", "--", "/etc/stint-e2e/seven"); out != "out\n" || code != 7 || !strings.Contains(said, "problem\n") {
		t.Errorf("an exit code, and two streams: %q %q %d", out, said, code)
	}
	if out, said, code := e.run1(mira, "one\ntwo\n", "--", "/usr/bin/cat"); out != "one\ntwo\n" || code != 0 {
		t.Errorf("input: %q %q %d", out, said, code)
	}
	if out, said, code := e.run1(mira, "", "--", "/etc/stint-e2e/flood"); len(out) != 3_000_000 || code != 0 {
		t.Errorf("much output: %d bytes, %q %d", len(out), said, code)
	}
	if out, said, code := e.run1(mira, "", "--", "/etc/stint-e2e/environment"); code != 0 || strings.Contains(out, "evil") || strings.Contains(out, "/home/deploy") || strings.Contains(out, "IFS") || !strings.Contains(out, "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n") || !strings.HasPrefix(out, "0022\n") {
		t.Errorf("the environment: %q %q %d", out, said, code)
	}
	seen(t, s, e)
	for _, x := range [][]string{{"/usr/bin/id"}, {"/usr/bin/id", "-u", "-r"}, {"/usr/bin/cat", "/etc/shadow"}, {"/bin/id", "-u"}, {"/usr/bin/../bin/id", "-u"}, {"/bin/sh"}} {
		if out, said, code := e.run1(mira, "", append([]string{"--as", "operator", "--"}, x...)...); out != "" || code != 125 || !strings.Contains(said, "does not allow this command") {
			t.Errorf("%q: %q %q %d", x, out, said, code)
		}
	}
	if out, said, code := e.run1(other, "", "--", "/usr/bin/id", "-u"); out != "" || code != 125 || !strings.Contains(said, "nothing is lent to this account") {
		t.Errorf("another account with the same login: %q %q %d", out, said, code)
	}
	// A terminal, where there is one here.
	within, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	line := strings.Join(e.stint(within, mira, "--", "/etc/stint-e2e/terminal").Args[6:], " ") // behind nsenter's own
	pty := e.command(within, "script", "--quiet", "--return", "--command", "stty rows 33 cols 77; "+line, "/dev/null")
	pty.Stdin = strings.NewReader("hello\n")
	if out, err := pty.CombinedOutput(); err != nil || !strings.Contains(string(out), "/dev/pts/") || !strings.Contains(string(out), "33 77") || !strings.Contains(string(out), "got hello") {
		t.Errorf("on a terminal: %q %v", out, err)
	}

	// It ends with the access, and all that it started.
	long := e.stint(within, mira, "--", "/etc/stint-e2e/tree")
	var said bytes.Buffer
	long.Stderr = &said
	must(t, long.Start())
	must(t, eventually(ctx, func() error {
		if e.sleeping() < 3 {
			return errors.New("the tree does not run")
		}
		return nil
	}))
	var held []struct{ ID string }
	must(t, s.As("mira").JSON(ctx, &held, "status"))
	if len(held) != 1 {
		t.Fatalf("held: %+v", held)
	}
	must(t, s.As("mira").Run(ctx, "end", held[0].ID).Failed())
	ended := time.Now()
	if err := long.Wait(); long.ProcessState.ExitCode() != 137 || !strings.Contains(said.String(), "access has ended; the command was stopped") {
		t.Errorf("ended with the access: %v %q", err, said.String())
	}
	if n := e.sleeping(); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	t.Logf("gone %s after stint end", time.Since(ended).Round(time.Millisecond))
	if out, said, code := e.run1(mira, "", "--", "/usr/bin/id", "-u"); out != "" || code != 125 {
		t.Errorf("after the end: %q %q %d", out, said, code)
	}
	// The runner is lost in the middle: what it ran ends when it is back.
	lost := e.stint(within, mira, "--as", "operator", "--for", "5m", "--why", "again", "--", "/etc/stint-e2e/tree")
	must(t, lost.Start())
	must(t, eventually(ctx, func() error {
		if e.sleeping() < 3 {
			return errors.New("the tree does not run")
		}
		return nil
	}))
	e.killRunner()
	if _ = lost.Wait(); lost.ProcessState.ExitCode() != 125 {
		t.Errorf("a client whose runner is lost: %v", lost.ProcessState)
	}
	e.startRunner()
	must(t, eventually(ctx, func() error { // it ends them before it takes anybody's question
		if n := e.sleeping(); n != 0 {
			return fmt.Errorf("%d processes are left of a runner that was killed", n)
		}
		return nil
	}))

	// Stint is gone: it ends by the host's own clock, and is told of when Stint is back.
	held = nil
	must(t, s.As("mira").JSON(ctx, &held, "status"))
	must(t, s.As("mira").Run(ctx, "end", held[0].ID).Failed())
	alone := e.stint(ctx, mira, "--as", "operator", "--for", "20s", "--why", "alone", "--", "/etc/stint-e2e/tree")
	must(t, alone.Start())
	must(t, eventually(ctx, func() error {
		if e.sleeping() < 3 {
			return errors.New("the tree does not run")
		}
		return nil
	}))
	var lent []api.Request
	must(t, s.As("mira").JSON(ctx, &lent, "get", "requests"))
	end := lent[0].Grant.ExpiresAt.Time
	// The host is told the latest end first, and once access is there the true one.
	must(t, eventually(ctx, func() error {
		if out := e.run("", e.bin, "status"); !strings.Contains(out, end.UTC().Format(time.RFC3339)) {
			return errors.New("the host does not know the true end yet: " + out)
		}
		return nil
	}))
	must(t, s.Stop())
	if _ = alone.Wait(); alone.ProcessState.ExitCode() != 137 || e.sleeping() != 0 {
		t.Errorf("with Stint gone: %v, %d processes are left", alone.ProcessState, e.sleeping())
	}
	if late := time.Since(end); late < -time.Second || late > 20*time.Second {
		t.Errorf("with Stint gone it ended %s after its end", late)
	}
	must(t, s.Start(ctx))

	// Everything is in the log.
	must(t, eventually(ctx, func() error {
		out := s.As("root").Run(ctx, "audit", "search", "--type", "command.ended", "-o", "json")
		if n := strings.Count(out.Out, `"command.ended"`); n != 10 {
			return fmt.Errorf("%d commands have ended in the log: %s %s", n, out.Out, out.Err)
		}
		if !strings.Contains(out.Out, "runner-lost") || !strings.Contains(out.Out, "access-ended") || strings.Count(out.Out, `"root"`) < 7 {
			return fmt.Errorf("the log says %s", out.Out)
		}
		return nil
	}))
	// Also the recordings: of the command that ran with Stint away, and of the runner's that was killed.
	must(t, eventually(ctx, func() error {
		kept := map[string]int{}
		for _, x := range commands(t, s) {
			kept[x.Reason+" "+x.Recording.State]++
		}
		if kept["runner-lost broken"] != 1 || kept["access-ended kept"] != 2 || kept["killed kept"] != 1 || kept["exited kept"] != 6 {
			return fmt.Errorf("recordings are %v", kept)
		}
		return nil
	}))
	for _, x := range commands(t, s) {
		if out := s.As("rosa").Run(ctx, "session", "verify", x.ID); out.Code != 0 {
			t.Errorf("%s, %s: %s %s", x.ID, x.Reason, out.Out, out.Err)
		}
	}
	must(t, eventually(ctx, func() error {
		if out, err := e.command(ctx, "sh", "-c", "find /var/lib/stint-agent/elevate/recordings -name '*.rec' -o -name '*.part'").Output(); err != nil || len(out) > 0 {
			return fmt.Errorf("what was taken is still on the host: %s %v", out, err)
		}
		return nil
	}))
	e.kill()
	e.killRunner()
	e.run("", e.bin, "uninstall", "--no-sshd")
}

// carried is a session as the command line prints it.
type carried struct {
	ID, State, Reason, Protocol, Host string
	Command                           struct{ Line string }
	Recording                         struct{ State string }
}

// commands are the sessions of commands, the newest first.
func commands(t *testing.T, s *stage.Stage) (all []carried) {
	t.Helper()
	must(t, s.As("rosa").JSON(t.Context(), &all, "session", "ls"))
	return all
}

// seen looks at what ran so far as a session: listed, replayed by whom a policy names alone,
// verified, and one that runs watched and ended.
func seen(t *testing.T, s *stage.Stage, e *elevation) {
	ctx := t.Context()
	rosa := s.As("rosa")
	var seven carried
	must(t, eventually(ctx, func() error {
		for _, x := range commands(t, s) {
			if x.Command.Line == "/etc/stint-e2e/seven" && x.Recording.State == "kept" {
				seven = x
				return nil
			}
		}
		return fmt.Errorf("no recording is kept: %+v", commands(t, s))
	}))
	if seven.Protocol != "elevate" || seven.Reason != "exited" || seven.Host == "" {
		t.Errorf("%+v", seven)
	}
	if out := rosa.Run(ctx, "session", "show", seven.ID); !strings.Contains(out.Out, "/etc/stint-e2e/seven") || !strings.Contains(out.Out, "exit code  7") {
		t.Errorf("shown: %s %s", out.Out, out.Err)
	}
	if out := rosa.Run(ctx, "session", "play", seven.ID); !strings.Contains(out.Out, "out\n") {
		t.Errorf("replayed: %q %s", out.Out, out.Err)
	}
	if out := rosa.Run(ctx, "session", "verify", seven.ID); out.Code != 0 || !strings.Contains(out.Out, "holds") {
		t.Errorf("verified: %s %s", out.Out, out.Err)
	}
	if out := s.As("mira").Run(ctx, "session", "play", seven.ID); out.Code == 0 || !strings.Contains(out.Err, "not yours to see") {
		t.Errorf("who ran it replays it: %s %s", out.Out, out.Err)
	}
	// One that runs is watched, and ended.
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	long := e.stint(within, "20001", "--", "/etc/stint-e2e/tree")
	var said bytes.Buffer
	long.Stderr = &said
	must(t, long.Start())
	var live carried
	must(t, eventually(ctx, func() error {
		if live = commands(t, s)[0]; live.State != "live" || live.Recording.State != "running" || e.sleeping() < 3 {
			return fmt.Errorf("it does not run: %+v", live)
		}
		return nil
	}))
	if out := s.As("root").Run(ctx, "session", "pause", live.ID, "--why", "x"); out.Code == 0 || !strings.Contains(out.Err, "is not paused") {
		t.Errorf("paused: %s %s", out.Out, out.Err)
	}
	must(t, s.As("root").Run(ctx, "session", "end", live.ID, "--why", "wrong host").Failed())
	ended := time.Now()
	if _ = long.Wait(); long.ProcessState.ExitCode() != 137 || !strings.Contains(said.String(), "somebody has ended the command: wrong host") || e.sleeping() != 0 {
		t.Errorf("ended by an administrator: %v %q, %d processes are left", long.ProcessState, said.String(), e.sleeping())
	}
	t.Logf("gone %s after stint session end", time.Since(ended).Round(time.Millisecond))
	must(t, eventually(ctx, func() error {
		if x := commands(t, s)[0]; x.Reason != "killed" || x.Recording.State != "kept" {
			return fmt.Errorf("%+v", x)
		}
		return nil
	}))
}
