package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"stint/internal/access"
	"stint/internal/connector"
)

// Check proves with canaries that the agent can begin and end access here, and reads
// what sshd and PAM are really set to.
func (c *Connector) Check(ctx context.Context, t connector.Target) connector.Report {
	var rep connector.Report
	for _, s := range []struct {
		name, good string
		do         func(context.Context) error
	}{
		{"runs as root", "the agent may change what it has to", c.checkRoot},
		{"nobody else writes what sshd reads", c.Keys + " and the folders above it are root's", c.checkFolders},
		{"the host is not another's", "no claim stands against this Stint", func(ctx context.Context) error {
			return c.locked(ctx, shared, func() error { return c.checkHeld(t) })
		}},
		{"a line can be written and removed", "a canary was written, read back and removed", c.checkLine},
		{"a session can be ended", "a canary process was killed with its cgroup", c.checkKill},
		{"sshd asks for the line", "sshd -T shows Stint's settings", c.checkSSHD},
		{"accounts and groups can be changed", "the host has the programs for it", c.checkTools},
		{"sudo reads the rules of orders", "sudoers includes sudoers.d, and visudo takes it all", c.checkSudo},
		{"PAM puts sessions into their cgroup", "the hook is the first and the last line of the session stack", c.checkPAM},
	} {
		step := connector.Step{Name: s.name, OK: true, Detail: s.good}
		if err := s.do(ctx); err != nil {
			step.OK, step.Detail, step.Fix = false, said(err), "mend it on the host, then check again"
			var e *access.Error
			if errors.As(err, &e) {
				step.Detail = e.Message
				if e.Why != "" {
					step.Detail += ": " + e.Why
				}
				if e.Next != "" {
					step.Fix = e.Next
				}
			}
		}
		rep.Steps = append(rep.Steps, step)
	}
	return rep
}

func (c *Connector) checkRoot(context.Context) error {
	if os.Geteuid() != 0 {
		return access.Fail(access.Denied, "not-root", "the agent runs as uid "+strconv.Itoa(os.Geteuid())).Try("start stint-agent by its systemd unit, as root")
	}
	return nil
}

// checkFolders looks at whom the folders belong to, all the way up: whoever can write
// one of them can open sessions without a grant.
func (c *Connector) checkFolders(context.Context) error {
	if err := ensureFolder(c.principalsFolder(), 0o755); err != nil {
		return err
	}
	for path := c.principalsFolder(); ; path = filepath.Dir(path) {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return &fs.PathError{Op: "look at", Path: path, Err: err}
		}
		if st.Uid != 0 || st.Mode&0o022 != 0 || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return access.Fail(access.Denied, "loose-folder", path+" can be changed by others than root").
				Because(fmt.Sprintf("it belongs to uid %d with mode %04o", st.Uid, st.Mode&0o7777)).
				Try("on the host: chown root:root " + path + " && chmod go-w " + path)
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}

// canary is a name that no account has: useradd makes none that begins with a dot.
const canary = ".canary"

func (c *Connector) checkLine(ctx context.Context) error {
	return c.locked(ctx, exclusive, func() error {
		path := filepath.Join(c.principalsFolder(), canary)
		want := "canary " + strconv.FormatInt(c.Now().UnixNano(), 10) + "\n"
		if err := c.disk.replace(path, 0o644, []byte(want)); err != nil {
			return err
		}
		got, err := readFile(path)
		if err == nil && got != want {
			err = errors.New("a file was read back otherwise than it was written")
		}
		if err = errors.Join(err, removeFile(path)); err != nil {
			return err
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return errors.New("a file that was removed is still there")
		}
		return nil
	})
}

// checkKill starts a process that would never end, in a cgroup of its own.
func (c *Connector) checkKill(ctx context.Context) error {
	path := filepath.Join(c.Cgroup, "canary-"+strconv.Itoa(os.Getpid())+"-"+strconv.FormatInt(c.Now().UnixNano(), 36))
	if err := makeCgroup(path); err != nil {
		return err
	}
	in, out, err := os.Pipe()
	if err != nil {
		return errors.Join(err, unix.Rmdir(path))
	}
	defer func() { _, _ = in.Close(), out.Close() }()
	p := exec.Command("/bin/sh", "-c", "read never")
	p.Stdin, p.Env, p.Dir = in, []string{}, "/"
	if err := p.Start(); err != nil {
		return errors.Join(err, unix.Rmdir(path))
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	err = os.WriteFile(filepath.Join(path, "cgroup.procs"), []byte(strconv.Itoa(p.Process.Pid)), 0)
	if err == nil {
		if ps, e := living(path); e != nil || len(ps) != 1 {
			err = errors.Join(e, fmt.Errorf("a cgroup with one process in it shows %d", len(ps)))
		}
	}
	if err == nil {
		err = killTree(ctx, path)
	}
	_ = p.Process.Kill() // where the cgroup did not
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		err = errors.Join(err, errors.New("the canary process does not end"))
	}
	return errors.Join(err, unix.Rmdir(path))
}

var sshdVersion = regexp.MustCompile(`OpenSSH_(\d+)\.(\d+)`)

// sshdWants are the settings without which a line opens nothing, or a session escapes
// its end, as sshd -T prints them.
func (c *Connector) sshdWants() []struct{ name, value string } {
	return []struct{ name, value string }{
		{"usepam", "yes"},
		{"trustedusercakeys", filepath.Join(c.Keys, userCA)},
		{"authorizedprincipalsfile", filepath.Join(c.principalsFolder(), "%u")},
		{"authorizedprincipalscommand", "none"}, // it would be asked besides the file
	}
}

