package recording

import (
	"errors"
	"os"
)

// How a file is locked, where one can be.
const (
	lockShared = 1 << iota
	lockExclusive
	lockAtOnce
	unlock
)

// lockFile fails: recordings are read here, and written on systems that gateways run on.
func lockFile(*os.File, int) error {
	return errors.New("recordings are not written on this system")
}
