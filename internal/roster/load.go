//go:build unix

package roster

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"stint/internal/access"
)

// Load reads the roster at a path. The file and every folder above it must belong to root,
// or to whoever runs this, and be writable by nobody else. Where there is no file the error
// is fs.ErrNotExist.
func Load(path string) (Roster, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Roster{}, err
		}
		return Roster{}, bad("it cannot be opened, or is a link").Wrap(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return Roster{}, bad("it cannot be looked at").Wrap(err)
	}
	if !info.Mode().IsRegular() {
		return Roster{}, bad(path + " is no file")
	}
	if err := owned(path, info); err != nil {
		return Roster{}, err
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return Roster{}, bad("its folder is not known").Wrap(err)
	}
	for dir := filepath.Dir(full); ; dir = filepath.Dir(dir) {
		info, err := os.Lstat(dir)
		if err != nil {
			return Roster{}, bad("a folder above it cannot be looked at").Wrap(err)
		}
		if err := owned(dir, info); err != nil {
			return Roster{}, err
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return Roster{}, bad("it cannot be read").Wrap(err)
	}
	return Parse(text)
}

// owned refuses what somebody else than root could have written. In a sticky folder, as
// /tmp is, nobody puts anything in the place of what is another's.
func owned(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return bad("whose " + path + " is, is not known")
	}
	sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 && !sticky || info.Mode()&fs.ModeSymlink != 0 {
		return access.Fail(access.Denied, "loose-roster", "the roster could have been written by others than root").
			Because(fmt.Sprintf("%s belongs to uid %d with mode %04o", path, st.Uid, info.Mode().Perm())).
			Try("look at what is in it, then: chown root:root " + path + " && chmod go-w " + path)
	}
	return nil
}
