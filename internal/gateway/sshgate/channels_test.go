package sshgate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/gateway"
)

func TestExecByOpenSSH(t *testing.T) {
	w := newWorld(t, nil)
	cmd := w.ssh("ssh", there, "cat; echo to-err >&2; exit 7")
	cmd.Stdin = strings.NewReader("from-in\n")
	out, errs, status := w.run(t, cmd)
	if out != "from-in\n" || !strings.Contains(errs, "to-err") || status != 7 {
		t.Errorf("got %q, %q, %d", out, errs, status)
	}
	for _, want := range []string{"echo to-err", "in from-in", "out from-in", "err to-err", "{Status:7"} {
		if !strings.Contains(w.text(), want) {
			t.Errorf("not recorded: %s\n%s", want, w.text())
		}
	}
	_, errs, status = w.run(t, w.ssh("ssh", there, "kill -TERM $$"))
	if status != 255 && status != 128+15 {
		t.Errorf("ended by a signal: %d, %s", status, errs)
	}
}

func TestShell(t *testing.T) {
	w := newWorld(t, nil)
	s, err := w.client(t).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var out safeBuffer
	s.Stdout = &out
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPty("xterm", 24, 80, ssh.TerminalModes{ssh.ECHO: 1}); err != nil {
		t.Fatal(err)
	}
	_ = s.Setenv("LC_TIME", "C")
	if err := s.Setenv("LD_PRELOAD", "/x"); err == nil {
		t.Error("LD_PRELOAD was taken")
	}
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, "trap 'echo win''ch; stty size' WINCH; echo time=$LC_TIME; stty size") // the trap is there when the size is seen
	eventually(t, "the first size", func() bool {
		return strings.Contains(out.String(), "24 80") && strings.Contains(out.String(), "time=C")
	})
	if err := s.WindowChange(30, 100); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, "")
	eventually(t, "the second size", func() bool { return strings.Contains(out.String(), "30 100") })
	fmt.Fprintln(in, "exit 3")
	var exit *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 3 {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"{Columns:100 Rows:30}", "stty size", "LC_TIME"} {
		if !strings.Contains(w.text(), want) {
			t.Errorf("not recorded: %s", want)
		}
	}
}

