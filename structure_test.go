package stint

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPackageComments checks that every package says what it is.
func TestPackageComments(t *testing.T) {
	for _, p := range list(t) {
		if p.ImportPath == "stint" || len(p.GoFiles) == 0 {
			continue
		}
		var doc string
		for _, f := range p.GoFiles {
			tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if tree.Doc != nil {
				doc += tree.Doc.Text()
			}
		}
		words := len(strings.Fields(doc))
		if words < 15 {
			t.Errorf("%s: its package comment has %d words; say what it does, what it does not, and its invariants", p.ImportPath, words)
		}
	}
}

// TestSecretsDoNotPrint checks that every type of ours whose name says that it
// is secret has all the methods by which a value could turn into text.
func TestSecretsDoNotPrint(t *testing.T) {
	for _, p := range list(t) {
		methods := map[string]map[string]bool{}
		var secrets []string
		for _, f := range p.GoFiles {
			tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range tree.Decls {
				switch d := d.(type) {
				case *ast.GenDecl:
					for _, s := range d.Specs {
						ts, ok := s.(*ast.TypeSpec)
						if !ok || !secretName(ts.Name.Name) {
							continue
						}
						if _, address := ts.Type.(*ast.FuncType); !address { // fmt prints of a function where it is
							secrets = append(secrets, ts.Name.Name)
						}
					}
				case *ast.FuncDecl:
					if d.Recv != nil && len(d.Recv.List) == 1 {
						name := receiver(d.Recv.List[0].Type)
						if methods[name] == nil {
							methods[name] = map[string]bool{}
						}
						methods[name][d.Name.Name] = true
					}
				}
			}
		}
		for _, s := range secrets {
			if !methods[s]["Format"] {
				t.Errorf("%s.%s holds a secret and lacks the method Format that hides it from fmt", p.ImportPath, s)
			}
			// On the wire, and only there, a secret is written out.
			if !methods[s]["MarshalText"] && p.ImportPath != "stint/internal/api" {
				t.Errorf("%s.%s holds a secret and lacks the method MarshalText that hides it from encoders", p.ImportPath, s)
			}
		}
	}
}

func secretName(s string) bool {
	l := strings.ToLower(s)
	return strings.HasSuffix(l, "secret") || strings.HasSuffix(l, "password")
}

func receiver(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}

// TestNoCrowdedRooms keeps files small enough to be read in one go.
func TestNoCrowdedRooms(t *testing.T) {
	const most = 700
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_templ.go") { // read as .templ
			return err
		}
		text, err := os.ReadFile(path)
		if n := strings.Count(string(text), "\n"); n > most {
			t.Errorf("%s has %d lines; is it still one idea?", path, n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSampledUnderRace checks that `make test` runs whole, in its rest, exactly what
// the race detector runs only a part of. Otherwise a part would never be run.
func TestSampledUnderRace(t *testing.T) {
	made, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(made), "\\\n", "")
	list := func(name string) []string {
		_, after, ok := strings.Cut(text, "\n"+name+" ")
		_, after, assigned := strings.Cut(after, ":= ")
		line, _, ended := strings.Cut(after, "\n")
		if !ok || !assigned || !ended {
			t.Fatalf("the Makefile has no line %s :=", name)
		}
		return strings.Fields(line)
	}
	sampled := list("SAMPLED")
	slices.Sort(sampled)
	var found []string
	for _, folder := range list("RACED") {
		folder, deep := strings.CutSuffix(folder, "/...")
		folder = filepath.Clean(folder)
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && path != folder && !deep {
				return cmp.Or(err, fs.SkipDir)
			}
			if !d.IsDir() && strings.HasSuffix(path, "_test.go") {
				found = append(found, testsThatAskShort(t, path)...)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(found)
	if found = slices.Compact(found); !slices.Equal(found, sampled) {
		t.Errorf("the race detector runs only a part of %v, and `make rest` runs whole %v; mend SAMPLED in the Makefile", found, sampled)
	}
}

// testsThatAskShort lists the tests of a file that do less in a short run.
func testsThatAskShort(t *testing.T, path string) (names []string) {
	tree, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok { // rapid draws a fifth of its examples in a short run
				if x, ok := s.X.(*ast.Ident); ok && (x.Name == "testing" && s.Sel.Name == "Short" || x.Name == "rapid" && s.Sel.Name == "Check") {
					names = append(names, f.Name.Name)
				}
			}
			return true
		})
	}
	return names
}
