package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/linux"
)

// watched are the files of the host that let somebody do something later. Only root can
// change them; who was root for a moment may have.
func (c *Connector) watched() []struct{ kind, pattern string } {
	etc := func(name string) string { return filepath.Join(c.Etc, name) }
	spool := func(name string) string { return filepath.Join(c.Spool, name) }
	return []struct{ kind, pattern string }{
		{linux.TrailCron, etc("crontab")}, {linux.TrailCron, etc("cron.*/*")}, {linux.TrailCron, etc("anacrontab")},
		{linux.TrailCron, spool("cron/crontabs/*")}, {linux.TrailCron, spool("cron/*")}, {linux.TrailAt, spool("cron/atjobs/*")}, {linux.TrailAt, spool("at/*")},
		{linux.TrailUnit, etc("systemd/system/*")}, {linux.TrailUnit, etc("systemd/system/*/*")}, {linux.TrailUnit, etc("systemd/user/*")},
		{linux.TrailLinger, "/var/lib/systemd/linger/*"},
		{linux.TrailPAM, etc("pam.d/*")}, {linux.TrailPAM, etc("security/*")},
		{linux.TrailSudo, etc("sudoers")}, {linux.TrailSudo, etc("sudoers.d/*")},
		{linux.TrailSSHD, etc("ssh/sshd_config")}, {linux.TrailSSHD, etc("ssh/sshd_config.d/*")}, {linux.TrailSSHD, filepath.Join(c.Keys, userCA)},
		{linux.TrailStart, etc("ld.so.preload")}, {linux.TrailStart, etc("rc.local")}, {linux.TrailStart, etc("profile")}, {linux.TrailStart, etc("profile.d/*")}, {linux.TrailStart, etc("init.d/*")},
	}
}

// ofHomes are those of an account, below its home.
var ofHomes = []struct{ kind, pattern string }{
	{linux.TrailKeys, ".ssh/authorized_keys"}, {linux.TrailKeys, ".ssh/authorized_keys2"}, {linux.TrailKeys, ".ssh/rc"},
	{linux.TrailUnit, ".config/systemd/user/*"}, {linux.TrailUnit, ".config/systemd/user/*/*"},
	{linux.TrailStart, ".profile"}, {linux.TrailStart, ".bashrc"}, {linux.TrailStart, ".bash_profile"}, {linux.TrailStart, ".bash_login"}, {linux.TrailStart, ".zshrc"}, {linux.TrailStart, ".zshenv"},
	{linux.TrailStart, ".pam_environment"}, {linux.TrailStart, ".config/autostart/*"},
}

// Fingerprint lists what carries power on the host. It only reads.
func (c *Connector) Fingerprint(ctx context.Context, _ connector.Target) ([]byte, error) {
	f := reading{linux.Fingerprint{Rooted: map[string]string{}, Lines: []linux.Trail{}}}
	var v *view
	err := c.locked(ctx, shared, func() (err error) {
		if v, err = c.view(); err != nil {
			return err
		}
		f.standing(v)
		if err := readProcesses(&f); err != nil {
			return err
		}
		return c.readPowers(ctx, &f, v)
	})
	if err != nil {
		return nil, access.Fail(access.Unavailable, "host-unreadable", "what carries power on the host cannot be read").Because(said(err)).Wrap(err)
	}
	// The rest takes its time, which people can make long, and not the lock.
	c.readWatched(ctx, &f)
	for _, a := range v.accounts {
		if strings.HasPrefix(a.home, "/") && a.home != "/" {
			f.home(ctx, a)
		}
	}
	for _, root := range c.Walk {
		f.walk(ctx, root)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("look for what carries power on the host: %w", ctx.Err())
	}
	f.Sort()
	return json.Marshal(f.Fingerprint)
}

// reading is a fingerprint that is being taken.
type reading struct{ linux.Fingerprint }

// readWatched adds the files that are root's to change.
func (c *Connector) readWatched(ctx context.Context, f *reading) {
	for _, w := range c.watched() {
		paths, err := filepath.Glob(w.pattern)
		if err != nil {
			f.Gaps = append(f.Gaps, w.pattern)
		}
		for _, path := range paths {
			if ctx.Err() != nil {
				return
			}
			if tag, ok := linux.PrincipalTag(filepath.Base(path)); ok && path == c.sudoersFile(tag) {
				continue // an order's
			}
			f.file(w.kind, path)
		}
	}
}

