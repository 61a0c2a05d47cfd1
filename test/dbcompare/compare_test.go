package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCompare: what differs is found, unless there is a reason for it, or it differs by itself.
func TestCompare(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	text := "# a comment\n\nlo.*\tends\t^-\\\\dl$\trefused\nlo.*\tline\t^\\+FATAL\trefused\nother\tline\t^[-+]pid \\d+$\tnumbers of processes\n"
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, file, direct, through, again string
		want                               verdict
		lines                              string
	}{
		{"the same", "a", "x\ny\n", "x\ny\n", "x\ny\n", same, ""},
		{"another line", "a", "x\ny\nz\n", "x\nY\nz\n", "x\ny\nz\n", different, "-y +Y"},
		{"a line more", "a", "x\nz\n", "x\ny\nz\n", "x\nz\n", different, "+y"},
		{"a line less", "a", "x\ny\nz\n", "x\nz\n", "x\ny\nz\n", different, "-y"},
		{"another blank", "a", "x y\n", "x  y\n", "x y\n", different, "-x y +x  y"},
		{"no end", "a", "x\n", "x", "x\n", different, "-"},
		{"not the same twice", "a", "x\ny 1\n", "x\ny 1\nw\n", "x\nw\n", unstable, ""},
		{"for a reason", "other", "x\npid 1\n", "x\npid 2\n", "x\npid 1\n", explained, ""},
		{"for the reason of another file", "a", "x\npid 1\n", "x\npid 2\n", "x\npid 1\n", different, "-pid 1 +pid 2"},
		{"one for a reason", "other", "x\npid 1\n", "X\npid 2\n", "x\npid 1\n", different, "-x +X"},
		{"it ends", "lo", "x\n\\dl\nmuch\nmore\n", "x\nFATAL no\n", "x\n\\dl\nmuch\nmore\n", explained, ""},
		{"it ends, and says more", "lo", "x\n\\dl\nmuch\n", "x\nFATAL no\nmore\n", "x\n\\dl\nmuch\n", different, "+more"},
		{"it ends too early", "lo", "x\ny\n\\dl\nmuch\n", "x\nFATAL no\n", "x\ny\n\\dl\nmuch\n", different, "-y"},
	} {
		rules, err := readRules(list)
		if err != nil {
			t.Fatal(err)
		}
		f := compareOne(c.file, c.direct, c.through, c.again, rules)
		if got := strings.Join(f.lines, " "); f.verdict != c.want || got != c.lines {
			t.Errorf("%s: %d %q, want %d %q", c.what, f.verdict, got, c.want, c.lines)
		}
	}
	for _, bad := range []string{"a\tline\tx\n", "a\tsome\tx\ty\n", "a\tline\tx\t\n", "(\tline\tx\ty\n", "a\tline\t(\ty\n"} {
		if err := os.WriteFile(list, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readRules(list); err == nil {
			t.Errorf("%q is taken for a rule", bad)
		}
	}
	if _, err := readRules("differences.txt"); err != nil {
		t.Error(err)
	}
}

// TestSchedule: the files in their order, and test_setup always.
func TestSchedule(t *testing.T) {
	file := filepath.Join(t.TempDir(), "parallel_schedule")
	if err := os.WriteFile(file, []byte("# ----------\ntest: test_setup\n\ntest: a b\nignore: c\ntest: d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ only, want []string }{{nil, []string{"test_setup", "a", "b", "d"}}, {[]string{"d"}, []string{"test_setup", "d"}}} {
		if got, err := schedule(file, c.only); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, %v", c.only, got, err)
		}
	}
}
