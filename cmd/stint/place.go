package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// change is a file that takes the place of another at once, and can go back.
type change struct {
	at           string
	next, former string // files beside it; empty: none
	done         bool
}

// prepare writes what is to come, and a copy of what is there, beside a file: what can fail for
// want of room fails here, and nothing has changed.
func prepare(at string, text []byte) (x change, err error) {
	x.at = at
	before, err := os.ReadFile(at)
	defer clear(before)
	switch {
	case err == nil:
		if x.former, err = beside(at, before); err != nil {
			return x, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return x, err
	}
	x.next, err = beside(at, text)
	return x, err
}

// do changes the file.
func (x *change) do() error {
	if err := os.Rename(x.next, x.at); err != nil {
		return err
	}
	x.next, x.done = "", true
	return nil
}

// over takes away what is not needed any more; back: the file is again what it was.
func (x change) over(back bool) {
	switch {
	case back && x.done && x.former != "":
		if os.Rename(x.former, x.at) == nil {
			x.former = ""
		}
	case back && x.done:
		_ = os.Remove(x.at)
	}
	for _, left := range []string{x.next, x.former} {
		if left != "" {
			_ = os.Remove(left)
		}
	}
}

// beside writes a file that its owner alone can read beside another, whole or not at all.
func beside(at string, text []byte) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(at), ".stint-*") // of mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if end := f.Close(); err == nil {
		err = end
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// A place is where a file is put that is not in the command's own folder. Nothing that is
// there already is replaced, but what a run left that was killed: its lock file lies beside
// it, and nobody holds it.
var (
	errPlaceTaken = errors.New("there is something already, or its folder cannot be read")
	errPlaceHeld  = errors.New("another stint run that goes on has its file there")
)

// lockName is the lock file of a place, beside it.
func lockName(at string) string {
	return filepath.Join(filepath.Dir(at), "."+filepath.Base(at)+".stint-lock")
}

// empty reports whether nothing is at a place.
func empty(at string) bool {
	_, err := os.Lstat(at)
	return errors.Is(err, fs.ErrNotExist)
}
