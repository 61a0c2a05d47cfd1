package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"stint/internal/wholefile"
)

// maxFile is far above any number of rotations.
const maxFile = 64 << 10

// Create makes a new seal key and its file, which nobody but the owner can read.
// A file that exists is left alone, and the error is then fs.ErrExist: of several
// processes that start at once one creates, and the others Open.
//
// Losing the file is losing what was sealed: never Create because Open failed with
// anything but fs.ErrNotExist, nor where sealed values exist already.
func Create(path string) (*Keys, error) {
	ring := []sealKey{newSealKey()}
	// The link gives the finished file its name at once, and gives no name twice.
	temp, err := writeTemp(filepath.Dir(path), encodeText(ring))
	if err != nil {
		return nil, cannotWrite(path, err)
	}
	err = os.Link(temp, path)
	if errors.Is(err, fs.ErrExist) {
		err = &Error{
			Message: "the seal key file " + path + " exists already",
			Why:     "what was sealed with it could not be opened any more",
			Next:    "use it; to start afresh, move it away together with the data",
			Cause:   err,
		}
	} else if err != nil {
		err = cannotWrite(path, err)
	}
	if err = errors.Join(err, os.Remove(temp), wholefile.SyncFolder(filepath.Dir(path))); err != nil {
		return nil, err
	}
	return newKeys(path, ring, nil), nil
}

func cannotWrite(path string, cause error) error {
	return &Error{
		Message: "cannot write the seal key file " + path,
		Next:    "choose a place that this user may write to, on a disk that holds Unix files",
		Cause:   cause,
	}
}

// Open reads a seal key file, after checking that nobody else can read it or could
// have put it there. When there is none, the error is fs.ErrNotExist. Keys that are
// wrapped are opened by the one of ws that wrapped them.
func Open(path string, ws ...Wrapper) (*Keys, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	ring, err := parseText(text)
	if err != nil {
		return nil, &Error{
			Message: "the seal key file " + path + " is damaged",
			Why:     err.Error(),
			Next:    "put the right file back from where it is kept safe; what was sealed with it cannot be opened otherwise",
		}
	}
	if err := unwrap(path, ring, ws); err != nil {
		return nil, err
	}
	return newKeys(path, ring, ws), nil
}

// read looks at the open file, not at its name, so that what was checked is what
// is read.
func read(path string) ([]byte, error) {
	// Without O_NONBLOCK the opening of a named pipe would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, &Error{Message: "cannot open the seal key file", Next: "check the path, and that this user may read the file", Cause: err}
	}
	defer func() { _ = f.Close() }() // only read
	if err := checkFile(f, path); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it is longer than %d bytes", maxFile)
	}
	if err != nil {
		return nil, &Error{Message: "cannot read the seal key file " + path, Cause: err}
	}
	return text, nil
}

// Rotate makes a new key the current one; older keys remain to open what they
// sealed. The caller then seals again whatever is not Current, and once nothing is
// left, the administrator may remove the old lines. Replicas open what the new key
// seals only after they have opened the new file.
//
// The new key is wrapped by what wraps the one before.
func (k *Keys) Rotate() error {
	return k.replace(func(old []sealKey) ([]sealKey, error) {
		fresh, by := newSealKey(), old[0].by
		if by != "" {
			w, _ := wrapperOf(k.wrappers, by) // it opened the one before
			var err error
			if fresh, err = fresh.wrappedBy(w); err != nil {
				return nil, cannotWrap(k.path, w, err)
			}
		}
		return append([]sealKey{fresh}, old...), nil
	})
}

// replace puts another ring into the file, which follows from the one that is there.
func (k *Keys) replace(change func(old []sealKey) ([]sealKey, error)) error {
	// A link to the key stays a link.
	path, err := filepath.EvalSymlinks(k.path)
	if err != nil {
		return cannotWrite(k.path, err)
	}
	// The new file is also the lock, from before we look at the old one: of two
	// at once, the second to write would drop the first one's key.
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &Error{
			Message: "the seal key file " + path + " is being replaced",
			Why:     next + " exists",
			Next:    "wait for the other one who does; if it died, remove " + next,
			Cause:   err,
		}
	} else if err != nil {
		return cannotWrite(next, err)
	}
	old := *k.ring.Load()
	if err := unchanged(path, old); err != nil {
		return errors.Join(err, f.Close(), os.Remove(next))
	}
	ring, err := change(old)
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(next))
	}
	if err := fill(f, encodeText(ring)); err != nil {
		return errors.Join(cannotWrite(next, err), os.Remove(next))
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(cannotWrite(path, err), os.Remove(next))
	}
	// From here on the new ring is in the file: use it, whatever the disk says next.
	k.ring.Store(&ring)
	if err := wholefile.SyncFolder(filepath.Dir(path)); err != nil {
		return cannotWrite(path, err)
	}
	return nil
}

// unchanged checks that the file still holds what we read from it.
func unchanged(path string, ring []sealKey) error {
	text, err := read(path)
	if err != nil {
		return err
	}
	defer clear(text)
	want := encodeText(ring)
	defer clear(want)
	if !bytes.Equal(bytes.TrimSuffix(text, []byte("\n")), bytes.TrimSuffix(want, []byte("\n"))) {
		return &Error{
			Message: "the seal key file " + path + " has changed since it was opened",
			Why:     "rotating now would drop a key that somebody else added",
			Next:    "restart the server, then rotate",
		}
	}
	return nil
}

// writeTemp makes a file in dir with a name that nothing has.
func writeTemp(dir string, text []byte) (string, error) {
	f, err := os.CreateTemp(dir, ".seal-key-*") // 0600
	if err != nil {
		return "", err
	}
	if err := fill(f, text); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// fill writes to the disk, not only to the system, and closes.
func fill(f *os.File, text []byte) error {
	_, err := f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
