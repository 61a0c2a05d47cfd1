//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// section is a part of a page for newcomers: its title, and the blocks of its commands.
type section struct {
	title  string
	number string // of a step: what stands before the point
	blocks []string
}

// sections are the parts of a page, the one before the first title among them. What stands on the page for
// an address or a place of the reader's own is replaced, in pairs.
func sections(t *testing.T, file string, here ...string) (out []section) {
	t.Helper()
	raw, err := os.ReadFile(file)
	must(t, err)
	for part := range strings.SplitSeq(strings.NewReplacer(here...).Replace(string(raw)), "\n## ") {
		title, _, _ := strings.Cut(part, "\n")
		s := section{title: title}
		if n, _, ok := strings.Cut(title, ". "); ok {
			if _, err := strconv.Atoi(n); err == nil {
				s.number = n
			}
		}
		for _, m := range block.FindAllStringSubmatch(part, -1) {
			s.blocks = append(s.blocks, m[2])
		}
		out = append(out, s)
	}
	return out
}

// newcomer does what pages say, line by line: in shells of one folder, and on a host.
type newcomer struct {
	t      *testing.T
	ctx    context.Context
	dir    string // where they work
	bin    string
	server string // the address of stintd
	host   *machine
	// systemctl is what systemd would do.
	systemctl func(args string)
	shells    int
}

func newNewcomer(t *testing.T, ctx context.Context, sshd string) *newcomer {
	t.Helper()
	n := &newcomer{t: t, ctx: ctx, dir: t.TempDir(), server: freeAddress(t), host: newMachine(t)}
	must(t, os.Chmod(n.dir, 0o755))
	var err error
	n.bin, err = filepath.Abs("../../bin")
	must(t, err)
	n.host.serve(sshd)
	n.host.run("", "mkdir", "-p", "/etc/systemd/system")
	n.systemctl = func(args string) {
		switch args {
		case "enable --now stint-agent":
			n.host.start()
		case "disable --now stint-agent":
			n.host.kill()
		default:
			t.Fatalf("systemctl %s: what it would do is not known here", args)
		}
	}
	return n
}

// window is a shell of the newcomer's. It lives as long as the test.
type window struct {
	n    *newcomer
	in   *os.File
	log  string
	name string
	said int // blocks
}

// opens a window. What it starts is in its group, and ends with it.
func (n *newcomer) opens() *window {
	n.t.Helper()
	n.shells++
	w := &window{n: n, name: "shell" + strconv.Itoa(n.shells)}
	w.log = filepath.Join(n.dir, w.name+".log")
	shell := exec.Command("bash", "--noprofile", "--norc")
	shell.Dir = n.dir
	shell.Env = []string{"PATH=" + n.bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "STINT_SERVER=http://" + n.server, "HOME=" + n.dir, "LC_ALL=C", "NO_COLOR=1", "STINT_NO_INPUT=1"}
	shell.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	in, out, err := os.Pipe()
	must(n.t, err)
	log, err := os.Create(w.log)
	must(n.t, err)
	shell.Stdin, shell.Stdout, shell.Stderr, w.in = in, log, log, out
	must(n.t, shell.Start())
	_, _ = in.Close(), log.Close() // the shell has its own
	n.t.Cleanup(func() {
		_ = syscall.Kill(-shell.Process.Pid, syscall.SIGTERM) // the server is in the first one's group
		_ = out.Close()
		_ = shell.Wait()
		if text, err := os.ReadFile(filepath.Join(n.dir, "stintd.log")); err == nil && n.t.Failed() && w.name == "shell1" {
			n.t.Logf("stintd said:\n%s", text)
		}
	})
	return w
}

// starts runs a block, and gives what waits for its end: what it printed, and how its last
// command ended.
func (w *window) starts(text string) (wait func() (said, code string)) {
	n := w.n
	n.t.Helper()
	w.said++
	mark := filepath.Join(n.dir, w.name+"-"+strconv.Itoa(w.said))
	was := len(w.text())
	// As a file: what ssh reads of its input is not the rest of the page.
	must(n.t, os.WriteFile(mark+".sh", []byte(text), 0o600))
	_, err := w.in.WriteString(". " + mark + ".sh < /dev/null; echo $? > " + mark + ".new; mv " + mark + ".new " + mark + "\n")
	must(n.t, err)
	return func() (string, string) {
		n.t.Helper()
		must(n.t, eventually(n.ctx, func() error { _, err := os.Stat(mark); return err }))
		ended, err := os.ReadFile(mark)
		must(n.t, err)
		return w.text()[was:], strings.TrimSpace(string(ended))
	}
}

