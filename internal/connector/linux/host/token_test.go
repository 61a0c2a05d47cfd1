package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
	"stint/internal/connector/linux"
)

// give provisions a token order.
func (w *world) give(bend ...func(*connector.Order)) (connector.Order, connector.Receipt) {
	w.t.Helper()
	o := w.Order(access.Token)
	for _, b := range bend {
		b(&o)
	}
	r, err := w.c.Provision(w.t.Context(), w.Target(), o)
	must(w.t, err)
	o.Creation = r.Creation
	return o, r
}

// end takes an order away, and checks that it is gone.
func (w *world) end(o connector.Order) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	os := []connector.Order{o}
	for _, rs := range [][]connector.Result{w.c.Revoke(ctx, w.Target(), os), w.c.TerminateSessions(ctx, w.Target(), os), w.c.Remove(ctx, w.Target(), os)} {
		if rs[0].Outcome != connector.Done {
			w.t.Fatalf("the end: %+v", rs[0])
		}
	}
	if v := w.c.Verify(ctx, w.Target(), os)[0]; !v.Gone() {
		w.t.Fatalf("not gone: %+v", v)
	}
}

// refused checks that nobody gets in.
func (w *world) refused(what, login string, cert *ssh.Certificate) {
	w.t.Helper()
	if s, err := w.ssh(login, cert); err == nil {
		s.Close()
		w.t.Errorf("%s opens a session", what)
	}
}

// TestCertificates: nothing but a certificate of ours for the one order, signed by the
// one authority, opens a session.
func TestCertificates(t *testing.T) {
	w := newWorld(t)
	o, _ := w.give()
	other, _ := w.give()
	mine := linux.Principal(o.Tag)
	for _, x := range []struct {
		what string
		cert *ssh.Certificate
	}{
		{"a certificate for another order", w.certificate(linux.Principal(other.Tag))},
		{"a certificate for the account by its name", w.certificate(o.Account)},
		{"a certificate without a principal", func() *ssh.Certificate { c := w.certificate(mine); c.ValidPrincipals = nil; return c }()},
		{"a certificate for everybody", w.certificate("*")},
		{"a certificate for everybody of ours", w.certificate("stint-*")},
		{"a certificate for the order and more", func() *ssh.Certificate {
			c := w.certificate(mine)
			c.ValidPrincipals = append(c.ValidPrincipals, "root")
			return c
		}()},
		{"a host's certificate", func() *ssh.Certificate { c := w.certificate(mine); c.CertType = ssh.HostCert; return c }()},
		{"an expired certificate", func() *ssh.Certificate {
			c := w.certificate(mine)
			c.ValidBefore = uint64(time.Now().Add(-time.Second).Unix())
			return c
		}()},
		{"a certificate with a critical option that nobody knows", func() *ssh.Certificate {
			c := w.certificate(mine)
			c.CriticalOptions = map[string]string{"be-nice@example.org": "yes"}
			return c
		}()},
	} {
		w.refused(x.what, o.Account, x.cert)
	}
	genuine := w.ca
	w.ca = newSigner(t)
	w.refused("a certificate of another authority", o.Account, w.certificate(mine))
	w.ca = genuine
	w.refused("another account's certificate", o.Account, w.certificate(linux.Principal(other.Tag)))
	w.refused("a certificate, for another account", other.Account, w.certificate(mine))
	s, err := w.ssh(o.Account, w.certificate(mine))
	must(t, err)
	s.Close()
	// A grant for two hosts has one certificate; here it is for two accounts.
	both := func() *ssh.Certificate {
		c := w.certificate(linux.Principal(other.Tag))
		c.ValidPrincipals = append(c.ValidPrincipals, mine)
		return c
	}
	for _, x := range []connector.Order{o, other} {
		s, err := w.ssh(x.Account, both())
		must(t, err)
		defer s.Close()
		if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{x})[0]; v.Sessions != 1 {
			t.Errorf("%s by a certificate for two: %+v", x.Account, v)
		}
	}
	w.end(o)
	w.refused("a certificate of which one order is left", o.Account, both())
}

