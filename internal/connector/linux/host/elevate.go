package host

import (
	"bytes"
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
	"stint/internal/connector"
	"stint/internal/connector/linux"
)

// An elevation is a file in sudoers.d, sudoers(5). Accounts stand in it by their number,
// so that no name can be read as an alias or as ALL, and commands with all that sudo
// would read otherwise refused beforehand:
//
//	Cmnd_Alias STINT_TAG = /usr/bin/systemctl restart web, /usr/bin/id ""
//	Defaults!STINT_TAG env_reset, !setenv, env_file="/var/lib/stint-agent/env/TAG"
//	#1001 ALL = (#0) NOTAFTER=20261123160000Z NOPASSWD: STINT_TAG
//
// Where the role keeps them from sudo the last line is a comment: "# " before it. The file
// is the right all the same, for stint elevate (command.go).
//
// The file of the environment gives what such a command runs, and all that it starts, a
// mark by which it is ended.
const (
	sudoersPrefix = "stint-"
	orderVariable = "STINT_ORDER"
	notAfter      = "20060102150405Z"
)

func (c *Connector) sudoersFile(tag access.Tag) string {
	return filepath.Join(c.Etc, "sudoers.d", sudoersPrefix+string(tag))
}

func (c *Connector) envFile(tag access.Tag) string { return filepath.Join(c.State, "env", string(tag)) }

// rule is what the file of an order says.
type rule struct {
	tag      access.Tag
	account  string // for people; its uid counts
	uid      int
	as       int // whom the commands run as
	ends     time.Time
	commands []string
	env      string
	noSudo   bool // for stint elevate alone
}

const noSudo = "# " // before the last line: a comment, where "#1001" would be a uid

const ruleHead = "# Made by Stint for one order, and removed with it: "

func (r rule) String() string {
	alias := "STINT_" + strings.ToUpper(string(r.tag))
	commands := make([]string, len(r.commands))
	for i, text := range r.commands {
		path, args, has := strings.Cut(text, " ")
		if !has {
			args = `""` // without it sudo takes any arguments
		}
		commands[i] = path + " " + sudoersQuote.Replace(args)
	}
	sudo := ""
	if r.noSudo {
		sudo = noSudo
	}
	return ruleHead + r.account + "\n" +
		"Cmnd_Alias " + alias + " = " + strings.Join(commands, ", ") + "\n" +
		"Defaults!" + alias + " env_reset, !setenv, env_file=\"" + r.env + "\"\n" +
		sudo + "#" + strconv.Itoa(r.uid) + " ALL = (#" + strconv.Itoa(r.as) + ") NOTAFTER=" + lastSecond(r.ends).Format(notAfter) + " NOPASSWD: " + alias + "\n"
}

// sudoersQuote quotes what linux.ValidCommand lets through and sudo would read as its own.
var sudoersQuote = strings.NewReplacer("=", `\=`, ":", `\:`)

// parseRule reads what String wrote, and nothing else.
func parseRule(text string) (r rule, ok bool) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || lines[4] != "" {
		return r, false
	}
	if r.account, ok = strings.CutPrefix(lines[0], ruleHead); !ok || !linux.ValidName(r.account) {
		return r, false
	}
	alias, list, ok := strings.Cut(strings.TrimPrefix(lines[1], "Cmnd_Alias "), " = ")
	if !ok {
		return r, false
	}
	lower, ok := strings.CutPrefix(alias, "STINT_")
	if r.tag = access.Tag(strings.ToLower(lower)); !ok || !linux.ValidTag(r.tag) {
		return r, false
	}
	unquote := strings.NewReplacer(`\=`, "=", `\:`, ":")
	for item := range strings.SplitSeq(list, ", ") {
		r.commands = append(r.commands, strings.TrimSuffix(unquote.Replace(item), ` ""`))
	}
	if _, quoted, found := strings.Cut(lines[2], `env_file="`); found {
		r.env = strings.TrimSuffix(quoted, `"`)
	}
	lines[3], r.noSudo = strings.CutPrefix(lines[3], noSudo)
	f := strings.Fields(lines[3])
	if len(f) != 7 {
		return r, false
	}
	var err1, err2, err3 error
	r.uid, err1 = strconv.Atoi(strings.TrimPrefix(f[0], "#"))
	r.as, err2 = strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(f[3], "(#"), ")"))
	r.ends, err3 = time.Parse(notAfter, strings.TrimPrefix(f[4], "NOTAFTER="))
	r.ends = r.ends.Add(time.Second)
	for _, text := range r.commands {
		if !linux.ValidCommand(text) {
			return r, false
		}
	}
	return r, err1 == nil && err2 == nil && err3 == nil && r.String() == text
}

