// Package module says whether a program or library may be run by us: whoever can
// exchange it has what it is given. It looks at owners and modes only, and starts
// nothing.
//
// Invariant: what Check accepts, and every folder and link on the way to it, can be
// exchanged by nobody but the accepted owners.
package module

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Library accepts a library that belongs to root, on a way that belongs to root.
func Library(path string) error { return check(path, 0) }

// Program accepts a program that belongs to root or to us.
func Program(path string) error {
	if err := check(path, 0, os.Geteuid()); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o111 == 0 {
		err = fmt.Errorf("%s cannot be executed", path)
	}
	return err
}

func check(path string, owners ...int) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%s is no full path", path)
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", resolved)
	}
	// Of a link, the folders that it lies in count as well as those that it leads to.
	for _, name := range []string{filepath.Clean(path), resolved} {
		for here := name; ; here = filepath.Dir(here) {
			if err := mine(here, owners); err != nil {
				return err
			}
			if here == filepath.Dir(here) {
				break
			}
		}
	}
	return nil
}

// mine says whether nobody but the owners can exchange what a name names.
func mine(name string, owners []int) error {
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !slices.Contains(owners, int(st.Uid)) {
		return fmt.Errorf("%s belongs to uid %d, who could exchange it", name, uidOf(st))
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil // the mode of a link says nothing
	}
	sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0 // in it, only owners rename
	if perm := info.Mode().Perm(); perm&0o022 != 0 && !sticky {
		return fmt.Errorf("%s has mode %#o: its group or others could exchange it", name, perm)
	}
	return nil
}

func uidOf(st *syscall.Stat_t) int {
	if st == nil {
		return -1
	}
	return int(st.Uid)
}
