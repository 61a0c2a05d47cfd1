//go:build unix

package recording

import (
	"os"
	"syscall"
)

// How a file is locked.
const (
	lockShared    = syscall.LOCK_SH
	lockExclusive = syscall.LOCK_EX
	lockAtOnce    = syscall.LOCK_NB // or not at all
	unlock        = syscall.LOCK_UN
)

// lockFile locks a file against other processes, flock(2).
func lockFile(f *os.File, how int) error { return syscall.Flock(int(f.Fd()), how) }
