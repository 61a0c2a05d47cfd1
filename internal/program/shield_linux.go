package program

import "golang.org/x/sys/unix"

// Shield keeps our memory out of core files, and other processes of our user out of it
// (PR_SET_DUMPABLE in prctl(2)). What we start in our turn is as it would be without us.
func Shield() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
