package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

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

// stored is how the settings hold it. Of the keys the first is in use; the others
// were in use before it, the latest first, and only verify.
type stored struct {
	installation, epoch []byte
	checkpoint, tags    [][]byte
}

// openIdentity opens the installation with the seal key, or founds a new one
// where the store is empty. A seal key is made only for a new one: making one
// for data that another key sealed would hide the loss.
func openIdentity(ctx context.Context, st *store.Store, s settings) (identity, error) {
	var have stored
	if err := st.View(ctx, func(tx *store.Tx) (err error) { have, err = readStored(tx); return err }); err != nil {
		return identity{}, err
	}
	vault, err := s.openKeys()
	switch {
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return identity{}, err
	case have.installation != nil:
		return identity{}, access.Fail(access.Invalid, "no-seal-key", "the seal key "+s.sealKey+" is missing").
			Because("the store holds what it sealed").Try("copy it from another replica or from your backup, or name it with --seal-key-file")
	default:
		if vault, err = keys.Create(s.sealKey); errors.Is(err, fs.ErrExist) { // another one starts too
			vault, err = s.openKeys()
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

// openExisting opens the installation that is there.
func openExisting(ctx context.Context, st *store.Store, s settings) (identity, error) {
	var have stored
	if err := st.View(ctx, func(tx *store.Tx) (err error) { have, err = readStored(tx); return err }); err != nil {
		return identity{}, err
	}
	if have.installation == nil {
		return identity{}, errNoInstallation
	}
	vault, err := s.openKeys()
	if err != nil {
		return identity{}, err
	}
	return have.open(vault)
}

// reader is a transaction, or what else has settings.
type reader interface {
	Setting(name string) ([]byte, error)
}

func readStored(tx reader) (s stored, err error) {
	for name, to := range map[string]*[]byte{settingInstallation: &s.installation, settingEpoch: &s.epoch} {
		if *to, err = tx.Setting(name); err != nil {
			return stored{}, err
		}
	}
	for name, to := range map[string]*[][]byte{settingCheckpointKey: &s.checkpoint, settingTagKey: &s.tags} {
		if *to, err = readKeys(tx, name); err != nil {
			return stored{}, err
		}
	}
	return s, nil
}

// earlier names the nth key that was in use before the one that name names.
func earlier(name string, n int) string { return name + "/" + strconv.Itoa(n) }

// readKeys reads a key and those before it, in the order of stored.
func readKeys(tx reader, name string) (all [][]byte, err error) {
	current, err := tx.Setting(name)
	if err != nil || current == nil {
		return nil, err
	}
	for n := 1; ; n++ {
		old, err := tx.Setting(earlier(name, n))
		if err != nil {
			return nil, err
		}
		if old == nil {
			break
		}
		all = append(all, old)
	}
	slices.Reverse(all)
	return append([][]byte{current}, all...), nil
}

// writeKeys is the other way around.
func writeKeys(tx *store.Tx, name string, all [][]byte) error {
	if err := tx.SaveSetting(name, all[0]); err != nil {
		return err
	}
	for i, old := range all[1:] {
		if err := tx.SaveSetting(earlier(name, len(all)-1-i), old); err != nil {
			return err
		}
	}
	return nil
}

// found writes a new installation; of several at once, the first counts.
func found(ctx context.Context, st *store.Store, vault *keys.Keys) (stored, error) {
	var random [10]byte
	rand.Read(random[:]) // never fails
	name := hex.EncodeToString(random[:])
	next := stored{installation: []byte(name), epoch: []byte("1")}
	checkpoint, err := vault.NewCheckpointKey(audit.Origin(name))
	if err != nil {
		return stored{}, err
	}
	tags, err := vault.NewTagKey()
	if err != nil {
		return stored{}, err
	}
	next.checkpoint, next.tags = [][]byte{checkpoint}, [][]byte{tags}
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
		for name, value := range map[string][]byte{settingInstallation: next.installation, settingEpoch: next.epoch, settingCheckpointKey: checkpoint, settingTagKey: tags} {
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
	if len(s.checkpoint) == 0 || len(s.tags) == 0 {
		return identity{}, access.Fail(access.Internal, "no-keys", "the store lacks its keys")
	}
	var verifiers []string
	for i := len(s.checkpoint) - 1; i >= 0 && err == nil; i-- { // the one in use last, to sign with
		var v string
		id.signer, v, err = vault.CheckpointSigner(id.origin, s.checkpoint[i])
		verifiers = append(verifiers, v)
	}
	slices.Reverse(verifiers)
	id.verifier = strings.Join(verifiers, " ")
	if err == nil {
		id.tagger, err = vault.Tagger(s.tags[0], s.tags[1:]...)
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