// TestOwnEnd: sshd itself refuses sessions after the end in the line, with the agent and
// the control plane away.
func TestOwnEnd(t *testing.T) {
	w := newWorld(t)
	o, _ := w.give(func(o *connector.Order) { o.ExpiresAt = time.Now().Add(3 * time.Second) })
	s, err := w.ssh(o.Account, w.certificate(linux.Principal(o.Tag)))
	must(t, err)
	defer s.Close()
	ends, _ := w.lineEnds(o.Tag)
	w.wait("the end of the line", func() bool { return time.Now().After(ends) })
	w.refused("a line that has ended", o.Account, w.certificate(linux.Principal(o.Tag)))
	if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; v.Presence != connector.NotKnown || v.Sessions != 1 {
		t.Errorf("read back after its end: %+v", v)
	}
	w.end(o)
	if s.Alive() {
		t.Error("the session outlived its end")
	}
}

// TestRoleOptions: what the role says is what sshd does.
func TestRoleOptions(t *testing.T) {
	w := newWorld(t)
	elsewhere, _ := w.give(func(o *connector.Order) { o.Options = map[string]string{"sourceAddress": "10.9.0.0/16"} })
	w.refused("a session from elsewhere", elsewhere.Account, w.certificate(linux.Principal(elsewhere.Tag)))
	here, _ := w.give(func(o *connector.Order) { o.Options = map[string]string{"sourceAddress": "10.9.0.0/16,127.0.0.0/8"} })
	s, err := w.ssh(here.Account, w.certificate(linux.Principal(here.Tag)))
	must(t, err)
	s.Close()
	const said = `it's "quoted" \"twice" $HOME;`
	forced, _ := w.give(func(o *connector.Order) {
		o.Options = map[string]string{"forceCommand": `printf '%s' '` + strings.ReplaceAll(said, "'", `'\''`) + `'`}
	})
	c := w.client(forced.Account, w.certificate(linux.Principal(forced.Tag)), "cat /etc/passwd")
	if out, err := c.cmd.Output(); err != nil || string(out) != said {
		t.Errorf("the forced command said %q, %v (%s), want %q", out, err, c.said, said)
	}
}

// TestForwarding: a session forwards what its role says and nothing else.
func TestForwarding(t *testing.T) {
	w := newWorld(t)
	for _, allowed := range []bool{false, true} {
		o, _ := w.give(func(o *connector.Order) {
			if allowed {
				o.Options = map[string]string{"forwarding": "ports"}
			}
		})
		cert := w.certificate(linux.Principal(o.Tag))
		cert.Extensions = map[string]string{"permit-pty": "", "permit-port-forwarding": "", "permit-agent-forwarding": "", "permit-X11-forwarding": "", "permit-user-rc": ""}
		c := w.client(o.Account, cert, "true")
		c.cmd.Args = append([]string{c.cmd.Args[0], "-W", w.addr()}, c.cmd.Args[1:len(c.cmd.Args)-1]...)
		in, err := c.cmd.StdinPipe()
		must(t, err)
		out, err := c.cmd.StdoutPipe()
		must(t, err)
		must(t, c.cmd.Start())
		b := make([]byte, 4)
		n, _ := out.Read(b)
		if got := string(b[:n]) == "SSH-"; got != allowed {
			t.Errorf("forwarding allowed %v, and it went through: %v (%s)", allowed, got, c.said)
		}
		in.Close()
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// TestEverythingEnds: what a session left running goes too, whoever its parent is now.
func TestEverythingEnds(t *testing.T) {
	w := newWorld(t)
	o, _ := w.give()
	bystander, err := w.ssh(o.Account, nil) // the owner of the account, by a key of their own
	must(t, err)
	defer bystander.Close()
	c := w.client(o.Account, w.certificate(linux.Principal(o.Tag)), "setsid nohup sleep 1000 >/dev/null 2>&1 & setsid sh -c 'while :; do sleep 1000 & sleep 0.01; done' >/dev/null 2>&1 & echo $!")
	out, err := c.cmd.Output()
	must(t, err)
	left, err := strconv.Atoi(strings.TrimSpace(string(out)))
	must(t, err)
	if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; v.Sessions != 1 {
		t.Fatalf("what a closed session left running counts as %d sessions", v.Sessions)
	}
	w.end(o)
	if _, lives := readIdentity(left); lives {
		t.Error("a process of the session is still there")
	}
	if !bystander.Alive() {
		t.Error("the owner's own session was cut")
	}
}

// TestLogInsUnderWay: whenever the end comes in a log-in, nothing of it lives afterwards.
func TestLogInsUnderWay(t *testing.T) {
	w := newWorld(t)
	for i := range 12 {
		o, _ := w.give()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				s, err := w.ssh(o.Account, w.certificate(linux.Principal(o.Tag)))
				if err == nil {
					defer s.Close()
					for s.Alive() {
					}
				}
			})
		}
		time.Sleep(time.Duration(i) * 25 * time.Millisecond) // somewhere in the log-ins, each time elsewhere
		w.end(o)
		wg.Wait() // no session answers for ever
		if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; !v.Gone() {
			t.Errorf("after the log-ins: %+v", v)
		}
	}
}

