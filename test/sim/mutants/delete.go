package main

import (
	"cmp"
	"context"
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stint/test/evidence"
)

// protective are the files of which no statement may go without a seed or a story that
// turns red, or a test of its own package: they make, remove and end access, keep leases
// alive, hold grants back, show credentials, deal with data in doubt, sweep, decide, and
// take away; and they are the rules of the pure core. docs/simulation.md says what counts and why;
// docs/track-record.md which files are not in the list yet.
var protective = []string{
	brk + "provision.go", brk + "remove.go", brk + "end.go", brk + "life.go", brk + "hold.go", brk + "credential.go", brk + "quarantine.go",
	brk + "sweep.go", brk + "start.go", brk + "eligibility.go", brk + "revoke.go", brk + "people.go", brk + "submit.go", brk + "decide.go",
	brk + "beat.go", brk + "due.go", brk + "target.go", brk + "effects.go", brk + "journal.go", brk + "revokeaway.go", brk + "away.go", "internal/ahead/ahead.go", "internal/ahead/read.go",
	acc + "grant.go", acc + "entitlement.go", acc + "approval.go", acc + "request.go", acc + "principal.go",
}

// prepareDeletions weaves one program out of all colleagues who delete one line of the
// broker's protective logic: each statement of the files that does something, and each
// look before a return, can be put to sleep by its place in the tree. What is excused
// is left out; an excuse for a line that is not there is an error.
func (r *runner) prepareDeletions(ctx context.Context, files []string, every int, wants func(string) bool) (ms []mutant, let []excuse, err error) {
	began := time.Now()
	woven := map[string]string{}
	r.witnessed = map[string]witness{}
	n := 0
	used := map[excuse]bool{}
	for _, file := range files {
		x, err := readWeaving(r.root, file)
		if err != nil {
			return nil, nil, err
		}
		woven[path.Join(path.Dir(file), "planted.go")] = "package " + x.syntax.Name.Name + "\n\nimport \"os\"\n\nvar planted_ = os.Getenv(\"" + awake + "\")\n"
		names := map[string]bool{}
		for _, d := range x.deletable() {
			if e, ok := excuseFor(short(file), d); ok {
				used[e] = true
				continue
			}
			if n++; (n-1)%every != 0 {
				continue
			}
			where := fmt.Sprintf("%s:%d", short(file), d.line)
			if names[where] {
				where += fmt.Sprint(":", d.column) // a second one on the line
			}
			if names[where] = true; !wants(where) {
				continue
			}
			x.at = append(x.at, d.before(where)...)
			ms = append(ms, mutant{name: where, from: d.fn + ": " + d.text})
			if w, ok := witnessFor(short(file), d); ok {
				r.witnessed[where] = w
			}
		}
		woven[file] = x.weave()
	}
	for _, e := range excused {
		switch file, _, _ := strings.Cut(e.where, ":"); {
		case used[e]:
			let = append(let, e)
		case slices.ContainsFunc(files, func(f string) bool { return short(f) == file }):
			return nil, nil, fmt.Errorf("%s is excused for %q, and that line is not there any more", e.where, e.line)
		}
	}
	program, err := r.build(ctx, "deletions", woven)
	if err != nil {
		return nil, nil, err
	}
	r.programs = map[string]string{"": program}
	for _, m := range ms {
		r.programs[m.name] = program
	}
	r.packages, r.patience = map[string]string{}, map[string]time.Duration{}
	for _, m := range ms {
		pkg, tests := r.judge(m)
		if tests == "" {
			continue
		}
		if _, built := r.packages[pkg]; !built {
			if r.packages[pkg], err = r.buildTests(ctx, "tests-of-"+path.Base(pkg), pkg, woven); err != nil {
				return nil, nil, err
			}
		}
		if _, judged := r.patience[pkg+tests]; !judged {
			if err := r.judges(ctx, pkg, tests); err != nil {
				return nil, nil, err
			}
		}
	}
	fmt.Printf("%d statements can be deleted, %d lines are excused; built in %.0f s\n", len(ms), len(let), time.Since(began).Seconds())
	return ms, let, nil
}

// short is the name of a file in scores and excuses: broker/end.go.
func short(file string) string { return strings.TrimPrefix(file, "internal/") }

// pkg is the folder of the file that a deletion is in.
func (m mutant) pkg() string { return path.Dir("internal/" + m.name) }

