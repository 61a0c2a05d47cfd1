package policy

import (
	"net/netip"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// checkNames looks for the mistakes that the compiler words badly or cannot see:
// unknown fields and functions, networks that are none, and comparisons that can
// never hold.
func checkNames(e *environment, r *report, c conditionText, a *ast.AST) {
	w := &walker{env: e, r: r, c: c, info: a.SourceInfo(), locals: map[string]bool{}}
	w.findLocals(a.Expr())
	w.walk(a.Expr())
}

type walker struct {
	env    *environment
	r      *report
	c      conditionText
	info   *ast.SourceInfo
	locals map[string]bool // names that all(), exists() and the like introduce
}

func (w *walker) add(e ast.Expr, hint, format string, args ...any) {
	offset := 0
	if at, ok := w.info.GetOffsetRange(e.ID()); ok {
		offset = int(at.Start)
	}
	w.r.add(w.c.lineAt(offset), hint, format, args...)
}

func (w *walker) findLocals(e ast.Expr) {
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.ComprehensionKind {
			l := e.AsComprehension()
			w.locals[l.IterVar()], w.locals[l.IterVar2()], w.locals[l.AccuVar()] = true, true, true
		}
	}))
}

// looksAt reports whether an expression that was checked names a field of root, or is about
// the field that root is: the check has made one identifier of both.
func looksAt(a *ast.AST, root string) (yes bool) {
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		yes = yes || e.Kind() == ast.IdentKind && (e.AsIdent() == root || strings.HasPrefix(e.AsIdent(), root+"."))
	}))
	return yes
}

// typeIdents are identifiers that stand for a type.
var typeIdents = []string{"bool", "int", "uint", "double", "string", "bytes", "list", "map", "type", "null_type"}

func (w *walker) walk(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		w.ident(e)
	case ast.SelectKind:
		w.selection(e)
	case ast.CallKind:
		w.call(e)
	case ast.ListKind:
		for _, x := range e.AsList().Elements() {
			w.walk(x)
		}
	case ast.MapKind:
		for _, x := range e.AsMap().Entries() {
			w.walk(x.AsMapEntry().Key())
			w.walk(x.AsMapEntry().Value())
		}
	case ast.ComprehensionKind:
		l := e.AsComprehension()
		for _, x := range []ast.Expr{l.IterRange(), l.AccuInit(), l.LoopCondition(), l.LoopStep(), l.Result()} {
			w.walk(x)
		}
	}
}

// fieldsOf lists the fields of a root: "duration" and so on for "request".
func (w *walker) fieldsOf(root string) (fields []string) {
	for _, n := range w.env.names {
		if f, ok := strings.CutPrefix(n, root+"."); ok {
			fields = append(fields, f)
		}
	}
	return fields
}

func (w *walker) roots() (roots []string) {
	for _, n := range w.env.names {
		root, _, _ := strings.Cut(n, ".")
		if !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	return roots
}

func (w *walker) ident(e ast.Expr) {
	name := e.AsIdent()
	if w.locals[name] || slices.Contains(typeIdents, name) {
		return
	}
	if fields := w.fieldsOf(name); len(fields) > 0 {
		w.add(e, "use one of its fields: "+strings.Join(fields, ", "), "%s is not a value by itself", name)
		return
	}
	hint := DidYouMean(name, w.roots())
	if hint == "" {
		hint = "known are " + strings.Join(w.roots(), ", ")
	}
	w.add(e, hint, "unknown name %q", name)
}

func (w *walker) selection(e ast.Expr) {
	s := e.AsSelect()
	if s.Operand().Kind() != ast.IdentKind || w.locals[s.Operand().AsIdent()] {
		w.walk(s.Operand())
		return
	}
	root := s.Operand().AsIdent()
	fields := w.fieldsOf(root)
	switch {
	case len(fields) == 0:
		w.ident(s.Operand())
	case !slices.Contains(fields, s.FieldName()):
		hint := DidYouMean(s.FieldName(), fields)
		if hint == "" {
			hint = "its fields are " + strings.Join(fields, ", ")
		}
		w.add(e, hint, "%s has no field %q", root, s.FieldName())
	case s.IsTestOnly():
		w.add(e, `compare it, for example with ""`, "has(%s.%s) is always true", root, s.FieldName())
	}
}

func (w *walker) call(e ast.Expr) {
	c := e.AsCall()
	name := c.FunctionName()
	if c.IsMemberFunction() {
		if t := c.Target(); t.Kind() == ast.IdentKind && w.env.cel.HasFunction(t.AsIdent()+"."+name) {
			name = t.AsIdent() + "." + name
		} else {
			w.walk(t)
		}
	}
	if !w.env.cel.HasFunction(name) {
		w.add(e, DidYouMean(name, w.functions()), "unknown function %q", name)
	}
	for _, a := range c.Args() {
		w.walk(a)
	}
	w.literals(e, name, c)
}

func (w *walker) functions() (names []string) {
	for _, n := range sortedKeys(w.env.cel.Functions()) {
		if _, operator := operators.FindReverse(n); !operator && !strings.ContainsAny(n, "_@!?") {
			names = append(names, n)
		}
	}
	return append(names, "all", "exists", "exists_one", "filter", "has", "map")
}

// literals checks constants for what they are used as.
func (w *walker) literals(e ast.Expr, name string, c ast.CallExpr) {
	args := c.Args()
	// Zone data is read when documents change, not when they decide.
	if strings.HasPrefix(name, "get") && len(args) > 0 {
		w.add(e, "set the policy's zone, and use now.hour or start.hour", "%s takes no time zone here", name)
	}
	switch name {
	case "inCIDR", "cidr", "containsCIDR":
		if s, ok := literal(args); ok {
			if _, err := parseCIDR(s); err != nil {
				w.add(e, `write it as "10.0.0.0/8"`, "%q is not a network", s)
			}
		}
	case "ip", "containsIP":
		if s, ok := literal(args); ok {
			if _, err := netip.ParseAddr(s); err != nil {
				w.add(e, `write it as "10.0.0.1"`, "%q is not an address", s)
			}
		}
	case operators.Equals, operators.NotEquals:
		w.closed(args[0], args[1])
		w.closed(args[1], args[0])
	case operators.In:
		if args[1].Kind() == ast.ListKind {
			for _, x := range args[1].AsList().Elements() {
				w.closed(args[0], x)
			}
		}
	}
}

// closed checks a comparison of a variable that has few values with a constant.
func (w *walker) closed(variable, value ast.Expr) {
	if variable.Kind() != ast.SelectKind || variable.AsSelect().Operand().Kind() != ast.IdentKind {
		return
	}
	name := variable.AsSelect().Operand().AsIdent() + "." + variable.AsSelect().FieldName()
	of, ok := closedSets[name]
	s, isText := literal([]ast.Expr{value})
	if !ok || !isText || slices.Contains(of, s) {
		return
	}
	hint := DidYouMean(s, of)
	if hint == "" {
		hint = "it is one of " + strings.Join(of, ", ")
	}
	w.add(value, hint, "%s is never %q", name, s)
}

// literal is the text of a single constant argument.
func literal(args []ast.Expr) (string, bool) {
	if len(args) != 1 || args[0].Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := args[0].AsLiteral().(types.String)
	return string(s), ok
}
