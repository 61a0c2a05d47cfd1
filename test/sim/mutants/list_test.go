package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMutantsApplyAndCompile checks every mutant's source against the tree as it
// is: the text is there, and what comes out is a Go package.
func TestMutantsApplyAndCompile(t *testing.T) {
	root := "../../.."
	c := newChecker(t, root)
	names := map[string]bool{}
	for _, m := range mutants {
		if names[m.name] || m.from == "" {
			t.Errorf("%s: a mutant has a name of its own and says where it comes from", m.name)
		}
		names[m.name] = true
		files, err := m.sources(root)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, err := range c.check(files) {
			t.Errorf("%s does not compile: %v", m.name, err)
		}
	}
	if len(mutants) < 30 {
		t.Errorf("%d mutants, want at least 30", len(mutants))
	}
}

// TestStaleTextIsAnError: a mutant that applies nowhere would be caught by nobody.
func TestStaleTextIsAnError(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "f.go"), []byte("a b a"), 0o600); err != nil {
		t.Fatal(err)
	}
	for old, ok := range map[string]bool{"b": true, "a": false, "c": false} {
		_, err := mutant{name: "x", edits: one("f.go", old, "d")}.sources(root)
		if (err == nil) != ok {
			t.Errorf("%q: %v", old, err)
		}
	}
	if _, err := (mutant{name: "x", edits: one("f.go", "b", "b")}).sources(root); err == nil {
		t.Error("an edit that changes nothing passes")
	}
}

// checker type-checks packages of the tree with some files replaced.
type checker struct {
	root    string
	fset    *token.FileSet
	imports types.Importer
	files   map[string][]string // of each folder
}

func newChecker(t *testing.T, root string) *checker {
	t.Helper()
	out, err := exec.Command("go", "list", "-C", root, "-export", "-deps", "-json=ImportPath,Export,Dir,GoFiles,Standard", "./internal/broker").Output()
	if err != nil {
		t.Fatal(err)
	}
	c := &checker{root: root, fset: token.NewFileSet(), files: map[string][]string{}}
	exports := map[string]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Export, Dir string
			GoFiles                 []string
			Standard                bool
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if folder, ours := strings.CutPrefix(p.ImportPath, "stint/"); ours && !p.Standard {
			c.files[folder] = p.GoFiles
		}
	}
	c.imports = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return c
}

// check gives the errors of the packages whose files were changed.
func (c *checker) check(changed map[string]string) (errs []error) {
	folders := map[string]bool{}
	for file := range changed {
		folders[filepath.Dir(file)] = true
	}
	for folder := range folders {
		var parsed []*ast.File
		for _, name := range c.files[folder] {
			var source any
			if text, ok := changed[folder+"/"+name]; ok {
				source = text
			}
			f, err := parser.ParseFile(c.fset, filepath.Join(c.root, folder, name), source, parser.SkipObjectResolution)
			if err != nil {
				return append(errs, err)
			}
			parsed = append(parsed, f)
		}
		if len(parsed) == 0 {
			return append(errs, errors.New(folder+" is not part of the broker"))
		}
		conf := types.Config{Importer: c.imports, Error: func(err error) { errs = append(errs, err) }}
		_, _ = conf.Check("stint/"+folder, c.fset, parsed, nil)
	}
	return errs
}
