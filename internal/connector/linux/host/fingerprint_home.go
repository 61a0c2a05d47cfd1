package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"stint/internal/connector/linux"
)

// What is read of one home. Who fills it with more has the print say that it does not
// know everything: that is theirs to do, and not to make it wait.
const (
	homeFiles = 2000
	homeBytes = 16 << 20
)

// homeLook reads one home. Its owner can change every part of it at any time: nothing is
// followed out of it, or onto another file system, and only plain files are opened.
type homeLook struct {
	f            *reading
	ctx          context.Context // of one look
	root         int
	path, of     string
	files, bytes int // how many names of folders, and bytes, may still be read
}

// home adds what is watched of an account's home.
func (f *reading) home(ctx context.Context, a account) {
	if ctx.Err() != nil {
		return
	}
	// The path itself is root's word, in passwd.
	root, err := unix.Open(a.home, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		if !missing(err) {
			f.Gaps = append(f.Gaps, a.home)
		}
		return
	}
	defer func() { _ = unix.Close(root) }()
	h := homeLook{f, ctx, root, a.home, a.name, homeFiles, homeBytes}
	for _, w := range ofHomes {
		if !h.look(w.kind, ".", strings.Split(w.pattern, "/")) {
			f.Gaps = append(f.Gaps, a.home+": more than is looked at")
			return
		}
	}
}

func missing(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) }

// open opens a part of the home, or notes a gap. Folders may be links, as many people have
// them, as long as they lead to others of the same home; the last name may not. A lease
// does not hold an open up that does not block.
func (h *homeLook) open(name string, flags uint64) (int, bool) {
	if flags&unix.O_PATH == 0 {
		flags |= unix.O_NONBLOCK | unix.O_NOCTTY
	}
	fd, err := unix.Openat2(h.root, name, &unix.OpenHow{Flags: flags | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV})
	if err != nil {
		if !missing(err) {
			h.f.Gaps = append(h.f.Gaps, filepath.Join(h.path, name))
		}
		return -1, false
	}
	return fd, true
}

// look goes down a pattern, whose stars are whole names. That there is too much ends it.
func (h *homeLook) look(kind, at string, names []string) (all bool) {
	if h.ctx.Err() != nil {
		return true // the whole print is given up
	}
	switch {
	case len(names) == 0:
		return h.file(kind, at)
	case names[0] != "*":
		return h.look(kind, filepath.Join(at, names[0]), names[1:])
	}
	fd, ok := h.open(at, unix.O_RDONLY|unix.O_DIRECTORY)
	if !ok {
		return true
	}
	dir := os.NewFile(uintptr(fd), at)
	found, err := dir.Readdirnames(h.files + 1)
	if errors.Is(err, io.EOF) {
		err = nil // there is none
	}
	if err = errors.Join(err, dir.Close()); err != nil {
		h.f.Gaps = append(h.f.Gaps, filepath.Join(h.path, at))
	}
	for _, name := range found {
		if h.files--; h.files < 0 || !h.look(kind, filepath.Join(at, name), names[1:]) {
			return false
		}
	}
	return true
}

// file adds one file, or a link by where it leads.
func (h *homeLook) file(kind, name string) (all bool) {
	path := filepath.Join(h.path, name)
	fd, ok := h.open(name, unix.O_PATH)
	if !ok {
		return true
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		h.f.Gaps = append(h.f.Gaps, path)
		return true
	}
	key := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return true // what is in it counts
	case unix.S_IFLNK:
		var to [unix.PathMax]byte
		n, err := unix.Readlinkat(fd, "", to[:])
		if err != nil {
			h.f.Gaps = append(h.f.Gaps, path)
			return true
		}
		key += " -> " + string(to[:n])
	case unix.S_IFREG:
		text, ok := h.read(name)
		if !ok {
			h.f.Gaps = append(h.f.Gaps, path)
			return true
		}
		if h.bytes -= len(text); h.bytes < 0 {
			return false
		}
		sum := sha256.Sum256(text)
		key += fmt.Sprintf(" %d %s", st.Size, hex.EncodeToString(sum[:12]))
	}
	h.f.Lines = append(h.f.Lines, linux.Trail{Kind: kind, Path: path, Key: key, UID: int(st.Uid), Of: h.of})
	return true
}

// read reads one plain file, and a byte more than may be.
func (h *homeLook) read(name string) ([]byte, bool) {
	fd, ok := h.open(name, unix.O_RDONLY)
	if !ok {
		return nil, false
	}
	file := os.NewFile(uintptr(fd), name)
	defer func() { _ = file.Close() }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG { // another one by now
		return nil, false
	}
	text, err := io.ReadAll(io.LimitReader(file, int64(h.bytes)+1))
	return text, err == nil
}
