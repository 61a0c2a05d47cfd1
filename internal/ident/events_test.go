package ident_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// docs/reference/events.md lists every type of event that the code has, of all
// packages, and no other.
func TestEveryEventIsDocumented(t *testing.T) {
	inCode := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, typ := range eventTypes(t, path) {
			if other, twice := inCode[typ]; twice {
				t.Errorf("%s and %s both have %s", other, path, typ)
			}
			inCode[typ] = path
		}
		return nil
	})
	must(t, err)
	if len(inCode) < 30 {
		t.Fatalf("the scan found only %d types", len(inCode))
	}
	page, err := os.ReadFile("../../docs/reference/events.md")
	must(t, err)
	onPage := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+\\.[a-z]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		if onPage[m[1]] {
			t.Errorf("the page lists %s twice", m[1])
		}
		onPage[m[1]] = true
		if inCode[m[1]] == "" {
			t.Errorf("the page lists %s, which no code has", m[1])
		}
	}
	for typ, path := range inCode {
		if !onPage[typ] {
			t.Errorf("the page lacks %s, of %s", typ, path)
		}
	}
}

// eventTypes reads the constants of type EventType.
func eventTypes(t *testing.T, path string) (types []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	must(t, err)
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || v.Type == nil || len(v.Values) == 0 {
			return true
		}
		name := ""
		switch x := v.Type.(type) {
		case *ast.Ident:
			name = x.Name
		case *ast.SelectorExpr:
			name = x.Sel.Name
		}
		if lit, ok := v.Values[0].(*ast.BasicLit); ok && name == "EventType" {
			s, err := strconv.Unquote(lit.Value)
			must(t, err)
			types = append(types, s)
		}
		return true
	})
	return types
}