// TestOthersPass: who does not come with a certificate of ours is none of our business.
func TestOthersPass(t *testing.T) {
	w := newWorld(t)
	login := w.user("owner")
	s, err := w.ssh(login, nil)
	must(t, err)
	s.Close()
	if err := os.Remove(w.base + "/keys/user_ca.pub"); err != nil {
		t.Fatal(err)
	}
	s, err = w.ssh(login, nil)
	must(t, err)
	s.Close()
}

// TestNoCgroupNoSession: a session that cannot be ended does not open.
func TestNoCgroupNoSession(t *testing.T) {
	w := newWorld(t)
	o, _ := w.give()
	cert := w.certificate(linux.Principal(o.Tag))
	w.config.Cgroup = w.base // no cgroup
	w.write(w.base+"/config.json", string(w.settings()), 0o600)
	w.refused("a host without cgroups", o.Account, cert)
	if _, err := New(w.config).Provision(t.Context(), w.Target(), w.Order(access.Token)); outcomeOf(err) != connector.NotDone {
		t.Errorf("provision without cgroups: %v", err)
	}
	if es, _ := os.ReadDir(w.base + "/keys/principals"); len(es) != 1 {
		t.Errorf("a refused provision left a line")
	}
}

func outcomeOf(err error) connector.Outcome {
	var e *connector.Error
	if errors.As(err, &e) {
		return e.Outcome
	}
	return connector.Unknown
}

// TestForgedEnvironment: pam_env reads what people wrote into their home, and that makes
// nobody of a session of ours.
func TestForgedEnvironment(t *testing.T) {
	w := newWorld(t)
	o, _ := w.give()
	w.write("/home/"+o.Account+"/.pam_environment", "SSH_AUTH_INFO_0=password\nPAM_TYPE=close_session\nPAM_USER=nobody\n", 0o644)
	s, err := w.ssh(o.Account, w.certificate(linux.Principal(o.Tag)))
	must(t, err)
	defer s.Close()
	if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; v.Sessions != 1 {
		t.Fatalf("the session is not in its cgroup: %+v", v)
	}
	w.end(o)
	if s.Alive() {
		t.Error("the session outlived its end")
	}
}

// TestMovedSession: pam_systemd moves a session out of its cgroup; the hook's last line
// brings it back, or refuses it when the access has ended meanwhile.
func TestMovedSession(t *testing.T) {
	for _, revoked := range []bool{false, true} {
		t.Run(fmt.Sprint("revoked ", revoked), func(t *testing.T) {
			w := newWorld(t)
			o, _ := w.give()
			// A module of others, between the two lines: moves sshd's process away, and
			// waits, as long as it is told to.
			aside := filepath.Join(os.Getenv(cgroupEnv), "aside"+strconv.FormatInt(worlds.Add(1), 10))
			must(t, os.Mkdir(aside, 0o755))
			t.Cleanup(func() { w.wait("the other cgroup is empty", func() bool { return os.Remove(aside) == nil }) })
			w.write(w.base+"/module", "#!/bin/sh\n[ \"$PAM_TYPE\" = open_session ] || exit 0\necho $PPID > "+aside+"/cgroup.procs\n: > "+w.base+"/moved\nwhile [ -e "+w.base+"/wait ]; do sleep 0.01; done\n", 0o755)
			text, err := os.ReadFile(w.pam)
			must(t, err)
			w.write(w.pam, strings.Replace(string(text), "session required pam_permit.so", "session required pam_exec.so "+w.base+"/module", 1), 0o644)
			w.write(w.base+"/wait", "", 0o600)
			type opened struct {
				s   *session
				err error
			}
			done := make(chan opened, 1)
			go func() {
				s, err := w.ssh(o.Account, w.certificate(linux.Principal(o.Tag)))
				done <- opened{s, err}
			}()
			w.wait("the session was moved", func() bool { _, err := os.Stat(w.base + "/moved"); return err == nil })
			if revoked {
				w.end(o)
			}
			must(t, os.Remove(w.base+"/wait"))
			x := <-done
			if revoked {
				if x.err == nil {
					x.s.Close()
					t.Error("a session opened after its access had ended")
				}
				return
			}
			must(t, x.err)
			defer x.s.Close()
			if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; v.Sessions != 1 {
				t.Fatalf("the session is not in its cgroup: %+v", v)
			}
			w.end(o)
			if x.s.Alive() {
				t.Error("the session outlived its end")
			}
		})
	}
}

