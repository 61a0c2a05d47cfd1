package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A colleague who deletes one line of the broker's protective logic is to see a red
// simulation. prepareDeletions weaves one program out of all such colleagues: each
// statement of the files that does something, and each look before a return, can be
// put to sleep by its place in the tree.
func (r *runner) prepareDeletions(ctx context.Context, names []string, every int) (ms []mutant, err error) {
	began := time.Now()
	files := map[string]string{"internal/broker/planted.go": "package broker\n\nimport \"os\"\n\nvar planted_ = os.Getenv(\"" + awake + "\")\n"}
	n := 0
	for _, name := range names {
		file := brk + strings.TrimSuffix(name, ".go") + ".go"
		b, err := os.ReadFile(filepath.Join(r.root, file))
		if err != nil {
			return nil, err
		}
		x, err := parseWeaving(file, string(b))
		if err != nil {
			return nil, err
		}
		for _, d := range x.deletable() {
			if n++; (n-1)%every != 0 {
				continue
			}
			where := fmt.Sprintf("%s:%d", filepath.Base(file), d.line)
			x.at = append(x.at, d.before(where)...)
			ms = append(ms, mutant{name: where, from: d.text})
		}
		files[file] = x.weave()
	}
	program, err := r.build(ctx, "deletions", files)
	if err != nil {
		return nil, err
	}
	r.programs = map[string]string{"": program}
	for _, m := range ms {
		r.programs[m.name] = program
	}
	fmt.Printf("%d statements can be deleted; built in %.0f s\n", len(ms), time.Since(began).Seconds())
	return ms, nil
}

// deletion is one statement that can be put to sleep.
type deletion struct {
	line     int
	text     string // its first line
	from, to int
	// cond is the condition of an if whose body leaves; the whole statement sleeps
	// when it does not hold. -1 where the statement itself is wrapped.
	cond, condEnd int
}

func (d deletion) before(where string) []insertion {
	if d.cond >= 0 {
		return []insertion{{d.cond, d.cond, fmt.Sprintf("planted_ != %q && (", where)}, {d.condEnd, d.condEnd, ")"}}
	}
	return []insertion{{d.from, d.from, fmt.Sprintf("if planted_ != %q { ", where)}, {d.to, d.to, " }"}}
}

// deletable lists the statements of all functions that can be taken away: calls,
// assignments to what is there already, and ifs that leave early. Not what only
// hands an error on, nor what only logs, counts or lets go.
func (x *weaving) deletable() (ds []deletion) {
	ast.Inspect(x.syntax, func(n ast.Node) bool {
		st, ok := n.(ast.Stmt)
		if !ok {
			return true
		}
		d := deletion{line: x.fset.Position(st.Pos()).Line, from: x.offset(st.Pos()), to: x.offset(st.End()), cond: -1}
		d.text, _, _ = strings.Cut(x.text[d.from:d.to], "\n")
		switch st := st.(type) {
		case *ast.ExprStmt:
			for _, dull := range []string{"b.Log.", "done()", "cancel()", "defer ", ".Unlock()", ".Lock()", "wg.", "leave(", "close(", ".Stop()", "b.storeTrouble(", "b.seen."} {
				if strings.Contains(d.text, dull) {
					return true
				}
			}
		case *ast.AssignStmt:
			if st.Tok == token.DEFINE || strings.HasPrefix(d.text, "_ ") {
				return true
			}
		case *ast.IfStmt:
			if !leaves(st.Body) || st.Else != nil || strings.Contains(x.part(st.Cond.Pos(), st.Cond.End()), "err != nil") && !strings.Contains(x.part(st.Cond.Pos(), st.Cond.End()), "||") {
				return true
			}
			d.cond, d.condEnd = x.offset(st.Cond.Pos()), x.offset(st.Cond.End())
		default:
			return true
		}
		if x.inHeader(st) {
			return true
		}
		ds = append(ds, d)
		return true
	})
	return ds
}

// leaves reports whether a block ends by leaving what is around it.
func leaves(b *ast.BlockStmt) bool {
	if len(b.List) == 0 {
		return false
	}
	switch last := b.List[len(b.List)-1].(type) {
	case *ast.ReturnStmt:
		return true
	case *ast.BranchStmt:
		return last.Tok == token.CONTINUE || last.Tok == token.BREAK
	}
	return false
}

// inHeader reports whether a statement is part of the header of another one, or the
// else of one, and so cannot be wrapped.
func (x *weaving) inHeader(st ast.Stmt) (is bool) {
	ast.Inspect(x.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			is = is || n.Init == st
		case *ast.ForStmt:
			is = is || n.Init == st || n.Post == st
		case *ast.SwitchStmt:
			is = is || n.Init == st
		case *ast.CommClause:
			is = is || n.Comm == st
		}
		return !is
	})
	return is
}