// mayElevate finds the accounts of an order, and checks that its commands are what they
// seem: one that somebody else may write is anything that they want.
func (c *Connector) mayElevate(s *subject) (a account, as int, err error) {
	if a, err = c.standing(s); err != nil {
		return a, 0, err
	}
	target, ok, err := c.account(s.opt.RunAs)
	switch {
	case err != nil:
		return a, 0, err
	case !ok:
		return a, 0, access.Fail(access.NotFound, "no-such-account", "there is no account "+s.opt.RunAs+" on the host to run commands as")
	case len(s.order.Rights) == 0:
		return a, 0, access.Fail(access.Invalid, "no-rights", "there is no command to run")
	}
	for _, text := range s.order.Rights {
		path, _, _ := strings.Cut(text, " ")
		if err := CheckProgram(path); err != nil {
			return a, 0, err
		}
	}
	return a, target.uid, nil
}

// mostLinks is how many links lead to one program at most, path_resolution(7).
const mostLinks = 40

// CheckProgram refuses a program that others than root can change, or a folder or a link
// on the way to it that they can: the path is written down, and followed again each time.
func CheckProgram(path string) error {
	if !filepath.IsAbs(path) {
		return access.Fail(access.Invalid, "no-program", path+" is no path of a program")
	}
	here, names, links := "/", strings.Split(path, "/"), 0
	st, err := rootsAlone(path, here)
	for ; err == nil && len(names) > 0; names = names[1:] {
		switch names[0] {
		case "", ".":
			continue
		case "..":
			here = filepath.Dir(here) // it is no link
			continue
		}
		next := filepath.Join(here, names[0])
		if st, err = rootsAlone(path, next); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
			here = next
			continue
		}
		if links++; links > mostLinks {
			return access.Fail(access.Invalid, "no-program", path+" leads through too many links")
		}
		to, e := os.Readlink(next)
		if filepath.IsAbs(to) {
			here = "/"
		}
		names, err = append([]string{""}, append(strings.Split(to, "/"), names[1:]...)...), e
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return access.Fail(access.NotFound, "no-such-command", "there is no program "+path+" on the host")
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0:
		return access.Fail(access.Invalid, "no-program", path+" is not a program")
	}
	return nil
}

// rootsAlone looks at one part of the way to a program: what is not root's, or what others
// may write, is refused. In a sticky folder nobody else moves what is root's.
func rootsAlone(program, part string) (st unix.Stat_t, err error) {
	if err := unix.Lstat(part, &st); err != nil {
		return st, &fs.PathError{Op: "look at", Path: part, Err: err}
	}
	form := st.Mode & unix.S_IFMT
	sticky := form == unix.S_IFDIR && st.Mode&unix.S_ISVTX != 0
	if st.Uid != 0 || form != unix.S_IFLNK && st.Mode&0o022 != 0 && !sticky {
		return st, access.Fail(access.Denied, "loose-program", program+" can be changed by others than root").
			Because(fmt.Sprintf("%s belongs to uid %d with mode %04o", part, st.Uid, st.Mode&0o7777)).
			Try("on the host: chown --no-dereference root " + part + " && chmod go-w " + part)
	}
	return st, nil
}

func (c *Connector) observeElevate(s *subject) (connector.Before, error) {
	_, _, err := c.mayElevate(s)
	return connector.Before{}, err
}

