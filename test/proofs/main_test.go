package main

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A name in the list that is no test any more proves nothing.
func TestProofsAreTests(t *testing.T) {
	for _, p := range append(slices.Clone(proofs), drill(1)) {
		for pkg, names := range p.tests {
			files, err := filepath.Glob(filepath.Join("../..", pkg, "*_test.go"))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: %s has no tests: %v", p.name, pkg, err)
			}
			var source []byte
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				source = append(source, b...)
			}
			for _, name := range names {
				if !regexp.MustCompile(`(?m)^func ` + name + `\(t \*testing\.T\)`).Match(source) {
					t.Errorf("%s: %s has no %s", p.name, pkg, name)
				}
			}
		}
	}
}

// What failed, was skipped or did not run is no proof.
func TestOnlyPassedCounts(t *testing.T) {
	var progress strings.Builder
	got, err := endings(strings.NewReader(`{"Action":"run","Test":"A"}
{"Action":"pass","Test":"A/sub"}
{"Action":"output","Test":"A","Output":"    a_test.go:46: 20 drills\n"}
{"Action":"output","Test":"A","Output":"drill 1 of 20: 7 grants so far\n"}
{"Action":"output","Test":"A","Output":"something else\n"}
{"Action":"output","Test":"A","Output":"--- FAIL: A (0.1s)\n"}
{"Action":"fail","Test":"A"}
{"Action":"skip","Test":"B"}
not json
{"Action":"pass","Test":"C"}
{"Action":"pass"}
`), &progress)
	if err != nil || progress.String() != "drill 1 of 20: 7 grants so far\n" {
		t.Errorf("told on the way: %q, %v", &progress, err)
	}
	want := map[string]ending{"A": {"fail", []string{"20 drills"}}, "B": {how: "skip"}, "C": {how: "pass"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("endings: %v, not %v", got, want)
	}
	r := proof{name: "proofs-none", tests: map[string][]string{"stint/test/evidence": {"TestThatIsNot"}}}.run(io.Discard)
	if r.Passed || len(r.Violated) != 1 {
		t.Errorf("a test that is not there: passed %v, %q", r.Passed, r.Violated)
	}
}
