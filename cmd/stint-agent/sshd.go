package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/connector/linux/host"
	"stint/internal/wholefile"
)

// Where sshd and PAM look.
const (
	sshFolder  = "/etc/ssh/stint"
	authority  = sshFolder + "/user_ca.pub"
	revoked    = sshFolder + "/revoked_keys"
	dropIn     = "/etc/ssh/sshd_config.d/00-stint.conf"
	pamFile    = "/etc/pam.d/sshd"
	sshd       = "/usr/sbin/sshd"
	hookRemark = "# Stint: "
)

// self is where this program is: sshd's PAM service calls it.
var self = func() string {
	path, err := os.Executable()
	if err != nil {
		return "/usr/bin/stint-agent"
	}
	return path
}()

// hook is the line of the PAM service.
var hook = "session required pam_exec.so quiet " + self + " pam-session"

// settings are sshd's. The file sorts before others, and the first value counts.
const settings = `# Made by stint-agent enroll; stint-agent uninstall takes it away.
UsePAM yes
TrustedUserCAKeys ` + authority + `
AuthorizedPrincipalsFile ` + sshFolder + `/principals/%u
RevokedKeys ` + revoked + `
`

// saved is a file as it was.
type saved struct {
	path string
	text []byte
	mode fs.FileMode
	was  bool
}

func save(path string) (saved, error) {
	s := saved{path: path, mode: 0o644}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return s, err
	}
	s.was, s.mode = true, info.Mode().Perm()
	s.text, err = os.ReadFile(path)
	return s, err
}

func (s saved) back() error {
	if !s.was {
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return put(s.path, s.text, s.mode)
}

// put replaces a file that others may read.
func put(path string, text []byte, mode fs.FileMode) error {
	return wholefile.Replace(path, func(f *os.File) error {
		if err := f.Chmod(mode); err != nil {
			return err
		}
		_, err := f.Write(text)
		return err
	})
}

// plainPath is a path that a line of PAM's takes as it is.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9_./+-]+$`)

// mayBeHook refuses to have every log-in call a program that others than root can change:
// it is run as root.
func mayBeHook(program string) error {
	if !plainPath.MatchString(program) {
		return access.Fail(access.Invalid, "bad-path", "PAM cannot call "+strconv.Quote(program)).
			Because("its path has marks that a line of PAM's does not carry").Try("put stint-agent into /usr/bin, and enrol with that one")
	}
	if err := host.CheckProgram(program); err != nil {
		return access.Fail(access.Denied, "loose-program", "sshd would call "+program+" as root at every log-in, and it is not safe").
			Because(err.Error()).Try("put stint-agent into /usr/bin, as root's and writable by nobody else, and enrol with that one")
	}
	return nil
}

// mayHaveHook refuses where sshd's PAM service has no file: one with our lines alone would
// let everybody in, or nobody.
func mayHaveHook(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return access.Fail(access.NotFound, "no-pam", "there is no "+path).Because("sshd asks PAM by it, and Stint adds two lines to what is there").
			Try("install openssh-server from the distribution, or enrol with --no-sshd and set PAM up by other means")
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return access.Fail(access.Invalid, "no-pam", path+" is not a file").Try("make it one, or enrol with --no-sshd")
	}
	return nil
}

// mayChange refuses settings of sshd's that ours would turn off without a word: effective
// is what sshd -T prints.
func mayChange(effective string) error {
	ours := map[string][]string{}
	for line := range strings.Lines(settings) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], "/") {
			ours[strings.ToLower(f[0])] = f
		}
	}
	for line := range strings.Lines(effective) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "hostcertificate" && !strings.HasPrefix(value, sshFolder+"/") {
			return access.Fail(access.Conflict, "sshd-settings", "sshd is set to HostCertificate "+value).
				Because("of two certificates for one key sshd shows the last, and clients of Stint would refuse the host").
				Try("take that line away where no client knows the host by it any more; or enrol with --no-sshd and set sshd up yourself")
		}
		if f, is := ours[name]; is && value != "none" && value != "" && value != f[1] {
			return access.Fail(access.Conflict, "sshd-settings", "sshd is set to "+f[0]+" "+value).
				Because("the setting for Stint, " + f[1] + ", would take its place, and what logs in by it now would not any more").
				Try("take that line away where nobody logs in by it any more; or enrol with --no-sshd and put both into one file yourself")
		}
	}
	return nil
}