func (c *Connector) provisionElevate(ctx context.Context, _ connector.Target, s *subject) (connector.Receipt, error) {
	a, as, err := c.mayElevate(s)
	if err != nil {
		return connector.Receipt{}, err
	}
	text, err := readFile(c.sudoersFile(s.order.Tag))
	if err != nil {
		return connector.Receipt{}, err
	}
	if text == "" && s.order.Renew != connector.Keep {
		return connector.Receipt{}, nothingToRenew()
	}
	want := rule{tag: s.order.Tag, account: a.name, uid: a.uid, as: as, ends: s.order.ExpiresAt.UTC().Truncate(time.Second),
		commands: s.order.Rights, env: c.envFile(s.order.Tag), noSudo: s.opt.NoSudo}
	if r, ok := parseRule(text); ok && r.ends.After(want.ends) { // never lowered: a call can arrive late
		want.ends = r.ends
	}
	r := connector.Receipt{Account: a.name, Creation: strconv.Itoa(a.uid)}
	if text == want.String() {
		return r, nil
	}
	if err := c.checkSudoers(ctx, s.order.Tag, want.String()); err != nil {
		return connector.Receipt{}, err
	}
	if err := ensureFolder(filepath.Dir(want.env), 0o700); err != nil {
		return connector.Receipt{}, err
	}
	if err := c.disk.replace(want.env, 0o600, []byte(orderVariable+"="+string(s.order.Tag)+"\n")); err != nil {
		return connector.Receipt{}, err
	}
	return r, c.disk.replace(c.sudoersFile(s.order.Tag), 0o440, []byte(want.String()))
}

// checkSudoers lets visudo read what is about to be installed: one file that sudo cannot
// read, and nobody on the host can use sudo.
func (c *Connector) checkSudoers(ctx context.Context, tag access.Tag, text string) error {
	if err := ensureFolder(c.State, 0o700); err != nil {
		return err
	}
	path := filepath.Join(c.State, "check-"+string(tag))
	if err := os.WriteFile(path, []byte(text), 0o440); err != nil {
		return err
	}
	err := errors.Join(runTool(ctx, "visudo", "--check", "--quiet", "--file="+path), removeFile(path))
	var said *toolError
	if errors.As(err, &said) {
		return access.Fail(access.Invalid, "bad-sudoers", "sudo does not accept the rule of this order").Because(said.said)
	}
	return err
}

func (c *Connector) revokeElevate(_ context.Context, s *subject) (foreign bool, err error) {
	return false, removeFile(c.sudoersFile(s.order.Tag))
}

// elevated matches what runs under an order: whatever has its mark in the environment it
// was started with.
func elevated(tag access.Tag) func(identity) bool {
	want := []byte(orderVariable + "=" + string(tag))
	return func(i identity) bool {
		return slices.ContainsFunc(bytes.Split(environment(i.pid), []byte{0}), func(v []byte) bool { return bytes.Equal(v, want) })
	}
}

// environment is what a process was started with. In the midst of execve(2) it is another
// program already and its environment is not there yet, for as long as others have the
// processor: that is waited for, or a command that just starts would be none of the order's.
func environment(pid int) []byte {
	read := func() []byte {
		b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ") // one that ended has none
		return b
	}
	b := read()
	for n := 0; len(b) == 0 && n < 400 && starting(pid); n++ {
		time.Sleep(5 * time.Millisecond)
		b = read()
	}
	if len(b) == 0 { // it has started by now, if it has not before
		b = read()
	}
	return b
}

// starting reports whether a process has a program, and no place for its environment yet:
// env_start of proc_pid_stat(5), the 50th field. What runs in the kernel has no program.
func starting(pid int) bool {
	if _, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe"); err != nil {
		return false
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]) // from the 3rd on
	return len(fields) > 47 && string(fields[47]) == "0"
}

// undecided matches a sudo that an account started and that has not started its command
// yet: it may have read the rule before it was removed. sudo runs as root by then, so that
// only what it descends from tells whose it is; one whose parent is gone may be.
func undecided(uid int) func(identity) bool {
	return func(i identity) bool {
		if !isSudo(i.pid) {
			return false
		}
		if started(i.pid, 0) {
			return false
		}
		for p := i; ; {
			if p.is(uid) {
				return true
			}
			if p.parent <= 1 {
				return isSudo(p.pid)
			}
			var ok bool
			if p, ok = readIdentity(p.parent); !ok {
				return false // ended meanwhile; the next look finds its child elsewhere
			}
		}
	}
}

// started reports whether a sudo has started its command, itself or, on a terminal, by a
// second one. A child that is sudo still has not, and may have come after a look at /proc
// began: its parent stands for it.
func started(pid, depth int) bool {
	kids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return true // ended meanwhile; the next look finds its child elsewhere
	}
	return slices.ContainsFunc(numbers(string(kids)), func(kid int) bool {
		return !isSudo(kid) || depth < 8 && started(kid, depth+1)
	})
}

