package stint

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testNamed = regexp.MustCompile(`\bTest[A-Z]\w+(?:/[\w-]+)?`)
	fileNamed = regexp.MustCompile(`\b(?:internal|cmd|test|scripts|examples)/[\w./-]+\.(?:go|templ|md|sql|js|css|txt)\b`)
)

// TestDocsNameWhatIsThere checks that the tests and files that the documentation names
// exist: a claim whose proof was renamed is a claim without one. Decisions and the report of
// a run say what was so then, and are left out.
func TestDocsNameWhatIsThere(t *testing.T) {
	code, names := &strings.Builder{}, map[string]bool{}
	var pages []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if strings.HasPrefix(d.Name(), ".") && path != "." || path == "docs/rfd" || path == "bin" {
				return filepath.SkipDir
			}
			return nil
		case strings.HasSuffix(path, ".go"):
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		case strings.HasSuffix(path, ".md") && path != "docs/assurance.md":
			pages = append(pages, path)
		}
		names[strings.TrimSuffix(d.Name(), filepath.Ext(path))] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all, seen := code.String(), 0
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range testNamed.FindAllString(string(b), -1) {
			seen++
			test, part, parts := strings.Cut(name, "/")
			if !strings.Contains(all, "func "+test+"(") {
				t.Errorf("%s names %s, and there is no such test", page, test)
			}
			if parts && !strings.Contains(all, `"`+part+`"`) && !names[part] { // a script's name is its file's
				t.Errorf("%s names %s, and that test has no such part", page, name)
			}
		}
		for _, name := range fileNamed.FindAllString(string(b), -1) {
			if strings.Contains(name, "NAME") { // stands for any
				continue
			}
			seen++
			if _, err := os.Stat(filepath.FromSlash(name)); err != nil {
				t.Errorf("%s names %s, and there is no such file", page, name)
			}
		}
	}
	if seen < 300 {
		t.Errorf("only %d names were looked at", seen)
	}
}