// text is all that the window shows.
func (w *window) text() string {
	w.n.t.Helper()
	out, err := os.ReadFile(w.log)
	must(w.n.t, err)
	return string(out)
}

// say runs a block to its end.
func (w *window) say(text string) (said, code string) {
	w.n.t.Helper()
	return w.starts(text)()
}

// does runs a block that has to succeed.
func (w *window) does(text string) string {
	w.n.t.Helper()
	said, code := w.say(text)
	if code != "0" {
		w.n.t.Fatalf("ended with %s\n%s\n%s", code, text, said)
	}
	return said
}

// onHost runs the lines of a block as root, there.
func (n *newcomer) onHost(text string) {
	n.t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if args, ok := strings.CutPrefix(line, "systemctl "); ok {
			n.systemctl(args)
			continue
		}
		try := func() error {
			if out, err := n.host.command(n.ctx, "sh", "-ec", "cd "+n.dir+"; "+line).CombinedOutput(); err != nil {
				return &failed{line, err, string(out)}
			}
			return nil
		}
		if strings.HasPrefix(line, "stint-") && strings.Contains(line, " status") { // who reads it looks again
			must(n.t, eventually(n.ctx, try))
			continue
		}
		must(n.t, try())
	}
}

// failed is a line of a page that did not do what the page says.
type failed struct {
	line string
	err  error
	out  string
}

func (f *failed) Error() string { return f.line + ": " + f.err.Error() + "\n" + f.out }

// The page of the first host, and the step up to which other pages build on it.
const (
	sshPage    = "../../docs/connect/ssh.md"
	sshPrepare = 6
)

// TestConnectSSH is a newcomer who does what docs/connect/ssh.md says, line by line. Only
// what systemd would do is done here, as systemd would.
func TestConnectSSH(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	sshd := freeAddress(t)
	n := newNewcomer(t, ctx, sshd)
	page := n.sshPage(sshd)
	w := n.opens()
	said := n.prepares(w, page)
	for _, s := range page[1+sshPrepare:] {
		for i, b := range s.blocks {
			switch {
			case s.number == "7" && i == 0:
				began := time.Now()
				out, code := w.say(b)
				if !strings.Contains(out, "\nweb\n") || !strings.Contains(out, "still in\n") || strings.Contains(out, "never") || code != "255" {
					t.Errorf("a session that is cut ended with %s:\n%s", code, out)
				}
				t.Logf("asked, connected twice and cut after %s", time.Since(began).Round(time.Millisecond))
			case s.number == "7":
				if out, code := w.say(b); code != "125" {
					t.Errorf("after the end it ended with %s:\n%s", code, out)
				}
			case s.number == "9" && i == 0:
				n.onHost(b)
			default:
				said += w.does(b)
			}
		}
	}
	if !strings.Contains(said, "the log is whole") || !strings.Contains(said, "enrolled") || strings.Contains(said, "stint-host-") {
		t.Errorf("the administrator saw\n%s", said)
	}
}

// sshPage is the page of the first host, with the addresses of this test.
func (n *newcomer) sshPage(sshd string) []section {
	n.t.Helper()
	page := sections(n.t, sshPage, "127.0.0.1:7420", n.server, "127.0.0.1:22", sshd, "stintd serve 2>", "stintd serve --listen "+n.server+" 2>")
	for i, s := range page {
		if want := strconv.Itoa(i); i > 0 && s.number != want {
			n.t.Fatalf("%s: step %q is not number %s", sshPage, s.title, want)
		}
	}
	return page
}

// prepares does the steps of the page that others begin with, and gives what was said. What
// stands before the first title is what the test has done.
func (n *newcomer) prepares(w *window, page []section) (said string) {
	n.t.Helper()
	for _, s := range page[1 : 1+sshPrepare] {
		for _, b := range s.blocks {
			if s.number == "4" {
				n.onHost(b)
				continue
			}
			said += w.does(b)
		}
	}
	return said
}
