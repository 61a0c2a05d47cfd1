package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"stint/internal/access"
	"stint/internal/connector/linux"
)

// A rule that lets an account run commands by sudo also lets a program beside the agent
// run them for that account, recorded. This is what such a program asks, and does: it
// finds the rule, and starts the command in a cgroup of the rule's order,
//
//	stint/TAG/e-ID/
//
// under the lock under which the rule is removed, so that nothing starts after it.

const commandPrefix = "e-"

// Command is what a rule allows, ready to be run.
type Command struct {
	Tag     access.Tag
	Account string // for people; its uid counts
	UID     int
	RunAs   string
	As      int       // its uid
	Ends    time.Time // of the rule
	Argv    []string

	as account
}

// Line is the command as the rule has it.
func (c Command) Line() string { return strings.Join(c.Argv, " ") }

// maxArgv bounds what is compared: no rule has a longer command.
const maxArgv = 256

// Allowed finds the rule by which an account may run a command, of several the one that
// ends last. What a rule allows is one program by its path, and exactly its arguments: no
// shell sees them, no pattern is tried, and no folder is searched.
func (c *Connector) Allowed(uid int, argv []string) (Command, error) {
	if len(argv) == 0 || len(argv) > maxArgv || !filepath.IsAbs(argv[0]) {
		return Command{}, access.Fail(access.Invalid, "no-command", "that is no command that could be allowed").
			Because("a command is the absolute path of a program, and its exact arguments").Try("see what your role allows: stint get role ROLE")
	}
	rules, err := c.rulesOf(uid)
	if err != nil {
		return Command{}, err
	}
	var best *rule
	for _, r := range rules {
		if !r.allows(argv) {
			continue
		}
		if best == nil || r.ends.After(best.ends) {
			best = &r
		}
	}
	switch {
	case len(rules) == 0:
		return Command{}, noElevation()
	case best == nil:
		return Command{}, access.Fail(access.Denied, "other-command", "your access does not allow this command").
			Because("it is compared word for word, with its arguments").Try("your access allows: " + strings.Join(rules[0].commands, "; "))
	}
	if err := CheckProgram(argv[0]); err != nil { // it may have been replaced since it was lent
		return Command{}, err
	}
	as, err := c.accounts()
	if err != nil {
		return Command{}, err
	}
	i := slices.IndexFunc(as, func(a account) bool { return a.uid == best.as })
	if i < 0 {
		return Command{}, access.Fail(access.NotFound, "no-such-account", "the account that the command runs as is gone")
	}
	return Command{Tag: best.tag, Account: best.account, UID: uid, RunAs: as[i].name, As: as[i].uid, Ends: best.ends, Argv: slices.Clone(argv), as: as[i]}, nil
}

func noElevation() error {
	return access.Fail(access.Denied, "no-elevation", "nothing is lent to this account on this host").
		Because("no access of the mechanism elevate is active for it").Try("ask for it: stint elevate --as ROLE --for DURATION --why TEXT -- COMMAND")
}

// HasRule reports whether an account may run anything.
func (c *Connector) HasRule(uid int) (bool, error) {
	rules, err := c.rulesOf(uid)
	return len(rules) > 0, err
}

// RuleEnds is when the rule of an order ends; zero where there is none. It is the first
// thing that goes when access ends.
func (c *Connector) RuleEnds(tag access.Tag) (time.Time, error) {
	if !linux.ValidTag(tag) {
		return time.Time{}, nil
	}
	text, err := readFile(c.sudoersFile(tag))
	if err != nil {
		return time.Time{}, err
	}
	r, ok := parseRule(text)
	if !ok || r.tag != tag {
		return time.Time{}, nil
	}
	return r.ends, nil
}

// rulesOf lists the rules of an account that have not ended.
func (c *Connector) rulesOf(uid int) (found []rule, err error) {
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
		// One that somebody has changed is not understood, and allows nothing.
		if r, ok := parseRule(text); ok && r.tag == tag && r.uid == uid && uid > 0 && r.ends.After(c.Now()) {
			found = append(found, r)
		}
	}
	return found, nil
}

// allows compares word for word. An argument with a space in it is never two.
func (r rule) allows(argv []string) bool {
	return slices.ContainsFunc(r.commands, func(text string) bool { return slices.Equal(strings.Split(text, " "), argv) })
}

