package host

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

	"golang.org/x/sys/unix"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
	"stint/internal/connector/linux"
)

// sudo runs a command through it, as an account, from a session of the host's.
func (w *world) sudo(login string, args ...string) (string, error) {
	w.t.Helper()
	f := w.entry("passwd", login)
	uid, err := strconv.Atoi(f[2])
	must(w.t, err)
	// From a shell of theirs, as everybody does.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `sudo -n "$@"; exit $?`, "sh"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	cmd.Env = []string{"PATH=/usr/bin:/bin", orderVariable + "=forged"}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// elevate provisions an elevation of a new account.
func (w *world) elevate(commands []string, bend ...func(*connector.Order)) connector.Order {
	w.t.Helper()
	o := w.Order(access.Elevate)
	o.Rights = commands
	for _, b := range bend {
		b(&o)
	}
	r, err := w.c.Provision(w.t.Context(), w.Target(), o)
	must(w.t, err)
	o.Creation = r.Creation
	return o
}

// TestElevation: sudo runs exactly what is lent, as whom it is lent, and no second after
// its end.
func TestElevation(t *testing.T) {
	w := newWorld(t)
	o := w.elevate([]string{"/usr/bin/id -u", "/usr/bin/printf %s a=b:c", "/usr/bin/whoami"})
	for _, x := range []struct {
		args []string
		want string // empty: refused
	}{
		{[]string{"/usr/bin/id", "-u"}, "0"},
		{[]string{"id", "-u"}, "0"},
		{[]string{"/usr/bin/printf", "%s", "a=b:c"}, "a=b:c"},
		{[]string{"/usr/bin/whoami"}, "root"},
		{[]string{"/usr/bin/whoami", "--version"}, ""},
		{[]string{"/usr/bin/id"}, ""},
		{[]string{"/usr/bin/id", "-u", "-n"}, ""},
		{[]string{"/usr/bin/id", "-un"}, ""},
		{[]string{"/usr/bin/printf", "%s", "x"}, ""},
		{[]string{"/bin/sh"}, ""},
		{[]string{"-u", "nobody", "/usr/bin/id", "-u"}, ""},
		{[]string{"-g", "sudo", "/usr/bin/id", "-u"}, ""},
		{[]string{"-s"}, ""},
		{[]string{"-e", "/etc/passwd"}, ""},
		{[]string{"LD_PRELOAD=/tmp/x.so", "/usr/bin/id", "-u"}, ""},
		{[]string{"-E", "/usr/bin/id", "-u"}, ""},
	} {
		got, err := w.sudo(o.Account, x.args...)
		if (err == nil) != (x.want != "") || err == nil && got != x.want {
			t.Errorf("sudo %q said %q, %v, want %q", x.args, got, err, x.want)
		}
	}
	other := w.user("bystander")
	if got, err := w.sudo(other, "/usr/bin/id", "-u"); err == nil {
		t.Errorf("another account's sudo said %q", got)
	}
	w.end(o)
	if got, err := w.sudo(o.Account, "/usr/bin/id", "-u"); err == nil {
		t.Errorf("after the end sudo said %q", got)
	}
}

// TestElevationOwnEnd: sudo itself refuses after the end, with the agent away.
func TestElevationOwnEnd(t *testing.T) {
	w := newWorld(t)
	o := w.elevate([]string{"/usr/bin/id -u"}, func(o *connector.Order) { o.ExpiresAt = time.Now().Add(4 * time.Second) })
	if got, err := w.sudo(o.Account, "/usr/bin/id", "-u"); err != nil || got != "0" {
		t.Errorf("before its end sudo said %q, %v", got, err)
	}
	if ends := w.State(o, connector.Receipt{}).Ends; ends.After(o.ExpiresAt) {
		t.Fatalf("the rule ends at %v, and the order at %v", ends, o.ExpiresAt)
	}
	w.wait("the end of the rule", func() bool { return time.Now().After(o.ExpiresAt) })
	if got, err := w.sudo(o.Account, "/usr/bin/id", "-u"); err == nil {
		t.Errorf("after its end sudo said %q", got)
	}
	w.end(o)
}

// TestElevationRunAs: another account than root.
func TestElevationRunAs(t *testing.T) {
	w := newWorld(t)
	as := w.user("service")
	o := w.elevate([]string{"/usr/bin/whoami"}, func(o *connector.Order) { o.Options = map[string]string{"runAs": as} })
	if got, err := w.sudo(o.Account, "-u", as, "/usr/bin/whoami"); err != nil || got != as {
		t.Errorf("sudo -u said %q, %v", got, err)
	}
	if got, err := w.sudo(o.Account, "/usr/bin/whoami"); err == nil {
		t.Errorf("sudo said %q", got)
	}
	w.end(o)
}

// TestElevatedProcessesEnd: what a command left running is ended by its mark, wherever it
// went, and what others run is not.
func TestElevatedProcessesEnd(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.base, "bin")
	must(t, os.Mkdir(dir, 0o755))
	w.write(dir+"/serve", "#!/bin/sh\nsetsid sh -c 'echo $$ > "+w.base+"/pid; exec sleep 1000' >/dev/null 2>&1 &\n", 0o755)
	o := w.elevate([]string{dir + "/serve"})
	if got, err := w.sudo(o.Account, dir+"/serve"); err != nil {
		t.Fatalf("sudo said %q, %v", got, err)
	}
	var pid int
	w.wait("the command left something running", func() bool {
		b, _ := os.ReadFile(w.base + "/pid")
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return pid > 0
	})
	standing := w.start1(0, "exec sleep 1000")
	if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; v.Presence != connector.Present || v.Sessions != 1 {
		t.Errorf("while something runs: %+v", v)
	}
	w.end(o)
	if _, lives := readIdentity(pid); lives {
		t.Error("what the command started is still there")
	}
	if err := unix.Kill(standing, 0); err != nil {
		t.Errorf("a process of others was ended: %v", err)
	}
}

