package wholefile_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"stint/internal/wholefile"
)

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := wholefile.Write(path, []byte("new")); err != nil || content(t, path) != "new" {
		t.Fatalf("%v, %q", err, content(t, path))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: others can read it", info.Mode(), err)
	}
	broken := errors.New("broken off")
	err := wholefile.Replace(path, func(f *os.File) error {
		_, _ = f.WriteString("half")
		if content(t, path) != "new" {
			t.Error("half of it has the name already")
		}
		return broken
	})
	if !errors.Is(err, broken) || content(t, path) != "new" {
		t.Errorf("%v, %q", err, content(t, path))
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left beside it: %v, %v", left, err)
	}
}

// A name that is a folder cannot be replaced; nothing of the attempt stays.
func TestReplaceFolder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "folder")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := wholefile.Write(path, []byte("x")); err == nil {
		t.Error("no error")
	}
	if err := wholefile.Write(filepath.Join(dir, "missing", "x"), nil); err == nil {
		t.Error("no error without a folder")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}
