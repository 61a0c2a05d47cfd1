package shell

import (
	"os/exec"
	"testing"
)

func TestLine(t *testing.T) {
	for want, words := range map[string][]string{
		`stint db orders-db`:                 {"stint", "db", "orders-db"},
		`stint request x --why 'order 4711'`: {"stint", "request", "x", "--why", "order 4711"},
		`--why ''`:                           {"--why", ""},
		`--why 'it'\''s; rm -rf "$HOME"'`:    {"--why", `it's; rm -rf "$HOME"`},
		`--why 'a b  [201~c'`:                {"--why", "a\nb\r\x1b[201~c"},
		"--why 'x y'":                        {"--why", "x\u202ey"},
		"--why '\u00e9t\u00e9'":              {"--why", "\u00e9t\u00e9"},
	} {
		if got := Line(words...); got != want {
			t.Errorf("Line(%q) is %s, want %s", words, got, want)
		}
	}
}

// A real shell reads one word back, as it was.
func FuzzWord(f *testing.F) {
	for _, s := range []string{"", "plain", "it's", `$(id) "x" \`, "a\nb", "-n", "*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for i := range len(s) {
			if s[i] == 0 {
				t.Skip("no argument holds it")
			}
		}
		got, err := exec.Command("/bin/sh", "-c", "printf %s "+Word(s)).Output()
		if err != nil || string(got) != s {
			t.Errorf("%q was read as %q, %v", s, got, err)
		}
	})
}
