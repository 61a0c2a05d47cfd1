package broker

import (
	"context"
	"encoding/json"
	"strings"

	"stint/internal/access"
	"stint/internal/policy"
)

// Selector says whose or which access is revoked; exactly one field is set.
type Selector struct {
	Grant    string // request or grant id
	User     string // a name, or a principal id
	Role     string
	Resource string
	All      bool
}

func (s Selector) check() error {
	n := 0
	for _, set := range []bool{s.Grant != "", s.User != "", s.Role != "", s.Resource != "", s.All} {
		if set {
			n++
		}
	}
	if n != 1 {
		return access.Fail(access.Invalid, "bad-selector", "say exactly one of grant, user, role, resource and all")
	}
	return nil
}

func (s Selector) String() string {
	switch {
	case s.Grant != "":
		return "grant " + s.Grant
	case s.User != "":
		return "user " + s.User
	case s.Role != "":
		return "role " + s.Role
	case s.Resource != "":
		return "resource " + s.Resource
	}
	return "all"
}

var live = []access.GrantState{access.Scheduled, access.Provisioning, access.Active}

// Revoke takes live access away now: one grant, or all of a user, a role, a
// resource, or everything. Administrators may revoke anything; owners what
// reaches only resources of theirs.
func (b *Broker) Revoke(ctx context.Context, c Caller, s Selector, why string) ([]access.GrantID, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if strings.TrimSpace(why) == "" {
		return nil, access.Fail(access.Invalid, "no-reason", "a revocation needs a reason").Try("say it with --why")
	}
	var all []access.GrantID
	for {
		within, done := context.WithTimeout(ctx, answersWithin) // then it is done without the store, which does no harm
		ended, more, err := b.revokeSome(within, c, s, why, len(all) == 0)
		done()
		if storeFailed(err) && ctx.Err() == nil {
			ended, err = b.revokeAway(ctx, c, s, why)
			return append(all, ended...), err
		}
		all = append(all, ended...)
		if err != nil || !more {
			return all, err
		}
	}
}

// revokeSome revokes one bounded batch in one transaction.
func (b *Broker) revokeSome(ctx context.Context, c Caller, s Selector, why string, first bool) (ended []access.GrantID, more bool, err error) {
	few := dueBatch
	if s.Grant != "" {
		few = 1
	}
	err = b.update(ending(ctx, few), func(tx Tx, fx *effects) error {
		ended, more = nil, false
		set := b.documentsOrNone(tx)
		gs, err := b.selected(tx, c, set, s, "")
		if err == nil && len(gs) == 0 {
			err = known(tx, set, s)
		}
		if err != nil {
			return err
		}
		if first {
			fx.event(b.alarmEvent(AccessRevoked, tx.Now(), c.Actor, "what", s.String(), "why", why))
		}
		ended, err = b.endGrants(tx, fx, gs, access.ByPerson, why, c.Actor)
		more = len(ended) > 0 && len(gs) == dueBatch
		return err
	})
	return ended, more, err
}

// known refuses a selector that matches nothing because nothing has that name:
// who mistypes a name in an emergency must not believe that it is done.
func known(tx Tx, set *policy.Set, s Selector) error {
	ok := true
	switch {
	case s.User != "":
		ids := []access.PrincipalID{access.PrincipalID(s.User)}
		if !strings.Contains(s.User, ":") {
			ids = []access.PrincipalID{access.NewPrincipalID(access.User, s.User), access.NewPrincipalID(access.Service, s.User), access.NewPrincipalID(access.Agent, s.User)}
		}
		ok = false
		for _, id := range ids {
			switch _, err := tx.Principal(id); {
			case err == nil:
				ok = true
			case !missing(err):
				return err
			}
		}
	case s.Role != "":
		_, ok = set.Role(access.RoleName(s.Role))
	case s.Resource != "":
		_, ok = set.Resource(access.ResourceName(s.Resource))
	}
	if !ok {
		return access.Fail(access.NotFound, "no-such-name", "there is no "+s.String()+"; nothing was ended").Try("look for the name with: stint get users|roles|resources")
	}
	return nil
}

