package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/linux"
)

// dormantAfter is how long nobody has used an account that can log in, for it to be told.
const dormantAfter = 90 * day

// Survey lists who has privilege on the host without Stint: rules of sudo, members of
// groups that are powerful or lent, further accounts of uid 0, keys that open accounts,
// and accounts that nobody uses.
func (c *Connector) Survey(ctx context.Context, _ connector.Target, lent []string, most int) (found []connector.Stand, cut bool, err error) {
	err = c.locked(ctx, shared, func() error {
		v, err := c.view()
		if err != nil {
			return err
		}
		for _, part := range []func(context.Context, *view) ([]connector.Stand, error){c.rooted, v.members(lent), c.ruled, c.keyed, c.unused} {
			more, err := part(ctx, v)
			if err != nil {
				return err
			}
			found = append(found, more...)
		}
		return nil
	})
	if err != nil {
		return nil, false, access.Fail(access.Unavailable, "host-unreadable", "the host's accounts cannot be read").Because(said(err)).Wrap(err)
	}
	slices.SortFunc(found, func(a, b connector.Stand) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Privilege, b.Privilege))
	})
	found = slices.CompactFunc(found, func(a, b connector.Stand) bool { return a.Account == b.Account && a.Privilege == b.Privilege })
	if len(found) > most {
		return found[:most], true, nil
	}
	return found, false, nil
}

// view is what a survey reads once.
type view struct {
	accounts []account // but those that Stint made
	groups   []group
	notes    map[access.Tag]note
}

func (c *Connector) view() (*view, error) {
	as, err1 := c.accounts()
	gs, err2 := c.groups()
	ns, err3 := c.notes()
	v := &view{groups: gs, notes: ns}
	for _, a := range as {
		if _, ours := accountTag(a); !ours {
			v.accounts = append(v.accounts, a)
		}
	}
	return v, errors.Join(err1, err2, err3)
}

// byStint reports whether an order lends the account the group, or has enabled it.
func (v *view) byStint(name, group string) bool {
	for _, n := range v.notes {
		if n.Account == name && (n.Mechanism == access.Enable || group != "" && slices.Contains(n.Rights, group)) {
			return true
		}
	}
	return false
}

func (*Connector) rooted(_ context.Context, v *view) (found []connector.Stand, err error) {
	for _, a := range v.accounts {
		if a.uid == 0 && a.name != "root" {
			found = append(found, connector.Stand{Account: a.name, Privilege: "uid 0", Kind: access.StandingPower,
				Undo: "usermod --lock --expiredate 1 " + a.name, Note: "it is root by another name: look what uses it before"})
		}
	}
	return found, nil
}

func (v *view) members(lent []string) func(context.Context, *view) ([]connector.Stand, error) {
	return func(context.Context, *view) (found []connector.Stand, err error) {
		for _, g := range v.groups {
			if !slices.Contains(linux.Powerful, g.name) && !slices.Contains(lent, g.name) {
				continue
			}
			for _, a := range v.accounts {
				if a.uid == 0 || !g.in(a) || a.expired(time.Now()) || v.byStint(a.name, g.name) {
					continue
				}
				s := connector.Stand{Account: a.name, Privilege: "member of " + g.name, Kind: access.StandingMember, Right: g.name,
					Undo: "gpasswd --delete " + a.name + " " + g.name, Note: "sessions that are open keep the group until they end"}
				if g.gid == a.gid {
					s.Undo, s.Note = "usermod --gid users "+a.name, "it is the account's primary group"
				}
				found = append(found, s)
			}
		}
		return found, nil
	}
}

// sudoRules is what we need of cvtsudoers' JSON, cvtsudoers(1).
type sudoRules struct {
	Specs []struct {
		Users []map[string]any `json:"User_List"`
		Cmnds []struct {
			RunAs    []map[string]any `json:"runasusers"`
			Commands []map[string]any `json:"Commands"`
		} `json:"Cmnd_Specs"`
	} `json:"User_Specs"`
}

