package policy

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"stint/internal/access"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, string(want)); diff != "" {
		t.Errorf("%s (-got +want):\n%s", path, diff)
	}
}

// TestBroken checks the words for what is wrong: file, line, hint.
func TestBroken(t *testing.T) {
	archive, err := txtar.ParseFile(filepath.Join("testdata", "broken.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range archive.Files {
		docs, err := Parse([]File{{Name: f.Name, Text: string(f.Data)}})
		if err == nil {
			_, err = Compile(docs, schemas, 1)
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Errorf("%s: got error %v, want problems", f.Name, err)
			continue
		}
		if !errors.Is(err, access.Invalid) || access.KindOf(err) != access.Invalid {
			t.Errorf("%s: the error is not of the kind invalid", f.Name)
		}
		lines := strings.Count(string(f.Data), "\n")
		for _, p := range problems {
			if p.File != f.Name || p.Line < 1 || p.Line > lines {
				t.Errorf("%s: a problem at %s:%d, outside of the file", f.Name, p.File, p.Line)
			}
		}
		b.WriteString(err.Error() + "\n\n")
	}
	golden(t, "broken.golden", b.String())
}
