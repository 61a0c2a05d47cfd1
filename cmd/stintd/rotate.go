package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/keys"
	"stint/internal/store"
)

const rotateHelp = `Replace a key of the installation by a fresh one. Stop every stintd of it first, and
start them again afterwards.

  seal  the seal key. What it sealed, the connectors' logins, the vault and the other
        keys, is sealed anew. The key file then holds the new key and the old ones: copy it to
        the other replicas and into your backup. Backups made before need the old
        line; once you have none of them any more, remove it by hand.
  log   the key that signs the audit log. Old checkpoints stay valid under the old
        public key, which the log's key text lists after the new one. Whoever
        verifies is told that the key has changed and has to accept it.
  tags  the key of the marks on targets. What carries an old mark stays ours.
  orders
        the key that signs what agents of hosts are told to do. The old key vouches for
        the new one, which agents take up when they ask next. If the old one was stolen,
        enrol the hosts anew.
  recordings
        the key to which gateways and hosts seal what they record. The old key stays, and
        opens what was sealed to it; gateways take up the new one when they start.
  ssh-users, ssh-hosts
        the authority of SSH certificates of people, or of hosts. The old private key is
        gone then; hosts, or clients, go on trusting its public key beside the new one
        until stintd retire-key gives it up. With pkcs11 in the configuration the new key
        is made in the token; an old one that is there signs no more, and stays.`

const retireHelp = `Give up the earlier keys of an authority of SSH certificates, which rotate-key
replaced: what they signed is believed no more. Wait until every host has fetched the
new key and no certificate by the old one is left: an hour for those of people, a week
for those of hosts. Stop every stintd first, and start them again afterwards.`

// authorityOf is the setting of an authority, by what the command line calls it.
var authorityOf = map[string]string{"ssh-users": settingUserAuthority, "ssh-hosts": settingHostAuthority}

// rotate replaces one kind of key.
func rotate(ctx context.Context, s settings, what string, out io.Writer) (err error) {
	st, err := store.Open(ctx, store.Config{Path: s.file(), URL: s.database})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	vault, err := s.openKeys()
	if err != nil {
		return err
	}
	if what == "seal" {
		// The new key is in the file before anything is sealed with it; if this
		// stops half-way, both are there and everything still opens.
		if err := vault.Rotate(); err != nil {
			return err
		}
	}
	var print string // of the log's key
	token := newToken(s, slog.New(slog.DiscardHandler))
	defer token.Close()
	var fresh []byte // of an authority: a token is not asked while the store waits
	if setting := authorityOf[what]; setting != "" {
		if fresh, err = token.fresh(ctx, vault, setting); err != nil {
			return err
		}
	}
	err = st.Update(ctx, func(tx *store.Tx) error {
		have, err := readStored(tx)
		if err != nil {
			return err
		}
		if have.installation == nil {
			return errNoInstallation
		}
		id, err := have.open(vault) // the seal key fits, before anything is replaced
		if err != nil {
			return err
		}
		switch what {
		case "seal":
			err = reseal(tx, vault, id, have)
		case "log":
			err = prepend(tx, settingCheckpointKey, have.checkpoint, func() ([]byte, error) { return vault.NewCheckpointKey(id.origin) })
		case "tags":
			err = prepend(tx, settingTagKey, have.tags, vault.NewTagKey)
		case "orders":
			err = rotateOrders(tx, vault, id.installation)
		case "recordings":
			err = rotateRecordings(tx, vault)
		case "ssh-users", "ssh-hosts":
			err = rotateAuthority(tx, vault, token, authorityOf[what], fresh)
		}
		if err != nil {
			return err
		}
		if what == "log" {
			if print, err = logPrint(tx, vault); err != nil {
				return err
			}
		}
		return noteRotation(tx, what)
	})
	if err != nil {
		return err
	}
	if what == "log" {
		if _, err := fmt.Fprintf(out, "its fingerprint is %s; tell it to those who verify: stint login --log-key …\n", print); err != nil {
			return err
		}
	}
	if err := token.sayWhere(out, authorityOf[what]); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "the %s key is a new one; start stintd\n", what)
	return err
}

