package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Building the simulation takes longer than running a seed. So all mutants whose
// edits are inside functions are woven into one program: each changed function
// stands there a second time, under another name, and the one of the tree begins
// with a look whether its mutant is awake. One that is not named by the environment
// sleeps, and the program is the product as it is.

// awake is the environment variable that names the mutant to wake.
const awake = "STINT_SIM_PLANTED"

// suffix marks the second functions. The simulation leaves it off where it names a
// step by its function.
const suffix = "_planted"

// woven is the source of one program with many mutants.
type woven struct {
	files map[string]string // by their path in the tree, also new ones
	alone []mutant          // cannot be woven in: each needs a program of its own
}

// insertion is text to put into a file, in the place of what was there up to end.
type insertion struct {
	at, end int
	text    string
}

// weave makes one program of mutants.
func weave(root string, ms []mutant) (w woven, err error) {
	w.files = map[string]string{}
	files := map[string]*weaving{}
	for i, m := range ms {
		changed, err := m.sources(root)
		if err != nil {
			return w, err
		}
		twins, err := m.twins(root, files, changed)
		if err != nil {
			return w, err
		}
		if twins == nil {
			w.alone = append(w.alone, m)
			continue
		}
		for _, t := range twins {
			t.of.add(t.fn, t.text, m.name, i)
		}
	}
	for file, x := range files {
		if len(x.more) > 0 {
			w.files[file] = x.weave()
			w.files[path.Join(path.Dir(file), "planted.go")] = "package " + x.syntax.Name.Name + "\n\nimport \"os\"\n\nvar planted_ = os.Getenv(\"" + awake + "\")\n"
		}
	}
	return w, nil
}

// weaving is one file that is woven into.
type weaving struct {
	text   string
	fset   *token.FileSet
	syntax *ast.File
	at     []insertion
	named  map[*ast.FuncDecl]bool // all parameters have names
	more   []string               // functions to append
}

func readWeaving(root, file string) (*weaving, error) {
	b, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return nil, err
	}
	return parseWeaving(file, string(b))
}

func parseWeaving(file, text string) (x *weaving, err error) {
	x = &weaving{text: text, fset: token.NewFileSet(), named: map[*ast.FuncDecl]bool{}}
	x.syntax, err = parser.ParseFile(x.fset, file, text, parser.ParseComments|parser.SkipObjectResolution)
	return x, err
}

func (x *weaving) offset(p token.Pos) int { return x.fset.Position(p).Offset }

func (x *weaving) part(from, to token.Pos) string { return x.text[x.offset(from):x.offset(to)] }

// function gives the function around a range of the text.
func (x *weaving) function(from, to int) *ast.FuncDecl {
	for _, d := range x.syntax.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil && x.offset(fn.Body.Pos()) <= from && to <= x.offset(fn.End()) {
			return fn
		}
	}
	return nil
}

// key names a function in its file.
func (x *weaving) key(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	return x.part(fn.Recv.List[0].Type.Pos(), fn.Recv.List[0].Type.End()) + "." + fn.Name.Name
}

// twin is a function as a mutant has it.
type twin struct {
	of   *weaving
	fn   *ast.FuncDecl
	text *changedFunction
}

type changedFunction struct {
	before, after string // its name stands between them
}

// twins lists the changed functions of a mutant; nil if it changes more than the
// bodies of functions.
func (m mutant) twins(root string, files map[string]*weaving, changed map[string]string) (twins []twin, err error) {
	seen := map[*ast.FuncDecl]bool{}
	for _, e := range m.edits {
		x := files[e.file]
		if x == nil {
			if x, err = readWeaving(root, e.file); err != nil {
				return nil, err
			}
			files[e.file] = x
		}
		at := strings.Index(x.text, e.old)
		// An edit may begin or end with what is the same in both.
		from, to := at, at+len(e.old)
		fn := x.function(from, to)
		if fn == nil {
			return nil, nil
		}
		if seen[fn] {
			continue
		}
		seen[fn] = true
		y, err := parseWeaving(e.file, changed[e.file])
		if err != nil {
			return nil, fmt.Errorf("mutant %s: %w", m.name, err)
		}
		for _, d := range y.syntax.Decls {
			if g, ok := d.(*ast.FuncDecl); ok && y.key(g) == x.key(fn) {
				twins = append(twins, twin{x, fn, &changedFunction{y.part(g.Pos(), g.Name.Pos()), y.part(g.Name.End(), g.End())}})
			}
		}
	}
	if len(twins) != len(seen) {
		return nil, nil
	}
	return twins, nil
}

// add lets a function do what its twin does when the mutant is awake.
func (x *weaving) add(fn *ast.FuncDecl, twin *changedFunction, mutant string, n int) {
	name := fmt.Sprint(fn.Name.Name, suffix, n)
	x.more = append(x.more, "\n"+twin.before+name+twin.after+"\n")
	var args []string
	for _, f := range fn.Type.Params.List {
		dots := ""
		if _, ok := f.Type.(*ast.Ellipsis); ok {
			dots = "..."
		}
		if len(f.Names) == 0 {
			args = append(args, x.name(fn, f.Type.Pos(), f.Type.Pos(), len(args), " ")+dots)
		}
		for _, id := range f.Names {
			if id.Name == "_" {
				args = append(args, x.name(fn, id.Pos(), id.End(), len(args), "")+dots)
			} else {
				args = append(args, id.Name+dots)
			}
		}
	}
	call := name + "(" + strings.Join(args, ", ") + ")"
	if fn.Recv != nil {
		r := fn.Recv.List[0]
		switch {
		case len(r.Names) == 0:
			call = x.name(fn, r.Type.Pos(), r.Type.Pos(), 100, " ") + "." + call
		case r.Names[0].Name == "_":
			call = x.name(fn, r.Names[0].Pos(), r.Names[0].End(), 100, "") + "." + call
		default:
			call = r.Names[0].Name + "." + call
		}
	}
	x.named[fn] = true
	if fn.Type.Results == nil {
		call += "; return"
	} else {
		call = "return " + call
	}
	at := x.offset(fn.Body.Lbrace) + 1
	x.at = append(x.at, insertion{at, at, fmt.Sprintf(" if planted_ == %q { %s }; ", mutant, call)})
}

// name gives a parameter without a name one, once.
func (x *weaving) name(fn *ast.FuncDecl, from, to token.Pos, n int, space string) string {
	name := fmt.Sprint("planted_", n)
	if !x.named[fn] {
		x.at = append(x.at, insertion{x.offset(from), x.offset(to), name + space})
	}
	return name
}

// weave gives the file with everything that was put in.
func (x *weaving) weave() string {
	slices.SortStableFunc(x.at, func(a, b insertion) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.end, b.end)) })
	var b strings.Builder
	last := 0
	for _, in := range x.at {
		b.WriteString(x.text[last:in.at])
		b.WriteString(in.text)
		last = in.end
	}
	b.WriteString(x.text[last:])
	for _, f := range x.more {
		b.WriteString(f)
	}
	return b.String()
}
