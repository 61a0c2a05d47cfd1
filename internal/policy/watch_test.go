package policy

import (
	"strings"
	"testing"

	"stint/internal/access"
)

const auditorsWatch = "---\nkind: Policy\nname: reviewers\neffect: watch\nsubjects: [group:reviewers]\nroles: [reader]\n"

func TestMayWatch(t *testing.T) {
	s := compile(t, shop+auditorsWatch+"resources: {names: [orders-db]}\n---\nkind: Policy\nname: chief\neffect: watch\nsubjects: [user:chief]\nroles: ['*']\n")
	of := func(id string, groups ...access.Group) access.Principal {
		return access.Principal{ID: access.PrincipalID(id), Groups: groups, Admin: true, Auditor: true}
	}
	for _, tt := range []struct {
		who            access.Principal
		role, resource string
		want           string
	}{
		{of("user:a", "reviewers"), "reader", "orders-db", "reviewers"},
		{of("user:a", "reviewers"), "writer", "orders-db", ""},
		{of("user:a", "reviewers"), "reader", "other", ""},
		{of("user:a"), "reader", "orders-db", ""}, // no office is enough
		{of("user:chief"), "gone", "gone", "chief"},
	} {
		got, ok := s.MayWatch(tt.who, access.RoleName(tt.role), access.ResourceName(tt.resource), noon)
		if string(got) != tt.want || ok != (tt.want != "") {
			t.Errorf("%s, %s on %s: got %q, want %q", tt.who.ID, tt.role, tt.resource, got, tt.want)
		}
	}
	if s.Reviews(of("user:a"), noon) || !s.Reviews(of("user:a", "reviewers"), noon) {
		t.Error("who is shown the way")
	}
}

// TestWatchGivesNoAccess holds that a policy about recordings never lets anybody have a role,
// in an emergency neither.
func TestWatchGivesNoAccess(t *testing.T) {
	s := compile(t, shop+"---\nkind: Policy\nname: p\neffect: watch\nsubjects: ['*']\nroles: ['*']\n")
	for _, emergency := range []bool{false, true} {
		a := ask()
		a.Emergency = emergency
		if d := s.Decide(a, AtRequest, noon); d.Effect != access.Deny {
			t.Errorf("emergency %v: %s", emergency, said(d))
		}
	}
	for _, e := range s.WhoCan(ask().Resource, "") {
		t.Errorf("it stands among who can: %+v", e)
	}
}

func TestWatchTakesNoConditions(t *testing.T) {
	for _, line := range []string{"when: 'true'", "while: 'true'", "require: {mfa: true}", "zone: UTC"} {
		docs, err := Parse([]File{{"m.yaml", shop + auditorsWatch + line + "\n"}})
		if err == nil {
			_, err = Compile(docs, schemas, 1)
		}
		if err == nil || !strings.Contains(err.Error(), "has no place for") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestWatchDiff: who comes to see recordings, and who does not any more, is told before an
// edit counts, for roles under which something is recorded.
func TestWatchDiff(t *testing.T) {
	set := func(watch string) *Set {
		t.Helper()
		text := "kind: Resource\nname: web1\ntype: linux\ncriticality: low\nowners: [group:dba]\nconnection: {address: \"web1:22\"}\n---\n" +
			hostRole("token", "account: deploy, through: gateway") + "---\n" + strings.Replace(hostRole("token", "account: deploy"), "name: r", "name: direct", 1) + watch
		docs, err := Parse([]File{{"policy.yaml", text}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Compile(docs, map[string]access.Schema{"linux": func() access.Schema { x := hostSchemas["linux"]; x.NoCredential = true; return x }()}, 1)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	watch := func(subjects, roles string) string {
		return "---\nkind: Policy\nname: seen\neffect: watch\nsubjects: [" + subjects + "]\nroles: [" + roles + "]\n"
	}
	for _, x := range []struct{ name, before, after, want string }{
		{"the same", watch("group:dba", "'*'"), watch("group:dba", "r"), ""},
		{"first", "", watch("group:dba", "'*'"), `gains r on web1: user:olga ("" -> "see the recordings of its sessions")`},
		{"none any more", watch("group:dba", "'*'"), "", `loses r on web1: user:olga ("see the recordings of its sessions" -> "")`},
		{"a subject that nobody is", watch("group:dba", "r"), watch("group:dba, group:audit", "r"), `gains r on web1: group:audit ("" -> "see the recordings of its sessions")`},
		{"others", watch("group:dba", "r"), watch("user:max", "r"), `gains r on web1: user:max ("" -> "see the recordings of its sessions")
loses r on web1: user:olga ("see the recordings of its sessions" -> "")`},
		{"of what is not recorded", "", watch("group:dba", "direct"), ""},
	} {
		got := Diff(set(x.before), set(x.after), crowd)
		got.Documents = nil
		if text := strings.TrimSpace(inWords(got)); text != x.want {
			t.Errorf("%s: got\n%s\nwant\n%s", x.name, text, x.want)
		}
	}
}
