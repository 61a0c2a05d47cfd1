package ident

import (
	"context"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"

	"stint/internal/access"
	"stint/internal/passkey"
)

// recoveryCodes is how many are made at a time.
const recoveryCodes = 8

const recoveryPrefix = "stint-recover-"

// The events of recovery codes. Stored: only append.
const (
	RecoveryCreated access.EventType = "recovery.created"
	RecoveryUsed    access.EventType = "recovery.used"
)

// RecoveryChallenge is what a passkey signs to have recovery codes made.
func RecoveryChallenge(p access.PrincipalID, person access.Person, nonce []byte) access.Digest {
	return access.ActDigest(access.ActRecoveryCodes, p, person, nonce)
}

// NewRecoveryCodes makes codes with which the caller gets in without any device of
// theirs, each once. Those from before that were not used are worthless from then on.
// An active passkey of theirs signs for it: otherwise a stolen login could make itself
// last, and one of an administrator, who can remove passkeys, make an active one.
func (i *Ident) NewRecoveryCodes(ctx context.Context, by Caller, nonce []byte, a access.Assertion) ([]access.Secret, error) {
	if len(nonce) != nonceBytes {
		return nil, access.Fail(access.Invalid, "bad-nonce", "the nonce has "+strconv.Itoa(nonceBytes)+" bytes")
	}
	var codes []access.Secret
	var hashes []access.Digest
	var names []string
	for range recoveryCodes {
		code, hash, err := i.newSecret(recoveryPrefix)
		if err != nil {
			return nil, err
		}
		codes, hashes, names = append(codes, code), append(hashes, hash), append(names, short(hash))
	}
	err := i.store.Update(ctx, func(tx Tx) error {
		who, err := usable(tx, by)
		if err != nil {
			return err
		}
		if who.ID.Kind() != access.User {
			return access.Fail(access.Denied, "not-a-person", "only people have recovery codes")
		}
		own, err := tx.Passkeys(who.Person)
		if err != nil {
			return err
		}
		roster := passkey.NewRoster(own...)
		if !roster.Active() {
			return access.Fail(access.Conflict, "no-passkey", "recovery codes are for whoever has a passkey").
				Because("it signs for them, or a stolen login could make itself last").Try("make a passkey first: stint passkey add")
		}
		if _, err := roster.Prove(who.Person, RecoveryChallenge(who.ID, who.Person, nonce), a, false); err != nil {
			return err
		}
		if err := tx.SavePasskeys(roster.Used()...); err != nil {
			return err
		}
		if err := tx.SaveRecoveryCodes(who.ID, hashes...); err != nil {
			return err
		}
		// The nonce names the record, so that it is good once.
		return tx.Append(access.Event{Type: RecoveryCreated, At: tx.Now(), Entity: "recovery:" + short(sha256.Sum256(nonce)), Version: 1, Actor: by.Actor,
			Facts: facts("principal", string(who.ID), "person", string(who.Person), "codes", strings.Join(names, ","))})
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// useRecovery uses a code of the principal up.
func useRecovery(tx Tx, code access.Secret, p access.Principal, by access.Actor) (access.Event, error) {
	hash := digest(access.NewSecret([]byte(strings.TrimSpace(string(code.Reveal())))))
	whose, err := tx.UseRecoveryCode(hash)
	switch {
	case access.KindOf(err) == access.Conflict:
		return access.Event{}, usedCode()
	case err != nil:
		return access.Event{}, badCode(err)
	case whose != p.ID:
		return access.Event{}, badCode(access.NotFound)
	}
	return recoveryUsed(tx, hash, p, by), nil
}

func recoveryUsed(tx Tx, hash access.Digest, p access.Principal, by access.Actor) access.Event {
	return access.Event{Type: RecoveryUsed, At: tx.Now(), Entity: "recovery:" + short(hash), Version: 1, Actor: by,
		Facts: facts("principal", string(p.ID), "person", string(p.Person))}
}

// recovered uses a code up and says whose it was, and its hash.
func recovered(tx Tx, code access.Secret) (p access.Principal, hash access.Digest, err error) {
	hash = digest(access.NewSecret([]byte(strings.TrimSpace(string(code.Reveal())))))
	whose, err := tx.UseRecoveryCode(hash)
	switch {
	case access.KindOf(err) == access.Conflict:
		return p, hash, usedCode()
	case err != nil:
		return p, hash, badCode(err)
	}
	if p, err = tx.Principal(whose); err != nil {
		return p, hash, badCode(err)
	}
	return p, hash, p.Usable(tx.Now())
}

// enrolsOnly reports whether a login is by a recovery code and good for nothing yet but
// making a passkey. A code is a piece of paper: what a person has who found it ends at
// those who vouch.
func enrolsOnly(tx Tx, p access.Principal, l access.Login) (bool, error) {
	if l.Auth.Provider != access.ByRecovery {
		return false, nil
	}
	own, err := tx.Passkeys(p.Person)
	if err != nil {
		return true, err
	}
	return !slices.ContainsFunc(own, func(k access.Passkey) bool {
		return k.State == access.PasskeyActive && !k.CreatedAt.Before(l.CreatedAt)
	}), nil
}

// endRecoveries ends, before a new passkey of a person is kept, the logins by recovery code
// that wait for one, but for the one that makes it: else whoever found another code would
// be let in by what the person makes, and others vouch for.
func endRecoveries(tx Tx, who access.Principal, by Caller) (evs []access.Event, err error) {
	users, err := tx.Principals(access.User)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		if u.Person != who.Person {
			continue
		}
		all, err := tx.Logins(u.ID)
		if err != nil {
			return nil, err
		}
		for _, l := range all {
			if l.Revoked || l.Token == by.Login.Token || !tx.Now().Before(l.ExpiresAt) {
				continue
			}
			switch only, err := enrolsOnly(tx, u, l); {
			case err != nil:
				return nil, err
			case !only:
				continue
			}
			if err := tx.RevokeLogin(l.Token); err != nil {
				return nil, err
			}
			ev := loginEvent(LoginEnded, l, 2, by.Actor, tx.Now())
			ev.Facts["why"] = "a passkey was made by another login"
			evs = append(evs, ev)
		}
	}
	return evs, nil
}

// OnlyEnrols refuses what a login by recovery code is not for.
func OnlyEnrols() error {
	return access.Fail(access.Denied, "recovery-only", "this login is for making a passkey alone").
		Because("it was made with a recovery code, and no passkey that was made since is active").
		Try("make one with stint passkey add or at /passkeys, and have it vouched for; or ask an administrator for an enrolment code")
}

// recoverWith exchanges a recovery code for a login on one device. It brings no passkey back:
// a new one is vouched for as anybody's first, and until then the login is for that alone.
func (i *Ident) recoverWith(ctx context.Context, s Sign) (Login, error) {
	if err := s.check(); err != nil {
		return Login{}, err
	}
	token, hash, err := i.newSecret(tokenPrefix)
	if err != nil {
		return Login{}, err
	}
	var out Login
	err = i.store.Update(ctx, func(tx Tx) error {
		p, code, err := recovered(tx, s.Code)
		if err != nil {
			return err
		}
		now := tx.Now()
		by := access.Actor{Principal: p.ID, Person: p.Person, Device: s.Device, Address: s.From}
		l := access.Login{Token: hash, Principal: p.ID, Device: s.Device, SealKey: s.SealKey, CreatedAt: now, ExpiresAt: now.Add(LoginFor),
			Kind: access.DeviceLogin, Auth: access.Auth{Provider: access.ByRecovery, At: now}, From: s.From}
		if err := tx.SaveLogin(l); err != nil {
			return err
		}
		out = Login{Token: token, Principal: p, ExpiresAt: l.ExpiresAt}
		return tx.Append(recoveryUsed(tx, code, p, by), loginEvent(LoginCreated, l, 1, by, now))
	})
	if err != nil {
		return Login{}, err
	}
	return out, nil
}
