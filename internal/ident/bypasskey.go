package ident

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/moment"
	"stint/internal/passkey"
)

const (
	noncePrefix = "stint-nonce-"
	// signInFor is how long a person has to use their passkey.
	signInFor = 5 * time.Minute
)

// AskPasskey makes the nonce for one sign-in with a passkey, for the browser that has the
// cookie; a browser without one gets one. Of the nonce, as of all that signs in, only a
// hash is kept.
func (i *Ident) AskPasskey(ctx context.Context, cookie access.Secret, from netip.Addr) (nonce, kept access.Secret, err error) {
	nonce, hash, err := i.newSecret(noncePrefix)
	if err != nil {
		return nonce, kept, err
	}
	if kept, err = i.tripCookie(cookie); err != nil {
		return nonce, kept, err
	}
	err = i.store.Update(ctx, func(tx Tx) error {
		now := tx.Now()
		return tx.SaveAttempt(access.Attempt{Key: hash, Kind: access.AtPasskey, CreatedAt: now, ExpiresAt: now.Add(signInFor), From: from, Browser: digest(kept)})
	})
	return nonce, kept, err
}

// tripCookie is the cookie that a browser on its way to a sign-in has, or a new one.
func (i *Ident) tripCookie(cookie access.Secret) (access.Secret, error) {
	if raw, ok := strings.CutPrefix(string(cookie.Reveal()), cookiePrefix); ok && len(raw) == base64.RawURLEncoding.EncodedLen(secretBytes) {
		return cookie, nil
	}
	fresh, _, err := i.newSecret(cookiePrefix)
	return fresh, err
}

// ByPasskey is what a browser brings to sign in with a passkey.
type ByPasskey struct {
	Site       Site
	Nonce      access.Secret
	Cookie     access.Secret
	Credential []byte // the authenticator's name for the passkey
	Assertion  access.Assertion
}

// SignInByPasskey opens a session for the user whose passkey signed the nonce. The nonce
// is used up whatever comes of it. What is wrong with a passkey that is none of the
// site's, or not active, is not said: who asks is nobody yet.
func (i *Ident) SignInByPasskey(ctx context.Context, s ByPasskey, b Browser) (out Login, err error) {
	if err := i.useNonce(ctx, s.Nonce, s.Cookie); err != nil {
		return Login{}, err
	}
	token, hash, err := i.newSecret(browserPrefix)
	if err != nil {
		return Login{}, err
	}
	challenge := access.SignInDigest(s.Site.Origin, s.Nonce.Reveal())
	var used access.Passkey
	err = i.store.Update(ctx, func(tx Tx) error {
		k, err := tx.PasskeyCalled(s.Credential)
		if access.KindOf(err) == access.NotFound || err == nil && (k.RPID != s.Site.RPID || k.Origin != s.Site.Origin || k.State != access.PasskeyActive) {
			return unknownPasskey()
		}
		if err != nil {
			return err
		}
		used = k
		a := s.Assertion
		a.Passkey = k.ID
		roster := passkey.NewRoster(k)
		if _, err := roster.Prove(k.Person, challenge, a, false); err != nil {
			var said *access.Error
			if errors.As(err, &said) && said.Code == passkey.CodeCounterWentBack {
				return err
			}
			return unknownPasskey().Wrap(err)
		}
		p, err := tx.Principal(k.Principal)
		if err != nil {
			return notSignedIn(err)
		}
		if p.Person != k.Person { // the login is somebody else's by now
			return unknownPasskey()
		}
		if err := p.Usable(tx.Now()); err != nil {
			return err
		}
		if err := tx.SavePasskeys(roster.Used()...); err != nil {
			return err
		}
		out, err = open(tx, token, hash, p, authOf(a, tx.Now()), b)
		return err
	})
	if err != nil {
		i.noteCopy(ctx, used, b, err)
		return Login{}, err
	}
	return out, nil
}

