package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// identity is as whom a process runs: real, effective, saved and file system ids, and
// the groups besides.
type identity struct {
	pid, parent int
	uids, gids  []int
	groups      []int
}

// is reports whether a process runs as an account, by any of its ids.
func (i identity) is(uid int) bool { return slices.Contains(i.uids, uid) }

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
	i.pid = pid
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
