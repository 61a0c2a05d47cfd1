package ident

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"stint/internal/access"
	"stint/internal/moment"
)

// maxGroups bounds the groups of one principal.
const maxGroups = 256

// NewUser is a local user to make.
type NewUser struct {
	Name    string
	Groups  []string
	Manager string // a user's name, or empty
	Admin   bool
	Auditor bool
	Author  bool // of policies
}

// Enrolment is a code that turns into a login on a device, once.
type Enrolment struct {
	Principal access.PrincipalID
	Code      access.Secret
	ExpiresAt time.Time
}

// AddUser makes a user and the code for the first sign-in. A name is never
// given twice: who got the first one's code again would be the first one. An office is
// refused with ErrOfficeTakesTwo where that takes two persons.
func (i *Ident) AddUser(ctx context.Context, by Caller, n NewUser) (Enrolment, error) {
	if err := administers(by); err != nil {
		return Enrolment{}, err
	}
	p, err := n.principal()
	if err != nil {
		return Enrolment{}, err
	}
	code, hash, err := i.newSecret(codePrefix)
	if err != nil {
		return Enrolment{}, err
	}
	out := Enrolment{Principal: p.ID, Code: code}
	err = i.store.Update(ctx, func(tx Tx) error {
		if err := absent(tx, p.ID); err != nil {
			return err
		}
		if err := mayManage(tx, p.Manager); err != nil {
			return err
		}
		if err := i.alone(tx, access.Principal{}, p); err != nil {
			return err
		}
		now := tx.Now()
		p.CreatedAt, p.Version = now, 1
		if err := tx.SavePrincipals(p); err != nil {
			return err
		}
		if err := tx.Append(principalEvent(PrincipalCreated, p, by.Actor, now)); err != nil {
			return err
		}
		out.ExpiresAt = now.Add(EnrolmentFor)
		return openEnrolment(tx, access.Enrolment{Code: hash, Principal: p.ID, ExpiresAt: out.ExpiresAt}, by.Actor)
	})
	if err != nil {
		return Enrolment{}, err
	}
	return out, nil
}

// ReEnrol gives an existing user a fresh code, for a new device or after the
// last login ended. Codes from before that nobody used are worthless from then
// on; logins that live are left as they are.
func (i *Ident) ReEnrol(ctx context.Context, by Caller, user string) (Enrolment, error) {
	if err := administers(by); err != nil {
		return Enrolment{}, err
	}
	code, hash, err := i.newSecret(codePrefix)
	if err != nil {
		return Enrolment{}, err
	}
	out := Enrolment{Principal: access.NewPrincipalID(access.User, user), Code: code}
	err = i.store.Update(ctx, func(tx Tx) error {
		p, err := tx.Principal(out.Principal)
		if err != nil {
			return noSuchUser(user, err)
		}
		now := tx.Now()
		if p.Usable(now) != nil {
			return access.Fail(access.Conflict, "principal-disabled", string(p.ID)+" is disabled").Because("it cannot sign in")
		}
		if err := tx.DropEnrolments(p.ID); err != nil {
			return err
		}
		if err := vouched(tx, p); err != nil {
			return err
		}
		out.ExpiresAt = codeUntil(p, now)
		return openEnrolment(tx, access.Enrolment{Code: hash, Principal: p.ID, ExpiresAt: out.ExpiresAt}, by.Actor)
	})
	if err != nil {
		return Enrolment{}, err
	}
	return out, nil
}

// NewService is a service to make, or to renew.
type NewService struct {
	Name   string
	Groups []string
	Owner  string // the user who answers for it
	For    time.Duration
	// NoToken makes none: the service is known by what its platform says of it.
	NoToken bool
}

// ServiceToken is a service's way in, until ExpiresAt.
type ServiceToken struct {
	Principal access.PrincipalID
	Token     access.Secret // empty without one
	ExpiresAt time.Time
}

