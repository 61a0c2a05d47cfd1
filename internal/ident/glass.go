package ident

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// Break-glass codes are for when sign-in itself is down: sealed in an envelope, each good
// once, and for nothing but break-glass access. A set can be made so that it takes several
// of its codes at once, of different persons. Each is a secret of its own, and not a share
// of one: fewer than needed open nothing either way, and so each can be revoked by itself,
// the log says whose were used, and there is no arithmetic to get wrong. RFD 22.

// How long break-glass codes are good for, and how many are made in one step.
const (
	GlassCodeFor  = 180 * 24 * time.Hour
	MaxGlassCode  = 366 * 24 * time.Hour
	MaxGlassCodes = 50
	// maxPresented bounds the codes of one attempt.
	maxPresented = 16
)

const glassPrefix = "stint-glass-"

// The events of codes. Stored: only append.
const (
	GlassCodeMade    access.EventType = "code.made"
	GlassCodeUsed    access.EventType = "code.used"
	GlassCodeRevoked access.EventType = "code.revoked"
)

// GlassTx is the part of a transaction that is about break-glass codes. GlassCode and
// GlassLogin answer access.NotFound for what does not exist.
type GlassTx interface {
	SaveGlassCodes(cs ...access.GlassCode) error
	GlassCode(code access.Digest) (access.GlassCode, error)
	GlassCodes() ([]access.GlassCode, error)
	// UseGlassCode and RevokeGlassCode answer access.Conflict for a code that was used or
	// revoked before.
	UseGlassCode(code access.Digest) error
	RevokeGlassCode(code access.Digest) error

	SaveGlassLogin(l access.Login) error
	GlassLogin(token access.Digest) (access.Login, error)
	GlassLogins(p access.PrincipalID) ([]access.Login, error)
	RevokeGlassLogin(token access.Digest) error
}

// NewGlassCodes are break-glass codes to make: Count for one user, or one each for several
// of which Need are to be presented together.
type NewGlassCodes struct {
	User     string
	Count    int      // for User
	Sharers  []string // users, of different persons; instead of User and Count
	Need     int      // of Sharers
	Resource access.ResourceName
	For      time.Duration // 0: GlassCodeFor
}

// MadeGlassCode is a fresh code. It is shown this once.
type MadeGlassCode struct {
	access.GlassCode
	Secret access.Secret
}

func (n NewGlassCodes) check() (users []string, need int, err error) {
	bad := func(code, what, next string) ([]string, int, error) {
		return nil, 0, access.Fail(access.Invalid, code, what).Try(next)
	}
	switch {
	case n.For < 0 || n.For > MaxGlassCode:
		return bad("bad-duration", "break-glass codes are good for "+strconv.Itoa(int(MaxGlassCode.Hours()/24))+" days at most", "make fresh ones before they end")
	case n.Resource != "" && !access.ValidName(string(n.Resource)):
		return nil, 0, badName("resource", string(n.Resource))
	case len(n.Sharers) > 0 && (n.User != "" || n.Count > 1):
		return bad("bad-codes", "codes are either of one user or shared by several", "name a user and a count, or those who share and how many it takes")
	case len(n.Sharers) > 0:
		if n.Need < 2 || n.Need > len(n.Sharers) || n.Need > maxPresented || len(n.Sharers) > MaxGlassCodes {
			return bad("bad-need", fmt.Sprintf("it takes 2 to %d of those who share", min(len(n.Sharers), maxPresented)), "say how many it takes")
		}
		return n.Sharers, n.Need, nil
	case n.User == "":
		return bad("bad-codes", "whose codes they are is missing", "name a user")
	case n.Need > 1:
		return bad("bad-need", "one user's codes are each good by themselves", "name several users who share, of whom it takes so many")
	case n.Count < 1 || n.Count > MaxGlassCodes:
		return bad("bad-count", fmt.Sprintf("1 to %d codes are made at once", MaxGlassCodes), "say how many")
	}
	for range n.Count {
		users = append(users, n.User)
	}
	return users, 1, nil
}

