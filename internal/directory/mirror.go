package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"stint/internal/access"
)

// Picture is who is in a directory, as it was read last.
type Picture struct {
	Users    []User  // by subject
	Groups   []Group // by subject
	Problems []Problem
}

// User is a person.
type User struct {
	Subject string // never changes
	Name    string // as it is there
	Display string // may be empty
	Active  bool
}

// Group is a group. Its members are subjects of users of the picture, sorted, those of
// groups within it too.
type Group struct {
	Subject, Name string
	Members       []string
}

// Problem is an entry that is passed over, and why.
type Problem struct{ Entry, Why string }

// Mirror is what is remembered of a directory between two passes. It is not safe for
// concurrent use.
type Mirror struct {
	Door Door
	Now  func() time.Time

	settings Settings
	users    map[string]*user // by subject
	groups   map[string]*group
	problems map[string]string // by entry
	mark     mark
	read     bool // something was, with these settings
}

// mark is how far a directory was read.
type mark struct {
	server string    // whose numbers these are: dsServiceName of Active Directory
	number int64     // uSNChanged
	at     time.Time // modifyTimestamp
}

// overlap is what is read again each time, because entries of another server's clock, or
// of the same second, come late.
const overlap = time.Minute

// errWhole is that only reading everything helps.
var errWhole = errors.New("everything is to be read")

// Read makes a new picture: of what changed since the last one, or with whole of
// everything. It reads everything by itself where nothing else will do, and says so.
// When it fails, nothing is known that was not known before.
func (m *Mirror) Read(ctx context.Context, s Settings, who Login, whole bool) (p Picture, all bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, passWithin)
	defer cancel()
	c, err := m.Door.open(ctx, s, who)
	if err != nil {
		return Picture{}, false, err
	}
	defer c.close()
	all = whole || !m.read || !s.same(m.settings)
	next := *m
	next.settings = s
	if !all {
		next.users, next.groups, next.problems = maps.Clone(m.users), maps.Clone(m.groups), maps.Clone(m.problems)
		if err = next.changes(c); errors.Is(err, errWhole) {
			next = *m
			next.settings, all, err = s, true, nil
		}
	}
	if err == nil && all {
		err = next.everything(c)
	}
	if err == nil {
		p, err = next.picture()
	}
	if err != nil {
		return Picture{}, all, err
	}
	next.read = true
	*m = next
	return p, all, nil
}

// where says whose numbers the server's are, and the highest.
func (m *Mirror) where(c *conn) (mark, error) {
	if !m.numbers() {
		return mark{}, nil
	}
	root, err := c.one("", "dsServiceName", "highestCommittedUSN")
	if err != nil {
		return mark{}, err
	}
	if root == nil {
		return mark{}, unreachable("it does not say what it is", nil)
	}
	n, err := strconv.ParseInt(first(root, "highestCommittedUSN"), 10, 64)
	if server := first(root, "dsServiceName"); err == nil && server != "" {
		return mark{server: server, number: n}, nil
	}
	return mark{}, nil // each pass reads everything
}

func (m *Mirror) numbers() bool { return strings.EqualFold(m.settings.Changed, "uSNChanged") }

// everything reads all people and all groups.
func (m *Mirror) everything(c *conn) error {
	mark, err := m.where(c) // before: what changes meanwhile is read again
	if err != nil {
		return err
	}
	m.users, m.groups, m.problems, m.mark = map[string]*user{}, map[string]*group{}, map[string]string{}, mark
	s := m.settings
	if err := c.search(s.Users, ldap.ScopeWholeSubtree, s.UserFilter, s.userAttributes(), func(e *ldap.Entry) error { return m.addUser(e, false) }); err != nil {
		return err
	}
	if s.Groups == "" {
		return nil
	}
	return c.search(s.Groups, ldap.ScopeWholeSubtree, s.GroupFilter, s.groupAttributes(), func(e *ldap.Entry) error { return m.addGroup(c, e, false) })
}

func (m *Mirror) seen(e *ldap.Entry) {
	if t := generalized(first(e, m.settings.Changed)); t.After(m.mark.at) {
		m.mark.at = t
	}
}

func (m *Mirror) problem(e *ldap.Entry, why string) {
	m.problems[access.Label(e.DN)] = why
}

func (m *Mirror) addUser(e *ldap.Entry, again bool) error {
	u, problem, err := m.settings.user(e)
	if err != nil {
		return err
	}
	m.seen(e)
	if problem != "" {
		m.problem(e, problem)
		return nil
	}
	if _, twice := m.users[u.subject]; twice && !again {
		return unreachable("two people have the same "+m.settings.Subject, nil)
	}
	if u.at = key(u.dn); m.settings.byName() {
		u.at = strings.ToLower(u.name)
	}
	m.users[u.subject] = u
	return nil
}

func (m *Mirror) addGroup(c *conn, e *ldap.Entry, again bool) error {
	subject, err := m.settings.subject(e)
	if err != nil {
		m.problem(e, err.Error())
		return nil
	}
	m.seen(e)
	g := &group{dn: e.DN, at: key(e.DN), subject: subject, name: first(e, m.settings.GroupName)}
	members, err := c.list(e, m.settings.Member)
	if err != nil {
		return err
	}
	g.members = make([]string, len(members))
	for i, member := range members {
		if g.members[i] = strings.ToLower(member); !m.settings.byName() {
			g.members[i] = key(member)
		}
	}
	if _, twice := m.groups[subject]; twice && !again {
		return unreachable("two groups have the same "+m.settings.Subject, nil)
	}
	m.groups[subject] = g
	return nil
}

