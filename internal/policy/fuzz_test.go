package policy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzParse holds that Parse and Compile end in documents or Problems, whatever
// they are given, and that what was accepted is accepted again, unchanged.
func FuzzParse(f *testing.F) {
	archive, err := txtar.ParseFile(filepath.Join("testdata", "broken.txtar"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		f.Add(string(file.Data))
	}
	for _, name := range []string{"contract.yaml", "explain.yaml"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add("{a: &a [*a]}")
	f.Add("kind: Policy\rname: x\u2028---\nkind: Role")
	f.Fuzz(func(t *testing.T, text string) {
		docs, err := Parse([]File{{"f.yaml", text}})
		if err != nil {
			checkProblems(t, err)
			return
		}
		var b strings.Builder
		for _, d := range docs {
			b.WriteString(d.Text + "---\n")
		}
		again, err := Parse([]File{{"f.yaml", b.String()}})
		if err != nil {
			t.Fatalf("accepted at first, then not: %v", err)
		}
		_, changes := Merge(docs, again)
		for _, c := range changes {
			if c.Op != Unchanged {
				t.Fatalf("%s %s is %s when read again", c.Kind, c.Name, c.Op)
			}
		}
		if _, err := Compile(docs, schemas, 1); err != nil {
			checkProblems(t, err)
			return
		}
		s, err := Compile(again, schemas, 1)
		if err != nil {
			t.Fatalf("compiled at first, then not: %v", err)
		}
		s.Decide(ask(), AtRequest, noon)
	})
}

func checkProblems(t *testing.T, err error) {
	t.Helper()
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		t.Fatalf("got %v, want problems", err)
	}
	for _, p := range problems {
		if p.Line < 1 || p.File != "f.yaml" {
			t.Fatalf("a problem at %s:%d: %s", p.File, p.Line, p.Message)
		}
	}
}

// FuzzSpan holds that an accepted duration is positive and reads back as itself.
func FuzzSpan(f *testing.F) {
	for _, s := range []string{"1h", "7d", "1d12h", "0s", "-1h", "1d-1h", "99999d", "65535d999999h", "1.5h", "d", "1dd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := parseSpan(s)
		if !ok {
			return
		}
		if d <= 0 {
			t.Fatalf("%q is %d", s, d)
		}
		if again, ok := parseSpan(span(d)); !ok || again != d {
			t.Fatalf("%q is %s, written %q, which is %s", s, d, span(d), again)
		}
	})
}

// TestHostileYAML holds that input made to cost much is refused, at its size.
func TestHostileYAML(t *testing.T) {
	for name, text := range map[string]string{
		"brackets":    strings.Repeat("[", 200_000),
		"dashes":      strings.Repeat("- ", 100_000),
		"questions":   strings.Repeat("? ", 100_000),
		"large file":  "kind: Policy\nname: p\ndescription: " + strings.Repeat("x", maxFileSize),
		"large":       "kind: Policy\nname: p\ndescription: " + strings.Repeat("x", maxDocumentSize),
		"many":        strings.Repeat("---\na: b\n", maxDocuments+1),
		"many fields": "kind: Policy\n" + strings.Repeat("abcdefgh: 1\n", 20_000),
		"bomb":        "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c]\n",
		"nul":         "kind: Policy\x00\n",
		"hidden":      "kind: Policy\nname: p\n# \u2028---\nkind: Role\n",
		"return":      "kind: Policy\nname: p\n# \r---\rkind: Role\n",
		"latin":       "kind: Policy\nname: p\ndescription: \xe4\n",
	} {
		docs, err := Parse([]File{{"f.yaml", text}})
		if err == nil {
			t.Errorf("%s: got %d documents", name, len(docs))
			continue
		}
		checkProblems(t, err)
		if len(err.Error()) > 20_000 {
			t.Errorf("%s: a report of %d bytes", name, len(err.Error()))
		}
	}
}

func TestSplit(t *testing.T) {
	text := "\ufeff# the head\n---\n\n# about a\nkind: Policy # yes\r\nname: a\nsubjects: ['*']\nroles: ['*']\nwhen: |\n  now.hour > 1\n\n--- # next\n---\nkind: Policy\nname: b\nsubjects: ['*']\nroles: ['*']\n# the end\n---\n# nothing\n"
	docs, err := Parse([]File{{"f.yaml", text}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Document{
		{Kind: "Policy", Name: "a", File: "f.yaml", Line: 4, Text: "# about a\nkind: Policy # yes\nname: a\nsubjects: ['*']\nroles: ['*']\nwhen: |\n  now.hour > 1\n"},
		{Kind: "Policy", Name: "b", File: "f.yaml", Line: 14, Text: "kind: Policy\nname: b\nsubjects: ['*']\nroles: ['*']\n# the end\n"},
	}
	if diff := cmp.Diff(docs, want); diff != "" {
		t.Errorf("got -, want +:\n%s", diff)
	}
}
