package ident

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/moment"
)

const (
	linkPrefix = "stint-link-"
	// linkFor is how long somebody has to link themselves to a chat's user.
	linkFor = 10 * time.Minute
)

// OfferLink makes a code by which whoever is signed in and uses it becomes the person
// behind a chat's user. shows is what the chat calls that user, for people's eyes.
func (i *Ident) OfferLink(ctx context.Context, id access.Identity, shows string) (code access.Secret, err error) {
	if err := id.Check(); err != nil {
		return code, err
	}
	code, hash, err := i.newSecret(linkPrefix)
	if err != nil {
		return code, err
	}
	err = i.store.Update(ctx, func(tx Tx) error {
		now := tx.Now()
		return tx.SaveAttempt(access.Attempt{Key: hash, Kind: access.InChat, CreatedAt: now, ExpiresAt: now.Add(linkFor),
			Client: access.Label(shows), Provider: id.Provider, Subject: id.Subject})
	})
	return code, err
}

// LinkOwn shows the caller what a code would link them to and, if they are sure, does
// it. Only a person's own login links, and only to themselves: the code comes from the
// chat, and the chat says for whom.
func (i *Ident) LinkOwn(ctx context.Context, by Caller, code access.Secret, sure bool) (a access.Attempt, err error) {
	if by.Principal.ID.Kind() != access.User || by.Login.Glass != nil {
		return a, access.Fail(access.Denied, "not-a-person", "only people link themselves to a chat's user")
	}
	err = i.store.Update(ctx, func(tx Tx) error {
		a, err = tx.Attempt(digest(code))
		if err == nil && a.Kind != access.InChat {
			err = access.NotFound
		}
		if err == nil && sure {
			a, err = tx.UseAttempt(a.Key)
		} else if err == nil && !a.UsedAt.IsZero() {
			err = access.Conflict
		} else if err == nil && !tx.Now().Before(a.ExpiresAt) {
			err = access.Expired
		}
		switch access.KindOf(err) {
		case access.NotFound, access.Conflict, access.Expired:
			return access.Fail(access.Invalid, "bad-link-code", "the code is not one that can be used").
				Because("it is good once, for " + moment.Span(linkFor)).Try("click in the chat again: it gives a new one")
		}
		if err != nil || !sure {
			return err
		}
		id := access.Identity{Provider: a.Provider, Subject: a.Subject}
		switch other, err := tx.PrincipalByIdentity(id); {
		case err == nil && other.ID == by.Principal.ID:
			return nil
		case err == nil:
			return identityTaken(id, other.ID)
		case access.KindOf(err) != access.NotFound:
			return err
		}
		p, err := tx.Principal(by.Principal.ID)
		if err != nil {
			return err
		}
		now := p.Link(id)
		now.Version++
		if err := tx.SavePrincipals(now); err != nil {
			return err
		}
		return tx.Append(linkEvent(PrincipalLinked, p, now, id, by.Actor, tx.Now()))
	})
	return a, err
}

// Linked is who stands behind a subject of an integration, now. access.NotFound with
// code "not-linked" where nobody does.
func (i *Ident) Linked(ctx context.Context, id access.Identity) (p access.Principal, err error) {
	err = i.store.View(ctx, func(tx Tx) error {
		p, err = tx.PrincipalByIdentity(id)
		if access.KindOf(err) == access.NotFound {
			return access.Fail(access.NotFound, "not-linked", "nobody is linked to "+id.Subject+" of "+id.Provider).
				Try("ask for a code there, and give it to stint chat link")
		}
		if err != nil {
			return err
		}
		return p.Usable(tx.Now())
	})
	return p, err
}
