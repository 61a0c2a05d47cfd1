package ident

import (
	"context"
	"crypto/rand"
	"io"
	"net/netip"
	"time"

	"stint/internal/access"
)

// How long things are good for.
const (
	LoginFor       = 12 * time.Hour
	EnrolmentFor   = 24 * time.Hour
	BootstrapFor   = time.Hour
	MaxServiceLife = 366 * 24 * time.Hour
)

// Store is the memory that ident needs. Update and View are as the broker's:
// one serializable transaction, whose function may run more than once.
type Store interface {
	Update(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is one transaction. Reads of what does not exist answer access.NotFound;
// SavePrincipals inserts at version 1, else replaces exactly the version before.
type Tx interface {
	Now() time.Time
	Append(evs ...access.Event) error

	Setting(name string) ([]byte, error)
	Principal(id access.PrincipalID) (access.Principal, error)
	Principals(kind access.PrincipalKind) ([]access.Principal, error)
	// PrincipalByIdentity finds who is a subject of a provider.
	PrincipalByIdentity(i access.Identity) (access.Principal, error)
	// SavePrincipals also answers access.Conflict when another has one of the identities.
	SavePrincipals(ps ...access.Principal) error

	Enrolment(code access.Digest) (access.Enrolment, error)
	SaveEnrolment(e access.Enrolment) error
	// UseEnrolment marks a code as used; access.Conflict when it was used before.
	UseEnrolment(code access.Digest) (access.Enrolment, error)
	// DropEnrolments makes the unused codes of a principal worthless.
	DropEnrolments(p access.PrincipalID) error

	Login(token access.Digest) (access.Login, error)
	SaveLogin(l access.Login) error
	RevokeLogin(token access.Digest) error
	// DropLogins ends every login of a principal, and its open enrolments.
	DropLogins(p access.PrincipalID) error
	// Logins are all of a principal, live or not.
	Logins(p access.PrincipalID) ([]access.Login, error)
	// LiveLogins are those of a kind that are good, of everybody.
	LiveLogins(kind access.LoginKind) ([]access.Login, error)
	// UseExchange notes by which device a workload's token was shown first, which may
	// show it again until it has expired; access.Conflict for any other.
	UseExchange(token access.Digest, device access.DeviceID, until time.Time) error
	// LoginSeen says that a login was used now.
	LoginSeen(token access.Digest) error

	Attempt(key access.Digest) (access.Attempt, error)
	// AttemptCalled finds one by the short code that a person types.
	AttemptCalled(alias access.Digest) (access.Attempt, error)
	// SaveAttempt writes a new one, or what changed of one that is not used up.
	SaveAttempt(a access.Attempt) error
	// UseAttempt uses one up; access.Conflict when it was used before, and
	// access.Expired when its time was up.
	UseAttempt(key access.Digest) (access.Attempt, error)

	IntegrationToken(token access.Digest) (access.IntegrationToken, error)
	IntegrationTokens(provider string) ([]access.IntegrationToken, error)
	// SaveIntegrationToken inserts at version 1, else replaces exactly the version
	// before; a token never comes back.
	SaveIntegrationToken(t access.IntegrationToken) error

	GlassTx
	Passkey(id access.PasskeyID) (access.Passkey, error)
	// Passkeys lists those of a person, or without one all, removed ones too.
	Passkeys(person access.Person) ([]access.Passkey, error)
	// PasskeyCalled finds one by its authenticator's name for it.
	PasskeyCalled(credential []byte) (access.Passkey, error)
	SavePasskeys(ps ...access.Passkey) error
	// SaveRecoveryCodes puts codes in the place of all that were not used.
	SaveRecoveryCodes(p access.PrincipalID, codes ...access.Digest) error
	// UseRecoveryCode uses a code up; access.Conflict when it was used before.
	UseRecoveryCode(code access.Digest) (access.PrincipalID, error)
}

// Ident answers who is calling. It is safe for concurrent use and keeps nothing
// in memory.
type Ident struct {
	// TakesTwo reports, in the transaction that is about to give somebody an office,
	// whether one administrator alone may not. nil: nobody may, for there is no rule.
	TakesTwo func(tx Tx) (bool, error)

	store Store
	rand  io.Reader
}

// New makes an Ident on a store, with the system's randomness.
func New(store Store) *Ident { return &Ident{store: store, rand: rand.Reader} }

// Caller is somebody whose login and device were verified for one call.
type Caller struct {
	Principal access.Principal
	Login     access.Login
	Actor     access.Actor
	// Enrols says that the caller came with a recovery code and may only make a
	// passkey: none that was made since is active yet.
	Enrols bool
}

// Authenticate finds the principal behind a token that came with a verified
// proof by device. It reads the store each time, so that the end of a login or
// a principal counts from the next call on.
func (i *Ident) Authenticate(ctx context.Context, token access.Secret, device access.DeviceID, from netip.Addr) (Caller, error) {
	c, now, err := i.find(ctx, digest(token), device, from)
	if err == nil {
		i.used(ctx, c.Login, now)
	}
	return c, err
}

// Still reports, in the middle of a long answer, why the caller would not be
// let in any more; nil when they would.
func (i *Ident) Still(ctx context.Context, c Caller) error {
	_, _, err := i.find(ctx, c.Login.Token, c.Actor.Device, c.Actor.Address)
	return err
}

func (i *Ident) find(ctx context.Context, token access.Digest, device access.DeviceID, from netip.Addr) (c Caller, now time.Time, err error) {
	err = i.store.View(ctx, func(tx Tx) error {
		l, err := tx.Login(token)
		if access.KindOf(err) == access.NotFound {
			l, err = tx.GlassLogin(token)
		}
		if err != nil {
			return notSignedIn(err)
		}
		// A token in the wrong hands is answered like one that never was.
		if device == "" || l.Device != "" && l.Device != device || l.Revoked || l.Is() == access.BrowserLogin {
			return notSignedIn(access.NotFound)
		}
		now = tx.Now()
		if !now.Before(l.ExpiresAt) {
			return access.Fail(access.Unauthenticated, "login-expired", "the login has expired").
				Because("it was good until " + stamp(l.ExpiresAt)).Try("sign in again with stint login")
		}
		p, err := tx.Principal(l.Principal)
		if err != nil {
			return notSignedIn(err)
		}
		if err := p.Usable(now); err != nil {
			return err
		}
		if l.Glass != nil {
			p = bare(p)
		}
		c = Caller{Principal: p, Login: l, Actor: access.Actor{Principal: p.ID, Person: p.Person, Device: device, Address: from}}
		c.Enrols, err = enrolsOnly(tx, p, l)
		return err
	})
	if err != nil {
		return Caller{}, now, err
	}
	return c, now, nil
}

// notSignedIn hides why there is no login, but not that the store is down.
func notSignedIn(err error) error {
	if access.KindOf(err) != access.NotFound {
		return err
	}
	return access.Fail(access.Unauthenticated, "not-signed-in", "there is no such login on this device").
		Try("sign in with stint login")
}

// Logout ends the login that the caller used.
func (i *Ident) Logout(ctx context.Context, c Caller) error {
	return i.store.Update(ctx, func(tx Tx) error {
		read, revoke := tx.Login, tx.RevokeLogin
		if c.Login.Glass != nil {
			read, revoke = tx.GlassLogin, tx.RevokeGlassLogin
		}
		l, err := read(c.Login.Token)
		if err != nil {
			return notSignedIn(err)
		}
		if l.Revoked {
			return nil
		}
		if err := revoke(l.Token); err != nil {
			return err
		}
		return tx.Append(loginEvent(LoginEnded, l, 2, c.Actor, tx.Now()))
	})
}
