package stint

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryParserIsListed checks that every fuzz target of the tree stands on the page of
// attacks, under its package, and that every one on the page is there.
func TestEveryParserIsListed(t *testing.T) {
	text, err := os.ReadFile("docs/attacks-on-servers.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{} // by package and name
	for line := range strings.Lines(string(text)) {
		of := ""
		for _, word := range regexp.MustCompile("`([\\w/-]+)`").FindAllStringSubmatch(line, -1) {
			switch {
			case !strings.HasPrefix(word[1], "Fuzz") && !strings.HasPrefix(word[1], "Test"):
				of = word[1]
			case strings.HasPrefix(word[1], "Fuzz"):
				listed[of+" "+word[1]] = true
			}
		}
	}
	target := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	there := 0
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, m := range target.FindAllSubmatch(code, -1) {
			name := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "internal/") + " " + string(m[1])
			if !listed[name] {
				t.Errorf("docs/attacks-on-servers.md does not list %s", name)
			}
			delete(listed, name)
			there++
		}
		return err
	})
	if err != nil || there == 0 {
		t.Fatal(err, there)
	}
	for name := range listed {
		t.Errorf("docs/attacks-on-servers.md lists %s, and there is no such target", name)
	}
}
