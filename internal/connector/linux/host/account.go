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
	"stint/internal/connector"
	"stint/internal/connector/linux"
)

// An account that is made for a grant is called after the person and the tag's MAC, and
// carries the whole tag in its comment:
//
//	s-mira-3k7q…  uid 70412  stint-TAG  /home/s-mira-3k7q…
//
// Its uid comes from a range of our own and is given anew only when the range has been
// gone through and nothing runs as it: what an account left in /tmp is not the next
// one's.
const (
	firstUID = 70000 // between those of distributions and those of containers, systemd's UIDS-GIDS
	lastUID  = 99999
)

func macOf(tag access.Tag) string { return string(tag[len(tag)-16:]) }

// accountTag reads the tag of an account that was made for a grant, from its comment and
// its name, which must agree.
func accountTag(a account) (access.Tag, bool) {
	comment, _, _ := strings.Cut(a.gecos, ",") // people may fill in what follows, chfn(1)
	tag, ok := linux.PrincipalTag(comment)
	return tag, ok && strings.HasPrefix(a.name, linux.AccountPrefix) && strings.HasSuffix(a.name, "-"+macOf(tag))
}

// made finds an order's account. foreign says that something else has its name, or its
// place.
func (c *Connector) made(s *subject) (a account, ok, foreign bool, err error) {
	a, ok, err = c.account(s.login)
	if err != nil || !ok {
		return a, false, false, err
	}
	tag, ours := accountTag(a)
	foreign = !ours || tag != s.order.Tag || s.uid >= 0 && a.uid != s.uid || a.uid == 0
	return a, true, foreign, nil
}

func foreignAccount(a account) error {
	return access.Fail(access.Conflict, "foreign-account", "the account "+a.name+" is not the one that was made for this order").
		Because("it has uid " + strconv.Itoa(a.uid) + " and the comment " + strconv.Quote(short(a.gecos))).
		Try("look who made it, then let an administrator of the host run: userdel " + a.name)
}

func (c *Connector) provisionAccount(ctx context.Context, t connector.Target, s *subject) (connector.Receipt, error) {
	gs, err := c.asked(s)
	if err != nil {
		return connector.Receipt{}, err
	}
	a, ok, foreign, err := c.made(s)
	switch {
	case err != nil:
		return connector.Receipt{}, err
	case foreign:
		return connector.Receipt{}, foreignAccount(a)
	case !ok && (s.order.Renew != connector.Keep || s.uid >= 0):
		return connector.Receipt{}, nothingToRenew()
	case !ok:
		if a, err = c.makeAccount(ctx, s, gs); err != nil {
			return connector.Receipt{}, err
		}
	default:
		for _, g := range gs { // one that was lost on the way
			if !g.in(a) {
				if err := c.tools.run(ctx, "gpasswd", "--add", a.name, g.name); err != nil {
					return connector.Receipt{}, err
				}
			}
		}
		if until := lastDay(s.order.ExpiresAt); a.expires < until {
			if a.expired(c.Now()) && s.order.Renew != connector.Keep {
				return connector.Receipt{}, nothingToRenew() // it was revoked
			}
			if err := c.tools.run(ctx, "usermod", "--expiredate", date(until), a.name); err != nil {
				return connector.Receipt{}, err
			}
		}
	}
	return c.writeLine(t, s, a)
}

func (c *Connector) makeAccount(ctx context.Context, s *subject, gs []group) (account, error) {
	uid, err := c.nextUID()
	if err != nil {
		return account{}, err
	}
	names := make([]string, len(gs))
	for i, g := range gs {
		names[i] = g.name
	}
	if err := c.writeNote(s.order.Tag, note{Mechanism: access.Account, Account: s.login, UID: uid, Home: s.opt.Home}); err != nil {
		return account{}, err
	}
	args := []string{"--uid", strconv.Itoa(uid), "--user-group", "--comment", linux.Principal(s.order.Tag),
		"--create-home", "--home-dir", c.home(s.login), "--shell", s.opt.Shell, "--expiredate", date(lastDay(s.order.ExpiresAt)), "--no-log-init", "-K", "UMASK=077"}
	if len(names) > 0 {
		args = append(args, "--groups", strings.Join(names, ","))
	}
	args = append(args, "--", s.login)
	if err := c.tools.run(ctx, "useradd", args...); err != nil {
		return account{}, err
	}
	a, ok, err := c.account(s.login)
	if err == nil && (!ok || a.uid != uid) {
		err = errors.New("useradd made no account, and said that it did")
	}
	return a, err
}

func (c *Connector) home(login string) string { return filepath.Join(c.Homes, login) }

