package ident

import (
	"context"
	"slices"
	"strconv"

	"stint/internal/access"
	"stint/internal/passkey"
)

// Site is where passkeys are asked to sign: the console's pages, or the person's own
// client.
type Site struct {
	RPID   string
	Origin string
}

// ClientSite is that of the person's own client.
var ClientSite = Site{access.ClientRPID, access.ClientOrigin}

// nonceBytes is the length of what a client chooses for a registration.
const nonceBytes = 32

// NewPasskey is a passkey that the caller had made.
type NewPasskey struct {
	Name         string
	Site         Site
	Nonce        []byte // 32 bytes; the challenge was access.RegisterDigest of them
	Registration passkey.Registration
	Own          access.Assertion // by an older passkey of the caller, over the new one; may be empty
	Recovery     access.Secret    // a recovery code of the caller; may be empty
}

// Draft is what a registration makes: whose it is, and under which name. A client works
// it out too, to know what is vouched for.
func (n NewPasskey) Draft(p access.Principal) (access.Passkey, error) {
	if len(n.Nonce) != nonceBytes {
		return access.Passkey{}, access.Fail(access.Invalid, "bad-nonce", "the nonce of a registration has "+strconv.Itoa(nonceBytes)+" bytes")
	}
	challenge := access.RegisterDigest(p.ID, p.Person, n.Nonce)
	made, err := passkey.Register(n.Registration, passkey.Expect{Challenge: challenge[:], RPID: n.Site.RPID, Origin: n.Site.Origin})
	if err != nil {
		return access.Passkey{}, err
	}
	return access.Passkey{Principal: p.ID, Person: p.Person, Name: n.Name, RPID: n.Site.RPID, Origin: n.Site.Origin,
		Credential: made.ID, Key: made.Key, Counter: made.Counter}, nil
}

// AddPasskey enrols a passkey of the caller, or proposes it where others have to vouch
// for it first.
func (i *Ident) AddPasskey(ctx context.Context, by Caller, n NewPasskey) (p access.Passkey, err error) {
	err = i.store.Update(ctx, func(tx Tx) error {
		who, err := usable(tx, by)
		if err != nil {
			return err
		}
		draft := passkey.Draft{Own: n.Own, Admin: who.Admin, Recovered: by.Enrols} // a code was used up for the login
		if draft.Passkey, err = n.Draft(who); err != nil {
			return err
		}
		o, own, err := others(tx, who.Person)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(own, func(p access.Passkey) bool { return string(p.Credential) == string(draft.Credential) }) {
			return access.Fail(access.Conflict, "known-passkey", "this passkey is enrolled already, or was")
		}
		if have := takenUp(own, tx); have >= passkey.MaxOwn {
			return access.Fail(access.TooMany, "too-many-passkeys", "you have "+strconv.Itoa(have)+" passkeys").Try("remove one that you do not use: stint passkey list")
		}
		now := tx.Now()
		var evs []access.Event
		if !n.Recovery.Empty() {
			ev, err := useRecovery(tx, n.Recovery, who, by.Actor)
			if err != nil {
				return err
			}
			draft.Recovered, evs = true, append(evs, ev)
		}
		roster := passkey.NewRoster(own...)
		var ev access.Event
		if p, ev, err = passkey.Propose(draft, o, roster, by.Actor, now); err != nil {
			return err
		}
		ended, err := endRecoveries(tx, who, by)
		if err != nil {
			return err
		}
		if err := tx.SavePasskeys(append(roster.Used(), p)...); err != nil {
			return err
		}
		return tx.Append(slices.Concat(evs, []access.Event{ev}, ended)...)
	})
	if err != nil {
		return access.Passkey{}, err
	}
	return p, nil
}

// VouchPasskey records the caller's word that a proposed passkey is its person's: an
// administrator's, or with an older passkey of theirs that of the person.
func (i *Ident) VouchPasskey(ctx context.Context, by Caller, id access.PasskeyID, a access.Assertion) (p access.Passkey, err error) {
	err = i.store.Update(ctx, func(tx Tx) error {
		who, err := usable(tx, by)
		if err != nil {
			return err
		}
		if p, err = tx.Passkey(id); err != nil || p.Person != who.Person && !who.Admin {
			return noSuchPasskey(err)
		}
		if owner, err := tx.Principal(p.Principal); err != nil {
			return err
		} else if err := owner.Usable(tx.Now()); err != nil {
			return err
		}
		o, _, err := others(tx, p.Person)
		if err != nil {
			return err
		}
		mine, err := tx.Passkeys(who.Person)
		if err != nil {
			return err
		}
		roster := passkey.NewRoster(mine...)
		var ev access.Event
		if p, ev, err = passkey.Vouch(p, who, a, o, roster, by.Actor, tx.Now()); err != nil {
			return err
		}
		if err := tx.SavePasskeys(append(roster.Used(), p)...); err != nil {
			return err
		}
		return tx.Append(ev)
	})
	if err != nil {
		return access.Passkey{}, err
	}
	return p, nil
}

