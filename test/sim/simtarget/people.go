package simtarget

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"stint/internal/access"
)

// What people do on a target, without Stint.

// Errors of signing in.
var (
	ErrRefused = errors.New("the log-in was refused")
	ErrClosed  = errors.New("the session is closed")
)

// SignIn opens a session of an account, if the password is right, the account
// can log in, and its own end has not come.
func (w *World) SignIn(at access.Place, account, password string) (session int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.at(at)
	r := p.byName[account]
	if r == nil || !r.usable(w.now()) || r.password != password {
		return 0, ErrRefused
	}
	return w.open(p, r), nil
}

func (w *World) open(p *place, r *role) int64 {
	s := &session{id: w.next(), place: p.name, role: r.id, name: r.name, began: w.now(), active: w.now(), tags: r.usedBy()}
	p.sessions = append(p.sessions, s)
	w.changed()
	return s.id
}

// SignOut closes a session; one that is closed stays so.
func (w *World) SignOut(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.sorted {
		w.end(p, func(s *session) bool { return s.id == id })
	}
}

// Act does something in a session, or reports ErrClosed.
func (w *World) Act(id int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, s := w.session(id)
	if s == nil {
		return ErrClosed
	}
	s.active = w.now()
	return nil
}

// Own lets the account of a session come to own things, which stand in the way
// of removing it.
func (w *World) Own(id int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, s := w.session(id)
	if s == nil || p.byID[s.role] == nil {
		return ErrClosed
	}
	p.byID[s.role].owns++
	w.changed()
	return nil
}

func (w *World) session(id int64) (*place, *session) {
	for _, p := range w.sorted {
		for _, s := range p.sessions {
			if s.id == id {
				return p, s
			}
		}
	}
	return nil, nil
}

// What others do: the people of the target, and an attacker.

// Groups makes groups that accounts can be in.
func (w *World) Groups(at access.Place, names ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range names {
		w.at(at).groups[n] = true
	}
	w.changed()
}

// Standing is an account that is there without Stint.
type Standing struct {
	Name     string   // any name, also one in a form of Stint's
	Password string   // empty: nobody can sign in
	Groups   []string // granted by others
	Dormant  bool     // without login, to be enabled
	Super    bool
}

// Stand makes a standing account and gives its creation identity.
func (w *World) Stand(at access.Place, s Standing) (creation string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.at(at)
	if p.byName[s.Name] != nil {
		return "", fmt.Errorf("%s is there already", s.Name)
	}
	r := w.make(p, s.Name)
	r.login, r.password, r.super, r.limit = !s.Dormant, s.Password, s.Super, 7
	for _, g := range s.Groups {
		p.groups[g] = true
		r.members = append(r.members, membership{group: g, grantor: "somebody"})
	}
	return idText(r.id), nil
}

// Join puts an account into a group, granted by somebody else.
func (w *World) Join(at access.Place, account, group string) error {
	return w.alter(at, account, func(p *place, r *role) {
		p.groups[group] = true
		r.members = append(r.members, membership{group: group, grantor: "somebody"})
	})
}

// JoinAs puts an account into a group in the name of Stint's own login, as
// somebody who took it over would.
func (w *World) JoinAs(at access.Place, login, account, group string) error {
	return w.alter(at, account, func(p *place, r *role) {
		p.groups[group] = true
		r.members = append(r.members, membership{group: group, grantor: login})
	})
}

// Unmark takes Stint's marks off a standing account.
func (w *World) Unmark(at access.Place, account string) error {
	return w.alter(at, account, func(_ *place, r *role) { r.marks = nil })
}

// Change changes a setting of an account, as its holder could.
func (w *World) Change(at access.Place, account string, limit int) error {
	return w.alter(at, account, func(_ *place, r *role) { r.limit = limit })
}

// Rename gives an account another name.
func (w *World) Rename(at access.Place, account, to string) error {
	if account == to {
		return nil
	}
	return w.alter(at, account, func(p *place, r *role) {
		if p.byName[to] == nil {
			delete(p.byName, r.name)
			r.name = to
			p.byName[to] = r
		}
	})
}

// Drop removes an account behind Stint's back. Its sessions stay.
func (w *World) Drop(at access.Place, account string) error {
	return w.alter(at, account, func(p *place, r *role) { w.drop(p, r) })
}

// Replace drops an account and makes another of the same name.
func (w *World) Replace(at access.Place, account, password string) (creation string, err error) {
	err = w.alter(at, account, func(p *place, r *role) {
		w.drop(p, r)
		next := w.make(p, account)
		next.login, next.password = true, password
		creation = idText(next.id)
	})
	return creation, err
}

func (w *World) alter(at access.Place, account string, do func(*place, *role)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.at(at)
	r := p.byName[account]
	if r == nil {
		return fmt.Errorf("there is no %s at %s", account, at)
	}
	do(p, r)
	w.changed()
	return nil
}

// Weaken takes from Stint's login what it needs to end sessions.
func (w *World) Weaken(at access.Place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at(at).weak = true
}

// Restart restarts a target: all sessions end.
func (w *World) Restart(at access.Place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end(w.at(at), func(*session) bool { return true })
}

// Snapshot remembers a place as it is; calling what it returns puts that back,
// as the restore of an old backup of the target does. Sessions end with it.
func (w *World) Snapshot(at access.Place) (restore func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.at(at).clone()
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		back := kept.clone()
		back.sessions = nil
		w.places[at] = back
		for i, p := range w.sorted {
			if p.name == at {
				w.sorted[i] = back
			}
		}
		w.changed()
	}
}

func (p *place) clone() *place {
	c := *p
	c.groups, c.estates = maps.Clone(p.groups), maps.Clone(p.estates)
	c.roles, c.byName, c.byID, c.sessions = nil, map[string]*role{}, map[int64]*role{}, nil
	for _, r := range p.roles {
		n := *r
		n.members, n.marks = slices.Clone(r.members), nil
		for _, m := range r.marks {
			k := *m
			k.rights = slices.Clone(m.rights)
			n.marks = append(n.marks, &k)
		}
		c.roles, c.byName[n.name], c.byID[n.id] = append(c.roles, &n), &n, &n
	}
	return &c
}
