package simtarget

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// Type is the type of resource that the connector serves.
const Type = "sim"

// World is a number of targets, each at its place. It is safe for concurrent use.
type World struct {
	now func() time.Time

	mu      sync.Mutex
	places  map[access.Place]*place
	sorted  []*place
	serial  int64 // creation identities, sessions and passwords, all different
	changes int64
	harm    []string
}

// New makes a world without targets. now is the clock of all of them.
func New(now func() time.Time) *World {
	return &World{now: now, places: map[access.Place]*place{}}
}

// place is one target: a cluster, a directory.
type place struct {
	name     access.Place
	groups   map[string]bool
	roles    []*role // by creation
	byName   map[string]*role
	byID     map[int64]*role
	sessions []*session // by beginning
	claim    connector.Claim
	weak     bool           // the login cannot end sessions
	estates  map[string]int // what ended accounts left behind, by account
}

// role is an account.
type role struct {
	id       int64
	name     string
	login    bool
	password string
	until    time.Time // no log-in from then on; zero: no end
	limit    int       // a setting that holders can change and that is put back
	members  []membership
	marks    []*mark
	super    bool
	owns     int
	ours     bool // the truth: made by a Provision
	person   access.Person
	made     time.Time
}

// membership is a group that an account is in, and which login granted it.
type membership struct {
	group   string
	grantor string
	truly   bool // the truth: granted by a Provision
}

// mark is what the connector leaves on a standing account.
type mark struct {
	mechanism access.Mechanism
	tag       access.Tag
	rights    []string // lent by it
	ended     int64    // serial up to which sessions may have used it; 0: not ended
	keep      bool     // sessions stay
	grantor   string
	made      time.Time
	until     time.Time // the truth: how an enabled account was before
	limit     int
}

type session struct {
	id     int64
	place  access.Place
	role   int64
	name   string
	began  time.Time
	active time.Time
	tags   []access.Tag // of the privileges that it can use until it ends
}

// at finds a place and makes it at first.
func (w *World) at(name access.Place) *place {
	p := w.places[name]
	if p == nil {
		p = &place{name: name, groups: map[string]bool{}, byName: map[string]*role{}, byID: map[int64]*role{}, estates: map[string]int{}}
		w.places[name] = p
		i, _ := slices.BinarySearchFunc(w.sorted, name, func(p *place, n access.Place) int { return cmp.Compare(p.name, n) })
		w.sorted = slices.Insert(w.sorted, i, p)
	}
	return p
}

func (w *World) next() int64 { w.serial++; return w.serial }

func (w *World) changed() { w.changes++ }

func (w *World) blame(format string, args ...any) {
	w.harm = append(w.harm, fmt.Sprintf(format, args...))
	w.changes++
}

// password is a new one; who does not have it cannot sign in.
func (w *World) password() string { return "password-" + strconv.FormatInt(w.next(), 10) }

// make makes an account.
func (w *World) make(p *place, name string) *role {
	r := &role{id: w.next(), name: name, made: w.now()}
	p.roles = append(p.roles, r)
	p.byName[name], p.byID[r.id] = r, r
	w.changed()
	return r
}

func (w *World) drop(p *place, r *role) {
	p.roles = slices.DeleteFunc(p.roles, func(x *role) bool { return x == r })
	delete(p.byName, r.name)
	delete(p.byID, r.id)
	w.changed()
}

func (r *role) in(group string) (member bool) {
	return slices.ContainsFunc(r.members, func(m membership) bool { return m.group == group })
}

// inBy reports whether the account is in the group because the login, or who put
// a mark on the account, granted it.
func (r *role) inBy(login, group string) bool {
	return slices.ContainsFunc(r.members, func(m membership) bool { return m.group == group && r.grantedBy(login, m) })
}

func (r *role) grantedBy(login string, m membership) bool {
	return m.grantor == login || slices.ContainsFunc(r.marks, func(k *mark) bool { return k.grantor == m.grantor })
}

func (r *role) mark(tag access.Tag) *mark {
	for _, m := range r.marks {
		if m.tag == tag {
			return m
		}
	}
	return nil
}

func (r *role) expired(now time.Time) bool { return !r.until.IsZero() && !now.Before(r.until) }

// usable reports whether somebody who has the password could sign in.
func (r *role) usable(now time.Time) bool { return r.login && r.password != "" && !r.expired(now) }

func (p *place) sessionsOf(id int64) (open []*session) {
	for _, s := range p.sessions {
		if s.role == id {
			open = append(open, s)
		}
	}
	return open
}

func (w *World) end(p *place, gone func(*session) bool) {
	n := len(p.sessions)
	p.sessions = slices.DeleteFunc(p.sessions, gone)
	if len(p.sessions) != n {
		w.changed()
	}
}

// usedBy are the privileges that a new session of an account can use.
func (r *role) usedBy() (tags []access.Tag) {
	if tag, ok := accountTag(r.name); ok {
		tags = append(tags, tag)
	}
	for _, m := range r.marks {
		if m.ended == 0 {
			tags = append(tags, m.tag)
		}
	}
	return tags
}
