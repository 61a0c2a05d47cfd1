package module

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestCheck: what others could exchange is not run, at whatever place of its path.
func TestCheck(t *testing.T) {
	if at, err := Library("/etc/passwd"); err != nil || at != "/etc/passwd" { // any file of root's on a way of root's
		t.Fatal(at, err)
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
	if _, err := Program(file("ours", 0o755)); err != nil {
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
	between, round := filepath.Join(dir, "between"), filepath.Join(dir, "round")
	if err := errors.Join(os.Symlink(safe, between), os.Symlink(round, round), os.Symlink("ours", filepath.Join(dir, "near")), os.Symlink("../"+filepath.Base(dir)+"/near", filepath.Join(dir, "far"))); err != nil {
		t.Fatal(err)
	}
	want, err := filepath.EvalSymlinks(filepath.Join(dir, "ours"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ours", "near", "far", "./loose/../far"} {
		at, err := Program(dir + "/" + name)
		switch {
		case name[0] == '.' && err == nil:
			t.Error("a way through a folder of all, and back, is accepted")
		case name[0] != '.' && (err != nil || at != want):
			t.Errorf("%s: %q, %v", name, at, err)
		}
	}
	for name, path := range map[string]string{
		"of the group":              file("group", 0o775),
		"of all":                    file("all", 0o757),
		"in a folder of all":        loose,
		"a link into such a folder": link,
		"a link in such a folder":   safe,
		"a link to such a link":     between,
		"a link to itself":          round,
		"below a file":              filepath.Join(dir, "ours", "x"),
		"a folder":                  dir,
		"nothing":                   filepath.Join(dir, "none"),
		"not a program":             file("text", 0o644),
		"no full path":              "module.so",
		"nothing at all":            "",
	} {
		if at, err := Program(path); err == nil || at != "" {
			t.Errorf("%s: accepted", name)
		}
	}
	theirs := file("theirs", 0o755)
	if os.Geteuid() == 0 { // else it is not root's, which is enough for a library
		if err := os.Chown(theirs, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if _, err := Program(theirs); err == nil {
			t.Error("a program of somebody else is accepted")
		}
	}
	if _, err := Library(theirs); err == nil {
		t.Error("a library of somebody else is accepted")
	}
}
