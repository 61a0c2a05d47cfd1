package host

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/linux"
)

// group is a line of the group file.
type group struct {
	name    string
	gid     int
	members []string
}

func (c *Connector) groups() ([]group, error) {
	text, err := readFile(filepath.Join(c.Etc, "group"))
	return parseGroups(text), err
}

func parseGroups(text string) (gs []group) {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) != 4 || f[0] == "" || f[0][0] == '#' || f[0][0] == '+' || f[0][0] == '-' {
			continue
		}
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			continue
		}
		g := group{name: f[0], gid: int(gid)}
		for m := range strings.SplitSeq(f[3], ",") {
			if m != "" {
				g.members = append(g.members, m)
			}
		}
		gs = append(gs, g)
	}
	return gs
}

// in reports whether an account is a member, be it by its primary group.
func (g group) in(a account) bool { return slices.Contains(g.members, a.name) || g.gid == a.gid }

// asked finds the groups of an order, and refuses those that are never lent.
func (c *Connector) asked(s *subject) (found []group, err error) {
	all, err := c.groups()
	if err != nil {
		return nil, err
	}
	for _, right := range s.order.Rights {
		i := slices.IndexFunc(all, func(g group) bool { return g.name == right })
		switch {
		case i < 0:
			return nil, access.Fail(access.NotFound, "no-such-group", "there is no group "+right+" on the host").
				Because("its group file does not list it").Try("create it, or mend the name in the role's memberOf")
		case all[i].gid == 0:
			return nil, access.Fail(access.Denied, "protected-group", right+" is root's group, which is never lent").
				Try("lend a command with the mechanism elevate")
		}
		found = append(found, all[i])
	}
	return found, nil
}

// before is the state that an order changed, as Observe recorded it. It is stored:
// fields are only added.
type before struct {
	UID      int      `json:"uid"`
	Existing []string `json:"existing,omitempty"` // groups the account was in
	Expires  int      `json:"expires,omitempty"`  // of an account to enable
}

func (b before) state(existing bool) (connector.Before, error) {
	text, err := json.Marshal(b)
	return connector.Before{Existing: existing, State: string(text)}, err
}

func (c *Connector) observeGroup(s *subject) (connector.Before, error) {
	a, err := c.standing(s)
	if err != nil {
		return connector.Before{}, err
	}
	gs, err := c.asked(s)
	if err != nil {
		return connector.Before{}, err
	}
	b := before{UID: a.uid}
	for _, g := range gs {
		if !g.in(a) {
			continue
		}
		ours, err := c.lentByOther("", a.name, g.name)
		if err != nil {
			return connector.Before{}, err
		}
		if !ours {
			b.Existing = append(b.Existing, g.name)
		}
	}
	return b.state(len(b.Existing) == len(gs))
}

// provisionGroup lets the account join. What it joins is noted before, so that it is
// known to be ours and nothing else is.
func (c *Connector) provisionGroup(ctx context.Context, _ connector.Target, s *subject) (connector.Receipt, error) {
	a, err := c.standing(s)
	if err != nil {
		return connector.Receipt{}, err
	}
	gs, err := c.asked(s)
	if err != nil {
		return connector.Receipt{}, err
	}
	n, noted, err := c.readNote(s.order.Tag)
	if err != nil {
		return connector.Receipt{}, err
	}
	want := note{Mechanism: access.Member, Account: a.name, UID: a.uid}
	if noted {
		want.Rights = slices.Clone(n.Rights)
	}
	var join []group
	for _, g := range gs {
		ours := slices.Contains(want.Rights, g.name)
		if !ours {
			if ours, err = c.lentByOther(s.order.Tag, a.name, g.name); err != nil {
				return connector.Receipt{}, err
			}
		}
		if !g.in(a) {
			join = append(join, g)
		}
		if (!g.in(a) || ours && !s.existed(g.name)) && !slices.Contains(want.Rights, g.name) {
			want.Rights = append(want.Rights, g.name)
		}
	}
	if !noted || !slices.Equal(want.Rights, n.Rights) {
		if err := c.writeNote(s.order.Tag, want); err != nil {
			return connector.Receipt{}, err
		}
	}
	for _, g := range join {
		if err := c.tools.run(ctx, "gpasswd", "--add", a.name, g.name); err != nil {
			return connector.Receipt{}, err
		}
	}
	return connector.Receipt{Account: a.name, Creation: strconv.Itoa(a.uid)}, nil
}

// revokeGroup takes the memberships that the order gave. Those that another order gave
// too stay until that one ends.
func (c *Connector) revokeGroup(ctx context.Context, s *subject) (foreign bool, err error) {
	n, noted, err := c.readNote(s.order.Tag)
	if err != nil || !noted || n.Mechanism != access.Member {
		return false, err
	}
	all, err := c.groups()
	if err != nil {
		return false, err
	}
	for _, g := range all {
		if !slices.Contains(n.Rights, g.name) || !slices.Contains(g.members, n.Account) {
			continue
		}
		other, err := c.lentByOther(s.order.Tag, n.Account, g.name)
		if err != nil {
			return false, err
		}
		if other {
			continue
		}
		if err := c.tools.run(ctx, "gpasswd", "--delete", n.Account, g.name); err != nil {
			return false, err
		}
	}
	return false, nil
}

