package policy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var aWord = rapid.SampledFrom([]string{"a", "dba", "null", "true", "1e3", "0x1f", "no", "team.one", "a_b-c", "7", "12h"})

// aShape is a form as somebody may fill it in.
func aShape(t *rapid.T) Shape {
	list := func(what string, of []string, least int) string {
		return strings.Join(rapid.SliceOfNDistinct(rapid.SampledFrom(of), least, 3, rapid.ID).Draw(t, what), rapid.SampledFrom([]string{", ", " ", ",", "\r\n"}).Draw(t, "separated"))
	}
	s := Shape{Kind: rapid.SampledFrom(ShapeKinds).Draw(t, "kind"), Name: aWord.Draw(t, "name"),
		Description: rapid.SampledFrom([]string{"", "x", `"quoted": {a}`, "# no comment", "- x", "ä <b>", "a: b", "null", "'"}).Draw(t, "description"),
		Subjects:    list("subjects", []string{"a", "*", "user:mira", "service:ci", "group:null", "true"}, 1),
		Roles:       list("roles", []string{"*", "reader", "null", "7"}, 1),
		Names:       list("names", []string{"orders-db", "null", "1e3", "true"}, 0),
		Labels:      rapid.SampledFrom([]string{"", "env=prod", "env=prod\nteam=orders one, two", "a=", "k8s.io/x=null", "x=#1\r\ny= spaced ", "n=1.50"}).Draw(t, "labels"),
		Approvers:   list("approvers", []string{"owner", "manager", "dba", "user:omar", "*"}, 1),
		Count:       rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "count"), Reason: rapid.SampledFrom([]string{"", "10"}).Draw(t, "reason"),
		Max: rapid.SampledFrom([]string{"", "2h", "1h30m"}).Draw(t, "max"), MFA: rapid.Bool().Draw(t, "mfa"), Yields: rapid.Bool().Draw(t, "yields")}
	if s.Kind == ShapeOnCall {
		s.Subjects = list("schedules", []string{"night", "oncall:day", "null", "owner"}, 1)
	}
	return s
}

// TestShapeRoundTrip: what a form means, read into a form again, means the same, and that
// form is the same from then on.
func TestShapeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := aShape(t)
		text := s.Text()
		if _, err := Parse([]File{{"x.yaml", text}}); err != nil {
			t.Skip("not a policy: ", err) // a="" among labels, the same subject twice
		}
		got, rest := ShapeOf(text)
		if len(rest) > 0 {
			t.Fatalf("the form does not know what it wrote: %q\n%s", rest, text)
		}
		if got.Kind != s.Kind || got.Name != s.Name || got.Description != s.Description || got.Max != s.Max || got.Reason != s.Reason && s.Kind != ShapeDenied {
			if s.Kind != ShapeDenied || got.Kind != s.Kind {
				t.Fatalf("%+v\nbecame %+v\n%s", s, got, text)
			}
		}
		if again := got.Text(); again != text {
			t.Fatalf("got\n%s\nafter\n%s", again, text)
		}
		if once, _ := ShapeOf(got.Text()); once != got {
			t.Fatalf("%+v\nbecame %+v", got, once)
		}
	})
}

// TestShapeOfSource: for every policy that there is in the tree, a form either means the
// same or says that it does not show all.
func TestShapeOfSource(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{manual(t)}
	for _, m := range yamlBlock.FindAllStringSubmatch(manual(t), -1) {
		texts = append(texts, m[1])
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	shown, hidden := 0, 0
	for _, text := range texts {
		docs, err := Parse([]File{{"x.yaml", text}})
		if err != nil {
			continue
		}
		for _, d := range docs {
			if d.Kind != KindPolicy {
				continue
			}
			s, rest := ShapeOf(d.Text)
			if len(rest) > 0 {
				hidden++
				continue
			}
			shown++
			if changes := fieldChanges(d.Text, s.Text()); len(changes) > 0 && !slices.Equal(saysAll(d.Text), saysAll(s.Text())) {
				t.Errorf("%s: the form changes %+v", d.Name, changes)
			}
		}
	}
	if shown < 5 || hidden < 5 {
		t.Errorf("%d are of a shape and %d are not: the test tests nothing", shown, hidden)
	}
	for text, want := range map[string]string{
		"kind: Policy\nname: x\nsubjects: [group:a]\nroles: [r]\n# why\nrequire: {maxDuration: 1h}\n":           "comments",
		"kind: Policy\nname: x\nsubjects: [group:a]\nroles: [r]\nwhen: \"true\"\n":                              "when",
		"kind: Policy\nname: x\nsubjects: [group:a]\nroles: [r]\nrequire: {limits: {live: 1}}\n":                "require.limits.live",
		"kind: Policy\nname: x\neffect: deny\nsubjects: [group:a]\nroles: [r]\ndescription: \"a\\nb\"\n":        "the way it is written",
		"kind: Policy\nname: x\nsubjects: [a b]\nroles: [r]\n":                                                  "the way it is written",
		"kind: Policy\nname: x\nsubjects: [group:a]\nroles: [r]\nrequire: {approvals: [{from: [a], stage: 1}]}": "require.approvals[0].stage",
		"kind: [": "it cannot be read",
	} {
		if _, rest := ShapeOf(text); !slices.Contains(rest, want) {
			t.Errorf("%q: the form lacks %q, want %q", text, rest, want)
		}
	}
}