// MakeGlassCodes makes break-glass codes; administrators only.
func (i *Ident) MakeGlassCodes(ctx context.Context, by Caller, n NewGlassCodes) ([]MadeGlassCode, error) {
	if err := administers(by); err != nil {
		return nil, err
	}
	users, need, err := n.check()
	if err != nil {
		return nil, err
	}
	made := make([]MadeGlassCode, len(users))
	for k := range made {
		if made[k].Secret, made[k].Code, err = i.newSecret(glassPrefix); err != nil {
			return nil, err
		}
	}
	err = i.store.Update(ctx, func(tx Tx) error {
		now := tx.Now()
		var evs []access.Event
		var first string
		var persons []access.Person
		for k, user := range users {
			p, err := tx.Principal(access.NewPrincipalID(access.User, user))
			if err != nil {
				return noSuchUser(user, err)
			}
			if err := p.MayBreakGlass(); err != nil {
				return err
			}
			if p.Usable(now) != nil {
				return access.Fail(access.Conflict, "principal-disabled", string(p.ID)+" is disabled").Because("nobody could use the code")
			}
			if need > 1 && slices.Contains(persons, p.Person) {
				return access.Fail(access.Invalid, "same-person", "those who share are different persons").Because(string(p.ID) + " is " + string(p.Person) + " too")
			}
			persons = append(persons, p.Person)
			id, err := i.newGlassID(now)
			if err != nil {
				return err
			}
			if first == "" {
				first = id
			}
			c := &made[k].GlassCode
			c.ID, c.MadeWith, c.Need, c.Principal, c.Resource = id, first, need, p.ID, n.Resource
			c.CreatedAt, c.ExpiresAt = now, now.Add(GlassCodeFor)
			if n.For > 0 {
				c.ExpiresAt = now.Add(n.For)
			}
			if err := tx.SaveGlassCodes(*c); err != nil {
				return err
			}
			evs = append(evs, glassEvent(GlassCodeMade, *c, 1, by.Actor, now))
		}
		return tx.Append(evs...)
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

func (i *Ident) newGlassID(now time.Time) (string, error) {
	var e access.Entropy
	if _, err := io.ReadFull(i.rand, e[:]); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return access.NewGlassCodeID(now.UnixMilli(), e), nil
}

// GlassCodes lists the codes there are, the oldest first, with what became of them and
// nothing secret; administrators and auditors.
func (i *Ident) GlassCodes(ctx context.Context, by Caller) (cs []access.GlassCode, now time.Time, err error) {
	if !by.Principal.Admin && !by.Principal.Auditor {
		return nil, now, access.Fail(access.Denied, "not-yours", "break-glass codes are for administrators and auditors to see")
	}
	err = i.store.View(ctx, func(tx Tx) (err error) {
		now = tx.Now()
		cs, err = tx.GlassCodes()
		return err
	})
	return cs, now, err
}

// RevokeGlassCode makes a code worthless; administrators only.
func (i *Ident) RevokeGlassCode(ctx context.Context, by Caller, id string) error {
	if err := administers(by); err != nil {
		return err
	}
	return i.store.Update(ctx, func(tx Tx) error {
		cs, err := tx.GlassCodes()
		if err != nil {
			return err
		}
		k := slices.IndexFunc(cs, func(c access.GlassCode) bool { return c.ID == id })
		if k < 0 {
			return access.Fail(access.NotFound, "no-such-code", "there is no break-glass code "+id).Try("list them with: stint admin break-glass codes ls")
		}
		if cs[k].Spent() {
			return access.Fail(access.Conflict, "code-spent", "the code is of no use any more").Because("it was used or revoked")
		}
		if err := tx.RevokeGlassCode(cs[k].Code); err != nil {
			return err
		}
		return tx.Append(glassEvent(GlassCodeRevoked, cs[k], 2, by.Actor, tx.Now()))
	})
}

// GlassSign is what somebody brings whom sign-in does not let in.
type GlassSign struct {
	Codes []access.Secret
	// Device signed the call; the login will be good only with its proofs.
	Device  access.DeviceID
	SealKey []byte // the device's public key for credentials
	From    netip.Addr
}

// GlassEnrol exchanges break-glass codes for a login on one device that lasts as long as
// break-glass access at most and is good for nothing else. It is that of the first code's
// user. Too few codes use none of them up.
func (i *Ident) GlassEnrol(ctx context.Context, s GlassSign) (Login, access.Glass, error) {
	if err := (Sign{Device: s.Device, SealKey: s.SealKey}).check(); err != nil {
		return Login{}, access.Glass{}, err
	}
	if len(s.Codes) == 0 || len(s.Codes) > maxPresented {
		return Login{}, access.Glass{}, access.Fail(access.Invalid, "bad-codes", fmt.Sprintf("1 to %d codes are presented together", maxPresented))
	}
	token, hash, err := i.newSecret(tokenPrefix)
	if err != nil {
		return Login{}, access.Glass{}, err
	}
	var out Login
	var glass access.Glass
	err = i.store.Update(ctx, func(tx Tx) error {
		codes, people, err := s.codes(tx)
		if err != nil {
			return err
		}
		p, now := people[0], tx.Now()
		by := access.Actor{Principal: p.ID, Person: p.Person, Device: s.Device, Address: s.From}
		glass = access.Glass{Resource: codes[0].Resource}
		var evs []access.Event
		for k, c := range codes {
			if err := tx.UseGlassCode(c.Code); err != nil {
				if access.KindOf(err) == access.Conflict {
					err = usedCode()
				}
				return err
			}
			glass.Codes, glass.Persons = append(glass.Codes, c.ID), append(glass.Persons, people[k].Person)
			evs = append(evs, glassEvent(GlassCodeUsed, c, 2, by, now))
		}
		l := access.Login{Token: hash, Principal: p.ID, Device: s.Device, SealKey: s.SealKey, CreatedAt: now, ExpiresAt: now.Add(access.MaxEmergency), From: s.From, Glass: &glass}
		if err := tx.SaveGlassLogin(l); err != nil {
			return err
		}
		login := loginEvent(LoginCreated, l, 1, by, now)
		login.Facts["codes"] = strings.Join(glass.Codes, ",")
		out = Login{Token: token, Principal: bare(p), ExpiresAt: l.ExpiresAt}
		return tx.Append(append(evs, login)...)
	})
	if err != nil {
		return Login{}, access.Glass{}, err
	}
	return out, glass, nil
}

// codes finds the codes presented, and whose they are. They are found by their hash; no
// comparison takes a time that depends on a secret.
func (s GlassSign) codes(tx Tx) (cs []access.GlassCode, ps []access.Principal, err error) {
	now := tx.Now()
	seen := map[access.Digest]bool{}
	var persons []access.Person
	for _, secret := range s.Codes {
		hash := digest(access.NewSecret([]byte(strings.TrimSpace(string(secret.Reveal())))))
		if seen[hash] { // the same one twice is one
			continue
		}
		seen[hash] = true
		c, err := tx.GlassCode(hash)
		switch {
		case err != nil:
			return nil, nil, badCode(err)
		case !c.UsedAt.IsZero():
			return nil, nil, usedCode()
		case !c.RevokedAt.IsZero():
			return nil, nil, badCode(access.NotFound)
		case !now.Before(c.ExpiresAt):
			return nil, nil, access.Fail(access.Unauthenticated, "code-expired", "the code has expired").
				Because("it was good until " + stamp(c.ExpiresAt)).Try("use another one, or ask an administrator")
		}
		p, err := tx.Principal(c.Principal)
		if err != nil {
			return nil, nil, badCode(err)
		}
		if err := p.Usable(now); err != nil {
			return nil, nil, err
		}
		if err := p.MayBreakGlass(); err != nil {
			return nil, nil, err
		}
		if len(cs) > 0 && (c.MadeWith != cs[0].MadeWith || c.Need == 1) {
			return nil, nil, access.Fail(access.Unauthenticated, "codes-differ", "the codes do not belong together").Try("present codes that were made together, or one alone")
		}
		if slices.Contains(persons, p.Person) {
			return nil, nil, access.Fail(access.Unauthenticated, "same-person", "the codes are of one person").Because("it takes different ones")
		}
		cs, ps, persons = append(cs, c), append(ps, p), append(persons, p.Person)
	}
	if len(cs) < cs[0].Need {
		return nil, nil, access.Fail(access.Unauthenticated, "more-codes", fmt.Sprintf("it takes %d of these codes together", cs[0].Need)).
			Because(fmt.Sprintf("%d of them were presented", len(cs))).Try("repeat --code-file, with the codes of others who have one")
	}
	return cs[:cs[0].Need], ps[:cs[0].Need], nil
}

// bare is a principal without what a login by codes does not give: the rights to
// administer and to audit. Its groups stay, by which policy knows who may break glass.
func bare(p access.Principal) access.Principal {
	p.Admin, p.Auditor = false, false
	return p
}

func glassEvent(t access.EventType, c access.GlassCode, version int64, by access.Actor, now time.Time) access.Event {
	return access.Event{Type: t, At: now, Entity: c.ID, Version: version, Actor: by, Facts: facts("principal", string(c.Principal), "made_with", c.MadeWith, "need", strconv.Itoa(c.Need), "resource", string(c.Resource), "expires_at", stamp(c.ExpiresAt))}
}
