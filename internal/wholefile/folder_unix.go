//go:build !windows

package wholefile

import (
	"errors"
	"os"
)

// SyncFolder makes the names in a folder durable: those that were given, and those
// that were taken away.
func SyncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
