//go:build unix

package store

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"stint/internal/access"
)

// fileLock keeps a second process away from a SQLite file. SQLite would let it
// in, and the group commit, the clock and the leases of two would mix. The
// kernel lets go of it when the process ends, however it ends.
type fileLock struct{ f *os.File }

func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unavailable("store-unopened", "the store's folder cannot be used", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, unavailable("store-unopened", "the store's folder cannot be locked", err)
		}
		holder := "another process"
		if b, err := io.ReadAll(io.LimitReader(f, 20)); err == nil && len(b) > 0 {
			holder = "process " + strings.TrimSpace(string(b))
		}
		return nil, access.Fail(access.Unavailable, "store-in-use", "the data folder is in use").
			Because(holder + " has it open").Try("stop that process, or give this one another folder")
	}
	err = errors.Join(f.Truncate(0), writePID(f))
	if err != nil {
		return nil, errors.Join(unavailable("store-unopened", "the store's folder cannot be written", err), f.Close())
	}
	return &fileLock{f}, nil
}

func writePID(f *os.File) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// unlock lets others in. The file stays: removing it would race with them.
func (l *fileLock) unlock() error { return l.f.Close() }

// Free reports whether a SQLite file is open in no process, without opening it: an
// opened one may be changed by that. The error says who has it (store-in-use).
func Free(path string) error {
	l, err := lockFile(path + ".lock")
	if err != nil {
		return err
	}
	return l.unlock()
}
