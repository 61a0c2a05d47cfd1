package host

import (
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// account is a line of passwd with what shadow says of it. Accounts of directories
// (sssd, winbind) are none: nothing here could make or end them.
type account struct {
	name        string
	uid, gid    int
	gecos       string
	home, shell string

	shadowed bool
	password string // the hash as it stands in shadow, "!" in front where it is locked
	expires  int    // days since 1970; -1: never
	// changed is the day on which the password was set, 0 where it has to be at the next
	// log-in, and longest for how many days it is good; -1 where shadow does not say.
	changed, longest int
}

// accounts reads all of them, in the order of passwd.
func (c *Connector) accounts() ([]account, error) {
	text, err := readFile(filepath.Join(c.Etc, "passwd"))
	if err != nil {
		return nil, err
	}
	hidden, err := readFile(filepath.Join(c.Etc, "shadow"))
	if err != nil {
		return nil, err
	}
	return parseAccounts(text, hidden), nil
}

func parseAccounts(passwd, shadow string) (as []account) {
	type secret struct {
		password                  string
		expires, changed, longest int
	}
	hidden := map[string]secret{}
	for line := range strings.Lines(shadow) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) < 8 {
			continue
		}
		x := secret{f[1], -1, -1, -1}
		for n, day := range map[int]*int{2: &x.changed, 4: &x.longest, 7: &x.expires} {
			if d, err := strconv.Atoi(f[n]); err == nil {
				*day = d
			}
		}
		if _, twice := hidden[f[0]]; !twice { // the first one counts, as for the system
			hidden[f[0]] = x
		}
	}
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) != 7 || f[0] == "" || f[0][0] == '#' || f[0][0] == '+' || f[0][0] == '-' {
			continue
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		a := account{name: f[0], uid: int(uid), gid: int(gid), gecos: f[4], home: f[5], shell: f[6], expires: -1, changed: -1, longest: -1}
		if x, ok := hidden[a.name]; ok {
			a.shadowed, a.password, a.expires, a.changed, a.longest = true, x.password, x.expires, x.changed, x.longest
		}
		as = append(as, a)
	}
	return as
}

// account finds one by its name.
func (c *Connector) account(name string) (account, bool, error) {
	as, err := c.accounts()
	for _, a := range as {
		if a.name == name {
			return a, true, err
		}
	}
	return account{}, false, err
}

// expired reports whether the host refuses log-ins because the account's day has come.
func (a account) expired(now time.Time) bool {
	return a.expires >= 0 && now.UTC().Unix()/86400 >= int64(a.expires)
}

// locked reports whether there is no password that would fit.
func (a account) locked() bool { return strings.HasPrefix(a.password, "!") }

// noShell reports whether a log-in ends before anything is run.
func (a account) noShell() bool {
	switch filepath.Base(a.shell) {
	case "nologin", "false":
		return true
	}
	return false
}

// standing finds the account that an order acts on, and refuses those that no order may
// touch.
func (c *Connector) standing(s *subject) (account, error) {
	if s.login == "" {
		return account{}, access.Fail(access.Invalid, "no-account", "the order names no account")
	}
	a, ok, err := c.account(s.login)
	switch {
	case err != nil:
		return a, err
	case !ok:
		return a, access.Fail(access.NotFound, "no-such-account", "there is no account "+s.login+" on the host").
			Because("its passwd file does not list it").Try("create it, or map the person to another account in the resource")
	case a.uid == 0:
		return a, access.Fail(access.Denied, "protected-account", s.login+" is root, whose sessions nothing on the host can be sure to end").
			Try("lend a command with the mechanism elevate, or an account that is not root")
	case s.uid >= 0 && a.uid != s.uid:
		return a, access.Fail(access.Conflict, "another-account", s.login+" is not the account that was there when this was asked for").
			Because("it had uid " + strconv.Itoa(s.uid) + " and has uid " + strconv.Itoa(a.uid)).Try("ask anew")
	}
	return a, nil
}