// authOf says what a passkey proves: that somebody was there ("user"), that they hold
// the key ("hwk", or "swk" where it can be on several devices, RFC 8176), and that the
// authenticator checked who they are, which makes it two factors.
func authOf(a access.Assertion, now time.Time) access.Auth {
	holds := "hwk"
	if passkey.Synced(a) {
		holds = "swk"
	}
	return access.Auth{Provider: access.ByPasskey, At: now, Methods: []string{holds, "user"}, MFA: true}
}

// useNonce uses a nonce up, of the browser that it was made for.
func (i *Ident) useNonce(ctx context.Context, nonce, cookie access.Secret) error {
	return i.store.Update(ctx, func(tx Tx) error {
		a, err := tx.Attempt(digest(nonce))
		if err == nil && (a.Kind != access.AtPasskey || cookie.Empty() || a.Browser != digest(cookie)) {
			err = access.NotFound
		}
		if err == nil {
			_, err = tx.UseAttempt(a.Key)
		}
		switch access.KindOf(err) {
		case access.NotFound:
			return access.Fail(access.Unauthenticated, "sign-in-unknown", "this browser has begun no such sign-in").Try("begin again")
		case access.Conflict:
			return access.Fail(access.Unauthenticated, "sign-in-used", "this sign-in was finished before").Try("begin again")
		case access.Expired:
			return access.Fail(access.Unauthenticated, "sign-in-late", "this sign-in took too long").
				Because("it is good for " + moment.Span(signInFor)).Try("begin again")
		}
		return err
	})
}

func unknownPasskey() *access.Error {
	return access.Fail(access.Unauthenticated, "unknown-passkey", "nobody can be signed in with this passkey").
		Because("it is not enrolled here, or not active, or did not sign what was asked").
		Try("use another one; one that was just made counts once it is vouched for")
}

// noteCopy writes down that a passkey's counter went back, if that is why a sign-in was
// refused: the sign-in itself left no trace.
func (i *Ident) noteCopy(ctx context.Context, k access.Passkey, b Browser, cause error) {
	var e *access.Error
	if !errors.As(cause, &e) || e.Code != passkey.CodeCounterWentBack {
		return
	}
	// What fails here fails the sign-in no less.
	_ = i.store.Update(ctx, func(tx Tx) error {
		now, err := tx.Passkey(k.ID)
		if err != nil {
			return err
		}
		now, ev := passkey.Suspect(now, access.Actor{Principal: k.Principal, Person: k.Person, Address: b.From}, tx.Now())
		if err := tx.SavePasskeys(now); err != nil {
			return err
		}
		return tx.Append(ev)
	})
}

// EnrolBrowser exchanges a code, of an administrator or a recovery code, for a session of
// a browser: what the person does in it first is to make a passkey.
func (i *Ident) EnrolBrowser(ctx context.Context, code access.Secret, b Browser) (out Login, err error) {
	token, hash, err := i.newSecret(browserPrefix)
	if err != nil {
		return Login{}, err
	}
	err = i.store.Update(ctx, func(tx Tx) error {
		now := tx.Now()
		if strings.HasPrefix(strings.TrimSpace(string(code.Reveal())), recoveryPrefix) {
			p, used, err := recovered(tx, code)
			if err != nil {
				return err
			}
			if out, err = open(tx, token, hash, p, access.Auth{Provider: access.ByRecovery, At: now}, b); err != nil {
				return err
			}
			return tx.Append(recoveryUsed(tx, used, p, access.Actor{Principal: p.ID, Person: p.Person, Address: b.From}))
		}
		p, e, _, err := Sign{Code: code}.redeem(tx)
		if err != nil {
			return err
		}
		if out, err = open(tx, token, hash, p, access.Auth{Provider: access.ByCode, At: now}, b); err != nil {
			return err
		}
		return tx.Append(enrolmentEvent(EnrolmentUsed, e, 2, access.Actor{Principal: p.ID, Person: p.Person, Address: b.From}, now))
	})
	if err != nil {
		return Login{}, err
	}
	return out, nil
}