// RemovePasskey ends a passkey: one's own, or as an administrator anybody's. It asks for
// no signature: whoever has lost theirs must be able to.
func (i *Ident) RemovePasskey(ctx context.Context, by Caller, id access.PasskeyID, why string) (p access.Passkey, err error) {
	err = i.store.Update(ctx, func(tx Tx) error {
		who, err := usable(tx, by)
		if err != nil {
			return err
		}
		if p, err = tx.Passkey(id); err != nil || p.Person != who.Person && !who.Admin {
			return noSuchPasskey(err)
		}
		var ev access.Event
		if p, ev, err = passkey.Remove(p, why, by.Actor, tx.Now()); err != nil {
			return err
		}
		if err := tx.SavePasskeys(p); err != nil {
			return err
		}
		return tx.Append(ev)
	})
	if err != nil {
		return access.Passkey{}, err
	}
	return p, nil
}

// Passkeys lists the passkeys of the person behind the caller or, for administrators
// and auditors, those of another person, or with all set everybody's.
func (i *Ident) Passkeys(ctx context.Context, by Caller, person access.Person, all bool) (ps []access.Passkey, err error) {
	if !all && person == "" {
		person = by.Principal.Person
	}
	if all {
		person = ""
	}
	if person != by.Principal.Person && !by.Principal.Admin && !by.Principal.Auditor {
		return nil, access.Fail(access.Denied, "not-yours", "the passkeys of others are for administrators and auditors")
	}
	err = i.store.View(ctx, func(tx Tx) error {
		ps, err = tx.Passkeys(person)
		return err
	})
	return ps, err
}

// Passkey reads one passkey: one's own or, for administrators and auditors, anybody's.
func (i *Ident) Passkey(ctx context.Context, by Caller, id access.PasskeyID) (p access.Passkey, err error) {
	err = i.store.View(ctx, func(tx Tx) error {
		if p, err = tx.Passkey(id); err != nil || p.Person != by.Principal.Person && !by.Principal.Admin && !by.Principal.Auditor {
			return noSuchPasskey(err)
		}
		return nil
	})
	if err != nil {
		return access.Passkey{}, err
	}
	return p, nil
}

// PasskeysAt reports whether anybody has an active passkey for a site.
func (i *Ident) PasskeysAt(ctx context.Context, site Site) (found bool, err error) {
	err = i.store.View(ctx, func(tx Tx) error {
		all, err := tx.Passkeys("")
		found = slices.ContainsFunc(all, func(p access.Passkey) bool {
			return p.State == access.PasskeyActive && p.RPID == site.RPID && p.Origin == site.Origin
		})
		return err
	})
	return found, err
}

// NobodyVouches reports whether passkeys were enrolled, and nobody has one left that
// could vouch for one of the caller's: neither they nor another administrator.
func (i *Ident) NobodyVouches(ctx context.Context, by Caller) (nobody bool, err error) {
	err = i.store.View(ctx, func(tx Tx) error {
		o, _, err := others(tx, by.Principal.Person)
		nobody = o.Any && len(o.Own) == 0 && len(o.Admins) == 0
		return err
	})
	return nobody, err
}

// usable is the caller as the store has them now: what is enrolled outlives the call.
func usable(tx Tx, by Caller) (access.Principal, error) {
	p, err := tx.Principal(by.Principal.ID)
	if err == nil {
		err = p.Usable(tx.Now())
	}
	return p, err
}

// others reads what enrolment has to know, and all passkeys of the person.
func others(tx Tx, of access.Person) (o passkey.Others, own []access.Passkey, err error) {
	all, err := tx.Passkeys("")
	if err != nil {
		return o, nil, err
	}
	users, err := tx.Principals(access.User)
	if err != nil {
		return o, nil, err
	}
	admins := map[access.Person]bool{}
	for _, u := range users {
		if u.Admin && u.Usable(tx.Now()) == nil {
			admins[u.Person] = true
		}
	}
	for _, p := range all {
		o.Any = o.Any || p.Anchor != ""
		live := p.State == access.PasskeyActive
		switch {
		case p.Person == of:
			own = append(own, p)
			if live {
				o.Own = append(o.Own, p)
			}
		case live && admins[p.Person]:
			o.Admins = append(o.Admins, p)
		}
	}
	return o, own, nil
}

// takenUp counts the passkeys that are in use or may come to be.
func takenUp(own []access.Passkey, tx Tx) (n int) {
	for _, p := range own {
		if p.State == access.PasskeyActive || p.State == access.PasskeyProposed && tx.Now().Before(p.ExpiresAt) {
			n++
		}
	}
	return n
}

func noSuchPasskey(err error) error {
	if err != nil && access.KindOf(err) != access.NotFound {
		return err
	}
	return access.Fail(access.NotFound, "no-such-passkey", "there is no such passkey, or it is not yours to see").Try("list them with: stint passkey list")
}