// reissue saves a service or an agent that is new, or renews the one of its id, if that
// is not disabled and the same one answers for it: its tokens before are dead.
func reissue(tx Tx, p access.Principal, same func(old access.Principal) bool) (access.Principal, access.EventType, error) {
	event := PrincipalCreated
	switch old, err := tx.Principal(p.ID); {
	case err == nil && (old.Disabled || !same(old)):
		return p, event, taken(p.ID)
	case err == nil && old.Lock.Is():
		return p, event, access.Fail(access.Conflict, "principal-locked", string(p.ID)+" is locked").Try("unlock it first: stint admin user unlock " + string(old.Lock.With))
	case err == nil:
		p.CreatedAt, p.Version, event = old.CreatedAt, old.Version+1, PrincipalUpdated
		if err := tx.DropLogins(p.ID); err != nil {
			return p, event, err
		}
	case access.KindOf(err) != access.NotFound:
		return p, event, err
	}
	return p, event, tx.SavePrincipals(p)
}

// AddService makes a service with an end, or renews one of the same owner: a
// fresh end, and a fresh token unless none is wanted. The tokens before are dead.
func (i *Ident) AddService(ctx context.Context, by Caller, n NewService) (ServiceToken, error) {
	if err := administers(by); err != nil {
		return ServiceToken{}, err
	}
	want, err := n.principal()
	if err != nil {
		return ServiceToken{}, err
	}
	token, hash, err := i.newSecret(tokenPrefix)
	if err != nil {
		return ServiceToken{}, err
	}
	out := ServiceToken{Principal: want.ID, Token: token}
	err = i.store.Update(ctx, func(tx Tx) error {
		now := tx.Now()
		owner, err := tx.Principal(access.NewPrincipalID(access.User, n.Owner))
		if err != nil {
			return noSuchUser(n.Owner, err)
		}
		if owner.Usable(now) != nil {
			return access.Fail(access.Conflict, "owner-disabled", "the owner, "+string(owner.ID)+", is disabled").Try("name another owner")
		}
		if err := owner.MayAnswer(now); err != nil {
			return err
		}
		p := want
		p.Person, p.Until, p.CreatedAt, p.Version = owner.Person, now.Add(n.For), now, 1
		p, event, err := reissue(tx, p, func(old access.Principal) bool { return old.Person == p.Person })
		if err != nil {
			return err
		}
		out.ExpiresAt = p.Until
		if n.NoToken {
			out.Token = access.Secret{}
			return tx.Append(principalEvent(event, p, by.Actor, now, "owner", string(owner.ID)))
		}
		l := access.Login{Token: hash, Principal: p.ID, CreatedAt: now, ExpiresAt: p.Until, Kind: access.ServiceLogin}
		if err := tx.SaveLogin(l); err != nil {
			return err
		}
		return tx.Append(principalEvent(event, p, by.Actor, now, "owner", string(owner.ID)), loginEvent(LoginCreated, l, 1, by.Actor, now))
	})
	if err != nil {
		return ServiceToken{}, err
	}
	return out, nil
}

func (n NewUser) principal() (access.Principal, error) {
	groups, err := checkNames(n.Name, n.Groups)
	if err != nil {
		return access.Principal{}, err
	}
	p := access.Principal{ID: access.NewPrincipalID(access.User, n.Name), Person: access.Person(n.Name), Groups: groups, Admin: n.Admin, Auditor: n.Auditor, Author: n.Author}
	p.Manager, err = managerOf(n.Name, n.Manager)
	return p, err
}

// managerOf is the principal of a user's manager; none for an empty name.
func managerOf(user, manager string) (access.PrincipalID, error) {
	switch {
	case manager == "":
		return "", nil
	case !access.ValidName(manager) || manager == user:
		return "", badName("manager", manager)
	}
	return access.NewPrincipalID(access.User, manager), nil
}

// mayManage refuses a manager who is nobody, or who cannot sign in: policies that ask the
// manager would ask nobody, and whoever gets that name later would decide.
func mayManage(tx Tx, manager access.PrincipalID) error {
	if manager == "" {
		return nil
	}
	m, err := tx.Principal(manager)
	switch {
	case err == nil && m.Disabled:
		return access.Fail(access.Conflict, "manager-disabled", string(manager)+" is disabled and cannot be a manager").
			Because("policies that ask the manager would ask somebody who cannot sign in").
			Try("name another manager, or enable them first: stint admin user set " + manager.Name() + " --enable")
	case err == nil && m.Outside():
		return access.Fail(access.Conflict, "manager-outside", string(manager)+" is a vendor and cannot be a manager").
			Because("policies that ask the manager would ask somebody who never approves").Try("name an employee")
	case err == nil && m.Usable(tx.Now()) != nil:
		return access.Fail(access.Conflict, "manager-ended", string(manager)+" cannot be a manager").
			Because("policies that ask the manager would ask somebody who cannot sign in").
			Try("name another manager").Wrap(m.Usable(tx.Now()))
	case access.KindOf(err) != access.NotFound:
		return err
	}
	return access.Fail(access.Invalid, "no-such-manager", "there is no user "+manager.Name()+" to be the manager").
		Because("policies that ask the manager would ask nobody").Try("add them first, or leave the manager out and set it later: stint admin user set NAME --manager " + manager.Name())
}

