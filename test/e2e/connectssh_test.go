//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// section is a part of a page for newcomers: its title, and the blocks of its commands.
type section struct {
	title  string
	blocks []string
}

func sections(t *testing.T, file string, here ...string) (out []section) {
	t.Helper()
	raw, err := os.ReadFile(file)
	must(t, err)
	for part := range strings.SplitSeq(strings.NewReplacer(here...).Replace(string(raw)), "\n## ") {
		title, _, _ := strings.Cut(part, "\n")
		s := section{title: title}
		for _, m := range block.FindAllStringSubmatch(part, -1) {
			s.blocks = append(s.blocks, m[2])
		}
		out = append(out, s)
	}
	return out
}

// TestConnectSSH is a newcomer who does what docs/connect/ssh.md says, line by line. Only
// what systemd would do is done here, as systemd would.
func TestConnectSSH(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	server, address := freeAddress(t), freeAddress(t)
	page := sections(t, "../../docs/connect/ssh.md", "127.0.0.1:7420", server, "127.0.0.1:22", address, "stintd serve 2>", "stintd serve --listen "+server+" 2>")
	bin, err := filepath.Abs("../../bin")
	must(t, err)
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	m := newMachine(t)
	m.serve(address)
	m.run("", "mkdir", "-p", "/etc/systemd/system")

	// The administrator's shell lives as long as the page: it has the server in it.
	shell := exec.CommandContext(ctx, "bash", "--noprofile", "--norc")
	shell.Dir, shell.WaitDelay = dir, 3*time.Second
	shell.Env = []string{"PATH=" + bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "STINT_SERVER=http://" + server, "HOME=" + dir, "LC_ALL=C", "NO_COLOR=1", "STINT_NO_INPUT=1"}
	shell.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	in, err := shell.StdinPipe()
	must(t, err)
	log, err := os.Create(filepath.Join(dir, "shell.log"))
	must(t, err)
	shell.Stdout, shell.Stderr = log, log
	must(t, shell.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-shell.Process.Pid, syscall.SIGTERM) // the server is in its group
		_ = shell.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "stintd.log"))
			t.Logf("stintd said:\n%s", text)
		}
	})
	n := 0
	// say runs a block in that shell, and gives what it printed and how its last command
	// ended.
	say := func(text string) (said string, code string) {
		t.Helper()
		n++
		mark := filepath.Join(dir, "done-"+string(rune('a'+n)))
		was, err := os.ReadFile(log.Name())
		must(t, err)
		// As a file: what ssh reads of its input is not the rest of the page.
		must(t, os.WriteFile(mark+".sh", []byte(text), 0o600))
		_, err = in.Write([]byte(". " + mark + ".sh < /dev/null; echo $? > " + mark + ".new; mv " + mark + ".new " + mark + "\n"))
		must(t, err)
		must(t, eventually(ctx, func() error { _, err := os.Stat(mark); return err }))
		out, err := os.ReadFile(log.Name())
		must(t, err)
		ended, err := os.ReadFile(mark)
		must(t, err)
		return string(out[len(was):]), strings.TrimSpace(string(ended))
	}
	onHost := func(text string) {
		t.Helper()
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			switch {
			case line == "systemctl enable --now stint-agent":
				m.start()
			case line == "systemctl disable --now stint-agent":
				m.kill()
			default:
				cmd := m.command(ctx, "sh", "-ec", "cd "+dir+"; "+line)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", line, err, out)
				}
			}
		}
	}
	var said []string
	for _, s := range page[1:] { // the part before the first title is what the test has done
		for i, b := range s.blocks {
			number, _, _ := strings.Cut(s.title, ".")
			switch {
			case number == "4" && i == 1:
				must(t, eventually(ctx, func() error { return m.command(ctx, "stint-agent", "status").Run() }))
			case number == "4" || number == "9" && i == 0:
				onHost(b)
			case number == "7" && i == 0:
				began := time.Now()
				out, code := say(b)
				if !strings.Contains(out, "\nweb\n") || !strings.Contains(out, "still in\n") || strings.Contains(out, "never") || code != "255" {
					t.Errorf("a session that is cut ended with %s:\n%s", code, out)
				}
				t.Logf("asked, connected twice and cut after %s", time.Since(began).Round(time.Millisecond))
			case number == "7":
				if out, code := say(b); code != "125" {
					t.Errorf("after the end it ended with %s:\n%s", code, out)
				}
			default:
				out, code := say(b)
				if code != "0" {
					t.Fatalf("%s: ended with %s\n%s\n%s", s.title, code, b, out)
				}
				said = append(said, out)
			}
		}
	}
	if all := strings.Join(said, ""); !strings.Contains(all, "the log is whole") || !strings.Contains(all, "enrolled") || strings.Contains(all, "stint-host-") {
		t.Errorf("the administrator saw\n%s", all)
	}
}
