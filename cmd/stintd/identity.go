package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/mod/sumdb/note"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/keys"
	"stint/internal/store"
)

// Settings of the store that make an installation what it is. They are written
// once, together.
const (
	settingInstallation  = "installation"
	settingEpoch         = "epoch"
	settingCheckpointKey = "keys/checkpoint"
	settingTagKey        = "keys/tags"
)

// identity is what all replicas on one store share.
type identity struct {
	installation string
	epoch        int64
	origin       string // of the audit log
	signer       note.Signer
	verifier     string
	tagger       *keys.Tagger
	vault        *keys.Keys
}

// stored is how the settings hold it.
type stored struct{ installation, epoch, checkpoint, tags []byte }

// openIdentity opens the installation with the seal key, or founds a new one
// where the store is empty. A seal key is made only for a new one: making one
// for data that another key sealed would hide the loss.
func openIdentity(ctx context.Context, st *store.Store, sealKey string) (identity, error) {
	var have stored
	if err := st.View(ctx, func(tx *store.Tx) (err error) { have, err = readStored(tx); return err }); err != nil {
		return identity{}, err
	}
	vault, err := keys.Open(sealKey)
	switch {
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return identity{}, err
	case have.installation != nil:
		return identity{}, access.Fail(access.Invalid, "no-seal-key", "the seal key "+sealKey+" is missing").
			Because("the store holds what it sealed").Try("copy it from another replica or from your backup, or name it with --seal-key-file")
	default:
		if vault, err = keys.Create(sealKey); errors.Is(err, fs.ErrExist) { // another one starts too
			vault, err = keys.Open(sealKey)
		}
		if err != nil {
			return identity{}, err
		}
	}
	if have.installation == nil {
		if have, err = found(ctx, st, vault); err != nil {
			return identity{}, err
		}
	}
	return have.open(vault)
}

func readStored(tx *store.Tx) (s stored, err error) {
	for name, to := range map[string]*[]byte{settingInstallation: &s.installation, settingEpoch: &s.epoch, settingCheckpointKey: &s.checkpoint, settingTagKey: &s.tags} {
		if *to, err = tx.Setting(name); err != nil {
			return stored{}, err
		}
	}
	return s, nil
}

// found writes a new installation; of several at once, the first counts.
func found(ctx context.Context, st *store.Store, vault *keys.Keys) (stored, error) {
	var random [10]byte
	rand.Read(random[:]) // never fails
	name := hex.EncodeToString(random[:])
	next := stored{installation: []byte(name), epoch: []byte("1")}
	var err error
	if next.checkpoint, err = vault.NewCheckpointKey(audit.Origin(name)); err != nil {
		return stored{}, err
	}
	if next.tags, err = vault.NewTagKey(); err != nil {
		return stored{}, err
	}
	out := next
	err = st.Update(ctx, func(tx *store.Tx) error {
		have, err := readStored(tx)
		if err != nil {
			return err
		}
		if have.installation != nil {
			out = have
			return nil
		}
		out = next
		for name, value := range map[string][]byte{settingInstallation: next.installation, settingEpoch: next.epoch, settingCheckpointKey: next.checkpoint, settingTagKey: next.tags} {
			if err := tx.SaveSetting(name, value); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func (s stored) open(vault *keys.Keys) (identity, error) {
	id := identity{installation: string(s.installation), origin: audit.Origin(string(s.installation)), vault: vault}
	var err error
	if id.epoch, err = strconv.ParseInt(string(s.epoch), 10, 64); err != nil || id.epoch < 1 {
		return identity{}, access.Fail(access.Internal, "bad-epoch", "the store does not say its epoch")
	}
	if id.signer, id.verifier, err = vault.CheckpointSigner(id.origin, s.checkpoint); err == nil {
		id.tagger, err = vault.Tagger(s.tags)
	}
	if err != nil {
		return identity{}, access.Fail(access.Invalid, "other-seal-key", "the seal key does not open what the store holds").
			Because("another key sealed it").Try("use the seal key of the first replica, or of the backup that the data came from").Wrap(err)
	}
	return id, nil
}

// makeData makes the data folder, for its owner only.
func makeData(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return refuse("bad-data", "the data folder cannot be made", cause(err), "check --data")
	}
	return nil
}
