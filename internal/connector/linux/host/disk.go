package host

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stint/internal/wholefile"
)

// disk is how files are put in their place; tests let it fail.
type disk struct {
	replace func(path string, mode fs.FileMode, content []byte) error
}

func replaceFile(path string, mode fs.FileMode, content []byte) error {
	return wholefile.Replace(path, func(f *os.File) error {
		if err := f.Chmod(mode); err != nil {
			return err
		}
		_, err := f.Write(content)
		return err
	})
}

// removeFile takes a file away, durably. That there is none is no error.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return wholefile.SyncFolder(filepath.Dir(path))
}

// mostBytes is the longest file of ours, or that we read to understand it, that makes
// sense. What is longer is not read at all.
const mostBytes = 16 << 20

// readFile reads a whole file, "" where there is none.
func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // read only
	b, err := io.ReadAll(io.LimitReader(f, mostBytes+1))
	if err == nil && len(b) > mostBytes {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("it is longer than 16 MiB")}
	}
	return string(b), err
}

// ensureFolder makes a folder with exactly this mode, whatever the umask is. One that
// is there stays as it is.
func ensureFolder(path string, mode fs.FileMode) error {
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "use", Path: path, Err: errors.New("it is not a folder")}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if parent := filepath.Dir(path); parent != path {
		if err := ensureFolder(parent, 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, mode); err != nil {
		if errors.Is(err, fs.ErrExist) { // two at once
			return nil
		}
		return err
	}
	return errors.Join(os.Chmod(path, mode), wholefile.SyncFolder(filepath.Dir(path)))
}

// readPlain reads a file that somebody else may have made: a link, a pipe or a device is
// not followed, waited for or read.
func readPlain(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // read only
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", &fs.PathError{Op: "read", Path: path, Err: errors.New("it is not a file")}
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	return string(b), err
}
