package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"stint/internal/access"
	"stint/internal/connector/linux"
)

// An order's cgroup holds one for each session, named after the process of sshd that
// serves the connection: its pid and when it started, which no other process shares.
//
//	stint/TAG/s-4711-8812345/
//
// They belong to root, so that a process in them can be moved out by nobody else. (That
// is also why no controller is turned on: a cgroup of version 2 that has one holds
// processes or cgroups, not both.)

const sessionPrefix = "s-"

func (c *Connector) cgroup(tag access.Tag) string { return filepath.Join(c.Cgroup, string(tag)) }

// makeCgroup makes an order's cgroup, and checks that it is one: a folder where no
// cgroups are mounted would count nothing and end nothing.
func (c *Connector) makeCgroup(tag access.Tag) error { return makeCgroup(c.cgroup(tag)) }

func makeCgroup(path string) error {
	if _, err := os.Stat(filepath.Join(path, "cgroup.procs")); err == nil {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return noCgroups(path, err)
	}
	if _, err := os.Stat(filepath.Join(path, "cgroup.procs")); err != nil {
		return noCgroups(path, errors.Join(err, os.Remove(path)))
	}
	return nil
}

func noCgroups(path string, err error) error {
	return access.Fail(access.Unavailable, "no-cgroup", "the host cannot keep the order's sessions together").
		Because(path + " is not a cgroup").Try("mount cgroup version 2, or set another cgroup for the agent").Wrap(err)
}

func (c *Connector) hasCgroup(tag access.Tag) bool {
	_, err := os.Stat(c.cgroup(tag))
	return err == nil
}

// enter puts a process into the cgroup of one session. What it starts from now on is
// there too.
func (c *Connector) enter(tag access.Tag, session string, pid int) error {
	path := filepath.Join(c.cgroup(tag), session)
	if err := makeCgroup(c.cgroup(tag)); err != nil {
		return err
	}
	if err := makeCgroup(path); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(path, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		return fmt.Errorf("put the session into its cgroup: %w", err)
	}
	return nil
}

// process is one that lives.
type process struct {
	pid     int
	started time.Time
	tty     int // device number; 0 without one
}

// readProcess reads /proc; ok is false for one that has ended, waited for or not.
func readProcess(pid int) (p process, ticks string, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return p, "", false
	}
	// The name, in parentheses, can hold anything; what follows the last one is fixed, proc(5).
	i := strings.LastIndexByte(string(b), ')')
	f := strings.Fields(string(b[i+1:]))
	if i < 0 || len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return p, "", false
	}
	p.pid = pid
	p.tty, _ = strconv.Atoi(f[4])
	if n, err := strconv.ParseInt(f[19], 10, 64); err == nil {
		p.started = boot().Add(time.Duration(n) * (time.Second / userHZ))
	}
	return p, f[19], true
}

const userHZ = 100 // what /proc counts in, on every architecture that Go runs on

// boot is when the host started, by the clock of now.
func boot() time.Time {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(up.Nano()))
}

// sessionOf names the session that a process of sshd serves.
func sessionOf(pid int) (name string, err error) {
	_, ticks, ok := readProcess(pid)
	if !ok {
		return "", access.Fail(access.Unavailable, "no-process", "the process of the session is not there: "+strconv.Itoa(pid))
	}
	return sessionPrefix + strconv.Itoa(pid) + "-" + ticks, nil
}

// living are the processes of one cgroup.
func living(path string) (ps []process, err error) {
	text, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) { // gone meanwhile
		return nil, nil
	}
	for f := range strings.FieldsSeq(string(text)) {
		if pid, e := strconv.Atoi(f); e == nil {
			if p, _, ok := readProcess(pid); ok {
				ps = append(ps, p)
			} else if pid == 0 {
				return nil, errors.New("a process of the cgroup is out of sight")
			}
		}
	}
	return ps, err
}

// below lists the cgroups of an order, the deepest first: its own, its sessions' and
// commands', and those that a command which runs as root has made below them.
func (c *Connector) below(tag access.Tag) ([]string, error) { return tree(c.cgroup(tag)) }

func tree(top string) (paths []string, err error) {
	err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV): // gone meanwhile
			return nil
		case err != nil:
			return err
		case d.IsDir():
			paths = append(paths, path)
		}
		return nil
	})
	slices.Reverse(paths) // which stood in the order of a walk: each before those below it
	return paths, err
}

// sessions counts those of an order in which something runs, and says when one of them
// last did something: began a process, or used its terminal.
func (c *Connector) sessions(tag access.Tag) (n int, last time.Time, err error) {
	paths, err := c.below(tag)
	for _, path := range paths {
		ps, e := living(path)
		if e != nil {
			return 0, last, e
		}
		if len(ps) > 0 {
			n++
		}
		for _, p := range ps {
			for _, at := range []time.Time{p.started, used(p.tty)} {
				if at.After(last) {
					last = at
				}
			}
		}
	}
	return n, last.UTC(), err
}

// used is when a terminal was last read or written.
func used(tty int) time.Time {
	major, minor := unix.Major(uint64(tty)), unix.Minor(uint64(tty))
	if major < 136 || major > 143 { // not a pseudo-terminal, Documentation/admin-guide/devices.txt
		return time.Time{}
	}
	var st unix.Stat_t
	if err := unix.Stat("/dev/pts/"+strconv.Itoa(int(major-136)<<8|int(minor)), &st); err != nil {
		return time.Time{}
	}
	a, m := time.Unix(st.Atim.Unix()), time.Unix(st.Mtim.Unix())
	if a.After(m) {
		return a
	}
	return m
}

// kill ends every process of an order's sessions and waits until none lives. The kernel
// sees to it that none escapes by forking meanwhile; where it cannot (before 5.14, and
// in version 1), each is killed until there are no more.
func (c *Connector) kill(ctx context.Context, tag access.Tag) error {
	return killTree(ctx, c.cgroup(tag))
}

// killTree looks anew each time which cgroups there are: a process that is root's makes
// others below its own.
func killTree(ctx context.Context, top string) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		left := 0
		paths, err := tree(top)
		if err != nil {
			return err
		}
		for _, path := range paths {
			ps, err := living(path)
			if err != nil {
				return err
			}
			if len(ps) == 0 {
				continue
			}
			left += len(ps)
			err = os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0)
			if err == nil || errors.Is(err, unix.ENODEV) {
				continue
			}
			for _, p := range ps {
				if err := unix.Kill(p.pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
					return fmt.Errorf("kill process %d: %w", p.pid, err)
				}
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d processes are still there: %w", left, ctx.Err())
		case <-tick.C:
		}
	}
}

// removeCgroup takes the empty cgroups away. One in which something lives stays.
func (c *Connector) removeCgroup(tag access.Tag) error {
	paths, err := c.below(tag)
	for _, path := range paths { // the order's own is the last
		if e := removeEmpty(path); e != nil {
			return e
		}
	}
	return err
}

// cgroupTags lists the orders that have a cgroup.
func (c *Connector) cgroupTags() (tags []access.Tag, err error) {
	es, err := os.ReadDir(c.Cgroup)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range es {
		if t := access.Tag(e.Name()); e.IsDir() && linux.ValidTag(t) {
			tags = append(tags, t)
		}
	}
	return tags, err
}