// TestEntries: what the hook notes of a session goes with it.
func TestEntries(t *testing.T) {
	w := newWorld(t)
	o, _ := w.give()
	s, err := w.ssh(o.Account, w.certificate(linux.Principal(o.Tag)))
	must(t, err)
	entries := func() int { es, _ := os.ReadDir(w.config.Run); return len(es) }
	if entries() != 1 {
		t.Errorf("%d notes of one session", entries())
	}
	s.Close()
	w.wait("the session is over", func() bool {
		return w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0].Sessions == 0
	})
	s, err = w.ssh(o.Account, w.certificate(linux.Principal(o.Tag)))
	must(t, err)
	defer s.Close()
	if entries() != 1 {
		t.Errorf("%d notes, one of them of a session that is over", entries())
	}
	w.end(o) // kills sshd's process, which closes no PAM session
	next, _ := w.give()
	s2, err := w.ssh(next.Account, w.certificate(linux.Principal(next.Tag)))
	must(t, err)
	defer s2.Close()
	if entries() != 1 {
		t.Errorf("%d notes, one of them of a session that was killed", entries())
	}
}

// TestOthersLines: lines that people wrote stay as they are, in the same file.
func TestOthersLines(t *testing.T) {
	w := newWorld(t)
	o := w.Order(access.Token)
	theirs := "# ours: stint-" + string(connectortest.NewTag()) + "\n\nfrom=\"*.example.org\"  backup \n\tx"
	must(t, os.MkdirAll(w.base+"/keys/principals", 0o755))
	file := w.base + "/keys/principals/" + o.Account
	w.write(file, theirs+"\n", 0o644)
	_, err := w.c.Provision(t.Context(), w.Target(), o)
	must(t, err)
	must(t, func() error {
		s, err := w.ssh(o.Account, w.certificate(linux.Principal(o.Tag)))
		if err == nil {
			s.Close()
		}
		return err
	}())
	// A line with our mark that is not as we write it opens a session all the same, and
	// goes with the order.
	text, err := os.ReadFile(file)
	must(t, err)
	w.write(file, string(text)+"stint-"+string(o.Tag)+"\t\n", 0o644)
	if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; v.Presence != connector.NotKnown || v.Err == nil {
		t.Errorf("a line beside the ordered one: %+v", v)
	}
	w.end(o)
	if got, err := os.ReadFile(file); err != nil || string(got) != theirs+"\n" {
		t.Errorf("others' lines are %q (%v), and were %q", got, err, theirs)
	}
}

// TestChangedLine: a line that somebody widened is not what was ordered.
func TestChangedLine(t *testing.T) {
	w := newWorld(t)
	o, _ := w.give(func(o *connector.Order) { o.Options = map[string]string{"sourceAddress": "127.0.0.0/8"} })
	file := w.base + "/keys/principals/" + o.Account
	text, err := os.ReadFile(file)
	must(t, err)
	w.write(file, strings.Replace(string(text), `,from="127.0.0.0/8"`, "", 1), 0o644)
	if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; v.Presence != connector.NotKnown || v.Err == nil {
		t.Errorf("a widened line: %+v", v)
	}
	w.end(o)
}

