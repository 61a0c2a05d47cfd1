package host

import (
	"context"
	"errors"
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
)

// hop forks and exits without end, so that whenever its number is known it has another:
// 24 of them run. With an argument they multiply, up to a bound, as fast as they can.
const hop = `
#include <signal.h>
#include <unistd.h>
#include <sys/resource.h>
int main(int argc, char **argv) {
	struct rlimit most = {200, 200};
	setrlimit(RLIMIT_NPROC, &most);
	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 23; i++) if (fork() == 0) break;
	for (;;) {
		setsid();
		if (fork() > 0 && argc == 1) _exit(0);
	}
}`

// bombed is an account made for an order, of which such processes run outside every
// cgroup of the order, as what a user's systemd starts does. Whether they live is read from
// a cgroup of the test's own, which the connector does not know.
func bombed(w *world, args ...string) (o connector.Order, uid int, live func() bool) {
	t := w.t
	t.Helper()
	o = w.Order(access.Account)
	r, err := w.c.Provision(t.Context(), w.Target(), o)
	must(t, err)
	o.Account, o.Creation = r.Account, r.Creation
	uid, err = strconv.Atoi(r.Creation)
	must(t, err)
	w.write(w.base+"/hop.c", hop, 0o644)
	w.run("gcc", "-O2", "-o", w.base+"/hop", w.base+"/hop.c")
	cgroup := filepath.Join(os.Getenv(cgroupEnv), "hop")
	must(t, os.Mkdir(cgroup, 0o755))
	t.Cleanup(func() { must(t, endTree(context.Background(), cgroup)) })
	dir, err := os.Open(cgroup)
	must(t, err)
	defer dir.Close()
	cmd := exec.Command(w.base+"/hop", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	must(t, cmd.Start())
	go func() { _ = cmd.Wait() }() // its first process is soon gone
	live = func() bool {
		text, err := os.ReadFile(cgroup + "/cgroup.events")
		must(t, err)
		return strings.Contains(string(text), "populated 1")
	}
	w.wait("they run", live)
	return o, uid, live
}

// TestForkBomb: who forks faster than anybody looks ends with the account all the same.
func TestForkBomb(t *testing.T) {
	for name, args := range map[string][]string{"hops": nil, "multiplies": {"more"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o, _, live := bombed(w, args...)
			began := time.Now()
			w.end(o)
			t.Logf("gone after %s", time.Since(began).Round(time.Millisecond))
			if live() {
				t.Error("they live on")
			}
			if w.entry("passwd", o.Account) != nil {
				t.Error("the account is left")
			}
		})
	}
}

// TestOneStep: one step ends them all, without anybody looking for one of them.
func TestOneStep(t *testing.T) {
	for _, args := range [][]string{nil, {"more"}} {
		w := newWorld(t)
		o, uid, live := bombed(w, args...)
		done, err := killAs(t.Context(), uid)
		if err != nil || !done {
			t.Fatalf("done %v, %v", done, err)
		}
		w.wait("the kernel has buried them", func() bool { return !live() })
		w.end(o)
		must(t, endTree(context.Background(), filepath.Join(os.Getenv(cgroupEnv), "hop")))
	}
}

// TestOthersLive: what ends an account's processes ends nobody else's.
func TestOthersLive(t *testing.T) {
	w := newWorld(t)
	mine, other := w.uid(w.user("mine")), w.uid(w.user("other"))
	root, theirs, ours := w.start1(0, "exec sleep 1000"), w.start1(other, "exec sleep 1000"), w.start1(mine, "exec sleep 1000")
	for _, uid := range []int{0, -1} {
		must(t, endAll(t.Context(), uid))
	}
	must(t, endAll(t.Context(), mine))
	for pid, lives := range map[int]bool{root: true, theirs: true, ours: false, os.Getpid(): true} {
		if _, ok := readIdentity(pid); ok != lives {
			t.Errorf("process %d lives: %v, want %v", pid, ok, lives)
		}
	}
}

// TestDescendants: what descends from a log-in of an account made for an order, and is
// root's by now, is the account's. Kernels without audit cannot tell.
func TestDescendants(t *testing.T) {
	w := newWorld(t)
	uid := w.uid(w.user("login"))
	if _, err := os.Stat("/proc/self/loginuid"); errors.Is(err, os.ErrNotExist) {
		if i, ok := readIdentity(os.Getpid()); !ok || i.login != -1 || i.of(uid) {
			t.Errorf("a log-in that is not known is %+v", i)
		}
		return // such a kernel has nothing to prove it with
	}
	cmd := exec.Command("/bin/sh", "-c", "echo "+strconv.Itoa(uid)+" > /proc/self/loginuid || exit 3; exec sleep 1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var i identity
	w.wait("it sleeps, or cannot", func() bool {
		var ok bool
		i, ok = readIdentity(cmd.Process.Pid)
		b, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/comm")
		return !ok || string(b) == "sleep\n"
	})
	if i.login != uid {
		t.Logf("the kernel lets nobody set it here: %+v", i)
		return
	}
	must(t, endAll(t.Context(), uid))
	if err := unix.Kill(cmd.Process.Pid, 0); err == nil {
		if _, ok := readIdentity(cmd.Process.Pid); ok {
			t.Error("it is still there")
		}
	}
}

// TestCommandLeavesItsCgroup: what runs as another account than root by an elevation
// cannot leave the order's cgroup, whatever it tries.
func TestCommandLeavesItsCgroup(t *testing.T) {
	w := newWorld(t)
	as := w.user("service")
	w.write(w.base+"/leave", `#!/bin/sh
for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/unified/cgroup.procs `+os.Getenv(cgroupEnv)+`/cgroup.procs; do echo $$ > "$f"; done 2>/dev/null
env -i setsid sleep 4712 &
exec env -i sleep 4712
`, 0o755)
	o := w.elevate([]string{w.base + "/leave"}, func(o *connector.Order) { o.Options = map[string]string{"runAs": as} })
	x, err := w.c.Allowed(w.uid(o.Account), []string{w.base + "/leave"})
	must(t, err)
	cmd := &exec.Cmd{}
	must(t, w.c.Start(t.Context(), x, "command-1", cmd))
	uid := w.uid(as)
	w.wait("it runs", func() bool {
		ps, _ := processes(func(i identity) bool { return i.is(uid) })
		return len(ps) == 2
	})
	go func() { _ = cmd.Wait() }() // it is killed
	w.end(o)
	if ps, err := processes(func(i identity) bool { return i.is(uid) }); err != nil || len(ps) > 0 {
		t.Errorf("%d have left, %v", len(ps), err)
	}
}
