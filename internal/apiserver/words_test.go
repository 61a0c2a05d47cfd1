package apiserver

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

func inWords(r policy.Rule) string {
	w := ruleWords(r, "kind: Policy\n")
	return w.Sentence() + "\n" + strings.Join(w.Lines(), "\n")
}

// another is a value that v does not have.
func another(t *testing.T, v reflect.Value) (out []reflect.Value) {
	t.Helper()
	set := func(x any) reflect.Value { return reflect.ValueOf(x).Convert(v.Type()) }
	switch v.Kind() {
	case reflect.String:
		return []reflect.Value{set(v.String() + "other")}
	case reflect.Bool:
		return []reflect.Value{set(!v.Bool())}
	case reflect.Int, reflect.Int64, reflect.Int8, reflect.Uint8:
		if v.Type() == reflect.TypeFor[access.Level]() {
			return []reflect.Value{set(access.LevelPasskey), set(access.LevelChat)}
		}
		if v.Type() == reflect.TypeFor[time.Duration]() {
			return []reflect.Value{set(time.Duration(v.Int()) + 7*time.Minute)}
		}
		return []reflect.Value{set(v.Int() + 3)}
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		m.SetMapIndex(reflect.ValueOf("another"), reflect.ValueOf("label"))
		return []reflect.Value{m}
	}
	t.Fatalf("the test knows no other %s", v.Type())
	return nil
}

// eachField calls f for the value of each exported field below v, with its name.
func eachField(t *testing.T, name string, v reflect.Value, f func(name string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if x := v.Type().Field(i); x.IsExported() {
				eachField(t, name+"."+x.Name, v.Field(i), f)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			t.Fatalf("%s is empty in the rule that is tried, so that nothing below it is", name)
		}
		eachField(t, name+"[0]", v.Index(0), f)
	default:
		f(name, v)
	}
}

// TestRuleWords: there is no field of a policy of which the words say nothing. A field that
// is new fails here until it has words.
func TestRuleWords(t *testing.T) {
	approval := func() policy.Approval {
		return policy.Approval{Requirement: access.Requirement{From: []access.Subject{"group:dba"}, Count: 2, Level: access.LevelConsole, Stage: 1, EscalateAfter: time.Hour, EscalateTo: []access.Subject{"group:leads"}}}
	}
	full := func() policy.Rule {
		return policy.Rule{Name: "x", Source: "x:1", Subjects: []access.Subject{"group:a"}, Roles: []access.RoleName{"reader"},
			Resources: policy.Selector{Names: []access.ResourceName{"db"}, Type: "postgres", Labels: map[string]string{"env": "prod"}, Criticality: []access.Criticality{access.High}},
			Zone:      "UTC", When: "a == b", While: "c == d",
			Require: policy.Requirements{MinReason: 10, Ticket: policy.TicketRule{Pattern: "^INC", From: "jira", EndOnClose: true, UnknownFor: time.Hour}, Approvals: []policy.Approval{approval()},
				MaxDuration: time.Hour, AnswerWithin: time.Hour, RemindAfter: time.Hour, Limits: policy.Limits{Live: 1, Pending: 1},
				Extensions: policy.Extensions{Said: true, Max: 2, By: time.Hour, Own: true, Approvals: []policy.Approval{approval()}}, MaxAhead: time.Hour}}
	}
	base := full()
	n := 0
	elsewhere := map[string]bool{"Rule.Name": true, "Rule.Source": true, "Rule.Description": true} // beside the words
	eachField(t, "Rule", reflect.ValueOf(&base).Elem(), func(name string, v reflect.Value) {
		if elsewhere[name] {
			return
		}
		n++
		was := reflect.New(v.Type()).Elem()
		was.Set(v)
		for _, x := range another(t, v) {
			before := inWords(base)
			if name == "Rule.Yields" { // of denying policies
				base.Deny = true
				before = inWords(base)
			}
			v.Set(x)
			if after := inWords(base); after == before {
				t.Errorf("%s: no word says that it is %v", name, x)
			}
			v.Set(was)
			base.Deny = false
		}
	})
	if n < 40 {
		t.Errorf("%d fields were tried", n)
	}
}

// TestRuleWordsOfTheManual: every field that the manual has for a policy has words, and
// one that nobody knows is said to be in the source.
func TestRuleWordsOfTheManual(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/*.yaml")
	check(t, err)
	files = append(files, "../../docs/reference/documents.md")
	seen := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		check(t, err)
		texts := []string{string(b)}
		if strings.HasSuffix(f, ".md") {
			texts = nil
			for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
				texts = append(texts, m[1])
			}
		}
		for _, text := range texts {
			docs, err := policy.Parse([]policy.File{{Name: "x.yaml", Text: text}})
			if err != nil {
				continue
			}
			for _, d := range docs {
				if d.Kind != policy.KindPolicy {
					continue
				}
				seen++
				if more := ruleWords(policy.Rule{}, d.Text).More; len(more) > 0 {
					t.Errorf("%s: no words for %q", d.Name, more)
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("%d policies were read", seen)
	}
	w := ruleWords(policy.Rule{Subjects: []access.Subject{"*"}, Roles: []access.RoleName{"*"}}, "kind: Policy\nname: x\nrequire: {moon: full}\n")
	if got := strings.Join(w.Lines(), "\n"); !strings.Contains(got, "And more, which stands in the source: require.moon.") {
		t.Errorf("a field that nobody knows: %s", got)
	}
}
