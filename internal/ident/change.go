package ident

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// UserChange is what shall be different about a user. What is nil stays as it is.
type UserChange struct {
	Groups  *[]string // all that administrators give, from now on
	Manager *string   // a user's name, or empty for none
	Admin   *bool
	Auditor *bool
	Author  *bool   // of policies
	Mail    *string // where messages reach them; empty: nowhere
	Enable  bool    // lets a disabled user sign in again, with a fresh code
}

// ChangeUser changes a user. It counts with their next call; what they hold by
// the old groups is for the caller to have decided again. Where everything is as
// wanted already, nothing is written. What gives an office is refused with
// ErrOfficeTakesTwo where that takes two persons.
func (i *Ident) ChangeUser(ctx context.Context, by Caller, user string, c UserChange) (access.Principal, error) {
	if err := administers(by); err != nil {
		return access.Principal{}, err
	}
	if c == (UserChange{}) {
		return access.Principal{}, access.Fail(access.Invalid, "nothing-to-change", "the call changes nothing").
			Try("say groups, manager, mail, admin, auditor, policy author or enable")
	}
	id := access.NewPrincipalID(access.User, user)
	var out access.Principal
	err := i.store.Update(ctx, func(tx Tx) error {
		old, err := tx.Principal(id)
		if err != nil {
			return noSuchUser(user, err)
		}
		if out, err = c.apply(old); err != nil {
			return err
		}
		if err := noOffice(out); err != nil {
			return err
		}
		if out.Manager != old.Manager { // one who is kept may have gone meanwhile
			if err := mayManage(tx, out.Manager); err != nil {
				return err
			}
		}
		what := changes(old, out)
		if len(what) == 0 {
			return nil
		}
		if err := i.alone(tx, old, out); err != nil {
			return err
		}
		if old.Admin && !out.Admin {
			if err := mayDemote(tx, by, id); err != nil {
				return err
			}
		}
		out.Version++
		if err := tx.SavePrincipals(out); err != nil {
			return err
		}
		return tx.Append(changedEvent(out, what, by.Actor, tx.Now()))
	})
	if err != nil {
		return access.Principal{}, err
	}
	return out, nil
}

func (c UserChange) apply(p access.Principal) (access.Principal, error) {
	var err error
	if c.Groups != nil {
		gs, err := checkGroups(*c.Groups)
		if err != nil {
			return p, err
		}
		p = p.Provide("", gs) // a provider's are its own
	}
	if c.Manager != nil {
		if p.Manager, err = managerOf(p.ID.Name(), *c.Manager); err != nil {
			return p, err
		}
	}
	if c.Mail != nil {
		if *c.Mail != "" && !access.ValidMail(*c.Mail) {
			return p, access.Fail(access.Invalid, "bad-mail", "the mail address "+strconv.QuoteToASCII(access.Label(*c.Mail))+" is not valid").Try("write it as name@example.com")
		}
		p = p.With(access.MailAttribute, *c.Mail)
	}
	if c.Admin != nil {
		p.Admin = *c.Admin
	}
	if c.Auditor != nil {
		p.Auditor = *c.Auditor
	}
	if c.Author != nil {
		p.Author = *c.Author
	}
	if c.Enable && p.DisabledBy == access.DisabledByContract {
		return p, access.Fail(access.Conflict, "contract-ended", "the contract of "+string(p.ID)+" has ended").
			Because("it ended at " + stamp(p.Until)).Try("extend it: stint admin vendor set " + p.ID.Name() + " --until DATE")
	}
	if c.Enable && !p.Disabled && p.Lock.Is() {
		return p, access.Fail(access.Conflict, "principal-locked", string(p.ID)+" is locked, and not disabled").Try("unlock them: stint admin user unlock " + p.ID.Name())
	}
	if c.Enable && p.Disabled {
		if p.DisabledBy != "" {
			return p, access.Fail(access.Conflict, "disabled-elsewhere", string(p.ID)+" was disabled by "+p.DisabledBy).
				Because("who disabled them enables them: " + p.DisabledBy + " would say so when they come back").
				Try("have them enabled there; if " + p.DisabledBy + " is out of use, unlink them from it first")
		}
		p.Disabled = false
	}
	return p, nil
}

// mayDemote keeps an administrator who can sign in. It looks at the others as
// they are now: the caller may have lost the right meanwhile.
func mayDemote(tx Tx, by Caller, id access.PrincipalID) error {
	if id == by.Principal.ID {
		return access.Fail(access.Conflict, "own-account", "nobody takes their own right to administer away").Try("ask another administrator")
	}
	users, err := tx.Principals(access.User)
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.ID != id && u.Admin && u.Usable(tx.Now()) == nil {
			return nil
		}
	}
	return access.Fail(access.Conflict, "last-administrator", string(id)+" is the last administrator").Try("make another one first")
}

// change is one thing that is different about a principal.
type change struct{ name, was, is string }

func changes(old, now access.Principal) (list []change) {
	note := func(name, was, is string) {
		if was != is {
			list = append(list, change{name, was, is})
		}
	}
	if !slices.Equal(old.Groups, now.Groups) {
		note("groups", groupsText(old.Groups), groupsText(now.Groups))
	}
	note("attributes", attributesText(old.Attributes), attributesText(now.Attributes))
	note("manager", string(old.Manager), string(now.Manager))
	note("admin", strconv.FormatBool(old.Admin), strconv.FormatBool(now.Admin))
	note("auditor", strconv.FormatBool(old.Auditor), strconv.FormatBool(now.Auditor))
	note("author", strconv.FormatBool(old.Author), strconv.FormatBool(now.Author))
	note("identities", identitiesText(old.Identities), identitiesText(now.Identities))
	note("disabled", strconv.FormatBool(old.Disabled), strconv.FormatBool(now.Disabled))
	return list
}

// changedEvent names what changed, and of each what it was and is; a value that
// is empty is left out, as everywhere in the log.
func changedEvent(p access.Principal, what []change, by access.Actor, now time.Time) access.Event {
	var names, kv []string
	for _, c := range what {
		names = append(names, c.name)
		kv = append(kv, c.name, c.is, c.name+"_before", c.was)
	}
	kv = append(kv, "changed", strings.Join(names, ","), "person", string(p.Person))
	return access.Event{Type: PrincipalChanged, At: now, Entity: string(p.ID), Version: p.Version, Actor: by, Facts: facts(kv...)}
}
