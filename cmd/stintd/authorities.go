package main

import (
	"context"
	"crypto"
	"crypto/ed25519"

	"stint/internal/access"
	"stint/internal/keys"
	"stint/internal/sshcert"
	"stint/internal/store"
)

// The authorities of SSH certificates, by the names of their settings. The setting
// itself holds the key that signs, sealed; those before it, of which hosts and clients
// may still hold certificates, are there as public keys only: what signs no more cannot
// be made to sign.
const (
	settingUserAuthority = "keys/ssh-user"
	settingHostAuthority = "keys/ssh-host"
)

var authorities = map[string]sshcert.Kind{settingUserAuthority: sshcert.User, settingHostAuthority: sshcert.Host}

// openAuthorities opens the authorities, and makes those that there are not, once.
func openAuthorities(ctx context.Context, st *store.Store, vault *keys.Keys) (users, hosts *sshcert.Authority, err error) {
	if users, err = openAuthority(ctx, st, vault, settingUserAuthority); err == nil {
		hosts, err = openAuthority(ctx, st, vault, settingHostAuthority)
	}
	return users, hosts, err
}

func openAuthority(ctx context.Context, st *store.Store, vault *keys.Keys, setting string) (*sshcert.Authority, error) {
	var all [][]byte
	read := func(tx *store.Tx) (err error) { all, err = readKeys(tx, setting); return err }
	if err := st.View(ctx, read); err != nil {
		return nil, err
	}
	if all == nil {
		sealed, _, err := vault.NewAuthorityKey(setting)
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
	signer, err := vault.AuthoritySigner(setting, all[0])
	if err != nil {
		return nil, access.Fail(access.Invalid, "other-seal-key", "the seal key does not open the authority of SSH certificates").
			Because("another key sealed it").Try("use the seal key of the first replica, or of the backup that the data came from").Wrap(err)
	}
	var earlier []crypto.PublicKey
	for _, public := range all[1:] {
		if len(public) != ed25519.PublicKeySize {
			return nil, access.Fail(access.Internal, "bad-authority", "an earlier key of the authority of SSH certificates is damaged")
		}
		earlier = append(earlier, ed25519.PublicKey(public))
	}
	return sshcert.NewAuthority(authorities[setting], signer, earlier...)
}

// rotateAuthority puts a fresh key in the place of the one that signs, whose private
// half is gone from then on; hosts and clients go on trusting the public one.
func rotateAuthority(tx *store.Tx, vault *keys.Keys, setting string) error {
	all, err := readKeys(tx, setting)
	if err != nil {
		return err
	}
	fresh, _, err := vault.NewAuthorityKey(setting)
	if err != nil {
		return err
	}
	next := [][]byte{fresh}
	if all != nil {
		signer, err := vault.AuthoritySigner(setting, all[0])
		if err != nil {
			return err
		}
		next = append(next, []byte(signer.Public().(ed25519.PublicKey)))
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