func (n NewService) principal() (access.Principal, error) {
	groups, err := checkNames(n.Name, n.Groups)
	switch {
	case err != nil:
		return access.Principal{}, err
	case !access.ValidName(n.Owner):
		return access.Principal{}, badName("owner", n.Owner)
	case n.For <= 0 || n.For > MaxServiceLife:
		return access.Principal{}, access.Fail(access.Invalid, "bad-duration", "a service lives for more than nothing and at most 366 days").
			Because(moment.Span(n.For) + " was asked")
	}
	return access.Principal{ID: access.NewPrincipalID(access.Service, n.Name), Groups: groups}, nil
}

func checkNames(name string, groups []string) ([]access.Group, error) {
	switch {
	case !access.ValidName(name):
		return nil, badName("name", name)
	case name == access.System.Principal.Name():
		return nil, access.Fail(access.Invalid, "reserved-name", `the name "`+name+`" is Stint's own`)
	}
	return checkGroups(groups)
}

// checkGroups sorts groups and keeps each once.
func checkGroups(groups []string) ([]access.Group, error) {
	if len(groups) > maxGroups {
		return nil, tooManyGroups()
	}
	var out []access.Group
	for _, g := range groups {
		if !access.ValidName(g) {
			return nil, badName("group", g)
		}
		out = append(out, access.Group(g))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func tooManyGroups() error {
	return access.Fail(access.Invalid, "too-many-groups", "a principal is in at most "+strconv.Itoa(maxGroups)+" groups")
}

func badName(what, name string) error {
	const most = 80
	if len(name) > most {
		name = name[:most]
	}
	return access.Fail(access.Invalid, "bad-"+what, "the "+what+" "+strconv.QuoteToASCII(name)+" is not valid").
		Because("names are 1 to 63 of a-z, 0-9, '.', '_' and '-', and begin with a letter or digit")
}

func administers(c Caller) error {
	if c.Principal.Admin && !c.Principal.Disabled && !c.Principal.Lock.Is() && c.Principal.ID.Kind() == access.User {
		return nil
	}
	return access.Fail(access.Denied, "not-an-administrator", "only administrators add and change principals")
}

// ErrOfficeTakesTwo refuses to one administrator alone what gives somebody an office.
var ErrOfficeTakesTwo = access.Fail(access.Conflict, "office-takes-two", "it takes two administrators to give an office").
	Because("one alone could make another one of themselves")

// alone refuses a change by which a user gains an office, or comes back to one, where
// that takes two persons. It asks in the transaction of the change.
func (i *Ident) alone(tx Tx, old, now access.Principal) error {
	back := old.Disabled && !now.Disabled && (now.Admin || now.Auditor || now.Author)
	if !back && (old.Admin || !now.Admin) && (old.Auditor || !now.Auditor) && (old.Author || !now.Author) {
		return nil
	}
	if i.TakesTwo == nil {
		return ErrOfficeTakesTwo
	}
	two, err := i.TakesTwo(tx)
	if err == nil && two {
		err = ErrOfficeTakesTwo
	}
	return err
}

func absent(tx Tx, id access.PrincipalID) error {
	_, err := tx.Principal(id)
	switch {
	case err == nil:
		return taken(id)
	case errors.Is(err, access.NotFound):
		return nil
	}
	return err
}

func taken(id access.PrincipalID) *access.Error {
	return access.Fail(access.Conflict, "name-taken", string(id)+" exists already").Try("choose another name")
}

func noSuchUser(name string, err error) error {
	if access.KindOf(err) != access.NotFound {
		return err
	}
	return access.Fail(access.NotFound, "no-such-user", "there is no user "+strconv.QuoteToASCII(name)).Try("stint get users lists them")
}
