package ident

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/moment"
)

const (
	// codeFor is how long the code of a terminal is good: a program waits for it.
	codeFor = time.Minute
	// PollEvery is how often a device may ask whether its person has answered (RFC
	// 8628 section 3.2), and pollSlower by how much that grows for one that asks more
	// often (section 3.5).
	PollEvery  = 5 * time.Second
	pollSlower = 5 * time.Second

	statePrefix  = "stint-state-"
	cookiePrefix = "stint-trip-"
	grantPrefix  = "stint-code-"
)

// Trip is a browser on its way to a provider.
type Trip struct {
	Provider string
	Redirect string        // where it will come back to
	Next     string        // the page it wants then
	Cookie   access.Secret // of a trip that it is on already; empty: a new one
	From     netip.Addr
}

// Depart notes that a browser goes to a provider. State goes there with it, the
// cookie stays; who comes back must have both. A browser that holds a cookie keeps
// it, so that two of its windows do not disturb each other.
func (i *Ident) Depart(ctx context.Context, t Trip) (state, cookie access.Secret, err error) {
	state, hash, err := i.newSecret(statePrefix)
	if err != nil {
		return state, cookie, err
	}
	if cookie, err = i.tripCookie(t.Cookie); err != nil {
		return state, cookie, err
	}
	err = i.store.Update(ctx, func(tx Tx) error {
		now := tx.Now()
		return tx.SaveAttempt(access.Attempt{Key: hash, Kind: access.AtProvider, CreatedAt: now, ExpiresAt: now.Add(access.AttemptFor), From: t.From,
			Provider: t.Provider, Browser: digest(cookie), Redirect: t.Redirect, Next: t.Next})
	})
	return state, cookie, err
}

// Return uses a trip up: the browser that set out has come back, from the provider
// that it set out to. What does not fit all of that uses nothing up.
func (i *Ident) Return(ctx context.Context, provider string, state, cookie access.Secret) (a access.Attempt, err error) {
	err = i.store.Update(ctx, func(tx Tx) error {
		a, err = tx.Attempt(digest(state))
		if err == nil && (a.Kind != access.AtProvider || a.Provider != provider || cookie.Empty() || a.Browser != digest(cookie)) {
			err = access.NotFound
		}
		if err == nil {
			a, err = tx.UseAttempt(a.Key)
		}
		switch access.KindOf(err) {
		case access.NotFound:
			return access.Fail(access.Unauthenticated, "sign-in-unknown", "this browser has begun no such sign-in").
				Because("a sign-in is finished in the browser that began it, at the provider it was begun with").Try("begin again")
		case access.Conflict:
			return access.Fail(access.Unauthenticated, "sign-in-used", "this sign-in was finished before").Try("begin again")
		case access.Expired:
			return access.Fail(access.Unauthenticated, "sign-in-late", "this sign-in took too long").
				Because("it is good for " + moment.Span(access.AttemptFor)).Try("begin again")
		}
		return err
	})
	if err != nil {
		return access.Attempt{}, err
	}
	return a, nil
}

// Terminal is a command line that waits for a code at an address of its own machine.
type Terminal struct {
	Device    access.DeviceID
	Challenge access.Digest // RFC 7636, S256
	Client    string
}

// AllowTerminal makes the code with which a command line signs in as the caller, who
// has just said that it may.
func (i *Ident) AllowTerminal(ctx context.Context, c Caller, t Terminal) (access.Secret, error) {
	if t.Device == "" || t.Challenge == (access.Digest{}) {
		return access.Secret{}, access.Fail(access.Invalid, "bad-terminal", "the command line did not say all of who it is").Try("begin again with stint login")
	}
	code, hash, err := i.newSecret(grantPrefix)
	if err != nil {
		return access.Secret{}, err
	}
	err = i.store.Update(ctx, func(tx Tx) error {
		now := tx.Now()
		if err := mayConfirm(c, now); err != nil {
			return err
		}
		return tx.SaveAttempt(confirmed(access.Attempt{Key: hash, Kind: access.AtTerminal, CreatedAt: now, ExpiresAt: now.Add(codeFor), From: c.Actor.Address,
			Client: access.Label(t.Client), Device: t.Device, Challenge: t.Challenge}, c))
	})
	if err != nil {
		return access.Secret{}, err
	}
	return code, nil
}

// mayConfirm refuses what would hand on a sign-in that was long ago. A client's own
// login makes no other one: only a person at a browser does.
func mayConfirm(c Caller, now time.Time) error {
	if c.Enrols {
		return OnlyEnrols()
	}
	if c.Login.Is() != access.BrowserLogin || now.Sub(c.Login.CreatedAt) > ConfirmFor {
		return access.Fail(access.Unauthenticated, "sign-in-again", "sign in again to do this").
			Because("your session is older than " + moment.Span(ConfirmFor))
	}
	return nil
}

