package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func manual(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/reference/documents.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestManualExamples compiles the manual's documents, all together, and runs its
// tests on them.
func TestManualExamples(t *testing.T) {
	var docs, tests strings.Builder
	for _, m := range yamlBlock.FindAllStringSubmatch(manual(t), -1) {
		if strings.HasPrefix(m[1], "tests:") {
			tests.WriteString(m[1] + "---\n")
		} else {
			docs.WriteString(m[1] + "---\n")
		}
	}
	s := compile(t, docs.String())
	if len(s.Integrations()) != 3 || len(s.Workloads()) != 1 || len(s.Schedules()) != 1 || len(s.Bundles()) != 1 || len(s.Resources()) != 2 || len(s.Roles()) != 3 || len(s.Policies()) != 11 {
		t.Errorf("got %d resources, %d roles, %d policies", len(s.Resources()), len(s.Roles()), len(s.Policies()))
	}
	results, err := RunTests(s, []File{{"manual.test.yaml", tests.String()}}, noon)
	if err != nil || len(results) != 3 {
		t.Fatalf("got %d results, %v", len(results), err)
	}
	for _, r := range results {
		if !r.OK {
			t.Errorf("%s: %s", r.Name, strings.Join(r.Why, "\n  "))
		}
	}
}

// TestExamples checks the examples and runs the tests beside them.
func TestExamples(t *testing.T) {
	folders, err := filepath.Glob("../../examples/[a-z]*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no examples, %v", err)
	}
	for _, folder := range folders {
		names, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var docs, tests []File
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if f := (File{Name: filepath.Base(name), Text: string(b)}); IsTestFile(name) {
				tests = append(tests, f)
			} else {
				docs = append(docs, f)
			}
		}
		parsed, err := Parse(docs)
		if err != nil {
			t.Errorf("%s: %v", folder, err)
			continue
		}
		s, err := Compile(parsed, schemas, 1)
		if err != nil {
			t.Errorf("%s: %v", folder, err)
			continue
		}
		for _, w := range s.Warnings() {
			t.Errorf("%s: %v", folder, w)
		}
		results, err := RunTests(s, tests, noon)
		if err != nil || len(results) == 0 {
			t.Errorf("%s: %d tests, %v", folder, len(results), err)
		}
		for _, r := range results {
			if !r.OK {
				t.Errorf("%s: %s: %s", r.Source, r.Name, strings.Join(r.Why, "\n  "))
			}
		}
	}
}

// TestManualIsComplete looks for every field and every variable.
func TestManualIsComplete(t *testing.T) {
	text := manual(t)
	for _, v := range variables {
		if !strings.Contains(text, "`"+v.name+"`") {
			t.Errorf("the manual does not explain the variable %s", v.name)
		}
	}
	known := regexp.MustCompile(`known are (.*)`)
	for where, doc := range map[string]string{
		"Resource":    "kind: Resource\nname: x\nzzzzzz: 1\n",
		"ceiling":     "kind: Resource\nname: x\nceiling: {zzzzzz: 1}\n",
		"Role":        "kind: Role\nname: x\nzzzzzz: 1\n",
		"endOn":       "kind: Role\nname: x\nendOn: {zzzzzz: 1}\n",
		"selector":    "kind: Role\nname: x\nresources: {zzzzzz: 1}\n",
		"Policy":      "kind: Policy\nname: x\nzzzzzz: 1\n",
		"require":     "kind: Policy\nname: x\nrequire: {zzzzzz: 1}\n",
		"approval":    "kind: Policy\nname: x\nrequire: {approvals: [{zzzzzz: 1}]}\n",
		"escalate":    "kind: Policy\nname: x\nrequire: {approvals: [{escalate: {zzzzzz: 1}}]}\n",
		"limits":      "kind: Policy\nname: x\nrequire: {limits: {zzzzzz: 1}}\n",
		"Workload":    "kind: Workload\nname: x\nzzzzzz: 1\n",
		"certificate": "kind: Workload\nname: x\nservice: x\ncertificate: {zzzzzz: 1}\n",
		"Integration": "kind: Integration\nname: x\ntype: bare\naddress: https://a\nzzzzzz: 1\n",
		"Schedule":    "kind: Schedule\nname: x\nzzzzzz: 1\n",
		"layer":       "kind: Schedule\nname: x\nlayers: [{zzzzzz: 1}]\n",
		"ticket":      "kind: Policy\nname: x\nrequire: {ticket: {zzzzzz: 1}}\n",
		"extensions":  "kind: Policy\nname: x\nrequire: {extensions: {zzzzzz: 1}}\n",
		"Bundle":      "kind: Bundle\nname: x\nzzzzzz: 1\n",
		"part":        "kind: Bundle\nname: x\nparts: [{zzzzzz: 1}]\n",
		"override":    "kind: Schedule\nname: x\noverrides: [{zzzzzz: 1}]\n",
		"tests":       "tests: [{zzzzzz: 1}]\n",
	} {
		var err error
		if where == "tests" {
			_, err = RunTests(compile(t, shop), []File{{"x", doc}}, noon)
		} else {
			var docs []Document
			if docs, err = Parse([]File{{"x", doc}}); err == nil { // what it has options for, a schema says
				_, err = Compile(docs, schemas, 1)
			}
		}
		fields := known.FindAllStringSubmatch(err.Error(), -1)
		if len(fields) == 0 {
			t.Errorf("%s: no known fields in %v", where, err)
		}
		for _, m := range fields {
			for _, f := range strings.Split(m[1], ", ") {
				if !regexp.MustCompile("`[^`\n]*\\b" + f + "\\b").MatchString(text) {
					t.Errorf("the manual does not explain the field %s of %s", f, where)
				}
			}
		}
	}
}