// checkFirst says why sshd may not be set up here; nothing is changed.
func checkFirst(ctx context.Context) error {
	if err := mayBeHook(self); err != nil {
		return err
	}
	if err := mayHaveHook(pamFile); err != nil {
		return err
	}
	if err := checkSSHD(ctx); err != nil { // as it is; what it prints otherwise says nothing
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	effective, err := exec.CommandContext(ctx, sshd, "-T").Output()
	if err != nil {
		return access.Fail(access.Unavailable, "sshd", "sshd does not say how it is set").Because(err.Error()).Try("see what it says with " + sshd + " -T")
	}
	return mayChange(string(effective))
}

// setUpSSHD writes what sshd and PAM need, and has sshd check it. What does not pass is
// put back as it was; so it is by undo. Whom sshd believes is not known yet: nobody, or
// whom it believed before.
func setUpSSHD(ctx context.Context) (undo func() error, err error) {
	if err := checkFirst(ctx); err != nil {
		return nil, err
	}
	var all []saved
	undo = func() (err error) {
		for i := len(all) - 1; i >= 0; i-- {
			err = errors.Join(err, all[i].back())
		}
		return err
	}
	fail := func(err error) (func() error, error) { return nil, errors.Join(cannotSetUp(err), undo()) }
	for _, dir := range []string{sshFolder, sshFolder + "/principals", filepath.Dir(dropIn)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fail(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
			return fail(err)
		}
	}
	same := func(old string) string { return old }
	for _, x := range []struct {
		path string
		text func(old string) string
	}{
		{authority, same},
		{revoked, same}, // without this file, sshd refuses every key
		{pamFile, withHook},
		{dropIn, func(string) string { return settings }},
	} {
		was, err := save(x.path)
		if err != nil {
			return fail(err)
		}
		all = append(all, was)
		if err := put(x.path, []byte(x.text(string(was.text))), was.mode); err != nil {
			return fail(err)
		}
	}
	if err := checkSSHD(ctx); err != nil {
		return fail(err)
	}
	return undo, nil
}

func cannotSetUp(err error) error {
	var ours *access.Error
	if errors.As(err, &ours) {
		return err
	}
	return access.Fail(access.Unavailable, "sshd", "sshd could not be set up; everything is as it was").Because(err.Error()).Try("run it as root, with openssh-server installed")
}

// checkSSHD has sshd look at its settings.
func checkSSHD(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	said, err := exec.CommandContext(ctx, sshd, "-t").CombinedOutput()
	if err == nil {
		// A certificate that it cannot use, it only speaks of.
		if about := certificates(string(said)); len(about) > 0 {
			err = errors.New("it does not take them")
		}
	}
	if err != nil {
		return access.Fail(access.Unavailable, "sshd", "sshd does not accept the settings; they are as they were").
			Because(strings.TrimSpace(string(said) + " " + err.Error())).Try("see what it says with " + sshd + " -t, and mend that")
	}
	return nil
}

// withHook puts the hook before the first line of the session stack, where nothing has
// changed the environment yet, and behind the last, where nothing moves the session any
// more.
func withHook(text string) string {
	lines := strings.Split(strings.TrimRight(withoutHook(text), "\n"), "\n")
	at := len(lines)
	for i, l := range lines {
		f := strings.Fields(l)
		if len(f) > 1 && (strings.TrimPrefix(f[0], "-") == "session" || f[0] == "@include" && strings.HasSuffix(f[1], "session")) {
			at = i
			break
		}
	}
	out := append([]string{}, lines[:at]...)
	out = append(out, hookRemark+"what a certificate lends runs in a cgroup of its own", hook)
	out = append(out, lines[at:]...)
	return strings.Join(append(out, hookRemark+"once more, behind what moves sessions elsewhere", hook), "\n") + "\n"
}

// withoutHook takes the lines away again.
func withoutHook(text string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		if t := strings.TrimSpace(l); t != hook && !strings.HasPrefix(t, hookRemark) {
			b.WriteString(l)
		}
	}
	return b.String()
}

// takeBackSSHD takes away what setUpSSHD wrote.
func takeBackSSHD(ctx context.Context) error {
	was, err := save(pamFile)
	if err == nil && was.was {
		if text := withoutHook(string(was.text)); text != string(was.text) {
			err = put(pamFile, []byte(text), was.mode)
		}
	}
	if e := os.Remove(dropIn); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	if err == nil {
		err = checkSSHD(ctx)
	}
	if err != nil {
		return err
	}
	// One that still runs with our settings refuses every key once the list of revoked
	// ones is gone.
	d, err := lookAtSSHD(ctx)
	if err == nil || access.KindOf(err) == access.NotFound {
		err = hangUp(d.pid)
	}
	if err != nil {
		return access.Fail(access.Unavailable, "not-reloaded", "sshd is not told that its settings changed, so "+sshFolder+" is still there").
			Because(err.Error()).Try("reload sshd, then remove that folder")
	}
	return os.RemoveAll(sshFolder)
}
