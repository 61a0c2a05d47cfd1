package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// checkFile refuses a key file that others can read, or could have put there.
func checkFile(f *os.File, path string) error {
	st, err := f.Stat()
	if err != nil {
		return &Error{Message: "cannot look at the seal key file " + path, Cause: err}
	}
	if !st.Mode().IsRegular() {
		return &Error{Message: "the seal key file " + path + " is not a file", Why: "it is " + st.Mode().Type().String(),
			Next: "name the file that holds the key"}
	}
	if mode := st.Mode().Perm(); mode&0o077 != 0 {
		return &Error{
			Message: "the seal key file " + path + " is open to other users",
			Why:     fmt.Sprintf("its mode is %#o and must give nothing to group and others", mode),
			Next:    "chmod 0600 " + path + ", and rotate the key if others may have read it",
		}
	}
	if uid, ok := owner(st); !ok || !trusted(uid, os.Geteuid()) {
		return &Error{
			Message: "the seal key file " + path + " belongs to another user",
			Why:     fmt.Sprintf("its owner is uid %d and this process runs as uid %d", uid, os.Geteuid()),
			Next:    fmt.Sprintf("chown %d %s, once it is clear who put it there", os.Geteuid(), path),
		}
	}
	return checkWay(path)
}

// checkWay refuses a path on which somebody else could exchange the file: the
// folder of the name, and with a symbolic link the folder it leads to, must not be
// writable by everybody, unless it is sticky as /tmp is.
func checkWay(path string) error {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return &Error{Message: "cannot follow the seal key file " + path, Cause: err}
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(resolved)} {
		st, err := os.Stat(dir)
		if err != nil {
			return &Error{Message: "cannot look at the folder of the seal key file " + path, Cause: err}
		}
		if st.Mode().Perm()&0o002 != 0 && st.Mode()&fs.ModeSticky == 0 {
			return &Error{
				Message: "the seal key file " + path + " can be exchanged by any user",
				Why:     "everybody may write to the folder " + dir,
				Next:    "chmod o-w " + dir + ", or keep the key elsewhere",
			}
		}
	}
	return nil
}

// trusted says whose files we believe: our own, and root's, who could do anything.
func trusted(uid, ours int) bool { return uid == 0 || uid == ours }

func owner(st fs.FileInfo) (uid int, ok bool) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}

// CheckPlace refuses a key file inside the data folder, also by way of links: a copy
// of the data would then carry the key that opens it. Neither needs to exist.
func CheckPlace(keyPath, dataDir string) error {
	data, err := resolve(dataDir)
	if err != nil {
		return &Error{Message: "cannot tell where the data folder " + dataDir + " is", Cause: err}
	}
	// The name itself and what it leads to: a link in the data folder is restored
	// with it, and a file in it is copied with it.
	folder, err := resolve(filepath.Dir(keyPath))
	if err != nil {
		return &Error{Message: "cannot tell where the seal key file " + keyPath + " is", Cause: err}
	}
	target, err := resolve(keyPath)
	if err != nil {
		return &Error{Message: "cannot tell where the seal key file " + keyPath + " is", Cause: err}
	}
	for _, place := range []string{filepath.Join(folder, filepath.Base(keyPath)), target} {
		if inside(place, data) {
			return &Error{
				Message: "the seal key file " + keyPath + " lies in the data folder " + dataDir,
				Why:     "a copy or backup of the data would carry the key that opens it",
				Next:    "move it beside the data folder, such as " + filepath.Clean(dataDir) + ".key, and name it with --seal-key-file",
			}
		}
	}
	return nil
}

// inside compares names, and for what exists also the folders themselves: two
// names may lead to one folder by a mount or by the case of letters.
func inside(place, dir string) bool {
	st, err := os.Stat(dir)
	exists := err == nil
	for ; ; place = filepath.Dir(place) {
		if place == dir {
			return true
		}
		if here, err := os.Stat(place); exists && err == nil && os.SameFile(here, st) {
			return true
		}
		if place == filepath.Dir(place) {
			return false
		}
	}
}

// resolve makes a path absolute and follows the links of its part that exists.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for here := path; ; here = filepath.Dir(here) {
		real, err := filepath.EvalSymlinks(here)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || here == filepath.Dir(here) {
			return "", err
		}
		// A link to nothing yet leads somewhere all the same.
		if to, err := os.Readlink(here); err == nil {
			if !filepath.IsAbs(to) {
				to = filepath.Join(filepath.Dir(here), to)
			}
			return resolve(filepath.Join(to, rest))
		}
		rest = filepath.Join(filepath.Base(here), strings.TrimPrefix(rest, string(filepath.Separator)))
	}
}
