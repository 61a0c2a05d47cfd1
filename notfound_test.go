package stint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// TestNotFoundSaysWhatNext checks that who looks for what is not there is told where to
// look: every access.Fail(access.NotFound, …) of the doors and the flow has a Try.
func TestNotFoundSaysWhatNext(t *testing.T) {
	found := 0
	for _, dir := range []string{"internal/apiserver", "internal/broker", "internal/ident", "internal/policy", "internal/credential", "internal/ticket"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if matched, _ := filepath.Match("*_test.go", filepath.Base(name)); matched {
				continue
			}
			set := token.NewFileSet()
			tree, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			tried, assigned := map[ast.Node]bool{}, map[ast.Node]bool{}
			ast.Inspect(tree, func(n ast.Node) bool {
				switch x := n.(type) {
				case *ast.AssignStmt: // e := access.Fail(…), to which more is said below
					if id, ok := x.Lhs[0].(*ast.Ident); ok && id.Name == "e" {
						mark(assigned, x.Rhs[0])
					}
				case *ast.CallExpr:
					if method(x) == "Try" {
						mark(tried, x)
					}
					if isNotFound(x) {
						found++
						if !tried[x] && !assigned[x] {
							t.Errorf("%s: nothing is said of what to do next", set.Position(x.Pos()))
						}
					}
				}
				return true
			})
		}
	}
	if found < 20 {
		t.Errorf("only %d errors were looked at", found)
	}
}

// mark marks a chain of calls, from the outermost to the one that begins it.
func mark(of map[ast.Node]bool, n ast.Expr) {
	for {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return
		}
		of[call] = true
		fun, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return
		}
		n = fun.X
	}
}

func method(call *ast.CallExpr) string {
	if fun, ok := call.Fun.(*ast.SelectorExpr); ok {
		return fun.Sel.Name
	}
	return ""
}

func isNotFound(call *ast.CallExpr) bool {
	if method(call) != "Fail" || len(call.Args) == 0 {
		return false
	}
	kind, ok := call.Args[0].(*ast.SelectorExpr)
	return ok && kind.Sel.Name == "NotFound"
}