// nextUID takes the next free one of the range, durably, so that none comes again before
// all others have.
func (c *Connector) nextUID() (int, error) {
	path := filepath.Join(c.State, "uid")
	text, err := readFile(path)
	if err != nil {
		return 0, err
	}
	last, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || last < firstUID || last > lastUID {
		last = firstUID - 1
	}
	as, err := c.accounts()
	if err != nil {
		return 0, err
	}
	taken := map[int]bool{}
	for _, a := range as {
		taken[a.uid] = true
	}
	gs, err := c.groups() // the account's own group has the same number
	if err != nil {
		return 0, err
	}
	for _, g := range gs {
		taken[g.gid] = true
	}
	ps, err := processes(func(identity) bool { return true })
	if err != nil {
		return 0, err
	}
	for _, p := range ps {
		for _, id := range slices.Concat(p.uids, p.gids, p.groups) {
			taken[id] = true
		}
	}
	for range lastUID - firstUID + 1 {
		if last++; last > lastUID {
			last = firstUID
		}
		if !taken[last] {
			return last, c.disk.replace(path, 0o600, []byte(strconv.Itoa(last)+"\n"))
		}
	}
	return 0, access.Fail(access.Unavailable, "no-uid", "all uids for accounts are taken").
		Because(fmt.Sprintf("%d to %d are in use", firstUID, lastUID))
}

// revokeAccount takes the line away and lets the account expire, which PAM asks for every
// kind of log-in. What only has its name is left without log-in too, and otherwise as it
// is.
func (c *Connector) revokeAccount(ctx context.Context, s *subject) (foreign bool, err error) {
	if err := c.revokeLines(s); err != nil {
		return false, err
	}
	a, ok, foreign, err := c.made(s)
	if err != nil || !ok || a.uid == 0 {
		return foreign, err
	}
	if a.expired(c.Now()) && a.locked() {
		return foreign, nil
	}
	return foreign, c.tools.run(ctx, "usermod", "--lock", "--expiredate", date(1), a.name)
}

// terminateAccount ends every process of the account, wherever it runs.
func (c *Connector) terminateAccount(ctx context.Context, s *subject) error {
	if err := c.kill(ctx, s.order.Tag); err != nil {
		return err
	}
	a, ok, foreign, err := c.made(s)
	if err != nil {
		return err
	}
	if ok && !foreign {
		return c.endAccount(ctx, a.name, a.uid)
	}
	n, noted, err := c.readNote(s.order.Tag)
	if err != nil || !noted {
		return err
	}
	return c.endAccount(ctx, n.Account, n.UID)
}

// endAccount ends every process of a uid, unless somebody else has it.
func (c *Connector) endAccount(ctx context.Context, name string, uid int) error {
	if uid <= 0 {
		return nil
	}
	as, err := c.accounts()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(as, func(a account) bool { return a.uid == uid && a.name != name }) {
		return nil
	}
	return endAll(ctx, uid)
}

// mayClear checks that nothing of an account runs that could change what is taken away.
func (c *Connector) mayClear(a account) error {
	if !a.expired(c.Now()) {
		return access.Fail(access.Conflict, "not-revoked", "the account "+a.name+" can still log in")
	}
	ps, err := processes(func(i identity) bool { return i.of(a.uid) })
	if err == nil && len(ps) > 0 {
		err = access.Fail(access.Conflict, "sessions-open", fmt.Sprintf("%d processes still run as %s", len(ps), a.name))
	}
	return err
}

// clearAccount takes the home away. That can take its time, and is not done under the
// lock. It goes first, so that a failure leaves the account that explains it.
func (c *Connector) clearAccount(ctx context.Context, s *subject) error {
	var a account
	var ours bool
	err := c.locked(ctx, shared, func() error {
		found, ok, foreign, err := c.made(s)
		if a, ours = found, ok && !foreign; err != nil || !ours {
			return err
		}
		return c.mayClear(a)
	})
	if err != nil || !ours {
		return err
	}
	return c.removeHome(ctx, s, a)
}

// removeAccount takes away what is left of an account that nobody can use: its timed jobs,
// and the account.
func (c *Connector) removeAccount(ctx context.Context, s *subject) error {
	a, ok, foreign, err := c.made(s)
	switch {
	case err != nil:
		return err
	case foreign:
		return foreignError{foreignAccount(a)}
	}
	if ok {
		if err := c.mayClear(a); err != nil {
			return err
		}
		if fileExists(c.home(a.name)) {
			return access.Fail(access.Conflict, "home-left", c.home(a.name)+" is still there")
		}
		if err := c.removeJobs(a); err != nil {
			return err
		}
		// It would refuse for a process that has ended and was not waited for: nothing else
		// runs, as was just seen.
		if err := c.tools.run(ctx, "userdel", "--force", a.name); err != nil {
			return err
		}
		if err := c.removeOwnGroup(ctx, a); err != nil {
			return err
		}
	}
	if err := c.removeSessions(s); err != nil {
		return err
	}
	return c.dropNote(s.order.Tag)
}

// removeOwnGroup takes the account's own group away where userdel did not (login.defs
// can tell it not to).
func (c *Connector) removeOwnGroup(ctx context.Context, a account) error {
	gs, err := c.groups()
	if err != nil {
		return err
	}
	for _, g := range gs {
		if g.name == a.name && g.gid == a.gid {
			return c.tools.run(ctx, "groupdel", g.name)
		}
	}
	return nil
}