// Start starts a command in a cgroup of its own. Its rule is looked up once more under the
// lock under which it would be removed: afterwards either it does not start, or the end
// of the order finds it in its cgroup. cmd's path, arguments, environment, folder and
// account are set here, whatever was there.
func (c *Connector) Start(ctx context.Context, x Command, id string, cmd *exec.Cmd) error {
	if !validCommandID(id) {
		return access.Fail(access.Internal, "bad-id", "the command's id cannot name a cgroup")
	}
	groups, err := c.groups()
	if err != nil {
		return err
	}
	credential := &syscall.Credential{Uid: uint32(x.as.uid), Gid: uint32(x.as.gid)}
	for _, g := range groups {
		if slices.Contains(g.members, x.as.name) && g.gid != x.as.gid {
			credential.Groups = append(credential.Groups, uint32(g.gid))
		}
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.Path, cmd.Args, cmd.Dir = x.Argv[0], slices.Clone(x.Argv), "/" // not the caller's: it would choose what a relative name means
	cmd.Env = append(cleanEnvironment(x.as, x.Tag), cmd.Env...)
	cmd.SysProcAttr.Credential, cmd.SysProcAttr.Setsid = credential, true
	return c.locked(ctx, exclusive, func() error {
		now, err := c.Allowed(x.UID, x.Argv)
		if err != nil {
			return err
		}
		if now.Tag != x.Tag || now.as.uid != x.as.uid {
			return access.Fail(access.Expired, "access-ended", "the access that allowed the command has just ended").Try("try again")
		}
		path := c.commandCgroup(x.Tag, id)
		if err := makeCgroup(c.cgroup(x.Tag)); err != nil {
			return err
		}
		if err := makeCgroup(path); err != nil {
			return err
		}
		dir, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = dir.Close() }() // only named
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
		if err := cmd.Start(); err != nil {
			return errors.Join(access.Fail(access.Unavailable, "not-started", "the command could not be started").Because(cause(err)), removeEmpty(path))
		}
		return nil
	})
}

// cause is what the system said, without our words around it.
func cause(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}

// cleanEnvironment is all that a command has from us: nothing of the caller's gets
// there but what the caller's door has looked at.
func cleanEnvironment(as account, tag access.Tag) []string {
	return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + as.home, "USER=" + as.name, "LOGNAME=" + as.name, "SHELL=/bin/sh", "LANG=C.UTF-8",
		orderVariable + "=" + string(tag)}
}

func (c *Connector) commandCgroup(tag access.Tag, id string) string {
	return filepath.Join(c.cgroup(tag), commandPrefix+id)
}

func validCommandID(id string) bool {
	return len(id) >= 8 && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// EndCommand ends every process of a command and takes its cgroup away.
func (c *Connector) EndCommand(ctx context.Context, tag access.Tag, id string) error {
	if !linux.ValidTag(tag) || !validCommandID(id) {
		return access.Fail(access.Internal, "bad-id", "there is no such command")
	}
	return endTree(ctx, c.commandCgroup(tag, id))
}

func endTree(ctx context.Context, top string) error {
	if err := killTree(ctx, top); err != nil {
		return err
	}
	paths, err := tree(top)
	if err != nil {
		return err
	}
	for _, path := range paths { // the deepest first
		if err := removeEmpty(path); err != nil {
			return err
		}
	}
	return nil
}

// EndCommands ends the commands of all orders: whoever ran and recorded them is gone.
func (c *Connector) EndCommands(ctx context.Context) error {
	paths, err := filepath.Glob(filepath.Join(c.Cgroup, "*", commandPrefix+"*"))
	for _, path := range paths {
		err = errors.Join(err, endTree(ctx, path))
	}
	return err
}

// removeEmpty removes a cgroup in which nothing runs. The kernel lets go of the last
// process a moment after it is dead.
func removeEmpty(path string) error {
	for end := time.Now().Add(time.Second); ; time.Sleep(2 * time.Millisecond) {
		err := unix.Rmdir(path)
		switch {
		case err == nil, errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.EBUSY) || time.Now().After(end):
			return &fs.PathError{Op: "remove the cgroup", Path: path, Err: err}
		}
	}
}
