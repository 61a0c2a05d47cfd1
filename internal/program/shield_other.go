//go:build unix && !linux

package program

import "golang.org/x/sys/unix"

// Shield keeps our memory out of core files.
func Shield() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
