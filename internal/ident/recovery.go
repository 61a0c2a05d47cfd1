package ident

import (
	"context"
	"crypto/sha256"
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
// Whoever has a passkey signs for it: otherwise a stolen login could make itself last.
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
		if roster.Active() {
			if _, err := roster.Prove(who.Person, RecoveryChallenge(who.ID, who.Person, nonce), a, false); err != nil {
				return err
			}
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

// recoverWith exchanges a recovery code for a login on one device. It brings no passkey back:
// a new one is vouched for as anybody's first.
func (i *Ident) recoverWith(ctx context.Context, s Sign) (Login, error) {
	if err := s.check(); err != nil {
		return Login{}, err
	}
	token, hash, err := i.newSecret(tokenPrefix)
	if err != nil {
		return Login{}, err
	}
	code := digest(access.NewSecret([]byte(strings.TrimSpace(string(s.Code.Reveal())))))
	var out Login
	err = i.store.Update(ctx, func(tx Tx) error {
		whose, err := tx.UseRecoveryCode(code)
		switch {
		case access.KindOf(err) == access.Conflict:
			return usedCode()
		case err != nil:
			return badCode(err)
		}
		p, err := tx.Principal(whose)
		if err != nil {
			return badCode(err)
		}
		now := tx.Now()
		if err := p.Usable(now); err != nil {
			return err
		}
		by := access.Actor{Principal: p.ID, Person: p.Person, Device: s.Device, Address: s.From}
		l := access.Login{Token: hash, Principal: p.ID, Device: s.Device, SealKey: s.SealKey, CreatedAt: now, ExpiresAt: now.Add(LoginFor),
			Kind: access.DeviceLogin, Auth: access.Auth{Provider: access.ByCode, At: now}, From: s.From}
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
