// Package module says whether a program or library may be run by us: whoever can
// exchange it has what it is given. It looks at owners and modes only, and starts
// nothing.
//
// Invariant: what is accepted, and every folder and link on the way to it, can be exchanged
// by nobody but the accepted owners. What is returned is without links, and is what to run.
package module

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Library accepts a library that belongs to root, on a way that belongs to root, and says
// where it is.
func Library(path string) (resolved string, err error) { return check(path, 0) }

// Program accepts a program that belongs to root or to us, and says where it is.
func Program(path string) (resolved string, err error) {
	if resolved, err = check(path, 0, os.Geteuid()); err != nil {
		return "", err
	}
	info, err := os.Lstat(resolved)
	if err == nil && info.Mode().Perm()&0o111 == 0 {
		err = fmt.Errorf("%s cannot be executed", path)
	}
	if err != nil {
		return "", err
	}
	return resolved, nil
}

// maxLinks is how many links one path may lead through.
const maxLinks = 40

// check walks to a file as the kernel does, and looks at each folder and link before it goes
// through it: those that a link leads to, also on the way to a further one, like those of
// the path itself.
func check(path string, owners ...int) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%s is no full path", path)
	}
	here, links := "/", 0
	if err := mine(here, owners); err != nil {
		return "", err
	}
	for rest := strings.Split(path, "/"); len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			here = filepath.Dir(here)
			continue
		}
		next := filepath.Join(here, name)
		if err := mine(next, owners); err != nil {
			return "", err
		}
		to, err := os.Readlink(next)
		if errors.Is(err, syscall.EINVAL) { // no link
			here = next
			continue
		} else if err != nil {
			return "", err
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s leads through too many links", path)
		}
		if filepath.IsAbs(to) {
			here = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	info, err := os.Lstat(here)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", here)
	}
	return here, nil
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
