package all

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"stint/internal/connector/linux"
)

// unfinished are those of which one half is there: what works on an endpoint, and not
// yet what hands it the calls.
var unfinished = []string{"linux"}

// TestComplete checks that every connector folder is in this package's list.
func TestComplete(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if n := d.Name(); d.IsDir() && n != "all" && n != "connectortest" && !slices.Contains(unfinished, n) && !strings.Contains(string(out)+"\n", "/internal/connector/"+n+"\n") {
			t.Errorf("connector/%s is not in the list", n)
		}
	}
}

// TestTypes checks that each connector serves a type of its own, and says what
// it takes to check documents against it.
func TestTypes(t *testing.T) {
	seen := map[string]bool{}
	all, err := List(linux.Config{}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		t.Cleanup(c.Close)
		s := c.Schema()
		if c.Type() == "" || seen[c.Type()] || s.Type != c.Type() {
			t.Errorf("type %q with a schema for %q: empty, or served twice", c.Type(), s.Type)
		}
		seen[c.Type()] = true
		if len(s.Mechanisms) == 0 || !slices.Equal(s.Mechanisms, c.Capabilities().Mechanisms) {
			t.Errorf("%s: schema has %v, capabilities have %v", c.Type(), s.Mechanisms, c.Capabilities().Mechanisms)
		}
	}
}
