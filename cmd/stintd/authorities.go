package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/hsm/wire"
	"stint/internal/keys"
	"stint/internal/sshcert"
	"stint/internal/store"
)

// The authorities of SSH certificates, by the names of their settings. The setting
// itself holds the key that signs, or names it where a token has it, sealed; those before it, of which hosts and clients
// may still hold certificates, are there as public keys only: what signs no more cannot
// be made to sign.
const (
	settingUserAuthority = "keys/ssh-user"
	settingHostAuthority = "keys/ssh-host"
)

var authorities = map[string]sshcert.Kind{settingUserAuthority: sshcert.User, settingHostAuthority: sshcert.Host}

// authority is an authority as the store has it: the key that signs, and those before it.
type authority struct {
	pinned  *wire.Key     // if a token holds the key
	signer  crypto.Signer // whatever holds the key
	earlier []crypto.PublicKey
}

// openAuthorities opens the authorities, and makes those that there are not, once. Of one
// whose first key a token could not make there is none, and nothing else waits for that.
func openAuthorities(ctx context.Context, st *store.Store, vault *keys.Keys, t keyToken) (users, hosts *sshcert.Authority, err error) {
	if users, err = openAuthority(ctx, st, vault, t, settingUserAuthority); err == nil {
		hosts, err = openAuthority(ctx, st, vault, t, settingHostAuthority)
	}
	return users, hosts, err
}

func openAuthority(ctx context.Context, st *store.Store, vault *keys.Keys, t keyToken, setting string) (*sshcert.Authority, error) {
	var all [][]byte
	read := func(tx *store.Tx) (err error) { all, err = readKeys(tx, setting); return err }
	if err := st.View(ctx, read); err != nil {
		return nil, err
	}
	if all == nil {
		sealed, err := t.fresh(ctx, vault, setting)
		if access.KindOf(err) == access.Unavailable {
			t.log.Error("there is no authority of SSH certificates yet, and the token cannot make its key: no certificates are made until stintd is started again", "authority", nameOf(setting), "error", err)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if err := st.Update(ctx, func(tx *store.Tx) error {
			if err := read(tx); err != nil || all != nil { // another replica was first, and its key counts
				return err
			}
			all = [][]byte{sealed}
			return tx.SaveSetting(setting, sealed)
		}); err != nil {
			return nil, err
		}
	}
	a, err := readAuthority(vault, t, setting, all)
	if err != nil {
		return nil, err
	}
	return sshcert.NewAuthority(authorities[setting], a.signer, a.earlier...)
}

// readAuthority opens what the store has, and asks no token.
func readAuthority(vault *keys.Keys, t keyToken, setting string, all [][]byte) (a authority, err error) {
	text, elsewhere, err := vault.AuthorityReference(setting, all[0])
	switch {
	case err != nil:
	case elsewhere:
		var k wire.Key
		if k, err = wire.ParseKey(text); err == nil {
			a.pinned = &k
			a.signer, err = t.Signer(k)
		}
	default:
		a.signer, err = vault.AuthoritySigner(setting, all[0])
	}
	if err != nil {
		return a, access.Fail(access.Invalid, "other-seal-key", "the seal key does not open the authority of SSH certificates").
			Because("another key sealed it").Try("use the seal key of the first replica, or of the backup that the data came from").Wrap(err)
	}
	for _, text := range all[1:] {
		public, err := readPublic(text)
		if err != nil {
			return a, access.Fail(access.Internal, "bad-authority", "an earlier key of the authority of SSH certificates is damaged").Wrap(err)
		}
		a.earlier = append(a.earlier, public)
	}
	return a, nil
}

// An earlier key is kept as its 32 bytes if it is one of Ed25519, else in the wire form of
// SSH.
func writePublic(public crypto.PublicKey) ([]byte, error) {
	if p, is := public.(ed25519.PublicKey); is {
		return p, nil
	}
	p, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	return p.Marshal(), nil
}

func readPublic(text []byte) (crypto.PublicKey, error) {
	if len(text) == ed25519.PublicKeySize {
		return ed25519.PublicKey(text), nil
	}
	p, err := ssh.ParsePublicKey(text)
	if err != nil {
		return nil, err
	}
	c, is := p.(ssh.CryptoPublicKey)
	if !is {
		return nil, errors.New("it is no public key of an authority")
	}
	return c.CryptoPublicKey(), nil
}

// rotateAuthority puts a fresh key in the place of the one that signs, whose private half
// is gone from then on, or stays in its token unused; hosts and clients go on trusting the
// public one. No token is asked about the old key, so that one that is lost can be left.
func rotateAuthority(tx *store.Tx, vault *keys.Keys, t keyToken, setting string, fresh []byte) error {
	all, err := readKeys(tx, setting)
	if err != nil {
		return err
	}
	next := [][]byte{fresh}
	if all != nil {
		a, err := readAuthority(vault, t, setting, all)
		if err != nil {
			return err
		}
		old, err := writePublic(a.signer.Public())
		if err != nil {
			return err
		}
		next = append(next, old)
		next = append(next, all[1:]...)
	}
	return writeKeys(tx, setting, next)
}

// retireAuthority lets nobody trust the earlier keys any more.
func retireAuthority(tx *store.Tx, setting string) error {
	all, err := readKeys(tx, setting)
	if err != nil {
		return err
	}
	if len(all) < 2 {
		return access.Fail(access.Conflict, "nothing-to-retire", "there is no earlier key of this authority")
	}
	for n := range len(all) - 1 {
		if err := tx.SaveSetting(earlier(setting, n+1), nil); err != nil {
			return err
		}
	}
	return nil
}

// resealAuthorities seals the keys that sign with the current seal key.
func resealAuthorities(tx *store.Tx, vault *keys.Keys) error {
	for setting := range authorities {
		sealed, err := tx.Setting(setting)
		if err != nil || sealed == nil {
			if err != nil {
				return err
			}
			continue
		}
		if sealed, err = vault.ResealAuthorityKey(setting, sealed); err != nil {
			return err
		}
		if err := tx.SaveSetting(setting, sealed); err != nil {
			return err
		}
	}
	return nil
}