// changes reads what is different since the last time: entries that changed, and the
// ids of all, by which those are missed who are gone. Somebody who is there and did not
// change is one whom the filter takes now for another's change: then everything is read,
// as when somebody moved.
func (m *Mirror) changes(c *conn) error {
	since, now := "", m.mark
	switch {
	case m.numbers():
		mark, err := m.where(c)
		switch {
		case err != nil:
			return err
		case mark.server == "" || mark.server != m.mark.server || mark.number < m.mark.number:
			return errWhole // another server, whose numbers are its own, or one that was put back
		case mark.number == m.mark.number:
			return nil // nothing at all was written there, no removal either
		}
		since, now = fmt.Sprintf("(%s>=%d)", m.settings.Changed, m.mark.number+1), mark
	case m.mark.at.IsZero():
		return errWhole
	default:
		since = fmt.Sprintf("(%s>=%sZ)", m.settings.Changed, m.mark.at.Add(-overlap).Format("20060102150405"))
	}
	s := m.settings
	before, groups := maps.Clone(m.users), maps.Clone(m.groups)
	err := c.search(s.Users, ldap.ScopeWholeSubtree, and(s.UserFilter, since), s.userAttributes(), func(e *ldap.Entry) error { return m.addUser(e, true) })
	if err != nil {
		return err
	}
	for subject, u := range m.users {
		if was := before[subject]; was != nil && was.dn != u.dn {
			return errWhole
		}
	}
	if err := gone(c, s, s.Users, s.UserFilter, m.users); err != nil {
		return err
	}
	if s.Groups != "" {
		err := c.search(s.Groups, ldap.ScopeWholeSubtree, and(s.GroupFilter, since), s.groupAttributes(), func(e *ldap.Entry) error { return m.addGroup(c, e, true) })
		if err != nil {
			return err
		}
		for subject, g := range m.groups {
			if was := groups[subject]; was != nil && was.dn != g.dn {
				return errWhole
			}
		}
		if err := gone(c, s, s.Groups, s.GroupFilter, m.groups); err != nil {
			return err
		}
	}
	if m.numbers() {
		m.mark = now
	}
	return nil
}

// gone takes out of what is known the entries that a search does not find any more. One
// that stands elsewhere has everything read: groups name it by where it stands, and are not
// changed themselves when it moves, or when what is above it does.
func gone[T interface{ place() string }](c *conn, s Settings, base, filter string, known map[string]T) error {
	there := make(map[string]bool, len(known))
	err := c.search(base, ldap.ScopeWholeSubtree, filter, []string{s.Subject}, func(e *ldap.Entry) error {
		subject, err := s.subject(e)
		if err != nil {
			return nil // it was a problem when it was read
		}
		if there[subject] {
			return unreachable("two entries have the same "+s.Subject, nil)
		}
		there[subject] = true
		if was, ok := known[subject]; !ok || was.place() != e.DN {
			return errWhole
		}
		return nil
	})
	if err != nil {
		return err
	}
	maps.DeleteFunc(known, func(subject string, _ T) bool { return !there[subject] })
	return nil
}

// maxVisits bounds the walk through groups within groups, of all groups together.
const maxVisits = 5_000_000

// picture works out who is in which group.
func (m *Mirror) picture() (Picture, error) {
	var p Picture
	for _, entry := range slices.Sorted(maps.Keys(m.problems)) {
		p.Problems = append(p.Problems, Problem{entry, m.problems[entry]})
	}
	now := m.Now()
	people, groups := map[string]string{}, map[string]*group{} // by what groups call them
	for _, u := range m.users {
		p.Users = append(p.Users, User{Subject: u.subject, Name: u.name, Display: u.display, Active: u.active(now)})
		if _, twice := people[u.at]; twice {
			return Picture{}, unreachable("two people are called "+access.Label(u.at)+" where groups name them", nil)
		}
		people[u.at] = u.subject
	}
	slices.SortFunc(p.Users, func(a, b User) int { return strings.Compare(a.Subject, b.Subject) })
	if !m.settings.byName() && m.settings.Nested {
		for _, g := range m.groups {
			groups[g.at] = g
		}
	}
	visits := 0
	for _, g := range m.groups {
		if len(m.settings.Only) > 0 && !slices.ContainsFunc(m.settings.Only, func(n string) bool { return strings.EqualFold(n, g.name) }) {
			continue
		}
		members, met := map[string]bool{}, map[*group]bool{g: true}
		for walk := []*group{g}; len(walk) > 0; {
			at := walk[len(walk)-1]
			walk = walk[:len(walk)-1]
			for _, member := range at.members {
				if visits++; visits > maxVisits {
					return Picture{}, unreachable("its groups within groups are too many", nil)
				}
				if subject, ok := people[member]; ok {
					members[subject] = true
				} else if within := groups[member]; within != nil && !met[within] {
					met[within] = true
					walk = append(walk, within)
				}
			}
		}
		p.Groups = append(p.Groups, Group{Subject: g.subject, Name: g.name, Members: slices.Sorted(maps.Keys(members))})
	}
	slices.SortFunc(p.Groups, func(a, b Group) int { return strings.Compare(a.Subject, b.Subject) })
	return p, nil
}

// Find reads the people who have a name, to see what the directory says of them.
func (d Door) Find(ctx context.Context, s Settings, who Login, name string) (found []User, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	c, err := d.open(ctx, s, who)
	if err != nil {
		return nil, err
	}
	defer c.close()
	err = c.search(s.Users, ldap.ScopeWholeSubtree, and(s.UserFilter, Filter(s.UserName, name)), s.userAttributes(), func(e *ldap.Entry) error {
		u, problem, err := s.user(e)
		if err == nil && problem == "" {
			found = append(found, User{u.subject, u.name, u.display, u.active(time.Now())})
		}
		return err
	})
	return found, err
}
