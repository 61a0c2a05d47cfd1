package program

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// fault is an error as the packages of Stint have them.
type fault struct {
	text, next string
	invalid    bool
	cause      error
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.cause }
func (f *fault) Hint() string  { return f.next }
func (f *fault) Invalid() bool { return f.invalid }

func TestHowAProgramEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		err  error
		code int
		out  string // how it begins
		errs string
	}{
		{"alone it helps", nil, nil, Done, "what it is for", ""},
		{"done", []string{"work"}, nil, Done, "worked\n", ""},
		{"its version", []string{"version"}, nil, Done, Version() + "\n", ""},
		{"the same as a flag", []string{"--version"}, nil, Done, Version() + "\n", ""},
		{"no such command", []string{"wrok"}, nil, Usage, "", "stint-x: error: \"wrok\" is not understood here\nstint-x: hint: stint-x --help says what there is\n"},
		{"one word too many", []string{"work", "hard"}, nil, Usage, "", "stint-x: error: \"hard\" is not understood here\nstint-x: hint: stint-x work --help says what there is\n"},
		{"no such flag", []string{"work", "--hard"}, nil, Usage, "", "stint-x: error: unknown flag: --hard\nstint-x: hint: stint-x work --help says what there is\n"},
		{"something is missing", []string{"work"}, fmt.Errorf("deep: %w", &Misuse{What: "a file is missing", Near: "did you mean --file?"}), Usage, "", "stint-x: error: deep: a file is missing\nstint-x: hint: did you mean --file? stint-x work --help says what there is\n"},
		{"it failed", []string{"work"}, errors.New("no luck"), Failure, "", "stint-x: error: no luck\n"},
		{"with a hint", []string{"work"}, fmt.Errorf("deep: %w", &fault{text: "no luck", next: "try again"}), Failure, "", "stint-x: error: deep: no luck\nstint-x: hint: try again\n"},
		{"with one of its cause", []string{"work"}, &fault{text: "no luck", cause: &fault{text: "a", next: "try again"}}, Failure, "", "stint-x: error: no luck\nstint-x: hint: try again\n"},
		{"a setting", []string{"work"}, &fault{text: "not safe", next: "chmod", invalid: true}, Usage, "", "stint-x: error: not safe\nstint-x: hint: chmod\n"},
	} {
		root := New("stint-x", "Work", "what it is for")
		root.AddCommand(&cobra.Command{Use: "work", Args: NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			if c.err == nil {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "worked")
				return err
			}
			return c.err
		}})
		var out, errs bytes.Buffer
		code := Main(t.Context(), root, append([]string{}, c.args...), strings.NewReader(""), &out, &errs)
		if code != c.code || !strings.HasPrefix(out.String(), c.out) || c.out == "" && out.Len() > 0 || errs.String() != c.errs {
			t.Errorf("%s: %d\n%s%s", c.name, code, out.String(), errs.String())
		}
	}
}

// TestStampedVersion builds a program as the Makefile does and asks it: the linker says nothing when there
// is no such variable to set.
func TestStampedVersion(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^LDFLAGS := (.*)\$\(VERSION\)$`).FindSubmatch(makefile)
	if found == nil {
		t.Fatal("the Makefile does not stamp the version")
	}
	const stamped = "v0.0.0-of-a-test"
	built := filepath.Join(t.TempDir(), "program")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags", string(found[1])+stamped, "-o", built, "stint/cmd/stint-hsm").CombinedOutput(); err != nil { // the smallest
		t.Fatalf("%v\n%s", err, out)
	}
	for _, asked := range []string{"version", "--version"} {
		out, err := exec.CommandContext(t.Context(), built, asked).Output()
		if got, _, _ := strings.Cut(strings.TrimSpace(string(out)), ","); err != nil || got != stamped {
			t.Errorf("asked with %s it says %q, want %q; %v", asked, got, stamped, err)
		}
	}
}
