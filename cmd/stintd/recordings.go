package main

import (
	"context"

	"stint/internal/access"
	"stint/internal/keys"
	"stint/internal/store"
)

// settingRecordingsKey is the key that recordings are sealed to, and, as with the
// others, those that were in use before it.
const settingRecordingsKey = "keys/recordings"

// openRecordingsKey gives the public half of the key that recordings are sealed to, and
// makes the key where there is none yet.
func openRecordingsKey(ctx context.Context, st *store.Store, vault *keys.Keys) (public []byte, err error) {
	fresh, _, err := vault.NewRecordingsKey(settingRecordingsKey)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	read := func(tx *store.Tx) (err error) { all, err = readKeys(tx, settingRecordingsKey); return err }
	if err := st.View(ctx, read); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		if err := st.Update(ctx, func(tx *store.Tx) error {
			if err := read(tx); err != nil || len(all) > 0 { // another replica was faster
				return err
			}
			all = [][]byte{fresh}
			return writeKeys(tx, settingRecordingsKey, all)
		}); err != nil {
			return nil, err
		}
	}
	key, err := vault.RecordingsKey(settingRecordingsKey, all[0])
	if err != nil {
		return nil, access.Fail(access.Invalid, "other-seal-key", "the seal key does not open the recordings key").
			Because("another key sealed it").Try("use the seal key of the first replica, or of the backup that the data came from").Wrap(err)
	}
	return key.PublicKey().Bytes(), nil
}

// resealRecordingsKeys seals them with the seal key that is in use now.
func resealRecordingsKeys(tx *store.Tx, vault *keys.Keys) error {
	all, err := readKeys(tx, settingRecordingsKey)
	for i := range all {
		if err == nil {
			all[i], err = vault.ResealRecordingsKey(settingRecordingsKey, all[i])
		}
	}
	if err != nil || len(all) == 0 {
		return err
	}
	return writeKeys(tx, settingRecordingsKey, all)
}
