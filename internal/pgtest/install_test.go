//go:build unix

package pgtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeInstall makes an installation with nothing in its programs.
func fakeInstall(t *testing.T, root, version string, programs ...string) string {
	t.Helper()
	bin := filepath.Join(root, version, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if err := os.WriteFile(filepath.Join(bin, p), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

func TestFindInstallTakesTheNewest(t *testing.T) {
	root := t.TempDir()
	fakeInstall(t, root, "9", "initdb", "postgres")
	want := fakeInstall(t, root, "15", "initdb", "postgres")
	fakeInstall(t, root, "16", "psql") // a client only
	fakeInstall(t, root, "old", "initdb", "postgres")
	in, err := findInstall(filepath.Join(root, "*", "bin"))
	if err != nil || in.bin != want {
		t.Errorf("found %q, %v; want %q", in.bin, err, want)
	}
}

func TestFindInstallFollowsPath(t *testing.T) {
	root := t.TempDir()
	want := fakeInstall(t, root, "real", "initdb", "postgres")
	links := t.TempDir()
	if err := os.Symlink(filepath.Join(want, "initdb"), filepath.Join(links, "initdb")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", links)
	in, err := findInstall(filepath.Join(t.TempDir(), "*"))
	if err != nil || in.bin != want {
		t.Errorf("found %q, %v; want %q", in.bin, err, want)
	}
}

func TestFindInstallNamesThePackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := findInstall(filepath.Join(t.TempDir(), "*"))
	if err == nil || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Errorf("got %v", err)
	}
}