// ruled lists whom sudo's own files let run commands. sudo itself reads them: it knows
// includes and aliases.
func (c *Connector) ruled(ctx context.Context, v *view) (found []connector.Stand, err error) {
	path := filepath.Join(c.Etc, "sudoers")
	if !fileExists(path) {
		return nil, nil
	}
	var out, said bytes.Buffer
	p := exec.CommandContext(ctx, "/usr/bin/cvtsudoers", "-e", "-f", "json", path)
	p.Stdout, p.Stderr, p.Env = &out, &said, []string{"LC_ALL=C"}
	if err := p.Run(); err != nil {
		return nil, fmt.Errorf("cvtsudoers: %w: %s", err, strings.TrimSpace(said.String()))
	}
	var rules sudoRules
	if err := json.Unmarshal(out.Bytes(), &rules); err != nil {
		return nil, fmt.Errorf("read what cvtsudoers says: %w", err)
	}
	ours, err := c.ourRules()
	if err != nil {
		return nil, err
	}
	for _, spec := range rules.Specs {
		for _, cmnd := range spec.Cmnds {
			as, what := names(cmnd.RunAs, "root"), names(cmnd.Commands, "")
			for _, user := range spec.Users {
				who := nameOf(user)
				if who == "root" || ours[who+" "+what] {
					continue
				}
				found = append(found, connector.Stand{Account: who, Privilege: "sudo as " + as + ": " + what, Kind: access.StandingPower,
					Undo: "visudo", Note: "take the rule of " + who + " out of " + path + " or a file in sudoers.d"})
			}
		}
	}
	return found, nil
}

// ourRules are those of orders, as names and nameOf tell them.
func (c *Connector) ourRules() (map[string]bool, error) {
	ours := map[string]bool{}
	found, err := c.rules()
	for _, a := range found {
		text, err := readFile(c.sudoersFile(a.Tag))
		if err != nil {
			return nil, err
		}
		if r, ok := parseRule(text); ok {
			shown := make([]string, len(r.commands))
			for i, cmd := range r.commands {
				if shown[i] = cmd; !strings.Contains(cmd, " ") {
					shown[i] += ` ""`
				}
			}
			ours["#"+strconv.Itoa(r.uid)+" "+shorten(strings.Join(shown, ", "))] = true
		}
	}
	return ours, err
}

func nameOf(m map[string]any) string {
	for key, prefix := range map[string]string{"username": "", "usergroup": "%", "userid": "#", "usergid": "%#", "command": "", "useralias": "", "cmndalias": "", "netgroup": "+", "nonunixgroup": "%:"} {
		if x, ok := m[key]; ok {
			text := fmt.Sprint(x)
			if n, number := x.(float64); number {
				text = strconv.FormatInt(int64(n), 10)
			}
			if m["negated"] == true {
				prefix = "!" + prefix
			}
			return prefix + text
		}
	}
	return "somebody"
}

func names(ms []map[string]any, without string) string {
	if len(ms) == 0 {
		return without
	}
	all := make([]string, len(ms))
	for i, m := range ms {
		all[i] = nameOf(m)
	}
	return shorten(strings.Join(all, ", "))
}

func shorten(s string) string {
	if len(s) > 120 {
		return s[:117] + "…"
	}
	return s
}

// keyed lists accounts that keys open, where sshd looks for them by default.
func (c *Connector) keyed(_ context.Context, v *view) (found []connector.Stand, err error) {
	for _, a := range v.accounts {
		if a.noShell() || a.expired(time.Now()) || v.byStint(a.name, "") {
			continue
		}
		for _, name := range []string{"authorized_keys", "authorized_keys2"} {
			path := filepath.Join(a.home, ".ssh", name)
			if keyLines(path) == 0 {
				continue
			}
			found = append(found, connector.Stand{Account: a.name, Privilege: "keys in " + path, Kind: access.StandingPower,
				Undo: "mv " + path + " " + path + ".off", Note: "whoever has one of the keys can log in"})
		}
	}
	return found, nil
}

// keyLines counts the keys of a file that belongs to somebody else: it is opened without
// waiting, as it may be no file at all, and no more is read than makes sense.
func keyLines(path string) (n int) {
	text, err := readPlain(path)
	if err != nil {
		return 0
	}
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			n++
		}
	}
	return n
}

// unused lists accounts with a password that nobody has logged in to for long, as far as
// the host keeps that (lastlog(8)); those that never were are told where it does.
func (c *Connector) unused(_ context.Context, v *view) (found []connector.Stand, err error) {
	f, err := os.Open(c.Lastlog)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	now := c.Now()
	for _, a := range v.accounts {
		if a.uid == 0 || a.noShell() || !strings.HasPrefix(a.password, "$") || a.expired(now) || v.byStint(a.name, "") {
			continue
		}
		var at [4]byte
		if n, _ := f.ReadAt(at[:], int64(a.uid)*lastlogRecord); n == len(at) {
			if last := int64(binary.NativeEndian.Uint32(at[:])); last > 0 && now.Sub(time.Unix(last, 0)) < dormantAfter {
				continue
			}
		}
		found = append(found, connector.Stand{Account: a.name, Privilege: "can log in with a password, and nobody has for 90 days", Kind: access.StandingPower,
			Undo: "usermod --lock --expiredate 1 " + a.name, Note: "it can then be lent with the mechanism enable"})
	}
	return found, nil
}

const lastlogRecord = 4 + 32 + 256 // struct lastlog, bits/utmp.h