// judge is the tests that judge a deletion before the simulation does, as a package and what
// -test.run takes; empty where there are none.
func (r *runner) judge(m mutant) (pkg, tests string) {
	pkg = m.pkg()
	if w, ok := r.witnessed[m.name]; ok {
		return cmp.Or(w.pkg, pkg), "^" + w.test + "$"
	}
	if judgesItself(pkg) {
		return pkg, "."
	}
	return "", ""
}

// judgesItself reports whether the tests of a package judge deletions in it, before the
// simulation does: they go through every state and every question of a pure core, of which
// the product can ask only some.
func judgesItself(pkg string) bool { return pkg+"/" == acc }

// filesToDelete reads what was asked for: names of files of internal/broker, or of
// another package with its name before them, access/grant; "protective" for all that count.
func filesToDelete(asked string) (files []string) {
	for name := range strings.SplitSeq(asked, ",") {
		file := strings.TrimSuffix(name, ".go") + ".go"
		switch {
		case name == "protective":
			files = append(files, protective...)
		case strings.Contains(name, "/"):
			files = append(files, "internal/"+file)
		default:
			files = append(files, brk+file)
		}
	}
	return files
}

// deletion is one statement that can be put to sleep.
type deletion struct {
	line, column int
	fn, over     string // the function around it, and over what the loop in it goes
	text         string // its first line
	whole        string // all of it and a little of what follows, on one line
	from, to     int
	// conds are the conditions of a case, which does not hold when it sleeps; nil
	// where the statement itself is wrapped.
	conds []span
}

type span struct{ from, to int }

func (d deletion) before(where string) (at []insertion) {
	for _, c := range d.conds {
		at = append(at, insertion{c.from, c.from, fmt.Sprintf("planted_ != %q && (", where)}, insertion{c.to, c.to, ")"})
	}
	if d.conds == nil {
		at = []insertion{{d.from, d.from, fmt.Sprintf("if planted_ != %q { ", where)}, {d.to, d.to, " }"}}
	}
	return at
}

// dull is what a call does that only speaks, counts, or lets go of what is held for
// speed or for a moment.
var dull = []string{"b.Log.", "done()", "cancel()", ".Unlock()", ".Lock()", "wg.", "leave(", "close(", ".Stop()", "b.storeTrouble(", "b.seen.", "slices.Sort", ".Wait()", ".Done()"}

// deletable lists the statements of all functions that can be taken away: calls,
// assignments to what is there already, counting, what is done at the end, ifs that
// leave early, and cases that are conditions. Not what only hands an error on that is
// there already, nor what only logs, counts or lets go.
func (x *weaving) deletable() (ds []deletion) {
	ast.Inspect(x.syntax, func(n ast.Node) bool {
		sw, ok := n.(*ast.SwitchStmt)
		if ok && sw.Tag == nil {
			for _, c := range sw.Body.List {
				if c := c.(*ast.CaseClause); len(c.List) > 0 {
					d := x.deletion(c)
					for _, cond := range c.List {
						d.conds = append(d.conds, span{x.offset(cond.Pos()), x.offset(cond.End())})
					}
					ds = append(ds, d)
				}
			}
			return true
		}
		st, ok := n.(ast.Stmt)
		if !ok {
			return true
		}
		switch st := st.(type) {
		case *ast.ExprStmt, *ast.DeferStmt:
			text := x.part(st.Pos(), st.End())
			text, _, _ = strings.Cut(text, "\n")
			if slices.ContainsFunc(dull, func(d string) bool { return strings.Contains(text, d) }) {
				return true
			}
		case *ast.IncDecStmt:
		case *ast.AssignStmt:
			if st.Tok == token.DEFINE || strings.HasPrefix(x.part(st.Pos(), st.End()), "_ ") {
				return true
			}
		case *ast.IfStmt:
			cond := x.part(st.Cond.Pos(), st.Cond.End())
			if !leaves(st.Body) || st.Else != nil || st.Init == nil && strings.Contains(cond, "err != nil") && !strings.Contains(cond, "||") {
				return true
			}
		default:
			return true
		}
		if !x.inHeader(st) {
			ds = append(ds, x.deletion(st))
		}
		return true
	})
	return ds
}

