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
	"slices"
	"strings"
	"testing"
)

// TestMutantsApplyAndCompile checks every mutant's source against the tree as it
// is: the text is there, and what comes out is a Go package.
func TestMutantsApplyAndCompile(t *testing.T) {
	root := "../../.."
	names := map[string]bool{}
	for _, m := range all() {
		if names[m.name] || m.from == "" {
			t.Errorf("%s: a mutant has a name of its own and says where it comes from", m.name)
		}
		names[m.name] = true
		if _, err := m.sources(root); err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		return
	}
	w, err := weave(root, all())
	if err != nil {
		t.Fatal(err)
	}
	c := newChecker(t, root)
	for _, err := range c.check(w.files) { // all at once: they are functions beside each other
		t.Error(err)
	}
	for _, m := range w.alone {
		files, err := m.sources(root)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range c.check(files) {
			t.Errorf("%s does not compile: %v", m.name, err)
		}
	}
	if len(all()) < 50 {
		t.Errorf("%d mutants, want at least 50", len(all()))
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
		names := slices.Clone(c.files[folder])
		for file := range changed {
			if name := filepath.Base(file); filepath.Dir(file) == folder && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		for _, name := range names {
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

// TestWeave: each function of a mutant stands beside the one of the tree, and only
// the one that is named is awake.
func TestWeave(t *testing.T) {
	root := t.TempDir()
	text := "package p\n\ntype T struct{}\n\nfunc (T) f(_ int, more ...string) (n int) { return 1 }\n\nfunc g() { println(1) }\n\nconst c = 1\n"
	if err := os.WriteFile(filepath.Join(root, "f.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := weave(root, []mutant{{name: "two", edits: one("f.go", "return 1", "return 2")}, {name: "three", edits: one("f.go", "return 1", "return 3")},
		{name: "loud", edits: one("f.go", "println(1)", "println(2)")}, {name: "other", edits: one("f.go", "c = 1", "c = 2")}})
	if err != nil {
		t.Fatal(err)
	}
	if len(w.alone) != 1 || w.alone[0].name != "other" {
		t.Errorf("a constant is no function: %v", w.alone)
	}
	got := w.files["f.go"]
	for _, want := range []string{
		`func (planted_100 T) f(planted_0 int, more ...string) (n int) { if planted_ == "two" { return planted_100.f_planted0(planted_0, more...) };`,
		`if planted_ == "three" { return planted_100.f_planted1(planted_0, more...) };`, "func (T) f_planted0(_ int, more ...string) (n int) { return 2 }",
		`func g() { if planted_ == "loud" { g_planted2(); return };  println(1) }`, "func g_planted2() { println(2) }",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
	if _, err := parseWeaving("f.go", got); err != nil {
		t.Error(err)
	}
}

// TestDeletable: what does something can be taken away, what only speaks or hands an
// error on cannot.
func TestDeletable(t *testing.T) {
	x, err := parseWeaving("f.go", "package p\n\nfunc f() {\n\tact()\n\tb.Log.Info(1)\n\tx := 1\n\tx = 2\n\tif err != nil {\n\t\treturn\n\t}\n\tif y := g(); y {\n\t\treturn\n\t}\n\tfor i = 0; i < 1; i = 2 {\n\t}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, d := range x.deletable() {
		lines = append(lines, d.line)
		x.at = append(x.at, d.before(strings.Repeat("x", d.line))...)
	}
	if !slices.Equal(lines, []int{4, 7, 11}) {
		t.Errorf("lines %v can be deleted, want 4, 7 and 11", lines)
	}
	if _, err := parseWeaving("f.go", x.weave()); err != nil {
		t.Errorf("%v in\n%s", err, x.weave())
	}
}

// TestDeletableWithWhatItCalls: an if goes with what it calls, a case does not hold any
// more, and what is deferred is not done.
func TestDeletableWithWhatItCalls(t *testing.T) {
	x, err := parseWeaving("f.go", "package p\n\nfunc f() {\n\tif err := look(); err != nil {\n\t\treturn err\n\t}\n\tswitch {\n\tcase a, b:\n\tdefault:\n\t}\n\tdefer watch()()\n\tdefer mu.Unlock()\n\tswitch v {\n\tcase 1:\n\t}\n\tn--\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range x.deletable() {
		got = append(got, d.fn+" "+d.text)
		x.at = append(x.at, d.before("here")...)
	}
	if want := []string{"f if err := look(); err != nil {", "f case a, b:", "f defer watch()()", "f n--"}; !slices.Equal(got, want) {
		t.Errorf("%q can be deleted, want %q", got, want)
	}
	text := x.weave()
	if _, err := parseWeaving("f.go", text); err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
	if want := `case planted_ != "here" && (a), planted_ != "here" && (b):`; !strings.Contains(text, want) {
		t.Errorf("%s is not in\n%s", want, text)
	}
}

// TestProtectiveFilesCanBeWoven: with every statement of the protective files asleep by
// its place they are Go, and each excuse is for a line that is there.
func TestProtectiveFilesCanBeWoven(t *testing.T) {
	root := "../../.."
	woven, used := map[string]string{}, map[excuse]bool{}
	n := 0
	for _, file := range protective {
		x, err := readWeaving(root, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range x.deletable() {
			x.at = append(x.at, d.before(file)...)
			n++
			if e, ok := excuseFor(short(file), d); ok {
				used[e] = true
			}
		}
		woven[file] = x.weave()
		woven[filepath.Dir(file)+"/planted.go"] = "package " + x.syntax.Name.Name + "\n\nvar planted_ string\n"
	}
	for _, err := range newChecker(t, root).check(woven) {
		t.Error(err)
	}
	for _, e := range excused {
		if !used[e] {
			t.Errorf("%s is excused for %q, and that line is not there", e.where, e.line)
		}
		if e.why == "" || e.line == "" {
			t.Errorf("%s: %q is excused without a reason, or whatever it is", e.where, e.line)
		}
	}
	if n < 200 {
		t.Errorf("%d statements can be deleted in %d files", n, len(protective))
	}
}

// TestBaselineIsOfTheseSources: what is known of a tree is not believed of another.
func TestBaselineIsOfTheseSources(t *testing.T) {
	root := filepath.Join(t.TempDir(), "mutants") // a name that the tree has, too
	write := func(file, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Join(root, filepath.Dir(file)), 0o700), os.WriteFile(filepath.Join(root, file), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum", "internal/a.go", "test/sim/b.go", "test/sim/mutants/c.go"} {
		write(file, "1")
	}
	known := func() string {
		t.Helper()
		name, err := (&runner{root: root}).knownBaseline()
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	before := known()
	write("test/sim/mutants/c.go", "2")
	if known() != before {
		t.Error("the list of mutants says nothing of the product")
	}
	for _, file := range []string{"internal/a.go", "test/sim/b.go"} {
		was := known()
		write(file, "2")
		if known() == was {
			t.Errorf("%s has changed, and what was known is still believed", file)
		}
	}
}
