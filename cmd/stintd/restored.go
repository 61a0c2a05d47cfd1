package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"stint/internal/access"
	"stint/internal/backup"
	"stint/internal/broker"
	"stint/internal/keys"
	"stint/internal/store"
	"stint/internal/wholefile"
)

const restoredHelp = `Tell Stint that its data came from a backup that the database made, before it is
started on it. For a backup of stint admin backup, use stintd restore, which does
this too.

It raises the installation's epoch. Targets obey the highest epoch that claimed
them: the restored installation takes them over, and whatever still runs on the
old data, or on a copy of it, may no longer grant or remove anything there.

The installation starts in quarantine: every grant that the data has as live is
ended, requests that were open are refused, and nothing is granted until every
target was compared with the data. stint admin restore status says how far it is.

Stop every stintd of the installation first.`

const restoreHelp = `Put a backup of stint admin backup into an empty store, as a new life of the
installation: in a new epoch and in quarantine, as stintd restored --help says.

The backup is checked whole before anything is written: its signature, with the
seal key of the installation, its digests, and its audit log against the
checkpoint in it. What is written is there at once or not at all.

With SQLite, an existing store is only replaced with --replace, and then kept
beside the new one. With PostgreSQL the database must be empty.

The new epoch must be higher than any that the targets have seen. It is one more
than those of the backup and of the store that is replaced; when the same backup
is restored a second time and the first restore's data is not there any more, say
how far the epochs had got with --epoch-above.

Stop every stintd of the installation first.`

// nextEpoch is higher than all that are known.
func nextEpoch(have []byte, above int64) (before, next int64, err error) {
	before, err = strconv.ParseInt(string(have), 10, 64)
	if err != nil || before < 1 {
		return 0, 0, access.Fail(access.Internal, "bad-epoch", "the store does not say its epoch")
	}
	return before, max(before, above) + 1, nil
}

// restored begins a new life of an installation.
func restored(ctx context.Context, s settings, above int64, out io.Writer) (err error) {
	st, err := store.Open(ctx, store.Config{Path: s.file(), URL: s.database})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	head, err := st.Head(ctx)
	if err != nil {
		return err
	}
	var epoch int64
	err = st.Update(ctx, func(tx *store.Tx) (err error) {
		epoch, err = beginAgain(tx, above, broker.Quarantine{Why: "the data was restored from a backup", Kept: head.Size}, head.Root.String())
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "the installation is in epoch %d now, and in quarantine until its targets were compared; start stintd\n", epoch)
	return err
}

// beginAgain raises the epoch, makes unused codes worthless, and begins the
// quarantine.
func beginAgain(tx *store.Tx, above int64, q broker.Quarantine, root string) (epoch int64, err error) {
	have, err := readStored(tx)
	if err != nil {
		return 0, err
	}
	if have.installation == nil {
		return 0, access.Fail(access.Invalid, "no-installation", "there is no installation in this data").Try("check --data or --database")
	}
	before, epoch, err := nextEpoch(have.epoch, above)
	if err != nil {
		return 0, err
	}
	if err := tx.SaveSetting(settingEpoch, []byte(strconv.FormatInt(epoch, 10))); err != nil {
		return 0, err
	}
	return epoch, errors.Join(tx.ForgetCodes(), broker.BeginRestored(tx, before, epoch, q, root))
}

// restore puts a backup into a new store.
func restore(ctx context.Context, s settings, path string, replace bool, above int64, out io.Writer) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return refuse("no-backup", "the backup cannot be read", cause(err), "check the path")
	}
	defer func() { _ = f.Close() }() // only read
	vault, err := s.openKeys()
	if errors.Is(err, fs.ErrNotExist) {
		return refuse("no-seal-key", "the seal key "+s.sealKey+" is missing", "the backup's secrets are sealed with it, and it is never in a backup", "bring it back from where you keep it, or name it with --seal-key-file")
	}
	if err != nil {
		return err
	}
	id, err := identityOf(f, vault)
	if err != nil {
		return err
	}
	r, err := rewound(f)
	if err != nil {
		return err
	}
	found, err := backup.Check(r, id.verifier)
	if err != nil {
		return err
	}
	if err := makeData(s.data); err != nil {
		return err
	}
	if above, err = replaced(ctx, s, replace, above); err != nil {
		return err
	}
	cfg, into := store.Config{URL: s.database}, s.file()
	if into != "" {
		cfg.Path = into + ".restoring"
		if err := removeStore(cfg.Path); err != nil { // of a restore that was interrupted
			return err
		}
	}
	if r, err = rewound(f); err != nil {
		return err
	}
	m := r.Manifest
	var epoch int64
	if err := store.Load(ctx, cfg, r, func(tx *store.Tx) (err error) {
		why := fmt.Sprintf("the data was restored from a backup of %s", m.At.Format(time.RFC3339))
		epoch, err = beginAgain(tx, above, broker.Quarantine{Why: why, BackupAt: m.At, Kept: m.Size}, m.Root)
		return err
	}); err != nil {
		return err
	}
	old := ""
	if into != "" {
		if old, err = putInPlace(cfg.Path, into); err != nil {
			return err
		}
	}
	waiting := ""
	if found.Waiting > 0 {
		waiting = fmt.Sprintf(", %d more that had no number yet", found.Waiting)
	}
	_, err = fmt.Fprintf(out, "restored the backup of %s: %d rows, %d records of the log%s\n", m.At.Format(time.RFC3339), found.Rows, found.Records, waiting)
	if err == nil && old != "" {
		_, err = fmt.Fprintf(out, "the store that was there is %s\n", old)
	}
	if err == nil {
		_, err = fmt.Fprintf(out, "the installation is in epoch %d now, and in quarantine until its targets were compared; start stintd\n", epoch)
	}
	return err
}

