package host

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/linux"
)

func (w *world) uid(account string) int {
	w.t.Helper()
	n, err := strconv.Atoi(w.entry("passwd", account)[2])
	must(w.t, err)
	return n
}

// run1 runs a command that is allowed, and gives what it wrote.
func (w *world) run1(uid int, id string, argv ...string) (string, error) {
	x, err := w.c.Allowed(uid, argv)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	cmd := &exec.Cmd{Stdout: &out, Dir: "/tmp", Path: "/bin/false", Args: []string{"false"}}
	if err := w.c.Start(w.t.Context(), x, id, cmd); err != nil {
		return "", err
	}
	err = cmd.Wait()
	return strings.TrimSpace(out.String()), errors.Join(err, w.c.EndCommand(w.t.Context(), x.Tag, id))
}

// TestCommands: what a rule allows is run as it says, and nothing else is.
func TestCommands(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.base, "bin")
	must(t, os.Mkdir(dir, 0o755))
	w.write(dir+"/real", "#!/bin/sh\nid -u\n", 0o755)
	must(t, os.Symlink("real", dir+"/link"))
	o := w.elevate([]string{"/usr/bin/id -u", "/usr/bin/cat", "/usr/bin/env", "/usr/bin/pwd", "/usr/bin/printf a=b:c", dir + "/link"})
	me, other := w.uid(o.Account), w.uid(w.user("other"))
	for _, x := range []struct {
		argv []string
		want string
	}{
		{[]string{"/usr/bin/id", "-u"}, "0"}, {[]string{"/usr/bin/pwd"}, "/"}, {[]string{"/usr/bin/printf", "a=b:c"}, "a=b:c"}, {[]string{dir + "/link"}, "0"},
	} {
		if got, err := w.run1(me, "command-1", x.argv...); err != nil || got != x.want {
			t.Errorf("%q said %q, %v", x.argv, got, err)
		}
	}
	got, err := w.run1(me, "command-1", "/usr/bin/env")
	if err != nil || got != strings.Join([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "LANG=C.UTF-8", orderVariable + "=" + string(o.Tag)}, "\n") {
		t.Errorf("the environment is %q, %v", got, err)
	}
	for _, argv := range [][]string{
		nil, {""}, {"id", "-u"}, {"/usr/bin/id"}, {"/usr/bin/id", "-u", ""}, {"/usr/bin/id", "-u", "-r"}, {"/usr/bin/id -u"}, {"/usr/bin/id", "-u "}, {"/usr/bin/id", "-un"},
		{"/usr/bin/cat", "/etc/shadow"}, {"/usr/bin/cat", ""}, {"/bin/id", "-u"}, {"/usr/bin/../bin/id", "-u"}, {"//usr/bin/id", "-u"}, {"/usr/bin/ID", "-u"}, {"/bin/sh"}, {"ALL"},
		{"/usr/bin/printf", "a=b", ":c"}, {"/usr/bin/printf a=b:c"}, {dir + "/real"}, {"/usr/bin/cat\x00"}, {"/usr/bin/cat\n"},
	} {
		if _, err := w.c.Allowed(me, argv); err == nil {
			t.Errorf("%q is allowed", argv)
		}
	}
	for _, uid := range []int{other, 0, -1} {
		if _, err := w.c.Allowed(uid, []string{"/usr/bin/id", "-u"}); !errors.Is(err, access.Denied) {
			t.Errorf("uid %d: %v", uid, err)
		}
	}
	// The link is turned to what others can change, between the question and the start.
	x, err := w.c.Allowed(me, []string{dir + "/link"})
	must(t, err)
	w.write("/tmp/evil-"+filepath.Base(w.base), "#!/bin/sh\n", 0o777)
	t.Cleanup(func() { _ = os.Remove("/tmp/evil-" + filepath.Base(w.base)) })
	must(t, os.Remove(dir+"/link"))
	must(t, os.Symlink("/tmp/evil-"+filepath.Base(w.base), dir+"/link"))
	if err := w.c.Start(t.Context(), x, "command-2", &exec.Cmd{}); !errors.Is(err, access.Denied) {
		t.Errorf("a link that was turned: %v", err)
	}
	// A rule that somebody widened is not understood, and allows nothing at all.
	text, err := os.ReadFile(w.c.sudoersFile(o.Tag))
	must(t, err)
	must(t, os.Remove(w.c.sudoersFile(o.Tag)))
	w.write(w.c.sudoersFile(o.Tag), strings.Replace(string(text), "/usr/bin/cat", "/bin/sh", 1)+"# more\n", 0o440)
	if _, err := w.c.Allowed(me, []string{"/usr/bin/id", "-u"}); !errors.Is(err, access.Denied) {
		t.Errorf("under a rule that was changed: %v", err)
	}
	w.end(o)
	if _, err := w.c.Allowed(me, []string{"/usr/bin/id", "-u"}); !errors.Is(err, access.Denied) {
		t.Errorf("after the end: %v", err)
	}
}

