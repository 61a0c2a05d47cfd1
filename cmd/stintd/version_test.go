package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestStampedVersion builds the program as the Makefile does and asks it: the
// linker says nothing when there is no such variable to set.
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
	program := filepath.Join(t.TempDir(), "program")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags", string(found[1])+stamped, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, asked := range []string{"version", "--version"} {
		out, err := exec.CommandContext(t.Context(), program, asked).Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != stamped {
			t.Errorf("asked with %s it says %q, want %q; %v", asked, got, stamped, err)
		}
	}
}
