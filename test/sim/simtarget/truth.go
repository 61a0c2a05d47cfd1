package simtarget

import (
	"slices"
	"strconv"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// What an oracle sees: the truth, which no connector can know.

// Privilege is one thing that is on a target because of Stint, in whatever name.
type Privilege struct {
	Place     access.Place
	Mechanism access.Mechanism
	Account   string     // its name now
	Right     string     // the group, for a membership
	Tag       access.Tag // empty where nothing says which order it was
	Creation  string
	Person    access.Person // that the order named
	Since     time.Time
	// Usable says that a new session could use it now: the account can log in and
	// its own end has not come; for a membership, that it is there.
	Usable bool
	Ends   time.Time // the target's own expiry; zero where there is none
}

// Privileges lists them, by place and in the order in which they were made.
func (w *World) Privileges() (all []Privilege) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	for _, p := range w.sorted {
		for _, r := range p.roles {
			base := Privilege{Place: p.name, Account: r.name, Creation: idText(r.id), Person: r.person, Since: r.made, Ends: r.until}
			if r.ours {
				x := base
				x.Mechanism, x.Usable = access.Account, r.usable(now)
				x.Tag, _ = accountTag(r.name)
				all = append(all, x)
				continue // its memberships are nothing without it
			}
			for _, m := range r.marks {
				if m.mechanism == access.Enable {
					x := base
					x.Mechanism, x.Tag, x.Since, x.Usable = access.Enable, m.tag, m.made, r.usable(now)
					all = append(all, x)
				}
			}
			for _, m := range r.members {
				if m.truly {
					x := base
					x.Mechanism, x.Right, x.Usable, x.Ends = access.Member, m.group, true, time.Time{}
					for _, k := range r.marks {
						if slices.Contains(k.rights, m.group) {
							x.Tag, x.Since = k.tag, k.made
						}
					}
					all = append(all, x)
				}
			}
		}
	}
	return all
}

// Session is one that is open.
type Session struct {
	ID      int64
	Place   access.Place
	Account string // its name when the session began
	Began   time.Time
	Active  time.Time // when it last did something
	// Tags are those of the privileges it can use until it ends, also when they
	// were taken from its account since. Empty for people's own business.
	Tags []access.Tag
}

// Sessions lists the open sessions, by place and in the order in which they began.
func (w *World) Sessions() (all []Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.sorted {
		for _, s := range p.sessions {
			all = append(all, Session{ID: s.id, Place: p.name, Account: s.name, Began: s.began, Active: s.active, Tags: s.tags})
		}
	}
	return all
}

// Harm lists what the connector did to things that Stint did not make: removed an
// account, took a membership, did not put a setting back.
func (w *World) Harm() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.harm)
}

// Changes counts what changed in the world, for who looks often.
func (w *World) Changes() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changes
}

// Account is what is there under a name.
type Account struct {
	Creation string
	Ours     bool // made by a Provision
	Login    bool // could sign in with the right password, now
	Password bool
	Ends     time.Time
	Groups   []string
	Limit    int
	Marks    []access.Tag
}

// Account looks at an account by its name.
func (w *World) Account(at access.Place, name string) (Account, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.at(at).byName[name]
	if r == nil {
		return Account{}, false
	}
	a := Account{Creation: idText(r.id), Ours: r.ours, Login: r.login && !r.expired(w.now()), Password: r.password != "", Ends: r.until, Limit: r.limit}
	for _, m := range r.members {
		a.Groups = append(a.Groups, m.group)
	}
	for _, m := range r.marks {
		a.Marks = append(a.Marks, m.tag)
	}
	return a, true
}

// Alive reports whether a session is open.
func (w *World) Alive(id int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, s := w.session(id)
	return s != nil
}

// Forge writes a claim onto a place, as somebody would who may write there.
func (w *World) Forge(at access.Place, c connector.Claim) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at(at).claim = c
}

// Claimed says who holds a place.
func (w *World) Claimed(at access.Place) connector.Claim {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at(at).claim
}

func idText(id int64) string { return strconv.FormatInt(id, 10) }
