package keys

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckPlace(t *testing.T) {
	root := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	for _, err := range []error{
		os.MkdirAll(at("data", "sub"), 0o700),
		os.MkdirAll(at("elsewhere"), 0o700),
		os.Symlink(at("data"), at("alias")),                                   // another name of the data folder
		os.Symlink(at("data", "sub"), at("elsewhere", "in")),                  // leads into it
		os.Symlink(at("elsewhere"), at("data", "out")),                        // leads out of it
		os.WriteFile(at("elsewhere", "real.key"), nil, 0o600),                 //
		os.Symlink(at("elsewhere", "real.key"), at("data", "link.key")),       // a name inside, a file outside
		os.Symlink(filepath.Join("data", "soon.key"), at("later.key")),        // leads to nothing yet, inside
		os.Symlink(filepath.Join("elsewhere", "soon.key"), at("outside.key")), // leads to nothing yet, outside
		os.Symlink(at("loop"), at("loop")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		key, data string
		ok        bool
	}{
		{"data.key", "data", true},
		{"data.key", "data/", true},
		{"data-key/x.key", "data", true},
		{"data/stint.key", "data", false},
		{"data/sub/stint.key", "data", false},
		{"data/new/deep/stint.key", "data", false},
		{"data/../data.key", "data", true},
		{"elsewhere/../data/stint.key", "data", false},
		{"data", "data", false},
		{"alias/stint.key", "data", false},
		{"data/stint.key", "alias", false},
		{"alias.key", "alias", true},
		{"elsewhere/in/stint.key", "data", false},
		{"data/out/stint.key", "data", true}, // what is behind a link is not copied with the folder
		{"data/link.key", "data", false},
		{"elsewhere/real.key", "data", true},
		{"later.key", "data", false},
		{"outside.key", "data", true},
		{"missing/stint.key", "missing", false},
		{"missing.key", "missing", true},
		{"stint.key", ".", false},
	} {
		err := CheckPlace(root+"/"+c.key, root+"/"+c.data)
		if (err == nil) != c.ok {
			t.Errorf("key %s, data %s: %v, want ok %v", c.key, c.data, err, c.ok)
		}
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Why == "" || !strings.Contains(e.Next, ".key")) {
			t.Errorf("key %s: the error does not say why and what next: %#v", c.key, err)
		}
	}
	if err := CheckPlace(at("loop"), at("data")); err == nil {
		t.Error("a link that leads to itself has a place")
	}
	if err := CheckPlace(at("data.key"), at("loop")); err == nil {
		t.Error("a data folder that leads to itself has a place")
	}

	t.Chdir(root)
	if err := CheckPlace("stint-data/k", "./stint-data"); err == nil {
		t.Error("relative names: inside was not seen")
	}
	if err := CheckPlace("stint-data.key", "stint-data"); err != nil {
		t.Errorf("relative names: %v", err)
	}
}

// A mount gives a folder a second name that no link tells of; here, a link that
// inside is not told of stands for it.
func TestInsideByAnotherName(t *testing.T) {
	root := t.TempDir()
	data, alias := filepath.Join(root, "data"), filepath.Join(root, "alias")
	if err := errors.Join(os.Mkdir(data, 0o700), os.Symlink(data, alias)); err != nil {
		t.Fatal(err)
	}
	if !inside(filepath.Join(alias, "new", "stint.key"), data) {
		t.Error("the second name of the data folder was not seen")
	}
	if inside(filepath.Join(root, "stint.key"), data) {
		t.Error("what is beside the data folder is inside")
	}
}