// removeHome archives or removes the home. Nothing of the account runs any more that
// could change it meanwhile, and only the folder that was made for it is touched.
func (c *Connector) removeHome(ctx context.Context, s *subject, a account) error {
	path := c.home(a.name)
	var st unix.Stat_t
	switch err := unix.Lstat(path, &st); {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return &fs.PathError{Op: "look at", Path: path, Err: err}
	case st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != a.uid:
		return access.Fail(access.Conflict, "foreign-home", path+" is not the home that was made for this order").
			Try("look whose it is, move it away, and the removal goes on")
	}
	n, noted, err := c.readNote(s.order.Tag)
	if err != nil {
		return err
	}
	if keep := s.opt.Home == linux.HomeArchive || noted && n.Home == linux.HomeArchive; keep {
		if err := ensureFolder(filepath.Join(c.State, "homes"), 0o700); err != nil {
			return err
		}
		archive := filepath.Join(c.State, "homes", a.name+".tar.gz")
		if err := c.tools.run(ctx, "tar", "--create", "--gzip", "--one-file-system", "--file", archive, "--directory", c.Homes, "--", a.name); err != nil {
			return err
		}
		if err := os.Chmod(archive, 0o600); err != nil {
			return err
		}
	}
	return os.RemoveAll(path)
}

// removeJobs takes away what would run as the account later, or keeps mail for it. The
// spools belong to the account alone; jobs elsewhere are residue, and told as such.
func (c *Connector) removeJobs(a account) error {
	for _, path := range []string{"cron/crontabs/" + a.name, "cron/" + a.name} {
		if err := removeJob(filepath.Join(c.Spool, path)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"cron/atjobs", "at"} {
		es, err := os.ReadDir(filepath.Join(c.Spool, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range es {
			path := filepath.Join(c.Spool, dir, e.Name())
			var st unix.Stat_t
			if unix.Lstat(path, &st) == nil && int(st.Uid) == a.uid && st.Mode&unix.S_IFMT == unix.S_IFREG {
				if err := removeJob(path); err != nil {
					return err
				}
			}
		}
	}
	for _, path := range []string{"/var/lib/systemd/linger/" + a.name, "/var/mail/" + a.name} {
		if err := removeJob(path); err != nil {
			return err
		}
	}
	return nil
}

// removeJob takes a file away that may well not be there. It looks first: where the
// folder cannot be written, removing nothing is an error too.
func removeJob(path string) error {
	absent := func(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }
	if _, err := os.Lstat(path); absent(err) {
		return nil
	}
	if err := os.Remove(path); err != nil && !absent(err) {
		return err
	}
	return nil
}

func (c *Connector) verifyAccount(s *subject) (connector.Observation, error) {
	o, err := c.verifyLine(s)
	if err != nil {
		return o, err
	}
	a, ok, foreign, err := c.made(s)
	if err != nil {
		return o, err
	}
	n, noted, err := c.readNote(s.order.Tag)
	if err != nil {
		return o, err
	}
	not := func(e error) { o.Presence, o.Ends, o.Err = connector.NotKnown, time.Time{}, e }
	switch {
	case foreign:
		not(foreignAccount(a))
	case !ok && o.Presence != connector.Absent:
		not(access.Fail(access.Conflict, "account-missing", "the account "+s.login+" is not there, and its line is"))
	case !ok && noted:
		not(access.Fail(access.Pending, "note-left", "the account "+s.login+" is gone, and the order is still noted"))
	case !ok:
	case a.expired(c.Now()):
		not(access.Fail(access.Pending, "account-locked", "the account "+a.name+" is there without login"))
	case o.Presence != connector.Present:
		if o.Presence == connector.Absent {
			not(access.Fail(access.Conflict, "line-missing", "the account "+a.name+" is there, and its line is not"))
		}
	default:
		gs, err := c.groups()
		if err != nil {
			return o, err
		}
		for _, right := range s.order.Rights {
			if !slices.ContainsFunc(gs, func(g group) bool { return g.name == right && g.in(a) }) {
				not(access.Fail(access.Conflict, "group-missing", "the account "+a.name+" is not in all its groups"))
			}
		}
	}
	uid := -1
	switch {
	case ok && !foreign:
		uid = a.uid
	case noted:
		uid = n.UID
	case s.uid > 0 && !ok:
		uid = s.uid
		as, err := c.accounts()
		if err != nil {
			return o, err
		}
		if slices.ContainsFunc(as, func(a account) bool { return a.uid == uid }) {
			uid = -1 // it is another's by now
		}
	}
	if o.Sessions == 0 && uid > 0 {
		ps, err := processes(func(i identity) bool { return i.of(uid) })
		if err != nil {
			return o, err
		}
		if len(ps) > 0 {
			o.Sessions, o.LastActive = roots(ps), lastStart(ps).UTC()
		}
	}
	return o, nil
}

// foreignError is the refusal to touch what only stands in the place of ours.
type foreignError struct{ error }

func (e foreignError) Unwrap() error { return e.error }