// TestRecordedAlone: a role can keep its commands from sudo, which records nothing; what
// records them runs them.
func TestRecordedAlone(t *testing.T) {
	w := newWorld(t)
	o := w.elevate([]string{"/usr/bin/id -u"}, func(o *connector.Order) { o.Options = map[string]string{"sudo": linux.SudoRefuse} })
	if got, err := w.sudo(o.Account, "/usr/bin/id", "-u"); err == nil {
		t.Errorf("sudo said %q", got)
	}
	if out := w.run("visudo", "--check", "--file=/etc/sudoers.d/stint-"+string(o.Tag)); !strings.Contains(out, "parsed OK") {
		t.Errorf("visudo said %q", out)
	}
	if got, err := w.run1(w.uid(o.Account), "command-1", "/usr/bin/id", "-u"); err != nil || got != "0" {
		t.Errorf("recorded: %q, %v", got, err)
	}
	if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; v.Presence != connector.Present || v.Ends.IsZero() {
		t.Errorf("read back: %+v", v)
	}
	found := false
	for a, err := range w.c.Inventory(t.Context(), w.Target()) {
		must(t, err)
		found = found || a.Tag == o.Tag && a.Account == o.Account
	}
	if !found {
		t.Error("the sweep does not see it")
	}
	o.Options = map[string]string{"sudo": "allow"}
	_, err := w.c.Provision(t.Context(), w.Target(), o) // the latest word counts
	must(t, err)
	if got, err := w.sudo(o.Account, "/usr/bin/id", "-u"); err != nil || got != "0" {
		t.Errorf("allowed now, sudo said %q, %v", got, err)
	}
	w.end(o)
	if _, err := linux.ParseOptions(map[string]string{"sudo": "yes"}); err == nil {
		t.Error("another word is taken")
	}
}

// TestCommandAfterTheEnd: what was allowed and is not started yet when access ends is
// never started, nor is it under a rule whose own end has come.
func TestCommandAfterTheEnd(t *testing.T) {
	w := newWorld(t)
	o := w.elevate([]string{"/usr/bin/id -u"})
	x, err := w.c.Allowed(w.uid(o.Account), []string{"/usr/bin/id", "-u"})
	must(t, err)
	w.end(o)
	if err := w.c.Start(t.Context(), x, "command-1", &exec.Cmd{}); err == nil {
		t.Error("it is started after its end")
	}
	if w.c.hasCgroup(o.Tag) {
		t.Error("a cgroup is left")
	}
	w.c.Now = time.Now
	o = w.elevate([]string{"/usr/bin/id -u"}, func(o *connector.Order) { o.ExpiresAt = time.Now().Add(3 * time.Second) })
	me := w.uid(o.Account)
	if _, err := w.c.Allowed(me, []string{"/usr/bin/id", "-u"}); err != nil {
		t.Error(err)
	}
	w.c.Now = func() time.Time { return o.ExpiresAt }
	if _, err := w.c.Allowed(me, []string{"/usr/bin/id", "-u"}); !errors.Is(err, access.Denied) {
		t.Errorf("at the rule's own end: %v", err)
	}
	w.c.Now = time.Now
	w.end(o)
}

// TestCommandsAndTheEnd: whatever starts while access ends has ended with it, with all
// that it started, whatever it does to its environment and its session.
func TestCommandsAndTheEnd(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.base, "bin")
	must(t, os.Mkdir(dir, 0o755))
	// It sheds its mark, leaves its session, and makes cgroups below its own.
	w.write(dir+"/flee", `#!/bin/sh
here=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
[ -d "$here" ] || here=/sys/fs/cgroup/unified$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir -p "$here/deep/deeper" && echo $$ > "$here/deep/deeper/cgroup.procs"
env -i setsid sh -c 'sleep 4711 & exec sleep 4711' &
exec env -i sleep 4711
`, 0o755)
	for i := range 6 {
		o := w.elevate([]string{dir + "/flee"})
		me := w.uid(o.Account)
		var starts sync.WaitGroup
		for n := range 4 {
			starts.Go(func() {
				for k := range 20 {
					x, err := w.c.Allowed(me, []string{dir + "/flee"})
					if err != nil {
						return // it has ended
					}
					cmd := &exec.Cmd{}
					if err := w.c.Start(t.Context(), x, "command-"+strconv.Itoa(n)+"-"+strconv.Itoa(k), cmd); err != nil {
						return
					}
					go func() { _ = cmd.Wait() }() // it is killed
				}
			})
		}
		time.Sleep(time.Duration(i) * 7 * time.Millisecond) // somewhere in the middle, each time elsewhere
		w.end(o)
		starts.Wait()
		left, err := processes(func(p identity) bool {
			b, _ := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/cmdline")
			return string(b) == "sleep\x004711\x00"
		})
		must(t, err)
		if len(left) > 0 || w.c.hasCgroup(o.Tag) {
			t.Errorf("%d processes are left, cgroup %v", len(left), w.c.hasCgroup(o.Tag))
			for _, p := range left {
				_ = unix.Kill(p.pid, unix.SIGKILL)
			}
		}
		if v := w.c.Verify(t.Context(), w.Target(), []connector.Order{o})[0]; !v.Gone() {
			t.Errorf("afterwards: %+v", v)
		}
	}
}
