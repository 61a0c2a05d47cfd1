package broker

import (
	"context"
	"strings"

	"stint/internal/access"
)

// The events of locks. Each principal that is locked, or let in again, has one.
const (
	PrincipalLocked   access.EventType = "principal.locked"
	PrincipalUnlocked access.EventType = "principal.unlocked"
)

// maxLockWhy bounds the reason of a lock, in bytes: it is kept with the principal.
const maxLockWhy = 1000

// Lock keeps a principal out, and for a user the services and agents that they answer for:
// sign-ins end, what they ask for is refused, and all access is taken away, as by Disable.
// Nothing else is: after Unlock they are who they were, with their passkeys, groups and
// tokens.
func (b *Broker) Lock(ctx context.Context, c Caller, id access.PrincipalID, why string) error {
	why, err := lockReason(c, why)
	if err != nil {
		return err
	}
	if id == c.Principal.ID {
		return access.Fail(access.Conflict, "own-account", "nobody locks themselves out").Try("ask another administrator")
	}
	defer b.PeopleChanged()
	return b.update(ending(ctx, 1), func(tx Tx, fx *effects) error {
		if err := c.still(tx); err != nil {
			return err
		}
		p, err := tx.Principal(id)
		if err != nil {
			return err
		}
		all, err := behind(tx, p)
		if err != nil {
			return err
		}
		l := access.Lock{With: p.ID, By: c.Principal.ID, Why: why, At: tx.Now()}
		for n, q := range all {
			locked, ok := q.Bar(l)
			switch {
			case !ok && n == 0:
				return access.Fail(access.Conflict, "already-locked", string(id)+" is locked already").Because(lockedWith(q))
			case !ok:
				continue // for itself, and stays so
			}
			if err := tx.SavePrincipals(locked); err != nil {
				return err
			}
			fx.event(lockEvent(PrincipalLocked, locked, l.With, why, c.Actor, tx))
			if q.ID.Kind() == access.User { // a token is good for nothing meanwhile, and need not be made anew
				if err := tx.DropLogins(q.ID); err != nil {
					return err
				}
			}
			if err := b.endHeld(tx, fx, q.ID, string(q.ID)+" was locked", c.Actor); err != nil {
				return err
			}
		}
		return b.strand(tx, fx, p, "locked", c.Actor)
	})
}

// Unlock lets a principal in again, with those that were locked with it. Who holds an office
// is let in by two administrators, where there are two: it gives the proposal that waits for
// the other one then.
func (b *Broker) Unlock(ctx context.Context, c Caller, id access.PrincipalID, why string) (waits *access.Proposal, err error) {
	if why, err = lockReason(c, why); err != nil {
		return nil, err
	}
	defer b.PeopleChanged()
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		waits = nil
		p, err := tx.Principal(id)
		if err != nil {
			return err
		}
		if err := mayUnlock(tx, p); err != nil {
			return err
		}
		o := Office{User: p.ID, Unlock: true, Why: why}.gains(p)
		two, err := OfficesTakeTwo(tx)
		if err != nil {
			return err
		}
		if two && o.Unlock {
			waits, err = b.proposeThis(tx, fx, c, access.ProposesOffice, o, 0, o.words(), []string{"one administrator alone could let another one of themselves in again"})
			return err
		}
		return b.unlock(tx, fx, p, why, nil, c.Actor)
	})
	return waits, err
}

// unlock does it; facts are what else there is to say of how it came to be.
func (b *Broker) unlock(tx Tx, fx *effects, p access.Principal, why string, facts map[string]string, actor access.Actor) error {
	if err := mayUnlock(tx, p); err != nil {
		return err
	}
	with, all := p.Lock.With, []access.Principal{p}
	if p.ID.Kind() == access.User {
		more, err := answersFor(tx, p)
		if err != nil {
			return err
		}
		all = append(all, more...)
	}
	for _, q := range all {
		free, ok := q.Unbar(with)
		if !ok {
			continue
		}
		if err := tx.SavePrincipals(free); err != nil {
			return err
		}
		ev := lockEvent(PrincipalUnlocked, free, with, why, actor, tx)
		for name, v := range facts {
			ev.Facts[name] = v
		}
		fx.event(ev)
	}
	return nil
}

func lockReason(c Caller, why string) (string, error) {
	if err := c.admin(); err != nil {
		return "", err
	}
	switch why = strings.TrimSpace(why); {
	case why == "":
		return "", access.Fail(access.Invalid, "no-reason", "to lock somebody out, or let them in again, needs a reason").Try("say it with --why")
	case len(why) > maxLockWhy:
		return "", access.Fail(access.Invalid, "long-reason", "the reason is too long").Because("it has more than 1000 bytes")
	}
	return strings.ToValidUTF8(why, "\uFFFD"), nil
}

// mayUnlock refuses what is not locked, and what is locked with who answers for it, for as
// long as they are.
func mayUnlock(tx Tx, p access.Principal) error {
	if !p.Lock.Is() {
		return access.Fail(access.Conflict, "not-locked", string(p.ID)+" is not locked")
	}
	if p.Lock.With == p.ID {
		return nil
	}
	who, err := tx.Principal(p.Lock.With)
	switch {
	case err != nil && !missing(err):
		return err
	case who.Lock.Is():
		return access.Fail(access.Conflict, "locked-with", string(p.ID)+" is locked with "+string(p.Lock.With)).
			Because("who answers for it is locked").Try("unlock them: stint admin user unlock " + p.Lock.With.Name())
	}
	return nil
}

func lockedWith(p access.Principal) string {
	if p.Lock.With != p.ID {
		return "with " + string(p.Lock.With) + ", who answers for it"
	}
	return "by " + string(p.Lock.By) + ": " + p.Lock.Why
}

func lockEvent(t access.EventType, p access.Principal, with access.PrincipalID, why string, actor access.Actor, tx Tx) access.Event {
	facts := map[string]string{"why": why, "person": string(p.Person)}
	if with != p.ID {
		facts["with"] = string(with)
	}
	return access.Event{Type: t, At: tx.Now(), Entity: string(p.ID), Version: p.Version, Actor: actor, Facts: facts}
}