// TestLooseProgram: a program that its user can change is whatever they like.
func TestLooseProgram(t *testing.T) {
	w := newWorld(t)
	for name, loosen := range map[string]func(dir string){
		"the program":    func(dir string) { must(t, os.Chmod(dir+"/in/run", 0o777)) },
		"its folder":     func(dir string) { must(t, os.Chmod(dir+"/in", 0o777)) },
		"a folder above": func(dir string) { must(t, os.Chmod(dir, 0o777)) },
		"its owner":      func(dir string) { must(t, os.Chown(dir+"/in/run", 1234, 0)) },
		"not a program":  func(dir string) { must(t, os.Chmod(dir+"/in/run", 0o644)) },
		"through a link": func(dir string) {
			must(t, os.Rename(dir+"/in/run", dir+"/in/real"))
			must(t, os.Symlink("/tmp/loose", dir+"/in/run"))
		},
		"nothing is there": func(dir string) { must(t, os.Remove(dir+"/in/run")) },
	} {
		dir := filepath.Join(w.base, "loose"+strconv.FormatInt(worlds.Add(1), 10))
		must(t, os.MkdirAll(dir+"/in", 0o755))
		w.write(dir+"/in/run", "#!/bin/sh\n", 0o755)
		o := w.Order(access.Elevate)
		o.Rights = []string{dir + "/in/run"}
		if _, err := w.c.Observe(t.Context(), w.Target(), o); err != nil {
			t.Fatalf("before: %v", err)
		}
		loosen(dir)
		if name == "through a link" {
			w.write("/tmp/loose", "#!/bin/sh\n", 0o777)
			must(t, os.Chown("/tmp/loose", 1234, 0))
			t.Cleanup(func() { _ = os.Remove("/tmp/loose") })
		}
		if _, err := w.c.Provision(t.Context(), w.Target(), o); outcomeOf(err) != connector.NotDone {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNamesInRules: names that sudo reads as something else are only names.
func TestNamesInRules(t *testing.T) {
	w := newWorld(t)
	victim := w.user("victim")
	for _, name := range []string{"ALL", "HOST"} {
		w.run("useradd", "--badname", "--no-create-home", "--shell", "/bin/sh", name)
		o := w.elevate([]string{"/usr/bin/id -u"}, func(o *connector.Order) { o.Account = name })
		if got, err := w.sudo(victim, "/usr/bin/id", "-u"); err == nil {
			t.Errorf("a rule for the account %s lets %s run: %q", name, victim, got)
		}
		if got, err := w.sudo(name, "/usr/bin/id", "-u"); err != nil || got != "0" {
			t.Errorf("the account %s: %q, %v", name, got, err)
		}
		w.end(o)
	}
}

// TestHostileCommands: what is more than a program with its arguments is refused by the
// schema's form and by the order alike.
func TestHostileCommands(t *testing.T) {
	w := newWorld(t)
	for _, text := range []string{"ALL", "", "id", "/usr/bin/", "/usr/bin/*", "/usr/bin/id *", "/usr/bin/id, ALL", "/usr/bin/id\nroot ALL=(ALL) ALL", "!/bin/sh",
		"/usr/bin/../bin/sh", "//bin/sh", "sudoedit /etc/passwd", "/usr/bin/sudoedit", "/usr/bin/id ^.*$", "/usr/bin/id \"\"", "/usr/bin/id  -u", " /usr/bin/id", "/usr/bin/id ",
		"/usr/bin/id #x", "/usr/bin/id \\", "/usr/bin/id\x00", "/usr/bin/id\t-u", "/usr/bin/[i]d", "sha224:0 /bin/sh", "NOPASSWD: /bin/sh", "/bin/sh : ALL", "/usr/bin/id " + strings.Repeat("a", 300)} {
		if linux.ValidCommand(text) {
			t.Errorf("%q is taken for a command", text)
		}
		o := w.Order(access.Elevate)
		o.Rights = []string{"/usr/bin/id -u", text}
		if _, err := w.c.Provision(t.Context(), w.Target(), o); outcomeOf(err) != connector.NotDone {
			t.Errorf("%q: %v", text, err)
		}
	}
	if es, _ := filepath.Glob("/etc/sudoers.d/stint-*"); len(es) > 0 {
		t.Errorf("left %q", es)
	}
}

// TestBadRule: what visudo does not take is never installed.
func TestBadRule(t *testing.T) {
	w := newWorld(t)
	if err := w.c.checkSudoers(t.Context(), connectortest.NewTag(), "mira ALL = (root\n"); access.KindOf(err) != access.Invalid {
		t.Errorf("a broken rule: %v", err)
	}
	if err := w.c.checkSudoers(t.Context(), connectortest.NewTag(), rule{tag: connectortest.NewTag(), account: "mira", uid: 1000,
		ends: time.Now(), commands: []string{"/usr/bin/id"}, env: "/var/lib/x"}.String()); err != nil {
		t.Errorf("a rule of ours: %v", err)
	}
}

// TestChangedRule: a rule that somebody widened is not what was ordered, and goes.
func TestChangedRule(t *testing.T) {
	w := newWorld(t)
	o := w.elevate([]string{"/usr/bin/id -u"})
	path := "/etc/sudoers.d/stint-" + string(o.Tag)
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Remove(path))
	w.write(path, strings.Replace(string(text), "/usr/bin/id -u", "ALL", 1), 0o440)
	if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; v.Presence != connector.NotKnown || v.Err == nil {
		t.Errorf("a widened rule: %+v", v)
	}
	w.end(o)
}

// TestEnvironment: what a process was started with is read, whoever asks while it starts;
// one without any, one of the kernel and one that is gone are not waited for.
func TestEnvironment(t *testing.T) {
	for range 50 {
		cmd := exec.Command("/bin/sleep", "100")
		cmd.Env = []string{orderVariable + "=here"}
		must(t, cmd.Start())
		if got := string(environment(cmd.Process.Pid)); got != orderVariable+"=here\x00" {
			t.Errorf("it was started with %q", got)
		}
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
		if b := environment(cmd.Process.Pid); len(b) > 0 {
			t.Errorf("one that ended has %q", b)
		}
	}
	bare := exec.Command("/bin/sleep", "100")
	bare.Env = []string{}
	must(t, bare.Start())
	t.Cleanup(func() { _ = bare.Process.Kill(); _ = bare.Wait() })
	if len(environment(bare.Process.Pid)) > 0 || starting(bare.Process.Pid) || starting(os.Getpid()) || len(environment(os.Getpid())) == 0 {
		t.Error("one without an environment looks as if it were starting, or this one does")
	}
}

// TestSudoUnderWay: a sudo that has read the rule and not yet started its command ends
// with it.
func TestSudoUnderWay(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		o := w.elevate([]string{"/usr/bin/sleep 1000"})
		done := make(chan struct{})
		for range 3 {
			go func() { _, _ = w.sudo(o.Account, "/usr/bin/sleep", "1000"); done <- struct{}{} }()
		}
		time.Sleep(time.Duration(i) * 4 * time.Millisecond) // somewhere in sudo, each time elsewhere
		w.end(o)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		for range 3 {
			select {
			case <-done:
			case <-ctx.Done():
				t.Error("a command outlived its elevation")
			}
		}
		cancel()
		if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; !v.Gone() {
			t.Errorf("afterwards: %+v", v)
		}
	}
}

// FuzzRule: what is understood is written again byte for byte; what is written keeps to
// its lines.
func FuzzRule(f *testing.F) {
	tag := connectortest.NewTag()
	f.Add(rule{tag: tag, account: "mira", uid: 1000, ends: time.Unix(1_700_000_000, 0), commands: []string{"/usr/bin/id"}, env: "/e"}.String(), "/usr/bin/id -u")
	f.Add(rule{tag: tag, account: "mira", uid: 1000, ends: time.Unix(1_700_000_000, 0), commands: []string{"/usr/bin/id"}, env: "/e", noSudo: true}.String(), "/usr/bin/id")
	f.Add("", "/usr/bin/printf a=b:c")
	f.Add("# Made", "/bin/sh, ALL")
	f.Fuzz(func(t *testing.T, text, command string) {
		if r, ok := parseRule(text); ok && r.String() != text {
			t.Fatalf("%q is written as %q", text, r)
		}
		if !linux.ValidCommand(command) {
			return
		}
		want := rule{tag: tag, account: "mira", uid: 1000, ends: time.Unix(1_700_000_000, 0), commands: []string{command}, env: "/var/lib/e"}.String()
		if r, ok := parseRule(want); !ok || r.commands[0] != command || strings.Count(want, "\n") != 4 || strings.ContainsAny(command, "*?[]!,\\\"'()#^\t\r") {
			t.Fatalf("%q is not read back: %+v, %v", want, r, ok)
		}
	})
}

// TestProgramsThroughLinks: a link that somebody else can turn leads to whatever they
// want, wherever it leads to now.
func TestProgramsThroughLinks(t *testing.T) {
	base, err := os.MkdirTemp("/srv", "links-")
	must(t, err)
	must(t, os.Chmod(base, 0o755))
	at := func(name string) string { return filepath.Join(base, name) }
	folder := func(name string, mode os.FileMode, uid int) {
		must(t, os.Mkdir(at(name), 0o755))
		must(t, os.Chmod(at(name), mode))
		must(t, os.Chown(at(name), uid, 0))
	}
	folder("ours", 0o755, 0)
	folder("theirs", 0o755, 4711)
	folder("open", 0o777, 0)
	folder("sticky", 0o777|os.ModeSticky, 0)
	for _, dir := range []string{"ours", "theirs", "open", "sticky"} {
		must(t, os.Symlink("/usr/bin/id", at(dir+"/id")))
	}
	must(t, os.Symlink("../ours/id", at("sticky/up")))
	must(t, os.Symlink("/usr/bin/id", at("sticky/turned")))
	must(t, os.Lchown(at("sticky/turned"), 4711, 0))
	must(t, os.Symlink(at("theirs"), at("ours/bin")))
	must(t, os.Symlink(at("theirs/id"), at("ours/far")))
	must(t, os.Symlink("round", at("ours/round")))
	must(t, os.Symlink("nowhere", at("ours/dead")))
	for path, want := range map[string]access.Kind{
		"/usr/bin/id": 0, "/bin/id": 0, at("ours/id"): 0, at("sticky/id"): 0, at("sticky/up"): 0,
		at("theirs/id"): access.Denied, at("open/id"): access.Denied, at("sticky/turned"): access.Denied, at("ours/bin/id"): access.Denied, at("ours/far"): access.Denied,
		base + "/ours/bin/../ours/id": access.Denied, at("ours/round"): access.Invalid, at("ours"): access.Invalid, "/": access.Invalid, "id": access.Invalid,
		"/etc/passwd": access.Invalid, at("ours/dead"): access.NotFound, at("ours/none"): access.NotFound,
	} {
		if err := CheckProgram(path); (err == nil) != (want == 0) || err != nil && access.KindOf(err) != want {
			t.Errorf("%s: %v, want kind %v", path, err, want)
		}
	}
}
