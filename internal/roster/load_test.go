//go:build unix

package roster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"stint/internal/access"
)

// TestLoad reads a file that only its owner can have written, and no other.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "roster.yaml")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	check(os.WriteFile(path, []byte(written(t)), 0o644))
	if _, err := Load(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o664, 0o646, 0o666} {
		check(os.Chmod(path, mode))
		if _, err := Load(path); !errors.Is(err, access.Denied) {
			t.Errorf("%o: %v", mode, err)
		}
	}
	check(os.Chmod(path, 0o600))
	check(os.Chmod(dir, 0o777))
	if _, err := Load(path); !errors.Is(err, access.Denied) {
		t.Errorf("in a folder that all can write: %v", err)
	}
	check(os.Chmod(dir, 0o755))
	if _, err := Load(path); err != nil {
		t.Error(err)
	}
	link := filepath.Join(dir, "link.yaml")
	check(os.Symlink(path, link))
	if _, err := Load(link); err == nil {
		t.Error("a link was followed")
	}
	if _, err := Load(dir); err == nil {
		t.Error("a folder was read")
	}
	if os.Geteuid() == 0 {
		check(os.Chown(path, 12345, 0))
		if _, err := Load(path); !errors.Is(err, access.Denied) {
			t.Errorf("another's file: %v", err)
		}
	}
}