func isSudo(pid int) bool {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	return err == nil && filepath.Base(exe) == "sudo"
}

func (c *Connector) terminateElevate(ctx context.Context, s *subject) error {
	a, ok, err := c.account(s.login)
	if err != nil {
		return err
	}
	if ok {
		if err := end(ctx, undecided(a.uid)); err != nil {
			return err
		}
	}
	if err := c.kill(ctx, s.order.Tag); err != nil { // what runs recorded, each in a cgroup of its own
		return err
	}
	return end(ctx, elevated(s.order.Tag))
}

func (c *Connector) removeElevate(_ context.Context, s *subject) error {
	text, err := readFile(c.sudoersFile(s.order.Tag))
	switch {
	case err != nil:
		return err
	case text != "":
		return access.Fail(access.Conflict, "not-revoked", "the order's rule is still in sudoers.d")
	}
	ps, err := processes(elevated(s.order.Tag))
	switch {
	case err != nil:
		return err
	case len(ps) > 0:
		return access.Fail(access.Conflict, "sessions-open", "commands of the order still run: "+strconv.Itoa(len(ps)))
	}
	if err := c.removeCgroup(s.order.Tag); err != nil {
		return err
	}
	return removeFile(c.envFile(s.order.Tag))
}

func (c *Connector) verifyElevate(s *subject) (o connector.Observation, err error) {
	text, err := readFile(c.sudoersFile(s.order.Tag))
	if err != nil {
		return o, err
	}
	ps, err := processes(elevated(s.order.Tag))
	if err != nil {
		return o, err
	}
	o.Sessions, o.LastActive = roots(ps), lastStart(ps).UTC()
	recorded, last, err := c.sessions(s.order.Tag)
	if err != nil {
		return o, err
	}
	if recorded > o.Sessions { // a command can take the mark out of its environment, and not leave its cgroup
		o.Sessions, o.LastActive = recorded, last
	}
	if text == "" {
		if o.Presence = connector.Absent; c.hasCgroup(s.order.Tag) {
			o.Presence, o.Err = connector.NotKnown, access.Fail(access.Pending, "cgroup-left", "the rule is gone, and the cgroup of its commands is still there")
		} else if fileExists(c.envFile(s.order.Tag)) {
			o.Presence, o.Err = connector.NotKnown, access.Fail(access.Pending, "mark-left", "the rule is gone, and its mark is still there")
		}
		return o, nil
	}
	r, ok := parseRule(text)
	a, e := c.standing(s)
	switch {
	case !ok || r.tag != s.order.Tag || !s.order.ExpiresAt.IsZero() && !slices.Equal(r.commands, s.order.Rights):
		o.Err = access.Fail(access.Conflict, "rule-changed", "the order's rule is not as it was ordered")
	case e != nil:
		o.Err = e
	case a.uid != r.uid:
		o.Err = access.Fail(access.Conflict, "another-account", "the order's rule is not for "+s.login)
	case !r.ends.After(c.Now()):
		o.Err = access.Fail(access.Expired, "rule-expired", "the order's rule has expired")
	case !fileExists(r.env):
		o.Err = access.Fail(access.Conflict, "mark-missing", "the order's rule is there without the mark of what it runs")
	default:
		o.Presence, o.Ends = connector.Present, r.ends
	}
	return o, nil
}

func fileExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// rules lists the orders that have a rule.
func (c *Connector) rules() (found []connector.Artefact, err error) {
	es, err := os.ReadDir(filepath.Join(c.Etc, "sudoers.d"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range es {
		tag, ok := linux.PrincipalTag(e.Name()) // the same prefix
		if !ok {
			continue
		}
		text, err := readFile(c.sudoersFile(tag))
		if err != nil {
			return nil, err
		}
		a := connector.Artefact{Mechanism: access.Elevate, Tag: tag, Ours: true, Detail: "a rule by which an account runs commands with more privilege"}
		if r, ok := parseRule(text); ok {
			a.Account, a.Creation = r.account, strconv.Itoa(r.uid)
		}
		found = append(found, a)
	}
	return found, nil
}
