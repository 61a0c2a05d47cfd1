package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestWordsAreInWords: what people read stands in the package words, and in no template
// and no handler: not between tags, not in an attribute that is read aloud or shown, and
// not as the text of a part, a title or a link.
func TestWordsAreInWords(t *testing.T) {
	for _, dir := range []string{"ui", "views", "."} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(names) < 3 {
			t.Fatalf("%s: %d files, %v", dir, len(names), err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range literalWords(f, dir == ".") {
				t.Errorf("%s: %q belongs into the package words", name, found)
			}
		}
	}
}

// TestLiteralWords: the search finds what it is for, and nothing else.
func TestLiteralWords(t *testing.T) {
	const head = "package x\nfunc a() {\n"
	for text, want := range map[string]string{
		`WriteString(b, 1, "<p class=\"two words\">Send it</p>")`:                                       "Send it",
		`WriteString(b, 1, "<p"); WriteString(b, 2, " title=\"Copy\""); WriteString(b, 3, ">1 · </p>")`: "Copy",
		`WriteString(b, 1, "<code>stint approve</code> Stint <kbd>Esc</kbd>")`:                          "",
		`ui.Chip(ui.Bad, "overdue")`:            "overdue",
		`ui.Card("held", words.X, "")`:          "",
		`ui.Card("held", "Active", "")`:         "Active",
		`x := "asked: " + y`:                    "asked: ",
		`x := []any{"btn wide", "t-" + y}`:      "",
		`x := ui.Act{Trigger: "input changed"}`: "",
		`x := "stint db " + y`:                  "",
		`x := t.Format("2 Jan 15:04")`:          "",
		`x := sheet{title: "Approvals"}`:        "Approvals",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", head+text+"\n}", parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := strings.Join(literalWords(f, false), "|"); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

var (
	english  = regexp.MustCompile(`[A-Za-z][:,;.]? |^ ?[A-Z][a-z]| [a-z]+$`)
	notWords = regexp.MustCompile(`^\s*(?:stint |--|/|#|https?:)|^(?:Stint|UTC)$|^[A-Z][a-z]+(?:-[A-Z][a-z]+)+$`)
	shown    = regexp.MustCompile(`\b(?:aria-label|title|placeholder|alt)="([^"]*[A-Za-z][^"]*)"`)
	quiet    = regexp.MustCompile(`(?s)<(code|kbd)\b[^>]*>.*?</(?:code|kbd)>`)
	markup   = regexp.MustCompile(`(?s)<[^>]*>`)
)

// spokenParts are the arguments of the parts of ui that are text, whatever they look like.
var spokenParts = map[string][]int{"Chip": {1}, "Card": {1}, "Empty": {1}, "Alert": {1}, "Field": {1, 2}, "Segments": {0}, "Toast": {0}, "Tabs": {0}, "Figure": {0, 1}, "Dialog": {1}}

// literalWords are the texts of a file that people would read. Of handlers, whose errors
// are the API's too, only what the frame shows is looked at.
func literalWords(f *ast.File, handlers bool) (out []string) {
	var page strings.Builder // what templates write, in the order of the source
	text := func(e ast.Expr) (string, bool) {
		l, ok := e.(*ast.BasicLit)
		if !ok || l.Kind != token.STRING || strings.HasPrefix(l.Value, "`") {
			return "", false
		}
		s, err := strconv.Unquote(l.Value)
		return s, err == nil
	}
	add := func(e ast.Expr, whatever bool) {
		ast.Inspect(e, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok {
				if s, ok := text(l); ok && regexp.MustCompile(`[A-Za-z]`).MatchString(s) && !notWords.MatchString(s) && (whatever || english.MatchString(s)) {
					out = append(out, s)
				}
			}
			_, call := n.(*ast.CallExpr)
			return !call
		})
	}
	var walk func(ast.Node) bool
	walk = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec, *ast.Field:
			return false
		case *ast.CompositeLit:
			switch kind := typeOf(n.Type); kind {
			case "any", "Act": // classes, and what htmx does
				return false
			case "sheet", "Link", "Crumb", "Group", "Tab", "Column", "Fact", "Option":
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						switch key := kv.Key.(*ast.Ident).Name; key {
						case "title", "lede", "Label", "Name", "Text", "Verdict":
							add(kv.Value, true)
							if handlers {
								continue
							}
						case "Value", "Icon":
							continue
						default:
							ast.Inspect(kv.Value, walk)
						}
					}
				}
				return false
			}
		case *ast.CallExpr:
			name := typeOf(n.Fun)
			switch name {
			case "WriteString":
				for _, a := range n.Args {
					if s, ok := text(a); ok {
						page.WriteString(s)
					}
				}
				return false
			case "Format", "KV", "MustCompile", "Fprintf", "Sprintf", "Errorf":
				return false
			}
			for _, i := range spokenParts[name] {
				if i < len(n.Args) {
					add(n.Args[i], true)
				}
			}
			if len(spokenParts[name]) > 0 {
				for i, a := range n.Args {
					if !contains(spokenParts[name], i) {
						ast.Inspect(a, walk)
					}
				}
				return false
			}
		case *ast.BasicLit:
			if !handlers {
				add(n, false)
			}
		}
		return true
	}
	ast.Inspect(f, walk)
	if handlers {
		return out
	}
	text2 := page.String()
	for _, m := range shown.FindAllStringSubmatch(text2, -1) {
		if !notWords.MatchString(m[1]) {
			out = append(out, m[1])
		}
	}
	text2 = markup.ReplaceAllString(quiet.ReplaceAllString(text2, "\x00"), "\x00")
	for s := range strings.SplitSeq(text2, "\x00") {
		if s = strings.Trim(s, " \n·"); regexp.MustCompile(`[A-Za-z]`).MatchString(s) && !notWords.MatchString(s) {
			out = append(out, s)
		}
	}
	return out
}

// typeOf is the last name of a type or a function.
func typeOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.ArrayType:
		return typeOf(e.Elt)
	}
	return ""
}

func contains(all []int, n int) bool {
	for _, x := range all {
		if x == n {
			return true
		}
	}
	return false
}
