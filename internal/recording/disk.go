package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stint/internal/wholefile"
)

// Disk is a Store in a folder.
type Disk struct{ dir string }

// NewDisk keeps things in a folder, which is made if it is not there.
func NewDisk(dir string) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &Error{Message: "cannot keep recordings in " + dir, Next: "choose a folder that this user may make", Cause: err}
	}
	return &Disk{dir}, nil
}

func (d *Disk) Put(ctx context.Context, name string, size int64, r io.ReadSeeker) error {
	if !validObject(name) {
		return errObject(name)
	}
	path := filepath.Join(d.dir, name)
	if _, err := os.Lstat(path); err == nil {
		return ErrExists
	}
	f, err := os.CreateTemp(d.dir, "."+name+".*") // 0600
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(cancellable{ctx, r}, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("%s has %d bytes, and %d were said", name, n, size)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil { // unlike a rename, a link never replaces
		err = os.Link(f.Name(), path)
	}
	err = errors.Join(err, os.Remove(f.Name()))
	if errors.Is(err, fs.ErrExist) {
		return ErrExists
	}
	return errors.Join(err, wholefile.SyncFolder(d.dir))
}

func (d *Disk) Get(_ context.Context, name string) (io.ReadCloser, error) {
	if !validObject(name) {
		return nil, errObject(name)
	}
	f, err := os.Open(filepath.Join(d.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	return f, err
}

func (d *Disk) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		entries, err := os.ReadDir(d.dir)
		if err != nil {
			yield(Object{}, err)
			return
		}
		// In the order of the names' bytes, as other stores have it.
		slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
		for _, e := range entries {
			if !validObject(e.Name()) || !strings.HasPrefix(e.Name(), prefix) {
				continue
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) { // meanwhile
				continue
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Object{}, err)
				return
			}
			if !yield(Object{e.Name(), info.Size(), info.ModTime()}, nil) {
				return
			}
		}
	}
}

func (d *Disk) Delete(_ context.Context, name string) error {
	if !validObject(name) {
		return errObject(name)
	}
	if err := os.Remove(filepath.Join(d.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return wholefile.SyncFolder(d.dir)
}
