//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"
)

// placeLock keeps a place for one run. The kernel lets go of it with the process, however that
// ends.
type placeLock struct{ f *os.File }

// lockPlace keeps a place where nothing is, or what a run left that was killed.
func lockPlace(at string) (*placeLock, error) {
	name := lockName(at)
	for range 100 { // whoever had it may take it away just now
		left := !empty(name) // somebody's who began here
		if !left && !empty(at) {
			return nil, errPlaceTaken
		}
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			_ = f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				err = errPlaceHeld
			}
			return nil, err
		}
		lock := &placeLock{f}
		if !lock.there() {
			_ = f.Close()
			continue
		}
		if !empty(at) {
			if !left || !ours(name) || !ours(at) {
				lock.free()
				return nil, errPlaceTaken
			}
			if err := os.Remove(at); err != nil {
				lock.free()
				return nil, err
			}
		}
		return lock, nil
	}
	return nil, errPlaceHeld
}

// there reports whether the lock file is the one that others would find.
func (l *placeLock) there() bool {
	mine, err := l.f.Stat()
	if err != nil {
		return false
	}
	found, err := os.Lstat(l.f.Name())
	return err == nil && os.SameFile(mine, found)
}

// ours reports whether a file is as run makes them: ours, and for nobody else.
func ours(at string) bool {
	i, err := os.Lstat(at)
	if err != nil || !i.Mode().IsRegular() || i.Mode().Perm() != 0o600 {
		return false
	}
	s, ok := i.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}

// free gives the place up.
func (l *placeLock) free() {
	_ = os.Remove(l.f.Name()) // while it is held: who opens it now sees that it is gone
	_ = l.f.Close()
}
