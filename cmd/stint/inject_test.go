package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stint/internal/api"
)

// TestInjectionSaysNoSecret: whatever goes wrong with a template, no error says what the
// credential is; and nothing is written of a set of files one of which cannot be made.
func TestInjectionSaysNoSecret(t *testing.T) {
	got := api.Credential{Type: "postgres", Username: "u", Password: "canary-password", URI: "postgres://u:canary-password@h/d", Host: "h", Port: 1, Database: "d"}
	for name, text := range map[string]string{
		"missing": `{{.ca}}`,
		"method":  `{{.password.Foo}}`,
		"index":   `{{index .password "x"}}`,
		"slice":   `{{slice .password 0 9999}}`,
		"call":    `{{call .password}}`,
		"compare": `{{lt .password 1}}`,
		"printf":  `{{template "x"}}`,
	} {
		path := filepath.Join(t.TempDir(), "t.tmpl")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h := injecting{overlap: "30s", files: []string{"first=password"}, templates: []string{path + ":second"}}
		in, err := h.read()
		if err == nil {
			if err = in.open(t.TempDir()); err != nil {
				t.Fatal(err)
			}
			err = in.write(got)
			if _, there := os.Stat(filepath.Join(in.folder, "first")); there == nil {
				t.Errorf("%s: half of the files were written", name)
			}
		}
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestInjectedFilesAreReplacedWhole: a second credential takes the place of the first in
// every file, nothing else is left beside them, and all goes at the end.
func TestInjectedFilesAreReplacedWhole(t *testing.T) {
	base, other := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere")
	h := injecting{overlap: "30s", files: []string{"password=password", other + "=username"}}
	in, err := h.read()
	if err != nil {
		t.Fatal(err)
	}
	if err := in.open(base); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"one", "another"} {
		if err := in.write(api.Credential{Username: "u-" + p, Password: api.Secret(p)}); err != nil {
			t.Fatal(err)
		}
		for at, want := range map[string]string{filepath.Join(in.folder, "password"): p, other: "u-" + p} {
			text, err := os.ReadFile(at)
			if err != nil || string(text) != want {
				t.Errorf("%s is %q (%v), want %q", at, text, err, want)
			}
		}
		if left, _ := os.ReadDir(in.folder); len(left) != 1 {
			t.Errorf("%d files in the folder", len(left))
		}
	}
	if err := in.close(); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{in.folder, other} {
		if _, err := os.Lstat(at); !os.IsNotExist(err) {
			t.Errorf("%s is there still: %v", at, err)
		}
	}
}

// TestFilesOfTwoCredentials: where one of several files cannot be changed, none is.
func TestFilesOfTwoCredentials(t *testing.T) {
	out := t.TempDir()
	first, second := filepath.Join(out, "first"), filepath.Join(out, "second")
	h := injecting{overlap: "30s", files: []string{"own=password", first + "=password", second + "=username"}}
	in, err := h.read()
	if err != nil {
		t.Fatal(err)
	}
	if err := in.open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(in.folder, "own")
	look := func(when string, want map[string]string) {
		t.Helper()
		for at, text := range want {
			if got, err := os.ReadFile(at); text != "" && (err != nil || string(got) != text) || text == "" && !os.IsNotExist(err) {
				t.Errorf("%s: %s is %q (%v), want %q", when, at, got, err, text)
			}
		}
		for _, dir := range []string{out, in.folder} {
			if left, _ := filepath.Glob(filepath.Join(dir, ".stint-*")); len(left) > 0 {
				t.Errorf("%s: left are %q", when, left)
			}
		}
	}
	in2 := *in // of which the last cannot be changed: a folder is in its place
	in2.placed = append(append([]placed{}, in.placed...), placed{flag: "file", at: filepath.Join(out, "folder"), field: "username"})
	if err := os.MkdirAll(filepath.Join(out, "folder", "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := in2.write(api.Credential{Username: "u-none", Password: "none"}); err == nil {
		t.Fatal("a folder was replaced")
	}
	look("at first", map[string]string{own: "", first: "", second: ""})
	if err := in.write(api.Credential{Username: "u-one", Password: "one"}); err != nil {
		t.Fatal(err)
	}
	one := map[string]string{own: "one", first: "one", second: "u-one"}
	look("then", one)
	if err := in2.write(api.Credential{Username: "u-two", Password: "two"}); err == nil {
		t.Fatal("a folder was replaced")
	}
	look("with a folder in the way", one)

	// The last of the changes fails, after the others were made.
	changes := make([]change, 2)
	for i, at := range []string{first, second} {
		if changes[i], err = prepare(at, []byte("three")); err != nil {
			t.Fatal(err)
		}
	}
	if err := changes[0].do(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(first); err != nil || string(got) != "three" {
		t.Errorf("between: %q, %v", got, err)
	}
	for _, x := range changes {
		x.over(true)
	}
	look("back", one)
	if err := in.close(); err != nil {
		t.Fatal(err)
	}
	look("at the end", map[string]string{first: "", second: ""})
}
