package policy

import (
	"strings"
	"testing"

	"stint/internal/access"
)

// hostSchemas has a type of resource with every mechanism that acts on a host.
var hostSchemas = map[string]access.Schema{
	"linux": {
		Type:       "linux",
		Mechanisms: []access.Mechanism{access.Token, access.Elevate, access.Member, access.Enable, access.Account},
		Alone:      []access.Mechanism{access.Enable},
		Role: map[string]access.Option{
			"sourceAddress": {Many: true, Pattern: `[0-9./]+`, Form: "a network"},
			"forceCommand":  {Pattern: `[^\x00-\x1f]*`, Form: "one line"},
			"through":       {Values: []string{"direct", "gateway"}, For: []access.Mechanism{access.Token, access.Account, access.Enable}},
			"record":        {Values: []string{"normal", "strict"}, Needs: "through=gateway"},
		},
		Rights: map[access.Mechanism]access.Option{access.Elevate: {Pattern: `/[a-z/-]+( [a-z-]+)*`, Form: "a path from the root, and its arguments"}},
	},
}

func hostRole(mechanism, section string) string {
	return "kind: Role\nname: r\nresources: {type: linux}\nmechanism: " + mechanism + "\nlinux: {" + section + "}\nmaxDuration: 1h\n"
}

// TestMechanismNeeds: each mechanism has what it acts on, and no more.
func TestMechanismNeeds(t *testing.T) {
	for _, x := range []struct{ mechanism, section, says string }{
		{"token", `account: deploy`, ""},
		{"token", `account: "{{ .person }}", sourceAddress: [10.0.0.0/8, 10.1.0.0/16], forceCommand: "uptime"`, ""},
		{"token", `sourceAddress: [10.0.0.0/8]`, "mechanism token needs linux.account"},
		{"token", `account: deploy, memberOf: [sudo]`, "mechanism token has no use for linux.memberOf"},
		{"token", `account: deploy, commands: [/bin/sh]`, "commands"},
		{"token", `account: "deploy\nroot"`, "cannot be an account"},
		{"token", `account: "-oProxyCommand=x"`, "cannot be an account"},
		{"token", `account: "../root"`, "cannot be an account"},
		{"token", `account: deploy, sourceAddress: ["10.0.0.0/8,0.0.0.0/0"]`, "holds a comma"},
		{"token", `account: deploy, sourceAddress: ["* stint-x"]`, "sourceAddress"},
		{"token", `account: deploy, forceCommand: "a\nb"`, "forceCommand"},
		{"token", `account: deploy, through: gateway, record: strict`, ""},
		{"token", `account: deploy, record: strict`, "record says nothing without through: gateway"},
		{"token", `account: deploy, through: direct, record: strict`, "record says nothing without through: gateway"},
		{"account", `memberOf: [adm], through: gateway`, ""},
		{"enable\nexclusive: true", `account: oracle, through: gateway`, ""},
		{"group", `account: mira, memberOf: [adm], through: gateway`, "through says nothing for the mechanism group"},
		{"group", `account: mira, memberOf: [adm], through: direct`, "through says nothing for the mechanism group"},
		{"elevate", `account: mira, commands: [/usr/bin/id], through: gateway`, "leave it out, or write a role with one of the mechanisms"},
		{"elevate", `account: "{{ .person }}", commands: [/usr/bin/systemctl restart web, /usr/bin/id]`, ""},
		{"elevate", `account: mira`, "mechanism elevate needs linux.commands"},
		{"elevate", `commands: [/usr/bin/id]`, "mechanism elevate needs linux.account"},
		{"elevate", `account: mira, memberOf: [sudo]`, "needs linux.commands"},
		{"elevate", `account: mira, memberOf: [sudo], commands: [/usr/bin/id]`, "memberOf"},
		{"elevate", `account: mira, commands: [systemctl]`, "cannot be a command"},
		{"elevate", `account: mira, commands: ["ALL"]`, "cannot be a command"},
		{"elevate", `account: mira, commands: ["/bin/a, /bin/b"]`, "cannot be a command"},
		{"elevate", `account: mira, commands: ["/bin/a\nroot ALL=(ALL) ALL"]`, "cannot be a command"},
		{"elevate", `account: mira, commands: [""]`, "cannot be a command"},
		{"group", `account: mira, memberOf: [adm]`, ""},
		{"enable", `account: oracle`, "is for one person at a time"},
		{"enable\nexclusive: true", `account: oracle`, ""},
		{"group", `account: mira, commands: [/usr/bin/id]`, "needs linux.memberOf"},
	} {
		docs, err := Parse([]File{{"policy.yaml", hostRole(x.mechanism, x.section)}})
		var s *Set
		if err == nil {
			s, err = Compile(docs, hostSchemas, 1)
		}
		switch {
		case x.says == "" && err != nil:
			t.Errorf("%s {%s}: %v", x.mechanism, x.section, err)
		case x.says != "" && (err == nil || !strings.Contains(err.Error(), x.says)):
			t.Errorf("%s {%s}: got %v, want that it says %q", x.mechanism, x.section, err, x.says)
		case x.says == "" && x.mechanism == "elevate":
			r, _ := s.Role("r")
			if got := strings.Join(r.Permissions().Rights, "; "); got != "/usr/bin/id; /usr/bin/systemctl restart web" {
				t.Errorf("the rights are %s", got)
			}
		}
	}
}

// TestCeilingOfCommands: a ceiling bounds the commands of roles and has nothing to do
// with groups of the same name; what it leaves out is not the owners'.
func TestCeilingOfCommands(t *testing.T) {
	role := &Role{Mechanism: access.Elevate, Account: "mira", Rights: []string{"/usr/bin/id", "/usr/bin/reboot"}}
	read := func(text string) *Ceiling {
		docs, err := Parse([]File{{"policy.yaml", "kind: Resource\nname: web1\ntype: linux\nconnection: {address: \"web1:22\", credential: c}\nceiling: " + text + "\n"}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Compile(docs, hostSchemas, 1)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := s.Resource("web1")
		return r.Ceiling
	}
	for _, x := range []struct{ ceiling, breaches, unlisted string }{
		{`{commands: [/usr/bin/id]}`, "commands /usr/bin/reboot", "mechanisms accounts"},
		{`{commands: []}`, "commands /usr/bin/id commands /usr/bin/reboot", "mechanisms accounts"},
		{`{memberOf: [/usr/bin/id], mechanisms: [elevate], accounts: [mira]}`, "", "commands"},
		{`{commands: [/usr/bin/id, /usr/bin/reboot], mechanisms: [elevate], accounts: [mira]}`, "", ""},
	} {
		c := read(x.ceiling)
		if got := strings.Join(c.breaches(role), " "); got != x.breaches {
			t.Errorf("%s: breaches %q, want %q", x.ceiling, got, x.breaches)
		}
		if got := strings.Join(c.unlisted(role), " "); got != x.unlisted {
			t.Errorf("%s: unlisted %q, want %q", x.ceiling, got, x.unlisted)
		}
	}
}