// logPrint is the fingerprint of the log's key text, as people compare it.
func logPrint(tx *store.Tx, vault *keys.Keys) (string, error) {
	have, err := readStored(tx)
	if err != nil {
		return "", err
	}
	id, err := have.open(vault)
	return api.LogKey{Key: id.verifier}.Fingerprint(), err
}

// rotateOrders replaces the orders key, or makes the first.
func rotateOrders(tx *store.Tx, vault *keys.Keys, installation string) error {
	have, err := readKeys(tx, settingOrdersKey)
	if err != nil {
		return err
	}
	return prepend(tx, settingOrdersKey, have, func() ([]byte, error) { return vault.NewOrdersKey(installation) })
}

func prepend(tx *store.Tx, name string, have [][]byte, fresh func() ([]byte, error)) error {
	key, err := fresh()
	if err != nil {
		return err
	}
	return writeKeys(tx, name, append([][]byte{key}, have...))
}

// reseal seals with the current seal key whatever an older one sealed.
func reseal(tx *store.Tx, vault *keys.Keys, id identity, have stored) error {
	for i := range have.checkpoint {
		var err error
		if have.checkpoint[i], err = vault.ResealCheckpointKey(id.origin, have.checkpoint[i]); err != nil {
			return err
		}
	}
	for i := range have.tags {
		var err error
		if have.tags[i], err = vault.ResealTagKey(have.tags[i]); err != nil {
			return err
		}
	}
	if err := errors.Join(writeKeys(tx, settingCheckpointKey, have.checkpoint), writeKeys(tx, settingTagKey, have.tags)); err != nil {
		return err
	}
	orders, err := readKeys(tx, settingOrdersKey)
	for i := range orders {
		if err == nil {
			orders[i], err = vault.ResealOrdersKey(id.installation, orders[i])
		}
	}
	if err == nil && len(orders) > 0 {
		err = writeKeys(tx, settingOrdersKey, orders)
	}
	if err := errors.Join(err, resealAuthorities(tx, vault), resealRecordingsKeys(tx, vault)); err != nil {
		return err
	}
	entries, err := tx.Vault()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e, err = broker.ResealVaulted(vault, e); err != nil {
			return err
		}
		if err := tx.SaveVault(e); err != nil {
			return err
		}
	}
	cs, err := tx.Credentials()
	if err != nil {
		return err
	}
	for _, c := range cs {
		if c.Gone() {
			continue // there is nothing to seal
		}
		if c, err = broker.ResealCredential(vault, c); err != nil {
			return err
		}
		if err := tx.SaveCredential(c); err != nil {
			return err
		}
	}
	return nil
}

// retire gives the earlier keys of an authority up.
func retire(ctx context.Context, s settings, what string, out io.Writer) (err error) {
	st, err := store.Open(ctx, store.Config{Path: s.file(), URL: s.database})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := st.Update(ctx, func(tx *store.Tx) error {
		if err := retireAuthority(tx, authorityOf[what]); err != nil {
			return err
		}
		return noteRotation(tx, "earlier "+what)
	}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "the earlier keys of %s are given up; start stintd\n", what)
	return err
}

// settingRotations counts the rotations, as the version of what the log says
// about the installation's keys.
const settingRotations = "keys/rotations"

func noteRotation(tx *store.Tx, what string) error {
	text, err := tx.Setting(settingRotations)
	if err != nil {
		return err
	}
	n, _ := strconv.ParseInt(string(text), 10, 64) // none yet
	n++
	if err := tx.SaveSetting(settingRotations, []byte(strconv.FormatInt(n, 10))); err != nil {
		return err
	}
	return tx.Append(access.Event{Type: broker.KeyRotated, At: tx.Now(), Entity: "keys", Version: n, Actor: access.System,
		Facts: map[string]string{"which": what}})
}
