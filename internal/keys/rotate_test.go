package keys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestRotate(t *testing.T) {
	path := fileWith(t, 1)
	k := must(Open(path))
	old := must(k.Seal("p", "x", []byte("old")))
	if !k.Current(old) {
		t.Error("what was just sealed is not current")
	}
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	if k.Current(old) {
		t.Error("after Rotate the old value is still current")
	}
	renewed := must(k.Seal("p", "x", []byte("new")))
	if !k.Current(renewed) {
		t.Error("sealed by an old key after Rotate")
	}
	for name, k := range map[string]*Keys{"the same": k, "from the file": must(Open(path))} {
		for want, sealed := range map[string][]byte{"old": old, "new": renewed} {
			if got, err := k.Open("p", "x", sealed); err != nil || string(got) != want {
				t.Errorf("%s: opened %q, %v; want %q", name, got, err, want)
			}
		}
	}
	if _, err := ringOf(1).Open("p", "x", renewed); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("with the old file: %v", err)
	}

	text := must(os.ReadFile(path))
	if !strings.HasSuffix(string(text), line(1)) || strings.Count(string(text), "\n") != 2 {
		t.Error("the file does not hold the new key and then the old one")
	}
	if mode := must(os.Stat(path)).Mode(); mode != 0o600 {
		t.Errorf("mode %v, want 0600", mode)
	}
	if left := must(os.ReadDir(filepath.Dir(path))); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if k.Current(nil) || k.Current(renewed[:overhead-1]) {
		t.Error("a fragment is current")
	}
}

// The last line may lack its newline; Rotate must not join two lines.
func TestRotateWithoutFinalNewline(t *testing.T) {
	path := fileWith(t)
	write(strings.TrimSuffix(line(1), "\n"))(t, path)
	if err := must(Open(path)).Rotate(); err != nil {
		t.Fatal(err)
	}
	if n := len(*must(Open(path)).ring.Load()); n != 2 {
		t.Errorf("%d keys in the file, want 2", n)
	}
}

func TestRotateKeepsALink(t *testing.T) {
	path := fileWith(t, 1)
	link(t, path, t.TempDir())
	if err := must(Open(path)).Rotate(); err != nil {
		t.Fatal(err)
	}
	if st := must(os.Lstat(path)); st.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link became a file")
	}
	if n := len(*must(Open(path)).ring.Load()); n != 2 {
		t.Errorf("%d keys behind the link, want 2", n)
	}
}

func TestRotateRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(t *testing.T, path string)
		want string
	}{
		{"another rotation", func(t *testing.T, path string) { write("")(t, path+".new") }, ".new exists"},
		{"the file has changed", func(t *testing.T, path string) { write(line(2))(t, path) }, "has changed"},
		{"a key was added", func(t *testing.T, path string) { write(line(2)+line(1))(t, path) }, "has changed"},
		{"the file is gone", func(t *testing.T, path string) { replace(t, path, func() error { return nil }) }, "no such file"},
		{"the file is open to others", chmod(0o644), "0644"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := fileWith(t, 1)
			k := must(Open(path))
			c.harm(t, path)
			before, _ := os.ReadFile(path)
			if err := k.Rotate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if after, _ := os.ReadFile(path); string(before) != string(after) {
				t.Error("the file was changed")
			}
			if k.current().id != ringOf(1).current().id {
				t.Error("a key that is not in the file became current")
			}
			if _, err := os.Stat(path + ".new"); c.name != "another rotation" && err == nil {
				t.Error("the new file was left behind and blocks the next rotation")
			}
		})
	}
}

// Whoever is told that the rotation worked finds his key in the file, for good.
func TestRotateAtOnce(t *testing.T) {
	path := fileWith(t, 1)
	var mu sync.Mutex
	var rotated []keyID
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 10 {
				k, err := Open(path)
				if err != nil {
					t.Error(err)
					return
				}
				if k.Rotate() == nil {
					mu.Lock()
					rotated = append(rotated, k.current().id)
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	k := must(Open(path))
	if len(rotated) == 0 || len(*k.ring.Load()) != len(rotated)+1 {
		t.Errorf("%d keys in the file after %d rotations", len(*k.ring.Load()), len(rotated))
	}
	for _, id := range rotated {
		if _, ok := k.find(id); !ok {
			t.Errorf("key %x is lost", id)
		}
	}
}