func TestSignals(t *testing.T) {
	w := newWorld(t, nil)
	s, err := w.client(t).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var out safeBuffer
	s.Stdout = &out
	if err := s.Start("trap 'echo got-usr1; exit 9' USR1; echo ready; while :; do sleep 0.05; done"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool { return strings.Contains(out.String(), "ready") })
	if err := s.Signal(ssh.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 9 || !strings.Contains(out.String(), "got-usr1") {
		t.Errorf("got %v, %q", err, out.String())
	}
}

// TestFilesByOpenSSH copies with scp, which speaks SFTP, sftp, the old scp and rsync, and
// compares what arrived.
func TestFilesByOpenSSH(t *testing.T) {
	w := newWorld(t, nil)
	local, remote := filepath.Join(w.dir, "local"), filepath.Join(w.dir, "remote")
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB
	write(t, local, content)
	same := func(name, path string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		_ = os.Remove(path)
	}
	_, errs, status := w.run(t, w.ssh("scp", local, there+":"+remote))
	if status != 0 {
		t.Fatalf("scp: %d, %s", status, errs)
	}
	same("scp", remote)
	share(t, remote, content)
	back := filepath.Join(w.dir, "back")
	if _, errs, status := w.run(t, w.ssh("scp", there+":"+remote, back)); status != 0 {
		t.Errorf("scp back: %d, %s", status, errs)
	}
	same("scp back", back)
	if err := os.Remove(remote); err != nil { // it belongs to the test's own user
		t.Fatal(err)
	}
	if !strings.Contains(w.text(), fmt.Sprintf("Written:%d", len(content))) || !strings.Contains(w.text(), fmt.Sprintf("Read:%d", len(content))) ||
		strings.Contains(w.text(), "WrittenSHA256: ReadSHA256: ") {
		t.Errorf("not recorded:\n%.4000s", w.text())
	}
	if _, errs, status := w.run(t, w.ssh("scp", "-O", local, there+":"+remote)); status != 0 {
		t.Errorf("old scp: %d, %s", status, errs)
	}
	same("old scp", remote)
	batch := w.ssh("sftp", "-b", "-", there)
	batch.Stdin = strings.NewReader(fmt.Sprintf("put %s %s\nrename %s %s.2\nls -l %s\nmkdir %s.d\nrmdir %s.d\n", local, remote, remote, remote, w.dir, remote, remote))
	if out, errs, status := w.run(t, batch); status != 0 || !strings.Contains(out, "remote.2") {
		t.Errorf("sftp: %d, %s, %s", status, out, errs)
	}
	same("sftp", remote+".2")
	for _, want := range []string{"rename", "remote.2", "Operation:mkdir", "Operation:rmdir"} {
		if !strings.Contains(w.text(), want) {
			t.Errorf("not recorded: %s", want)
		}
	}
	if _, err := exec.LookPath("rsync"); err != nil {
		t.Fatal("rsync is missing; make setup installs it")
	}
	through := strings.Join(w.ssh("ssh").Args, " ")
	rsync := exec.Command("rsync", "-e", through, local, there+":"+remote)
	if _, errs, status := w.run(t, rsync); status != 0 {
		t.Errorf("rsync: %d, %s", status, errs)
	}
	same("rsync", remote)
}

func TestReadOnlyFiles(t *testing.T) {
	w := newWorld(t, func(w *world, _ *Config) { w.permit.Rules = gateway.Rules{SFTP: gateway.ReadFiles} })
	secret := filepath.Join(w.dir, "there")
	share(t, secret, []byte("content"))
	// E8: every way to change something, by the client's own commands.
	for _, command := range []string{
		"put %[1]s %[1]s.x", "rename %[1]s %[1]s.x", "rm %[1]s", "mkdir %[1]s.x", "ln %[1]s %[1]s.x", "ln -s %[1]s %[1]s.x", "chmod 777 %[1]s",
	} {
		batch := w.ssh("sftp", "-b", "-", there)
		batch.Stdin = strings.NewReader(fmt.Sprintf(command+"\n", secret))
		if _, errs, status := w.run(t, batch); status == 0 {
			t.Errorf("%s was let through: %s", command, errs)
		}
		if _, err := os.Lstat(secret + ".x"); err == nil {
			t.Errorf("%s made a file", command)
		}
		if s, err := os.Stat(secret); err != nil || s.Mode().Perm() != 0o644 {
			t.Errorf("%s changed the file: %v %v", command, s, err)
		}
	}
	back := filepath.Join(w.dir, "back")
	if _, errs, status := w.run(t, w.ssh("scp", there+":"+secret, back)); status != 0 {
		t.Errorf("reading: %d, %s", status, errs)
	}
	for name, cmd := range map[string]*exec.Cmd{"exec": w.ssh("ssh", there, "id"), "old scp": w.ssh("scp", "-O", there+":"+secret, back+"2"), "shell": w.ssh("ssh", "-T", there)} {
		if _, errs, status := w.run(t, cmd); status == 0 || !strings.Contains(errs, "stint: ") {
			t.Errorf("%s: %d, %q", name, status, errs)
		}
	}
}

// TestRefused is the list of what does not pass: each is refused, leaves a record, and
// the target never hears of it.
func TestRefused(t *testing.T) {
	w := newWorld(t, func(w *world, _ *Config) { w.permit.Rules = gateway.Rules{Exec: true} })
	c := w.client(t)
	tcp := ssh.Marshal(tcpOpen{"127.0.0.1", 22, "127.0.0.1", 1})
	for kind, payload := range map[string][]byte{
		directTCP: tcp, forwardedTCP: tcp, directUnix: ssh.Marshal(unixOpen{Path: "/run/x"}),
		"x11": nil, "auth-agent@openssh.com": nil, "tun@openssh.com": nil, "nonce-channel": nil,
	} {
		if _, _, err := c.OpenChannel(kind, payload); err == nil {
			t.Errorf("channel %s was opened", kind)
		}
	}
	for kind, payload := range map[string][]byte{
		"tcpip-forward": ssh.Marshal(tcpListen{"localhost", 0}), "streamlocal-forward@openssh.com": ssh.Marshal(unixListen{"/tmp/x"}),
		"hostkeys-prove-00@openssh.com": nil, "nonce-request": nil,
	} {
		if ok, _, err := c.SendRequest(kind, true, payload); ok || err != nil {
			t.Errorf("request %s: %v, %v", kind, ok, err)
		}
	}
	ch, requests, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	for kind, payload := range map[string][]byte{
		"pty-req":                    ssh.Marshal(ptyRequest{Term: "xterm"}),
		"env":                        ssh.Marshal(envRequest{"LANG", "C"}),
		"auth-agent-req@openssh.com": nil,
		"x11-req":                    nil,
		"nonce-of-session":           []byte("x"),
	} {
		if ok, err := ch.SendRequest(kind, true, payload); ok || err != nil {
			t.Errorf("session request %s: %v, %v", kind, ok, err)
		}
	}
	for _, want := range []string{"direct-tcpip", "nonce-channel", "nonce-request", "nonce-of-session", "listening on", "x11"} {
		if !strings.Contains(w.text(), want) {
			t.Errorf("the refusal left no record: %s", want)
		}
	}
	if log := w.sshd.log.String(); strings.Contains(log, "nonce") || strings.Contains(log, "forward") {
		t.Errorf("the target heard of it:\n%s", log)
	}
}

func TestCommandRulesAtTheDoor(t *testing.T) {
	w := newWorld(t, func(w *world, _ *Config) {
		w.permit.Rules = gateway.Rules{Exec: true, Commands: []gateway.CommandRule{{Effect: gateway.Allow, Pattern: "echo *"}, {Effect: gateway.Alarms, Pattern: "*loud*"}}}
	})
	if out, _, status := w.run(t, w.ssh("ssh", there, "echo loud")); status != 0 || out != "loud\n" {
		t.Errorf("allowed: %d, %q", status, out)
	}
	for _, c := range []string{"id", "echo a; id", "echo $(id)"} {
		if out, errs, status := w.run(t, w.ssh("ssh", there, c)); status != notAllowed || out != "" || !strings.Contains(errs, "no rule of the role allows") {
			t.Errorf("%s: %d, %q, %q", c, status, out, errs)
		}
	}
	eventually(t, "the alarm is told", func() bool { w.control.mu.Lock(); defer w.control.mu.Unlock(); return len(w.alarms) == 1 })
}

func TestForwarding(t *testing.T) {
	w := newWorld(t, nil)
	echo := echoServer(t)
	c := w.client(t)
	conn, err := c.Dial("tcp", echo)
	if err != nil {
		t.Fatal(err)
	}
	nonce := "nonce-through-direct"
	if got := roundTrip(t, conn, nonce); got != nonce {
		t.Errorf("got %q", got)
	}
	if _, err := c.Dial("tcp", "127.0.0.2:22"); err == nil {
		t.Error("an address that no rule names was reached")
	}
	l, err := c.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		text, _ := io.ReadAll(conn)
		got <- string(text)
		_ = conn.Close()
	}()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(far, "nonce-through-remote")
	_ = far.(*net.TCPConn).CloseWrite()
	if s := <-got; s != "nonce-through-remote" {
		t.Errorf("through the listener: %q", s)
	}
	for _, want := range []string{nonce, "nonce-through-remote"} {
		if !strings.Contains(w.text(), want) {
			t.Errorf("not recorded: %s", want)
		}
	}
}