func confirmed(a access.Attempt, c Caller) access.Attempt {
	a.Principal, a.Auth, a.Until, a.By = c.Principal.ID, c.Login.Auth, c.Login.ExpiresAt, c.Login.Token
	return a
}

// Redeem is what a client with a code brings to sign in.
type Redeem struct {
	Code     access.Secret
	Verifier access.Secret   // of the challenge; none for a device's code
	Device   access.DeviceID // signed the call
	SealKey  []byte
	From     netip.Addr
}

// RedeemTerminal exchanges a terminal's code for a login of its device.
func (i *Ident) RedeemTerminal(ctx context.Context, r Redeem) (Login, error) {
	if err := r.check(); err != nil {
		return Login{}, err
	}
	token, hash, err := i.newSecret(tokenPrefix)
	if err != nil {
		return Login{}, err
	}
	var out Login
	err = i.store.Update(ctx, func(tx Tx) error {
		a, err := tx.Attempt(digest(r.Code))
		if err == nil && (a.Kind != access.AtTerminal || a.Device != r.Device || a.Challenge != digest(r.Verifier)) {
			err = access.NotFound
		}
		if err == nil {
			a, err = tx.UseAttempt(a.Key)
		}
		if err != nil {
			return spentCode(err)
		}
		out, err = r.login(tx, token, hash, a)
		return err
	})
	if err != nil {
		return Login{}, err
	}
	return out, nil
}

func (r Redeem) check() error {
	return Sign{Device: r.Device, SealKey: r.SealKey}.check()
}

func spentCode(err error) error {
	switch access.KindOf(err) {
	case access.NotFound:
		return access.Fail(access.Unauthenticated, "bad-code", "the code is not valid").Try("begin again with stint login")
	case access.Conflict:
		return access.Fail(access.Unauthenticated, "code-used", "the code was used before").
			Because("a code is good once; if it was not you, end where you are signed in: stint signins")
	case access.Expired:
		return access.Fail(access.Unauthenticated, "code-expired", "the code has expired").Try("begin again with stint login")
	}
	return err
}

// login makes the login that a person has confirmed, if they could still do so.
func (r Redeem) login(tx Tx, token access.Secret, hash access.Digest, a access.Attempt) (Login, error) {
	by, err := tx.Login(a.By)
	if err == nil && by.Revoked {
		err = access.NotFound
	}
	if err != nil {
		return Login{}, notSignedIn(err)
	}
	p, err := tx.Principal(a.Principal)
	if err != nil {
		return Login{}, notSignedIn(err)
	}
	now := tx.Now()
	if err := p.Usable(now); err != nil {
		return Login{}, err
	}
	l := access.Login{Token: hash, Principal: p.ID, Device: r.Device, SealKey: r.SealKey, CreatedAt: now, ExpiresAt: a.Until,
		Kind: access.DeviceLogin, Auth: a.Auth, From: r.From, Client: a.Client}
	if !now.Before(l.ExpiresAt) {
		return Login{}, spentCode(access.Expired)
	}
	if err := tx.SaveLogin(l); err != nil {
		return Login{}, err
	}
	event := loginEvent(LoginCreated, l, 1, access.Actor{Principal: p.ID, Person: p.Person, Device: l.Device, Address: r.From}, now)
	event.Facts["confirmed_by"] = by.Name()
	return Login{Token: token, Principal: p, ExpiresAt: l.ExpiresAt}, tx.Append(event)
}

// Device is a device that waits for a person to confirm it elsewhere, RFC 8628.
type Device struct {
	Code      access.Secret // the device's
	UserCode  string        // the person's, as they type it
	ExpiresAt time.Time
	Interval  time.Duration
}

// The letters of a user code, RFC 8628 section 6.1: no vowels, so no words. Eight of
// them are 34 bits, and a wrong one costs a person's attempt of few.
const (
	userLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userLength  = 8
)

// AskDevice begins the sign-in of a device.
func (i *Ident) AskDevice(ctx context.Context, device access.DeviceID, client string, from netip.Addr) (Device, error) {
	if device == "" {
		return Device{}, access.Fail(access.Unauthenticated, "no-device", "a device proves its key")
	}
	code, hash, err := i.newSecret(grantPrefix)
	if err != nil {
		return Device{}, err
	}
	user, err := i.newUserCode()
	if err != nil {
		return Device{}, err
	}
	out := Device{Code: code, UserCode: user[:userLength/2] + "-" + user[userLength/2:], Interval: PollEvery}
	err = i.store.Update(ctx, func(tx Tx) error {
		now := tx.Now()
		out.ExpiresAt = now.Add(access.AttemptFor)
		switch _, err := tx.AttemptCalled(userAlias(user)); {
		case err == nil: // one in ten thousand million
			return access.Fail(access.Unavailable, "busy", "no code could be made").Try("try again")
		case access.KindOf(err) != access.NotFound:
			return err
		}
		return tx.SaveAttempt(access.Attempt{Key: hash, Kind: access.OnDevice, Alias: userAlias(user), CreatedAt: now, ExpiresAt: out.ExpiresAt,
			From: from, Client: access.Label(client), Device: device, Interval: PollEvery})
	})
	if err != nil {
		return Device{}, err
	}
	return out, nil
}

