//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var sessionID = regexp.MustCompile(`\bses_\w+`)

// TestGatewayByThePage is the newcomer of docs/connect/ssh.md who goes on with
// docs/tasks/gateway.md, line by line: a gateway, a session in a terminal that somebody watches,
// that ends with its grant, and is replayed and verified. What systemd would do is done as the
// unit says, at addresses of this test.
func TestGatewayByThePage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	sshd, listen, status := freeAddress(t), freeAddress(t), freeAddress(t)
	n := newNewcomer(t, ctx, sshd)
	w := n.opens()
	n.prepares(w, n.sshPage(sshd))

	page := sections(t, "../../docs/tasks/gateway.md", "gw.example:2022", listen, "https://stint.example:7420", "http://"+n.server,
		" bin/stint-gateway", " "+n.bin+"/stint-gateway", "/usr/bin/stint-gateway", "/mnt/bin/stint-gateway", // the only folder there that is the test's
		"stint-gateway status\n", "stint-gateway status --status "+status+"\n", "--for 3m", "--for 40s")
	var said lockedText
	host := n.systemctl
	n.systemctl = func(args string) {
		if args != "enable --now stint-gateway" {
			host(args)
			return
		}
		unit := n.host.run("", "cat", "/etc/systemd/system/stint-gateway.service")
		_, line, _ := strings.Cut(unit, "\nExecStart=/usr/bin/stint-gateway ")
		line, _, _ = strings.Cut(line, "\n")
		gateway := n.host.command(context.Background(), "sh", "-c", "echo $$ > /mnt/gateway.pid; exec /mnt/bin/stint-gateway "+line+" --listen "+listen+" --status "+status)
		gateway.Stdout, gateway.Stderr = &said, &said
		must(t, gateway.Start())
		t.Cleanup(func() {
			_ = n.host.command(context.Background(), "sh", "-c", "kill -KILL $(cat /mnt/gateway.pid)").Run() // it may have ended
			_ = gateway.Wait()
		})
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the gateway said:\n" + said.String())
		}
	})

	ran, id := 0, ""
	var cut func() (string, string)
	for _, s := range page {
		for i, b := range s.blocks {
			ran++
			switch s.number + string(rune('a'+i)) {
			case "1a", "3b":
				w.does(b)
			case "2a", "3a":
				n.onHost(b)
			case "2b":
				if out := w.does(b); !strings.Contains(out, "edge") {
					t.Errorf("the gateways are\n%s", out)
				}
			case "4a": // mira, in a terminal of her own
				cut = n.atTerminal(strings.TrimSpace(b), "echo $((6*7))0 lines; exec sleep 600\n")
			case "4b": // rosa, from another window
				lines := strings.SplitAfter(strings.TrimSpace(b), "\n")
				rosa := n.opens()
				must(t, eventually(ctx, func() error {
					out, code := rosa.say(strings.Join(lines[:len(lines)-1], ""))
					if id = sessionID.FindString(out); code != "0" || id == "" || !strings.Contains(out, "running") { // its first frames come within a second
						return errors.New("she finds no session that is being recorded: " + out)
					}
					return nil
				}))
				watched := rosa.starts(strings.Replace(lines[len(lines)-1], "ses_…", id, 1))
				must(t, eventually(ctx, func() error {
					if !strings.Contains(rosa.text(), "420 lines") {
						return errors.New("she does not see what goes on: " + rosa.text())
					}
					return nil
				}))
				out, code := cut()
				if code == "0" || !strings.Contains(out, "the grant has ended") && !strings.Contains(out, "stint: ") {
					t.Errorf("it was cut with %s:\n%s", code, out)
				}
				if out, code := watched(); code != "0" {
					t.Errorf("watching ended with %s:\n%s", code, out)
				}
			case "4c":
				must(t, eventually(ctx, func() error { // it comes within seconds of its end
					out, code := w.say("STINT_HOME=$PWD/rosa stint session verify " + id)
					if code != "0" || !strings.Contains(out, "holds: ") {
						return errors.New(out)
					}
					return nil
				}))
				out := w.does("set -e; export STINT_HOME=$PWD/rosa\n" + strings.ReplaceAll(b, "ses_…", id) + "set +e")
				for _, want := range []string{"expired", "420 lines", "holds: "} {
					if !strings.Contains(out, want) {
						t.Errorf("afterwards it does not say %q:\n%s", want, out)
					}
				}
			default:
				if s.number != "" {
					t.Errorf("nobody does block %d of %q:\n%s", i, s.title, b)
				}
				ran--
			}
		}
	}
	if ran != 8 {
		t.Errorf("%d blocks of the page were run, not 8", ran)
	}
}

// atTerminal runs a command in a terminal, types into it once it shows something, and gives what waits for its end.
func (n *newcomer) atTerminal(command, types string) (wait func() (said, code string)) {
	n.t.Helper()
	cmd := exec.CommandContext(n.ctx, "script", "-qefc", "stty cols 100 rows 30; "+command, "/dev/null")
	cmd.Dir, cmd.WaitDelay = n.dir, 3*time.Second
	cmd.Env = []string{"PATH=" + n.bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "STINT_SERVER=http://" + n.server, "HOME=" + n.dir, "LC_ALL=C", "TERM=xterm", "PWD=" + n.dir, "SHELL=/bin/bash"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out lockedText
	cmd.Stdout, cmd.Stderr = &out, &out
	n.t.Cleanup(func() {
		if n.t.Failed() {
			n.t.Logf("the terminal shows:\n%q", out.String())
		}
	})
	in, err := cmd.StdinPipe()
	must(n.t, err)
	must(n.t, cmd.Start())
	must(n.t, eventually(n.ctx, func() error {
		if !strings.Contains(out.String(), "$ ") {
			return errors.New("there is no prompt: " + out.String())
		}
		return nil
	}))
	_, err = in.Write([]byte(types))
	must(n.t, err)
	return func() (string, string) {
		n.t.Helper()
		if err := cmd.Wait(); err != nil {
			return out.String(), err.Error()
		}
		return out.String(), "0"
	}
}