// selected lists what a revocation means, the newest first, from a cursor on.
func (b *Broker) selected(tx Tx, c Caller, set *policy.Set, s Selector, before access.GrantID) ([]access.Grant, error) {
	q := access.GrantQuery{States: live, Before: before, Limit: dueBatch}
	switch {
	case s.Grant != "":
		id, err := tx.FindRequest(s.Grant)
		var r access.Request
		if err == nil {
			r, err = tx.Request(id)
		}
		if missing(err) {
			err = errNotFound
		}
		if err != nil {
			return nil, err
		}
		if !c.Principal.Admin && !c.ownsAll(set, r.Targets) {
			if !c.maySee(r) {
				return nil, errNotFound
			}
			return nil, access.Fail(access.Denied, "not-yours", "revoking is for administrators and owners of the resource")
		}
		if r.Grant == "" {
			return nil, access.Fail(access.Conflict, "not-granted", "the request is "+string(r.State)+"; there is nothing to revoke")
		}
		g, err := tx.Grant(r.Grant)
		if err != nil {
			return nil, err
		}
		if g.Over() {
			return nil, access.Fail(access.Conflict, "already-ended", "the grant has ended already")
		}
		return []access.Grant{g}, nil
	case s.Resource != "":
		q.Resource = access.ResourceName(s.Resource)
		if c.owns(set, q.Resource) {
			return tx.Grants(q)
		}
	case s.User != "" && strings.Contains(s.User, ":"):
		q.Principal = access.PrincipalID(s.User)
	case s.User != "":
		q.Person = access.Person(s.User)
	case s.Role != "":
		q.Role = access.RoleName(s.Role)
	}
	if err := c.admin(); err != nil {
		return nil, err
	}
	return tx.Grants(q)
}

// stop is the switch that stops new grants; revoking and ending go on.
type stop struct {
	Stopped bool   `json:"stopped"`
	Why     string `json:"why"`
	Version int64  `json:"version"`
}

const stopSetting = "stop"

func readStop(tx Tx) (s stop, err error) {
	v, err := tx.Setting(stopSetting)
	if err != nil || v == nil {
		return s, err
	}
	if err := json.Unmarshal(v, &s); err != nil {
		return stop{Stopped: true, Why: "the stop switch cannot be read"}, nil // in doubt, nothing new
	}
	return s, nil
}

// open refuses what would lead to a new grant while grants are stopped.
func (b *Broker) open(tx Tx) error {
	if err := b.certain(tx); err != nil {
		return err
	}
	s, err := readStop(tx)
	if err != nil {
		return err
	}
	if s.Stopped {
		return access.Fail(access.Denied, "stopped", "an administrator has stopped new grants").Because(s.Why)
	}
	return nil
}

// SetStop stops or resumes new grants; administrators only.
func (b *Broker) SetStop(ctx context.Context, c Caller, stopped bool, why string) error {
	if err := c.admin(); err != nil {
		return err
	}
	if strings.TrimSpace(why) == "" {
		return access.Fail(access.Invalid, "no-reason", "say why").Try("say it with --why")
	}
	return b.update(ending(ctx, 1), func(tx Tx, fx *effects) error {
		s, err := readStop(tx)
		if err != nil {
			return err
		}
		s = stop{Stopped: stopped, Why: why, Version: s.Version + 1}
		v, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if err := tx.SaveSetting(stopSetting, v); err != nil {
			return err
		}
		t := GrantsResumed
		if stopped {
			t = GrantsStopped
		}
		fx.event(access.Event{Type: t, At: tx.Now(), Entity: "stop", Version: s.Version, Actor: c.Actor, Facts: map[string]string{"why": why}})
		return nil
	})
}

// Stopped reports whether new grants are stopped, and why.
func (b *Broker) Stopped(ctx context.Context) (stopped bool, why string, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		s, err := readStop(tx)
		stopped, why = s.Stopped, s.Why
		return err
	})
	return stopped, why, err
}