// TestAnotherAccount: the name is the same and the account is another.
func TestAnotherAccount(t *testing.T) {
	w := newWorld(t)
	o, _ := w.give()
	w.run("usermod", "--uid", "54321", o.Account)
	if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; v.Presence == connector.Present {
		t.Errorf("another account: %+v", v)
	}
	if _, err := w.c.Provision(t.Context(), w.Target(), o); outcomeOf(err) != connector.NotDone {
		t.Errorf("provision for another account: %v", err)
	}
	w.end(o)
}

// TestProtectedAccounts: root by any name, and accounts that cannot log in.
func TestProtectedAccounts(t *testing.T) {
	w := newWorld(t)
	w.run("useradd", "--non-unique", "--uid", "0", "toor"+strconv.Itoa(w.port))
	expired, none := w.user("expired"), w.user("none")
	w.run("chage", "-E", "2001-01-01", expired)
	w.run("usermod", "--shell", "/usr/sbin/nologin", none)
	for _, name := range []string{"root", "toor" + strconv.Itoa(w.port), expired, none, "-x", "..", ".", "a/b", "../root", "nobody-is-called-so"} {
		o := w.Order(access.Token)
		o.Account = name
		if _, err := w.c.Observe(t.Context(), w.Target(), o); err == nil {
			t.Errorf("observe takes %q", name)
		}
		if _, err := w.c.Provision(t.Context(), w.Target(), o); outcomeOf(err) != connector.NotDone {
			t.Errorf("provision takes %q: %v", name, err)
		}
	}
}

// TestCheckFinds: each thing that would let a session open that cannot be ended, or none
// open, is found.
func TestCheckFinds(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"no hook":              func(w *world) { w.hook(false) },
		"principals of others": func(w *world) { w.set("AuthorizedPrincipalsFile", "/etc/ssh/others/%u") },
		"no PAM":               func(w *world) { w.set("UsePAM", "no") },
		"another CA":           func(w *world) { w.set("TrustedUserCAKeys", "/etc/ssh/others.pub") },
		"a command for principals": func(w *world) {
			w.set("TrustedUserCAKeys", w.base+"/keys/user_ca.pub\nAuthorizedPrincipalsCommandUser nobody\nAuthorizedPrincipalsCommand /bin/echo %u")
		},
		"settings that sshd does not take": func(w *world) { w.set("UsePAM", "perhaps") },
		"a folder that others write":       func(w *world) { must(w.t, os.Chmod(w.base+"/keys", 0o777)) },
		"no sshd":                          func(w *world) { w.c.SSHD = "/bin/true" },
		"rules that sudo does not read": func(w *world) {
			text, err := os.ReadFile("/etc/sudoers")
			must(w.t, err)
			w.t.Cleanup(func() { w.write("/etc/sudoers", string(text), 0o440) })
			w.write("/etc/sudoers", strings.ReplaceAll(string(text), "@includedir", "## "), 0o440)
		},
		"no cgroups": func(w *world) { w.c.Cgroup = w.base },
		"another's host": func(w *world) {
			must(w.t, w.c.Claim(w.t.Context(), w.Target(), connector.Claim{Installation: "another", Epoch: 1}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			target := w.Target()
			target.Claim = connector.Claim{Installation: "mine", Epoch: 1}
			if rep := w.c.Check(t.Context(), target); !rep.OK() {
				t.Fatalf("before: %+v", rep)
			}
			spoil(w)
			rep := w.c.Check(t.Context(), target)
			if rep.OK() {
				t.Error("the check passes")
			}
			for _, s := range rep.Steps {
				if !s.OK {
					t.Logf("%s: %s (%s)", s.Name, s.Detail, s.Fix)
				}
			}
			if name == "no cgroups" {
				w.c.Cgroup = w.config.Cgroup
			}
		})
	}
}

// set changes one of sshd's settings.
func (w *world) set(name, value string) {
	w.t.Helper()
	text, err := os.ReadFile(w.config.SSHDConfig)
	must(w.t, err)
	var out []string
	for _, l := range strings.Split(string(text), "\n") {
		if f := strings.Fields(l); len(f) > 0 && f[0] == name {
			l = name + " " + value
		}
		out = append(out, l)
	}
	w.write(w.config.SSHDConfig, strings.Join(out, "\n"), 0o600)
}