func rewound(f *os.File) (*backup.Reader, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, refuse("no-backup", "the backup cannot be read", cause(err), "restore from a file, not from a pipe")
	}
	return backup.Open(f)
}

// identityOf opens the installation that a backup is of, with the seal key.
func identityOf(f *os.File, vault *keys.Keys) (identity, error) {
	r, err := rewound(f)
	if err != nil {
		return identity{}, err
	}
	settings := map[string][]byte{}
	for {
		t, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		for err == nil {
			var row []any
			if row, err = t.Row(); err == nil && t.Name == "settings" && len(row) == 2 {
				name, _ := row[0].(string)
				settings[name], _ = row[1].([]byte)
			}
		}
		if !errors.Is(err, io.EOF) {
			return identity{}, err
		}
	}
	have, err := readStored(fromMap(settings))
	if err != nil {
		return identity{}, err
	}
	if have.installation == nil {
		return identity{}, refuse("no-installation", "there is no installation in this backup", r.Manifest.Installation, "choose another backup")
	}
	id, err := have.open(vault)
	if err == nil && id.installation != r.Manifest.Installation {
		err = refuse("backup-damaged", "the backup cannot be used", "its manifest names another installation than its rows", "use another backup")
	}
	return id, err
}

// fromMap are settings outside of a store.
type fromMap map[string][]byte

func (m fromMap) Setting(name string) ([]byte, error) { return m[name], nil }

// replaced looks at the store that is there, and gives the epoch to go beyond.
func replaced(ctx context.Context, s settings, replace bool, above int64) (int64, error) {
	if s.database != "" {
		return above, nil // Load refuses what is not empty
	}
	if _, err := os.Stat(s.file()); errors.Is(err, fs.ErrNotExist) {
		return above, nil
	}
	if err := store.Free(s.file()); err != nil { // or it would be the second thing to be said, after --replace was tried
		return 0, err
	}
	if !replace {
		return 0, access.Fail(access.Conflict, "store-not-empty", "there is a store already").Because(s.file()).
			Try("restore into another --data, or replace it with --replace; it is kept beside the new one")
	}
	epoch, err := epochOf(ctx, s)
	if err != nil && above > 0 && access.KindOf(err) != access.Conflict {
		return above, nil // it cannot be read; somebody who knows has said how far it had got
	}
	var ours *access.Error
	if errors.As(err, &ours) && ours.Code == "store-in-use" {
		return 0, err // its epoch can be read as soon as nobody has it open
	}
	if err != nil {
		return 0, errors.Join(err, access.Fail(access.Conflict, "unknown-epoch", "the epoch of the store that is to be replaced is not known").
			Try("say which epoch to go beyond with --epoch-above; the claim on a target names it, and 1000 is always enough"))
	}
	return max(above, epoch), nil
}

func epochOf(ctx context.Context, s settings) (epoch int64, err error) {
	st, err := store.Open(ctx, store.Config{Path: s.file()})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	err = st.View(ctx, func(tx *store.Tx) error {
		have, err := readStored(tx)
		if err != nil || have.installation == nil {
			return err
		}
		epoch, _, err = nextEpoch(have.epoch, 0)
		return err
	})
	return epoch, err
}

// The files of a SQLite store: itself, and what it writes beside.
var storeFiles = []string{"", "-wal", "-shm", "-journal"}

func removeStore(path string) error {
	for _, suffix := range storeFiles {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return refuse("bad-data", "what an interrupted restore left cannot be removed", cause(err), "remove it by hand")
		}
	}
	return nil
}

// putInPlace makes the new store the store. The old one, if there is one, gets
// another name first: at no moment is there half of either.
func putInPlace(fresh, path string) (old string, err error) {
	if _, err := os.Stat(path); err == nil {
		old = path + ".before-" + time.Now().UTC().Format("20060102-150405")
	}
	for _, suffix := range storeFiles {
		if old == "" {
			break
		}
		if err := os.Rename(path+suffix, old+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	if err := os.Rename(fresh, path); err != nil {
		return "", err
	}
	if err := os.Remove(fresh + ".lock"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return old, wholefile.SyncFolder(filepath.Dir(path))
}