func echoServer(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func roundTrip(t testing.TB, c net.Conn, text string) string {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	done := make(chan error, 1)
	go func() { _, err := io.ReadFull(c, b); done <- err }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came back")
	}
	return string(b)
}

// TestAgentForwarding lends a person's agent, and only where the role does.
func TestAgentForwarding(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		t.Run(fmt.Sprint(allowed), func(t *testing.T) {
			w := newWorld(t, func(w *world, _ *Config) { w.permit.Rules.Agent = allowed })
			socket := filepath.Join(w.dir, "agent")
			agent := exec.Command("ssh-agent", "-D", "-a", socket)
			if err := agent.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = agent.Process.Kill(); _ = agent.Wait() })
			eventually(t, "the agent is there", func() bool { _, err := os.Stat(socket); return err == nil })
			cmd := w.ssh("ssh", "-A", there, "ssh-add -l; echo status=$?")
			cmd.Env = append(cmd.Env, "SSH_AUTH_SOCK="+socket)
			out, _, _ := w.run(t, cmd)
			if reached := strings.Contains(out, "no identities"); reached != allowed {
				t.Errorf("reached: %v, %q", reached, out)
			}
			if recorded := strings.Contains(w.text(), "Kind:auth-agent@openssh.com"); recorded != allowed {
				t.Errorf("recorded: %v", recorded)
			}
		})
	}
}