func (i *Ident) newUserCode() (string, error) {
	var code []byte
	for b := make([]byte, 1); len(code) < userLength; {
		if _, err := i.rand.Read(b); err != nil {
			return "", err
		}
		if most := 256 / len(userLetters) * len(userLetters); int(b[0]) < most { // else the first letters came more often
			code = append(code, userLetters[int(b[0])%len(userLetters)])
		}
	}
	return string(code), nil
}

// userAlias is the hash of a user code however it was typed.
func userAlias(typed string) access.Digest {
	letters := strings.Map(func(r rune) rune {
		if strings.ContainsRune(userLetters, r) {
			return r
		}
		return -1
	}, strings.ToUpper(typed))
	return sha256.Sum256([]byte("stint user code " + letters))
}

// AskedBy is the device that waits under a user code, for the person to see.
func (i *Ident) AskedBy(ctx context.Context, userCode string) (a access.Attempt, err error) {
	err = i.store.View(ctx, func(tx Tx) error {
		a, err = waiting(tx, userCode)
		return err
	})
	if err != nil {
		return access.Attempt{}, err
	}
	return a, nil
}

func waiting(tx Tx, userCode string) (access.Attempt, error) {
	a, err := tx.AttemptCalled(userAlias(userCode))
	if err == nil && (a.Kind != access.OnDevice || !a.UsedAt.IsZero() || !tx.Now().Before(a.ExpiresAt) || a.Refused || a.Principal != "") {
		err = access.NotFound
	}
	if access.KindOf(err) == access.NotFound {
		return access.Attempt{}, access.Fail(access.NotFound, "no-such-code", "no device waits for this code").
			Because("it is wrong, older than " + moment.Span(access.AttemptFor) + ", or was answered").Try("look at the device again")
	}
	return a, err
}

// AnswerDevice lets a waiting device sign in as the caller, or not.
func (i *Ident) AnswerDevice(ctx context.Context, c Caller, userCode string, allow bool) error {
	return i.store.Update(ctx, func(tx Tx) error {
		if err := mayConfirm(c, tx.Now()); err != nil {
			return err
		}
		a, err := waiting(tx, userCode)
		if err != nil {
			return err
		}
		if allow {
			return tx.SaveAttempt(confirmed(a, c))
		}
		a.Refused = true
		if err := tx.SaveAttempt(a); err != nil {
			return err
		}
		return tx.Append(access.Event{Type: LoginRefused, At: tx.Now(), Entity: "attempt:" + short(a.Key), Version: 1, Actor: c.Actor,
			Facts: facts("principal", string(c.Principal.ID), "device", string(a.Device), "client", a.Client, "asked_from", a.From.String())})
	})
}

// RedeemDevice gives a device its login once its person has said yes. Until then, and
// else, the error's code is that of RFC 8628 section 3.5: authorization_pending,
// slow_down, access_denied, expired_token.
func (i *Ident) RedeemDevice(ctx context.Context, r Redeem) (Login, error) {
	if err := r.check(); err != nil {
		return Login{}, err
	}
	token, hash, err := i.newSecret(tokenPrefix)
	if err != nil {
		return Login{}, err
	}
	var out Login
	var wait error // told after the commit: that it asked is written down
	err = i.store.Update(ctx, func(tx Tx) error {
		wait = nil
		a, err := tx.Attempt(digest(r.Code))
		if err == nil && (a.Kind != access.OnDevice || a.Device != r.Device) {
			err = access.NotFound
		}
		now := tx.Now()
		switch {
		case err != nil:
			return spentCode(err)
		case !a.UsedAt.IsZero():
			return spentCode(access.Conflict)
		case !now.Before(a.ExpiresAt):
			return access.Fail(access.Expired, "expired_token", "nobody confirmed this device in time").Try("begin again with stint login --device")
		case a.Refused:
			return access.Fail(access.Denied, "access_denied", "the person refused this device")
		case a.Principal == "":
			wait = access.Fail(access.Pending, "authorization_pending", "nobody has confirmed this device yet")
			if !a.PolledAt.IsZero() && now.Sub(a.PolledAt) < a.Interval-pollJitter {
				a.Interval += pollSlower
				wait = access.Fail(access.Pending, "slow_down", "this device asks too often").Because("from now on every " + moment.Span(a.Interval))
			}
			a.PolledAt = now
			return tx.SaveAttempt(a)
		}
		if a, err = tx.UseAttempt(a.Key); err != nil {
			return spentCode(err)
		}
		out, err = r.login(tx, token, hash, a)
		return err
	})
	if err == nil {
		err = wait
	}
	if err != nil {
		return Login{}, err
	}
	return out, nil
}

// pollJitter is forgiven to a device that keeps to its interval: its calls take
// more or less time on the way.
const pollJitter = time.Second
