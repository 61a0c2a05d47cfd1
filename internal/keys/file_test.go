package keys

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "stint.key")
	if _, err := Open(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("without a file: %v", err)
	}
	k, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	st := must(os.Stat(path))
	if st.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600", st.Mode())
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed := must(k.Seal("p", "x", []byte("text")))
	if got, err := again.Open("p", "x", sealed); err != nil || string(got) != "text" {
		t.Errorf("opened %q, %v", got, err)
	}

	before := must(os.ReadFile(path))
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	if !bytes.Equal(before, must(os.ReadFile(path))) {
		t.Error("the second Create changed the file")
	}
	other := must(Create(filepath.Join(dir, "other.key")))
	if other.current().id == k.current().id {
		t.Error("two new keys are the same")
	}
	if _, err := Create(filepath.Join(dir, "missing", "stint.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
	if left := must(os.ReadDir(dir)); len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCreateIgnoresUmask(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "stint.key")
	must(Create(path))
	if mode := must(os.Stat(path)).Mode(); mode != 0o600 {
		t.Errorf("mode %v, want 0600", mode)
	}
}

// Of replicas that start at once, one creates the key and all have the same.
func TestCreateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stint.key")
	var created []*Keys
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			k, err := Create(path)
			if err == nil {
				mu.Lock()
				created = append(created, k)
				mu.Unlock()
			} else if !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
			if _, err := Open(path); err != nil {
				t.Errorf("after Create: %v", err)
			}
		})
	}
	group.Wait()
	if len(created) != 1 || must(Open(path)).current().id != created[0].current().id {
		t.Errorf("%d created; want one, and its key in the file", len(created))
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string) // path is a good key file
		want string                          // part of the error; empty: opens
	}{
		{"0600", chmod(0o600), ""},
		{"0400", chmod(0o400), ""},
		{"group reads", chmod(0o640), "0640"},
		{"others read", chmod(0o604), "0604"},
		{"group writes", chmod(0o620), "0620"},
		{"others write", chmod(0o602), "0602"},
		{"others execute", chmod(0o601), "0601"},
		{"empty", write(""), "empty"},
		{"damaged", write("stint-seal-key-1:AQEB\n"), "line 1"},
		{"too long", write(strings.Repeat("x", maxFile+1)), "longer"},
		{"folder", func(t *testing.T, path string) { replace(t, path, func() error { return os.Mkdir(path, 0o700) }) }, "not a file"},
		{"pipe", func(t *testing.T, path string) {
			replace(t, path, func() error { return syscall.Mkfifo(path, 0o600) })
		}, "not a file"},
		{"folder open to all", func(t *testing.T, path string) { mode(t, filepath.Dir(path), 0o777) }, "everybody may write"},
		{"folder open to all and sticky", func(t *testing.T, path string) { mode(t, filepath.Dir(path), 0o777|fs.ModeSticky) }, ""},
		{"link", func(t *testing.T, path string) { link(t, path, t.TempDir()) }, ""},
		{"link to a folder open to all", func(t *testing.T, path string) {
			dir := t.TempDir()
			mode(t, dir, 0o777)
			link(t, path, dir)
		}, "everybody may write"},
		{"link in a folder open to all", func(t *testing.T, path string) {
			link(t, path, t.TempDir())
			mode(t, filepath.Dir(path), 0o777)
		}, "everybody may write"},
		{"link to a file open to all", func(t *testing.T, path string) {
			mode(t, path, 0o644)
			link(t, path, t.TempDir())
		}, "0644"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := fileWith(t, 1)
			c.make(t, path)
			_, err := Open(path)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v; want an Error that names the file and says %q", err, c.want)
			}
			if strings.Contains(err.Error(), "AQEB") {
				t.Errorf("the error shows the file's text: %v", err)
			}
		})
	}
}

func chmod(m fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) { mode(t, path, m) }
}

func mode(t *testing.T, path string, m fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, m); err != nil {
		t.Fatal(err)
	}
}

func write(text string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func replace(t *testing.T, path string, with func() error) {
	t.Helper()
	if err := errors.Join(os.Remove(path), with()); err != nil {
		t.Fatal(err)
	}
}

// link moves the file into dir and leaves a symbolic link.
func link(t *testing.T, path, dir string) {
	t.Helper()
	to := filepath.Join(dir, "moved.key")
	if err := errors.Join(os.Rename(path, to), os.Symlink(to, path)); err != nil {
		t.Fatal(err)
	}
}

func TestTrusted(t *testing.T) {
	for _, c := range []struct {
		uid, ours int
		want      bool
	}{{1000, 1000, true}, {0, 1000, true}, {0, 0, true}, {1000, 0, false}, {1001, 1000, false}} {
		if got := trusted(c.uid, c.ours); got != c.want {
			t.Errorf("trusted(%d, %d) = %v", c.uid, c.ours, got)
		}
	}
	// Only root can make a file of somebody else's.
	if os.Geteuid() == 0 {
		path := fileWith(t, 1)
		if err := os.Chown(path, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "uid 12345") {
			t.Errorf("somebody else's file: %v", err)
		}
	}
}