func (c *Connector) checkSSHD(ctx context.Context) error {
	var version bytes.Buffer
	v := exec.CommandContext(ctx, c.SSHD, "-V") // older ones print their version as part of the usage
	v.Stdout, v.Stderr = &version, &version
	_ = v.Run()
	m := sshdVersion.FindStringSubmatch(version.String())
	if m == nil {
		return access.Fail(access.Unavailable, "no-sshd", "there is no OpenSSH server at "+c.SSHD).Try("install openssh-server")
	}
	major, _ := strconv.Atoi(m[1])
	if minor, _ := strconv.Atoi(m[2]); major < 9 || major == 9 && minor < 1 {
		return access.Fail(access.Unavailable, "old-sshd", "sshd is version "+m[1]+"."+m[2]).
			Because("before 9.1 it does not read the end of a line as UTC, and refuses the line").Try("update openssh-server to 9.1 or later")
	}
	var out, said bytes.Buffer
	p := exec.CommandContext(ctx, c.SSHD, "-T", "-f", c.SSHDConfig, "-C", "user=nobody,host=localhost,addr=127.0.0.1")
	p.Stdout, p.Stderr = &out, &said
	if err := p.Run(); err != nil {
		return access.Fail(access.Unavailable, "bad-sshd-config", "sshd does not accept its own settings").
			Because(strings.TrimSpace(said.String())).Try("on the host: " + c.SSHD + " -t").Wrap(err)
	}
	set := map[string]string{}
	for l := range strings.Lines(out.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(l), " ")
		set[name] = value
	}
	for _, w := range c.sshdWants() {
		if set[w.name] != w.value {
			return access.Fail(access.Unavailable, "sshd-setting", "sshd has "+w.name+" "+strconv.Quote(set[w.name])+", and needs "+w.value).
				Try("put it into a file in /etc/ssh/sshd_config.d whose name sorts first, and reload sshd")
		}
	}
	return nil
}

func (c *Connector) checkTools(context.Context) error {
	for _, name := range []string{"useradd", "usermod", "userdel", "groupdel", "gpasswd", "tar"} {
		if _, err := findTool(name); err != nil {
			return access.Fail(access.Unavailable, "no-tool", err.Error()).Try("install it (Debian: passwd, tar; Red Hat: shadow-utils, tar)")
		}
	}
	return nil
}

var includesRules = regexp.MustCompile(`(?m)^[@#]includedir[ \t]+(\S+)[ \t]*$`)

func (c *Connector) checkSudo(ctx context.Context) error {
	for _, name := range []string{"sudo", "visudo", "cvtsudoers"} {
		if _, err := findTool(name); err != nil {
			return access.Fail(access.Unavailable, "no-sudo", err.Error()).Try("install sudo")
		}
	}
	path := filepath.Join(c.Etc, "sudoers")
	text, err := readFile(path)
	if err != nil {
		return err
	}
	for _, m := range includesRules.FindAllStringSubmatch(text, -1) {
		if filepath.Clean(m[1]) == filepath.Join(c.Etc, "sudoers.d") {
			return runTool(ctx, "visudo", "--check", "--quiet", "--file="+path)
		}
	}
	return access.Fail(access.Unavailable, "no-includedir", path+" does not include sudoers.d").Try("put this at the end of it, with visudo: @includedir " + filepath.Join(c.Etc, "sudoers.d"))
}

func (c *Connector) checkPAM(context.Context) error {
	text, err := readFile(c.PAM)
	if err != nil {
		return err
	}
	if why := badPAM(text, c.Hook); why != "" {
		return access.Fail(access.Unavailable, "pam-hook", c.PAM+" does not call the hook as it must be").Because(why).
			Try("make this the first and the last session line: " + hookLine(c.Hook))
	}
	return nil
}

func hookLine(hook string) string {
	return "session required pam_exec.so quiet " + hook + " pam-session"
}

// badPAM says what is wrong with the session stack of a PAM file; empty when nothing is.
// An included file whose name does not say that it is for something else counts as part
// of the stack.
func badPAM(text, hook string) string {
	var stack [][]string
	for l := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		l, _, _ = strings.Cut(l, "#")
		f := strings.Fields(l)
		switch {
		case len(f) < 2:
		case f[0] == "@include":
			if !strings.HasSuffix(f[1], "-auth") && !strings.HasSuffix(f[1], "-account") && !strings.HasSuffix(f[1], "-password") {
				stack = append(stack, f)
			}
		case strings.TrimPrefix(f[0], "-") == "session":
			stack = append(stack, f)
		}
	}
	ours := func(f []string) bool {
		n := len(f)
		return n >= 5 && f[0] == "session" && (f[1] == "required" || f[1] == "requisite") && f[2] == "pam_exec.so" && f[n-2] == hook && f[n-1] == "pam-session"
	}
	switch n := len(stack); {
	case n < 2 || !ours(stack[0]):
		return "the first session line is not the hook's"
	case !ours(stack[n-1]):
		return "the last session line is not the hook's"
	}
	for _, f := range stack[:len(stack)-1] {
		if f[0] != "@include" && (f[1] == "sufficient" || strings.Contains(f[1], "done") || strings.Contains(f[1], "=die")) {
			return "the line " + strconv.Quote(strings.Join(f, " ")) + " can end the stack before the last one"
		}
	}
	return ""
}