func (x *weaving) deletion(n ast.Node) deletion {
	pos := n.Pos()
	at := x.fset.Position(pos)
	d := deletion{line: at.Line, column: at.Column, from: x.offset(n.Pos()), to: x.offset(n.End())}
	d.text, _, _ = strings.Cut(x.text[d.from:d.to], "\n")
	d.whole = strings.Join(strings.Fields(x.text[d.from:min(d.to+100, len(x.text))]), " ")
	if fn := x.function(d.from, d.to); fn != nil {
		d.fn = fn.Name.Name
		ast.Inspect(fn, func(n ast.Node) bool {
			if r, ok := n.(*ast.RangeStmt); ok && r.Pos() <= pos && pos < r.End() {
				d.over = x.part(r.X.Pos(), r.X.End())
			}
			return true
		})
	}
	return d
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
			is = is || n.Init == st || n.Else == st
		case *ast.ForStmt:
			is = is || n.Init == st || n.Post == st
		case *ast.SwitchStmt:
			is = is || n.Init == st
		case *ast.CommClause:
			is = is || n.Comm == st
		case *ast.TypeSwitchStmt:
			is = is || n.Init == st || n.Assign == st
		}
		return !is
	})
	return is
}

// deletions says what became of all deletions, and keeps it.
func (o options) deletions(rep report, let []excuse) error {
	caught, missed := rep.count()
	e := evidence.New("sim-deletions", "mutant", "make sim-deletions")
	e.Seconds = rep.Seconds
	err := rep.verdict(missed)
	e.Passed = err == nil
	e.Goal("single statements of protective logic whose deletion is noticed", float64(caught), "", fmt.Sprintf("all of %d", len(rep.Scores)), len(missed) == 0, "")
	e.Count("lines that are excused, each with its reason", float64(len(let)), "")
	t := evidence.Table{Title: "Deleted statements", Columns: []string{"File", "Statements", "Noticed", "By its own tests", "Excused"}}
	for _, f := range byFile(rep.Scores, let) {
		t.Rows = append(t.Rows, []string{f.name, fmt.Sprint(f.all), fmt.Sprint(f.caught), fmt.Sprint(f.tests), fmt.Sprint(f.excused)})
	}
	e.Tables = append(e.Tables, t)
	for _, s := range rep.Scores {
		if !s.Caught {
			e.Violated = append(e.Violated, "nobody misses "+s.Name+": "+s.From)
		}
	}
	if o.remove == "protective" && o.sample == 1 && o.only == "" {
		if err := e.Write(o.evidence); err != nil {
			return err
		}
		if o.page != "" {
			if err := rewrite(filepath.Join(rep.root, o.page), deletionsBegin, deletionsEnd, deletionTable(rep, let)); err != nil {
				return err
			}
		}
	}
	return err
}

// fileScore is what became of the statements of one file.
type fileScore struct {
	name                 string
	all, caught, excused int
	tests                int // of those that are caught, by the tests of its package
}

func byFile(scores []score, let []excuse) (fs []fileScore) {
	of := func(name string) *fileScore {
		name, _, _ = strings.Cut(name, ":")
		for i := range fs {
			if fs[i].name == name {
				return &fs[i]
			}
		}
		fs = append(fs, fileScore{name: name})
		return &fs[len(fs)-1]
	}
	for _, s := range scores {
		f := of(s.Name)
		if f.all++; s.Caught {
			f.caught++
		}
		if s.ByTests {
			f.tests++
		}
	}
	for _, e := range let {
		of(e.where).excused++
	}
	return fs
}

func deletionTable(rep report, let []excuse) string {
	var t strings.Builder
	caught, _ := rep.count()
	fmt.Fprintf(&t, "\n%d of %d are noticed; %d lines are excused. With at most %s of %d hours for each, in %.0f s.\n\n", caught, len(rep.Scores), len(let), plural(len(rep.Baseline.Green), "seed"), rep.Hours, rep.Seconds)
	t.WriteString("| File | Statements | Noticed | of these by its own tests | Excused lines |\n|---|---|---|---|---|\n")
	for _, f := range byFile(rep.Scores, let) {
		fmt.Fprintf(&t, "| `%s` | %d | %d | %d | %d |\n", f.name, f.all, f.caught, f.tests, f.excused)
	}
	if caught < len(rep.Scores) {
		t.WriteString("\nNobody misses:\n\n")
	}
	for _, s := range rep.Scores {
		if !s.Caught {
			fmt.Fprintf(&t, "- `%s`, in %s\n", s.Name, "`"+strings.ReplaceAll(s.From, "`", "'")+"`")
		}
	}
	t.WriteString("\n")
	return t.String()
}
