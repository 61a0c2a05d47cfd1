package linux

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stint/internal/access"
)

// TestOptions: what documents may hold by the schema, ParseOptions takes, and what it
// refuses of the rest is a mistake of the document's.
func TestOptions(t *testing.T) {
	for _, x := range []struct {
		name, text string
		ok         bool
	}{
		{"sourceAddress", "10.0.0.0/8", true},
		{"sourceAddress", "10.0.0.7,2001:db8::/32,::1", true},
		{"sourceAddress", "10.0.0.1/8", false}, // bits behind the mask: sshd refuses the line
		{"sourceAddress", "10.0.0.0/33", false},
		{"sourceAddress", "fe80::1%eth0", false},
		{"sourceAddress", "*", false},
		{"sourceAddress", "example.org", false},
		{"sourceAddress", ",", false},
		{"sourceAddress", `10.0.0.0/8",command="`, false},
		{"forceCommand", `/usr/bin/systemctl status "web"`, true},
		{"forceCommand", `a\b`, true},
		{"forceCommand", `a\`, false},
		{"forceCommand", "a\nb", false},
		{"forceCommand", "echo '#1'", false}, // sshd reads no further
		{"forceCommand", "uptime # now and then", false},
		{"forceCommand", "a\x00", false},
		{"forceCommand", "a\x7f", false},
		{"forceCommand", strings.Repeat("a", 1001), false},
		{"forwarding", "ports,agent,x11,ports", true},
		{"forwarding", "all", false},
		{"home", "archive", true},
		{"home", "keep", false},
		{"shell", "/bin/bash", true},
		{"shell", "bash", false},
		{"shell", "/bin/sh -c", false},
		{"runAs", "postgres", true},
		{"runAs", "ALL=(ALL)", false},
		{"sessions", "keep", true},
	} {
		_, err := ParseOptions(map[string]string{x.name: x.text})
		if (err == nil) != x.ok || err != nil && access.KindOf(err) != access.Invalid {
			t.Errorf("%s %q: %v, want good %v", x.name, x.text, err, x.ok)
		}
	}
	var defaults = map[string]string{}
	for name, o := range Schema().Role {
		if o.Default != "" {
			defaults[name] = o.Default
		}
	}
	given, err1 := ParseOptions(defaults)
	without, err2 := ParseOptions(nil)
	if err1 != nil || err2 != nil || given.Home != without.Home || given.Shell != without.Shell || given.RunAs != without.RunAs || given.KeepSessions != without.KeepSessions {
		t.Errorf("the defaults of documents are %+v (%v), and without options it is %+v (%v)", given, err1, without, err2)
	}
}

// TestNames: the pattern for documents and the check of orders are the same.
func TestNames(t *testing.T) {
	name, command := regexp.MustCompile("^(?:"+namePattern+")$"), regexp.MustCompile("^(?:"+rightPattern+")$")
	for text, ok := range map[string]bool{
		"a": true, "_apt": true, "Mira": true, "a-b.c_d9": true, strings.Repeat("a", 32): true,
		"": false, "-a": false, ".": false, "..": false, ".a": false, "9a": false, "a b": false, "a:b": false, "a/b": false, "a\n": false, "é": false,
		strings.Repeat("a", 33): false, "a$": false, "%sudo": false, "#0": false,
	} {
		if ValidName(text) != ok || name.MatchString(text) != ok {
			t.Errorf("%q: %v and %v, want %v", text, ValidName(text), name.MatchString(text), ok)
		}
	}
	for text, ok := range map[string]bool{
		"/usr/bin/id": true, "/usr/bin/systemctl restart web@1.service": true, "/bin/a -x --y=z:1 100%": true,
		"/": false, "/bin/": false, "id": false, "/bin/id *": false, "/bin/id  x": false, "/bin/id x ": false, "/bin/id \"\"": false, "/bin/a,b": false,
	} {
		if ValidCommand(text) != ok || command.MatchString(text) != ok {
			t.Errorf("%q: %v and %v, want %v", text, ValidCommand(text), command.MatchString(text), ok)
		}
	}
}

func TestPrincipal(t *testing.T) {
	tag := access.Tag(strings.Repeat("a", 26) + "_" + strings.Repeat("7", 16))
	if got, ok := PrincipalTag(Principal(tag)); !ok || got != tag {
		t.Errorf("got %q, %v", got, ok)
	}
	for _, text := range []string{"", "stint-", "stint-*", "stint-x", "root", Principal(tag) + "a", "Stint-" + string(tag), Principal(tag[:42]), "stint-" + strings.ToUpper(string(tag))} {
		if _, ok := PrincipalTag(text); ok {
			t.Errorf("%q is taken for a principal of ours", text)
		}
	}
}

// TestDocumented: the README names every option and mechanism, and the example uses each.
func TestDocumented(t *testing.T) {
	readme, err1 := os.ReadFile("README.md")
	example, err2 := os.ReadFile("example.yaml")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	s := Schema()
	for name, o := range s.Role {
		if !strings.Contains(string(readme), "`"+name) || o.Doc == "" {
			t.Errorf("the option %s is not documented", name)
		}
	}
	for _, m := range s.Mechanisms {
		if !strings.Contains(string(readme), "| `"+string(m)+"` |") || !strings.Contains(string(example), "mechanism: "+string(m)+"\n") {
			t.Errorf("the mechanism %s is not in README and example", m)
		}
	}
	if !slices.Equal(s.Mechanisms, Capabilities().Mechanisms) {
		t.Error("schema and capabilities differ")
	}
}
