package recording

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// datasync makes what was written to a file durable, and its size, but not when it was
// written.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// syncAll makes durable what was written to any file on a folder's disk. It says what went wrong there
// since the folder was opened, or since the last call (Linux 5.8).
func syncAll(folder *os.File) error {
	for {
		if err := unix.Syncfs(int(folder.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