// standing adds the accounts, and the memberships that are not Stint's.
func (f *reading) standing(v *view) {
	for _, a := range v.accounts {
		f.Lines = append(f.Lines, linux.Trail{Kind: linux.TrailAccount, Path: a.name, Key: strconv.Itoa(a.uid), UID: 0})
	}
	for _, g := range v.groups {
		for _, m := range g.members {
			i := slices.IndexFunc(v.accounts, func(a account) bool { return a.name == m })
			if i >= 0 && !v.byStint(m, g.name) {
				f.Lines = append(f.Lines, linux.Trail{Kind: linux.TrailMember, Path: m + " in " + g.name, Key: "", UID: 0})
			}
		}
	}
}

// file adds one file, a link, or a folder by its name. What cannot be read is told by what
// can be seen of it.
func (f *reading) file(kind, path string) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		if !errors.Is(err, unix.ENOENT) {
			f.Gaps = append(f.Gaps, path)
		}
		return
	}
	key := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return // what is in it counts
	case unix.S_IFLNK:
		to, _ := os.Readlink(path)
		key += " -> " + to
	case unix.S_IFREG:
		text, err := readPlain(path)
		if err != nil {
			f.Gaps = append(f.Gaps, path)
			return
		}
		sum := sha256.Sum256([]byte(text))
		key += fmt.Sprintf(" %d %s", st.Size, hex.EncodeToString(sum[:12]))
	}
	f.Lines = append(f.Lines, linux.Trail{Kind: kind, Path: path, Key: key, UID: int(st.Uid)})
}

// readProcesses adds what runs as somebody and belongs to no log-in: its parent is init.
func readProcesses(f *reading) error {
	ps, err := processes(func(i identity) bool { return i.parent <= 1 && i.uids[0] != 0 })
	for _, p := range ps {
		name, _ := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/comm")
		_, ticks, ok := readProcess(p.pid)
		if ok {
			f.Lines = append(f.Lines, linux.Trail{Kind: linux.TrailProcess, Path: strconv.Itoa(p.pid) + " " + strings.TrimSpace(string(name)), Key: ticks, UID: p.uids[0]})
		}
	}
	return err
}

// readPowers notes who can be root without Stint.
func (c *Connector) readPowers(ctx context.Context, f *reading, v *view) error {
	for _, part := range []func(context.Context, *view) ([]connector.Stand, error){c.rooted, v.members(nil), c.ruled} {
		found, err := part(ctx, v)
		if err != nil {
			return err
		}
		for _, s := range found {
			f.Rooted[s.Account] = s.Privilege
		}
	}
	return nil
}

// unwalked are the file systems that hold no programs of the host's own: those of the
// kernel, and of other hosts, which may not answer. (statfs(2) has the numbers.)
var unwalked = []int64{unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEVPTS_SUPER_MAGIC,
	unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC}

// walk looks for programs that have powers of their own.
func (f *reading) walk(ctx context.Context, root string) {
	devices := map[uint64]bool{} // whether to look there
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return fs.SkipAll
		}
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				f.Gaps = append(f.Gaps, path)
			}
			return nil
		}
		var st unix.Stat_t
		if !d.IsDir() && !d.Type().IsRegular() || unix.Lstat(path, &st) != nil {
			return nil
		}
		if d.IsDir() {
			look, known := devices[st.Dev]
			if !known {
				var fsys unix.Statfs_t
				look = unix.Statfs(path, &fsys) == nil && !slices.Contains(unwalked, int64(fsys.Type)) && fsys.Flags&unix.ST_NOSUID == 0
				devices[st.Dev] = look
			}
			if !look {
				return fs.SkipDir
			}
			return nil
		}
		if st.Mode&0o111 == 0 {
			return nil
		}
		if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
			f.Lines = append(f.Lines, linux.Trail{Kind: linux.TrailSetuid, Path: path, Key: fmt.Sprintf("%o %d:%d %d", st.Mode, st.Uid, st.Gid, st.Size), UID: int(st.Uid)})
		}
		var caps [64]byte
		if n, err := unix.Lgetxattr(path, "security.capability", caps[:]); err == nil && n > 0 {
			f.Lines = append(f.Lines, linux.Trail{Kind: linux.TrailCaps, Path: path, Key: hex.EncodeToString(bytes.Clone(caps[:n])), UID: int(st.Uid)})
		}
		return nil
	})
}

// Residue compares two fingerprints, as the control plane does.
func (*Connector) Residue(before, after []byte, os []connector.Order) ([]connector.Residue, error) {
	return linux.Residue(before, after, os)
}