// lost are the ids of the groups that an order gave and that the account is not in.
func (c *Connector) lost(n note) (gids []int, err error) {
	a, ok, err := c.account(n.Account)
	if err != nil {
		return nil, err
	}
	all, err := c.groups()
	for _, g := range all {
		if slices.Contains(n.Rights, g.name) && !(ok && g.in(a)) {
			gids = append(gids, g.gid)
		}
	}
	return gids, err
}

// terminateGroup ends what still acts as one of the groups: a process keeps the groups
// that it was started with, whatever the file says.
func (c *Connector) terminateGroup(ctx context.Context, s *subject) error {
	n, noted, err := c.readNote(s.order.Tag)
	if err != nil || !noted || n.Mechanism != access.Member || s.opt.KeepSessions {
		return err
	}
	gids, err := c.lost(n)
	if err != nil || len(gids) == 0 {
		return err
	}
	return end(ctx, func(i identity) bool { return i.is(n.UID) && i.carries(gids) })
}

// removeGroup forgets the order, once nothing of it is left.
func (c *Connector) removeGroup(_ context.Context, s *subject) error {
	n, noted, err := c.readNote(s.order.Tag)
	if err != nil || !noted || n.Mechanism != access.Member {
		return err
	}
	o, err := c.memberState(s, n)
	switch {
	case err != nil:
		return err
	case len(n.Rights) == 0: // others had given all of it
	case o.Presence == connector.Present || o.Presence == connector.NotKnown && o.in > 0:
		return access.Fail(access.Conflict, "not-revoked", n.Account+" is still in a group that the order gave")
	case o.Sessions > 0:
		return access.Fail(access.Conflict, "sessions-open", "processes of "+n.Account+" still act as a group that the order gave: "+strconv.Itoa(o.Sessions))
	}
	return c.dropNote(s.order.Tag)
}

type memberState struct {
	connector.Observation
	in int // groups of the order that the account is in because of it alone
}

// memberState is what the host says of an order of which something is noted.
func (c *Connector) memberState(s *subject, n note) (o memberState, err error) {
	a, ok, err := c.account(n.Account)
	if err != nil {
		return o, err
	}
	all, err := c.groups()
	if err != nil {
		return o, err
	}
	var gids []int
	missing := 0
	for _, right := range n.Rights {
		i := slices.IndexFunc(all, func(g group) bool { return g.name == right })
		if i < 0 || !ok || !all[i].in(a) {
			missing++
		} else if other, err := c.lentByOther(s.order.Tag, n.Account, right); err != nil {
			return o, err
		} else if !other {
			o.in++
		}
		if i >= 0 {
			gids = append(gids, all[i].gid)
		}
	}
	switch {
	case ok && a.uid != n.UID:
		o.Err = access.Fail(access.Conflict, "another-account", n.Account+" is not the account that was lent a group")
	case missing == 0:
		o.Presence = connector.Present
	case missing < len(n.Rights):
		o.Err = access.Fail(access.Conflict, "group-missing", n.Account+" is not in all the groups of the order")
	default:
		o.Err = access.Fail(access.Pending, "note-left", n.Account+" has left the groups, and the order is still noted")
	}
	if o.Presence != connector.Present {
		if gids, err = c.lost(n); err != nil || s.opt.KeepSessions {
			return o, err
		}
	}
	if len(gids) > 0 {
		ps, err := processes(func(i identity) bool { return i.is(n.UID) && i.carries(gids) })
		if err != nil {
			return o, err
		}
		o.Sessions, o.LastActive = roots(ps), lastStart(ps).UTC()
	}
	return o, nil
}

func (c *Connector) verifyGroup(s *subject) (connector.Observation, error) {
	n, noted, err := c.readNote(s.order.Tag)
	switch {
	case err != nil:
		return connector.Observation{}, err
	case !noted:
		return connector.Observation{Presence: connector.Absent}, nil
	}
	o, err := c.memberState(s, n)
	return o.Observation, err
}

// readBefore understands what Observe recorded.
func readBefore(text string) (b before, err error) {
	b.UID = -1
	if text == "" {
		return b, nil
	}
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		return b, access.Fail(access.Invalid, "bad-before", "the state before the order cannot be read").Wrap(err)
	}
	return b, nil
}

func (s *subject) existed(right string) bool { return slices.Contains(s.before.Existing, right) }

func checkGroup(name string) error {
	if linux.ValidName(name) {
		return nil
	}
	return access.Fail(access.Invalid, "bad-name", strconv.Quote(short(name))+" cannot be the name of a group").
		Because("names have 1 to 32 letters, digits, and the marks _ - . after the first")
}
