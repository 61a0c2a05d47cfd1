package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// identity is as whom a process runs: real, effective, saved and file system ids, and
// the groups besides.
type identity struct {
	pid, parent int
	uids, gids  []int
	groups      []int
	login       int // whose log-in it descends from, as the kernel's audit knows; -1: nobody's
}

// is reports whether a process runs as an account, by any of its ids.
func (i identity) is(uid int) bool { return slices.Contains(i.uids, uid) }

// of reports whether a process is an account's: it runs as it, or descends from a log-in
// of it and is another's by now (through sudo, or a program with setuid). An account that
// was made for an order has no other processes.
func (i identity) of(uid int) bool { return i.is(uid) || i.login == uid && uid > 0 }

// carries reports whether a process may act as one of the groups.
func (i identity) carries(gids []int) bool {
	return slices.ContainsFunc(gids, func(g int) bool { return slices.Contains(i.gids, g) || slices.Contains(i.groups, g) })
}

// readIdentity reads /proc/PID/status; ok is false for what has ended.
func readIdentity(pid int) (i identity, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return i, false
	}
	i.pid, i.login = pid, -1
	// pam_loginuid(8) and cron set it. Without audit in the kernel there is no such file;
	// unset it is 2^32-1.
	if text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/loginuid"); err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32); err == nil && n != 1<<32-1 {
			i.login = int(n)
		}
	}
	for l := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(l, ":")
		switch name {
		case "State":
			if f := strings.Fields(value); len(f) == 0 || f[0] == "Z" || f[0] == "X" {
				return i, false
			}
		case "PPid":
			i.parent, _ = strconv.Atoi(strings.TrimSpace(value))
		case "Uid":
			i.uids = numbers(value)
		case "Gid":
			i.gids = numbers(value)
		case "Groups":
			i.groups = numbers(value)
		}
	}
	return i, len(i.uids) == 4
}

func numbers(text string) (ns []int) {
	for f := range strings.FieldsSeq(text) {
		if n, err := strconv.Atoi(f); err == nil {
			ns = append(ns, n)
		}
	}
	return ns
}

// processes lists the living ones that match.
func processes(match func(identity) bool) (found []identity, err error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	_ = d.Close() // read only
	for _, name := range names {
		pid, e := strconv.Atoi(name)
		if e != nil {
			continue
		}
		if i, ok := readIdentity(pid); ok && match(i) {
			found = append(found, i)
		}
	}
	return found, err
}

// roots counts those whose parent is not among them: a log-in and all that it started
// is one.
func roots(ps []identity) (n int) {
	for _, p := range ps {
		if !slices.ContainsFunc(ps, func(q identity) bool { return q.pid == p.parent }) {
			n++
		}
	}
	return n
}

// lastStart is when the newest of them began, or last used its terminal.
func lastStart(ps []identity) (last time.Time) {
	for _, i := range ps {
		if p, _, ok := readProcess(i.pid); ok {
			for _, at := range []time.Time{p.started, used(p.tty)} {
				if at.After(last) {
					last = at
				}
			}
		}
	}
	return last
}

// endAll ends every process of an account. One that forks and exits again and again has
// another number whenever it is looked for: a look at /proc misses it, so that none found
// proves nothing, and who only looks and kills is never done. The kernel has a way for
// that: kill(2) of -1, by a process of that account, is one step in which nobody forks, and
// reaches all that run as it. Who is left then, as somebody else by now, is looked for.
func endAll(ctx context.Context, uid int) error {
	if uid <= 0 {
		return nil
	}
	mine := func(i identity) bool { return i.of(uid) }
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		swept, err := killAs(ctx, uid)
		if err != nil && ctx.Err() == nil {
			// The host does not let the agent become somebody else, or has no room for one
			// more process: what can be done without is.
			return errors.Join(end(ctx, mine), err)
		}
		within, cancel := context.WithTimeout(ctx, wait)
		err = end(within, mine)
		cancel()
		switch {
		case err == nil && swept:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("processes of uid %d are still there: %w", uid, ctx.Err())
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			return err
		}
	}
}

// sweepWithin is how long one step of killAs may take: those whom it is about can stop it.
const sweepWithin = 2 * time.Second

// killAs has the kernel end all that run as an account, by a shell of that account which
// knows one word. It gets none of our privileges: with them it would end everything. done
// is false when they were faster and ended the shell.
func killAs(ctx context.Context, uid int) (done bool, err error) {
	within, cancel := context.WithTimeout(ctx, sweepWithin)
	defer cancel()
	cmd := exec.CommandContext(within, "/bin/sh", "-c", "kill -KILL -1; exit 0") // nobody to kill is no failure
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: uint32(uid), Gid: nogroup}}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return false, nil
	}
	return err == nil, err
}

// nogroup is the group of the shell, which no file belongs to.
const nogroup = 65534

// end kills what matches until nothing does. Between finding a process and killing it
// another could get its number, which pidfds rule out.
func end(ctx context.Context, match func(identity) bool) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		found, err := processes(match)
		if err != nil || len(found) == 0 {
			return err
		}
		for _, p := range found {
			if err := killSame(p.pid, match); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d processes are still there: %w", len(found), ctx.Err())
		case <-tick.C:
		}
	}
}

func killSame(pid int, match func(identity) bool) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if i, ok := readIdentity(pid); !ok || !match(i) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	return nil
}
