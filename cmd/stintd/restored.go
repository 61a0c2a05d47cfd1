package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/store"
)

const restoredHelp = `Tell Stint that its data came from a backup, before it is started on it.

It raises the installation's epoch. Targets obey the highest epoch that claimed
them: the restored installation takes them over, and whatever still runs on the
old data, or on a copy of it, may no longer grant or remove anything there. Access
that was granted after the backup was made, which the data knows nothing of, is
found on the targets by its tag and removed.

Stop every stintd of the installation first.`

// restored begins a new life of an installation.
func restored(ctx context.Context, s settings, out io.Writer) (err error) {
	st, err := store.Open(ctx, store.Config{Path: s.file(), URL: s.database})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	var epoch int64
	err = st.Update(ctx, func(tx *store.Tx) error {
		have, err := readStored(tx)
		if err != nil {
			return err
		}
		if have.installation == nil {
			return access.Fail(access.Invalid, "no-installation", "there is no installation in this data").Try("check --data or --database")
		}
		if epoch, err = strconv.ParseInt(string(have.epoch), 10, 64); err != nil || epoch < 1 {
			return access.Fail(access.Internal, "bad-epoch", "the store does not say its epoch")
		}
		epoch++
		if err := tx.SaveSetting(settingEpoch, []byte(strconv.FormatInt(epoch, 10))); err != nil {
			return err
		}
		return tx.Append(access.Event{Type: broker.InstallationRestored, At: tx.Now(), Entity: "installation", Version: epoch - 1, Actor: access.System,
			Facts: map[string]string{"epoch": strconv.FormatInt(epoch, 10)}})
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "the installation is in epoch %d now; start stintd\n", epoch)
	return err
}
