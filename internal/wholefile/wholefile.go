// Package wholefile puts files in their place as a whole: a reader, or a crash at
// any moment, meets the old content or the new, and never half of either.
package wholefile

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace has write fill a new file of mode 0600, and gives it the name path, in the
// place of whatever has it. When it returns nil, content and name are on the disk.
// When it fails, path is as it was, nothing is left beside it, and an error of write
// comes back as it is.
func Replace(path string, write func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncFolder(filepath.Dir(path))
}

// Write replaces path by a file with that content.
func Write(path string, content []byte) error {
	return Replace(path, func(f *os.File) error {
		_, err := f.Write(content)
		return err
	})
}
