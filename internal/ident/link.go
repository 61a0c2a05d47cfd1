package ident

import (
	"context"
	"time"

	"stint/internal/access"
)

// Link says that a user is a subject of a provider: whoever signs in there as that
// subject is this user from now on.
func (i *Ident) Link(ctx context.Context, by Caller, user string, id access.Identity) (access.Principal, error) {
	return i.relink(ctx, by, user, id, func(tx Tx, p access.Principal) (access.Principal, access.EventType, error) {
		switch other, err := tx.PrincipalByIdentity(id); {
		case err == nil && other.ID == p.ID:
			return p, "", nil
		case err == nil:
			return p, "", identityTaken(id, other.ID)
		case access.KindOf(err) != access.NotFound:
			return p, "", err
		}
		return p.Link(id), PrincipalLinked, nil
	})
}

// Unlink takes an identity of a user away, and with the last one of a provider the
// groups that it gave. What they hold by these is for the caller to have decided
// again. A login made with the identity goes on until its end.
func (i *Ident) Unlink(ctx context.Context, by Caller, user string, id access.Identity) (access.Principal, error) {
	return i.relink(ctx, by, user, id, func(_ Tx, p access.Principal) (access.Principal, access.EventType, error) {
		for _, have := range p.Identities {
			if have == id {
				return p.Unlink(id), PrincipalUnlinked, nil
			}
		}
		return p, "", access.Fail(access.NotFound, "no-such-identity", string(p.ID)+" has no such identity").
			Try("stint get users " + p.ID.Name() + " -o json lists what they have")
	})
}

// relink changes the identities of a user; an empty event is no change.
func (i *Ident) relink(ctx context.Context, by Caller, user string, id access.Identity,
	how func(Tx, access.Principal) (access.Principal, access.EventType, error)) (out access.Principal, err error) {
	if err := administers(by); err != nil {
		return out, err
	}
	if err := id.Check(); err != nil {
		return out, err
	}
	err = i.store.Update(ctx, func(tx Tx) error {
		p, err := tx.Principal(access.NewPrincipalID(access.User, user))
		if err != nil {
			return noSuchUser(user, err)
		}
		now, event, err := how(tx, p)
		if err != nil || event == "" {
			out = now
			return err
		}
		now.Version++
		if err := tx.SavePrincipals(now); err != nil {
			return err
		}
		out = now
		return tx.Append(linkEvent(event, p, now, id, by.Actor, tx.Now()))
	})
	if err != nil {
		return access.Principal{}, err
	}
	return out, nil
}

func identityTaken(id access.Identity, by access.PrincipalID) error {
	return access.Fail(access.Conflict, "identity-taken", "this subject of "+id.Provider+" is "+string(by)+" already").
		Because("an identity is one principal's").Try("if that is wrong: stint admin user unlink " + by.Name() + " --provider " + id.Provider + " --subject …")
}

// linkEvent tells also which groups came or went with the identity.
func linkEvent(t access.EventType, old, p access.Principal, id access.Identity, by access.Actor, now time.Time) access.Event {
	kv := []string{"provider", id.Provider, "subject", id.Subject, "person", string(p.Person)}
	if was, is := groupsText(old.Groups), groupsText(p.Groups); was != is {
		kv = append(kv, "groups", is, "groups_before", was)
	}
	return access.Event{Type: t, At: now, Entity: string(p.ID), Version: p.Version, Actor: by, Facts: facts(kv...)}
}
