package module

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCheck: what others could exchange is not run, at whatever place of its path.
func TestCheck(t *testing.T) {
	if err := Library("/etc/passwd"); err != nil { // any file of root's on a way of root's
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := Program(file("ours", 0o755)); err != nil {
		t.Errorf("our own: %v", err)
	}
	loose := file("loose/program", 0o755)
	if err := os.Chmod(filepath.Dir(loose), 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(loose, link); err != nil {
		t.Fatal(err)
	}
	safe := filepath.Join(filepath.Dir(loose), "safe")
	if err := os.Symlink(file("ours", 0o755), safe); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"of the group":              file("group", 0o775),
		"of all":                    file("all", 0o757),
		"in a folder of all":        loose,
		"a link into such a folder": link,
		"a link in such a folder":   safe,
		"a folder":                  dir,
		"nothing":                   filepath.Join(dir, "none"),
		"not a program":             file("text", 0o644),
		"no full path":              "module.so",
		"nothing at all":            "",
	} {
		if err := Program(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	theirs := file("theirs", 0o755)
	if os.Geteuid() == 0 { // else it is not root's, which is enough for a library
		if err := os.Chown(theirs, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if Program(theirs) == nil {
			t.Error("a program of somebody else is accepted")
		}
	}
	if Library(theirs) == nil {
		t.Error("a library of somebody else is accepted")
	}
}
