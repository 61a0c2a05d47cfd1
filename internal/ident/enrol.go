package ident

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"stint/internal/access"
)

// sealKeyBytes is the length of an X25519 public key.
const sealKeyBytes = 32

// Sign is what somebody with a code brings to sign in.
type Sign struct {
	Code access.Secret
	// Device signed the call; the login will be good only with its proofs.
	Device  access.DeviceID
	SealKey []byte // the device's public key for credentials
	// First names the first administrator, with the bootstrap code only.
	First string
	From  netip.Addr
}

// Login is a fresh login. The token is shown this once.
type Login struct {
	Token     access.Secret
	Principal access.Principal
	ExpiresAt time.Time
}

// Enrol exchanges a code, of an administrator or a recovery code, for a login on one
// device.
func (i *Ident) Enrol(ctx context.Context, s Sign) (Login, error) {
	if strings.HasPrefix(strings.TrimSpace(string(s.Code.Reveal())), recoveryPrefix) && s.First == "" {
		return i.recoverWith(ctx, s)
	}
	if err := s.check(); err != nil {
		return Login{}, err
	}
	token, hash, err := i.newSecret(tokenPrefix)
	if err != nil {
		return Login{}, err
	}
	var out Login
	err = i.store.Update(ctx, func(tx Tx) error {
		p, e, made, err := s.redeem(tx)
		if err != nil {
			return err
		}
		now := tx.Now()
		by := access.Actor{Principal: p.ID, Person: p.Person, Device: s.Device, Address: s.From}
		l := access.Login{Token: hash, Principal: p.ID, Device: s.Device, SealKey: s.SealKey, CreatedAt: now, ExpiresAt: now.Add(LoginFor),
			Kind: access.DeviceLogin, Auth: access.Auth{Provider: access.ByCode, At: now}, From: s.From}
		if err := tx.SaveLogin(l); err != nil {
			return err
		}
		if made {
			if err := tx.Append(principalEvent(PrincipalCreated, p, by, now, "by", "bootstrap")); err != nil {
				return err
			}
		}
		out = Login{Token: token, Principal: p, ExpiresAt: l.ExpiresAt}
		return tx.Append(enrolmentEvent(EnrolmentUsed, e, 2, by, now), loginEvent(LoginCreated, l, 1, by, now))
	})
	if err != nil {
		return Login{}, err
	}
	return out, nil
}

func (s Sign) check() error {
	switch {
	case s.Device == "":
		return access.Fail(access.Unauthenticated, "no-device", "a code is redeemed by a device that proves its key")
	case len(s.SealKey) != sealKeyBytes:
		return access.Fail(access.Invalid, "bad-seal-key", "the seal key is not an X25519 public key")
	case s.First != "" && !access.ValidName(s.First):
		return badName("name", s.First)
	case s.First == access.System.Principal.Name():
		return access.Fail(access.Invalid, "reserved-name", "that name is Stint's own")
	}
	return nil
}

// redeem uses the code and returns its principal, which it makes if the code is
// the bootstrap code.
func (s Sign) redeem(tx Tx) (p access.Principal, e access.Enrolment, made bool, err error) {
	fail := func(err error) (access.Principal, access.Enrolment, bool, error) {
		return access.Principal{}, access.Enrolment{}, false, err
	}
	e, err = tx.Enrolment(digest(access.NewSecret([]byte(strings.TrimSpace(string(s.Code.Reveal()))))))
	if err != nil {
		return fail(badCode(err))
	}
	now := tx.Now()
	switch {
	case !e.UsedAt.IsZero():
		return fail(usedCode())
	case !now.Before(e.ExpiresAt):
		return fail(access.Fail(access.Unauthenticated, "code-expired", "the code has expired").
			Because("it was good until " + stamp(e.ExpiresAt)).Try("ask an administrator for a new one"))
	case (e.Principal == bootstrap) != (s.First != ""):
		return fail(badCode(access.NotFound))
	}
	if e.Principal == bootstrap {
		if err := nobodyYet(tx); err != nil {
			return fail(err)
		}
		p = access.Principal{ID: access.NewPrincipalID(access.User, s.First), Person: access.Person(s.First), Admin: true, CreatedAt: now, Version: 1}
		if err := tx.SavePrincipals(p); err != nil {
			return fail(err)
		}
	} else if p, err = tx.Principal(e.Principal); err != nil {
		return fail(badCode(err))
	} else if err := p.Usable(now); err != nil {
		return fail(err)
	} else if err := vouched(tx, p); err != nil {
		return fail(err)
	}
	if _, err := tx.UseEnrolment(e.Code); err != nil {
		if access.KindOf(err) == access.Conflict {
			err = usedCode()
		}
		return fail(err)
	}
	return p, e, e.Principal == bootstrap, nil
}

func badCode(err error) error {
	if access.KindOf(err) != access.NotFound {
		return err
	}
	return access.Fail(access.Unauthenticated, "bad-code", "the code is not valid").Try("ask an administrator for a new one")
}

func usedCode() error {
	return access.Fail(access.Unauthenticated, "code-used", "the code was used before").
		Because("a code is good once; if it was not you, tell an administrator now")
}

func openEnrolment(tx Tx, e access.Enrolment, by access.Actor) error {
	if err := tx.SaveEnrolment(e); err != nil {
		return err
	}
	return tx.Append(enrolmentEvent(EnrolmentCreated, e, 1, by, tx.Now()))
}
