package recording

import (
	"errors"
	"os"
	"syscall"
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
